# The kernels of rows: of `width` rows that follow one another, which the loops of the same names are unless given here, and of `width`
# rows that stand side by side, element i of row j at i * stride + j, which are taken some at a time.

cdef inline Py_ssize_t columns(const real *x, Py_ssize_t width, Py_ssize_t j) noexcept nogil:
    """How many are left of them from column j on."""
    return min(columns_at_once(x), width - j)

cdef inline Py_ssize_t few_of(Py_ssize_t n, Py_ssize_t width) noexcept nogil:
    """How many columns of few elements are taken 64 at a time."""
    return width - width % BUNCH if n <= FEW else 0

cdef inline void normalise_columns(real *y, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                                   real (*term)(real, real) noexcept nogil, real (*finish)(real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t j
    for j from 0 <= j < few_of(n, width) by BUNCH:
        normalise_together(y + j, x + j, n, BUNCH, stride, True, term, finish)
    for j from few_of(n, width) <= j < width by columns_at_once(y):
        normalise_together(y + j, x + j, n, columns(y, width, j), stride, False, term, finish)

cdef inline void shift_columns(real *y, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                               real (*term)(real, real) noexcept nogil, real (*sum_up)(real, real) noexcept nogil,
                               real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t j
    for j from 0 <= j < few_of(n, width) by BUNCH:
        shift_together(y + j, x + j, n, BUNCH, stride, True, term, sum_up, finish)
    for j from few_of(n, width) <= j < width by columns_at_once(y):
        shift_together(y + j, x + j, n, columns(y, width, j), stride, False, term, sum_up, finish)

cdef inline void reduce_columns(real *y, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                                real (*term)(real, real) noexcept nogil, real (*finish)(real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t j
    for j from 0 <= j < few_of(n, width) by BUNCH:
        reduce_together(y + j, x + j, n, BUNCH, stride, True, term, finish)
    for j from few_of(n, width) <= j < width by columns_at_once(y):
        reduce_together(y + j, x + j, n, columns(y, width, j), stride, False, term, finish)

cdef inline void contract_columns(real *out, const real *a, const real *b, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                                  real (*term)(real, real) noexcept nogil,
                                  real (*finish)(real, real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t j
    for j from 0 <= j < few_of(n, width) by BUNCH:
        contract_together(out + j, a + j, b + j, n, BUNCH, stride, True, term, finish)
    for j from few_of(n, width) <= j < width by columns_at_once(out):
        contract_together(out + j, a + j, b + j, n, columns(out, width, j), stride, False, term, finish)

cdef inline void pick_rows(real *out, Py_ssize_t *which, const real *x, Py_ssize_t n, Py_ssize_t width,
                           bint (*takes)(real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t j
    if n < SHORT and width > 1:
        pick_short(out, which, x, n, width, takes)
        return
    for j in range(width):
        pick_row(out + j, which + j, x + j * n, n, takes)

cdef inline void pick_columns(real *out, Py_ssize_t *which, const real *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                              bint (*takes)(real, real) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t j
    for j from 0 <= j < width by columns_at_once(out):
        pick_together(out + j, which + j, x + j, n, columns(out, width, j), stride, takes)

cdef inline void place_rows(real *out, const real *grad, const Py_ssize_t *which, Py_ssize_t n, Py_ssize_t width,
                            real (*f)(real, bint) noexcept nogil) noexcept nogil:
    if n <= TILE:
        place_short(out, grad, which, n, width, f)
    else:
        place_long(out, grad, which, n, width, f)

cdef inline void place_columns(real *out, const real *grad, const Py_ssize_t *which, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride,
                               real (*f)(real, bint) noexcept nogil) noexcept nogil:
    cdef Py_ssize_t j
    for j from 0 <= j < width by columns_at_once(out):
        place_together(out + j, grad + j, which + j, n, columns(out, width, j), stride, f)
