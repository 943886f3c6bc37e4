# cython: language_level=3, cdivision=True
"""The choice of a maximum among the pieces along an axis, and its gradient: which rows the kernels see, and where they write."""

from cpython.object cimport PyObject, PyTypeObject

cimport numpy as cnp
from libc.string cimport memcmp

from fastact.engine.blocks cimport DOUBLE, SINGLE, itemsize
from fastact.engine.calls cimport (
    PY_SSIZE_T_MAX, Options, Py_TYPE, PyLong_CheckExact, PyNumber_AsSsize_t, PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyVectorcall_NARGS,
    computing, disjoint, is_brain, is_ready, plain, put, read_axis, read_options, ready, rounded, slow, tidy,
)
from fastact.engine.checks cimport check_dtype, gradient_target, only_known, whole_number
from fastact.engine.function cimport Function, call_directly
from fastact.engine.rows cimport COLUMNS, ROWS
from fastact.engine.threads cimport GRAIN, KEEP_GIL, run_spans


import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from fastact.engine.gates import take_axis

cnp.import_array()

cdef extern from "Python.h":
    bint PyTuple_CheckExact(PyObject *)

cdef enum:
    SHORT = 64          # of shorter rows a thread gets many
    MOST_AXES = 65      # one more than NumPy allows
cdef PyObject *NONE = <PyObject *>None
cdef PyObject *AXIS = <PyObject *>"axis"     # interned, as the names of keywords are
cdef PyObject *OUT = <PyObject *>"out"
cdef object INDEX = np.dtype(np.intp)

ctypedef void (*pick_kernel)(void *first, void *second, void *third, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride) noexcept nogil


cdef struct PickCall:
    pick_kernel kernel
    bint places                 # the pieces are written, where the forward pass reads them
    bint stray                  # an index is out of range
    int dtype
    char *pieces
    char *values                # one number a row
    Py_ssize_t *which
    Py_ssize_t n                # pieces in a row
    Py_ssize_t inner            # rows that stand side by side


cdef void pick_span(void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Rows start..stop: all at once where they follow one another, else as many as stand side by side."""
    cdef PickCall *call = <PickCall *>context
    cdef Py_ssize_t size = itemsize(call.dtype), stride = call.inner, width
    cdef char *here
    while start < stop:
        here = call.pieces + (start // call.inner * call.n * call.inner + start % call.inner) * size
        width = stop - start
        if call.inner > 1:
            width = min(width, call.inner - start % call.inner)
        if call.places:
            call.kernel(here, call.values + start * size, call.which + start, call.n, width, stride)
        else:
            call.kernel(call.values + start * size, call.which + start, here, call.n, width, stride)
        start += width


cdef inline Py_ssize_t signs(Py_ssize_t index, Py_ssize_t last, bint power) noexcept nogil:
    """Bits to be collected: comparisons of such integers have no vectors on the oldest machines."""
    return index if power else index | <Py_ssize_t>(<size_t>last - <size_t>index)


cdef inline Py_ssize_t all_signs(const Py_ssize_t *which, Py_ssize_t n, Py_ssize_t last, bint power) noexcept nogil:
    """Those of n indices; quarters at once, since four streams come from memory up to twice as fast as one."""
    cdef Py_ssize_t bits = 0, some = n // 4, i
    for i in range(some):
        bits |= (signs(which[i], last, power) | signs(which[some + i], last, power)
                 | signs(which[2 * some + i], last, power) | signs(which[3 * some + i], last, power))
    for i in range(4 * some, n):
        bits |= signs(which[i], last, power)
    return bits


cdef void check_span(void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Whether an index is out of range: below a power of two a number has no other bits than `last`, else a difference is negative."""
    cdef PickCall *call = <PickCall *>context
    cdef Py_ssize_t last = call.n - 1
    if call.n & last == 0:
        if all_signs(call.which + start, stop - start, last, True) & ~last:
            call.stray = True
    elif all_signs(call.which + start, stop - start, last, False) < 0:
        call.stray = True


cdef cnp.ndarray target(PyObject *given, int ndim, cnp.npy_intp *dims, int type_number):
    """Where a kernel writes: a new array, or the given one if it is as kernels need it; or None."""
    cdef cnp.ndarray out
    if given == NONE:
        return cnp.PyArray_EMPTY(ndim, dims, type_number, 0)
    if Py_TYPE(given) != <PyTypeObject *>cnp.ndarray:
        return None
    out = <cnp.ndarray>given
    if cnp.PyArray_TYPE(out) != type_number or cnp.PyArray_NDIM(out) != ndim or not cnp.PyArray_ISCARRAY(out):
        return None
    return out if memcmp(cnp.PyArray_DIMS(out), dims, ndim * sizeof(cnp.npy_intp)) == 0 else None


cdef class PickFunction(Function):
    """The maximum among the pieces along an axis and which piece it was; its gradient goes to that piece alone."""

    cdef Py_ssize_t default_axis

    def __init__(self, op, name, namespace=None):
        super().__init__(op, name, namespace)
        self.call = direct_place if op.is_backward else direct_pick
        self.default_axis = op.options["axis"]

    def __call__(self, *args, **kwargs):
        """As declared in the function's signature; Python calls `direct_pick` or `direct_place` in its place."""
        return self.generic(args, kwargs)

    def generic(self, tuple args, dict kwargs):
        """Everything that is not a plain call."""
        args, axis = take_axis(self, args, kwargs)
        only_known(self.__name__, kwargs, ("axis", "out", *self.param_names))
        axis = whole_number(self.__name__, "axis", axis)
        out = kwargs.pop("out", None)
        if self.op.is_backward:
            return self.place_any(np.asarray(args[0]), np.asarray(args[1]), self.bind(args, kwargs)[0], axis, out)
        return self.pick_any(np.asarray(args[0]), axis, out)

    cdef object pick_any(self, object x, Py_ssize_t axis, object out):
        """Value and index along an axis, through copies where the arrays are not as kernels need them."""
        dtype = check_dtype(self.__name__, "x", x)
        if x.ndim == 0:
            raise ValueError(f"{self.__name__}: x is a single number; an axis of pieces is required")
        axis = normalize_axis_index(axis, x.ndim, self.__name__)
        if x.shape[axis] == 0:
            raise ValueError(f"{self.__name__}: x has shape {x.shape}, no piece along axis {axis}; at least one is required")
        if out is not None and not (isinstance(out, tuple) and len(out) == 2):
            raise TypeError(f"{self.__name__}: out={out!r}; a tuple of two arrays, (value, which), is required")
        wide = ready(x, computing(dtype))
        if out is None:
            value, which = self.pick(wide, axis, NONE, NONE)
            return rounded(value, dtype), which
        model = x[(slice(None),) * axis + (0,)]
        into = gradient_target(self.__name__, out[0], model, dtype), gradient_target(self.__name__, out[1], model, np.dtype(np.intp))
        if self.pick(wide, axis, <PyObject *>into[0], <PyObject *>into[1]) is None:
            for given, result in zip(into, self.pick(wide, axis, NONE, NONE)):
                put(given, result)
        return into

    cdef object pick(self, cnp.ndarray x, int axis, PyObject *given, PyObject *given_which):
        """The same for a plain array, into new arrays or those given; None where they do not fit."""
        cdef cnp.npy_intp dims[MOST_AXES]
        cdef PickCall call
        cdef int k, ndim = cnp.PyArray_NDIM(x) - 1
        for k in range(ndim):
            dims[k] = cnp.PyArray_DIM(x, k if k < axis else k + 1)
        value, which = target(given, ndim, dims, cnp.PyArray_TYPE(x)), target(given_which, ndim, dims, cnp.NPY_INTP)
        if value is None or which is None or not (disjoint(value, x) and disjoint(which, x) and disjoint(value, which)):
            return None
        call.places = False
        self.run(&call, x, axis, value, which)
        return value, which

    cdef object place_any(self, object grad, object which, object pieces, Py_ssize_t axis, object out):
        """Spread a gradient to the chosen pieces, through copies where the arrays are not as kernels need them."""
        dtype = check_dtype(self.__name__, "grad", grad)
        if which.shape != grad.shape or which.dtype.kind not in "iu":
            raise ValueError(f"{self.__name__}: which has dtype {which.dtype} and shape {which.shape}; integers of the shape of grad, "
                             f"{grad.shape}, are required")
        count = whole_number(self.__name__, self.param_names[0], pieces)
        if count < 1:
            raise ValueError(f"{self.__name__}: pieces={pieces!r}; a whole number >= 1 is required")
        if which.size and not (0 <= which.min() and which.max() < count):
            raise ValueError(f"{self.__name__}: which holds {which.min()} to {which.max()}; 0 to pieces - 1 = {count - 1} is required")
        axis = normalize_axis_index(axis, grad.ndim + 1, self.__name__)
        grad, which = ready(grad, computing(dtype)), ready(which, np.intp)
        if out is None:
            return rounded(self.place(grad, which, count, axis, NONE), dtype)
        shape = grad.shape[:axis] + (count,) + grad.shape[axis:]
        into = gradient_target(self.__name__, out, np.broadcast_to(dtype.type(0), shape), dtype)
        if self.place(grad, which, count, axis, <PyObject *>into) is None:
            put(into, self.place(grad, which, count, axis, NONE))
        return into

    cdef object place(self, cnp.ndarray grad, cnp.ndarray which, Py_ssize_t pieces, int axis, PyObject *given):
        """The same for plain arrays, into a new array or the one given; None where that does not fit, or an index is out of range."""
        cdef cnp.npy_intp dims[MOST_AXES]
        cdef PickCall call
        cdef int k, ndim = cnp.PyArray_NDIM(grad) + 1
        for k in range(ndim):
            dims[k] = pieces if k == axis else cnp.PyArray_DIM(grad, k if k < axis else k - 1)
        out = target(given, ndim, dims, cnp.PyArray_TYPE(grad))
        if out is None or not (disjoint(out, grad) and disjoint(out, which)):
            return None
        call.places = True
        return out if self.run(&call, out, axis, grad, which) else None

    cdef bint run(self, PickCall *call, cnp.ndarray pieces, int axis, cnp.ndarray values, cnp.ndarray which) except -1:
        """Run the kernel, without the interpreter lock where that is worth it; False if an index is out of range: nothing is written."""
        cdef Py_ssize_t rows = cnp.PyArray_SIZE(values)
        cdef double work
        cdef int k
        call.dtype = DOUBLE if cnp.PyArray_TYPE(pieces) == cnp.NPY_DOUBLE else SINGLE
        call.pieces, call.values = <char *>cnp.PyArray_DATA(pieces), <char *>cnp.PyArray_DATA(values)
        call.which = <Py_ssize_t *>cnp.PyArray_DATA(which)
        call.n, call.inner, call.stray = cnp.PyArray_DIM(pieces, axis), 1, False
        for k in range(axis + 1, cnp.PyArray_NDIM(pieces)):
            call.inner *= cnp.PyArray_DIM(pieces, k)
        call.kernel = <pick_kernel>self.kernel(call.dtype, COLUMNS if call.inner > 1 else ROWS)
        work = rows * call.n * self.cost * (2 if call.dtype == DOUBLE else 1)
        if work < KEEP_GIL:
            run_pick(call, rows, 0)
        else:
            with nogil:
                run_pick(call, rows, work)
        return not call.stray


cdef void run_pick(PickCall *call, Py_ssize_t rows, double work) noexcept nogil:
    cdef Py_ssize_t grain = 1 if call.inner == 1 and call.n >= SHORT else 64
    if rows == 0:
        return
    if call.places:
        run_spans(check_span, call, rows, GRAIN, work)
    if not call.stray:
        run_spans(pick_span, call, rows, grain, work)


cdef cnp.ndarray widened(PyObject *given):
    """An array of the direct path as kernels need it: itself, or half precision in the computing type; None for anything else."""
    if plain(given):
        return <cnp.ndarray>given
    if not tidy(given) or (cnp.PyArray_TYPE(<cnp.ndarray>given) != cnp.NPY_FLOAT16 and not is_brain((<cnp.ndarray>given).dtype)):
        return None
    return ready(<object>given, computing((<cnp.ndarray>given).dtype))


cdef bint fits(PyObject *given, cnp.ndarray result, object dtype) except -1:
    """Whether a result can be copied, rounded to a dtype, to the array given, if there is one."""
    if given == NONE:
        return True
    if not is_ready(<object>given, dtype) or not cnp.PyArray_ISWRITEABLE(<cnp.ndarray>given):
        return False
    return cnp.PyArray_SAMESHAPE(<cnp.ndarray>given, result)


cdef object delivered(PyObject *given, cnp.ndarray result, object dtype):
    """A result that fits, rounded to a new array or to the one given."""
    if given == NONE:
        return rounded(result, dtype)
    put(<object>given, result)
    return <object>given


cdef object direct_pick(object callable, PyObject *const *args, size_t nargsf, PyObject *names):
    """Plain arrays go straight to the kernel; the rest takes the generic path, with the same results."""
    cdef PickFunction self = <PickFunction>callable
    cdef Py_ssize_t count = PyVectorcall_NARGS(nargsf), axis
    cdef PyObject *given[2]
    cdef Options options
    cdef cnp.ndarray x
    if not read_options(&options, args, count, 1, names) or options.keepdims is not NULL:
        return slow(self, args, count, names)
    x = widened(args[0])
    if x is None:
        return slow(self, args, count, names)
    axis = read_axis(options.axis, self.default_axis, cnp.PyArray_NDIM(x))
    given[0] = given[1] = NONE
    if options.out != NONE:
        if not PyTuple_CheckExact(options.out) or PyTuple_GET_SIZE(options.out) != 2:
            return slow(self, args, count, names)
        given[0], given[1] = PyTuple_GET_ITEM(options.out, 0), PyTuple_GET_ITEM(options.out, 1)
    if axis < 0 or cnp.PyArray_DIM(x, <int>axis) == 0:
        return slow(self, args, count, names)
    if <PyObject *>x == args[0]:
        result = self.pick(x, <int>axis, given[0], given[1])
        return slow(self, args, count, names) if result is None else result
    dtype, (value, which) = (<cnp.ndarray>args[0]).dtype, self.pick(x, <int>axis, NONE, NONE)
    if fits(given[0], value, dtype) and fits(given[1], which, INDEX):
        return delivered(given[0], value, dtype), delivered(given[1], which, INDEX)
    return slow(self, args, count, names)


cdef bint read_place(PyObject **given, tuple params, PyObject *const *args, Py_ssize_t count, PyObject *names) noexcept:
    """The parameter, the axis and out of a direct call, by position or by keyword; False where there is anything else."""
    cdef Py_ssize_t i
    cdef int k
    if count < 2 or count > 4:
        return False
    given[0], given[1], given[2] = args[2] if count > 2 else NULL, args[3] if count > 3 else NULL, NONE
    for i in range(0 if names is NULL else PyTuple_GET_SIZE(names)):
        k = 0 if PyTuple_GET_ITEM(names, i) == <PyObject *>params[0] else 1 if PyTuple_GET_ITEM(names, i) == AXIS else 2
        if (k == 2 and PyTuple_GET_ITEM(names, i) != OUT) or (k < 2 and given[k] is not NULL):
            return False
        given[k] = args[count + i]
    return True


cdef object direct_place(object callable, PyObject *const *args, size_t nargsf, PyObject *names):
    """The same for the gradient."""
    cdef PickFunction self = <PickFunction>callable
    cdef Py_ssize_t count = PyVectorcall_NARGS(nargsf), axis, pieces
    cdef PyObject *given[3]     # pieces, axis, out
    cdef cnp.ndarray grad, which
    cdef bint narrow
    if not read_place(given, self.param_names, args, count, names):
        return slow(self, args, count, names)
    grad = widened(args[0])
    if grad is None:
        return slow(self, args, count, names)
    axis = read_axis(given[1], self.default_axis, cnp.PyArray_NDIM(grad) + 1)
    if axis < 0 or given[0] is NULL or not PyLong_CheckExact(given[0]) or not is_ready(<object>args[1], INDEX):
        return slow(self, args, count, names)
    which, pieces = <cnp.ndarray>args[1], PyNumber_AsSsize_t(given[0], NULL)
    if not 0 < pieces < PY_SSIZE_T_MAX or not cnp.PyArray_SAMESHAPE(grad, which):
        return slow(self, args, count, names)
    narrow = <PyObject *>grad != args[0]
    result = self.place(grad, which, pieces, <int>axis, NONE if narrow else given[2])
    if narrow and result is not None:
        dtype = (<cnp.ndarray>args[0]).dtype
        result = delivered(given[2], result, dtype) if fits(given[2], result, dtype) else None
    return slow(self, args, count, names) if result is None else result


call_directly(PickFunction)
