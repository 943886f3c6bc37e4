# cython: language_level=3
"""What the generic paths refuse before anything is computed or written, and in which words: the argument, the value, what is allowed."""

cimport numpy as cnp

from fastact.engine.calls cimport real_dtype

import operator
import sys

import numpy as np

cnp.import_array()

cdef tuple REDUCTIONS = ("mean", "sum", "none")
cdef str FLOATS = "float16, bfloat16, float32, float64"


cdef int only_known(str name, dict kwargs, tuple known) except -1:
    """Refuse keywords that nobody knows."""
    for key in kwargs:
        if key not in known:
            raise TypeError(f"{name}() got an unexpected keyword argument {key!r}; it takes {', '.join(known)}")
    return 0


cdef object whole_number(str name, str argument, object value):
    """A whole number that an index may be, or an error."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: {argument}={value!r}; a whole number is required") from None
    if not -sys.maxsize - 1 <= number <= sys.maxsize:
        raise OverflowError(f"{name}: {argument}={value!r}; {-sys.maxsize - 1} to {sys.maxsize} is required")
    return number


cdef bint yes_or_no(str name, str argument, object value) except -1:
    """A truth value, not whatever can be taken for one."""
    if not isinstance(value, (bool, np.bool_, int, np.integer)):
        raise TypeError(f"{name}: {argument}={value!r}; True or False is required")
    return bool(value)


cdef int check_reduction(str name, object reduction, tuple allowed=REDUCTIONS) except -1:
    """Refuse an unknown reduction."""
    if not isinstance(reduction, str) or reduction not in allowed:
        raise ValueError(f"{name}: reduction={reduction!r}; one of {', '.join(allowed)} is required")
    return 0


cdef object check_dtype(str name, str argument, object array):
    """The floating dtype an argument computes in, or TypeError."""
    dtype = real_dtype(array)
    if dtype is None:
        raise TypeError(f"{name}: {argument} has dtype {array.dtype}; {FLOATS}, integers or bool are required")
    return dtype


cdef object wanted_dtype(str name, object wanted):
    """The dtype that a call asks to compute in."""
    asked = np.dtype(wanted)
    dtype = real_dtype(np.empty(0, asked))
    if dtype is None or asked.kind in "biu" or asked.subdtype is not None:
        raise TypeError(f"{name}: dtype={asked}; one of {FLOATS} is required")
    return dtype


cdef object common_shape(str name, tuple names, tuple arrays):
    """The shape that arguments broadcast to, or ValueError with the first that does not fit those before it."""
    shape = ()
    for k, array in enumerate(arrays):
        own = (<object>array).shape if cnp.PyArray_Check(array) else np.shape(array)
        if own == shape or own == ():
            continue
        try:
            shape = np.broadcast_shapes(shape, own) if shape else own
        except ValueError:
            raise ValueError(f"{name}: {names[k]} has shape {own}; one that broadcasts with {shape}, that of {', '.join(names[:k])}, "
                             "is required") from None
    return shape


cdef int check_out(str name, object out, tuple shape=None) except -1:
    """Refuse an output that cannot be written, or to which a result of this shape does not broadcast."""
    if isinstance(out, tuple):
        if len(out) != 1:
            raise ValueError(f"{name}: out={out!r}; one array, or a tuple of one, is required")
        out = out[0]
    if not isinstance(out, np.ndarray):
        if out is not None and out is not Ellipsis and not hasattr(out, "__array_ufunc__"):     # which other libraries' arrays have
            raise TypeError(f"{name}: out={out!r}; an array is required")
        return 0
    if not out.flags.writeable:
        raise ValueError(f"{name}: out is read-only; a writeable array is required")
    if shape is None or out.shape == shape:
        return 0
    try:
        fits = np.broadcast_shapes(shape, out.shape) == out.shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{name}: out has shape {out.shape}; {shape}, that of the result, is required")
    return 0


cdef int check_casts(str name, tuple names, tuple arrays, object out, object dtype, object casting) except -1:
    """Refuse arrays that may not be cast to the dtype of a call, and an output to which that may not be cast."""
    for argument, array in zip(names, arrays):
        if not np.can_cast(array.dtype, dtype, casting):
            raise TypeError(f"{name}: {argument} has dtype {array.dtype}; one that casts to {dtype} (casting={casting!r}) is required")
    if isinstance(out, np.ndarray) and not np.can_cast(dtype, out.dtype, casting):
        raise TypeError(f"{name}: out has dtype {out.dtype}; one to which {dtype} casts (casting={casting!r}) is required")
    return 0


cdef object gradient_target(str name, object out, object pred, object dtype):
    """The contiguous array that a gradient is computed into; `out` itself where it can be."""
    if out is None:
        return np.empty(pred.shape, dtype)
    check_out(name, out)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{name}: out is a {type(out).__name__}; an ndarray is required")
    if out.shape != pred.shape:
        raise ValueError(f"{name}: out has shape {out.shape}; {pred.shape}, that of the result, is required")
    if out.dtype != dtype:
        raise TypeError(f"{name}: out has dtype {out.dtype}; {dtype}, that of the result, is required")
    return out
