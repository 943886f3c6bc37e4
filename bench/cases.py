"""What the benchmarks time: an operation on arrays of a shape and dtype, and our own backends as contenders on them."""

import functools
import math

import numpy as np
import peers

import fastact as fa
from fastact import measure
from fastact.register import public_name

BACKENDS = [name for name, label in measure.available().items() if name != "numpy" and "absent" not in label]
LARGE = 1_000_000  # elementwise arguments beyond this are repetitions: the reference that makes a saved output is slow


class Case:
    """One group: an operation with the shape and dtype of its input; rows lie along `axis`."""

    def __init__(self, op, shape, dtype, axis=-1, size=None):
        self.op, self.shape, self.dtype, self.axis, self.size = op, shape, dtype, axis, size
        words = [public_name(op), "x".join(map(str, shape)), *(["axis 0"] if axis == 0 else []), dtype]
        self.name = " ".join(words)
        self.elements = math.prod(shape)

    @functools.cached_property
    def keywords(self):
        given = measure.options(self.op, self.shape)
        return {**given, "axis": self.axis} if self.axis != -1 else given

    def given(self):
        """The arguments, and the input behind a saved output."""
        if self.op.kind != "map" or self.elements <= LARGE:
            return peers.arguments(self.op, self.shape, self.dtype, self.axis)
        arrays, x = peers.arguments(self.op, LARGE, self.dtype)
        return [np.resize(a, self.shape) for a in arrays], None if x is None else np.resize(x, self.shape)

    def arrays(self):
        return self.given()[0]


def ours(case, backend, how=measure.in_place, arrays=None):
    """One of our backends as a contender, in place or as `how` says."""
    arrays = case.arrays() if arrays is None else arrays
    return how(measure.call(fa.get_backend(backend), case.op), case.op, arrays, case.keywords)


def entries(case, backend, arrays):
    """``{how: contender}`` for each way in which one of our backends can be called: like a peer where the result is one array."""
    op = case.op
    if peers.one_result(op):
        function = functools.partial(measure.call(fa.get_backend(backend), op), **case.keywords)
        way = peers.Way(backend, lambda some, out: functools.partial(function, *some, out=out))
        hows = [peers.OUT] if peers.overwritten(op, arrays, case.axis) is None else [peers.IN_PLACE, peers.OUT]
        return {how: peers.Peer(peers.Library(), way, how, op, arrays, axis=case.axis) for how in hows}
    hows = {peers.OUT: measure.into, **({peers.IN_PLACE: measure.in_place} if op.kind != "pick" and op.is_backward else {})}
    return {name: ours(case, backend, how, arrays) for name, how in hows.items()}
