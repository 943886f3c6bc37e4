"""The errors of the softmax family over rows of many kinds, held to what the register promises, and the judge to errors put there."""

import json

import numpy as np
import pytest
from support import BACKENDS, FUSED, every_row, namespace

import fastact as fa
from fastact import __main__ as command
from fastact import accuracy_rows, measure
from fastact.accuracy import functions

COMPILED = [*FUSED, *(name for name in BACKENDS if name not in (*FUSED, "numpy"))]
LENGTHS = (1, 2, 10, 129, 1025)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(accuracy_rows, "TOGETHER", 2000)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@every_row
def test_the_promise_is_kept(op, dtype):
    entry = accuracy_rows.finding(op, np.dtype(dtype), functions(op, map(namespace, COMPILED)), LENGTHS)
    assert not entry["broken"], entry
    assert entry["beside"].keys() == set(COMPILED[1:])
    assert [entry["beside"][name]["differ"] for name in FUSED[1:]] == [0] * len(FUSED[1:])
    assert 0 < entry["share"] <= 1, "something was judged"


@every_row
def test_a_wrong_result_is_found(op):
    """One in a row, off by a little more than is allowed."""
    dtype = np.dtype(np.float32)

    def wrong(*arrays, axis):
        result = measure.call(fa, op)(*arrays, axis=axis)
        true = np.asarray(measure.exact(op, arrays, axis=axis))
        size = np.maximum(np.abs(measure.size(op, arrays, true, axis=axis)), np.abs(true))
        flat = result.reshape(-1)
        flat[-1] = (true + 1.2 * accuracy_rows.allowed(op, arrays, size)).reshape(-1)[-1]
        return result

    right = {"right": measure.call(fa, op)}
    assert not accuracy_rows.finding(op, dtype, right, LENGTHS)["broken"]
    entry = accuracy_rows.finding(op, dtype, {"wrong": wrong}, LENGTHS)
    assert entry["broken"]
    assert 1 < entry["share"] < 1.5
    beside = accuracy_rows.finding(op, dtype, {**right, "wrong": wrong}, LENGTHS)
    assert beside["broken"], "a broken promise of another backend counts"
    assert beside["beside"]["wrong"]["differ"] > 0
    assert beside["share"] <= 1


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.5])
def test_wrong_special_values_and_sums_are_found(value):
    def wrong(x, axis):
        result = fa.softmax(x, axis=axis)
        result[0, 0] += value
        return result

    for dtype in (np.float32, np.float64):
        entry = accuracy_rows.finding(fa.ops["softmax"], np.dtype(dtype), {"wrong": wrong}, (10,))
        assert entry["broken"]
        assert not entry["sum"] < 0.4


def test_a_row_sum_counts_by_itself():
    """Each element may be off by (4 + max - x) eps, all of them together not."""

    def wrong(x, axis):
        return (fa.softmax(x, axis=axis).astype(np.float64) * (1 + 40 * np.finfo(np.float32).eps)).astype(np.float32)

    figures = dict.fromkeys(accuracy_rows.FIGURES, 0.5)
    assert accuracy_rows.broken(figures, np.dtype("f4"))
    assert not accuracy_rows.broken(figures | {"sum": 9e-7}, np.dtype("f4"))
    assert accuracy_rows.broken(figures | {"sum": 9e-7}, np.dtype("f8"))
    assert accuracy_rows.finding(fa.ops["softmax"], np.dtype("f4"), {"wrong": wrong}, (10,))["sum"] > 4e-6


def test_the_sum_without_its_largest_term_is_met():
    """``logsumexp([0, -40])`` is 4e-18, not 0; a kind of row has it, and a 0 there breaks the promise."""
    op = fa.ops["logsumexp"]
    (x,) = accuracy_rows.arrays_of(op, "0 and -40", 2, np.dtype("f4"))
    assert x[0].tolist() == [0, -40]
    assert (fa.logsumexp(x, axis=-1) > 4.2e-18).all()
    naive = {"naive": lambda x, axis: np.log(np.exp(x).sum(axis))}
    figures = accuracy_rows.judged(op, [x], naive)["naive"]
    assert figures["ulp"] > 1e6
    assert accuracy_rows.broken(figures, x.dtype)


def test_the_command(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(accuracy_rows, "LENGTHS", (1, 10))
    out = tmp_path / "out.json"
    names = ["softmax", "logsumexp_backward", "relu"]
    status = command.main(["accuracy", *names, "--stride", "65537", "--compare", "numpy", "--json", str(out)])
    text = capsys.readouterr().out
    assert status == 0
    data = json.loads(out.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert [entry["name"] for entry in data["rows"]] == ["softmax", "logsumexp_backward"]
    assert [entry["name"] for entry in data["results"]] == ["relu"]
    for entry in data["rows"]:
        assert any(line.split()[:1] == [entry["name"]] and f"{entry['share']:.3f}" in line for line in text.splitlines())
        assert entry["beside"]["numpy"]["differ"] > 0
    assert max(map(len, text.splitlines())) <= 150


def test_the_command_fails_for_a_broken_promise(capsys, monkeypatch):
    monkeypatch.setattr(accuracy_rows, "LENGTHS", (10,))
    monkeypatch.setattr(fa.ops["softmax_backward"], "ulp", (0.1, 0.1))
    assert command.main(["accuracy", "softmax_backward"]) == 1
    assert "broken" in capsys.readouterr().out
