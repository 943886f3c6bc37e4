"""The comparison with other libraries: the race is fair and ends, losses are found and told, and the documents are written."""

import json
import math
import os
import pathlib
import sys

import numpy as np
import pytest

import fastact as fa

sys.path.append(str(pathlib.Path(__file__).parents[1] / "bench"))
import peers
import versus
import versus_report

# ---- cases ------------------------------------------------------------------------------------------------------------


def everything():
    return list(versus.plan(versus.SIZES, versus.WIDTHS, ("float32", "float64")))


def test_every_operation_is_measured_once_in_each_case():
    planned = everything()
    names = [case.name for case in planned]
    assert len(set(names)) == len(names)
    assert {case.op for case in planned} == set(fa.ops.values())
    rows = [case for case in planned if case.op.name == "softmax" and case.dtype == "float32"]
    assert {(case.shape[case.axis], case.axis) for case in rows} == {(width, axis) for width in versus.WIDTHS for axis in (-1, 0)}
    assert max(case.elements for case in planned) == 20_000_000


def test_a_forward_name_chooses_its_backward_too():
    assert {case.op.name for case in versus.plan((100,), (10,), ("float32",), ("gelu",))} == {"gelu", "gelu_backward"}
    assert {case.op.name for case in versus.plan((100,), (10,), ("float32",), ("gelu_backward",))} == {"gelu_backward"}


def test_large_arguments_repeat_smaller_ones(monkeypatch):
    monkeypatch.setattr(versus.cases, "LARGE", 1000)
    (grad, y), x = versus.cases.Case(fa.ops["sigmoid_backward"], (2500,), "float32").given()
    assert grad.shape == y.shape == x.shape == (2500,)
    assert np.array_equal(y[:500], y[2000:])
    np.testing.assert_allclose(fa.sigmoid(x[:1000]), y[:1000], rtol=1e-5)


# ---- the race ---------------------------------------------------------------------------------------------------------


class Fake:
    """A contender that says that it takes so many tenths of a millisecond, and counts its rounds."""

    calls = (None,)

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
    assert front.rounds > versus.BURST * versus.ENOUGH
    assert behind.rounds == 2 + versus.BURST * versus.FEW
    assert far.rounds < 2 + versus.BURST * versus.FEW


def test_a_slower_way_of_the_same_library_is_given_up():
    fast, slow, other = Fake(1.0), Fake(1.2), Fake(1.2)
    versus.race({("torch", "a"): fast, ("torch", "b"): slow, ("jax", ""): other}, 0.05)
    assert slow.rounds == 2 + versus.BURST * versus.ENOUGH < other.rounds


@pytest.fixture
def few_libraries(monkeypatch):
    monkeypatch.setattr(peers, "LIBRARIES", {name: peers.LIBRARIES[name] for name in ("numpy", "scipy")})
    monkeypatch.setattr(versus, "pin", lambda count: None)
    monkeypatch.setattr(versus, "QUICK_SECONDS", 1e-4)
    monkeypatch.setattr(versus.cases, "BACKENDS", ["cython"])  # Numba would compile


def test_a_run_measures_merges_and_resumes(few_libraries, tmp_path, capsys, monkeypatch):
    file = tmp_path / "versus.json"
    common = ["--quick", "--dtypes", "float32", "--sizes", "200", "--json", str(file)]
    assert versus.main([*common, "--ops", "sigmoid", "--date", "today"]) == 0
    assert "sigmoid 200 float32" in capsys.readouterr().out
    assert versus.main([*common, "--ops", "hinge_loss"]) == 0
    data = json.loads(file.read_text())
    assert [record["op"] for record in data["cases"]] == ["sigmoid", "sigmoid_backward", "hinge_loss", "hinge_loss_gradient"]
    for record in data["cases"]:
        assert {"numpy", "cython out"} <= record["seconds"].keys()
        assert all(0 < taken < 1 for taken in record["seconds"].values())
        assert ("cython in place" in record["seconds"]) == (record["op"] != "hinge_loss")
    assert "scipy.special.expit" in data["cases"][0]["hows"]["scipy"]
    assert data["head"]["peers"].keys() == {"numpy", "scipy"}
    monkeypatch.setattr(versus, "measured", lambda *_: pytest.fail("was measured"))
    assert versus.main([*common, "--ops", "sigmoid,hinge_loss", "--resume"]) == 0


def test_results_of_another_machine_are_replaced(few_libraries, tmp_path, capsys):
    file = tmp_path / "versus.json"
    header = versus.head(1, None)
    versus.save(file, {**header, "processor": "another"}, {"x": {"case": "x"}})
    assert versus.load(file, header) == {}
    assert "is replaced" in capsys.readouterr().out
    versus.save(file, {**header, "date": "yesterday"}, {"x": {"case": "x"}})
    assert versus.load(file, header) == {"x": {"case": "x"}}


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


# ---- the report -------------------------------------------------------------------------------------------------------


def record(op, elements=1_000_000, dtype="float32", **seconds):
    facts = {"op": op, "forward": op.removesuffix("_backward"), "backward": op.endswith("_backward"), "dtype": dtype, "axis": -1}
    taken = {name.replace("_in", " in"): value * elements for name, value in seconds.items()}
    hows = {name: f"{name}.{op}" for name in seconds if "_in" not in name}
    return {"case": f"{op} {elements} {dtype}", **facts, "shape": [elements], "elements": elements, "seconds": taken, "hows": hows}


@pytest.fixture
def data():
    """tanh loses to numpy for large arrays and mish to torch, and numba loses in relu; relu has no other loss."""
    cases = [
        record("relu", 10_000, cython_in=1, numba_in=3, numpy=4, torch=2),
        record("relu", cython_in=1, numba_in=1, numpy=8, torch=2),
        record("tanh", 10_000, cython_in=1, numba_in=1, numpy=2),
        record("tanh", cython_in=2, numba_in=1, numpy=1, torch=4),
        record("tanh", dtype="float64", cython_in=2, numba_in=2, numpy=2.01, torch=4),
        record("tanh_backward", cython_in=1, numba_in=1, torch=2),
        record("mish", cython_in=1, numba_in=1, numpy=4, torch=0.5),
    ]
    head = {"processor": "a processor", "threads": 1, "ours": {"fastact": "1.0", "cython": "cython v3"}, "date": "a day"}
    return {"head": {**head, "peers": {"numpy": "2", "torch": "3", "jax": "absent"}}, "cases": cases}


def test_ratios_are_to_the_fastest_other_library(data):
    assert [versus_report.ratio(r) for r in data["cases"]] == [2, 2, 2, 0.5, pytest.approx(1.005), 2, 0.5]
    assert versus_report.ratio(data["cases"][0], "numba") == pytest.approx(2 / 3)
    assert versus_report.ratio(record("relu", cython_in=1)) == math.inf
    both = record("relu", cython_in=2, torch=2)
    both["seconds"]["cython out"] = both["seconds"]["cython in"] / 2
    assert versus_report.ratio(both) == 2


def test_losses_are_found_and_told(data):
    lost, excused = versus_report.losses(data["cases"], {})
    assert [(value, r["op"], library) for value, r, library in lost] == [(0.5, "tanh", "numpy"), (0.5, "mish", "torch")]
    assert excused == []
    text = versus_report.summary(data, {})
    assert "Cython: 2\n  0.50 tanh 1000000 float32 (numpy: numpy.tanh)\n  0.50 mish 1000000 float32 (torch: torch.mish)" in text
    assert "Numba: 2\n  0.50 mish 1000000 float32 (torch: torch.mish)\n  0.67 relu 10000 float32" in text
    assert "not installed: jax" in text
    assert "over torch: 1.59 (Numba 1.48), 6 cases, slower in 1" in text
    assert "over numpy: 2.25" in text


def test_losses_to_an_inexact_peer_are_listed_apart(data):
    lost, excused = versus_report.losses(data["cases"], {"torch": {"mish": 137.0}, "numpy": {"tanh": 1.4}})
    assert [r["op"] for _, r, _ in lost] == ["tanh"]
    assert [(value, r["op"], library) for value, r, library in excused] == [(0.5, "mish", "torch")]
    assert "far above the bar:\n  0.50 mish" in versus_report.summary(data, {"torch": {"mish": math.nan}})
    data["cases"][-1]["seconds"]["jax"] = data["cases"][-1]["seconds"]["torch"] * 1.5
    lost, excused = versus_report.losses(data["cases"], {"torch": {"mish": 137.0}})
    assert (0.75, "jax") in [(value, library) for value, _, library in lost]
    assert excused == []


def test_errors_are_measured_for_float32_only(data):
    data["cases"][-1]["dtype"] = "float64"
    assert len(versus_report.losses(data["cases"], {"torch": {"mish": 137.0}})[0]) == 2


def test_errors_come_from_the_accuracy_file_if_it_has_them(tmp_path):
    file = tmp_path / "accuracy.json"
    assert versus_report.peer_errors(file) == {}
    file.write_text('{"ours": {}}')
    assert versus_report.peer_errors(file) == {}
    file.write_text('{"peers": {"torch": {"mish": 137.0}}}')
    assert versus_report.peer_errors(file) == {"torch": {"mish": 137.0}}


@pytest.fixture
def root(tmp_path, data):
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(f"before\n{versus_report.MARKS[0]}\nold\n{versus_report.MARKS[1]}\nafter\n")
    (tmp_path / "docs" / "versus.json").write_text(json.dumps(data))
    return tmp_path


def test_the_documents_are_written_from_a_file(root, capsys):
    pytest.importorskip("matplotlib")
    assert versus.main(["--report", str(root / "docs" / "versus.json"), "--root", str(root)]) == 0
    readme = (root / "README.md").read_text()
    assert readme.startswith(f"before\n{versus_report.MARKS[0]}\nMeasured on 1 core of a processor")
    assert readme.endswith(f"\n{versus_report.MARKS[1]}\nafter\n")
    assert "old" not in readme
    assert "| `relu` | 2.0 torch | 2.0 torch |  |  |" in readme
    assert "| `tanh` | 2.0 numpy | **0.50** numpy |  | 2.0 torch |" in readme
    assert "`mish` (torch, 1 case, 0.50)" in readme
    document = (root / "docs" / "versus.md").read_text()
    assert "| tanh 1000000 float64 | 1.0 | 2e+09 | 2e+09 | 2.01e+09 | 4e+09 |" in document
    assert "- 0.50 mish 1000000 float32" in document
    assert (root / "docs" / "versus.svg").read_text().count("tanh_backward") >= 1


def test_tables_are_rectangular(data):
    for text in (versus_report.compact(data, {}), versus_report.full(data, {})):
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) == 1


def test_what_stands_between_marks_is_replaced(root):
    for text in ("one\ntwo", "three"):
        versus_report.report.put(root / "README.md", versus_report.MARKS, text)
    assert (root / "README.md").read_text() == f"before\n{versus_report.MARKS[0]}\nthree\n{versus_report.MARKS[1]}\nafter\n"


def test_a_readme_without_marks_is_not_touched(root):
    (root / "README.md").write_text("nothing here\n")
    with pytest.raises(ValueError, match="lacks the marks"):
        versus_report.report.put(root / "README.md", versus_report.MARKS, "text")
    assert (root / "README.md").read_text() == "nothing here\n"
