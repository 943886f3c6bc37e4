"""The kernels of the Numba wing: an operation of the register goes in, the functions to compile for it come out.

A kernel is serial and sees contiguous data.
"""

import importlib

from numba import types

from fastact.numba_kernels.bits import scalar
from fastact.numba_kernels.loops import each, first, offset, stack
from fastact.numba_kernels.loss_loops import row_loss
from fastact.numba_kernels.pick_loops import pick, place
from fastact.numba_kernels.row_loops import contract, normalise, reduce, shift, spread

STAGE = 256  # numbers for which a scalar in two stages does the first, before it does the second

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


def stages1(begin, end, count):
    """A scalar in two stages: for a block of numbers the first, which leaves two numbers of each on the stack, then the second."""

    def kernel(out, a, b, c, p, n):
        u, v = stack(out[0], STAGE), stack(out[0], STAGE)
        for start in range(0, n, STAGE):
            size, x = STAGE if n - start > STAGE else n - start, offset(a, start)
            each(size, (u, v), begin, x, *first(p, count))
            each(size, (offset(out, start),), end, x, *first(p, count), u, v)

    return kernel


def stages2(begin, end, count):
    def kernel(out, a, b, c, p, n):
        u, v = stack(out[0], STAGE), stack(out[0], STAGE)
        for start in range(0, n, STAGE):
            size, x, y = STAGE if n - start > STAGE else n - start, offset(a, start), offset(b, start)
            each(size, (u, v), begin, x, y, *first(p, count))
            each(size, (offset(out, start),), end, x, y, *first(p, count), u, v)

    return kernel


@scalar
def scaled(scale, f, a, b, params):
    return scale * f(a, b, *params)


def gradient(f, count):
    """A loss's gradient, times the scale that the reduction gives every element."""

    def kernel(out, a, b, c, p, n):
        each(n, out, scaled, p[count], f, a, b, first(p, count))

    return kernel


# ---- from the register to addresses ------------------------------------------------------------------------------------


def page(op):
    return importlib.import_module(f"fastact.numba_kernels.{op.page}")


def find(op, suffix=""):
    """The scalar of an operation, on the page of the same name."""
    name = op.name + suffix
    found = getattr(page(op), name, None)
    if found is None:
        passed = ["u", "v"] if suffix == "_end" else []  # between the stages
        arguments = ", ".join([*op.inputs, *(param.name for param in op.params), *passed])
        file = f"fastact/numba_kernels/{op.page}.py"
        raise NotImplementedError(f"the Numba wing lacks {name}: add `def {name}({arguments})` to {file}")
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
    return loop(*(find(op, suffix) for suffix in suffixes))


def functions(op):
    """The functions to compile for an operation, by role."""
    if op.kind == "rows":
        return {"main": row_kernel(op)}
    if op.kind == "pick":
        return {"main": (place if op.is_backward else pick)(find(op))}
    if op.kind == "row_loss":
        forward = op.forward or op
        return {"main": row_loss(find(forward, "_term"), find(forward), find(forward.backward_op))}
    if op.kind == "loss" and op.is_backward:
        return {"main": gradient(find(op), len(op.params))}
    inputs = len(op.inputs)
    if hasattr(page(op), f"{op.name}_begin"):
        return {"main": (stages1, stages2)[inputs - 1](find(op, "_begin"), find(op, "_end"), len(op.params))}
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
        values, one = types.CPointer(types.float64), types.float64
        return types.void(values, array, array, array, indices, values, one, one, size, size, size)
    return types.void(array, array, array, array, array, size)
