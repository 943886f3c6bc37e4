# cython: language_level=3, cdivision=True
# The elementwise activations as scalars, each forward followed by its backward: grad times the derivative at the saved y or x.
# Branch-free; a nan input or saved value gives nan. Kinks and limits are those of the reference page.

from fastact.cython_kernels.bits cimport by_sign, flip, fma, head, magnitude, power, product_rest, real, with_sign
from fastact.cython_kernels.primitives cimport (
    at_least, at_most, clamp, exp_even, exp_odd, expm1_core, expm1_negative, gate, gelu_tanh_core, gelu_tanh_head,
    gelu_tanh_nearest, gelu_tanh_rest, log1p_exp, lowered, mills_base, mills_rest, minus_ln2, minus_ln2_once, nearest, raised,
    raised_exp, raised_exp_plus_1, raised_gauss, scaled_exp_plus, whole,
)


cdef inline real relu(real x) noexcept nogil:
    return <real>0 if x <= <real>0 else x

cdef inline real relu_backward(real grad, real y) noexcept nogil:
    return grad * (<real>1 if y > <real>0 else (<real>0 if y <= <real>0 else y))


cdef inline real leaky_relu(real x, real negative_slope) noexcept nogil:
    return x if x > <real>0 else x * negative_slope

cdef inline real leaky_relu_backward(real grad, real y, real negative_slope) noexcept nogil:
    return grad * (<real>1 if y > <real>0 else (negative_slope if y <= <real>0 else y))


cdef inline real elu(real x, real alpha) noexcept nogil:
    cdef real y
    y = expm1_negative(alpha, x)
    return y if x < <real>0 else x

cdef inline real elu_backward(real grad, real y, real alpha) noexcept nogil:
    return grad * (<real>1 if y > <real>0 else y + alpha)


cdef inline real selu(real x) noexcept nogil:
    cdef real y
    y = expm1_negative(<real>1.7580993408473768, x)
    return y if x < <real>0 else x * <real>1.0507009873554805

cdef inline real selu_backward(real grad, real y) noexcept nogil:
    return grad * (<real>1.0507009873554805 if y > <real>0 else y + <real>1.7580993408473768)


cdef inline real sigmoid(real x) noexcept nogil:
    # float32: c / (c + c e**-x); float64: (A + B) / ((A + B) + 2**n (A - B)), scaled down so that every subnormal result is reached.
    cdef real z, t, r, v, num
    if real is float:
        z = clamp(x, <real>-105, <real>20)
        return <real>5.960464477539063e-08 / scaled_exp_plus(-z, <real>0, -24, <real>5.960464477539063e-08)
    else:
        z = clamp(x, <real>-746, <real>40)
        t = nearest(-z, -64)
        r = minus_ln2(z, -whole(t, -64))
        v = r * r
        r = exp_odd(r, v)
        v = exp_even(v)
        num = (v + r) * <real>5.421010862427522e-20
        return num / fma(power(t), v - r, num)

cdef inline real sigmoid_backward(real grad, real y) noexcept nogil:
    return grad * (y * (<real>1 - y))


cdef inline real log_sigmoid(real x) noexcept nogil:
    cdef real a
    a = magnitude(x)
    if real is float:
        a = at_most(a, <real>110)
    else:
        a = at_most(a, <real>768)
    return (<real>-0.0 if x > <real>0 else x) - log1p_exp(a, <real>0)

cdef inline real log_sigmoid_backward(real grad, real y) noexcept nogil:
    cdef real d
    d = expm1_negative(<real>1, y)
    return grad * (<real>0 - (d if y < <real>0 else y))


cdef inline real tanh(real x) noexcept nogil:
    # float32: 1 - 2/(e**2a + 1) or, for small a, a - a**3/Q by one division; float64: q/(q + 2), q = expm1(2a).
    cdef real a, t, r, v, s, small, num, den, y
    a = magnitude(x)
    if real is float:
        t = nearest(-(a + a), 0)
        r = fma(whole(t, 0), <real>0.3465735912322998, a)
        v = r * r
        r = r * fma(<real>0.11341993510723114, v, <real>1.703125)
        v = fma(<real>0.6811279058456421, v, <real>1.703125)
        s = power(t) * (v - r)
        small = a - <real>0.74
        den = v + r + s
        v = a * a
        num = by_sign(small, a * v, s + s)
        den = by_sign(small, fma(fma(<real>-0.005459171254187822, v, <real>1.1999224424362183), v, <real>3.0000064373016357), den)
        y = num / den
        y = <real>0 if a > <real>9.1 else y
        y = by_sign(small, a, <real>1) - y
    else:
        t = nearest(a + a, 0)
        s = power(t)
        r = fma(expm1_core(minus_ln2_once(a + a, whole(t, 0))), s, s - <real>1)
        y = r / (r + <real>2)
        y = <real>1 if a > <real>19.1 else y
    return with_sign(y, x)

cdef inline real tanh_backward(real grad, real y) noexcept nogil:
    return grad * ((<real>1 - y) * (<real>1 + y))


cdef inline real hard_sigmoid(real x) noexcept nogil:
    cdef real y
    y = (x + <real>3) * <real>0.16666666666666666
    y = <real>0 if y < <real>0 else y
    return <real>1 if y > <real>1 else y

cdef inline real hard_sigmoid_backward(real grad, real y) noexcept nogil:
    cdef real d
    d = <real>0.16666666666666666 if y > <real>0 else (<real>0 if y <= <real>0 else y)
    return grad * (<real>0 if y >= <real>1 else d)


cdef inline real hard_tanh(real x, real min_val, real max_val) noexcept nogil:
    cdef real y
    y = min_val if x < min_val else x
    return max_val if y > max_val else y

cdef inline real hard_tanh_backward(real grad, real y, real min_val, real max_val) noexcept nogil:
    cdef real d
    d = <real>1 if y > min_val else (<real>0 if y <= min_val else y)
    return grad * (<real>0 if y >= max_val else d)


cdef inline real softplus(real x, real beta) noexcept nogil:
    cdef real a, z
    a = magnitude(x)
    if real is float:
        a = at_most(a, <real>110 / beta)
    else:
        a = at_most(a, <real>768 / beta)
    z = beta * a
    return (<real>-0.0 if x < <real>0 else x) + log1p_exp(z, product_rest(beta, a, z)) * (<real>1 / beta)

cdef inline real softplus_backward(real grad, real y, real beta) noexcept nogil:
    cdef real z
    z = beta * -y
    return grad * (<real>0 - (expm1_negative(<real>1, z) if z < <real>0 else z))


cdef inline real softsign(real x) noexcept nogil:
    cdef real a
    a = magnitude(x)
    return with_sign(<real>1 if a > <real>1e18 else a / (<real>1 + a), x)

cdef inline real softsign_backward(real grad, real y) noexcept nogil:
    cdef real c
    c = <real>1 - magnitude(y)
    return grad * (c * c)


cdef inline real silu(real x, real beta) noexcept nogil:
    cdef real b, c, z, high, y
    b = magnitude(beta)
    x = flip(x, beta)
    if real is float:
        c = at_least(x, <real>-131 / b)
        high = <real>20 / b
    else:
        c = at_least(x, <real>-880 / b)
        high = <real>40 / b
    z = b * c
    y = gate(c, z, product_rest(b, c, z))
    return flip(y if x < high else x, beta)

cdef inline real silu_backward(real grad, real x, real beta) noexcept nogil:
    # At -a the derivative is s (1 - a + a s), s = sigmoid(-a) = q - q s with q = e**-a; at a it is one minus that.
    cdef real b, a, z, low, e, d
    b = magnitude(beta)
    x = flip(x, beta)
    a = magnitude(x)
    if real is float:
        a = at_most(a, <real>110 / b)
    else:
        a = at_most(a, <real>768 / b)
    z = b * a
    low = product_rest(b, a, z)
    e = raised_exp(<real>1, -z, low) / raised_exp_plus_1(-z, low)
    d = raised_exp(fma(e, z, <real>1 - z), -z, low)
    d = lowered(fma(-d, e, d))
    d = d if x < <real>0 else <real>1 - d
    return grad * (d if x == x else x)


cdef inline real hard_swish(real x) noexcept nogil:
    cdef real y
    y = (x + <real>3) * <real>0.16666666666666666
    y = x * (<real>1 if y > <real>1 else y)
    return <real>-0.0 if x <= <real>-3 else y

cdef inline real hard_swish_backward(real grad, real x) noexcept nogil:
    cdef real d
    d = (x + x + <real>3) * <real>0.16666666666666666
    d = <real>0 if x <= <real>-3 else d
    return grad * (<real>1 if x >= <real>3 else d)


cdef inline real gelu(real x) noexcept nogil:
    cdef real a, e
    a = magnitude(x)
    if real is float:
        a = at_most(a, <real>14.9)
    else:
        a = at_most(a, <real>38.9)
    e = raised_gauss(a, a)
    return (<real>-0.0 if x < <real>0 else x) - fma(e, mills_rest(a), e) / mills_base(a)

cdef inline real gelu_backward(real grad, real x) noexcept nogil:
    # At -a the derivative is e**(-a*a/2) (R - a / sqrt(2 pi)), R = Phi(-a) e**(a*a/2); at a it is one minus that.
    cdef real a, r, d
    a = magnitude(x)
    if real is float:
        a = at_most(a, <real>14.9)
    else:
        a = at_most(a, <real>38.9)
    r = raised(<real>1 + mills_rest(a)) / mills_base(a)
    d = lowered(raised_gauss(fma(a, <real>-0.3989422804014327, r), a))
    d = d if x < <real>0 else <real>1 - d
    return grad * (d if x == x else x)


cdef inline real gelu_tanh(real x) noexcept nogil:
    cdef real z, t, s, y
    if real is float:
        z = at_least(x, <real>-10.9)
        t = gelu_tanh_nearest(z, -32)
        s = power(t)
        s = s + fma(gelu_tanh_core(z, whole(t, -32)), s, <real>2.3283064365386963e-10)
        y = z / s * <real>2.3283064365386963e-10
    else:
        z = at_least(x, <real>-21.9)
        y = gate(z, gelu_tanh_head(z), gelu_tanh_rest(z))
    return y if x < <real>8 else x

cdef inline real gelu_tanh_backward(real grad, real x) noexcept nogil:
    # As silu_backward with z = w(a) in the exponential and z = a w'(a) in the factor, whose rounding is kept.
    cdef real a, t, p, s, w, e, h, d
    a = magnitude(x)
    if real is float:
        a = at_most(a, <real>10.9)
        t = gelu_tanh_nearest(a, 64)
        p = gelu_tanh_core(a, whole(t, 64))
    else:
        a = at_most(a, <real>21.7)
        d = -gelu_tanh_head(a)
        t = nearest(d, 128)
        p = expm1_core(minus_ln2(d, whole(t, 128)) - gelu_tanh_rest(a))
    s = power(t)
    e = fma(p, s, s) / fma(p, s, s + raised(<real>1))
    h = head(a)
    w = fma((a - h) * (a + h), <real>0.21406444881780074, <real>1.5957691216057308)
    w = fma(h * h, <real>0.21406444881780074, w)
    h = fma(-a, w, <real>1)
    h = h + fma(e, a * w, fma(-a, w, <real>1 - h))
    s = h * s
    d = fma(p, s, s)
    d = lowered(fma(-d, e, d))
    d = d if x < <real>0 else <real>1 - d
    return grad * (d if x == x else x)


cdef inline real mish(real x) noexcept nogil:
    # n / (n + 2), n = e (e + 2), as e - e (e + e*e) / (n + 2) for x < -0.2 and 1 - 2 / (n + 2) above, which there cancels little.
    cdef real z, e, base, num, y
    if real is float:
        z = at_least(x, <real>-110)
    else:
        z = at_least(x, <real>-768)
    e = lowered(raised_exp(<real>1, z, <real>0))
    num = fma(e, e, e) if x < <real>-0.2 else <real>2
    base = lowered(raised_exp(z, z, <real>0)) if x < <real>-0.2 else z
    y = fma(-base, num / fma(e, e, fma(e, <real>2, <real>2)), base)
    return with_sign(y, x) if x < <real>20 else x

cdef inline real mish_backward(real grad, real x) noexcept nogil:
    # With q = e**-abs(x) the derivative is a simple first term and a correction q*q r (x r p + c), where
    # for x < 0: r = 1 / (2 + 2 q + q*q), p = -(4 + 8 q + 4 q*q + q**3), c = -(1 + q); above: r = 1 / (1 + 2 q + 2 q*q),
    # p = 4 (1 + q), c = -2.
    cdef real a, z, q, r, p, c, first, d
    a = magnitude(x)
    if real is float:
        a = at_most(a, <real>110)
    else:
        a = at_most(a, <real>768)
    z = with_sign(a, x)
    q = lowered(raised_exp(<real>1, -a, <real>0))
    first = lowered(raised_exp(<real>1 - a, -a, <real>0)) if x < <real>0 else <real>1
    r = <real>1 / by_sign(x, fma(q, q + <real>2, <real>2), fma(q + q, q + <real>1, <real>1))
    p = -fma(fma(q + <real>4, q, <real>8), q, <real>4) if x < <real>0 else fma(q, <real>4, <real>4)
    c = <real>-1 - q if x < <real>0 else <real>-2
    d = fma(q * q * r, fma(z * r, p, c), first)
    return grad * (d if x == x else x)


cdef inline real step(real x, real threshold) noexcept nogil:
    return <real>1 if x >= threshold else (<real>0 if x < threshold else x)

cdef inline real step_backward(real grad, real x, real threshold) noexcept nogil:
    return grad * (<real>0 if x == x else x)
