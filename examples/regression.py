"""A regression network (batch 64, 1000 inputs, 100 hidden units, 10 outputs) fits random data, with the sigmoid and with ReLU.

Only the name of the activation changes: forward and backward are looked up by it, and both may work in place, because
both backward functions read the output.
"""

import numpy as np

import fastact as fa

BATCH, INPUTS, HIDDEN, OUTPUTS = 64, 1000, 100, 10


def train(activation, steps=500, rate=1e-4, seed=0):
    """The sum of squared errors at each step of gradient descent."""
    forward, backward = getattr(fa, activation), getattr(fa, activation + "_backward")
    rng = np.random.default_rng(seed)
    x, target = rng.standard_normal((BATCH, INPUTS)), rng.standard_normal((BATCH, OUTPUTS))
    w1 = rng.standard_normal((INPUTS, HIDDEN)) / INPUTS**0.5
    w2 = rng.standard_normal((HIDDEN, OUTPUTS)) / HIDDEN**0.5
    losses = []
    for _ in range(steps):
        hidden = x @ w1
        forward(hidden, out=hidden)
        pred = hidden @ w2
        loss, dpred = fa.mse_loss_value_and_grad(pred, target, reduction="sum", out=pred)
        dhidden = dpred @ w2.T
        backward(dhidden, hidden, out=dhidden)
        w2 -= rate * (hidden.T @ dpred)
        w1 -= rate * (x.T @ dhidden)
        losses.append(float(loss))
    return losses


def main():
    curves = {name: train(name) for name in ("sigmoid", "relu")}
    print("sum of squared errors\n step" + "".join(f"{name:>12}" for name in curves))
    for step in (1, 100, 200, 300, 400, 500):
        print(f"{step:5}" + "".join(f"{losses[step - 1]:12.3e}" for losses in curves.values()))


if __name__ == "__main__":
    main()
