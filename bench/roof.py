"""How far each elementwise kernel is from what the processor allows: its machine code counted, a bound from it, and the time it takes.

    taskset -c 1 python bench/roof.py float32 --only gelu,mish               a table in Markdown: these and their backward passes
    taskset -c 1 python bench/roof.py float32 --write docs/performance.md    all, half a minute; put between the marks there

The bound, the roof, is that of MODEL below, for level v3: no kernel of these instructions can be faster, however well they are
ordered. It says nothing about whether fewer instructions would do.
"""

import argparse
import collections
import ctypes
import functools
import importlib
import itertools
import mmap
import pathlib
import re
import subprocess

import numpy as np
import report

from fastact import backends, measure
from fastact.register import OPS

MODEL = {
    "machine": "AMD Zen 3",
    "level": "v3",
    "pipes": {"multiply": "01", "select": "01", "divide": "01", "add": "23", "shift": "12", "logic": "0123"},  # where each may run
    "slots": {"divide": 2},  # of its pipes, where it is not one
    "divider": {"ps": 3.0, "pd": 4.35},  # cycles before it takes the next vector
    "cycle": {"load": 2, "store": 1, "all": 6},  # that many at most; compare and jump are one
}
"""Measured on the machine by loops of one instruction, and of several, which shows which of them share a pipe. Vectors of 32 bytes."""
LEVEL = importlib.import_module(f"fastact.cython_kernels.level_{MODEL['level']}")
KINDS = {  # by the mnemonic, without the v of AVX, and without ps or pd
    "multiply": r"mul|fn?m(add|sub)(132|213|231)",
    "add": r"add|sub|cmp\w*|max|min",
    "divide": r"div",
    "select": r"blendv|pblendvb",
    "shift": r"ps(ll|rl|ra)[dq]|p?unpck\w+|p?shuf\w*",
    "logic": r"and|andn|or|xor|p(and|andn|or|xor)|p(add|sub)[dq]|p(min|max)[us]d|pcmp(eq|gt)[dq]",
    "move": r"mov(a|u|dqa|dqu)|broadcasts[sd]",
}
VECTOR, CACHED, SAMPLE = 32, 2**14, 2**16  # bytes; bytes that the arrays take in the first cache; numbers that long arrays repeat
REPEAT, ROUNDS, GOAL = 32, 7, 0.9  # calls timed together in cache; passes out of it; of the speed of x *= c there, if the roof allows
LARGE = {"float32": 20_000_000, "float64": 10_000_000}
MARKS = "<!-- {}: written by bench/roof.py --write -->", "<!-- end of {} -->"


# ---- machine code -----------------------------------------------------------------------------------------------------


@functools.cache
def functions():
    """The instructions of each kernel as ``[(address, text)]``, by the kernel's name."""
    command = ["objdump", "-d", "--no-show-raw-insn", LEVEL.__file__]
    text, found = subprocess.run(command, capture_output=True, text=True, check=True).stdout, {}
    for head, body in re.findall(r"^[0-9a-f]+ <(\S+)>:\n((?:.+\n)+)", text, re.M):
        lines = re.findall(r"^ *([0-9a-f]+):\t(.+?) *$", body, re.M)
        found[head.split(f"level_{MODEL['level']}_")[-1]] = [(int(address, 16), line) for address, line in lines]
    return found


def hot_loops(name):
    """The instructions of the innermost loops on full vectors that a kernel has: one, or two where its scalar stands in two stages."""
    body = functions()[name]
    jumps = [(int(m[1], 16), end) for end, line in body if (m := re.match(r"j\w+ +([0-9a-f]+) ", line))]
    loops = [(start, end) for start, end in jumps if body[0][0] <= start <= end]
    inner = [a for a in loops if not any(a != b and a[0] <= b[0] and b[1] <= a[1] for b in loops)]
    found = [[line for address, line in body if start <= address <= end] for start, end in inner]
    found = [lines for lines in found if any("%ymm" in line for line in lines) and sum(line[0] == "j" for line in lines) == 1]
    fetching = [False, *(any("prefetch" in line for line in lines) for lines in found)]
    found = [lines for lines, rest in zip(found, fetching, strict=False) if not rest]  # after a loop that fetches ahead comes its rest
    if len(found) not in (1, 2):
        raise LookupError(f"{name}: {len(found)} innermost loops on vectors")
    return found


def kind(line):
    """What an instruction is: one of KINDS, or "scalar" for the loop's own. One that is unknown is an error, not a guess."""
    if "%ymm" not in line and "%xmm" not in line:
        return "scalar"
    plain = re.sub(r"^v|(?<!^v)(ps|pd)$", "", line.split()[0])
    for name, pattern in KINDS.items():
        if re.fullmatch(pattern, plain):
            return name
    raise LookupError(f"bench/roof.py does not know the instruction {line!r}: add it to KINDS")


def step(lines):
    """The bytes by which a loop walks on: what is added to the register that its last store is indexed by."""
    stores = [m[1] for line in lines if (m := re.search(r"%ymm\d+,.*\((.+)\)$", line)) and "%rbp" not in m[1] and "%rsp" not in m[1]]
    bumps = {m[2]: int(m[1], 16) for line in lines if (m := re.match(r"add +\$0x([0-9a-f]+),%(\w+)$", line))}
    less = {m[2]: 2**64 - int(m[1], 16) for line in lines if (m := re.match(r"sub +\$0x(f{8}[0-9a-f]+),%(\w+)$", line))}  # -128 is short
    bumps |= less
    (found,) = {bumps[name] for name in re.findall(r"%(\w+)", stores[-1]) if name in bumps}
    return found


def count(lines):
    """The instructions of a loop for each vector, by kind; one with an operand in memory also as "load" or "store"."""
    counts = collections.Counter(kind(line) for line in lines)
    memory = [line for line in lines if "(" in line and kind(line) != "scalar"]
    counts["store"] = sum(line.endswith(")") for line in memory)
    counts["load"] = len(memory) - counts["store"] + sum("prefetch" in line for line in lines)
    counts["all"] = len(lines) - 1  # the compare and the jump of the loop
    return collections.Counter({kind: number * VECTOR / step(lines) for kind, number in counts.items()})


def roof(counts, suffix):
    """The least cycles a vector takes: by each set of pipes for what can run nowhere else, by the divider, memory and issue."""
    bounds = [counts.get("divide", 0) * MODEL["divider"][suffix], *(counts[name] / most for name, most in MODEL["cycle"].items())]
    for size in range(1, 5):
        for pipes in itertools.combinations("0123", size):
            inside = [name for name, where in MODEL["pipes"].items() if set(where) <= set(pipes)]
            bounds.append(sum(counts.get(name, 0) * MODEL["slots"].get(name, 1) for name in inside) / size)
    return max(bounds)


# ---- time -------------------------------------------------------------------------------------------------------------


def repeated(body, times):
    """A function that executes this machine code so often, by a counter in ebx."""
    loop = body + b"\xff\xcb"
    jump = b"\x0f\x85" + (-len(loop) - 6).to_bytes(4, "little", signed=True)
    memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(b"\x53\xbb" + times.to_bytes(4, "little") + loop + jump + b"\x5b\xc3")
    function = ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
    function.memory = memory
    return function


def called(place, integers):
    """The machine code of a call with these arguments, in the registers of System V's rules for x86-64."""
    moves = (b"\x48\xbf", b"\x48\xbe", b"\x48\xba", b"\x48\xb9", b"\x49\xb8", b"\x49\xb9", b"\x48\xb8")
    return b"".join(move + k.to_bytes(8, "little") for move, k in zip(moves, (*integers, place), strict=True)) + b"\xff\xd0"


CLOCK = repeated(b"\x01\xc0" * 64, 100)  # 6400 cycles and little more: additions, each of which waits for the one before


def spread(arrays, page=4096):
    """Copies at different places of their pages: a load may wait for an earlier store whose address ends as its own does."""
    size = -(-arrays[0].nbytes // page) * page
    memory = np.empty(len(arrays) * (size + 1344) + page, np.uint8)
    begin = -memory.ctypes.data % page
    for k, array in enumerate(arrays):
        place = memory[begin + k * (size + 1344) :][: array.nbytes].view(array.dtype)
        np.copyto(place, array)
        yield place


class Case:
    """One elementwise kernel: a role of an operation in a dtype."""

    def __init__(self, op, role, dtype):
        self.op, self.role, self.dtype = op, role, np.dtype(dtype)
        self.inputs = len(op.inputs) - (role == "weight")
        self.title = f"{op.name}{' (weight)' if role == 'weight' else ''}"
        self.name = f"{op.name}_{role}_{'f' if dtype == 'float32' else 'd'}"

    def arrays(self, n):
        """A place for the result, and the inputs, each of n numbers."""
        given = measure.arguments(self.op, SAMPLE, self.dtype, np.random.default_rng(1))[: self.inputs]
        return spread([np.zeros(n, self.dtype), *(np.resize(a, n) for a in given)])

    def run(self, out, arrays, n, times=1):
        """A function that calls the kernel so often."""
        numbers = np.array([*measure.defaults(self.op).values(), 1.0], self.dtype)  # the last scales the gradient of a loss
        pointers = [a.ctypes.data for a in (out, *arrays)] + [0] * (3 - self.inputs) + [numbers.ctypes.data]
        place = LEVEL.kernels[self.op.name][self.role][self.dtype == np.float64]
        function = repeated(called(place, (*pointers, n)), times)
        function.arrays = out, arrays, numbers
        return function

    def cached(self):
        """Seconds and cycles of one number in the first cache, from arrays to another one, so that all calls see the same numbers."""
        n = CACHED // (self.inputs + 1) // VECTOR * VECTOR // self.dtype.itemsize
        out, *arrays = self.arrays(n)
        full, empty = (self.run(out, arrays, k, REPEAT) for k in (n, 0))
        taken, overhead, chain = measure.best(full, empty, CLOCK, seconds=0.04)
        return (taken - overhead) / n / REPEAT, (taken - overhead) / n / REPEAT * 6400 / chain

    def streamed(self):
        """Seconds of one number out of cache: of the in-place product of as many arrays, then of the kernel on its result, by turns."""
        n = LARGE[self.dtype.name]
        original, *arrays = self.arrays(n)
        np.copyto(original, arrays[0])
        other = arrays[1] if self.inputs > 1 else self.dtype.type(0.999)
        product = measure.Contender([functools.partial(np.multiply, arrays[0], other, out=arrays[0])])
        product.prepare = functools.partial(np.copyto, arrays[0], original)
        kernel = measure.Contender([self.run(arrays[0], arrays, n)])
        times = [(product.round(), kernel.round()) for _ in range(ROUNDS)]
        return [min(column) / n for column in zip(*times, strict=True)]


def cases(dtype):
    """Every elementwise kernel in the order of the register."""
    for op in OPS.values():
        if op.kind in ("map", "loss", "channels"):
            for role in LEVEL.kernels[op.name]:
                yield Case(op, role, dtype)


# ---- the table --------------------------------------------------------------------------------------------------------

SHOWN = ("multiply", "add", "divide", "select shift logic", "load store", "all")
COLUMNS = ["multiply, FMA", "add, compare", "divide", "select, shift, logic", "load, store", "all"]
COLUMNS += ["roof, ns", "measured, ns", "cycles", "measured / roof", "out of cache, ns", "of the product's speed"]


def row(case):
    """A line of the table: counts, the roof, and the times against it."""
    loops = [count(lines) for lines in hot_loops(case.name)]
    counts = sum(loops, collections.Counter())
    least = sum(roof(loop, "pd" if case.dtype == np.float64 else "ps") for loop in loops) / (VECTOR // case.dtype.itemsize)
    taken, cycles = case.cached()
    product, ours = case.streamed()
    bound = least * taken / cycles  # in seconds
    missed = product / ours < GOAL and bound < product
    cells = [f"{sum(counts.get(name, 0) for name in names):g}" for names in map(str.split, SHOWN)]
    cells += [f"{bound * 1e9:.3f}", f"{taken * 1e9:.3f}", f"{cycles:.2f}", f"{cycles / least:.2f}"]
    cells += [f"{ours * 1e9:.2f}", f"**{product / ours:.2f}**" if missed else f"{product / ours:.2f}"]
    return f"| `{case.title}` | " + " | ".join(cells) + " |"


def table(dtype, only):
    """The lines of the table of a dtype, and above it what was measured where."""
    where = f"Model: {MODEL['machine']}, level {MODEL['level']}. Measured on one core of {backends.config()['processor']}."
    lines = [f"{dtype}, {VECTOR // np.dtype(dtype).itemsize} numbers a vector. {where}", ""]
    lines += ["| kernel | " + " | ".join(COLUMNS) + " |", "|---|" + "---:|" * len(COLUMNS)]
    return lines + [row(case) for case in cases(dtype) if not only or (case.op.forward or case.op).name in only]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dtype", choices=LARGE)
    parser.add_argument("--only", type=lambda text: text.split(","), default=[], metavar="NAMES", help="functions, by comma")
    parser.add_argument("--write", type=pathlib.Path, metavar="FILE", help="put the table between the marks of a page")
    args = parser.parse_args(argv)
    print(text := "\n".join(table(args.dtype, args.only)))
    if args.write:
        try:
            report.put(args.write, [mark.format(args.dtype) for mark in MARKS], text)
        except ValueError as error:
            parser.error(str(error))


if __name__ == "__main__":
    main()
