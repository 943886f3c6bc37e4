/* Transposition in small tiles of vectors: how short rows are laid side by side and back. */
#ifndef FASTACT_TRANSPOSE_H
#define FASTACT_TRANSPOSE_H
#include <stddef.h>
#include <string.h>

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define FA_SHUFFLE4(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#define FA_SHUFFLE2(a, b, i, j) __builtin_shufflevector(a, b, i, j)
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
#endif
