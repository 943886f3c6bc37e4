"""The error of functions of rows, whose inputs no sweep exhausts: rows of many lengths and kinds, held against the reference.

The loop that the register names says what an error is held to, by `fastact.measure.size`; no function is known by name.
"""

import numpy as np

from fastact import measure
from fastact.accuracy_tally import differing

LENGTHS = (1, 2, 10, 128, 1000, 1024, 50257, 10**6)
TOGETHER = 20_000  # numbers of each kind, at least, where rows are short
KINDS = {  # of normally distributed numbers
    "ordinary": lambda z: 3 * z,
    "far apart": lambda z: 30 * z,
    "offset 1e4": lambda z: 3 * z + 1e4,
    "offset -1e4": lambda z: 3 * z - 1e4,
    "all equal": lambda z: 0 * z + 0.1,
    "0 and -40": lambda z: np.where(np.arange(z.shape[-1]) == 0, 0.0, -40.0) + 0 * z,  # the sum without its largest term
}
ROW_SUM = {"float32": 1e-6, "float64": 1e-14}
FIGURES = ("ulp", "eps", "share", "sum")


def arrays_of(op, kind, n, dtype):
    """Rows of one kind and length, as the operation takes them; outputs are what the reference gives, rounded."""
    rng = np.random.default_rng([5, n])
    forward = op.forward or op
    x = KINDS[kind](rng.standard_normal((max(1, TOGETHER // n), n))).astype(dtype)
    y = np.asarray(measure.exact(forward, [x], axis=-1)).astype(dtype)
    given = {"x": x, "y": y, "grad": rng.standard_normal(y.shape).astype(dtype)}
    return [given[name] for name in op.inputs]


def of_exponentials(x):
    """How far the logarithm of a sum of exponentials may be off in eps, where that of a rounded difference d may by (4 + d)."""
    top = np.max(x, -1, keepdims=True)
    below = top - x
    terms = np.exp(-below)
    return np.sum(np.where(below == 0, 0, terms * (4 + below)), -1, keepdims=True) / np.sum(terms, -1, keepdims=True)


def flushed(dtype):
    """Terms and results below this, the smallest normal number of the dtype that is computed in, may be 0."""
    return measure.Wide(np.finfo(np.result_type(dtype, np.float32)).smallest_normal)


def allowed(op, arrays, size):
    """The error that the register promises for each result: so many eps of the terms; half precision is rounded once."""
    dtype = arrays[0].dtype
    limits = measure.finfo(dtype)
    if limits.bits == 16:
        return measure.unit(size, dtype) + flushed(dtype)
    eps = measure.Wide(limits.eps)
    error = op.ulp[limits.bits == 64] * eps * size + flushed(dtype)
    if op.loop in ("shift", "reduce"):
        spread = eps * of_exponentials(arrays[0].astype(measure.Wide))
        error = error + (spread if op.loop == "shift" else spread[..., 0])
    return error


def judged(op, arrays, functions):
    """The figures of each of the functions, by name, for the same rows.

    ``ulp``: the worst error in units in the last place of the result, or of the terms where they cancel; ``eps``: in eps of the
    largest term, or of the result where it is a product; ``share``: as a share of what is allowed; ``sum``: by how much the sum
    of a row, where it should be 1, is not.
    """
    true = np.asarray(measure.exact(op, arrays, axis=-1))
    size = np.maximum(np.abs(measure.size(op, arrays, true, axis=-1)), np.abs(true))
    dtype = arrays[0].dtype
    limits = measure.finfo(dtype)
    bound = allowed(op, arrays, size)
    term = np.abs(true) if op.loop in ("normalise", "spread") else size
    normal = term >= max(measure.Wide(limits.smallest_normal), flushed(dtype) / measure.Wide(limits.eps))  # nothing left out counts
    found = {}
    for name, function in functions.items():
        got = np.asarray(function(*arrays, axis=-1))
        error = np.abs(got.astype(measure.Wide) - true)
        units = measure.ulp(got, true, dtype, term)
        found[name] = {
            "ulp": float(np.max(units, initial=0, where=normal)),
            "eps": float(np.max(error / np.where(normal, term, 1), initial=0, where=normal) / measure.Wide(limits.eps)),
            "share": float(np.max(error / bound)),
            "sum": float(np.max(np.abs(got.astype(measure.Wide).sum(-1) - 1))) if op.loop == "normalise" else 0.0,
            "results": got,
        }
    return found


def broken(figures, dtype):
    """Whether a promise does not hold; nor does it for an error that is nan."""
    return not (figures["share"] <= 1 and figures["sum"] <= ROW_SUM.get(str(dtype), np.inf))


def finding(op, dtype, functions, lengths=None):
    """The worst figures of the first of the functions, over all lengths and kinds, where they were, and those of the others beside it."""
    worst = {name: dict.fromkeys(FIGURES, 0.0) | {"differ": 0} for name in functions}
    first, at = next(iter(functions)), {}
    for n in lengths or LENGTHS:
        for kind in KINDS:
            with np.errstate(all="ignore"):
                found = judged(op, arrays_of(op, kind, n, dtype), functions)
            for name, figures in found.items():
                worst[name]["differ"] += differing(found[first]["results"], figures["results"])
                for what in FIGURES:
                    if name == first and not figures[what] <= worst[name][what]:
                        at[what] = f"{n:,}: {kind}"
                    worst[name][what] = float(np.maximum(worst[name][what], figures[what]))  # nan where one of them is
    beside = {name: figures | {"broken": broken(figures, dtype)} for name, figures in worst.items()}
    own = beside.pop(first)
    return {
        "name": op.name,
        **{what: own[what] for what in FIGURES},
        "broken": own["broken"] or any(figures["broken"] for figures in beside.values()),
        "at": at,
        "beside": beside,
    }


def show(found, others, dtype):
    """The table of the rows."""
    print(f"\nRows of {', '.join(f'{n:,}' for n in LENGTHS)} numbers, {dtype}; kinds: {', '.join(KINDS)}.")
    heads = "".join(f" {name + ' bits':>16} {'share':>7}" for name in others)
    print(f"{'':22} {'ulp':>8} {'eps':>8} {'share':>8} {'row sum':>9}  {'worst share at':20}{heads}")
    for entry in found:
        beside = "".join(f" {figures['differ']:>16,} {figures['share']:7.3f}" for figures in entry["beside"].values())
        total = f"{entry['sum']:9.1e}" if entry["sum"] else " " * 9
        place = entry["at"].get("share", "")
        mark = "  <- broken" if entry["broken"] else ""
        print(f"{entry['name']:22} {entry['ulp']:8.3f} {entry['eps']:8.3f} {entry['share']:8.3f} {total}  {place:20}{beside}{mark}")
    print("eps: of the largest term; share: of the error promised; row sum: off 1 by")
