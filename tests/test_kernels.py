"""The numbers of the elementwise kernels: error in ulp on every backend and level, limits, nan, and the same bits everywhere."""

import functools

import numpy as np
import pytest
from support import (
    BACKENDS,
    FORWARD_MAPS,
    FUSED,
    MAPS,
    WIDE_TYPES,
    compute_type,
    every_map,
    exact,
    function,
    inf,
    inputs,
    largest_term,
    points,
    same,
    settings,
    specials,
    ulp,
    wide,
)

COMPILED = [name for name in BACKENDS if name != "numpy"]
every_type = pytest.mark.parametrize("dtype", WIDE_TYPES, ids=str)


@functools.cache
def judged(op, dtype, number):
    """Points for an operation, its parameters, the true values, and the term that errors are measured by."""
    params = settings(op)[number]
    x = points(dtype)
    if op.is_backward:
        arguments = inputs(op, x, params, grad=1)
        if "y" in op.inputs:  # outputs anywhere in the range, its ends included, and their neighbours
            ends = np.clip(np.array(op.forward.range), -np.finfo(dtype).max, np.finfo(dtype).max)
            low, high = np.clip(ends, -50, 50)
            more = [np.linspace(low, high, 4000), low + np.geomspace(1e-30, high - low, 999), high - np.geomspace(1e-30, high - low, 999)]
            y = np.concatenate([np.concatenate(more).astype(dtype), np.nextafter(ends.astype(dtype), 0), ends.astype(dtype)])
            arguments = [np.concatenate([arguments[0], np.ones_like(y)]), np.concatenate([arguments[1], y])]
        true = exact(op, arguments, params)
        return arguments, params, true, largest_term(op, arguments, params, true)
    return [x], params, exact(op, [x], params), None


def bound(op, dtype):
    return op.ulp[dtype == np.float64]


def assert_within(op, got, arguments, params, true, term, limit):
    error = ulp(got, true, got.dtype, term)
    worst = int(np.argmax(np.where(np.isnan(error), inf, error)))
    assert error[worst] <= limit, (
        f"{op.name}({', '.join(repr(a[worst]) for a in arguments)}, {params}) = {got[worst]!r}, truth {true[worst]!r}: "
        f"{error[worst]:.4g} ulp, {int((error > limit).sum())} of {error.size} beyond {limit}"
    )


# ---- error ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", COMPILED)
@every_type
@every_map
def test_error_in_ulp(op, dtype, backend):
    for number in range(len(settings(op))):
        arguments, params, true, term = judged(op, dtype, number)
        got = function(backend, op)(*arguments, **params)
        # A bound of 0 or 1/2 ulp still allows that the last digit of a long double decides a tie.
        assert_within(op, got, arguments, params, true, term, max(bound(op, dtype), 0.5001))


@pytest.mark.parametrize("backend", COMPILED)
@every_type
@pytest.mark.parametrize("op", [op for op in MAPS if op.is_backward], ids=lambda op: op.name)
def test_gradient_scales_the_slope(op, dtype, backend):
    arguments, params, true, term = judged(op, dtype, 0)
    grad = np.random.default_rng(5).standard_normal(arguments[0].shape).astype(dtype)
    grad[::7] *= dtype.type(1e6)
    grad[::11] = 0
    keep = np.isfinite(true) & (np.abs(true) > np.finfo(dtype).smallest_normal * 1e9)
    got = function(backend, op)(grad, *arguments[1:], **params)[keep]
    error = np.abs(wide(got) - wide(grad[keep]) * true[keep])
    unit = float(np.finfo(dtype).eps) * np.abs(wide(grad[keep])) * term[keep]
    limit = max(bound(op, dtype), 0.5) + 2
    assert (error <= limit * unit + float(np.finfo(dtype).smallest_subnormal)).all(), grad[keep][np.argmax(error / unit)]


@every_type
@every_map
def test_the_numpy_backend_is_the_reference(op, dtype):
    for number in range(len(settings(op))):
        arguments, params, *_ = judged(op, dtype, number)
        values = {name: compute_type(dtype)(value) for name, value in params.items()}
        same(function("numpy", op)(*arguments, **params), np.asarray(op(*arguments, **values)).astype(dtype), op.name)


@pytest.mark.parametrize("backend", BACKENDS)
@every_map
def test_half_precision_rounds_once(op, backend):
    """All 65,536 numbers: computed in float32, then rounded once."""
    x = np.arange(65536, dtype=np.uint16).view(np.float16)
    params = settings(op)[-1]
    arguments = inputs(op, x, params, grad=1)
    got = function(backend, op)(*arguments, **params)
    assert got.dtype == np.float16
    true = exact(op, arguments, params)
    term = largest_term(op, arguments, params, true) if op.is_backward else None
    assert_within(op, got, arguments, params, true, term, 0.51)
    same(got, round_to_half(function(backend, op)(*(a.astype(np.float32) for a in arguments), **params)), op.name)


def round_to_half(x):
    with np.errstate(all="ignore"):
        return x.astype(np.float16)


# ---- special values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@every_type
@pytest.mark.parametrize("op", FORWARD_MAPS, ids=lambda op: op.name)
def test_declared_values(op, dtype, backend):
    assert op.at, f"{op.name} declares no value at -inf, 0 and inf"
    f = function(backend, op)
    for point, value in op.at.items():
        for n in (1, 9, 40):  # vector lanes and tails
            got = f(np.full(n, point, dtype))
            assert ulp(got, np.full(n, value, np.longdouble), dtype).max() <= 0.5001, (point, got[0], value)
            assert (np.signbit(got) == np.signbit(value)).all(), (point, got[0], value)


@pytest.mark.parametrize("backend", BACKENDS)
@every_type
@pytest.mark.parametrize("op", FORWARD_MAPS, ids=lambda op: op.name)
def test_signs_nan_and_infinities_are_those_of_the_reference(op, dtype, backend):
    x = np.concatenate([specials(dtype), points(dtype, 200)])
    for params in settings(op):
        got, true = function(backend, op)(x, **params), exact(op, [x], params)
        assert (np.isnan(got) == np.isnan(true)).all(), x[np.isnan(got) != np.isnan(true)]
        # Where the truth is below the smallest number, either zero is right.
        told = (np.abs(true) >= np.finfo(dtype).smallest_subnormal) | (x == 0) & (true == 0)
        wrong = told & (np.signbit(got) != np.signbit(true))
        assert not wrong.any(), (params, x[wrong], got[wrong])
        infinite = np.isinf(true)
        assert (got[infinite] == true[infinite]).all()


@pytest.mark.parametrize("backend", BACKENDS)
@every_type
@pytest.mark.parametrize("op", FORWARD_MAPS, ids=lambda op: op.name)
def test_results_stay_in_the_declared_range(op, dtype, backend):
    x = points(dtype)
    got = function(backend, op)(x[~np.isnan(x)])
    low, high = np.array(op.range).astype(dtype)
    slack = (1 + 4 * np.finfo(dtype).eps) if op.range[0] not in (0, -1) else 1
    assert not np.isnan(got).any()
    assert got.min() >= low * slack
    assert got.max() <= high


@pytest.mark.parametrize("backend", BACKENDS)
@every_type
@every_map
def test_nan_in_any_input_gives_nan(op, dtype, backend):
    ordinary = inputs(op, np.linspace(-3, 3, 37).astype(dtype))
    for k in range(len(op.inputs)):
        for sign in (1, -1):
            arguments = [a.copy() for a in ordinary]
            arguments[k][::3] = np.copysign(dtype.type(np.nan), sign)
            got = function(backend, op)(*arguments)
            assert np.isnan(got[::3]).all(), op.inputs[k]
            assert not np.isnan(np.delete(got, np.s_[::3])).any()


@pytest.mark.parametrize("backend", BACKENDS)
@every_type
@pytest.mark.parametrize("op", [op for op in MAPS if op.is_backward], ids=lambda op: op.name)
def test_slopes_at_kinks(op, dtype, backend):
    for params in settings(op):
        values = {name: float(compute_type(dtype)(v)) for name, v in params.items()}
        for text, slope in op.forward.kinks.items():
            saved = np.full(9, eval(text, {}, values), dtype)
            if op.reads == ("y",):
                saved = function(backend, op.forward)(saved, **params)
            got = function(backend, op)(np.ones(9, dtype), saved, **params)
            assert np.allclose(got, eval(slope, {}, values), rtol=1e-6, atol=0), (text, params)


@pytest.mark.parametrize("backend", BACKENDS)
@every_type
@pytest.mark.parametrize("op", [op for op in MAPS if op.is_backward], ids=lambda op: op.name)
def test_gradient_at_infinity(op, dtype, backend):
    x = np.array([-inf, inf], dtype)
    for params in settings(op):
        saved = x if op.reads == ("x",) else function(backend, op.forward)(x, **params)
        got = function(backend, op)(np.full(2, 3, dtype), saved, **params)
        want = 3 * exact(op, [np.ones(2, dtype), saved], params)
        assert np.isfinite(want).all()
        unit = 3 * largest_term(op, [np.ones(2, dtype), saved], params, want / 3) * np.finfo(dtype).eps
        assert (np.abs(got - want) <= 4 * unit).all(), (params, got, want)


# ---- the same bits ----------------------------------------------------------------------------------------------------


@every_type
@every_map
def test_fused_backends_give_the_same_bits(op, dtype):
    assert len(FUSED) >= 1
    for number in range(len(settings(op))):
        arguments, params, *_ = judged(op, dtype, number)
        want = function(FUSED[0], op)(*arguments, **params)
        for other in FUSED[1:]:
            same(function(other, op)(*arguments, **params), want, f"{op.name} {params} {other} beside {FUSED[0]}")


@pytest.mark.parametrize("backend", BACKENDS)
@every_type
@every_map
def test_bits_depend_on_the_element_alone(op, dtype, backend):
    """Whatever stands beside it, and wherever it stands, an element gives the same bits."""
    x = np.concatenate([specials(dtype), points(dtype, 60)])
    arguments = inputs(op, x)
    want = function(backend, op)(*arguments)
    order = np.random.default_rng(6).permutation(x.size)
    same(function(backend, op)(*(a[order] for a in arguments)), want[order], "permuted")
    count = x.size if backend != "numpy" else 30
    singly = [function(backend, op)(*(a[i : i + 1] for a in arguments)) for i in range(count)]
    same(np.concatenate(singly), want[:count], "one by one")
