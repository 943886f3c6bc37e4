"""A sweep: which inputs of which dtype are judged, in blocks that run in parallel, are stored, and are taken up again.

float32: every bit pattern, or every N-th; float16: all; float64: structured points, neighbours of breakpoints and random points.
"""

import concurrent.futures
import hashlib
import json
import math
import threading
import time

import numpy as np

from fastact import accuracy_oracle as oracle
from fastact import measure
from fastact.accuracy_tally import FINE, REACH, Tally

STRIDE = 997
PART = 2**16  # points judged at a time, one by one
RANDOM = {False: 10**6, True: 10**7}  # random float64 points: quick and exhaustive
STATE = 2  # the version of what is stored
MADE_OF = (STATE, FINE, REACH, oracle.SPAN, oracle.NODES, oracle.BLOCK, PART, RANDOM)


class Sweep:
    """Functions over the inputs of one dtype, in blocks: all are judged, and the first is compared with the others bit for bit.

    `functions` are callables by name, whosever they are, that take the arrays of the operation, and ``out=`` where all of float32 is swept.
    """

    def __init__(self, op, dtype, functions, stride=STRIDE):
        self.op, self.dtype, self.stride = op, np.dtype(dtype), int(stride)
        (self.label, self.function), *others = functions.items()
        self.others = dict(others)
        self.tally, self.done = Tally(), set()
        self.fast = self.dtype == np.float32 and self.stride == 1
        if self.dtype == np.float64:
            self.blocks = 2 + math.ceil(RANDOM[self.stride == 1] / PART)
        else:
            self.size = 2 ** (8 * self.dtype.itemsize) // (256 if self.dtype == np.float32 and self.stride < 2**12 else 16)
            self.blocks = 2 ** (8 * self.dtype.itemsize) // self.size

    @property
    def name(self):
        """What the stored state is called."""
        return f"{self.op.name}-{self.dtype}-{self.label.replace(' ', '-')}-{self.stride}"

    def points(self, block):
        """The inputs of a block, where they are judged one by one."""
        if self.dtype == np.float64:
            return doubles(self.op, block)
        step = self.stride if self.dtype == np.float32 else 1
        first = -(-block * self.size // step) * step
        return np.arange(first, (block + 1) * self.size, step, dtype=np.uint64).astype(f"u{self.dtype.itemsize}").view(self.dtype)

    def judge(self, block, space):
        """The tally of one block."""
        tally, start = Tally(), time.perf_counter()
        with np.errstate(all="ignore"):
            if self.fast:
                oracle.sweep_block(self.op, self.function, self.others, block * oracle.BLOCK, tally, space)
            else:
                x = self.points(block)
                for part in (x[i : i + PART] for i in range(0, len(x), PART)):
                    oracle.one_by_one(self.op, tally, part, self.function, self.others)
        tally.seconds = time.perf_counter() - start
        return tally

    def fingerprint(self):
        """What changes when a kernel or the judge does: stored results are then worth nothing."""
        digest = hashlib.sha256(repr((self.blocks, MADE_OF, list(self.others))).encode())
        with np.errstate(all="ignore"):
            sample = np.arange(0, 2**32, 2**16 + 1, dtype=np.uint64).astype(np.uint32).view(np.float32).astype(self.dtype)
            sample = sample[oracle.valid(self.op, sample) & np.isfinite(sample)]
            for function in (self.function, *self.others.values()):
                digest.update(function(*oracle.arguments(self.op, sample)).tobytes())
        return digest.hexdigest()[:16]

    def load(self, folder):
        """Go on from the state in a folder, if it is one of this very function."""
        path = folder / f"{self.name}.json"
        if path.exists():
            state = json.loads(path.read_text())
            if state["fingerprint"] == self.fingerprint():
                self.done, self.tally = set(state["done"]), Tally.from_dict(state["tally"])

    def save(self, folder, fingerprint):
        """Store the state; a reader, or an interrupted writer, never meets half a file."""
        state = {"fingerprint": fingerprint, "done": sorted(self.done), "blocks": self.blocks, "tally": self.tally.as_dict()}
        path = folder / f"{self.name}.json"
        beside = path.with_suffix(".part")
        beside.write_text(json.dumps(state))
        beside.replace(path)

    def run(self, workers, folder=None, advance=lambda name: None):
        """Judge all blocks that are not done, in parallel."""
        local = threading.local()

        def work(block):
            if not hasattr(local, "space"):
                local.space = oracle.Space() if self.fast else None
            return block, self.judge(block, local.space)

        left = [block for block in range(self.blocks) if block not in self.done]
        fingerprint = self.fingerprint() if folder and left else None
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            try:
                for block, tally in pool.map(work, left):
                    advance(self.op.name)
                    self.tally.add(tally)
                    self.done.add(block)
                    if folder:
                        self.save(folder, fingerprint)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return self.tally


def doubles(op, block):
    """A block of float64 points: structured patterns, neighbours of breakpoints, then random ones of several kinds.

    A function that reads the output is also given outputs, rounded from the reference.
    """
    info = np.finfo(np.float64)
    tail = -math.log(float(info.smallest_subnormal)) + 5
    if block == 0:
        exponents = np.arange(2**12, dtype=np.uint64)[:, None] << np.uint64(52)
        mantissas = np.array([0, 1, 2, 2**51, 2**51 - 1, 2**51 + 1, 2**52 - 2, 2**52 - 1, 0x6A09E667F3BCD, 0x5555555555555], np.uint64)
        x = (exponents | mantissas).ravel().view(np.float64)
    elif block == 1:
        halves = np.arange(-80, 81) / 4
        steps = np.arange(-2160, 2161) / 2 * math.log(2)  # where reductions by powers of two turn over
        roots = np.sign(steps) * np.sqrt(2 * np.abs(steps))  # ... of exp(-x * x / 2)
        centres = np.concatenate([halves, steps, steps / 2, roots, oracle.kinks(op, np.float64), [info.max, -info.max]])
        x = np.concatenate([(centres.view(np.int64) + offset).view(np.float64) for offset in range(-6, 7)])
    else:
        rng = np.random.default_rng([11, block])
        kinds = [
            rng.integers(0, 2**64 - 1, PART // 8, np.uint64, endpoint=True).view(np.float64),
            *(rng.uniform(-s, s, PART // 8) for s in (1, 4, 12, 40, tail, math.sqrt(2 * tail))),
            np.copysign(2.0 ** rng.uniform(-60, 1, PART // 8), rng.uniform(-1, 1, PART // 8)),
        ]
        x = np.concatenate(kinds)
    if op.inputs[-1] == "y":
        x = np.concatenate([x, measure.exact(op.forward, [x]).astype(np.float64)])
    return x
