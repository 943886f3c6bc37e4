# cython: language_level=3, cdivision=True
"""Row functions (the softmax family): the direct path for plain arrays along any axis, and the way through the gufunc for the rest."""

from cpython.object cimport PyObject

cimport numpy as cnp

from fastact.engine.blocks cimport DOUBLE, itemsize
from fastact.engine.calls cimport (
    Options, PyVectorcall_NARGS, alike, disjoint, foreign, output, read_axis, read_options, slow, slow_call, tidy, tidy_dtype,
)
from fastact.engine.checks cimport check_out, only_known, yes_or_no
from fastact.engine.function cimport Function, call_directly
from fastact.engine.rows cimport RowCall, find_way, row_kernel, run_rows
from fastact.engine.threads cimport KEEP_GIL
from fastact.engine.ufuncs cimport casts, make_gufunc

import math
import sys

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

cdef extern from "Python.h":
    PyObject *Py_True
    PyObject *Py_False

cnp.import_array()

cdef PyObject *NONE = <PyObject *>None
cdef tuple GUFUNC_OPTIONS = ("out", "dtype", "casting", "order", "subok", "signature")


cdef class RowFunction(Function):
    """A function of rows: every operand with a core dimension is taken along `axis`."""

    cdef readonly object ufunc
    cdef tuple cores            # for the inputs, then out: whether the operand is a row ...
    cdef bint is_row[4]         # ... for out, then the inputs
    cdef int model              # the first array whose rows are taken
    cdef object default_axis

    def __init__(self, op, name, namespace=None):
        super().__init__(op, name, namespace)
        self.ufunc = make_gufunc(self)
        self.cores = op.cores
        self.model = op.cores.index(True)
        for k in range(self.arrays + 1):
            self.is_row[k] = op.cores[k - 1]
        self.default_axis = op.options["axis"]
        self.call = slow_call
        if self.cores[self.arrays]:
            self.call = direct
        elif self.cores == (True, False):
            self.call = direct_reduction

    def generic(self, tuple args, dict kwargs):
        """Everything that is not a plain call: through the gufunc, several axes folded into one first."""
        allowed = tuple(self.op.options)
        if self.arrays < len(args) <= self.arrays + len(allowed):
            for option, value in zip(allowed, args[self.arrays:]):
                if option in kwargs:
                    raise TypeError(f"{self.__name__}() got multiple values for argument {option!r}")
                kwargs[option] = value
            args = args[:self.arrays]
        self.bind(args, kwargs)
        only_known(self.__name__, kwargs, (*allowed, *GUFUNC_OPTIONS))
        check_out(self.__name__, kwargs.get("out"))
        axis = kwargs.pop("axis", self.default_axis)
        keepdims = yes_or_no(self.__name__, "keepdims", kwargs.pop("keepdims", False))
        if kwargs.get("dtype") is None:
            kwargs.pop("dtype", None)
        if foreign(args):
            if axis is None or isinstance(axis, tuple):
                raise TypeError(f"{self.__name__}: axis={axis!r} of a {type(args[0]).__name__}; one axis, given as an int, is required")
            with np.errstate(all="ignore"):     # casting may overflow
                return self.ufunc(*args, axis=axis, **({"keepdims": True} if keepdims else {}), **kwargs)
        arrays = tuple([np.asanyarray(a) for a in args])
        if not all(self.cores):
            arrays = unmasked(arrays)
        if not casts(self, self.ufunc, args, arrays, kwargs):
            return self.along(arrays, axis, keepdims, kwargs)
        with np.errstate(all="ignore"):
            return self.along(arrays, axis, keepdims, kwargs)

    def __call__(self, *args, **kwargs):
        """As declared in the function's signature; Python calls `direct` in its place."""
        return self.generic(args, kwargs)

    cdef object along(self, tuple arrays, object axis, bint keepdims, dict kwargs):
        """Take rows along one axis or several of plain arrays of any dtype and layout."""
        model = arrays[self.model]
        if model.ndim == 0 and axis in (None, 0, -1):
            axes = ()
        else:
            try:
                if type(axis) is int:
                    axes = (normalize_axis_index(axis, model.ndim, self.__name__),)
                else:
                    axes = normalize_axis_tuple(range(model.ndim) if axis is None else axis, model.ndim, self.__name__)
            except TypeError:
                raise TypeError(f"{self.__name__}: axis={axis!r}; an int, a tuple of ints or None is required") from None
            except OverflowError:
                raise OverflowError(f"{self.__name__}: axis={axis!r}; {-model.ndim} to {model.ndim - 1} is required") from None
        for name, a, core in zip(self.op.inputs, arrays, self.cores):
            if core and a.shape != model.shape:
                raise ValueError(f"{self.__name__}: {name} has shape {a.shape}; {model.shape}, that of {self.op.inputs[self.model]}, "
                                 "is required")
        arrays = tuple([a if core else reduced(self.__name__, name, a, model, axes)
                        for name, a, core in zip(self.op.inputs, arrays, self.cores)])
        out = kwargs.get("out")
        out = out[0] if isinstance(out, tuple) else out
        expected = model.shape if self.cores[self.arrays] else reduced_shape(model, axes, keepdims)
        if isinstance(out, np.ndarray) and out.shape != expected:
            raise ValueError(f"{self.__name__}: out has shape {out.shape}; {expected}, that of the result, is required")
        if len(axes) == 1 and not (keepdims and self.cores[self.arrays]):
            options = {"keepdims": True} if keepdims else {}
            return self.ufunc(*arrays, axis=axes[0], **options, **kwargs)
        return self.folded(arrays, model, axes, keepdims, kwargs)

    cdef object folded(self, tuple arrays, object model, tuple axes, bint keepdims, dict kwargs):
        """Several axes, or none: moved to the end and made one."""
        out = kwargs.pop("out", None)
        out = out[0] if isinstance(out, tuple) else out
        last = tuple(range(model.ndim - len(axes), model.ndim))
        moved = np.moveaxis(model, axes, last)
        outer = moved.shape[:model.ndim - len(axes)]
        length = math.prod(moved.shape[model.ndim - len(axes):])
        flat = [np.moveaxis(a, axes, last).reshape(*outer, length) if core else a for a, core in zip(arrays, self.cores)]
        if isinstance(out, np.ndarray) and self.cores[self.arrays] and out.flags.c_contiguous and axes == last:
            self.ufunc(*flat, out=out.reshape(*outer, length), axis=-1, **kwargs)   # a view: in place stays in place
            return out
        result = self.ufunc(*flat, axis=-1, **kwargs)
        if self.cores[self.arrays]:
            result = np.moveaxis(np.reshape(result, moved.shape), last, axes)
        elif keepdims:
            result = np.expand_dims(result, axes)
        if out is Ellipsis:     # an array, where it would be a number too
            return np.asanyarray(result)
        if out is None:
            return result if isinstance(result, np.ndarray) and result.ndim else np.asarray(result)[()]
        np.copyto(out, result, casting=kwargs.get("casting", "same_kind"))
        return out


cdef tuple unmasked(tuple arrays):
    """The arrays as they are, but masked ones without their mask, which is as long as they are and does not fit the result."""
    cdef object ma = sys.modules.get("numpy.ma")    # nobody has one before it is imported
    return tuple([np.asarray(a) if ma is not None and isinstance(a, ma.MaskedArray) else a for a in arrays])


cdef tuple reduced_shape(object model, tuple axes, bint keepdims):
    """The shape of one element a row, with the reduced axes as 1 or without them."""
    return tuple([1 if k in axes else n for k, n in enumerate(model.shape) if keepdims or k not in axes])


cdef object reduced(str name, str argument, object array, object model, tuple axes):
    """An operand with one element a row, given with or without the reduced axes."""
    left, kept = reduced_shape(model, axes, False), reduced_shape(model, axes, True)
    if array.shape == left:
        return array
    if array.shape == kept:
        return array.reshape(left)
    beside = f"{left} or {kept}, one number for each row of an array of shape {model.shape}"
    raise ValueError(f"{name}: {argument} has shape {array.shape}; {beside}, is required")


cdef int lay_out(RowCall *call, RowFunction self, cnp.ndarray x, Py_ssize_t axis) noexcept:
    """Describe the rows of C-contiguous arrays along an axis."""
    cdef Py_ssize_t size = itemsize(call.dtype), inner = 1, k
    call.n = cnp.PyArray_DIM(x, <int>axis)
    for k in range(axis + 1, cnp.PyArray_NDIM(x)):
        inner *= cnp.PyArray_DIM(x, <int>k)
    call.inner_count = inner if inner > 0 else 1
    call.operands = self.arrays + 1
    call.failed = False
    for k in range(4):
        call.has_core[k] = self.is_row[k]
        call.core[k] = inner * size if call.has_core[k] else 0
        call.inner[k] = size
        call.outer[k] = (call.n if call.has_core[k] else 1) * inner * size
    return 0


cdef int run(RowFunction self, RowCall *call, cnp.ndarray x, Py_ssize_t rows) except -1:
    """Find the kernel and run it, without the interpreter lock where that is worth it."""
    call.kernel = <row_kernel>self.kernel(call.dtype, find_way(call, rows))
    if cnp.PyArray_SIZE(x) * self.cost < KEEP_GIL:
        run_rows(call, rows, 0)
    else:
        with nogil:
            run_rows(call, rows, self.cost * (2 if call.dtype == DOUBLE else 1))
    if call.failed:
        raise MemoryError(f"{self.__name__}: no memory for the buffer of a row")
    return 0


cdef bint beside(PyObject *value, cnp.ndarray x, Py_ssize_t axis) noexcept:
    """A tidy array of x's dtype with one element a row: of x's shape without the axis, or with 1 in its place."""
    cdef cnp.ndarray array
    cdef int k, there
    if not tidy(value):
        return False
    array = <cnp.ndarray>value
    there = cnp.PyArray_NDIM(x) - cnp.PyArray_NDIM(array)   # axes that are left out
    if cnp.PyArray_TYPE(array) != cnp.PyArray_TYPE(x) or not 0 <= there <= 1:
        return False
    for k in range(cnp.PyArray_NDIM(x)):
        if k != axis and cnp.PyArray_DIM(array, k - there if k > axis else k) != cnp.PyArray_DIM(x, k):
            return False
    return there == 1 or cnp.PyArray_DIM(array, <int>axis) == 1


cdef bint fits(RowFunction self, PyObject *const *args, cnp.ndarray x, Py_ssize_t axis) noexcept:
    """Whether every array of a call is as long as `x`, whose rows are taken, or has one element for each of them."""
    cdef int k
    for k in range(self.arrays):
        if not (alike(args[k], x) if self.is_row[k + 1] else beside(args[k], x, axis)):
            return False
    return True


cdef cnp.ndarray rows_output(RowFunction self, PyObject *given, PyObject *const *args, cnp.ndarray x):
    """Where a direct call writes; None where that shares memory with an array of one element a row."""
    cdef cnp.ndarray out = output(given, args + self.model, self.arrays - self.model)
    cdef int k
    for k in range(self.arrays if out is not None else 0):
        if not self.is_row[k + 1] and not disjoint(out, <cnp.ndarray>args[k]):
            return None
    return out


cdef object direct(object callable, PyObject *const *args, size_t nargsf, PyObject *names):
    """Plain arrays go straight to the row driver; the rest takes the generic path, with the same bits."""
    cdef RowFunction self = <RowFunction>callable
    cdef Py_ssize_t count = PyVectorcall_NARGS(nargsf), axis
    cdef Options options
    cdef RowCall call
    cdef cnp.ndarray x, out = None
    cdef int k
    if not read_options(&options, args, count, self.arrays, names) or options.keepdims is not NULL:
        return slow(self, args, count, names)
    call.dtype = tidy_dtype(args[self.model], self.brain)
    if call.dtype < 0:
        return slow(self, args, count, names)
    x = <cnp.ndarray>args[self.model]
    axis = -1 if options.axis is NULL and self.default_axis is None else read_axis(options.axis, -1, cnp.PyArray_NDIM(x))
    if axis >= 0 and fits(self, args, x, axis):
        out = rows_output(self, options.out, args, x)
    if out is None:
        return slow(self, args, count, names)
    lay_out(&call, self, x, axis)
    call.data[0] = <char *>cnp.PyArray_DATA(out)
    for k in range(self.arrays):
        call.data[k + 1] = <char *>cnp.PyArray_DATA(<cnp.ndarray>args[k])
    run(self, &call, x, cnp.PyArray_SIZE(x) // call.n if call.n else 0)
    return out


cdef cnp.ndarray reduction_output(PyObject *given, cnp.ndarray x, Py_ssize_t axis, bint keepdims):
    """Where a direct reduction along one axis, or all (-1), writes: a new array, or the given one if it is plain and fits; or None."""
    cdef cnp.npy_intp dims[cnp.NPY_MAXDIMS]
    cdef cnp.ndarray out
    cdef int k, ndim = 0
    for k in range(cnp.PyArray_NDIM(x)):
        if k != axis and axis >= 0:
            dims[ndim] = cnp.PyArray_DIM(x, k)
            ndim += 1
        elif keepdims:
            dims[ndim] = 1
            ndim += 1
    if given == NONE:
        return cnp.PyArray_EMPTY(ndim, dims, cnp.PyArray_TYPE(x), 0)
    if not tidy(given):
        return None
    out = <cnp.ndarray>given
    if cnp.PyArray_TYPE(out) != cnp.PyArray_TYPE(x) or cnp.PyArray_NDIM(out) != ndim or not cnp.PyArray_ISWRITEABLE(out):
        return None
    for k in range(ndim):
        if cnp.PyArray_DIM(out, k) != dims[k]:
            return None
    return out if disjoint(out, x) else None


cdef object direct_reduction(object callable, PyObject *const *args, size_t nargsf, PyObject *names):
    """The same for a function that gives one number a row."""
    cdef RowFunction self = <RowFunction>callable
    cdef Py_ssize_t count = PyVectorcall_NARGS(nargsf), axis = -1
    cdef Options options
    cdef RowCall call
    cdef cnp.ndarray x, out = None
    cdef bint keepdims, known
    if not read_options(&options, args, count, 1, names):
        return slow(self, args, count, names)
    call.dtype = tidy_dtype(args[0], self.brain)
    if call.dtype < 0 or cnp.PyArray_SIZE(<cnp.ndarray>args[0]) == 0:
        return slow(self, args, count, names)
    x = <cnp.ndarray>args[0]
    keepdims = options.keepdims == Py_True
    if options.axis is not NULL and options.axis != NONE:
        axis = read_axis(options.axis, 0, cnp.PyArray_NDIM(x))
    known = keepdims or options.keepdims is NULL or options.keepdims == Py_False
    if known and (axis >= 0 or options.axis is NULL or options.axis == NONE):
        out = reduction_output(options.out, x, axis, keepdims)
    if out is None:
        return slow(self, args, count, names)
    lay_out(&call, self, x, axis if axis >= 0 else cnp.PyArray_NDIM(x) - 1)
    if axis < 0:
        call.n = cnp.PyArray_SIZE(x)
    call.data[0] = <char *>cnp.PyArray_DATA(out)
    call.data[1] = <char *>cnp.PyArray_DATA(x)
    run(self, &call, x, cnp.PyArray_SIZE(x) // call.n)
    return out if cnp.PyArray_NDIM(out) or options.out != NONE else out[()]


call_directly(RowFunction)
