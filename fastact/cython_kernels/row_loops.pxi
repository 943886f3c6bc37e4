# The loops over contiguous rows: a maximum, one pass of terms that are summed in lanes, one pass that finishes. Each pass goes over
# several short rows before the next begins: the last steps of a row, one after another, then run beside the next row's first. What is
# done to a group of 16 elements takes their number: called with the constant 16 for all but the last group, it works in registers.

cdef inline bint is_short(const real *x, Py_ssize_t n) noexcept nogil:
    """Whether the last steps of a row take long beside the row; an exponential in double is long itself."""
    return n <= (NEAR if sizeof(real) == 4 else NEAR // 4)

cdef inline Py_ssize_t rows_at_once(const real *x, Py_ssize_t n, Py_ssize_t left, Py_ssize_t most) noexcept nogil:
    """How many of the rows that are left go through a pass together."""
    return 1 if not is_short(x, n) else most if left > most else left

cdef inline void fetch_row(const real *x, Py_ssize_t n) noexcept nogil:
    """Begin to load a short row that comes in the next turn."""
    cdef Py_ssize_t i
    for i from 0 <= i < (n if is_short(x, n) else 0) by 64 // <Py_ssize_t>sizeof(real):
        prefetch(x + i)

cdef inline void row_tops(real *top, const real *x, Py_ssize_t n, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(count):
        top[k] = row_top(x + k * n, n)


cdef inline void store_terms(real *y, const real *x, real top, real *lane, Py_ssize_t count,
                             real (*term)(real, real) noexcept nogil) noexcept nogil:
    cdef real v[LANES]
    cdef Py_ssize_t j
    load(v, x, count, -INFINITY)
    for j in range(LANES):
        v[j] = term(v[j], top)
        lane[j] += v[j]
    store(y, v, count)

cdef inline real store_row(real *y, const real *x, real top, Py_ssize_t n, real (*term)(real, real) noexcept nogil) noexcept nogil:
    """Store the terms of a row; their sum."""
    cdef double total = 0, rest = 0, block
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
        if n <= BLOCK:
            return <real>block
        rest = carried(rest, total, block)
        total += block
    return <real>settled(total, rest)

cdef inline void normalise_rows(real *y, const real *x, Py_ssize_t n, Py_ssize_t width, real (*term)(real, real) noexcept nogil,
                                real (*finish)(real, real) noexcept nogil) noexcept nogil:
    """Store and sum the terms of a row, then divide them by their sum."""
    cdef real top[ROWS]
    cdef Py_ssize_t j = 0, k, i, count
    cdef real *to
    while j < width:
        count = rows_at_once(x, n, width - j, ROWS)
        row_tops(top, x + j * n, n, count)
        for k in range(count):
            top[k] = store_row(y + (j + k) * n, x + (j + k) * n, top[k], n, term)
        for k in range(count):
            to = y + (j + k) * n
            for i in range(n):
                to[i] = finish(to[i], top[k])
        j += count


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
        ties += halve(tie)
        if n <= BLOCK:
            return <real>(block + (ties - 1))
        rest = carried(rest, total, block)
        total += block
    return <real>(settled(total, rest) + (ties - 1))

cdef inline void shift_rows(real *y, const real *x, Py_ssize_t n, Py_ssize_t width, real (*term)(real, real) noexcept nogil,
                            real (*sum_up)(real, real) noexcept nogil, real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    cdef real top[ROWS]
    cdef real total[ROWS]
    cdef Py_ssize_t j = 0, k, i, count
    cdef const real *row
    cdef real *to
    while j < width:
        count = rows_at_once(x, n, width - j, ROWS)
        row_tops(top, x + j * n, n, count)
        for k in range(count):
            fetch_row(x + (j + k + count) * n, n)
            total[k] = row_excess(<real *>NULL, x + (j + k) * n, top[k], n, term)
        for k in range(count):
            total[k] = sum_up(top[k], total[k])
        for k in range(count):
            row = x + (j + k) * n
            to = y + (j + k) * n
            for i in range(n):
                to[i] = finish(row[i], top[k], total[k])
        j += count

cdef inline void reduce_rows(real *y, const real *x, Py_ssize_t n, Py_ssize_t width, real (*term)(real, real) noexcept nogil,
                             real (*finish)(real, real) noexcept nogil) noexcept nogil:
    cdef real top[ROWS]
    cdef real total[ROWS]
    cdef Py_ssize_t j = 0, k, count
    while j < width:
        count = rows_at_once(x, n, width - j, ROWS)
        row_tops(top, x + j * n, n, count)
        for k in range(count):
            total[k] = row_excess(<real *>NULL, x + (j + k) * n, top[k], n, term)
        for k in range(count):
            y[j + k] = finish(top[k], total[k])
        j += count


cdef inline void add_products(const real *a, const real *b, real *lane, Py_ssize_t count,
                              real (*term)(real, real) noexcept nogil) noexcept nogil:
    cdef real v[LANES]
    cdef real w[LANES]
    cdef Py_ssize_t j
    load(v, a, count, 0)
    load(w, b, count, 0)
    for j in range(LANES):
        lane[j] += term(v[j], w[j])

cdef inline real row_product(const real *a, const real *b, Py_ssize_t n, real (*term)(real, real) noexcept nogil) noexcept nogil:
    """The sum of the terms of two rows."""
    cdef double total = 0, rest = 0, block
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
        if n <= BLOCK:
            return <real>block
        rest = carried(rest, total, block)
        total += block
    return <real>settled(total, rest)

cdef inline void contract_rows(real *out, const real *a, const real *b, Py_ssize_t n, Py_ssize_t width,
                               real (*term)(real, real) noexcept nogil,
                               real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    """Sum the terms of two rows, then combine both rows with that sum."""
    cdef real sums[ROWS]
    cdef Py_ssize_t j = 0, k, i, count
    while j < width:
        count = rows_at_once(a, n, width - j, ROWS // 2)
        for k in range(count):
            sums[k] = row_product(a + (j + k) * n, b + (j + k) * n, n, term)
        for k in range(j, j + count):
            for i from 0 <= i < n by STAGE:     # in a longer loop the compiler fetches ahead, for which it lacks registers
                map2p1(out + k * n + i, a + k * n + i, b + k * n + i, sums[k - j], STAGE if n - i > STAGE else n - i, finish)
        j += count

cdef inline void spread_rows(real *out, const real *a, const real *b, const real *c, Py_ssize_t n, Py_ssize_t width,
                             real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t i, j
    for j in range(width):
        for i in range(n):
            out[j * n + i] = finish(a[j], b[j * n + i], c[j])


cdef enum:
    FAR = 1 << 24   # elements over which indices are kept in the type of the data: float holds every whole number up to here

cdef inline void challenge(real *best, real *at, const real *x, real here, Py_ssize_t count,
                           bint (*takes)(real, real) noexcept nogil) noexcept nogil:
    """Let each of up to 16 elements take the place of the best of its lane; `here` tells where, and is as wide as they: that vectorises."""
    cdef real v[LANES]
    cdef Py_ssize_t j
    cdef bint better
    load(v, x, count, -INFINITY)
    for j in range(LANES):
        better = takes(v[j], best[j])
        best[j] = v[j] if better else best[j]
        at[j] = here if better else at[j]

cdef inline void meet(real *best, real *at, Py_ssize_t half, bint (*takes)(real, real) noexcept nogil) noexcept nogil:
    """Of lanes k and k + half, lane k gets the better; of equals the one that came first. No more than `half` lanes count then, but a
    loop over fewer than all 16 would be written out, with branches."""
    cdef Py_ssize_t k
    cdef bint other
    for k in range(LANES):
        other = takes(best[k + half], best[k]) | ((at[k + half] < at[k]) & (not takes(best[k], best[k + half])))
        best[k] = best[k + half] if other else best[k]
        at[k] = at[k + half] if other else at[k]

cdef inline real pick_near(real *top, const real *x, Py_ssize_t n, bint (*takes)(real, real) noexcept nogil) noexcept nogil:
    """The pick of up to FAR elements and its index; the last group ends with the row, and may see elements again."""
    cdef real best[2 * LANES]
    cdef real at[2 * LANES]
    cdef Py_ssize_t i, j
    load(best, x, n, -INFINITY)
    fill(at, 0)
    for i from LANES <= i < n - LANES + 1 by LANES:
        challenge(best, at, x + i, <real>i, LANES, takes)
    if n > LANES and n % LANES:
        challenge(best, at, x + n - LANES, <real>(n - LANES), LANES, takes)
    for j in range(LANES):
        at[j] += <real>j
    fill(best + LANES, 0)
    fill(at + LANES, 0)
    meet(best, at, 8, takes)
    meet(best, at, 4, takes)
    meet(best, at, 2, takes)
    meet(best, at, 1, takes)
    top[0] = best[0]
    return at[0]

cdef inline void pick_row(real *out, Py_ssize_t *which, const real *x, Py_ssize_t n,
                          bint (*takes)(real, real) noexcept nogil) noexcept nogil:
    cdef real top = x[0], at
    cdef Py_ssize_t start
    which[0] = 0
    out[0] = top
    for start from 0 <= start < n by FAR:
        at = pick_near(&top, x + start, n - start if n - start < FAR else FAR, takes)
        if start == 0 or takes(top, out[0]):
            out[0] = top
            which[0] = start + <Py_ssize_t>at

cdef inline void place_long(real *out, const real *grad, const Py_ssize_t *which, Py_ssize_t n, Py_ssize_t width,
                            real (*place)(real, bint) noexcept nogil) noexcept nogil:
    """Rows one after another: where nothing was chosen the gradient does not count, so that is written first, many rows at a time."""
    cdef Py_ssize_t j, i, count, some = BLOCK // n if n < BLOCK else 1
    cdef real *row = out
    for j from 0 <= j < width by some:
        count = some if width - j > some else width - j
        row = out + j * n
        for i in range(count * n):
            row[i] = place(0, False)
        for i in range(count):
            if 0 <= which[j + i] < n:   # it was checked, but is the caller's, who may have changed it
                row[i * n + which[j + i]] = place(grad[j + i], True)
