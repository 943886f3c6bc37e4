"""Page gates: functions that weigh or choose: an elementwise one with a weight per channel, and the largest of several pieces."""
# fmt: off  (the facts read as a table: several to a line)

import numpy as np

from ..register import gate
from .special import silence

inf = float("inf")


def _channels(weight, x, axis):
    """`weight` in a shape that broadcasts against `x`: one number for all, or one per channel along `axis` (of 1-D: 0)."""
    if np.size(weight) == 1:
        return np.reshape(weight, ())
    shape = [1] * x.ndim
    shape[0 if x.ndim == 1 else axis] = -1
    return np.reshape(weight, shape)


@gate(kind="channels", monotone=False, kinks={"0": "weight"}, cost=0.08, formula="x if x > 0 else weight * x",
      numpy="np.where(x > 0, x, weight * x)", differs="Keras has a weight per element, and gradient 0 at 0",
      source="He, Zhang, Ren and Sun 2015, arXiv:1502.01852")
def prelu(x, weight, axis=1):
    """Parametric rectified linear unit, ``x if x > 0 else weight * x``; `weight` is one number, or one per channel along `axis`.

    >>> fa.prelu(np.array([[-2.0, -2.0], [1.0, -4.0]]), np.array([0.25, 0.5]))
    array([[-0.5, -1. ],
           [ 1. , -2. ]])
    """
    return np.where(x > 0, x, _channels(weight, x, axis) * x)

@prelu.backward(cost=0.15, formula="grad * (1 if x > 0 else weight), sum(grad * min(x, 0))",
                numpy="(np.where(x > 0, grad, weight * grad), np.where(x > 0, 0, grad * x).sum(axis=0))")
def prelu_backward(grad, x, weight, axis=1):
    """Gradients of `prelu`: ``grad * (1 if x > 0 else weight)`` by x, and ``sum(grad * min(x, 0))`` over each channel by weight.

    >>> dx, dweight = fa.prelu_backward(np.ones((2, 2)), np.array([[-2.0, -2.0], [1.0, -4.0]]), np.array([0.25, 0.5]))
    >>> dx
    array([[0.25, 0.5 ],
           [1.  , 0.5 ]])
    >>> dweight
    array([-2., -6.])
    """
    shaped = _channels(weight, x, axis)
    dx = grad * np.where(x > 0, 1, np.where(np.isnan(x), x, shaped))
    others = tuple(i for i in range(x.ndim) if np.ndim(shaped) == 0 or shaped.shape[i] == 1)
    return dx, np.reshape(np.sum(np.where(x > 0, 0, grad * x), axis=others), np.shape(weight))


@gate(kind="pick", cost=0.12, ulp=(0.0, 0.0), formula="max(x), argmax(x)", numpy="(x.max(axis=-1), x.argmax(axis=-1))",
      limit="the first nan wins, then the first maximum",
      source="Goodfellow, Warde-Farley, Mirza, Courville and Bengio 2013, arXiv:1302.4389")
def maxout(x, axis=-1):
    """Maxout, ``max(x), argmax(x)`` over the pieces along `axis`: the value, and which piece gave it, for the backward pass.

    >>> value, which = fa.maxout(np.array([[1.0, 3.0], [2.0, -1.0]]))
    >>> value
    array([3., 2.])
    >>> which
    array([1, 0])
    """
    which = np.argmax(x, axis=axis)
    return np.squeeze(np.take_along_axis(x, np.expand_dims(which, axis), axis), axis), which

@maxout.backward(cost=0.12, ulp=(0.0, 0.0), formula="grad at which, 0 elsewhere",
                 numpy="np.where(np.arange(pieces) == which[..., None], grad[..., None], 0)")
def maxout_backward(grad, which, pieces, axis=-1):
    """Gradient of `maxout`, ``grad at which, 0 elsewhere``, with as many `pieces` along `axis` as the input had.

    >>> fa.maxout_backward(np.array([5.0, 7.0]), np.array([1, 0]), 2)
    array([[0., 5.],
           [7., 0.]])
    """
    place = np.reshape(np.arange(pieces), (-1,) + (1,) * np.ndim(which))
    return np.moveaxis(np.where(place == which, grad, 0), 0, axis)


silence("gates")
