# One kernel for both layouts of rows: stride 1 is a single contiguous row, anything else rows side by side as columns.

cdef inline Py_ssize_t columns(Py_ssize_t width, Py_ssize_t j) noexcept nogil:
    return COLUMNS if width - j > COLUMNS else width - j

cdef inline void normalise(real *y, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                           real (*term)(real, real) noexcept nogil, real (*finish)(real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t j
    if stride == 1:
        normalise_row(y, x, n, term, finish)
        return
    for j from 0 <= j < width by COLUMNS:
        normalise_columns(y + j, x + j, n, columns(width, j), stride, term, finish)

cdef inline void shift(real *y, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                       real (*term)(real, real) noexcept nogil, real (*sum_up)(real, real) noexcept nogil,
                       real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t j
    if stride == 1:
        shift_row(y, x, n, term, sum_up, finish)
        return
    for j from 0 <= j < width by COLUMNS:
        shift_columns(y + j, x + j, n, columns(width, j), stride, term, sum_up, finish)

cdef inline void reduce(real *y, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                        real (*term)(real, real) noexcept nogil, real (*finish)(real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t j
    if stride == 1:
        reduce_row(y, x, n, term, finish)
        return
    for j from 0 <= j < width by COLUMNS:
        reduce_columns(y + j, x + j, n, columns(width, j), stride, term, finish)

cdef inline void contract(real *out, const real *a, const real *b, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                          real (*term)(real, real) noexcept nogil,
                          real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t j
    if stride == 1:
        contract_row(out, a, b, n, term, finish)
        return
    for j from 0 <= j < width by COLUMNS:
        contract_columns(out + j, a + j, b + j, n, columns(width, j), stride, term, finish)

cdef inline void spread(real *out, const real *a, const real *b, const real *c, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                        real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    if stride == 1:
        spread_row(out, a[0], b, c[0], n, finish)
    else:
        spread_columns(out, a, b, c, n, width, stride, finish)

# For these two, stride 1 is `width` whole rows that follow one another.

cdef inline void pick(real *out, Py_ssize_t *which, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                      bint (*takes)(real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t j
    if stride == 1 and n < SHORT and width > 1:
        pick_short(out, which, x, n, width, takes)
        return
    if stride == 1:
        for j in range(width):
            pick_row(out + j, which + j, x + j * n, n, takes)
        return
    for j from 0 <= j < width by COLUMNS:
        pick_columns(out + j, which + j, x + j, n, columns(width, j), stride, takes)

cdef inline void place(real *out, const real *grad, const Py_ssize_t *which, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                       real (*f)(real, bint) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t j
    if stride == 1 and n <= TILE:
        place_short(out, grad, which, n, width, f)
        return
    if stride == 1:
        place_rows(out, grad, which, n, width, f)
        return
    for j from 0 <= j < width by COLUMNS:
        place_columns(out + j, grad + j, which + j, n, columns(width, j), stride, f)
