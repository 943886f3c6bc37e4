"""bfloat16 arrays of ml_dtypes: computed in float32 and rounded once, in place, by loops registered when the dtype is first met."""

import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

import fastact as fa

BF16 = np.dtype(ml_dtypes.bfloat16)
EVERY = np.arange(65536, dtype=np.uint16).view(BF16)


def bits(array):
    """The bits, every nan alike."""
    return np.where(np.isnan(array.astype(np.float32)), 0x7FC0, array.view(np.uint16))


@pytest.mark.parametrize("op", [op for op in fa.ops.values() if op.kind == "map"], ids=lambda op: op.name)
@pytest.mark.parametrize("backend", ["cython", "numba", "numpy"])
def test_all_numbers(op, backend):
    f = getattr(fa.get_backend(backend), op.name)
    arrays = [np.ones_like(EVERY), EVERY] if op.is_backward else [EVERY]
    with np.errstate(all="ignore"):
        wanted = f(*[a.astype(np.float32) for a in arrays]).astype(BF16)
    result = f(*arrays)
    assert result.dtype == BF16
    np.testing.assert_array_equal(bits(result), bits(wanted))
    strided = f(*[a[1::3] for a in arrays])
    np.testing.assert_array_equal(bits(strided), bits(wanted[1::3]))
    into = arrays[0].copy()
    assert f(into, *arrays[1:], out=into) is into
    np.testing.assert_array_equal(bits(into), bits(wanted))


@pytest.mark.parametrize("op", [op for op in fa.ops.values() if op.kind == "rows" and not op.is_backward], ids=lambda op: op.name)
@pytest.mark.parametrize("shape", [(5, 7), (3, 1000)])
@pytest.mark.parametrize("axis", [0, 1])
def test_rows(op, shape, axis):
    f = getattr(fa, op.name)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32).astype(BF16)
    result = f(x, axis=axis)
    assert result.dtype == BF16
    np.testing.assert_array_equal(bits(result), bits(f(x.astype(np.float32), axis=axis).astype(BF16)))


def test_it_is_not_imported():
    script = "import sys, fastact; fastact.relu([1.0]); assert 'ml_dtypes' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
