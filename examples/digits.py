"""Trains a two-layer network on handwritten digits twice: with NumPy expressions, and with fastact in their place.

fastact does the activation, the softmax and the loss, in place. Same accuracy, same loss curve up to rounding; what differs
is the time, printed by the part of the training step that spent it.
"""

import argparse
from pathlib import Path
from time import perf_counter

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import fastact as fa

PARTS = ("matmul", "activation forward", "activation backward", "softmax + loss", "update")
HIDDEN, RATE, BATCH, EPOCHS, SEED = 512, 0.1, 64, 30, 0


class WithNumPy:
    """The three functions as NumPy users write them: every operator makes a pass over memory and a new array."""

    @staticmethod
    def tanh(x):
        return np.tanh(x)

    @staticmethod
    def tanh_backward(grad, y):
        return grad * (1 - y * y)

    @staticmethod
    def cross_entropy(logits, labels):
        rows = np.arange(len(labels))
        shifted = logits - logits.max(axis=1, keepdims=True)
        exps = np.exp(shifted)
        sums = exps.sum(axis=1, keepdims=True)
        loss = (np.log(sums[:, 0]) - shifted[rows, labels]).mean()
        dlogits = exps / sums
        dlogits[rows, labels] -= 1
        return loss, dlogits / len(labels)


class WithFastact:
    """The same three functions, each one pass in place: logits become gradients, and no array is made."""

    @staticmethod
    def tanh(x):
        return fa.tanh(x, out=x)

    @staticmethod
    def tanh_backward(grad, y):
        return fa.tanh_backward(grad, y, out=grad)

    @staticmethod
    def cross_entropy(logits, labels):
        return fa.cross_entropy_value_and_grad(logits, labels, out=logits)


def load(seed=SEED):
    """The 1797 digits, shuffled: (images, labels) to train on, and 360 held out."""
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))
    images, labels = digits.data[order].astype(np.float32) / 16, digits.target[order]
    return (images[360:], labels[360:]), (images[:360], labels[:360])


class Clock(dict):
    """Seconds spent in each part of a training step."""

    def __init__(self):
        super().__init__(dict.fromkeys(PARTS, 0.0))
        self.last = perf_counter()

    def lap(self, part):
        """Book the time since the last lap on `part`."""
        now = perf_counter()
        if part is not None:
            self[part] += now - self.last
        self.last = now


def gradients(kit, weights, x, labels, clock):
    """Forward and backward through both layers; the loss, and the gradient of every weight."""
    w1, b1, w2, b2 = weights
    clock.lap(None)
    hidden = x @ w1
    hidden += b1
    clock.lap("matmul")
    hidden = kit.tanh(hidden)
    clock.lap("activation forward")
    logits = hidden @ w2
    logits += b2
    clock.lap("matmul")
    loss, dlogits = kit.cross_entropy(logits, labels)
    clock.lap("softmax + loss")
    dw2, dhidden = hidden.T @ dlogits, dlogits @ w2.T
    clock.lap("matmul")
    dhidden = kit.tanh_backward(dhidden, hidden)
    clock.lap("activation backward")
    dw1 = x.T @ dhidden
    clock.lap("matmul")
    return loss, (dw1, dhidden.sum(axis=0), dw2, dlogits.sum(axis=0))


def train(kit, data, epochs=EPOCHS, seed=SEED):
    """Mini-batch gradient descent; returns the weights, the loss of every step, and the `Clock`."""
    images, labels = data
    rng = np.random.default_rng(seed)
    w1 = rng.standard_normal((64, HIDDEN), dtype=np.float32)
    w2 = rng.standard_normal((HIDDEN, 10), dtype=np.float32) / np.float32(HIDDEN**0.5)
    weights = w1, np.zeros(HIDDEN, np.float32), w2, np.zeros(10, np.float32)
    losses, clock = [], Clock()
    for _ in range(epochs):
        order = rng.permutation(len(labels))
        for batch in np.split(order, range(BATCH, len(order), BATCH)):
            loss, grads = gradients(kit, weights, images[batch], labels[batch], clock)
            for weight, grad in zip(weights, grads, strict=True):
                np.subtract(weight, RATE * grad, out=weight)
            clock.lap("update")
            losses.append(float(loss))
    return weights, np.array(losses), clock


def accuracy(weights, data):
    """The share of digits whose largest logit is the right one."""
    (w1, b1, w2, b2), (images, labels) = weights, data
    return float(np.mean((fa.tanh(images @ w1 + b1) @ w2 + b2).argmax(axis=1) == labels))


def fastest(kit, data, repeats=3):
    """`train` several times (the results are the same) and keep the run that the machine disturbed least."""
    return min((train(kit, data) for _ in range(repeats)), key=lambda run: sum(run[2].values()))


def draw(curves, path):
    """Both loss curves over each other, and below, on its own scale, how far apart they are."""
    figure = Figure(figsize=(7, 5.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    by_epoch = {name: losses.reshape(EPOCHS, -1).mean(axis=1) for name, losses in curves.items()}
    epochs = np.arange(1, EPOCHS + 1)
    above.semilogy(epochs, by_epoch["NumPy"], color="#b8c4d6", linewidth=6, label="NumPy expressions")
    above.semilogy(epochs, by_epoch["fastact"], color="#c0392b", linewidth=1.5, label="fastact, in place")
    above.set(ylabel="mean cross-entropy", title="Handwritten digits: one network, trained twice")
    above.legend(frameon=False)
    difference = np.abs(by_epoch["NumPy"] - by_epoch["fastact"]) / by_epoch["NumPy"]
    below.semilogy(epochs, np.maximum(difference, 1e-10), "o", color="#555555", markersize=4)
    below.axhline(np.finfo(np.float32).eps, color="#999999", linestyle="--", linewidth=1)
    below.text(0, 2 * np.finfo(np.float32).eps, "float32's eps", fontsize=8, color="#777777")
    below.set(xlabel="epoch", ylabel="relative\ndifference", ylim=(1e-10, 1e-4))
    for axes in (above, below):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("out"), help="folder for the picture")
    out = parser.parse_args(argv).out
    training, held_out = load()
    train(WithNumPy, training, epochs=1)  # wakes BLAS's threads, so that no kit pays for them
    runs = {name: fastest(kit, training) for name, kit in (("NumPy", WithNumPy), ("fastact", WithFastact))}
    for name, (weights, losses, _) in runs.items():
        print(f"{name:8} accuracy on 360 held-out digits {accuracy(weights, held_out):.2%}, last loss {losses[-1]:.6f}")
    print(f"\n{'milliseconds in':22}{'NumPy':>9}{'fastact':>9}{'ratio':>8}")
    table = {part: [1e3 * run[2][part] for run in runs.values()] for part in PARTS}
    table["all"] = list(np.sum(list(table.values()), axis=0))
    for part, (before, after) in table.items():
        print(f"{part:22}{before:9.1f}{after:9.1f}{before / after:8.1f}")
    out.mkdir(parents=True, exist_ok=True)
    draw({name: losses for name, (_, losses, _) in runs.items()}, out / "digits.png")
    print(f"\nloss curves in {out / 'digits.png'}")


if __name__ == "__main__":
    main()
