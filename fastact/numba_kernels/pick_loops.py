"""The loops that choose a maximum among the pieces of a row, and that place its gradient: rows that follow one another, or side by side."""

import numpy as np
from llvmlite import ir

from fastact.numba_kernels.bits import real, scalar
from fastact.numba_kernels.column_loops import BLOCK, COLUMNS, columns, same
from fastact.numba_kernels.loops import LANES, each, offset, stack
from fastact.numba_kernels.routines import instructions, routine

GROUP = 64  # elements of a row among which one is chosen side by side
SHORT = 64  # rows of fewer elements are turned, 16 of them and as many columns at a time as this:
TILE = 4
TILES = TILE * COLUMNS
FAR = 1 << 24  # float32 holds every whole number up to here

PAIRS = {  # which elements of two vectors of 8 float32 or 4 float64, then of two such pairs; the latter are so many columns apart
    ir.FloatType(): ([0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15], [0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15], 1),
    ir.DoubleType(): ([0, 4, 2, 6], [1, 5, 3, 7], [0, 1, 4, 5], [2, 3, 6, 7], 2),
}


@instructions
def turn(routine, to, x, step):
    """``to[c * 256 + r] = x[r * step + c]`` for 16 rows and four columns."""
    builder, to, x, step = routine.builder, to.value, x.value, step.value
    number, size = x.type.pointee, routine.context.get_abi_alignment(x.type.pointee)
    low, high, first, second, apart = PAIRS[number]

    def shuffle(one, other, chosen):
        return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(ir.IntType(32), len(chosen)), chosen))

    def row(r):
        here = builder.gep(x, [builder.mul(step, step.type(r))])
        return builder.load(builder.bitcast(here, ir.VectorType(number, TILE).as_pointer()), align=size)

    for r in range(0, LANES, len(low)):
        rows = [row(r + k) for k in range(len(low))]
        if len(low) > TILE:  # rows r and r + 4 are the halves of a vector
            rows = [shuffle(rows[k], rows[k + TILE], list(range(2 * TILE))) for k in range(TILE)]
        for k, pair in enumerate((low, high)):
            one, other = shuffle(*rows[:2], pair), shuffle(*rows[2:], pair)
            for j, half in enumerate((first, second)):
                column = shuffle(one, other, half)
                there = builder.gep(to, [step.type((k * (3 - apart) + j * apart) * COLUMNS + r)])
                builder.store(column, builder.bitcast(there, column.type.as_pointer()), align=size)


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
def pick_together(takes, out, which, x, n, width, stride):
    """Indices are kept in the type of the data, which vectorises, within pieces of FAR rows."""
    best, best_spare = stack(x[0], COLUMNS), stack(x[0], COLUMNS)  # in turn: with one buffer LLVM makes slow masked stores
    at, at_spare = stack(x[0], COLUMNS), stack(x[0], COLUMNS)
    each(width, best, same, x)
    each(width, which, same, 0)
    for start in range(0, n, FAR):
        each(width, at, same, real(-1))
        for i in range(start if start > 0 else 1, start + FAR if n - start > FAR else n):
            each(width, (best_spare, at_spare), picked, takes, offset(x, i * stride), best, at, real(i - start))
            best, best_spare = best_spare, best
            at, at_spare = at_spare, at
        each(width, which, widened, which, at, start)
    each(width, out, same, best)


@routine
def pick_row(takes, out, which, x, n):
    """A row as `GROUP` columns, whose picks compete in the end, and with the elements that are left."""
    tops, rows = stack(x[0], GROUP), stack(n, GROUP)
    best = x[0]
    index = 0
    if n >= GROUP:
        pick_together(takes, tops, rows, x, n // GROUP, GROUP, GROUP)
        for j in range(GROUP):
            here = rows[j] * GROUP + j
            if takes(tops[j], best) or (here < index and not takes(best, tops[j])):
                best = tops[j]
                index = here
    for i in range(n - n % GROUP, n):
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
def turn_rows(tile, x, n, width, start):
    """Four columns of up to 256 rows, side by side; rows that are fewer than 16, or have nothing behind them to be read, one by one."""
    r = 0
    while r + LANES <= width and (r + LANES - 1) * n + start + TILE <= width * n:
        turn(offset(tile, r), offset(x, r * n + start), n)
        r += LANES
    for k in range(TILE if n > TILE else n):
        for i in range(r, width):
            tile[k * COLUMNS + i] = x[i * n + start + k]


@routine
def pick_short(takes, out, which, x, n, width):
    """Of up to 256 rows. The last tile ends with the row, and may see columns again."""
    tile = stack(x[0], TILES)
    best, best_spare = stack(x[0], COLUMNS), stack(x[0], COLUMNS)
    at, at_spare = stack(x[0], COLUMNS), stack(x[0], COLUMNS)
    each(width, at, same, real(0))
    for c in range(0, n, TILE):
        start = n - TILE if n - c < TILE and n > TILE else c
        turn_rows(tile, x, n, width, start)
        if c == 0:
            each(width, best, same, tile)
        for k in range(0 if c > 0 else 1, TILE if n > TILE else n):
            column = offset(tile, k * COLUMNS)
            each(width, (best_spare, at_spare), picked, takes, column, best, at, real(start + k))
            best, best_spare = best_spare, best
            at, at_spare = at_spare, at
    each(width, out, same, best)
    each(width, which, whole, at)


@routine
def place_short(chosen, out, grad, which, n, width):
    """Rows of up to four elements: each is written as four, of which the next row takes over what is too much."""
    j = 0
    while j * n + TILE <= width * n:
        spot(offset(out, j * n), chosen(grad[j], True), chosen(grad[j], False), which[j])
        j += 1
    for i in range(j * n, width * n):
        out[i] = chosen(grad[i // n], which[i // n] == i % n)


# ---- kernels: rows that follow one another, then rows side by side -----------------------------------------------------------


def pick_rows(takes):
    """The element of a row that takes the place of all before it, and its index."""

    def kernel(out, which, x, n, width, stride):
        if n < SHORT and width > 1:
            for j in range(0, width, COLUMNS):
                pick_short(takes, offset(out, j), offset(which, j), offset(x, j * n), n, columns(width, j))
        else:
            for j in range(width):
                pick_row(takes, offset(out, j), offset(which, j), offset(x, j * n), n)

    return kernel


def pick_columns(takes):
    def kernel(out, which, x, n, width, stride):
        for j in range(0, width, COLUMNS):
            pick_together(takes, offset(out, j), offset(which, j), offset(x, j), n, columns(width, j), stride)

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
        for j in range(0, width, COLUMNS):
            place_together(chosen, offset(out, j), offset(grad, j), offset(which, j), n, columns(width, j), stride)

    return kernel
