# cython: language_level=3, cdivision=True
"""Elementwise functions with a weight per channel, and that weight's gradient."""

from cpython.object cimport PyObject

cimport numpy as cnp
from cython cimport floating

from fastact.engine.blocks cimport DOUBLE, SINGLE, add_up, at_line, gather, itemsize, map_kernel, scatter
from fastact.engine.calls cimport (
    Options, PyVectorcall_NARGS, alike, computing, disjoint, foreign, output, put, read_axis, read_options, ready, rounded, slow, tidy,
    tidy_dtype,
)
from fastact.engine.checks cimport check_dtype, check_out, only_known, whole_number
from fastact.engine.function cimport Function, call_directly
from fastact.engine.threads cimport GRAIN, KEEP_GIL, run_spans
from fastact.engine.ufuncs cimport UFUNC_OPTIONS, casts, dtype_of, make_ufunc

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

cnp.import_array()

cdef enum:
    PIECE = 512     # elements computed at a time, with a weight for each
    LINES = 1024    # elements of a gradient computed at a time, where channels stand side by side ...
    WIDE = 256      # ... of so many of them at most
    WEIGHT = 1      # the number of the role of a second kernel


cdef struct ChannelCall:
    map_kernel kernel
    map_kernel terms            # of the gradient of the weight
    int dtype                   # that the kernel computes in
    int stored                  # of the arrays: half precision, or the same
    bint single                 # there is but one weight
    char *out
    char *grad
    char *x
    char *weight
    double *sums                # of the terms of each channel
    Py_ssize_t n
    Py_ssize_t channels
    Py_ssize_t inner            # elements of a channel that follow one another


cdef class ChannelFunction(Function):
    """An elementwise function with a learned weight: one number, or one per channel along `axis`."""

    cdef readonly object ufunc
    cdef Py_ssize_t default_axis

    def __init__(self, op, name, namespace=None):
        super().__init__(op, name, namespace)
        self.call = direct_backward if op.is_backward else direct
        self.default_axis = op.options["axis"]
        self.ufunc = make_ufunc(self)

    def __call__(self, *args, **kwargs):
        """As declared in the function's signature; Python calls `direct` in its place."""
        return self.generic(args, kwargs)

    def generic(self, tuple args, dict kwargs):
        """Everything that is not a plain call: through the ufunc."""
        args, axis = take_axis(self, args, kwargs)
        only_known(self.__name__, kwargs, ("axis", *UFUNC_OPTIONS))
        check_out(self.__name__, kwargs.get("out"), None if foreign(args[:1]) else np.shape(args[0]))
        if not self.op.is_backward:
            x = args[0] if foreign(args[:1]) else np.asarray(args[0])
            weight = self.aligned(np.asarray(args[1]), x, axis)
            if not foreign((x,)):
                casts(self, self.ufunc, (x, weight), (x, weight), kwargs)
            with np.errstate(all="ignore"):     # casting may overflow
                return self.ufunc(x, weight, **kwargs)
        grad, x, weight = [np.asarray(a) for a in args]
        for name, array in zip(self.op.inputs, (grad, x, weight)):
            check_dtype(self.__name__, name, array)
        dtype = dtype_of(self, self.ufunc, "grad", grad, kwargs.get("dtype"))
        casts(self, self.ufunc, (grad, x, weight), (grad, x, weight), kwargs)
        if grad.shape != x.shape:
            raise ValueError(f"{self.__name__}: grad has shape {grad.shape} and x {x.shape}; equal shapes are required")
        aligned = self.aligned(weight, x, axis)
        inner = math.prod(x.shape[aligned.shape.index(aligned.size) + 1:]) if aligned.size > 1 else x.size
        sums = self.sums_of(ready(ready(grad, dtype), computing(dtype)), ready(ready(x, dtype), computing(dtype)), aligned.size, inner)
        dweight = narrowed(sums, dtype).reshape(weight.shape)
        with np.errstate(all="ignore"):
            return self.ufunc(grad, x, aligned, **kwargs), dweight

    cdef object aligned(self, object weight, object x, object axis):
        """The weight in a shape that broadcasts against `x` along the axis of channels."""
        axis = whole_number(self.__name__, "axis", axis)
        single = weight.size == 1 and weight.ndim <= 1
        if single and foreign((x,)):    # which may have no dimensions
            return weight.reshape(())
        axis = 0 if x.ndim < 2 and axis == self.default_axis else axis  # the default is the only axis where there is but one
        axis = normalize_axis_index(axis, max(x.ndim, 1), self.__name__)
        if single:
            return weight.reshape(())
        if x.ndim == 0:
            raise ValueError(f"{self.__name__}: weight has shape {weight.shape}, but x is a single number; one weight is required")
        if weight.shape != (x.shape[axis],):
            raise ValueError(f"{self.__name__}: weight has shape {weight.shape}; one number, or one per channel along axis {axis}, "
                             f"({x.shape[axis]},), is required")
        return weight.reshape([-1 if k == axis else 1 for k in range(x.ndim)])

    cdef object sums_of(self, cnp.ndarray grad, cnp.ndarray x, Py_ssize_t channels, Py_ssize_t inner):
        """The gradient of each weight, in double, from arrays as kernels need them."""
        cdef ChannelCall call
        call.dtype = DOUBLE if cnp.PyArray_TYPE(x) == cnp.NPY_DOUBLE else SINGLE
        call.out, call.channels, call.inner = NULL, channels, inner
        return self.gradient(&call, grad, x)

    cdef cnp.ndarray gradient(self, ChannelCall *call, cnp.ndarray grad, cnp.ndarray x):
        """The sums of the terms of each channel, in double; the gradient of x too, where `call` says where to."""
        cdef cnp.npy_intp count
        cdef cnp.ndarray sums
        cdef double work
        cdef double *total
        cdef Py_ssize_t k
        call.n = cnp.PyArray_SIZE(x)
        call.single = call.channels == 1
        if call.single:     # pieces, that threads can share, are summed apart, and their sums in turn
            call.channels, call.inner = (call.n + PIECE - 1) // PIECE, PIECE
        count = max(call.channels, 1) if call.single else call.channels
        sums = cnp.PyArray_ZEROS(1, &count, cnp.NPY_DOUBLE, 0)
        total = call.sums = <double *>cnp.PyArray_DATA(sums)
        call.grad, call.x = <char *>cnp.PyArray_DATA(grad), <char *>cnp.PyArray_DATA(x)
        call.kernel, call.terms = <map_kernel>self.kernel(call.dtype), <map_kernel>self.kernel(call.dtype, WEIGHT)
        work = call.n * self.cost * (2 if call.dtype == DOUBLE else 1)
        if call.n == 0:
            pass
        elif work < KEEP_GIL:
            gradient_span(call, 0, call.channels)
        else:
            with nogil:
                run_spans(gradient_span, call, call.channels, 16 if call.inner == 1 else 1, work)
        if not call.single:
            return sums
        for k in range(1, call.channels):
            total[0] += total[k]
        return sums[:1].copy()      # not a view, which would keep the sums of all pieces


cdef inline void repeat(floating *line, const floating *weight, Py_ssize_t channels, Py_ssize_t n) noexcept nogil:
    """The weights of n elements that follow one another."""
    cdef Py_ssize_t i, j
    for i from 0 <= i < n by channels:
        for j in range(channels):
            line[i + j] = weight[j]


cdef void channel_span(void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Elements start..stop, in pieces along which a line of weights holds: one channel's weight, or those of all channels in turn."""
    cdef ChannelCall *call = <ChannelCall *>context
    cdef Py_ssize_t size = itemsize(call.dtype), channel = -1, now = 0, left, n
    cdef Py_ssize_t period = call.channels if call.inner == 1 else 1, length = period, step = itemsize(call.stored), most = stop - start
    cdef double room[PIECE]
    cdef float space[PIECE + 16]
    cdef float *block = <float *>at_line(space)
    cdef char *line = call.weight
    cdef char *weights
    if period < PIECE:
        line = <char *>room
        length = PIECE // period * period if call.inner == 1 else min(PIECE, call.inner)
    if call.stored != call.dtype:
        most = PIECE
    while start < stop:
        left = length - start % length if call.inner == 1 else call.inner - start % call.inner
        now = 0 if call.inner == 1 else start // call.inner % call.channels
        if now != channel and line != call.weight:
            if call.dtype == DOUBLE:
                repeat(<double *>line, <double *>call.weight + now, period, length)
            else:
                repeat(<float *>line, <float *>call.weight + now, period, length)
            channel = now
        n = min(min(left, length), min(most, stop - start))
        weights = line + (start % length * size if call.inner == 1 else 0)
        if call.stored == call.dtype:
            call.kernel(call.out + start * size, call.x + start * size, weights, NULL, NULL, n)
        else:
            gather(block, call.x + start * step, step, n, call.stored)
            call.kernel(block, block, weights, NULL, NULL, n)
            scatter(call.out + start * step, step, block, n, call.stored)
        start += n


cdef inline void add_rows(double *total, const floating *terms, Py_ssize_t width, Py_ssize_t rows) noexcept nogil:
    """Add the terms of each channel to its sum, one after another; four rows at a time, so that a sum is fetched once for four."""
    cdef const floating *row = terms
    cdef Py_ssize_t i, _k
    for _k in range(rows // 4):
        for i in range(width):
            total[i] = (((total[i] + row[i]) + row[width + i]) + row[2 * width + i]) + row[3 * width + i]
        row += 4 * width
    for _k in range(rows % 4):
        for i in range(width):
            total[i] += row[i]
        row += width


cdef void gradient_columns(ChannelCall *call, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Channels first..last that stand side by side, some rows at a time: as one piece where they are all there are, and few."""
    cdef Py_ssize_t size = itemsize(call.dtype), step = call.channels, rows = call.n // step, row, c, k, at, width, count, length
    cdef bint whole = last - first == step and step <= WIDE
    cdef Py_ssize_t wide = min(last - first, WIDE), some = LINES // wide // 4 * 4
    cdef double room[LINES]
    cdef double block[LINES]
    cdef char *line = <char *>room
    if whole and call.out is not NULL:
        if call.dtype == DOUBLE:
            repeat(room, <double *>call.weight, step, min(some, rows) * step)
        else:
            repeat(<float *>room, <float *>call.weight, step, min(some, rows) * step)
    for row from 0 <= row < rows by some:
        count = min(some, rows - row)
        for c from first <= c < last by wide:
            width = min(wide, last - c)
            length = count * width if whole else width
            for k in range(1 if whole else count):
                at = ((row + k) * step + c) * size
                call.terms(<char *>block + k * width * size, call.grad + at, call.x + at, NULL, NULL, length)
            if call.dtype == DOUBLE:
                add_rows(call.sums + c, block, width, count)
            else:
                add_rows(call.sums + c, <float *>block, width, count)
            for k in range(0 if call.out is NULL else 1 if whole else count):
                at = ((row + k) * step + c) * size
                call.kernel(call.out + at, call.grad + at, call.x + at, line if whole else call.weight + c * size, NULL, length)


cdef inline void fill(floating *line, floating weight, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        line[i] = weight


cdef void gradient_runs(ChannelCall *call, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Elements start..stop, of which `inner` of a channel follow one another; sums are of pieces that end at multiples of 512."""
    cdef Py_ssize_t size = itemsize(call.dtype), count, i, run, channel, held = -1
    cdef double room[PIECE]
    cdef double block[PIECE]
    while start < stop:
        count = min(PIECE - start % PIECE, stop - start)
        call.terms(block, call.grad + start * size, call.x + start * size, NULL, NULL, count)
        i = 0
        while i < count:
            channel = (start + i) // call.inner
            run = min(count - i, (channel + 1) * call.inner - start - i)
            channel %= call.channels
            call.sums[channel] += add_up(<char *>block + i * size, run, call.dtype)
            channel = 0 if call.single else channel
            if call.out is not NULL and channel != held:
                if call.dtype == DOUBLE:
                    fill(room + i, (<double *>call.weight)[channel], run)
                else:
                    fill(<float *>room + i, (<float *>call.weight)[channel], run)
            held = channel if run == PIECE else -1
            i += run
        if call.out is not NULL:
            call.kernel(call.out + start * size, call.grad + start * size, call.x + start * size, room, NULL, count)
        start += count


cdef void gradient_span(void *context, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Channels first..last."""
    cdef ChannelCall *call = <ChannelCall *>context
    cdef Py_ssize_t start
    if call.inner == 1:
        gradient_columns(call, first, last)
        return
    if first == 0 and last == call.channels:    # all of them: runs of one block of channels and of the next share pieces
        gradient_runs(call, 0, call.n)
        return
    for start from 0 <= start < call.n by call.channels * call.inner:
        gradient_runs(call, start + first * call.inner, min(start + last * call.inner, call.n))


cdef cnp.ndarray narrowed(cnp.ndarray sums, object dtype):
    """Sums in double, rounded to the computing type and then to the dtype of the arrays."""
    cdef cnp.ndarray narrow
    cdef Py_ssize_t k
    if dtype.itemsize == 8:
        return sums
    narrow = cnp.PyArray_EMPTY(1, cnp.PyArray_DIMS(sums), cnp.NPY_FLOAT, 0)
    for k in range(cnp.PyArray_DIM(sums, 0)):
        (<float *>cnp.PyArray_DATA(narrow))[k] = <float>(<double *>cnp.PyArray_DATA(sums))[k]
    return rounded(narrow, dtype)


cdef cnp.ndarray read_channels(ChannelFunction self, ChannelCall *call, cnp.ndarray x, PyObject *given, PyObject *axis_given):
    """The weights in the computing type, and which belongs to which element of a tidy array; None where that is not for the direct path."""
    cdef Py_ssize_t axis
    cdef cnp.ndarray weight, wide
    cdef int k
    if not tidy(given):
        return None
    weight = <cnp.ndarray>given
    axis = read_axis(axis_given, self.default_axis if cnp.PyArray_NDIM(x) > 1 else 0, cnp.PyArray_NDIM(x))
    if cnp.PyArray_TYPE(x) != cnp.PyArray_TYPE(weight) or cnp.PyArray_NDIM(weight) != 1 or axis < 0:
        return None
    call.channels, call.inner = cnp.PyArray_DIM(weight, 0), 1
    if cnp.PyArray_SIZE(x) == 0 or (call.channels != 1 and call.channels != cnp.PyArray_DIM(x, <int>axis)):
        return None
    for k in range(<int>axis + 1, cnp.PyArray_NDIM(x) if call.channels > 1 else 0):
        call.inner *= cnp.PyArray_DIM(x, k)
    call.stored = tidy_dtype(<PyObject *>x, self.brain)
    call.dtype = call.stored if call.stored >= SINGLE else SINGLE
    wide = weight
    if call.stored != call.dtype:
        wide = cnp.PyArray_EMPTY(1, cnp.PyArray_DIMS(weight), cnp.NPY_FLOAT, 0)
        gather(cnp.PyArray_DATA(wide), cnp.PyArray_BYTES(weight), itemsize(call.stored), call.channels, call.stored)
    call.weight = <char *>cnp.PyArray_DATA(wide)
    return wide


cdef object direct(object callable, PyObject *const *args, size_t nargsf, PyObject *names):
    """Plain arrays of the forward pass go straight to the kernel; the rest takes the generic path, with the same bits."""
    cdef ChannelFunction self = <ChannelFunction>callable
    cdef Py_ssize_t count = PyVectorcall_NARGS(nargsf), n
    cdef Options options
    cdef ChannelCall call
    cdef cnp.ndarray x, out, weight
    if not read_options(&options, args, count, 2, names) or options.keepdims is not NULL or tidy_dtype(args[0], self.brain) < 0:
        return slow(self, args, count, names)
    x = <cnp.ndarray>args[0]
    weight = read_channels(self, &call, x, args[1], options.axis)
    if weight is None:
        return slow(self, args, count, names)
    n = cnp.PyArray_SIZE(x)
    out = output(options.out, args, 1)
    if out is None or not disjoint(out, <cnp.ndarray>args[1]):
        return slow(self, args, count, names)
    call.kernel = <map_kernel>self.kernel(call.dtype)
    call.out, call.x = <char *>cnp.PyArray_DATA(out), <char *>cnp.PyArray_DATA(x)
    if n * self.cost < KEEP_GIL:
        channel_span(&call, 0, n)
    else:
        with nogil:
            run_spans(channel_span, &call, n, GRAIN, n * self.cost * (2 if call.dtype == DOUBLE else 1))
    return out


cdef object direct_backward(object callable, PyObject *const *args, size_t nargsf, PyObject *names):
    """The same for the backward pass: both gradients while a piece of the arrays is in the nearest cache; half types in a copy."""
    cdef ChannelFunction self = <ChannelFunction>callable
    cdef Py_ssize_t count = PyVectorcall_NARGS(nargsf)
    cdef Options options
    cdef ChannelCall call
    cdef cnp.ndarray x, grad, out, weight, sums
    cdef object dtype
    if not read_options(&options, args, count, 3, names) or options.keepdims is not NULL or tidy_dtype(args[1], self.brain) < 0:
        return slow(self, args, count, names)
    x = <cnp.ndarray>args[1]
    weight = read_channels(self, &call, x, args[2], options.axis) if alike(args[0], x) else None
    if weight is None:
        return slow(self, args, count, names)
    out = output(options.out, args, 2)
    if out is None or not disjoint(out, <cnp.ndarray>args[2]):
        return slow(self, args, count, names)
    grad, dtype = <cnp.ndarray>args[0], x.dtype
    if call.stored == call.dtype:
        call.out = <char *>cnp.PyArray_DATA(out)
        return out, narrowed(self.gradient(&call, grad, x), dtype)
    grad = ready(grad, computing(dtype))        # a copy, which the gradient overwrites
    call.out = <char *>cnp.PyArray_DATA(grad)
    sums = self.gradient(&call, grad, ready(x, computing(dtype)))
    put(out, grad)
    return out, narrowed(sums, dtype)


def take_axis(Function self, tuple args, dict kwargs):
    """The arrays of a call, and its axis, given by position or by keyword."""
    by_position = "axis" not in kwargs and len(args) == self.arrays + self.params + 1
    axis = args[-1] if by_position else kwargs.pop("axis", self.op.options["axis"])
    args = args[:-1] if by_position else args
    self.bind(args, dict(kwargs))
    return args, axis


call_directly(ChannelFunction)
