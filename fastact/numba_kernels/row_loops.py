"""The loops over rows, for a contiguous row and for rows that stand side by side, with one order of addition for both.

Sums are taken in blocks of 1024 elements: 16 lanes in the type of the data (element i goes to lane i % 16), the lanes by halving, the
blocks in float64. So every layout and thread count gives the same bits.
"""

from math import inf
from operator import add
from operator import pos as same

from fastact.numba_kernels.bits import real, routine, scalar
from fastact.numba_kernels.loops import LANES, add_up, each, largest, offset, stack

BLOCK = 1024
COLUMNS = 64  # columns handled together ...
SUMS = LANES * COLUMNS  # ... and the lanes of all of them: lane k of column j at k * COLUMNS + j


@scalar
def larger(old, new):
    return new if new > old else old


@scalar
def untied(term, x, top):
    """The term of an element that is no maximum, 0 for one that is."""
    e = term(x, top)
    return real(0) if x == top else e


@scalar
def count_tie(ties, x, top):
    return ties + (1.0 if x == top else 0.0)


@scalar
def less_one(total, ties):
    return total + (ties - 1.0)


# ---- one contiguous row: a maximum, one pass of terms that are summed in lanes, one pass that finishes ------------------


@routine
def normalise_row(term, finish, y, x, n):
    """Store and sum the terms of a row, then divide them by their sum."""
    top = largest(x, n)
    total = 0.0
    for start in range(0, n, BLOCK):
        size = BLOCK if n - start > BLOCK else n - start
        each(size, offset(y, start), term, offset(x, start), top)
        total += add_up(offset(y, start), size)
    each(n, y, finish, y, real(total))


@routine
def row_excess(term, x, top, n):
    """The sum of a row's terms without one maximum."""
    block = stack(top, BLOCK)
    total = 0.0
    ties = 0
    for start in range(0, n, BLOCK):
        size = BLOCK if n - start > BLOCK else n - start
        each(size, block, untied, term, offset(x, start), top)
        total += add_up(block, size)
    for i in range(n):
        ties += 1 if x[i] == top else 0
    return real(less_one(total, ties))


@routine
def shift_row(term, finish, y, x, n):
    top = largest(x, n)
    each(n, y, finish, x, top, row_excess(term, x, top, n))


@routine
def reduce_row(term, finish, y, x, n):
    top = largest(x, n)
    y[0] = finish(top, row_excess(term, x, top, n))


@routine
def contract_row(term, finish, out, a, b, n):
    """Sum the terms of two rows, then combine both rows with that sum."""
    block = stack(a[0], BLOCK)
    total = 0.0
    for start in range(0, n, BLOCK):
        size = BLOCK if n - start > BLOCK else n - start
        each(size, block, term, offset(a, start), offset(b, start))
        total += add_up(block, size)
    each(n, out, finish, a, b, real(total))


@routine
def pick_row(takes, out, which, x, n):
    best = x[0]
    chosen = 0
    for i in range(1, n):
        if takes(x[i], best):
            best = x[i]
            chosen = i
    out[0] = best
    which[0] = chosen


@routine
def place_row(chosen, out, grad, which, n):
    for i in range(n):
        out[i] = chosen(grad, which == i)


# ---- rows side by side, element i of row j at i * stride + j: 64 columns at a time ----------------------------------------


@routine
def column_tops(x, n, width, stride, top, spare):
    """The maximum of each column, in one of the two buffers: LLVM makes a slow masked store of a choice that may leave memory as it is."""
    each(width, top, same, real(-inf))
    for i in range(n):
        each(width, spare, larger, top, offset(x, i * stride))
        top, spare = spare, top
    return top


@scalar
def add_to_lane(lanes, i, terms, width):
    lane = offset(lanes, (i & (LANES - 1)) * COLUMNS)
    each(width, lane, add, lane, terms)


@routine
def add_lanes(total, lanes):
    """Add every column's 16 lanes by halving, in the order of `add_up`, to the column's total, and clear them."""
    each(8 * COLUMNS, lanes, add, lanes, offset(lanes, 8 * COLUMNS))
    each(4 * COLUMNS, lanes, add, lanes, offset(lanes, 4 * COLUMNS))
    each(2 * COLUMNS, lanes, add, lanes, offset(lanes, 2 * COLUMNS))
    each(COLUMNS, lanes, add, lanes, offset(lanes, COLUMNS))
    each(COLUMNS, total, add, total, lanes)
    each(SUMS, lanes, same, real(0))


@routine
def normalise_columns(term, finish, y, x, n, width, stride):
    lanes, total = stack(x[0], SUMS), stack(0.0, COLUMNS)
    top = column_tops(x, n, width, stride, stack(x[0], COLUMNS), stack(x[0], COLUMNS))
    each(COLUMNS, total, same, 0.0)
    each(SUMS, lanes, same, real(0))
    for start in range(0, n, BLOCK):
        for i in range(start, start + BLOCK if n - start > BLOCK else n):
            terms = offset(y, i * stride)
            each(width, terms, term, offset(x, i * stride), top)
            add_to_lane(lanes, i, terms, width)
        add_lanes(total, lanes)
    each(width, top, same, total)
    for i in range(n):
        each(width, offset(y, i * stride), finish, offset(y, i * stride), top)


@routine
def column_excess(excess, term, top, x, n, width, stride):
    lanes, terms = stack(x[0], SUMS), stack(x[0], COLUMNS)
    total, ties = stack(0.0, COLUMNS), stack(0.0, COLUMNS)
    each(COLUMNS, total, same, 0.0)
    each(COLUMNS, ties, same, 0.0)
    each(SUMS, lanes, same, real(0))
    for start in range(0, n, BLOCK):
        for i in range(start, start + BLOCK if n - start > BLOCK else n):
            each(width, terms, untied, term, offset(x, i * stride), top)
            add_to_lane(lanes, i, terms, width)
            each(width, ties, count_tie, ties, offset(x, i * stride), top)
        add_lanes(total, lanes)
    each(width, excess, less_one, total, ties)


@routine
def shift_columns(term, finish, y, x, n, width, stride):
    excess = stack(x[0], COLUMNS)
    top = column_tops(x, n, width, stride, stack(x[0], COLUMNS), stack(x[0], COLUMNS))
    column_excess(excess, term, top, x, n, width, stride)
    for i in range(n):
        each(width, offset(y, i * stride), finish, offset(x, i * stride), top, excess)


@routine
def reduce_columns(term, finish, y, x, n, width, stride):
    excess = stack(x[0], COLUMNS)
    top = column_tops(x, n, width, stride, stack(x[0], COLUMNS), stack(x[0], COLUMNS))
    column_excess(excess, term, top, x, n, width, stride)
    each(width, y, finish, top, excess)


@routine
def contract_columns(term, finish, out, a, b, n, width, stride):
    lanes, terms = stack(a[0], SUMS), stack(a[0], COLUMNS)
    total = stack(0.0, COLUMNS)
    each(COLUMNS, total, same, 0.0)
    each(SUMS, lanes, same, real(0))
    for start in range(0, n, BLOCK):
        for i in range(start, start + BLOCK if n - start > BLOCK else n):
            each(width, terms, term, offset(a, i * stride), offset(b, i * stride))
            add_to_lane(lanes, i, terms, width)
        add_lanes(total, lanes)
    each(width, terms, same, total)
    for i in range(n):
        here = i * stride
        each(width, offset(out, here), finish, offset(a, here), offset(b, here), terms)


@scalar
def pick_index(takes, x, best, which, i):
    return i if takes(x, best) else which


@scalar
def pick_value(takes, x, best):
    return x if takes(x, best) else best


@routine
def pick_columns(takes, out, which, x, n, width, stride):
    best, best_spare = stack(x[0], COLUMNS), stack(x[0], COLUMNS)  # in turn, as in column_tops
    index, index_spare = stack(n, COLUMNS), stack(n, COLUMNS)
    each(width, best, same, x)
    each(width, index, same, 0)
    for i in range(1, n):
        each(width, index_spare, pick_index, takes, offset(x, i * stride), best, index, i)
        each(width, best_spare, pick_value, takes, offset(x, i * stride), best)
        best, best_spare = best_spare, best
        index, index_spare = index_spare, index
    each(width, out, same, best)
    each(width, which, same, index)


@scalar
def placed(chosen, grad, which, i):
    return chosen(grad, which == i)


@routine
def place_columns(chosen, out, grad, which, n, width, stride):
    for i in range(n):
        each(width, offset(out, i * stride), placed, chosen, grad, which, i)


# ---- kernels for both layouts: stride 1 is a single contiguous row --------------------------------------------------------


def normalise(stamp, term, finish):
    def kernel(y, x, b, c, n, width, stride):
        _ = stamp
        if stride == 1:
            normalise_row(term, finish, y, x, n)
        else:
            for j in range(0, width, COLUMNS):
                normalise_columns(term, finish, offset(y, j), offset(x, j), n, COLUMNS if width - j > COLUMNS else width - j, stride)

    return kernel


def shift(stamp, term, finish):
    def kernel(y, x, b, c, n, width, stride):
        _ = stamp
        if stride == 1:
            shift_row(term, finish, y, x, n)
        else:
            for j in range(0, width, COLUMNS):
                shift_columns(term, finish, offset(y, j), offset(x, j), n, COLUMNS if width - j > COLUMNS else width - j, stride)

    return kernel


def reduce(stamp, term, finish):
    def kernel(y, x, b, c, n, width, stride):
        _ = stamp
        if stride == 1:
            reduce_row(term, finish, y, x, n)
        else:
            for j in range(0, width, COLUMNS):
                reduce_columns(term, finish, offset(y, j), offset(x, j), n, COLUMNS if width - j > COLUMNS else width - j, stride)

    return kernel


def contract(stamp, term, finish):
    def kernel(out, a, b, c, n, width, stride):
        _ = stamp
        if stride == 1:
            contract_row(term, finish, out, a, b, n)
        else:
            for j in range(0, width, COLUMNS):
                contract_columns(
                    term, finish, offset(out, j), offset(a, j), offset(b, j), n, COLUMNS if width - j > COLUMNS else width - j, stride
                )

    return kernel


def spread(stamp, finish):
    def kernel(out, a, b, c, n, width, stride):
        _ = stamp
        if stride == 1:
            each(n, out, finish, a[0], b, c[0])
        else:
            for i in range(n):
                each(width, offset(out, i * stride), finish, a, offset(b, i * stride), c)

    return kernel


def pick(stamp, takes):
    def kernel(out, which, x, n, width, stride):
        _ = stamp
        if stride == 1:
            pick_row(takes, out, which, x, n)
        else:
            for j in range(0, width, COLUMNS):
                here = COLUMNS if width - j > COLUMNS else width - j
                pick_columns(takes, offset(out, j), offset(which, j), offset(x, j), n, here, stride)

    return kernel


def place(stamp, chosen):
    def kernel(out, grad, which, n, width, stride):
        _ = stamp
        if stride == 1:
            place_row(chosen, out, grad[0], which[0], n)
        else:
            place_columns(chosen, out, grad, which, n, width, stride)

    return kernel
