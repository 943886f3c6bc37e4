# cython: language_level=3, cdivision=True
"""Page rows: the scalar maths of the softmax family. `top` is a row's maximum, `total` a sum over the row, and `excess` the sum of
exp(x - top) over the row without one maximum, so that 1 + excess never swallows small terms."""

from fastact.cython_kernels.primitives cimport exp, log1p, real, softmax_exp


cdef inline real softmax_term(real x, real top) noexcept nogil:
    return softmax_exp(x - top)

cdef inline real softmax(real term, real total) noexcept nogil:
    return term * (<real>1 / total)

cdef inline real softmax_backward_term(real grad, real y) noexcept nogil:
    return grad * y

cdef inline real softmax_backward(real grad, real y, real total) noexcept nogil:
    return y * (grad - total)


cdef inline real log_softmax_term(real x, real top) noexcept nogil:
    return softmax_exp(x - top)

# top - top is 0, or nan for an infinite maximum: such a row has no distribution.
cdef inline real log_softmax_total(real top, real excess) noexcept nogil:
    return log1p(excess) + (top - top)

cdef inline real log_softmax(real x, real top, real total) noexcept nogil:
    return (x - top) - total

cdef inline real log_softmax_backward_term(real grad, real y) noexcept nogil:
    return grad

cdef inline real log_softmax_backward(real grad, real y, real total) noexcept nogil:
    return grad - exp(y) * total


cdef inline real logsumexp_term(real x, real top) noexcept nogil:
    return softmax_exp(x - top)

cdef inline real logsumexp(real top, real excess) noexcept nogil:
    return top + log1p(excess)

cdef inline real logsumexp_backward(real grad, real x, real y) noexcept nogil:
    return grad * exp(x - y)
