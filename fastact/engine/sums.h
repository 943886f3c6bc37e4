/* Sums in double: element i goes to lane i % 16, then the lanes by halving, so that every instruction-set level gives the same bits. */
#ifndef FASTACT_SUMS_H
#define FASTACT_SUMS_H

enum { FA_LANES = 16 };

static inline double fa_halve(double *lane) {
    for (int width = FA_LANES / 2; width; width /= 2)
        for (int j = 0; j < width; j++) lane[j] += lane[j + width];
    return lane[0];
}

#define FA_SUM(name, type)                                                           \
    static double name(const type *x, Py_ssize_t n) {                                \
        double lane[FA_LANES] = {0};                                                 \
        Py_ssize_t i = 0;                                                            \
        for (; i + FA_LANES <= n; i += FA_LANES)                                     \
            for (int j = 0; j < FA_LANES; j++) lane[j] += x[i + j];                  \
        for (int j = 0; i + j < n; j++) lane[j] += x[i + j];                         \
        return fa_halve(lane);                                                       \
    }
FA_SUM(fa_sum_f_plain, float)
FA_SUM(fa_sum_d_plain, double)

#if defined(__x86_64__)
#include <immintrin.h>
/* Four vectors of lanes, so that no addition waits for the one before it. */
#define FA_SUM_V3(name, type, load)                                                  \
    __attribute__((target("avx2"))) static double name(const type *x, Py_ssize_t n) { \
        __m256d a = _mm256_setzero_pd(), b = a, c = a, d = a;                        \
        double lane[FA_LANES];                                                       \
        Py_ssize_t i = 0;                                                            \
        for (; i + FA_LANES <= n; i += FA_LANES) {                                   \
            a = _mm256_add_pd(a, load(x + i));                                       \
            b = _mm256_add_pd(b, load(x + i + 4));                                   \
            c = _mm256_add_pd(c, load(x + i + 8));                                   \
            d = _mm256_add_pd(d, load(x + i + 12));                                  \
        }                                                                            \
        _mm256_storeu_pd(lane, a);                                                   \
        _mm256_storeu_pd(lane + 4, b);                                               \
        _mm256_storeu_pd(lane + 8, c);                                               \
        _mm256_storeu_pd(lane + 12, d);                                              \
        for (int j = 0; i + j < n; j++) lane[j] += x[i + j];                         \
        return fa_halve(lane);                                                       \
    }
#define FA_WIDEN(place) _mm256_cvtps_pd(_mm_loadu_ps(place))
FA_SUM_V3(fa_sum_f_v3, float, FA_WIDEN)
FA_SUM_V3(fa_sum_d_v3, double, _mm256_loadu_pd)
#endif

static double (*fa_sum_f)(const float *, Py_ssize_t) = fa_sum_f_plain;
static double (*fa_sum_d)(const double *, Py_ssize_t) = fa_sum_d_plain;

/* Choose the sums for an instruction-set level (0 where levels do not apply). */
static void fa_choose_sums(int level) {
    fa_sum_f = fa_sum_f_plain;
    fa_sum_d = fa_sum_d_plain;
#if defined(__x86_64__)
    if (level >= 3) {
        fa_sum_f = fa_sum_f_v3;
        fa_sum_d = fa_sum_d_v3;
    }
#endif
    (void)level;
}
#endif
