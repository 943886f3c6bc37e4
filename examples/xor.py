"""XOR, which no single neuron can compute, learnt by a two-layer ReLU network: 4 samples, 30 hidden units, squared error.

Activation, its backward and the loss work in place: predictions turn into gradients in their own buffer.
"""

import numpy as np

import fastact as fa

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float)
Y = np.array([[0], [1], [1], [0]], dtype=float)


def train(hidden=30, rate=0.002, steps=1000, seed=0):
    """Gradient descent on all four samples; returns the weights and the loss of every step."""
    rng = np.random.default_rng(seed)
    w1, w2 = rng.standard_normal((2, hidden)), rng.standard_normal((hidden, 1))
    losses = []
    for _ in range(steps):
        h = X @ w1
        fa.relu(h, out=h)
        pred = h @ w2
        loss, dpred = fa.mse_loss_value_and_grad(pred, Y, reduction="sum", out=pred)
        dh = dpred @ w2.T
        fa.relu_backward(dh, h, out=dh)
        w2 -= rate * (h.T @ dpred)
        w1 -= rate * (X.T @ dh)
        losses.append(float(loss))
    return (w1, w2), losses


def predict(weights, x=X):
    """What the network answers for each row of `x`."""
    w1, w2 = weights
    return fa.relu(x @ w1) @ w2


def main():
    weights, losses = train()
    for step in (1, 10, 100, len(losses)):
        print(f"step {step:5}   loss {losses[step - 1]:.3e}")
    print("\n a b   xor   network")
    for (a, b), y, answer in zip(X, Y[:, 0], predict(weights)[:, 0], strict=True):
        print(f" {a:.0f} {b:.0f}   {y:.0f}     {answer:.4f}")


if __name__ == "__main__":
    main()
