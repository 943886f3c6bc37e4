/* Conversion of 16-bit floats, a block at a time: IEEE half by F16C where the processor has it, else by integer arithmetic; bfloat16 by shifts. */
#ifndef FASTACT_HALF_H
#define FASTACT_HALF_H
#include <stdint.h>
#include <string.h>

static inline uint32_t fa_bits(float x) { uint32_t b; memcpy(&b, &x, 4); return b; }
static inline float fa_float(uint32_t b) { float x; memcpy(&x, &b, 4); return x; }

/* Exponent and mantissa shifted into place, then scaled by 2^112: exact, subnormals included; infinities and nans get the top exponent. */
static inline float fa_from_half1(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, body = (uint32_t)(h & 0x7fffu) << 13;
    uint32_t finite = fa_bits(fa_float(body) * 0x1p112f), special = body | 0x7f800000u;
    return fa_float(sign | ((h & 0x7c00u) == 0x7c00u ? special : finite));
}

/* Round to nearest even: normals by adding half a unit, subnormals by the addition of a number whose unit is the smallest half. */
static inline uint16_t fa_to_half1(float x) {
    uint32_t bits = fa_bits(x), sign = bits >> 16 & 0x8000u, a = bits & 0x7fffffffu;
    uint32_t normal = (a + 0xfffu + (a >> 13 & 1u) - 0x38000000u) >> 13;
    uint32_t small = fa_bits(fa_float(a) + 0.5f) - 0x3f000000u;
    uint32_t h = a < 0x38800000u ? small : normal;
    h = a >= 0x47800000u ? 0x7c00u : h;
    h = a > 0x7f800000u ? 0x7e00u | (a >> 13 & 0x3ffu) : h;
    return (uint16_t)(sign | h);
}

static inline float fa_from_brain1(uint16_t h) { return fa_float((uint32_t)h << 16); }

static inline uint16_t fa_to_brain1(float x) {
    uint32_t b = fa_bits(x);
    uint32_t rounded = (b + 0x7fffu + (b >> 16 & 1u)) >> 16, nan = b >> 16 | 0x40u;
    return (uint16_t)((b & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

static void fa_from_half_plain(float *y, const uint16_t *x, Py_ssize_t n) { for (Py_ssize_t i = 0; i < n; i++) y[i] = fa_from_half1(x[i]); }
static void fa_to_half_plain(uint16_t *y, const float *x, Py_ssize_t n) { for (Py_ssize_t i = 0; i < n; i++) y[i] = fa_to_half1(x[i]); }

#if defined(__x86_64__)
#include <immintrin.h>
#define FA_V3 __attribute__((target("avx2,f16c")))
enum { FA_LINE = 32 };      /* numbers of 16 bits in a cache line, converted in one turn of a loop */

/* Blocks follow one another: while one is computed, the next, n numbers further on, is on its way from memory. */
#define FA_FETCH_NEXT(x, n) _mm_prefetch((const char *)((x) + (n)), _MM_HINT_T0)

FA_V3 static void fa_from_half_v3(float *y, const uint16_t *x, Py_ssize_t n) {
    Py_ssize_t i = 0;
    for (; i + FA_LINE <= n; i += FA_LINE) {
        FA_FETCH_NEXT(x + i, n);
        for (int j = 0; j < FA_LINE; j += 8) _mm256_storeu_ps(y + i + j, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + i + j))));
    }
    for (; i < n; i++) y[i] = _cvtsh_ss(x[i]);
}
FA_V3 static void fa_to_half_v3(uint16_t *y, const float *x, Py_ssize_t n) {
    Py_ssize_t i = 0;
    for (; i + 8 <= n; i += 8) _mm_storeu_si128((__m128i *)(y + i), _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < n; i++) y[i] = (uint16_t)_cvtss_sh(x[i], _MM_FROUND_TO_NEAREST_INT);
}

/* Zeros below each number make a float of it; the quarters are exchanged first, since unpacking works within halves of a vector. */
FA_V3 static void fa_from_brain_v3(float *y, const uint16_t *x, Py_ssize_t n) {
    const __m256i zero = _mm256_setzero_si256();
    Py_ssize_t i = 0;
    for (; i + FA_LINE <= n; i += FA_LINE) {
        FA_FETCH_NEXT(x + i, n);
        for (int j = 0; j < FA_LINE; j += 16) {
            __m256i h = _mm256_permute4x64_epi64(_mm256_loadu_si256((const __m256i *)(x + i + j)), 0xd8);
            _mm256_storeu_si256((__m256i *)(y + i + j), _mm256_unpacklo_epi16(zero, h));
            _mm256_storeu_si256((__m256i *)(y + i + j + 8), _mm256_unpackhi_epi16(zero, h));
        }
    }
    for (; i < n; i++) y[i] = fa_from_brain1(x[i]);
}

/* The bits of floats other than nan, rounded to their upper half. */
FA_V3 static inline __m256i fa_upper(__m256 x) {
    __m256i b = _mm256_castps_si256(x), odd = _mm256_and_si256(_mm256_srli_epi32(b, 16), _mm256_set1_epi32(1));
    return _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(b, _mm256_set1_epi32(0x7fff)), odd), 16);
}
FA_V3 static inline void fa_store_upper(uint16_t *y, __m256i a, __m256i b) {
    _mm256_storeu_si256((__m256i *)y, _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8));
}
FA_V3 static void fa_to_brain_v3(uint16_t *y, const float *x, Py_ssize_t n) {
    Py_ssize_t i = 0;
    for (; i + FA_LINE <= n; i += FA_LINE) {
        __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + i + 8), c = _mm256_loadu_ps(x + i + 16), d = _mm256_loadu_ps(x + i + 24);
        __m256 nan = _mm256_or_ps(_mm256_cmp_ps(a, b, _CMP_UNORD_Q), _mm256_cmp_ps(c, d, _CMP_UNORD_Q));
        if (_mm256_movemask_ps(nan)) {      /* seldom: so the others need not choose between two results */
            for (int j = 0; j < FA_LINE; j++) y[i + j] = fa_to_brain1(x[i + j]);
            continue;
        }
        fa_store_upper(y + i, fa_upper(a), fa_upper(b));
        fa_store_upper(y + i + 16, fa_upper(c), fa_upper(d));
    }
    for (; i < n; i++) y[i] = fa_to_brain1(x[i]);
}
#endif

static void fa_from_brain_plain(float *y, const uint16_t *x, Py_ssize_t n) { for (Py_ssize_t i = 0; i < n; i++) y[i] = fa_from_brain1(x[i]); }
static void fa_to_brain_plain(uint16_t *y, const float *x, Py_ssize_t n) { for (Py_ssize_t i = 0; i < n; i++) y[i] = fa_to_brain1(x[i]); }

typedef void (*fa_unpack)(float *, const uint16_t *, Py_ssize_t);
typedef void (*fa_pack)(uint16_t *, const float *, Py_ssize_t);
static fa_unpack fa_from_half = fa_from_half_plain, fa_from_brain = fa_from_brain_plain;
static fa_pack fa_to_half = fa_to_half_plain, fa_to_brain = fa_to_brain_plain;

/* Choose the conversions for an instruction-set level (0 where levels do not apply). */
static void fa_choose_half(int level) {
#if defined(__x86_64__)
    if (level >= 3) {
        fa_from_half = fa_from_half_v3; fa_to_half = fa_to_half_v3;
        fa_from_brain = fa_from_brain_v3; fa_to_brain = fa_to_brain_v3;
        return;
    }
#endif
    (void)level;
    fa_from_half = fa_from_half_plain; fa_to_half = fa_to_half_plain;
    fa_from_brain = fa_from_brain_plain; fa_to_brain = fa_to_brain_plain;
}
#endif
