"""What scalars and routines are written in: names that depend on the type, fused multiply-add, and the bits of numbers."""

import functools

import numpy as np
from llvmlite import ir

from fastact.numba_kernels.scalars import emitted, fuses, scalar

real = float  # inside a scalar, the type it is compiled for: a bare 0.5 is a float64 and would drag float32 maths to float64
SINGLE = False  # inside a scalar, whether that type is np.float32; the branch not taken is not compiled
FUSES = False  # inside a scalar, whether the machine has fused multiply-add


# ---- fused multiply-add ----


@emitted
def fma(typing, a, b, c):
    """a*b + c in one rounding where the machine fuses, in two elsewhere: for speed and half an ulp, never for a residual."""

    def codegen(context, builder, signature, given):
        a, b, c = given
        return builder.fma(a, b, c) if fuses() else builder.fadd(builder.fmul(a, b), c)

    return a(a, b, c), codegen


@scalar
def fused32(a, b, c):
    # The same for float32 alone, in one rounding (but for ties) elsewhere too: the product is exact in float64.
    return fma(a, b, c) if FUSES else real(np.float64(a) * b + c)


@scalar
def product_rest(a, b, ab):
    # a*b - ab, the rounding error of the product ab, exact on every machine.
    if SINGLE:
        return fused32(a, b, -ab)
    if FUSES:
        return fma(a, b, -ab)
    ah = head(a)
    bh = head(b)
    return ah * bh - ab + ah * (b - bh) + (a - ah) * bh + (a - ah) * (b - bh)


# ---- bits: each function gets its real arguments as integers of the same width, and returns such an integer ----


def on_bits(function):
    """Make an intrinsic of `function(build, *integers)`: `build` is the builder of LLVM's instructions."""

    @functools.wraps(function)
    def define(typing, *args):
        def codegen(context, builder, signature, given):
            integer = ir.IntType(args[0].bitwidth)
            return builder.bitcast(function(builder, *(builder.bitcast(x, integer) for x in given)), given[0].type)

        return args[0](*args), codegen

    return emitted(define)


def constant(x, for32, for64):
    return x.type(for32 if x.type.width == 32 else for64)


def sign_bit(x):
    return constant(x, 1 << 31, 1 << 63)


@on_bits
def magnitude(build, x):
    """abs(x), nan included."""
    return build.and_(x, build.not_(sign_bit(x)))


@on_bits
def with_sign(build, y, x):
    """copysign(y, x) for y >= 0."""
    return build.or_(y, build.and_(x, sign_bit(x)))


@on_bits
def flip(build, x, sign):
    """x, negated where sign is negative."""
    return build.xor(x, build.and_(sign, sign_bit(x)))


@on_bits
def head(build, x):
    """The leading half of the mantissa (12 or 26 bits): products of two heads are exact."""
    return build.and_(x, constant(x, 0xFFFFF000, 0xFFFFFFFFF8000000))


@on_bits
def by_sign(build, s, below, above):
    """below where the sign bit of s is set, else above."""
    return build.select(build.icmp_signed("<", s, s.type(0)), below, above)


# ---- powers of two: t = x log2(e) + magic rounds to n + magic, magic = 1.5 * 2**23 (2**52) + 127 (1023), and so leaves n + 127
# (1023) in its low bits ----


def exponent(build, t, short=0):
    return build.shl(t, constant(t, 23 - short, 52 - short))


@on_bits
def power(build, t):
    """2**n, where the magic number carries the bias 127 (1023); any 2**k more goes into the magic."""
    return exponent(build, t)


def half(build, t):
    return build.and_(exponent(build, t, 1), constant(t, 0xFF800000, 0xFFF0000000000000))


@on_bits
def power_half(build, t):
    """About 2**(n/2), where the magic carries twice the bias: with power_rest it scales in two steps over the full range."""
    return half(build, t)


@on_bits
def power_rest(build, t):
    """2**n / power_half(t)."""
    return build.sub(exponent(build, t), half(build, t))


# ---- the exponent of 1 + x, for log1p ----


@on_bits
def exponent_above(build, u):
    """A number of the form 2**23 + k (2**52 + k), where u = 2**k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2))."""
    k = build.lshr(build.sub(u, constant(u, 0x3F3504F3, 0x3FE6A09E667F3BCD)), constant(u, 23, 52))
    return build.or_(k, constant(u, 0x4B000000, 0x4330000000000000))


@on_bits
def power_minus(build, k):
    """2**-k of a number that exponent_above returned."""
    return build.sub(constant(k, 0x3F800000, 0x3FF0000000000000), exponent(build, k))
