"""Making the ufunc or gufunc behind a function, and the dtypes it computes in."""

from fastact.engine.function cimport Function

cdef tuple UFUNC_OPTIONS      # the keywords that a ufunc takes

cdef object make_ufunc(Function function)
cdef object make_gufunc(Function function)
cdef bint casts(Function function, object ufunc, tuple given, tuple arrays, dict kwargs) except -1
cdef object dtype_of(Function function, object ufunc, str argument, object array, object wanted=*)
