"""The sweep: kernels against the errors the register promises, and the sweep itself against errors that were put there.

A sweep that misses an error proves nothing: here one result of four thousand million is wrong, and is found.
"""

import json
import sys

import numpy as np
import pytest
from support import BACKENDS, FUSED, SOURCE, every_map, namespace

import fastact as fa
from fastact import __main__ as command
from fastact import accuracy_exact, accuracy_sweep, measure
from fastact import accuracy_oracle as oracle
from fastact.accuracy import finding, functions, histogram
from fastact.accuracy_sweep import Sweep
from fastact.accuracy_tally import BINS, FINE, KEPT, REACH, Tally, judge

MAPS = [op for op in fa.ops.values() if op.kind == "map"]
COARSE = 2**16 + 1
COMPILED = [*FUSED, *(name for name in BACKENDS if name not in (*FUSED, "numpy"))]
"""Every backend and level that is promised to be so exact; those first that give the same bits."""
PUBLISHED = json.loads((SOURCE / "docs" / "accuracy.json").read_text(encoding="utf-8"))["elementwise"]


def swept(op, dtype="float32", stride=COARSE, backend="cython", others=(), function=None, folder=None):
    """A sweep that has run; of another function where one is given."""
    sweep = Sweep(op, dtype, functions(op, map(namespace, (backend, *others))), stride)
    if function is not None:
        sweep.function = function
    if folder:
        sweep.load(folder)
    with fa.threads(1):
        sweep.run(1, folder)
    return sweep


def block_of(op, first, function=None, others=None):
    """The tally of one block of the exhaustive sweep."""
    tally = Tally()
    with np.errstate(all="ignore"):
        oracle.sweep_block(op, function or getattr(fa, op.name), others or {}, first, tally, oracle.Space())
    return tally


def off(op, bits, value):
    """The function, with another result at one input."""
    right = getattr(fa, op.name)

    def wrong(*arrays, out=None):
        result = right(*arrays, out=out)
        x = arrays[-1]
        result[x.view(f"u{x.dtype.itemsize}") == bits] = value
        return result

    return wrong


# ---- the promise ------------------------------------------------------------------------------------------------------


def kept(sweep):
    """The findings, which must keep the promise on every level and backend; those with fma give the same bits."""
    entry = finding(sweep)
    assert not entry["broken"], {name: entry[name] for name in ("worst", "wrong_at", "zeros_at", "beside")}
    assert entry["beside"].keys() == set(COMPILED[1:]), "all were judged"
    assert [entry["differ"][name] for name in FUSED[1:]] == [0] * len(FUSED[1:])
    return entry


@every_map
def test_float32_keeps_the_promise(op):
    entry = kept(swept(op, backend=COMPILED[0], others=COMPILED[1:]))
    assert entry["points"] > 2**14
    full = PUBLISHED.get(op.name, {}).get("float32", {}).get("cython v3", {})  # whose bits all backends with fma share
    if full.get("stride") == 1 and FUSED:
        for kind in ("normal", "subnormal"):
            assert entry[f"worst_{kind}"] <= full[kind] + oracle.BOUND, "docs/accuracy.json is out of date: see docs/accuracy.md"


@every_map
def test_float16_keeps_the_promise(op):
    entry = kept(swept(op, "float16", 1, COMPILED[0], COMPILED[1:]))
    allowed = oracle.valid(op, np.arange(2**16, dtype=np.uint16).view(np.float16))
    assert entry["points"] == allowed.sum()


@every_map
def test_float64_keeps_the_promise(op, monkeypatch):
    monkeypatch.setattr(accuracy_sweep, "RANDOM", {False: 2000, True: 4000})
    monkeypatch.setattr(accuracy_sweep, "PART", 2048)
    kept(swept(op, "float64", backend=COMPILED[0], others=COMPILED[1:]))


# ---- the oracle -------------------------------------------------------------------------------------------------------


@every_map
def test_interpolation_keeps_its_bound(op):
    """At numbers that were not used to check it, in every kind of binade."""
    rng = np.random.default_rng(5)
    starts = (rng.choice(2**16, 160, replace=False).astype(np.uint32)) << 16
    near = (np.float32(2.0) ** rng.uniform(-4, 6.7, 160).astype(np.float32)).view(np.uint32) >> 16 << 16
    with np.errstate(all="ignore"):
        intervals = oracle.Intervals(op, np.concatenate([starts, near, near | np.uint32(1 << 31)]))
        chosen = np.flatnonzero(intervals.smooth)
        assert len(chosen) > 30
        at = rng.integers(0, oracle.SPAN, 40)
        x = (intervals.starts[chosen, None] + at.astype(np.uint32)).view(np.float32)
        true, size = (part.reshape(x.shape) for part in oracle.truth(op, x.ravel()))
        unit = measure.unit(np.fmax(size, np.abs(true)), np.float32)
        value = intervals.values[chosen, : oracle.NODES] @ oracle.weights()[:, at]
    assert float(np.max(np.abs(value - true) / unit)) <= oracle.BOUND


@every_map
def test_a_block_says_what_point_by_point_judging_says(op):
    """Interpolated errors are those of `measure.ulp`, in blocks with kinks, subnormal results and numbers out of range."""
    function = getattr(fa, op.name)
    for first in (0x3E000000, 0xC2000000):
        fast, slow = Tally(), Tally()
        starts = np.arange(first, first + oracle.BLOCK, oracle.BLOCK // 8, dtype=np.uint64).astype(np.uint32)
        with np.errstate(all="ignore"):
            intervals, space = oracle.Intervals(op, starts), oracle.Space()
            for group in (np.array([k]) for k in np.flatnonzero(intervals.smooth)):
                x = (intervals.starts[group, None] + np.arange(oracle.SPAN, dtype=np.uint32)).view(np.float32)
                got = oracle.evaluate(op, function, x, np.empty_like(x), space.one)
                oracle.by_interpolation(op, intervals, group, x, space, fast, got)
                true, size = oracle.truth(op, x[0, ::16])
                judge(slow, x[0, ::16].view(np.uint32), got[0, ::16], true, size)
        for kind in ("normal", "subnormal"):
            assert fast.low[kind] <= slow.low[kind] + oracle.BOUND
            assert fast.high[kind] >= slow.high[kind] - oracle.BOUND
            assert fast.error(kind) <= op.ulp[0] + oracle.BOUND
        assert 16 * slow.points == fast.points
        assert fast.histogram.sum() == fast.points


@every_map
def test_the_formula_agrees_with_the_reference(op):
    """What the README prints as the formula is what the kernels are held to."""
    x = np.array([0.3, -0.3, 1e-5, -1e-5, 1.7, -1.7, 3, -3, -5.5, 5.5, -13, 0.99, -0.99, 80, -300])
    x = x[oracle.valid(op, x)]
    with np.errstate(all="ignore"):
        true, size = oracle.truth(op, x)
    found = [accuracy_exact.disagreement(op, *each) for each in zip(x, true, size, strict=True)]
    known = [relative for relative in found if relative is not None]
    assert len(known) >= len(x) / 2
    assert max(known) < 16 * np.finfo(np.longdouble).eps


def test_without_mpmath_there_is_no_second_judge(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpmath", None)
    assert accuracy_exact.disagreement(fa.ops["tanh"], np.float32(1), np.longdouble(1), np.longdouble(1)) is None


# ---- errors are found -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [fa.ops["tanh"], fa.ops["silu_backward"]], ids=lambda op: op.name)
def test_one_wrong_result_in_a_block_is_found(op):
    bits = 0x40123456
    x = np.array([bits], np.uint32).view(np.float32)
    right = getattr(fa, op.name)(*oracle.arguments(op, x))[0]
    tally = block_of(op, 0x40000000, off(op, bits, right + 7 * np.spacing(right)))
    assert 6 < tally.high["normal"] < 8.1
    assert tally.worst[0][1] == bits
    assert tally.histogram[int(6.4 * FINE) + FINE * REACH :].sum() == 1
    assert tally.points == oracle.BLOCK


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.0, 0.0], ids=str)
def test_wrong_special_values_are_found(value):
    op, bits = fa.ops["sigmoid"], 0xC47A0000  # -1000: the true value underflows
    tally = block_of(op, 0xC4000000, off(op, bits, value))
    assert tally.wrong == int(np.isnan(value))
    assert tally.wrong_at == [bits] * tally.wrong
    assert tally.zeros_at == ([bits] if value == 0 and np.signbit(value) else [])
    if np.isinf(value):
        assert tally.worst[0][1] == bits
    assert tally.points == oracle.BLOCK


def test_an_error_of_a_subnormal_result_is_found():
    op, bits = fa.ops["sigmoid"], 0xC2C00123  # about -96
    x = np.array([bits], np.uint32).view(np.float32)
    right = fa.sigmoid(x)[0]
    assert 0 < right < np.finfo(np.float32).smallest_normal
    tally = block_of(op, 0xC2000000, off(op, bits, right - np.float32(5 * 2.0**-149)))
    assert 4 < -tally.low["subnormal"] < 6.1
    assert tally.error("normal") < op.ulp[0]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_an_injected_error_breaks_the_promise(dtype, monkeypatch):
    monkeypatch.setattr(accuracy_sweep, "RANDOM", {False: 2000, True: 4000})
    op = fa.ops["softplus"]
    sweep = swept(op, dtype, COARSE, function=lambda x: fa.softplus(x) + 20 * np.spacing(fa.softplus(x)))
    entry = finding(sweep)
    assert entry["broken"]
    assert entry["worst_normal"] > 15
    assert entry["worst"][0]["ulp"] > 15


def test_other_bits_are_counted():
    op = fa.ops["tanh"]
    other = off(op, 0x3F800000, np.float32(0.5))
    assert block_of(op, 0x3F000000, others={"same": fa.tanh, "other": other}).differ == {"same": 0, "other": 1}
    assert block_of(op, 0x7F000000, others={"other": off(op, 0x7FC00001, -np.nan)}).differ == {"other": 0}  # a nan is a nan
    assert swept(op, others=["numpy"]).tally.differ["numpy"] > 0


# ---- tallies and state ------------------------------------------------------------------------------------------------


def test_tallies_survive_json_and_merge_in_any_order():
    op = fa.ops["mish_backward"]
    parts = []
    for block in range(16):
        with np.errstate(all="ignore"):
            parts.append(Sweep(op, "float32", functions(op, map(namespace, ("cython", "numpy"))), COARSE).judge(block, None))
    whole, reverse = Tally(), Tally()
    for part in parts:
        whole.add(part)
    for part in reversed(parts):
        reverse.add(Tally.from_dict(json.loads(json.dumps(part.as_dict()))))
    one, two = whole.as_dict(), reverse.as_dict()
    assert one.pop("seconds") == pytest.approx(two.pop("seconds"))
    assert one == two
    assert len(whole.worst) == KEPT
    assert len(whole.histogram) == BINS
    assert whole.histogram.sum() == whole.points


class Interrupt(Exception):
    pass


def test_an_interrupted_sweep_goes_on(tmp_path):
    op = fa.ops["gelu"]
    calls = []

    def advance(name):
        calls.append(name)
        if len(calls) == 5:
            raise Interrupt

    sweep = Sweep(op, "float32", functions(op, [fa.get_backend("cython")]), COARSE)
    with pytest.raises(Interrupt):
        sweep.run(2, tmp_path, advance)
    assert not list(tmp_path.glob("*.part"))
    resumed = Sweep(op, "float32", functions(op, [fa.get_backend("cython")]), COARSE)
    resumed.load(tmp_path)
    assert len(resumed.done) == 4
    resumed.run(2, tmp_path)
    straight, again = swept(op).tally.as_dict(), resumed.tally.as_dict()
    assert straight.pop("seconds") > 0
    assert again.pop("seconds") > 0
    assert again == straight
    last = Sweep(op, "float32", functions(op, [fa.get_backend("cython")]), COARSE)
    last.load(tmp_path)
    assert len(last.done) == last.blocks


def test_state_of_another_kernel_is_not_taken_up(tmp_path):
    op = fa.ops["tanh"]
    swept(op, folder=tmp_path)
    sweep = Sweep(op, "float32", functions(op, [fa.get_backend("cython")]), COARSE)
    sweep.function = off(op, 0x3F803F80, 0.0)
    with np.errstate(all="ignore"):
        assert oracle.valid(op, np.array([0x3F803F80], np.uint32).view(np.float32)).all()
    sweep.load(tmp_path)
    assert not sweep.done


# ---- the command ------------------------------------------------------------------------------------------------------


def run(capsys, *arguments):
    status = command.main(["accuracy", *arguments])
    return status, capsys.readouterr()


def test_the_command(capsys, tmp_path):
    arguments = ["expit", "tanh_backward", "--stride", str(COARSE), "--compare", "numpy", "--resume", str(tmp_path / "state")]
    files = ["--threads", "2", "--json", str(tmp_path / "out.json"), "--picture", str(tmp_path / "pictures")]
    status, (out, err) = run(capsys, *arguments, *files)
    assert (status, err) == (0, "")
    data = json.loads((tmp_path / "out.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert [entry["name"] for entry in data["results"]] == ["sigmoid", "tanh_backward"]
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 2
    for entry in data["results"]:
        assert any(line.split()[:2] == [entry["name"], f"{entry['points']:,}"] for line in out.splitlines())
        assert entry["worst"][0]["bits"] in out
        assert entry["differ"].keys() == {"numpy"}
        assert abs(entry["worst"][0]["ulp"]) == pytest.approx(max(entry["worst_normal"], entry["worst_subnormal"]), abs=2e-4)
    assert max(map(len, out.splitlines())) <= 140
    again = run(capsys, *arguments)[1].out
    assert again == out


def test_the_command_fails_for_a_broken_promise(capsys, monkeypatch):
    monkeypatch.setattr(fa.ops["silu"], "ulp", (1.0, 1.0))
    status, (out, _) = run(capsys, "silu", "--stride", str(COARSE))
    assert status == 1
    assert "broken" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["prelu"], "prelu: neither elementwise nor of rows"), (["tanh", "--stride", "0"], "whole number"), (["--compare", "mkl"], "mkl")],
)
def test_the_command_says_what_it_cannot_do(capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        command.main(["accuracy", *arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_the_histogram_has_a_line_for_each_half_ulp():
    tally = Tally()
    tally.count(np.array([0.0, 0.0, 0.1, -0.6, 1.0, 99.0]), -0.6, 99.0)
    tally.count(np.array([0.05, -0.06]), -0.06, 0.05)
    lines = histogram(tally)
    counts = {float(line.split()[0]): int(line.split()[1]) for line in lines}
    assert sum(counts.values()) == 8
    assert (counts[-0.5], counts[0.0], counts[1.0], counts[REACH]) == (1, 5, 1, 1)


def test_findings_that_could_not_be_written_are_not_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(Sweep, "run", lambda *_: pytest.fail("was swept"))
    with pytest.raises(FileNotFoundError):
        command.main(["accuracy", "relu", "--stride", "1000003", "--json", str(tmp_path / "absent" / "found.json")])
