"""bfloat16 arrays of ml_dtypes, and float16 beside them: computed in float32 and rounded once, in place, by every kind of function."""

import ml_dtypes
import numpy as np
import pytest
from support import run_python

import fastact as fa
from fastact import measure
from fastact.register import public_name

BF16 = np.dtype(ml_dtypes.bfloat16)
EVERY = np.arange(65536, dtype=np.uint16).view(BF16)


def bits(array):
    """The bits, every nan alike."""
    return np.where(np.isnan(array.astype(np.float32)), 0x7FC0, array.view(np.uint16))


@pytest.mark.parametrize("op", [op for op in fa.ops.values() if op.kind == "map"], ids=lambda op: op.name)
@pytest.mark.parametrize("backend", ["cython", "numba", "numpy"])
def test_all_numbers(op, backend):
    f = getattr(fa.get_backend(backend), op.name)
    arrays = [np.ones_like(EVERY), EVERY] if op.is_backward else [EVERY]
    with np.errstate(all="ignore"):
        wanted = f(*[a.astype(np.float32) for a in arrays]).astype(BF16)
    result = f(*arrays)
    assert result.dtype == BF16
    np.testing.assert_array_equal(bits(result), bits(wanted))
    strided = f(*[a[1::3] for a in arrays])
    np.testing.assert_array_equal(bits(strided), bits(wanted[1::3]))
    into = arrays[0].copy()
    assert f(into, *arrays[1:], out=into) is into
    np.testing.assert_array_equal(bits(into), bits(wanted))


@pytest.mark.parametrize("op", [op for op in fa.ops.values() if op.kind == "rows" and not op.is_backward], ids=lambda op: op.name)
@pytest.mark.parametrize("shape", [(5, 7), (3, 1000)])
@pytest.mark.parametrize("axis", [0, 1])
def test_rows(op, shape, axis):
    f = getattr(fa, op.name)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32).astype(BF16)
    result = f(x, axis=axis)
    assert result.dtype == BF16
    np.testing.assert_array_equal(bits(result), bits(f(x.astype(np.float32), axis=axis).astype(BF16)))


@pytest.mark.parametrize("length", [*range(68), 1023, 1024, 1025, 2049])
def test_lengths_and_a_nan_anywhere(length):
    """Numbers are rounded 32 at a time, in another way where a nan is among them."""
    x = np.random.default_rng(length).standard_normal(length + 1).astype(np.float32).astype(BF16)[1:]
    for place in [None, *range(0, length, 7)]:
        y = x.copy()
        if place is not None:
            y[place] = np.nan
        np.testing.assert_array_equal(bits(fa.silu(y)), bits(fa.silu(y.astype(np.float32)).astype(BF16)))


KINDS = ("loss", "row_loss", "channels", "pick")


def parts(result):
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize("op", [op for op in fa.ops.values() if op.kind in KINDS], ids=public_name)
@pytest.mark.parametrize("backend", ["cython", "numba", "numpy"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(30, 4), (3, 700)])
def test_the_other_kinds_compute_in_float32_and_round_once(op, backend, dtype, shape):
    f = measure.call(fa.get_backend(backend), op)
    arrays = measure.arguments(op, shape, dtype, np.random.default_rng(0))
    keywords = measure.options(op, shape)
    wide = [a.astype(np.float32) if a.dtype == np.dtype(dtype) else a for a in arrays]
    wanted = parts(f(*wide, **keywords))
    apart = [a if a.ndim < 2 else np.asfortranarray(a) for a in arrays]
    for given in (arrays, apart):
        for got, should in zip(parts(f(*given, **keywords)), wanted, strict=True):
            if np.ndim(should) and should.dtype.kind == "f":
                assert got.dtype == np.dtype(dtype)
                np.testing.assert_array_equal(got.view(np.uint16), should.astype(dtype).view(np.uint16))
            else:       # indices, and the value of a loss
                assert got.dtype == should.dtype
                np.testing.assert_array_equal(got, should)


@pytest.mark.parametrize("op", [op for op in fa.ops.values() if op.page == "losses" and op.is_backward], ids=public_name)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_gradient_of_a_loss_takes_the_place_of_the_predictions(op, dtype):
    f = measure.call(fa, op)
    pred, target = measure.arguments(op, (30, 200), dtype, np.random.default_rng(0))
    value, grad = f(pred, target)
    again, into = f(pred, target, out=pred)
    assert into is pred
    assert value == again
    np.testing.assert_array_equal(pred.view(np.uint16), grad.view(np.uint16))
    none, _ = f(grad, target, reduction="none")
    assert none.dtype == np.float32
    with pytest.raises(TypeError, match="out has dtype float32"):
        f(pred, target, out=np.zeros(pred.shape, np.float32))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_prelu_in_place(dtype):
    grad, x, weight = measure.arguments(fa.ops["prelu_backward"], (40, 100), dtype, np.random.default_rng(0))
    y, (dx, dweight) = fa.prelu(x, weight), fa.prelu_backward(grad, x, weight)
    assert fa.prelu_backward(grad, x, weight, out=grad)[0] is grad
    np.testing.assert_array_equal(grad.view(np.uint16), dx.view(np.uint16))
    assert dweight.dtype == np.dtype(dtype)
    assert fa.prelu(x, weight, out=x) is x
    np.testing.assert_array_equal(x.view(np.uint16), y.view(np.uint16))


@pytest.mark.parametrize("op", [op for op in fa.ops.values() if op.kind == "pick"], ids=public_name)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_choice_into_prepared_memory(op, dtype):
    arrays = measure.arguments(op, (50, 6), dtype, np.random.default_rng(0))
    f, keywords = getattr(fa, op.name), measure.options(op, (50, 6))
    wanted = parts(f(*arrays, **keywords))
    for step in (1, 2):     # as kernels need it, or with gaps
        out = tuple(np.full((*w.shape[:-1], step * w.shape[-1]), 9, w.dtype)[..., ::step] for w in wanted)
        given = out if len(out) > 1 else out[0]
        made = parts(f(*arrays, out=given, **keywords))
        for should, got, into in zip(wanted, made, out, strict=True):
            assert got is into
            assert got.dtype == should.dtype
            np.testing.assert_array_equal(got, should)
    wrong = (np.zeros((3, *wanted[0].shape), dtype), *(np.full_like(w, 9) for w in wanted[1:]))
    with pytest.raises(ValueError, match="out has shape"):
        f(*arrays, out=wrong if len(wrong) > 1 else wrong[0], **keywords)
    assert all((w == 9).all() for w in wrong[1:]), "nothing has been written"


@pytest.mark.parametrize("op", [op for op in fa.ops.values() if op.kind == "rows"], ids=public_name)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(1, 5), (70, 5), (130, 47), (130, 48), (21, 128), (5, 1000), (3, 2500)])
def test_rows_that_follow_one_another_and_others(op, dtype, shape):
    """Rows of half precision are computed as many together as a buffer takes, with the bits of float32, rounded."""
    f = getattr(fa, op.name)
    arrays = measure.arguments(op, shape, dtype, np.random.default_rng(0))
    wanted = f(*[a.astype(np.float32) for a in arrays], axis=-1).astype(dtype)
    for given in (arrays, [np.asfortranarray(a) for a in arrays], [np.repeat(a, 2, 0)[::2] for a in arrays]):
        np.testing.assert_array_equal(f(*given, axis=-1).view(np.uint16), wanted.view(np.uint16))
    beside = f(*[np.ascontiguousarray(a.T) for a in arrays], axis=0)
    np.testing.assert_array_equal(beside.T.view(np.uint16), wanted.view(np.uint16))
    groups = [np.ascontiguousarray(np.stack([a.T, a.T])) for a in arrays]     # columns 0 to rows - 1, twice
    np.testing.assert_array_equal(f(*groups, axis=1)[1].T.view(np.uint16), wanted.view(np.uint16))
    if wanted.shape == arrays[0].shape:
        assert f(*arrays, axis=-1, out=arrays[0]) is arrays[0]
        np.testing.assert_array_equal(arrays[0].view(np.uint16), wanted.view(np.uint16))


@pytest.mark.parametrize("dtype", [ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2], ids=lambda dtype: dtype.__name__)
def test_what_else_ml_dtypes_brings_is_refused(dtype):
    """NumPy calls one of them a float of one byte, which must not be taken for one of two."""
    room = np.full(16, 77, np.uint8)
    pred, out = np.ones(8, dtype), room[:8].view(dtype)
    with pytest.raises(TypeError, match="pred has dtype float8"):
        fa.mse_loss_value_and_grad(pred, pred, out=out)
    with pytest.raises(TypeError, match="x has dtype float8"):
        fa.maxout(pred)
    with pytest.raises(TypeError, match="dtype=float8"):
        fa.gelu(np.ones(3), dtype=dtype)
    assert (room == 77).all()


def test_elementwise_functions_and_rows_take_what_numpy_can_cast():
    small = np.array([-2, 0, 3], ml_dtypes.int4)
    assert fa.relu(small).tolist() == [0, 0, 3]
    assert fa.relu(small).dtype == np.exp(small).dtype == np.float16
    assert fa.softmax(small).dtype == np.float16


def test_it_is_not_imported():
    script = "import sys, fastact; fastact.relu([1.0]); assert 'ml_dtypes' not in sys.modules"
    run_python(script)


def test_beside_other_dtypes():
    """The first array decides; the others, and numbers, are converted to its dtype."""
    x = np.linspace(-2, 2, 12, dtype="f4").reshape(3, 4)
    half, weight = x.astype(BF16), x[0]
    for got, want in (
        (fa.prelu(half, 0.25), fa.prelu(half, np.array(0.25, BF16))),
        (fa.prelu(half, weight), fa.prelu(half, weight.astype(BF16))),
        (fa.prelu_backward(half, x, weight)[0], fa.prelu_backward(half, half, weight.astype(BF16))[0]),
        (fa.softmax_backward(half, x), fa.softmax_backward(half, half)),
        (fa.log_softmax_backward(half, x.astype("f8")), fa.log_softmax_backward(half, half)),
        (fa.logsumexp_backward(half[:, 0], x, x[:, 0], axis=1), fa.logsumexp_backward(half[:, 0], half, half[:, 0], axis=1)),
        (fa.logsumexp_backward(1.0, half, fa.logsumexp(half)), fa.logsumexp_backward(np.array(1, BF16), half, fa.logsumexp(half))),
    ):
        assert got.dtype == want.dtype == BF16
        assert np.array_equal(got, want)


WANTED = """
import ml_dtypes, numpy as np, fastact as fa
x = np.ones((2, 3), "f4")
for f in (fa.gelu, fa.softmax, fa.prelu):
    assert f(x, *[0.5] * (f is fa.prelu), dtype=ml_dtypes.bfloat16).dtype == ml_dtypes.bfloat16
"""


def test_as_the_dtype_wanted_before_any_array_of_it_was_met():
    run_python(WANTED)


@pytest.mark.parametrize("dtype", [np.float16, BF16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["mse_loss", "smooth_l1_loss", "hinge_loss", "binary_cross_entropy_with_logits"])
def test_single_losses_are_float32(name, dtype):
    x = np.array([300.0, -2.0, 0.5], dtype)
    got = getattr(fa, name)(x, -x, reduction="none")
    assert got.dtype == np.float32
    assert np.array_equal(got, getattr(fa, name)(x.astype("f4"), -x.astype("f4"), reduction="none"))
    value, grad = getattr(fa, f"{name}_value_and_grad")(x, -x, reduction="none")
    assert np.array_equal(value, got)
    assert grad.dtype == dtype
