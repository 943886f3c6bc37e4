"""Making the ufunc or gufunc behind a function."""

from fastact.engine.function cimport Function

cdef object make_ufunc(Function function)
cdef object make_gufunc(Function function)
cdef int add_bfloat16(Function function, object ufunc, object dtype) except -1
