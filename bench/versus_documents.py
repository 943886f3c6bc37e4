"""What is written of the results of `versus.py`: the README's block, docs/versus.md with every case, and the chart."""

import math
import statistics

import report
import versus_report as reckoned

MARKS = "<!-- versus: written by bench/versus.py -->", "<!-- end of versus -->"
COLUMNS = (10_000, 1_000_000)  # of the README's table
NEAR = 1.5  # a case stands in the column of a size if it is within this factor of it
DAGGER = "†"
NUMBERS = {1: "One thread", 2: "Two threads"}
MEANING = f"""\
A ratio is the time of the fastest other library by ours (Cython, in place or into prepared memory), so more than 1 is ahead; "slower"
is a ratio below {reckoned.LOST}. "{reckoned.AS_EXACT.capitalize()}" is a library whose measured error is at most four times what we promise
of the function in that dtype (or 4 ulp, where we promise less than 1), and in functions of rows at most four times the bound that we
promise, in rows no longer than those raced. Errors count where input and result are ordinary numbers, finite and not subnormal; so
nobody is called inexact for subnormal numbers that become 0, or for what becomes of nan. Where the worst error stands is told: it may be
among the smallest normal numbers or in a far tail alone. A library whose error was not measured counts as exact. The errors, found by
`bench/peer_accuracy.py`, are in `docs/accuracy.json`. Cases in which Cython is lost or ahead by less than
10 % are raced once more, lest a slow moment hide somebody's best way, and then decided by four finals in turn, where each library and each
of our backends has its best way alone and all have the same time, that of 25 rounds of the fastest at least: in the first race a library
that can do a function in six ways has the best of six times as many rounds, which decides where all wait for memory. A slow moment of
another library in a case that we lead by more is not found out in that way."""

THREADED = """\
The process is kept to as many cores, fastact and every library to as many threads (`pin` in `bench/versus.py`): PyTorch, numexpr, ONNX
Runtime and XLA use them, the functions of NumPy and SciPy have no threads. Elementwise functions and rows of 1000 alone were raced. Each
turn waits until the threads of the one before have stopped to spin."""


# ---- the README -------------------------------------------------------------------------------------------------------


def cell(records, known):
    """The geometric mean of some cases, and the library that is the fastest of the others in all or most of them."""
    values = reckoned.ratios(records)
    if not values:
        return ""
    first = statistics.mode(reckoned.fastest(record)[0] for record in records if reckoned.fastest(record))
    inexact = all(first in known.inexact(record) for record in records if reckoned.fastest(record)[0] == first)
    return f"{report.cell(reckoned.mean(values))} {first}{DAGGER * inexact}"


def compact(runs, known):
    """What stands in the README: a line a function in float32 on one thread, means, losses; of other numbers of threads, the latter."""
    first, *rest = runs
    keys = [(backward, size) for backward in (False, True) for size in COLUMNS]
    titles = [f"{'backward' if backward else 'forward'} {size:,}".replace(",", " ") for backward, size in keys]
    lines = [f"Measured on {reckoned.origin(first)}. {DAGGER} its error is more than four times what we promise.", ""]
    lines += ["| function | " + " | ".join(titles) + " |", "|---|" + "---:|" * len(keys)]
    records = [record for record in first["cases"] if record["dtype"] == "float32"]
    columns = {key: [r for r in records if r["backward"] == key[0] and 1 / NEAR < r["elements"] / key[1] < NEAR] for key in keys}
    for name in dict.fromkeys(record["forward"] for record in records):
        rows = [cell([record for record in columns[key] if record["forward"] == name], known) for key in keys]
        lines.append(f"| `{name}` | " + " | ".join(rows) + " |")
    for title, which in (("geometric mean", {}), ("over the fastest as exact", {"known": known})):
        found = [reckoned.ratios(columns[key], **which) for key in keys]
        lines.append(f"| {title} | " + " | ".join(report.cell(reckoned.mean(values) or None) if values else "" for values in found) + " |")
    lines += ["", MEANING]
    for run in (first, *rest):
        lines += ["", f"{heading(run)}, geometric means over all {len(run['cases'])} cases, both dtypes, all sizes:", ""]
        lines += [f"- {text}" for text in reckoned.means(run, known)]
        for title, entries in zip(reckoned.TITLES, reckoned.losses(run["cases"], known), strict=True):
            lines += ["", *told(title, entries, known)]
    return "\n".join(lines)


def heading(run):
    count = run["head"]["threads"]
    return NUMBERS.get(count, f"{count} threads")


def told(title, entries, known):
    """Losses by operation, for the README: the cases stand in docs/versus.md."""
    if not entries:
        return [f"{title}: none."]
    found = {}
    for value, record, library in entries:
        error = known.inexact(record).get(library)
        found.setdefault((record["op"], library), []).append((value, f"; {record['dtype']}: {error}" if error else ""))
    texts = []
    for (op, library), pairs in found.items():
        many = f"{len(pairs)} case{'s' * (len(pairs) > 1)}, {min(value for value, _ in pairs):.2f}"
        texts.append(f"`{op}` ({library}, {many}{''.join(dict.fromkeys(error for _, error in pairs))})")
    return [f"{title}, with the worst ratio: {'; '.join(texts)}."]


# ---- docs/versus.md ---------------------------------------------------------------------------------------------------


def full(runs, known):
    """The document with every case."""
    lines = [
        "# Against other libraries",
        "",
        "Written by `python bench/versus.py`. Nanoseconds per element, the best of many rounds in turn. Each library is called in the",
        "fastest way that we found, see `bench/peers.py`.",
        "",
        MEANING,
        "",
        "![The speed-up over the fastest other library](versus.svg)",
    ]
    for run in runs:
        lines += ["", f"## {heading(run)}", "", *section(run, known)]
    lines += ["", "## Less exact libraries", "", *less_exact(runs, known)]
    return "\n".join(lines) + "\n"


def section(run, known):
    """Means, losses and the table of a run."""
    about = [THREADED, ""] if run["head"]["threads"] > 1 else []
    lines = [f"{reckoned.origin(run)}.", "", *about, "Geometric mean of the speed-ups of Cython:", ""]
    lines += [f"- {text}" for text in reckoned.means(run, known)]
    for title, entries in zip(reckoned.TITLES, reckoned.losses(run["cases"], known), strict=True):
        lines += ["", f"{title}: {len(entries) or 'none'}.", "", *(f"- {reckoned.lost_line(entry, known)}" for entry in entries)]
    lines = [line for place, line in enumerate(lines) if line or lines[place - 1]]
    return [*lines, "", *table(run, known)]


def table(run, known):
    """Every case: the two ratios, and the nanoseconds per element of everyone."""
    names = list(dict.fromkeys(name for record in run["cases"] for name in record["seconds"]))
    libraries = list(run["head"]["peers"])
    names.sort(key=lambda name: (not report.is_ours(name), name if report.is_ours(name) else libraries.index(name)))
    lines = ["| case | ratio | as exact | " + " | ".join(names) + " |", "|---|" + "---:|" * (len(names) + 2)]
    for record in run["cases"]:
        each = [f"{1e9 * record['seconds'][name] / record['elements']:.3g}" if name in record["seconds"] else "" for name in names]
        both = [reckoned.ratio(record), reckoned.ratio(record, without=known.inexact(record))]
        shown = [report.cell(value) if value < math.inf else "" for value in both]
        lines.append(f"| {record['case']} | " + " | ".join([*shown, *each]) + " |")
    return lines


def less_exact(runs, known):
    """Of each operation and dtype: who is less exact, and by how much."""
    found = {}
    for record in (record for run in runs for record in run["cases"]):
        words = found.setdefault(f"{record['op']} {record['dtype']}", {})
        words.update(known.inexact(record))
    texts = {name: ", ".join(f"{library} {error}" for library, error in words.items()) for name, words in found.items() if words}
    return [f"- {name}: {text}" for name, text in texts.items()] or ["None."]


# ---- the chart, and all of them ---------------------------------------------------------------------------------------


def chart(run, path):
    """The speed-up over the fastest other library: a bar per operation, its geometric mean, and a dot per case."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found = {}
    for record in run["cases"]:
        if reckoned.ratio(record) < math.inf:
            found.setdefault(record["op"], []).append(reckoned.ratio(record))
    with plt.rc_context({"svg.hashsalt": "versus", "font.size": 8}):
        figure, axes = plt.subplots(figsize=(7, 0.8 + 0.17 * len(found)))
        for place, values in enumerate(found.values()):
            value = reckoned.mean(values)
            axes.barh(place, math.log2(value), color="#4477aa" if value >= 1 else "#cc6677", alpha=0.75)
            axes.plot([math.log2(v) for v in values], [place] * len(values), ".", color="black", markersize=2.5)
        axes.axvline(0, color="black", linewidth=0.8)
        ticks = [t for t in range(-3, 9) if axes.get_xlim()[0] <= t <= axes.get_xlim()[1]]
        axes.set_xticks(ticks, [f"{2.0**t:g}" for t in ticks])
        axes.set_yticks(range(len(found)), found)
        axes.set_ylim(len(found) - 0.4, -0.6)
        axes.set_xlabel("times as fast as the fastest other library; a dot is a size and dtype")
        figure.tight_layout()
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def write(runs, known, root):
    """The table in the README, the document and the chart; `runs` by their number of threads, the first is what the tables show."""
    (root / "docs").mkdir(exist_ok=True)
    (root / "docs" / "versus.md").write_text(full(runs, known))
    chart(runs[0], root / "docs" / "versus.svg")
    report.put(root / "README.md", MARKS, compact(runs, known))
