"""Cross-entropy of three classes, worked by hand for the logits 3, 1, -3: exponentials, sum, probabilities, losses, gradients.

Then fastact does the same in one call, which turns the logits into their gradient.
"""

import math

import numpy as np

import fastact as fa

LOGITS = (3.0, 1.0, -3.0)


def by_hand(label, logits=LOGITS):
    """The loss ``-log p[label]`` and its gradient ``p - onehot(label)``, with nothing but `math`."""
    exps = [math.exp(z) for z in logits]
    probabilities = [e / sum(exps) for e in exps]
    gradient = [p - (k == label) for k, p in enumerate(probabilities)]
    return -math.log(probabilities[label]), gradient


def by_fastact(label, logits=LOGITS):
    """The same for a batch of one row."""
    loss, grad = fa.cross_entropy_value_and_grad(np.array([logits]), np.array([label]))
    return float(loss), grad[0]


def main():
    exps = [math.exp(z) for z in LOGITS]
    total = sum(exps)
    print(f"exponentials sum to {total:.4f}\n\nclass  logit  exp(logit)  probability  loss if this is the label")
    for k, (z, e) in enumerate(zip(LOGITS, exps, strict=True)):
        print(f"{k:5} {z:6.0f} {e:11.4f} {e / total:12.6f} {-math.log(e / total):9.4f}")
    print("\nlabel  who      loss      gradient")
    for label in range(len(LOGITS)):
        for who, (loss, gradient) in (("hand", by_hand(label)), ("fastact", by_fastact(label))):
            print(f"{label:5}  {who:7} {loss:.6f}  " + "  ".join(f"{g:9.6f}" for g in gradient))
    every = np.array([LOGITS] * len(LOGITS))
    print(f"\nmean over the three labels: {fa.cross_entropy(every, np.arange(len(LOGITS))):.6f}")


if __name__ == "__main__":
    main()
