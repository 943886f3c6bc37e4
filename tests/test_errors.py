"""Wrong calls: the exception that NumPy and PyTorch users expect, a message that names what is wrong, and nothing written."""

import inspect
import re

import numpy as np
import pytest
from support import (
    LOSSES,
    MAPS,
    OPS,
    ROWS,
    defaults,
    every_backend,
    every_op,
    function,
    namespace,
    public_name,
    refuses,
    row_sample,
    sample,
)

import fastact as fa

F4 = np.dtype("f4")


def correct(op):
    """Arguments of a correct call, and the keywords it needs."""
    x = np.linspace(-1, 1, 12, dtype=F4).reshape(3, 4)
    if op.kind == "map":
        return sample(op, (3, 4), F4), {}
    if op.kind == "rows":
        return row_sample(op, (3, 4), F4), {"axis": -1}
    if op.kind == "row_loss":
        return [x, np.array([0, 3, 1])], {}
    if op.kind == "pick":
        return ([x[:, 0].copy(), np.array([0, 1, 3])], {"pieces": 4}) if op.is_backward else ([x], {})
    return [np.ones(4, F4) if name == "weight" else x.copy() for name in op.inputs], {}


def out_keyword(op):
    return "out" in inspect.signature(function("cython", op)).parameters


def out_like(op, arguments, options):
    """An output of the right kind, filled with a number to recognise."""
    result = function("cython", op)(*arguments, **options)
    result = result[1] if op.page == "losses" else result[0] if op.kind == "channels" and op.is_backward else result
    if op.kind == "pick" and not op.is_backward:
        return tuple(np.full_like(a, 77) for a in result)
    return np.full_like(result, 77)


# ---- every function ---------------------------------------------------------------------------------------------------


@every_backend
@every_op
def test_dtypes_that_have_no_order_are_refused(op, backend):
    f = function(backend, op)
    arguments, options = correct(op)
    for wrong in (np.complex64, object, "U3", "S3", "M8[s]", "m8[s]", [("a", "f4")]):
        bad = np.zeros(arguments[0].shape, wrong)
        given = [bad, *arguments[1:]]
        extra = {"out": out_like(op, arguments, options)} if out_keyword(op) else {}
        words = public_name(op), f"{op.inputs[0]} has dtype {bad.dtype}", "float16, bfloat16, float32, float64"
        refuses(lambda given=given, extra=extra: f(*given, **options, **extra), TypeError, *words, out=extra.get("out"))
        if len(arguments) > 1 and op.inputs[1] not in ("which", "target") and wrong not in ("m8[s]", "M8[s]"):
            given = [arguments[0], np.zeros(arguments[1].shape, wrong), *arguments[2:]]
            words = public_name(op), f"{op.inputs[1]} has dtype {given[1].dtype}"
            refuses(lambda given=given, extra=extra: f(*given, **options, **extra), TypeError, *words, out=extra.get("out"))


@every_backend
@pytest.mark.parametrize("op", [*MAPS, *ROWS], ids=lambda op: op.name)
def test_dtypes_that_nobody_can_compute_in(op, backend):
    f = function(backend, op)
    arguments, options = correct(op)
    for wrong in (np.int32, bool, complex, object, "U3", "M8[s]", np.longdouble, "(2,)f4", [("a", "f4")]):
        words = public_name(op), f"dtype={np.dtype(wrong)}", "float16, bfloat16, float32, float64"
        refuses(lambda wrong=wrong: f(*arguments, **options, dtype=wrong), TypeError, *words)
    swapped = np.dtype("f8").newbyteorder()
    assert f(*arguments, **options, dtype=swapped).dtype == "f8"


@every_backend
@every_op
def test_wrong_numbers_of_arguments(op, backend):
    f = function(backend, op)
    name = public_name(op)
    arguments, options = correct(op)
    refuses(lambda: f(), TypeError, name)
    refuses(lambda: f(*arguments[:-1], **options), TypeError, name)
    refuses(lambda: f(*arguments, *[0.5] * 9), TypeError, name)
    refuses(lambda: f(*arguments, **options, nonsense=1), TypeError, name, "nonsense")
    for extra in op.inputs:
        refuses(lambda extra=extra: f(*arguments, **options, **{extra: arguments[0]}), TypeError, name)
    if op.page != "losses":
        by_keyword = {op.inputs[-1]: arguments[-1]}
        refuses(lambda: f(*arguments[:-1], **by_keyword, **options), TypeError, name, f"takes {op.inputs[-1]} by position")
        most = len(arguments) + len(op.params) + len(op.options)
        refuses(lambda: f(*arguments, *[0.5] * (most - len(arguments) + 1)), TypeError, f"{name}() takes {most} positional arguments")


@every_backend
@every_op
def test_out_that_cannot_be_written(op, backend):
    f = function(backend, op)
    arguments, options = correct(op)
    if not out_keyword(op):
        refuses(lambda: f(*arguments, **options, out=arguments[0]), TypeError, "out")
        return
    out = out_like(op, arguments, options)
    first = out[0] if isinstance(out, tuple) else out
    first.flags.writeable = False
    refuses(lambda: f(*arguments, **options, out=out), ValueError, "read-only", out=out)
    if op.kind == "pick" and not op.is_backward:
        out = out_like(op, arguments, options)
        out[1].flags.writeable = False
        refuses(lambda: f(*arguments, **options, out=out), ValueError, "read-only", out=out)
    frozen = arguments[0].copy()
    frozen.flags.writeable = False
    if frozen.shape == first.shape:
        refuses(lambda: f(frozen, *arguments[1:], **options, out=frozen), (ValueError, TypeError), out=frozen)


@every_backend
@every_op
def test_out_of_the_wrong_kind(op, backend):
    f = function(backend, op)
    arguments, options = correct(op)
    if not out_keyword(op):
        return
    right = out_like(op, arguments, options)
    pair = isinstance(right, tuple)
    right = right[0] if pair else right

    def give(out):
        return lambda: f(*arguments, **options, out=(out, np.zeros(3, int)) if pair else out)

    for shape in [(3,), (4, 3), (3, 5), (3, 4, 1), ()]:
        if shape != right.shape:
            out = np.full(shape, 77, F4)
            refuses(give(out), ValueError, out=out)
    for wrong in ([1.0], 3.0, "out"):
        refuses(give(wrong), TypeError, public_name(op), "out")
    whole = np.full(right.shape, 77, np.int64)
    refuses(give(whole), TypeError, public_name(op), "out has dtype int64", out=whole)
    if not pair:
        refuses(lambda: f(*arguments, **options, out=(right, right)), (TypeError, ValueError), out=right)


@every_backend
def test_options_that_are_no_numbers(backend):
    lib, x, labels = namespace(backend), np.ones((3, 4), "f4"), np.zeros(3, int)
    for call, argument in (
        (lambda: lib.prelu(x, 0.5, axis="a"), "axis='a'"),
        (lambda: lib.maxout(x, axis="a"), "axis='a'"),
        (lambda: lib.maxout_backward(x[:, 0], labels, 2.5), "pieces=2.5"),
        (lambda: lib.cross_entropy(x, labels, axis="a"), "axis='a'"),
        (lambda: lib.cross_entropy(x, labels, ignore_index="a"), "ignore_index='a'"),
        (lambda: lib.cross_entropy(x, labels, label_smoothing="a"), "label_smoothing='a'"),
        (lambda: lib.cross_entropy(x, labels, z_loss=None), "z_loss=None"),
    ):
        refuses(call, TypeError, argument, "number is required")
    for far in (10**30, -(10**30)):
        for call, argument in (
            (lambda far=far: lib.prelu(x, 0.5, axis=far), "axis"),
            (lambda far=far: lib.maxout(x, axis=far), "axis"),
            (lambda far=far: lib.softmax(x, axis=far), "axis"),
            (lambda far=far: lib.logsumexp(x, axis=far), "axis"),
            (lambda far=far: lib.cross_entropy(x, labels, axis=far), "axis"),
            (lambda far=far: lib.cross_entropy(x, labels, ignore_index=far), "ignore_index"),
        ):
            refuses(call, OverflowError, f"{argument}={far}")
    assert lib.cross_entropy(x, labels, ignore_index=np.iinfo(np.int64).min) == lib.cross_entropy(x, labels)
    refuses(lambda: lib.maxout_backward(x[:, 0], labels, 10**30), OverflowError, f"pieces={10**30}")
    refuses(lambda: lib.hard_tanh(x, 2, 1), ValueError, "min_val=2 and max_val=1")


# ---- shapes and axes --------------------------------------------------------------------------------------------------


@every_backend
@pytest.mark.parametrize("op", [op for op in OPS if len(op.inputs) > 1], ids=lambda op: op.name)
def test_shapes_that_do_not_fit(op, backend):
    f = function(backend, op)
    arguments, options = correct(op)
    extra = {"out": out_like(op, arguments, options)} if out_keyword(op) else {}
    first = op.cores.index(True) if op.kind == "rows" else 0  # what the others are held against
    for shape in [(5,), (3, 5), (2, 4), (2, 3, 4, 7)]:
        for k in {len(arguments) - 1, 1} - {first}:
            given = [*arguments[:k], np.zeros(shape, arguments[k].dtype), *arguments[k + 1:]]
            message = refuses(lambda given=given: f(*given, **options, **extra), ValueError, public_name(op), out=extra.get("out"))
            named = rf"\b{op.inputs[k]}( has| has dtype \w+ and)?( shape)? {re.escape(str(shape))}"
            assert re.search(named, message), message


AXES = [op for op in OPS if op.kind in ("rows", "row_loss", "pick", "channels")]


@every_backend
@pytest.mark.parametrize("op", AXES, ids=lambda op: op.name)
def test_axes_that_do_not_exist(op, backend):
    f = function(backend, op)
    arguments, options = correct(op)
    extra = {"out": out_like(op, arguments, options)} if out_keyword(op) else {}
    for axis in (2, 3, -3, -4, 99, 10**30):
        if op.kind == "pick" and op.is_backward and axis == 1:
            continue
        kinds = (np.exceptions.AxisError, OverflowError) if axis == 10**30 else np.exceptions.AxisError
        refuses(lambda axis=axis: f(*arguments, **{**options, "axis": axis}, **extra), kinds, out=extra.get("out"))
    for axis in (1.5, "rows", [0.5], (0, 0.5)):
        refuses(lambda axis=axis: f(*arguments, **{**options, "axis": axis}, **extra), TypeError, out=extra.get("out"))
    if op.kind == "rows":
        for axis in ((0, 0), (0, -2)):
            refuses(lambda axis=axis: f(*arguments, axis=axis), ValueError, "axis")
        refuses(lambda: f(*arguments, axis=(0, 5)), np.exceptions.AxisError)
        refuses(lambda: f(*arguments, -1, **{"axis": -1}), TypeError, "axis")
    if op.kind != "rows":
        for axis in ((0, 1), None):
            refuses(lambda axis=axis: f(*arguments, **{**options, "axis": axis}, **extra), TypeError, f"axis={axis}", out=extra.get("out"))
    if "keepdims" in op.options:
        for wrong in ("no", None, 0.5):
            refuses(lambda wrong=wrong: f(*arguments, **options, keepdims=wrong), TypeError, public_name(op), f"keepdims={wrong!r}")
        assert f(*arguments, **options, keepdims=np.True_).shape == f(*arguments, **options, keepdims=1).shape == (3, 1)


# ---- parameters -------------------------------------------------------------------------------------------------------


@every_backend
@pytest.mark.parametrize("op", [op for op in OPS if op.params], ids=lambda op: op.name)
def test_parameters_that_are_no_numbers(op, backend):
    f = function(backend, op)
    arguments, options = correct(op)
    extra = {"out": out_like(op, arguments, options)} if out_keyword(op) else {}
    for p in op.params:
        for wrong in ("much", None, 1j, np.complex64(1), [0.5], {}, object(), b"1"):
            given = {**options, p.name: wrong}
            words = [] if op.kind == "pick" else [p.name]
            refuses(lambda given=given: f(*arguments, **given, **extra), TypeError, *words, out=extra.get("out"))
        if p.name not in options:
            refuses(lambda p=p: f(*arguments, *[0.5] * len(op.params), **{p.name: 0.5}), TypeError)


def breaking(op, rule):
    """Parameters just beyond a rule, and far beyond."""
    values = dict(defaults(op))
    bound = values[rule.bound] if isinstance(rule.bound, str) else rule.bound
    away = -1 if ">" in rule.sign else 1
    steps = [away * 1e-3, away * 100, away * float("inf")] + ([0] if "=" not in rule.sign else [])
    for step in steps:
        yield {**values, rule.param: bound + step * max(1, abs(bound))}
    yield {**values, rule.param: float("nan")}


@every_backend
@pytest.mark.parametrize("op", [op for op in OPS if op.rules], ids=lambda op: op.name)
def test_parameters_that_break_a_rule(op, backend):
    f = function(backend, op)
    arguments, options = correct(op)
    out = out_like(op, arguments, options) if out_keyword(op) else None
    extra = {} if out is None else {"out": out}
    for rule in op.rules:
        for values in breaking(op, rule):
            shown = f"{rule.param}={values[rule.param]:g}"
            first = next(one.text for one in op.rules if not one.holds(values))  # nan breaks them all
            refuses(lambda v=values: f(*arguments, **v, **extra), ValueError, f.__name__, shown, first, op.instead, out=out)
            if op.kind == "map":
                refuses(lambda v=values: f(*arguments, *v.values(), **extra), ValueError, shown, out=out)
                swapped = [a.astype(a.dtype.newbyteorder()) for a in arguments]
                refuses(lambda v=values, s=swapped: f(*s, **v, **extra), ValueError, shown, out=out)
                half = [np.ones((3, 4), "f2") for _ in arguments]
                refuses(lambda v=values, s=half: f(*s, **v), ValueError, shown)
                many = {name: np.array([defaults(op)[name]] * 3 + [value]) for name, value in values.items()}
                refuses(lambda m=many: f(*arguments, **m, **extra), ValueError, shown, out=out)


def test_forward_accepts_what_backward_refuses():
    assert fa.leaky_relu(np.array([-2.0]), -0.5).tolist() == [1.0]
    assert fa.elu(np.array([-np.inf]), -0.5).tolist() == [0.5]
    with pytest.raises(ValueError, match="prelu_backward"):
        fa.leaky_relu_backward(np.ones(1), np.ones(1), -0.5)


# ---- losses -----------------------------------------------------------------------------------------------------------


@every_backend
@pytest.mark.parametrize("op", LOSSES, ids=lambda op: op.name)
def test_losses(op, backend):
    f = function(backend, op)
    name = public_name(op)
    (pred, target), _ = correct(op)
    out = pred.copy()
    extra = {"out": out} if op.is_backward else {}
    for wrong in ("average", "", "Mean", 3, True):
        refuses(lambda wrong=wrong: f(pred, target, reduction=wrong, **extra), ValueError, name, repr(wrong), "mean, sum, none", out=out)
    refuses(lambda: f(pred, target, reduction=None, **extra), ValueError, "None", out=out)
    refuses(lambda: f(pred, target, 0.5), TypeError, name)
    refuses(lambda: f(pred), TypeError, name)
    if op.is_backward:
        double = np.full(pred.shape, 77.0)
        refuses(lambda: f(pred, target, out=double), TypeError, "float64", out=double)
    if op.kind == "loss":
        refuses(lambda: f(pred, target[:, :1], **extra), ValueError, "(3, 4)", "(3, 1)", out=out)
        refuses(lambda: f(pred, np.float32(1), **extra), ValueError, "(3, 4)", "()", out=out)
        refuses(lambda: f(pred, target.astype(complex), **extra), TypeError, "target", out=out)
        for p in op.params:
            refuses(lambda p=p: f(pred, target, **{p.name: np.ones(4)}, **extra), TypeError, "parameters", out=out)


# ---- gates and the rest -----------------------------------------------------------------------------------------------


@every_backend
def test_gates(backend):
    prelu, prelu_backward, maxout, maxout_backward = (
        function(backend, fa.ops[name]) for name in ("prelu", "prelu_backward", "maxout", "maxout_backward")
    )
    x = np.linspace(-1, 1, 12, dtype=F4).reshape(3, 4)
    for shape in [(3,), (5,), (4, 1), (1, 4), (3, 4), (0,)]:
        for call in (lambda w: prelu(x, w), lambda w: prelu_backward(x, x, w)):
            refuses(lambda call=call, shape=shape: call(np.ones(shape, F4)), ValueError, "weight", shape, "(4,)")
    refuses(lambda: prelu(x, np.ones(4, F4), 0), ValueError, "(3,)")
    assert prelu(x[0], np.ones(4, F4), axis=-1).tobytes() == prelu(x[0], np.ones(4, F4)).tobytes() == x[0].tobytes()
    refuses(lambda: prelu(np.float32(-1), 0.5, axis=2), np.exceptions.AxisError, "axis 2")
    assert prelu(np.float32(-1), 0.5) == prelu(np.float32(-1), 0.5, axis=-1) == -0.5
    dx, dweight = prelu_backward(x, x, np.ones(4, F4), dtype="f8")
    assert dx.dtype == dweight.dtype == "f8"
    for weight in (np.ones(4, F4), np.ones(1, F4), 0.5):
        for axis in (2, -2):
            refuses(lambda w=weight, axis=axis: prelu(x[0], w, axis=axis), np.exceptions.AxisError, f"axis {axis}")
            refuses(lambda w=weight, axis=axis: prelu_backward(x[0], x[0], w, axis=axis), np.exceptions.AxisError, f"axis {axis}")
    refuses(lambda: maxout(x, None), TypeError, "axis=None")
    refuses(lambda: prelu(np.float32(1), np.ones(4, F4)), ValueError, "weight")
    refuses(lambda: maxout(np.float32(1)), ValueError, "axis")
    refuses(lambda: maxout(np.zeros((3, 0), F4)), ValueError, "(3, 0)")
    refuses(lambda: maxout(x, out=np.zeros(3, F4)), TypeError, "tuple of two")
    grad, which = np.ones(3, F4), np.array([0, 1, 3])
    out = np.full((3, 4), 77, F4)
    for bad in (4, -1, 99, np.iinfo(np.int64).max):
        refuses(lambda bad=bad: maxout_backward(grad, np.array([0, bad, 1]), 4, out=out), ValueError, "which", bad, out=out)
    many, out_of_many = np.zeros(101, int), {pieces: np.full((101, pieces), 77, F4) for pieces in (3, 4)}
    for place in range(101):  # quarters are checked side by side
        for pieces, bad in ((3, 3), (3, -1), (4, 4), (4, -1)):
            many[place], out = bad, out_of_many[pieces]
            refuses(lambda p=pieces, o=out: maxout_backward(np.ones(101, F4), many, p, out=o), ValueError, "which", bad, out=out)
        many[place] = 0
    refuses(lambda: maxout_backward(grad, which.astype(F4), 4), (ValueError, TypeError), "which")
    refuses(lambda: maxout_backward(grad, which, 2), ValueError, "which")
    refuses(lambda: maxout_backward(grad, which), TypeError, "pieces")
    for bad in (-1, 0):
        refuses(lambda bad=bad: maxout_backward(grad, which, bad), ValueError)
    refuses(lambda: maxout_backward(np.ones(0, F4), np.zeros(0, int), -1), ValueError, "pieces")


def test_a_wrong_axis_names_the_function_and_what_is_allowed():
    x = np.ones((2, 3))
    for name in ("softmax", "logsumexp"):
        f = getattr(fa, name)
        with pytest.raises(TypeError, match=rf"^{name}: axis=1.5; an int, a tuple of ints or None is required$"):
            f(x, axis=1.5)
        with pytest.raises(np.exceptions.AxisError, match=rf"^{name}: axis 5 is out of bounds"):
            f(x, axis=5)
    with pytest.raises(np.exceptions.AxisError, match=r"^maxout: axis 5"):
        fa.maxout(x, axis=5)
    with pytest.raises(np.exceptions.AxisError, match=r"^cross_entropy: axis 5"):
        fa.cross_entropy(x, np.zeros(2, int), axis=5)
