"""The kernels of the Numba wing: an operation of the register goes in, the functions to compile for it come out.

A kernel is serial and sees contiguous data.
"""

import importlib

from numba import types

from fastact.numba_kernels.bits import scalar
from fastact.numba_kernels.column_loops import contract_columns, normalise_columns, reduce_columns, shift_columns, spread_columns
from fastact.numba_kernels.loops import each, first, offset, stack
from fastact.numba_kernels.loss_loops import row_loss_columns, row_loss_rows
from fastact.numba_kernels.pick_loops import pick_columns, pick_rows, place_columns, place_rows
from fastact.numba_kernels.row_loops import contract_rows, normalise_rows, reduce_rows, shift_rows, spread_rows

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
    "normalise": (normalise_rows, normalise_columns, "_term", ""),
    "shift": (shift_rows, shift_columns, "_term", "_total", ""),
    "reduce": (reduce_rows, reduce_columns, "_term", ""),
    "contract": (contract_rows, contract_columns, "_term", ""),
    "spread": (spread_rows, spread_columns, ""),
    "pick": (pick_rows, pick_columns, ""),
    "place": (place_rows, place_columns, ""),
    "row_loss": (row_loss_rows, row_loss_columns, "_term", "", "_gradient"),
}
"""The loops over rows that follow one another and over rows side by side, and the scalars of both, as suffixes of the operation's name."""


def row_kernels(op):
    """The kernels of an operation on rows, by role: the loops that the register names, or the kind, with its scalars."""
    loop = op.loop or ("place" if op.kind == "pick" and op.is_backward else op.kind)
    rows, columns, *suffixes = LOOPS[loop]
    scalars = [find(op, suffix) for suffix in suffixes]
    return {"rows": rows(*scalars), "columns": columns(*scalars)}


def functions(op):
    """The functions to compile for an operation, by role."""
    if op.kind in ("rows", "pick", "row_loss"):
        return row_kernels(op)
    if op.kind == "loss" and op.is_backward:
        return {"main": gradient(find(op), len(op.params))}
    inputs = len(op.inputs)
    if hasattr(page(op), f"{op.name}_begin"):
        return {"main": (stages1, stages2)[inputs - 1](find(op, "_begin"), find(op, "_end"), len(op.params))}
    roles = {"main": (map1, map2, map3)[inputs - 1](find(op), len(op.params))}
    if op.kind == "channels" and op.is_backward:
        roles["weight"] = map2(find(op, "_weight"), 0)
    return roles


def kinds(op, dtype):
    """The types of the arguments of an operation's kernels."""
    number, size = getattr(types, dtype), types.intp
    array, indices = types.CPointer(number), types.CPointer(types.intp)
    if op.kind == "rows":
        return (array, array, array, array, size, size, size)
    if op.kind == "pick":
        second, third = (array, indices) if op.is_backward else (indices, array)
        return (array, second, third, size, size, size)
    if op.kind == "row_loss":
        values, one = types.CPointer(types.float64), types.float64
        return (values, array, array, array, indices, values, one, one, size, size, size)
    return (array, array, array, array, array, size)
