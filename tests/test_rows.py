"""The softmax family: values and error bounds, and rows with nan, infinities, or nothing in them."""

import numpy as np
import pytest
from support import (
    DTYPES,
    FUSED,
    ROW_LENGTHS,
    ROWS,
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
    ulp,
    wide,
)

import fastact as fa

every_wide_type = pytest.mark.parametrize("dtype", WIDE_TYPES, ids=str)


def rows_of(x):
    """Rows of several kinds: ordinary, wide apart, all equal, huge, with a large offset."""
    return np.concatenate([x, 20 * x, 0 * x + 3, x + 1000, x - 1e4, 1e3 * x, 1e30 * x])


# ---- accuracy ---------------------------------------------------------------------------------------------------------


@every_backend
@every_wide_type
@pytest.mark.parametrize("n", ROW_LENGTHS)
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
@every_wide_type
def test_logsumexp_is_exact_to_the_last_digits(dtype, backend):
    for n in ROW_LENGTHS:
        x = (3 * np.random.default_rng(n).standard_normal((50, n))).astype(dtype)
        true = exact(fa.ops["logsumexp"], [x], axis=-1)
        got = namespace(backend).logsumexp(x, axis=-1)
        good = (np.abs(got - true) <= 2 * float(np.finfo(dtype).eps) * np.abs(wide(x)).max(-1)) | (ulp(got, true, dtype) <= 4)
        assert good.all(), n


@every_backend
@every_wide_type
@pytest.mark.parametrize("n", ROW_LENGTHS)
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
@every_wide_type
def test_very_long_rows(dtype, backend):
    """A million terms: sums in blocks, so that the error does not grow with the length."""
    lib, eps = namespace(backend), float(np.finfo(dtype).eps)
    equal = np.full(1_000_000, 0.1, dtype)
    assert np.abs(lib.softmax(equal) * 1e6 - 1).max() <= 4 * eps
    assert abs(float(lib.logsumexp(equal)) - (float(equal[0]) + np.log(1e6))) <= 4 * eps * 14
    x = np.random.default_rng(9).standard_normal(1_000_000).astype(dtype)
    true = exact(fa.ops["softmax"], [x])
    assert (np.abs(lib.softmax(x) - true) <= (4 + wide(x).max() - wide(x)) * eps * true).all()


@every_wide_type
@every_row
def test_fused_backends_agree(op, dtype):
    """Compiled backends with fma give the same bits."""
    for n in ROW_LENGTHS:
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
