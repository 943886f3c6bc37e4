"""The errors of other libraries: NumPy's expressions as the library that is always there, and others that are wrong."""

import json
import sys

import numpy as np
import pytest
from support import SOURCE

import fastact as fa
from fastact import accuracy_rows, measure

sys.path.append(str(SOURCE / "bench"))
import peer_accuracy
import peers


@pytest.fixture(autouse=True)
def only_numpy(monkeypatch):
    monkeypatch.setattr(peers, "LIBRARIES", {"numpy": peers.LIBRARIES["numpy"]})


def test_a_library_is_swept_as_ours_are(capsys, tmp_path):
    out = tmp_path / "peers.json"
    for _ in range(2):  # the second time from the stored state
        peer_accuracy.main(["sigmoid", "gelu", "--stride", "65537", "--json", str(out), "--resume", str(tmp_path / "state")])
        data = json.loads(out.read_text())
        assert data["peers"].keys() == {"sigmoid"}, "NumPy has no erf"
        assert data["peers"]["sigmoid"].keys() == {"numpy"}
        found = data["peers"]["sigmoid"]["numpy"]
        assert 1 < found["worst_normal"] < 3
        assert found["worst_subnormal"] > 1e5, "it is 0 below -88.7"
        assert -105 < float(found["at"]) < -88
        assert found["at"] in capsys.readouterr().out
        assert found["ordinary"] == found["worst_normal"], "the inputs are ordinary, and subnormal results do not count"


def test_wrong_special_values_are_counted(monkeypatch, tmp_path):
    right = peers.evaluate
    monkeypatch.setattr(peers, "evaluate", lambda *given: None if right(*given) is None else np.nan_to_num(right(*given)))
    peer_accuracy.main(["tanh", "--stride", "65537", "--json", str(tmp_path / "out.json")])
    found = json.loads((tmp_path / "out.json").read_text())["peers"]["tanh"]["numpy"]
    assert found["wrong"] > 0
    assert found["ordinary"] < 3, "a number for nan does not count"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_wrong_for_ordinary_numbers_counts(monkeypatch, tmp_path, dtype):
    right = peers.evaluate

    def spoiled(op, name, arrays, **more):
        result = right(op, name, arrays, **more)
        return np.where(arrays[0] > 1e30, np.nan, np.where(np.abs(arrays[0]) < 1.2e-38, arrays[0] * 2, result)).astype(dtype)

    monkeypatch.setattr(peers, "evaluate", spoiled)
    peer_accuracy.main(["hard_tanh", "--dtype", dtype, "--stride", "65537", "--json", str(tmp_path / "out.json")])
    found = json.loads((tmp_path / "out.json").read_text())["peers"]["hard_tanh"]["numpy"]
    assert found["ordinary"] == np.inf
    assert float(found["ordinary_at"]) > 1e30


def test_subnormal_inputs_do_not_count():
    sub = np.array([0, -0.0, 1e-40, -1e-40, 1.2e-38, 1, np.inf, -np.inf, np.nan], np.float32)
    assert peer_accuracy.ordinary(sub).tolist() == [True, True, False, False, True, True, False, False, False]
    assert peer_accuracy.ordinary(sub.astype(np.float64)).tolist() == [True] * 6 + [False] * 3


def test_both_halves_are_the_sweep():
    op = fa.ops["tanh"]
    given = op, np.float32, {"ours": fa.tanh}, 65537
    whole, parts = peer_accuracy.Sweep(*given), [peer_accuracy.Half(*given, usual) for usual in (True, False)]
    for block in (0, 3, 127, 255):
        both = np.concatenate([half.points(block) for half in parts])
        assert np.array_equal(np.sort(both.view(np.uint32)), np.sort(whole.points(block).view(np.uint32)))
    assert parts[0].name != parts[1].name
    assert np.isnan(parts[1].points(127)).any()


# ---- rows -------------------------------------------------------------------------------------------------------------


def test_rows_are_judged_as_ours_are():
    op, dtype = fa.ops["log_softmax"], np.dtype(np.float32)
    found = peer_accuracy.of_rows(op, dtype, (2, 10))["numpy"]
    assert found["share"] > 1000, "what stands beside the maximum is lost"
    assert list(found["shares"]) == [2], "in no longer row it is worse"
    assert found["shares"][2] == (found["share"], "far apart")
    assert accuracy_rows.finding(op, dtype, {"ours": fa.log_softmax}, (2, 10))["share"] < 1


def test_who_computes_the_output_anew_is_not_held_to_the_one_given(monkeypatch):
    op, dtype = fa.ops["logsumexp_backward"], np.dtype(np.float32)
    assert peer_accuracy.of_rows(op, dtype, (2,)).keys() == {"numpy"}
    right = peers.evaluate

    def anew(op, name, arrays, **axis):
        return right(op, name, [*arrays[:2], fa.logsumexp(arrays[1], axis=-1)])

    monkeypatch.setattr(peers, "evaluate", anew)
    assert peer_accuracy.of_rows(op, dtype, (2,)) == {}


@pytest.mark.parametrize("name", ["cross_entropy", "cross_entropy_gradient"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_losses_of_rows_are_judged_with_ours(name, dtype):
    op = fa.ops[name]
    found = peer_accuracy.of_labels(op, np.dtype(dtype), (2, 10), {"ours": measure.call(fa, op)})
    assert found["ours"]["share"] < 1
    assert found["numpy"]["share"] > 1000
    nan = {"nan": lambda x, labels: measure.call(fa, op)(x * np.nan, labels)}
    assert not peer_accuracy.of_labels(op, np.dtype(dtype), (2,), nan)["nan"]["share"] <= 1


def test_a_name_that_is_unknown_is_refused():
    with pytest.raises(SystemExit, match="mse_loss"):
        peer_accuracy.main(["mse_loss"])


def test_results_go_where_they_are_wanted():
    x, out = np.array([1.0, 2.0], np.float32), np.empty(2, np.float32)
    call = peer_accuracy.function(fa.ops["tanh"], "numpy")
    assert call(x, out=out) is out
    np.testing.assert_array_equal(out, call(x))
