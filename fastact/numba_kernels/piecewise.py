"""The elementwise functions without an exponential as scalars, each forward followed by its backward: grad times the derivative at the
saved y or x. Branch-free; a nan input or saved value gives nan. Kinks and limits are those of the reference page.
"""

from fastact.numba_kernels.bits import magnitude, real, scalar, with_sign


@scalar
def relu(x):
    return real(0) if x <= real(0) else x


@scalar
def relu_backward(grad, y):
    d = real(1) if y > real(0) else real(0)
    return grad * (d if y == y else y)


@scalar
def leaky_relu(x, negative_slope):
    return x if x > real(0) else x * negative_slope


@scalar
def leaky_relu_backward(grad, y, negative_slope):
    d = real(1) if y > real(0) else negative_slope
    return grad * (d if y == y else y)


@scalar
def hard_sigmoid(x):
    y = (x + real(3)) * real(0.16666666666666666)
    y = real(0) if y < real(0) else y
    return real(1) if y > real(1) else y


@scalar
def hard_sigmoid_backward(grad, y):
    d = real(0.16666666666666666) if y > real(0) else real(0)
    d = real(0) if y >= real(1) else d
    return grad * (d if y == y else y)


@scalar
def hard_tanh(x, min_val, max_val):
    y = min_val if x < min_val else x
    return max_val if y > max_val else y


@scalar
def hard_tanh_backward(grad, y, min_val, max_val):
    d = real(1) if y > min_val else real(0)
    d = real(0) if y >= max_val else d
    return grad * (d if y == y else y)


@scalar
def softsign(x):
    a = magnitude(x)
    return with_sign(real(1) if a > real(1e18) else a / (real(1) + a), x)


@scalar
def softsign_backward(grad, y):
    c = real(1) - magnitude(y)
    return grad * (c * c)


@scalar
def hard_swish(x):
    y = (x + real(3)) * real(0.16666666666666666)
    y = x * (real(1) if y > real(1) else y)
    return real(-0.0) if x <= real(-3) else y


@scalar
def hard_swish_backward(grad, x):
    d = (x + x + real(3)) * real(0.16666666666666666)
    d = real(0) if x <= real(-3) else d
    return grad * (real(1) if x >= real(3) else d)


@scalar
def step(x, threshold):
    y = real(1) if x >= threshold else real(0)
    return y if x == x else x


@scalar
def step_backward(grad, x, threshold):
    return grad * (real(0) if x == x else x)
