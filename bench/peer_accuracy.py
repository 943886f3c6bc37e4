"""The error of other libraries' functions, found as that of our own is: elementwise by the sweep, of rows over rows of all kinds.

    python bench/peer_accuracy.py --json peers.json                     every function, one float32 in 997
    python bench/peer_accuracy.py --dtype float64 --json peers64.json
    python bench/peer_accuracy.py gelu mish --stride 9973
    python bench/peer_accuracy.py --resume peers/ --json peers.json     stopped, it goes on where it was
"""

import argparse
import functools
import json
import pathlib

import numpy as np
import peers

import fastact as fa
from fastact import accuracy, accuracy_rows, measure
from fastact import accuracy_oracle as oracle
from fastact.accuracy_sweep import STRIDE, Sweep
from fastact.accuracy_tally import Tally
from fastact.register import public_name

KINDS = ("map", "rows", "row_loss")
LENGTHS = tuple(n for n in accuracy_rows.LENGTHS if 1 < n < 10**6)  # to a million, sums go astray that are raced by nobody
ROUNDED = 2**12  # to a multiple of this the arrays of libraries that compile are filled up
LABELLED = 4  # rows of a length and kind, each with its label at either end


def chosen(names):
    """The operations of some names, or all whose error is known how to be found."""
    public = fa.register.public_ops()
    every = [op for op in fa.ops.values() if op.kind in KINDS]
    unknown = [name for name in names if public.get(name) not in every]
    if unknown:
        raise SystemExit(f"{', '.join(unknown)}: not among {', '.join(public_name(op) for op in every)}")
    return [public[name] for name in names] or every


# ---- elementwise ------------------------------------------------------------------------------------------------------


def function(op, name):
    """A library's function as the sweep calls ours."""

    def call(*arrays, out=None, **axis):
        n = len(arrays[0])
        if op.kind == "map" and peers.library(name).compiles:  # else most blocks would be compiled for
            arrays = [np.pad(a, (0, -n % ROUNDED), "edge") for a in arrays]
        result = peers.evaluate(op, name, list(arrays), **axis)
        result = result[:n] if op.kind == "map" else result
        if out is not None:
            np.copyto(out, result)
        return result if out is None else out

    return call


def functions(op, *sample):
    """The libraries that have the operation, by name; each has been called once."""
    return {name: function(op, name) for name in peers.LIBRARIES if peers.evaluate(op, name, list(sample)) is not None}


def ordinary(x):
    """Which inputs count when a library is called inexact: not nan, infinite or subnormal, which many treat as they like."""
    return np.isfinite(x) & ((np.abs(x) >= np.finfo(x.dtype).smallest_normal) | (x == 0))


class Half(Sweep):
    """A sweep of the ordinary inputs alone, or of all others: both together are the sweep."""

    def __init__(self, op, dtype, functions, stride, usual):
        super().__init__(op, dtype, functions, stride)
        self.fast, self.usual = False, usual  # each point is judged by itself

    @property
    def name(self):
        return f"{super().name}-{'ordinary' if self.usual else 'others'}"

    def points(self, block):
        x = super().points(block)
        return x[ordinary(x) == self.usual]


def swept(op, dtype, stride, folder):
    """What is published of each library that has an elementwise operation, by name."""
    offered = functions(op, *oracle.arguments(op, np.full(8, 0.5, dtype)))
    halves = [Half(op, dtype, offered, stride, usual) for usual in (True, False)] if offered else []
    for half in halves:
        if folder:
            half.load(folder)
        half.run(1, folder)
    found = {}
    for name in offered:
        usual, others = (half.tally.beside.get(name, half.tally) for half in halves)
        whole = Tally()
        whole.add(usual)
        whole.add(others)
        found[name] = accuracy.figures(op, whole, np.inf) | {"at": at(halves[0], whole), **judged(halves[0], usual)}
    return found


def judged(sweep, tally):
    """The error that counts: over normal results of ordinary inputs, infinite where one of those is wrongly nan or infinite."""
    worst = [pattern for error, pattern in tally.worst if tally.error("normal") in (abs(error), np.inf)]
    where = tally.wrong_at if tally.wrong else worst
    place = repr(accuracy.number(sweep, where[0])[0].item()) if where else ""
    return {"ordinary": np.inf if tally.wrong else tally.error("normal"), "ordinary_at": place}


def at(sweep, tally):
    """The input of the worst result, else the first of those that are wrongly nan or infinite, as text."""
    patterns = [pattern for _, pattern in tally.worst] or tally.wrong_at
    return repr(accuracy.number(sweep, patterns[0])[0].item()) if patterns else ""


# ---- rows -------------------------------------------------------------------------------------------------------------


def of_rows(op, dtype, lengths=LENGTHS):
    """The figures of each library that has a function of rows, as of our own: ulp, share of what we promise, and in which rows."""
    sample = accuracy_rows.arrays_of(op, "ordinary", 10, dtype)
    offered = {name: function for name, function in functions(op, *sample).items() if heeds(op, function, sample)}
    found = {name: {"ulp": 0.0, "share": 0.0, "shares": {}} for name in offered}
    for n, kind in ((n, kind) for n in lengths for kind in accuracy_rows.KINDS):
        judged = accuracy_rows.judged(op, accuracy_rows.arrays_of(op, kind, n, dtype), offered)
        for name, figures in judged.items():
            note(found[name], n, kind, figures["ulp"], figures["share"])
    return found


def heeds(op, function, arrays):
    """Whether a backward pass reads the output that it is given: one that computes its own from the input cannot be held to that."""
    if not {"x", "y"} <= set(op.inputs):
        return True
    others = [a + 1 if name == "y" else a for name, a in zip(op.inputs, arrays, strict=True)]
    return not np.array_equal(function(*arrays, axis=-1), function(*others, axis=-1))


def note(figures, n, kind, ulp, share):
    """Note an error in ulp, and as a share of what we promise, kept for each length where it grows; nan is worse than all."""
    if not (share <= figures["share"] or np.isnan(figures["share"])):
        figures["shares"][n] = float(share), kind
    figures["ulp"], figures["share"] = float(np.maximum(figures["ulp"], ulp)), float(np.maximum(figures["share"], share))


def labelled(kind, n, dtype):
    """Single rows of a kind and length, each with its label at one end and the other."""
    rows = accuracy_rows.KINDS[kind](np.random.default_rng([7, n]).standard_normal((LABELLED, n))).astype(dtype)
    return [[row[None], np.array([label])] for row in rows for label in (0, n - 1)]


def of_labels(op, dtype, lengths=LENGTHS, ours=()):
    """The figures of each library that has a loss of rows, as for rows; the worst of its parts where it gives the gradient too."""
    offered = functions(op, *labelled("ordinary", 10, dtype)[0]) | dict(ours)
    found = {name: {"ulp": 0.0, "share": 0.0, "shares": {}} for name in offered}
    for n, kind in ((n, kind) for n in lengths for kind in accuracy_rows.KINDS):
        for arrays in labelled(kind, n, dtype):
            true = measure.exact(op, arrays)
            parts = list(zip(*map(several, (true, measure.size(op, arrays, true))), strict=True))
            bounds = [allowed(op, arrays, size) for _, size in parts]
            for name, function in offered.items():
                for got, (should, size), bound in zip(several(function(*arrays)), parts, bounds, strict=True):
                    note(found[name], n, kind, *errors(np.asarray(got), should, size, bound))
    return found


def several(result):
    return result if isinstance(result, tuple) else (result,)


def allowed(op, arrays, size):
    """The error of a loss or a gradient that we promise, where that of each exponential counts as for the functions of rows."""
    eps = measure.Wide(np.finfo(arrays[0].dtype).eps)
    spread = accuracy_rows.of_exponentials(arrays[0].astype(measure.Wide)).max() if np.ndim(size) == 0 else 0
    return eps * (op.ulp[arrays[0].dtype == np.float64] * np.abs(size) + spread) + accuracy_rows.flushed(arrays[0].dtype)


def errors(got, true, size, bound):
    """The worst error in ulp, and as a share of what is allowed; terms that are flushed to 0 count in neither."""
    dtype = got.dtype
    large = np.fmax(np.abs(true), np.abs(size)) >= accuracy_rows.flushed(dtype) / measure.Wide(np.finfo(dtype).eps)
    ulp = np.max(measure.ulp(got, true, dtype, size), initial=0, where=large)
    return ulp, np.max(np.abs(got.astype(measure.Wide) - true) / bound)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ops", nargs="*", help="functions, by default every elementwise one and all of rows, forward and backward")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="default %(default)s")
    parser.add_argument("--stride", type=int, default=STRIDE, metavar="N", help="every N-th float32, default %(default)s")
    parser.add_argument("--resume", type=pathlib.Path, metavar="DIR", help="where state is kept, so that an interrupted sweep goes on")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the findings there, for tools/publish_accuracy.py")
    args = parser.parse_args(argv)
    if args.resume:
        args.resume.mkdir(parents=True, exist_ok=True)
    dtype = np.dtype(args.dtype)
    ways = {"map": functools.partial(swept, stride=args.stride, folder=args.resume), "rows": of_rows, "row_loss": of_labels}
    found = {"peers": {}, "rows": {}}
    for op in chosen(args.ops):
        with np.errstate(all="ignore"):
            figures = ways[op.kind](op, dtype)
        if figures:
            found["peers" if op.kind == "map" else "rows"][op.name] = figures
        for name, entry in figures.items():
            numbers = (f"{what} {value:.5g}" for what, value in entry.items() if isinstance(value, (int, float)))
            print(f"{op.name:22} {name:12}", *numbers, entry.get("at", entry.get("shares")), flush=True)
    if args.json:
        head = {"versions": peers.versions(), "dtype": args.dtype, "stride": args.stride}
        args.json.write_text(json.dumps({**head, **found}, indent=1))


if __name__ == "__main__":
    main()
