/* Which x86-64 level the processor and the operating system support: feature bits of CPUID, register state of XGETBV. */
#ifndef FASTACT_CPU_H
#define FASTACT_CPU_H

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

static unsigned long long fa_xcr0(void) {
    unsigned int low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((unsigned long long)high << 32) | low;
}

static int fa_all(unsigned int word, unsigned int mask) { return (word & mask) == mask; }

/* 0 for a processor below v2, else 2, 3 or 4. */
static int fa_x86_level(void) {
    unsigned int a, b, c1, d, b7, c7, c81 = 0, top;
    if (!__get_cpuid(1, &a, &b, &c1, &d)) return 0;
    /* SSE3, SSSE3, CX16, SSE4.1, SSE4.2, POPCNT */
    if (!fa_all(c1, 1u | 1u << 9 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 23)) return 0;
    /* FMA, MOVBE, OSXSAVE, AVX, F16C */
    if (!fa_all(c1, 1u << 12 | 1u << 22 | 1u << 27 | 1u << 28 | 1u << 29)) return 2;
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d)) return 2;
    if (__get_cpuid(0x80000000u, &top, &b, &c7, &d) && top >= 0x80000001u) __get_cpuid(0x80000001u, &a, &b, &c81, &d);
    /* BMI1, AVX2, BMI2; LZCNT; the system keeps XMM and YMM */
    if (!fa_all(b7, 1u << 3 | 1u << 5 | 1u << 8) || !fa_all(c81, 1u << 5) || (fa_xcr0() & 0x6) != 0x6) return 2;
    /* AVX512 F, DQ, CD, BW, VL; the system keeps the mask registers and ZMM too */
    if (!fa_all(b7, 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31) || (fa_xcr0() & 0xe6) != 0xe6) return 3;
    return 4;
}

/* The exception flags and masks of the vector unit: kept as they were around kernels, which may raise stray flags. */
static inline unsigned int fa_save_flags(void) { return _mm_getcsr(); }
static inline void fa_restore_flags(unsigned int state) { _mm_setcsr(state); }

#else
#include <fenv.h>
static int fa_x86_level(void) { return 0; }
static inline unsigned int fa_save_flags(void) { return (unsigned int)fetestexcept(FE_ALL_EXCEPT); }
static inline void fa_restore_flags(unsigned int state) {
    feclearexcept(FE_ALL_EXCEPT & ~(int)state);
}
#endif
#endif
