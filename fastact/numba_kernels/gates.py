"""Page gates: the scalar maths of functions of several inputs."""

from fastact.numba_kernels.bits import real, scalar


@scalar
def prelu(x, weight):
    return x if x > 0 else weight * x


@scalar
def prelu_backward(grad, x, weight):
    slope = weight if x == x else x
    return grad * (real(1) if x > 0 else slope)


@scalar
def prelu_backward_weight(grad, x):
    """The term of one element in the gradient of its channel's weight."""
    return real(0) if x > 0 else grad * x


@scalar
def maxout(x, best):
    """Whether `x` takes the place of `best`: the first maximum wins, the first nan wins over all. `x <= best` is false beside a nan."""
    return (not x <= best) and best == best


@scalar
def maxout_backward(grad, chosen):
    return grad if chosen else real(0)
