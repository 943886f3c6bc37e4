# cython: language_level=3
"""How calls are read: the slot through which Python calls a function directly, and what its arrays are made ready for the kernels by."""

from cpython.object cimport PyObject, PyTypeObject

cimport numpy as cnp

from fastact.engine.blocks cimport BRAIN, DOUBLE, HALF, SINGLE, gather, scatter
from fastact.engine.threads cimport GRAIN, run_spans

import numpy as np

cdef extern from "Python.h":
    ctypedef object (*ternaryfunc)(object, object, object)
    ctypedef struct Slots "PyTypeObject":
        Py_ssize_t tp_vectorcall_offset
        unsigned long tp_flags
        void *tp_call
        PyObject *tp_dict
    unsigned long Py_TPFLAGS_HAVE_VECTORCALL
    void *PyVectorcall_Call
    void PyType_Modified(PyTypeObject *)

cnp.import_array()

cdef PyObject *OUT = <PyObject *>"out"
cdef PyObject *AXIS = <PyObject *>"axis"
cdef PyObject *KEEPDIMS = <PyObject *>"keepdims"

PLAIN_RULE = np.ndarray.__array_ufunc__
SCALAR_RULE = getattr(np.generic, "__array_ufunc__", PLAIN_RULE)
cdef object FLOAT = np.dtype(np.float32)
SMALL_INTEGERS = {"b1": np.float16, "i1": np.float16, "u1": np.float16, "i2": np.float32, "u2": np.float32}


cdef int install_vectorcall(type cls, Py_ssize_t offset) except -1:
    """Let Python call instances through the function pointer at `offset`, without tuples and dicts."""
    cdef Slots *slots = <Slots *><PyObject *>cls
    slots.tp_vectorcall_offset = offset
    slots.tp_call = PyVectorcall_Call
    slots.tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL
    PyType_Modified(<PyTypeObject *>slots)
    return 0


cdef int inherit_doc(type cls) except -1:
    """Let instances of a subclass show the docstring that `Function` makes for each, not the one of their class."""
    cdef Slots *slots = <Slots *><PyObject *>cls
    (<dict>slots.tp_dict).pop("__doc__", None)
    PyType_Modified(<PyTypeObject *>slots)
    return 0


cdef object slow(object function, PyObject *const *args, Py_ssize_t count, PyObject *names):
    """The same call through the function's generic path, with its arguments in a tuple and a dict."""
    cdef Py_ssize_t i
    positional = tuple([<object>args[i] for i in range(count)])
    options = {}
    if names is not NULL:
        for i in range(PyTuple_GET_SIZE(names)):
            options[<object>PyTuple_GET_ITEM(names, i)] = <object>args[count + i]
    return function.generic(positional, options)


cdef object slow_call(object callable, PyObject *const *args, size_t nargsf, PyObject *names):
    """The vectorcall of a function without a direct path."""
    return slow(callable, args, PyVectorcall_NARGS(nargsf), names)


cdef bint read_options(Options *options, PyObject *const *args, Py_ssize_t count, int arrays, PyObject *names) noexcept:
    """Read the axis that may follow the arrays, and the keywords of a direct call; False where one is not for the direct path."""
    cdef Py_ssize_t i
    options.axis = args[arrays] if count > arrays else NULL
    options.out = <PyObject *>None
    options.keepdims = NULL
    if count < arrays or count > arrays + 1:
        return False
    for i in range(0 if names is NULL else PyTuple_GET_SIZE(names)):
        if PyTuple_GET_ITEM(names, i) == OUT:
            options.out = args[count + i]
        elif PyTuple_GET_ITEM(names, i) == AXIS and options.axis is NULL:
            options.axis = args[count + i]
        elif PyTuple_GET_ITEM(names, i) == KEEPDIMS:
            options.keepdims = args[count + i]
        else:
            return False
    return True


cdef Py_ssize_t read_axis(PyObject *given, Py_ssize_t default, int ndim) except -2:
    """The axis, counted from the front; -1 where it is not for the direct path."""
    cdef Py_ssize_t axis = default
    if given is not NULL:
        if not PyLong_CheckExact(given):
            return -1
        axis = PyNumber_AsSsize_t(given, NULL)
    axis = axis + ndim if axis < 0 else axis
    return axis if 0 <= axis < ndim else -1


cdef object real_dtype(object array):
    """The floating dtype that numbers of this dtype compute in, as for np.exp; None where there is none (NumPy then says so)."""
    dtype = array.dtype
    if dtype.char in "efd":     # not by its kind, which other packages' dtypes of one byte have too
        return dtype.newbyteorder("=")
    if dtype.kind in "biu":
        return np.dtype(SMALL_INTEGERS.get(f"{dtype.kind}{dtype.itemsize}", np.float64))
    return dtype if is_brain(dtype) else None


cdef bint is_brain(object dtype):
    """bfloat16, by its name: the package that brings it is not ours to import."""
    return dtype.kind == "V" and dtype.name == "bfloat16"


cdef int dtype_number(object dtype) except -1:
    """The engine's number of a floating dtype."""
    return BRAIN if is_brain(dtype) else {"e": HALF, "f": SINGLE, "d": DOUBLE}[dtype.char]


cdef object computing(object dtype):
    """The dtype that kernels compute in for arrays of a floating dtype."""
    return FLOAT if dtype.itemsize == 2 else dtype


cdef bint is_ready(object array, object dtype):
    """Whether an array is as kernels need it: of a dtype, in C order, aligned and native."""
    return type(array) is np.ndarray and array.dtype == dtype and cnp.PyArray_ISCARRAY_RO(array)


cdef struct Conversion:     # between half precision and the computing type, of arrays as kernels need them
    char *half
    float *wide
    int dtype
    bint back


cdef void convert_span(void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef Conversion *call = <Conversion *>context
    if call.back:
        scatter(call.half + 2 * start, 2, call.wide + start, stop - start, call.dtype)
    else:
        gather(call.wide + start, call.half + 2 * start, 2, stop - start, call.dtype)


cdef int convert(cnp.ndarray half, cnp.ndarray wide, bint back) except -1:
    cdef Conversion call = [<char *>cnp.PyArray_DATA(half), <float *>cnp.PyArray_DATA(wide), dtype_number(half.dtype), back]
    cdef Py_ssize_t n = cnp.PyArray_SIZE(half)
    with nogil:
        run_spans(convert_span, &call, n, GRAIN, n * 0.1)
    return 0


cdef bint is_half(object dtype):
    return dtype.char == "e" or is_brain(dtype)


cdef object ready(object array, object dtype):
    """The array as kernels need it: itself where it is so already, else a copy."""
    cdef cnp.ndarray wide
    if is_ready(array, dtype):
        return array
    if dtype == FLOAT and is_half(array.dtype) and is_ready(array, array.dtype):
        wide = np.empty(array.shape, FLOAT)
        convert(array, wide, False)
        return wide
    with np.errstate(all="ignore"):     # casting may overflow
        return np.require(array, dtype, "CAE")


cdef int put(object out, object result) except -1:
    """Copy a result to where it is wanted, rounded to the dtype there, silently."""
    if result.dtype == FLOAT and is_half(out.dtype) and is_ready(out, out.dtype) and is_ready(result, FLOAT):
        return convert(out, result, True)
    with np.errstate(all="ignore"):
        np.copyto(out, result, casting="same_kind")
    return 0


cdef object rounded(object result, object dtype):
    """A new result in the dtype of the function: itself, or a copy of half precision."""
    if result.dtype == dtype:
        return result
    out = np.empty(result.shape, dtype)
    put(out, result)
    return out


cdef bint foreign(tuple arrays):
    """Whether an argument is of a kind with its own rules for ufuncs, like a Dask array or a pandas Series."""
    for array in arrays:
        if cnp.PyArray_CheckExact(array):
            continue
        rule = getattr(type(array), "__array_ufunc__", PLAIN_RULE)
        if rule is not PLAIN_RULE and rule is not SCALAR_RULE:
            return True
    return False


cdef bint uniform(tuple arrays, object out) except -1:
    """Whether nothing has to be cast: all arrays, and the output if there is one, are of one native floating dtype."""
    cdef int number = cnp.PyArray_TYPE(<cnp.ndarray>arrays[0])
    if number != cnp.NPY_FLOAT and number != cnp.NPY_DOUBLE and number != cnp.NPY_FLOAT16:
        return False
    for array in arrays if out is None else (*arrays, out):
        if not cnp.PyArray_Check(array) or cnp.PyArray_TYPE(<cnp.ndarray>array) != number:
            return False
        if not cnp.PyArray_ISNOTSWAPPED(<cnp.ndarray>array):
            return False
    return True


cdef int leading(tuple arrays):
    """The argument that decides the dtype, whatever the others are: the first; Python's numbers have no say."""
    cdef int k
    for k, array in enumerate(arrays):
        if type(array) not in (int, float, bool):
            return k
    return 0
