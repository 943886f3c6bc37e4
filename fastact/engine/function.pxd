"""The base of every public callable, for the engine's other modules."""

from fastact.engine.blocks cimport MAX_PARAMS
from fastact.engine.calls cimport vectorcall

cdef struct Bound:      # a rule of the register: parameter, sign, and a number or another parameter
    int param
    int sign
    int other
    double number

cdef class Function:
    cdef object __weakref__
    cdef vectorcall call            # what Python calls, in the subclasses that have a direct path
    cdef readonly object op         # the register's entry
    cdef readonly str __name__
    cdef readonly object backend    # the backend's name, and its level where it has levels
    cdef object _kernels            # op, role, dtype -> address
    cdef object _namespace          # the function that finds this object again, for pickle; None for the public one
    cdef void *found[2][2]          # the kernels by the number of their role in `op.roles`, then float and double; NULL before that
    cdef int arrays                 # how many array arguments there are
    cdef int params                 # how many parameters
    cdef tuple param_names
    cdef double defaults[MAX_PARAMS]
    cdef int required               # parameters without a default
    cdef Bound bounds[MAX_PARAMS]
    cdef int bound_count
    cdef double cost
    cdef int brain                  # NumPy's number for bfloat16, once the ufunc has got a loop for it; else 0

    cdef void *kernel(self, int dtype, int role=*) except NULL
    cdef int check(self, const double *values) except -1
    cdef list bind(self, tuple args, dict kwargs)
    cdef int numbers(self, list values, double *into) except -1

cdef int call_directly(type cls) except -1
