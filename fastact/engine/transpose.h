/* Transposition in small tiles of vectors: how short rows are laid side by side and back. */
#ifndef FASTACT_TRANSPOSE_H
#define FASTACT_TRANSPOSE_H
#include <stddef.h>
#include <string.h>

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define FA_SHUFFLE4(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#define FA_SHUFFLE2(a, b, i, j) __builtin_shufflevector(a, b, i, j)
#define FA_SHUFFLE __builtin_shufflevector
#endif
#endif
#ifndef FA_SHUFFLE4 /* gcc before 12 */
#define FA_SHUFFLE4(a, b, i, j, k, l) __builtin_shuffle(a, b, (fa_int4){i, j, k, l})
#define FA_SHUFFLE2(a, b, i, j) __builtin_shuffle(a, b, (fa_int2){i, j})
#endif
typedef int fa_int4 __attribute__((vector_size(16)));
typedef long long fa_int2 __attribute__((vector_size(16)));
typedef float fa_float4 __attribute__((vector_size(16)));
typedef double fa_double2 __attribute__((vector_size(16)));
typedef double fa_double4 __attribute__((vector_size(32)));

static inline fa_float4 fa_load4(const float *p) { fa_float4 v; memcpy(&v, p, 16); return v; }
static inline fa_double2 fa_load2(const double *p) { fa_double2 v; memcpy(&v, p, 16); return v; }

static inline void fa_tile4(float *to, ptrdiff_t to_step, const float *from, ptrdiff_t from_step) {
    fa_float4 a = fa_load4(from), b = fa_load4(from + from_step), c = fa_load4(from + 2 * from_step), d = fa_load4(from + 3 * from_step);
    fa_float4 ab_low = FA_SHUFFLE4(a, b, 0, 4, 1, 5), ab_high = FA_SHUFFLE4(a, b, 2, 6, 3, 7);
    fa_float4 cd_low = FA_SHUFFLE4(c, d, 0, 4, 1, 5), cd_high = FA_SHUFFLE4(c, d, 2, 6, 3, 7);
    fa_float4 r0 = FA_SHUFFLE4(ab_low, cd_low, 0, 1, 4, 5), r1 = FA_SHUFFLE4(ab_low, cd_low, 2, 3, 6, 7);
    fa_float4 r2 = FA_SHUFFLE4(ab_high, cd_high, 0, 1, 4, 5), r3 = FA_SHUFFLE4(ab_high, cd_high, 2, 3, 6, 7);
    memcpy(to, &r0, 16);
    memcpy(to + to_step, &r1, 16);
    memcpy(to + 2 * to_step, &r2, 16);
    memcpy(to + 3 * to_step, &r3, 16);
}

static inline void fa_tile2(double *to, ptrdiff_t to_step, const double *from, ptrdiff_t from_step) {
    fa_double2 a = fa_load2(from), b = fa_load2(from + from_step);
    fa_double2 r0 = FA_SHUFFLE2(a, b, 0, 2), r1 = FA_SHUFFLE2(a, b, 1, 3);
    memcpy(to, &r0, 16);
    memcpy(to + to_step, &r1, 16);
}

/* to[c * to_step + r] = from[r * from_step + c] for r < rows, c < columns. Where tiles do not fit, the last one begins earlier. */
#define FA_TRANSPOSE(name, type, tile, size) \
    static void name(type *to, ptrdiff_t to_step, const type *from, ptrdiff_t from_step, ptrdiff_t rows, ptrdiff_t columns) { \
        ptrdiff_t r, c, row, column; \
        if (rows < size || columns < size) { \
            for (r = 0; r < rows; r++) for (c = 0; c < columns; c++) to[c * to_step + r] = from[r * from_step + c]; \
            return; \
        } \
        for (r = 0; r < rows; r += size) { \
            row = r + size > rows ? rows - size : r; \
            for (c = 0; c < columns; c += size) { \
                column = c + size > columns ? columns - size : c; \
                tile(to + column * to_step + row, to_step, from + row * from_step + column, from_step); \
            } \
        } \
    }
FA_TRANSPOSE(fa_transpose_f, float, fa_tile4, 4)
FA_TRANSPOSE(fa_transpose_d, double, fa_tile2, 2)

/* to[c * 16 + r] = from[r * step + c] for 16 rows and 4 columns: in vectors of 32 bytes where the code is compiled for a machine that has them. */
#if defined(__AVX__) && defined(FA_SHUFFLE)
typedef float fa_float8 __attribute__((vector_size(32)));

/* Elements of p in the lower half, of q in the upper one. */
static inline fa_float8 fa_load44(const float *p, const float *q) { return FA_SHUFFLE(fa_load4(p), fa_load4(q), 0, 1, 2, 3, 4, 5, 6, 7); }
static inline fa_double4 fa_wide4(const double *p) { fa_double4 v; memcpy(&v, p, 32); return v; }

static inline void fa_turn_f(float *to, const float *from, ptrdiff_t step) {
    for (int r = 0; r < 16; r += 8, from += 8 * step) {
        fa_float8 a = fa_load44(from, from + 4 * step), b = fa_load44(from + step, from + 5 * step);
        fa_float8 c = fa_load44(from + 2 * step, from + 6 * step), d = fa_load44(from + 3 * step, from + 7 * step);
        fa_float8 ab_low = FA_SHUFFLE(a, b, 0, 8, 1, 9, 4, 12, 5, 13), ab_high = FA_SHUFFLE(a, b, 2, 10, 3, 11, 6, 14, 7, 15);
        fa_float8 cd_low = FA_SHUFFLE(c, d, 0, 8, 1, 9, 4, 12, 5, 13), cd_high = FA_SHUFFLE(c, d, 2, 10, 3, 11, 6, 14, 7, 15);
        a = FA_SHUFFLE(ab_low, cd_low, 0, 1, 8, 9, 4, 5, 12, 13), b = FA_SHUFFLE(ab_low, cd_low, 2, 3, 10, 11, 6, 7, 14, 15);
        c = FA_SHUFFLE(ab_high, cd_high, 0, 1, 8, 9, 4, 5, 12, 13), d = FA_SHUFFLE(ab_high, cd_high, 2, 3, 10, 11, 6, 7, 14, 15);
        memcpy(to + r, &a, 32);
        memcpy(to + 16 + r, &b, 32);
        memcpy(to + 32 + r, &c, 32);
        memcpy(to + 48 + r, &d, 32);
    }
}

static inline void fa_turn_d(double *to, const double *from, ptrdiff_t step) {
    for (int r = 0; r < 16; r += 4, from += 4 * step) {
        fa_double4 a = fa_wide4(from), b = fa_wide4(from + step), c = fa_wide4(from + 2 * step), d = fa_wide4(from + 3 * step);
        fa_double4 ab_even = FA_SHUFFLE(a, b, 0, 4, 2, 6), ab_odd = FA_SHUFFLE(a, b, 1, 5, 3, 7);
        fa_double4 cd_even = FA_SHUFFLE(c, d, 0, 4, 2, 6), cd_odd = FA_SHUFFLE(c, d, 1, 5, 3, 7);
        a = FA_SHUFFLE(ab_even, cd_even, 0, 1, 4, 5), b = FA_SHUFFLE(ab_odd, cd_odd, 0, 1, 4, 5);
        c = FA_SHUFFLE(ab_even, cd_even, 2, 3, 6, 7), d = FA_SHUFFLE(ab_odd, cd_odd, 2, 3, 6, 7);
        memcpy(to + r, &a, 32);
        memcpy(to + 16 + r, &b, 32);
        memcpy(to + 32 + r, &c, 32);
        memcpy(to + 48 + r, &d, 32);
    }
}
#else
static inline void fa_turn_f(float *to, const float *from, ptrdiff_t step) {
    for (int r = 0; r < 16; r += 4) fa_tile4(to + r, 16, from + r * step, step);
}

static inline void fa_turn_d(double *to, const double *from, ptrdiff_t step) {
    for (int r = 0; r < 16; r += 2, from += 2 * step) {
        fa_tile2(to + r, 16, from, step);
        fa_tile2(to + 32 + r, 16, from + 2, step);
    }
}
#endif

/* out[j] = hit where j == at, else miss, for j < 4. */
static inline void fa_spot_f(float *out, float hit, float miss, ptrdiff_t at) {
    fa_float4 yes = {hit, hit, hit, hit}, no = {miss, miss, miss, miss};
    fa_int4 here = {(int)at, (int)at, (int)at, (int)at}, lane = {0, 1, 2, 3}, mask = lane == here;
    mask = ((fa_int4)yes & mask) | ((fa_int4)no & ~mask);
    memcpy(out, &mask, 16);
}

typedef long long fa_long4 __attribute__((vector_size(32)));
static inline void fa_spot_d(double *out, double hit, double miss, ptrdiff_t at) {
    fa_double4 yes = {hit, hit, hit, hit}, no = {miss, miss, miss, miss};
    fa_long4 here = {at, at, at, at}, lane = {0, 1, 2, 3}, mask = lane == here;
    mask = ((fa_long4)yes & mask) | ((fa_long4)no & ~mask);
    memcpy(out, &mask, 32);
}
#endif
