"""What decides whether a library is as exact as we promise to be, from docs/accuracy.json; and how near our kernels are to their roofs.

An error counts where input and result are ordinary numbers: finite and not subnormal. So a library that flushes subnormal numbers
to zero, or gives a number for nan, is not called inexact for that alone; nor is one whose error was not measured.
"""

import json
import math
import re

import fastact as fa

INEXACT = 4  # a library counts as less exact from so many times the error that we promise
PARTS = {"float32": "functions", "float64": "float64"}  # of the file, with elementwise functions
ROOF, STREAM = "measured / roof", "of the product's speed"  # columns of the tables in docs/performance.md


class Known:
    """The errors of other libraries as docs/accuracy.json has them, and figures of our kernels as docs/performance.md has them."""

    def __init__(self, peers=None, roofs=None):
        self.peers, self.roofs = peers or {}, roofs or {}

    @classmethod
    def read(cls, root):
        """From the documents of a checkout, as far as it has them."""
        accuracy, performance = root / "docs" / "accuracy.json", root / "docs" / "performance.md"
        peers = json.loads(accuracy.read_text(encoding="utf-8")).get("peers", {}) if accuracy.exists() else {}
        return cls(peers, roofs(performance.read_text(encoding="utf-8")) if performance.exists() else {})

    def error(self, record, library):
        """``(times, words)``: the error of a library in a case as a multiple of our promise, and as text; None where it is not known."""
        op, dtype = record["op"], record["dtype"]
        found = self.peers.get(PARTS[dtype], {}).get(op, {}).get(library)
        if found:
            error, at = float(found["ordinary"]), found.get("ordinary_at")
            words = f"{error:.3g} ulp" if math.isfinite(error) else "nan or infinity"
            return error / max(fa.ops[op].ulp[dtype == "float64"], 1), words + (f" at {float(at):.4g}" if at else "")
        found = self.peers.get("rows", {}).get(op, {}).get(dtype, {}).get(library, {}).get("shares", {})
        fits = [n for n in found if int(n) <= record["shape"][record["axis"]]]  # a long sum may go astray where a short one does not
        if fits:
            share, kind = found[fits[-1]]
            return float(share), f"{float(share):.3g} times what we promise, in rows of {fits[-1]}: {kind}"
        return None

    def inexact(self, record):
        """``{library: error in words}`` of those in a record that are less exact."""
        found = {name: self.error(record, name) for name in record["hows"]}
        return {name: error[1] for name, error in found.items() if error and not error[0] <= INEXACT}

    def nan_lost(self, record, library):
        """Whether a library's elementwise function gives a number for nan, or nan at an infinity, where it should not."""
        return bool(self.peers.get(PARTS[record["dtype"]], {}).get(record["op"], {}).get(library, {}).get("wrong"))

    def roof(self, record):
        """How near our kernel is to what the processor allows, as text; empty where it is not known."""
        found = self.roofs.get((record["op"], record["dtype"]))
        if not found:
            return ""
        return f"our kernel takes {found[0]} times its roof in the first cache, and has {found[1]} of the speed of a product out of cache"


def roofs(text):
    """``{(operation, dtype): (time by roof, part of a product's speed)}`` from the tables that bench/roof.py writes."""
    found, dtype, head = {}, None, []
    for line in text.splitlines():
        cells = [cell.strip(" *`") for cell in line.strip("|").split("|")]
        if match := re.match(r"(float\d+), \d+ numbers a vector", line):
            dtype, head = match[1], []
        elif dtype and ROOF in cells:
            head = cells
        elif head and len(cells) == len(head) and not cells[0].startswith("-"):
            found[cells[0], dtype] = cells[head.index(ROOF)], cells[head.index(STREAM)]
        elif not line.startswith("|"):
            head = []
    return found
