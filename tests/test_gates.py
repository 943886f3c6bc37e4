"""Gates: prelu with one slope or one per channel, and maxout, forward and backward, beside the reference and path by path."""

import numpy as np
import pytest
from support import BACKENDS, FUSED, INTEGERS, TURNED, every_backend, every_type, exact, inf, namespace, nan, points, same, specials, wide

SHAPES = [((5,), 0), ((5,), 1), ((4, 5), 1), ((4, 5), 0), ((4, 5), -1), ((3, 4, 5), 1), ((3, 4, 5), -3), ((2, 3, 4, 5), 3)]
SHAPES += [((1, 1), 1), ((700, 3), 1)]


def data(shape, dtype, axis, seed=1):
    rng = np.random.default_rng(seed)
    x = (3 * rng.standard_normal(shape)).astype(dtype)
    x.reshape(-1)[::4] = np.resize(specials(dtype)[[0, 10, 5, 6]], x.reshape(-1)[::4].shape)
    channels = shape[axis if len(shape) > 1 else 0]
    return rng.standard_normal(shape).astype(dtype), x, rng.uniform(-2, 2, channels).astype(dtype)


def spread(weight, shape, axis):
    """The weight of each element."""
    if weight.size == 1:
        return np.broadcast_to(weight.reshape(()), shape)
    axis = axis % len(shape) if len(shape) > 1 else 0
    return np.broadcast_to(weight.reshape([-1 if k == axis else 1 for k in range(len(shape))]), shape)


# ---- prelu ------------------------------------------------------------------------------------------------------------


@every_backend
@every_type
@pytest.mark.parametrize(("shape", "axis"), SHAPES, ids=str)
def test_prelu(shape, axis, dtype, backend):
    lib = namespace(backend)
    grad, x, weight = data(shape, dtype, axis)
    for w in (weight, weight[:1], np.array(weight[0]), weight[0], float(weight[0])):
        slopes = spread(np.asarray(w), shape, axis).astype(dtype)
        with np.errstate(all="ignore"):
            product = x * slopes
            gradient = grad * np.where(np.isnan(x), x, np.where(x > 0, dtype.type(1), slopes))
        same(lib.prelu(x, w, axis), np.where(x > 0, x, product), "forward")
        same(lib.prelu(x, w, axis=axis), lib.prelu(x, w, axis), "axis by keyword")
        dx, dweight = lib.prelu_backward(grad, x, w, axis)
        same(dx, gradient, "dx")
        assert dweight.shape == np.shape(w)
        assert dweight.dtype == dtype
        terms = np.where(x > 0, 0, wide(grad) * wide(x))
        others = tuple(k for k in range(len(shape)) if np.size(w) == 1 or k != (axis % len(shape) if len(shape) > 1 else 0))
        true = terms.sum(others).reshape(np.shape(w))
        size = np.abs(terms).sum(others).reshape(np.shape(w))
        assert (np.abs(dweight - true) <= 2 * float(np.finfo(dtype).eps) * size + float(np.finfo(dtype).smallest_subnormal)).all()


@every_backend
@every_type
def test_prelu_special_values(dtype, backend):
    lib = namespace(backend)
    x = specials(dtype)
    y = lib.prelu(x, 0.25)
    assert (np.isnan(y) == np.isnan(x)).all()
    assert y[x == inf] == inf
    assert y[x == -inf] == -inf
    assert (np.signbit(y) == np.signbit(x))[~np.isnan(x)].all()
    one = np.ones_like(x)
    dx, dweight = lib.prelu_backward(one, x, 0.25)
    assert np.isnan(dx[np.isnan(x)]).all()
    assert (dx[x > 0] == 1).all()
    assert (dx[x <= 0] == 0.25).all(), "at 0 the slope is the weight"
    assert np.isnan(dweight)
    dx, dweight = lib.prelu_backward(one[:4], np.array([0, -0.0, 0, 1], dtype), np.array(0.25, dtype))
    assert dweight == 0
    with np.errstate(all="raise"):
        lib.prelu_backward(np.full(9, np.finfo(dtype).max), np.full(9, -np.finfo(dtype).max), 0.25)


@every_backend
@every_type
def test_prelu_paths(dtype, backend):
    lib = namespace(backend)
    grad, x, weight = data((6, 37), dtype, 1)
    want = lib.prelu(x, weight)
    wants = lib.prelu_backward(grad, x, weight)
    for turn in TURNED:
        same(lib.prelu(turn(x), turn(weight)), want)
        for got, right in zip(lib.prelu_backward(turn(grad), turn(x), turn(weight)), wants, strict=True):
            same(got, right)
    y = x.copy()
    assert lib.prelu(y, weight, out=y) is y
    same(y, want, "in place")
    for k in range(2):
        pair = [grad.copy(), x.copy()]
        dx, dweight = lib.prelu_backward(*pair, weight, out=pair[k])
        assert dx is pair[k]
        same(dx, wants[0], "dx in place")
        same(dweight, wants[1], "dweight, in place")
    buffer = np.zeros(x.size + 1, dtype)
    source, out = buffer[1:].reshape(x.shape), buffer[:-1].reshape(x.shape)
    source[...] = x
    lib.prelu(source, weight, out=out)
    same(out, want, "partial overlap")
    mask = np.arange(37) % 3 == 0
    out = np.full(x.shape, 7, dtype)
    lib.prelu(x, weight, where=mask, out=out)
    same(out, np.where(mask, want, dtype.type(7)), "where")
    same(lib.prelu(x, weight, dtype="f8"), lib.prelu(x.astype("f8"), weight), "dtype=")
    assert lib.prelu(x, weight.astype("f8")).dtype == dtype
    assert lib.prelu_backward(grad, x.astype("f8"), weight.astype("f8"))[0].dtype == dtype
    for shape in ((0,), (0, 3), (3, 0)):
        zeros = np.zeros(shape, dtype)
        assert lib.prelu(zeros, 0.25).shape == shape
        dx, dweight = lib.prelu_backward(zeros, zeros, np.array([0.25], dtype))
        assert dx.shape == shape
        assert dweight == 0


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_prelu_fused_backends_agree(dtype):
    x = points(np.dtype(dtype))
    results = [(namespace(b).prelu(x, 0.3), *namespace(b).prelu_backward(x[::-1].copy(), x, 0.3)) for b in FUSED]
    for other in results[1:]:
        for got, want in zip(other, results[0], strict=True):
            same(got, want)


@every_backend
def test_integers(backend):
    lib = namespace(backend)
    for dtype in INTEGERS:
        whole = np.array([[0, 1], [1, 1]], dtype)
        with np.errstate(all="ignore"):
            real = np.exp(whole).dtype
        assert lib.prelu(whole, 0.25).dtype == real
        assert lib.prelu_backward(whole, whole, 0.25)[0].dtype == real
        value, which = lib.maxout(whole)
        assert value.dtype == real
        assert which.dtype == np.intp
        assert lib.maxout_backward(value.astype(dtype), which, 2).dtype == real
    assert lib.prelu([[-1.0, 2.0]], [0.5, 0.25]).tolist() == [[-0.5, 2.0]]
    assert [a.tolist() for a in lib.maxout([[1.0, 3.0], [2.0, 0.0]])] == [[3.0, 2.0], [1, 0]]


@every_backend
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(("shape", "axis"), [((5,), 0), ((7, 600), 1), ((2, 3, 40, 50), 1), ((3, 1000), 0), ((6, 4, 3), 1)], ids=str)
def test_direct_prelu_gives_what_the_generic_path_gives(shape, axis, dtype, backend):
    f = namespace(backend).prelu
    _, x, weight = data(shape, dtype, axis)
    for w in (weight, weight[:1]):
        want = f.generic((x, w, axis), {})
        same(f(x, w, axis), want)
        out = np.empty_like(x)
        assert f(x, w, axis=axis, out=out) is out
        same(out, want)
        same(f(over := x.copy(), w, axis, out=over), want, "in place")
    room = np.resize(weight, x.size).astype(dtype).reshape(shape)
    want = f(x, room.reshape(-1)[: weight.size].copy(), axis)
    same(f(x, room.reshape(-1)[: weight.size], axis, out=room), want, "over the weights")


@every_backend
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", [(5,), (1, 1), (3, 2), (700, 3), (37, 100), (9, 256), (9, 257), (6, 1300), (2, 3, 40, 50)], ids=str)
def test_direct_prelu_backward_gives_what_the_generic_path_gives(shape, dtype, backend):
    f = namespace(backend).prelu_backward
    for axis in range(len(shape)):
        grad, x, weight = data(shape, dtype, axis)
        for w in (weight, weight[:1]):
            want = f.generic((grad, x, w, axis), {})
            out = np.empty_like(x)
            for got in (f(grad, x, w, axis), f(grad, x, w, axis=axis), f(grad, x, w, axis, out=out)):
                same(got[0], want[0])
                same(got[1], want[1])
            assert got[0] is out
            over = grad.copy(), x.copy()
            for k in range(2):
                same(f(*(over[j] if j == k else (grad, x)[j] for j in range(2)), w, axis, out=over[k])[1], want[1], "in place")
                same(over[k], want[0], "in place")
        room = np.resize(weight, x.size).astype(dtype).reshape(shape)
        want = f(grad, x, room.reshape(-1)[: weight.size].copy(), axis)
        for got, right in zip(f(grad, x, room.reshape(-1)[: weight.size], axis, out=room), want, strict=True):
            same(got, right, "over the weights")


@pytest.mark.parametrize("backend", FUSED)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", [(7, 3), (1021, 3), (37, 100), (9, 256), (9, 257), (6, 1300)], ids=str)
def test_weights_of_prelu_add_up_row_by_row(shape, dtype, backend):
    """The order of addition is that of the rows, in double."""
    grad, x, weight = data(shape, dtype, 1)
    x[~np.isfinite(x)] = -1
    terms = np.where(x > 0, x.dtype.type(0), grad * x).astype("f8")
    got = namespace(backend).prelu_backward(grad, x, weight)[1]
    same(got, np.add.accumulate(terms, axis=0)[-1].astype(dtype))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(("shape", "axis"), [((3001, 333), 1), ((70, 41000), 1), ((5, 7, 90000), 1), ((300, 3001), 0)], ids=str)
def test_prelu_backward_is_the_same_for_every_number_of_threads(shape, axis, dtype):
    import fastact as fa

    grad, x, weight = data(shape, dtype, axis)
    for w in (weight, weight[:1]):
        with fa.threads(1):
            want = fa.prelu_backward(grad, x, w, axis)
        for count in (2, 3, 8):
            with fa.threads(count):
                for got, right in zip(fa.prelu_backward(grad, x, w, axis), want, strict=True):
                    same(got, right, f"{count} threads")


@pytest.mark.parametrize("backend", BACKENDS)
def test_prelu_backward_of_no_channels(backend):
    dx, dweight = namespace(backend).prelu_backward(np.ones((3, 0), "f4"), np.ones((3, 0), "f4"), np.ones(0, "f4"), axis=1)
    assert (dx.shape, dweight.shape, dweight.dtype) == ((3, 0), (0,), np.float32)
    dx, dweight = namespace(backend).prelu_backward(np.ones((0, 3), "f8"), np.ones((0, 3), "f8"), np.ones(1), axis=1)
    assert (dx.shape, dweight.tolist()) == ((0, 3), [0.0])


# ---- maxout -----------------------------------------------------------------------------------------------------------


@every_backend
@every_type
def test_maxout(dtype, backend):
    lib = namespace(backend)
    rng = np.random.default_rng(2)
    for shape in [(1,), (5,), (3, 2), (4, 70), (70, 4), (3, 4, 5), (2, 3, 4, 2), (2000, 3)]:
        x = rng.integers(-3, 3, shape).astype(dtype)  # ties: the first wins
        x.reshape(-1)[::11] = np.resize(specials(dtype), x.reshape(-1)[::11].shape)
        for axis in range(-len(shape), len(shape)):
            value, which = lib.maxout(x, axis)
            same(which, np.argmax(x, axis), "the first nan, or else the first maximum")
            same(value, np.take_along_axis(x, np.expand_dims(which, axis), axis).squeeze(axis), f"{shape}, axis {axis}")
            for turned in (np.asfortranarray(x), np.repeat(x, 2, -1)[..., ::2], x.astype(dtype.newbyteorder())):
                for got, want in zip(lib.maxout(turned, axis=axis), (value, which), strict=True):
                    same(got, want)
            out = np.zeros_like(value), np.zeros_like(which)
            if value.ndim:
                result = lib.maxout(x, axis, out=out)
                assert result[0] is out[0]
                assert result[1] is out[1]
                same(out[0], value)
                same(out[1], which)
            grad = rng.standard_normal(which.shape).astype(dtype)
            dx = lib.maxout_backward(grad, which, shape[axis], axis)
            same(dx, np.asarray(exact_backward(grad, which, shape[axis], axis)).astype(dtype), "backward")
            same(lib.maxout_backward(grad, which, pieces=shape[axis], axis=axis), dx, "by keyword")
            assert lib.maxout_backward(grad, which.astype(np.int8) if shape[axis] < 128 else which, shape[axis], axis).shape == x.shape
            given = np.full(shape, 7, dtype)
            assert lib.maxout_backward(grad, which, shape[axis], axis, out=given) is given
            same(given, dx, "out")


def exact_backward(grad, which, pieces, axis):
    result = np.zeros((*grad.shape, pieces))
    np.put_along_axis(result, np.asarray(which)[..., None], np.asarray(grad, float)[..., None], -1)
    return np.moveaxis(result, -1, axis)


@every_backend
@every_type
def test_maxout_special_values(dtype, backend):
    lib = namespace(backend)
    rows = [([1, nan, 3, nan], nan, 1), ([-inf, -inf], -inf, 0), ([1, inf, inf], inf, 1), ([-0.0, 0.0], -0.0, 0), ([nan], nan, 0)]
    for row, best, place in rows:
        for width in (1, 17, 64):
            x = np.tile(np.array(row, dtype)[:, None], (1, width))
            value, which = lib.maxout(x, 0)
            assert np.array_equal(value, np.full(width, best), equal_nan=True)
            assert (np.signbit(value) == np.signbit(best)).all() or best != best
            assert (which == place).all()
            value, which = lib.maxout(np.ascontiguousarray(x.T))
            assert (which == place).all()
    assert np.isnan(lib.maxout_backward(np.array([nan], dtype), np.array([1]), 3)).tolist() == [[False, True, False]]
    assert lib.maxout(np.zeros((0, 3), dtype))[0].shape == (0,)
    assert lib.maxout_backward(np.zeros(0, dtype), np.zeros(0, int), 3).shape == (0, 3)


def turns(x):
    """The rows of `x` as whole rows, alone and many, and as columns."""
    yield lambda lib: [np.concatenate(a) for a in zip(*(lib.maxout(row[None]) for row in x), strict=True)]
    yield lambda lib: lib.maxout(x)
    yield lambda lib: lib.maxout(np.ascontiguousarray(x.T), 0)


@every_backend
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("n", [*range(1, 36), 47, 48, 63, 64, 65, 79, 127, 128, 129, 145, 300])
def test_maxout_of_every_length(n, dtype, backend):
    """Wherever the maximum, its equals, and a nan stand, in whatever lane of a vector."""
    rows = [np.full(n, value) for value in (-inf, inf, nan, 0.0, -1e30)]
    rows += [np.arange(n) % 3, -np.arange(n), np.arange(n)]
    for k in sorted({0, n // 2, n - 1, n - min(n, 16), n - min(n, 17)}):
        for value in (nan, inf, 1.0):
            rows += [np.where(np.arange(n) == k, value, -inf), np.where(np.arange(n) >= k, value, 0.0)]
    zeros = np.where(np.arange(n) % 2, 0.0, -0.0)
    x = np.array([*rows, zeros, -zeros], dtype)
    which = np.argmax(x, -1)
    for call in turns(x):
        got = call(namespace(backend))
        same(got[1], which, f"rows of {n}")
        same(got[0], x[np.arange(len(x)), which], f"rows of {n}")


@pytest.mark.parametrize("backend", FUSED)
def test_maxout_of_many_pieces(backend):
    """float32 cannot count them all."""
    lib, far = namespace(backend), 1 << 24
    x = np.zeros(far + 100, "f4")
    for places, found in [((far + 71, far + 33), far + 33), ((far - 1, far + 1), far - 1), ((5, far + 5), 5), ((far,), far)]:
        for value in (1, nan):
            x[list(places)] = value
            assert lib.maxout(x)[1] == found
            assert lib.maxout(x.reshape(-1, 2), 0)[1][found % 2] == found // 2
        x[list(places)] = 0
    del x
    tall = np.zeros((far + 9, 2), "f2").view("u2").astype("f4")
    tall[far + 7, 1] = tall[far + 8, 1] = 1
    value, which = lib.maxout(tall, 0)
    assert which.tolist() == [0, far + 7]
    lib.maxout_backward(np.array([3, 4], "f4"), which, far + 9, 0, out=tall)
    assert tall[far + 7, 1] == 4
    assert tall[0, 0] == 3
    assert np.count_nonzero(tall) == 2


@every_backend
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_maxout_paths(dtype, backend):
    lib = namespace(backend)
    x = np.random.default_rng(3).standard_normal((300, 5)).astype(dtype)
    value, which = lib.maxout.generic((x,), {})
    grad = lib.maxout_backward.generic((value, which, 5), {})
    for got in (lib.maxout(x), lib.maxout(x, -1), lib.maxout(x, axis=1), lib.maxout(x, **{"".join(["ax", "is"]): 1})):
        same(got[0], value)
        same(got[1], which)
    for got in (lib.maxout_backward(value, which, 5), lib.maxout_backward(value, which, axis=-1, pieces=5)):
        same(got, grad)
    got = lib.maxout(x, out=(over := np.empty_like(value), None))
    assert got[0] is over
    same(got[0], value)
    same(got[1], which)
    room = x.copy()  # results over the input, and over one another
    over = room.reshape(-1)[:300], np.zeros(300, int)
    assert lib.maxout(room, out=over)[0] is over[0]
    same(over[0], value)
    same(over[1], which)
    bytes_ = np.zeros(300 * 8 + 8, np.uint8)
    lib.maxout(x, out=(bytes_[: 300 * value.itemsize].view(dtype), bytes_[8:].view(np.intp)))
    same(bytes_[8:].view(np.intp), which, "the second is written last")
    room = np.zeros((300, 5), dtype)
    part = room.reshape(-1)[:300]
    part[...] = value
    assert lib.maxout_backward(part, which, 5, out=room) is room
    same(room, grad, "over the gradient")
    for bad in (-1, 5, np.iinfo(np.intp).min, np.iinfo(np.intp).max):
        wrong, out = which.copy(), np.full((300, 5), 7, dtype)
        wrong[299] = bad
        with pytest.raises(ValueError, match="which holds"):
            lib.maxout_backward(value, wrong, 5, out=out)
        assert (out == 7).all(), "nothing was written"
    for refused in ({"out": value}, {"out": (value, which[:9])}, {"bad": 1}, {"axis": 2}):
        with pytest.raises((TypeError, ValueError)):
            lib.maxout(x, **refused)
    for refused in ((value,), (value, which, 5, -1, 1), (value, which, 5.5), (value, which[:9], 5)):
        with pytest.raises((TypeError, ValueError)):
            lib.maxout_backward(*refused)
    with pytest.raises(TypeError):
        lib.maxout_backward(value, which, 5, pieces=5)


def test_gates_are_those_of_the_reference():
    """`exact` and this file's own formulas are independent: both must agree."""
    grad, x, weight = data((4, 5), np.dtype("f8"), 1)
    import fastact as fa

    for got, want in zip(fa.prelu_backward(grad, x, weight), exact(fa.ops["prelu_backward"], [grad, x, weight]), strict=True):
        assert np.allclose(got, want.astype(float), equal_nan=True)
    assert np.allclose(fa.prelu(x, weight), exact(fa.ops["prelu"], [x, weight]).astype(float), equal_nan=True)
