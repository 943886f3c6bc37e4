"""The loops that choose a maximum among the pieces of a row, and that place its gradient: rows that follow one another, or side by side."""

import numpy as np
from llvmlite import ir

from fastact.numba_kernels.bits import SINGLE, real, scalar
from fastact.numba_kernels.column_loops import BLOCK, COLUMNS, columns, columns_at_once, same
from fastact.numba_kernels.loops import LANES, broadcast, each, halves, head_of, load, numbered, offset, shuffled, stack, store
from fastact.numba_kernels.routines import instructions, routine
from fastact.numba_kernels.scalars import Number

SHORT = 64  # rows of fewer elements are turned, 16 of them in float32 and 8 in float64, and as many columns at a time as this:
TILE = 4
FAR = 1 << 24  # float32 holds every whole number up to here

PAIRS = {  # which elements of two vectors of 8 float32 or 4 float64, then of two such pairs; the latter are so many columns apart
    ir.FloatType(): ([0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15], [0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15], 1),
    ir.DoubleType(): ([0, 4, 2, 6], [1, 5, 3, 7], [0, 1, 4, 5], [2, 3, 6, 7], 2),
}


@instructions
def columns_of(routine, x, step):
    """Four vectors: number r of vector c is ``x[r * step + c]``, for twice as many rows as a register holds numbers."""
    builder, x, step, kind = routine.builder, x.value, routine.number(step).value, x.type.dtype
    number, size = x.type.pointee, routine.context.get_abi_alignment(x.type.pointee)
    low, high, first, second, apart = PAIRS[number]

    def row(r):
        here = builder.gep(x, [builder.mul(step, step.type(r))])
        return builder.load(builder.bitcast(here, ir.VectorType(number, TILE).as_pointer()), align=size)

    found = [[] for _ in range(TILE)]  # the pieces of each column
    for r in (0, len(low)):
        rows = [row(r + k) for k in range(len(low))]
        if len(low) > TILE:  # rows r and r + 4 are the halves of a vector
            rows = [joined(builder, rows[k], rows[k + TILE]) for k in range(TILE)]
        for k, pair in enumerate((low, high)):
            one, other = shuffled(builder, *rows[:2], pair), shuffled(builder, *rows[2:], pair)
            for j, half in enumerate((first, second)):
                found[k * (3 - apart) + j * apart].append(shuffled(builder, one, other, half))
    return tuple(Number(kind, joined(builder, *pieces)) for pieces in found)


def joined(builder, one, other):
    return shuffled(builder, one, other, list(range(2 * one.type.count)))


@instructions
def spot(routine, out, hit, miss, at):
    """``out[j] = hit if j == at else miss`` for j < 4."""
    builder, out, at = routine.builder, out.value, at.value
    hit, miss = routine.alike(hit, miss)
    size = routine.context.get_abi_alignment(hit.value.type)
    at = builder.trunc(at, ir.IntType(32)) if size == 4 else at  # as wide as the numbers

    def four(value):
        vector = ir.VectorType(value.type, TILE)
        one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.IntType(32)(0))
        return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), TILE), [0] * TILE))

    chosen = builder.icmp_signed("==", four(at), ir.Constant(ir.VectorType(at.type, TILE), list(range(TILE))))
    numbers = builder.select(chosen, four(hit.value), four(miss.value))
    builder.store(numbers, builder.bitcast(out, numbers.type.as_pointer()), align=size)


@scalar
def picked(takes, x, best, at, here):
    """The better of two elements, and its index."""
    better = takes(x, best)
    return x if better else best, here if better else at


@scalar
def met(takes, x, best, at, here):
    """The same for elements in any order: of equals the one that comes first."""
    better = takes(x, best) or (here < at and not takes(best, x))
    return x if better else best, here if better else at


@scalar
def whole(at):
    return np.int64(np.int32(at))


@scalar
def widened(which, at, start):
    return which if at < real(0) else start + np.int32(at)


@scalar
def narrowed(which, start, stop):
    return real(np.int32(which - start if (which >= start and which < stop) else -1))


@scalar
def placed(chosen, grad, at, here):
    return chosen(grad, at == here)


@routine
def pick_beside(takes, best, at, x, first, count, width, stride):
    """Let a few elements of 16 or more columns take the place of their best, in registers; `first` is the index of the first of them.
    The last 16 columns may be seen again."""
    for g in range(0, width, LANES):
        j = g if width - g >= LANES else width - LANES
        top, where = load(offset(best, j)), load(offset(at, j))
        for k in range(count):
            top, where = picked(takes, load(offset(x, k * stride + j)), top, where, broadcast(real(first + k), top))
        store(offset(best, j), top)
        store(offset(at, j), where)


@routine
def pick_together(takes, out, which, x, n, width, stride):
    """Indices are kept in the type of the data, which vectorises, within pieces of FAR rows."""
    best, at = stack(x[0], COLUMNS), stack(x[0], COLUMNS)
    each(width, best, same, x)
    each(width, which, same, 0)
    for start in range(0, n, FAR):
        stop = start + FAR if n - start > FAR else n
        each(width, at, same, real(-1))
        for i in range(start if start > 0 else 1, stop, LANES if width >= LANES else 1):
            if width >= LANES:
                pick_beside(takes, best, at, offset(x, i * stride), i - start, LANES if stop - i > LANES else stop - i, width, stride)
            else:
                each(width, (best, at), picked, takes, offset(x, i * stride), best, at, real(i - start))
        each(width, which, widened, which, at, start)
    each(width, out, same, best)


@instructions
def champion(routine, takes, best, at):
    """The best of the numbers of a vector, and its index of those in another one."""
    while best.value.type.count > 1:
        (best, x), (at, here) = (halves(routine, vector) for vector in (best, at))
        best, at = routine.call(met, [takes, x, best, at, here])
    return head_of(routine, best), routine.call(whole, [head_of(routine, at)])


@routine
def pick_near(takes, x, n):
    """The pick of 16 to FAR elements and its index; the last vector ends with the row, and may see elements again."""
    best = load(x)
    at = broadcast(real(0), best)
    for i in range(LANES, n - LANES + 1, LANES):
        best, at = picked(takes, load(offset(x, i)), best, at, broadcast(real(i), best))
    if n % LANES > 0:
        best, at = picked(takes, load(offset(x, n - LANES)), best, at, broadcast(real(n - LANES), best))
    return champion(takes, best, numbered(at))


@routine
def pick_row(takes, out, which, x, n):
    best = x[0]
    index = 0
    for start in range(0, n, FAR):
        if n - start >= LANES:
            top, at = pick_near(takes, offset(x, start), FAR if n - start > FAR else n - start)
            if takes(top, best) or start == 0:
                best = top
                index = start + at
        else:
            for i in range(start, n):
                if takes(x[i], best):
                    best = x[i]
                    index = i
    out[0] = best
    which[0] = index


@routine
def place_together(chosen, out, grad, which, n, width, stride):
    at = stack(grad[0], COLUMNS)
    for start in range(0, n, FAR):
        stop = start + FAR if n - start > FAR else n
        each(width, at, narrowed, which, start, stop)
        for i in range(start, stop):
            each(width, offset(out, i * stride), placed, chosen, grad, at, real(i - start))


@routine
def pick_turned(takes, out, which, x, n):
    """Of 16 or 8 rows. Four elements of each are read at least; the last four columns end with the row, and may be seen again."""
    first, second, third, fourth = columns_of(x, n)
    best, at = first, broadcast(real(0), first)
    if n > 1:
        best, at = picked(takes, second, best, at, broadcast(real(1), first))
    if n > 2:
        best, at = picked(takes, third, best, at, broadcast(real(2), first))
    if n > 3:
        best, at = picked(takes, fourth, best, at, broadcast(real(3), first))
    for c in range(TILE, n, TILE):
        start = n - TILE if n - c < TILE else c
        first, second, third, fourth = columns_of(offset(x, start), n)
        best, at = picked(takes, first, best, at, broadcast(real(start), first))
        best, at = picked(takes, second, best, at, broadcast(real(start + 1), first))
        best, at = picked(takes, third, best, at, broadcast(real(start + 2), first))
        best, at = picked(takes, fourth, best, at, broadcast(real(start + 3), first))
    store(out, best)
    store(which, at)


@scalar
def turned_at_once(x):
    return LANES if SINGLE else LANES // 2


@routine
def pick_short(takes, out, which, x, n, width):
    """The last rows, too few or with nothing behind them to be read, are copied to where they are enough."""
    rows, best, at = stack(x[0], LANES * SHORT), stack(x[0], LANES), stack(n, LANES)
    some = turned_at_once(x[0])
    for j in range(0, width, some):
        if j + some <= width and (j + some - 1) * n + TILE <= width * n:
            pick_turned(takes, offset(out, j), offset(which, j), offset(x, j * n), n)
        else:
            count = some if width - j > some else width - j
            each(LANES * SHORT, rows, same, real(0))
            each(count * n, rows, same, offset(x, j * n))
            pick_turned(takes, best, at, rows, n)
            each(count, offset(out, j), same, best)
            each(count, offset(which, j), same, at)


@routine
def place_four(chosen, out, grad, which, n):
    spot(out, chosen(grad[0], True), chosen(grad[0], False), which[0])
    spot(offset(out, n), chosen(grad[1], True), chosen(grad[1], False), which[1])
    spot(offset(out, 2 * n), chosen(grad[2], True), chosen(grad[2], False), which[2])
    spot(offset(out, 3 * n), chosen(grad[3], True), chosen(grad[3], False), which[3])


@routine
def place_short(chosen, out, grad, which, n, width):
    """Rows of up to four elements: each is written as four, of which the next row takes over what is too much."""
    j = 0
    while (j + 3) * n + TILE <= width * n:
        place_four(chosen, offset(out, j * n), offset(grad, j), offset(which, j), n)
        j += 4
    for i in range(j * n, width * n):
        out[i] = chosen(grad[i // n], which[i // n] == i % n)


# ---- kernels: rows that follow one another, then rows side by side -----------------------------------------------------------


def pick_rows(takes):
    """The element of a row that takes the place of all before it, and its index."""

    def kernel(out, which, x, n, width, stride):
        if n < SHORT and width > 1:
            pick_short(takes, out, which, x, n, width)
        else:
            for j in range(width):
                pick_row(takes, offset(out, j), offset(which, j), offset(x, j * n), n)

    return kernel


def pick_columns(takes):
    def kernel(out, which, x, n, width, stride):
        for j in range(0, width, columns_at_once(x[0])):
            pick_together(takes, offset(out, j), offset(which, j), offset(x, j), n, columns(x[0], width, j), stride)

    return kernel


def place_rows(chosen):
    """Put each row's number at its index, and elsewhere what does not depend on it, many rows at a time."""

    def kernel(out, grad, which, n, width, stride):
        if n <= TILE:
            place_short(chosen, out, grad, which, n, width)
        else:
            some = BLOCK // n if n < BLOCK else 1
            for j in range(0, width, some):
                count = some if width - j > some else width - j
                each(count * n, offset(out, j * n), chosen, real(0), False)
                for k in range(j, j + count):
                    if which[k] >= 0 and which[k] < n:  # it was checked, but is the caller's, who may have changed it
                        out[k * n + which[k]] = chosen(grad[k], True)

    return kernel


def place_columns(chosen):
    def kernel(out, grad, which, n, width, stride):
        for j in range(0, width, columns_at_once(grad[0])):
            place_together(chosen, offset(out, j), offset(grad, j), offset(which, j), n, columns(grad[0], width, j), stride)

    return kernel
