"""What a sweep holds results against: the reference in extended precision, at each point or, for float32, interpolated between.

The 65,536 numbers that share sign, exponent and seven bits are equally spaced. So in each such interval the same matrix carries
the values of the reference at a few of its numbers to all of them; wherever that is not good to `BOUND`, each point is computed.
"""

import functools

import numpy as np

from fastact import measure
from fastact.accuracy_tally import bucket, judge, judge_all

SPAN = 2**16
NODES = 11
BOUND = 2.0**-13  # ulp of float32: how far from the reference the interpolated oracle may be
BLOCK = 2**24  # patterns to a block of a full sweep
TOGETHER = 4  # intervals to a matrix product
FLOAT, WORD = np.float32, np.uint32
TINY = float(np.finfo(FLOAT).smallest_normal)
# bits of float64 numbers: of every exponent; the exponent of `TINY`; what the exponents of a number and of one over its unit add up to
EXPONENT, LEAST, INVERSE = (np.uint64(exponent << 52) for exponent in (2047, 1023 - 126, 2 * 1023 + 23))


def valid(op, x):
    """Which numbers an operation may be given: all of its domain; where it reads the output, all of the range; and nan."""
    limits = op.forward.range if op.inputs[-1] == "y" else (op.forward or op).domain
    low, high = (np.asarray(limit, x.dtype) for limit in limits)
    return ((x >= low) & (x <= high)) | np.isnan(x)


def arguments(op, x):
    """The arrays for the numbers swept: gradients are 1."""
    return [np.ones_like(x), x] if op.is_backward else [x]


def truth(op, x):
    """The true values at `x`, and the sizes in whose units errors count, in extended precision."""
    arrays = arguments(op, x)
    true = np.broadcast_to(measure.exact(op, arrays), x.shape)
    return true, np.abs(measure.size(op, arrays, true))


def kinks(op, dtype):
    """The numbers at which a slope jumps, in what the operation reads; zero always."""
    forward = op.forward or op
    values = measure.defaults(forward)
    points = np.array([0.0, -0.0, *(eval(text, {}, values) for text in forward.kinks)], dtype)
    if op.inputs[-1] == "y":
        points = np.concatenate([points, measure.exact(forward, [points]).astype(dtype)])
    return np.concatenate([points, -points])


@functools.cache
def nodes():
    """Where in an interval the reference is evaluated: at Chebyshev points, and at others to check what lies between them."""
    angles = np.pi * (2 * np.arange(NODES) + 1) / (2 * NODES)
    inside = np.rint((1 - np.cos(angles)) / 2 * (SPAN - 1)).astype(WORD)
    middle = (inside[:-1] + inside[1:]) // 2
    return inside, np.concatenate([[0, 1, SPAN - 1], middle[::2]]).astype(WORD)


@functools.cache
def weights():
    """The matrix that carries values at the nodes to all numbers of an interval, by Lagrange's formula."""
    at = nodes()[0].astype(measure.Wide) / SPAN
    x = np.arange(SPAN).astype(measure.Wide) / SPAN
    rows = np.ones((NODES, SPAN), measure.Wide)
    for i in range(NODES):
        for j in range(NODES):
            if i != j:
                rows[i] *= (x - at[j]) / (at[i] - at[j])
    return rows.astype(np.float64)


class Intervals:
    """A row of intervals of float32 numbers, sorted by how their results can be judged.

    ``smooth``: by interpolation; ``single``: point by point; ``nans``: all nan. Those outside the domain are in none of these.
    """

    def __init__(self, op, starts):
        inside, between = nodes()
        self.starts = starts
        at = starts[:, None] + np.concatenate([inside, between])
        x = at.view(FLOAT)
        ends = (starts[:, None] + np.array([0, SPAN - 1], WORD)).view(FLOAT)
        allowed = valid(op, ends)
        self.nans = (starts & 0x7FFFFFFF) > 0x7F800000
        kinked = np.isin(starts >> 16, kinks(op, FLOAT).view(WORD) >> 16)
        true, size = truth(op, x.ravel())
        true, size = true.reshape(x.shape), size.reshape(x.shape)
        self.values = true.astype(np.float64)
        self.sizes = size.astype(np.float64)
        self.sized = ~np.all(size == np.abs(true), axis=1)
        self.negative = np.signbit(self.values[:, 0])
        good = np.isfinite(self.values).all(1) & (np.signbit(self.values) == self.negative[:, None]).all(1)
        good &= self._interpolated(true, size) & allowed.all(1) & ~kinked & ~self.nans
        self.smooth = good
        self.single = allowed.any(1) & ~good & ~self.nans
        largest = np.maximum(np.abs(self.values), self.sizes)
        self.tiny = largest.max(1) < TINY / 2
        self.mixed = ~self.tiny & (largest.min(1) < TINY * 2)

    def _interpolated(self, true, size):
        """Whether interpolation is good to `BOUND` at the numbers that check it, and sizes to a millionth."""
        carry = weights()[:, nodes()[1]]
        with np.errstate(all="ignore"):
            value, scale = self.values[:, :NODES] @ carry, self.sizes[:, :NODES] @ carry
            large = np.fmax(size, np.abs(true))[:, NODES:]
            error = np.abs(value - true[:, NODES:]) / measure.unit(large, FLOAT)
            return ((error <= BOUND) & (np.abs(scale - size[:, NODES:]) <= 1e-6 * np.fmax(large, TINY))).all(1)


class Space:
    """The buffers of one worker, which are as large as what is judged at a time."""

    def __init__(self):
        shape = TOGETHER, SPAN
        self.bits = np.empty(shape, WORD)
        self.got, self.other = np.empty(shape, FLOAT), np.empty(shape, FLOAT)
        self.true, self.size = np.empty(shape), np.empty(shape)
        self.error, self.scale, self.whole = np.empty(SPAN), np.empty(SPAN), np.empty(SPAN, np.uint64)
        self.one = np.ones(shape, FLOAT)


def evaluate(op, function, x, out, one):
    """The function at `x`, with gradient 1, into `out`."""
    return function(one[: len(x)], x, out=out) if op.is_backward else function(x, out=out)


def sweep_block(op, function, others, first, tally, space):
    """Judge the function, and others beside it, at `BLOCK` patterns from `first` on."""
    intervals = Intervals(op, np.arange(first, first + BLOCK, SPAN, dtype=np.uint64).astype(WORD))
    offsets = np.arange(SPAN, dtype=WORD)
    for chosen in (intervals.smooth, intervals.single, intervals.nans):
        where = np.flatnonzero(chosen)
        for group in (where[i : i + TOGETHER] for i in range(0, len(where), TOGETHER)):
            n = len(group)
            x = np.add(intervals.starts[group, None], offsets, out=space.bits[:n]).view(FLOAT)
            got = evaluate(op, function, x, space.got[:n], space.one)
            if chosen is intervals.nans:
                judging = functools.partial(passed_on, x)
            elif chosen is intervals.single:
                judging = functools.partial(row_by_row, op, x)
            else:
                judging = functools.partial(by_interpolation, op, intervals, group, x, space)
            results = ((name, evaluate(op, other, x, space.other[:n], space.one)) for name, other in others.items())
            judge_all(tally, got, results, judging)


def passed_on(x, tally, got):
    """Nan gives nan, in every operation."""
    tally.failed(x.view(WORD)[~np.isnan(got)])
    tally.points += x.size


def row_by_row(op, x, tally, got):
    """Judge intervals against the reference itself; numbers outside the domain are left out."""
    for row, results in zip(x, got, strict=True):
        allowed = valid(op, row)
        if allowed.any():
            judge(tally, row.view(WORD)[allowed], results[allowed], *truth(op, row[allowed]))


def one_by_one(op, tally, x, function, others):
    """Judge a function, and others beside it, at numbers of any dtype; those outside the domain are left out."""
    x = x[valid(op, x)]
    if x.size:
        given, (true, size), bits = arguments(op, x), truth(op, x), x.view(f"u{x.dtype.itemsize}")
        results = ((name, other(*given)) for name, other in others.items())
        judge_all(tally, function(*given), results, lambda part, got: judge(part, bits, got, true, size))


def by_interpolation(op, intervals, group, x, space, tally, got):
    """Judge results in smooth intervals; one with a result that is not finite is judged point by point."""
    np.matmul(intervals.values[group, :NODES], weights(), out=space.true[: len(group)])
    sized = intervals.sized[group]
    if sized.any():
        np.matmul(intervals.sizes[group, :NODES], weights(), out=space.size[: len(group)])
    for row, interval in enumerate(group):
        error = errors(got[row], space.true[row], space.size[row] if sized[row] else None, space)
        low, high = error.min(), error.max()
        if not (np.isfinite(low) and np.isfinite(high)):
            row_by_row(op, x[row : row + 1], tally, got[row : row + 1])
            continue
        signs, negative = got[row].view(np.int32), intervals.negative[interval]
        if (signs.max() >= 0) if negative else (signs.min() < 0):
            tally.other_zero(x[row].view(WORD)[(got[row] == 0) & ((signs < 0) != negative)])
        if intervals.mixed[interval]:
            large = np.maximum(np.abs(space.true[row]), space.size[row]) if sized[row] else np.abs(space.true[row])
            for kind, part in (("subnormal", error[large < TINY]), ("normal", error[large >= TINY])):
                if len(part):
                    tally.found(kind, part.min(), part.max())
        else:
            tally.found("subnormal" if intervals.tiny[interval] else "normal", low, high)
        if tally.ranks(max(high, -low)):
            worst = int(error.argmax() if high >= -low else error.argmin())
            tally.candidate(error[worst], x[row, worst].view(WORD))
        place = bucket(intervals.starts[interval], FLOAT)
        tally.profile[place] = np.fmax(tally.profile[place], max(high, -low))
        tally.points += SPAN
        tally.count(error, low, high)


def errors(got, true, size, space):
    """The signed errors in ulp: what `measure.ulp` says, in float64 and fast, of finite results."""
    largest = true if size is None else np.maximum(np.abs(true, out=space.scale), size, out=space.scale)
    whole = np.bitwise_and(largest.view(np.uint64), EXPONENT, out=space.whole)
    np.maximum(whole, LEAST, out=whole)
    np.subtract(INVERSE, whole, out=whole)  # the exponent of one over the unit
    error = np.subtract(got, true, out=space.error)
    return np.multiply(error, whole.view(np.float64), out=error)
