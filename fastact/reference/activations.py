"""Page activations: what every smooth elementwise function is, forward and backward, in plain NumPy, and the facts known about it.

A gradient is ``grad * slope`` in ordinary arithmetic: nan in either is nan. The NumPy expressions are those of a careful user.
"""
# fmt: off  (the facts read as a table: several to a line)

import numpy as np

from ..register import activation
from .special import constant, exact_product, gated, gated_slope, normal_cdf, normal_pdf, scaled, silence, tanh_argument

inf = float("inf")


@activation(ulp=(1.5, 1.5), range=(-1, inf), monotone=True, at={-inf: -1.0, 0.0: 0.0, inf: inf}, kinks={"0": "alpha"}, cost=0.23,
            formula="x if x > 0 else alpha * (exp(x) - 1)", numpy="np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))",
            differs="TensorFlow has no alpha and takes slope 1 at 0", source="Clevert et al. 2015, arXiv:1511.07289")
def elu(x, alpha=1.0):
    """Exponential linear unit, ``x if x > 0 else alpha * (exp(x) - 1)``.

    >>> fa.elu(np.array([-1.0, 0.0, 2.0]))
    array([-0.63212056,  0.        ,  2.        ])
    """
    return np.where(x > 0, x, alpha * np.expm1(x))

@elu.backward(ulp=(1.0, 1.0),
              cost=0.09, rules=("alpha >= 0",), instead="grad * np.where(x > 0, 1, alpha * np.exp(x)), which reads the input",
              formula="grad * (1 if y > 0 else y + alpha)", numpy="np.where(y > 0, grad, grad * (y + alpha))")
def elu_backward(grad, y, alpha=1.0):
    """Gradient of `elu`, ``grad * (1 if y > 0 else y + alpha)``.

    >>> fa.elu_backward(np.ones(3), np.array([-0.75, 0.0, 2.0]))
    array([0.25, 1.  , 1.  ])
    """
    return grad * np.where(y > 0, 1, y + alpha)


SELU_SCALE = "1.0507009873554804934193349852946"
SELU_SCALE_ALPHA = "1.7580993408473768599402175208123"


@activation(ulp=(2.5, 2.0), range=(-1.7580993408473768, inf), monotone=True, at={-inf: -1.7580993408473768, 0.0: 0.0, inf: inf},
            kinks={"0": "1.7580993408473768"}, cost=0.23, formula="scale * elu(x, alpha)",
            numpy="1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0)))",
            differs="TensorFlow takes slope 1.0507 at 0", source="Klambauer et al. 2017, arXiv:1706.02515")
def selu(x):
    """Scaled exponential linear unit, ``scale * elu(x, alpha)`` with scale = 1.0507... and alpha = 1.6732...

    >>> fa.selu(np.array([-1.0, 0.0, 2.0]))
    array([-1.11133074,  0.        ,  2.10140197])
    """
    return np.where(x > 0, constant(SELU_SCALE, x) * x, constant(SELU_SCALE_ALPHA, x) * np.expm1(x))

@selu.backward(ulp=(1.0, 1.0), cost=0.09, formula="grad * (scale if y > 0 else y + scale * alpha)",
               numpy="np.where(y > 0, 1.0507009873554805 * grad, grad * (y + 1.7580993408473768))")
def selu_backward(grad, y):
    """Gradient of `selu`, ``grad * (scale if y > 0 else y + scale * alpha)``.

    >>> fa.selu_backward(np.ones(3), np.array([-1.5, 0.0, 2.0]))
    array([0.25809934, 1.75809934, 1.05070099])
    """
    return grad * np.where(y > 0, constant(SELU_SCALE, y), y + constant(SELU_SCALE_ALPHA, y))


@activation(ulp=(2.5, 2.5), alias=("expit",), range=(0, 1), monotone=True, at={-inf: 0.0, 0.0: 0.5, inf: 1.0}, cost=0.28,
            formula="1 / (1 + exp(-x))", numpy="1 / (1 + np.exp(-x))", source="Verhulst 1838")
def sigmoid(x):
    """Logistic sigmoid, ``1 / (1 + exp(-x))``.

    >>> fa.sigmoid(np.array([-2.0, 0.0, 2.0]))
    array([0.11920292, 0.5       , 0.88079708])
    """
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)

@sigmoid.backward(ulp=(2.0, 2.0), cost=0.08, formula="grad * y * (1 - y)", numpy="grad * y * (1 - y)", limit="0 where y has rounded to 1")
def sigmoid_backward(grad, y):
    """Gradient of `sigmoid`, ``grad * y * (1 - y)``.

    >>> fa.sigmoid_backward(np.ones(3), np.array([0.0, 0.5, 0.75]))
    array([0.    , 0.25  , 0.1875])
    """
    return grad * y * (1 - y)


@activation(ulp=(2.5, 3.0),
            alias=("log_expit",), range=(-inf, 0), monotone=True, at={-inf: -inf, 0.0: -0.6931471805599453, inf: -0.0}, cost=0.61,
            formula="-log(1 + exp(-x))", numpy="-np.logaddexp(0, -x)", source="the log-likelihood of the logistic model")
def log_sigmoid(x):
    """Logarithm of the sigmoid, ``-log(1 + exp(-x))``.

    >>> fa.log_sigmoid(np.array([-2.0, 0.0, 2.0]))
    array([-2.12692801, -0.69314718, -0.12692801])
    """
    # negated as a whole: at +inf the limit of small negative numbers is -0, as it is where float32 underflows
    return -(np.maximum(-x, 0) + np.log1p(np.exp(-np.abs(x))))

@log_sigmoid.backward(ulp=(1.5, 3.5), cost=0.35, formula="grad * (1 - exp(y))", numpy="-grad * np.expm1(y)")
def log_sigmoid_backward(grad, y):
    """Gradient of `log_sigmoid`, ``grad * (1 - exp(y))``.

    >>> fa.log_sigmoid_backward(np.ones(3), np.array([-np.inf, -1.0, 0.0]))
    array([1.        , 0.63212056, 0.        ])
    """
    return grad * (0 - np.expm1(y))


@activation(ulp=(2.1, 4.0), range=(-1, 1), monotone=True, at={-inf: -1.0, 0.0: 0.0, inf: 1.0}, cost=0.3,
            formula="(exp(x) - exp(-x)) / (exp(x) + exp(-x))", numpy="np.tanh(x)", source="LeCun, Bottou, Orr and Mueller 1998")
def tanh(x):
    """Hyperbolic tangent, ``(exp(x) - exp(-x)) / (exp(x) + exp(-x))``.

    >>> fa.tanh(np.array([-1.0, 0.0, 1.0]))
    array([-0.76159416,  0.        ,  0.76159416])
    """
    return np.tanh(x)

@tanh.backward(ulp=(2.0, 2.0), cost=0.08, formula="grad * (1 - y) * (1 + y)", numpy="grad * (1 - y * y)", limit="0 where y is 1 or -1")
def tanh_backward(grad, y):
    """Gradient of `tanh`, ``grad * (1 - y) * (1 + y)``.

    >>> fa.tanh_backward(np.ones(3), np.array([-0.5, 0.0, 1.0]))
    array([0.75, 1.  , 0.  ])
    """
    return grad * (1 - y) * (1 + y)


@activation(ulp=(2.5, 4.0), range=(0, inf), monotone=True, at={-inf: 0.0, 0.0: 0.6931471805599453, inf: inf}, cost=0.5,
            rules=("beta > 0", "beta <= 1e30"), formula="log(1 + exp(beta * x)) / beta", numpy="np.logaddexp(0, beta * x) / beta",
            differs="PyTorch turns linear above beta * x = 20", source="Dugas et al. 2001")
def softplus(x, beta=1.0):
    """Smooth rectifier, ``log(1 + exp(beta * x)) / beta``. Exact for every x: there is no threshold.

    >>> fa.softplus(np.array([-2.0, 0.0, 2.0]))
    array([0.12692801, 0.69314718, 2.12692801])
    """
    t, error = exact_product(x, x.dtype.type(beta))
    e = np.exp(-np.abs(t))
    return np.maximum(x, 0) + np.log1p(np.where(t < 0, e + e * error, e - e * error)) / beta

@softplus.backward(ulp=(2.0, 3.5), cost=0.35, rules=("beta > 0", "beta <= 1e30"),
                   formula="grad * (1 - exp(-beta * y))", numpy="-grad * np.expm1(-beta * y)")
def softplus_backward(grad, y, beta=1.0):
    """Gradient of `softplus`, ``grad * (1 - exp(-beta * y))``.

    >>> fa.softplus_backward(np.ones(3), np.array([0.0, 1.0, np.inf]))
    array([0.        , 0.63212056, 1.        ])
    """
    return grad * (0 - np.expm1(-beta * y))


@activation(ulp=(2.5, 4.0), alias=("swish",), range=(-0.27846454276107380, inf), at={-inf: -0.0, 0.0: 0.0, inf: inf}, cost=0.33,
            rules=("beta >= -1e30", "beta <= 1e30"), formula="x * sigmoid(beta * x)", numpy="x / (1 + np.exp(-beta * x))",
            limit="-0 at -inf (other libraries give nan)",
            source="Elfwing, Uchibe and Doya 2017, arXiv:1702.03118; beta: Ramachandran et al. 2017, arXiv:1710.05941")
def silu(x, beta=1.0):
    """Sigmoid linear unit, ``x * sigmoid(beta * x)``; beta = 1.702 approximates `gelu`.

    >>> fa.silu(np.array([-2.0, 0.0, 2.0]))
    array([-0.23840584,  0.        ,  1.76159416])
    """
    return gated(x, *scaled(x, beta))

@silu.backward(ulp=(3.5, 4.0), cost=0.49, rules=("beta >= -1e30", "beta <= 1e30"),
               formula="grad * s * (1 + beta * x * (1 - s)), s = sigmoid(beta * x)",
               numpy="grad * (s := 1 / (1 + np.exp(-beta * x))) * (1 + beta * x * (1 - s))", limit="slope 0 at -inf, 1 at inf")
def silu_backward(grad, x, beta=1.0):
    """Gradient of `silu`, ``grad * s * (1 + beta * x * (1 - s))`` with s = sigmoid(beta * x).

    >>> fa.silu_backward(np.ones(3), np.array([-2.0, 0.0, 2.0]))
    array([-0.09078425,  0.5       ,  1.09078425])
    """
    t, error = scaled(x, beta)
    return grad * gated_slope(t, t, error)


# NumPy has no erf: who has NumPy alone takes the tanh form for gelu itself, and so it is the baseline of both.
TANH_FORM = "np.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))"
TANH_SLOPE = f"0.5 * grad * (1 + (t := {TANH_FORM}) + x * (1 - t * t) * (0.7978845608028654 + 0.10703222440890037 * x * x))"


@activation(ulp=(4.5, 4.0), range=(-0.16997120747990367, inf), at={-inf: -0.0, 0.0: 0.0, inf: inf}, cost=0.71,
            formula="x * (1 + erf(x / sqrt(2))) / 2", numpy=f"0.5 * x * (1 + {TANH_FORM})", differs="JAX: the tanh form",
            limit="-0 at -inf (other libraries give nan)", source="Hendrycks and Gimpel 2016, arXiv:1606.08415")
def gelu(x):
    """Gaussian error linear unit, ``x * (1 + erf(x / sqrt(2))) / 2``, computed by erfc: right in the far tail too.

    >>> fa.gelu(np.array([-1.0, 0.0, 1.0]))
    array([-0.15865525,  0.        ,  0.84134475])
    """
    return normal_cdf(x, np.maximum(x, -200))

@gelu.backward(ulp=(4.0, 3.5), cost=0.67, formula="grad * (cdf(x) + x * pdf(x))", numpy=TANH_SLOPE, limit="slope 0 at -inf, 1 at inf")
def gelu_backward(grad, x):
    """Gradient of `gelu`, ``grad * (cdf(x) + x * pdf(x))`` of the normal distribution.

    >>> fa.gelu_backward(np.ones(3), np.array([-1.0, 0.0, 1.0]))
    array([-0.08331547,  0.5       ,  1.08331547])
    """
    x = np.clip(x, -200, 200)
    return grad * (normal_cdf(x, np.ones_like(x)) + normal_pdf(x, x))


@activation(ulp=(2.5, 3.5), range=(-0.17004075057125405, inf), at={-inf: -0.0, 0.0: 0.0, inf: inf}, cost=0.56,
            formula="x * (1 + tanh(u)) / 2, u = sqrt(2 / pi) * (x + 0.044715 * x**3)", numpy=f"0.5 * x * (1 + {TANH_FORM})",
            limit="-0 at -inf (other libraries give nan)", source="Hendrycks and Gimpel 2016, arXiv:1606.08415")
def gelu_tanh(x):
    """Gelu by tanh, ``x * (1 + tanh(u)) / 2`` with u = sqrt(2 / pi) * (x + 0.044715 * x**3).

    >>> fa.gelu_tanh(np.array([-1.0, 0.0, 1.0]))
    array([-0.15880801,  0.        ,  0.84119199])
    """
    return gated(x, *tanh_argument(np.clip(x, -100, 100)))

@gelu_tanh.backward(ulp=(4.5, 4.0), cost=0.81, formula="grad * s * (1 + 2 * x * du * (1 - s)), s = sigmoid(2 * u)", numpy=TANH_SLOPE,
                    limit="slope 0 at -inf, 1 at inf")
def gelu_tanh_backward(grad, x):
    """Gradient of `gelu_tanh`, ``grad * s * (1 + 2 * x * du * (1 - s))`` with s = sigmoid(2 * u) and du the derivative of u.

    >>> fa.gelu_tanh_backward(np.ones(3), np.array([-1.0, 0.0, 1.0]))
    array([-0.08296408,  0.5       ,  1.08296408])
    """
    x = np.clip(x, -100, 100)
    slope = constant("1.5957691216057307117597842397375274739", x) * (1 + 3 * constant("0.044715", x) * x * x)
    return grad * gated_slope(x * slope, *tanh_argument(x))


@activation(ulp=(3.0, 3.0),
            range=(-0.30884341301725041, inf), at={-inf: -0.0, 0.0: 0.0, inf: inf}, cost=0.41, formula="x * tanh(softplus(x))",
            numpy="x * np.tanh(np.log1p(np.exp(x)))", limit="-0 at -inf (other libraries give nan)", source="Misra 2019, arXiv:1908.08681")
def mish(x):
    """Mish, ``x * tanh(softplus(x))``.

    >>> fa.mish(np.array([-2.0, 0.0, 2.0]))
    array([-0.25250148,  0.        ,  1.94395896])
    """
    root = np.exp(-np.abs(x) / 2)
    e = root * root
    below = np.maximum(x, -12000) * root * (e + 2) / (e * (e + 2) + 2) * root
    return np.where(x < 0, below, x * (1 + 2 * e) / (1 + 2 * e + 2 * e * e))

@mish.backward(ulp=(3.5, 3.0), cost=0.57, formula="grad * (t + x * (1 - t * t) * sigmoid(x)), t = tanh(softplus(x))",
               numpy="grad * ((t := np.tanh(np.log1p(np.exp(x)))) + x * (1 - t * t) / (1 + np.exp(-x)))",
               limit="slope 0 at -inf, 1 at inf")
def mish_backward(grad, x):
    """Gradient of `mish`, ``grad * (t + x * (1 - t * t) * sigmoid(x))`` with t = tanh(softplus(x)).

    >>> fa.mish_backward(np.ones(3), np.array([-2.0, 0.0, 2.0]))
    array([-0.10835509,  0.6       ,  1.06931793])
    """
    x = np.clip(x, -12000, 12000)
    root = np.exp(-np.abs(x) / 2)
    e = root * root
    n, d = e * (e + 2) + 2, 1 + 2 * e + 2 * e * e
    below = root * ((e + 2) / n + 4 * x * (1 + e) / n**2) * root
    return grad * np.where(x < 0, below, (1 + 2 * e) / d + 4 * x * e * e * (1 + e) / d**2)


silence("activations")
