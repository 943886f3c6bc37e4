"""What the tests share: backends, arguments made from the register, points worth testing, and comparison by bits and by ulp."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import fastact as fa
from fastact import measure
from fastact.backends import levels
from fastact.measure import defaults
from fastact.register import public_name

inf, nan = float("inf"), float("nan")
ROOT = pathlib.Path(fa.__file__).parent
"""The package under test: its compiled modules are there."""
SOURCE = pathlib.Path(__file__).resolve().parent.parent
"""The checkout: what is written by hand is there."""
BACKENDS = [*(f"cython {level}" for level in levels()), "numba", "numpy"]
FUSED = [name for name in BACKENDS if name in ("cython v3", "cython v4", "cython native", "numba")]
"""Backends with a fused multiply-add: they promise the same bits."""
OPS = list(fa.ops.values())
MAPS = [op for op in OPS if op.kind == "map"]
FORWARD_MAPS = [op for op in MAPS if not op.is_backward]
ROWS = [op for op in OPS if op.kind == "rows"]
LOSSES = [op for op in OPS if op.page == "losses"]
DTYPES = ["float16", "float32", "float64"]
WIDE_TYPES = [np.dtype("f4"), np.dtype("f8")]
INTEGERS = [np.dtype(c) for c in "?bBhHiIlLqQ"]
ROW_LENGTHS = [1, 2, 3, 10, 15, 16, 17, 63, 64, 65, 66, 67, 1000, 1024, 1025, 1034, 2500]
TURNED = (
    np.asfortranarray,
    lambda a: np.repeat(a, 2, -1)[..., ::2],
    lambda a: a[::-1].copy()[::-1],
    lambda a: a.astype(a.dtype.newbyteorder()),
)
"""Each gives an array of the same numbers, laid out in memory in another way."""
every_op = pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
every_map = pytest.mark.parametrize("op", MAPS, ids=lambda op: op.name)
every_row = pytest.mark.parametrize("op", ROWS, ids=lambda op: op.name)
every_backend = pytest.mark.parametrize("backend", BACKENDS)
every_type = pytest.mark.parametrize("dtype", [np.dtype(name) for name in DTYPES], ids=str)


def namespace(backend):
    """The functions of a backend, named as in `BACKENDS`."""
    name, _, level = backend.partition(" ")
    return fa.get_backend(name, level=level or None)


def function(backend, op):
    return getattr(namespace(backend), public_name(op))


def settings(op):
    """The default parameters, and others that satisfy the rules."""
    if not defaults(op):
        return [{}]
    other = {name: 0.75 * value + 0.5 for name, value in defaults(op).items()}
    assert all(rule.holds(other) for rule in op.rules)
    return [defaults(op), other]


def wide(array):
    """The same numbers in a dtype that can judge them."""
    with np.errstate(all="ignore"):  # NumPy's conversions warn of signalling nans
        return np.asarray(array).astype(np.longdouble if np.asarray(array).dtype == np.float64 else np.float64)


def compute_type(dtype):
    return np.dtype(dtype).type if np.dtype(dtype) != np.float16 else np.float32


def exact(op, arrays, params=None, dtype=None, **options):
    """The reference in higher precision, with the parameters rounded as the kernels get them."""
    dtype = dtype or arrays[0].dtype
    rounded = {name: wide(compute_type(dtype)(value)) for name, value in (params or defaults(op)).items()}
    judge = np.longdouble if dtype == np.float64 else np.float64
    with np.errstate(all="ignore"):
        widened = [np.asarray(a).astype(judge) if np.asarray(a).dtype.kind == "f" else a for a in arrays]
    return op(*widened, **rounded, **options)


def largest_term(op, arrays, params, true):
    """What the error of a slope is measured by, with grad = 1: the largest of the terms whose sum it is."""
    rounded = {name: np.longdouble(compute_type(arrays[0].dtype)(value)) for name, value in params.items()}
    with np.errstate(all="ignore"):
        return measure.size(op, arrays, true.astype(np.longdouble), **rounded)


def ulp(result, true, dtype, term=None):
    """The error in units in the last place, of signalling nans too, which NumPy's conversions warn of."""
    with np.errstate(all="ignore"):
        return measure.ulp(result, true, dtype, term)


def same(got, want, message=""):
    """Assert the same bits, dtype and shape; every nan is like every other."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.dtype == want.dtype, (message, got.dtype, want.dtype)
    assert got.shape == want.shape, (message, got.shape, want.shape)
    if not different(got, want).any():
        return
    wrong = different(got, want)
    place = np.unravel_index(np.argmax(wrong), got.shape) if got.ndim else ()
    raise AssertionError(f"{message}: {wrong.sum()} of {got.size} differ, first at {place}: {got[place]!r} for {want[place]!r}")


def different(got, want):
    if got.dtype.kind != "f":
        return got != want
    word = f"u{got.dtype.itemsize}"
    native = got.dtype.newbyteorder("=")
    one, two = (np.ascontiguousarray(a, native).view(word) for a in (got, want))
    return ((one != two) & ~(np.isnan(got) & np.isnan(want))).reshape(got.shape)


def specials(dtype):
    info = np.finfo(dtype)
    positive = [0.0, info.smallest_subnormal, info.smallest_normal, info.eps, 1.0, 3.0, 1e3, info.max, inf, nan]
    values = np.array(positive, dtype)
    return np.concatenate([values, -values])


def points(dtype, count=4000, seed=1):
    """Numbers that find errors: random bit patterns, uniform ones, tiny ones, the tails, neighbours of round numbers, specials."""
    rng = np.random.default_rng(seed)
    info = np.finfo(dtype)
    word = np.dtype(f"u{info.dtype.itemsize}")
    patterns = rng.integers(0, np.iinfo(word).max, count, dtype=word, endpoint=True).view(dtype)
    tail = -np.log(float(info.smallest_subnormal)) + 5
    spread = [rng.uniform(-s, s, count) for s in (1, 4, 12, 40, tail)]
    small = np.sign(rng.uniform(-1, 1, count)) * 2.0 ** rng.uniform(-30, 1, count)
    root = np.linspace(-np.sqrt(2 * tail), np.sqrt(2 * tail), count)  # where exp(-x * x / 2) ends
    round_numbers = np.concatenate([np.arange(-20, 21) / 2, 0.25 * np.arange(-8, 9), [tail, -tail, 88, -88, 104, -104]]).astype(dtype)
    near = [round_numbers]
    for _ in range(3):
        near = [np.nextafter(near[0], info.dtype.type(-inf)), *near, np.nextafter(near[-1], info.dtype.type(inf))]
    subnormal = (np.arange(1, 200) * float(info.smallest_subnormal)).astype(dtype)
    with np.errstate(over="ignore"):
        narrow = [np.asarray(a).astype(dtype) for a in (*spread, small, root)]
    return np.concatenate([patterns, *narrow, *near, subnormal, -subnormal, specials(dtype)])


def inputs(op, x, params=None, grad=None, seed=2):
    """Arguments for an elementwise operation at the points `x`: its output where it reads that; grad random, or as given."""
    rng = np.random.default_rng(seed)
    if grad is None:
        grad = rng.standard_normal(x.shape).astype(x.dtype)
    y = None
    if "y" in op.inputs:
        with np.errstate(all="ignore"):
            y = exact(op.forward, [x], params, x.dtype).astype(x.dtype)
    given = {"x": x, "y": y, "grad": np.broadcast_to(np.asarray(grad, x.dtype), x.shape).copy()}
    return [given[name] for name in op.inputs]


def sample(op, shape, dtype, seed=3):
    """Ordinary arguments of a shape for an elementwise operation, a few special values among them."""
    rng = np.random.default_rng(seed)
    x = (4 * rng.standard_normal(shape)).astype(dtype)
    flat = x.reshape(-1)
    flat[:: max(1, flat.size // 12)] = np.resize(specials(dtype), flat[:: max(1, flat.size // 12)].size)
    return inputs(op, x)


def row_sample(op, shape, dtype, axis=-1, seed=4):
    """Ordinary arguments for a row function."""
    rng = np.random.default_rng(seed)
    x = (4 * rng.standard_normal(shape)).astype(dtype)
    forward = op.forward or op
    reduces = forward.core.endswith("->()")
    y = np.asarray(forward(wide(x), axis=axis)).astype(dtype)
    grad = rng.standard_normal(np.shape(y) if reduces else shape).astype(dtype)
    given = {"x": x, "y": y, "grad": grad}
    return [given[name] for name in op.inputs]


def python(code, timeout=120, **environment):
    """Run code in a fresh interpreter; gives its result with text output."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("FASTACT_", "OMP_"))}
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT.parent), *filter(None, [env.get("PYTHONPATH")])])
    env.update(environment)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout, env=env)


def run_python(code, **options):
    """What the code prints; it must succeed without a word on stderr."""
    done = python(code, **options)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


def refuses(call, error, *words, out=None):
    """The call raises `error`, the message holds the words, and `out` keeps its bytes."""
    outs = out if isinstance(out, tuple) else (out,) if out is not None else ()
    before = [a.tobytes() for a in outs]
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    for word in words:
        assert str(word) in message, message
    assert [a.tobytes() for a in outs] == before, "something was written"
    return message
