"""The forward pass of a single neuron: inputs times weights, summed, plus a bias, squashed by the sigmoid into (0, 1)."""

import numpy as np

import fastact as fa


def neuron(inputs, weights, bias):
    """What one neuron answers: ``sigmoid(inputs . weights + bias)``."""
    return fa.sigmoid(np.dot(inputs, weights) + bias)


def main():
    inputs = np.array([0.5, -1.0, 3.0])
    weights = np.array([0.8, 0.2, -0.4])
    bias = 0.5
    for value, weight in zip(inputs, weights, strict=True):
        print(f"  input {value:5.2f} x weight {weight:5.2f} = {value * weight:6.3f}")
    print(f"{'+ bias':>29} = {bias:6.3f}")
    print(f"{'weighted sum':>29} = {np.dot(inputs, weights) + bias:6.3f}")
    print(f"{'sigmoid of it':>29} = {neuron(inputs, weights, bias):6.3f}")

    samples = np.array([inputs, -inputs, [0.0, 0.0, 0.0]])
    print("three samples at once:", neuron(samples, weights, bias).round(3))


if __name__ == "__main__":
    main()
