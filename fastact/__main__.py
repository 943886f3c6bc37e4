"""The command line, ``python -m fastact``: what runs on this machine, how fast against the usual NumPy, and how exact.

The table has a line for each function that `fastact.ops` holds; `speed` measures, and the rest says how it looks.
"""

import argparse
import contextlib
import json
import math
import os
import shutil
import sys
import textwrap

import numpy as np

import fastact as fa
from fastact import accuracy, backends, measure
from fastact.register import public_name

SAMPLE = 10_000  # numbers on which errors are found: the reference in extended precision is slow
WIDTH = 100
COLUMNS = ("NumPy us", "ours us", "x", "ulp")


# ---- measuring --------------------------------------------------------------------------------------------------------


def result(op, namespace, size, dtype, seconds):
    """Time and error of one operation, as the JSON output gives it; times in seconds per call."""
    rng = np.random.default_rng(1)
    ours, usual = measure.call(namespace, op), measure.baseline(op)
    arrays, keywords = measure.arguments(op, size, dtype, rng), measure.options(op, size)
    old = measure.plain(usual, arrays, keywords)
    new = measure.in_place(ours, op, arrays, keywords)
    numpy_seconds, our_seconds = measure.best(old, new, seconds=seconds)
    n = min(size, SAMPLE)
    arrays, keywords = measure.arguments(op, n, dtype, rng), measure.options(op, n)
    return {
        "name": public_name(op),
        "page": op.page,
        "forward": (op.forward or op).name,
        "pass": "backward" if op.is_backward else "forward",
        "numpy_seconds": numpy_seconds,
        "seconds": our_seconds,
        "speedup": numpy_seconds / our_seconds,
        "ulp": finite(measure.error(op, arrays, ours(*arrays, **keywords), **keywords)),
        "numpy_ulp": finite(measure.error(op, arrays, usual(*arrays, **keywords), **keywords)),
    }


def finite(number):
    """A number as JSON can hold it: infinite errors as text."""
    return number if math.isfinite(number) else str(number)


def speed(args):
    """Measure every operation and show the table, or JSON."""
    namespace = fa.get_backend(args.backend)
    head = {
        "config": backends.config(),
        "backends": measure.available(),
        "measured": namespace.backend,
        "size": args.size,
        "dtype": args.dtype,
        "notes": notes(args.dtype),
    }
    results = []
    with np.errstate(all="ignore"), progress(len(fa.ops)) as advance:
        for op in fa.ops.values():
            advance(public_name(op))
            results.append(result(op, namespace, args.size, args.dtype, args.seconds))
    if args.json:
        print(json.dumps({**head, "results": results}, indent=1))
    else:
        show(head, results)
    return 0


def notes(dtype):
    """What a reader must know about the figures on this machine."""
    if np.finfo(dtype).nmant >= np.finfo(np.longdouble).nmant:
        return ["long double is no wider than float64 here: errors are against a reference that rounds as coarsely"]
    return []


# ---- showing ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def progress(total):
    """A progress bar on stderr where that is a terminal, with rich or without; gives a function to call with the next name."""
    if not sys.stderr.isatty():
        yield lambda name: None
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    except ImportError:
        done = iter(range(total))
        yield lambda name: print(f"\r\033[K{next(done) + 1}/{total} {name}", end="", file=sys.stderr, flush=True)
        print("\r\033[K", end="", file=sys.stderr, flush=True)
        return
    columns = BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        started = False

        def advance(name):
            nonlocal started
            bar.update(task, advance=1 if started else 0, description=name)
            started = True

        yield advance


def heading(head):
    """The lines above the table."""
    config = head["config"]
    lines = [
        f"fastact {config['fastact']}, built with {config['compiler']}; Python {config['python']}, NumPy {config['numpy']}",
        f"{config['processor']}, supports {config['supports']}; threads: {config['threads']} of {config['usable processors']}",
        f"measured: {head['measured']}; in use: {config['backend']} ({config['because']})",
        "backends: " + "; ".join(head["backends"].values()),
        f"about {head['size']:,} numbers of {head['dtype']} a call, in place where the result fits",
        "x: times as fast as NumPy; ulp: worst error on a sample, of the largest term where terms cancel; backward with random "
        "gradients, whose product is rounded too, and losses with their mean",
    ]
    return wrapped(lines + head["notes"])


def wrapped(lines):
    """The lines, each broken at the width of the table, or of the terminal."""
    width = min(WIDTH, shutil.get_terminal_size((WIDTH, 0)).columns)
    return [part for line in lines for part in textwrap.wrap(line, width, subsequent_indent="    ")]


def cells(entry):
    """The four figures of one pass as text, none where there is no such pass."""
    if entry is None:
        return [""] * len(COLUMNS)
    times = [figure(entry[key] * 1e6) for key in ("numpy_seconds", "seconds")]
    ulp = float(entry["ulp"])
    return [*times, figure(entry["speedup"]), f"{ulp:.2f}" if ulp < 100 else f"{ulp:.0e}"]


def figure(number):
    """A positive number with three digits: all that stand before the point, two at most after it."""
    return f"{number:.{max(0, 2 - max(0, math.floor(math.log10(number))))}f}"


def lines_of(results):
    """One line a function: its name, forward, backward."""
    passes = {}
    for entry in results:
        passes.setdefault(entry["forward"], {})[entry["pass"]] = entry
    return [(name, passes[name].get("forward"), passes[name].get("backward")) for name in passes]


def summary(results):
    """What the table comes to: means of the speed-ups, and by name whatever is slower than NumPy."""
    means = []
    for way in ("forward", "backward"):
        speedups = [entry["speedup"] for entry in results if entry["pass"] == way]
        if speedups:
            means.append(f"{way} {math.exp(sum(map(math.log, speedups)) / len(speedups)):.2f}")
    lost = [f"{entry['name']} {entry['speedup']:.2f}" for entry in results if entry["speedup"] < 1]
    return wrapped(["geometric mean of x: " + ", ".join(means), "slower than NumPy: " + (", ".join(lost) or "none")])


def show(head, results):
    """Print the table: with rich on a terminal, plain elsewhere."""
    if sys.stdout.isatty():
        try:
            from rich.console import Console
            from rich.table import Table
        except ImportError:
            pass
        else:
            show_rich(Console(width=min(WIDTH, Console().width)), Table, head, results)
            return
    print(*heading(head), "", sep="\n")
    print(f"{'':32} {'forward':^32}  {'backward, or value and gradient':^32}".rstrip())
    print(plain_line("", COLUMNS, COLUMNS))
    for name, forward, backward in lines_of(results):
        print(plain_line(name, cells(forward), cells(backward)))
    print("", *summary(results), sep="\n")


def plain_line(name, forward, backward):
    """A line of at most 100 columns."""
    groups = [f"{a:>9} {b:>9} {x:>6} {u:>5}" for a, b, x, u in (forward, backward)]
    return f"{name:32} {groups[0]}  {groups[1]}".rstrip()


def show_rich(console, table_type, head, results):
    """The same with colours: slower than NumPy in red, beyond the promised error too."""
    for line in heading(head):
        console.print(line, highlight=False, markup=False)
    table = table_type(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("")
    for title in ("forward", "backward"):
        for column in COLUMNS:
            table.add_column(f"{title if column == COLUMNS[0] else ''}\n{column}", justify="right", no_wrap=True)
    for name, *passes in lines_of(results):
        table.add_row(name, *[cell for entry in passes for cell in coloured(entry)])
    console.print(table)
    for line in summary(results):
        console.print(line, highlight=False, markup=False)


def coloured(entry):
    """The cells of one pass with rich's marks."""
    texts = cells(entry)
    if entry is not None:
        texts[2] = f"[{'red' if entry['speedup'] < 1 else 'green'}]{texts[2]}[/]"
        promised = fa.ops[entry["forward"]] if entry["pass"] == "forward" else fa.ops[entry["forward"]].backward_op
        if float(entry["ulp"]) > max(promised.ulp):
            texts[3] = f"[yellow]{texts[3]}[/]"
    return texts


# ---- the command ------------------------------------------------------------------------------------------------------


def positive(text):
    """A whole number from 1."""
    value = int(text.replace("_", ""))
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: a whole number from 1 is required")
    return value


def parser():
    """The options. A subcommand sets `run`; without one the table is shown."""
    made = argparse.ArgumentParser(prog="python -m fastact", description=__doc__.splitlines()[0])
    made.add_argument("--size", type=positive, default=10_000, help="numbers per call, default %(default)s")
    made.add_argument("--dtype", choices=("float16", "float32", "float64"), default="float32", help="default %(default)s")
    made.add_argument("--backend", choices=backends.BACKENDS, help="what to measure; by default the backend in use")
    made.add_argument("--seconds", type=float, default=0.15, help="time for each measurement, default %(default)s")
    made.add_argument("--json", action="store_true", help="print JSON, and nothing else, on stdout")
    made.set_defaults(run=speed)
    accuracy.add(made.add_subparsers(title="subcommands"), progress)
    return made


def main(argv=None):
    """Run the command; gives the exit status."""
    made = parser()
    args = made.parse_args(argv)
    try:
        return args.run(args)
    except ImportError as error:
        made.exit(1, f"{made.prog}: {error}\n")
    except BrokenPipeError:  # whoever reads has enough, as `head` after ten lines
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left would fail again at the end
        return 0


if __name__ == "__main__":
    sys.exit(main())
