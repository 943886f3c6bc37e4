"""What is told of the comparison with other libraries: who is less exact, what is lost, and the documents."""

import json
import math
import sys

import pytest
from support import SOURCE

import fastact as fa

sys.path.append(str(SOURCE / "bench"))
import peers
import versus
import versus_documents
import versus_report
from versus_errors import Known, roofs

KNOWN = Known.read(SOURCE)  # what is published

# ---- how exact others are, and how near we are to the roof ------------------------------------------------------------


def record(op, elements=1_000_000, dtype="float32", **seconds):
    facts = {"op": op, "forward": op.removesuffix("_backward"), "backward": op.endswith("_backward"), "dtype": dtype, "axis": -1}
    taken = {name.replace("_in", " in"): value * elements for name, value in seconds.items()}
    hows = {name: f"{name}.{op}" for name in seconds if "_in" not in name}
    return {"case": f"{op} {elements} {dtype}", **facts, "shape": [elements], "elements": elements, "seconds": taken, "hows": hows}


def everyone(op, dtype="float32"):
    return record(op, dtype=dtype, cython_in=2, **dict.fromkeys(peers.LIBRARIES, 1))


def test_the_published_errors_say_who_is_less_exact():
    found = KNOWN.inexact(everyone("tanh"))
    assert found.keys() == {"onnxruntime"}
    assert found["onnxruntime"].startswith("104 ulp at ")
    assert {"torch", "jax"} <= KNOWN.inexact(everyone("gelu")).keys()
    assert not KNOWN.inexact(everyone("relu")), "all are exact, and a subnormal result that becomes 0 does not count"
    assert not KNOWN.inexact(everyone("selu_backward")), "nor does a subnormal input"


def test_what_becomes_of_nan_makes_nobody_inexact_but_is_told():
    case = everyone("step_backward")
    assert KNOWN.peers["functions"]["step_backward"]["jax"]["wrong"] > 0
    assert not KNOWN.inexact(case)
    assert KNOWN.nan_lost(case, "jax")
    assert "; its values at nan or infinity are wrong; our kernel takes " in versus_report.lost_line((0.5, case, "jax"), KNOWN)


def test_float64_has_errors_of_its_own():
    assert "onnxruntime" not in KNOWN.inexact(everyone("tanh", "float64"))
    assert "jax" in KNOWN.inexact(everyone("gelu_tanh_backward", "float64"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_count_by_their_share_of_the_promise(dtype):
    def rows(op, width=1000):
        return {**everyone(op, dtype), "shape": [1000, width]}

    assert " times what we promise, in rows of 2: far apart" in KNOWN.inexact(rows("log_softmax"))["onnxruntime"]
    assert not KNOWN.inexact(rows("softmax"))
    assert "in rows of 50257: " in KNOWN.inexact(rows("softmax", 50257))["torch"]


def test_the_error_in_rows_is_that_of_rows_no_longer():
    known = Known({"rows": {"softmax": {"float32": {"jax": {"shares": {"2": [0.5, "ordinary"], "1000": [9.0, "far apart"]}}}}}})
    case = record("softmax", cython_in=2, jax=1)
    for shape, axis, times in (((1, 1), -1, None), ((5000, 10), -1, 0.5), ((5000, 10), 0, 9), ((10, 5000), -1, 9), ((10, 5000), 0, 0.5)):
        error = known.error({**case, "shape": shape, "axis": axis}, "jax")
        assert (error and error[0]) == times
        assert bool(known.inexact({**case, "shape": shape, "axis": axis})) == (times == 9)


def test_every_published_error_is_of_a_known_operation_and_library():
    for part in ("functions", "float64", "rows"):
        assert KNOWN.peers[part].keys() <= fa.ops.keys()
        for libraries in KNOWN.peers[part].values():
            names = libraries if part != "rows" else {name for found in libraries.values() for name in found}
            assert set(names) <= peers.LIBRARIES.keys()


def test_the_limit_is_four_times_the_promise(data):
    def known(error):
        return Known({"functions": {"mish": {"torch": {"normal": 1e9, "ordinary": error, "ordinary_at": "-3.5"}}}})

    case, limit = data["cases"][-1], math.ceil(4 * fa.ops["mish"].ulp[0])
    assert known(limit).inexact(case) == {}
    assert known(limit + 1).inexact(case) == {"torch": f"{limit + 1} ulp at -3.5"}
    assert known("inf").inexact(case) == {"torch": "nan or infinity at -3.5"}
    assert known("nan").inexact(case)
    assert Known().inexact(case) == {}, "what was not measured counts as exact"
    exact = Known({"functions": {"relu": {"torch": {"ordinary": 3.9}}}})
    assert exact.inexact(data["cases"][0]) == {}, "of an exact function 4 ulp are forgiven"


def test_roofs_are_read_from_the_published_tables():
    assert set(KNOWN.roofs) >= {(op.name, dtype) for op in fa.ops.values() if op.kind == "map" for dtype in ("float32", "float64")}
    text = (SOURCE / "docs" / "performance.md").read_text()
    times, speed = KNOWN.roofs["gelu", "float32"]
    line = next(line for line in text.splitlines() if line.startswith("| `gelu` |"))
    assert [cell.strip(" *") for cell in line.split("|")][-4:-1:2] == [times, speed]
    assert roofs("| kernel | measured / roof | of the product's speed |\n|---|\n| `x` | 1 | 2 |") == {}, "of no dtype"


# ---- the report -------------------------------------------------------------------------------------------------------


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


@pytest.fixture
def known():
    """Torch is far off in mish; there is a roof for tanh."""
    errors = {"mish": {"torch": {"ordinary": 137.0, "ordinary_at": "-20.25"}}, "tanh": {"numpy": {"ordinary": 1.4}}}
    return Known({"functions": errors}, {("tanh", "float32"): ("1.86", "0.33")})


def test_ratios_are_to_the_fastest_other_library(data, known):
    assert [versus_report.ratio(r) for r in data["cases"]] == [2, 2, 2, 0.5, pytest.approx(1.005), 2, 0.5]
    assert versus_report.ratios(data["cases"], known=known) == [2, 2, 2, 0.5, pytest.approx(1.005), 2, 4]
    assert versus_report.ratio(data["cases"][0], "numba") == pytest.approx(2 / 3)
    assert versus_report.ratio(record("relu", cython_in=1)) == math.inf
    both = record("relu", cython_in=2, torch=2)
    both["seconds"]["cython out"] = both["seconds"]["cython in"] / 2
    assert versus_report.ratio(both) == 2


def test_losses_are_found_and_told(data):
    lost, beside = versus_report.losses(data["cases"], Known())
    assert [(value, r["op"], library) for value, r, library in lost] == [(0.5, "tanh", "numpy"), (0.5, "mish", "torch")]
    assert beside == []
    text = versus_report.summary(data, Known())
    assert "Cython: 2\n  0.50 tanh 1000000 float32: numpy (numpy.tanh) is faster\n  0.50 mish" in text
    assert "Numba: 2\n  0.50 mish 1000000 float32: torch (torch.mish) is faster\n  0.67 relu 10000 float32" in text
    assert "not installed: jax" in text
    assert "over torch: 1.59 (Numba 1.48), 6 cases, slower in 1" in text
    assert "over numpy: 2.25" in text


def test_losses_to_a_less_exact_peer_are_listed_apart(data, known):
    lost, beside = versus_report.losses(data["cases"], known)
    assert [r["op"] for _, r, _ in lost] == ["tanh"]
    assert [(value, r["op"], library) for value, r, library in beside] == [(0.5, "mish", "torch")]
    text = versus_report.summary(data, known)
    assert "0.50 tanh 1000000 float32: numpy (numpy.tanh) is faster; our kernel takes 1.86 times its roof in the first cache, and" in text
    assert "promise, Cython: 1\n  0.50 mish 1000000 float32: torch (torch.mish) is faster; its error: 137 ulp at -20.25\n" in text
    assert "over the fastest library of all: 1.22" in text
    assert "over the fastest as exact as we promise: 1.64" in text
    data["cases"][-1]["seconds"]["jax"] = data["cases"][-1]["seconds"]["torch"] * 1.5
    lost, beside = versus_report.losses(data["cases"], known)
    assert (0.75, "jax") in [(value, library) for value, _, library in lost], "lost to both kinds, it stands in both lists"
    assert [library for _, _, library in beside] == ["torch"]


@pytest.fixture
def root(tmp_path, data):
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(f"before\n{versus_documents.MARKS[0]}\nold\n{versus_documents.MARKS[1]}\nafter\n")
    two = {"head": {**data["head"], "threads": 2}, "cases": data["cases"][:3]}
    (tmp_path / "docs" / "versus.json").write_text(json.dumps({"runs": [data, two]}))
    peers_found = {"functions": {"mish": {"torch": {"ordinary": 137.0, "ordinary_at": "-20.25"}}}}
    (tmp_path / "docs" / "accuracy.json").write_text(json.dumps({"peers": peers_found}))
    return tmp_path


def test_the_documents_are_written_from_a_file(root, capsys):
    pytest.importorskip("matplotlib")
    assert versus.main(["--report", str(root / "docs" / "versus.json"), "--root", str(root)]) == 0
    readme = (root / "README.md").read_text()
    assert readme.startswith(f"before\n{versus_documents.MARKS[0]}\nMeasured on 1 core of a processor")
    assert readme.endswith(f"\n{versus_documents.MARKS[1]}\nafter\n")
    assert "\nold\n" not in readme
    assert "| `relu` | 2.0 torch | 2.0 torch |  |  |" in readme
    assert "| `tanh` | 2.0 numpy | **0.50** numpy |  | 2.0 torch |" in readme
    assert "| `mish` |  | **0.50** torch† |  |  |" in readme
    assert "`mish` (torch, 1 case, 0.50; float32: 137 ulp at -20.25)" in readme
    assert "One thread, geometric means over all 7 cases" in readme
    assert "Two threads, geometric means over all 3 cases" in readme
    document = (root / "docs" / "versus.md").read_text()
    assert "| tanh 1000000 float64 | 1.0 | 1.0 | 2e+09 | 2e+09 | 2.01e+09 | 4e+09 |" in document
    assert "| mish 1000000 float32 | **0.50** | 4.0 | " in document
    assert "- 0.50 mish 1000000 float32" in document
    assert "- mish float32: torch 137 ulp at -20.25\n" in document
    assert document.index("## One thread") < document.index("## Two threads") < document.index("## Less exact libraries")
    assert (root / "docs" / "versus.svg").read_text().count("tanh_backward") >= 1
    assert "Two" not in versus_documents.full([data_of(root)], Known())


def test_what_is_published_is_told_from_the_published_figures():
    """It is not after new figures in docs/: then `python bench/versus.py --report docs/versus.json` writes it again."""
    runs = list(versus.runs(SOURCE / "docs" / "versus.json").values())
    assert (SOURCE / "docs" / "versus.md").read_text() == versus_documents.full(runs, KNOWN)
    block = (SOURCE / "README.md").read_text().partition(versus_documents.MARKS[0])[2].partition(versus_documents.MARKS[1])[0]
    assert block == f"\n{versus_documents.compact(runs, KNOWN)}\n"


def data_of(root):
    return versus.runs(root / "docs" / "versus.json")[1]


def test_tables_are_rectangular(data, known):
    for text in (versus_documents.compact([data], known), versus_documents.full([data], known)):
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) == 1


def test_a_report_needs_its_file(tmp_path, capsys):
    with pytest.raises(SystemExit):
        versus.main(["--report", str(tmp_path / "none.json")])
    assert "does not exist" in capsys.readouterr().err


def test_what_stands_between_marks_is_replaced(root):
    for text in ("one\ntwo", "three"):
        versus_report.report.put(root / "README.md", versus_documents.MARKS, text)
    assert (root / "README.md").read_text() == f"before\n{versus_documents.MARKS[0]}\nthree\n{versus_documents.MARKS[1]}\nafter\n"


def test_a_readme_without_marks_is_not_touched(root):
    (root / "README.md").write_text("nothing here\n")
    with pytest.raises(ValueError, match="lacks the marks"):
        versus_report.report.put(root / "README.md", versus_documents.MARKS, "text")
    assert (root / "README.md").read_text() == "nothing here\n"
