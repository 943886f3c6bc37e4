# The loop of losses that give one number a row: cross-entropy against target weights t, given densely, by label, or both together.
# A row's cost and the factor of its gradient are made of its maximum, its excess and the cost and sum of its dense weights.

cdef inline void add_costs(const real *x, const real *t, real top, real *costs, real *weights, Py_ssize_t count,
                           real (*cost)(real, real, real, real) noexcept nogil) noexcept nogil:
    cdef real v[LANES]
    cdef real w[LANES]
    cdef Py_ssize_t j
    load(v, x, count, 0)
    load(w, t, count, 0)
    for j in range(LANES):
        costs[j] += cost(v[j], w[j], top, 0)
        weights[j] += w[j]

cdef inline void weigh_row(double *value, double *mass, const real *x, const real *t, real top, Py_ssize_t n,
                           real (*cost)(real, real, real, real) noexcept nogil) noexcept nogil:
    """The cost of a row of dense weights, but for the row's log1p(excess), and the sum of the weights."""
    cdef real costs[LANES]
    cdef real weights[LANES]
    cdef Py_ssize_t start, stop, full, i
    for start from 0 <= start < n by BLOCK:
        stop = start + BLOCK if start + BLOCK < n else n
        full = stop - stop % LANES
        fill(costs, 0)
        fill(weights, 0)
        for i from start <= i < full by LANES:
            add_costs(x + i, t + i, top, costs, weights, LANES, cost)
        if full < stop:
            add_costs(x + full, t + full, top, costs, weights, stop - full, cost)
        value[0] += halve(costs)
        mass[0] += halve(weights)

cdef inline void add_column_costs(const real *x, const real *t, const real *top, real *costs, real *weights, Py_ssize_t count,
                                  real (*cost)(real, real, real, real) noexcept nogil) noexcept nogil:
    cdef real v[LANES]
    cdef real w[LANES]
    cdef Py_ssize_t j
    load(v, x, count, 0)
    load(w, t, count, 0)
    for j in range(LANES):
        costs[j] += cost(v[j], w[j], top[j], 0)
        weights[j] += w[j]

cdef inline void weigh_columns(double *value, double *mass, const real *x, const real *t, const real *top, Py_ssize_t n,
                               Py_ssize_t width, Py_ssize_t stride, real (*cost)(real, real, real, real) noexcept nogil) noexcept nogil:
    cdef real costs[LANES * COLUMNS]
    cdef real weights[LANES * COLUMNS]
    cdef Py_ssize_t start, stop, i, g, lane, used, pitch = pitch_of(width, 1)
    for start from 0 <= start < n by BLOCK:
        stop = start + BLOCK if start + BLOCK < n else n
        used = lanes_used(start, stop, 1)
        clear(costs, pitch * used)
        clear(weights, pitch * used)
        for i in range(start, stop):
            for g from 0 <= g < width by LANES:
                lane = (i % LANES) * pitch + g
                add_column_costs(x + i * stride + g, t + i * stride + g, top + g, costs + lane, weights + lane, width - g, cost)
        add_lanes(value, NULL, costs, width, pitch, used)
        add_lanes(mass, NULL, weights, width, pitch, used)


cdef inline void close_rows(double *values, real *factor, double *mass, const real *top, const real *excess, const real *at_target,
                            const double *at_label, double z_loss, double scale, Py_ssize_t width,
                            real (*cost)(real, real, real, real) noexcept nogil) noexcept nogil:
    """Add to the costs of the dense weights what the labels, the excesses and the z-loss cost; the factors of the gradients."""
    cdef real log_total[COLUMNS]
    cdef double lse
    cdef Py_ssize_t j
    for j in range(width):
        log_total[j] = log1p(excess[j])
    for j in range(width):
        values[j] += mass[j] * log_total[j] if mass[j] != 0 else 0
    if at_label is not NULL:
        for j in range(width):
            values[j] += cost(at_target[j], <real>at_label[j], top[j], log_total[j])
            mass[j] += <real>at_label[j]
    for j in range(width):
        lse = <double>top[j] + log_total[j]
        values[j] += z_loss * lse * lse if z_loss != 0 else 0
        factor[j] = <real>(scale * (mass[j] + 2 * z_loss * lse) / (1 + <double>excess[j]))

cdef inline void loss_of_rows(double *values, real *grad, const real *x, const real *t, const Py_ssize_t *labels,
                              const double *at_label, real z_loss, real scale, Py_ssize_t n, Py_ssize_t width,
                              real (*term)(real, real) noexcept nogil, real (*cost)(real, real, real, real) noexcept nogil,
                              real (*slope)(real, real, real, real) noexcept nogil) noexcept nogil:
    """Up to as many rows as go through a pass together."""
    cdef real top[ROWS]
    cdef real excess[ROWS]
    cdef real factor[ROWS]
    cdef real at_target[ROWS]
    cdef double mass[ROWS]
    cdef real *to
    cdef Py_ssize_t i, k
    row_tops(top, x, n, width)
    for k in range(width):
        values[k] = 0
        mass[k] = 0
        at_target[k] = x[k * n + labels[k]] if labels is not NULL else 0
    if t is not NULL:
        for k in range(width):
            weigh_row(values + k, mass + k, x + k * n, t + k * n, top[k], n, cost)
    for k in range(width):
        excess[k] = row_excess(grad + k * n if grad is not NULL else NULL, x + k * n, top[k], n, term)
    close_rows(values, factor, mass, top, excess, at_target, at_label, z_loss, scale, width, cost)
    for k in range(width if grad is not NULL else 0):
        to = grad + k * n
        if t is NULL:
            for i in range(n):
                to[i] = slope(to[i], 0, factor[k], scale)
        else:
            for i in range(n):
                to[i] = slope(to[i], t[k * n + i], factor[k], scale)
        if labels is not NULL:
            to[labels[k]] -= <real>at_label[k] * scale

cdef inline void row_loss_rows(double *values, real *grad, const real *x, const real *t, const Py_ssize_t *labels, const double *at_label,
                               double z_loss, double scale, Py_ssize_t n, Py_ssize_t width, real (*term)(real, real) noexcept nogil,
                               real (*cost)(real, real, real, real) noexcept nogil,
                               real (*slope)(real, real, real, real) noexcept nogil) noexcept nogil:
    """The costs of rows that follow one another, and the gradients where `grad` is given, which may be `x`."""
    cdef Py_ssize_t j = 0, count
    while j < width:
        count = rows_at_once(x, n, width - j, ROWS)
        loss_of_rows(values + j, grad + j * n if grad is not NULL else NULL, x + j * n, t + j * n if t is not NULL else NULL,
                     labels + j if labels is not NULL else NULL, at_label + j if at_label is not NULL else NULL, <real>z_loss,
                     <real>scale, n, count, term, cost, slope)
        j += count

cdef inline void finish_slopes(real *grad, const real *t, const real *factor, real scale, Py_ssize_t count,
                               real (*slope)(real, real, real, real) noexcept nogil) noexcept nogil:
    cdef real v[LANES]
    cdef real w[LANES]
    cdef Py_ssize_t j
    load(v, grad, count, 0)
    if t is not NULL:
        load(w, t, count, 0)
    else:
        fill(w, 0)
    for j in range(LANES):
        v[j] = slope(v[j], w[j], factor[j], scale)
    store(grad, v, count)

cdef inline void row_loss_columns(double *values, real *grad, const real *x, const real *t, const Py_ssize_t *labels,
                                  const double *at_label, real z_loss, real scale, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                                  real (*term)(real, real) noexcept nogil, real (*cost)(real, real, real, real) noexcept nogil,
                                  real (*slope)(real, real, real, real) noexcept nogil) noexcept nogil:
    """The same for up to 256 rows side by side."""
    cdef real top[RUN]
    cdef real excess[COLUMNS]
    cdef real factor[RUN]
    cdef real at_target[COLUMNS]
    cdef double mass[COLUMNS]
    cdef Py_ssize_t i, g, j, some, full, step = step_of(x, n, width, stride)
    column_tops(top, x, n, width, stride, False)
    for j in range(width):
        values[j] = 0
        mass[j] = 0
    if labels is not NULL:
        for j in range(width):
            at_target[j] = x[labels[j] * stride + j]
    if t is not NULL:
        weigh_columns(values, mass, x, t, top, n, width, stride, cost)
    column_excess(excess, grad, top, x, n, width, stride, False, term)
    close_rows(values, factor, mass, top, excess, at_target, at_label, z_loss, scale, width, cost)
    if grad is NULL:
        return
    repeat(factor, width, step)
    for i from 0 <= i < n by step:
        some = run(n - i, step, width)
        full = some - some % LANES
        for g from 0 <= g < full by LANES:
            finish_slopes(grad + i * stride + g, t + i * stride + g if t is not NULL else NULL, factor + g, scale, LANES, slope)
        if full < some:
            finish_slopes(grad + i * stride + full, t + i * stride + full if t is not NULL else NULL, factor + full, scale,
                          some - full, slope)
    if labels is not NULL:
        for j in range(width):
            grad[labels[j] * stride + j] -= <real>at_label[j] * scale
