"""How the results of `versus.py` are reckoned: ratios to the fastest other library and to the fastest as exact, means, what is lost."""

import math

import report

LOST = 0.95  # of less than that is said "slower"


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


def ratios(records, backend="cython", only=None, known=None):
    """The finite ratios, to the fastest library, or to `only` this one; where errors are `known`, to the fastest as exact as we promise."""
    if only is None:
        found = [ratio(record, backend, known.inexact(record) if known else ()) for record in records]
    else:
        found = [others(r)[only] / ours(r, backend) for r in records if only in others(r) and ours(r, backend)]
    return [value for value in found if value < math.inf]


def mean(values):
    """The geometric mean; nan of nothing."""
    return report.mean(values) if values else math.nan


# ---- losses -----------------------------------------------------------------------------------------------------------


def losses(records, known, backend="cython"):
    """``(to libraries as exact, to less exact ones)``, each a list of ``(ratio, record, library)``, the worst first.

    A case that is lost to both kinds stands in both lists.
    """
    lost, beside = [], []
    for record in records:
        inexact = known.inexact(record)
        if ratio(record, backend, inexact) < LOST:
            lost.append((ratio(record, backend, inexact), record, fastest(record, inexact)[0]))
        if ratio(record, backend) < LOST and fastest(record)[0] in inexact:
            beside.append((ratio(record, backend), record, fastest(record)[0]))
    return [sorted(some, key=lambda entry: entry[0]) for some in (lost, beside)]


# ---- text -------------------------------------------------------------------------------------------------------------

AS_EXACT = "as exact as we promise"
TITLES = (
    f"Slower than a library that is as exact, or whose error is not known (ratio below {LOST})",
    "Slower than a library whose error is more than four times what we promise",
)


def line(record):
    """One case in a line: nanoseconds per element of all, and the ratio to the fastest other library."""
    each = {name: 1e9 * taken / record["elements"] for name, taken in record["seconds"].items()}
    times = ", ".join(f"{name} {value:.3g}" for name, value in sorted(each.items(), key=lambda pair: pair[1]))
    first = fastest(record)
    return f"{ratio(record):6.2f} {first[0] if first else 'none'}  {record['case']}  [{times}]"


def lost_line(entry, known, backend="cython"):
    """A loss in a sentence: to whom, how exact that is, and how near our kernel, of Cython, is to what the processor allows."""
    value, record, library = entry
    error = known.inexact(record).get(library)
    parts = [f"{value:.2f} {record['case']}: {library} ({record['hows'].get(library, '')}) is faster"]
    if error:
        parts.append(f"its error: {error}")
    elif known.nan_lost(record, library):
        parts.append("its values at nan or infinity are wrong")
    return "; ".join([*parts, *filter(None, [known.roof(record) if backend == "cython" else ""])])


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


def means(data, known):
    """Geometric means in lines: over the fastest library, over the fastest as exact, and over each, for Cython, Numba beside it."""
    records = data["cases"]
    chosen = {"the fastest library of all": {}, f"the fastest {AS_EXACT}": {"known": known}}
    chosen |= {name: {"only": name} for name in data["head"]["peers"]}
    lines = []
    for title, which in chosen.items():
        values = ratios(records, **which)
        if values:
            beside = ratios(records, "numba", **which)
            more = f" (Numba {mean(beside):.2f})" if beside else ""
            lines.append(f"over {title}: {mean(values):.2f}{more}, {len(values)} cases, slower in {sum(v < LOST for v in values)}")
    return lines


def summary(data, known):
    """What a run ends with."""
    parts = [origin(data), "", "Geometric mean of the speed-ups of Cython", *means(data, known)]
    for backend in ("cython", "numba"):
        for title, entries in zip(TITLES, losses(data["cases"], known, backend), strict=True):
            parts += ["", f"{title}, {backend.title()}: {len(entries) or 'none'}", *(f"  {lost_line(e, known, backend)}" for e in entries)]
    return "\n".join(parts)
