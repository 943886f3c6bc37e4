# cython: language_level=3, cdivision=True
"""Losses of rows against class labels or dense weights (cross-entropy): labels are checked here, since they become indices."""

from libc.string cimport memset

cimport numpy as cnp

from fastact.engine.blocks cimport DOUBLE, SINGLE, add_up, itemsize
from fastact.engine.calls cimport computing, inherit_doc, is_ready, put, ready
from fastact.engine.checks cimport check_dtype, check_reduction, gradient_target, only_known, whole_number
from fastact.engine.function cimport Function
from fastact.engine.rows cimport COLUMNS, LINE, ROWS, TOGETHER, RowCall, pack, place, unpack
from fastact.engine.threads cimport run_spans

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

cnp.import_array()

ctypedef void (*loss_kernel)(double *values, void *grad, void *x, void *t, Py_ssize_t *labels, double *at_label, double z_loss,
                             double scale, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride) noexcept nogil

cdef enum:
    TOGETHER_AT_MOST = 256      # rows that a kernel takes side by side, or one after another ...
    SHORT_ENOUGH = 256          # ... of so many elements: a longer row that is to be ignored is worth leaving out
    BESIDE = 16                 # fewer rows side by side are copied to be whole

cdef struct RowLossCall:
    RowCall rows                # gradient, predictions, dense weights
    loss_kernel kernel
    bint wants_gradient
    bint weighted               # there are dense weights
    bint packed                 # rows are brought side by side on the stack
    Py_ssize_t *labels          # or NULL
    double *class_weights       # of the labels, or NULL for 1
    double kept                 # the share of the target that smoothing leaves at the label
    double *values
    double z_loss
    double scale


cdef void clear_ignored(RowLossCall *call, Py_ssize_t row, Py_ssize_t width, char *grad, Py_ssize_t stride) noexcept nogil:
    """Rows whose label is to be ignored cost nothing and have no gradient."""
    cdef Py_ssize_t size = itemsize(call.rows.dtype), n = call.rows.n if grad is not NULL else 0, i, j
    for j in range(width):
        if call.labels[row + j] < 0:
            call.values[row + j] = 0
            if stride == 1 and n:
                memset(grad + j * n * size, 0, n * size)
            for i in range(n if stride > 1 else 0):
                memset(grad + (i * stride + j) * size, 0, size)


cdef void compute_rows(RowLossCall *call, Py_ssize_t row, Py_ssize_t width, void *grad, void *x, void *t, Py_ssize_t stride) noexcept nogil:
    """Rows that the kernel can take at once; ignored labels are 0 for it."""
    cdef double at_label[TOGETHER_AT_MOST]
    cdef Py_ssize_t labels[TOGETHER_AT_MOST]
    cdef Py_ssize_t j
    cdef bint ignored = False
    if call.labels is NULL:
        call.kernel(call.values + row, grad, x, t, NULL, NULL, call.z_loss, call.scale, call.rows.n, width, stride)
        return
    for j in range(width):
        ignored = ignored or call.labels[row + j] < 0
        labels[j] = call.labels[row + j] if call.labels[row + j] > 0 else 0
        at_label[j] = call.kept * (call.class_weights[labels[j]] if call.class_weights is not NULL else 1)
    if width > 1 or not ignored:
        call.kernel(call.values + row, grad, x, t, labels, at_label, call.z_loss, call.scale, call.rows.n, width, stride)
    if ignored:
        clear_ignored(call, row, width, <char *>grad, stride)


cdef void packed_losses(RowLossCall *call, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Short rows: side by side on the stack, where the gradient takes the place of the predictions."""
    cdef double x[LINE * TOGETHER]
    cdef double t[LINE * TOGETHER]
    cdef Py_ssize_t width
    while start < stop:
        width = TOGETHER if stop - start > TOGETHER else stop - start
        pack(x, &call.rows, 1, start, width)
        if call.weighted:
            pack(t, &call.rows, 2, start, width)
        compute_rows(call, start, width, x if call.wants_gradient else NULL, x, t if call.weighted else NULL, TOGETHER)
        if call.wants_gradient:
            unpack(x, &call.rows, start, width)
        start += width


cdef void row_loss_span(void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef RowLossCall *call = <RowLossCall *>context
    cdef Py_ssize_t width = 1
    if call.packed:
        packed_losses(call, start, stop)
        return
    while start < stop:
        if call.rows.stride > 1 or (call.rows.n <= SHORT_ENOUGH and (call.rows.outer[2] or not call.weighted)):
            width = call.rows.inner_count - start % call.rows.inner_count if call.rows.stride > 1 else stop - start
            width = width if width < stop - start else stop - start
            width = width if width < TOGETHER_AT_MOST else TOGETHER_AT_MOST
        compute_rows(call, start, width, place(&call.rows, 0, start) if call.wants_gradient else NULL, place(&call.rows, 1, start),
                     place(&call.rows, 2, start) if call.weighted else NULL, call.rows.stride)
        start += width


cdef class RowLossFunction(Function):
    """A loss with one value a row; rows along `axis`, targets as class labels or as dense weights."""

    cdef int check_options(self, tuple args, dict kwargs, object label_smoothing, object z_loss, object reduction, object out) except -1:
        """Refuse what is wrong whatever the arrays are."""
        if len(args) != 2:
            raise TypeError(f"{self.__name__}() takes pred and target by position, the rest by keyword; {len(args)} were given")
        only_known(self.__name__, kwargs, ("axis", "weight", "ignore_index", "label_smoothing", "z_loss", "reduction", "out"))
        if out is not None and not self.op.is_backward:
            raise TypeError(f"{self.__name__}() takes no out; {self.__name__}_value_and_grad(..., out=) writes the gradient there")
        check_reduction(self.__name__, reduction)
        for option, value in (("label_smoothing", label_smoothing), ("z_loss", z_loss)):
            if not isinstance(value, (int, float, np.integer, np.floating)):
                raise TypeError(f"{self.__name__}: {option}={value!r}; a real number is required")
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"{self.__name__}: label_smoothing={label_smoothing!r}; a number from 0 to 1 is required")
        if not 0 <= z_loss < float("inf"):
            raise ValueError(f"{self.__name__}: z_loss={z_loss!r}; a finite number >= 0 is required")
        return 0

    def __call__(self, *args, axis=-1, weight=None, ignore_index=-100, label_smoothing=0.0, z_loss=0.0, reduction="mean", out=None,
                 **kwargs):
        self.check_options(args, kwargs, label_smoothing, z_loss, reduction, out)
        pred, target = np.asarray(args[0]), np.asarray(args[1])
        dtype = check_dtype(self.__name__, "pred", pred)
        if pred.ndim == 0:
            raise ValueError(f"{self.__name__}: pred has no axis; at least the axis of classes is required")
        axis = normalize_axis_index(whole_number(self.__name__, "axis", axis), pred.ndim, self.__name__)
        classes = pred.shape[axis]
        if classes == 0:
            raise ValueError(f"{self.__name__}: pred has shape {pred.shape}, no class along axis {axis}; at least one is required")
        compute = computing(dtype)
        weight = self.class_weight(weight, classes)
        into = gradient_target(self.__name__, out, pred, dtype) if self.op.is_backward else None
        labels = dense = None
        if target.dtype.kind in "iu":
            labels, mass = self.labels(target, pred.shape, axis, whole_number(self.__name__, "ignore_index", ignore_index), weight)
            if label_smoothing:
                dense = np.ascontiguousarray((np.ones(classes) if weight is None else weight) * (label_smoothing / classes), compute)
        else:
            dense = self.dense(target, pred.shape, axis, weight, label_smoothing, compute)
            mass = float(pred.size // classes)
        scale = 1.0 if reduction != "mean" else (1 / mass if mass else 0.0)
        values = self.compute(pred, compute, labels, weight, 1 - label_smoothing, dense, into, axis, z_loss, scale)
        if reduction == "none":
            value = values.astype(compute).reshape(pred.shape[:axis] + pred.shape[axis + 1:])
            value = value if value.ndim else value[()]
        else:
            total = add_up(cnp.PyArray_DATA(<cnp.ndarray>values), cnp.PyArray_SIZE(<cnp.ndarray>values), DOUBLE)
            value = compute.type(total if reduction == "sum" else (total / mass if mass else np.nan))
        return value if into is None else (value, into)

    cdef object class_weight(self, object weight, Py_ssize_t classes):
        if weight is None:
            return None
        weight = np.asarray(weight)
        if weight.shape != (classes,):
            raise ValueError(f"{self.__name__}: weight has shape {weight.shape}; one number per class, ({classes},), is required")
        check_dtype(self.__name__, "weight", weight)
        return np.array(weight, np.float64, order="C")     # a copy: `out` may be the same memory

    cdef tuple labels(self, object target, tuple shape, int axis, Py_ssize_t ignore_index, object weight):
        """The labels, ignored ones as -1, and the sum of their weights; one look at each, before anything is written."""
        cdef Py_ssize_t classes = shape[axis], i, label
        cdef cnp.ndarray labels
        cdef Py_ssize_t *at
        cdef double *weights = <double *>cnp.PyArray_DATA(<cnp.ndarray>weight) if weight is not None else NULL
        cdef double mass = 0
        expected = shape[:axis] + shape[axis + 1:]
        if target.shape != expected:
            raise ValueError(f"{self.__name__}: target has dtype {target.dtype} and shape {target.shape}; labels of shape {expected}, "
                             f"that of pred without axis {axis}, or floating targets of shape {shape} are required")
        if target.dtype.kind == "u" and target.size and target.max() >= classes and target.max() != ignore_index:
            raise self.bad_label(target.max(), classes, ignore_index)   # before a conversion could wrap it around
        labels = np.array(target, np.intp, order="C")
        at = <Py_ssize_t *>cnp.PyArray_DATA(labels)
        for i in range(cnp.PyArray_SIZE(labels)):
            label = at[i]
            if label == ignore_index:
                at[i] = -1
            elif 0 <= label < classes:
                mass += weights[label] if weights is not NULL else 1
            else:
                raise self.bad_label(label, classes, ignore_index)
        return labels, mass

    cdef object bad_label(self, object label, Py_ssize_t classes, Py_ssize_t ignore_index):
        return ValueError(f"{self.__name__}: target holds label {label}; labels 0 to {classes - 1}, or ignore_index={ignore_index}, "
                          "are required")

    cdef object dense(self, object target, tuple shape, int axis, object weight, double smoothing, object compute):
        """Dense target weights as contiguous rows, smoothed and weighted."""
        check_dtype(self.__name__, "target", target)
        if target.dtype.kind in "iub" or target.shape != shape:
            raise ValueError(f"{self.__name__}: target has dtype {target.dtype} and shape {target.shape}; floating weights of shape "
                             f"{shape}, or integer labels of that shape without axis {axis}, are required")
        if smoothing:
            target = target.astype(compute, copy=False) * (1 - smoothing) + smoothing / shape[axis]
        if weight is not None:
            target = target.astype(compute, copy=False) * weight.reshape([-1 if k == axis else 1 for k in range(len(shape))])
        return target

    cdef tuple laid_out(self, object pred, object dtype, object dense, object into, int axis, bint whole, bint broadcast):
        """The predictions and the dense weights as the kernels read them, as whole rows or as they stand, and where the gradient goes."""
        if whole and axis != pred.ndim - 1:
            pred = np.moveaxis(pred, axis, -1)
            into = np.moveaxis(into, axis, -1) if into is not None else None
            dense = np.moveaxis(dense, axis, -1) if dense is not None and not broadcast else dense
        return ready(pred, dtype), ready(dense, dtype) if dense is not None else None, into

    cdef object compute(self, object pred, object dtype, cnp.ndarray labels, cnp.ndarray weight, double kept, object dense, object into,
                        int axis, double z_loss, double scale):
        """Run the kernel on rows side by side, where the axis of classes is an inner one, or on whole rows; gives the values in double."""
        cdef RowLossCall call
        cdef Py_ssize_t classes = pred.shape[axis], inner = math.prod(pred.shape[axis + 1:])
        cdef cnp.ndarray values = np.empty(pred.size // classes)
        cdef bint broadcast = dense is not None and labels is not None      # the same weights for all rows
        cdef bint beside = inner >= BESIDE and not broadcast and is_ready(pred, dtype)
        cdef cnp.ndarray rows, weights, work = None
        inner = inner if beside else 1
        rows, weights, into = self.laid_out(pred, dtype, dense, into, axis, not beside, broadcast)
        if into is not None:
            work = into if usable(into, rows, weights) else np.empty_like(rows)
        lay_out(&call.rows, DOUBLE if dtype == np.float64 else SINGLE, classes, inner)
        call.rows.stride = inner
        call.packed = not beside and classes < LINE and values.shape[0] > 1
        call.kernel = <loss_kernel>self.kernel(call.rows.dtype, COLUMNS if beside or call.packed else ROWS)
        call.rows.data = [NULL, <char *>cnp.PyArray_DATA(rows), NULL, NULL]
        if work is not None:
            call.rows.data[0] = <char *>cnp.PyArray_DATA(work)
        if weights is not None:
            call.rows.data[2] = <char *>cnp.PyArray_DATA(weights)
        if broadcast:
            call.rows.outer[2] = 0
        call.wants_gradient = work is not None
        call.weighted = weights is not None
        call.labels = <Py_ssize_t *>cnp.PyArray_DATA(labels) if labels is not None else NULL
        call.class_weights = <double *>cnp.PyArray_DATA(weight) if weight is not None else NULL
        call.kept = kept
        call.values = <double *>cnp.PyArray_DATA(values)
        call.z_loss = z_loss
        call.scale = scale
        with nogil:
            run_spans(row_loss_span, &call, values.shape[0], TOGETHER if beside or classes < LINE else 1,
                      values.shape[0] * classes * self.cost * (2 if call.rows.dtype == DOUBLE else 1))
        if work is not None and work is not into:
            put(into, work)       # a gradient too small or large for half precision is rounded, silently
        return values


cdef int lay_out(RowCall *call, int dtype, Py_ssize_t n, Py_ssize_t inner) noexcept:
    """Describe rows of C-contiguous arrays, the same for all three."""
    cdef Py_ssize_t size = itemsize(dtype)
    cdef int k
    call.dtype = dtype
    call.operands = 3
    call.n = n
    call.inner_count = inner
    for k in range(4):
        call.has_core[k] = True
        call.core[k] = inner * size
        call.inner[k] = size
        call.outer[k] = n * inner * size
    return 0


cdef bint usable(object out, cnp.ndarray rows, cnp.ndarray weights) except -1:
    """Whether the gradient can be written where it is wanted while predictions and weights are still being read."""
    if not is_ready(out, rows.dtype):
        return False
    if out is not rows and np.may_share_memory(out, rows) and cnp.PyArray_DATA(<cnp.ndarray>out) != cnp.PyArray_DATA(rows):
        return False
    return weights is None or not np.may_share_memory(out, weights)


inherit_doc(RowLossFunction)
