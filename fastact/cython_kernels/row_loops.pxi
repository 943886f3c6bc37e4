# The loops over one contiguous row: a maximum, one pass of terms that are summed in lanes, one pass that finishes. What is done to a
# group of 16 elements takes their number: called with the constant 16 for all but the last group, it works in registers.

cdef inline void store_terms(real *y, const real *x, real top, real *lane, Py_ssize_t count,
                             real (*term)(real, real) noexcept nogil) noexcept nogil:
    cdef real v[LANES]
    cdef Py_ssize_t j
    load(v, x, count, -INFINITY)
    for j in range(LANES):
        v[j] = term(v[j], top)
        lane[j] += v[j]
    store(y, v, count)

cdef inline void normalise_row(real *y, const real *x, Py_ssize_t n, real (*term)(real, real) noexcept nogil,
                               real (*finish)(real, real) noexcept nogil) noexcept nogil:
    """Store and sum the terms of a row, then divide them by their sum."""
    cdef real top = row_top(x, n)
    cdef double total = 0, rest = 0, block
    cdef real sum
    cdef real lane[LANES]
    cdef Py_ssize_t start, stop, full, i
    for start from 0 <= start < n by BLOCK:
        stop = start + BLOCK if start + BLOCK < n else n
        full = stop - stop % LANES
        fill(lane, 0)
        for i from start <= i < full by LANES:
            store_terms(y + i, x + i, top, lane, LANES, term)
        if full < stop:
            store_terms(y + full, x + full, top, lane, stop - full, term)
        block = halve(lane)
        rest = carried(rest, total, block)
        total += block
    sum = <real>settled(total, rest)
    for i in range(n):
        y[i] = finish(y[i], sum)


cdef inline void add_excess(real *y, const real *x, real top, real *lane, real *tie, Py_ssize_t count,
                            real (*term)(real, real) noexcept nogil) noexcept nogil:
    cdef real v[LANES]
    cdef real e[LANES]
    cdef Py_ssize_t j
    cdef bint ties
    load(v, x, count, -INFINITY)
    for j in range(LANES):
        e[j] = term(v[j], top)
        ties = v[j] == top
        tie[j] += only_if(ties, <real>1)
        lane[j] += unless(ties, e[j])
    if y is not NULL:
        store(y, e, count)

cdef inline real row_excess(real *y, const real *x, real top, Py_ssize_t n, real (*term)(real, real) noexcept nogil) noexcept nogil:
    """The sum of a row's terms without one maximum; the terms are stored too where `y` is given."""
    cdef double total = 0, rest = 0, block, ties = 0
    cdef real lane[LANES]
    cdef real tie[LANES]
    cdef Py_ssize_t start, stop, full, i
    for start from 0 <= start < n by BLOCK:
        stop = start + BLOCK if start + BLOCK < n else n
        full = stop - stop % LANES
        fill(lane, 0)
        fill(tie, 0)
        for i from start <= i < full by LANES:
            add_excess(y + i if y is not NULL else NULL, x + i, top, lane, tie, LANES, term)
        if full < stop:
            add_excess(y + full if y is not NULL else NULL, x + full, top, lane, tie, stop - full, term)
        block = halve(lane)
        rest = carried(rest, total, block)
        total += block
        ties += halve(tie)
    return <real>(settled(total, rest) + (ties - 1))

cdef inline void shift_row(real *y, const real *x, Py_ssize_t n, real (*term)(real, real) noexcept nogil,
                           real (*sum_up)(real, real) noexcept nogil, real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    cdef real top = row_top(x, n)
    cdef real total = sum_up(top, row_excess(<real *>NULL, x, top, n, term))
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = finish(x[i], top, total)

cdef inline void reduce_row(real *y, const real *x, Py_ssize_t n, real (*term)(real, real) noexcept nogil,
                            real (*finish)(real, real) noexcept nogil) noexcept nogil:
    cdef real top = row_top(x, n)
    y[0] = finish(top, row_excess(<real *>NULL, x, top, n, term))


cdef inline void add_products(const real *a, const real *b, real *lane, Py_ssize_t count,
                              real (*term)(real, real) noexcept nogil) noexcept nogil:
    cdef real v[LANES]
    cdef real w[LANES]
    cdef Py_ssize_t j
    load(v, a, count, 0)
    load(w, b, count, 0)
    for j in range(LANES):
        lane[j] += term(v[j], w[j])

cdef inline void contract_row(real *out, const real *a, const real *b, Py_ssize_t n, real (*term)(real, real) noexcept nogil,
                              real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    """Sum the terms of two rows, then combine both rows with that sum."""
    cdef double total = 0, rest = 0, block
    cdef real sum
    cdef real lane[LANES]
    cdef Py_ssize_t start, stop, full, i
    for start from 0 <= start < n by BLOCK:
        stop = start + BLOCK if start + BLOCK < n else n
        full = stop - stop % LANES
        fill(lane, 0)
        for i from start <= i < full by LANES:
            add_products(a + i, b + i, lane, LANES, term)
        if full < stop:
            add_products(a + full, b + full, lane, stop - full, term)
        block = halve(lane)
        rest = carried(rest, total, block)
        total += block
    sum = <real>settled(total, rest)
    for i in range(n):
        out[i] = finish(a[i], b[i], sum)

cdef inline void spread_row(real *out, real a, const real *b, real c, Py_ssize_t n,
                            real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = finish(a, b[i], c)


cdef inline void pick_row(real *out, Py_ssize_t *which, const real *x, Py_ssize_t n,
                          bint (*takes)(real, real) noexcept nogil) noexcept nogil:
    cdef real best = x[0]
    cdef Py_ssize_t i, chosen = 0
    for i in range(1, n):
        if takes(x[i], best):
            best = x[i]
            chosen = i
    out[0] = best
    which[0] = chosen

cdef inline void place_row(real *out, real grad, Py_ssize_t which, Py_ssize_t n,
                           real (*place)(real, bint) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = place(grad, i == which)
