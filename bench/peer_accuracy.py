"""The error of other libraries' elementwise functions, found by the sweep that judges our own, over the same inputs.

    python bench/peer_accuracy.py --json peers.json                     every function, one float32 in 997
    python bench/peer_accuracy.py gelu mish --stride 9973
    python bench/peer_accuracy.py --resume peers/ --json peers.json     stopped, it goes on where it was
"""

import argparse
import json
import pathlib

import numpy as np
import peers

from fastact import accuracy
from fastact import accuracy_oracle as oracle
from fastact.accuracy_sweep import STRIDE, Sweep

DTYPE = np.float32


def function(op, name):
    """A library's function as the sweep calls ours."""

    def call(*arrays, out=None):
        result = peers.evaluate(op, name, list(arrays))
        if out is not None:
            np.copyto(out, result)
        return result if out is None else out

    return call


def functions(op):
    """The libraries that have the operation, by name; each has been called once."""
    sample = oracle.arguments(op, np.full(8, 0.5, DTYPE))
    return {name: function(op, name) for name in peers.LIBRARIES if peers.evaluate(op, name, sample) is not None}


def finding(sweep):
    """What is published of each library, by name."""
    tallies = {sweep.label: sweep.tally, **sweep.tally.beside}
    return {name: accuracy.figures(sweep.op, tally, np.inf) | {"at": at(sweep, tally)} for name, tally in tallies.items()}


def at(sweep, tally):
    """The input of the worst result, else the first of those that are wrongly nan or infinite, as text."""
    patterns = [pattern for _, pattern in tally.worst] or tally.wrong_at
    return repr(accuracy.number(sweep, patterns[0])[0].item()) if patterns else ""


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ops", nargs="*", help="functions, by default every elementwise one, forward and backward")
    parser.add_argument("--stride", type=int, default=STRIDE, metavar="N", help="every N-th float32, default %(default)s")
    parser.add_argument("--resume", type=pathlib.Path, metavar="DIR", help="where state is kept, so that an interrupted sweep goes on")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the findings there, for tools/publish_accuracy.py")
    args = parser.parse_args(argv)
    if args.resume:
        args.resume.mkdir(parents=True, exist_ok=True)
    found = {}
    for op in accuracy.chosen(args.ops)[0]:
        offered = functions(op)
        if not offered:
            continue
        sweep = Sweep(op, DTYPE, offered, args.stride)
        if args.resume:
            sweep.load(args.resume)
        sweep.run(1, args.resume)
        found[op.name] = finding(sweep)
        for name, entry in found[op.name].items():
            print(f"{op.name:22} {name:12} normal {entry['worst_normal']:10.4g}  subnormal {entry['worst_subnormal']:10.4g}  "
                  f"specials {entry['wrong']:9,}  zeros {entry['zeros']:9,}  at {entry['at']}", flush=True)  # fmt: skip
    if args.json:
        head = {"versions": peers.versions(), "dtype": np.dtype(DTYPE).name, "stride": args.stride}
        args.json.write_text(json.dumps({**head, "peers": found}, indent=1))


if __name__ == "__main__":
    main()
