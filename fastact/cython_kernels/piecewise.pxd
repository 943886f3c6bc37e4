# cython: language_level=3, cdivision=True
# The elementwise functions without an exponential as scalars, each forward followed by its backward: grad times the derivative at the
# saved y or x. Branch-free; a nan input or saved value gives nan. Kinks and limits are those of the reference page.

from fastact.cython_kernels.bits cimport magnitude, real, unknown, with_sign


cdef inline real relu(real x) noexcept nogil:
    return <real>0 if x <= <real>0 else x

cdef inline real relu_backward(real grad, real y) noexcept nogil:
    cdef real d
    d = <real>1 if y > <real>0 else <real>0
    return grad * (d if y == y else y)


cdef inline real leaky_relu(real x, real negative_slope) noexcept nogil:
    return x if x > <real>0 else x * negative_slope

cdef inline real leaky_relu_backward(real grad, real y, real negative_slope) noexcept nogil:
    cdef real d
    d = <real>1 if y > <real>0 else negative_slope
    return grad * (d if y == y else y)


cdef inline real hard_sigmoid(real x) noexcept nogil:
    cdef real y, zero = unknown(<real>0), one = unknown(<real>1)
    y = (x + <real>3) * <real>0.16666666666666666
    y = zero if y < zero else y
    return one if y > one else y

cdef inline real hard_sigmoid_backward(real grad, real y) noexcept nogil:
    cdef real d
    d = <real>0.16666666666666666 if y > <real>0 else <real>0
    d = <real>0 if y >= <real>1 else d
    return grad * (d if y == y else y)


cdef inline real hard_tanh(real x, real min_val, real max_val) noexcept nogil:
    cdef real y
    y = min_val if x < min_val else x
    return max_val if y > max_val else y

cdef inline real hard_tanh_backward(real grad, real y, real min_val, real max_val) noexcept nogil:
    cdef real d
    d = <real>1 if y > min_val else <real>0
    d = <real>0 if y >= max_val else d
    return grad * (d if y == y else y)


cdef inline real softsign(real x) noexcept nogil:
    cdef real a
    a = magnitude(x)
    return with_sign(<real>1 if a > <real>1e18 else a / (<real>1 + a), x)

cdef inline real softsign_backward(real grad, real y) noexcept nogil:
    cdef real c
    c = <real>1 - magnitude(y)
    return grad * (c * c)


cdef inline real hard_swish(real x) noexcept nogil:
    cdef real y, one = unknown(<real>1)
    y = (x + <real>3) * <real>0.16666666666666666
    y = x * (one if y > one else y)
    return <real>-0.0 if x <= <real>-3 else y

cdef inline real hard_swish_backward(real grad, real x) noexcept nogil:
    cdef real d
    d = (x + x + <real>3) * <real>0.16666666666666666
    d = <real>0 if x <= <real>-3 else d
    return grad * (<real>1 if x >= <real>3 else d)


cdef inline real step(real x, real threshold) noexcept nogil:
    cdef real y
    y = <real>1 if x >= threshold else <real>0
    return y if x == x else x

cdef inline real step_backward(real grad, real x, real threshold) noexcept nogil:
    return grad * (<real>0 if x == x else x)
