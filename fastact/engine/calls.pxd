"""Reading the arguments of a direct call, and the checks that the generic paths share."""

cimport numpy as cnp
from cpython.object cimport PyObject, PyTypeObject

from fastact.engine.blocks cimport BRAIN, DOUBLE, HALF, SINGLE

ctypedef object (*vectorcall)(object callable, PyObject *const *args, size_t nargsf, PyObject *names)

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX
    Py_ssize_t PyVectorcall_NARGS(size_t nargsf) nogil
    PyTypeObject *Py_TYPE(PyObject *object) nogil
    Py_ssize_t PyTuple_GET_SIZE(PyObject *)
    PyObject *PyTuple_GET_ITEM(PyObject *, Py_ssize_t)
    bint PyLong_CheckExact(PyObject *)
    Py_ssize_t PyNumber_AsSsize_t(PyObject *, PyObject *error) except? -1      # where `error` is NULL, huge numbers become the largest

cdef inline bint tidy(PyObject *value) noexcept:
    """An exact ndarray in the machine's own layout: at least one dimension, C order, aligned, native."""
    if Py_TYPE(value) != <PyTypeObject *>cnp.ndarray:
        return False
    return (cnp.PyArray_NDIM(<cnp.ndarray>value) > 0 and cnp.PyArray_ISNOTSWAPPED(<cnp.ndarray>value)
            and cnp.PyArray_CHKFLAGS(<cnp.ndarray>value, cnp.NPY_ARRAY_C_CONTIGUOUS | cnp.NPY_ARRAY_ALIGNED))

cdef inline int tidy_dtype(PyObject *value, int brain) noexcept:
    """The engine's dtype of a tidy array, where `brain` is NumPy's number for bfloat16, 0 if that is not known yet; else -1."""
    cdef int number
    if not tidy(value):
        return -1
    number = cnp.PyArray_TYPE(<cnp.ndarray>value)
    if number == cnp.NPY_FLOAT:
        return SINGLE
    if number == cnp.NPY_DOUBLE:
        return DOUBLE
    return HALF if number == cnp.NPY_FLOAT16 else (BRAIN if brain and number == brain else -1)

cdef inline bint plain(PyObject *value) noexcept:
    """A tidy array of float or double, which kernels take as it is."""
    return tidy_dtype(value, 0) >= SINGLE

cdef inline bint alike(PyObject *value, cnp.ndarray model) noexcept:
    """A tidy array of the model's dtype and shape."""
    cdef cnp.ndarray array
    cdef int k
    if not tidy(value):
        return False
    array = <cnp.ndarray>value
    if cnp.PyArray_TYPE(array) != cnp.PyArray_TYPE(model) or cnp.PyArray_NDIM(array) != cnp.PyArray_NDIM(model):
        return False
    for k in range(cnp.PyArray_NDIM(array)):
        if cnp.PyArray_DIM(array, k) != cnp.PyArray_DIM(model, k):
            return False
    return True

cdef inline bint disjoint(cnp.ndarray one, cnp.ndarray other) noexcept:
    """Two plain arrays have no memory in common."""
    cdef char *a = <char *>cnp.PyArray_DATA(one)
    cdef char *b = <char *>cnp.PyArray_DATA(other)
    return a + cnp.PyArray_NBYTES(one) <= b or b + cnp.PyArray_NBYTES(other) <= a

cdef inline bint apart_or_same(cnp.ndarray one, cnp.ndarray other) noexcept:
    """Two plain arrays of the same size use the same memory, or have none in common."""
    return cnp.PyArray_DATA(one) == cnp.PyArray_DATA(other) or disjoint(one, other)

cdef inline cnp.ndarray output(PyObject *given, PyObject *const *arrays, int count):
    """Where a direct call writes: a new array, or the given one if it is like the inputs, writeable, not overlapping in part; or None."""
    cdef cnp.ndarray x = <cnp.ndarray>arrays[0]
    cdef int k
    if given == <PyObject *>None:
        return cnp.PyArray_EMPTY(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x), 0)
    if given == arrays[0] and count == 1:    # in place, the commonest case: known to be alike
        return x if cnp.PyArray_ISWRITEABLE(x) else None
    if not alike(given, x) or not cnp.PyArray_ISWRITEABLE(<cnp.ndarray>given):
        return None
    for k in range(count):
        if not apart_or_same(<cnp.ndarray>given, <cnp.ndarray>arrays[k]):
            return None
    return <cnp.ndarray>given

cdef struct Options:        # of a direct call along an axis, as given; NULL or None where not
    PyObject *axis
    PyObject *out
    PyObject *keepdims

cdef bint read_options(Options *options, PyObject *const *args, Py_ssize_t count, int arrays, PyObject *names) noexcept
cdef Py_ssize_t read_axis(PyObject *given, Py_ssize_t default, int ndim) except -2

cdef object slow(object function, PyObject *const *args, Py_ssize_t count, PyObject *names)
cdef object slow_call(object callable, PyObject *const *args, size_t nargsf, PyObject *names)
cdef int inherit_doc(type cls) except -1
cdef int install_vectorcall(type cls, Py_ssize_t offset) except -1
cdef object real_dtype(object array)
cdef bint is_brain(object dtype)
cdef int dtype_number(object dtype) except -1
cdef object computing(object dtype)
cdef bint is_ready(object array, object dtype)
cdef object ready(object array, object dtype)
cdef int put(object out, object result) except -1
cdef object rounded(object result, object dtype)
cdef bint foreign(tuple arrays)
cdef bint uniform(tuple arrays, object out) except -1
cdef int leading(tuple arrays)
