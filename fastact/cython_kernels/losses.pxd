# cython: language_level=3, cdivision=True
"""Page losses: the scalar maths of the losses, per element: the value and its derivative by the prediction."""

from fastact.cython_kernels.activations cimport sigmoid, softplus_begin, softplus_end
from fastact.cython_kernels.primitives cimport real, softmax_exp


cdef inline real mse_loss(real pred, real target) noexcept nogil:
    cdef real d = pred - target
    return d * d

cdef inline real mse_loss_gradient(real pred, real target) noexcept nogil:
    cdef real d = pred - target
    return d + d


cdef inline real smooth_l1_loss(real pred, real target, real beta) noexcept nogil:
    cdef real d = pred - target
    cdef real a = -d if d < 0 else d
    return <real>0.5 * d * (d / beta) if a < beta else a - <real>0.5 * beta

cdef inline real smooth_l1_loss_gradient(real pred, real target, real beta) noexcept nogil:
    cdef real d = pred - target
    cdef real a = -d if d < 0 else d
    cdef real sign = <real>1 if d > 0 else (<real>-1 if d < 0 else d)
    return d / beta if a < beta else sign


cdef inline real hinge_loss(real pred, real target, real margin) noexcept nogil:
    cdef real gap = margin - target * pred
    return <real>0 if gap < 0 else gap

cdef inline real hinge_loss_gradient(real pred, real target, real margin) noexcept nogil:
    cdef real gap = margin - target * pred
    cdef real rest = gap if gap != gap else <real>0
    return -target if gap > 0 else rest


# |x| w + log1p(exp(-|x|)) with w the target's share of the other class: a sure and right prediction costs what is left, at both ends.
cdef inline void binary_cross_entropy_with_logits_begin(real pred, real target, real *u, real *v) noexcept nogil:
    softplus_begin(pred, <real>1, u, v)

cdef inline real binary_cross_entropy_with_logits_end(real pred, real target, real u, real v) noexcept nogil:
    cdef real size = -pred if pred < 0 else pred
    cdef real weight = <real>1 - target if pred > 0 else target
    cdef real cost = <real>0 if weight == 0 else size * weight
    return cost + softplus_end(-size, <real>1, u, v)

cdef inline real binary_cross_entropy_with_logits(real pred, real target) noexcept nogil:
    cdef real u, v
    binary_cross_entropy_with_logits_begin(pred, target, &u, &v)
    return binary_cross_entropy_with_logits_end(pred, target, u, v)

cdef inline real binary_cross_entropy_with_logits_gradient(real pred, real target) noexcept nogil:
    return sigmoid(pred) - target


cdef inline real cross_entropy_term(real x, real top) noexcept nogil:
    return softmax_exp(x - top)

# One class's share: `weight` is its target weight, `log_total` the log1p of the row's excess; a class of no weight costs nothing.
cdef inline real cross_entropy(real x, real weight, real top, real log_total) noexcept nogil:
    cdef real cost = weight * ((top - x) + log_total)
    return <real>0 if weight == 0 else cost

# `factor` turns exp(x - top) into scale * (sum of weights) * softmax(x).
cdef inline real cross_entropy_gradient(real term, real weight, real factor, real scale) noexcept nogil:
    return term * factor - weight * scale
