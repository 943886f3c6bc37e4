# cython: language_level=3, cdivision=True
"""Page gates: the scalar maths of functions of several inputs."""

from fastact.cython_kernels.primitives cimport real


cdef inline real prelu(real x, real weight) noexcept nogil:
    return x if x > 0 else weight * x

cdef inline real prelu_backward(real grad, real x, real weight) noexcept nogil:
    cdef real slope = weight if x == x else x
    return grad * (<real>1 if x > 0 else slope)

cdef inline real prelu_backward_weight(real grad, real x) noexcept nogil:
    """The term of one element in the gradient of its channel's weight."""
    return <real>0 if x > 0 else grad * x


cdef inline bint maxout(real x, real best) noexcept nogil:
    """Whether `x` takes the place of `best`: the first maximum wins, the first nan wins over all. `x <= best` is false beside a nan."""
    return (not x <= best) & (best == best)    # an `and` would be a branch

cdef inline real maxout_backward(real grad, bint chosen) noexcept nogil:
    return grad if chosen else <real>0
