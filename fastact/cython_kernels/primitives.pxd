# cython: language_level=3, cdivision=True
# The only approximations of the wing: clamps, reductions, and the exp, log1p and Gaussian pieces that the pages are built of.
# Each states its domain and its largest error in ulp (float32 / float64). Compiled with -ffp-contract=off: fma alone fuses.

from fastact.cython_kernels.bits cimport (
    bits32, bits64, by_dtype, fma, fma32, fma64, from32, from64, fused32, head, magnitude, power, power_half,
    power_rest, product_rest, real, u32, u64, unknown,
)


cdef inline real at_least(real x, real low) noexcept nogil:
    # max(x, low), keeping every nan.
    low = unknown(low)
    return low if x < low else x

cdef inline real at_most(real x, real high) noexcept nogil:
    # min(x, high), keeping every nan.
    high = unknown(high)
    return high if x > high else x

cdef inline real clamp(real x, real low, real high) noexcept nogil:
    return at_most(at_least(x, low), high)


# ---- e**x = 2**n e**r ----

cdef inline real nearest(real x, int k) noexcept nogil:
    # t: x log2(e) rounded to a whole n, plus the magic number whose power(t) is 2**(n + k).
    return fma(x, by_dtype(<real>1.4426950216293335, <real>1.4426950408889634), by_dtype(<real>12583039, <real>6755399441056767) + k)

cdef inline real whole(real t, int k) noexcept nogil:
    # The n of t = nearest(x, k).
    return t - (by_dtype(<real>12583039, <real>6755399441056767) + k)

cdef inline real minus_ln2(real x, real n) noexcept nogil:
    # x - n ln 2, ln 2 in two parts; n times the first is exact, so v2 loses nothing.
    x = fma(n, by_dtype(<real>-0.693145751953125, <real>-0.6931471805598903), x)
    return fma(n, by_dtype(<real>-1.428606765330187e-06, <real>-5.497923018708371e-14), x)

cdef inline real plus_ln2(real x, real n) noexcept nogil:
    # x + n ln 2 where x is the smaller: the small part is added first.
    x = fma(n, by_dtype(<real>1.428606765330187e-06, <real>5.497923018708371e-14), x)
    return fma(n, by_dtype(<real>0.693145751953125, <real>0.6931471805598903), x)

cdef inline real minus_ln2_once(real x, real n) noexcept nogil:
    # x - n ln 2 by one constant: for results in which the error is multiplied by a small 2**n.
    return fma(n, by_dtype(<real>-0.6931471824645996, <real>-0.6931471805599453), x)

cdef inline real raised(real y) noexcept nogil:
    # y * 2**64 (2**128): keeps what will be a subnormal result at full precision until its last operation.
    if real is float:
        return y * <float>1.8446744073709552e+19
    else:
        return y * 3.402823669209385e+38

cdef inline real lowered(real y) noexcept nogil:
    # y * 2**-64 (2**-128), the inverse of raised.
    if real is float:
        return y * <float>5.421010862427522e-20
    else:
        return y * 2.938735877055719e-39


# ---- exp ----

cdef inline real expm1_series(real r) noexcept nogil:
    # P of e**r - 1 = r + r**2 P(r) for abs(r) <= 0.35: degree 4 / 10, relative error 2**-27 / 2**-58.
    cdef real r2, r4, low, high
    r2 = r * r
    if real is float:
        low = fma32(0.04166756197810173, r, 0.16666541993618011)
        high = fma32(0.00138601113576442, r, 0.008366642519831657)
        return fma32(fma32(high, r2, low), r, 0.4999999701976776)
    else:
        r4 = r2 * r2
        low = fma64(0.1666666666666669072, r, 0.5)
        low = fma64(fma64(0.8333333333314938210e-2, r, 0.4166666666666602598e-1), r2, low)
        high = fma64(0.1984126989855865850e-3, r, 0.1388888888914497797e-2)
        high = fma64(fma64(0.2755723402025388239e-5, r, 0.2480158687479686264e-4), r2, high)
        low = fma64(high, r4, low)
        high = fma64(0.2081276378237164457e-8, r2, fma64(0.2511210703042288022e-7, r, 0.2755762628169491192e-6))
        return fma64(high, r4 * r4, low)

cdef inline real expm1_core(real r) noexcept nogil:
    # e**r - 1 for abs(r) <= 0.35.
    return fma(expm1_series(r), r * r, r)

cdef inline real exp_core(real r) noexcept nogil:
    # The same, but in float32 fitted for e**r rather than e**r - 1.
    cdef real r2, low, high
    if real is float:
        r2 = r * r
        low = fma32(0.0416693389415741, r, 0.1666644811630249)
        high = fma32(0.0013823509216308594, r, 0.008375353179872036)
        return fma32(fma32(fma32(high, r2, low), r, 0.4999998211860657), r2, r)
    else:
        return expm1_core(r)

cdef inline void exp_even_odd(real r, real *a, real *b) noexcept nogil:
    # float64: e**r = (a + b) / (a - b), abs(r) <= 0.35, relative error 8e-18: for functions that divide anyway.
    cdef real r2
    r2 = r * r
    b[0] = r * fma64(fma64(5.6281812909449294e-05, r2, 0.02365220486264734), r2, 0.8515625)
    a[0] = fma64(fma64(0.0016891463808611058, r2, 0.18923149305862608), r2, 1.703125)

cdef inline void exp_parts(real x, real low, int k, real *p, real *s) noexcept nogil:
    # p and s of 2**k e**(x - low) = s + p s; low corrects x, and s must be a normal number.
    cdef real t
    t = nearest(x, k)
    s[0] = power(t)
    p[0] = exp_core(minus_ln2(x, whole(t, k)) - low)

cdef inline real scaled_exp(real m, real x, real low, int k) noexcept nogil:
    # m 2**k e**(x - low), rounded once at the end. 1.0 / 1.0 ulp.
    cdef real p, s
    exp_parts(x, low, k, &p, &s)
    s = m * s
    return fma(p, s, s)

cdef inline void raised_parts(real x, real low, real *p, real *s) noexcept nogil:
    # Parts of raised(e**(x - low)), x in [-110, 0] / [-768, 0]: s + p s / s (a + b) / (a - b) at r = p.
    cdef real t
    if real is float:
        exp_parts(x, low, 64, p, s)
    else:
        t = nearest(x, 128)
        p[0] = minus_ln2(x, whole(t, 128)) - low
        s[0] = power(t)

cdef inline real raised_exp(real m, real x, real low) noexcept nogil:
    # raised(m e**(x - low)) for x in [-110, 40] / [-768, 600].
    if real is float:
        return scaled_exp(m, x, low, 64)
    else:
        return scaled_exp(m, x, low, 128)

cdef inline real exp(real x) noexcept nogil:
    # e**x for every x, subnormal results included, scaled in two steps: polynomial / odd-even rational. 1.0 / 1.6 ulp.
    cdef real t, p, s
    if real is float:
        x = clamp(x, <real>-104, <real>89)
        t = nearest(x, 127)
        p = exp_core(minus_ln2(x, whole(t, 127)))
    else:
        x = clamp(x, <real>-746, <real>710)
        t = nearest(x, 1023)
        exp_even_odd(minus_ln2(x, whole(t, 1023)), &p, &s)
        p = (s + s) / (p - s)
    s = power_half(t)
    return fma(p, s, s) * power_rest(t)

cdef inline real softmax_exp(real x) noexcept nogil:
    # e**x for x <= 0, 0 below -87.7 / -708.7 (there 2**n has the bits of zero); nan stays nan. 2 + 0.03 abs(x) / 1.0 ulp: of degree 5
    # and reduced by one constant in float32, since the rounding of x - max alone costs abs(x) / 2.
    cdef real t, r, s, p
    x = at_least(x, by_dtype(<real>-88, <real>-709))
    if real is float:
        t = nearest(x, 0)
        r = minus_ln2_once(x, whole(t, 0))
        s = power(t)
        p = fma32(fma32(0.008289290592074394, r, 0.04189782217144966), r, 0.16667652130126953)
        return fma32(fma32(fma32(p, r, 0.4999915063381195), r, 0.9999997019767761), r * s, s)
    else:
        return scaled_exp(<real>1, x, <real>0, 0)

cdef inline real expm1(real x) noexcept nogil:
    # e**x - 1 for every x; 2**(n-1) and a last doubling reach the top of the range. 1.6 / 1.9 ulp.
    cdef real z, t, s, y
    z = clamp(x, by_dtype(<real>-17.33, <real>-37.5), by_dtype(<real>89, <real>710))
    t = nearest(z, -1)
    s = power(t)
    y = fma(expm1_core(minus_ln2(z, whole(t, -1))), s, s - <real>0.5)
    return x if magnitude(x) < <real>1e-17 else y + y

cdef inline real expm1_negative(real m, real x) noexcept nogil:
    # m (e**x - 1) for x <= 0, the largest part r m kept exact; what it returns for x > 0 or nan is to be discarded. 1.0 / 1.1 ulp.
    cdef real z, t, r, s, y
    z = at_least(x, by_dtype(<real>-17.33, <real>-37.5))
    t = nearest(z, 0)
    r = minus_ln2_once(z, whole(t, 0))
    s = m * power(t)
    y = fma(r, s, s - m)
    return y + fma(expm1_series(r), r * r * s, fma(r, s, (s - m) - y))

cdef inline real expm1_ratio(real x) noexcept nogil:
    # e**x - 1 for x <= 0, as expm1_negative but in float64 by the odd-even rational, in .8 of the time. 1.0 / 2.6 ulp.
    cdef real z, t, s, a, b
    if real is float:
        return expm1_negative(<real>1, x)
    else:
        z = at_least(x, -37.5)
        t = nearest(z, 0)
        z = minus_ln2_once(z, whole(t, 0))
        s = power(t)
        exp_even_odd(z, &a, &b)
        return fma64(a, s - 1, b * (s + 1)) / (a - b)


# ---- log1p ----

cdef inline real log1p_series(real v) noexcept nogil:
    # P of log1p(f) = 2 atanh(w/2) = w + w v P(v), w = f / (1 + f/2), v = w*w <= 4/9: 4 / 10 terms, 2**-28 / 2**-59.
    cdef real p
    if real is float:
        p = fma32(0.0005471751210279763, v, 0.002187595469877124)
        return fma32(fma32(p, v, 0.01250673457980156), v, 0.08333302289247513)
    else:
        p = fma64(8.106402546266216e-08, v, 1.592743631228013e-07)
        p = fma64(p, v, 9.234253171019785e-07)
        p = fma64(p, v, 4.059241961121466e-06)
        p = fma64(p, v, 1.87823862096035e-05)
        p = fma64(p, v, 8.877805389754262e-05)
        p = fma64(p, v, 0.000434027810963785)
        p = fma64(p, v, 0.002232142855371416)
        p = fma64(p, v, 0.012500000000046455)
        return fma64(p, v, 0.08333333333333291)

cdef inline real log1p_core(real f, real w) noexcept nogil:
    # log1p(f) for f in [-0.3, 1], given w = f / (1 + f/2), whose own rounding this form makes small. 1.0 / 1.0 ulp.
    cdef real v
    v = w * w
    return fma(w, fma(v, log1p_series(v), <real>-0.5 * f), f)

cdef inline real log1p(real x) noexcept nogil:
    # log(1 + x) for x >= 0: 1 + x = 2**k (1 + f), f in [-0.3, 0.42] and exact where that matters. 1.5 / 1.5 ulp.
    cdef real k, s, f, y
    if real is float:
        # bits of 1 + x above those of sqrt(1/2), shifted down to k; k becomes a number under the bits of 2**23.
        k = from32(((bits32(<real>1 + x) - <u32>0x3f3504f3) >> 23) | <u32>0x4b000000)
        s = from32(<u32>0x3f800000 - (bits32(k) << 23))
        k = k - <real>8388608
    else:
        k = from64(((bits64(<real>1 + x) - <u64>0x3fe6a09e667f3bcd) >> 52) | <u64>0x4330000000000000)
        s = from64(<u64>0x3ff0000000000000 - (bits64(k) << 52))
        k = k - 4503599627370496.0
    f = fma(x, s, s - <real>1)
    y = plus_ln2(log1p_core(f, f / fma(<real>0.5, f, <real>1)), k)
    return y if x < <real>1e30 else x

cdef inline real log1p_exp_begin(real a, real low) noexcept nogil:
    # What log1p_exp_end turns into log(1 + e**-(a + low)), 0 <= a <= 110 / 768: raised(e**-(a + low)) / the w of log1p_core.
    cdef real q, t, e, w
    if real is float:
        return raised_exp(<real>1, -a, low)
    else:
        t = nearest(-a, 128)
        exp_even_odd(minus_ln2(a, -whole(t, 128)) + low, &e, &w)
        q = power(t) * (e - w)
        return q / fma(<real>0.5, q, raised(e + w))

cdef inline real log1p_exp_end(real q) noexcept nogil:
    # log(1 + e**-(a + low)), subnormal results included: polynomial / odd-even rational. 1.9 / 2.9 ulp.
    cdef real e
    if real is float:
        e = lowered(q)
        return log1p_core(e, q / fma(<real>0.5, q, raised(<real>1)))
    else:
        e = q * q
        return fma(q * e, log1p_series(e), q)


# ---- sigmoid-like gates ----

cdef inline void gate_begin(real w, real low, real *r, real *s) noexcept nogil:
    # What gate_end needs of e**-(w + low) for w in [-131, 40] / [-880, 500].
    cdef real t
    if real is float:
        exp_parts(-w, low, -62, r, s)
    else:
        t = nearest(-w, -300)
        r[0] = minus_ln2(w, -whole(t, -300)) + low
        s[0] = power(t)

cdef inline real gate_end(real x, real r, real s) noexcept nogil:
    # x / (1 + e**-(w + low)); only the last operation rounds a subnormal result. 2.0 / 2.7 ulp.
    cdef real a, b, den
    if real is float:
        return x / (s + fma(r, s, <float>2.168404344971009e-19)) * <float>2.168404344971009e-19
    else:
        exp_even_odd(r, &a, &b)
        den = fma64(a, s + 4.909093465297727e-91, b * (4.909093465297727e-91 - s))
        return fma64(x, a, x * b) / den * 4.909093465297727e-91

cdef inline real raised_gate_ratio(real r, real s) noexcept nogil:
    # float64: raised(q / (1 + q)), q = e**(x - low) by raised_parts. 2.3 ulp.
    cdef real a, b
    exp_even_odd(r, &a, &b)
    s = s * (a + b)
    return s / ((a - b) + lowered(s))

cdef inline real gelu_tanh_nearest(real x, int k) noexcept nogil:
    # float32: t of nearest for -w / ln 2, w = x (k1 + k3 x**2) = 2 sqrt(2/pi) (x + 0.044715 x**3), for abs(x) <= 10.9.
    cdef real xh
    xh = head(x)
    return fma(-x, fma32(xh * xh, 0.10294324159622192, 2.3017578125), <real>(12583039 + k))

cdef inline real gelu_tanh_core(real x, real n) noexcept nogil:
    # float32: 2**f - 1, f = -w / ln 2 - n, where w / ln 2 is had in two parts, p x + low x. 2**-26.
    cdef real xh, v, vl, p, d, low, f
    xh = head(x)
    v = xh * xh
    vl = (x - xh) * (x + xh)
    p = fma32(v, 0.10294324159622192, 2.3017578125)
    d = p - <float>2.3017578125
    low = fma32(v, -2.016198541454628e-09, 0.0004503856471274048)
    low = fused32(v, 0.10294324159622192, -d) + fma32(vl, 0.10294324159622192, low)
    f = fma(-x, low, fused32(-x, p, -n))
    p = fma32(0.00015456404071301222, f, 0.0013391146203503013)
    p = fma32(fma32(p, f, 0.009618077427148819), f, 0.055503591895103455)
    return f * fma32(fma32(p, f, 0.24022650718688965), f, 0.6931471824645996)

cdef inline real gelu_tanh_product(real x, real *low) noexcept nogil:
    # float64: w = x (k1 + k3 x**2) = 2 sqrt(2/pi) (x + 0.044715 x**3), and in low its rest, on any machine. 2**-71.
    cdef real v, p, d
    v = x * x
    p = fma(v, <real>0.07135486602783203, <real>1.5957691669464111)
    d = p - <real>1.5957691669464111    # exact
    d = fma(product_rest(x, x, v), <real>0.07135486602783203, product_rest(v, <real>0.07135486602783203, d))
    d = fma(v, <real>-4.975523178247366e-08, <real>-4.534068042105272e-08) + d
    low[0] = fma(x, d, product_rest(x, p, x * p))
    return x * p


# ---- Gaussian tail ----

cdef inline real raised_gauss(real m, real a) noexcept nogil:
    # raised(m e**(-a*a/2)) for 0 <= a <= 14.9 / 38.9: the square in an exact head and a rest, on any machine. 1.0 / 1.0 ulp.
    cdef real ah
    ah = head(a)
    return raised_exp(m, <real>-0.5 * ah * ah, <real>0.5 * (a - ah) * (a + ah))

cdef inline real mills_base(real a) noexcept nogil:
    # raised(S), S = 1.8359375 + 2.296875 a: Phi(-a) e**(a*a/2) = (1 + d) / S with d = mills_rest(a), abs(d) < 0.088.
    return fma(a, raised(<real>2.296875), raised(<real>1.8359375))

cdef inline real mills_rest(real a) noexcept nogil:
    # The d of mills_base: a rational of degree 5/5 / 10/10, whose rounding errors count for an eleventh.
    cdef real p, q
    if real is float:
        p = fma32(-0.0010103245731443167, a, -0.0005321877542883158)
        p = fma32(fma32(p, a, 0.02925865538418293), a, 0.14873487502336502)
        p = fma32(fma32(p, a, 0.2763161361217499), a, -0.08203125)
        q = fma32(0.012074592523276806, a, 0.11199954152107239)
        q = fma32(fma32(q, a, 0.49958282709121704), a, 1.2474086284637451)
        return p / fma32(fma32(q, a, 1.7028696537017822), a, 1)
    else:
        p = fma64(-3.1761867394512393e-07, a, -5.599820352159197e-06)
        p = fma64(fma64(p, a, -3.924142204423075e-05), a, -4.498568009021852e-05)
        p = fma64(fma64(p, a, 0.0014258403572052596), a, 0.013354471106995057)
        p = fma64(fma64(p, a, 0.06363214206632793), a, 0.18443853196084536)
        p = fma64(fma64(p, a, 0.3116208894018667), a, 0.22254989220702612)
        p = fma64(p, a, -0.08203125)
        q = fma64(3.7956592098144197e-06, a, 0.00010014270885228887)
        q = fma64(fma64(q, a, 0.0013039188919357696), a, 0.010820770814181221)
        q = fma64(fma64(q, a, 0.06264296170814652), a, 0.2621983866642223)
        q = fma64(fma64(q, a, 0.7987172325350635), a, 1.7402687015020428)
        q = fma64(fma64(q, a, 2.585688186098136), a, 2.3583026574441406)
        return p / fma64(q, a, 1)
