"""The benchmarks: what pytest collects when, that contenders compute the same, and a report that sees a lost speed-up."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import types

import numpy as np
import pytest

import fastact as fa

ROOT = pathlib.Path(__file__).parents[1]


def load(name):
    spec = importlib.util.spec_from_file_location(f"loaded_{name}", ROOT / "bench" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sys.path.append(str(ROOT / "bench"))  # where its files find each other
report, speed = load("report"), load("test_speed")


def pytest_run(*arguments, code=0):
    """The output of pytest in a process of its own, without what this one was told."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "FASTACT"))}
    environment["PYTHONPATH"] = os.pathsep.join([str(pathlib.Path(fa.__file__).parents[1]), environment.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT, env=environment)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def collected(*arguments):
    """The files from which pytest collects something."""
    return {line.partition("::")[0] for line in pytest_run("--collect-only", "-q", *arguments).splitlines() if "::" in line}


# ---- collection -------------------------------------------------------------------------------------------------------


def test_pytest_alone_collects_the_tests():
    files = collected()
    assert "tests/test_bench.py" in files
    assert not [name for name in files if name.startswith("bench")]


def test_benchmark_only_collects_the_benchmarks():
    assert collected("--benchmark-only") == {"bench/test_speed.py"}


def test_without_pytest_benchmark_the_tests_are_collected():
    files = collected("-p", "no:benchmark", "--ignore-glob=*/tests/test_[!b]*")
    assert "tests/test_bench.py" in files
    assert "bench/test_speed.py" not in files


def test_benchmarks_that_are_named_are_collected():
    assert collected("bench") == {"bench/test_speed.py"}


def test_the_tree_hides_no_installed_package(tmp_path):
    """A tree that was not built stays off the path; one that was built is used from inside it, and from elsewhere is not."""
    (tmp_path / "conftest.py").write_text((ROOT / "conftest.py").read_text())
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_path.py").write_text(
        f"import sys\ndef test_path(): assert ({str(tmp_path)!r} in sys.path) == sys.argv[-1].endswith('inside')\n"
    )
    (tmp_path / "fastact" / "engine").mkdir(parents=True)

    def run(name, folder):
        program = f"import sys, pytest; sys.argv.append({name!r}); sys.exit(pytest.main([{str(tmp_path / 'tests')!r}, '-q']))"
        path = [entry for entry in (*environment.get("PYTHONPATH", "").split(os.pathsep), *sys.path[:1]) if entry]
        assert str(tmp_path) not in path
        done = subprocess.run([sys.executable, "-P", "-c", program], cwd=folder, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr

    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    run("not built", tmp_path)
    (tmp_path / "fastact" / "engine" / "cpu.test.so").touch()
    run("built, from inside", tmp_path)
    run("built, from elsewhere", ROOT)


def test_a_benchmark_runs_and_ends_in_a_summary(tmp_path):
    """With the options of a smoke run; what it writes is what the report reads."""
    file = tmp_path / "result.json"
    quick = ["--benchmark-min-rounds=1", "--benchmark-max-time=0.001", f"--benchmark-json={file}"]
    groups = ["tanh 10000 float32", "tanh_backward 10000 float32"]
    names = [f"{group}-{name}" for group in groups for name in ("numpy", "cython", "cython out=")]
    chosen = [f"bench/test_speed.py::test_speed[{name}]" for name in names]
    out = pytest_run("--benchmark-only", *chosen, *quick)
    assert "backends: cython" in out
    assert out.index(f"benchmark '{groups[0]}'") < out.index(f"benchmark '{groups[1]}'")
    assert "Slower than NumPy" in out
    benchmarks = json.loads(file.read_text())["benchmarks"]
    assert [bench["group"] for bench in benchmarks] == [groups[0]] * 3 + [groups[1]] * 3
    assert "| `tanh` |" in report.markdown(benchmarks)


# ---- contenders -------------------------------------------------------------------------------------------------------


def test_every_operation_has_groups():
    for op in fa.ops.values():
        mine = [case for case, _ in speed.CASES.values() if case.op is op]
        assert {(case.size, case.dtype) for case in mine} >= set(speed.SIZES)
        assert any(case.axis == 0 for case in mine) == (op.kind == "rows")
    for case, found in speed.CASES.values():
        assert list(found)[:2] == ["numpy", "cython"]
        assert ("cython out=" in found) == ((case.size, case.dtype) == (10_000, "float32"))


@pytest.mark.parametrize("group", [name for name, (case, _) in speed.CASES.items() if case.size != 1_000_000])
def test_contenders_compute_the_same(group):
    """In place, into `out`, along an axis, in another library: the same numbers as the NumPy expression."""
    case, found = speed.CASES[group]
    with np.errstate(all="ignore"):
        results = {name: parts(make(case).calls[0]()) for name, make in found.items() if not name.startswith("numba")}
    usual = [part.T if case.axis == 0 else part for part in results["numpy"]]
    erf = "erf" in (case.op.forward or case.op).formula  # timed against its tanh form
    near = {"rtol": 2e-4, "atol": 5e-3 if erf else 1e-5}
    if case.dtype == "float16":  # NumPy rounds after each operation
        near = {"rtol": 3e-2, "atol": 3e-2}
    for result in results.values():
        for got, should in zip(result, usual, strict=True):
            got = got.T if np.shape(got) == np.shape(should)[::-1] and case.axis == 0 and got is not should else got
            np.testing.assert_allclose(got, should, **near)


def parts(result):
    found = result if isinstance(result, tuple) else (result,)
    arrays = [np.asarray(part.detach() if hasattr(part, "detach") else part) for part in found]
    return [array.copy() for array in arrays]  # others may write to the same memory


# ---- report -----------------------------------------------------------------------------------------------------------


def benchmark(name, contender, seconds, size=10_000, dtype="float32", direction="forward"):
    info = {"function": name, "forward": name.removesuffix("_backward"), "direction": direction, "size": size, "dtype": dtype}
    return {"group": f"{name} {size} {dtype}", "stats": {"min": seconds}, "extra_info": {**info, "contender": contender}}


def results(cython=1.0):
    """Times of a machine on which tanh loses with numba, and its backward pass to scipy."""
    return [
        benchmark("relu", "numpy", 8.0),
        benchmark("relu", "cython", cython),
        benchmark("relu", "cython out=", 1.6),
        benchmark("relu", "numba", 4.0),
        benchmark("tanh", "numpy", 3.0, size=1_000_000),
        benchmark("tanh", "cython", 1.0, size=1_000_000),
        benchmark("tanh", "numba", 6.0, size=1_000_000),
        benchmark("tanh_backward", "numpy", 3.0, direction="backward"),
        benchmark("tanh_backward", "cython", 2.0, direction="backward"),
        benchmark("tanh_backward", "scipy", 1.0, direction="backward"),
        benchmark("relu", "numpy", 9.0, dtype="float64"),
        benchmark("relu", "cython", 3.0, dtype="float64"),
        benchmark("mish", "cython", 3.0),
    ]


def test_ratios_are_to_numpy_in_the_same_group():
    found = report.ratios(results())
    assert found["relu 10000 float32"] == {"cython": 8.0, "cython out=": 5.0, "numba": 2.0}
    assert found["tanh 1000000 float32"] == {"cython": 3.0, "numba": 0.5}
    assert "mish 10000 float32" not in found


def test_report_tells_losses_first():
    text = report.text(results())
    order = ["0.50  tanh 1000000 float32, numba", "2.00 times as fast as ours: tanh_backward", "| function"]
    assert sorted(order, key=text.index) == order
    assert "scipy" in text


def test_report_names_a_backend_that_is_missing():
    assert "Not measured: numba" in report.text([bench for bench in results() if bench["extra_info"]["contender"] != "numba"])
    assert "Not measured" not in report.text(results())


def test_markdown_table():
    lines = report.markdown(results()).splitlines()
    assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|")
    columns = [cell.strip() for cell in lines[0].strip("|").split("|")]
    rows = [dict(zip(columns, map(str.strip, line.strip("|").split("|")), strict=True)) for line in lines[2:-1]]
    cells = {row["function"].strip("`"): row for row in rows}
    assert list(cells) == ["relu", "tanh"]
    assert cells["relu"]["forward cython 10 000"] == "8.0"
    assert cells["relu"]["forward numba 10 000"] == "2.0"
    assert cells["relu"]["forward cython 1 000 000"] == ""
    assert cells["tanh"]["forward numba 1 000 000"] == "**0.50**"
    assert cells["tanh"]["backward cython 10 000"] == "1.5"
    assert lines[-1].startswith("| geometric mean | 8.0 |")


@pytest.fixture
def files(tmp_path):
    """A stored run, and a function that writes another and compares them."""
    stored, now = tmp_path / "baseline.json", tmp_path / "now.json"

    def run(benchmarks, *arguments):
        now.write_text(json.dumps({"benchmarks": benchmarks, "machine_info": {"cpu": {"brand_raw": "a processor"}}}))
        return report.main([str(now), *arguments])

    assert run(results(), "--write-baseline", str(stored)) == 0
    return types.SimpleNamespace(stored=stored, run=run, compare=lambda found, *more: run(found, "--compare", str(stored), *more))


def test_a_lost_speed_up_is_seen(files, capsys):
    assert files.compare(results(cython=1.5)) == 1
    assert "  relu 10000 float32, cython: was 8.00, is 5.33" in capsys.readouterr().out


def test_a_speed_up_that_fell_within_the_tolerance_is_not_lost(files, capsys):
    assert files.compare(results(cython=1.25)) == 0
    assert "lower by more than 25%: none" in capsys.readouterr().out
    assert files.compare(results(cython=1.25), "--tolerance", "0.1") == 1


def test_times_that_grow_together_are_no_loss(files):
    """A slower machine has the same ratios."""
    slower = results()
    for bench in slower:
        bench["stats"]["min"] *= 3
    assert files.compare(slower) == 0


def test_a_benchmark_that_is_gone_is_a_loss(files, capsys):
    assert files.compare([bench for bench in results() if "tanh_backward" not in bench["group"]]) == 1
    assert "tanh_backward 10000 float32, cython: was 1.50, is missing" in capsys.readouterr().out
    assert files.compare([bench for bench in results() if bench["extra_info"]["contender"] != "numba"]) == 1
    out = capsys.readouterr().out
    assert "numba: not measured at all" in out
    assert "numba: was" not in out


def test_a_baseline_holds_our_ratios_and_no_times(files):
    stored = json.loads(files.stored.read_text())
    assert stored["processor"] == "a processor"
    assert stored["ratios"]["tanh_backward 10000 float32"] == {"cython": 1.5}


def test_the_stored_baseline_fits_the_benchmarks():
    stored = json.loads((ROOT / "bench" / "baseline.json").read_text())
    assert stored["ratios"].keys() <= speed.CASES.keys()
    assert all(value > 0 for row in stored["ratios"].values() for value in row.values())
    assert report.compare(stored["ratios"], stored, 0) == []


def test_the_script_runs_on_its_own(tmp_path):
    file = tmp_path / "result.json"
    file.write_text(json.dumps({"benchmarks": results()}))
    command = [sys.executable, str(ROOT / "bench" / "report.py"), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Slower than NumPy:")
