"""A second judge for the worst inputs: the formulas of the register, as the README prints them, evaluated by mpmath.

A formula is Python but for its definitions, which follow it: ``x * (1 + tanh(u)) / 2, u = sqrt(2 / pi) * (x + 0.044715 * x**3)``.
So nothing is written twice, and the reference is held to the formulas that users read.
"""

import functools
import re

import numpy as np

from fastact import measure
from fastact.register import OPS

DIGITS = 60, 240, 960, 3840  # tried in turn, until two agree: formulas cancel, as in 1 + erf(x)
ALIKE = 1e-30


@functools.cache
def compiled(text):
    """A formula and its definitions as code by name, each decimal number exact: ``mpf('0.5')``."""
    parts = re.split(r",\s+(?=\w+ = )", text)
    named = [("", parts[0]), *(part.split(" = ", 1) for part in parts[1:])]
    return {name: compile(re.sub(r"(?<![\w.])(\d+\.\d+)", r"mpf('\1')", code), text, "eval") for name, code in named}


class Names(dict):
    """The names a formula may use: arguments, its definitions, mpmath's functions, other operations, ``du`` for the slope of u."""

    def __init__(self, mpmath, op, values):
        super().__init__(values)
        self.mpmath, self.op = mpmath, op
        self.code = {**(compiled(op.forward.formula) if op.is_backward else {}), **compiled(op.formula)}

    def __missing__(self, name):
        if name in self.code:
            return eval(self.code[name], {"__builtins__": {}}, self)
        if name[0] == "d" and name[1:] in self.code:
            return self.mpmath.diff(lambda x: Names(self.mpmath, self.op, {**self, "x": x})[name[1:]], self["x"])
        if name in OPS:
            return lambda x, *rest: value(self.mpmath, OPS[name], [x, *rest])
        given = {"cdf": self.mpmath.ncdf, "pdf": self.mpmath.npdf, "abs": abs, "max": max, "min": min, **selu(self.mpmath)}
        return given[name] if name in given else getattr(self.mpmath, name)


def selu(mpmath):
    """The two constants that stand beside selu's formula, from the page that defines them."""
    from fastact.reference import activations

    scale = mpmath.mpf(activations.SELU_SCALE)
    return {"scale": scale, "alpha": mpmath.mpf(activations.SELU_SCALE_ALPHA) / scale}


def value(mpmath, op, arguments, params=None):
    """An operation's formula at numbers of mpmath; parameters that are not given, by position or name, have their defaults."""
    names = [*op.inputs, *(p.name for p in op.params)]
    values = {name: mpmath.mpf(number) for name, number in measure.defaults(op).items()}
    values.update(params or {})
    values.update(zip(names, arguments, strict=False))
    return Names(mpmath, op, values)[""]


def exact(op, x):
    """The true value at a number of a dtype, as mpmath's, gradient 1; None without mpmath, or where all digits cancel."""
    try:
        import mpmath
    except ImportError:
        return None
    kernel = np.result_type(x.dtype, np.float32).type
    params = {name: mpmath.mpf(float(kernel(number))) for name, number in measure.defaults(op).items()}
    arguments = [mpmath.mpf(1), mpmath.mpf(float(x))] if op.is_backward else [mpmath.mpf(float(x))]
    before, more = None, int(min(abs(float(x)), 1000))  # exp(x) beside 1
    for digits in DIGITS:
        with mpmath.workdps(digits + more):
            try:
                found = value(mpmath, op, arguments, params)
            except (ArithmeticError, ValueError):  # nothing was left to divide by
                continue
            if before and abs(found - before) <= ALIKE * abs(found):
                return mpmath.mpf(found)
            before = found
    return mpmath.mpf(before) if before == 0 else None


def disagreement(op, x, true, size):
    """By how much the reference's value differs from the formula's, relative to the size of its largest term; None if unknown."""
    judged = exact(op, x)
    if judged is None or not np.isfinite(true) or (judged == 0) != (true == 0):
        return None
    import mpmath

    with mpmath.workdps(DIGITS[0]):
        here, largest = (mpmath.ldexp(*parts(number)) for number in (true, size))
        unit = max(abs(judged), largest)
        return float(abs(judged - here) / unit) if unit else 0.0


def parts(number):
    """A longdouble as an integer times a power of two."""
    mantissa, exponent = np.frexp(number)
    return int(np.ldexp(mantissa, 70)), int(exponent) - 70
