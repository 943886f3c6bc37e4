"""Reads what ``pytest --benchmark-only --benchmark-json=FILE`` wrote: the README's table of speed-ups, and what became slower.

Only ratios are compared and kept, each against the NumPy expression timed in the same run: times belong to a machine and a day.

    python bench/report.py FILE                                   losses, then the table in Markdown
    python bench/report.py FILE --compare bench/baseline.json     also what fell, exit status 1 if anything did
    python bench/report.py FILE --write-baseline bench/baseline.json
    python bench/report.py FILE --readme README.md                put the table and the losses into the README
"""

import argparse
import json
import math
import pathlib
import sys

TOLERANCE = 0.25  # a speed-up may be this part lower than the stored one before it counts as lost
NUMPY = "numpy"
COLUMNS = [("cython", 10_000), ("numba", 10_000), ("cython", 1_000_000), ("numba", 1_000_000)]
DTYPE = "float32"
MARKS = "<!-- speed: written by bench/report.py --readme -->", "<!-- end of speed -->"


def machine():
    """What the benchmarks run on, for the head of the report: backends that are absent are named."""
    from fastact import backends, measure

    config = backends.config()
    return [
        f"fastact {config['fastact']} on {config['processor']}, one thread; NumPy {config['numpy']}",
        "backends: " + "; ".join(measure.available().values()),
    ]


# ---- ratios -----------------------------------------------------------------------------------------------------------


def ratios(benchmarks):
    """``{group: {contender: speed-up over NumPy}}``, by the best round of each; groups without NumPy have none."""
    times, found = {}, {}
    for bench in benchmarks:
        times.setdefault(bench["group"], {})[bench["extra_info"]["contender"]] = bench["stats"]["min"]
    for group, taken in times.items():
        if NUMPY in taken:
            found[group] = {name: taken[NUMPY] / seconds for name, seconds in taken.items() if name != NUMPY}
    return found


def losses(found, only=("cython", "numba")):
    """The groups in which one of our backends is slower than NumPy, the worst first: ``(speed-up, group, contender)``."""
    every = ((speedup, group, name) for group, row in found.items() for name, speedup in row.items() if name in only)
    return sorted(entry for entry in every if entry[0] < 1)


def behind(found):
    """The groups in which another library is faster than our best: ``(how much faster, group, library)``."""
    result = []
    for group, row in found.items():
        best = max((speedup for name, speedup in row.items() if is_ours(name)), default=0)
        result += [(speedup / best, group, name) for name, speedup in row.items() if not is_ours(name) and speedup > best > 0]
    return sorted(result, reverse=True)


def is_ours(name):
    return name.partition(" ")[0] in ("cython", "numba")


def mean(values):
    """The geometric mean."""
    return math.exp(sum(map(math.log, values)) / len(values))


# ---- the report -------------------------------------------------------------------------------------------------------


def markdown(benchmarks):
    """The table: a line a function, forward and backward, each backend at each size; float32."""
    found = ratios(benchmarks)
    rows = {}
    for bench in benchmarks:
        info = bench["extra_info"]
        if info["dtype"] == DTYPE and info["size"] is not None and bench["group"] in found:
            speedup = found[bench["group"]].get(info["contender"])
            rows.setdefault(info["forward"], {})[info["direction"], info["contender"], info["size"]] = speedup
    present = [(name, size) for name, size in COLUMNS if any(key[1:] == (name, size) for row in rows.values() for key in row)]
    keys = [(direction, *column) for direction in ("forward", "backward") for column in present]
    lines = ["| function | " + " | ".join(f"{way} {name} {size:,}".replace(",", " ") for way, name, size in keys) + " |"]
    lines.append("|---|" + "---:|" * len(keys))
    for name, row in rows.items():
        lines.append(f"| `{name}` | " + " | ".join(cell(row.get(key)) for key in keys) + " |")
    every = [[row[key] for row in rows.values() if row.get(key)] for key in keys]
    lines.append("| geometric mean | " + " | ".join(cell(mean(column)) if column else "" for column in every) + " |")
    return "\n".join(lines)


def cell(speedup):
    """A speed-up with two digits, in bold where it is a loss."""
    if speedup is None:
        return ""
    text = f"{speedup:.2f}" if speedup < 1 else f"{speedup:.1f}" if speedup < 10 else f"{speedup:.0f}"
    return f"**{text}**" if speedup < 1 else text


def text(benchmarks):
    """The whole report: losses first, then where another library is ahead, then the table."""
    found = ratios(benchmarks)
    slower, ahead = losses(found), behind(found)
    parts = ["Slower than NumPy: " + ("none" if not slower else "")]
    parts += [f"  {speedup:.2f}  {group}, {name}" for speedup, group, name in slower]
    others = sorted({name for row in found.values() for name in row if not is_ours(name)})
    if others:
        parts.append(f"Behind another library ({', '.join(others)}): " + ("none" if not ahead else ""))
        parts += [f"  {factor:.2f} times as fast as ours: {group}, {name}" for factor, group, name in ahead]
    missing = [name for name in ("cython", "numba") if not any(name in row for row in found.values())]
    if missing:
        parts.append(f"Not measured: {', '.join(missing)}")
    return "\n".join([*parts, "", markdown(benchmarks)])


def readme(path, data):
    """Put the machine, the losses and the table between the README's marks."""
    cpu = data.get("machine_info", {}).get("cpu", {}).get("brand_raw", "unknown processor")
    slower = [f"{group} ({name}): {speedup:.2f}" for speedup, group, name in losses(ratios(data["benchmarks"]))]
    lines = [f"Measured on one core of {cpu}. Slower than NumPy, of all benchmarks: {'; '.join(slower) or 'none'}.", ""]
    put(path, MARKS, "\n".join([*lines, markdown(data["benchmarks"])]))


def put(path, marks, text):
    """Replace what a file holds between two marks, a line each."""
    before, first, rest = path.read_text().partition(marks[0])
    _, last, after = rest.partition(marks[1])
    if not (first and last):
        raise ValueError(f"{path} lacks the marks {marks[0]!r} and {marks[1]!r}")
    path.write_text(f"{before}{first}\n{text}\n{last}{after}")


# ---- against a baseline -----------------------------------------------------------------------------------------------


def baseline(data):
    """What is stored: the ratios with three digits, and where they were taken."""
    cpu = data.get("machine_info", {}).get("cpu", {}).get("brand_raw", "unknown")
    rounded = {
        group: {name: float(f"{value:.3g}") for name, value in row.items() if is_ours(name)}
        for group, row in ratios(data["benchmarks"]).items()
    }
    return {"processor": cpu, "ratios": rounded}


def compare(found, stored, tolerance):
    """What is lost against the stored ratios: lines that say so; speed-ups that fell, and groups that are gone."""
    known = {name for row in stored["ratios"].values() for name in row}
    gone = known - {name for row in found.values() for name in row}
    lines = [f"{name}: not measured at all" for name in sorted(gone)]
    for group, row in stored["ratios"].items():
        for name, before in row.items():
            if name in gone:
                continue
            now = found.get(group, {}).get(name)
            if now is None:
                lines.append(f"{group}, {name}: was {before:.2f}, is missing")
            elif now < before * (1 - tolerance):
                lines.append(f"{group}, {name}: was {before:.2f}, is {now:.2f}")
    return lines


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=pathlib.Path, help="what --benchmark-json wrote")
    parser.add_argument("--compare", type=pathlib.Path, metavar="BASELINE", help="exit with 1 if a speed-up fell")
    parser.add_argument("--write-baseline", type=pathlib.Path, metavar="BASELINE", help="store the ratios")
    parser.add_argument("--readme", type=pathlib.Path, metavar="README", help="write the table between its marks there")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="part by which a ratio may fall, default %(default)s")
    args = parser.parse_args(argv)
    data = json.loads(args.file.read_text())
    print(text(data["benchmarks"]))
    lost = []
    if args.compare:
        stored = json.loads(args.compare.read_text())
        lost = compare(ratios(data["benchmarks"]), stored, args.tolerance)
        verdict = "" if lost else "none"
        print(f"\nAgainst {args.compare} ({stored['processor']}), lower by more than {args.tolerance:.0%}: {verdict}")
        for line in lost:
            print(f"  {line}")
    if args.write_baseline:
        args.write_baseline.write_text(json.dumps(baseline(data), indent=1) + "\n")
    if args.readme:
        readme(args.readme, data)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
