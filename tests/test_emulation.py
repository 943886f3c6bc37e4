"""Level v4 where no processor has it: in the emulator, if that is installed, its kernels give the bits of v3."""

import json
import subprocess
import sys

import pytest
from support import SOURCE, run_python

from fastact.backends import cpu, levels

pytest.importorskip("bochscpu", reason="tools/emulate_v4.py says how to install the emulator")
pytestmark = pytest.mark.skipif("v3" not in levels() or cpu.built_levels().get("v4") != "", reason="compares v4 with v3")
TOOL = SOURCE / "tools" / "emulate_v4.py"


def test_elementwise_kernels_give_the_bits_of_v3(tmp_path):
    report = tmp_path / "sweep.json"
    sweep = ["fastact", "accuracy", "--level", "v4", "--compare", "v3,v2", "--stride", "999983", "--threads", "1", "--json", report]
    done = subprocess.run([sys.executable, TOOL, *sweep], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(report.read_text())
    assert found["measured"] == "cython v4"
    differ = {entry["name"]: entry["differ"] for entry in found["results"]}
    assert not {name: count for name, count in differ.items() if count["cython v3"]}
    assert differ["mish"]["cython v2"] > 100  # the comparison sees what differs


def test_kernels_of_every_signature_give_the_bits_of_v3():
    """Numbers in registers and on the stack, rows and columns, null pointers, integer results."""
    code = f"""
import sys
sys.path.insert(0, {str(TOOL.parent)!r})
import emulate_v4
emulate_v4.install()
import numpy as np, os, fastact as fa
v3, v4 = (fa.get_backend("cython", level=level) for level in ("v3", "v4"))
x = 4 * np.random.default_rng(1).standard_normal((37, 41))
labels, weight = np.arange(37), np.linspace(0, 2, 41)
for dtype in (np.float32, np.float64):
    y = x.astype(dtype)
    for call in (
        lambda lib: [lib.softmax(y, axis=axis) for axis in (0, 1)],
        lambda lib: [lib.logsumexp_backward(y[0], y, y[1], axis=0)],
        lambda lib: lib.cross_entropy_value_and_grad(y, labels, weight=weight, z_loss=0.1, label_smoothing=0.2),
        lambda lib: lib.prelu_backward(y, y[::-1].copy(), y[0]),
        lambda lib: [*(pair := lib.maxout(y)), lib.maxout_backward(*pair, 41)],
        lambda lib: lib.smooth_l1_loss_value_and_grad(y, y[::-1].copy(), beta=0.7),
    ):
        got, want = call(v4), call(v3)
        print(len(got), all(a.tobytes() == b.tobytes() for a, b in zip(got, want, strict=True)))
sys.stdout.flush()
os._exit(0)
"""
    assert run_python(code).split("\n") == ["2 True", "1 True", "2 True", "2 True", "3 True", "2 True"] * 2


def test_a_fault_in_a_kernel_ends_the_process():
    code = f"""
import sys
sys.path.insert(0, {str(TOOL.parent)!r})
import ctypes, emulate_v4
emulate_v4.install()
import fastact as fa
kernel = sys.modules[emulate_v4.MODULE].kernels["relu"]["main"][0]
ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5, ctypes.c_ssize_t)(kernel)(None, None, None, None, None, 8)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 70
    assert "exceptions [(14" in done.stderr
