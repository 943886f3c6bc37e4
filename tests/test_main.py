"""The command ``python -m fastact``: its table, its JSON, its progress bar, and what it says where something is missing."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import fastact as fa
from fastact import __main__ as command
from fastact.register import public_name

QUICK = ["--size", "200", "--seconds", "0"]
NAMES = [public_name(op) for op in fa.ops.values()]
FORWARD = [op.name for op in fa.ops.values() if not op.is_backward]


def run(capsys, *arguments):
    assert command.main([*QUICK, *arguments]) == 0
    return capsys.readouterr()


def test_as_a_module_it_prints_json_and_nothing_else():
    path = [str(pathlib.Path(fa.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-m", "fastact", "--json", "--size", "1000", "--seconds", "0.001"],
        capture_output=True, text=True, timeout=120, check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
    )  # fmt: skip
    assert done.stderr == ""
    data = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert [entry["name"] for entry in data["results"]] == NAMES
    assert (data["size"], data["dtype"]) == (1000, "float32")


def test_who_reads_may_stop_before_the_end():
    call = [sys.executable, "-m", "fastact", *QUICK]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(pathlib.Path(fa.__file__).parents[1]), *sys.path])}
    with subprocess.Popen(call, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as writer:
        writer.stdout.close()
        errors = writer.stderr.read().decode()
    assert (writer.returncode, errors) == (0, "")


def test_json_has_what_the_table_has(capsys):
    data = json.loads(run(capsys, "--json", "--dtype", "float64", "--backend", "cython").out)
    assert data["measured"] == fa.get_backend("cython").backend
    assert set(data["backends"]) == {"cython", "numba", "numpy"}
    assert data["config"]["threads"] >= 1
    for entry, op in zip(data["results"], fa.ops.values(), strict=True):
        assert entry["page"] == op.page
        assert entry["pass"] == ("backward" if op.is_backward else "forward")
        assert fa.ops[entry["forward"]] is (op.forward or op)
        assert entry["seconds"] > 0
        assert entry["speedup"] == pytest.approx(entry["numpy_seconds"] / entry["seconds"])
        assert entry["ulp"] >= 0


def test_plain_table(capsys):
    out, err = run(capsys)
    assert err == ""
    lines = out.splitlines()
    assert max(map(len, lines)) <= 100
    table = [line for line in lines if line.split(" ")[0] in FORWARD]
    assert [line.split()[0] for line in table] == FORWARD
    assert all(len(line.split()) == 9 for line in table)
    out = " ".join(out.split())
    for word in (fa.backends.current()[0], fa.backends.config()["processor"], "numba", "geometric mean", "slower than NumPy: "):
        assert word in out


def test_on_a_terminal_the_table_is_rich(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    out = run(capsys).out
    for name in FORWARD:
        (line,) = [line for line in out.splitlines() if line.startswith(f"{name} ")]
        assert len(line.split()) == 9
        assert len(line) <= 100


@pytest.mark.parametrize("rich", [True, False], ids=["rich", "without rich"])
def test_progress_is_on_stderr_and_only_on_a_terminal(capsys, monkeypatch, rich):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    if not rich:
        for module in ("rich", "rich.console", "rich.progress", "rich.table"):
            monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    out, err = run(capsys)
    assert err
    assert f"{len(NAMES)}/{len(NAMES)} {NAMES[-1]}" in err if not rich else str(len(NAMES)) in err
    assert "\r" not in out
    assert out.count(FORWARD[0]) >= 1


def test_a_backend_that_is_missing_is_named(capsys, monkeypatch):
    def get_backend(name=None, **options):
        if name == "numba":
            raise ImportError("the numba backend needs Numba")
        return real(name, **options)

    real = fa.get_backend
    monkeypatch.setattr(fa, "get_backend", get_backend)
    monkeypatch.setattr(fa.backends, "get_backend", get_backend)
    with pytest.raises(SystemExit) as stop:
        command.main([*QUICK, "--backend", "numba"])
    assert stop.value.code == 1
    assert capsys.readouterr().err == "python -m fastact: the numba backend needs Numba\n"
    assert "numba absent: the numba backend needs Numba" in " ".join(run(capsys).out.split())


@pytest.mark.parametrize("wrong", [["--size", "0"], ["--size", "many"], ["--dtype", "int8"], ["--backend", "fortran"], ["extra"]])
def test_wrong_options_are_refused(capsys, wrong):
    with pytest.raises(SystemExit) as stop:
        command.main(wrong)
    assert stop.value.code == 2
    assert wrong[-1] in capsys.readouterr().err


def entry(name="relu", way="forward", speedup=2.0, ulp=0.5):
    times = {"numpy_seconds": speedup * 1e-6, "seconds": 1e-6, "speedup": speedup}
    return {"name": name, "forward": name, "pass": way, **times, "ulp": ulp}


def test_losses_are_told():
    lines = command.summary([entry(speedup=8.0), entry("tanh", speedup=0.5), entry("tanh", "backward", speedup=3.0)])
    assert lines == ["geometric mean of x: forward 2.00, backward 3.00", "slower than NumPy: tanh 0.50"]


def test_losses_and_broken_promises_are_coloured():
    assert command.coloured(entry(speedup=0.5))[2] == "[red]0.50[/]"
    assert command.coloured(entry(speedup=2.0))[2] == "[green]2.00[/]"
    assert command.coloured(entry(ulp=9.0))[3] == "[yellow]9.00[/]"
    assert command.coloured(entry("tanh", ulp=1.0))[3] == "1.00"
    assert command.coloured(None) == [""] * 4


def test_a_function_without_backward_has_empty_cells():
    ((name, forward, backward),) = command.lines_of([entry()])
    assert (name, backward) == ("relu", None)
    line = command.plain_line(name, command.cells(forward), command.cells(backward))
    assert line.split() == ["relu", "2.00", "1.00", "2.00", "0.50"]


def test_figures():
    assert [command.figure(x) for x in (0.5, 5.926, 16.32, 126.2, 12345.6)] == ["0.50", "5.93", "16.3", "126", "12346"]
    assert command.cells(entry(ulp="inf"))[3] == "inf"
    assert command.cells(entry(ulp=123456.0))[3] == "1e+05"
    assert command.finite(float("inf")) == "inf"


def test_it_says_where_extended_precision_is_missing(monkeypatch):
    assert command.notes("float32") == []
    monkeypatch.setattr(np, "longdouble", np.float64)
    assert command.notes("float32") == []
    assert "no wider" in command.notes("float64")[0]
