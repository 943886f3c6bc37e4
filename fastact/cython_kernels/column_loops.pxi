# The same row loops for rows that stand side by side (element i of row j at i * stride + j): 256 columns at a time, one addition order.

cdef inline void column_tops(real *top, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride) noexcept nogil:
    cdef real v[LANES]
    cdef Py_ssize_t i, g
    for g from 0 <= g < width by LANES:
        fill(top + g, -INFINITY)
    for i in range(n):
        for g from 0 <= g < width by LANES:
            load(v, x + i * stride + g, width - g, -INFINITY)
            raise_top(top + g, v)

cdef inline void clear(real *lanes, Py_ssize_t width, Py_ssize_t used) noexcept nogil:
    cdef Py_ssize_t k, j
    for k in range(used):
        for j in range(width):
            lanes[k * COLUMNS + j] = 0

cdef inline void fold(real *lanes, Py_ssize_t width, Py_ssize_t half, Py_ssize_t used) noexcept nogil:
    """Add lane k + half to lane k, of the lanes that are used: the others would add nothing."""
    cdef Py_ssize_t k, j
    for k in range(half if half < used - half else used - half):
        for j in range(width):
            lanes[k * COLUMNS + j] += lanes[(k + half) * COLUMNS + j]

cdef inline void add_lanes(double *total, real *lanes, Py_ssize_t width, Py_ssize_t used) noexcept nogil:
    """Add every column's lanes by halving, in the order of `halve`, to the column's total."""
    cdef Py_ssize_t j
    fold(lanes, width, 8, used)
    fold(lanes, width, 4, used if used < 8 else 8)
    fold(lanes, width, 2, used if used < 4 else 4)
    fold(lanes, width, 1, used if used < 2 else 2)
    for j in range(width):
        total[j] += lanes[j]

cdef inline Py_ssize_t lanes_used(Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    return stop - start if stop - start < LANES else LANES

cdef inline void normalise_columns(real *y, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                                   real (*term)(real, real) noexcept nogil,
                                   real (*finish)(real, real) noexcept nogil) noexcept nogil:
    cdef real lanes[LANES * COLUMNS]
    cdef real top[COLUMNS]
    cdef real v[LANES]
    cdef double total[COLUMNS]
    cdef real *lane
    cdef Py_ssize_t start, stop, i, g, j
    column_tops(top, x, n, width, stride)
    for j in range(width):
        total[j] = 0
    for start from 0 <= start < n by BLOCK:
        stop = start + BLOCK if start + BLOCK < n else n
        clear(lanes, width, lanes_used(start, stop))
        for i in range(start, stop):
            for g from 0 <= g < width by LANES:
                lane = lanes + (i % LANES) * COLUMNS + g
                load(v, x + i * stride + g, width - g, 0)
                for j in range(LANES):
                    v[j] = term(v[j], top[g + j])
                    lane[j] += v[j]
                store(y + i * stride + g, v, width - g)
        add_lanes(total, lanes, width, lanes_used(start, stop))
    for j in range(width):
        top[j] = <real>total[j]
    for i in range(n):
        for g from 0 <= g < width by LANES:
            load(v, y + i * stride + g, width - g, 0)
            for j in range(LANES):
                v[j] = finish(v[j], top[g + j])
            store(y + i * stride + g, v, width - g)


cdef inline void column_excess(real *excess, const real *top, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                               real (*term)(real, real) noexcept nogil) noexcept nogil:
    cdef real lanes[LANES * COLUMNS]
    cdef real v[LANES]
    cdef double total[COLUMNS]
    cdef double tied[COLUMNS]
    cdef real ties[COLUMNS]
    cdef real *lane
    cdef real e
    cdef Py_ssize_t start, stop, i, g, j
    for j in range(width):
        total[j] = 0
        tied[j] = 0
        ties[j] = 0
    for start from 0 <= start < n by BLOCK:
        stop = start + BLOCK if start + BLOCK < n else n
        clear(lanes, width, lanes_used(start, stop))
        for i in range(start, stop):
            for g from 0 <= g < width by LANES:
                lane = lanes + (i % LANES) * COLUMNS + g
                load(v, x + i * stride + g, width - g, 0)
                for j in range(LANES):
                    e = term(v[j], top[g + j])
                    ties[g + j] += <real>1 if v[j] == top[g + j] else <real>0
                    lane[j] += <real>0 if v[j] == top[g + j] else e
        for j in range(width):
            tied[j] += ties[j]
            ties[j] = 0
        add_lanes(total, lanes, width, lanes_used(start, stop))
    for j in range(width):
        excess[j] = <real>(total[j] + (tied[j] - 1))

cdef inline void shift_columns(real *y, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                               real (*term)(real, real) noexcept nogil, real (*sum_up)(real, real) noexcept nogil,
                               real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    cdef real top[COLUMNS]
    cdef real total[COLUMNS]
    cdef real v[LANES]
    cdef Py_ssize_t i, g, j
    column_tops(top, x, n, width, stride)
    column_excess(total, top, x, n, width, stride, term)
    for j in range(width):
        total[j] = sum_up(top[j], total[j])
    for i in range(n):
        for g from 0 <= g < width by LANES:
            load(v, x + i * stride + g, width - g, 0)
            for j in range(LANES):
                v[j] = finish(v[j], top[g + j], total[g + j])
            store(y + i * stride + g, v, width - g)

cdef inline void reduce_columns(real *y, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                                real (*term)(real, real) noexcept nogil,
                                real (*finish)(real, real) noexcept nogil) noexcept nogil:
    cdef real top[COLUMNS]
    cdef real excess[COLUMNS]
    cdef Py_ssize_t j
    column_tops(top, x, n, width, stride)
    column_excess(excess, top, x, n, width, stride, term)
    for j in range(width):
        y[j] = finish(top[j], excess[j])


cdef inline void contract_columns(real *out, const real *a, const real *b, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                                  real (*term)(real, real) noexcept nogil,
                                  real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    cdef real lanes[LANES * COLUMNS]
    cdef double total[COLUMNS]
    cdef real sums[COLUMNS]
    cdef real v[LANES]
    cdef real w[LANES]
    cdef real *lane
    cdef Py_ssize_t start, stop, i, g, j
    for j in range(width):
        total[j] = 0
    for start from 0 <= start < n by BLOCK:
        stop = start + BLOCK if start + BLOCK < n else n
        clear(lanes, width, lanes_used(start, stop))
        for i in range(start, stop):
            for g from 0 <= g < width by LANES:
                lane = lanes + (i % LANES) * COLUMNS + g
                load(v, a + i * stride + g, width - g, 0)
                load(w, b + i * stride + g, width - g, 0)
                for j in range(LANES):
                    lane[j] += term(v[j], w[j])
        add_lanes(total, lanes, width, lanes_used(start, stop))
    for j in range(width):
        sums[j] = <real>total[j]
    for i in range(n):
        for g from 0 <= g < width by LANES:
            load(v, a + i * stride + g, width - g, 0)
            load(w, b + i * stride + g, width - g, 0)
            for j in range(LANES):
                v[j] = finish(v[j], w[j], sums[g + j])
            store(out + i * stride + g, v, width - g)

cdef inline void spread_columns(real *out, const real *a, const real *b, const real *c, Py_ssize_t n, Py_ssize_t width,
                                Py_ssize_t stride, real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t i, j
    for i in range(n):
        for j in range(width):
            out[i * stride + j] = finish(a[j], b[i * stride + j], c[j])


cdef inline void pick_columns(real *out, Py_ssize_t *which, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                              bint (*takes)(real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t i, j
    cdef bint better
    for j in range(width):
        out[j] = x[j]
        which[j] = 0
    for i in range(1, n):
        for j in range(width):
            better = takes(x[i * stride + j], out[j])
            out[j] = x[i * stride + j] if better else out[j]
            which[j] = i if better else which[j]

cdef inline void place_columns(real *out, const real *grad, const Py_ssize_t *which, Py_ssize_t n, Py_ssize_t width,
                               Py_ssize_t stride, real (*place)(real, bint) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t i, j
    for i in range(n):
        for j in range(width):
            out[i * stride + j] = place(grad[j], i == which[j])
