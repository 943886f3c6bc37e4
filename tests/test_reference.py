"""The judge is judged: the NumPy reference against mpmath, differences of itself, and the facts declared beside it.

Everything is parametrised from the register; the tables hold textbook values, and an operation that is in none is still tested.
"""

import functools

import mpmath
import numpy as np
import pytest
from mpmath import mpf
from support import defaults, inf, nan, settings

import fastact.reference
from fastact.register import OPS, REQUIRED

Wide = np.longdouble
EPS = float(np.finfo(Wide).eps)
FORWARD = [op for op in OPS.values() if not op.is_backward]
BACKWARD = [op for op in OPS.values() if op.is_backward]
ACTIVATIONS = [op for op in FORWARD if op.kind == "map"]

every = functools.partial(pytest.mark.parametrize, "op", ids=lambda op: op.name)


def off_kinks(op, x, values, gap=0.01):
    """`x` with the points near a kink, or near 0 (where softsign bends), moved away; `values` are the names kinks may use."""
    for point in [*op.kinks, "0"]:
        x = np.where(np.abs(x - eval(point, values)) < gap, x + 3 * gap, x)
    return x


def arguments(op, dtype=Wide, shape=(6, 5), params=None, options=None):
    """Arguments for any operation, by their names, away from kinks."""
    forward, params, options = op.forward or op, params or defaults(op), options or {}
    rng = np.random.default_rng(7)
    given = {"target": rng.uniform(0.1, 1, shape).astype(dtype), "weight": rng.uniform(0.1, 0.9, shape[1:2]).astype(dtype)}
    x = off_kinks(forward, rng.uniform(-5, 5, shape), {**given, **params}).astype(dtype)
    given.update(x=x, pred=x, pieces=shape[-1])
    if op.is_backward:
        result = forward(*(given[name] for name in forward.inputs), **params, **options)
        given["y"], given["which"] = result if isinstance(result, tuple) else (result, None)
        given["grad"] = rng.standard_normal(np.shape(given["y"])).astype(dtype)
    return [given[name] for name in op.inputs] + [given[p.name] for p in op.params if p.default is REQUIRED]


def exact(x):
    """A finite longdouble as an mpmath number, no digit lost."""
    mantissa, exponent = np.frexp(Wide(x))
    return mpmath.ldexp(int(np.ldexp(mantissa, 120)), int(exponent) - 120)


# ---- values, against mpmath -------------------------------------------------------------------------------------------
def logistic(x):
    return 1 / (1 + mpmath.exp(-x))


SELU = "1.0507009873554804934193349852946", "1.6732632423543772848170429916717"
VALUES = {
    "relu": lambda x: max(x, 0),
    "leaky_relu": lambda x, negative_slope: x if x > 0 else negative_slope * x,
    "elu": lambda x, alpha: x if x > 0 else alpha * mpmath.expm1(x),
    "selu": lambda x: mpf(SELU[0]) * (x if x > 0 else mpf(SELU[1]) * mpmath.expm1(x)),
    "sigmoid": logistic,
    "log_sigmoid": lambda x: -mpmath.log1p(mpmath.exp(-x)),
    "tanh": mpmath.tanh,
    "hard_sigmoid": lambda x: min(max((x + 3) / 6, 0), 1),
    "hard_tanh": lambda x, min_val, max_val: min(max(x, min_val), max_val),
    "softplus": lambda x, beta: mpmath.log1p(mpmath.exp(beta * x)) / beta,
    "softsign": lambda x: x / (1 + abs(x)),
    "silu": lambda x, beta: x * logistic(beta * x),
    "hard_swish": lambda x: x * min(max((x + 3) / 6, 0), 1),
    "gelu": lambda x: x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2,
    "gelu_tanh": lambda x: x * logistic(2 * mpmath.sqrt(2 / mpmath.pi) * (x + mpf("0.044715") * x**3)),
    "mish": lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x))),
    "step": lambda x, threshold: mpf(x >= threshold),
    "mse_loss": lambda x, t: (x - t) ** 2,
    "smooth_l1_loss": lambda x, t, beta: (x - t) ** 2 / (2 * beta) if abs(x - t) < beta else abs(x - t) - beta / 2,
    "hinge_loss": lambda x, t, margin: max(0, margin - t * x),
    "binary_cross_entropy_with_logits": lambda x, t: -t * mpmath.log(logistic(x)) - (1 - t) * mpmath.log(logistic(-x)),
}


def points():
    rng = np.random.default_rng(3)
    tiny = 10.0 ** rng.uniform(-30, 0, 40)
    return np.concatenate([rng.uniform(-4, 4, 150), rng.uniform(-37, 37, 150), rng.uniform(-700, 700, 40), tiny, -tiny])


@pytest.mark.parametrize("name", VALUES)
def test_value(name):
    op = OPS[name]
    x = points().astype(Wide)
    targets = [np.random.default_rng(4).uniform(0, 1, x.shape).astype(Wide)] * (len(op.inputs) - 1)
    for params in settings(op):
        got = op(x, *targets, **params)
        for i, y in enumerate(got):
            with mpmath.workdps(400 if x[i] > 37 else 60):
                true = VALUES[name](*(exact(a[i]) for a in (x, *targets)), **{k: mpf(v) for k, v in params.items()})
                scale = abs(true) + (abs(exact(x[i])) if op.page == "losses" else 0)
                assert scale < 1e-300 or abs(exact(y) - true) < 16 * EPS * scale, (x[i], params)


@every(ACTIVATIONS)
def test_narrow_dtypes_agree_with_longdouble(op):
    for dtype, bound in ((np.float64, 8), (np.float32, 8)):
        info = np.finfo(dtype)
        limit = -np.log(float(info.smallest_subnormal)) + 3
        x = np.concatenate([points(), -np.linspace(0, limit, 999), -np.linspace(0, (2 * limit) ** 0.5, 999)]).astype(dtype)
        for chosen in settings(op):
            params = {name: float(dtype(value)) for name, value in chosen.items()}
            true = op(x.astype(Wide), **params)
            unit = np.maximum(np.abs(true) * Wide(info.eps), Wide(info.smallest_subnormal))
            assert np.max(np.abs(op(x, **params) - true) / unit) < bound, dtype


def test_minima():
    """The minima of the functions that have one, as published."""
    silu, gelu, mish = (-1.27846454, -0.2784645427610738), (-0.75179152, -0.1699712074799), (-1.19243122, -0.3088434130173)
    for name, (place, value) in {"silu": silu, "gelu": gelu, "mish": mish}.items():
        x = np.linspace(place - 1e-3, place + 1e-3, 2001).astype(Wide)
        y = OPS[name](x)
        assert abs(x[np.argmin(y)] - place) < 2e-6
        assert abs(np.min(y) - value) < 1e-12


def test_selu_keeps_mean_and_variance():
    """Its constants are those for which the standard normal distribution is a fixed point."""
    x = np.linspace(-12, 12, 400_001).astype(Wide)
    weight = np.exp(-x * x / 2)
    weight /= weight.sum()
    y = OPS["selu"](x)
    assert abs((weight * y).sum()) < 1e-9
    assert abs((weight * y * y).sum() - 1) < 1e-9


# ---- derivatives, against differences of the fourth order -------------------------------------------------------------
def differences(function, x, h=2.0**-10):
    """The derivative of the scalar `function` by each element of `x`."""
    result = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        total = Wide(0)
        for steps, factor in ((-2, 1), (-1, -8), (1, 8), (2, -1)):
            moved = x.copy()
            moved[index] += steps * Wide(h)
            total += factor * function(moved)
        result[index] = total / (12 * Wide(h))
    return result


@every(BACKWARD)
def test_gradient_is_the_derivative(op):
    for params in settings(op.forward):
        for axis in (-1, 0, (0, 1), None) if op.page == "rows" else (None,):
            check_gradient(op, params, {"axis": axis} if op.page == "rows" else {})


def check_gradient(op, params, options):
    args, inputs = arguments(op, params=params, options=options), arguments(op.forward, params=params)
    grad = args[0] if op.inputs[0] == "grad" else Wide(1)
    found = op(*args, **params, **options)
    for place, gradient in enumerate(found if isinstance(found, tuple) else (found,)):

        def scalar(moved, place=place):
            result = op.forward(*inputs[:place], moved, *inputs[place + 1 :], **params, **options)
            return np.sum(grad * (result[0] if isinstance(result, tuple) else result))

        assert gradient.shape == inputs[place].shape
        assert np.max(np.abs(gradient - differences(scalar, inputs[place]))) < 1e-9, (params, options)


@every([op for op in ACTIVATIONS if op.kinks])
def test_slope_at_kinks(op):
    for params in settings(op):
        for point, slope in op.kinks.items():
            x = np.array([eval(point, dict(params))])
            saved = x if op.reads == ("x",) else op(x, **params)
            assert op.backward_op(np.ones(1), saved, **params) == pytest.approx(eval(slope, dict(params)), rel=1e-15, abs=0)


@every([op for op in ACTIVATIONS if op.at.get(inf) == inf and op.reads == ("x",)])
def test_slope_at_infinity(op):
    for dtype in (np.float32, np.float64, Wide):
        x = np.array([-inf, -3e38, 3e38, inf], dtype)
        assert np.array_equal(op.backward_op(np.ones(4, dtype), x), [0, 0, 1, 1])


# ---- the declared facts -----------------------------------------------------------------------------------------------
@every(FORWARD)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, Wide])
def test_values_at_special_points(op, dtype):
    for point, value in op.at.items():
        found = op(np.array([point], dtype))
        assert found == pytest.approx(value, rel=4 * max(float(np.finfo(dtype).eps), 1e-16), abs=0)
        assert np.signbit(found) == np.signbit(value)


@every(ACTIVATIONS)
def test_monotone(op):
    y = op(np.concatenate([[-inf], np.sort(off_kinks(op, np.linspace(-30, 30, 4001), defaults(op))), [inf]]).astype(Wide))
    assert bool(np.all(np.diff(y[1:-1]) >= 0) and y[0] <= y[1] and y[-2] <= y[-1]) is op.monotone


@every(ACTIVATIONS)
def test_range(op):
    y = op(np.concatenate([[-inf], np.linspace(-30, 30, 240_001), [inf]]))
    low, high = op.range
    assert low - 1e-16 <= np.min(y) <= np.max(y) <= high
    assert (np.min(y), np.max(y)) == pytest.approx((low, high), abs=1e-8)


@every(list(OPS.values()))
def test_facts_are_given(op):
    assert all((op.formula, op.numpy, op.cost > 0))
    assert op.formula.split(",")[0].split(" if ")[0] in op.reference.__doc__
    assert ">>> " in op.reference.__doc__
    assert op.is_backward or op.source
    assert op.core is not None if op.page == "rows" else op.core is None
    if op.is_backward:
        stricter = {rule.text for rule in op.rules} - {rule.text for rule in op.forward.rules}
        assert bool(stricter) == bool(op.instead)
        assert {p.name: p.default for p in op.params if p.default is not REQUIRED} == defaults(op.forward)
    assert all(rule.holds(defaults(op)) for rule in op.rules)


def test_backward_follows_forward():
    names = list(OPS)
    for op in FORWARD:
        following = OPS[names[names.index(op.name) + 1]]
        assert (following, following.forward) == (op.backward_op, op)
        assert following.name == op.name + ("_gradient" if op.page == "losses" else "_backward")
    pages = dict.fromkeys(f"fastact.reference.{op.page}" for op in OPS.values())
    assert list(pages) == [page.__name__ for page in fastact.reference.PAGES]


# NumPy has no erf: the usual expression for gelu is its tanh form.
APPROXIMATE = {"gelu": 1e-3, "gelu_backward": 2e-3}


@every(list(OPS.values()))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numpy_expression(op, dtype):
    """What a user would otherwise write is the same function, in the same dtype; of losses, the mean and the mean's gradient."""
    options = {"axis": -1} if op.page == "rows" else {}
    args = arguments(op, dtype, params=defaults(op), options=options)
    names = dict(zip([*op.inputs, "pieces"], args, strict=False)) | defaults(op) | {"np": np}
    if op.kind == "row_loss":
        names["target"] = np.array([1, 0, 4, 3, 2, 2])
        args[1] = np.eye(5, dtype=dtype)[names["target"]]
    expected = op(*args, **defaults(op), **options)
    if op.page == "losses":
        value = (op.forward or op)(*args, **defaults(op))
        expected = (value.mean(), expected / value.size) if op.is_backward else value.mean()
    found = eval(op.numpy, names)
    pair = isinstance(expected, tuple)
    for a, b in zip(found if pair else [found], expected if pair else [expected], strict=True):
        assert (np.asarray(a).dtype, np.shape(a)) == (np.asarray(b).dtype, np.shape(b))
        np.testing.assert_allclose(a, b, rtol=0, atol=APPROXIMATE.get(op.name, 1e-5 if dtype is np.float32 else 1e-13))


# ---- every operation: dtypes, shapes, nan, silence --------------------------------------------------------------------
@every(list(OPS.values()))
@pytest.mark.parametrize("dtype", [np.float32, np.float64, Wide])
def test_dtype_and_shape_are_kept(op, dtype):
    found = op(*arguments(op, dtype), **defaults(op))
    kept = np.intp if op.kind == "pick" else dtype
    first, *rest = found if isinstance(found, tuple) else (found,)
    assert [first.dtype, *(r.dtype for r in rest)] == [dtype] + [kept] * len(rest)
    if op in ACTIVATIONS:
        for shape in ((), (0,), (2, 0), (2, 3, 4)):
            x = np.full(shape, 0.5, dtype)
            assert np.shape(op(x)) == np.shape(op.backward_op(x, x)) == shape


ALONE = {("log_softmax_backward", "y"), ("logsumexp_backward", "x")}  # row functions that use this input for its element alone


@every([op for op in OPS.values() if op.page != "gates"])
def test_nan_spreads(op):
    """nan in any input is nan in the result: of the element, or of its row."""
    options = {"axis": -1} if op.page == "rows" else {}
    args = arguments(op, np.float64, options=options)
    for place, name in enumerate(op.inputs):
        spoilt = [a.copy() for a in args]
        spoilt[place].flat[0] = nan
        found, clean = op(*spoilt, **options), op(*args, **options)
        changed = np.isnan(found)
        expected = np.zeros_like(changed)
        expected[(0, 0) if op.kind in ("map", "loss") or (op.name, name) in ALONE else 0] = True
        assert np.array_equal(changed, expected)
        assert np.array_equal(found[~changed], clean[~changed])


@every(list(OPS.values()))
def test_silence(op):
    """No floating-point error is raised, whatever the numbers and the caller's error state."""
    hard = np.array([0.0, -0.0, 1e-310, -1e-310, 1.8e308, -1.8e308, 710.0, -710.0, 40.0, -40.0, inf, -inf, nan])
    args = [hard if np.issubdtype(np.asarray(a).dtype, np.floating) else a for a in arguments(op, np.float64, (1, 13))]
    if op.kind == "pick" and op.is_backward:
        args[:2] = [hard[:1], np.array([4])]
    with np.errstate(all="raise"):
        if op.name == "logsumexp_backward":
            args = [hard[10], hard, hard[10]]
        op(*args, **defaults(op))


# ---- rows, gates, losses ----------------------------------------------------------------------------------------------
def test_softmax_family_by_mpmath():
    rng = np.random.default_rng(5)
    for row in (rng.uniform(-4, 4, 9), rng.uniform(-300, 300, 9), np.array([50.0, 50.0, 50.0]), np.array([700.0, 0.0, -700.0])):
        x = row.astype(Wide)
        with mpmath.workdps(700):
            total = mpmath.fsum(mpmath.exp(exact(v)) for v in x)
            true = [(mpmath.exp(exact(v)) / total, exact(v) - mpmath.log(total)) for v in x]
            for (p, log_p), got_p, got_log_p in zip(true, OPS["softmax"](x), OPS["log_softmax"](x), strict=True):
                assert abs(exact(got_p) / p - 1) < (8 + abs(float(log_p))) * EPS
                assert abs(exact(got_log_p) / log_p - 1) < 8 * EPS
            assert abs(exact(OPS["logsumexp"](x)) / mpmath.log(total) - 1) < 8 * EPS


EDGE_ROWS = [  # row, softmax, log_softmax, logsumexp
    ([0.0, -inf], [1.0, 0.0], [0.0, -inf], 0.0),
    ([-inf, -inf], [nan, nan], [nan, nan], -inf),
    ([0.0, inf], [nan, nan], [nan, nan], inf),
    ([0.0, nan], [nan, nan], [nan, nan], nan),
    ([inf, nan], [nan, nan], [nan, nan], nan),
    ([-1e300, -1e300], [0.5, 0.5], [-0.6931471805599453] * 2, -1e300),
    *(([3.0], [1.0], [0.0], 3.0), ([], [], [], -inf)),
]


@pytest.mark.parametrize(("row", "softmax", "log_softmax", "logsumexp"), EDGE_ROWS)
def test_edge_rows(row, softmax, log_softmax, logsumexp):
    x = np.array(row)
    np.testing.assert_array_equal(OPS["softmax"](x), softmax)
    np.testing.assert_array_equal(OPS["log_softmax"](x), log_softmax)
    np.testing.assert_array_equal(OPS["logsumexp"](x), logsumexp)
    assert np.all(OPS["logsumexp_backward"](np.array(1.0), np.array([-inf, -inf]), np.array(-inf)) == 0)


def test_logsumexp_shapes():
    x = np.random.default_rng(6).standard_normal((2, 3, 4))
    f, backward = OPS["logsumexp"], OPS["logsumexp_backward"]
    for axis, shape, kept in ((None, (), (1, 1, 1)), (1, (2, 4), (2, 1, 4)), ((0, -1), (3,), (1, 3, 1))):
        assert (f(x, axis).shape, f(x, axis, keepdims=True).shape) == (shape, kept)
        np.testing.assert_allclose(f(x, axis), np.log(np.exp(x).sum(axis=axis)), rtol=1e-14)
        plain = backward(np.ones(shape), x, f(x, axis), axis)
        np.testing.assert_array_equal(plain, backward(np.ones(kept), x, f(x, axis, keepdims=True), axis))
    assert f(np.array(2.0)) == 2.0


def test_prelu_channels():
    x = np.array([[-1.0, -2.0, 0.0], [4.0, -5.0, nan]])
    prelu, backward = OPS["prelu"], OPS["prelu_backward"]
    np.testing.assert_array_equal(prelu(x, np.array([2.0, 3.0, 4.0])), [[-2, -6, 0], [4, -15, nan]])
    np.testing.assert_array_equal(prelu(x, np.array([2.0, 3.0]), axis=0), [[-2, -4, 0], [4, -15, nan]])
    np.testing.assert_array_equal(prelu(x[0], np.array([2.0, 3.0, 4.0])), [-2, -6, 0])
    dx, dweight = backward(np.ones((2, 3)), x, np.array([2.0, 3.0, 4.0]))
    np.testing.assert_array_equal(dx, [[2, 3, 4], [1, 3, nan]])
    np.testing.assert_array_equal(dweight, [-1, -7, nan])
    assert backward(np.ones(3), x[0], np.array(0.5))[1] == -3


def test_maxout_choice():
    value, which = OPS["maxout"](np.array([[1.0, 3.0, 3.0], [nan, 5.0, nan], [-inf, -inf, -inf]]))
    np.testing.assert_array_equal(value, [3, nan, -inf])
    np.testing.assert_array_equal(which, [1, 0, 0])
    back = OPS["maxout_backward"](np.array([5.0, 7.0]), np.array([2, 0]), 3, axis=0)
    np.testing.assert_array_equal(back, [[0, 7], [0, 0], [5, 0]])


def test_losses_at_the_edges():
    bce, hinge = OPS["binary_cross_entropy_with_logits"], OPS["hinge_loss"]
    np.testing.assert_array_equal(bce(np.array([inf, -inf, inf, -inf]), np.array([1.0, 0.0, 0.0, 1.0])), [0, 0, inf, inf])
    assert bce(np.array([-700.0]), np.zeros(1)) == np.exp(-700.0)
    np.testing.assert_array_equal(hinge(np.array([1.0, nan]), np.ones(2)), [0, nan])
    np.testing.assert_array_equal(hinge.backward_op(np.array([1.0, nan]), np.ones(2)), [0, nan])
    smooth = OPS["smooth_l1_loss"]
    np.testing.assert_array_equal(smooth(np.array([-2.0, 0.0]), np.zeros(2), 0.0), [2, 0])
    np.testing.assert_array_equal(smooth.backward_op(np.array([-2.0, 0.0]), np.zeros(2), 0.0), [-1, 0])


def test_cross_entropy_edges():
    value, gradient = OPS["cross_entropy"], OPS["cross_entropy_gradient"]
    x = np.array([[0.0, -inf], [0.0, -inf], [1.0, 1.0], [800.0, 0.0]])
    t = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 0.0], [1.0, 0.0]])
    np.testing.assert_array_equal(value(x, t), [0, inf, 0, 0])
    np.testing.assert_array_equal(gradient(x, t), [[0, 0], [0.5, -0.5], [0, 0], [0, 0]])
    assert float(value(Wide([40.0, 0.0]), Wide([1.0, 0.0]))) == pytest.approx(np.exp(-40.0), rel=1e-15, abs=0)
