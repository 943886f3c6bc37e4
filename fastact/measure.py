"""How functions are measured: valid arguments for any operation, its NumPy baseline, timings, errors in units in the last place.

Tests, benchmarks and the command line share this file; it walks the register and knows no function by name. Every function here
that takes arrays takes them in the order of ``op.inputs``, and keywords as `options` gives them.
"""

import functools
import gc
import sys
import time

import numpy as np

from fastact import backends
from fastact.register import REQUIRED, public_name

CHANNELS, PIECES = 100, 4
SPREAD = 3.0  # standard deviation of inputs: both tails of every activation are met, and neither dominates
Wide = np.longdouble


# ---- arguments --------------------------------------------------------------------------------------------------------


def shape_of(op, n_or_shape):
    """A shape of about n elements that suits the operation: rows for functions of rows, else one dimension."""
    if not isinstance(n_or_shape, (int, np.integer)):
        return tuple(n_or_shape)
    n = int(n_or_shape)
    if op.kind in ("map", "loss"):
        return (n,)
    width = max(1, min(n, PIECES if op.kind == "pick" else CHANNELS))
    return (n // width, width)


def options(op, n_or_shape):
    """Keywords with which a public function and its `baseline` compute the same: the last axis, and required parameters."""
    given = {"axis": -1} if op.kind == "rows" else {}
    if op.kind == "pick" and op.is_backward:
        given["pieces"] = shape_of(op, n_or_shape)[-1]
    return given


def sample(domain, shape, dtype, rng):
    """Random numbers from an open interval; normal ones where it is the whole line."""
    low, high = domain
    if np.isfinite(low) and np.isfinite(high):
        x = rng.uniform(low, high, shape)
    elif np.isfinite(low):
        x = low + rng.lognormal(0, SPREAD / 2, shape)
    elif np.isfinite(high):
        x = high - rng.lognormal(0, SPREAD / 2, shape)
    else:
        x = SPREAD * rng.standard_normal(shape)
    return np.ascontiguousarray(x.astype(dtype))


def arguments(op, n_or_shape, dtype, rng):
    """Valid, contiguous arrays for ``op.inputs``.

    `x` and `pred` come from the domain, `y` and `which` are what the reference makes of x, `grad` is random, `weight` has one
    entry per channel (axis 1), targets are from 0 to 1 (a number and a probability alike), or class labels for losses of rows.
    """
    shape, dtype = shape_of(op, n_or_shape), np.dtype(dtype)
    forward = op.forward or op
    x = sample(forward.domain, shape, dtype, rng)
    given = {"x": x, "pred": x}
    if "target" in op.inputs:
        labels = op.kind == "row_loss"
        given["target"] = rng.integers(0, shape[-1], shape[:-1]) if labels else rng.uniform(0, 1, shape).astype(dtype)
    if "weight" in op.inputs:
        given["weight"] = rng.uniform(0.1, 0.5, shape[1:2] or 1).astype(dtype)
    if {"y", "which"} & set(op.inputs):
        result = forward(*(given[name].astype(np.float64) for name in forward.inputs), **options(forward, shape))
        result, given["which"] = result if isinstance(result, tuple) else (result, None)
        given["y"] = np.asarray(result).astype(dtype)
        shape = given["y"].shape
    if "grad" in op.inputs:
        given["grad"] = rng.standard_normal(shape).astype(dtype)
    return [given[name] for name in op.inputs]


# ---- functions --------------------------------------------------------------------------------------------------------


def defaults(op):
    """The parameters that have defaults, by name."""
    return {p.name: p.default for p in op.params if p.default is not REQUIRED}


@functools.cache
def baseline(op, namespace=np):
    """The NumPy expression of the register as a function: of the arrays, and of the keywords that `options` gives.

    Another namespace with NumPy's names may stand for NumPy.
    """
    values = defaults(op)
    keywords = [f"{p.name}={values[p.name]!r}" if p.name in values else p.name for p in op.params]
    keywords += [f"{name}=None" for name in op.options]  # the expressions take rows along the last axis
    signature = ", ".join([*op.inputs, *(["*", *keywords] if keywords else [])])
    return eval(f"lambda {signature}: ({op.numpy})", {"np": namespace})


def call(namespace, op):
    """The public function of an operation in a namespace: ``fastact`` itself, or what `get_backend` returns."""
    return getattr(namespace, public_name(op))


def available():
    """What each backend is here, by name: ``"cython v3"``, or ``"numba absent: why"``."""
    found = {}
    for name in backends.BACKENDS:
        try:
            found[name] = backends.get_backend(name).backend
        except ImportError as error:
            found[name] = f"{name} absent: {error}"
    return found


def overwritten(op, arrays, result):
    """The position of the argument that an in-place call overwrites: the first of the result's shape and dtype, or None."""
    if op.page == "losses":
        return 0 if op.is_backward else None
    if op.kind == "pick":
        return None
    first = result[0] if isinstance(result, tuple) else result
    fits = [k for k, a in enumerate(arrays) if a.shape == np.shape(first) and a.dtype == first.dtype]
    return fits[0] if fits else None


# ---- time -------------------------------------------------------------------------------------------------------------


class Contender:
    """What is timed: a row of calls, and what must be prepared, untimed, before they may be made again."""

    def __init__(self, calls, prepare=None):
        self.calls = list(calls)
        self.prepare = prepare
        self.repeat = 1

    def round(self):
        """Seconds per call of one round."""
        if self.prepare is not None:
            self.prepare()
        calls = self.calls * self.repeat
        start = time.perf_counter()
        for function in calls:
            function()
        return (time.perf_counter() - start) / len(calls)

    def calibrate(self, seconds):
        """Repeat the calls within a round until it lasts so long; calls that need preparation are made once a round."""
        if self.prepare is None:
            taken = min(self.round() for _ in range(3)) * len(self.calls)
            self.repeat = max(1, min(10_000, int(seconds / max(taken, 1e-9))))


def buffers(arrays, cache=2**18):
    """Over how many copies of the arrays a contender rotates: together they stay in the second cache, or there is one."""
    return max(1, min(64, cache // max(sum(a.nbytes for a in arrays), 1)))


def rotated(arrays):
    """The sets of arguments over which a contender rotates: copies, or the arrays themselves where one is enough."""
    many = buffers(arrays)
    return [[a.copy() for a in arrays] for _ in range(many)] if many > 1 else [arrays]


def scratch(shape, dtype, place=0):
    """Memory to write to, the same for all: where large arrays lie decides close races, and to fault them in takes time."""
    return _memory(tuple(shape), np.dtype(dtype), place)


@functools.lru_cache(maxsize=4)
def _memory(shape, dtype, place):
    return np.empty(shape, dtype)


def plain(function, arrays, keywords):
    """A contender that makes a new result each time, as the NumPy expression does."""
    return Contender(functools.partial(function, *some, **keywords) for some in rotated(arrays))


def into(function, op, arrays, keywords):
    """A contender that writes to a prepared `out`; losses that return a number have none."""
    if op.page == "losses" and not op.is_backward:
        return plain(function, arrays, keywords)
    result = function(*arrays, **keywords)
    if op.page == "losses":
        result = result[1]
    elif op.kind == "channels" and op.is_backward:
        result = result[0]
    if buffers(arrays) == 1:
        parts = result if isinstance(result, tuple) else (result,)
        parts = tuple(scratch(part.shape, part.dtype, place) for place, part in enumerate(parts))
        result = parts if isinstance(result, tuple) else parts[0]
    return plain(function, arrays, {**keywords, "out": result})


def in_place(function, op, arrays, keywords):
    """A contender that overwrites an argument, rotating over prepared buffers: the function never meets its own result.

    Where no argument has the shape of the result it writes to a prepared `out`.
    """
    place = overwritten(op, arrays, function(*arrays, **keywords))
    if place is None:
        return into(function, op, arrays, keywords)
    original, sets = arrays[place], [list(some) for some in rotated(arrays)]
    if len(sets) == 1:
        sets[0][place] = scratch(original.shape, original.dtype)

    def prepare():
        for some in sets:
            np.copyto(some[place], original)

    prepare()
    return Contender((functools.partial(function, *some, out=some[place], **keywords) for some in sets), prepare)


def best(*contenders, seconds=0.1, round_seconds=2e-4, rounds=5):
    """The best seconds per call of each contender, by short rounds in turn, so that a slow moment of the machine hits all alike.

    Contenders are callables or `Contender` s. Each gets about `seconds`, and no fewer than `rounds` rounds.
    """
    contenders = [c if isinstance(c, Contender) else Contender([c]) for c in contenders]
    for contender in contenders:
        contender.round()  # the first call compiles, faults pages in and fills caches
        contender.calibrate(round_seconds)
    results = [float("inf")] * len(contenders)
    enabled = gc.isenabled()
    gc.disable()
    try:
        stop = time.perf_counter() + seconds * len(contenders)
        while rounds > 0 or time.perf_counter() < stop:
            rounds -= 1
            results = [min(result, contender.round()) for result, contender in zip(results, contenders, strict=True)]
    finally:
        if enabled:
            gc.enable()
    return results


# ---- error ------------------------------------------------------------------------------------------------------------


def finfo(dtype):
    """The limits of a floating-point dtype, of another package's too: there a function of that name stands beside it."""
    dtype = np.dtype(dtype)
    return np.finfo(dtype) if dtype.kind == "f" else sys.modules[dtype.type.__module__].finfo(dtype)


def unit(size, dtype):
    """The unit in the last place of numbers of a `size`, in longdouble: never below the smallest subnormal."""
    limits = finfo(dtype)
    size = np.abs(np.asarray(size, Wide))
    with np.errstate(all="ignore"):
        exponent = np.frexp(size)[1] - 1
    exponent = np.where((size == 0) | ~np.isfinite(size), limits.minexp, exponent)
    return np.ldexp(Wide(1), np.clip(exponent, limits.minexp, limits.maxexp - 1) - limits.nmant)


def ulp(result, exact, dtype, size=None):
    """The error of each element in units in the last place.

    Parameters
    ----------
    result : array_like
        What was computed.
    exact : array_like
        What is true, in longdouble or at least a wider dtype.
    dtype : dtype
        The dtype of the result, which says what a unit is; subnormal numbers count in the smallest subnormal.
    size : array_like, optional
        Where given, the unit is that of the larger of `exact` and `size`: the largest of terms that cancel.

    Returns
    -------
    ndarray
        In float64. 0 for nan where nan is true, and for an infinite result where the exact one rounds to it; inf where only
        one of them is nan. An infinite result that should be finite counts as the first number beyond the largest.
    """
    dtype, limits = np.dtype(dtype), finfo(dtype)
    got, exact = np.asarray(result).astype(Wide), np.asarray(exact).astype(Wide)
    with np.errstate(all="ignore"):
        rounded = exact.astype(dtype).astype(Wide)
        beyond = np.copysign(np.ldexp(Wide(1), limits.maxexp), got)
        error = np.abs(np.where(np.isinf(got), beyond, got) - exact)
        error = error / unit(np.fmax(np.abs(exact), 0 if size is None else np.abs(size)), dtype)
    error = np.where((got == rounded) & ~np.isfinite(got), 0, error)
    missing = np.isnan(got) | np.isnan(exact)
    return np.where(missing, np.where(np.isnan(got) & np.isnan(exact), 0, np.inf), error).astype(np.float64)


def widened(op, arrays):
    """The arrays in longdouble, labels as rows with a single 1, and the parameters as kernels get them: rounded to the dtype."""
    dtype = np.result_type(arrays[0].dtype if arrays[0].dtype.kind == "f" else np.float32, np.float32)
    values = {name: Wide(dtype.type(value)) for name, value in defaults(op).items()}
    big = [a.astype(Wide) if a.dtype.kind not in "iu" else a for a in arrays]
    if op.kind == "row_loss" and big[1].dtype.kind in "iu":
        big[1] = np.arange(big[0].shape[-1]) == big[1][..., None]
        big[1] = big[1].astype(Wide)
    return big, values


def exact(op, arrays, **keywords):
    """What the public function should return, in longdouble by the reference; losses with their default reduction."""
    big, values = widened(op, arrays)
    keywords = {**values, **keywords}
    if op.page != "losses":
        return op(*big, **keywords)
    forward = op.forward or op
    cost = forward(*big, **keywords)
    return (cost.mean(), op(*big, **keywords) / cost.size) if op.is_backward else cost.mean()


def sensitivity(op, big, keywords):
    """What a relative change of the last argument does to the result, per unit of the change; the smaller side at a kink."""
    h = Wide(2.0**-20)
    here = op(*big, **keywords)
    with np.errstate(all="ignore"):
        sides = [np.abs(op(*big[:-1], big[-1] * (1 + side), **keywords) - here) / h for side in (h, -h)]
    return np.nan_to_num(np.fmin(*sides))


def size(op, arrays, true, **keywords):
    """The size of number in whose units an error of each result is counted: where terms cancel, that of the largest term.

    It is found from the register alone:

    * elementwise, forward: the result;
    * backward, from the output: the constants added to it, which are the slopes declared at kinks (``alpha`` in ``y + alpha``);
    * gradients of losses: what a relative change of the target does to them (so for ``sigmoid(pred) - target``: the target);
    * backward, from the input of a function with a minimum, which is ``x * g(x)``: the terms ``g`` and ``x * g'`` of its slope;
    * rows: the exponential of a rounded difference d is good to ``(4 + abs(d)) * eps``, which counts as 4; in sums, the terms.
    """
    big, values = widened(op, arrays)
    keywords = {**values, **keywords}
    if op.kind == "rows":
        return _row_size(op, big, true, keywords)
    if op.kind == "row_loss" and op.is_backward:
        x, target = big
        rows = Wide(x.size // x.shape[-1])
        soft = np.abs(true[1] * rows + target) * (1 + (np.max(x, -1, keepdims=True) - x) / 4)
        return true[0], np.maximum(soft, target) / rows
    if op.kind == "loss" and op.is_backward:
        return true[0], np.maximum(np.abs(true[1]), sensitivity(op, big, keywords) / Wide(big[0].size))
    if op.kind == "channels" and op.is_backward:
        return tuple(np.abs(part) for part in op(np.abs(big[0]), *big[1:], **keywords))  # linear in grad: no term cancels
    if op.kind == "map" and op.is_backward and op.inputs[1:] == ("y",):
        slopes = [abs(eval(text, {}, values)) for text in op.forward.kinks.values()]
        return np.maximum(np.abs(true), np.abs(big[0]) * max(slopes, default=0))
    if op.kind == "map" and op.is_backward and not op.forward.monotone:
        grad, x = big
        with np.errstate(all="ignore"):
            gate = grad * op.forward(x, **keywords) / x
        return np.fmax(np.abs(true), np.fmax(np.abs(gate), np.abs(true - gate)))
    return true


def _row_size(op, big, true, keywords):
    if op.loop == "contract":
        # Beside each row a copy of it with gradient 0: there stands the term of the sum alone.
        grad, y = np.abs(big[0]), big[1]
        both = op(np.concatenate([grad, 0 * grad], -1), np.concatenate([y, y], -1), **keywords)
        own, summed = np.split(both, 2, -1)
        return np.maximum(np.abs(own - summed), np.abs(summed))
    top = np.max(big[1 if op.loop == "spread" else 0], -1)
    if op.loop == "reduce":
        return np.maximum(np.abs(true), np.abs(top))
    if op.loop == "shift":
        return true
    x, centre = (big[0], top) if op.loop == "normalise" else (big[1], big[2])
    return np.abs(true) * (1 + np.abs(x - centre[..., None]) / 4)


def error(op, arrays, result, **keywords):
    """The worst error in ulp of what a public function returned: of the largest term where terms cancel, see `size`."""
    dtype = next(a.dtype for a in arrays if a.dtype.kind not in "iu")
    true = exact(op, arrays, **keywords)
    sizes = size(op, arrays, true, **keywords)
    if not isinstance(true, tuple):
        result, true, sizes = (result,), (true,), (sizes,)
    worst = 0.0
    for got, should, scale in zip(result, true, sizes, strict=True):
        if np.asarray(should).dtype.kind in "iu":
            worst = max(worst, 0.0 if np.array_equal(got, should) else np.inf)
        else:
            worst = max(worst, float(np.max(ulp(got, should, dtype, scale), initial=0)))
    return worst
