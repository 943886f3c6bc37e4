"""Every example keeps the promise of its first sentence: weights, accuracy, truth tables, numbers worked by hand, pictures."""

import importlib.util
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastact as fa

FOLDER = Path(__file__).parents[1] / "examples"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
DRAWS = {"digits", "gallery", "slow_sigmoid"}


def example(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_runs_as_a_script(name, tmp_path, monkeypatch, capsys):
    """Each runs from the command line, says something, and writes what it draws where it is told to, and only there."""
    before = set(FOLDER.iterdir())
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *(["--out", str(tmp_path / "new")] if name in DRAWS else [])])
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    assert capsys.readouterr().out.strip()
    if name in DRAWS:
        picture = (tmp_path / "new" / f"{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) > 10_000
    assert {path for path in FOLDER.iterdir() if path.name != "__pycache__"} <= before


@pytest.mark.parametrize("name", NAMES)
def test_is_in_the_table(name):
    assert f"`python examples/{name}.py`" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_digits_same_accuracy_and_same_curve():
    digits = example("digits")
    training, held_out = digits.load()
    (with_numpy, curve, _), (with_fastact, fast_curve, clock) = (
        digits.train(kit, training) for kit in (digits.WithNumPy, digits.WithFastact)
    )
    accuracies = [digits.accuracy(weights, held_out) for weights in (with_numpy, with_fastact)]
    assert min(accuracies) >= 0.97
    assert accuracies[0] == accuracies[1]
    assert_allclose(fast_curve, curve, rtol=1e-4)
    assert curve[0] > 2
    assert curve[-20:].mean() < 0.05
    assert all(weight.dtype == np.float32 for weight in with_fastact)
    assert all(clock[part] > 0 for part in digits.PARTS)


def test_digits_fastact_makes_no_array():
    kit = example("digits").WithFastact
    hidden, grad, logits = np.ones((4, 8), np.float32), np.ones((4, 8), np.float32), np.ones((4, 3), np.float32)
    assert kit.tanh(hidden) is hidden
    assert kit.tanh_backward(grad, hidden) is grad
    assert kit.cross_entropy(logits, np.arange(4) % 3)[1] is logits


def test_neuron():
    neuron = example("neuron").neuron
    assert_allclose(neuron([0.5, -1.0, 3.0], [0.8, 0.2, -0.4], 0.5), 1 / (1 + np.exp(0.5)), rtol=1e-14)
    assert_allclose(neuron(np.zeros((2, 3)), np.ones(3), 0.0), [0.5, 0.5])


def test_perceptron_published_weights_and_dead_unit():
    perceptron = example("perceptron")
    bits, targets = perceptron.table()
    weights, updates = perceptron.train(bits, targets)
    assert [f"{w:.7g}" for w in weights] == [f"{w:.7g}" for w in perceptron.PUBLISHED]
    assert (len(updates), sum(updates), updates[-1]) == (22, 75, 0)
    outputs = fa.relu(bits @ weights)
    assert_array_equal(outputs, np.zeros(8))
    assert_array_equal(fa.relu_backward(np.ones(8), outputs), np.zeros(8))
    assert_array_equal(np.flatnonzero(targets > 0), [5, 7])


def test_xor():
    xor = example("xor")
    for seed in range(3):
        weights, losses = xor.train(seed=seed)
        assert_allclose(xor.predict(weights), xor.Y, atol=0.01)
        assert losses[-1] < 1e-3 < losses[0]


@pytest.mark.parametrize(
    ("name", "forward", "slope", "last"),
    [
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x)), lambda y: y * (1 - y), 1.0),
        ("relu", lambda x: np.maximum(x, 0), lambda y: y > 0, 1e-6),
    ],
    ids=["sigmoid", "relu"],
)
def test_regression_falls_as_with_numpy(name, forward, slope, last):
    regression = example("regression")
    losses = regression.train(name)
    assert losses[0] > 500
    assert losses[-1] < last
    assert np.all(np.diff(losses) < 0)
    rng = np.random.default_rng(0)
    x, target, w1, w2 = (rng.standard_normal(shape) for shape in ((64, 1000), (64, 10), (1000, 100), (100, 10)))
    w1, w2, expected = w1 / 1000**0.5, w2 / 10, []
    for _ in range(50):
        hidden = forward(x @ w1)
        error = hidden @ w2 - target
        expected.append(np.sum(error**2))
        step1, step2 = x.T @ ((2 * error @ w2.T) * slope(hidden)), hidden.T @ (2 * error)
        w1, w2 = w1 - 1e-4 * step1, w2 - 1e-4 * step2
    assert_allclose(losses[:50], expected, rtol=1e-9)


def test_logic_gates():
    gates = example("gates_logic")
    for name, truth in (("OR", [0, 1, 1, 1]), ("AND", [0, 0, 0, 1])):
        assert_allclose(gates.gate(gates.BIASES[name]), truth, rtol=0, atol=5e-5)


def test_slow_sigmoid():
    slow = example("slow_sigmoid")
    z = np.array([-10.0, -2.0, 0.0, 3.0])
    p = 1 / (1 + np.exp(-z))
    assert_allclose(slow.squared_error_gradient(z), 2 * (p - 1) * p * (1 - p), rtol=1e-12)
    assert_allclose(slow.cross_entropy_gradient(z), p - 1, rtol=1e-12)
    assert_array_equal(z, [-10, -2, 0, 3])
    squared, cross = (np.array(slow.descend(g)) for g in (slow.squared_error_gradient, slow.cross_entropy_gradient))
    assert 20 * np.argmax(cross > 0.5) < np.argmax(squared > 0.5)


def test_cross_entropy_by_hand():
    worked = example("cross_entropy_by_hand")
    probabilities = [0.878878, 0.118943, 0.002179]
    for label, expected in enumerate((0.129109, 2.129109, 6.129109)):
        loss, gradient = worked.by_hand(label)
        fast_loss, fast_gradient = worked.by_fastact(label)
        assert loss == pytest.approx(expected, abs=5e-7)
        assert_allclose(gradient, probabilities - np.eye(3)[label], atol=5e-7)
        assert fast_loss == pytest.approx(loss, rel=1e-14)
        assert_allclose(fast_gradient, gradient, rtol=1e-13)
        assert fa.cross_entropy(np.array([worked.LOGITS]), np.array([label])) == fast_loss


def test_stable_softmax():
    stable = example("stable_softmax")
    assert np.isnan(stable.naive_softmax(stable.X)).all()
    assert_allclose(fa.softmax(stable.X), [9.99954600e-01, 4.53978686e-05, 2.06106005e-09], rtol=2e-9)


def test_gallery_draws_every_activation():
    gallery = example("gallery")
    drawn = gallery.activations()
    names = {op.name for op in drawn}
    assert len(drawn) == len(names)
    assert {"relu", "sigmoid", "gelu"} <= names
    assert not any(name.endswith("_backward") for name in names)
    source = (FOLDER / "gallery.py").read_text(encoding="utf-8")
    assert not any(name in source for name in ("relu", "tanh", "gelu"))


@pytest.mark.parametrize("op", example("gallery").activations(), ids=lambda op: op.name)
def test_gallery_draws_the_derivative(op):
    x, y, slope = example("gallery").curves(op)
    assert np.isfinite(y).all()
    differences = np.gradient(y, x)
    # A kink, a jump or a pole spoils the difference at the few points around it; a wrong derivative is wrong everywhere.
    assert np.mean(np.abs(slope - differences) > 2e-3 * (1 + np.abs(slope))) < 0.05
