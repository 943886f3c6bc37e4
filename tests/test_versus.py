"""The comparison with other libraries: what is raced, how the race goes and ends, and how its results are kept."""

import itertools
import json
import os
import sys

import numpy as np
import pytest
from support import SOURCE

import fastact as fa

sys.path.append(str(SOURCE / "bench"))
import peers
import versus

# ---- cases ------------------------------------------------------------------------------------------------------------


def everything(scope):
    return list(versus.plan(scope, ("float32", "float64")))


def test_every_operation_is_measured_once_in_each_case():
    planned = everything(versus.FULL)
    names = [case.name for case in planned]
    assert len(set(names)) == len(names)
    assert {case.op for case in planned} == set(fa.ops.values())
    rows = [case for case in planned if case.op.name == "softmax" and case.dtype == "float32"]
    assert {(case.shape[case.axis], case.axis) for case in rows} == {(width, axis) for width in versus.FULL.widths for axis in (-1, 0)}


@pytest.mark.parametrize("scope", [versus.FULL, versus.THREADED], ids=["one thread", "two"])
def test_elementwise_functions_have_every_size_in_both_dtypes(scope):
    planned = {(case.op.name, case.elements, case.dtype) for case in everything(scope)}
    for op in fa.ops.values():
        if op.kind == "map" or (op.kind == "loss" and scope is versus.FULL):
            assert {(op.name, n, dtype) for n in versus.SIZES for dtype in ("float32", "float64")} <= planned
    assert {case.name for case in everything(versus.THREADED)} <= {case.name for case in everything(versus.FULL)}


def test_a_forward_name_chooses_its_backward_too():
    assert {case.op.name for case in versus.plan(versus.QUICK, ("float32",), ("gelu",))} == {"gelu", "gelu_backward"}
    assert {case.op.name for case in versus.plan(versus.QUICK, ("float32",), ("gelu_backward",))} == {"gelu_backward"}


def test_large_arguments_repeat_smaller_ones(monkeypatch):
    monkeypatch.setattr(versus.cases, "LARGE", 1000)
    (grad, y), x = versus.cases.Case(fa.ops["sigmoid_backward"], (2500,), "float32").given()
    assert grad.shape == y.shape == x.shape == (2500,)
    assert np.array_equal(y[:500], y[2000:])
    np.testing.assert_allclose(fa.sigmoid(x[:1000]), y[:1000], rtol=1e-5)


# ---- the race ---------------------------------------------------------------------------------------------------------


class Fake:
    """A contender that says that it takes so many tenths of a millisecond, and counts its rounds."""

    calls, repeat = (None,), 1

    def __init__(self, *seconds):
        self.seconds, self.rounds = seconds, 0

    def calibrate(self, _):
        pass

    def round(self):
        self.rounds += 1
        return 1e-4 * self.seconds[min(self.rounds, len(self.seconds)) - 1]


def test_the_best_round_counts_and_those_far_behind_get_few():
    front, behind, far = Fake(9.0, 5.0, 3.0, 1.0, 2.0), Fake(4.0), Fake(30.0)
    contenders = {("cython", "out"): front, ("numpy", ""): behind, ("scipy", ""): far}
    best = versus.race(contenders, 0.05)
    assert list(best.values()) == [1e-4, 4e-4, 30e-4]
    assert versus.BURST * versus.ENOUGH < front.rounds < 300, "by the time that rounds say they took"
    assert behind.rounds == 2 + versus.BURST * versus.FEW
    assert far.rounds < 2 + versus.BURST * versus.FEW


def test_everybody_comes_after_everybody():
    order = []

    class Noted(Fake):
        def round(self):
            if order[-1:] != [self]:
                order.append(self)
            return super().round()

    contenders = [Noted(1.0) for _ in range(4)]
    versus.race({(str(k), ""): contender for k, contender in enumerate(contenders)}, 0.05)
    assert len(set(itertools.pairwise(order))) == 4 * 3


def test_a_slower_way_of_the_same_library_is_given_up():
    fast, slow, other = Fake(1.0), Fake(1.2), Fake(1.2)
    versus.race({("torch", "a"): fast, ("torch", "b"): slow, ("jax", ""): other}, 0.05)
    assert slow.rounds == 2 + versus.BURST * versus.ENOUGH < other.rounds


def test_on_several_threads_each_turn_begins_with_a_rest(monkeypatch):
    rests, fake = [], Fake(1.0)
    monkeypatch.setattr(versus, "rest", lambda: rests.append(fake.rounds))
    versus.race({("cython", ""): fake}, 0.005)
    assert rests == []
    fake.rounds = 0
    versus.race({("cython", ""): fake}, 0.005, threads=2)
    assert rests[0] == 2, "after the rounds that warm up"
    assert all(after - before <= versus.LONG_BURST for before, after in itertools.pairwise(rests))


def test_a_rest_lasts_until_threads_have_stopped(monkeypatch):
    busy = iter([0.0, 0.9 * versus.PAUSE, 1.0, 1.0 + 0.5 * versus.PAUSE, 2.0, 2.0 + 1e-3 * versus.PAUSE])
    monkeypatch.setattr(versus.time, "process_time", lambda: next(busy))
    versus.rest()
    assert next(busy, None) is None, "two looks met a thread at work, the third did not"


@pytest.fixture
def few_libraries(monkeypatch):
    monkeypatch.setattr(peers, "LIBRARIES", {name: peers.LIBRARIES[name] for name in ("numpy", "scipy")})
    monkeypatch.setattr(versus, "pin", lambda count: None)
    monkeypatch.setattr(versus, "QUICK", versus.QUICK._replace(seconds=1e-4))
    monkeypatch.setattr(versus.cases, "BACKENDS", ["cython"])  # Numba would compile


def test_a_run_measures_merges_and_resumes(few_libraries, tmp_path, capsys, monkeypatch):
    file = tmp_path / "versus.json"
    common = ["--quick", "--dtypes", "float32", "--sizes", "200", "--json", str(file)]
    assert versus.main([*common, "--ops", "sigmoid", "--date", "today"]) == 0
    assert "sigmoid 200 float32" in capsys.readouterr().out
    assert versus.main([*common, "--ops", "hinge_loss"]) == 0
    data = versus.runs(file)[1]
    assert [record["op"] for record in data["cases"]] == ["sigmoid", "sigmoid_backward", "hinge_loss", "hinge_loss_gradient"]
    for record in data["cases"]:
        assert {"numpy", "cython out"} <= record["seconds"].keys()
        assert all(0 < taken < 1 for taken in record["seconds"].values())
        assert ("cython in place" in record["seconds"]) == (record["op"] != "hinge_loss")
    assert "scipy.special.expit" in data["cases"][0]["hows"]["scipy"]
    assert data["head"]["peers"].keys() == {"numpy", "scipy"}
    monkeypatch.setattr(versus, "measured", lambda *_: pytest.fail("was measured"))
    assert versus.main([*common, "--ops", "sigmoid,hinge_loss", "--resume"]) == 0


def test_a_close_case_is_decided_among_the_best_way_of_each(few_libraries, tmp_path, monkeypatch):
    first = {("cython", "in place"): 1.5, ("cython", "out"): 1.05, ("torch", "a"): 1.3, ("torch", "b"): 1.1, ("jax", ""): 1.0}
    first["numpy", ""] = 9.0
    again = {**first, ("cython", "in place"): 1.0, ("torch", "a"): 0.9, ("jax", ""): 1.1}
    final = {("cython", "in place"): 1.3, ("torch", "a"): 1.1, ("jax", ""): 1.2}
    raced, times = [], iter([first, again, final] + [dict.fromkeys(first, 1.2)] * (versus.FINALS - 1))

    def race(found, *_):
        raced.append(list(found))
        taken = next(times)
        return {key: taken[key] for key in found}

    monkeypatch.setattr(versus, "race", race)
    monkeypatch.setattr(versus, "entrants", lambda case: {key: Fake(1.0) for key in first})
    case, file = versus.cases.Case(fa.ops["relu"], (200,), "float32"), tmp_path / "versus.json"
    versus.run([case], 1.0, file, versus.head(1, None))
    assert raced == [list(first)] * 2 + [list(final)] * versus.FINALS
    record = versus.load(file, versus.head(1, None))[case.name]
    assert record["seconds"] == {"cython in place": 1.2, "torch": 1.1, "jax": 1.2, "numpy": 9.0}, "finals alone decide"
    assert record["hows"]["torch"] == "a"
    assert len(raced) == 2 + versus.FINALS
    versus.run([case], 1.0, file, versus.head(1, None), resume=True)
    assert len(raced) == 2 + versus.FINALS, "what is decided is not raced again"
    record.pop("finals")
    versus.save(file, versus.head(1, None), {case.name: record})
    times = iter([dict.fromkeys(first, 1.2)] * (1 + versus.FINALS))
    versus.run([case], 1.0, file, versus.head(1, None), resume=True)
    assert len(raced) == 3 + 2 * versus.FINALS, "what was cut off before its finals gets them"


def test_long_calls_have_many_rounds_in_a_final(monkeypatch):
    """Seven of them, as in a first race, would let luck decide."""
    contenders = {("cython", "in place"): Fake(9e3, 1e3), ("torch", "a"): Fake(1.1e3), ("torch", "b"): Fake(1.0)}
    monkeypatch.setattr(versus, "entrants", lambda case: contenders)
    best = versus.final(None, {("cython", "in place"): "cython in place", ("torch", "a"): "torch"}, 0.04)
    assert best == {"cython in place": pytest.approx(0.1), "torch": pytest.approx(0.11)}
    assert versus.ROUNDS <= contenders["cython", "in place"].rounds < 2 * versus.ROUNDS
    assert 0.9 * versus.ROUNDS <= contenders["torch", "a"].rounds < 2 * versus.ROUNDS
    assert contenders["torch", "b"].rounds == 0


def test_results_of_another_machine_are_replaced(few_libraries, tmp_path, capsys):
    file = tmp_path / "versus.json"
    header = versus.head(1, None)
    versus.save(file, {**header, "processor": "another"}, {"x": {"case": "x"}})
    assert versus.load(file, header) == {}
    assert "is replaced" in capsys.readouterr().out
    versus.save(file, {**header, "date": "yesterday"}, {"x": {"case": "x"}})
    assert versus.load(file, header) == {"x": {"case": "x"}}


def test_runs_of_other_numbers_of_threads_stay(few_libraries, tmp_path):
    file, one, two = tmp_path / "versus.json", versus.head(1, None), versus.head(2, None)
    file.write_text(json.dumps({"head": one, "cases": [{"case": "x", "seconds": {"numpy": 1.5}}]}))  # as files were that had one run
    assert versus.load(file, one) == {"x": {"case": "x", "seconds": {"numpy": 1.5}}}
    assert versus.load(file, two) == {}
    versus.save(file, two, {"x": {"case": "x", "seconds": {"numpy": 0.5}}})
    assert versus.load(file, one)["x"]["seconds"] == {"numpy": 1.5}
    assert versus.load(file, two)["x"]["seconds"] == {"numpy": 0.5}
    versus.save(file, one, {})
    assert list(versus.runs(file)) == [1, 2]
    assert versus.load(file, two)
    assert versus.runs(tmp_path / "no file") == {}


def test_everyone_is_told_how_many_threads(monkeypatch):
    told = []

    class Library(peers.Library):
        def set_threads(self, count):
            told.append(count)

    monkeypatch.setattr(peers, "library", lambda name: Library())
    monkeypatch.setattr(fa, "set_num_threads", told.append)
    if hasattr(os, "sched_setaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 4, 7})
        monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: told.append(cores))
    versus.pin(2)
    assert told == [[4, 7], *[2] * (1 + len(peers.LIBRARIES))][not hasattr(os, "sched_setaffinity") :]
    if hasattr(os, "sched_setaffinity"):
        with pytest.raises(SystemExit, match="only 4"):
            versus.pin(5)
