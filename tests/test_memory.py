"""Memory: in place means no array is made, nothing grows over many calls, and nobody writes beyond an output."""

import gc
import resource
import sys
import tracemalloc

import numpy as np
import pytest
from support import BACKENDS, LOSSES, MAPS, OPS, ROWS, function, public_name, row_sample

import fastact as fa

F4 = np.dtype("f4")
MEGABYTE = 1 << 20
SMALL = 64 * 1024  # an in-place call may make small objects; an array of the tests' size, 1 MB, would show
COMPILED = [name for name in BACKENDS if name != "numpy"]


def arguments_for(op, shape=(512, 512)):
    x = np.random.default_rng(1).standard_normal(shape).astype(F4)
    if op.kind == "map":
        return [x.copy() for _ in op.inputs], {}
    if op.kind == "rows":
        return row_sample(op, shape, F4), {"axis": -1}
    if op.kind == "row_loss":
        return [x, np.arange(shape[0]) % shape[1]], {}
    if op.kind == "pick":
        return ([x[:, 0].copy(), np.arange(shape[0]) % shape[1]], {"pieces": shape[1]}) if op.is_backward else ([x], {})
    return [np.full(shape[1], 0.25, F4) if name == "weight" else x.copy() for name in op.inputs], {}


def peak(call):
    """The most memory in use during a call, beyond what was in use before; NumPy reports its arrays to tracemalloc."""
    call()
    gc.disable()  # arrays go when the last reference goes
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        gc.enable()


IN_PLACE = [op for op in OPS if op.kind in ("map", "channels") or (op.kind == "rows" and op.core.endswith("->(n)")) or op.page == "losses"]


@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.parametrize("op", [op for op in IN_PLACE if op.page != "losses" or op.is_backward], ids=lambda op: op.name)
def test_in_place_makes_no_array(op, backend):
    f = function(backend, op)
    arguments, options = arguments_for(op)
    for k, a in enumerate(arguments):
        if a.shape == (512, 512) and (op.page != "losses" or k == 0):
            assert peak(lambda a=a: f(*arguments, **options, out=a)) < SMALL, op.inputs[k]
    assert peak(lambda: f(*arguments, **options)) >= MEGABYTE, "out of place makes one array: this test would see it"


@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.parametrize("shape", [(MEGABYTE // 16, 4), (16, MEGABYTE // 16), (4, MEGABYTE // 16)], ids=str)
@pytest.mark.parametrize("axis", [0, 1])
def test_results_given_make_no_array(shape, axis, backend):
    for op in (op for op in OPS if op.kind == "pick" and not op.is_backward):
        f, backward = function(backend, op), function(backend, op.backward_op)
        x = np.random.default_rng(1).standard_normal(shape).astype(F4)
        out = f(x, axis)
        assert peak(lambda f=f, x=x, out=out: f(x, axis, out=out)) < SMALL
        assert peak(lambda f=backward, x=x, out=out: f(*out, shape[axis], axis, out=x)) < SMALL


@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.parametrize("op", [op for op in LOSSES if not op.is_backward], ids=lambda op: op.name)
def test_losses_make_no_array(op, backend):
    arguments, options = arguments_for(op)
    assert peak(lambda: function(backend, op)(*arguments, **options)) < SMALL


@pytest.mark.parametrize("op", [op for op in ROWS if op.core == "(n)->(n)"], ids=lambda op: op.name)
def test_columns_and_strides_in_place_make_no_array(op):
    f = getattr(fa, op.name)
    x = np.random.default_rng(1).standard_normal((512, 1024)).astype(F4)
    assert peak(lambda: f(x, axis=0, out=x)) < SMALL
    half = x[:, ::2]
    assert peak(lambda: f(half, out=half)) < SMALL
    narrow = x.astype(np.float16)
    assert peak(lambda: f(narrow, out=narrow)) < SMALL


@pytest.mark.parametrize("op", [op for op in MAPS if not op.is_backward], ids=lambda op: op.name)
def test_strides_and_halves_in_place_make_no_array(op):
    f = getattr(fa, op.name)
    for x in (np.ones((512, 1024), F4)[:, ::2], np.ones((512, 1024), np.float16), np.asfortranarray(np.ones((512, 512), F4))):
        assert peak(lambda x=x: f(x, out=x)) < SMALL


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_nothing_grows_over_many_calls(op):
    f = getattr(fa, public_name(op))
    arguments, options = arguments_for(op, (3, 4))
    swapped = [a.astype(a.dtype.newbyteorder()) for a in arguments]
    out = {"out": np.zeros((3, 4), F4)} if op in IN_PLACE and (op.page != "losses" or op.is_backward) else {}

    def calls(count):
        for _ in range(count):
            f(*arguments, **options)
            f(*swapped, **options, **out)

    calls(5)
    tracemalloc.start()
    try:
        calls(5)
        growth = []
        while len(growth) < 20 and (not growth or growth[-1] >= 200 * 8):  # Python's own pools fill up at first; a leak goes on
            before = tracemalloc.get_traced_memory()[0]
            calls(200)
            growth.append(tracemalloc.get_traced_memory()[0] - before)
        assert growth[-1] < 200 * 8, f"a pointer a call or more, all the time: {growth}"
    finally:
        tracemalloc.stop()


def test_the_process_does_not_grow():
    """Buffers of the engine are not Python's: the resident size must not grow either."""
    x = np.random.default_rng(1).standard_normal((64, 3000))
    halves = x.astype(np.float16)
    labels = np.zeros(64, int)

    def calls(count):
        for _ in range(count):
            fa.softmax(x[:, ::2])
            fa.log_softmax(halves)
            fa.cross_entropy(x, labels)
            fa.mse_loss(x, x)
            fa.gelu(halves)

    calls(20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    calls(200)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * 1024


@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_nothing_is_written_beyond_the_output(op, backend):
    f = function(backend, op)
    if not (op in IN_PLACE and (op.page != "losses" or op.is_backward)):
        return
    for shape in [(1, 1), (1, 7), (5, 3), (2, 64), (65, 2), (3, 1030)]:
        arguments, options = arguments_for(op, shape)
        for dtype in ("f4", "f8", "f2"):
            given = [a.astype(dtype) if a.dtype.kind == "f" else a for a in arguments]
            guarded = np.full(shape[0] * shape[1] + 128, 77, dtype)
            out = guarded[64:-64].reshape(shape)
            f(*given, **options, out=out)
            assert (guarded[:64] == 77).all()
            assert (guarded[-64:] == 77).all()


@pytest.mark.parametrize("op", [*MAPS, *ROWS], ids=lambda op: op.name)
def test_references_do_not_leak_on_errors(op):
    """A refused call keeps no argument alive."""
    f = getattr(fa, op.name)
    arguments, options = arguments_for(op, (3, 4))
    bad = np.zeros((2, 3, 5), F4)
    calls = [lambda: f(*arguments, out=bad, **options), lambda: f(*arguments, nonsense=bad), lambda: f(*[bad] * 6)]
    count = [sys.getrefcount(thing) for thing in (*arguments, bad, f, f.op)]
    for call in calls * 50:
        with pytest.raises((TypeError, ValueError)):
            call()
    after = [sys.getrefcount(thing) for thing in (*arguments, bad, f, f.op)]
    assert all(abs(a - b) < 20 for a, b in zip(after, count, strict=True)), (count, after)
