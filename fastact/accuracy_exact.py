"""A second judge for the worst inputs: the formulas of the register, as the README prints them, evaluated by mpmath.

A formula is Python but for its definitions, which follow it: ``x * (1 + tanh(u)) / 2, u = sqrt(2 / pi) * (x + 0.044715 * x**3)``.
So nothing is written twice, and the reference is held to the formulas that users read.
"""

import functools
import re

import numpy as np

from fastact import measure
from fastact.register import OPS

DIGITS = 60
ERROR = 1e-18  # relative; what the reference may differ by, two digits above a long double's last


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
    """The true value at a number of a dtype, as mpmath's, gradient 1; None without mpmath, or where the formula has no value."""
    try:
        import mpmath
    except ImportError:
        return None
    kernel = np.result_type(x.dtype, np.float32).type
    params = {name: mpmath.mpf(float(kernel(number))) for name, number in measure.defaults(op).items()}
    # exp(-x) and what is left of 1 + exp(-x) or 1 + erf(x) must both keep their digits
    digits = DIGITS + int(min(abs(float(x)) * (1 + abs(float(x))), 40_000))
    with mpmath.workdps(digits):
        arguments = [mpmath.mpf(1), mpmath.mpf(float(x))] if op.is_backward else [mpmath.mpf(float(x))]
        try:
            return value(mpmath, op, arguments, params)
        except (ArithmeticError, ValueError):
            return None


def disagreement(op, x, true, size):
    """By how much the reference's value differs from the formula's, relative to the size of its largest term; None if unknown."""
    judged = exact(op, x)
    if judged is None:
        return None
    import mpmath

    with mpmath.workdps(DIGITS):
        mantissa, exponent = np.frexp(true)
        here = mpmath.ldexp(int(np.ldexp(mantissa, 70)), int(exponent) - 70)
        unit = max(abs(judged), mpmath.mpf(float(size)))
        return float(abs(judged - here) / unit) if unit else float(abs(here))
