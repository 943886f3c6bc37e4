# cython: language_level=3, cdivision=True
"""Losses of rows against class labels or dense weights (cross-entropy): labels are checked here, since they become indices."""

cimport numpy as cnp

from fastact.engine.blocks cimport DOUBLE, SINGLE
from fastact.engine.calls cimport inherit_doc, only_known, ready
from fastact.engine.function cimport Function
from fastact.engine.threads cimport run_spans

import operator

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from fastact.engine.losses import check_dtype, check_reduction, gradient_target

cnp.import_array()

ctypedef double (*single_kernel)(float *grad, float *x, float *t, Py_ssize_t label, float at_label, float z_loss, float scale,
                                 Py_ssize_t n) noexcept nogil
ctypedef double (*double_kernel)(double *grad, double *x, double *t, Py_ssize_t label, double at_label, double z_loss, double scale,
                                 Py_ssize_t n) noexcept nogil

cdef struct RowLossCall:
    void *kernel
    bint wide                   # double
    char *grad                  # or NULL
    char *x
    char *weights               # dense weights, a row each, or one row for all, or NULL
    Py_ssize_t weight_step
    Py_ssize_t *labels          # or NULL
    double *class_weights       # of the labels, or NULL for 1
    double kept                 # the share of the target that smoothing leaves at the label
    double *values
    double z_loss
    double scale
    Py_ssize_t n


cdef void row_loss_span(void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef RowLossCall *call = <RowLossCall *>context
    cdef Py_ssize_t size = 8 if call.wide else 4, row, label, i
    cdef double at_label
    cdef char *grad
    cdef char *x
    cdef char *t
    for row in range(start, stop):
        grad = call.grad + row * call.n * size if call.grad is not NULL else NULL
        x = call.x + row * call.n * size
        t = call.weights + row * call.weight_step if call.weights is not NULL else NULL
        label = call.labels[row] if call.labels is not NULL else -1
        at_label = call.kept * (call.class_weights[label] if call.class_weights is not NULL and label >= 0 else 1)
        if call.labels is not NULL and label < 0:   # ignored
            call.values[row] = 0
            for i in range(call.n * size if grad is not NULL else 0):
                grad[i] = 0
        elif call.wide:
            call.values[row] = (<double_kernel>call.kernel)(<double *>grad, <double *>x, <double *>t, label, at_label, call.z_loss,
                                                            call.scale, call.n)
        else:
            call.values[row] = (<single_kernel>call.kernel)(<float *>grad, <float *>x, <float *>t, label, <float>at_label,
                                                            <float>call.z_loss, <float>call.scale, call.n)


cdef class RowLossFunction(Function):
    """A loss with one value a row; rows along `axis`, targets as class labels or as dense weights."""

    def __call__(self, *args, axis=-1, weight=None, ignore_index=-100, label_smoothing=0.0, z_loss=0.0, reduction="mean", out=None,
                 **kwargs):
        if len(args) != 2:
            raise TypeError(f"{self.__name__}() takes pred and target by position, the rest by keyword; {len(args)} were given")
        only_known(self.__name__, kwargs, ("axis", "weight", "ignore_index", "label_smoothing", "z_loss", "reduction", "out"))
        if out is not None and not self.op.is_backward:
            raise TypeError(f"{self.__name__}() takes no out; {self.__name__}_value_and_grad(..., out=) writes the gradient there")
        check_reduction(self.__name__, reduction)
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"{self.__name__}: label_smoothing={label_smoothing!r}; a number from 0 to 1 is required")
        if not 0 <= z_loss < float("inf"):
            raise ValueError(f"{self.__name__}: z_loss={z_loss!r}; a finite number >= 0 is required")
        pred, target = np.asarray(args[0]), np.asarray(args[1])
        dtype = check_dtype(self.__name__, "pred", pred)
        if pred.ndim == 0:
            raise ValueError(f"{self.__name__}: pred has no axis; at least the axis of classes is required")
        axis = normalize_axis_index(operator.index(axis), pred.ndim, "axis")
        classes = pred.shape[axis]
        if classes == 0:
            raise ValueError(f"{self.__name__}: pred has shape {pred.shape}, no class along axis {axis}; at least one is required")
        compute = np.dtype(np.float64 if dtype == np.float64 else np.float32)
        weight = self.class_weight(weight, classes)
        into = gradient_target(self.__name__, out, pred, dtype) if self.op.is_backward else None
        rows = np.require(np.moveaxis(pred, axis, -1), compute, "CAE")
        if target.dtype.kind in "iu":
            labels, mass = self.labels(target, pred.shape, axis, operator.index(ignore_index), weight)
            dense = None
            if label_smoothing:
                dense = np.ascontiguousarray((np.ones(classes) if weight is None else weight) * (label_smoothing / classes), compute)
        else:
            labels = None
            dense = self.dense(target, pred.shape, axis, weight, label_smoothing, compute)
            mass = float(rows.size // classes)
        scale = 1.0 if reduction != "mean" else (1 / mass if mass else 0.0)
        values = self.compute(rows, labels, weight, 1 - label_smoothing, dense, into, axis, z_loss, scale)
        if reduction == "none":
            value = values.astype(compute).reshape(rows.shape[:-1])
            value = value if value.ndim else value[()]
        else:
            total = values.sum()
            value = compute.type(total if reduction == "sum" else (total / mass if mass else np.nan))
        return value if into is None else (value, into)

    cdef object class_weight(self, object weight, Py_ssize_t classes):
        if weight is None:
            return None
        weight = np.asarray(weight)
        if weight.shape != (classes,):
            raise ValueError(f"{self.__name__}: weight has shape {weight.shape}; one number per class, ({classes},), is required")
        check_dtype(self.__name__, "weight", weight)
        return np.ascontiguousarray(weight, np.float64)

    cdef tuple labels(self, object target, tuple shape, int axis, Py_ssize_t ignore_index, object weight):
        """The labels, ignored ones as -1, and the sum of their weights; one look at each, before anything is written."""
        cdef Py_ssize_t classes = shape[axis], i, label
        cdef cnp.ndarray labels
        cdef Py_ssize_t *at
        cdef double *weights = <double *>cnp.PyArray_DATA(<cnp.ndarray>weight) if weight is not None else NULL
        cdef double mass = 0
        expected = shape[:axis] + shape[axis + 1:]
        if target.shape != expected:
            raise ValueError(f"{self.__name__}: target has shape {target.shape}; labels of shape {expected}, that of pred without axis "
                             f"{axis}, or dense floating targets of shape {shape} are required")
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
        if target.dtype.kind != "f" or target.shape != shape:
            raise ValueError(f"{self.__name__}: target has dtype {target.dtype} and shape {target.shape}; floating weights of shape "
                             f"{shape}, or integer labels of that shape without axis {axis}, are required")
        target = np.moveaxis(target, axis, -1).astype(compute, copy=False)
        if smoothing:
            target = target * (1 - smoothing) + smoothing / shape[axis]
        if weight is not None:
            target = target * weight
        return ready(target, compute)

    cdef object compute(self, cnp.ndarray rows, cnp.ndarray labels, cnp.ndarray weight, double kept, cnp.ndarray dense, object into,
                        int axis, double z_loss, double scale):
        """Run the kernel row by row; gives the values in double, and writes the gradient."""
        cdef RowLossCall call
        cdef Py_ssize_t classes = rows.shape[rows.ndim - 1]
        cdef cnp.ndarray values = np.empty(cnp.PyArray_SIZE(rows) // classes)
        cdef cnp.ndarray work = None
        call.wide = rows.dtype == np.float64
        call.kernel = self.kernel(DOUBLE if call.wide else SINGLE)
        call.x = <char *>cnp.PyArray_DATA(rows)
        call.weights = <char *>cnp.PyArray_DATA(dense) if dense is not None else NULL
        call.weight_step = classes * rows.dtype.itemsize if dense is not None and labels is None else 0
        call.labels = <Py_ssize_t *>cnp.PyArray_DATA(labels) if labels is not None else NULL
        call.class_weights = <double *>cnp.PyArray_DATA(weight) if weight is not None else NULL
        call.kept = kept
        call.values = <double *>cnp.PyArray_DATA(values)
        call.z_loss = z_loss
        call.scale = scale
        call.n = classes
        call.grad = NULL
        if into is not None:
            direct = (into.dtype == rows.dtype and into.flags.carray and axis == rows.ndim - 1
                      and (not np.may_share_memory(into, rows) or cnp.PyArray_DATA(into) == cnp.PyArray_DATA(rows))
                      and (dense is None or not np.may_share_memory(into, dense)))
            work = into if direct else np.empty_like(rows)
            call.grad = <char *>cnp.PyArray_DATA(work)
        with nogil:
            run_spans(row_loss_span, &call, values.shape[0], 1, values.shape[0] * classes * self.cost)
        if into is not None and work is not into:
            with np.errstate(all="ignore"):     # a gradient too small or large for half precision is rounded, silently
                np.copyto(np.moveaxis(into, axis, -1), work, casting="same_kind")
        return values


inherit_doc(RowLossFunction)
