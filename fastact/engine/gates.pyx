# cython: language_level=3, cdivision=True
"""Elementwise functions with a weight per channel, and that weight's gradient."""

from cpython.object cimport PyObject

cimport numpy as cnp
from cython cimport floating

from fastact.engine.blocks cimport DOUBLE, SINGLE, MapCall, add_up, itemsize, map_kernel, run_map
from fastact.engine.calls cimport (
    Options, PyVectorcall_NARGS, check_out, disjoint, foreign, inherit_doc, install_vectorcall, only_known, output, plain, read_axis,
    read_options, ready, slow, slow_call, vectorcall,
)
from fastact.engine.function cimport Function
from fastact.engine.threads cimport run_spans
from fastact.engine.ufuncs cimport make_ufunc

import math
import operator

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from fastact.engine.losses import check_dtype

cnp.import_array()

cdef enum:
    PIECE = 512     # elements computed at a time, with a weight for each
    KEEP_GIL = 2000     # nanoseconds of work below which giving up the interpreter lock costs more than it frees
    GRAIN = 1024    # threads split calls at multiples of this
cdef tuple OPTIONS = ("out", "where", "dtype", "casting", "order", "subok", "signature")


cdef inline void add_run(double *total, const floating *terms, Py_ssize_t n, bint apart) noexcept nogil:
    """Add terms that follow one another to one channel's sum, or to one channel each."""
    cdef Py_ssize_t i
    if not apart:
        total[0] += add_up(terms, n)
        return
    for i in range(n):
        total[i] += terms[i]


cdef class ChannelFunction(Function):
    """An elementwise function with a learned weight: one number, or one per channel along `axis`."""

    cdef vectorcall call
    cdef readonly object ufunc
    cdef Py_ssize_t default_axis

    def __init__(self, op, name, namespace=None):
        super().__init__(op, name, namespace)
        self.call = slow_call if op.is_backward else direct
        self.default_axis = op.options["axis"]
        self.ufunc = make_ufunc(self)

    def __call__(self, *args, **kwargs):
        """As declared in the function's signature; Python calls `direct` in its place."""
        return self.generic(args, kwargs)

    def generic(self, tuple args, dict kwargs):
        """Everything that is not a plain call: through the ufunc."""
        args, axis = take_axis(self, args, kwargs)
        only_known(self.__name__, kwargs, ("axis", *OPTIONS))
        check_out(self.__name__, kwargs.get("out"), [args[0]])
        if not self.op.is_backward:
            x = args[0] if foreign(args[:1]) else np.asarray(args[0])
            weight = self.aligned(np.asarray(args[1]), x, axis)
            if not foreign((x,)) and kwargs.get("dtype") is None:
                kwargs["dtype"] = check_dtype(self.__name__, "x", x)
            with np.errstate(all="ignore"):     # casting may overflow
                return self.ufunc(x, weight, **kwargs)
        grad, x, weight = [np.asarray(a) for a in args]
        dtype = [check_dtype(self.__name__, name, array) for name, array in zip(self.op.inputs, (grad, x, weight))][0]
        if grad.shape != x.shape:
            raise ValueError(f"{self.__name__}: grad has shape {grad.shape} and x {x.shape}; equal shapes are required")
        aligned = self.aligned(weight, x, axis)
        kwargs["dtype"] = dtype if kwargs.get("dtype") is None else kwargs["dtype"]
        inner = x.size if aligned.size == 1 else math.prod(x.shape[aligned.shape.index(aligned.size) + 1:])
        sums = self.weight_gradient(ready(grad, dtype), ready(x, dtype), aligned.size, inner)
        with np.errstate(all="ignore"):
            dweight = sums.astype(dtype).reshape(weight.shape)
            return self.ufunc(grad, x, aligned, **kwargs), dweight

    cdef object aligned(self, object weight, object x, object axis):
        """The weight in a shape that broadcasts against `x` along the axis of channels."""
        if weight.size == 1 and weight.ndim <= 1:
            return weight.reshape(())
        if x.ndim == 0:
            raise ValueError(f"{self.__name__}: weight has shape {weight.shape}, but x is a single number; one weight is required")
        axis = normalize_axis_index(operator.index(axis) if x.ndim > 1 else 0, x.ndim, "axis")
        if weight.shape != (x.shape[axis],):
            raise ValueError(f"{self.__name__}: weight has shape {weight.shape}; one number, or one per channel along axis {axis}, "
                             f"({x.shape[axis]},), is required")
        return weight.reshape([-1 if k == axis else 1 for k in range(x.ndim)])

    cdef object weight_gradient(self, cnp.ndarray grad, cnp.ndarray x, Py_ssize_t channels, Py_ssize_t inner):
        """The terms of each channel, computed in blocks and summed in double; `inner` elements of a channel follow one another."""
        cdef MapCall call
        cdef double block[PIECE]
        cdef cnp.ndarray sums = np.zeros(channels)
        cdef double *total = <double *>cnp.PyArray_DATA(sums)
        cdef Py_ssize_t size, start, i, run, count, left = inner, channel = 0
        if x.dtype == np.float16:
            grad, x = grad.astype(np.float32), x.astype(np.float32)
        call.dtype = DOUBLE if x.dtype == np.float64 else SINGLE
        call.kernel = <map_kernel>self.role("weight", call.dtype)
        call.inputs = 2
        size = itemsize(call.dtype)
        for start from 0 <= start < cnp.PyArray_SIZE(x) by PIECE:
            count = min(PIECE, cnp.PyArray_SIZE(x) - start)
            call.data = [<char *>block, <char *>cnp.PyArray_DATA(grad) + start * size, <char *>cnp.PyArray_DATA(x) + start * size, NULL]
            call.steps = [size, size, size, 0]
            run_map(&call, count, 0)
            i = 0
            while i < count:
                run = min(count - i, channels - channel if inner == 1 else left)
                if call.dtype == DOUBLE:
                    add_run(total + channel, <double *>block + i, run, inner == 1)
                else:
                    add_run(total + channel, <float *>block + i, run, inner == 1)
                i += run
                if inner == 1:
                    channel = (channel + run) % channels
                else:
                    left -= run
                    if left == 0:
                        left, channel = inner, (channel + 1) % channels
        return sums


cdef struct ChannelCall:
    map_kernel kernel
    int dtype
    char *out
    char *x
    char *weight
    Py_ssize_t channels
    Py_ssize_t inner            # elements of a channel that follow one another


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
    cdef Py_ssize_t period = call.channels if call.inner == 1 else 1, length = period
    cdef double room[PIECE]
    cdef char *line = call.weight
    if period < PIECE:
        line = <char *>room
        length = PIECE // period * period if call.inner == 1 else min(PIECE, call.inner)
    while start < stop:
        left = length - start % length if call.inner == 1 else call.inner - start % call.inner
        now = 0 if call.inner == 1 else start // call.inner % call.channels
        if now != channel and line != call.weight:
            if call.dtype == DOUBLE:
                repeat(<double *>line, <double *>call.weight + now, period, length)
            else:
                repeat(<float *>line, <float *>call.weight + now, period, length)
            channel = now
        n = min(min(left, length), stop - start)
        call.kernel(call.out + start * size, call.x + start * size, line + (start % length * size if call.inner == 1 else 0), NULL, NULL, n)
        start += n


cdef object direct(object callable, PyObject *const *args, size_t nargsf, PyObject *names):
    """Plain arrays of the forward pass go straight to the kernel; the rest takes the generic path, with the same bits."""
    cdef ChannelFunction self = <ChannelFunction>callable
    cdef Py_ssize_t count = PyVectorcall_NARGS(nargsf), axis, n
    cdef Options options
    cdef ChannelCall call
    cdef cnp.ndarray x, weight, out
    cdef int k
    if not read_options(&options, args, count, 2, names) or options.keepdims is not NULL:
        return slow(self, args, count, names)
    if not plain(args[0]) or not plain(args[1]):
        return slow(self, args, count, names)
    x, weight = <cnp.ndarray>args[0], <cnp.ndarray>args[1]
    axis = read_axis(options.axis, self.default_axis, cnp.PyArray_NDIM(x)) if cnp.PyArray_NDIM(x) > 1 else 0
    if cnp.PyArray_TYPE(x) != cnp.PyArray_TYPE(weight) or cnp.PyArray_NDIM(weight) != 1 or axis < 0:
        return slow(self, args, count, names)
    n = cnp.PyArray_SIZE(x)
    call.channels = cnp.PyArray_DIM(weight, 0)
    call.inner = 1
    if call.channels != 1 and call.channels != cnp.PyArray_DIM(x, <int>axis):
        return slow(self, args, count, names)
    for k in range(<int>axis + 1, cnp.PyArray_NDIM(x) if call.channels > 1 else 0):
        call.inner *= cnp.PyArray_DIM(x, k)
    out = output(options.out, args, 1)
    if out is None or n == 0 or not disjoint(out, weight):
        return slow(self, args, count, names)
    call.dtype = DOUBLE if cnp.PyArray_TYPE(x) == cnp.NPY_DOUBLE else SINGLE
    call.kernel = <map_kernel>self.kernel(call.dtype)
    call.out, call.x, call.weight = <char *>cnp.PyArray_DATA(out), <char *>cnp.PyArray_DATA(x), <char *>cnp.PyArray_DATA(weight)
    if n * self.cost < KEEP_GIL:
        channel_span(&call, 0, n)
    else:
        with nogil:
            run_spans(channel_span, &call, n, GRAIN, n * self.cost * (2 if call.dtype == DOUBLE else 1))
    return out


def take_axis(Function self, tuple args, dict kwargs):
    """The arrays of a call, and its axis, given by position or by keyword."""
    axis = kwargs.pop("axis", None)
    if len(args) == self.arrays + self.params + 1 and axis is None:
        axis = args[-1]
        args = args[:-1]
    self.bind(args, dict(kwargs))
    return args, self.op.options["axis"] if axis is None else axis


cdef ChannelFunction _probe = ChannelFunction.__new__(ChannelFunction, type("", (), {"params": (), "inputs": (), "cost": 0.0, "rules": ()}))
install_vectorcall(ChannelFunction, <char *>&_probe.call - <char *><PyObject *>_probe)
inherit_doc(ChannelFunction)
