"""Cross-entropy: labels and dense targets, weights, ignored labels, smoothing, z-loss, axes, and the gradient over the logits."""

import itertools

import numpy as np
import pytest
from support import FUSED, compute_type, every_backend, every_type, inf, namespace, nan, refuses, same, wide

import fastact as fa

OPTIONS = [
    {},
    {"label_smoothing": 0.1},
    {"label_smoothing": 1.0},
    {"z_loss": 0.01},
    {"weight": "class"},
    {"ignore_index": 2},
    {"label_smoothing": 0.3, "z_loss": 0.1, "weight": "class", "ignore_index": 0},
]
SHAPES = [((5,), 0), ((1, 1), -1), ((7, 10), -1), ((7, 10), 1), ((10, 7), 0), ((3, 6, 4), 1), ((2, 3, 4, 5), -2), ((3, 1500), 1)]
SHAPES += [((6, 40), 0), ((2, 5, 300), 1)]  # rows side by side


def truth(pred, target, axis=-1, weight=None, ignore_index=-100, label_smoothing=0.0, z_loss=0.0, reduction="mean"):
    """The definition, in longdouble: value and gradient. Ignored rows cost nothing; the mean divides by the weight of the labels kept."""
    x = np.moveaxis(pred, axis, -1).astype(np.longdouble)
    classes = x.shape[-1]
    w = np.ones(classes) if weight is None else weight.astype(np.longdouble)
    if target.dtype.kind in "iu":
        kept = target != ignore_index
        labels = np.where(kept, target, 0).astype(int)
        t = np.eye(classes)[labels] * (1 - label_smoothing) * w[labels][..., None] + label_smoothing / classes * w
        mass = (w[labels] * kept).sum()
    else:
        t = (np.moveaxis(target, axis, -1).astype(np.longdouble) * (1 - label_smoothing) + label_smoothing / classes) * w
        kept = np.ones(t.shape[:-1], bool)
        mass = kept.sum()
    top = x.max(-1, keepdims=True)
    lse = top + np.log(np.exp(x - top).sum(-1, keepdims=True))
    value = ((t * (lse - x)).sum(-1) + z_loss * lse[..., 0] ** 2) * kept
    grad = ((t.sum(-1, keepdims=True) + 2 * z_loss * lse) * np.exp(x - lse) - t) * kept[..., None]
    if reduction == "none":
        return value, np.moveaxis(grad, -1, axis)
    share = 1 if reduction == "sum" else 1 / mass
    return value.sum() * share, np.moveaxis(grad, -1, axis) * share


def logits(shape, dtype, seed=1):
    return (3 * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


@every_backend
@every_type
@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o) or "plain")
@pytest.mark.parametrize("dense", [False, True], ids=["labels", "dense"])
def test_values_and_gradients(options, dense, dtype, backend):
    lib = namespace(backend)
    eps = float(np.finfo(dtype).eps)
    for shape, axis in SHAPES:
        rng = np.random.default_rng(2)
        pred, classes = logits(shape, dtype), shape[axis]
        left = np.delete(shape, axis)
        given = dict(options)
        if "weight" in given:
            given["weight"] = rng.uniform(0.1, 2, classes).astype(dtype)
        if dense:
            given.pop("ignore_index", None)
            target = rng.dirichlet(np.ones(classes), left).astype(dtype)
            target = np.moveaxis(target.reshape(*left, classes), -1, axis)
        else:
            target = np.asarray(rng.integers(0, classes, left))
            given["ignore_index"] = min(given.get("ignore_index", -100), classes - 1)
        with np.errstate(all="ignore"):
            parts = {r: truth(pred, target, axis, reduction=r, **given) for r in ("none", "sum", "mean")}
        for reduction, (value, grad) in parts.items():
            got = lib.cross_entropy(pred, target, axis=axis, reduction=reduction, **given)
            assert got.dtype == compute_type(dtype)
            assert got.shape == np.shape(value)
            fine = 40 * float(np.finfo(compute_type(dtype)).eps)
            assert np.allclose(got, np.asarray(value, float), rtol=fine, atol=fine * 10, equal_nan=True), (shape, reduction)
            again, slope = lib.cross_entropy_value_and_grad(pred, target, axis=axis, reduction=reduction, **given)
            same(again, got, "the value beside the gradient")
            assert slope.dtype == dtype
            assert slope.shape == shape
            if np.isfinite(wide(np.asarray(value, float))).all():
                assert np.allclose(slope, grad.astype(float), rtol=20 * eps, atol=30 * eps * np.abs(grad).max()), (shape, reduction)


@every_backend
@every_type
def test_outputs_and_layouts(dtype, backend):
    both = namespace(backend).cross_entropy_value_and_grad
    for shape, axis in [
        ((6, 10), 1),
        ((10, 6), 0),
        ((3, 4, 5), 1),
        ((2, 1030), 1),
        ((70, 90), 1),
        ((20, 130), 1),
        ((6, 40), 0),
        ((2, 1030, 20), 1),
    ]:
        pred = logits(shape, dtype)
        labels = np.random.default_rng(3).integers(0, shape[axis], np.delete(shape, axis))
        value, grad = both(pred, labels, axis=axis)
        for turn in (np.asfortranarray, lambda a: np.repeat(a, 2, -1)[..., ::2], lambda a: a[::-1].copy()[::-1]):
            again, given = both(turn(pred), turn(labels), axis=axis, out=(out := turn(np.zeros(shape, dtype))))
            assert given is out
            same(out, grad, "strided")
            same(again, value)
        swapped = pred.astype(dtype.newbyteorder())
        same(both(swapped, labels.astype(">i8"), axis=axis)[1], grad, "swapped bytes")
        over = pred.copy()
        again, given = both(over, labels, axis=axis, out=over)
        assert given is over
        same(over, grad, "over the logits")
        same(again, value)
        turned = pred.copy(order="F")
        both(turned, labels, axis=axis, out=turned)
        same(turned, grad, "over the logits, Fortran")
        buffer = np.zeros(pred.size + 3, dtype)
        source, out = buffer[3:].reshape(shape), buffer[:-3].reshape(shape)
        source[...] = pred
        same(both(source, labels, axis=axis, out=out)[0], value, "overlap in part")
        same(out, grad, "overlap in part")
        dense = np.moveaxis(np.eye(shape[axis])[labels], -1, axis).astype(dtype)
        wants = both(pred, dense, axis=axis)
        given = dense.copy()
        both(pred, given, axis=axis, out=given)
        same(given, wants[1], "over the dense targets")


@every_backend
@pytest.mark.parametrize("label_type", [*"bBhHiIlLqQ", ">i4", "<i2"])
def test_every_integer_type_holds_labels(label_type, backend):
    lib = namespace(backend)
    pred = logits((4, 5), np.float32)
    labels = np.array([0, 4, 2, 1])
    same(lib.cross_entropy(pred, labels.astype(label_type)), lib.cross_entropy(pred, labels))
    assert lib.cross_entropy(pred, labels.tolist()) == lib.cross_entropy(pred, labels)
    if np.dtype(label_type).kind == "i":
        ignored = np.array([0, -100, 2, -100])
        same(lib.cross_entropy(pred, ignored.astype(label_type)), lib.cross_entropy(pred, ignored))


@every_backend
@every_type
def test_ignored_labels(dtype, backend):
    lib = namespace(backend)
    pred = logits((4, 5), dtype)
    for ignored in (-100, -1, 7, 2):
        labels = np.full(4, ignored)
        for z_loss in (0, 0.1):
            options = {"ignore_index": ignored, "z_loss": z_loss}
            assert np.isnan(lib.cross_entropy(pred, labels, **options)), "the mean of nothing"
            assert lib.cross_entropy(pred, labels, reduction="sum", **options) == 0
            assert (lib.cross_entropy(pred, labels, reduction="none", **options) == 0).all()
            for reduction in ("mean", "sum", "none"):
                value, grad = lib.cross_entropy_value_and_grad(pred, labels, reduction=reduction, **options)
                assert (grad == 0).all()
    mixed = pred.copy()
    mixed[1] = nan
    value, grad = lib.cross_entropy_value_and_grad(mixed, np.array([0, -100, 1, 2]))
    same(value, lib.cross_entropy(mixed[[0, 2, 3]], np.array([0, 1, 2])), "an ignored row of nan costs nothing")
    assert (grad[1] == 0).all()
    over = mixed.copy()
    lib.cross_entropy_value_and_grad(over, np.array([0, -100, 1, 2]), out=over)
    same(over, grad)


@every_backend
@every_type
def test_special_logits(dtype, backend):
    lib = namespace(backend)
    f, both = lib.cross_entropy, lib.cross_entropy_value_and_grad
    sure = np.array([[inf, 0.0], [0, -inf], [1000, 0], [0, 1000]]).astype(dtype)
    assert np.isnan(f(sure[:1], np.array([0])))
    assert f(sure[1:2], np.array([0])) == 0, "a class that cannot be, and is not"
    assert f(sure[1:2], np.array([1])) == inf
    assert f(sure[2:3], np.array([0])) == 0
    assert f(sure[2:3], np.array([1])) == 1000
    assert f(sure[1:2], np.array([[1, 0]], dtype)) == 0, "0 times infinity is 0"
    assert f(np.full((1, 3), -1e4, dtype), np.array([1])) == pytest.approx(np.log(3), rel=1e-3)
    value, grad = both(sure[1:], np.array([0, 0, 0]), reduction="none")
    assert np.isfinite(grad).all()
    assert grad[0].tolist() == [0, 0]
    assert grad[2].tolist() == [-1, 1]
    value, grad = both(np.array([[nan, 1.0], [1, 2]]).astype(dtype), np.array([1, 1]), reduction="none")
    assert np.isnan(value).tolist() == [True, False]
    assert np.isnan(grad).all(1).tolist() == [True, False]
    one = both(np.full((3, 1), 5, dtype), np.zeros(3, int))
    assert one[0] == 0
    assert (one[1] == 0).all()
    empty = both(np.zeros((0, 4), dtype), np.zeros(0, int))
    assert np.isnan(empty[0])
    assert empty[1].shape == (0, 4)
    assert f(np.zeros((0, 4), dtype), np.zeros(0, int), reduction="sum") == 0
    assert f(np.zeros((2, 0, 4), dtype), np.zeros((2, 0), int), reduction="none").shape == (2, 0)


@every_backend
def test_worked_numbers(backend):
    f = namespace(backend).cross_entropy
    assert f(np.array([[1.0, 2.0, 3.0]]), np.array([2])) == pytest.approx(0.4076059644443803, rel=1e-15)
    assert f(np.zeros((5, 1000)), np.arange(5)) == pytest.approx(np.log(1000), rel=1e-15)
    assert f(np.array([[0.0, -40.0]]), np.array([0])) == pytest.approx(4.248354255291589e-18, rel=1e-14)
    assert f(np.array([[1010.0, 1000.0, 990.0]]), np.array([1])) == pytest.approx(10.000045401, rel=1e-9)


@every_backend
def test_labels_and_dense_targets_agree(backend):
    both = namespace(backend).cross_entropy_value_and_grad
    for n, smoothing in itertools.product((2, 17, 1030), (0.0, 0.2)):
        pred, labels = logits((9, n), np.float64), np.random.default_rng(4).integers(0, n, 9)
        one = both(pred, labels, label_smoothing=smoothing, z_loss=0.01)
        two = both(pred, np.eye(n)[labels], label_smoothing=smoothing, z_loss=0.01)
        assert np.allclose(one[0], two[0], rtol=1e-13)
        assert np.allclose(one[1], two[1], rtol=1e-12, atol=1e-15)


@every_backend
def test_gradients_of_every_option_are_differences(backend):
    f, both = namespace(backend).cross_entropy, namespace(backend).cross_entropy_value_and_grad
    pred, labels = logits((4, 3), np.float64), np.array([0, 2, -100, 1])
    options = {"weight": np.array([0.5, 2.0, 1.0]), "label_smoothing": 0.2, "z_loss": 0.05}
    for reduction in ("mean", "sum"):
        grad = both(pred, labels, reduction=reduction, **options)[1]
        for i in np.ndindex(4, 3):
            up, down = pred.copy(), pred.copy()
            up[i] += 1e-5
            down[i] -= 1e-5
            slope = (f(up, labels, reduction=reduction, **options) - f(down, labels, reduction=reduction, **options)) / 2e-5
            assert slope == pytest.approx(grad[i], abs=1e-8)


@pytest.mark.parametrize("backend", FUSED)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_rows_side_by_side_give_the_bits_of_whole_rows(dtype, backend):
    both = namespace(backend).cross_entropy_value_and_grad
    for n, columns in ((5, 16), (40, 33), (300, 300), (1030, 20)):
        pred, labels = logits((n, columns), dtype), np.arange(columns) % n
        labels[3] = -100
        dense = np.random.default_rng(6).random((n, columns)).astype(dtype)
        for target, turned in ((labels, labels), (dense, dense.T.copy())):
            value, grad = both(pred, target, axis=0, reduction="none", z_loss=0.1)
            for rows in (slice(None), slice(2, 3)):  # together and one alone
                alone = both(pred.T[rows].copy(), turned[rows], reduction="none", z_loss=0.1)
                same(alone[0], value[rows], f"{n} classes")
                same(alone[1], grad.T[rows], f"{n} classes")


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_fused_backends_agree(dtype):
    for n in (1, 2, 10, 64, 1000, 1025):
        pred, labels = logits((6, n), dtype), np.arange(6) % n
        dense = np.random.default_rng(5).random((6, n)).astype(dtype)
        for target in (labels, dense):
            want = namespace(FUSED[0]).cross_entropy_value_and_grad(pred, target, reduction="none", label_smoothing=0.1, z_loss=0.1)
            for other in FUSED[1:]:
                both = namespace(other).cross_entropy_value_and_grad
                for got, right in zip(both(pred, target, reduction="none", label_smoothing=0.1, z_loss=0.1), want, strict=True):
                    same(got, right, f"{other}, {n} classes")


@every_backend
@every_type
def test_weight_of_zero_and_weights_of_other_dtypes(dtype, backend):
    lib = namespace(backend)
    pred, labels = logits((4, 3), dtype), np.array([0, 1, 2, 1])
    weight = np.array([1, 0, 2.0])
    want = lib.cross_entropy_value_and_grad(pred, labels, weight=weight.astype(dtype))
    for other in (weight, weight.astype(np.float16), weight.astype(int), weight.tolist()):
        for got, right in zip(lib.cross_entropy_value_and_grad(pred, labels, weight=other), want, strict=True):
            same(got, right)
    assert (want[1][1] == 0).all()
    assert np.isnan(lib.cross_entropy(pred, np.ones(4, int), weight=weight))
    pred[1] = [0, -inf, 0]
    assert np.isfinite(lib.cross_entropy(pred, labels, weight=weight)), "weight 0 times infinity is 0"


def test_class_weights_may_share_memory_with_out():
    x = np.random.default_rng(5).standard_normal((6, 300))
    labels = np.arange(6)  # rows that are too long to be packed are overwritten one after another
    x[0] = np.abs(x[0])
    true = fa.cross_entropy_value_and_grad(x.copy(), labels, weight=x[0].copy())
    loss, grad = fa.cross_entropy_value_and_grad(x, labels, weight=x[0], out=x)
    assert loss == true[0]
    np.testing.assert_array_equal(grad, true[1])


@every_backend
@pytest.mark.parametrize("name", ["cross_entropy", "cross_entropy_value_and_grad"])
def test_labels_and_options_of_cross_entropy(name, backend):
    f = getattr(namespace(backend), name)
    pred = np.linspace(-1, 1, 12, dtype="f4").reshape(3, 4)
    out = pred.copy()
    extra = {"out": out} if name.endswith("grad") else {}
    labels = np.array([0, 3, 1])

    def refused(error, *words, target=labels, **options):
        refuses(lambda: f(pred, target, **options, **extra), error, *words, out=out)

    for bad in (4, -1, -99, 99, 2**31, 2**40 + 1, -(2**62), np.iinfo(np.int64).max, np.iinfo(np.int64).min):
        refused(ValueError, "target", bad, "0 to 3", target=np.array([0, bad, 1]))
    refused(ValueError, 2**64 - 1, target=np.array([0, 2**64 - 1, 1], np.uint64))
    refused(ValueError, 200, target=np.array([0, 200, 1], np.uint8))
    with np.errstate(invalid="ignore"):
        refused(ValueError, "target", target=np.array([0, np.nan, 1]).astype(np.int64))
    refused(ValueError, 5, target=np.array([0, 5, 1]), ignore_index=7)
    refused(ValueError, -100, target=np.array([0, -100, 1]), ignore_index=-1)
    refused((ValueError, TypeError), "target", target=np.array([0.0, 3.0, 1.0]))
    refused((ValueError, TypeError), "target", target=np.array([True, False, True]))
    refused((ValueError, TypeError), "target", target=np.zeros((3, 4), int))
    refused((ValueError, TypeError), target=np.array(["a", "b", "c"]))
    refused((ValueError, TypeError), target=np.zeros((3, 4), complex))
    for bad in (-0.1, 1.5, float("nan"), float("inf")):
        refused(ValueError, "label_smoothing", bad, label_smoothing=bad)
    for bad in (-0.1, float("nan"), float("inf")):
        refused(ValueError, "z_loss", bad, z_loss=bad)
    for bad in ("much", None, 1j):
        refused(TypeError, label_smoothing=bad)
        refused(TypeError, z_loss=bad)
    for bad in (1.5, "none", None):
        refused(TypeError, ignore_index=bad)
    for shape in [(3,), (5,), (4, 1), (3, 4), ()]:
        refused(ValueError, "weight", shape, weight=np.ones(shape, "f4"))
    refused(TypeError, "weight", weight=np.ones(4, complex))
    refused(ValueError, "(4, 3)", target=np.ones((4, 3), "f4"))
    refuses(lambda: f(np.float32(1), np.array(0)), ValueError, "pred")
    refuses(lambda: f(np.zeros((3, 0), "f4"), labels), ValueError, "(3, 0)")
