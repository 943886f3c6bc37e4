"""The loops over rows that follow one another, with the order of addition that holds for every layout.

Sums are taken in blocks of 1024 elements: 16 lanes in the type of the data (element i goes to lane i % 16), the lanes by halving,
the blocks in float64, where there are several. So every layout and thread count gives the same bits.
"""

from fastact.numba_kernels.bits import SINGLE, real, scalar
from fastact.numba_kernels.column_loops import BLOCK, carried, less_one, settled, untied
from fastact.numba_kernels.loops import add_up, each, is_null, largest, null, offset, stack
from fastact.numba_kernels.routines import routine

ROWS = 8  # contiguous rows that go through a pass together, where they are short and a logarithm stands between the passes


@routine
def row_excess(term, y, x, top, n):
    """The sum of a row's terms without one maximum; the terms are stored too where `y` is given."""
    terms, summed, tied = stack(top, BLOCK), stack(top, BLOCK), stack(top, BLOCK)
    result = real(0.0)
    total = rest = ties = 0.0
    for start in range(0, n, BLOCK):
        size = BLOCK if n - start > BLOCK else n - start
        to = terms if is_null(y) else offset(y, start)
        each(size, (to, summed, tied), untied, term, offset(x, start), top)
        block = add_up(size, None, summed)
        ties += add_up(size, None, tied)
        result = real(block + (ties - 1.0))
        if n > BLOCK:
            rest = carried(rest, total, block)
            total += block
            result = real(less_one(total, rest, ties))
    return result


@scalar
def rows_at_once(x, n, left):
    """How many of the contiguous rows that are left go through a pass together: the last steps of one run beside the next one's first."""
    return 1 if n > (256 if SINGLE else 64) else ROWS if left > ROWS else left


@routine
def row_tops(x, n, count, tops):
    for k in range(count):
        tops[k] = largest(offset(x, k * n), n)


@routine
def row_excesses(term, y, x, n, count, tops, excess):
    for k in range(count):
        excess[k] = row_excess(term, y if is_null(y) else offset(y, k * n), offset(x, k * n), tops[k], n)


@routine
def measure_rows(term, x, n, left, tops, excess):
    """The maxima and the sums without them of as many rows as go through a pass together, and how many these are."""
    count = rows_at_once(x[0], n, left)
    row_tops(x, n, count, tops)
    row_excesses(term, null(x), x, n, count, tops, excess)
    return count


@routine
def store_row(term, y, x, top, n):
    """Store the terms of a row; their sum."""
    result = real(0.0)
    total = rest = 0.0
    for start in range(0, n, BLOCK):
        size = BLOCK if n - start > BLOCK else n - start
        each(size, offset(y, start), term, offset(x, start), top)
        block = add_up(size, None, offset(y, start))
        result = block
        if n > BLOCK:
            rest = carried(rest, total, block)
            total += block
            result = real(settled(total, rest))
    return result


@routine
def row_product(term, a, b, n):
    """The sum of the terms of two rows."""
    result = real(0.0)
    total = rest = 0.0
    for start in range(0, n, BLOCK):
        size = BLOCK if n - start > BLOCK else n - start
        block = add_up(size, term, offset(a, start), offset(b, start))
        result = block
        if n > BLOCK:
            rest = carried(rest, total, block)
            total += block
            result = real(settled(total, rest))
    return result


# ---- kernels: `width` rows of n elements, which follow one another ---------------------------------------------------------


def normalise_rows(term, finish):
    """Store and sum the terms of a row, then divide them by their sum."""

    def kernel(y, x, b, c, n, width, stride):
        for j in range(width):
            row, terms = offset(x, j * n), offset(y, j * n)
            each(n, terms, finish, terms, store_row(term, terms, row, largest(row, n), n))

    return kernel


def shift_rows(term, sum_up, finish):
    """Shift a row by the logarithm of the sum of its exponentials."""

    def kernel(y, x, b, c, n, width, stride):
        tops, excess = stack(x[0], ROWS), stack(x[0], ROWS)
        j = 0
        while j < width:
            count = measure_rows(term, offset(x, j * n), n, width - j, tops, excess)
            each(count, excess, sum_up, tops, excess)
            for k in range(j, j + count):
                each(n, offset(y, k * n), finish, offset(x, k * n), tops[k - j], excess[k - j])
            j += count

    return kernel


def reduce_rows(term, finish):
    """The logarithm of the sum of a row's exponentials."""

    def kernel(y, x, b, c, n, width, stride):
        tops, excess = stack(x[0], ROWS), stack(x[0], ROWS)
        j = 0
        while j < width:
            count = measure_rows(term, offset(x, j * n), n, width - j, tops, excess)
            each(count, offset(y, j), finish, tops, excess)
            j += count

    return kernel


def contract_rows(term, finish):
    """Sum the terms of two rows, then combine both rows with that sum."""

    def kernel(out, a, b, c, n, width, stride):
        for j in range(width):
            row, other = offset(a, j * n), offset(b, j * n)
            each(n, (offset(out, j * n),), finish, row, other, row_product(term, row, other, n))

    return kernel


def spread_rows(finish):
    """Combine a row with two numbers of its own."""

    def kernel(out, a, b, c, n, width, stride):
        for j in range(width):
            each(n, (offset(out, j * n),), finish, a[j], offset(b, j * n), c[j])

    return kernel
