"""The loops over rows that stand side by side, element i of row j at i * stride + j: 256 columns at a time (128 of float64), with the
order of addition of a single row, which see in row_loops.py; and the scalars of both."""

from math import inf

from fastact.numba_kernels.bits import SINGLE, real, scalar
from fastact.numba_kernels.loops import LANES, each, is_null, null, offset, prefetch, stack
from fastact.numba_kernels.routines import routine

BLOCK = 1024
AHEAD = 2  # rows between the one that is computed and the one that begins to be loaded
COLUMNS = 256  # columns handled together in float32, half as many in float64 ...
SUMS = LANES * COLUMNS  # ... and the lanes of all of them: lane k of column j at k * width + j
NARROW = 64  # so many columns at most, without a gap between them, are taken 16 elements of each at a time ...
RUN = LANES * NARROW  # ... in one run


@scalar
def columns_at_once(x):
    """How many columns are handled together: 1 kB of each row, since the lanes of wider pieces fill the nearest cache."""
    return COLUMNS if SINGLE else COLUMNS // 2


@scalar
def columns(x, width, j):
    """How many are left of them from column j on."""
    return columns_at_once(x) if width - j > columns_at_once(x) else width - j


@scalar
def same(x):
    return x


@scalar
def add(lane, x):
    return lane + x


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


@scalar
def fetched(x, n, width, stride):
    """How much of a later row begins to be loaded: all of it where rows are many and far apart, else nothing."""
    return width if stride > COLUMNS and n >= (256 if SINGLE else 128) else 0


@scalar
def step_of(n, width, stride):
    """How many elements of each column are taken at a time."""
    return LANES if width == stride and width <= NARROW and n > LANES else 1


@scalar
def run(left, step, width):
    """The numbers that are taken at a time, where each column has `left` elements left."""
    return step * width if left >= step else left * width


@routine
def repeat(v, width, step):
    """What holds for a column, for every element that is taken at a time."""
    for k in range(1, step):
        each(width, offset(v, k * width), same, v)


@routine
def column_tops(x, n, width, stride, top, spare):
    """The maximum of each column, in the first buffer returned; with one buffer LLVM makes slow masked stores of the choice."""
    step, ahead = step_of(n, width, stride), fetched(x[0], n, width, stride)
    each(step * width, top, same, real(-inf))
    for i in range(0, n - n % step, step):
        prefetch(offset(x, (i + AHEAD) * stride), ahead)
        each(step * width, spare, larger, top, offset(x, i * stride))
        top, spare = spare, top
    for k in range(1, step):
        each(width, top, larger, top, offset(top, k * width))
    for i in range(n - n % step, n):
        each(width, spare, larger, top, offset(x, i * stride))
        top, spare = spare, top
    repeat(top, width, step)
    return top, spare


@routine
def lane_of(lanes, i, width):
    return offset(lanes, (i & (LANES - 1)) * width)


@scalar
def lanes_used(n, start):
    """How many lanes a block of rows fills: the others would add nothing."""
    return n - start if n - start < LANES else LANES


@routine
def add_lanes(total, rest, lanes, width, n, start):
    """Add every column's lanes by halving, in the order of `add_up`, to the column's total; see `carried`."""
    half, left = LANES, lanes_used(n, start)
    while half > 1:
        half >>= 1
        each((left - half) * width, lanes, add, lanes, offset(lanes, half * width))
        left = half if left > half else left
    if n > BLOCK:
        each(width, rest, carried, rest, total, lanes)
    each(width, total, add, total, lanes)


@routine
def settle(sums, total, rest, lanes, width, n):
    """The sum of each column; of a single block it is in the first lane as well."""
    if n > BLOCK:
        each(width, sums, settled, total, rest)
    else:
        each(width, sums, same, lanes)


@routine
def normalise_together(term, finish, y, x, n, width, stride):
    lanes, total, rest = stack(x[0], SUMS), stack(0.0, COLUMNS), stack(0.0, COLUMNS)
    step, ahead = step_of(n, width, stride), fetched(x[0], n, width, stride)
    top, _ = column_tops(x, n, width, stride, stack(x[0], RUN), stack(x[0], RUN))
    each(width, total, same, 0.0)
    each(width, rest, same, 0.0)
    for start in range(0, n, BLOCK):
        stop = start + BLOCK if n - start > BLOCK else n
        for i in range(start, stop, step):
            lane, here = lane_of(lanes, i, width), i * stride
            prefetch(offset(x, (i + AHEAD) * stride), ahead)
            prefetch(offset(y, (i + AHEAD) * stride), ahead)
            if i - start < LANES:
                each(run(stop - i, step, width), (offset(y, here), lane), add_term_too, real(0), term, offset(x, here), top)
            else:
                each(run(stop - i, step, width), (offset(y, here), lane), add_term_too, lane, term, offset(x, here), top)
        add_lanes(total, rest, lanes, width, n, start)
    settle(top, total, rest, lanes, width, n)
    repeat(top, width, step)
    for i in range(0, n, step):
        prefetch(offset(y, (i + AHEAD) * stride), ahead)
        each(run(n - i, step, width), offset(y, i * stride), finish, offset(y, i * stride), top)


@routine
def column_excess(term, y, x, n, width, stride, top, excess):
    """The sum of each column's terms without one maximum, in the buffer `excess`; the terms are stored too where `y` is given."""
    lanes, terms, few = stack(x[0], SUMS), stack(x[0], RUN), stack(x[0], RUN)
    total, rest, ties = stack(0.0, COLUMNS), stack(0.0, COLUMNS), stack(0.0, COLUMNS)
    step, ahead = step_of(n, width, stride), fetched(x[0], n, width, stride)
    each(width, total, same, 0.0)
    each(width, rest, same, 0.0)
    each(width, ties, same, 0.0)
    for start in range(0, n, BLOCK):
        stop = start + BLOCK if n - start > BLOCK else n
        each(step * width, few, same, real(0))  # the ties of a block, counted in the type of the data
        for i in range(start, stop, step):
            lane, here = lane_of(lanes, i, width), i * stride
            prefetch(offset(x, (i + AHEAD) * stride), ahead)
            to = terms if is_null(y) else offset(y, here)
            if i - start < LANES:
                each(run(stop - i, step, width), (to, lane, few), add_untied, real(0), few, term, offset(x, here), top)
            else:
                each(run(stop - i, step, width), (to, lane, few), add_untied, lane, few, term, offset(x, here), top)
        add_lanes(total, rest, lanes, width, n, start)
        for k in range(step):
            each(width, ties, add, ties, offset(few, k * width))
    each(width, excess, less_one, total, rest, ties)


@routine
def contract_together(term, finish, out, a, b, n, width, stride):
    lanes, sums = stack(a[0], SUMS), stack(a[0], RUN)
    total, rest = stack(0.0, COLUMNS), stack(0.0, COLUMNS)
    step, ahead = step_of(n, width, stride), fetched(a[0], n, width, stride)
    each(width, total, same, 0.0)
    each(width, rest, same, 0.0)
    for start in range(0, n, BLOCK):
        stop = start + BLOCK if n - start > BLOCK else n
        for i in range(start, stop, step):
            lane, here = lane_of(lanes, i, width), i * stride
            prefetch(offset(a, (i + AHEAD) * stride), ahead)
            prefetch(offset(b, (i + AHEAD) * stride), ahead)
            if i - start < LANES:
                each(run(stop - i, step, width), lane, add_term, real(0), term, offset(a, here), offset(b, here))
            else:
                each(run(stop - i, step, width), lane, add_term, lane, term, offset(a, here), offset(b, here))
        add_lanes(total, rest, lanes, width, n, start)
    settle(sums, total, rest, lanes, width, n)
    repeat(sums, width, step)
    for i in range(0, n, step):
        here = i * stride
        prefetch(offset(a, (i + AHEAD) * stride), ahead)
        prefetch(offset(b, (i + AHEAD) * stride), ahead)
        prefetch(offset(out, (i + AHEAD) * stride), ahead)
        each(run(n - i, step, width), (offset(out, here),), finish, offset(a, here), offset(b, here), sums)


# ---- kernels --------------------------------------------------------------------------------------------------------------


def normalise_columns(term, finish):
    def kernel(y, x, b, c, n, width, stride):
        for j in range(0, width, columns_at_once(x[0])):
            normalise_together(term, finish, offset(y, j), offset(x, j), n, columns(x[0], width, j), stride)

    return kernel


def shift_columns(term, sum_up, finish):
    def kernel(y, x, b, c, n, width, stride):
        tops, spare, excess = stack(x[0], RUN), stack(x[0], RUN), stack(x[0], RUN)
        for j in range(0, width, columns_at_once(x[0])):
            here = columns(x[0], width, j)
            tops, spare = column_tops(offset(x, j), n, here, stride, tops, spare)
            column_excess(term, null(x), offset(x, j), n, here, stride, tops, excess)
            each(here, excess, sum_up, tops, excess)
            step = step_of(n, here, stride)
            repeat(excess, here, step)
            for i in range(0, n, step):
                at = i * stride + j
                each(run(n - i, step, here), offset(y, at), finish, offset(x, at), tops, excess)

    return kernel


def reduce_columns(term, finish):
    def kernel(y, x, b, c, n, width, stride):
        tops, spare, excess = stack(x[0], RUN), stack(x[0], RUN), stack(x[0], RUN)
        for j in range(0, width, columns_at_once(x[0])):
            here = columns(x[0], width, j)
            tops, spare = column_tops(offset(x, j), n, here, stride, tops, spare)
            column_excess(term, null(x), offset(x, j), n, here, stride, tops, excess)
            each(here, offset(y, j), finish, tops, excess)

    return kernel


def contract_columns(term, finish):
    def kernel(out, a, b, c, n, width, stride):
        for j in range(0, width, columns_at_once(a[0])):
            contract_together(term, finish, offset(out, j), offset(a, j), offset(b, j), n, columns(a[0], width, j), stride)

    return kernel


def spread_columns(finish):
    def kernel(out, a, b, c, n, width, stride):
        for i in range(n):
            each(width, offset(out, i * stride), finish, a, offset(b, i * stride), c)

    return kernel
