/* How sixteen lanes become one number: by halving, in vectors. Written as loops, the compiler takes them from the stack one by one. */
#ifndef FASTACT_LANES_H
#define FASTACT_LANES_H
#include <string.h>

typedef float fa_some_f __attribute__((vector_size(16)));
typedef double fa_some_d __attribute__((vector_size(16)));
typedef int fa_mask_f __attribute__((vector_size(16)));
typedef long long fa_mask_d __attribute__((vector_size(16)));

#define FA_PLUS(a, b, ...) ((a) + (b))
#define FA_LARGER(a, b) ((b) > (a) ? (b) : (a))

/* Lane j takes lane j + 8, then j + 4, j + 2, j + 1: `meet` of two vectors, `last` of the numbers of one. */
#define FA_HALVE(name, suffix, type, meet, last)                                                \
    static inline type name##_##suffix(const type *lane) {                                      \
        enum { COUNT = 16 * sizeof(type) / sizeof(fa_some_##suffix) };                           \
        fa_some_##suffix v[COUNT];                                                               \
        memcpy(v, lane, sizeof v);                                                               \
        for (int half = COUNT / 2; half; half /= 2)                                              \
            for (int k = 0; k < half; k++) v[k] = meet(v[k], v[k + half], fa_some_##suffix, fa_mask_##suffix); \
        return last(v[0]);                                                                       \
    }
#define FA_TOP(a, b, vector, mask) ((vector)(((mask)(b) & ((b) > (a))) | ((mask)(a) & ~((b) > (a)))))
#define FA_OF_4(meet, v) meet(meet((v)[0], (v)[2]), meet((v)[1], (v)[3]))
#define FA_SUM_4(v) FA_OF_4(FA_PLUS, v)
#define FA_SUM_2(v) FA_PLUS((v)[0], (v)[1])
#define FA_TOP_4(v) FA_OF_4(FA_LARGER, v)
#define FA_TOP_2(v) FA_LARGER((v)[0], (v)[1])
FA_HALVE(fa_sum, f, float, FA_PLUS, FA_SUM_4)
FA_HALVE(fa_sum, d, double, FA_PLUS, FA_SUM_2)
FA_HALVE(fa_top, f, float, FA_TOP, FA_TOP_4)
FA_HALVE(fa_top, d, double, FA_TOP, FA_TOP_2)
#endif
