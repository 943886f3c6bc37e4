"""The only approximations of the wing: clamps, reductions, and the exp, log1p and Gaussian pieces that the pages are built of.

Each states its domain and its largest error in ulp (float32 / float64). fma alone fuses, so the Cython wing gives the same bits.
"""

from fastact.numba_kernels.bits import (
    SINGLE,
    exponent_above,
    fma,
    fused32,
    head,
    magnitude,
    power,
    power_half,
    power_minus,
    power_rest,
    product_rest,
    real,
    scalar,
)


@scalar
def at_least(x, low):
    # max(x, low), keeping every nan.
    return low if x < low else x


@scalar
def at_most(x, high):
    # min(x, high), keeping every nan.
    return high if x > high else x


@scalar
def clamp(x, low, high):
    return at_most(at_least(x, low), high)


# ---- e**x = 2**n e**r ----


@scalar
def nearest(x, k):
    # t: x log2(e) rounded to a whole n, plus the magic number whose power(t) is 2**(n + k).
    return fma(x, real(1.4426950216293335 if SINGLE else 1.4426950408889634), real((12583039 if SINGLE else 6755399441056767) + k))


@scalar
def whole(t, k):
    # The n of t = nearest(x, k).
    return t - real((12583039 if SINGLE else 6755399441056767) + k)


@scalar
def minus_ln2(x, n):
    # x - n ln 2, ln 2 in two parts; n times the first is exact, so v2 loses nothing.
    x = fma(n, real(-0.693145751953125 if SINGLE else -0.6931471805598903), x)
    return fma(n, real(-1.428606765330187e-06 if SINGLE else -5.497923018708371e-14), x)


@scalar
def plus_ln2(x, n):
    # x + n ln 2 where x is the smaller: the small part is added first.
    x = fma(n, real(1.428606765330187e-06 if SINGLE else 5.497923018708371e-14), x)
    return fma(n, real(0.693145751953125 if SINGLE else 0.6931471805598903), x)


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
def expm1_series(r):
    # P of e**r - 1 = r + r**2 P(r) for abs(r) <= 0.35: degree 4 / 10, relative error 2**-27 / 2**-58.
    r2 = r * r
    if SINGLE:
        low = fma(real(0.04166756197810173), r, real(0.16666541993618011))
        high = fma(real(0.00138601113576442), r, real(0.008366642519831657))
        return fma(fma(high, r2, low), r, real(0.4999999701976776))
    else:
        r4 = r2 * r2
        low = fma(real(0.1666666666666669072), r, real(0.5))
        low = fma(fma(real(0.8333333333314938210e-2), r, real(0.4166666666666602598e-1)), r2, low)
        high = fma(real(0.1984126989855865850e-3), r, real(0.1388888888914497797e-2))
        high = fma(fma(real(0.2755723402025388239e-5), r, real(0.2480158687479686264e-4)), r2, high)
        low = fma(high, r4, low)
        high = fma(real(0.2081276378237164457e-8), r2, fma(real(0.2511210703042288022e-7), r, real(0.2755762628169491192e-6)))
        return fma(high, r4 * r4, low)


@scalar
def expm1_core(r):
    # e**r - 1 for abs(r) <= 0.35.
    return fma(expm1_series(r), r * r, r)


@scalar
def exp_core(r):
    # The same, but in float32 fitted for e**r rather than e**r - 1.
    if SINGLE:
        r2 = r * r
        low = fma(real(0.0416693389415741), r, real(0.1666644811630249))
        high = fma(real(0.0013823509216308594), r, real(0.008375353179872036))
        return fma(fma(fma(high, r2, low), r, real(0.4999998211860657)), r2, r)
    else:
        return expm1_core(r)


@scalar
def exp_even_odd(r):
    # float64: a and b of e**r = (a + b) / (a - b), abs(r) <= 0.35, relative error 8e-18: for functions that divide anyway.
    r2 = r * r
    b = r * fma(fma(real(5.6281812909449294e-05), r2, real(0.02365220486264734)), r2, real(0.8515625))
    return fma(fma(real(0.0016891463808611058), r2, real(0.18923149305862608)), r2, real(1.703125)), b


@scalar
def exp_parts(x, low, k):
    # p and s of 2**k e**(x - low) = s + p s; low corrects x, and s must be a normal number.
    t = nearest(x, k)
    return exp_core(minus_ln2(x, whole(t, k)) - low), power(t)


@scalar
def scaled_exp(m, x, low, k):
    # m 2**k e**(x - low), rounded once at the end. 1.0 / 1.0 ulp.
    p, s = exp_parts(x, low, k)
    s = m * s
    return fma(p, s, s)


@scalar
def raised_parts(x, low):
    # Parts of raised(e**(x - low)), x in [-110, 0] / [-768, 0]: s + p s / s (a + b) / (a - b) at r = p.
    if SINGLE:
        return exp_parts(x, low, 64)
    t = nearest(x, 128)
    return minus_ln2(x, whole(t, 128)) - low, power(t)


@scalar
def raised_exp(m, x, low):
    # raised(m e**(x - low)) for x in [-110, 40] / [-768, 600].
    return scaled_exp(m, x, low, 64 if SINGLE else 128)


@scalar
def exp(x):
    # e**x for every x, subnormal results included, scaled in two steps: polynomial / odd-even rational. 1.0 / 1.6 ulp.
    if SINGLE:
        x = clamp(x, real(-104), real(89))
        t = nearest(x, 127)
        p = exp_core(minus_ln2(x, whole(t, 127)))
    else:
        x = clamp(x, real(-746), real(710))
        t = nearest(x, 1023)
        a, b = exp_even_odd(minus_ln2(x, whole(t, 1023)))
        p = (b + b) / (a - b)
    s = power_half(t)
    return fma(p, s, s) * power_rest(t)


@scalar
def softmax_exp(x):
    # e**x for x <= 0, 0 below -87.7 / -708.7 (there 2**n has the bits of zero); nan stays nan. 2 + 0.03 abs(x) / 1.0 ulp: of degree 5
    # and reduced by one constant in float32, since the rounding of x - max alone costs abs(x) / 2.
    x = at_least(x, real(-88 if SINGLE else -709))
    if SINGLE:
        t = nearest(x, 0)
        r = minus_ln2_once(x, whole(t, 0))
        s = power(t)
        p = fma(fma(real(0.008289290592074394), r, real(0.04189782217144966)), r, real(0.16667652130126953))
        return fma(fma(fma(p, r, real(0.4999915063381195)), r, real(0.9999997019767761)), r * s, s)
    else:
        return scaled_exp(real(1), x, real(0), 0)


@scalar
def expm1(x):
    # e**x - 1 for every x; 2**(n-1) and a last doubling reach the top of the range. 1.6 / 1.9 ulp.
    z = clamp(x, real(-17.33 if SINGLE else -37.5), real(89 if SINGLE else 710))
    t = nearest(z, -1)
    s = power(t)
    y = fma(expm1_core(minus_ln2(z, whole(t, -1))), s, s - real(0.5))
    return x if magnitude(x) < real(1e-17) else y + y


@scalar
def expm1_negative(m, x):
    # m (e**x - 1) for x <= 0, the largest part r m kept exact; what it returns for x > 0 or nan is to be discarded. 1.0 / 1.1 ulp.
    z = at_least(x, real(-17.33 if SINGLE else -37.5))
    t = nearest(z, 0)
    r = minus_ln2_once(z, whole(t, 0))
    s = m * power(t)
    y = fma(r, s, s - m)
    return y + fma(expm1_series(r), r * r * s, fma(r, s, (s - m) - y))


@scalar
def expm1_ratio(x):
    # e**x - 1 for x <= 0, as expm1_negative but in float64 by the odd-even rational, in .8 of the time. 1.0 / 2.6 ulp.
    if SINGLE:
        return expm1_negative(real(1), x)
    z = at_least(x, real(-37.5))
    t = nearest(z, 0)
    z = minus_ln2_once(z, whole(t, 0))
    s = power(t)
    a, b = exp_even_odd(z)
    return fma(a, s - real(1), b * (s + real(1))) / (a - b)


# ---- log1p ----


@scalar
def log1p_series(v):
    # P of log1p(f) = 2 atanh(w/2) = w + w v P(v), w = f / (1 + f/2), v = w*w <= 4/9: 4 / 10 terms, 2**-28 / 2**-59.
    if SINGLE:
        p = fma(real(0.0005471751210279763), v, real(0.002187595469877124))
        return fma(fma(p, v, real(0.01250673457980156)), v, real(0.08333302289247513))
    else:
        p = fma(real(8.106402546266216e-08), v, real(1.592743631228013e-07))
        p = fma(p, v, real(9.234253171019785e-07))
        p = fma(p, v, real(4.059241961121466e-06))
        p = fma(p, v, real(1.87823862096035e-05))
        p = fma(p, v, real(8.877805389754262e-05))
        p = fma(p, v, real(0.000434027810963785))
        p = fma(p, v, real(0.002232142855371416))
        p = fma(p, v, real(0.012500000000046455))
        return fma(p, v, real(0.08333333333333291))


@scalar
def log1p_core(f, w):
    # log1p(f) for f in [-0.3, 1], given w = f / (1 + f/2), whose own rounding this form makes small. 1.0 / 1.0 ulp.
    v = w * w
    return fma(w, fma(v, log1p_series(v), real(-0.5) * f), f)


@scalar
def log1p(x):
    # log(1 + x) for x >= 0: 1 + x = 2**k (1 + f), f in [-0.3, 0.42] and exact where that matters. 1.5 / 1.5 ulp.
    k = exponent_above(real(1) + x)
    s = power_minus(k)
    k = k - real(8388608 if SINGLE else 4503599627370496)
    f = fma(x, s, s - real(1))
    y = plus_ln2(log1p_core(f, f / fma(real(0.5), f, real(1))), k)
    return y if x < real(1e30) else x


@scalar
def log1p_exp_begin(a, low):
    # What log1p_exp_end turns into log(1 + e**-(a + low)), 0 <= a <= 110 / 768: raised(e**-(a + low)) / the w of log1p_core.
    if SINGLE:
        return raised_exp(real(1), -a, low)
    else:
        t = nearest(-a, 128)
        e, w = exp_even_odd(minus_ln2(a, -whole(t, 128)) + low)
        q = power(t) * (e - w)
        return q / fma(real(0.5), q, raised(e + w))


@scalar
def log1p_exp_end(q):
    # log(1 + e**-(a + low)), subnormal results included: polynomial / odd-even rational. 1.9 / 2.9 ulp.
    if SINGLE:
        e = lowered(q)
        return log1p_core(e, q / fma(real(0.5), q, raised(real(1))))
    else:
        e = q * q
        return fma(q * e, log1p_series(e), q)


# ---- sigmoid-like gates ----


@scalar
def gate_begin(w, low):
    # What gate_end needs of e**-(w + low) for w in [-131, 40] / [-880, 500].
    if SINGLE:
        return exp_parts(-w, low, -62)
    else:
        t = nearest(-w, -300)
        return minus_ln2(w, -whole(t, -300)) + low, power(t)


@scalar
def gate_end(x, r, s):
    # x / (1 + e**-(w + low)); only the last operation rounds a subnormal result. 2.0 / 2.7 ulp.
    if SINGLE:
        return x / (s + fma(r, s, real(2.168404344971009e-19))) * real(2.168404344971009e-19)
    else:
        a, b = exp_even_odd(r)
        den = fma(a, s + real(4.909093465297727e-91), b * (real(4.909093465297727e-91) - s))
        return fma(x, a, x * b) / den * real(4.909093465297727e-91)


@scalar
def raised_gate_ratio(r, s):
    # float64: raised(q / (1 + q)), q = e**(x - low) by raised_parts. 2.3 ulp.
    a, b = exp_even_odd(r)
    s = s * (a + b)
    return s / ((a - b) + lowered(s))


@scalar
def gelu_tanh_nearest(x, k):
    # float32: t of nearest for -w / ln 2, w = x (k1 + k3 x**2) = 2 sqrt(2/pi) (x + 0.044715 x**3), for abs(x) <= 10.9.
    xh = head(x)
    return fma(-x, fma(xh * xh, real(0.10294324159622192), real(2.3017578125)), real(12583039 + k))


@scalar
def gelu_tanh_core(x, n):
    # float32: 2**f - 1, f = -w / ln 2 - n, where w / ln 2 is had in two parts, p x + low x. 2**-26.
    xh = head(x)
    v = xh * xh
    vl = (x - xh) * (x + xh)
    p = fma(v, real(0.10294324159622192), real(2.3017578125))
    d = p - real(2.3017578125)
    low = fma(v, real(-2.016198541454628e-09), real(0.0004503856471274048))
    low = fused32(v, real(0.10294324159622192), -d) + fma(vl, real(0.10294324159622192), low)
    f = fma(-x, low, fused32(-x, p, -n))
    p = fma(real(0.00015456404071301222), f, real(0.0013391146203503013))
    p = fma(fma(p, f, real(0.009618077427148819)), f, real(0.055503591895103455))
    return f * fma(fma(p, f, real(0.24022650718688965)), f, real(0.6931471824645996))


@scalar
def gelu_tanh_product(x):
    # float64: w = x (k1 + k3 x**2) = 2 sqrt(2/pi) (x + 0.044715 x**3), and its rest, on any machine. 2**-71.
    v = x * x
    p = fma(v, real(0.07135486602783203), real(1.5957691669464111))
    d = p - real(1.5957691669464111)  # exact
    d = fma(product_rest(x, x, v), real(0.07135486602783203), product_rest(v, real(0.07135486602783203), d))
    d = fma(v, real(-4.975523178247366e-08), real(-4.534068042105272e-08)) + d
    return x * p, fma(x, d, product_rest(x, p, x * p))


# ---- Gaussian tail ----


@scalar
def raised_gauss(m, a):
    # raised(m e**(-a*a/2)) for 0 <= a <= 14.9 / 38.9: the square in an exact head and a rest, on any machine. 1.0 / 1.0 ulp.
    ah = head(a)
    return raised_exp(m, real(-0.5) * ah * ah, real(0.5) * (a - ah) * (a + ah))


@scalar
def mills_base(a):
    # raised(S), S = 1.8359375 + 2.296875 a: Phi(-a) e**(a*a/2) = (1 + d) / S with d = mills_rest(a), abs(d) < 0.088.
    return fma(a, raised(real(2.296875)), raised(real(1.8359375)))


@scalar
def mills_rest(a):
    # The d of mills_base: a rational of degree 5/5 / 10/10, whose rounding errors count for an eleventh.
    if SINGLE:
        p = fma(real(-0.0010103245731443167), a, real(-0.0005321877542883158))
        p = fma(fma(p, a, real(0.02925865538418293)), a, real(0.14873487502336502))
        p = fma(fma(p, a, real(0.2763161361217499)), a, real(-0.08203125))
        q = fma(real(0.012074592523276806), a, real(0.11199954152107239))
        q = fma(fma(q, a, real(0.49958282709121704)), a, real(1.2474086284637451))
        return p / fma(fma(q, a, real(1.7028696537017822)), a, real(1))
    else:
        p = fma(real(-3.1761867394512393e-07), a, real(-5.599820352159197e-06))
        p = fma(fma(p, a, real(-3.924142204423075e-05)), a, real(-4.498568009021852e-05))
        p = fma(fma(p, a, real(0.0014258403572052596)), a, real(0.013354471106995057))
        p = fma(fma(p, a, real(0.06363214206632793)), a, real(0.18443853196084536))
        p = fma(fma(p, a, real(0.3116208894018667)), a, real(0.22254989220702612))
        p = fma(p, a, real(-0.08203125))
        q = fma(real(3.7956592098144197e-06), a, real(0.00010014270885228887))
        q = fma(fma(q, a, real(0.0013039188919357696)), a, real(0.010820770814181221))
        q = fma(fma(q, a, real(0.06264296170814652)), a, real(0.2621983866642223))
        q = fma(fma(q, a, real(0.7987172325350635)), a, real(1.7402687015020428))
        q = fma(fma(q, a, real(2.585688186098136)), a, real(2.3583026574441406))
        return p / fma(q, a, real(1))
