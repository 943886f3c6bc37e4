"""Page losses: the scalar maths of the losses, per element: the value and its derivative by the prediction."""

from fastact.numba_kernels.activations import sigmoid, softplus_begin, softplus_end
from fastact.numba_kernels.bits import real, scalar
from fastact.numba_kernels.primitives import softmax_exp


@scalar
def mse_loss(pred, target):
    d = pred - target
    return d * d


@scalar
def mse_loss_gradient(pred, target):
    d = pred - target
    return d + d


@scalar
def smooth_l1_loss(pred, target, beta):
    d = pred - target
    a = -d if d < 0 else d
    return real(0.5) * d * (d / beta) if a < beta else a - real(0.5) * beta


@scalar
def smooth_l1_loss_gradient(pred, target, beta):
    d = pred - target
    a = -d if d < 0 else d
    sign = real(1) if d > 0 else (real(-1) if d < 0 else d)
    return d / beta if a < beta else sign


@scalar
def hinge_loss(pred, target, margin):
    gap = margin - target * pred
    return real(0) if gap < 0 else gap


@scalar
def hinge_loss_gradient(pred, target, margin):
    gap = margin - target * pred
    rest = gap if gap != gap else real(0)
    return -target if gap > 0 else rest


# |x| w + log1p(exp(-|x|)) with w the target's share of the other class: a sure and right prediction costs what is left.
@scalar
def binary_cross_entropy_with_logits_begin(pred, target):
    return softplus_begin(pred, real(1))


@scalar
def binary_cross_entropy_with_logits_end(pred, target, u, v):
    size = -pred if pred < 0 else pred
    weight = real(1) - target if pred > 0 else target
    cost = real(0) if weight == 0 else size * weight
    return cost + softplus_end(-size, real(1), u, v)


@scalar
def binary_cross_entropy_with_logits(pred, target):
    return binary_cross_entropy_with_logits_end(pred, target, *binary_cross_entropy_with_logits_begin(pred, target))


@scalar
def binary_cross_entropy_with_logits_gradient(pred, target):
    return sigmoid(pred) - target


@scalar
def cross_entropy_term(x, top):
    return softmax_exp(x - top)


# One class's share: `weight` is its target weight, `log_total` the log1p of the row's excess; a class of no weight costs nothing.
@scalar
def cross_entropy(x, weight, top, log_total):
    cost = weight * ((top - x) + log_total)
    return real(0) if weight == 0 else cost


# `factor` turns exp(x - top) into scale * (sum of weights) * softmax(x).
@scalar
def cross_entropy_gradient(term, weight, factor, scale):
    return term * factor - weight * scale
