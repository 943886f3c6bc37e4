"""What the reference needs and NumPy lacks: constants and products beyond float64, gates, the normal distribution, silence.

Everything runs in the dtype of its argument. In longdouble all results are good to a few units of its last place, the far tails
included: there exp(-t) loses t times the error of t, so an argument that is not exact comes with its rounding error beside it.
"""

import numpy as np

from ..register import OPS


def silence(page):
    """Let the references of `page` compute without floating-point warnings, whatever the caller's error state."""
    for op in OPS.values():
        if op.page == page:
            op.reference = np.errstate(all="ignore")(op.reference)


def constant(digits, like):
    """The number written in `digits`, rounded once to longdouble and then to the dtype of `like`."""
    return np.longdouble(digits).astype(like.dtype)


def split(x):
    """Veltkamp: `x` as the sum of two numbers of half its digits, whose products are exact."""
    half = (np.finfo(x.dtype).nmant + 2) // 2
    scaled = x * x.dtype.type(2.0**half + 1)
    head = scaled - (scaled - x)
    return head, x - head


def exact_product(a, b):
    """Dekker: ``a * b`` and its rounding error (0 where the product or a half overflows)."""
    product = a * b
    (ah, al), (bh, bl) = split(a), split(b)
    error = ((ah * bh - product) + ah * bl + al * bh) + al * bl
    return product, np.where(np.isfinite(error), error, 0)


def exact_sum(a, b):
    """Knuth: ``a + b`` and its rounding error."""
    total = a + b
    shadow = total - a
    return total, (a - (total - shadow)) + (b - shadow)


def scaled(x, factor):
    """``factor * x`` and its rounding error, of a finite number, so that factor 0 is the limit of small factors."""
    info = np.finfo(x.dtype)
    t, error = exact_product(np.clip(x, info.min, info.max), x.dtype.type(factor))
    return np.clip(t, -50000, 50000), error


def tanh_argument(x):
    """``2 * sqrt(2 / pi) * (x + 0.044715 * x**3)`` and its rounding error; each constant has a short, exact head."""
    linear, linear_rest = x.dtype.type(1.595703125), constant("0.0000659966057307117597842397375274739034345", x)
    cubic, cubic_rest = x.dtype.type(0.0712890625), constant("0.0000657537726002487763387522798635409955921", x)
    square, square_error = exact_product(x, x)
    product, product_error = exact_product(square, cubic)
    total, total_error = exact_sum(linear, product)
    rest = total_error + product_error + linear_rest + square * cubic_rest + square_error * (cubic + cubic_rest)
    total, rest = exact_sum(total, rest)
    argument, argument_error = exact_product(x, total)
    return argument, argument_error + x * rest


def gated(x, t, t_error):
    """``x * sigmoid(t)``, with one rounding where the result is subnormal, and its limits where both are infinite."""
    root = np.exp(np.minimum(t, 0) / 2)
    finite = np.clip(x, np.finfo(x.dtype).min, np.finfo(x.dtype).max)
    below = finite * root * (1 + t_error) / (1 + root * root) * root
    return np.where(t < 0, below, x / (1 + np.exp(-t)))


def gated_slope(m, t, t_error):
    """The derivative of ``x * sigmoid(t)``: ``sigmoid(t) * (1 + m * sigmoid(-t))``, where m is x times the derivative of t."""
    root = np.exp(-np.abs(t) / 2)
    e = root * root
    below = root * (1 + m / (1 + e)) / (1 + e) * (1 + t_error) * root
    return np.where(t < 0, below, 1 / (1 + e) + m * e / (1 + e) ** 2)


def gauss(x, factor):
    """``factor * exp(-x**2 / 2)`` for `x` of moderate size: the square is taken in two parts, the larger of them exact."""
    head, tail = split(x)
    root = np.exp(-(head * head) / 4)
    return factor * np.exp(-tail * (x + head) / 2) * root * root


def normal_pdf(x, factor):
    """``factor * exp(-x**2 / 2) / sqrt(2 pi)``."""
    return gauss(x, factor * constant("0.398942280401432677939946059934381868475858631164935", x))


def normal_cdf(x, factor):
    """``factor * erfc(-x / sqrt(2)) / 2``, the normal distribution function: NumPy has no erfc, and this is how it is had.

    Near 0 by the series ``1/2 + pdf(x) * (x + x**3/3 + x**5/(3*5) + ...)``, whose terms have one sign. Elsewhere, with
    a = abs(x)/sqrt(2), by the trapezoidal rule of step h (Chiarella and Reichel 1968), whose terms have one sign too::

        erfc(a) = 2*h*a/pi * exp(-a*a) * (1/(2*a*a) + sum(exp(-(n*h)**2) / (a*a + (n*h)**2))) - 2 / (exp(2*pi*a/h) - 1)

    The last term belongs to it for a < pi/h only; what is left out is below exp(-(pi/h)**2) = 4e-23 of the result.
    """
    x = np.clip(x, -200, 200)
    square = x * x
    series = np.ones_like(x)
    for odd in range(41, 1, -2):
        series = 1 + square / odd * series
    centre = (0.5 + normal_pdf(x, x) * series) * factor

    step = 7 / 16
    a = np.abs(x) / constant("1.41421356237309504880168872420969807856967187537695", x)
    pi = constant("3.14159265358979323846264338327950288419716939937511", x)
    total = 1 / square
    for n in range(1, 17):
        node = (np.zeros_like(x) + n * step) ** 2
        total = total + np.exp(-node) / (square / 2 + node)
    pole = np.where(a < 7, 1 / np.expm1(2 * pi * a / step), 0)
    weight = step * a / pi * total
    far = gauss(x, factor * weight)
    below = np.where(a < 7, far - factor * pole, far)
    above = factor * (1 - (gauss(x, weight) - pole))
    return np.where(np.abs(x) < 0.7, centre, np.where(x < 0, below, above))
