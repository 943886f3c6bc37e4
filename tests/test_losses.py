"""Losses and their gradients: every reduction, target, option and output, beside the reference and by finite differences."""

import numpy as np
import pytest
from support import (
    DTYPES,
    FUSED,
    INTEGERS,
    LOSSES,
    TURNED,
    compute_type,
    defaults,
    every_backend,
    every_type,
    exact,
    inf,
    levels,
    namespace,
    nan,
    run_python,
    same,
    settings,
    ulp,
    wide,
)

import fastact as fa

VALUES = [op for op in LOSSES if op.kind == "loss" and not op.is_backward]
every_loss = pytest.mark.parametrize("op", VALUES, ids=lambda op: op.name)


def pair(shape, dtype, seed=1):
    """Predictions, and targets of which some are 0, 1 and -1."""
    rng = np.random.default_rng(seed)
    target = rng.uniform(0, 1, shape)
    target.reshape(-1)[::3] = np.resize([0, 1, -1], target.reshape(-1)[::3].shape)
    return (3 * rng.standard_normal(shape)).astype(dtype), target.astype(dtype)


def of(backend, op):
    lib = namespace(backend)
    return getattr(lib, op.name), getattr(lib, f"{op.name}_value_and_grad")


# ---- elementwise losses -----------------------------------------------------------------------------------------------


@every_backend
@every_type
@every_loss
def test_values_and_gradients(op, dtype, backend):
    f, both = of(backend, op)
    eps = float(np.finfo(dtype).eps)
    for params in settings(op):
        for shape in [(1,), (7,), (3, 5), (2, 3, 4), (20000,), ()]:
            pred, target = pair(shape, dtype)
            terms, slopes = exact(op, [pred, target], params), exact(op.backward_op, [pred, target], params)
            n = max(1, terms.size)
            each = f(pred, target, reduction="none", **params)
            assert each.dtype == ("f8" if dtype == "f8" else "f4")
            assert each.shape == shape
            scale = 1 + np.abs(wide(pred)) + np.abs(wide(target))  # what is subtracted before anything else
            assert (np.abs(each - terms) <= 8 * eps * scale * (1 + np.abs(terms))).all()
            for reduction, total, share in (("sum", terms.sum(), 1), ("mean", terms.mean(), 1 / n)):
                value = f(pred, target, reduction=reduction, **params)
                assert type(value) is compute_type(dtype)
                assert abs(value - total) <= 8 * float(np.finfo(compute_type(dtype)).eps) * np.abs(scale * (1 + terms)).sum() * share
                again, grad = both(pred, target, reduction=reduction, **params)
                same(again, value, "the value beside the gradient")
                assert grad.dtype == dtype
                assert grad.shape == shape
                slack = float(np.finfo(dtype).smallest_subnormal)
                assert (np.abs(grad - slopes * share) <= 8 * eps * share * (np.abs(slopes) + 1) + slack).all(), reduction
            again, grad = both(pred, target, reduction="none", **params)
            same(again, each)
            same(grad, both(pred, target, reduction="sum", **params)[1])
    same(f(pred, target), f(pred, target, reduction="mean", **defaults(op)), "defaults")


@every_backend
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@every_loss
def test_one_element_in_ulp(op, dtype, backend):
    """Predictions and targets without cancellation between them: the promised error."""
    f, both = of(backend, op)
    rng = np.random.default_rng(3)
    pred = np.concatenate([rng.uniform(-1, 1, 2000) * s for s in (1e-3, 1, 30, 100, 700)]).astype(dtype)
    target = np.resize([0, 1], pred.shape).astype(dtype)
    true = exact(op, [pred, target])
    near = np.abs(wide(pred) * np.where(op.name == "hinge_loss", target, 1) - np.where(target == 0, 0, 1)) < 1e-3
    error = ulp(f(pred, target, reduction="none"), true, dtype)[~near]
    assert error.max() <= max(op.ulp[dtype == "f8"], 0.5001)
    slope = exact(op.backward_op, [pred, target])
    error = ulp(both(pred, target, reduction="sum")[1], slope, dtype, np.where(target != 0, 1, 0))
    assert error.max() <= op.backward_op.ulp[dtype == "f8"]


@every_backend
@every_type
@every_loss
def test_layouts_and_outputs(op, dtype, backend):
    f, both = of(backend, op)
    pred, target = pair((6, 35), dtype)
    value, grad = both(pred, target)
    for turn in TURNED:
        same(f(turn(pred), turn(target)), value)
        for got, want in zip(both(turn(pred), turn(target)), (value, grad), strict=True):
            same(got, want)
        out = turn(np.zeros((6, 35), dtype))
        if out.dtype == dtype:
            again, given = both(pred, target, out=out)
            assert given is out
            same(out, grad, "strided out")
            same(again, value)
    for k in range(2):
        arrays = [pred.copy(), target.copy()]
        again, given = both(*arrays, out=arrays[k])
        assert given is arrays[k]
        same(given, grad, "in place")
        same(again, value, "the value, in place")
        same(arrays[1 - k], (pred, target)[1 - k], "the other is not written")
    buffer = np.zeros(pred.size + 2, dtype)
    source, out = buffer[2:].reshape(6, 35), buffer[:-2].reshape(6, 35)
    source[...] = pred
    same(both(source, target, out=out)[0], value, "overlap in part")
    same(out, grad, "overlap in part")
    same(both(pred, target, out=(tuple_out := np.zeros((6, 35), dtype)))[1], grad)
    same(tuple_out, grad)


@every_backend
@every_loss
def test_dtypes_and_lists(op, backend):
    f, both = of(backend, op)
    for dtype in INTEGERS:
        whole = np.array([0, 1, 1, 0], dtype)
        with np.errstate(all="ignore"):
            real = np.exp(whole).dtype
        assert f(whole, whole).dtype == compute_type(real)
        assert both(whole, whole)[1].dtype == real
        pred = np.array([0.5, 1.5, 2, -1], np.float16)
        same(both(pred, whole)[1], both(pred, whole.astype(np.float16))[1], "integer targets")
    assert f([0.5, 1.0], [0, 1]) == f(np.array([0.5, 1.0]), np.array([0.0, 1.0]))
    assert type(f(0.5, 1.0)) is np.float64
    for first in DTYPES:
        assert both(np.ones(3, first), np.ones(3, np.float64))[1].dtype == first


@every_backend
@every_type
@every_loss
def test_empty_and_nan(op, dtype, backend):
    f, both = of(backend, op)
    empty = np.zeros((0, 3), dtype)
    assert np.isnan(f(empty, empty))
    assert f(empty, empty, reduction="sum") == 0
    assert f(empty, empty, reduction="none").shape == (0, 3)
    value, grad = both(empty, empty)
    assert np.isnan(value)
    assert grad.shape == (0, 3)
    for bad in ([nan, 1], [1, nan]):
        value, grad = both(np.array([bad[0], 1], dtype), np.array([bad[1], 1], dtype), reduction="none")
        assert np.isnan(value).tolist() == [True, False]
        assert np.isnan(grad).tolist() == [True, False]


@every_backend
def test_worked_numbers(backend):
    """By hand, or from the textbooks."""
    lib = namespace(backend)
    assert lib.mse_loss(np.array([1.0, 2.0]), np.array([0.0, 4.0])) == 2.5
    assert lib.smooth_l1_loss(np.array([0.5, 2.0, -3.0]), np.zeros(3), reduction="none").tolist() == [0.125, 1.5, 2.5]
    assert lib.smooth_l1_loss(np.array([0.5, -2.0]), np.zeros(2), beta=0.0, reduction="none").tolist() == [0.5, 2.0]
    assert lib.smooth_l1_loss_value_and_grad(np.array([0.5, -2.0, 0.0]), np.zeros(3), beta=0.0, reduction="none")[1].tolist() == [1, -1, 0]
    assert lib.hinge_loss(np.array([0.5, -2.0, 3.0]), np.array([1.0, -1.0, -1.0]), reduction="none").tolist() == [0.5, 0.0, 4.0]
    assert lib.hinge_loss_value_and_grad(np.array([1.0]), np.array([1.0]))[1].tolist() == [0.0], "slope 0 at the margin"
    logits = np.array([inf, -inf, inf, -inf, 1000.0, -1000.0])
    labels = np.array([1.0, 0.0, 0.0, 1.0, 1.0, 0.0])
    value, grad = lib.binary_cross_entropy_with_logits_value_and_grad(logits, labels, reduction="none")
    assert value.tolist() == [0, 0, inf, inf, 0, 0]
    assert grad.tolist() == [0, 0, 1, -1, 0, 0]
    assert np.allclose(lib.binary_cross_entropy_with_logits(np.zeros(3), np.array([0, 0.5, 1.0]), reduction="none"), np.log(2))
    assert np.allclose(lib.binary_cross_entropy_with_logits(np.array([-100.0]), np.array([0.0])), 3.720075976020836e-44, rtol=1e-12, atol=0)


@every_backend
@every_loss
def test_large_sums_are_exact(op, backend):
    """A million equal float32 terms, summed in double: the mean is the term."""
    f, both = of(backend, op)
    pred, target = np.full(1_000_003, 0.3, np.float32), np.ones(1_000_003, np.float32)
    if backend == "numpy":
        pred, target = pred[:100_003], target[:100_003]
    same(f(pred, target), f(pred[:1], target[:1]))
    same(both(pred, target, out=np.zeros_like(pred))[0], f(pred[:1], target[:1]))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@every_loss
def test_fused_backends_agree(op, dtype):
    pred, target = pair((3000,), np.dtype(dtype))
    for params in settings(op):
        want = of(FUSED[0], op)[1](pred, target, reduction="none", **params)
        for other in FUSED[1:]:
            for got, right in zip(of(other, op)[1](pred, target, reduction="none", **params), want, strict=True):
                same(got, right, f"{other} beside {FUSED[0]}")


@pytest.mark.parametrize("op", [op for op in LOSSES if not op.is_backward], ids=lambda op: op.name)
def test_gradients_are_differences(op):
    """Of the public functions themselves, for every reduction that gives a number."""
    f, both = getattr(fa, op.name), getattr(fa, f"{op.name}_value_and_grad")
    pred, target = pair((4, 5), np.dtype("f8"), seed=5)
    targets = np.array([0, 4, 2, 2]) if op.kind == "row_loss" else np.where(target < 0, 1, target)
    for reduction in ("sum", "mean"):
        grad = both(pred, targets, reduction=reduction)[1]
        for i in np.ndindex(pred.shape):
            up, down = pred.copy(), pred.copy()
            up[i] += 1e-6
            down[i] -= 1e-6
            slope = (f(up, targets, reduction=reduction) - f(down, targets, reduction=reduction)) / 2e-6
            assert abs(slope - grad[i]) < 1e-6, (i, reduction)


SUMS = """
import numpy as np, fastact as fa
for dtype in ("f2", "f4", "f8"):
    for n in (1, 7, 15, 16, 17, 33, 511, 513, 100_003):
        x = np.random.default_rng(n).standard_normal(n).astype(dtype)
        print(float(fa.hinge_loss(x, x, reduction="sum")).hex())
"""


@pytest.mark.skipif(len(levels()) < 2, reason="one instruction-set level alone")
def test_sums_have_the_same_bits_on_every_level():
    """Sums are made by the engine, in the best form that the level allows."""
    assert len({run_python(SUMS, FASTACT_LEVEL=level) for level in levels()}) == 1
