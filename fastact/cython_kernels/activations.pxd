# cython: language_level=3, cdivision=True
# The smooth activations as scalars, each forward followed by its backward: grad times the derivative at the saved y or x.
# Long ones stand in two stages, which the loops of kernels.pxi run one after the other over a block: `_begin` gives two numbers, as a
# rule the parts of an exponential, of which `_end` makes the result.
# Branch-free; a nan input or saved value gives nan. Kinks and limits are those of the reference page.

from fastact.cython_kernels.bits cimport by_dtype, by_sign, flip, fma, fma64, head, magnitude, power, product_rest, real, with_sign
from fastact.cython_kernels.primitives cimport (
    at_least, at_most, clamp, exp_even_odd, exp_parts, expm1_core, expm1_negative, expm1_ratio, gate_begin, gate_end,
    gelu_tanh_core, gelu_tanh_nearest, gelu_tanh_product, log1p_exp_begin, log1p_exp_end, lowered, mills_base, mills_rest,
    minus_ln2, minus_ln2_once, nearest, raised, raised_exp, raised_gate_ratio, raised_gauss, raised_parts, whole,
)


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


cdef inline void sigmoid_begin(real x, real *r, real *s) noexcept nogil:
    cdef real z, t
    if real is float:
        z = clamp(x, <real>-105, <real>20)
        exp_parts(-z, <real>0, -24, r, s)
    else:
        z = clamp(x, <real>-746, <real>40)
        t = nearest(-z, -64)
        r[0] = minus_ln2(z, -whole(t, -64))
        s[0] = power(t)

cdef inline real sigmoid_end(real x, real r, real s) noexcept nogil:
    # float32: c / (c + c e**-x); float64: (a + b) / ((a + b) + 2**n (a - b)), scaled down so that every subnormal result is reached.
    cdef real a, b, num
    if real is float:
        return <real>5.960464477539063e-08 / (s + fma(r, s, <real>5.960464477539063e-08))
    else:
        exp_even_odd(r, &a, &b)
        num = (a + b) * <real>5.421010862427522e-20
        return num / fma(s, a - b, num)

cdef inline real sigmoid(real x) noexcept nogil:
    cdef real u, v
    sigmoid_begin(x, &u, &v)
    return sigmoid_end(x, u, v)

cdef inline real sigmoid_backward(real grad, real y) noexcept nogil:
    return grad * (y * (<real>1 - y))


cdef inline void log_sigmoid_begin(real x, real *u, real *v) noexcept nogil:
    u[0] = log1p_exp_begin(at_most(magnitude(x), by_dtype(<real>110, <real>768)), <real>0)
    v[0] = u[0]

cdef inline real log_sigmoid_end(real x, real u, real v) noexcept nogil:
    return at_most(x, <real>-0.0) - log1p_exp_end(u)

cdef inline real log_sigmoid(real x) noexcept nogil:
    cdef real u, v
    log_sigmoid_begin(x, &u, &v)
    return log_sigmoid_end(x, u, v)

cdef inline real log_sigmoid_backward(real grad, real y) noexcept nogil:
    cdef real d
    d = expm1_ratio(y)
    return grad * (<real>0 - (d if y < <real>0 else y))


cdef inline void tanh_begin(real x, real *r, real *s) noexcept nogil:
    cdef real z, t
    z = at_most(magnitude(x), by_dtype(<real>9.2, <real>20))
    z = -(z + z)
    t = nearest(z, 0)
    r[0] = minus_ln2_once(z, whole(t, 0))
    s[0] = power(t)

cdef inline real tanh_end(real x, real r, real s) noexcept nogil:
    # (1 - e) / (1 + e), e = e**(-2 abs(x)). float32: e = s + p s, which is rounded in neither; float64: e = s (a + b) / (a - b).
    cdef real p, a, b, y
    if real is float:
        p = expm1_core(r)
        y = fma(p, -s, <real>1 - s) / fma(p, s, <real>1 + s)
    else:
        exp_even_odd(r, &a, &b)
        y = fma64(-b, 1 + s, a * (1 - s)) / fma64(a, 1 + s, -b * (1 - s))
    y = with_sign(y, x)
    return y if x == x else x

cdef inline real tanh(real x) noexcept nogil:
    cdef real u, v
    tanh_begin(x, &u, &v)
    return tanh_end(x, u, v)

cdef inline real tanh_backward(real grad, real y) noexcept nogil:
    return grad * ((<real>1 - y) * (<real>1 + y))


cdef inline void softplus_begin(real x, real beta, real *u, real *v) noexcept nogil:
    cdef real a, z
    a = at_most(magnitude(x), by_dtype(<real>110, <real>768) / beta)
    z = beta * a
    u[0] = log1p_exp_begin(z, product_rest(beta, a, z))
    v[0] = u[0]

cdef inline real softplus_end(real x, real beta, real u, real v) noexcept nogil:
    return at_least(x, <real>-0.0) + log1p_exp_end(u) * (<real>1 / beta)

cdef inline real softplus(real x, real beta) noexcept nogil:
    cdef real u, v
    softplus_begin(x, beta, &u, &v)
    return softplus_end(x, beta, u, v)

cdef inline real softplus_backward(real grad, real y, real beta) noexcept nogil:
    cdef real z, e
    z = beta * -y
    e = expm1_ratio(z)
    return grad * (<real>0 - (e if z < <real>0 else z))


cdef inline real silu_floor(real x, real b) noexcept nogil:
    # x where b x is no less than the domain of the gate.
    return at_least(x, by_dtype(<real>-131, <real>-880) / b)

cdef inline void silu_begin(real x, real beta, real *r, real *s) noexcept nogil:
    cdef real b, c, z
    b = magnitude(beta)
    c = silu_floor(flip(x, beta), b)
    z = b * c
    gate_begin(z, product_rest(b, c, z), r, s)

cdef inline real silu_end(real x, real beta, real r, real s) noexcept nogil:
    cdef real b, y
    b = magnitude(beta)
    x = flip(x, beta)
    y = gate_end(silu_floor(x, b), r, s)
    return flip(y if x < by_dtype(<real>20, <real>40) / b else x, beta)

cdef inline real silu(real x, real beta) noexcept nogil:
    cdef real u, v
    silu_begin(x, beta, &u, &v)
    return silu_end(x, beta, u, v)

cdef inline real silu_size(real x, real b) noexcept nogil:
    # abs(x), no more than what keeps b abs(x) in the domain of the exponential.
    return at_most(magnitude(x), by_dtype(<real>110, <real>768) / b)

cdef inline void silu_backward_begin(real grad, real x, real beta, real *p, real *s) noexcept nogil:
    cdef real b, a, z
    b = magnitude(beta)
    a = silu_size(x, b)
    z = b * a
    raised_parts(-z, product_rest(b, a, z), p, s)

cdef inline real silu_backward_end(real grad, real x, real beta, real p, real s) noexcept nogil:
    # At -a the derivative is s (1 - a + a s), s = sigmoid(-a) = q - q s with q = e**-a; at a it is one minus that.
    cdef real b, z, e, d
    b = magnitude(beta)
    z = b * silu_size(x, b)
    if real is float:
        e = fma(p, s, s) / (s + fma(p, s, raised(<real>1)))
        d = fma(e, z, <real>1 - z) * s
        d = fma(p, d, d)
        d = lowered(fma(-d, e, d))
    else:
        s = raised_gate_ratio(p, s)
        d = lowered(s * fma(lowered(s), z, <real>1 - z))
    d = d if flip(x, beta) < <real>0 else <real>1 - d
    return grad * (d if x == x else x)

cdef inline real silu_backward(real grad, real x, real beta) noexcept nogil:
    cdef real u, v
    silu_backward_begin(grad, x, beta, &u, &v)
    return silu_backward_end(grad, x, beta, u, v)


cdef inline real gelu(real x) noexcept nogil:
    cdef real a, e
    a = at_most(magnitude(x), by_dtype(<real>14.9, <real>38.9))
    e = raised_gauss(a, a)
    return at_least(x, <real>-0.0) - fma(e, mills_rest(a), e) / mills_base(a)

cdef inline real gelu_backward(real grad, real x) noexcept nogil:
    # At -a the derivative is e**(-a*a/2) (R - a / sqrt(2 pi)), R = Phi(-a) e**(a*a/2); at a it is one minus that.
    cdef real a, r, d
    a = at_most(magnitude(x), by_dtype(<real>14.9, <real>38.9))
    r = raised(<real>1 + mills_rest(a)) / mills_base(a)
    d = lowered(raised_gauss(fma(a, <real>-0.3989422804014327, r), a))
    d = d if x < <real>0 else <real>1 - d
    return grad * (d if x == x else x)


cdef inline real gelu_tanh_floor(real x) noexcept nogil:
    # x, no less than where the result is 0.
    return at_least(x, by_dtype(<real>-10.9, <real>-21.9))

cdef inline void gelu_tanh_begin(real x, real *p, real *s) noexcept nogil:
    cdef real z, t, low
    z = gelu_tanh_floor(x)
    if real is float:
        t = gelu_tanh_nearest(z, -32)
        p[0] = gelu_tanh_core(z, whole(t, -32))
        s[0] = power(t)
    else:
        z = gelu_tanh_product(z, &low)
        gate_begin(z, low, p, s)

cdef inline real gelu_tanh_end(real x, real p, real s) noexcept nogil:
    cdef real y
    if real is float:
        y = gelu_tanh_floor(x) / (s + fma(p, s, <real>2.3283064365386963e-10)) * <real>2.3283064365386963e-10
    else:
        y = gate_end(gelu_tanh_floor(x), p, s)
    return y if x < <real>8 else x

cdef inline real gelu_tanh(real x) noexcept nogil:
    cdef real u, v
    gelu_tanh_begin(x, &u, &v)
    return gelu_tanh_end(x, u, v)

cdef inline real gelu_tanh_size(real x) noexcept nogil:
    # abs(x), no more than where the derivative is 0 or 1.
    return at_most(magnitude(x), by_dtype(<real>10.9, <real>21.7))

cdef inline void gelu_tanh_backward_begin(real grad, real x, real *p, real *s) noexcept nogil:
    cdef real a, t, low
    a = gelu_tanh_size(x)
    if real is float:
        t = gelu_tanh_nearest(a, 64)
        p[0] = gelu_tanh_core(a, whole(t, 64))
    else:
        a = gelu_tanh_product(-a, &low)
        t = nearest(a, 128)
        p[0] = expm1_core(minus_ln2(a, whole(t, 128)) + low)
    s[0] = power(t)

cdef inline real gelu_tanh_backward_end(real grad, real x, real p, real s) noexcept nogil:
    # As silu_backward with z = w(a) in the exponential and z = a w'(a) in the factor, whose rounding is kept.
    cdef real a, w, e, h, d
    a = gelu_tanh_size(x)
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

cdef inline real gelu_tanh_backward(real grad, real x) noexcept nogil:
    cdef real u, v
    gelu_tanh_backward_begin(grad, x, &u, &v)
    return gelu_tanh_backward_end(grad, x, u, v)


cdef inline void mish_begin(real x, real *e, real *base) noexcept nogil:
    cdef real z
    z = at_least(x, by_dtype(<real>-110, <real>-768))
    e[0] = lowered(raised_exp(<real>1, z, <real>0))
    base[0] = lowered(raised_exp(z, z, <real>0)) if x < <real>-0.2 else z

cdef inline real mish_end(real x, real e, real base) noexcept nogil:
    # n / (n + 2), n = e (e + 2), as e - e (e + e*e) / (n + 2) for x < -0.2 and 1 - 2 / (n + 2) above, which there cancels little.
    cdef real num, y
    num = fma(e, e, e) if x < <real>-0.2 else <real>2
    y = fma(-base, num / fma(e, e, fma(e, <real>2, <real>2)), base)
    return with_sign(y, x) if x < <real>20 else x

cdef inline real mish(real x) noexcept nogil:
    cdef real u, v
    mish_begin(x, &u, &v)
    return mish_end(x, u, v)

cdef inline real mish_size(real x) noexcept nogil:
    # abs(x), no more than where the derivative is 0 or 1.
    return at_most(magnitude(x), by_dtype(<real>110, <real>768))

cdef inline void mish_backward_begin(real grad, real x, real *q, real *first) noexcept nogil:
    cdef real a
    a = mish_size(x)
    q[0] = lowered(raised_exp(<real>1, -a, <real>0))
    first[0] = lowered(raised_exp(<real>1 - a, -a, <real>0)) if x < <real>0 else <real>1

cdef inline real mish_backward_end(real grad, real x, real q, real first) noexcept nogil:
    # With q = e**-abs(x) the derivative is a simple first term and a correction q*q r (x r p + c), where
    # for x < 0: r = 1 / (2 + 2 q + q*q), p = -(4 + 8 q + 4 q*q + q**3), c = -(1 + q); above: r = 1 / (1 + 2 q + 2 q*q),
    # p = 4 (1 + q), c = -2.
    cdef real z, r, p, c, d
    z = with_sign(mish_size(x), x)
    r = <real>1 / by_sign(x, fma(q, q + <real>2, <real>2), fma(q + q, q + <real>1, <real>1))
    p = -fma(fma(q + <real>4, q, <real>8), q, <real>4) if x < <real>0 else fma(q, <real>4, <real>4)
    c = <real>-1 - q if x < <real>0 else <real>-2
    d = fma(q * q * r, fma(z * r, p, c), first)
    return grad * (d if x == x else x)

cdef inline real mish_backward(real grad, real x) noexcept nogil:
    cdef real u, v
    mish_backward_begin(grad, x, &u, &v)
    return mish_backward_end(grad, x, u, v)
