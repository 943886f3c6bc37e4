"""What pytest collects: ``pytest`` runs the tests, ``pytest --benchmark-only`` the benchmarks, and never one with the other.

Also how the benchmarks are shown: short tables in the order of the register, and at the end the speed-ups, losses first.
"""

import importlib.util
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
BENCH, TESTS = HERE / "bench", HERE / "tests"
RESULTS = pytest.StashKey[list]()

# pytest puts the folder of this file first on the path. There it must not hide an installed fastact by a tree that was not built,
# and never when the tests of this tree are run from elsewhere, to judge an installed fastact.
built = any(HERE.glob("fastact/engine/cpu.*.so")) or any(HERE.glob("fastact/engine/cpu.*.pyd"))
if sys.path[0] == str(HERE) and not (built and pathlib.Path.cwd() == HERE):
    sys.path.pop(0)


def only_benchmarks(config):
    """Whether ``--benchmark-only`` was given; pytest-benchmark may be missing."""
    return bool(config.getoption("benchmark_only", False))


def named(config, folder):
    """Whether the command line names this folder, or something in it."""
    given = [str(arg).partition("::")[0] for arg in config.invocation_params.args if not str(arg).startswith("-")]
    paths = [(config.invocation_params.dir / arg).resolve() for arg in given]
    return any(folder in (path, *path.parents) for path in paths)


def pytest_ignore_collect(collection_path, config):
    folder = TESTS if only_benchmarks(config) else BENCH
    if folder in (collection_path, *collection_path.parents) and not named(config, folder):
        return True
    return None


def pytest_configure(config):
    if only_benchmarks(config):
        given = " ".join(map(str, config.invocation_params.args))
        for option, value in (("columns", ["min", "median", "rounds"]), ("name", "short")):
            if f"--benchmark-{option}" not in given:
                setattr(config.option, f"benchmark_{option}", value)


@pytest.hookimpl(optionalhook=True, wrapper=True)
def pytest_benchmark_group_stats(config, benchmarks):
    """Keep the results for the summary, and show the groups in the order in which they ran, not in that of the alphabet."""
    order = {bench["group"]: place for place, bench in reversed(list(enumerate(benchmarks)))}
    groups = yield
    config.stash[RESULTS] = [
        {"group": bench["group"], "stats": {"min": bench["min"]}, "extra_info": bench["extra_info"]}
        for bench in benchmarks
        if bench["path"] is None  # not one that was loaded to be compared with
    ]
    return sorted(groups, key=lambda pair: order.get(pair[0], len(order)))


def pytest_report_header(config):
    if not only_benchmarks(config):
        return None
    return load_report().machine()


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter, config):
    results = config.stash.get(RESULTS, [])
    if results:
        terminalreporter.section("speed-ups over the NumPy expression")
        terminalreporter.write_line(load_report().text(results))


def load_report():
    """The module ``bench/report.py``, which is not in a package."""
    spec = importlib.util.spec_from_file_location("fastact_bench_report", BENCH / "report.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
