"""Why a sigmoid output learns slowly under squared error and not under cross-entropy: the two gradients drawn over the logit.

Squared error multiplies by the sigmoid's own slope, which vanishes where the neuron is confidently wrong; cross-entropy
cancels it.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import fastact as fa

LABELS = ("squared error", "cross-entropy")
STEPS = 1000
ARROW = {"arrowstyle": "->", "color": "#c0392b"}


def squared_error_gradient(logits, target=1.0):
    """d (sigmoid(z) - t)^2 / dz, by the chain rule: first the loss's gradient, then the sigmoid's, all in one buffer."""
    y = fa.sigmoid(logits)
    _, grad = fa.mse_loss_value_and_grad(y, np.full_like(y, target), reduction="sum")
    return fa.sigmoid_backward(grad, y, out=grad)


def cross_entropy_gradient(logits, target=1.0):
    """d (-log of the probability given to t) / dz: simply ``sigmoid(z) - t``."""
    targets = np.full_like(logits, target)
    return fa.binary_cross_entropy_with_logits_value_and_grad(logits, targets, reduction="sum")[1]


def descend(gradient, start=-6.0, rate=1.0, steps=STEPS):
    """The probability given to the right answer 1 while one logit, begun on the wrong side, follows `gradient`."""
    logit, path = np.array([start]), []
    for _ in range(steps):
        path.append(float(fa.sigmoid(logit)[0]))
        logit -= rate * gradient(logit)
    return path


def draw(path):
    """Left the two gradients over the logit, right how fast one neuron learns by each."""
    figure = Figure(figsize=(9.5, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    logits = np.linspace(-10, 10, 401)
    gradients, colors = (squared_error_gradient, cross_entropy_gradient), ("#c0392b", "#1f5fa8")
    for gradient, label, color in zip(gradients, LABELS, colors, strict=True):
        left.plot(logits, gradient(logits), color=color, label=label)
        right.semilogx(np.arange(1, STEPS + 1), descend(gradient), color=color, label=label)
    left.set(title="Gradient where the target is 1", xlabel="logit", ylabel="d loss / d logit", xticks=range(-10, 11, 5))
    left.annotate("confidently wrong,\nno gradient left", (-8, -0.01), (-9.8, -0.42), color=colors[0], arrowprops=ARROW)
    right.set(title="One neuron learning, from logit -6", xlabel="step", ylabel="probability of the right answer", ylim=(0, 1.02))
    right.legend(frameon=False, loc="upper left")
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("out"), help="folder for the picture")
    out = parser.parse_args(argv).out
    logits = np.array([-10.0, -5.0, -2.0, 0.0, 2.0, 5.0])
    print(f"target 1   {LABELS[0]:>14} {LABELS[1]:>14}\nlogit")
    for row in zip(logits, squared_error_gradient(logits), cross_entropy_gradient(logits), strict=True):
        print("{:5.0f}      {:14.6f} {:14.6f}".format(*row))
    out.mkdir(parents=True, exist_ok=True)
    draw(out / "slow_sigmoid.png")
    print(f"\npicture in {out / 'slow_sigmoid.png'}")


if __name__ == "__main__":
    main()
