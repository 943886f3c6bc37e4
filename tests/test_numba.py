"""The Numba wing: what a first call costs, where machine code is kept, compiling ahead, and what its scalars may hold."""

import ctypes
import os
import shutil

import numpy as np
import pytest
from support import FORWARD_MAPS, ROOT, function, points, python, run_python, same

import fastact as fa

numba = pytest.importorskip("numba")
from fastact.numba_kernels import kernels, machine_code  # noqa: E402
from fastact.numba_kernels.bits import scalar  # noqa: E402
from fastact.numba_kernels.compiler import object_code  # noqa: E402
from fastact.numba_kernels.routines import routine  # noqa: E402

CALL = "import sys, fastact as fa; print(fa.get_backend('numba').relu(2.0), 'numba' in sys.modules)"

# ---- files ------------------------------------------------------------------------------------------------------------


def test_compiled_code_is_kept(tmp_path):
    """The second process finds it, and does without Numba; a damaged or foreign file counts for nothing."""
    assert run_python(CALL, NUMBA_CACHE_DIR=str(tmp_path)) == "2.0 True"
    (file,) = tmp_path.rglob("*.*")
    good = file.read_bytes()
    assert run_python(CALL, NUMBA_CACHE_DIR=str(tmp_path)) == "2.0 False"
    for bad in (b"", good[:-1], good[:100] + bytes([good[100] ^ 1]) + good[101:], b"nonsense"):
        file.write_bytes(bad)
        assert run_python(CALL, NUMBA_CACHE_DIR=str(tmp_path)) == "2.0 True"
        assert file.read_bytes() == good, "compiled anew, to the same bytes"


THREADS = """
import sys, threading
from fastact.numba_kernels import machine_code
import fastact as fa
sys.setswitchinterval(1e-6)
start, found = threading.Barrier(8), []
def ask():
    start.wait()
    for name in ("relu", "leaky_relu", "hard_tanh"):
        found.append((name, machine_code.kernel(fa.ops[name], "main", "float32")))
threads = [threading.Thread(target=ask) for _ in range(8)]
[t.start() for t in threads], [t.join() for t in threads]
print(len(found), len(set(found)))
"""


def test_threads_that_ask_at_once_get_the_same_kernel(tmp_path):
    for _ in range(2):  # compiled, and from its file
        assert run_python(THREADS, NUMBA_CACHE_DIR=str(tmp_path)) == "24 3"


@pytest.mark.parametrize("home", ["/dev/null", "/dev/null/none", ""])
def test_without_a_place_to_keep_it(home):
    """A read-only system, or a user without home: nothing is kept, nothing is written beside the package, nothing is said."""
    before = set(ROOT.rglob("*"))
    code = CALL + "; fa.set_backend('numba'); fa.show_config()"
    out = run_python(code, HOME=home, XDG_CACHE_HOME="", NUMBA_CACHE_DIR="/dev/null" if not home else "")
    assert out.startswith("2.0 True\n")
    assert "not kept: no cache directory is writable" in out
    assert {path for path in set(ROOT.rglob("*")) - before if "__pycache__" not in path.parts} == set()


def test_a_user_without_home(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(machine_code.Path, "home", no_home)
    assert machine_code.folder() is None
    assert machine_code.kept("nothing") is None
    machine_code.keep("nothing", b"")
    assert machine_code.status().startswith("not kept")


def test_where_it_is_kept(monkeypatch, tmp_path):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert machine_code.folder() == tmp_path / "cache" / "fastact"
    assert machine_code.status() == f"kept in {tmp_path / 'cache' / 'fastact'}"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    machine_code.keep("some.o", b"code\n\n")
    assert machine_code.kept("some.o") == b"code\n\n"
    assert os.listdir(tmp_path / "fastact") == ["some.o"], "no temporary file is left"


def test_what_the_files_belong_to(monkeypatch, tmp_path):
    """Other sources, another Numba, another processor or other settings: other names."""

    def digest():
        return machine_code.stamp.__wrapped__().hexdigest()

    for file in (ROOT / "numba_kernels").glob("*.py"):
        shutil.copy(file, tmp_path)
    monkeypatch.setattr(machine_code, "__file__", str(tmp_path / "machine_code.py"))
    known = {digest()}
    assert digest() in known
    monkeypatch.setenv("NUMBA_NUM_THREADS", "2")
    monkeypatch.setenv("NUMBA_CACHE_DIR", "elsewhere")
    assert digest() in known

    def edit_the_source():
        (tmp_path / "rows.py").write_text((tmp_path / "rows.py").read_text() + "\n")

    changes = [
        edit_the_source,
        lambda: monkeypatch.setenv("NUMBA_CPU_FEATURES", ""),
        lambda: monkeypatch.setattr(machine_code, "version", lambda name: "0"),
        lambda: monkeypatch.setattr(machine_code.llvm, "get_host_cpu_name", lambda: "another"),
        lambda: monkeypatch.setattr(machine_code.llvm, "get_host_cpu_features", type(machine_code.llvm.get_host_cpu_features())),
    ]
    for count, change in enumerate(changes, 1):
        change()
        assert digest() not in known
        known.add(digest())
        assert len(known) == count + 1


# ---- the first call ---------------------------------------------------------------------------------------------------

FIRST = """
import sys, time, numba, numpy as np, fastact as fa
x = np.ones((4, 16), np.float32)
start = time.process_time()
fa.get_backend("numba").{call}
print(time.process_time() - start)
"""


@pytest.mark.parametrize(("call", "cold"), [("gelu(x)", 0.4), ("softmax(x)", 0.8), ("cross_entropy(x, x)", 1.0)])
def test_the_first_call(call, cold, tmp_path):
    """The processor's time beyond `import numba`, best of some processes: without and with a file."""
    times = [float(run_python(FIRST.format(call=call), NUMBA_CACHE_DIR=str(tmp_path / str(k)))) for k in range(3)]
    assert min(times) <= cold, times
    times = [float(run_python(FIRST.format(call=call), NUMBA_CACHE_DIR=str(tmp_path / "0"))) for _ in range(3)]
    assert min(times) <= 0.2, times


def test_what_a_first_call_does_without(tmp_path):
    """Numba's arrays, strings and containers, which would take longer to load than a kernel to compile."""
    without = {"numba.np.arrayobj", "numba.cpython.unicode", "scipy.linalg"}
    code = FIRST.format(call="softmax(x)") + f"print(sorted({without} & set(sys.modules)))"
    assert run_python(code, NUMBA_CACHE_DIR=str(tmp_path)).endswith("\n[]")


def test_a_first_call_compiles_one_layout(tmp_path):
    """Rows that follow one another and rows that stand side by side, as short rows are brought, have kernels of their own."""
    code = """
import numpy as np, fastact as fa
from fastact.numba_kernels import machine_code
numba = fa.get_backend("numba")
x, labels = np.ones((2, 100), np.float32), np.zeros(2, int)
before = set()
calls = [lambda: numba.softmax(x), lambda: numba.softmax(x[:, :9]), lambda: numba.softmax(x.T.copy(), axis=0)]
calls += [lambda: numba.maxout(x.T.copy(), axis=0), lambda: numba.cross_entropy(x[:1], labels[:1]), lambda: numba.cross_entropy(x, labels)]
for call in calls:
    call()
    print(*(f"{name}-{role}" for name, role, _ in machine_code.LOADED.keys() - before), end=", ")
    before = set(machine_code.LOADED)
"""
    out = run_python(code, NUMBA_CACHE_DIR=str(tmp_path))
    assert out == "softmax-rows, softmax-columns, , maxout-columns, cross_entropy-rows, cross_entropy-columns,"


def test_warm_up_compiles_ahead(tmp_path):
    """Every kernel of what is named, and no other."""
    code = """
import numpy as np, fastact as fa
from fastact.numba_kernels import machine_code
fa.set_backend("numba")
fa.warm_up(["relu", "swish", "prelu_backward", "hinge_loss_value_and_grad", "logsumexp_backward"], dtypes=["float32", np.float16])
print(*machine_code.LOADED)
fa.warm_up("relu", dtypes=np.dtype("float64"))
machine_code.compiled = None
x = np.ones((2, 3), np.float32)
fa.relu(x), fa.relu(x.astype(float)), fa.silu(x), fa.prelu_backward(x, x, 0.5), fa.hinge_loss(x, x), fa.hinge_loss_value_and_grad(x, x)
"""
    out = run_python(code, NUMBA_CACHE_DIR=str(tmp_path))
    wanted = {(f"hinge_loss{end}", "main", "float32") for end in ("", "_gradient")} | {("prelu_backward", "weight", "float32")}
    wanted |= {("logsumexp_backward", role, "float32") for role in ("rows", "columns")}
    wanted |= {(name, "main", "float32") for name in ("relu", "silu", "prelu_backward")}
    assert out.count("(") == len(wanted)
    assert all(str(key) in out for key in wanted), out
    assert len(list(tmp_path.rglob("*.o"))) == len(wanted) + 1


@pytest.mark.parametrize("backend", ["cython", "numpy"])
def test_warm_up_of_what_is_ready(backend):
    with fa.backend(backend):
        assert fa.warm_up() is None
        assert fa.warm_up(iter(["relu"]), dtypes=iter(["float64"])) is None
        for bad in ({"names": "novel"}, {"names": ["relu", 3]}, {"names": ["_relu"]}):
            with pytest.raises(ValueError, match=r"name .*; one of relu, relu_backward, .* is required"):
                fa.warm_up(**bad)
        for bad in ("int32", complex, "f4", ["float32", "float"]):
            with pytest.raises(ValueError, match=r"dtype .*; one of float16, .* is required"):
                fa.warm_up("relu", dtypes=bad)


# ---- scalars ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", [op for k, op in enumerate(FORWARD_MAPS) if op.params or k % 4 == 0], ids=lambda op: op.name)
def test_scalars_in_compiled_code(op, dtype):
    """A user's own loop gives the bits of the kernels; parameters may be any numbers."""
    f = kernels.find(op)
    params = tuple(p.default for p in op.params)

    @numba.njit
    def loop(x, params):
        y = np.empty_like(x)
        for i in range(x.size):
            y[i] = f(x[i], *params)
        return y

    x = points(dtype)[::7]
    same(loop(x, params), function("numba", op)(x))


@routine
def collatz(x, n, steps):
    """What a kernel may hold: names that change, loops, branches, elements, calls that return several numbers."""
    small, large = x[0], x[0]
    for i in range(n):
        steps[i] = count = 0
        v = x[i]
        while v > 1:
            half = v // 2
            if v % 2 == 0:
                v = half
                count += 1
            else:
                v = (3 * v + 1) // 2
                count += 2
        steps[i] += count
        large = x[i] if x[i] > large else large
        small = small if small < x[i] else x[i]
    return small, large


def ends(steps, x, bounds, n):
    bounds[0], bounds[1] = collatz(x, n, steps)
    if n > 3:
        return
    for i in range(n - 1, n):
        steps[i] = -1


def test_what_a_kernel_can_hold():
    pointer = numba.types.CPointer(numba.types.int64)
    library = machine_code.linked("ends", object_code(ends, (pointer, pointer, pointer, numba.types.int64)))
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_int64)(library["kernel"])
    x, steps, bounds = np.array([6, 7, 27, 1]), np.empty(4, np.int64), np.empty(2, np.int64)
    call(steps.ctypes.data, x.ctypes.data, bounds.ctypes.data, 4)
    assert steps.tolist() == [8, 16, 111, 0]
    assert bounds.tolist() == [1, 27]
    call(steps.ctypes.data, x.ctypes.data, bounds.ctypes.data, 3)
    assert steps.tolist() == [8, 16, -1, 0]
    with pytest.raises(TypeError, match=r"cannot hold this.*with"):
        object_code(no_kernel, (pointer,))
    with pytest.raises(TypeError, match=r"cannot hold this.*: y$"):
        object_code(perhaps_unset, (pointer,))
    with pytest.raises(TypeError, match="y is int64 at first and cannot become float64"):
        object_code(of_two_types, (pointer,))


def perhaps_unset(x):
    if x[0] > 0:
        y = x[1]
    x[2] = y


def of_two_types(x):
    y = 0
    y = y + 0.5
    x[0] = y


def no_kernel(x):
    with x:
        pass


@scalar
def doubled(x, n):
    """A docstring."""
    return x * n if n > 2 and not_here < 3 else -x


not_here = 1


@scalar
def branches(x):
    if x > 0:
        return x
    return -x


@scalar
def loops(x):
    while x > 0:
        x = x - 1
    return x


def test_what_a_scalar_cannot_hold():
    assert numba.njit(lambda x: doubled(x, 3))(2.0) == 6.0
    assert numba.njit(lambda x: doubled(x, 1))(2.0) == -2.0
    for wrong in (branches, loops):
        with pytest.raises(TypeError, match="a scalar cannot hold this"):
            numba.njit(lambda x, f=wrong: f(x))(1.0)
    with pytest.raises(TypeError, match=r"doubled takes x, n, not 1 arguments"):
        numba.njit(lambda x: doubled(x))(1.0)


def test_a_scalar_takes_numbers_alone():
    """Of an array's pointer it would make a number without a word."""
    from fastact.numba_kernels.activations import gelu, silu

    for wrong in (np.ones(3), np.ones((2, 2), "f4"), np.array(1.0), np.float16(1), 1j, "a", None, (1.0, 2.0)):
        with pytest.raises(numba.TypingError, match=r"gelu: x is .*; a number, float32 or float64, is required"):
            numba.njit(lambda x: gelu(x))(wrong)
    with pytest.raises(numba.TypingError, match="silu: beta is array"):
        numba.njit(lambda x: silu(1.0, x))(np.ones(3))
    for number in (2, True, np.float32(2), np.int8(2)):
        assert numba.njit(lambda x: silu(x, 1))(number) == pytest.approx(number / (1 + np.exp(-float(number))), rel=1e-6)


def test_no_numba_is_said_at_once():
    done = python("import sys; sys.modules['numba'] = None; import fastact.numba_kernels.machine_code")
    assert done.stderr.strip().splitlines()[-1] == "ModuleNotFoundError: No module named 'numba'"
