"""How the operations of the register are called in other libraries: the one place that knows, for timings and for errors.

A library offers *ways*: a function found by the operation's name, or the register's NumPy expression. A way is believed where it
agrees with the reference, loosely, so that fast approximations stay in. Libraries that are not installed are absent.
"""

import contextlib
import functools
import importlib
import itertools

import numpy as np

from fastact import measure

LIBRARIES = {
    "numpy": "peer_expressions",
    "numexpr": "peer_expressions",
    "scipy": "peer_expressions",
    "torch": "peer_torch",
    "jax": "peer_compiled",
    "onnxruntime": "peer_compiled",
}
"""The libraries by name, and the file that holds the class of each; the class is the one whose ``name`` it is."""

NAMES = {
    "cross_entropy": ("softmax_cross_entropy_loss",),
    "gelu_tanh": ("fast_gelu", "gelu"),
    "gelu_tanh_backward": ("gelu_backward",),
    "hard_tanh": ("clip",),
    "log_softmax_backward": ("_log_softmax_backward_data",),
    "logsumexp": ("reduce_log_sum_exp",),
    "maxout": ("max",),
    "prelu_backward": ("_prelu_kernel_backward",),
    "relu_backward": ("threshold_backward",),
    "silu": ("quick_gelu",),
    "softmax_backward": ("_softmax_backward_data",),
}
"""Names under which other libraries know an operation, beyond our own and its aliases. A wrong one does no harm: it is not believed."""

FLAGS = ({}, {"approximate": "none"}, {"approximate": "tanh"}, {"approximate": True}, {"approximate": False})
"""Keywords that choose among functions of the same name."""

SAMPLE, TOLERANCE = 600, {"rtol": 1e-3, "atol": 1e-5}
HALF_TOLERANCE = {"float16": {"rtol": 1e-2, "atol": 1e-2}, "bfloat16": {"rtol": 5e-2, "atol": 5e-2}}
NEW, OUT, IN_PLACE = "new", "out", "in place"


# ---- what a library is ------------------------------------------------------------------------------------------------


class Way:
    """One way to compute an operation: ``make(arrays, out)`` gives a call without arguments.

    Parameters
    ----------
    label : str
        What is called, as a user of the library would write it.
    make : callable
        Of a list of arrays, and of the array that takes the result, None where the call makes its own.
    hows : tuple
        Where the result may go: `NEW`, `OUT` (prepared memory), `IN_PLACE` (the memory of an argument).
    reads_x : bool
        It takes the function's input where our backward pass takes its output.
    context : callable, optional
        Makes the context in which the calls run, entered outside the timing.
    """

    def __init__(self, label, make, hows=(NEW,), reads_x=False, context=contextlib.nullcontext):
        self.label, self.make, self.hows, self.reads_x, self.context = label, make, hows, reads_x, context

    def __repr__(self):
        return self.label


class Ready:
    """A call with all its memory prepared, and what restores the memory before it may be made again."""

    def __init__(self, call, out=None, restore=None):
        self.call, self.out, self.restore = call, out, restore

    def result(self, library):
        returned = self.call()
        return library.read(self.out if returned is None else returned)


class Library:
    """What the libraries share; each says what its ways are, and how its results are read."""

    name = version = ""
    judged = (NEW, OUT, IN_PLACE)
    """Where the result goes when a way is judged; what is not judged follows from `NEW`."""
    enough = False
    """Whether the first name that is believed stands for all."""
    compiles = False
    """Whether a function is compiled anew for each shape of its arguments."""

    def set_threads(self, count):
        raise NotImplementedError

    def ways(self, op, dtype, axis):
        raise NotImplementedError

    def read(self, result):
        """A result, or several, as arrays."""
        return tuple(map(np.asarray, result)) if isinstance(result, tuple) else np.asarray(result)

    def ready(self, way, how, op, arrays, axis, share=False):
        """Prepare a call on these arrays, which stay as they are: what is overwritten is a copy.

        Calls that `share` write to the same memory, each after it has restored what it overwrites.
        """
        if how == NEW:
            return Ready(way.make(arrays, None))
        memory = measure.scratch if share else np.empty
        if how == OUT:
            out = memory(result_shape(op, arrays, axis), arrays[0].dtype)
            return Ready(way.make(arrays, out), out)
        place = overwritten(op, arrays, axis)
        original, arrays = arrays[place], list(arrays)
        target = arrays[place] = memory(original.shape, original.dtype)
        np.copyto(target, original)
        return Ready(way.make(arrays, target), target, lambda: np.copyto(target, original))


@functools.cache
def library(name):
    """The library of this name, ready for one thread; None where it is not installed."""
    module = importlib.import_module(LIBRARIES[name])
    kind = next(c for c in vars(module).values() if isinstance(c, type) and issubclass(c, Library) and c.name == name)
    try:
        found = kind()
    except ImportError:
        return None
    found.set_threads(1)
    return found


def versions():
    """The version of each library; "absent" where it is not installed."""
    return {name: library(name).version if library(name) else "absent" for name in LIBRARIES}


# ---- help for the libraries -------------------------------------------------------------------------------------------


def squash(name):
    """A name without its spelling: ``log_sigmoid``, ``logsigmoid`` and ``LogSigmoid`` are the same."""
    return name.replace("_", "").lower()


def names(op):
    """The squashed names under which an operation may be found."""
    forward = (op.forward.name, *op.forward.alias) if op.page == "losses" and op.is_backward else ()
    backward = tuple(f"{alias}_backward" for alias in op.forward.alias) if op.is_backward else ()
    return list(dict.fromkeys(map(squash, (op.name, *op.alias, *forward, *backward, *NAMES.get(op.name, ())))))


def lookup(op, spaces):
    """``(label, function)`` for everything callable in the named spaces that bears the name of the operation."""
    for name in names(op):
        for label, space in spaces.items():
            for spelled in _index(space).get(name, ()):
                yield f"{label}.{spelled}", getattr(space, spelled)


@functools.cache
def _index(space):
    found = {}
    for name in dir(space):
        if callable(getattr(space, name, None)) and not isinstance(getattr(space, name), type):
            found.setdefault(squash(name), []).append(name)
    return found


def follow(function, more, keywords, *arrays):
    """A call with more arguments after the arrays."""
    return function(*arrays, *more, **keywords)


def spellings(op, axis, word="axis"):
    """What a call may look like beside its arrays, ``(positional, keywords)``: by default, by keyword, by position."""
    values = measure.defaults(op.forward or op)
    rows = {word: axis} if op.kind in ("rows", "pick") else {}
    for flags in FLAGS:
        given = [((), {**rows, **flags}), ((), {**values, **rows, **flags}), ((*values.values(), *rows.values()), flags)]
        yield from (pair for place, pair in enumerate(given) if pair not in given[:place])


def expression(op, namespace, axis=-1):
    """The register's NumPy expression with another ``np``; it takes rows along the last axis, so others are transposed."""
    function = functools.partial(measure.baseline(op, namespace), **measure.options(op, SAMPLE))
    return function if axis == -1 else lambda *arrays: function(*(a.T for a in arrays)).T


def result_shape(op, arrays, axis):
    """The shape of the result of a function that writes to one array."""
    shape = max((a.shape for a in arrays), key=len)
    return tuple(np.delete(shape, axis)) if op.loop == "reduce" else shape


def overwritten(op, arrays, axis=-1):
    """The argument that a call in place overwrites, by its position; None where none is like the result."""
    shape = result_shape(op, arrays, axis)
    fits = [k for k, a in enumerate(arrays) if a.shape == shape and a.dtype == arrays[0].dtype]
    return fits[0] if fits and one_result(op) else None


def one_result(op):
    """Whether the operation gives one array, which could be written to prepared memory."""
    return op.kind in ("map", "rows") or (op.kind == "channels" and not op.is_backward)


# ---- belief -----------------------------------------------------------------------------------------------------------


def arguments(op, shape, dtype, axis=-1, seed=1):
    """Valid arrays for the operation, and the input x behind a saved output, for libraries that save x instead."""
    shape = measure.shape_of(op, shape) if axis == -1 else shape[::-1]
    arrays = measure.arguments(op, shape, dtype, np.random.default_rng(seed))
    x = measure.sample((op.forward or op).domain, shape, dtype, np.random.default_rng(seed)) if "y" in op.inputs else None
    if axis == 0:
        arrays, x = [np.ascontiguousarray(a.T) for a in arrays], None if x is None else np.ascontiguousarray(x.T)
    return arrays, x


def given(op, way, arrays, x):
    """The arrays as the way takes them: with x for y where it reads the input."""
    return [x if name == "y" else a for name, a in zip(op.inputs, arrays, strict=True)] if way.reads_x else arrays


@functools.lru_cache(maxsize=64)
def _judge(op, dtype, axis):
    shape = measure.shape_of(op, SAMPLE)
    arrays, x = arguments(op, shape if axis == -1 else shape[::-1], dtype, axis)
    keywords = {**measure.options(op, SAMPLE), **({"axis": axis} if op.kind == "rows" else {})}
    return arrays, x, measure.exact(op, arrays, **keywords)


@functools.cache
def believed(op, name, dtype="float32", axis=-1):
    """``[(way, how)]`` of a library that agree with the reference, in the order in which the library offers them.

    Of ways with the same label the first that agrees is taken. None where the library is absent.
    """
    found, source = {}, library(name)
    if source is None:
        return None
    possible = places(op, dtype, axis)
    for way in source.ways(op, np.dtype(dtype), axis):
        hows = [how for how in way.hows if how in possible and (way.label, how) not in found]
        agree = [how for how in hows if how in source.judged and agrees(source, way, how, op, dtype, axis)]
        agree += [how for how in hows if how not in source.judged and agree]
        found.update({(way.label, how): (way, how) for how in agree})
        if found and source.enough:
            break
    return list(found.values())


def places(op, dtype, axis):
    """Where a result of the operation may go."""
    if not one_result(op):
        return (NEW,)
    return (NEW, OUT) if overwritten(op, _judge(op, dtype, axis)[0], axis) is None else (NEW, OUT, IN_PLACE)


def agrees(source, way, how, op, dtype, axis):
    """Whether a way gives the reference's results, in the right dtype, and leaves its arguments alone."""
    arrays, x, true = _judge(op, dtype, axis)
    arrays = given(op, way, arrays, x)
    copies = [a.copy() for a in arrays]
    try:
        with np.errstate(all="ignore"):
            ready = source.ready(way, how, op, copies, axis)
            with way.context():
                results = ready.result(source)
    except Exception:  # another signature, another dtype, another meaning: it is no peer
        return False
    if not all(map(np.array_equal, arrays, copies)):
        return False
    pairs = list(zip(*(r if isinstance(r, tuple) else (r,) for r in (results, true)), strict=False))
    if isinstance(true, tuple) and len(results) != len(true):
        return False
    return all(close(got, np.asarray(should), dtype) for got, should in pairs)


def close(got, should, dtype):
    right = got.dtype == dtype or got.dtype.kind in "iu" or got.ndim == 0
    near = HALF_TOLERANCE.get(dtype, TOLERANCE)
    return bool(right and got.shape == should.shape and np.allclose(got.astype(float), should.astype(float), **near))


def evaluate(op, name, arrays, x=None, axis=-1):
    """What a library makes of these arrays, which stay as they are: an array or a tuple of them, None where it has no such function.

    Parameters
    ----------
    op : Op
        The operation; its parameters have their defaults (``pieces`` is that of `measure.arguments`).
    name : str
        One of `LIBRARIES`.
    arrays : list of ndarray
        For ``op.inputs``, float32 or float64.
    x : ndarray, optional
        For a backward pass that reads the output: the input behind it. Without it, ways that read the input are left out.
    """
    dtype = next(a.dtype.name for a in arrays if a.dtype.kind == "f")
    for way, how in believed(op, name, dtype, axis) or ():
        if how != IN_PLACE and not (way.reads_x and x is None):
            with np.errstate(all="ignore"):
                ready = library(name).ready(way, how, op, given(op, way, arrays, x), axis)
                with way.context():
                    return ready.result(library(name))
    return None


# ---- time -------------------------------------------------------------------------------------------------------------


class Peer(measure.Contender):
    """A way of a library as a contender: it rotates over prepared buffers, or shares memory that does not fit in the cache."""

    def __init__(self, source, way, how, op, arrays, x=None, axis=-1):
        arrays = given(op, way, arrays, x)
        sets = measure.rotated(arrays)
        ready = [source.ready(way, how, op, some, axis, share=len(sets) == 1) for some in sets]
        restores = [one.restore for one in ready if one.restore]
        super().__init__((one.call for one in ready), (lambda: [restore() for restore in restores]) if restores else None)
        self.way, self.how = way, how

    def round(self):
        with self.way.context():
            return super().round()


def contenders(op, name, arrays, x=None, axis=-1):
    """Every believed way of a library as a contender on these arrays, which stay as they are.

    Where something writes to prepared memory, ways that make a new array are left out.
    """
    dtype = next(a.dtype.name for a in arrays if a.dtype.kind in "fV")
    ways = believed(op, name, dtype, axis) or ()
    prepared = any(how == OUT for _, how in ways)
    return [Peer(library(name), way, how, op, arrays, x, axis) for way, how in ways if how != NEW or not prepared]


def products(options):
    """All choices of one value for each key."""
    return [dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())]
