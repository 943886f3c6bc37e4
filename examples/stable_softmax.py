"""Softmax of 1010, 1000, 990: the formula as it stands overflows to nan; with the maximum subtracted first it cannot."""

import numpy as np

import fastact as fa

X = np.array([1010.0, 1000.0, 990.0])


def naive_softmax(x):
    """The formula as it stands: exp(1010) is inf, and inf / inf is nan."""
    with np.errstate(over="ignore", invalid="ignore"):
        exps = np.exp(x)
        return exps / exps.sum()


def main():
    print("x                 ", X)
    print("naive softmax     ", naive_softmax(X))
    print("of x - 1010       ", naive_softmax(X - X.max()), " the same quotients, for exp(x - m) = exp(x) / exp(m)")
    print("fastact           ", fa.softmax(X))
    buffer = X.copy()
    fa.softmax(buffer, out=buffer)
    print("fastact, in place ", buffer)


if __name__ == "__main__":
    main()
