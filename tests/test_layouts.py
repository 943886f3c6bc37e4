"""Every path gives the same bits: lengths, alignments, strides, byte orders, masks, overlap and outputs of elementwise functions."""

import numpy as np
import pytest
from support import BACKENDS, DTYPES, MAPS, function, inputs, points, same, sample, specials

SIZES = [*range(68), 255, 256, 257, 511, 512, 513, 1023, 1025, 2049]
pytestmark = [
    pytest.mark.parametrize("backend", BACKENDS),
    pytest.mark.parametrize("dtype", [np.dtype(name) for name in DTYPES], ids=str),
    pytest.mark.parametrize("op", MAPS, ids=lambda op: op.name),
]


def placed(array, offset):
    """A copy of an array that begins `offset` bytes after a multiple of 64."""
    buffer = np.zeros(array.nbytes + 192, np.uint8)
    start = -buffer.ctypes.data % 64 + offset
    view = buffer[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    view[...] = array
    assert view.ctypes.data % 64 == offset % 64
    return view


def layouts(array):
    """The same numbers in the same shape (6, 35), laid out in memory in other ways."""
    rows, columns = array.shape
    record = np.zeros(array.shape, [("tag", "i1"), ("value", array.dtype), ("more", "i1", 3)])
    record["value"] = array
    sparse = np.zeros((rows, 3 * columns), array.dtype)
    sparse[:, ::3] = array
    yield "steps of 3", sparse[:, ::3]
    yield "negative", array[::-1, ::-1].copy()[::-1, ::-1]
    yield "one negative", array[:, ::-1].copy()[:, ::-1]
    yield "Fortran", np.asfortranarray(array)
    yield "field of a record", record["value"]
    yield "swapped bytes", array.astype(array.dtype.newbyteorder())
    yield "swapped and strided", np.asfortranarray(array.astype(array.dtype.newbyteorder()))[:, :]
    yield "misaligned", placed(array, 1)
    yield "padded rows", np.pad(array, ((0, 0), (0, 5)))[:, :columns]


def test_lengths(op, dtype, backend):
    f = function(backend, op)
    arguments = sample(op, 2049, dtype)
    want = f(*arguments)
    for n in SIZES:
        short = [a[:n] for a in arguments]
        same(f(*short), want[:n], f"{n} elements")
        for k in range(len(short)):
            given = [a.copy() for a in short]
            assert f(*given, out=given[k]) is given[k]
            same(given[k], want[:n], f"{n} elements, out={op.inputs[k]}")
            for other, before in zip(given[:k] + given[k + 1 :], short[:k] + short[k + 1 :], strict=True):
                same(other, before, "an input that is not out")


def test_offsets(op, dtype, backend):
    f = function(backend, op)
    arguments = sample(op, 45, dtype)
    want = f(*arguments)
    step = dtype.itemsize if backend != "numpy" else 16
    for offset in [*range(0, 64, step), 1, 3, 63]:
        moved = [placed(a, offset) for a in arguments]
        same(f(*moved), want, f"offset {offset}")
        out = placed(np.zeros(45, dtype), offset)
        assert f(*arguments, out=out) is out
        same(out, want, f"out at offset {offset}")
        assert f(*moved, out=moved[0]) is moved[0]
        same(moved[0], want, f"in place at offset {offset}")


def test_layouts_of_inputs_and_out(op, dtype, backend):
    f = function(backend, op)
    arguments = sample(op, (6, 35), dtype)
    want = f(*arguments)
    same(want, f(*(a.reshape(-1) for a in arguments)).reshape(6, 35), "shape")
    for k in range(len(arguments)):
        for name, other in layouts(arguments[k]):
            same(other.astype(dtype), arguments[k])
            same(f(*arguments[:k], other, *arguments[k + 1 :]), want, f"{op.inputs[k]}: {name}")
    for name, out in layouts(np.zeros((6, 35), dtype)):
        assert f(*arguments, out=out) is out
        same(out.astype(dtype), want, f"out: {name}")
    for k in range(len(arguments)):
        for name, other in layouts(arguments[k]):
            assert f(*arguments[:k], other, *arguments[k + 1 :], out=other) is other
            same(other.astype(dtype), want, f"in place: {name}")


def test_dimensions_and_broadcasting(op, dtype, backend):
    f = function(backend, op)
    line = sample(op, 7, dtype)
    want = f(*line)
    cube = [np.broadcast_to(a, (3, 2, 7)) for a in line]  # strides of zero
    same(f(*cube), np.broadcast_to(want, (3, 2, 7)).copy(), "zero strides")
    turned = [np.ascontiguousarray(a).transpose(2, 0, 1) for a in cube]
    same(f(*turned), np.broadcast_to(want, (3, 2, 7)).transpose(2, 0, 1), "transposed")
    for i in range(7):
        single = [a[i] for a in line]
        same(f(*single), want[i], "NumPy scalars")
        nothing = [np.array(a[i]) for a in line]
        result = f(*nothing)
        assert isinstance(result, np.generic), "a 0-d call gives a scalar, as NumPy's"
        same(result, want[i], "0-d")
        assert f(*nothing, out=nothing[0]) is nothing[0]
        same(nothing[0], want[i], "0-d in place")
    for shape in [(0,), (0, 3), (3, 0, 2)]:
        assert f(*(np.zeros(shape, dtype) for _ in line)).shape == shape
    if len(line) == 2:
        grid = f(line[0][:, None], line[1])
        same(grid, np.array([f(np.full(7, g, dtype), line[1]) for g in line[0]]), "outer")
        same(f(line[0][2], line[1]), grid[2], "a scalar gradient")
        same(f(line[0], line[1][3]), grid[:, 3], "a scalar saved value")


def test_overlap(op, dtype, backend):
    """An output that covers part of an input gives the numbers of an output elsewhere."""
    f = function(backend, op)
    for n in (9, 700):
        arguments = sample(op, n, dtype)
        want = f(*arguments)
        for k in range(len(arguments)):
            for shift in (1, 3, n // 2):
                for forwards in (True, False):
                    buffer = np.zeros(n + shift, dtype)
                    given, out = (buffer[shift:], buffer[:n]) if forwards else (buffer[:n], buffer[shift:])
                    given[...] = arguments[k]
                    assert np.shares_memory(given, out)
                    assert f(*arguments[:k], given, *arguments[k + 1 :], out=out) is out
                    same(out, want, f"{op.inputs[k]} moved by {shift}")
            given = arguments[k].copy()
            f(*arguments[:k], given, *arguments[k + 1 :], out=given[::-1])
            same(given[::-1], want, f"{op.inputs[k]} backwards")


def test_where(op, dtype, backend):
    """Masked calls write where the mask is true, the right numbers, and nowhere else (loops that advance NumPy's pointers fail)."""
    f = function(backend, op)
    rng = np.random.default_rng(8)
    arguments = sample(op, 1100, dtype)
    want = f(*arguments)
    masks = [np.array([1, 0, 1, 1, 0, 1]), np.array([0, 1]), np.array([1, 0]), np.array([0, 0, 0, 1]), np.array([1]), np.array([0])]
    masks = [np.resize(m, 1100).astype(bool) for m in masks] + [rng.random(1100) < share for share in (0.02, 0.5, 0.98)]
    masks.append(np.arange(1100) % 600 < 530)
    for number, mask in enumerate(masks):
        for n in (16, 1100) if backend != "numpy" else (16,):
            kept = np.full(n, 77, dtype)
            assert f(*(a[:n] for a in arguments), where=mask[:n], out=kept) is kept
            same(kept, np.where(mask[:n], want[:n], dtype.type(77)), f"mask {number}, {n} elements")
            given = [a[:n].copy() for a in arguments]
            f(*given, where=mask[:n], out=given[-1])
            same(given[-1], np.where(mask[:n], want[:n], arguments[-1][:n]), f"mask {number} in place, {n} elements")
    strided = [np.repeat(a, 2)[::2] for a in arguments]
    out = np.full(2200, 77, dtype)[::-2]
    f(*strided, where=masks[6], out=out)
    same(out, np.where(masks[6], want, dtype.type(77)), "strided")
    grid = np.full((3, 4), 77, dtype)
    f(*(a[:4] for a in arguments), where=np.array([[True], [False], [True]]), out=grid)
    same(grid, np.where([[True], [False], [True]], want[:4], dtype.type(77)), "broadcast")


def test_output_of_another_dtype(op, dtype, backend):
    """The inputs decide in which dtype is computed; the result is then cast to out's."""
    f = function(backend, op)
    arguments = inputs(op, np.linspace(-4, 4, 300).astype(dtype))
    want = f(*arguments)
    for other in DTYPES:
        out = np.zeros(300, other)
        assert f(*arguments, out=out) is out
        same(out, want.astype(other), f"out of {other}")
    with pytest.raises(TypeError, match="cast"):
        f(*arguments, out=np.zeros(300, np.int32))
    whole = np.zeros(300, np.int32)
    f(*arguments, out=whole, casting="unsafe")
    same(whole, want.astype(np.int32), "unsafe")


def test_values_that_end_a_vector(op, dtype, backend):
    """Each special value at every place of a vector, among ordinary numbers."""
    f = function(backend, op)
    for value in [*specials(dtype)[[0, 1, 8, 9, 18]], points(dtype, 3)[0]]:
        arguments = inputs(op, np.full(33, value, dtype))
        single = f(*(a[:1] for a in arguments))
        same(f(*(np.repeat(a[:1], 33) for a in arguments)), np.repeat(single, 33), f"{value!r} everywhere")
        filler = inputs(op, np.full(33, 1.5, dtype))
        for place in range(33):
            mixed = [a.copy() for a in filler]
            for a, b in zip(mixed, arguments, strict=True):
                a[place] = b[0]
            same(f(*mixed)[place : place + 1], single, f"{value!r} at {place}")
