"""How elementwise functions may be called: parameters, dtypes, scalars and lists, ufunc options, subclasses and other array types."""

import warnings

import numpy as np
import pytest
from support import BACKENDS, DTYPES, INTEGERS, MAPS, defaults, every_map, every_type, function, inputs, namespace, same, sample, settings

import fastact as fa
from fastact.register import public_ops

pytestmark = pytest.mark.parametrize("backend", BACKENDS)
with_params = pytest.mark.parametrize("op", [op for op in MAPS if op.params], ids=lambda op: op.name)


# ---- parameters -------------------------------------------------------------------------------------------------------


@every_type
@with_params
def test_parameters_by_position_keyword_and_as_other_numbers(op, dtype, backend):
    f = function(backend, op)
    arguments = sample(op, 300, dtype)
    same(f(*arguments), f(*arguments, **defaults(op)), "defaults")
    params = settings(op)[1]
    values = list(params.values())
    want = f(*arguments, **params)
    assert (np.asarray(want) != f(*arguments)).any() or op.name == "step_backward", "the parameters have no effect"
    same(f(*arguments, *values), want, "by position")
    same(f(*arguments, *values[:1], **dict(list(params.items())[1:])), want, "first by position")
    for kind in (np.float64, np.longdouble, np.array, lambda v: np.array([v])):
        same(f(*arguments, *map(kind, values)), want, f"as {kind}")
    out = arguments[0].copy()
    assert f(out, *arguments[1:], *values, out=out) is out
    same(out, want, "in place")
    swapped = [a.astype(dtype.newbyteorder()) for a in arguments]
    same(f(*swapped, **params), want, "through the ufunc")
    name = next(iter(params))
    for whole in (1, np.int32(1), np.uint8(1), True):
        same(f(*arguments, **{name: whole}), f(*arguments, **{name: 1.0}), f"{name}={whole!r}")


@every_type
@with_params
def test_parameters_as_arrays(op, dtype, backend):
    """One parameter an element, by broadcasting: as one call for each."""
    f = function(backend, op)
    arguments = sample(op, (5, 40), dtype)
    tables = {name: np.linspace(value, value + 1, 5) for name, value in settings(op)[1].items()}
    rows = [f(*(a[i] for a in arguments), **{name: v[i] for name, v in tables.items()}) for i in range(5)]
    columns = {name: v[:, None] for name, v in tables.items()}
    same(f(*arguments, **columns), np.array(rows), "one a row")
    same(f(*arguments, *(v.astype(np.float64) for v in columns.values())), np.array(rows), "by position")
    out = arguments[-1].copy()
    assert f(*arguments[:-1], out, **columns, out=out) is out
    same(out, np.array(rows), "in place")
    turned = [a.T for a in arguments]
    same(f(*turned, **tables), np.array(rows).T, "one a column")
    each = {name: np.broadcast_to(v, (5, 40)) for name, v in columns.items()}
    same(f(*arguments, **each), np.array(rows), "one an element")
    single = f(*(a[0, 0] for a in arguments), **tables)
    same(single, np.array([f(*(a[0, 0] for a in arguments), **{n: v[i] for n, v in tables.items()}) for i in range(5)]), "more than x has")


@every_type
@with_params
def test_the_first_array_decides_the_dtype(op, dtype, backend):
    arguments = sample(op, 20, dtype)
    table = {name: np.full(20, value, np.float64) for name, value in settings(op)[1].items()}
    assert function(backend, op)(*arguments, **table).dtype == dtype


# ---- dtypes -----------------------------------------------------------------------------------------------------------


@every_map
def test_integers_and_bools_compute_as_for_exp(op, backend):
    f = function(backend, op)
    for dtype in INTEGERS:
        whole = np.array([0, 1, 2, 1, 0], dtype)
        with np.errstate(all="ignore"):
            real = np.exp(whole).dtype
        arguments = [whole] * len(op.inputs)
        want = f(*(a.astype(real) for a in arguments))
        assert want.dtype == real
        same(f(*arguments), want, str(dtype))
        same(f(*(a[1] for a in arguments)), want[1], f"{dtype} scalars")
        with pytest.raises(TypeError):
            f(*arguments, out=arguments[0].copy())


@every_map
def test_the_dtype_of_the_first_array_is_that_of_the_result(op, backend):
    if len(op.inputs) < 2:
        return
    f = function(backend, op)
    for first in DTYPES:
        for second in [*DTYPES, np.int64]:
            grad, saved = inputs(op, np.linspace(0, 1, 50).astype(np.float16))
            want = f(grad.astype(first), saved.astype(second).astype(first))
            with np.errstate(all="raise"):
                same(f(grad.astype(first), saved.astype(second)), want, f"{first} beside {second}")


@every_map
def test_a_python_number_beside_an_array_has_its_dtype(op, backend):
    """As in NumPy; a NumPy number is an array of no dimensions."""
    if len(op.inputs) < 2:
        return
    f = function(backend, op)
    for dtype in DTYPES:
        grad, saved = inputs(op, np.linspace(0, 1, 9).astype(dtype))
        ones = np.ones_like(grad)
        for one in (1, 1.0, True):
            same(f(one, saved), f(ones, saved), f"{one!r} beside {dtype}")
        same(f(np.float64(1), saved), f(ones.astype("f8"), saved), f"float64 beside {dtype}")


@every_map
def test_python_numbers_and_lists(op, backend):
    f = function(backend, op)
    numbers = [0.25, 0.5, 0.75]
    want = f(*(np.array(numbers) for _ in op.inputs))
    same(f(*(numbers for _ in op.inputs)), want, "lists")
    same(f(*(tuple(numbers) for _ in op.inputs)), want, "tuples")
    same(f(*([numbers, numbers] for _ in op.inputs)), np.array([want, want]), "nested")
    result = f(*(numbers[1] for _ in op.inputs))
    assert type(result) is np.float64
    same(result, want[1], "floats")
    assert type(f(*(1 for _ in op.inputs))) is np.float64
    assert f(*([] for _ in op.inputs)).shape == (0,)


@every_map
def test_dtype_casting_order_and_subok(op, backend):
    f = function(backend, op)
    arguments = sample(op, (4, 50), np.dtype("f4"))
    with np.errstate(all="ignore"):
        same(f(*arguments, dtype=np.float64), f(*(a.astype("f8") for a in arguments)), "dtype=float64")
        same(f(*arguments, dtype="f2", casting="same_kind"), f(*(a.astype("f2") for a in arguments)), "dtype=float16")
    for order in "CFKA":
        result = f(*arguments, order=order)
        assert result.flags.f_contiguous == (order == "F")
        same(result, f(*arguments), order)
    turned = [a.T for a in arguments]
    assert f(*turned).flags.f_contiguous
    assert f(*turned, order="C").flags.c_contiguous
    with pytest.raises(TypeError):
        f(*(a.astype("f8") for a in arguments), dtype="f4", casting="safe")
    with pytest.raises(TypeError):
        f(*arguments, dtype=np.int64)
    same(f(*arguments, out=(out := np.zeros((4, 50), "f4"),)), f(*arguments), "out as a tuple")
    assert f(*arguments, out=out) is out
    same(f(*arguments, out=None), f(*arguments), "out=None")
    same(f(*arguments, where=True), f(*arguments), "where=True")


# ---- containers -------------------------------------------------------------------------------------------------------


class Tagged(np.ndarray):
    """A subclass that keeps a tag."""

    def __array_finalize__(self, parent):
        self.tag = getattr(parent, "tag", "fresh")


class Wrapped:
    """An array type with its own rules: it records the ufunc and answers with a new instance."""

    def __init__(self, array):
        self.array = array

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        self.seen = ufunc, method, kwargs.pop("out", ())
        return Wrapped(getattr(ufunc, method)(*(i.array if isinstance(i, Wrapped) else i for i in inputs), **kwargs))


class Refusing:
    __array_ufunc__ = None


class Convertible:
    """Anything with __array__ counts as an array."""

    def __array__(self, dtype=None, copy=None):
        return np.array([0.25, 0.5], dtype or np.float32)


class Shapeless:
    """An array type that neither says its shape nor turns into an array, like a collection of several."""

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return ufunc

    def __array__(self, dtype=None, copy=None):
        raise TypeError("no single array")


def test_array_types_without_a_shape(backend):
    lib = namespace(backend)
    assert lib.prelu(Shapeless(), 0.2) is lib.prelu.ufunc
    assert lib.gelu(Shapeless()) is lib.gelu.ufunc
    with pytest.raises(AttributeError):
        lib.prelu(Shapeless(), [0.1, 0.2])


def test_an_ellipsis_asks_for_an_array_where_there_would_be_a_number(backend):
    lib = namespace(backend)
    for f in (lib.gelu, lib.logsumexp, lib.softmax, lambda x, out: lib.prelu(x, 0.5, out=out)):
        assert type(f(1.0, out=...)) is np.ndarray


@every_map
def test_subclasses_are_kept(op, backend):
    f = function(backend, op)
    arguments = sample(op, (3, 4), np.dtype("f4"))
    want = f(*arguments)
    tagged = [a.copy().view(Tagged) for a in arguments]
    tagged[0].tag = "mine"
    result = f(*tagged)
    assert type(result) is Tagged
    assert result.tag == "mine"
    same(result.view(np.ndarray), want)
    same(f(*tagged, out=tagged[0]).view(np.ndarray), want, "in place")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        assert type(f(*(np.matrix(a) for a in arguments))) is np.matrix
    mask = np.eye(3, 4, dtype=bool)
    masked = f(*(np.ma.array(a, mask=mask) for a in arguments))
    assert type(masked) is np.ma.MaskedArray
    assert (masked.mask >= mask).all()
    same(masked.data[~masked.mask], want[~masked.mask], "masked")


@every_map
def test_array_protocols(op, backend):
    f = function(backend, op)
    arguments = sample(op, 6, np.dtype("f4"))
    wrapped = Wrapped(arguments[0])
    result = f(wrapped, *arguments[1:])
    assert type(result) is Wrapped
    assert wrapped.seen[0] is f.ufunc
    assert wrapped.seen[1] == "__call__"
    same(result.array, f(*arguments))
    out = Wrapped(None)
    f(*arguments, out=out)
    assert out.seen[2] == (out,)
    with pytest.raises(TypeError, match="does not support ufuncs"):
        f(Refusing(), *arguments[1:])
    same(f(*(Convertible() for _ in op.inputs)), f(*(np.array([0.25, 0.5], "f4") for _ in op.inputs)), "__array__")
    assert type(f(*(memoryview(a) for a in arguments))) is np.ndarray


@every_map
def test_the_ufunc_behind(op, backend):
    """`f.ufunc` is a real NumPy ufunc: the arrays, then the parameters; half, single and double in this order."""
    f = function(backend, op)
    arguments = sample(op, 100, np.dtype("f4"))
    assert isinstance(f.ufunc, np.ufunc)
    assert f.ufunc.nin == len(op.inputs) + len(op.params)
    assert [kind[0] for kind in f.ufunc.types] == ["e", "f", "d"]
    assert f.ufunc.__name__ == f.__name__
    same(f.ufunc(*arguments, *defaults(op).values()), f(*arguments))
    if f.ufunc.nin == 1:
        x = arguments[0].copy()
        f.ufunc.at(x, [3, 5, 5])
        want = arguments[0].copy()
        for i in (3, 5, 5):
            want[i] = f(want[i])
        same(x, want, "at")
    if f.ufunc.nin == 2:
        same(f.ufunc.outer(arguments[0][:3], arguments[-1][:4]).shape, np.empty((3, 4)).shape)


def test_set_backend_changes_the_ufunc_too(backend):
    """A ufunc taken before `set_backend` computes with the new backend afterwards."""
    name, _, level = backend.partition(" ")
    ufuncs = {f.ufunc: f for f in (getattr(fa, n) for n in public_ops()) if hasattr(f, "ufunc")}
    with fa.backend(name, level=level or None):
        for ufunc, f in ufuncs.items():
            assert f.ufunc is ufunc
            assert f.backend == backend
            if f.op.kind == "map":
                arguments = sample(f.op, 200, np.dtype("f4"))
                same(ufunc(*arguments, *defaults(f.op).values()), function(backend, f.op)(*arguments), f.op.name)
