"""The softmax family: values and error bounds, edge rows, axes, layouts, and the same bits along every axis and path."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import BACKENDS, DTYPES, FUSED, INTEGERS, ROWS, exact, function, inf, namespace, nan, row_sample, same, ulp, wide

import fastact as fa

every_row = pytest.mark.parametrize("op", ROWS, ids=lambda op: op.name)
every_type = pytest.mark.parametrize("dtype", [np.dtype("f4"), np.dtype("f8")], ids=str)
every_backend = pytest.mark.parametrize("backend", BACKENDS)
LENGTHS = [1, 2, 3, 10, 15, 16, 17, 63, 64, 65, 66, 67, 1000, 1024, 1025, 1034, 2500]
WIDTHS = [1, 2, 15, 16, 17, 63, 64, 65, 130]


def cores(op):
    return [core == "(n)" for core in op.core.replace("->", ",").split(",")]


def rows_of(x):
    """Rows of several kinds: ordinary, wide apart, all equal, huge, with a large offset."""
    return np.concatenate([x, 20 * x, 0 * x + 3, x + 1000, x - 1e4, 1e3 * x, 1e30 * x])


# ---- accuracy ---------------------------------------------------------------------------------------------------------


@every_backend
@every_type
@pytest.mark.parametrize("n", LENGTHS)
def test_forward_errors(n, dtype, backend):
    """Each exponential may be wrong by (4 + |x - max|) eps, for x - max is rounded; the smallest results may flush to 0."""
    lib, eps, tiny = namespace(backend), float(np.finfo(dtype).eps), float(np.finfo(dtype).smallest_normal)
    x = rows_of(np.random.default_rng(n).standard_normal((5, n))).astype(dtype)
    below = wide(x).max(-1, keepdims=True) - wide(x)
    true = exact(fa.ops["softmax"], [x])
    assert (np.abs(lib.softmax(x) - true) <= (4 + below) * eps * true + tiny).all()
    assert np.abs(wide(lib.softmax(x)).sum(-1) - 1).max() <= (1e-6 if dtype == "f4" else 1e-14)
    others = np.where(below == 0, 0, np.exp(-below) * (4 + below)).sum(-1, keepdims=True) * eps  # in the sum without the maximum
    for name, keeps, terms in (("log_softmax", {}, below), ("logsumexp", {"keepdims": True}, 0 * below.max(-1, keepdims=True))):
        true = exact(fa.ops[name], [x], axis=-1, **keeps)
        error = np.abs(getattr(lib, name)(x, axis=-1, **keeps) - true)
        assert (error <= 4 * eps * np.abs(true) + others + 2 * eps * terms + tiny).all(), (name, n)


@every_backend
@every_type
def test_logsumexp_is_exact_to_the_last_digits(dtype, backend):
    for n in LENGTHS:
        x = (3 * np.random.default_rng(n).standard_normal((50, n))).astype(dtype)
        true = exact(fa.ops["logsumexp"], [x], axis=-1)
        got = namespace(backend).logsumexp(x, axis=-1)
        good = (np.abs(got - true) <= 2 * float(np.finfo(dtype).eps) * np.abs(wide(x)).max(-1)) | (ulp(got, true, dtype) <= 4)
        assert good.all(), n


@every_backend
@every_type
@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("op", [op for op in ROWS if op.is_backward], ids=lambda op: op.name)
def test_backward_errors(op, n, dtype, backend):
    """4 eps of the terms that cancel."""
    arguments = row_sample(op, (12, n), dtype)
    true = exact(op, arguments, axis=-1)
    got = function(backend, op)(*arguments, axis=-1)
    full = [np.abs(wide(a)) if a.shape == true.shape else np.abs(wide(a))[..., None] for a in arguments]
    sizes = dict(zip(op.inputs, full, strict=True))
    if op.name == "softmax_backward":
        terms = sizes["y"] * (sizes["grad"] + (sizes["grad"] * sizes["y"]).sum(-1, keepdims=True))
    elif op.name == "log_softmax_backward":
        terms = sizes["grad"] + np.exp(wide(arguments[1])) * sizes["grad"].sum(-1, keepdims=True)
    else:
        terms = np.abs(true) * (1 + sizes["x"] + sizes["y"])  # x - y loses as much as it cancels
    assert (np.abs(got - true) <= 4 * float(np.finfo(dtype).eps) * terms).all(), op.name


@every_backend
@pytest.mark.parametrize("dtype", DTYPES)
def test_textbook_numbers(dtype, backend):
    lib = namespace(backend)
    tolerance = {"float16": 1e-3, "float32": 2e-5, "float64": 5e-9}[dtype]
    scores = np.array([24.4, 30.5, 100.8, 10.1, 20.2, 8.9, 5.1]).astype(dtype)
    want = [6.60543742e-34, 2.94508560e-31, 1, 4.06902625e-40, 9.90523443e-36, 1.22556715e-40, 2.74168832e-42]
    if dtype == "float64":
        assert np.allclose(lib.softmax(scores), want, rtol=tolerance, atol=0)
    assert np.allclose(lib.softmax(scores), want, rtol=tolerance, atol=float(np.finfo(dtype).smallest_normal))
    far = lib.softmax(np.array([1010, 1000, 990]).astype(dtype))
    assert np.allclose(far, [9.99954600e-01, 4.53978686e-05, 2.06106005e-09], rtol=max(1e-6, tolerance), atol=1e-7)
    tiny = lib.logsumexp(np.array([0, -40]).astype(dtype))
    if dtype == "float64":
        assert tiny == 4.248354255291589e-18, "log1p(exp(-40)): the sum without its largest term"
        assert np.allclose(lib.log_softmax(np.array([0.0, -40.0])), [-4.248354255291589e-18, -40], rtol=1e-15, atol=0)
    assert np.allclose(lib.logsumexp(np.zeros(1000, dtype)), np.log(1000), rtol=max(1e-6, tolerance))


@every_backend
@every_type
def test_very_long_rows(dtype, backend):
    """A million terms: sums in blocks, so that the error does not grow with the length."""
    lib, eps = namespace(backend), float(np.finfo(dtype).eps)
    equal = np.full(1_000_000, 0.1, dtype)
    assert np.abs(lib.softmax(equal) * 1e6 - 1).max() <= 4 * eps
    assert abs(float(lib.logsumexp(equal)) - (float(equal[0]) + np.log(1e6))) <= 4 * eps * 14
    x = np.random.default_rng(9).standard_normal(1_000_000).astype(dtype)
    true = exact(fa.ops["softmax"], [x])
    assert (np.abs(lib.softmax(x) - true) <= (4 + wide(x).max() - wide(x)) * eps * true).all()


@every_type
@every_row
def test_fused_backends_agree(op, dtype):
    """Compiled backends with fma give the same bits."""
    for n in LENGTHS:
        arguments = row_sample(op, (20, n), dtype)
        want = function(FUSED[0], op)(*arguments, axis=-1)
        for other in FUSED[1:]:
            same(function(other, op)(*arguments, axis=-1), want, f"{other} beside {FUSED[0]}, {n} elements")


# ---- edge rows --------------------------------------------------------------------------------------------------------

EDGES = [  # row, softmax, log_softmax, logsumexp
    ([-inf, 1, 1], [0, 0.5, 0.5], [-inf, -np.log(2), -np.log(2)], 1 + np.log(2)),
    ([-inf, -inf], [nan, nan], [nan, nan], -inf),
    ([1, inf, -inf], [nan] * 3, [nan] * 3, inf),
    ([inf, inf], [nan] * 2, [nan] * 2, inf),
    ([1, nan, 3], [nan] * 3, [nan] * 3, nan),
    ([nan, inf], [nan] * 2, [nan] * 2, nan),
    ([inf, nan], [nan] * 2, [nan] * 2, nan),
    ([-inf, nan], [nan] * 2, [nan] * 2, nan),
    ([5], [1], [0], 5),
    ([-inf], [nan], [nan], -inf),
    ([inf], [nan], [nan], inf),
    ([-1e300, 1e300], [0, 1], [-inf, 0], 1e300),
    ([1e4, -1e4], [1, 0], [0, -2e4], 1e4),
]


@every_backend
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("edge", EDGES, ids=lambda edge: str(edge[0]))
def test_edge_rows(edge, dtype, backend):
    lib = namespace(backend)
    if np.isfinite(edge[0]).all() and np.abs(edge[0]).max() > np.finfo(dtype).max:
        edge = ([-1e4, 3e4], [0, 1], [-4e4, 0], 3e4)
    row, *wants = edge
    row = np.array(row).astype(dtype)
    for name, want in zip(("softmax", "log_softmax", "logsumexp"), wants, strict=True):
        want = np.array(want)
        if name == "log_softmax" and dtype == "float64" and row[0] == -1e300:
            want = np.array([-2e300, 0])
        f = getattr(lib, name)
        good = {"rtol": 2e-3 if dtype == "float16" else 1e-6, "equal_nan": True}
        assert np.allclose(f(row, axis=-1), want, **good), name
        crowd = np.tile(row, (70, 1))
        assert np.allclose(f(crowd, axis=-1), want, **good), f"{name}, many rows"
        columns = np.ascontiguousarray(crowd.T)
        assert np.allclose(f(columns, axis=0), want[..., None], **good), f"{name}, columns"
        crowd[1:] = 1
        others = f(crowd, axis=-1)
        assert np.allclose(others[0], want, **good)
        assert np.isfinite(others[1:]).all(), f"{name}: a row changes its neighbours"


@every_backend
def test_a_nan_or_infinity_anywhere_in_a_row(backend):
    lib = namespace(backend)
    for n in (3, 33, 70, 1030):
        for place in {0, 1, n // 2, n - 2, n - 1}:
            for value, total in ((nan, nan), (inf, inf)):
                x = np.linspace(-1, 1, n, dtype=np.float32)
                x[place] = value
                assert np.isnan(lib.softmax(x)).all()
                assert np.isnan(lib.log_softmax(x)).all()
                assert np.array_equal(lib.logsumexp(x), total, equal_nan=True)


@every_backend
@pytest.mark.parametrize("dtype", DTYPES)
def test_empty_axes_and_single_numbers(dtype, backend):
    lib = namespace(backend)
    for shape, axis in [((0,), -1), ((3, 0), 1), ((0, 3), 0), ((0, 3), 1), ((2, 0, 3), 1), ((2, 0), None), ((2, 3, 0), (0, 2))]:
        x = np.zeros(shape, dtype)
        for f in (lib.softmax, lib.log_softmax):
            assert f(x, axis).shape == shape
            assert f(x, axis).dtype == dtype
        total = lib.logsumexp(x, axis)
        assert total.dtype == dtype
        assert total.shape == np.sum(x, axis).shape
        assert (total == -inf).all()
        assert lib.logsumexp(x, axis, keepdims=True).shape == np.sum(x, axis, keepdims=True).shape
        assert lib.softmax_backward(x, x, axis).shape == shape
        assert lib.logsumexp_backward(total, x, total, axis).shape == shape
    single = np.array(3, dtype)
    for axis in (-1, 0, None, ()):
        assert lib.softmax(single, axis) == 1
        assert lib.log_softmax(single, axis) == 0
        assert lib.logsumexp(single, axis) == 3
    assert lib.softmax(3.0) == 1
    assert lib.logsumexp_backward(np.array(2, dtype), single, single) == 2


# ---- axes, layouts, paths ---------------------------------------------------------------------------------------------


@every_backend
@every_type
@every_row
def test_rows_and_columns_give_the_same_bits(op, dtype, backend):
    """Whether rows are contiguous, side by side or scattered, alone or among others."""
    f = function(backend, op)
    lengths = LENGTHS if backend != "numpy" else LENGTHS[:11]
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
@every_type
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
    if not cores(op)[-1]:
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
    if not cores(op)[-1]:
        return
    for shape in ((7, 5), (3, 70), (70, 3), (2, 1030), (5, 4, 6)):
        for axis in (-1, 0, 1, (0, 1), None):
            arguments = row_sample(op, shape, dtype, axis)
            want = f(*arguments, axis=axis)
            for k, core in enumerate(cores(op)[:-1]):
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
        arguments = [np.array([[0, 1, 1], [1, 0, 1]], dtype) if core else np.array([1, 1], dtype) for core in cores(op)[:-1]]
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
    if cores(op) == [True, True]:
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


def test_the_reduction_of_a_masked_array_is_a_plain_one():
    """A mask as long as the array does not fit the result: it is not seen, as by losses."""
    x = np.ma.masked_array([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]], [[0, 0, 1], [0, 0, 0]])
    for options in ({}, {"axis": 1}, {"axis": 0, "keepdims": True}):
        got = fa.logsumexp(x, **options)
        assert not isinstance(got, np.ma.MaskedArray)
        assert np.array_equal(got, fa.logsumexp(x.data, **options))
