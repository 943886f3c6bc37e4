# One kernel for both layouts of rows: stride 1 is `width` whole rows that follow one another, anything else rows side by side as columns.

cdef inline Py_ssize_t columns(Py_ssize_t width, Py_ssize_t j) noexcept nogil:
    return COLUMNS if width - j > COLUMNS else width - j

cdef inline Py_ssize_t few_of(Py_ssize_t n, Py_ssize_t width) noexcept nogil:
    """How many columns of few elements are taken 64 at a time."""
    return width - width % BUNCH if n <= FEW else 0

cdef inline void normalise(real *y, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                           real (*term)(real, real) noexcept nogil, real (*finish)(real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t j
    if stride == 1:
        normalise_rows(y, x, n, width, term, finish)
        return
    for j from 0 <= j < few_of(n, width) by BUNCH:
        normalise_columns(y + j, x + j, n, BUNCH, stride, True, term, finish)
    for j from few_of(n, width) <= j < width by COLUMNS:
        normalise_columns(y + j, x + j, n, columns(width, j), stride, False, term, finish)

cdef inline void shift(real *y, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                       real (*term)(real, real) noexcept nogil, real (*sum_up)(real, real) noexcept nogil,
                       real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t j
    if stride == 1:
        shift_rows(y, x, n, width, term, sum_up, finish)
        return
    for j from 0 <= j < few_of(n, width) by BUNCH:
        shift_columns(y + j, x + j, n, BUNCH, stride, True, term, sum_up, finish)
    for j from few_of(n, width) <= j < width by COLUMNS:
        shift_columns(y + j, x + j, n, columns(width, j), stride, False, term, sum_up, finish)

cdef inline void reduce(real *y, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                        real (*term)(real, real) noexcept nogil, real (*finish)(real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t j
    if stride == 1:
        reduce_rows(y, x, n, width, term, finish)
        return
    for j from 0 <= j < few_of(n, width) by BUNCH:
        reduce_columns(y + j, x + j, n, BUNCH, stride, True, term, finish)
    for j from few_of(n, width) <= j < width by COLUMNS:
        reduce_columns(y + j, x + j, n, columns(width, j), stride, False, term, finish)

cdef inline void contract(real *out, const real *a, const real *b, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                          real (*term)(real, real) noexcept nogil,
                          real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t j
    if stride == 1:
        contract_rows(out, a, b, n, width, term, finish)
        return
    for j from 0 <= j < few_of(n, width) by BUNCH:
        contract_columns(out + j, a + j, b + j, n, BUNCH, stride, True, term, finish)
    for j from few_of(n, width) <= j < width by COLUMNS:
        contract_columns(out + j, a + j, b + j, n, columns(width, j), stride, False, term, finish)

cdef inline void spread(real *out, const real *a, const real *b, const real *c, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                        real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    if stride == 1:
        spread_rows(out, a, b, c, n, width, finish)
    else:
        spread_columns(out, a, b, c, n, width, stride, finish)

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
