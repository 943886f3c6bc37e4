"""Other libraries as peers: found by name, believed only where they agree, absent without harm. Tests use what is installed."""

import pathlib
import sys

import numpy as np
import pytest

import fastact as fa
from fastact import measure

sys.path.append(str(pathlib.Path(__file__).parents[1] / "bench"))
import peers

QUICK = ("numpy", "numexpr", "scipy", "torch", "onnxruntime")  # to compile all of JAX's functions takes half a minute


class Invented(peers.Library):
    """A library whose functions are given to it."""

    name, version = "invented", "1"

    def __init__(self, **functions):
        self.functions = functions

    def ways(self, op, dtype, axis):
        for label, function in peers.lookup(op, {"invented": Space(self.functions)}):
            yield peers.Way(label, lambda arrays, out, f=function: lambda: f(*arrays, out=out), (peers.OUT, peers.IN_PLACE))


class Space:
    def __init__(self, functions):
        vars(self).update(functions)


@pytest.fixture
def invent(monkeypatch):
    """Make a library of these functions, and say what of it is believed about an operation: label and how."""

    def make(name, **functions):
        monkeypatch.setattr(peers, "library", lambda _: Invented(**functions))
        peers.believed.cache_clear()
        return [(way.label, how) for way, how in peers.believed(fa.ops[name], "numpy")]

    yield make
    peers.believed.cache_clear()


def sigmoid(x, out):
    return np.divide(1, 1 + np.exp(-x), out=out)


def test_names_are_found_by_any_spelling(invent):
    for spelled in ("sigmoid", "Sigmoid", "expit", "SIGMOID"):
        assert invent("sigmoid", **{spelled: sigmoid}) == [(f"invented.{spelled}", peers.OUT), (f"invented.{spelled}", peers.IN_PLACE)]
    assert invent("log_sigmoid", LogSigmoid=lambda x, out: np.log(sigmoid(x, out), out=out))
    assert invent("sigmoid", another=sigmoid) == []


def test_a_peer_that_is_wrong_is_not_believed(invent):
    assert invent("sigmoid", sigmoid=sigmoid)
    assert not invent("sigmoid", sigmoid=lambda x, out: np.multiply(sigmoid(x, out), 1.01, out=out))
    assert not invent("sigmoid", sigmoid=lambda x, out: sigmoid(x, None)[:-1])
    assert not invent("sigmoid", sigmoid=lambda x, out: sigmoid(x, None).astype(np.float64))
    assert not invent("sigmoid", sigmoid=lambda x, out: 1 / 0)


def test_a_peer_that_is_loose_is_believed(invent):
    assert invent("sigmoid", sigmoid=lambda x, out: np.multiply(sigmoid(x, out), 1.0005, out=out))


def test_a_peer_that_overwrites_its_arguments_is_not_believed(invent):
    def spoils(x, out):
        result = sigmoid(x.copy(), out)
        if out is not x:
            x[0] += 1
        return result

    assert invent("sigmoid", sigmoid=spoils) == [("invented.sigmoid", peers.IN_PLACE)]


def test_a_peer_that_fails_in_place_is_believed_with_out(invent):
    def half_way(x, out):
        np.exp(-x, out=out)
        return np.divide(1, 1 + np.exp(-x), out=out)

    assert invent("sigmoid", sigmoid=half_way) == [("invented.sigmoid", peers.OUT)]


def test_a_library_that_is_absent_is_said_to_be(monkeypatch):
    peers.library.cache_clear()
    peers.believed.cache_clear()
    monkeypatch.setitem(sys.modules, "numexpr", None)
    monkeypatch.setattr(peers, "LIBRARIES", {name: peers.LIBRARIES[name] for name in ("numpy", "numexpr")})
    try:
        assert peers.versions() == {"numpy": np.__version__, "numexpr": "absent"}
        assert peers.believed(fa.ops["tanh"], "numexpr") is None
        assert peers.evaluate(fa.ops["tanh"], "numexpr", [np.ones(3, np.float32)]) is None
    finally:
        peers.library.cache_clear()
        peers.believed.cache_clear()


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_installed_peers_compute_the_same(name, dtype):
    """At another size and with other numbers than those by which they were believed, and without changing their arguments."""
    if peers.library(name) is None:
        pytest.skip(f"{name} is not installed")
    for op in fa.ops.values():
        arrays, x = peers.arguments(op, 1200, dtype, seed=3)
        before = [a.copy() for a in arrays]
        result = peers.evaluate(op, name, arrays, x)
        if result is not None:
            true = measure.exact(op, arrays, **measure.options(op, 1200))
            for got, should in zip(*(r if isinstance(r, tuple) else (r,) for r in (result, true)), strict=True):
                np.testing.assert_allclose(got, should.astype(float), rtol=2e-3, atol=2e-5, err_msg=op.name)
        assert all(map(np.array_equal, arrays, before))
        for contender in peers.contenders(op, name, arrays, x):
            contender.round()


def test_numpy_is_a_peer_of_all_but_the_exact_gelu():
    assert {name for name, op in fa.ops.items() if not peers.believed(op, "numpy")} == {"gelu", "gelu_backward"}


def test_known_peers():
    if peers.library("scipy"):
        assert peers.believed(fa.ops["sigmoid"], "scipy")[0][0].label == "scipy.special.expit"
        assert peers.believed(fa.ops["logsumexp"], "scipy", "float32", 0)
        assert peers.believed(fa.ops["gelu"], "scipy") == []
    if peers.library("torch"):
        unknown = {(op.forward or op).name for op in fa.ops.values() if not peers.believed(op, "torch")}
        assert unknown == {"step", "maxout", "hinge_loss"}
        assert all(how != peers.NEW for _, how in peers.believed(fa.ops["gelu_backward"], "torch")[1:3])
    if peers.library("onnxruntime"):
        assert {"gelu", "gelu_tanh", "softmax", "logsumexp"} <= {n for n, op in fa.ops.items() if peers.believed(op, "onnxruntime")}


def test_jax_joins_where_it_is_installed():
    if peers.library("jax") is None:
        pytest.skip("jax is not installed")
    for name in ("sigmoid", "silu_backward", "logsumexp", "mse_loss_gradient"):
        op = fa.ops[name]
        arrays, x = peers.arguments(op, 1200, "float64", seed=3)
        contenders = peers.contenders(op, "jax", arrays, x)
        assert [c.how for c in contenders] == ([peers.NEW, peers.IN_PLACE] if op.kind == "map" else [peers.NEW])
        for contender in contenders:
            contender.round(), contender.round()
        result, true = peers.evaluate(op, "jax", arrays, x), measure.exact(op, arrays, **measure.options(op, 1200))
        for got, should in zip(*(r if isinstance(r, tuple) else (r,) for r in (result, true)), strict=True):
            np.testing.assert_allclose(got, should.astype(float), rtol=1e-9, atol=1e-9)


def test_a_backward_pass_that_reads_the_input_needs_it():
    if peers.library("torch") is None:
        pytest.skip("torch is not installed")
    op = fa.ops["softplus_backward"]
    arrays, x = peers.arguments(op, 100, "float32")
    assert peers.evaluate(op, "torch", arrays) is None
    np.testing.assert_allclose(peers.evaluate(op, "torch", arrays, x), fa.softplus_backward(*arrays), rtol=1e-4, atol=1e-6)
