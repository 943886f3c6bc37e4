"""How the results of `versus.py` are told: ratios to the fastest other library, their means, what is lost, tables and a chart."""

import json
import math
import statistics

import report

import fastact as fa

MARKS = "<!-- versus: written by bench/versus.py -->", "<!-- end of versus -->"
LOST = 0.95
INEXACT = 4  # a peer's error counts as far above the bar from so many times the error that we promise
COLUMNS = (10_000, 1_000_000)  # of the README's table
NEAR = 1.5  # a case stands in the column of a size if it is within this factor of it


# ---- ratios -----------------------------------------------------------------------------------------------------------


def ours(record, backend="cython"):
    """The seconds of one of our backends, in place or into prepared memory, whichever is faster; None where it was not timed."""
    return min((taken for label, taken in record["seconds"].items() if label.partition(" ")[0] == backend), default=None)


def others(record, without=()):
    """``{library: seconds}`` of the other libraries."""
    return {name: taken for name, taken in record["seconds"].items() if not report.is_ours(name) and name not in without}


def fastest(record, without=()):
    """``(library, seconds)`` of the fastest of the others; None where there is none."""
    return min(others(record, without).items(), key=lambda pair: pair[1], default=None)


def ratio(record, backend="cython", without=()):
    """How many times as long as one of our backends the fastest other library takes; inf where there is none."""
    first, mine = fastest(record, without), ours(record, backend)
    return first[1] / mine if first and mine else math.inf


def ratios(records, backend="cython", only=None):
    """The finite ratios, to the fastest library, or to `only` this one."""
    if only is None:
        found = [ratio(record, backend) for record in records]
    else:
        found = [others(r)[only] / ours(r, backend) for r in records if only in others(r) and ours(r, backend)]
    return [value for value in found if value < math.inf]


def mean(values):
    """The geometric mean; nan of nothing."""
    return report.mean(values) if values else math.nan


# ---- losses -----------------------------------------------------------------------------------------------------------


def peer_errors(path):
    """``{library: {operation: worst error in ulp, float32}}`` of the other libraries, as far as the file has them."""
    return json.loads(path.read_text()).get("peers", {}) if path.exists() else {}


def inexact(record, errors):
    """The libraries whose measured error in this operation is far above what we promise of it; measured in float32."""
    bar = INEXACT * max(fa.ops[record["op"]].ulp[0], 1)
    worst = {name: errors.get(name, {}).get(record["op"]) for name in others(record)}
    return {name: ulp for name, ulp in worst.items() if ulp is not None and not ulp <= bar and record["dtype"] == "float32"}


def losses(records, errors, backend="cython"):
    """``(lost, lost only to libraries that are inexact)``, each a list of ``(ratio, record, library)``, the worst first."""
    lost, excused = [], []
    for record in records:
        if ratio(record, backend) < LOST:
            rest = inexact(record, errors)
            if ratio(record, backend, rest) < LOST:
                lost.append((ratio(record, backend, rest), record, fastest(record, rest)[0]))
            else:
                excused.append((ratio(record, backend), record, fastest(record)[0]))
    return [sorted(some, key=lambda entry: entry[0]) for some in (lost, excused)]


# ---- text -------------------------------------------------------------------------------------------------------------


def line(record):
    """One case in a line: nanoseconds per element of all, and the ratio to the fastest other library."""
    each = {name: 1e9 * taken / record["elements"] for name, taken in record["seconds"].items()}
    times = ", ".join(f"{name} {value:.3g}" for name, value in sorted(each.items(), key=lambda pair: pair[1]))
    first = fastest(record)
    return f"{ratio(record):6.2f} {first[0] if first else 'none'}  {record['case']}  [{times}]"


def lost_line(entry):
    value, record, library = entry
    return f"{value:.2f} {record['case']} ({library}: {record['hows'].get(library, '')})"


def origin(data):
    """Where and with what it was measured."""
    head = data["head"]
    found = ", ".join(f"{name} {version}" for name, version in head["peers"].items() if version != "absent")
    absent = [name for name, version in head["peers"].items() if version == "absent"]
    on = f"{head['threads']} core{'s' if head['threads'] > 1 else ''} of {head['processor']}"
    more = f"; not installed: {', '.join(absent)}" if absent else ""
    return f"{on}, fastact {head['ours']['fastact']} ({head['ours']['cython']}), {found}{more}" + (
        f", {head['date']}" if head.get("date") else ""
    )


def means(data):
    """Geometric means in lines: over the fastest library, and over each, for Cython, Numba beside it."""
    records = data["cases"]
    lines = []
    for title, only in [("the fastest of them", None), *((name, name) for name in data["head"]["peers"])]:
        values = ratios(records, only=only)
        if values:
            beside = ratios(records, "numba", only)
            more = f" (Numba {mean(beside):.2f})" if beside else ""
            lines.append(f"over {title}: {mean(values):.2f}{more}, {len(values)} cases, slower in {sum(v < LOST for v in values)}")
    return lines


def summary(data, errors):
    """What the run ends with."""
    lost, excused = losses(data["cases"], errors)
    parts = [origin(data), "", "Geometric mean of the speed-ups of Cython", *means(data), ""]
    parts += [f"Slower than the fastest library (ratio below {LOST}), Cython: {len(lost) or 'none'}"]
    parts += [f"  {lost_line(entry)}" for entry in lost]
    if excused:
        parts += ["Slower only than a library whose error is far above the bar:", *(f"  {lost_line(entry)}" for entry in excused)]
    beside = [entry for some in losses(data["cases"], errors, "numba") for entry in some]
    parts += [f"The same for Numba: {len(beside) or 'none'}", *(f"  {lost_line(entry)}" for entry in beside)]
    return "\n".join(parts)


# ---- documents --------------------------------------------------------------------------------------------------------


def cell(records):
    """The geometric mean of some cases, and the library that is the fastest of the others in all or most of them."""
    values = ratios(records)
    if not values:
        return ""
    names = [fastest(record)[0] for record in records if fastest(record)]
    return f"{report.cell(mean(values))} {statistics.mode(names)}"


def compact(data, errors):
    """What stands in the README: a line a function in float32, means, losses."""
    keys = [(backward, size) for backward in (False, True) for size in COLUMNS]
    titles = [f"{'backward' if backward else 'forward'} {size:,}".replace(",", " ") for backward, size in keys]
    lines = [f"Measured on {origin(data)}.", "", "| function | " + " | ".join(titles) + " |", "|---|" + "---:|" * len(keys)]
    records = [record for record in data["cases"] if record["dtype"] == "float32"]
    columns = {key: [r for r in records if r["backward"] == key[0] and 1 / NEAR < r["elements"] / key[1] < NEAR] for key in keys}
    for name in dict.fromkeys(record["forward"] for record in records):
        rows = [cell([record for record in columns[key] if record["forward"] == name]) for key in keys]
        lines.append(f"| `{name}` | " + " | ".join(rows) + " |")
    lines.append("| geometric mean | " + " | ".join(report.cell(mean(ratios(columns[key])) or None) for key in keys) + " |")
    lost, excused = losses(data["cases"], errors)
    lines += ["", f"Geometric means over all {len(data['cases'])} cases, both dtypes, all sizes:", ""]
    lines += [f"- {text}" for text in means(data)]
    lines += ["", *told("Slower than the fastest library", lost)]
    if excused:
        lines += ["", *told("Slower only than a library whose error is far above the bar of the table of functions", excused)]
    return "\n".join(lines)


def told(title, entries):
    """Losses by operation, for the README: the cases stand in docs/versus.md."""
    if not entries:
        return [f"{title}: none."]
    found = {}
    for value, record, library in entries:
        found.setdefault((record["op"], library), []).append(value)
    texts = [f"`{op}` ({library}, {len(v)} case{'s' * (len(v) > 1)}, {min(v):.2f})" for (op, library), v in found.items()]
    return [f"{title}, with the worst ratio: {'; '.join(texts)}."]


def full(data, errors):
    """The document with every case."""
    lost, excused = losses(data["cases"], errors)
    names = list(dict.fromkeys(name for record in data["cases"] for name in record["seconds"]))
    names.sort(key=lambda name: (not report.is_ours(name), list(data["head"]["peers"]).index(name) if not report.is_ours(name) else name))
    lines = [
        "# Against other libraries",
        "",
        f"Written by `python bench/versus.py`. {origin(data)}.",
        "",
        "Nanoseconds per element, the best of many rounds in turn. The ratio is the time of the fastest other library by ours (Cython, in",
        "place or into prepared memory), so more than 1 is ahead. Each library is called in the fastest way that we found, see",
        "`bench/peers.py`.",
        "",
        "![The speed-up over the fastest other library](versus.svg)",
        "",
        "Geometric mean of the speed-ups of Cython:",
        "",
        *(f"- {text}" for text in means(data)),
        "",
        f"Slower than the fastest library (ratio below {LOST}): {len(lost) or 'none'}.",
        "",
        *(f"- {lost_line(entry)}" for entry in lost),
        "",
    ]
    if excused:
        lines += ["Slower only than a library whose error is far above the bar:", "", *(f"- {lost_line(entry)}" for entry in excused), ""]
    lines += ["| case | ratio | " + " | ".join(names) + " |", "|---|" + "---:|" * (len(names) + 1)]
    for record in data["cases"]:
        each = [f"{1e9 * record['seconds'][name] / record['elements']:.3g}" if name in record["seconds"] else "" for name in names]
        lines.append(f"| {record['case']} | {report.cell(ratio(record)) if fastest(record) else ''} | " + " | ".join(each) + " |")
    return "\n".join(lines) + "\n"


def chart(data, path):
    """The speed-up over the fastest other library: a bar per operation, its geometric mean, and a dot per case."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found = {}
    for record in data["cases"]:
        if ratio(record) < math.inf:
            found.setdefault(record["op"], []).append(ratio(record))
    with plt.rc_context({"svg.hashsalt": "versus", "font.size": 8}):
        figure, axes = plt.subplots(figsize=(7, 0.8 + 0.17 * len(found)))
        for place, values in enumerate(found.values()):
            value = mean(values)
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


def write(data, errors, root):
    """The table in the README, the document and the chart."""
    (root / "docs").mkdir(exist_ok=True)
    (root / "docs" / "versus.md").write_text(full(data, errors))
    chart(data, root / "docs" / "versus.svg")
    report.put(root / "README.md", MARKS, compact(data, errors))
