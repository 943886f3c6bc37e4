"""``python -m fastact accuracy``: which functions it judges, elementwise ones by a sweep, and how its findings are shown."""

import importlib
import json
import math
import pathlib
import sys
from importlib import metadata

import numpy as np

import fastact as fa
from fastact import accuracy_exact, accuracy_rows, backends, measure
from fastact import accuracy_oracle as oracle
from fastact.accuracy_sweep import STRIDE, Sweep
from fastact.accuracy_tally import FINE, REACH

# ---- the command ------------------------------------------------------------------------------------------------------


DTYPES = ("float16", "float32", "float64", "bfloat16")
PACKAGES = ("numpy", "numba", "ml_dtypes", "mpmath")  # whose versions figures may depend on


def chosen(names):
    """The operations of some names, aliases too, elementwise ones and those of rows; all of them where there are no names."""
    public = fa.register.public_ops()
    every = [op for op in fa.ops.values() if op.kind in ("map", "rows")]
    unknown = [name for name in names if public.get(name) not in every]
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: neither elementwise nor of rows; those are {', '.join(op.name for op in every)}")
    ops = [public[name] for name in names] or every
    return [[op for op in ops if op.kind == kind] for kind in ("map", "rows")]


def dtype_of(name):
    """A dtype by its name; NumPy knows bfloat16 only by the package that brings it."""
    if name == "bfloat16":
        importlib.import_module("ml_dtypes")
    return np.dtype(name)


def namespace(text):
    """A backend by its name, or by that of a level of the cython backend."""
    return fa.get_backend("cython", level=text) if text in backends.LEVELS else fa.get_backend(text)


def add(commands, progress):
    """Add the subcommand; `progress` is the command line's progress bar."""
    title = "the error of elementwise functions over all their inputs, and of the softmax family over rows of many lengths"
    made = commands.add_parser("accuracy", help=title, description=f"{title[0].upper()}{title[1:]}.")
    made.add_argument("ops", nargs="*", help="functions, by default all elementwise ones and the softmax family")
    made.add_argument("--dtype", choices=DTYPES, default="float32", help="default %(default)s")
    made.add_argument("--backend", choices=("cython", "numba"), help="what is swept; by default the backend in use")
    made.add_argument("--level", choices=backends.LEVELS, help="the level of the cython backend; by default the best")
    many = made.add_mutually_exclusive_group()
    many.add_argument("--stride", type=int, default=STRIDE, metavar="N", help="every N-th float32, default %(default)s")
    many.add_argument("--exhaustive", dest="stride", action="store_const", const=1, help="every float32; ten times the float64 points")
    made.add_argument("--compare", default="", metavar="A,B", help="backends or levels to judge as well, and compare bit for bit: numba,v2")
    made.add_argument("--threads", type=int, default=backends.cpu.usable_cpus(), metavar="N", help="default %(default)s")
    made.add_argument("--resume", type=pathlib.Path, metavar="DIR", help="where state is kept, so that an interrupted sweep goes on")
    made.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all findings there")
    made.add_argument("--picture", type=pathlib.Path, metavar="DIR", help="draw the error over x, one picture a function")
    made.add_argument("--details", action="store_true", help="histogram and worst inputs, shown anyway for functions that are named")
    made.set_defaults(run=lambda args: run(args, progress, made.error))


def run(args, progress, fail):
    """Sweep, and show; the status is 1 where a function breaks its promise."""
    try:
        maps, rows = chosen(args.ops)
        swept = fa.get_backend("cython" if args.level else args.backend, level=args.level)
        others = [namespace(text) for text in args.compare.split(",") if text]
    except ValueError as error:
        fail(str(error))
    if args.stride < 1 or args.threads < 1:
        fail("--stride and --threads: a whole number from 1 is required")
    for folder in filter(None, (args.resume, args.picture)):
        folder.mkdir(parents=True, exist_ok=True)
    dtype, judged = dtype_of(args.dtype), [swept, *others]
    if args.json:
        args.json.open("a").close()  # fails before the sweep, not after it
    sweeps = [Sweep(op, dtype, functions(op, judged), args.stride) for op in maps]
    for sweep in sweeps:
        if args.resume:
            sweep.load(args.resume)
    found, found_rows = [], []
    with fa.threads(1), progress(sum(sweep.blocks - len(sweep.done) for sweep in sweeps) + len(rows)) as advance:
        for sweep in sweeps:
            sweep.run(args.threads, args.resume, advance)
            found.append(finding(sweep))
            if args.picture:
                picture(sweep, args.picture)
        for op in rows:
            advance(op.name)
            found_rows.append(accuracy_rows.finding(op, dtype, functions(op, judged)))
    if sweeps:
        show(sweeps, found, bool(args.ops) or args.details)
    if rows:
        accuracy_rows.show(found_rows, [other.backend for other in others], dtype)
    if args.json:
        args.json.write_text(json.dumps({**heading(swept, args), "results": found, "rows": found_rows}, indent=1))
    return int(any(entry["broken"] for entry in found + found_rows))


def functions(op, namespaces):
    """The function of an operation in each of some backends, by the backend's name."""
    return {namespace.backend: measure.call(namespace, op) for namespace in namespaces}


def heading(swept, args):
    """What JSON says of the run itself."""
    versions = {name: metadata.version(name) for name in PACKAGES if name in sys.modules}
    return {"config": backends.config(), "versions": versions, "measured": swept.backend, "dtype": args.dtype, "stride": args.stride}


# ---- findings ---------------------------------------------------------------------------------------------------------


def promise(sweep):
    """The largest error that the register promises; half precision is computed in float32 and rounded once, maybe to the next binade."""
    single, double = sweep.op.ulp
    limits = measure.finfo(sweep.dtype)
    return {16: 0.5 + single / 2 ** (22 - limits.nmant), 32: single, 64: double}[limits.bits]


def figures(op, tally, promised):
    """What is published of a tally."""
    return {
        "worst_normal": tally.error("normal"),
        "worst_subnormal": tally.error("subnormal"),
        "wrong": tally.wrong,
        "zeros": tally.zeros,
        # the sign of a slope of zero is not promised
        "broken": bool(tally.wrong or (tally.zeros and not op.is_backward) or tally.error() > promised + oracle.BOUND),
    }


def finding(sweep):
    """What JSON holds of a sweep: the tally, the promise, and the worst inputs, judged again by the reference itself."""
    tally, promised = sweep.tally, promise(sweep)
    worst = [described(sweep, pattern) for _, pattern in tally.worst]
    own = figures(sweep.op, tally, promised)
    beside = {name: figures(sweep.op, other, promised) for name, other in tally.beside.items()}
    return {
        "name": sweep.op.name,
        **tally.as_dict(),
        **own,
        "promised": promised,
        "broken": own["broken"] or any(other["broken"] for other in beside.values()),
        "beside": beside,
        "worst": worst,
        "wrong_at": [hexadecimal(sweep, pattern) for pattern in tally.wrong_at],
        "zeros_at": [hexadecimal(sweep, pattern) for pattern in tally.zeros_at],
    }


def number(sweep, pattern):
    """The input with a bit pattern, as an array of one."""
    return np.array([pattern], f"u{sweep.dtype.itemsize}").view(sweep.dtype)


def hexadecimal(sweep, pattern):
    """A bit pattern as it is written."""
    return f"0x{pattern:0{2 * sweep.dtype.itemsize}x}"


def described(sweep, pattern):
    """One of the worst inputs: its bits, the number, the result, the true value and the error, by the reference at this point."""
    x = number(sweep, pattern)
    with np.errstate(all="ignore"):
        got = sweep.function(*oracle.arguments(sweep.op, x))
        true, size = oracle.truth(sweep.op, x)
        error = measure.ulp(got, true, sweep.dtype, size) * np.sign(got - true)
    return {
        "bits": hexadecimal(sweep, pattern),
        "x": repr(x[0].item()),
        "result": str(got[0]),
        "true": np.format_float_scientific(true[0], 18),
        "ulp": round(float(error[0]), 4),
        "mpmath_differs": accuracy_exact.disagreement(sweep.op, x[0], true[0], size[0]),  # relative; None if not known
    }


def histogram(tally):
    """The signed histogram as lines of text: bins of half a unit, bars by the logarithm of the count."""
    centres = (np.arange(len(tally.histogram)) - FINE * REACH) / FINE
    groups = np.rint(centres * 2 - np.copysign(1e-9, centres)).astype(int)
    counts = {group: int(tally.histogram[groups == group].sum()) for group in range(-REACH * 2, REACH * 2 + 1)}
    used = [group for group, count in counts.items() if count]
    lines = []
    for group in range(min(used, default=0), max(used, default=0) + 1):
        count = counts[group]
        share = count / max(1, sum(counts.values()))
        bar = "#" * math.ceil(4 * math.log10(1 + count)) if count else ""
        lines.append(f"  {group / 2:+5.1f}  {count:>13,}  {share:10.2e}  {bar}")
    return lines


# ---- showing ----------------------------------------------------------------------------------------------------------


def show(sweeps, found, details):
    """The table, and where wanted the details of each function."""
    first = sweeps[0]
    how = "points, neighbours of breakpoints and random" if first.dtype == np.float64 else "every bit pattern"
    if first.dtype == np.float32 and first.stride > 1:
        how = f"one bit pattern in {first.stride:,}"
    print(f"{first.label}, {first.dtype}: {how}. Errors in ulp, backward of the largest term; subnormal results in their spacing.")
    others = list(first.others)
    heads = "".join(f" {name:>12} {'ulp':>7}" for name in others)
    print(f"\n{'':22}{'points':>14} {'normal':>8} {'subnorm.':>8} {'promised':>8} {'specials':>8} {'zeros':>13} {'seconds':>8}{heads}")
    for entry in found:
        bits = "".join(f" {entry['differ'][name]:>12,} {worst(entry['beside'][name]):7.4g}" for name in others)
        mark = "  <- broken" if entry["broken"] else ""
        print(f"{entry['name']:22}{entry['points']:>14,} {entry['worst_normal']:8.4g} {entry['worst_subnormal']:8.4g} "
              f"{entry['promised']:8.4g} {entry['wrong']:>8,} {entry['zeros']:>13,} {entry['seconds']:8.1f}{bits}{mark}")
    print("specials: results wrongly nan or infinite, or wrongly not; zeros: zeros of the other sign")
    if others:
        print("last columns: results with other bits than there, and the worst error there")
    for sweep, entry in zip(sweeps, found, strict=True):
        if details:
            show_details(sweep, entry)


def worst(entry):
    """The worst error of an entry, over normal and subnormal results."""
    return max(entry["worst_normal"], entry["worst_subnormal"])


def show_details(sweep, entry):
    """Histogram and worst inputs of one function."""
    print(f"\n{entry['name']}: the error in ulp, results, their share")
    print(*histogram(sweep.tally), sep="\n")
    if entry["worst"]:
        print("  worst inputs")
    for line in entry["worst"]:
        print(f"  {line['bits']}  x = {line['x']:<24} gives {line['result']:<22} for {line['true']}: {line['ulp']:+.4f} ulp")
    checked = [line["mpmath_differs"] for line in entry["worst"] if line["mpmath_differs"] is not None]
    if checked:
        print(f"  mpmath agrees with these true values to {max(checked):.1e} (relative, {len(checked)} of {len(entry['worst'])} inputs)")
    for what, places in (("wrong special values", entry["wrong_at"]), ("zeros of the other sign", entry["zeros_at"])):
        if places:
            print(f"  {what} at", *places)


def picture(sweep, folder):
    """Draw the largest error in each of 4,096 neighbourhoods of inputs: numbers below 0 on the left, above it on the right."""
    from matplotlib.figure import Figure

    profile = sweep.tally.profile
    half = len(profile) // 2
    bits = 8 * sweep.dtype.itemsize
    starts = (np.arange(half, dtype=np.uint64) << np.uint64(bits - 12)).astype(f"u{sweep.dtype.itemsize}").view(sweep.dtype)
    with np.errstate(all="ignore"):
        powers = np.log2(starts.astype(np.float64))
    shown = np.isfinite(powers) & (powers >= -28) & (powers <= 12)
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, part, sign in zip(figure.subplots(1, 2, sharey=True), (profile[half:], profile[:half]), "-+", strict=True):
        axes.plot(powers[shown], part[shown], linewidth=0.7)
        axes.axhline(promise(sweep), color="0.6", linewidth=0.8)
        axes.set_xticks(range(-28, 13, 4), [f"{sign.strip('+')}2$^{{{k}}}$" for k in range(-28, 13, 4)])
        if sign == "-":
            axes.invert_xaxis()
            axes.set_ylabel("largest error, ulp")
    figure.suptitle(f"{sweep.op.name}, {sweep.dtype}, {sweep.label}; the line is what is promised")
    figure.savefig(folder / f"{sweep.name}.png", dpi=120)
