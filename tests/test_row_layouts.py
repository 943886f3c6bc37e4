"""The softmax family along any axis, in any layout and dtype, in place: the same bits on every path."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import (
    BACKENDS,
    DTYPES,
    INTEGERS,
    ROW_LENGTHS,
    WIDE_TYPES,
    every_backend,
    every_row,
    exact,
    function,
    inf,
    namespace,
    nan,
    row_sample,
    same,
)

import fastact as fa

every_wide_type = pytest.mark.parametrize("dtype", WIDE_TYPES, ids=str)
WIDTHS = [1, 2, 15, 16, 17, 63, 64, 65, 130]


@every_backend
@every_wide_type
@every_row
def test_rows_and_columns_give_the_same_bits(op, dtype, backend):
    """Whether rows are contiguous, side by side or scattered, alone or among others."""
    f = function(backend, op)
    lengths = ROW_LENGTHS if backend != "numpy" else ROW_LENGTHS[:11]
    for n in lengths:
        for width in WIDTHS if n < 100 else (1, 17, 64):
            arguments = row_sample(op, (width, n), dtype)
            want = f(*arguments, axis=1)
            if backend != "numpy":  # NumPy sums rows and columns in different orders
                columns = [np.ascontiguousarray(a.T) for a in arguments]
                same(f(*columns, axis=0), want.T, f"{n} x {width} columns")
                middle = [np.ascontiguousarray(np.stack([a.T, a.T])) for a in arguments]
                same(f(*middle, axis=1), np.stack([want.T, want.T]), f"{n} x {width}, the middle axis")
                singly = [f(*(a[i] if a.ndim > 1 else a[i : i + 1].reshape(()) for a in arguments), axis=-1) for i in range(min(width, 3))]
                same(np.array(singly), want[:3], f"{n} x {width} one by one")
                wide_rows = [np.pad(a, [(0, 0), (0, 3)])[:, :n] if a.ndim > 1 else a for a in arguments]
                same(f(*wide_rows, axis=1), want, f"{n} x {width} padded")
            strided = [np.repeat(a, 2, axis=-1)[..., ::2] for a in arguments]
            if n >= 64 or backend != "numpy":
                same(f(*strided, axis=1), want, f"{n} x {width} strided")


@pytest.mark.parametrize("backend", [backend for backend in BACKENDS if backend != "numpy"])
@every_wide_type
@every_row
def test_columns_that_are_not_finite(op, dtype, backend):
    """Narrow columns are taken as one run, whose end is filled up: that touches no neighbour, whatever stands in it."""
    f = function(backend, op)
    for n in (10, 17, 40, 1034):
        arguments = row_sample(op, (19, n), dtype)
        for x in arguments:
            x[[0, 5, 18]], x[6], x[12] = -inf, inf, nan
        want = f(*arguments, axis=1)
        same(f(*(np.ascontiguousarray(a.T) for a in arguments), axis=0), want.T, n)


@every_backend
@pytest.mark.parametrize("dtype", DTYPES)
@every_row
def test_axes(op, dtype, backend):
    """Any axis, several, all, negative or as an array's integer; the reference decides what is right."""
    f = function(backend, op)
    tolerance = {"float16": 4e-3, "float32": 4e-6, "float64": 1e-14}[dtype]
    for axis in (0, 1, 2, 3, -1, -2, -4, (0, 1), (1, 3), (3, 1), (0, 2, 3), (2,), None, (0, 1, 2, 3), np.int64(1)):
        arguments = row_sample(op, (3, 4, 5, 2), dtype, axis)
        want = exact(op, arguments, axis=axis)
        got = f(*arguments, axis=axis)
        assert got.dtype == dtype
        assert got.shape == want.shape
        assert np.allclose(got, want.astype(float), rtol=tolerance, atol=tolerance), axis
        same(f(*arguments, axis), got, "axis by position")
        swapped = [a.astype(a.dtype.newbyteorder()) for a in arguments]
        assert np.allclose(f(*swapped, axis=axis), want.astype(float), rtol=tolerance, atol=tolerance)
        out = np.full(want.shape, 7, dtype)
        assert f(*arguments, axis=axis, out=out) is out
        same(out, got, f"out, axis {axis}")
        turned = [a.copy(order="F") for a in arguments]
        assert np.allclose(f(*turned, axis=axis), want.astype(float), rtol=tolerance, atol=tolerance)
    if not op.cores[-1]:
        for axis in (0, -1, (0, 2), None):
            x = row_sample(op, (3, 4, 5), dtype)[0]
            want = f(x, axis)
            for kept in (f(x, axis, True), f(x, axis=axis, keepdims=True)):
                same(kept, want.reshape(np.sum(x, axis, keepdims=True).shape), f"keepdims, axis {axis}")
            same(f(x, axis, keepdims=False), want, "keepdims=False")


@every_backend
@pytest.mark.parametrize("dtype", DTYPES)
@every_row
def test_in_place(op, dtype, backend):
    f = function(backend, op)
    if not op.cores[-1]:
        return
    for shape in ((7, 5), (3, 70), (70, 3), (2, 1030), (5, 4, 6)):
        for axis in (-1, 0, 1, (0, 1), None):
            arguments = row_sample(op, shape, dtype, axis)
            want = f(*arguments, axis=axis)
            for k, core in enumerate(op.cores[:-1]):
                if core:
                    copies = [a.copy() for a in arguments]
                    assert f(*copies, axis=axis, out=copies[k]) is copies[k]
                    same(copies[k], want, f"{shape}, axis {axis}, out={op.inputs[k]}")
                    strided = [np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a for a in arguments]
                    f(*strided, axis=axis, out=strided[k])
                    assert np.allclose(strided[k], want, rtol=1e-2 if dtype == "float16" else 1e-5, atol=1e-6)
                    buffer = np.zeros(arguments[k].size + 3, dtype)
                    source, out = buffer[3:].reshape(shape), buffer[:-3].reshape(shape)
                    source[...] = arguments[k]
                    f(*arguments[:k], source, *arguments[k + 1 :], axis=axis, out=out)
                    assert np.allclose(out, want, rtol=1e-2 if dtype == "float16" else 1e-5, atol=1e-6), "partial overlap"


@given(st.data())
@every_row
def test_any_shape_strides_and_axis(op, data):
    """Random shapes, steps and axes beside the reference."""
    shape = data.draw(st.lists(st.integers(1, 7), min_size=1, max_size=4).map(tuple))
    steps = data.draw(st.lists(st.sampled_from([1, 2, -1, -3]), min_size=len(shape), max_size=len(shape)))
    several = st.sets(st.integers(0, len(shape) - 1), min_size=1).map(tuple)
    axis = data.draw(st.one_of(st.none(), st.integers(-len(shape), len(shape) - 1), several))
    arguments = row_sample(op, shape, np.dtype("f8"), axis)
    laid = []
    for a in arguments:
        big = np.full([abs(s) * n for s, n in zip(steps, a.shape, strict=False)], nan)
        view = big[(*(np.s_[::s] for s in steps[: a.ndim]), ...)]
        view = view[(*(np.s_[:n] for n in a.shape), ...)]
        view[...] = a
        laid.append(view)
    assert np.allclose(getattr(fa, op.name)(*laid, axis=axis), exact(op, arguments, axis=axis).astype(float), rtol=1e-12, atol=1e-14)


@every_backend
@every_row
def test_dtypes_and_lists(op, backend):
    f = function(backend, op)
    for dtype in INTEGERS:
        with np.errstate(all="ignore"):
            real = np.exp(np.zeros(1, dtype)).dtype
        arguments = [np.array([[0, 1, 1], [1, 0, 1]], dtype) if core else np.array([1, 1], dtype) for core in op.cores[:-1]]
        same(f(*arguments, axis=-1), f(*(a.astype(real) for a in arguments), axis=-1), str(dtype))
        same(f(*(a.tolist() for a in arguments), axis=-1).shape, f(*arguments, axis=-1).shape)
    arguments = row_sample(op, (3, 4), np.dtype("f4"))
    for first in DTYPES:
        mixed = [arguments[0].astype(first), *(a.astype("f8") for a in arguments[1:])]
        same(f(*mixed, axis=-1), f(*(a.astype(first) for a in mixed), axis=-1), "the first array decides")
    same(f(*arguments, axis=-1, dtype="f8"), f(*(a.astype("f8") for a in arguments), axis=-1), "dtype=")


@every_backend
@every_row
def test_the_gufunc_behind(op, backend):
    f = function(backend, op)
    assert f.ufunc.signature == op.core
    assert f.ufunc.__name__ == f"fastact_{op.name}", "a name of its own: libraries dispatch by it"
    assert [kind[0] for kind in f.ufunc.types] == ["e", "f", "d"]
    arguments = row_sample(op, (4, 9), np.dtype("f4"))
    same(f.ufunc(*arguments), f(*arguments, axis=-1))
    if op.cores == (True, True):
        copy = arguments[0].copy()
        f.ufunc(copy, out=copy)
        same(copy, f(arguments[0], axis=-1), "in place")


@every_backend
@every_row
def test_subclasses_and_protocols(op, backend):
    f = function(backend, op)
    arguments = row_sample(op, (4, 9), np.dtype("f4"))

    class Tagged(np.ndarray):
        pass

    result = f(*(a.view(Tagged) for a in arguments), axis=-1)
    assert type(result) is Tagged
    same(result.view(np.ndarray), f(*arguments, axis=-1))

    class Wrapped:
        def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
            return ufunc, kwargs.get("axis")

    assert f(Wrapped(), *arguments[1:], axis=0) == (f.ufunc, 0), "the axis is passed on, always"
    if op.options["axis"] is not None:
        assert f(Wrapped(), *arguments[1:]) == (f.ufunc, -1)


@every_backend
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_direct_reductions_give_what_the_generic_path_gives(dtype, backend):
    f = namespace(backend).logsumexp
    for shape in [(5,), (4, 5), (3, 17, 20), (2, 1500), (1, 1)]:
        x = np.random.default_rng(4).standard_normal(shape).astype(dtype)
        for axis in (None, *range(-len(shape), len(shape))):
            for keepdims in (False, True):
                got, want = f(x, axis=axis, keepdims=keepdims), f.generic((x,), {"axis": axis, "keepdims": keepdims})
                assert type(got) is type(want)
                same(got, want, f"{shape}, axis {axis}")
                if np.ndim(want):
                    out = np.empty_like(want)
                    assert f(x, axis, keepdims=keepdims, out=out) is out
                    same(out, want)
        room = np.zeros(x.size + 1, dtype)
        x = room[:-1].reshape(shape)
        same(f(x, axis=-1, out=room[1 : 1 + x.size // shape[-1]].reshape(shape[:-1])), f(np.zeros(shape, dtype), axis=-1), "overlap")


@every_backend
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_direct_calls_with_one_number_a_row_give_what_the_generic_path_gives(dtype, backend):
    f = namespace(backend).logsumexp_backward
    for shape in [(4, 5), (3, 17, 20), (2, 1500), (1, 1), (3, 1), (5, 0), (0, 5)]:
        x = np.random.default_rng(5).standard_normal(shape).astype(dtype)
        for axis in range(-len(shape), len(shape)):
            y = x.sum(axis, keepdims=True)
            for grad, total in ((-y, y), (-y.squeeze(axis), y), (-y.squeeze(axis), y.squeeze(axis))):
                want = f.generic((grad, x, total), {"axis": axis})
                same(f(grad, x, total, axis), want, f"{shape}, axis {axis}")
                for out in (np.empty_like(x), x.copy()):
                    assert f(grad, out if np.array_equal(out, x) else x, total, axis=axis, out=out) is out
                    same(out, want, f"in place, {shape}, axis {axis}")
    x = np.random.default_rng(5).standard_normal((4, 200)).astype(dtype)  # short rows are copied before they are computed
    y = x.sum(1)
    for k in (0, 2):  # a gradient, or the saved output, in the memory of the result
        room = np.zeros(x.size + 5, dtype)
        arguments = [np.ones_like(y), x, y]
        room[3:7] = arguments[k]
        arguments[k] = room[3:7]
        same(f(*arguments, axis=1, out=room[: x.size].reshape(x.shape)), f(np.ones_like(y), x, y, axis=1), "overlap")
    for wrong in (np.ones(5, dtype), np.ones((4, 200), dtype), np.ones((4, 1, 1), dtype)):
        with pytest.raises(ValueError, match="is required"):
            f(wrong, x, y, axis=1)


@every_backend
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_a_python_number_as_gradient_has_no_dtype(dtype, backend):
    lib, x = namespace(backend), np.linspace(-1, 2, 6).astype(dtype)
    same(lib.logsumexp_backward(1.0, x, lib.logsumexp(x)), lib.logsumexp_backward(np.array(1, dtype), x, lib.logsumexp(x)))


def test_the_reduction_of_a_masked_array_is_a_plain_one():
    """A mask as long as the array does not fit the result: it is not seen, as by losses."""
    x = np.ma.masked_array([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]], [[0, 0, 1], [0, 0, 0]])
    for options in ({}, {"axis": 1}, {"axis": 0, "keepdims": True}):
        got = fa.logsumexp(x, **options)
        assert not isinstance(got, np.ma.MaskedArray)
        assert np.array_equal(got, fa.logsumexp(x.data, **options))
