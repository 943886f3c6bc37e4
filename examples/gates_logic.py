"""A logistic neuron as a logic gate: with weights 20 and 20, a bias of -10 makes it an OR gate and a bias of -30 an AND gate."""

import numpy as np

import fastact as fa

INPUTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float)
WEIGHTS = np.array([20.0, 20.0])
BIASES = {"OR": -10.0, "AND": -30.0}


def gate(bias, inputs=INPUTS):
    """The gate's answers, each within 5e-5 of 0 or 1: the sum is never nearer to 0 than 10."""
    return fa.sigmoid(inputs @ WEIGHTS + bias)


def main():
    for name, bias in BIASES.items():
        print(f"{name}: sigmoid(20 a + 20 b - {-bias:.0f})\n a b   sum   sigmoid       gate")
        for (a, b), answer in zip(INPUTS, gate(bias), strict=True):
            print(f" {a:.0f} {b:.0f}  {20 * a + 20 * b + bias:4.0f}   {answer:.6e}  {answer:.0f}")
        print()


if __name__ == "__main__":
    main()
