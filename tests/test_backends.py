"""Which backend and level compute: environment, switches and namespaces, bad values, what an import costs, and what is reported."""

import re
import shutil
import threading

import numpy as np
import pytest
from support import BACKENDS, ROOT, levels, namespace, public_name, python, run_python, same

import fastact as fa
from fastact.register import public_ops
from fastact.setting import Setting

X = np.linspace(-3, 3, 50)
SHOW = "import fastact as fa; print(fa.sigmoid.backend, fa.get_num_threads())"


# ---- switches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_namespaces_hold_every_public_name(backend):
    lib = namespace(backend)
    for name, op in public_ops().items():
        f = getattr(lib, name)
        assert isinstance(f, fa.Function)
        assert f.op is op
        assert f.backend == backend
        assert getattr(lib, public_name(op)) is f, "an alias is the same object"
    assert backend in repr(lib)
    assert namespace(backend) is lib


def test_the_default():
    assert fa.sigmoid.backend == f"cython {levels()[-1]}"
    assert fa.get_backend().backend == fa.sigmoid.backend
    assert fa.get_backend("cython").backend == fa.sigmoid.backend


def test_set_backend_and_context():
    default = fa.sigmoid.backend
    functions = [getattr(fa, name) for name in public_ops()]
    try:
        for name, level in [("numba", None), ("numpy", None), *(("cython", level) for level in levels()), ("cython", None)]:
            fa.set_backend(name, level=level)
            wanted = f"{name} {level}" if level else default if name == "cython" else name
            assert {f.backend for f in functions} == {wanted}
            assert fa.get_backend().backend == wanted
            same(fa.gelu(X), namespace(wanted).gelu(X))
    finally:
        fa.set_backend("cython")
    with fa.backend("numpy") as nothing:
        assert nothing is None
        assert fa.gelu.backend == "numpy"
        with fa.backend("cython", level=levels()[0]):
            assert fa.gelu.backend == f"cython {levels()[0]}"
        assert fa.gelu.backend == "numpy"
        with pytest.raises(ZeroDivisionError), fa.backend("numba"):
            _ = 1 / 0
        assert fa.gelu.backend == "numpy"
    assert {f.backend for f in functions} == {default}
    with fa.backend("numpy"):
        assert fa.get_backend("cython").gelu.backend == default, "namespaces do not follow"


@pytest.mark.parametrize(
    ("block", "values", "now"),
    [(fa.backend, ["numpy", "numba"], lambda: fa.gelu.backend), (fa.threads, [3, 5], fa.get_num_threads)],
    ids=["backend", "threads"],
)
def test_blocks_that_overlap_do_not_undo_each_other(block, values, now):
    """As those of two Python threads may: the one entered last decides while it is open."""
    before = now()
    first, second, third = map(block, [*values, values[0]])
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert now() == values[1]
    third.__enter__()
    assert now() == values[0]
    third.__exit__(None, None, None)
    assert now() == values[1]
    second.__exit__(None, None, None)
    assert now() == before


@pytest.mark.parametrize(
    ("block", "change", "values", "now"),
    [
        (fa.backend, fa.set_backend, ["numpy", "numba", f"cython {levels()[-1]}"], lambda: fa.gelu.backend),
        (fa.threads, fa.set_num_threads, [3, 5, 7], fa.get_num_threads),
    ],
    ids=["backend", "threads"],
)
def test_what_another_thread_sets_holds_when_the_block_is_left(block, change, values, now):
    before = now()
    given = [value.split()[0] if isinstance(value, str) else value for value in values]
    try:
        with block(given[0]):
            other = threading.Thread(target=change, args=[given[1]])
            other.start()
            other.join()
            assert now() == values[0]
            change(given[2])
            assert now() == values[2], "in the block of one's own at once"
        assert now() == values[1]
    finally:
        change(before.split()[0] if isinstance(before, str) else before)
    assert now() == before


def test_a_block_may_be_entered_again():
    """After it was left, inside itself, by several threads at once, and as a decorator."""
    seen = []
    setting = Setting(seen.append, 0, "at first")
    block = setting.block(1, "asked")
    for _ in range(2):
        with block:
            assert setting.value == 1
        assert setting.value == 0
    with block:
        setting.set(2, "inside")
        with block:
            assert setting.value == 1
        assert setting.value == 2
    assert setting.value == 0
    assert setting.why == "at first"
    block.__enter__()
    other = threading.Thread(target=block.__enter__)
    other.start()
    other.join()
    setting.set(3, "in the first of two, entered by another thread")
    block.__exit__(None, None, None)
    assert setting.value == 1, "what the other thread asked"
    block.__exit__(None, None, None)
    assert setting.value == 0, "left for the other thread, as a generator may be"
    block.__exit__(None, None, None)  # more often than entered, as after a fork that dropped it
    assert setting.value == 0
    assert block(lambda: setting.value)() == 1
    assert setting.value == 0


def test_a_block_that_cannot_be_entered_leaves_nothing_behind():
    setting = Setting(lambda divisor: 1 / divisor, 2, "at first")
    with pytest.raises(ZeroDivisionError), setting.block(0, "in vain"):
        pass
    assert (setting.value, setting.why) == (2, "at first")


FORK = """
import os, threading, warnings
import fastact as fa
warnings.simplefilter('ignore')  # newer Pythons advise against what is tested here
inside, done = threading.Event(), threading.Event()

def hold():
    with fa.backend("numpy"), fa.backends._CHOICE._lock:
        inside.set()
        done.wait()

other = threading.Thread(target=hold)
other.start()
inside.wait()
child = os.fork()
if child == 0:
    print(fa.gelu.backend.split()[0])
    with fa.backend("numpy"):
        print(fa.gelu.backend)
    print(fa.gelu.backend.split()[0], flush=True)
    os._exit(0)
os.waitpid(child, 0)
done.set()
other.join()
print(fa.gelu.backend.split()[0])
"""


def test_blocks_and_locks_of_other_threads_end_with_a_fork():
    assert run_python(FORK).split() == ["cython", "numpy", "cython", "cython"]


CALLS = [fa.set_backend, fa.get_backend, fa.backend]


@pytest.mark.parametrize("call", CALLS, ids=["set", "get", "with"])
def test_bad_backends_and_levels(call):
    before = fa.sigmoid.backend
    for name in ("fortran", "", "Cython", 3):
        with pytest.raises(ValueError, match="cython, numba, numpy") as caught:
            call(name)
        assert repr(name) in str(caught.value)
    for level in ("v9", "V3", "", 3, "native" if levels() != ["native"] else "v3"):
        with pytest.raises(ValueError, match=levels()[0]) as caught:
            call("cython", level=level)
        assert repr(level) in str(caught.value)
    for name in ("numba", "numpy"):
        with pytest.raises(ValueError, match="only the cython backend"):
            call(name, level=levels()[0])
    assert fa.sigmoid.backend == before


def test_levels_above_the_machine_are_refused():
    """Their very init code would crash."""
    from fastact.engine import cpu

    above = [level for level in ("v2", "v3", "v4") if level > cpu.level()]
    assert not set(above) & set(levels())
    for level in above:
        with pytest.raises(ValueError, match="supported by this machine"):
            fa.get_backend("cython", level=level)
        done = python(f"{SHOW}; fa.show_config()", FASTACT_LEVEL=level)  # a cap above the machine caps nothing
        assert done.stdout.startswith(f"cython {levels()[-1]}"), done.stderr
        assert f"this {cpu.level()} machine runs and that FASTACT_LEVEL={level} allows" in done.stdout


# ---- environment ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cython", "numba", "numpy", ""])
def test_backend_from_the_environment(name):
    out = run_python(SHOW, FASTACT_BACKEND=name)
    assert out.split()[0] == (name or "cython")


@pytest.mark.parametrize("level", levels())
def test_level_from_the_environment(level):
    if level != "native":
        assert run_python(SHOW, FASTACT_LEVEL=level).startswith(f"cython {level} ")


THREADS = [
    ({"FASTACT_NUM_THREADS": "3"}, 3),
    ({"OMP_NUM_THREADS": "5"}, 5),
    ({"FASTACT_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, 3),
    ({"OMP_NUM_THREADS": "4,2"}, 4),
    ({"FASTACT_NUM_THREADS": "", "OMP_NUM_THREADS": "2"}, 2),
]


@pytest.mark.parametrize(("variables", "count"), THREADS, ids=str)
def test_threads_from_the_environment(variables, count):
    out = run_python(f"{SHOW}; fa.show_config()", **variables)
    name = next(name for name, value in variables.items() if value)
    assert out.splitlines()[0].split()[-1] == str(count)
    assert re.search(rf"^threads from +{name}={re.escape(variables[name])}$", out, re.MULTILINE)


@pytest.mark.parametrize("value", ["abc", "0", "-3", "2.5", ",4", "²"])
def test_what_openmp_would_ignore_is_ignored_and_told(value):
    """The variable belongs to other libraries too: an import must not fail for it."""
    done = python(f"{SHOW}; fa.show_config()", OMP_NUM_THREADS=value)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == run_python(SHOW)
    assert re.search(rf"^threads from +the processors .*; OMP_NUM_THREADS={re.escape(value)}, .* ignored$", done.stdout, re.MULTILINE)


def test_more_threads_than_any_call_gets():
    out = run_python(f"{SHOW}; fa.show_config()", OMP_NUM_THREADS="99999")
    assert out.splitlines()[0].split()[-1] == "1024"
    assert re.search(r"^threads from +OMP_NUM_THREADS=99999, cut to 1024, the most$", out, re.MULTILINE)


def test_show_config_says_who_set_the_threads(capsys):
    def told():
        fa.show_config()
        return re.search(r"^threads from +(.*)$", capsys.readouterr().out, re.MULTILINE)[1]

    before = fa.get_num_threads()
    with fa.threads(1):
        fa.set_num_threads(before)
        assert told() == "set_num_threads"
        with fa.threads(1):
            assert told() == "threads"
        assert told() == "set_num_threads"


BAD = [
    ("FASTACT_BACKEND", "fortran", "cython, numba, numpy"),
    ("FASTACT_BACKEND", "CYTHON", "cython, numba, numpy"),
    ("FASTACT_LEVEL", "v9", "v2, v3, v4"),
    ("FASTACT_LEVEL", "avx2", "v2, v3, v4"),
    ("FASTACT_NUM_THREADS", "0", "1 to 1024"),
    ("FASTACT_NUM_THREADS", "-2", "1 to 1024"),
    ("FASTACT_NUM_THREADS", "many", "1 to 1024"),
    ("FASTACT_NUM_THREADS", "2.5", "1 to 1024"),
    ("FASTACT_NUM_THREADS", "99999", "1 to 1024"),
]


@pytest.mark.parametrize(("variable", "value", "allowed"), BAD, ids=str)
def test_bad_environment(variable, value, allowed):
    done = python("import fastact", **{variable: value})
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError"), done.stderr
    for word in (variable, value, allowed):
        assert word in last


def test_default_threads_follow_the_affinity():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); import fastact as fa; print(fa.get_num_threads())"
    assert run_python(code) == "1"
    assert 1 <= int(run_python(SHOW).split()[-1]) <= 8


# ---- import -----------------------------------------------------------------------------------------------------------


def test_an_import_brings_nothing_optional():
    code = """
import sys, numpy
before = set(sys.modules)
import fastact
new = {name.split(".")[0] for name in set(sys.modules) - before}
print(sorted(new & {"numba", "llvmlite", "scipy", "matplotlib", "rich", "pandas", "torch", "ml_dtypes", "inspect", "importlib.metadata"}))
"""
    assert run_python(code) == "[]"


def test_an_import_is_fast():
    """The time beyond NumPy's own, best of seven processes."""
    code = "import numpy, time; t = time.perf_counter(); import fastact; print(1e3 * (time.perf_counter() - t))"
    times = [float(run_python(code)) for _ in range(7)]
    assert min(times) <= 60, f"{min(times):.0f} ms"


def test_a_missing_numba_is_explained():
    code = """
import sys
sys.modules["numba"] = None
import fastact as fa
fa.relu(1.0)
try:
    fa.get_backend("numba")
except ImportError as error:
    print(error)
"""
    assert "pip install 'fastact[numba]'" in run_python(code)


def test_a_missing_engine_is_explained(tmp_path):
    """A source tree that was not built: say so, and what to do."""
    shutil.copytree(ROOT, tmp_path / "fastact", ignore=shutil.ignore_patterns("*.so", "*.c", "__pycache__"))
    done = python(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import fastact")
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError")
    assert "pip install" in last


# ---- report -----------------------------------------------------------------------------------------------------------


def test_show_config(capsys):
    fa.show_config()
    text = capsys.readouterr().out
    for word in ("fastact", "numpy", np.__version__, "processor", "supports", "backend", fa.sigmoid.backend, "because", "threads"):
        assert word in text
    for level in levels():
        assert f"{level}: built" in text
    assert re.search(rf"threads\s+{fa.get_num_threads()}\b", text)
    with fa.backend("numpy"):
        fa.show_config()
        assert re.search(r"backend\s+numpy", capsys.readouterr().out)


def test_show_config_names_the_reason():
    show = "import fastact as fa; fa.show_config()"
    assert "FASTACT_BACKEND=numpy" in run_python(show, FASTACT_BACKEND="numpy")
    assert f"FASTACT_LEVEL={levels()[0]}" in run_python(show, FASTACT_LEVEL=levels()[0])
    assert "default" in run_python(show)
    assert "set_backend" in run_python("import fastact as fa; fa.set_backend('numpy'); fa.show_config()")


def test_the_version():
    assert re.fullmatch(r"\d+\.\d+\S*|unknown.*", fa.__version__)
