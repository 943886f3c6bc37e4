"""Page rows: the scalar maths of the softmax family.

`top` is a row's maximum, `total` a sum over the row, and `excess` the sum of exp(x - top) over the row without one maximum, so
that 1 + excess never swallows small terms.
"""

from fastact.numba_kernels.bits import real, scalar
from fastact.numba_kernels.primitives import exp, log1p, softmax_exp


@scalar
def softmax_term(x, top):
    return softmax_exp(x - top)


@scalar
def softmax(term, total):
    return term * (real(1) / total)


@scalar
def softmax_backward_term(grad, y):
    return grad * y


@scalar
def softmax_backward(grad, y, total):
    return y * (grad - total)


@scalar
def log_softmax_term(x, top):
    return softmax_exp(x - top)


@scalar
def log_softmax_total(top, excess):
    # top - top is 0, or nan for an infinite maximum: such a row has no distribution.
    return log1p(excess) + (top - top)


@scalar
def log_softmax(x, top, total):
    return (x - top) - total


@scalar
def log_softmax_backward_term(grad, y):
    return grad


@scalar
def log_softmax_backward(grad, y, total):
    return grad - exp(y) * total


@scalar
def logsumexp_term(x, top):
    return softmax_exp(x - top)


@scalar
def logsumexp(top, excess):
    return top + log1p(excess)


@scalar
def logsumexp_backward(grad, x, y):
    return grad * exp(x - y)
