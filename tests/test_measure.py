"""What all else is measured with is measured: units in the last place, arguments, the register's NumPy expressions, timings."""

import time

import numpy as np
import pytest
from support import DTYPES, OPS, every_op, inf, nan, public_name

import fastact as fa
from fastact import measure
from fastact.measure import ulp

SIZES = (1, 7, 1000)
Wide = np.longdouble


def rng():
    return np.random.default_rng(5)


# ---- units in the last place ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_ulp_of_neighbours(dtype):
    info = np.finfo(dtype)
    numbers = np.array([1, -1, 1.5, info.max, info.smallest_normal, -info.smallest_subnormal, 3 * info.smallest_subnormal], dtype)
    with np.errstate(over="ignore", under="ignore"):
        beyond = np.nextafter(numbers, np.sign(numbers) * info.dtype.type(inf))
    np.testing.assert_array_equal(ulp(numbers, numbers.astype(Wide), dtype), 0)
    np.testing.assert_array_equal(ulp(beyond[:3], numbers[:3].astype(Wide), dtype), 1)
    np.testing.assert_array_equal(ulp(beyond[4:], numbers[4:].astype(Wide), dtype), 1)
    assert ulp(beyond[3], Wide(numbers[3]), dtype) == 1  # infinity counts as the first number beyond the largest
    below_one = np.nextafter(info.dtype.type(1), info.dtype.type(0))
    assert ulp(below_one, Wide(1), dtype) == 0.5  # the unit is that of the exact value


def test_ulp_is_a_fraction_where_the_truth_is_between():
    third = np.float32(1) / np.float32(3)
    assert 0 < ulp(third, Wide(1) / 3, np.float32) < 0.5
    assert ulp(np.float32(0), Wide(2) ** -150, np.float32) == 0.5
    assert ulp(np.float64(0), Wide(2) ** -1074, np.float64) == 1
    assert ulp(np.float16(2), Wide(2) + Wide(2) ** -10, np.float16) == 0.5


def test_ulp_of_no_numbers():
    result = np.array([nan, nan, 1, inf, -inf, inf, inf, 1, 0], np.float32)
    true = np.array([nan, 1, nan, inf, inf, 1e39, 1, inf, -0.0], Wide)
    errors = ulp(result, true, np.float32)
    np.testing.assert_array_equal(errors[[0, 3, 5, 8]], 0)
    np.testing.assert_array_equal(errors[[1, 2, 4, 7]], inf)
    assert errors[6] == 2.0**151 - 2.0**23


def test_ulp_of_the_larger_term():
    assert ulp(np.float32(2.0**-20), Wide(0), np.float32, size=Wide(-1)) == 8
    assert ulp(np.float32(1), Wide(1) + Wide(2) ** -23, np.float32, size=Wide(1e-9)) == 1


def test_unit_follows_the_binade():
    units = [2.0**-23, 2.0**-23, 2.0**-22, 2.0**-149, 2.0**-149]
    np.testing.assert_array_equal(measure.unit([1, 1.99, 2, 0, inf], np.float32), units)


# ---- arguments --------------------------------------------------------------------------------------------------------


@every_op
@pytest.mark.parametrize("dtype", DTYPES)
def test_arguments_are_valid(op, dtype):
    """Contiguous, of the dtype, of numbers, and accepted by the public function, which gives numbers."""
    for size in SIZES:
        arrays = measure.arguments(op, size, dtype, rng())
        assert len(arrays) == len(op.inputs)
        for name, array in zip(op.inputs, arrays, strict=True):
            assert array.flags.c_contiguous
            integers = name == "which" or (name == "target" and op.kind == "row_loss")
            assert array.dtype.kind == "i" if integers else array.dtype == dtype
            assert np.isfinite(array).all()
        results = measure.call(fa, op)(*arrays, **measure.options(op, size))
        for part in results if isinstance(results, tuple) else (results,):
            assert np.isfinite(part).all()


@every_op
def test_arguments_take_a_shape(op):
    arrays = measure.arguments(op, (6, 4), "float32", rng())
    assert (6, 4) in [a.shape for a in arrays] or op.kind == "pick"
    assert measure.shape_of(op, (6, 4)) == (6, 4)


@every_op
def test_arguments_repeat_with_the_seed(op):
    first, second = (measure.arguments(op, 50, "float64", rng()) for _ in range(2))
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("domain", [(0, 1), (0, inf), (-inf, 2), (-inf, inf)], ids=str)
def test_samples_keep_to_the_domain(domain):
    x = measure.sample(domain, (4000,), np.float64, rng())
    assert domain[0] < x.min() < x.max() < domain[1]
    assert np.std(x) > 0.1


@every_op
def test_saved_values_are_those_of_the_reference(op):
    """`y` is the output for an input that the forward pass can have: within its range, and not all the same."""
    if "y" in op.inputs:
        y = measure.arguments(op, 1000, "float64", rng())[op.inputs.index("y")]
        assert op.forward.range[0] <= y.min() < y.max() <= op.forward.range[1]


# ---- functions --------------------------------------------------------------------------------------------------------


@every_op
@pytest.mark.parametrize("size", [40, 1000])
def test_the_numpy_expression_agrees_with_the_reference(op, size):
    """Every speed-up is over the same function: the register's expression gives what the reference gives."""
    arrays, keywords = measure.arguments(op, size, "float64", rng()), measure.options(op, size)
    with np.errstate(all="ignore"):
        found = measure.baseline(op)(*arrays, **keywords)
    true = measure.exact(op, arrays, **keywords)
    # NumPy has no erf: what has it in its formula is timed against its tanh form, which is 1e-3 off.
    erf = "erf" in (op.forward or op).formula
    assert isinstance(found, tuple) == isinstance(true, tuple)
    for got, should in zip(found, true, strict=True) if isinstance(true, tuple) else [(found, true)]:
        assert np.shape(got) == np.shape(should)
        np.testing.assert_allclose(got, np.asarray(should).astype(np.float64), rtol=1e-9, atol=5e-3 if erf else 1e-12)


@every_op
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_numpy_expression_keeps_the_dtype(op, dtype):
    """A baseline that computed in a wider dtype would be a slow straw man."""
    arrays, keywords = measure.arguments(op, 40, dtype, rng()), measure.options(op, 40)
    with np.errstate(all="ignore"):
        found = measure.baseline(op)(*arrays, **keywords)
    for part in found if isinstance(found, tuple) else (found,):
        assert part.dtype == dtype or part.dtype.kind == "i"


def test_baseline_takes_parameters():
    x = np.array([-2.0, 1.0])
    np.testing.assert_array_equal(measure.baseline(fa.ops["leaky_relu"])(x, negative_slope=0.5), [-1, 1])


@every_op
def test_call_finds_the_public_function(op):
    function = measure.call(fa, op)
    assert function.op is op
    assert function is getattr(fa, public_name(op))


@every_op
def test_in_place_overwrites_an_argument_and_restores_it(op):
    """Every call of a round sees the original arguments, as its result shows; what is overwritten is put back before the next."""
    arrays, keywords = measure.arguments(op, 300, "float32", rng()), measure.options(op, 300)
    should = measure.call(fa, op)(*arrays, **keywords)
    contender = measure.in_place(measure.call(fa, op), op, arrays, keywords)
    assert (contender.prepare is not None) == (measure.overwritten(op, arrays, should) is not None)
    for _ in range(2):
        if contender.prepare is not None:
            contender.prepare()
        for call in contender.calls:
            found = call()
            for got, right in zip(found, should, strict=True) if isinstance(should, tuple) else [(found, should)]:
                np.testing.assert_array_equal(got, right)


@pytest.mark.parametrize("name", ["sigmoid", "maxout_backward", "mse_loss_gradient", "prelu_backward"])
def test_contenders_on_large_arrays_use_the_same_memory(name):
    """In turn, and each of them computes with the original arguments."""
    op = fa.ops[name]
    arrays, keywords = measure.arguments(op, 300_000, "float32", rng()), measure.options(op, 300_000)
    before, function = [a.copy() for a in arrays], measure.call(fa, op)
    should = function(*arrays, **keywords)
    contenders = [way(function, op, arrays, keywords) for way in (measure.into, measure.in_place, measure.into, measure.in_place)]
    used = [contender.calls[0].keywords["out"] for contender in contenders]
    assert all(out is used[0] for out in used)
    assert not any(used[0] is a for a in arrays)
    for contender in 2 * contenders:
        contender.round()
        if contender.prepare is not None:
            contender.prepare()
        found = contender.calls[0]()
        for got, right in zip(found, should, strict=True) if isinstance(should, tuple) else [(found, should)]:
            np.testing.assert_array_equal(got, right)
    for one, same in zip(before, arrays, strict=True):
        np.testing.assert_array_equal(one, same)


def test_most_functions_are_timed_in_place():
    """Only values of losses, row sums and maxout have no argument that their result fits into."""
    kept = []
    for op in OPS:
        arrays, keywords = measure.arguments(op, 300, "float32", rng()), measure.options(op, 300)
        if measure.overwritten(op, arrays, measure.call(fa, op)(*arrays, **keywords)) is None:
            kept.append(op)
    assert all((op.page == "losses" and not op.is_backward) or op.kind == "pick" or op.core == "(n)->()" for op in kept)


# ---- time -------------------------------------------------------------------------------------------------------------


def test_best_tells_slow_from_slower():
    quick, slow = measure.best(lambda: time.sleep(0.001), lambda: time.sleep(0.004), seconds=0.02)
    assert 0.001 <= quick < 0.003 < slow < 0.05


def test_best_prepares_before_every_round():
    events = []
    contender = measure.Contender([lambda: events.append("call")] * 3, lambda: events.append("prepare"))
    measure.best(contender, seconds=0, rounds=4)
    assert events == ["prepare", "call", "call", "call"] * 5


def test_best_interleaves():
    events = []
    contenders = [measure.Contender([lambda name=name: events.append(name)], lambda: None) for name in "ab"]
    measure.best(*contenders, seconds=0, rounds=3)
    assert "".join(events) == "abababab"


def test_short_calls_are_repeated_within_a_round():
    contender = measure.Contender([lambda: None])
    contender.calibrate(1e-3)
    assert contender.repeat > 100


def test_buffers_share_a_cache():
    assert measure.buffers([np.zeros(10)]) == 64
    assert measure.buffers([np.zeros(2048), np.zeros(2048)]) == 8
    assert measure.buffers([np.zeros(10**6)]) == 1


# ---- error ------------------------------------------------------------------------------------------------------------


@every_op
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_error_of_the_true_result_is_below_one_unit(op, dtype):
    """The reference, rounded, has at most half a unit of error: `exact` and `size` fit what the public function returns."""
    arrays, keywords = measure.arguments(op, 400, dtype, rng()), measure.options(op, 400)
    true = measure.exact(op, arrays, **keywords)
    parts = true if isinstance(true, tuple) else (true,)
    rounded = [part if part.dtype.kind == "i" else np.asarray(part).astype(dtype) for part in map(np.asarray, parts)]
    assert measure.error(op, arrays, tuple(rounded) if isinstance(true, tuple) else rounded[0], **keywords) <= 0.5


@every_op
def test_error_sees_an_error(op):
    """A result that is off by a hundred thousandth is off by many units, whatever they are relative to."""
    arrays, keywords = measure.arguments(op, 400, "float64", rng()), measure.options(op, 400)
    true = measure.exact(op, arrays, **keywords)
    parts = [np.asarray(part) for part in (true if isinstance(true, tuple) else (true,))]
    wrong = [part + 1 if part.dtype.kind == "i" else (part * (1 + Wide(1e-5))).astype(np.float64) for part in parts]
    if any(np.any(part) for part in parts):
        assert measure.error(op, arrays, tuple(wrong) if isinstance(true, tuple) else wrong[0], **keywords) > 1e6


@every_op
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_cython_functions_are_exact_to_a_few_units(op, dtype):
    """On ordinary arguments; the bounds proper are tested point by point elsewhere."""
    size = 3000
    arrays, keywords = measure.arguments(op, size, dtype, rng()), measure.options(op, size)
    found = measure.call(fa.get_backend("cython"), op)(*arrays, **keywords)
    assert measure.error(op, arrays, found, **keywords) <= 5


def test_half_types_are_judged_with_parameters_in_float32():
    op = fa.ops["leaky_relu"]
    x = np.array([-4.0], np.float16)
    assert float(measure.exact(op, [x])[0]) == -4 * float(np.float32(0.01))


def test_labels_and_dense_targets_have_the_same_truth():
    op = fa.ops["cross_entropy"].backward_op
    pred, labels = measure.arguments(op, (5, 3), "float64", rng())
    dense = np.eye(3)[labels]
    for one, two in zip(measure.exact(op, [pred, labels]), measure.exact(op, [pred, dense]), strict=True):
        np.testing.assert_array_equal(one, two)


def test_absent_backends_are_named(monkeypatch):
    def get_backend(name):
        if name == "numba":
            raise ImportError("no such thing")
        return fa.get_backend(name)

    monkeypatch.setattr(measure.backends, "get_backend", get_backend)
    found = measure.available()
    assert found["numba"] == "numba absent: no such thing"
    assert found["cython"].startswith("cython ")
    assert set(found) == set(measure.backends.BACKENDS)
