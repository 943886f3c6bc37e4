"""A ReLU perceptron is shown a 3-bit table, target +1 where bit 0 AND bit 2 are set, else -1, until no row asks for an update.

It stops because the unit has died, not because it has learnt: a stopping rule that says less than it seems to.
"""

import itertools

import numpy as np

import fastact as fa

PUBLISHED = (-0.01272316, -0.1729134, -0.01583692)
RATE = 0.02


def table():
    """The rows 000, 001, ... 111 (bit 0 leftmost) as numbers 0 and 1, and their targets."""
    bits = np.array(list(itertools.product((0.0, 1.0), repeat=3)))
    return bits, np.where((bits[:, 0] == 1) & (bits[:, 2] == 1), 1.0, -1.0)


def train(bits, targets):
    """Row after row, ``w += rate (y - a) x`` where activation and target differ in sign; weights, and updates per pass."""
    weights = np.ones(3)
    updates = []
    while not updates or updates[-1]:
        updates.append(0)
        for x, y in zip(bits, targets, strict=True):
            a = fa.relu(x @ weights)
            # A ReLU is never negative, so only rows with target -1 and a > 0 pass this test: every update lowers
            # the weights, and a row with target +1 whose output has sunk to 0 is never heard again (0 * y is not < 0).
            if a * y < 0:
                weights += RATE * (y - a) * x
                updates[-1] += 1
    return weights, updates


def main():
    bits, targets = table()
    weights, updates = train(bits, targets)
    print(f"weights after {sum(updates)} updates in {len(updates)} passes: {weights}")
    print(f"published:                            {np.array(PUBLISHED)}\n")
    outputs = fa.relu(bits @ weights)
    slopes = fa.relu_backward(np.ones(8), outputs)
    print("bits     target      w.x   relu  slope")
    for x, y, z, a, slope in zip(bits, targets, bits @ weights, outputs, slopes, strict=True):
        print(f"{x.astype(int)}      {y:+.0f} {z:8.4f} {a:6.1f} {slope:6.1f}")
    missed = np.sum((outputs > 0) != (targets > 0))
    print(f"\na * y is negative in no row, yet {missed} rows are answered wrongly: every row of target +1. All weights are")
    print("negative, so every output is 0 and so is every slope. 'No more updates' was not 'no more errors'.")


if __name__ == "__main__":
    main()
