"""Threads: the same bits for any number, Python threads side by side, and processes that fork."""

import concurrent.futures
import ctypes
import os
import platform
import threading

import numpy as np
import pytest
from support import LOSSES, MAPS, ROWS, inputs, public_name, row_sample, run_python, same

import fastact as fa


def with_threads(count, call):
    with fa.threads(count):
        return call()


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("op", MAPS, ids=lambda op: op.name)
def test_elementwise(op, dtype):
    """Large enough for several threads, and of a length that no number of threads divides."""
    f = getattr(fa, op.name)
    work = 2e5 if dtype != "f8" else 1e5  # nanoseconds of float32: helpers are woken up for it
    arguments = inputs(op, np.random.default_rng(1).standard_normal(int(work / op.cost) + 7).astype(dtype))
    want = with_threads(1, lambda: f(*arguments))
    for count in (2, 3, 8):
        same(with_threads(count, lambda: f(*arguments)), want, f"{count} threads")
    out = arguments[-1]
    with_threads(5, lambda: f(*arguments, out=out))
    same(out, want, "in place, 5 threads")


@pytest.mark.parametrize("shape", [(3300, 300), (19, 50_001), (200_000, 5), (1, 1_000_000)], ids=str)
@pytest.mark.parametrize("op", ROWS, ids=lambda op: op.name)
def test_rows(op, shape):
    f = getattr(fa, op.name)
    arguments = row_sample(op, shape, np.dtype("f4"))
    columns = [np.ascontiguousarray(a.T) for a in arguments]
    want = with_threads(1, lambda: f(*arguments, axis=-1))
    for count in (2, 3, 8):
        same(with_threads(count, lambda: f(*arguments, axis=-1)), want, f"{count} threads")
        same(with_threads(count, lambda: f(*columns, axis=0)), want.T, f"{count} threads, columns")


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("op", LOSSES, ids=lambda op: op.name)
def test_losses(op, dtype):
    f = getattr(fa, public_name(op))
    rng = np.random.default_rng(1)
    pred = rng.standard_normal((3001, 333)).astype(dtype)
    target = rng.integers(0, 333, 3001) if op.kind == "row_loss" else rng.standard_normal(pred.shape).astype(dtype)
    for reduction in ("mean", "none"):
        want = with_threads(1, lambda r=reduction: f(pred, target, reduction=r))
        for count in (2, 3, 8):
            got = with_threads(count, lambda r=reduction: f(pred, target, reduction=r))
            for one, two in zip(got if isinstance(got, tuple) else (got,), want if isinstance(want, tuple) else (want,), strict=True):
                same(one, two, f"{count} threads")


def test_gates():
    rng = np.random.default_rng(1)
    x, weight = rng.standard_normal((3001, 333)), rng.standard_normal(333)
    want = with_threads(1, lambda: (fa.prelu(x, weight), *fa.prelu_backward(x, x, weight), *fa.maxout(x)))
    for count in (2, 8):
        got = with_threads(count, lambda: (fa.prelu(x, weight), *fa.prelu_backward(x, x, weight), *fa.maxout(x)))
        for one, two in zip(got, want, strict=True):
            same(one, two)


def test_setting_and_context():
    before = fa.get_num_threads()
    with fa.threads(3):
        assert fa.get_num_threads() == 3
        with fa.threads(5):
            assert fa.get_num_threads() == 5
        assert fa.get_num_threads() == 3
    assert fa.get_num_threads() == before
    with pytest.raises(ZeroDivisionError), fa.threads(2):
        _ = 1 / 0
    assert fa.get_num_threads() == before
    try:
        for count in (7, np.int64(4)):
            fa.set_num_threads(count)
            assert fa.get_num_threads() == count
    finally:
        fa.set_num_threads(before)
    for wrong in (0, -1, 1025, 1.5, "2", None, True, 10**30):
        with pytest.raises(ValueError, match="whole number from 1 to 1024"):
            fa.set_num_threads(wrong)
        with pytest.raises(ValueError, match=r"count=.*whole number"):
            fa.threads(wrong)
    with pytest.raises(TypeError, match=r"^threads\(\) missing"):
        fa.threads()
    assert fa.get_num_threads() == before


def test_eight_python_threads_at_once():
    """Shared inputs, outputs of their own: the bits of a single thread. Large and small calls, every kind."""
    rng = np.random.default_rng(2)
    large, small = rng.standard_normal((600, 500)).astype("f4"), rng.standard_normal((5, 7))
    labels = rng.integers(0, 500, 600)
    calls = [
        lambda: fa.gelu(large),
        lambda: fa.softmax(large),
        lambda: fa.softmax(large, 0),
        lambda: fa.mish(small),
        lambda: fa.elu(small.T, np.linspace(0, 1, 5)),
        lambda: fa.mse_loss(large, large[::-1]),
        lambda: fa.cross_entropy_value_and_grad(large, labels)[1],
        lambda: fa.maxout(large)[0],
        lambda: fa.prelu_backward(large, large, 0.25)[1],
    ]
    with fa.threads(1):
        wants = [call() for call in calls]
    start = threading.Barrier(8)

    def work(seed):
        start.wait()
        for k in np.random.default_rng(seed).integers(0, len(calls), 60):
            same(calls[k](), wants[k], f"call {k}")
        return True

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_the_backend_may_change_while_others_compute():
    x = np.random.default_rng(3).standard_normal(20_000)
    wants = {fa.get_backend(name).sigmoid(x).tobytes() for name in ("cython", "numpy")}
    stop = threading.Event()

    def compute():
        while not stop.is_set():
            assert fa.sigmoid(x).tobytes() in wants
        return True

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(compute) for _ in range(3)]
        try:
            for _ in range(100):
                for name in ("numpy", "cython"):
                    fa.set_backend(name)
        finally:
            stop.set()
        assert all(future.result() for future in futures)


FORK = """
import os, numpy as np, fastact as fa
fa.set_num_threads(4)
x = np.random.default_rng(1).standard_normal((1000, 700)).astype("f4")
before = fa.gelu(x), fa.softmax(x), fa.mse_loss(x, x * 2)
import warnings
warnings.simplefilter("ignore")
{way}
print("fine")
"""
OS_FORK = """
with fa.threads(2):
    child = os.fork()
if not child:
    os._exit(0 if fa.get_num_threads() == 1 else 9)
assert os.waitpid(child, 0)[1] == 0
assert fa.get_num_threads() == 4
for _ in range(3):
    child = os.fork()
    if not child:
        alone = fa.get_num_threads() == 1 and "fork" in fa.backends.config()["threads from"]
        tasks, alike = [], True
        for count in (1, 3):
            fa.set_num_threads(count)
            after = fa.gelu(x), fa.softmax(x), fa.mse_loss(x, x * 2)
            alike = alike and all(np.array_equal(a, b) for a, b in zip(after, before))
            tasks.append(len(os.listdir("/proc/self/task")) if os.path.exists("/proc/self/task") else count)
        os._exit(0 if alone and alike and tasks == [1, 3] else 9)
    assert os.waitpid(child, 0)[1] == 0
    assert np.array_equal(fa.gelu(x), before[0])
"""
POOL = """
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as pool:
    for got in pool.map(fa.softmax, [x] * 4):
        assert np.array_equal(got, before[1])
"""


@pytest.mark.parametrize("backend", ["cython", "numba"])
@pytest.mark.parametrize("way", [OS_FORK, POOL], ids=["os.fork", "multiprocessing"])
def test_children_of_a_fork_compute(way, backend):
    """Threads do not survive a fork: children run serially instead of waiting for ever, until they ask for threads of their own."""
    assert run_python(FORK.format(way=way), timeout=60, FASTACT_BACKEND=backend) == "fine"


ROUND_UP = 0x800 if platform.machine().lower() in ("x86_64", "amd64") else None  # FE_UPWARD


@pytest.mark.skipif(ROUND_UP is None, reason="helpers take the rounding mode over on x86 alone")
def test_helpers_round_as_the_caller_does():
    mode = ctypes.CDLL(None).fesetround
    x = np.random.default_rng(1).uniform(1, 2, 3_000_000)
    serial, shared = np.empty_like(x), np.empty_like(x)
    assert mode(ROUND_UP) == 0
    try:
        with_threads(1, lambda: fa.leaky_relu_backward(x, x - 3, 1 / 3, out=serial))
        for _ in range(10):  # a helper may be late
            with_threads(4, lambda: fa.leaky_relu_backward(x, x - 3, 1 / 3, out=shared))
            same(shared, serial)
    finally:
        mode(0)
    assert (serial != fa.leaky_relu_backward(x, x - 3, 1 / 3)).any()


WAKING = """
import glob, os, time, numpy as np, fastact as fa
fa.set_num_threads(2)
short, long = (np.ones(int(work / fa.ops["sigmoid"].cost), "f4") for work in (8e4, 1e6))
before = set(os.listdir("/proc/self/task"))
fa.sigmoid(long)
helper, = set(os.listdir("/proc/self/task")) - before
def woken(*arrays):
    time.sleep(0.05)    # it sleeps
    times = []
    for _ in range(2):
        times.append(int(open(f"/proc/self/task/{helper}/schedstat").read().split()[0]))
        for x in arrays:
            fa.sigmoid(x, out=x)
        time.sleep(0.02)
    return times[1] > times[0]
print(woken(), woken(short), any(woken(*[short] * 20) for _ in range(20)), woken(long))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="the system does not tell how long a thread has run")
def test_a_short_call_alone_does_not_wake_a_helper():
    """That would take as long as it saves; of several in turn the second does."""
    assert run_python(WAKING) == "False False True True"


BESIDE_ANOTHER = """
import os, statistics, subprocess, sys, time, numpy as np, fastact as fa
usable = sorted(os.sched_getaffinity(0))[:2]
busy = f"import os; os.sched_setaffinity(0, {usable[-1:]}); exec('while True: pass')"
other = subprocess.Popen([sys.executable, "-c", busy])
os.sched_setaffinity(0, usable)
x = np.ones(600_000, "f4")
def taken(threads):
    fa.set_num_threads(threads)
    time.sleep(0.003)
    start = time.perf_counter()
    fa.sigmoid(x, out=x)
    return time.perf_counter() - start
try:
    taken(2)
    ratios = []
    for _ in range(5):
        alone, shared = zip(*((taken(1), taken(2)) for _ in range(60)))
        ratios.append(sum(shared) / sum(alone))
    print(statistics.median(ratios))
finally:
    other.kill()
    other.wait()
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes cannot be bound to processors here")
def test_no_call_waits_for_a_helper_without_a_processor():
    """Beside a process that has one of two processors, a team that waits for each of its members takes some ten times as long."""
    assert float(run_python(BESIDE_ANOTHER)) < 3


MANY_HELPERS = """
import numpy as np, fastact as fa
x = np.random.default_rng(1).standard_normal(1_500_007)
fa.set_num_threads(1)
want = fa.gelu(x)
for count in (61, 1024, 2, 5, 61, 3):
    fa.set_num_threads(count)
    assert np.array_equal(fa.gelu(x), want)
print("fine")
"""


def test_more_helpers_than_a_call_wants():
    """Also teams that are smaller than the one before."""
    assert run_python(MANY_HELPERS, timeout=60) == "fine"


HOLDING_THE_LOCK = """
import ml_dtypes, numpy as np, fastact as fa
fa.set_num_threads(2)
x = np.random.default_rng(1).standard_normal(2_000_000).astype(ml_dtypes.bfloat16)[::2]
for name in ("numpy", "cython"):
    y = fa.get_backend(name).gelu(x)
print("fine")
"""


def test_a_call_that_holds_the_interpreter_waits_for_nobody():
    """NumPy holds it in loops of bfloat16; kernels of the reference need it in every thread."""
    pytest.importorskip("ml_dtypes")
    assert run_python(HOLDING_THE_LOCK, timeout=120) == "fine"


FORK_DURING_A_CALL = """
import os, threading, numpy as np, fastact as fa
fa.set_num_threads(2)
x, stop = np.ones(1_000_000), threading.Event()
def compute():
    while not stop.is_set():
        fa.sigmoid(x)
thread = threading.Thread(target=compute)
thread.start()
import warnings
warnings.simplefilter("ignore")
for _ in range(10):
    child = os.fork()
    if not child:
        os._exit(0 if fa.sigmoid(x)[0] == fa.sigmoid(x[:1])[0] else 9)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
thread.join()
print("fine")
"""


def test_a_fork_while_another_thread_is_in_a_call():
    assert run_python(FORK_DURING_A_CALL, timeout=60) == "fine"


def test_threads_that_start_and_end():
    """Whichever of them calls first, the helpers stay for those that follow."""
    x = np.random.default_rng(1).standard_normal(500_000)
    want = with_threads(1, lambda: fa.sigmoid(x))
    results = []
    for _ in range(4):
        thread = threading.Thread(target=lambda: results.append(with_threads(4, lambda: fa.sigmoid(x))))
        thread.start()
        thread.join()
    for got in results:
        same(got, want)
