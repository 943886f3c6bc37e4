"""Page piecewise: the elementwise functions made of straight pieces or simple rationals, without an exponential, forward and backward.

They are in plain NumPy, with the facts known about them; a gradient is ``grad * slope``, in which nan stays nan.
"""
# fmt: off  (the facts read as a table: several to a line)

import numpy as np

from ..register import piecewise
from .special import silence

inf = float("inf")


@piecewise(range=(0, inf), monotone=True, at={-inf: 0.0, 0.0: 0.0, inf: inf}, kinks={"0": "0"}, cost=0.06, ulp=(0.0, 0.0),
           formula="max(x, 0)", numpy="np.maximum(x, 0)", limit="-0 gives +0", source="Fukushima 1969; Nair and Hinton 2010")
def relu(x):
    """Rectified linear unit, ``max(x, 0)``.

    >>> fa.relu(np.array([-2.0, 0.0, 3.0]))
    array([0., 0., 3.])
    """
    return np.where((x > 0) | np.isnan(x), x, 0)

@relu.backward(ulp=(0.0, 0.0), cost=0.08, formula="grad * (y > 0)", numpy="grad * (y > 0)")
def relu_backward(grad, y):
    """Gradient of `relu`, ``grad * (y > 0)``.

    >>> fa.relu_backward(np.array([1.0, 1.0, 5.0]), np.array([0.0, 2.0, 3.0]))
    array([0., 1., 5.])
    """
    return grad * np.where(y > 0, 1, np.where(y <= 0, 0, y))


@piecewise(ulp=(0.5, 0.5), monotone=True, at={-inf: -inf, 0.0: 0.0, inf: inf}, kinks={"0": "negative_slope"}, cost=0.06,
           formula="x if x > 0 else negative_slope * x", numpy="np.where(x > 0, x, negative_slope * x)",
           differs="Keras and TensorFlow default to 0.2", source="Maas, Hannun and Ng 2013")
def leaky_relu(x, negative_slope=0.01):
    """Leaky rectified linear unit, ``x if x > 0 else negative_slope * x``, for slopes below 0 and above 1 too.

    >>> fa.leaky_relu(np.array([-2.0, 0.0, 3.0]), 0.25)
    array([-0.5,  0. ,  3. ])
    """
    return np.where(x > 0, x, negative_slope * x)

@leaky_relu.backward(ulp=(0.5, 0.5),
                     cost=0.08, rules=("negative_slope >= 0",), instead="prelu_backward(grad, x, weight), which reads the input",
                     formula="grad * (1 if y > 0 else negative_slope)", numpy="np.where(y > 0, grad, negative_slope * grad)")
def leaky_relu_backward(grad, y, negative_slope=0.01):
    """Gradient of `leaky_relu`, ``grad * (1 if y > 0 else negative_slope)``.

    >>> fa.leaky_relu_backward(np.ones(3), np.array([-0.5, 0.0, 3.0]), 0.25)
    array([0.25, 0.25, 1.  ])
    """
    return grad * np.where(y > 0, 1, np.where(y <= 0, negative_slope, y))


@piecewise(ulp=(1.5, 1.5), range=(0, 1), monotone=True, at={-inf: 0.0, 0.0: 0.5, inf: 1.0}, kinks={"-3": "0", "3": "0"}, cost=0.08,
           formula="min(max((x + 3) / 6, 0), 1)", numpy="np.clip((x + 3) / 6, 0, 1)", differs="ONNX and Thinc use 0.2 * x + 0.5",
           source="Courbariaux et al. 2015, arXiv:1511.00363; Howard et al. 2019, arXiv:1905.02244")
def hard_sigmoid(x):
    """Piecewise linear sigmoid, ``min(max((x + 3) / 6, 0), 1)``.

    >>> fa.hard_sigmoid(np.array([-4.0, 0.0, 1.5]))
    array([0.  , 0.5 , 0.75])
    """
    return np.clip((x + 3) / 6, 0, 1)

@hard_sigmoid.backward(ulp=(0.5, 0.5), cost=0.08, formula="grad / 6 if 0 < y < 1 else 0", numpy="grad * ((y > 0) & (y < 1)) / 6")
def hard_sigmoid_backward(grad, y):
    """Gradient of `hard_sigmoid`, ``grad / 6 if 0 < y < 1 else 0``.

    >>> fa.hard_sigmoid_backward(np.full(3, 6.0), np.array([0.0, 0.5, 1.0]))
    array([0., 1., 0.])
    """
    return grad * np.where((y > 0) & (y < 1), 1, np.where(np.isnan(y), y, 0)) / 6


@piecewise(range=(-1, 1), monotone=True, at={-inf: -1.0, 0.0: 0.0, inf: 1.0}, kinks={"min_val": "0", "max_val": "0"}, cost=0.06,
           rules=("min_val <= max_val",), formula="min(max(x, min_val), max_val)", numpy="np.clip(x, min_val, max_val)",
           ulp=(0.0, 0.0), differs="JAX takes slope 1 at the bounds", source="Collobert 2004")
def hard_tanh(x, min_val=-1.0, max_val=1.0):
    """Piecewise linear tanh, ``min(max(x, min_val), max_val)``.

    >>> fa.hard_tanh(np.array([-4.0, 0.5, 2.0]))
    array([-1. ,  0.5,  1. ])
    """
    return np.where(x < min_val, min_val, np.where(x > max_val, max_val, x))

@hard_tanh.backward(ulp=(0.0, 0.0), cost=0.08, rules=("min_val <= max_val",), formula="grad if min_val < y < max_val else 0",
                    numpy="grad * ((y > min_val) & (y < max_val))")
def hard_tanh_backward(grad, y, min_val=-1.0, max_val=1.0):
    """Gradient of `hard_tanh`, ``grad if min_val < y < max_val else 0``.

    >>> fa.hard_tanh_backward(np.ones(3), np.array([-1.0, 0.5, 1.0]))
    array([0., 1., 0.])
    """
    return grad * np.where((y > min_val) & (y < max_val), 1, np.where(np.isnan(y), y, 0))


@piecewise(ulp=(1.5, 1.5), range=(-1, 1), monotone=True, at={-inf: -1.0, 0.0: 0.0, inf: 1.0}, cost=0.12, formula="x / (1 + abs(x))",
           numpy="x / (1 + np.abs(x))", limit="-1 and 1 at -inf and inf (other libraries give nan)", source="Turian et al. 2009")
def softsign(x):
    """Softsign, ``x / (1 + abs(x))``.

    >>> fa.softsign(np.array([-3.0, 0.0, 1.0]))
    array([-0.75,  0.  ,  0.5 ])
    """
    return np.where(np.isinf(x), np.sign(x), x / (1 + np.abs(x)))

@softsign.backward(ulp=(2.5, 2.5), cost=0.08, formula="grad * (1 - abs(y))**2", numpy="grad * (1 - np.abs(y)) ** 2")
def softsign_backward(grad, y):
    """Gradient of `softsign`, ``grad * (1 - abs(y))**2``.

    >>> fa.softsign_backward(np.ones(3), np.array([-0.75, 0.0, 0.5]))
    array([0.0625, 1.    , 0.25  ])
    """
    return grad * (1 - np.abs(y)) ** 2


@piecewise(ulp=(2.5, 2.5), alias=("hard_silu",), range=(-0.375, inf), at={-inf: -0.0, 0.0: 0.0, inf: inf}, kinks={"-3": "0", "3": "1"},
           cost=0.09, formula="x * min(max((x + 3) / 6, 0), 1)", numpy="x * np.clip((x + 3) / 6, 0, 1)",
           limit="-0 at -inf (other libraries give nan)", differs="Thinc: gate 0.2 * x + 0.5",
           source="Howard et al. 2019, arXiv:1905.02244")
def hard_swish(x):
    """Piecewise quadratic silu, ``x * min(max((x + 3) / 6, 0), 1)``.

    >>> fa.hard_swish(np.array([-1.5, 0.0, 3.0]))
    array([-0.375,  0.   ,  3.   ])
    """
    return np.maximum(x, -3) * np.clip((x + 3) / 6, 0, 1)

@hard_swish.backward(ulp=(1.5, 1.5), cost=0.1, formula="grad * (0 if x <= -3 else 1 if x >= 3 else (2 * x + 3) / 6)",
                     numpy="grad * np.where(x <= -3, 0, np.where(x >= 3, 1, x / 3 + 0.5))")
def hard_swish_backward(grad, x):
    """Gradient of `hard_swish`, ``grad * (0 if x <= -3 else 1 if x >= 3 else (2 * x + 3) / 6)``.

    >>> fa.hard_swish_backward(np.ones(3), np.array([-3.0, 0.0, 1.5]))
    array([0. , 0.5, 1. ])
    """
    return grad * np.where(x <= -3, 0, np.where(x >= 3, 1, (2 * x + 3) / 6))


@piecewise(range=(0, 1), monotone=True, at={-inf: 0.0, 0.0: 1.0, inf: 1.0}, kinks={"threshold": "0"}, cost=0.06, ulp=(0.0, 0.0),
           formula="1 if x >= threshold else 0", numpy="(x >= threshold).astype(x.dtype)", source="McCulloch and Pitts 1943")
def step(x, threshold=0.0):
    """Step, ``1 if x >= threshold else 0``: the neuron of McCulloch and Pitts.

    >>> fa.step(np.array([-2.0, 0.0, 3.0]))
    array([0., 1., 1.])
    """
    return np.where(x >= threshold, 1, np.where(np.isnan(x), x, 0))

@step.backward(ulp=(0.0, 0.0), cost=0.08, formula="0", numpy="np.zeros_like(grad)")
def step_backward(grad, x, threshold=0.0):
    """Gradient of `step`, 0: the function is flat, and at the threshold 0 is taken.

    >>> fa.step_backward(np.ones(3), np.array([-2.0, 0.0, 3.0]))
    array([0., 0., 0.])
    """
    return grad * np.where(np.isnan(x), x, 0)


silence("piecewise")
