"""Page losses: the cost of a prediction and its derivative by the prediction, per element or (cross_entropy) per row, unreduced.

The public functions reduce; so the NumPy expressions are those of the mean, and of the pair of the mean and its gradient.
"""
# fmt: off  (the facts read as a table: several to a line)

import numpy as np

from ..register import loss
from .activations import sigmoid
from .rows import row_excess, row_top, softmax
from .special import silence

inf = float("inf")


@loss(range=(0, inf), cost=0.08, formula="(pred - target)**2", numpy="((pred - target) ** 2).mean()",
      differs="scikit-learn halves it", source="Legendre 1805")
def mse_loss(pred, target):
    """Squared error, ``(pred - target)**2``.

    >>> float(fa.mse_loss(np.array([1.0, 2.0]), np.array([0.0, 4.0])))
    2.5
    """
    return (pred - target) ** 2

@mse_loss.backward(cost=0.1, formula="2 * (pred - target)", numpy="((d := pred - target) ** 2).mean(), d * (2 / d.size)")
def mse_loss_gradient(pred, target):
    """Derivative of `mse_loss`, ``2 * (pred - target)``.

    >>> value, grad = fa.mse_loss_value_and_grad(np.array([1.0, 2.0]), np.array([0.0, 4.0]))
    >>> grad
    array([ 1., -2.])
    """
    return 2 * (pred - target)


@loss(range=(0, inf), cost=0.12, rules=("beta >= 0",),
      formula="d * d / (2 * beta) if d < beta else d - beta / 2, d = abs(pred - target)",
      numpy="np.where((d := np.abs(pred - target)) < beta, d * d / (2 * beta), d - beta / 2).mean()",
      limit="beta = 0 is the absolute error", differs="huber_loss(delta) is delta times this, with beta = delta",
      source="Huber 1964; Girshick 2015, arXiv:1504.08083")
def smooth_l1_loss(pred, target, beta=1.0):
    """Smooth absolute error, ``d * d / (2 * beta) if d < beta else d - beta / 2`` with d = abs(pred - target).

    >>> float(fa.smooth_l1_loss(np.array([0.5, 2.0]), np.zeros(2), reduction="sum"))
    1.625
    """
    d = np.abs(pred - target)
    return np.where(d < beta, d * d / (2 * beta), d - beta / 2)

@smooth_l1_loss.backward(cost=0.15, rules=("beta >= 0",), formula="d / beta if abs(d) < beta else sign(d), d = pred - target",
                         numpy="np.where((a := np.abs(d := pred - target)) < beta, d * d / (2 * beta), a - beta / 2).mean(), "
                         "np.clip(d / beta, -1, 1) / d.size")
def smooth_l1_loss_gradient(pred, target, beta=1.0):
    """Derivative of `smooth_l1_loss`, ``d / beta if abs(d) < beta else sign(d)`` with d = pred - target.

    >>> value, grad = fa.smooth_l1_loss_value_and_grad(np.array([0.5, 2.0]), np.zeros(2), reduction="sum")
    >>> grad
    array([0.5, 1. ])
    """
    d = pred - target
    return np.where(np.abs(d) < beta, d / beta, np.sign(d))


@loss(range=(0, inf), cost=0.1, kinks={"margin / target": "0"}, formula="max(0, margin - target * pred)",
      numpy="np.maximum(0, margin - target * pred).mean()", source="Rosenblatt 1958; Cortes and Vapnik 1995",
      differs="Keras turns labels 0 and 1 into -1 and 1; PyTorch's hinge_embedding_loss is another function")
def hinge_loss(pred, target, margin=1.0):
    """Hinge loss, ``max(0, margin - target * pred)`` with targets -1 and 1.

    >>> float(fa.hinge_loss(np.array([0.5, -2.0]), np.array([1.0, -1.0]), reduction="sum"))
    0.5
    """
    return np.maximum(0, margin - target * pred)

@hinge_loss.backward(cost=0.12, formula="-target if target * pred < margin else 0",
                     numpy="np.maximum(0, gap := margin - target * pred).mean(), np.where(gap > 0, -target, 0) / gap.size")
def hinge_loss_gradient(pred, target, margin=1.0):
    """Derivative of `hinge_loss`, ``-target if target * pred < margin else 0``.

    >>> value, grad = fa.hinge_loss_value_and_grad(np.array([0.5, -2.0]), np.array([1.0, -1.0]), reduction="sum")
    >>> grad
    array([-1.,  0.])
    """
    gap = margin - target * pred
    return np.where(gap > 0, -target, np.where(np.isnan(gap), gap, 0))


@loss(cost=0.62, formula="max(pred, 0) - pred * target + log(1 + exp(-abs(pred)))",
      numpy="(np.maximum(pred, 0) - pred * target + np.log1p(np.exp(-np.abs(pred)))).mean()",
      limit="0 for a sure and right prediction: logit inf with target 1, -inf with target 0",
      differs="Keras' NumPy backend clips at 16.1", source="Cox 1958")
def binary_cross_entropy_with_logits(pred, target):
    """Binary cross-entropy of logits, ``max(pred, 0) - pred * target + log(1 + exp(-abs(pred)))``; targets are from 0 to 1.

    >>> round(float(fa.binary_cross_entropy_with_logits(np.array([0.0, 2.0]), np.array([0.0, 1.0]))), 6)
    0.410038
    """
    # abs(pred) times the weight of the other class: the same number without cancellation, and without inf - inf.
    size, weight = np.abs(pred), np.where(pred > 0, 1 - target, target)
    return np.where(weight == 0, 0, size * weight) + np.log1p(np.exp(-size))

@binary_cross_entropy_with_logits.backward(
    cost=0.7, formula="sigmoid(pred) - target",
    numpy="(np.maximum(pred, 0) - pred * target + np.log1p(np.exp(-np.abs(pred)))).mean(), "
    "(1 / (1 + np.exp(-pred)) - target) / pred.size")
def binary_cross_entropy_with_logits_gradient(pred, target):
    """Derivative of `binary_cross_entropy_with_logits`, ``sigmoid(pred) - target``.

    >>> value, grad = fa.binary_cross_entropy_with_logits_value_and_grad(np.array([0.0, 2.0]), np.array([0.0, 1.0]))
    >>> grad
    array([ 0.25      , -0.05960146])
    """
    return sigmoid(pred) - target


@loss(kind="row_loss", cost=0.35, formula="sum(target * (log(sum(exp(pred))) - pred))",
      numpy="(np.log(np.exp(pred - (m := pred.max(axis=1, keepdims=True))).sum(axis=1)) "
      "+ m[:, 0] - pred[np.arange(len(pred)), target]).mean()",
      limit="a class of weight 0 costs nothing, whatever its logit", source="Bridle 1990")
def cross_entropy(pred, target):
    """Cross-entropy of logits, ``sum(target * (log(sum(exp(pred))) - pred))`` over the classes; a label is a target of one 1.

    >>> round(float(fa.cross_entropy(np.array([[1.0, 2.0, 3.0]]), np.array([2]))), 8)
    0.40760596
    """
    top = row_top(pred, -1)
    cost = (top - pred) + np.log1p(row_excess(pred, top, -1))
    return np.sum(np.where(target == 0, 0, target * cost), axis=-1)

@cross_entropy.backward(
    cost=0.5, formula="sum(target) * softmax(pred) - target",
    numpy="-np.log((p := (e := np.exp(pred - pred.max(axis=1, keepdims=True))) / e.sum(axis=1, keepdims=True))"
    "[np.arange(len(pred)), target]).mean(), (p - (np.arange(pred.shape[1]) == target[:, None])) / len(pred)")
def cross_entropy_gradient(pred, target):
    """Derivative of `cross_entropy`, ``sum(target) * softmax(pred) - target``.

    >>> value, grad = fa.cross_entropy_value_and_grad(np.array([[1.0, 2.0, 3.0]]), np.array([2]))
    >>> grad
    array([[ 0.09003057,  0.24472847, -0.33475904]])
    """
    return np.sum(target, axis=-1, keepdims=True) * softmax(pred) - target


silence("losses")
