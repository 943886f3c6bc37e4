# The loop of losses that give one number a row: cross-entropy against target weights t, given densely, by label, or both together.

cdef inline void weigh_row(double *value, double *mass, const real *x, const real *t, real top, Py_ssize_t n,
                           real (*cost)(real, real, real, real) noexcept nogil) noexcept nogil:
    """Add the cost of a row of dense weights, but for the row's log1p(excess), to `value`, and the weights to `mass`."""
    cdef real costs[LANES]
    cdef real weights[LANES]
    cdef real v[LANES]
    cdef real w[LANES]
    cdef Py_ssize_t start, stop, i, j
    for start from 0 <= start < n by BLOCK:
        stop = start + BLOCK if start + BLOCK < n else n
        fill(costs, 0)
        fill(weights, 0)
        for i from start <= i < stop by LANES:
            load(v, x + i, stop - i, 0)
            load(w, t + i, stop - i, 0)
            for j in range(LANES):
                costs[j] += cost(v[j], w[j], top, 0)
                weights[j] += w[j]
        value[0] += halve(costs)
        mass[0] += halve(weights)

cdef inline double row_loss(real *grad, const real *x, const real *t, Py_ssize_t label, real at_label, real z_loss, real scale,
                            Py_ssize_t n, real (*term)(real, real) noexcept nogil,
                            real (*cost)(real, real, real, real) noexcept nogil,
                            real (*slope)(real, real, real, real) noexcept nogil) noexcept nogil:
    """The cost of one row, and its gradient where `grad` is given; `grad` may be `x`, which is read before the terms overwrite it."""
    cdef real top = row_top(x, n)
    cdef real at_target = x[label] if label >= 0 else 0
    cdef double value = 0, mass = 0, lse, log_total
    cdef real excess, factor
    cdef Py_ssize_t i
    if t is not NULL:
        weigh_row(&value, &mass, x, t, top, n, cost)
    excess = row_excess(grad, x, top, n, term)
    log_total = log1p(excess)
    value += mass * log_total if mass != 0 else 0
    if label >= 0:
        value += cost(at_target, at_label, top, <real>log_total)
        mass += at_label
    lse = top + log_total
    value += z_loss * lse * lse if z_loss != 0 else 0
    if grad is NULL:
        return value
    factor = <real>(scale * (mass + 2 * z_loss * lse) / (1 + <double>excess))
    if t is NULL:
        for i in range(n):
            grad[i] = slope(grad[i], 0, factor, scale)
    else:
        for i in range(n):
            grad[i] = slope(grad[i], t[i], factor, scale)
    if label >= 0:
        grad[label] -= at_label * scale
    return value
