"""The processor's floating-point state: no function warns, none leaves a flag, a rounding mode or flushed denormals behind."""

import subprocess

import numpy as np
import pytest
from support import LOSSES, MAPS, ROOT, ROWS, every_backend, every_type, function, inf, inputs, nan, run_python, specials

import fastact as fa

ROWS_OF_TROUBLE = [[inf, 1], [-inf, -inf], [inf, inf], [nan, 1], [6e4, -6e4], [1e-7, 0], [-inf, 0]]


def signalling(dtype):
    """A nan that raises the invalid flag when it is computed with."""
    word = np.dtype(f"u{dtype.itemsize}")
    quiet = np.array([nan], dtype).view(word)
    return np.array([quiet[0] ^ word.type(1 << (np.finfo(dtype).nmant - 1)) | word.type(1)], word).view(dtype)


@every_backend
@every_type
@pytest.mark.parametrize("op", MAPS, ids=lambda op: op.name)
def test_elementwise_functions_never_warn(op, dtype, backend):
    """Every length of vector and tail, every special value: no flag that NumPy would report."""
    f = function(backend, op)
    values = np.concatenate([specials(dtype), signalling(dtype)])
    with np.errstate(all="ignore"):
        prepared = [inputs(op, np.full(65, v, dtype), grad=g) for v in (*values, 1.5) for g in (1, -3)]
    with np.errstate(all="raise"):
        for arguments in prepared:
            for n in (1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65) if backend != "numpy" else (1, 9):
                f(*(a[:n] for a in arguments))
                f(*(a[:n][::-1] for a in arguments))
        mixed = np.resize(values, 65)
        for n in range(1, 66):
            f(*(mixed[:n] for _ in op.inputs))
            f(*(mixed[n:0:-1] for _ in op.inputs))


@every_backend
@every_type
def test_other_functions_never_warn(dtype, backend):
    with np.errstate(all="raise"):
        for row in ROWS_OF_TROUBLE:
            for width in (1, 3, 40):
                x = np.tile(np.array(row, dtype), width)
                grid = np.tile(x, (20, 1))
                for op in ROWS:
                    f = function(backend, op)
                    for a, axis in ((x, -1), (grid, -1), (grid, 0), (grid[:, ::-1], 1)):
                        reduced = np.ones(np.delete(a.shape, axis), dtype)
                        f(*(a if core == "(n)" else reduced for core in op.core.split("->")[0].split(",")), axis=axis)
                for op in LOSSES:
                    targets = [np.zeros(20, int), grid] if op.kind == "row_loss" else [grid, np.ones_like(grid)]
                    for target in targets:
                        for reduction in ("none", "mean", "sum"):
                            function(backend, op)(grid, target, reduction=reduction)
                prelu = function(backend, fa.ops["prelu"])
                prelu(grid, x)
                function(backend, fa.ops["prelu_backward"])(grid, grid, x)
                value, which = function(backend, fa.ops["maxout"])(grid)
                function(backend, fa.ops["maxout_backward"])(value, which, grid.shape[1])


STATE = """
import ctypes, numpy as np
libm = ctypes.CDLL("libm.so.6")
assert (libm.fegetround(), np.finfo("f4").smallest_subnormal > 0) == (0, True)
def denormals():
    tiny = np.array([2.0**-1022, 2.0**-1000])
    return (tiny * 0.25 > 0)[0] and (tiny * 2.0**-40 > 0)[0] and (np.full(9, 2.0**-126, "f4") * np.float32(0.5) > 0).all()
assert denormals()
import fastact as fa
from fastact.register import public_ops
assert denormals(), "import fastact flushes denormals"
"""

EVERYTHING = """
import threading
lib = fa.get_backend({backend!r})
x = np.array([[1e-310, -5e-324, 3.0, -1e3, np.inf, np.nan, 0.0, -0.0] * 700] * 3)
def run(name, op, dtype):
    a = x.astype(dtype)
    f = getattr(lib, name)
    if op.kind == "map":
        f(*[a] * len(op.inputs)); f(*[a[:, ::2]] * len(op.inputs))
    elif op.kind == "rows":
        for axis in (0, 1):
            one = np.ones(np.delete(a.shape, axis), dtype)
            f(*[a if c == "(n)" else one for c in op.core.split("->")[0].split(",")], axis=axis)
    elif op.kind == "row_loss":
        f(a, np.zeros(3, int))
    elif op.kind == "loss":
        f(a, a)
with np.errstate(all="ignore"):
    casts = [x.astype(d) for d in ("f2", "f4", "f8")]
    for name, op in public_ops().items():
        for dtype in ("f2", "f4", "f8"):
            run(name, op, dtype)
            assert denormals(), (name, dtype)
            assert libm.fegetround() == 0, (name, dtype)
seen = []
t = threading.Thread(target=lambda: seen.append(denormals())); t.start(); t.join()
assert seen == [True], "a new thread"
print("fine")
"""


@pytest.mark.parametrize("backend", ["cython", "numba", "numpy"])
def test_denormals_and_rounding_survive(backend):
    assert run_python(STATE + EVERYTHING.format(backend=backend)) == "fine"


ROUNDING = """
import ctypes, numpy as np, fastact as fa
from fastact.register import OPS
libm = ctypes.CDLL("libm.so.6")
x = np.linspace(-20, 20, 4001)
for dtype, bound in (("f4", 8e-6), ("f8", 1e-12)):
    for op in OPS.values():
        if op.kind == "map" and not op.is_backward:
            a = x.astype(dtype)
            near = getattr(fa, op.name)(a)
            for mode in (0x400, 0x800, 0xc00):
                libm.fesetround(mode)
                got = getattr(fa, op.name)(a)
                kept = libm.fegetround()
                libm.fesetround(0)
                assert kept == mode, op.name
                assert np.isfinite(got).all(), (op.name, mode)
                assert np.abs(got - near).max() <= bound * np.abs(near).max(), (op.name, dtype, mode)
print("fine")
"""


def test_other_rounding_modes_are_kept_and_do_no_harm():
    """The modes of x86. The roundings inside a kernel are steered, so a result may lose its last digits, but not more: a reduction that
    rounds down leaves r up to log(2), where the polynomial of float32 for e**r is good to 1.5e-5, tanh to half of that, and sigmoid to
    a quarter."""
    assert run_python(ROUNDING) == "fine"


def test_flags_set_by_the_caller_are_kept():
    """Through the ufunc, no flag is added to those that NumPy leaves."""
    code = """
import ctypes, numpy as np, fastact as fa
libm = ctypes.CDLL("libm.so.6")
x = np.array([np.inf, -np.inf, np.nan, 6e4, -6e4, 1e-7] * 9, "f4")
for f in (fa.sigmoid, fa.gelu, fa.mish, fa.softplus):
    for a in (x[::-1], x.reshape(6, 9).T, x.astype("f2"), x.astype(">f4")):
        for raised in (0, 4, 8):
            libm.feclearexcept(0x3f)
            libm.feraiseexcept(raised)
            f.ufunc(a, *[p.default for p in f.op.params])
            assert libm.fetestexcept(0x1d) in (raised, 0), (f, raised, libm.fetestexcept(0x1d))
print("fine")
"""
    assert run_python(code) == "fine"


def test_nothing_is_linked_that_flushes_denormals():
    """-ffast-math at link time adds crtfastmath, whose constructor turns denormals off in the whole process."""
    modules = [*ROOT.glob("*/*.so")]
    assert len(modules) > 10
    for module in modules:
        symbols = subprocess.run(["nm", "-C", module], capture_output=True, text=True, check=True).stdout
        assert "set_fast_math" not in symbols, module
        code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", module], capture_output=True, text=True, check=True).stdout
        sets = [line for line in code.splitlines() if "ldmxcsr" in line]
        assert not sets or module.name.split(".")[0] in ("ufuncs", "threads"), (module, sets)  # they put back what was there
