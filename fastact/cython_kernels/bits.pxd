# cython: language_level=3, cdivision=True
# What scalars are written in: the type `real`, fused multiply-add, and the bits of numbers.
# `fused32` fuses on every level; `fma` only where the machine does, so v2 alone gives other bits than v3, v4, aarch64 and Numba.

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    static inline uint32_t fa_bits32(float x) { uint32_t b; memcpy(&b, &x, 4); return b; }
    static inline uint64_t fa_bits64(double x) { uint64_t b; memcpy(&b, &x, 8); return b; }
    static inline float fa_from32(uint32_t b) { float x; memcpy(&x, &b, 4); return x; }
    static inline double fa_from64(uint64_t b) { double x; memcpy(&x, &b, 8); return x; }
    #if defined(__FMA__) || defined(__aarch64__)
    static inline float fa_fma32(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
    static inline double fa_fma64(double a, double b, double c) { return __builtin_fma(a, b, c); }
    static inline float fa_fused32(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
    static inline double fa_rest64(double a, double b, double ab) { return __builtin_fma(a, b, -ab); }
    #else
    static inline float fa_fma32(float a, float b, float c) { return a * b + c; }
    static inline double fa_fma64(double a, double b, double c) { return a * b + c; }
    static inline float fa_fused32(float a, float b, float c) { return (float)((double)a * b + c); }
    static inline double fa_head64(double x) { return fa_from64(fa_bits64(x) & UINT64_C(0xfffffffff8000000)); }
    static inline double fa_rest64(double a, double b, double ab) {
        double ah = fa_head64(a), bh = fa_head64(b);
        return ah * bh - ab + ah * (b - bh) + (a - ah) * bh + (a - ah) * (b - bh);
    }
    #endif
    /* Zero, defined where the compiler does not see it; once, if several that do so are linked together. */
    #ifdef __ELF__
    extern const double fa_zero __attribute__((visibility("hidden")));
    __asm__(".ifndef fa_zero\\n.pushsection .rodata\\n.balign 8\\n.weak fa_zero\\n.hidden fa_zero\\nfa_zero: .zero 8\\n"
            ".popsection\\n.endif");
    #else
    static const double fa_zero = 0;
    #endif
    """
    const double fa_zero
    ctypedef unsigned int u32 "uint32_t"
    ctypedef unsigned long long u64 "uint64_t"
    u32 bits32 "fa_bits32"(float) noexcept nogil
    u64 bits64 "fa_bits64"(double) noexcept nogil
    float from32 "fa_from32"(u32) noexcept nogil
    double from64 "fa_from64"(u64) noexcept nogil
    float fma32 "fa_fma32"(float, float, float) noexcept nogil
    double fma64 "fa_fma64"(double, double, double) noexcept nogil
    float fused32 "fa_fused32"(float, float, float) noexcept nogil
    double rest64 "fa_rest64"(double, double, double) noexcept nogil

ctypedef fused real:
    float
    double


cdef inline real by_dtype(real single, real double_) noexcept nogil:
    # A constant that depends on the type.
    if real is float:
        return single
    else:
        return double_

cdef inline real unknown(real bound) noexcept nogil:
    # A bound as a number that the compiler does not know: of a choice beside a constant gcc makes a comparison and a select, else one
    # instruction, max or min.
    return bound - <real>fa_zero

cdef inline real fma(real a, real b, real c) noexcept nogil:
    # a*b + c in one rounding where the machine fuses, in two on v2: for speed and half an ulp, never for an exact residual.
    if real is float:
        return fma32(a, b, c)
    else:
        return fma64(a, b, c)

cdef inline real magnitude(real x) noexcept nogil:
    # abs(x), nan included.
    if real is float:
        return from32(bits32(x) & <u32>0x7fffffff)
    else:
        return from64(bits64(x) & <u64>0x7fffffffffffffff)

cdef inline real with_sign(real y, real x) noexcept nogil:
    # copysign(y, x) for y >= 0.
    if real is float:
        return from32(bits32(y) | (bits32(x) & <u32>0x80000000))
    else:
        return from64(bits64(y) | (bits64(x) & <u64>0x8000000000000000))

cdef inline real flip(real x, real sign) noexcept nogil:
    # x, negated where sign is negative.
    if real is float:
        return from32(bits32(x) ^ (bits32(sign) & <u32>0x80000000))
    else:
        return from64(bits64(x) ^ (bits64(sign) & <u64>0x8000000000000000))

cdef inline real product_rest(real a, real b, real ab) noexcept nogil:
    # a*b - ab, the rounding error of the product ab, exact on every level.
    if real is float:
        return fused32(a, b, -ab)
    else:
        return rest64(a, b, ab)

cdef inline real head(real x) noexcept nogil:
    # The leading half of the mantissa (12 or 26 bits): products of two heads are exact.
    if real is float:
        return from32(bits32(x) & <u32>0xfffff000)
    else:
        return from64(bits64(x) & <u64>0xfffffffff8000000)

cdef inline real by_sign(real s, real below, real above) noexcept nogil:
    # below where the sign bit of s is set, else above. Of selects on one comparison gcc makes two computations, never of these.
    cdef u32 m
    cdef u64 w
    if real is float:
        m = <u32>0 - (bits32(s) >> 31)
        return from32((bits32(below) & m) | (bits32(above) & ~m))
    else:
        w = <u64>0 - (bits64(s) >> 63)
        return from64((bits64(below) & w) | (bits64(above) & ~w))


# t = x log2(e) + magic rounds to n + magic; magic = 1.5 * 2**23 (2**52) + 127 (1023) leaves n + 127 (1023) in the low bits of t.

cdef inline real power(real t) noexcept nogil:
    # 2**n, where the magic number carries the bias 127 (1023); any 2**k more goes into the magic.
    if real is float:
        return from32(bits32(t) << 23)
    else:
        return from64(bits64(t) << 52)

cdef inline real power_half(real t) noexcept nogil:
    # About 2**(n/2), where the magic carries twice the bias: with power_rest it scales in two steps over the full range.
    if real is float:
        return from32((bits32(t) << 22) & <u32>0xff800000)
    else:
        return from64((bits64(t) << 51) & <u64>0xfff0000000000000)

cdef inline real power_rest(real t) noexcept nogil:
    # 2**n / power_half(t).
    if real is float:
        return from32((bits32(t) << 23) - ((bits32(t) << 22) & <u32>0xff800000))
    else:
        return from64((bits64(t) << 52) - ((bits64(t) << 51) & <u64>0xfff0000000000000))
