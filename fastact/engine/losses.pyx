# cython: language_level=3, cdivision=True
"""Elementwise losses: value kernels summed in double in fixed chunks, gradient kernels written in the same pass over memory."""

from libc.stdlib cimport free, malloc

cimport numpy as cnp

from fastact.engine.blocks cimport DOUBLE, MAX_PARAMS, MapCall, itemsize, map_kernel, run_map, sum_map
from fastact.engine.calls cimport computing, dtype_number, inherit_doc, ready
from fastact.engine.checks cimport check_dtype, check_reduction, gradient_target, only_known
from fastact.engine.function cimport Function
from fastact.engine.threads cimport run_spans

import numpy as np

cnp.import_array()

cdef enum:
    CHUNK = 8192    # elements between partial sums: value and gradient both find them in cache, and threads split here


cdef struct LossCall:
    MapCall value
    MapCall gradient
    bint wants_gradient
    double *parts           # one partial sum a chunk
    Py_ssize_t n


cdef void loss_span(void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Chunks start..stop: each one's value first, since the gradient may be written over the predictions."""
    cdef LossCall *call = <LossCall *>context
    cdef MapCall gradient = call.gradient
    cdef Py_ssize_t chunk, first, last, size = itemsize(call.value.dtype)
    cdef int k
    for chunk in range(start, stop):
        first = chunk * CHUNK
        last = call.n if call.n - first < CHUNK else first + CHUNK
        if call.parts is not NULL:
            call.parts[chunk] = sum_map(&call.value, first, last)
        if call.wants_gradient:
            for k in range(3):
                gradient.data[k] = call.gradient.data[k] + first * size
            run_map(&gradient, last - first, 0)


cdef class LossFunction(Function):
    """An elementwise loss: ``loss(pred, target)`` or, for the gradient's op, ``loss_value_and_grad(pred, target)``."""

    cdef map_kernel value_kernel(self, int dtype) except NULL:
        op = self.op.forward or self.op
        return <map_kernel><void *><size_t>self._kernels(op, op.roles[0], "float64" if dtype == DOUBLE else "float32")

    def __call__(self, *args, reduction="mean", out=None, **kwargs):
        cdef double values[MAX_PARAMS]
        if len(args) != 2:
            raise TypeError(f"{self.__name__}() takes pred and target by position, the rest by keyword; {len(args)} were given")
        params = self.bind(args, kwargs)
        only_known(self.__name__, kwargs, (*self.param_names, "reduction", *(["out"] if self.op.is_backward else [])))
        if out is not None and not self.op.is_backward:
            raise TypeError(f"{self.__name__}() takes no out; {self.__name__}_value_and_grad(..., out=) writes the gradient there")
        check_reduction(self.__name__, reduction)
        if not self.numbers(params, values):
            raise TypeError(f"{self.__name__}: parameters must be numbers, not arrays")
        pred, target = np.asarray(args[0]), np.asarray(args[1])
        dtype = check_dtype(self.__name__, "pred", pred)
        check_dtype(self.__name__, "target", target)
        if pred.shape != target.shape:
            raise ValueError(f"{self.__name__}: pred has shape {pred.shape} and target {target.shape}; equal shapes are required")
        into = gradient_target(self.__name__, out, pred, dtype) if self.op.is_backward else None
        return self.compute(ready(pred, dtype), ready(target, dtype), into, reduction, values)

    cdef object compute(self, cnp.ndarray pred, cnp.ndarray target, object out, str reduction, double *params):
        """Run the kernels on contiguous arrays; the gradient goes through a copy where `out` is not contiguous or overlaps in part."""
        cdef LossCall call
        cdef Py_ssize_t n = cnp.PyArray_SIZE(pred)
        cdef int dtype = dtype_number(pred.dtype)
        cdef cnp.ndarray work = None
        describe(&call.value, dtype, pred, target, params)
        call.n = n
        call.value.kernel = self.value_kernel(dtype)
        call.wants_gradient = out is not None
        value = self.each(pred, target, params) if reduction == "none" else None
        if call.wants_gradient:
            work = out if usable(out, pred, target) else np.empty(np.shape(pred), pred.dtype)
            describe(&call.gradient, dtype, pred, target, params)
            call.gradient.kernel = <map_kernel>self.kernel(dtype)
            call.gradient.params[self.params] = 1.0 / n if reduction == "mean" and n else 1.0
            call.gradient.data[0] = <char *>cnp.PyArray_DATA(work)
        total = self.reduce(&call, value is None)
        if value is None:
            value = total / n if reduction == "mean" and n else (np.nan if reduction == "mean" else total)
            value = (np.float64 if dtype == DOUBLE else np.float32)(value)
        if not call.wants_gradient:
            return value
        if work is not out:
            np.copyto(out, work)
        return value, out

    cdef object each(self, cnp.ndarray pred, cnp.ndarray target, double *params):
        """The loss of every element, in the type it is computed in."""
        cdef MapCall call
        cdef cnp.ndarray value = np.empty(np.shape(pred), computing(pred.dtype))
        cdef int dtype = dtype_number(value.dtype)
        pred, target = ready(pred, value.dtype), ready(target, value.dtype)
        describe(&call, dtype, pred, target, params)
        call.kernel = self.value_kernel(dtype)
        call.data[0] = <char *>cnp.PyArray_DATA(value)
        with nogil:
            run_map(&call, cnp.PyArray_SIZE(pred), self.cost * (2 if dtype == DOUBLE else 1))
        return value

    cdef double reduce(self, LossCall *call, bint wants_value) except *:
        """Go over the chunks; the sum of the values, in the chunks' order whatever the number of threads."""
        cdef Py_ssize_t chunks = (call.n + CHUNK - 1) // CHUNK, k
        cdef double total = 0
        call.parts = <double *>malloc((chunks + 1) * sizeof(double)) if wants_value else NULL
        if wants_value and call.parts is NULL:
            raise MemoryError(f"{self.__name__}: no memory for partial sums")
        if not wants_value and not call.wants_gradient:
            return 0
        with nogil:
            run_spans(loss_span, call, chunks, 1, call.n * self.cost * (2 if call.value.dtype == DOUBLE else 1))
        if wants_value:
            for k in range(chunks):
                total += call.parts[k]
            free(call.parts)
        return total


cdef int describe(MapCall *call, int dtype, cnp.ndarray pred, cnp.ndarray target, double *params) except -1:
    """An elementwise call on two contiguous arrays."""
    cdef int k
    call.dtype = dtype
    call.inputs = 2
    call.data[0] = NULL
    call.data[1] = <char *>cnp.PyArray_DATA(pred)
    call.data[2] = <char *>cnp.PyArray_DATA(target)
    call.data[3] = NULL
    for k in range(4):
        call.steps[k] = itemsize(dtype)
    for k in range(MAX_PARAMS):
        call.params[k] = params[k]
    return 0


cdef bint usable(object out, cnp.ndarray pred, cnp.ndarray target):
    """Whether the gradient can be written where it is wanted while the inputs are still being read."""
    if not out.flags.c_contiguous or not out.flags.aligned:
        return False
    for array in (pred, target):
        if np.may_share_memory(out, array) and cnp.PyArray_DATA(out) != cnp.PyArray_DATA(array):
            return False
    return True


inherit_doc(LossFunction)
