"""The only approximations of the wing: clamps, reductions, and the exp, log1p and Gaussian pieces the pages are built of.

Explicit fma alone decides what is fused, so this wing gives the bits of the Cython one. Errors are in ulp (float32 / float64).
"""

from fastact.numba_kernels.bits import (
    SINGLE,
    down,
    exponent_above,
    fma,
    fused32,
    head,
    magnitude,
    min_signed,
    min_unsigned,
    power,
    power_half,
    power_minus,
    power_rest,
    real,
    scalar,
    up,
)


@scalar
def product_rest(a, b, ab):
    # a*b - ab, the rounding error of the product ab (nothing without fma: only parameters other than powers of two need it).
    return fma(a, b, -ab)


@scalar
def at_least(x, low):
    # max(x, low) for low < 0, by the bit pattern in float32 (one instruction), where a negative nan becomes low.
    if SINGLE:
        return min_unsigned(x, low)
    return low if x < low else x


@scalar
def at_most(x, high):
    # min(x, high) for high > 0, by the bit pattern in float32, where a positive nan becomes high.
    if SINGLE:
        return min_signed(x, high)
    return high if x > high else x


@scalar
def at_least_or_nan(x, low):
    # at_least that keeps every nan.
    if SINGLE:
        return down(min_unsigned(up(x), up(low)))
    return low if x < low else x


@scalar
def clamp(x, low, high):
    # x between low < 0 and high > 0, keeping every nan.
    if SINGLE:
        return down(min_signed(min_unsigned(up(x), up(low)), up(high)))
    x = low if x < low else x
    return high if x > high else x


# ---- powers of two ----
# t = x * log2(e) + magic rounds to n + magic; magic = 1.5 * 2**23 (2**52) + bias leaves n + bias in the low bits of t.


@scalar
def magic(like, k):
    # The magic number whose power(t) is 2**(n + k).
    return real((12583039 if SINGLE else 6755399441056767) + k)


@scalar
def times_log2e(x, c):
    # x * log2(e) + c.
    return fma(x, real(1.4426950216293335 if SINGLE else 1.4426950408889634), c)


@scalar
def minus_ln2(x, n):
    # x - n ln 2, ln 2 in two parts; n times the first is exact, so machines without fma lose nothing.
    if SINGLE:
        return fma(n, real(-1.428606765330187e-06), fma(n, real(-0.693145751953125), x))
    return fma(n, -5.497923018708371e-14, fma(n, -0.6931471805598903, x))


@scalar
def plus_ln2(x, n):
    # x + n ln 2 where x is the smaller: the small part is added first.
    if SINGLE:
        return fma(n, real(0.693145751953125), fma(n, real(1.428606765330187e-06), x))
    return fma(n, 0.6931471805598903, fma(n, 5.497923018708371e-14, x))


@scalar
def minus_ln2_once(x, n):
    # x - n ln 2 by one constant: for results in which the error is multiplied by a small 2**n.
    return fma(n, real(-0.6931471824645996 if SINGLE else -0.6931471805599453), x)


@scalar
def raised(y):
    # y * 2**64 (2**128): keeps what will be a subnormal result at full precision until its last operation.
    return y * real(1.8446744073709552e19 if SINGLE else 3.402823669209385e38)


@scalar
def lowered(y):
    # y * 2**-64 (2**-128), the inverse of raised.
    return y * real(5.421010862427522e-20 if SINGLE else 2.938735877055719e-39)


# ---- exp ----


@scalar
def expm1_core(r):
    # e**r - 1 for abs(r) <= 0.35. Polynomial r + r**2 P(r): degree 6 / 12, relative error 2**-27 / 2**-58.
    r2 = r * r
    if SINGLE:
        low = fma(real(0.04166756197810173), r, real(0.16666541993618011))
        high = fma(real(0.00138601113576442), r, real(0.008366642519831657))
        return fma(fma(fma(high, r2, low), r, real(0.4999999701976776)), r2, r)
    r4 = r2 * r2
    low = fma(fma(0.8333333333314938210e-2, r, 0.4166666666666602598e-1), r2, fma(0.1666666666666669072, r, 0.5))
    high = fma(
        fma(0.2755723402025388239e-5, r, 0.2480158687479686264e-4), r2, fma(0.1984126989855865850e-3, r, 0.1388888888914497797e-2)
    )
    low = fma(high, r4, low)
    high = fma(0.2081276378237164457e-8, r2, fma(0.2511210703042288022e-7, r, 0.2755762628169491192e-6))
    return fma(fma(high, r4 * r4, low), r2, r)


@scalar
def exp_even(r2):
    # A of e**r = (A + B) / (A - B), abs(r) <= 0.35, relative error 8e-18 (float64): for functions that divide anyway.
    if SINGLE:
        return fma(real(0.17028197646141052), r2, real(1.703125))
    return fma(fma(0.0016891463808611058, r2, 0.18923149305862608), r2, 1.703125)


@scalar
def exp_odd(r, r2):
    # B of the same.
    if SINGLE:
        return r * fma(real(0.014177491888403893), r2, real(0.8515625))
    return r * fma(fma(5.6281812909449294e-05, r2, 0.02365220486264734), r2, 0.8515625)


@scalar
def scaled_exp(x, low, k):
    # 2**k e**(x - low), low a correction below ulp(x); the exponent of the result must stay in the normal range. 1 / 1 ulp.
    bias = magic(x, k)
    t = times_log2e(x, bias)
    n = t - bias
    r = minus_ln2(x, n) - low
    s = power(t)
    return fma(expm1_core(r), s, s)


@scalar
def raised_exp(x, low):
    # raised(e**(x - low)) for x in [-110, 40] / [-768, 600].
    return scaled_exp(x, low, 64 if SINGLE else 128)


@scalar
def exp(x):
    # e**x for every x, subnormal results included, scaled in two steps. Polynomial / odd-even rational. 1.0 / 1.4 ulp.
    if SINGLE:
        x = clamp(x, real(-104), real(89))
    else:
        x = clamp(x, real(-746), real(710))
    bias = real(12583166 if SINGLE else 6755399441057790)
    t = times_log2e(x, bias)
    n = t - bias
    r = minus_ln2(x, n)
    if SINGLE:
        p = expm1_core(r)
    else:
        p = r * r
        s = exp_odd(r, p)
        p = (s + s) / (exp_even(p) - s)
    s = power_half(t)
    return fma(p, s, s) * power_rest(t)


@scalar
def softmax_exp(x):
    # e**x for x <= 0, 0 below -87.7 / -708.7 (there 2**n has the bits of zero); nan stays nan. 1.0 / 1.0 ulp.
    return scaled_exp(at_least_or_nan(x, real(-88 if SINGLE else -709)), real(0), 0)


@scalar
def expm1(x):
    # e**x - 1 for every x; 2**(n-1) and a last doubling reach the top of the range. 1.5 / 1.5 ulp.
    if SINGLE:
        z = clamp(x, real(-17.33), real(89))
    else:
        z = clamp(x, real(-37.5), real(710))
    bias = magic(x, -1)
    t = times_log2e(z, bias)
    n = t - bias
    s = power(t)
    y = fma(expm1_core(minus_ln2(z, n)), s, s - real(0.5))
    return x if magnitude(x) < real(1e-17) else y + y


@scalar
def expm1_negative(x):
    # e**x - 1 for x <= 0; what it returns for x > 0 or nan is to be discarded. 1.0 / 1.2 ulp.
    z = at_least(x, real(-17.33 if SINGLE else -37.5))
    bias = magic(x, 0)
    t = times_log2e(z, bias)
    n = t - bias
    s = power(t)
    return fma(expm1_core(minus_ln2_once(z, n)), s, s - real(1))


# ---- log1p ----


@scalar
def log1p_series(v):
    # P of log1p(f) = w + w v P(v), w = f / (1 + f/2), v = w*w <= 4/9: the series of 2 atanh(w/2), 4 / 10 terms, 2**-28 / 2**-59.
    if SINGLE:
        p = fma(real(0.0005471751210279763), v, real(0.002187595469877124))
        return fma(fma(p, v, real(0.01250673457980156)), v, real(0.08333302289247513))
    p = fma(8.106402546266216e-08, v, 1.592743631228013e-07)
    p = fma(p, v, 9.234253171019785e-07)
    p = fma(p, v, 4.059241961121466e-06)
    p = fma(p, v, 1.87823862096035e-05)
    p = fma(p, v, 8.877805389754262e-05)
    p = fma(p, v, 0.000434027810963785)
    p = fma(p, v, 0.002232142855371416)
    p = fma(p, v, 0.012500000000046455)
    return fma(p, v, 0.08333333333333291)


@scalar
def log1p_core(f, w):
    # log1p(f) for f in [-0.3, 1], given w = f / (1 + f/2), whose rounding this form divides by about 10. 1.0 ulp.
    v = w * w
    return fma(w, fma(v, log1p_series(v), real(-0.5) * f), f)


@scalar
def log1p(x):
    # log(1 + x) for x >= 0: 1 + x = 2**k (1 + f), f in [-0.3, 0.42], so that f is exact where it matters. 1.5 ulp.
    k = exponent_above(real(1) + x)
    s = power_minus(k)
    k = k - real(8388608 if SINGLE else 4503599627370496)
    f = fma(x, s, s - real(1))
    y = plus_ln2(log1p_core(f, f / fma(real(0.5), f, real(1))), k)
    return y if x < real(1e30) else x


@scalar
def log1p_exp(a, low):
    # log(1 + e**-(a + low)) for 0 <= a <= 110 / 768, subnormal results included. 1.7 / 2.5 ulp.
    if SINGLE:
        q = raised_exp(-a, low)
        e = lowered(q)
        return log1p_core(e, q / fma(real(0.5), q, raised(real(1))))
    t = times_log2e(-a, magic(a, 128))
    n = t - magic(a, 128)
    r = minus_ln2(a, -n) + low
    e = r * r
    w = exp_odd(r, e)
    e = exp_even(e)
    q = power(t) * (e - w)
    w = q / fma(0.5, q, raised(e + w))
    e = w * w
    return fma(w * e, log1p_series(e), w)


# ---- sigmoid-like gates ----


@scalar
def gate(x, w, low):
    # x / (1 + e**-(w + low)), w in [-131, 60] / [-880, 500]; the last multiplication alone rounds a subnormal result. 2.3 / 2.6 ulp.
    if SINGLE:
        return x / (scaled_exp(-w, low, -62) + real(2.168404344971009e-19)) * real(2.168404344971009e-19)
    bias = magic(x, -300)
    t = times_log2e(-w, bias)
    n = t - bias
    r = minus_ln2(w, -n) + low
    v = r * r
    r = exp_odd(r, v)
    v = exp_even(v)
    num = v + r
    den = fma(power(t), v - r, num * 4.909093465297727e-91)
    return (x * num) / den * 4.909093465297727e-91


@scalar
def gelu_tanh_exp(x, k):
    # float32: 2**k e**-w, w = x (k1 + k3 x**2) = 2 sqrt(2/pi) (x + 0.044715 x**3), abs(x) <= 10.9: w / ln 2 in two parts, then 2**f.
    xh = head(x)
    v = xh * xh
    vl = (x - xh) * (x + xh)
    p = fma(v, real(0.10294324159622192), real(2.3017578125))
    d = p - real(2.3017578125)
    low = fma(v, real(-2.016198541454628e-09), real(0.0004503856471274048))
    low = fused32(v, real(0.10294324159622192), -d) + fma(vl, real(0.10294324159622192), low)
    bias = magic(x, k)
    t = fma(-x, p, bias)
    f = fma(-x, low, fused32(-x, p, bias - t))
    v = power(t)
    p = fma(real(0.00015456404071301222), f, real(0.0013391146203503013))
    p = fma(fma(p, f, real(0.009618077427148819)), f, real(0.055503591895103455))
    p = fma(fma(p, f, real(0.24022650718688965)), f, real(0.6931471824645996))
    return fma(f * p, v, v)


@scalar
def gelu_tanh_head(x):
    # float64: the head of w = x (k1 + k3 x**2), exact products of heads; with gelu_tanh_rest w is known to 2**-75.
    xh = head(x)
    return xh * head(gelu_tanh_slope(xh * xh))


@scalar
def gelu_tanh_slope(v):
    return head(v) * 0.07135486602783203 + 1.5957691669464111


@scalar
def gelu_tanh_rest(x):
    # w - gelu_tanh_head(x).
    xh = head(x)
    xl = x - xh
    v = xh * xh
    vl = xl * (x + xh)
    vt = head(v)
    p = vt * 0.07135486602783203
    ph = p + 1.5957691669464111
    pl = p - (ph - 1.5957691669464111) + (((v - vt) + vl) * 0.07135486602783203 + ((v + vl) * -4.975523178247366e-08 + -4.534068042105272e-08))
    p = head(ph)
    return xl * ph + (xh * (ph - p) + x * pl)


# ---- Gaussian tail ----


@scalar
def raised_gauss(a):
    # raised(e**(-a*a/2)) for 0 <= a <= 14.9 / 38.9: the square split into an exact head and a rest, with or without fma. 1.2 ulp.
    ah = head(a)
    return raised_exp(real(-0.5) * ah * ah, real(0.5) * (a - ah) * (a + ah))


@scalar
def mills_base(a):
    # raised(S), S = 1.8359375 + 2.296875 a. Phi(-a) e**(a*a/2) = (1 + d) / S with d = mills_rest(a), abs(d) < 0.088.
    return fma(a, raised(real(2.296875)), raised(real(1.8359375)))


@scalar
def mills_rest(a):
    # d of mills_base: a rational of degree 5/5 (10/10), whose rounding errors (1 + d) divides by 11.
    if SINGLE:
        p = fma(real(-0.0010103245731443167), a, real(-0.0005321877542883158))
        p = fma(fma(p, a, real(0.02925865538418293)), a, real(0.14873487502336502))
        p = fma(fma(p, a, real(0.2763161361217499)), a, real(-0.08203125))
        q = fma(real(0.012074592523276806), a, real(0.11199954152107239))
        q = fma(fma(q, a, real(0.49958282709121704)), a, real(1.2474086284637451))
        return p / fma(fma(q, a, real(1.7028696537017822)), a, real(1))
    p = fma(-3.1761867394512393e-07, a, -5.599820352159197e-06)
    p = fma(fma(p, a, -3.924142204423075e-05), a, -4.498568009021852e-05)
    p = fma(fma(p, a, 0.0014258403572052596), a, 0.013354471106995057)
    p = fma(fma(p, a, 0.06363214206632793), a, 0.18443853196084536)
    p = fma(fma(p, a, 0.3116208894018667), a, 0.22254989220702612)
    p = fma(p, a, -0.08203125)
    q = fma(3.7956592098144197e-06, a, 0.00010014270885228887)
    q = fma(fma(q, a, 0.0013039188919357696), a, 0.010820770814181221)
    q = fma(fma(q, a, 0.06264296170814652), a, 0.2621983866642223)
    q = fma(fma(q, a, 0.7987172325350635), a, 1.7402687015020428)
    q = fma(fma(q, a, 2.585688186098136), a, 2.3583026574441406)
    return p / fma(q, a, 1.0)
