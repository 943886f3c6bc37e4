"""Page rows: the softmax family, whose functions see a whole row; `axis` is an int, a tuple of ints or None for all.

``loop`` names the loop that runs the kernel. The NumPy expressions take rows along the last axis.
"""
# fmt: off  (the facts read as a table: several to a line)

import numpy as np

from ..register import rows
from .special import silence

inf = float("inf")
PROMISE = "(4 + max(x) - x) eps of each exponential"


def row_top(x, axis):
    """The maximum of each row, -inf of an empty one."""
    return np.max(x, axis=axis, keepdims=True, initial=-inf)


def row_excess(x, top, axis):
    """The sum of ``exp(x - top)`` without one of the maxima, so that the 1 it would add swallows no small term."""
    ties = np.sum(x == top, axis=axis, keepdims=True) - 1
    return np.sum(np.where(x == top, 0, np.exp(x - top)), axis=axis, keepdims=True) + ties.astype(x.dtype)


def _with_axes(reduced, x, axis):
    """`reduced`, of one number a row, with the dimensions that the reduction of `x` took away."""
    if np.ndim(reduced) == x.ndim:
        return reduced
    return np.expand_dims(reduced, tuple(range(x.ndim)) if axis is None else axis)


@rows(core="(n)->(n)", loop="normalise", promise=PROMISE, range=(0, 1), cost=0.34, formula="exp(x) / sum(exp(x))",
      numpy="(e := np.exp(x - x.max(axis=-1, keepdims=True))) / e.sum(axis=-1, keepdims=True)",
      limit="a row with nan or inf, or of -inf alone, is nan", differs="SciPy defaults to axis=None", source="Bridle 1990")
def softmax(x, axis=-1):
    """Softmax, ``exp(x) / sum(exp(x))`` along `axis`.

    >>> fa.softmax(np.array([[1.0, 2.0, 3.0], [1.0, 1.0, 2.0]]))
    array([[0.09003057, 0.24472847, 0.66524096],
           [0.21194156, 0.21194156, 0.57611688]])
    """
    e = np.exp(x - row_top(x, axis))
    return e / np.sum(e, axis=axis, keepdims=True)

@softmax.backward(core="(n),(n)->(n)", loop="contract", cost=0.2, formula="y * (grad - sum(grad * y))",
                  numpy="y * (grad - (grad * y).sum(axis=-1, keepdims=True))")
def softmax_backward(grad, y, axis=-1):
    """Gradient of `softmax`, ``y * (grad - sum(grad * y))`` along `axis`.

    >>> fa.softmax_backward(np.array([1.0, 0.0, 0.0]), np.array([0.5, 0.25, 0.25]))
    array([ 0.25 , -0.125, -0.125])
    """
    return y * (grad - np.sum(grad * y, axis=axis, keepdims=True))


@rows(core="(n)->(n)", loop="shift", promise=PROMISE, range=(-inf, 0), cost=0.34, formula="x - log(sum(exp(x)))",
      numpy="(d := x - x.max(axis=-1, keepdims=True)) - np.log(np.exp(d).sum(axis=-1, keepdims=True))",
      limit="a row with nan or inf, or of -inf alone, is nan", differs="SciPy defaults to axis=None",
      source="Blanchard, Higham and Higham 2021, arXiv:1909.03469")
def log_softmax(x, axis=-1):
    """Logarithm of the softmax, ``x - log(sum(exp(x)))`` along `axis`, accurate where the softmax is close to 1 too.

    >>> fa.log_softmax(np.array([1.0, 2.0, 3.0]))
    array([-2.40760596, -1.40760596, -0.40760596])
    """
    top = row_top(x, axis)
    # top - top is 0, or nan for an infinite maximum: such a row has no distribution.
    return (x - top) - (np.log1p(row_excess(x, top, axis)) + (top - top))

@log_softmax.backward(core="(n),(n)->(n)", loop="contract", cost=0.35, formula="grad - exp(y) * sum(grad)",
                      numpy="grad - np.exp(y) * grad.sum(axis=-1, keepdims=True)")
def log_softmax_backward(grad, y, axis=-1):
    """Gradient of `log_softmax`, ``grad - exp(y) * sum(grad)`` along `axis`.

    >>> fa.log_softmax_backward(np.array([2.0, 0.0, 0.0]), np.log(np.array([0.5, 0.25, 0.25])))
    array([ 1. , -0.5, -0.5])
    """
    return grad - np.exp(y) * np.sum(grad, axis=axis, keepdims=True)


@rows(core="(n)->()", empty=-inf, loop="reduce", promise=PROMISE, cost=0.3, formula="log(sum(exp(x)))",
      numpy="(m := x.max(axis=-1)) + np.log(np.exp(x - m[..., None]).sum(axis=-1))",
      limit="inf for a row with inf; -inf for a row of -inf alone and for an empty one",
      source="Blanchard, Higham and Higham 2021, arXiv:1909.03469")
def logsumexp(x, axis=None, keepdims=False):
    """Logarithm of the sum of exponentials, ``log(sum(exp(x)))`` over `axis`.

    >>> fa.logsumexp(np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]), axis=-1)
    array([3.40760596, 1.09861229])
    """
    top = row_top(x, axis)
    result = np.where(np.isinf(top), top, top + np.log1p(row_excess(x, top, axis)))
    return result if keepdims else np.squeeze(result, tuple(range(x.ndim)) if axis is None else axis)

@logsumexp.backward(core="(),(n),()->(n)", loop="spread", cost=0.35, formula="grad * exp(x - y)",
                    numpy="grad[..., None] * np.exp(x - y[..., None])", limit="0 for a row of -inf alone")
def logsumexp_backward(grad, x, y, axis=None):
    """Gradient of `logsumexp`, ``grad * exp(x - y)``; `grad` and `y` have the reduced shape, with or without `axis`.

    >>> fa.logsumexp_backward(np.array([2.0]), np.array([[0.0, 0.0]]), np.log(np.array([2.0])), axis=-1)
    array([[1., 1.]])
    """
    grad, y = _with_axes(grad, x, axis), _with_axes(y, x, axis)
    return grad * np.where(y == -inf, 0, np.exp(x - y))


silence("rows")
