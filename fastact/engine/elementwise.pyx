# cython: language_level=3, cdivision=True
"""Elementwise functions: the direct path from Python to the kernel for plain arrays, and the way through the ufunc for the rest."""

from cpython.object cimport PyObject

cimport numpy as cnp

from fastact.engine.blocks cimport DOUBLE, MAX_PARAMS, SINGLE, MapCall, itemsize, map_kernel, params_of, run_map
from fastact.engine.calls cimport (
    PyLong_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyVectorcall_NARGS, alike, foreign, output, slow, tidy_dtype,
)
from fastact.engine.checks cimport check_out, common_shape, only_known
from fastact.engine.function cimport Function, call_directly
from fastact.engine.threads cimport KEEP_GIL
from fastact.engine.ufuncs cimport UFUNC_OPTIONS, casts, make_ufunc

import numpy as np

cdef extern from "Python.h":
    bint PyFloat_CheckExact(PyObject *)
    double PyFloat_AS_DOUBLE(PyObject *)
    double PyLong_AsDouble(PyObject *) except? -1

cnp.import_array()

cdef enum:
    SMALL = 512         # elements below which it does not pay to align the call to cache lines
cdef PyObject *OUT = <PyObject *>"out"
cdef PyObject *NONE = <PyObject *>None


cdef class MapFunction(Function):
    """An elementwise function, forward or backward."""

    cdef readonly object ufunc

    def __init__(self, op, name, namespace=None):
        super().__init__(op, name, namespace)
        self.call = direct
        self.ufunc = make_ufunc(self)

    def generic(self, tuple args, dict kwargs):
        """Everything that is not a plain call: through the ufunc."""
        cdef double values[MAX_PARAMS]
        params = self.bind(args, kwargs)
        given = arrays = args[:self.arrays]
        only_known(self.__name__, kwargs, (*self.param_names, *UFUNC_OPTIONS))
        if self.numbers(params, values):
            params = [values[k] for k in range(self.params)]
        if foreign(arrays):
            check_out(self.__name__, kwargs.get("out"))
        else:
            arrays = tuple([np.asanyarray(a) for a in arrays])
            params = [np.asarray(p, dtype=np.float64) for p in params]
            shape = common_shape(self.__name__, (*self.op.inputs, *self.param_names), (*arrays, *params))
            check_out(self.__name__, kwargs.get("out"), shape)
            if not casts(self, self.ufunc, given, arrays, kwargs):
                return self.ufunc(*arrays, *params, **kwargs)
        with np.errstate(all="ignore"):     # casting may overflow
            return self.ufunc(*arrays, *params, **kwargs)

    def __call__(self, *args, **kwargs):
        """As declared in the function's signature; Python calls `direct` in its place."""
        return self.generic(args, kwargs)


cdef int number(PyObject *value, double *into) except -1:
    """A Python float or int; 0 for anything else."""
    if PyFloat_CheckExact(value):
        into[0] = PyFloat_AS_DOUBLE(value)
        return 1
    if PyLong_CheckExact(value):
        into[0] = PyLong_AsDouble(value)
        return 1
    return 0


cdef int keywords(MapFunction self, PyObject *const *values, PyObject *names, int given, double *params, PyObject **out) except -1:
    """Read the keywords of a direct call; 0 where one is not for the direct path."""
    cdef Py_ssize_t i
    cdef int k, found
    for i in range(PyTuple_GET_SIZE(names)):
        if PyTuple_GET_ITEM(names, i) == OUT:
            out[0] = values[i]
            continue
        found = -1
        for k in range(given, self.params):
            if PyTuple_GET_ITEM(names, i) == PyTuple_GET_ITEM(<PyObject *>self.param_names, k):
                found = k
        if found < 0 or not number(values[i], params + found):
            return 0
    return 1


cdef inline int read_params(MapFunction self, PyObject *const *args, Py_ssize_t count, PyObject *names, double *params,
                            PyObject **out) except -1:
    """The parameters of a direct call, checked, and `out`, from what follows the arrays; 0 where something is not for the direct path."""
    cdef int k, given = <int>count - self.arrays
    for k in range(self.params):
        params[k] = self.defaults[k]
    for k in range(given):
        if not number(args[self.arrays + k], params + k):
            return 0
    if given < self.required:
        return 0
    if names is not NULL and not keywords(self, args + count, names, given, params, out):
        return 0
    if self.bound_count:
        self.check(params)
    return 1


cdef inline int run(MapFunction self, MapCall *call, Py_ssize_t n) except -1:
    """Run the kernel on n elements of arrays in C order, without the interpreter lock where that is worth it."""
    cdef float room[MAX_PARAMS]
    cdef int k
    if n < SMALL and call.dtype >= SINGLE:
        call.kernel(call.data[0], call.data[1], call.data[2], call.data[3], params_of(call, room), n)
        return 0
    call.inputs = self.arrays
    for k in range(4):
        call.steps[k] = itemsize(call.dtype)
    if n * self.cost < KEEP_GIL:
        run_map(call, n, 0)
        return 0
    with nogil:
        run_map(call, n, self.cost * (2 if call.dtype == DOUBLE else 1))
    return 0


cdef object direct(object callable, PyObject *const *args, size_t nargsf, PyObject *names):
    """Plain arrays go straight to the kernel; whatever is not plain takes the generic path, with the same bits."""
    cdef MapFunction self = <MapFunction>callable
    cdef Py_ssize_t count = PyVectorcall_NARGS(nargsf)
    cdef PyObject *given_out = NONE
    cdef MapCall call
    cdef cnp.ndarray x, out
    cdef int k
    if count < self.arrays or count > self.arrays + self.params:
        return slow(self, args, count, names)
    call.dtype = tidy_dtype(args[0], self.brain)
    if call.dtype < 0:
        return slow(self, args, count, names)
    x = <cnp.ndarray>args[0]
    for k in range(1, self.arrays):
        if not alike(args[k], x):
            return slow(self, args, count, names)
    if not read_params(self, args, count, names, call.params, &given_out):
        return slow(self, args, count, names)
    out = output(given_out, args, self.arrays)
    if out is None:
        return slow(self, args, count, names)
    call.kernel = <map_kernel>self.kernel(call.dtype)
    call.data[0] = <char *>cnp.PyArray_DATA(out)
    for k in range(3):
        call.data[k + 1] = <char *>cnp.PyArray_DATA(<cnp.ndarray>args[k]) if k < self.arrays else NULL
    run(self, &call, cnp.PyArray_SIZE(x))
    return out


call_directly(MapFunction)
