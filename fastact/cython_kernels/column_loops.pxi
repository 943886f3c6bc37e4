# The same row loops for rows that stand side by side (element i of row j at i * stride + j): up to 256 columns at a time, in groups of
# 16 columns, with the order of addition of a single row. What is done to a group takes its number of columns, as in row_loops.pxi.

cdef inline void fetch(const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride) noexcept nogil:
    """Begin to load the elements of a later row, where rows are many and far apart."""
    cdef Py_ssize_t g
    x += AHEAD * stride
    for g from 0 <= g < (width if stride > COLUMNS and n >= COLUMNS else 0) by 64 // <Py_ssize_t>sizeof(real):
        prefetch(x + g)

cdef inline void raise_tops(real *top, const real *x, Py_ssize_t count) noexcept nogil:
    cdef real v[LANES]
    load(v, x, count, -INFINITY)
    raise_top(top, v)

cdef inline void column_tops(real *top, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride) noexcept nogil:
    cdef Py_ssize_t i, g, full = width - width % LANES
    for g from 0 <= g < width by LANES:
        fill(top + g, -INFINITY)
    for i in range(n):
        fetch(x + i * stride, n, width, stride)
        for g from 0 <= g < full by LANES:
            raise_tops(top + g, x + i * stride + g, LANES)
        if full < width:
            raise_tops(top + full, x + i * stride + full, width - full)

cdef inline void clear(real *lanes, Py_ssize_t width, Py_ssize_t used) noexcept nogil:
    cdef Py_ssize_t k, g
    for k in range(used):
        for g from 0 <= g < width by LANES:
            fill(lanes + k * COLUMNS + g, 0)

cdef inline void fold(real *lanes, Py_ssize_t width, Py_ssize_t half, Py_ssize_t used) noexcept nogil:
    """Add lane k + half to lane k, of the lanes that are used: the others would add nothing."""
    cdef Py_ssize_t k, g, j
    for k in range(half if half < used - half else used - half):
        for g from 0 <= g < width by LANES:
            for j in range(g, g + LANES):
                lanes[k * COLUMNS + j] += lanes[(k + half) * COLUMNS + j]

cdef inline void add_lanes(double *total, double *rest, real *lanes, Py_ssize_t width, Py_ssize_t used) noexcept nogil:
    """Add every column's lanes by halving, in the order of `halve`, to the column's total; `rest`, where given, keeps what is lost."""
    cdef Py_ssize_t j
    fold(lanes, width, 8, used)
    fold(lanes, width, 4, used if used < 8 else 8)
    fold(lanes, width, 2, used if used < 4 else 4)
    fold(lanes, width, 1, used if used < 2 else 2)
    if rest is not NULL:
        for j in range(width):
            rest[j] = carried(rest[j], total[j], lanes[j])
    for j in range(width):
        total[j] += lanes[j]

cdef inline Py_ssize_t lanes_used(Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    return stop - start if stop - start < LANES else LANES


cdef inline void store_column_terms(real *y, const real *x, const real *top, real *lane, Py_ssize_t count,
                                    real (*term)(real, real) noexcept nogil) noexcept nogil:
    cdef real v[LANES]
    cdef Py_ssize_t j
    load(v, x, count, 0)
    for j in range(LANES):
        v[j] = term(v[j], top[j])
        lane[j] += v[j]
    store(y, v, count)

cdef inline void finish_terms(real *y, const real *total, Py_ssize_t count, real (*finish)(real, real) noexcept nogil) noexcept nogil:
    cdef real v[LANES]
    cdef Py_ssize_t j
    load(v, y, count, 0)
    for j in range(LANES):
        v[j] = finish(v[j], total[j])
    store(y, v, count)

cdef inline void normalise_columns(real *y, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                                   real (*term)(real, real) noexcept nogil,
                                   real (*finish)(real, real) noexcept nogil) noexcept nogil:
    cdef real lanes[LANES * COLUMNS]
    cdef real top[COLUMNS]
    cdef double total[COLUMNS]
    cdef double rest[COLUMNS]
    cdef real *lane
    cdef Py_ssize_t start, stop, i, g, j, full = width - width % LANES
    column_tops(top, x, n, width, stride)
    for j in range(width):
        total[j] = 0
        rest[j] = 0
    for start from 0 <= start < n by BLOCK:
        stop = start + BLOCK if start + BLOCK < n else n
        clear(lanes, width, lanes_used(start, stop))
        for i in range(start, stop):
            lane = lanes + (i % LANES) * COLUMNS
            fetch(x + i * stride, n, width, stride)
            fetch(y + i * stride, n, width, stride)
            for g from 0 <= g < full by LANES:
                store_column_terms(y + i * stride + g, x + i * stride + g, top + g, lane + g, LANES, term)
            if full < width:
                store_column_terms(y + i * stride + full, x + i * stride + full, top + full, lane + full, width - full, term)
        add_lanes(total, rest, lanes, width, lanes_used(start, stop))
    for j in range(width):
        top[j] = <real>settled(total[j], rest[j])
    for i in range(n):
        fetch(y + i * stride, n, width, stride)
        for g from 0 <= g < full by LANES:
            finish_terms(y + i * stride + g, top + g, LANES, finish)
        if full < width:
            finish_terms(y + i * stride + full, top + full, width - full, finish)


cdef inline void add_column_excess(real *y, const real *x, const real *top, real *lane, real *tie, Py_ssize_t count,
                                   real (*term)(real, real) noexcept nogil) noexcept nogil:
    cdef real v[LANES]
    cdef real e[LANES]
    cdef Py_ssize_t j
    cdef bint ties
    load(v, x, count, 0)
    for j in range(LANES):
        e[j] = term(v[j], top[j])
        ties = v[j] == top[j]
        tie[j] += only_if(ties, <real>1)
        lane[j] += unless(ties, e[j])
    if y is not NULL:
        store(y, e, count)

cdef inline void column_excess(real *excess, real *y, const real *top, const real *x, Py_ssize_t n, Py_ssize_t width,
                               Py_ssize_t stride, real (*term)(real, real) noexcept nogil) noexcept nogil:
    """The sum of each column's terms without one maximum; the terms are stored too where `y` is given."""
    cdef real lanes[LANES * COLUMNS]
    cdef double total[COLUMNS]
    cdef double rest[COLUMNS]
    cdef double tied[COLUMNS]
    cdef real ties[COLUMNS]
    cdef real *lane
    cdef real *to = NULL
    cdef Py_ssize_t start, stop, i, g, j, full = width - width % LANES
    for j in range(width):
        total[j] = 0
        rest[j] = 0
        tied[j] = 0
    for start from 0 <= start < n by BLOCK:
        stop = start + BLOCK if start + BLOCK < n else n
        clear(lanes, width, lanes_used(start, stop))
        for g from 0 <= g < width by LANES:
            fill(ties + g, 0)
        for i in range(start, stop):
            lane = lanes + (i % LANES) * COLUMNS
            if y is not NULL:
                to = y + i * stride
                fetch(to, n, width, stride)
            fetch(x + i * stride, n, width, stride)
            for g from 0 <= g < full by LANES:
                add_column_excess(to + g if to is not NULL else NULL, x + i * stride + g, top + g, lane + g, ties + g, LANES, term)
            if full < width:
                add_column_excess(to + full if to is not NULL else NULL, x + i * stride + full, top + full, lane + full, ties + full,
                                  width - full, term)
        for j in range(width):
            tied[j] += ties[j]
        add_lanes(total, rest, lanes, width, lanes_used(start, stop))
    for j in range(width):
        excess[j] = <real>(settled(total[j], rest[j]) + (tied[j] - 1))

cdef inline void finish_shifts(real *y, const real *x, const real *top, const real *total, Py_ssize_t count,
                               real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    cdef real v[LANES]
    cdef Py_ssize_t j
    load(v, x, count, 0)
    for j in range(LANES):
        v[j] = finish(v[j], top[j], total[j])
    store(y, v, count)

cdef inline void shift_columns(real *y, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                               real (*term)(real, real) noexcept nogil, real (*sum_up)(real, real) noexcept nogil,
                               real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    cdef real top[COLUMNS]
    cdef real total[COLUMNS]
    cdef Py_ssize_t i, g, j, full = width - width % LANES
    column_tops(top, x, n, width, stride)
    column_excess(total, <real *>NULL, top, x, n, width, stride, term)
    for j in range(width):
        total[j] = sum_up(top[j], total[j])
    for i in range(n):
        fetch(x + i * stride, n, width, stride)
        fetch(y + i * stride, n, width, stride)
        for g from 0 <= g < full by LANES:
            finish_shifts(y + i * stride + g, x + i * stride + g, top + g, total + g, LANES, finish)
        if full < width:
            finish_shifts(y + i * stride + full, x + i * stride + full, top + full, total + full, width - full, finish)

cdef inline void reduce_columns(real *y, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                                real (*term)(real, real) noexcept nogil,
                                real (*finish)(real, real) noexcept nogil) noexcept nogil:
    cdef real top[COLUMNS]
    cdef real excess[COLUMNS]
    cdef Py_ssize_t j
    column_tops(top, x, n, width, stride)
    column_excess(excess, <real *>NULL, top, x, n, width, stride, term)
    for j in range(width):
        y[j] = finish(top[j], excess[j])


cdef inline void finish_products(real *out, const real *a, const real *b, const real *total, Py_ssize_t count,
                                 real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    cdef real v[LANES]
    cdef real w[LANES]
    cdef Py_ssize_t j
    load(v, a, count, 0)
    load(w, b, count, 0)
    for j in range(LANES):
        v[j] = finish(v[j], w[j], total[j])
    store(out, v, count)

cdef inline void contract_columns(real *out, const real *a, const real *b, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                                  real (*term)(real, real) noexcept nogil,
                                  real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    cdef real lanes[LANES * COLUMNS]
    cdef double total[COLUMNS]
    cdef double rest[COLUMNS]
    cdef real sums[COLUMNS]
    cdef real *lane
    cdef Py_ssize_t start, stop, i, g, j, full = width - width % LANES, here
    for j in range(width):
        total[j] = 0
        rest[j] = 0
    for start from 0 <= start < n by BLOCK:
        stop = start + BLOCK if start + BLOCK < n else n
        clear(lanes, width, lanes_used(start, stop))
        for i in range(start, stop):
            lane = lanes + (i % LANES) * COLUMNS
            fetch(a + i * stride, n, width, stride)
            fetch(b + i * stride, n, width, stride)
            for g from 0 <= g < full by LANES:
                add_products(a + i * stride + g, b + i * stride + g, lane + g, LANES, term)
            if full < width:
                add_products(a + i * stride + full, b + i * stride + full, lane + full, width - full, term)
        add_lanes(total, rest, lanes, width, lanes_used(start, stop))
    for j in range(width):
        sums[j] = <real>settled(total[j], rest[j])
    for i in range(n):
        fetch(a + i * stride, n, width, stride)
        fetch(b + i * stride, n, width, stride)
        fetch(out + i * stride, n, width, stride)
        for g from 0 <= g < full by LANES:
            here = i * stride + g
            finish_products(out + here, a + here, b + here, sums + g, LANES, finish)
        if full < width:
            here = i * stride + full
            finish_products(out + here, a + here, b + here, sums + full, width - full, finish)

cdef inline void spread_columns(real *out, const real *a, const real *b, const real *c, Py_ssize_t n, Py_ssize_t width,
                                Py_ssize_t stride, real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t i, j
    for i in range(n):
        for j in range(width):
            out[i * stride + j] = finish(a[j], b[i * stride + j], c[j])


cdef inline void challenge_rows(real *best, real *at, const real *x, Py_ssize_t first, Py_ssize_t count, Py_ssize_t stride,
                                Py_ssize_t width, bint (*takes)(real, real) noexcept nogil) noexcept nogil:
    """A few rows of up to 16 columns in turn, in registers; `first` is the index of the first of them."""
    cdef real b[LANES]
    cdef real a[LANES]
    cdef Py_ssize_t i
    load(b, best, LANES, 0)
    load(a, at, LANES, 0)
    for i in range(count):
        challenge(b, a, x + i * stride, <real>(first + i), width, takes)
    store(best, b, LANES)
    store(at, a, LANES)

cdef inline void pick_columns(real *out, Py_ssize_t *which, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                              bint (*takes)(real, real) noexcept nogil) noexcept nogil:
    cdef real best[COLUMNS]
    cdef real at[COLUMNS]
    cdef Py_ssize_t i, g, j, start, stop, count, full = width - width % LANES
    for g from 0 <= g < width by LANES:
        load(best + g, x + g, width - g, -INFINITY)
    for start from 0 <= start < n by FAR:
        stop = start + FAR if start + FAR < n else n
        for g from 0 <= g < width by LANES:
            fill(at + g, -1 if start else 0)
        for i from (start if start else 1) <= i < stop by LANES:
            count = LANES if stop - i > LANES else stop - i
            for g from 0 <= g < full by LANES:
                challenge_rows(best + g, at + g, x + i * stride + g, i - start, count, stride, LANES, takes)
            if full < width:
                challenge_rows(best + full, at + full, x + i * stride + full, i - start, count, stride, width - full, takes)
        for j in range(width):
            which[j] = start + <Py_ssize_t><int>at[j] if at[j] >= 0 else which[j]
    for j in range(width):
        out[j] = best[j]

cdef inline void place_columns(real *out, const real *grad, const Py_ssize_t *which, Py_ssize_t n, Py_ssize_t width,
                               Py_ssize_t stride, real (*place)(real, bint) noexcept nogil) noexcept nogil:
    cdef real at[COLUMNS]
    cdef real term[COLUMNS]
    cdef Py_ssize_t i, j, start, stop
    for j in range(width):
        term[j] = grad[j]
    for start from 0 <= start < n by FAR:
        stop = start + FAR if start + FAR < n else n
        for j in range(width):
            at[j] = <real><int>(which[j] - start if start <= which[j] < stop else -1)
        for i in range(start, stop):
            for j in range(width):
                out[i * stride + j] = place(term[j], at[j] == <real>(i - start))
