"""The loops over rows, for a contiguous row and for rows that stand side by side, with one order of addition for both.

Sums are taken in blocks of 1024 elements: 16 lanes in the type of the data (element i goes to lane i % 16), the lanes by halving, the
blocks in float64. So every layout and thread count gives the same bits.
"""

from math import inf

from fastact.numba_kernels.bits import real, scalar
from fastact.numba_kernels.loops import LANES, add_up, copy, each, element1, element2, element3, fill, largest, offset, stack

BLOCK = 1024
COLUMNS = 64  # columns handled together ...
SUMS = LANES * COLUMNS  # ... and the lanes of all of them: lane l of column j at l * COLUMNS + j


# ---- one contiguous row: a maximum, one pass of terms that are summed in lanes, one pass that finishes ------------------


@scalar
def normalise_row(term, finish, y, x, n):
    """Store and sum the terms of a row, then divide them by their sum."""
    top = largest(x, n)
    total = 0.0
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        each(size, element1, term, offset(y, start), offset(x, start), (top,))
        total += add_up(offset(y, start), size)
    each(n, element1, finish, y, y, (real(total),))


@scalar
def untied_term(i, term, out, x, top):
    e = term(x[i], top)
    out[i] = real(0) if x[i] == top else e


@scalar
def row_excess(term, x, top, n):
    """The sum of a row's terms without one maximum."""
    block = stack(top, BLOCK)
    total = 0.0
    ties = 0
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        each(size, untied_term, term, block, offset(x, start), top)
        total += add_up(block, size)
    for i in range(n):
        ties += 1 if x[i] == top else 0
    return real(total + (ties - 1))


@scalar
def shift_row(term, finish, y, x, n):
    top = largest(x, n)
    each(n, element1, finish, y, x, (top, row_excess(term, x, top, n)))


@scalar
def reduce_row(term, finish, y, x, n):
    top = largest(x, n)
    y[0] = finish(top, row_excess(term, x, top, n))


@scalar
def contract_row(term, finish, out, a, b, n):
    """Sum the terms of two rows, then combine both rows with that sum."""
    block = stack(a[0], BLOCK)
    total = 0.0
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        each(size, element2, term, block, offset(a, start), offset(b, start), ())
        total += add_up(block, size)
    each(n, element2, finish, out, a, b, (real(total),))


@scalar
def spread_element(i, finish, out, a, b, c):
    out[i] = finish(a, b[i], c)


@scalar
def pick_row(takes, out, which, x, n):
    best = x[0]
    chosen = 0
    for i in range(1, n):
        if takes(x[i], best):
            best = x[i]
            chosen = i
    out[0] = best
    which[0] = chosen


# ---- rows side by side, element i of row j at i * stride + j: 64 columns at a time ----------------------------------------


@scalar
def raise_top(j, top, x):
    top[j] = x[j] if x[j] > top[j] else top[j]


@scalar
def column_tops(top, x, n, width, stride):
    each(width, fill, top, real(-inf))
    for i in range(n):
        each(width, raise_top, top, offset(x, i * stride))


@scalar
def add_lane(k, lanes, others):
    lanes[k] += others[k]


@scalar
def add_total(j, total, lanes, others):
    total[j] += lanes[j] + others[j]


@scalar
def add_lanes(total, lanes):
    """Add every column's 16 lanes by halving, in the order of `add_up`, to the column's total."""
    each(8 * COLUMNS, add_lane, lanes, offset(lanes, 8 * COLUMNS))
    each(4 * COLUMNS, add_lane, lanes, offset(lanes, 4 * COLUMNS))
    each(2 * COLUMNS, add_lane, lanes, offset(lanes, 2 * COLUMNS))
    each(COLUMNS, add_total, total, lanes, offset(lanes, COLUMNS))


@scalar
def lane_of(lanes, i):
    return offset(lanes, (i & (LANES - 1)) * COLUMNS)


@scalar
def rounded(j, out, total):
    out[j] = real(total[j])


@scalar
def store_term(j, term, y, x, top, lane):
    e = term(x[j], top[j])
    y[j] = e
    lane[j] += e


@scalar
def normalise_columns(term, finish, y, x, n, width, stride):
    top, lanes, total = stack(x[0], COLUMNS), stack(x[0], SUMS), stack(0.0, COLUMNS)
    column_tops(top, x, n, width, stride)
    each(COLUMNS, fill, total, 0.0)
    for start in range(0, n, BLOCK):
        each(SUMS, fill, lanes, real(0))
        for i in range(start, min(start + BLOCK, n)):
            each(width, store_term, term, offset(y, i * stride), offset(x, i * stride), top, lane_of(lanes, i))
        add_lanes(total, lanes)
    each(width, rounded, top, total)
    for i in range(n):
        each(width, element2, finish, offset(y, i * stride), offset(y, i * stride), top, ())


@scalar
def add_untied(j, term, x, top, lane, ties):
    e = term(x[j], top[j])
    tied = x[j] == top[j]
    lane[j] += real(0) if tied else e
    ties[j] += 1.0 if tied else 0.0


@scalar
def excess_of(j, excess, total, ties):
    excess[j] = real(total[j] + (ties[j] - 1.0))


@scalar
def column_excess(excess, term, top, x, n, width, stride):
    lanes, total, ties = stack(x[0], SUMS), stack(0.0, COLUMNS), stack(0.0, COLUMNS)
    each(COLUMNS, fill, total, 0.0)
    each(COLUMNS, fill, ties, 0.0)
    for start in range(0, n, BLOCK):
        each(SUMS, fill, lanes, real(0))
        for i in range(start, min(start + BLOCK, n)):
            each(width, add_untied, term, offset(x, i * stride), top, lane_of(lanes, i), ties)
        add_lanes(total, lanes)
    each(width, excess_of, excess, total, ties)


@scalar
def shift_columns(term, finish, y, x, n, width, stride):
    top, excess = stack(x[0], COLUMNS), stack(x[0], COLUMNS)
    column_tops(top, x, n, width, stride)
    column_excess(excess, term, top, x, n, width, stride)
    for i in range(n):
        each(width, element3, finish, offset(y, i * stride), offset(x, i * stride), top, excess, ())


@scalar
def reduce_columns(term, finish, y, x, n, width, stride):
    top, excess = stack(x[0], COLUMNS), stack(x[0], COLUMNS)
    column_tops(top, x, n, width, stride)
    column_excess(excess, term, top, x, n, width, stride)
    each(width, element2, finish, y, top, excess, ())


@scalar
def add_term(j, term, a, b, lane):
    lane[j] += term(a[j], b[j])


@scalar
def contract_columns(term, finish, out, a, b, n, width, stride):
    sums, lanes, total = stack(a[0], COLUMNS), stack(a[0], SUMS), stack(0.0, COLUMNS)
    each(COLUMNS, fill, total, 0.0)
    for start in range(0, n, BLOCK):
        each(SUMS, fill, lanes, real(0))
        for i in range(start, min(start + BLOCK, n)):
            each(width, add_term, term, offset(a, i * stride), offset(b, i * stride), lane_of(lanes, i))
        add_lanes(total, lanes)
    each(width, rounded, sums, total)
    for i in range(n):
        here = i * stride
        each(width, element3, finish, offset(out, here), offset(a, here), offset(b, here), sums, ())


@scalar
def pick_better(j, takes, out, which, x, i):
    better = takes(x[j], out[j])
    out[j] = x[j] if better else out[j]
    which[j] = i if better else which[j]


@scalar
def place_element(j, chosen, out, grad, which, i):
    out[j] = chosen(grad[j], which[j] == i)


@scalar
def place_row_element(i, chosen, out, grad, which):
    out[i] = chosen(grad, which == i)


# ---- one loop for both layouts: stride 1 is a single contiguous row -------------------------------------------------------


@scalar
def normalise(term, finish, y, x, b, c, n, width, stride):
    if stride == 1:
        normalise_row(term, finish, y, x, n)
    else:
        for j in range(0, width, COLUMNS):
            normalise_columns(term, finish, offset(y, j), offset(x, j), n, min(COLUMNS, width - j), stride)


@scalar
def shift(term, finish, y, x, b, c, n, width, stride):
    if stride == 1:
        shift_row(term, finish, y, x, n)
    else:
        for j in range(0, width, COLUMNS):
            shift_columns(term, finish, offset(y, j), offset(x, j), n, min(COLUMNS, width - j), stride)


@scalar
def reduce(term, finish, y, x, b, c, n, width, stride):
    if stride == 1:
        reduce_row(term, finish, y, x, n)
    else:
        for j in range(0, width, COLUMNS):
            reduce_columns(term, finish, offset(y, j), offset(x, j), n, min(COLUMNS, width - j), stride)


@scalar
def contract(term, finish, out, a, b, c, n, width, stride):
    if stride == 1:
        contract_row(term, finish, out, a, b, n)
    else:
        for j in range(0, width, COLUMNS):
            here = min(COLUMNS, width - j)
            contract_columns(term, finish, offset(out, j), offset(a, j), offset(b, j), n, here, stride)


@scalar
def spread(term, finish, out, a, b, c, n, width, stride):
    if stride == 1:
        each(n, spread_element, finish, out, a[0], b, c[0])
    else:
        for i in range(n):
            each(width, element3, finish, offset(out, i * stride), a, offset(b, i * stride), c, ())


@scalar
def pick(takes, out, which, x, n, width, stride):
    if stride == 1:
        pick_row(takes, out, which, x, n)
    else:
        each(width, copy, out, x)
        each(width, fill, which, 0)
        for i in range(1, n):
            each(width, pick_better, takes, out, which, offset(x, i * stride), i)


@scalar
def place(chosen, out, grad, which, n, width, stride):
    if stride == 1:
        each(n, place_row_element, chosen, out, grad[0], which[0])
    else:
        for i in range(n):
            each(width, place_element, chosen, offset(out, i * stride), grad, which, i)
