"""The kernels of the Numba wing: an operation of the register goes in, the functions to compile for it come out.

A kernel is serial and sees contiguous data.
"""

import importlib

import numpy as np
from numba import types

from fastact.numba_kernels.bits import routine, scalar
from fastact.numba_kernels.loops import add_up, each, first, is_null, largest, offset, stack
from fastact.numba_kernels.primitives import log1p
from fastact.numba_kernels.row_loops import BLOCK, contract, normalise, pick, place, reduce, row_excess, shift, spread

# ---- kernels, each made of the scalars of a page -----------------------------------------------------------------------


def map1(f, count):
    def kernel(out, a, b, c, p, n):
        each(n, out, f, a, *first(p, count))

    return kernel


def map2(f, count):
    def kernel(out, a, b, c, p, n):
        each(n, out, f, a, b, *first(p, count))

    return kernel


def map3(f, count):
    def kernel(out, a, b, c, p, n):
        each(n, out, f, a, b, c, *first(p, count))

    return kernel


@scalar
def scaled(scale, f, a, b, params):
    return scale * f(a, b, *params)


def gradient(f, count):
    """A loss's gradient, times the scale that the reduction gives every element."""

    def kernel(out, a, b, c, p, n):
        each(n, out, scaled, p[count], f, a, b, first(p, count))

    return kernel


@routine
def weigh_row(cost, x, t, top, n):
    """The cost of a row of dense weights, but for the row's log1p(excess), and the sum of the weights."""
    block = stack(top, BLOCK)
    value = mass = 0.0
    for start in range(0, n, BLOCK):
        size = BLOCK if n - start > BLOCK else n - start
        each(size, block, cost, offset(x, start), offset(t, start), top, type(top)(0))
        value += add_up(block, size)
        mass += add_up(offset(t, start), size)
    return value, mass


def row_loss(term, cost, slope):
    """The cost of one row, and its gradient where `grad` is given; `grad` may be `x`, which is read before the terms overwrite it."""

    def kernel(grad, x, t, label, at_label, z_loss, scale, n):
        top = largest(x, n)
        at_target = x[label] if label >= 0 else type(top)(0)
        value = mass = 0.0
        if not is_null(t):
            value, mass = weigh_row(cost, x, t, top, n)
        excess = row_excess(term, grad, x, top, n)
        log_total = log1p(excess)
        value += mass * log_total if mass != 0 else 0.0
        if label >= 0:
            value += cost(at_target, at_label, top, log_total)
            mass += at_label
        lse = top + np.float64(log_total)
        value += z_loss * lse * lse if z_loss != 0 else 0.0
        if is_null(grad):
            return value
        factor = type(top)(scale * (mass + 2.0 * z_loss * lse) / (1.0 + excess))
        if is_null(t):
            each(n, grad, slope, grad, type(top)(0), factor, scale)
        else:
            each(n, grad, slope, grad, t, factor, scale)
        if label >= 0:
            grad[label] -= at_label * scale
        return value

    return kernel


# ---- from the register to addresses ------------------------------------------------------------------------------------


def find(op, suffix=""):
    """The scalar of an operation, on the page of the same name."""
    name = op.name + suffix
    found = getattr(importlib.import_module(f"fastact.numba_kernels.{op.page}"), name, None)
    if found is None:
        arguments = ", ".join([*op.inputs, *(param.name for param in op.params)])
        page = f"fastact/numba_kernels/{op.page}.py"
        raise NotImplementedError(f"the Numba wing lacks {name}: add `def {name}({arguments})` to {page}")
    return found


LOOPS = {
    "normalise": (normalise, "_term", ""),
    "shift": (shift, "_term", "_total", ""),
    "reduce": (reduce, "_term", ""),
    "contract": (contract, "_term", ""),
    "spread": (spread, ""),
}
"""The loops over rows, and the scalars that each takes, as suffixes of the operation's name."""


def row_kernel(op):
    """The kernel of an operation on rows: the loop that the register names, and its scalars."""
    loop, *suffixes = LOOPS[op.loop]
    return loop(None, *(find(op, suffix) for suffix in suffixes))


def functions(op):
    """The functions to compile for an operation, by role."""
    if op.kind == "rows":
        return {"main": row_kernel(op)}
    if op.kind == "pick":
        return {"main": (place if op.is_backward else pick)(None, find(op))}
    if op.kind == "row_loss":
        forward = op.forward or op
        return {"main": row_loss(find(forward, "_term"), find(forward), find(forward.backward_op))}
    if op.kind == "loss" and op.is_backward:
        return {"main": gradient(find(op), len(op.params))}
    inputs = len(op.inputs)
    roles = {"main": (map1, map2, map3)[inputs - 1](find(op), len(op.params))}
    if op.kind == "channels" and op.is_backward:
        roles["weight"] = map2(find(op, "_weight"), 0)
    return roles


def signature(op, dtype):
    """The C signature of an operation's kernels."""
    number, size = getattr(types, dtype), types.intp
    array, indices = types.CPointer(number), types.CPointer(types.intp)
    if op.kind == "rows":
        return types.void(array, array, array, array, size, size, size)
    if op.kind == "pick":
        second, third = (array, indices) if op.is_backward else (indices, array)
        return types.void(array, second, third, size, size, size)
    if op.kind == "row_loss":
        return types.float64(array, array, array, size, number, number, number, size)
    return types.void(array, array, array, array, array, size)
