"""The loops over rows, for a contiguous row and for rows that stand side by side, with one order of addition for both.

Sums are taken in blocks of 1024 elements: 16 lanes in the type of the data (element i goes to lane i % 16), the lanes by halving,
the blocks in float64. So every layout and thread count gives the same bits.
"""

from math import inf
from operator import add
from operator import pos as same

from fastact.numba_kernels.bits import prefetch, real, routine, scalar
from fastact.numba_kernels.loops import LANES, add_up, each, is_null, largest, null, offset, stack

BLOCK = 1024
AHEAD = 2  # rows between the one that is computed and the one that begins to be loaded
COLUMNS = 256  # columns handled together at most ...
SUMS = LANES * COLUMNS  # ... and the lanes of all of them: lane k of column j at k * width + j


@scalar
def larger(old, new):
    return new if new > old else old


@scalar
def untied(term, x, top):
    """The term of an element, what it adds to the sum of a row without its maxima, and to their number."""
    e = term(x, top)
    ties = x == top
    return e, real(0) if ties else e, real(1) if ties else real(0)


@scalar
def add_term(lane, term, a, b):
    return lane + term(a, b)


@scalar
def add_term_too(lane, term, x, top):
    e = term(x, top)
    return e, lane + e


@scalar
def add_untied(lane, few, term, x, top):
    e, added, tied = untied(term, x, top)
    return e, lane + added, few + tied


@scalar
def carried(rest, total, value):
    """What additions to `total` have lost so far, when `value` is added to it now; `total + rest` is the sum to twice the precision."""
    after = total + value
    added = after - total
    return rest + ((total - (after - added)) + (value - added))


@scalar
def settled(total, rest):
    """The sum with what was lost; of infinite sums no loss is known."""
    return total + rest if rest == rest else total


@scalar
def less_one(total, rest, ties):
    return settled(total, rest) + (ties - 1.0)


@routine
def row_excess(term, y, x, top, n):
    """The sum of a row's terms without one maximum; the terms are stored too where `y` is given."""
    terms, summed, tied = stack(top, BLOCK), stack(top, BLOCK), stack(top, BLOCK)
    total = rest = ties = 0.0
    for start in range(0, n, BLOCK):
        size = BLOCK if n - start > BLOCK else n - start
        to = terms if is_null(y) else offset(y, start)
        each(size, (to, summed, tied), untied, term, offset(x, start), top)
        block = add_up(summed, size)
        rest = carried(rest, total, block)
        total += block
        ties += add_up(tied, size)
    return real(less_one(total, rest, ties))


# ---- rows side by side, element i of row j at i * stride + j: 256 columns at a time ----------------------------------------


@scalar
def fetched(n, width, stride):
    """How much of a later row begins to be loaded: all of it where rows are many and far apart, else nothing."""
    return width if stride > COLUMNS and n >= COLUMNS else 0


@routine
def column_tops(x, n, width, stride, top, spare):
    """The maximum of each column, in the first buffer returned; with one buffer LLVM makes slow masked stores of the choice."""
    each(width, top, same, real(-inf))
    ahead = fetched(n, width, stride)
    for i in range(n):
        prefetch(offset(x, (i + AHEAD) * stride), ahead)
        each(width, spare, larger, top, offset(x, i * stride))
        top, spare = spare, top
    return top, spare


@scalar
def lane_of(lanes, i, width):
    return offset(lanes, (i & (LANES - 1)) * width)


@scalar
def lanes_used(n, start):
    """How many lanes a block of rows fills: the others would add nothing."""
    return n - start if n - start < LANES else LANES


@routine
def add_lanes(total, rest, lanes, width, used):
    """Add every column's lanes by halving, in the order of `add_up`, to the column's total, and clear them; see `carried`."""
    half, left = LANES, used
    while half > 1:
        half >>= 1
        each((left - half) * width, lanes, add, lanes, offset(lanes, half * width))
        left = half if left > half else left
    each(width, rest, carried, rest, total, lanes)
    each(width, total, add, total, lanes)
    each(used * width, lanes, same, real(0))


@routine
def normalise_columns(term, finish, y, x, n, width, stride):
    lanes, total, rest = stack(x[0], SUMS), stack(0.0, COLUMNS), stack(0.0, COLUMNS)
    top, _ = column_tops(x, n, width, stride, stack(x[0], COLUMNS), stack(x[0], COLUMNS))
    each(width, total, same, 0.0)
    each(width, rest, same, 0.0)
    each(lanes_used(n, 0) * width, lanes, same, real(0))
    ahead = fetched(n, width, stride)
    for start in range(0, n, BLOCK):
        for i in range(start, start + BLOCK if n - start > BLOCK else n):
            lane, here = lane_of(lanes, i, width), i * stride
            prefetch(offset(x, (i + AHEAD) * stride), ahead)
            prefetch(offset(y, (i + AHEAD) * stride), ahead)
            each(width, (offset(y, here), lane), add_term_too, lane, term, offset(x, here), top)
        add_lanes(total, rest, lanes, width, lanes_used(n, start))
    each(width, top, settled, total, rest)
    for i in range(n):
        prefetch(offset(y, (i + AHEAD) * stride), ahead)
        each(width, offset(y, i * stride), finish, offset(y, i * stride), top)


@routine
def column_excess(term, y, x, n, width, stride, top, excess):
    """The same for each column, in the buffer `excess`."""
    lanes, terms, few = stack(x[0], SUMS), stack(x[0], COLUMNS), stack(x[0], COLUMNS)
    total, rest, ties = stack(0.0, COLUMNS), stack(0.0, COLUMNS), stack(0.0, COLUMNS)
    each(width, total, same, 0.0)
    each(width, rest, same, 0.0)
    each(width, ties, same, 0.0)
    each(lanes_used(n, 0) * width, lanes, same, real(0))
    ahead = fetched(n, width, stride)
    for start in range(0, n, BLOCK):
        each(width, few, same, real(0))  # the ties of a block, counted in the type of the data
        for i in range(start, start + BLOCK if n - start > BLOCK else n):
            lane, here = lane_of(lanes, i, width), i * stride
            prefetch(offset(x, (i + AHEAD) * stride), ahead)
            to = terms if is_null(y) else offset(y, here)
            each(width, (to, lane, few), add_untied, lane, few, term, offset(x, here), top)
        add_lanes(total, rest, lanes, width, lanes_used(n, start))
        each(width, ties, add, ties, few)
    each(width, excess, less_one, total, rest, ties)


@routine
def contract_columns(term, finish, out, a, b, n, width, stride):
    lanes, sums = stack(a[0], SUMS), stack(a[0], COLUMNS)
    total, rest = stack(0.0, COLUMNS), stack(0.0, COLUMNS)
    each(width, total, same, 0.0)
    each(width, rest, same, 0.0)
    each(lanes_used(n, 0) * width, lanes, same, real(0))
    ahead = fetched(n, width, stride)
    for start in range(0, n, BLOCK):
        for i in range(start, start + BLOCK if n - start > BLOCK else n):
            lane, here = lane_of(lanes, i, width), i * stride
            prefetch(offset(a, (i + AHEAD) * stride), ahead)
            prefetch(offset(b, (i + AHEAD) * stride), ahead)
            each(width, lane, add_term, lane, term, offset(a, here), offset(b, here))
        add_lanes(total, rest, lanes, width, lanes_used(n, start))
    each(width, sums, settled, total, rest)
    for i in range(n):
        here = i * stride
        prefetch(offset(a, (i + AHEAD) * stride), ahead)
        prefetch(offset(b, (i + AHEAD) * stride), ahead)
        prefetch(offset(out, (i + AHEAD) * stride), ahead)
        each(width, offset(out, here), finish, offset(a, here), offset(b, here), sums)


# ---- kernels for both layouts: stride 1 is a single contiguous row -----------------


def normalise(term, finish):
    """Store and sum the terms of a row, then divide them by their sum."""

    def kernel(y, x, b, c, n, width, stride):
        if stride == 1:
            top = largest(x, n)
            total = rest = 0.0
            for start in range(0, n, BLOCK):
                size = BLOCK if n - start > BLOCK else n - start
                each(size, offset(y, start), term, offset(x, start), top)
                block = add_up(offset(y, start), size)
                rest = carried(rest, total, block)
                total += block
            each(n, y, finish, y, type(top)(settled(total, rest)))
        else:
            for j in range(0, width, COLUMNS):
                here = COLUMNS if width - j > COLUMNS else width - j
                normalise_columns(term, finish, offset(y, j), offset(x, j), n, here, stride)

    return kernel


def shift(term, sum_up, finish):
    """Shift a row by the logarithm of the sum of its exponentials."""

    def kernel(y, x, b, c, n, width, stride):
        if stride == 1:
            top = largest(x, n)
            each(n, y, finish, x, top, sum_up(top, row_excess(term, null(x), x, top, n)))
        else:
            tops, spare, excess = stack(x[0], COLUMNS), stack(x[0], COLUMNS), stack(x[0], COLUMNS)
            for j in range(0, width, COLUMNS):
                here = COLUMNS if width - j > COLUMNS else width - j
                tops, spare = column_tops(offset(x, j), n, here, stride, tops, spare)
                column_excess(term, null(x), offset(x, j), n, here, stride, tops, excess)
                each(here, excess, sum_up, tops, excess)
                for i in range(n):
                    each(here, offset(y, i * stride + j), finish, offset(x, i * stride + j), tops, excess)

    return kernel


def reduce(term, finish):
    """The logarithm of the sum of a row's exponentials."""

    def kernel(y, x, b, c, n, width, stride):
        if stride == 1:
            top = largest(x, n)
            y[0] = finish(top, row_excess(term, null(x), x, top, n))
        else:
            tops, spare, excess = stack(x[0], COLUMNS), stack(x[0], COLUMNS), stack(x[0], COLUMNS)
            for j in range(0, width, COLUMNS):
                here = COLUMNS if width - j > COLUMNS else width - j
                tops, spare = column_tops(offset(x, j), n, here, stride, tops, spare)
                column_excess(term, null(x), offset(x, j), n, here, stride, tops, excess)
                each(here, offset(y, j), finish, tops, excess)

    return kernel


def contract(term, finish):
    """Sum the terms of two rows, then combine both rows with that sum."""

    def kernel(out, a, b, c, n, width, stride):
        if stride == 1:
            terms = stack(a[0], BLOCK)
            total = rest = 0.0
            for start in range(0, n, BLOCK):
                size = BLOCK if n - start > BLOCK else n - start
                each(size, terms, term, offset(a, start), offset(b, start))
                block = add_up(terms, size)
                rest = carried(rest, total, block)
                total += block
            each(n, out, finish, a, b, type(a[0])(settled(total, rest)))
        else:
            for j in range(0, width, COLUMNS):
                here = COLUMNS if width - j > COLUMNS else width - j
                contract_columns(term, finish, offset(out, j), offset(a, j), offset(b, j), n, here, stride)

    return kernel


def spread(finish):
    """Combine a row with two numbers of its own."""

    def kernel(out, a, b, c, n, width, stride):
        if stride == 1:
            each(n, out, finish, a[0], b, c[0])
        else:
            for i in range(n):
                each(width, offset(out, i * stride), finish, a, offset(b, i * stride), c)

    return kernel
