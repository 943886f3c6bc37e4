"""The smooth activations as scalars, each forward followed by its backward: grad times the derivative at the saved y or x.

Long ones stand in two stages, which the kernels run one after the other over a block: `_begin` gives two numbers, as a rule the parts
of an exponential, of which `_end` makes the result.

Branch-free; a nan input or saved value gives nan. Kinks and limits are those of the reference page.
"""

from fastact.numba_kernels.bits import SINGLE, by_sign, flip, fma, head, magnitude, power, product_rest, real, scalar, with_sign
from fastact.numba_kernels.primitives import (
    at_least,
    at_most,
    clamp,
    exp_even_odd,
    exp_parts,
    expm1_core,
    expm1_negative,
    expm1_ratio,
    gate_begin,
    gate_end,
    gelu_tanh_core,
    gelu_tanh_nearest,
    gelu_tanh_product,
    log1p_exp_begin,
    log1p_exp_end,
    lowered,
    mills_base,
    mills_rest,
    minus_ln2,
    minus_ln2_once,
    nearest,
    raised,
    raised_exp,
    raised_gate_ratio,
    raised_gauss,
    raised_parts,
    whole,
)


@scalar
def elu(x, alpha):
    y = expm1_negative(alpha, x)
    return y if x < real(0) else x


@scalar
def elu_backward(grad, y, alpha):
    return grad * (real(1) if y > real(0) else y + alpha)


@scalar
def selu(x):
    y = expm1_negative(real(1.7580993408473768), x)
    return y if x < real(0) else x * real(1.0507009873554805)


@scalar
def selu_backward(grad, y):
    return grad * (real(1.0507009873554805) if y > real(0) else y + real(1.7580993408473768))


@scalar
def sigmoid_begin(x):
    if SINGLE:
        return exp_parts(clamp(-x, real(-20), real(105)), real(0), -24)  # LLVM makes no max and min of a clamp that is negated
    else:
        z = clamp(x, real(-746), real(40))
        t = nearest(-z, -64)
        return minus_ln2(z, -whole(t, -64)), power(t)


@scalar
def sigmoid_end(x, r, s):
    # float32: c / (c + c e**-x); float64: (a + b) / ((a + b) + 2**n (a - b)), scaled down so that every subnormal result is reached.
    if SINGLE:
        return real(5.960464477539063e-08) / (s + fma(r, s, real(5.960464477539063e-08)))
    else:
        a, b = exp_even_odd(r)
        num = (a + b) * real(5.421010862427522e-20)
        return num / fma(s, a - b, num)


@scalar
def sigmoid(x):
    return sigmoid_end(x, *sigmoid_begin(x))


@scalar
def sigmoid_backward(grad, y):
    return grad * (y * (real(1) - y))


@scalar
def log_sigmoid_begin(x):
    q = log1p_exp_begin(at_most(magnitude(x), real(110 if SINGLE else 768)), real(0))
    return q, q


@scalar
def log_sigmoid_end(x, u, v):
    return at_most(x, real(-0.0)) - log1p_exp_end(u)


@scalar
def log_sigmoid(x):
    return log_sigmoid_end(x, *log_sigmoid_begin(x))


@scalar
def log_sigmoid_backward(grad, y):
    d = expm1_ratio(y)
    return grad * (real(0) - (d if y < real(0) else y))


@scalar
def tanh_begin(x):
    z = at_most(magnitude(x), real(9.2 if SINGLE else 20))
    z = -(z + z)
    t = nearest(z, 0)
    return minus_ln2_once(z, whole(t, 0)), power(t)


@scalar
def tanh_end(x, r, s):
    # (1 - e) / (1 + e), e = e**(-2 abs(x)). float32: e = s + p s, which is rounded in neither; float64: e = s (a + b) / (a - b).
    if SINGLE:
        p = expm1_core(r)
        y = fma(p, -s, real(1) - s) / fma(p, s, real(1) + s)
    else:
        a, b = exp_even_odd(r)
        y = fma(-b, real(1) + s, a * (real(1) - s)) / fma(a, real(1) + s, -b * (real(1) - s))
    y = with_sign(y, x)
    return y if x == x else x


@scalar
def tanh(x):
    return tanh_end(x, *tanh_begin(x))


@scalar
def tanh_backward(grad, y):
    return grad * ((real(1) - y) * (real(1) + y))


@scalar
def softplus_begin(x, beta):
    a = at_most(magnitude(x), real(110 if SINGLE else 768) / beta)
    z = beta * a
    q = log1p_exp_begin(z, product_rest(beta, a, z))
    return q, q


@scalar
def softplus_end(x, beta, u, v):
    return at_least(x, real(-0.0)) + log1p_exp_end(u) * (real(1) / beta)


@scalar
def softplus(x, beta):
    return softplus_end(x, beta, *softplus_begin(x, beta))


@scalar
def softplus_backward(grad, y, beta):
    z = beta * -y
    e = expm1_ratio(z)
    return grad * (real(0) - (e if z < real(0) else z))


@scalar
def silu_floor(x, b):
    # x where b x is no less than the domain of the gate.
    return at_least(x, real(-131 if SINGLE else -880) / b)


@scalar
def silu_begin(x, beta):
    b = magnitude(beta)
    c = silu_floor(flip(x, beta), b)
    z = b * c
    return gate_begin(z, product_rest(b, c, z))


@scalar
def silu_end(x, beta, r, s):
    b = magnitude(beta)
    x = flip(x, beta)
    y = gate_end(silu_floor(x, b), r, s)
    return flip(y if x < real(20 if SINGLE else 40) / b else x, beta)


@scalar
def silu(x, beta):
    return silu_end(x, beta, *silu_begin(x, beta))


@scalar
def silu_size(x, b):
    # abs(x), no more than what keeps b abs(x) in the domain of the exponential.
    return at_most(magnitude(x), real(110 if SINGLE else 768) / b)


@scalar
def silu_backward_begin(grad, x, beta):
    b = magnitude(beta)
    a = silu_size(x, b)
    z = b * a
    return raised_parts(-z, product_rest(b, a, z))


@scalar
def silu_backward_end(grad, x, beta, p, s):
    # At -a the derivative is s (1 - a + a s), s = sigmoid(-a) = q - q s with q = e**-a; at a it is one minus that.
    b = magnitude(beta)
    z = b * silu_size(x, b)
    if SINGLE:
        e = fma(p, s, s) / (s + fma(p, s, raised(real(1))))
        d = fma(e, z, real(1) - z) * s
        d = fma(p, d, d)
        d = lowered(fma(-d, e, d))
    else:
        s = raised_gate_ratio(p, s)
        d = lowered(s * fma(lowered(s), z, real(1) - z))
    d = d if flip(x, beta) < real(0) else real(1) - d
    return grad * (d if x == x else x)


@scalar
def silu_backward(grad, x, beta):
    return silu_backward_end(grad, x, beta, *silu_backward_begin(grad, x, beta))


@scalar
def gelu(x):
    a = at_most(magnitude(x), real(14.9 if SINGLE else 38.9))
    e = raised_gauss(a, a)
    return at_least(x, real(-0.0)) - fma(e, mills_rest(a), e) / mills_base(a)


@scalar
def gelu_backward(grad, x):
    # At -a the derivative is e**(-a*a/2) (R - a / sqrt(2 pi)), R = Phi(-a) e**(a*a/2); at a it is one minus that.
    a = at_most(magnitude(x), real(14.9 if SINGLE else 38.9))
    r = raised(real(1) + mills_rest(a)) / mills_base(a)
    d = lowered(raised_gauss(fma(a, real(-0.3989422804014327), r), a))
    d = d if x < real(0) else real(1) - d
    return grad * (d if x == x else x)


@scalar
def gelu_tanh_floor(x):
    # x, no less than where the result is 0.
    return at_least(x, real(-10.9 if SINGLE else -21.9))


@scalar
def gelu_tanh_begin(x):
    z = gelu_tanh_floor(x)
    if SINGLE:
        t = gelu_tanh_nearest(z, -32)
        return gelu_tanh_core(z, whole(t, -32)), power(t)
    else:
        return gate_begin(*gelu_tanh_product(z))


@scalar
def gelu_tanh_end(x, p, s):
    if SINGLE:
        y = gelu_tanh_floor(x) / (s + fma(p, s, real(2.3283064365386963e-10))) * real(2.3283064365386963e-10)
    else:
        y = gate_end(gelu_tanh_floor(x), p, s)
    return y if x < real(8) else x


@scalar
def gelu_tanh(x):
    return gelu_tanh_end(x, *gelu_tanh_begin(x))


@scalar
def gelu_tanh_size(x):
    # abs(x), no more than where the derivative is 0 or 1.
    return at_most(magnitude(x), real(10.9 if SINGLE else 21.7))


@scalar
def gelu_tanh_backward_begin(grad, x):
    a = gelu_tanh_size(x)
    if SINGLE:
        t = gelu_tanh_nearest(a, 64)
        p = gelu_tanh_core(a, whole(t, 64))
    else:
        a, low = gelu_tanh_product(-a)
        t = nearest(a, 128)
        p = expm1_core(minus_ln2(a, whole(t, 128)) + low)
    return p, power(t)


@scalar
def gelu_tanh_backward_end(grad, x, p, s):
    # As silu_backward with z = w(a) in the exponential and z = a w'(a) in the factor, whose rounding is kept.
    a = gelu_tanh_size(x)
    e = fma(p, s, s) / fma(p, s, s + raised(real(1)))
    h = head(a)
    w = fma((a - h) * (a + h), real(0.21406444881780074), real(1.5957691216057308))
    w = fma(h * h, real(0.21406444881780074), w)
    h = fma(-a, w, real(1))
    h = h + fma(e, a * w, fma(-a, w, real(1) - h))
    s = h * s
    d = fma(p, s, s)
    d = lowered(fma(-d, e, d))
    d = d if x < real(0) else real(1) - d
    return grad * (d if x == x else x)


@scalar
def gelu_tanh_backward(grad, x):
    return gelu_tanh_backward_end(grad, x, *gelu_tanh_backward_begin(grad, x))


@scalar
def mish_begin(x):
    z = at_least(x, real(-110 if SINGLE else -768))
    e = lowered(raised_exp(real(1), z, real(0)))
    return e, (lowered(raised_exp(z, z, real(0))) if x < real(-0.2) else z)


@scalar
def mish_end(x, e, base):
    # n / (n + 2), n = e (e + 2), as e - e (e + e*e) / (n + 2) for x < -0.2 and 1 - 2 / (n + 2) above, which there cancels little.
    num = fma(e, e, e) if x < real(-0.2) else real(2)
    y = fma(-base, num / fma(e, e, fma(e, real(2), real(2))), base)
    return with_sign(y, x) if x < real(20) else x


@scalar
def mish(x):
    return mish_end(x, *mish_begin(x))


@scalar
def mish_size(x):
    # abs(x), no more than where the derivative is 0 or 1.
    return at_most(magnitude(x), real(110 if SINGLE else 768))


@scalar
def mish_backward_begin(grad, x):
    a = mish_size(x)
    q = lowered(raised_exp(real(1), -a, real(0)))
    return q, (lowered(raised_exp(real(1) - a, -a, real(0))) if x < real(0) else real(1))


@scalar
def mish_backward_end(grad, x, q, first):
    # With q = e**-abs(x) the derivative is a simple first term and a correction q*q r (x r p + c), where
    # for x < 0: r = 1 / (2 + 2 q + q*q), p = -(4 + 8 q + 4 q*q + q**3), c = -(1 + q); above: r = 1 / (1 + 2 q + 2 q*q),
    # p = 4 (1 + q), c = -2.
    z = with_sign(mish_size(x), x)
    r = real(1) / by_sign(x, fma(q, q + real(2), real(2)), fma(q + q, q + real(1), real(1)))
    p = -fma(fma(q + real(4), q, real(8)), q, real(4)) if x < real(0) else fma(q, real(4), real(4))
    c = real(-1) - q if x < real(0) else real(-2)
    d = fma(q * q * r, fma(z * r, p, c), first)
    return grad * (d if x == x else x)


@scalar
def mish_backward(grad, x):
    return mish_backward_end(grad, x, *mish_backward_begin(grad, x))
