"""Every operation of the register against the NumPy expression that users would otherwise write: ``pytest --benchmark-only``.

A group is an operation, a shape and a dtype; its contenders are NumPy, each backend in place, and SciPy and PyTorch where they
are installed and agree with the reference (`peers.py`). One thread, one core; the figure to read is how many times as long as the
best one takes.
"""

import contextlib
import functools
import os

import numpy as np
import peers
import pytest
from cases import BACKENDS, Case, ours

import fastact as fa
from fastact import measure
from fastact.register import public_name

SIZES = ((10_000, "float32"), (1_000_000, "float32"), (10_000, "float64"), (10_000, "float16"))
ROWS = (((1000, 10), -1), ((1000, 128), -1), ((64, 1000), -1), ((128, 1000), 0))
LIBRARIES = ("scipy", "torch")  # `versus.py` measures against all
SECONDS, ROUND = 0.15, 1e-4  # per contender, where --benchmark-max-time is not given; the least a round lasts
PLUGIN_SECONDS = 1.0  # what --benchmark-max-time is when it is not given


def cases():
    """All groups in the order of the register."""
    for op in fa.ops.values():
        for size, dtype in SIZES:
            yield Case(op, measure.shape_of(op, size), dtype, size=size)
        if op.kind in ("rows", "row_loss"):
            yield from (Case(op, shape, "float32", axis) for shape, axis in ROWS if axis == -1 or op.kind == "rows")


# ---- contenders -------------------------------------------------------------------------------------------------------


def numpy(case):
    """The register's expression. It takes rows along the last axis, so for another one it is given transposed views."""
    usual, arrays = measure.baseline(case.op), case.arrays()
    if case.axis == -1:
        return measure.plain(usual, arrays, case.keywords)
    return measure.Contender([functools.partial(usual, *(a.T for a in arrays))])


def other(case, library):
    return peers.contenders(case.op, library, *case.given(), case.axis)[0]


def contenders(case):
    """The contenders of a group by the name under which they are shown."""
    found = {"numpy": numpy}
    for name in BACKENDS:
        found[name] = functools.partial(ours, backend=name)
    if case.size == 10_000 and case.dtype == "float32":
        found["cython out="] = functools.partial(ours, backend="cython", how=measure.into)
    for library in LIBRARIES:
        if peers.believed(case.op, library, case.dtype, case.axis):
            found[library] = functools.partial(other, library=library)
    return found


# ---- the benchmark ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def one_thread_on_one_core():
    """So that contenders share one cache, and no one gains by threads."""
    before = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else None
    if before:
        os.sched_setaffinity(0, {max(before)})
    with fa.threads(1), np.errstate(all="ignore"):
        yield
    if before:
        os.sched_setaffinity(0, before)


def turns(calls):
    """Make the calls in turn, one each time it is asked for the next."""
    while True:
        for call in calls:
            yield call()


CASES = {case.name: (case, contenders(case)) for case in cases()}


@pytest.mark.parametrize(("group", "contender"), [(group, name) for group, (_, found) in CASES.items() for name in found])
def test_speed(group, contender, benchmark, pytestconfig):
    case, found = CASES[group]
    benchmark.group, benchmark.name = group, contender
    benchmark.extra_info.update(
        function=public_name(case.op),
        forward=(case.op.forward or case.op).name,
        direction="backward" if case.op.is_backward else "forward",
        size=case.size,
        dtype=case.dtype,
        contender=contender,
    )
    made = found[contender](case)
    seconds, rounds = float(pytestconfig.getoption("benchmark_max_time")), pytestconfig.getoption("benchmark_min_rounds")
    seconds = SECONDS if seconds == PLUGIN_SECONDS else seconds
    made.round()  # compiles, faults pages in, fills caches
    made.calibrate(min(ROUND, seconds))
    iterations = len(made.calls) * made.repeat
    taken = made.round() * iterations
    if made.prepare is not None:
        made.prepare()
    with made.way.context() if isinstance(made, peers.Peer) else contextlib.nullcontext():
        benchmark.pedantic(
            turns(made.calls).__next__,
            teardown=made.prepare,  # what was overwritten is restored outside the timing
            rounds=max(rounds, min(1000, int(seconds / taken))),
            iterations=iterations,
        )
