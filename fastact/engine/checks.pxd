"""The refusals that the generic paths share."""

cdef int only_known(str name, dict kwargs, tuple known) except -1
cdef object whole_number(str name, str argument, object value)
cdef bint yes_or_no(str name, str argument, object value) except -1
cdef int check_reduction(str name, object reduction, tuple allowed=*) except -1
cdef object check_dtype(str name, str argument, object array)
cdef object wanted_dtype(str name, object wanted)
cdef object common_shape(str name, tuple names, tuple arrays)
cdef int check_out(str name, object out, tuple shape=*) except -1
cdef int check_casts(str name, tuple names, tuple arrays, object out, object dtype, object casting) except -1
cdef object gradient_target(str name, object out, object pred, object dtype)
