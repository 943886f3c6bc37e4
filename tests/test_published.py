"""The errors that README and docs state: how they get into docs/accuracy.json, how they are shown, and that they keep the promises."""

import importlib
import json
import math
import subprocess
import sys

import pytest
from support import MAPS, OPS, ROWS, SOURCE

import fastact as fa

STORE = json.loads((SOURCE / "docs" / "accuracy.json").read_text(encoding="utf-8"))
CONFIG = {"processor": "one", "supports": "v3", "compiler": "gcc", "python": "3", "numpy": "2"}


@pytest.fixture(scope="module")
def tools():
    """The two modules, which import each other from their own folder."""
    sys.path.insert(0, str(SOURCE / "tools"))
    try:
        yield importlib.import_module("publish_accuracy"), importlib.import_module("accuracy_tables")
    finally:
        sys.path.remove(str(SOURCE / "tools"))


def swept(name="tanh", worst=1.2341, dtype="float32", **more):
    """A run as `python -m fastact accuracy --json` writes it, of one function."""
    figures = {"worst_normal": worst, "worst_subnormal": 0.0, "wrong": 0, "zeros": 0}
    entry = {"name": name, **figures, "points": 7, "differ": {}, "beside": {}}
    for other, (differ, error) in more.items():
        entry["differ"][other] = differ
        entry["beside"][other] = {**figures, "worst_normal": error}
    return {"config": CONFIG, "measured": "cython v3", "dtype": dtype, "stride": 1, "results": [entry], "rows": []}


def made(tools, *runs):
    store = {}
    for run in runs:
        tools[0].publish(store, run)
    return json.loads(tools[0].text(tools[0].ordered(store, fa.ops)))


# ---- the store --------------------------------------------------------------------------------------------------------


def test_runs_add_up(tools):
    store = made(tools, swept(numba=(0, 1.2341), v2=(5, 1.5)), swept(dtype="float16", worst=0.5), swept("relu", 0.0))
    assert list(store["elementwise"]) == ["relu", "tanh"], "in the order of the register"
    assert store["elementwise"]["tanh"]["float32"] == {
        "cython v3": {"normal": 1.235, "subnormal": 0.0, "stride": 1},
        "numba": {"differ": 0},
        "v2": {"normal": 1.5, "subnormal": 0.0, "stride": 1, "differ": 5},
    }
    assert store["elementwise"]["tanh"]["float16"]["cython v3"] == {"normal": 0.5, "subnormal": 0.0, "points": 7}


def test_a_later_run_replaces_its_own_figures_only(tools):
    store = made(tools, swept(v2=(5, 1.5)), swept("relu", 0.0), swept(worst=1.1, v2=(0, 1.1)), swept("gone", 3.0))
    assert store["elementwise"]["tanh"]["float32"]["cython v3"]["normal"] == 1.1
    assert store["elementwise"]["tanh"]["float32"]["v2"] == {"differ": 0}
    assert store["elementwise"].keys() == {"relu", "tanh"}, "a function that the register does not have is left out"


def peer_run(name, stride=997, dtype="float32", rows=None, **more):
    """A run as `bench/peer_accuracy.py --json` writes it, of one function of one library."""
    figures = {"worst_normal": 2e7, "worst_subnormal": 0.5, "wrong": 0, "zeros": 3, "at": "-88.5", "ordinary": 1.5, "ordinary_at": "2.0"}
    found = {name: {"torch": {**figures, **more}}}
    return {"versions": {"torch": "2+cpu"}, "dtype": dtype, "stride": stride, "peers": found, "rows": rows or {}}


def test_peers_of_one_stride_stand_together(tools):
    assert made(tools, peer_run("tanh"), peer_run("relu"))["peers"]["functions"].keys() == {"relu", "tanh"}
    store = made(tools, peer_run("tanh"), peer_run("relu", 10))
    assert store["peers"]["stride"] == 10
    record = {"normal": 2e7, "subnormal": 0.5, "zeros": 3, "at": "-88.5", "ordinary": 1.5}
    assert store["peers"]["functions"] == {"relu": {"torch": record}}


def test_peers_have_their_dtypes_and_rows_beside_each_other(tools):
    share = {"softmax": {"jax": {"ulp": 67.7891, "share": 1.00001, "shares": {"2": (0.5, "ordinary"), "10": (1.00001, "far apart")}}}}
    doubles = peer_run("relu", 5, "float64", share, ordinary=float("inf"))
    store = made(tools, peer_run("tanh", rows=share), peer_run("relu"), doubles, peer_run("gone", dtype="float64"))["peers"]
    assert store["stride"] == 997, "that of float32"
    assert list(store["functions"]) == ["relu", "tanh"]
    assert store["float64"].keys() == {"relu"}, "not what the register does not have"
    assert (store["float64"]["relu"]["torch"]["ordinary"], store["float64"]["relu"]["torch"]["ordinary_at"]) == ("inf", "2.0")
    figures = {"jax": {"ulp": 67.79, "shares": {"2": [0.5, "ordinary"], "10": [1.001, "far apart"]}}}
    assert store["rows"] == {"softmax": {"float32": figures, "float64": figures}}


@pytest.mark.parametrize("number", [0.0, 1e-9, 8.85e-14, 0.3333333, 0.5, 1.0001, 4, 123.4567, 1.6777e7])
def test_a_published_error_is_never_less_than_what_was_found(tools, number):
    published = tools[0].above(number)
    assert number <= published <= number * 1.01 + 0.001 * (number > 1e-3)
    assert tools[0].above(math.inf) == "inf"


# ---- how it is shown --------------------------------------------------------------------------------------------------


def test_what_a_figure_looks_like(tools):
    figure = tools[1].figure
    shown = " ".join(map(figure, (0, 0.5, 42.009, 137.2, 99999, 2e5, 1.6777e7, "inf")))
    assert shown == "0 0.50 42.01 137 99999 2e5 2e7 inf"
    assert tools[1].worst({"normal": 1.5, "subnormal": 2.0, "stride": 997}) == "2.00\\*", "not every input"
    assert tools[1].worst({"differ": 0}) == ""
    reached = [{"normal": 1.5}, {"normal": 2e7, "wrong": 0}, {"normal": 2e7, "wrong": 3}, None]
    assert [tools[1].reached(record) for record in reached] == ["1.50", ">1e5", "nan/inf", "-"]


def test_functions_without_figures_show_the_promise(tools):
    store = made(tools, swept(), swept("tanh_backward", 1.7))
    assert tools[1].readme_error(store, fa.ops["tanh"]) == "1.24 (1.70)"
    assert tools[1].readme_error({}, fa.ops["tanh"]).startswith("at most ")
    assert tools[1].readme_error(store, fa.ops["softmax"]) == f"at most {fa.ops['softmax'].promise}"
    assert tools[1].readme_peers(store, fa.ops) == tools[1].figures({}, fa.ops) == ""


def test_every_table_has_cells_for_its_columns(tools):
    for text in (tools[1].figures(STORE, fa.ops), tools[1].readme_peers(STORE, fa.ops)):
        tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("| ")]
        assert tables
        for lines in tables:
            assert len({line.count("|") for line in lines}) == 1, lines[0]


def test_a_broken_promise_is_shown(tools):
    record = {"ulp": 4.0, "eps": 2.0, "share": 99.03, "sum": 0.0}
    assert "**99.03**" in tools[1].rows({"rows": {"softmax": {"float64": {"cython v3": record}}}})


# ---- what is published ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", MAPS, ids=lambda op: op.name)
def test_published_errors_keep_the_promise(op):
    kinds = STORE["elementwise"].get(op.name)
    assert kinds, "not published: see docs/accuracy.md"
    for dtype, backends in kinds.items():
        for backend, record in backends.items():
            worst = max(record.get("normal", 0), record.get("subnormal", 0))
            assert worst <= {"float32": op.ulp[0], "float64": op.ulp[1]}.get(dtype, 0.51) + 0.001, (dtype, backend)
            assert not record.get("wrong"), (dtype, backend)


def test_what_is_published_is_known():
    assert STORE["elementwise"].keys() == {op.name for op in MAPS}
    assert STORE["rows"].keys() == {op.name for op in ROWS}
    assert STORE["peers"]["functions"].keys() <= {op.name for op in OPS}


def test_generated_files_are_up_to_date():
    done = subprocess.run([sys.executable, SOURCE / "tools" / "generate.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
