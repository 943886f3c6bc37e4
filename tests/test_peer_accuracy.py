"""The sweep of other libraries: NumPy's expressions as the library that is always there, and one that is wrong."""

import json
import sys

import numpy as np
import pytest
from support import SOURCE

import fastact as fa

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


def test_wrong_special_values_are_counted(monkeypatch, tmp_path):
    right = peers.evaluate
    monkeypatch.setattr(peers, "evaluate", lambda *given: None if right(*given) is None else np.nan_to_num(right(*given)))
    peer_accuracy.main(["tanh", "--stride", "65537", "--json", str(tmp_path / "out.json")])
    found = json.loads((tmp_path / "out.json").read_text())["peers"]["tanh"]["numpy"]
    assert found["wrong"] > 0


def test_results_go_where_they_are_wanted():
    x, out = np.array([1.0, 2.0], np.float32), np.empty(2, np.float32)
    call = peer_accuracy.function(fa.ops["tanh"], "numpy")
    assert call(x, out=out) is out
    np.testing.assert_array_equal(out, call(x))
