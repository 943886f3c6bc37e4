"""How the errors in docs/accuracy.json are shown: the figures of docs/accuracy.md, and the README's errors, ours and others'."""

import json

from kernel_table import ROOT

STORE = ROOT / "docs" / "accuracy.json"
BEST, PLAIN = "cython v3", "cython v2"  # levels with a fused multiply-add, whose bits v4 and Numba share, and without
LARGE = 1e5  # ulp: beyond this it matters little how much

README_PEERS = """\
The worst error of the forward passes in float32 in units in the last place, over normal results: ours over every input, that of the
others over one bit pattern in {stride}. `>1e5`: off by more than 100 000 units somewhere, most often where a small result cancels or is
flushed to 0; `nan/inf`: nan or infinite where it should not be, or the other way round; `-`: no such function. For NumPy and numexpr the
usual expression is taken, which numexpr partly computes in float64. At which inputs, and the backward passes: `docs/accuracy.md`.

"""
ELEMENTWISE = """\
The worst error in ulp. float32 was swept over every bit pattern{partly}; float64 over {doubles} points at most, float16 and
bfloat16 over all their numbers, on v3. {numba}
{specials} In half precision 0.5 is a correct rounding.

"""
ROWS = """\
### Rows

`ulp`: of the result, or of the largest term where terms cancel. `eps`: the relative error, of the largest term where terms are added.
`share`: of the error promised, `(4 + max(x) - x) eps` of each exponential and 4 eps of the terms; more than 1 breaks it.

"""
PEERS = """\
### Other libraries

The worst error in ulp in {dtype}, of normal / subnormal results, over one bit pattern in {stride}; where it is large, at which input.
`nan/inf`: how many results were wrongly nan or infinite, or wrongly not; `zeros`: how many were zeros of the other sign. Backward passes
that read another array than ours are left out.

"""
MACHINE = "Measured on an {processor} ({supports}) with {compiler}, Python {python}, {packages}."


def load():
    """The stored figures; {} where there are none."""
    return json.loads(STORE.read_text(encoding="utf-8")) if STORE.exists() else {}


def figure(error):
    """An error as it is printed."""
    error = float(error)
    return "0" if error == 0 else f"{error:.2f}" if error < 100 else f"{error:.0f}" if error < LARGE else f"{error:.0e}".replace("e+0", "e")


def star(record):
    """A mark for what was not swept exhaustively."""
    return "\\*" if record.get("stride", 1) != 1 else ""


def own(store, name, dtype="float32", backend=BEST):
    """The record of one of our functions; {} where there is none."""
    return store.get("elementwise", {}).get(name, {}).get(dtype, {}).get(backend, {})


def worst(record):
    """The worst error over all results, as text; empty where there is no record."""
    return f"{figure(max(float(record['normal']), float(record['subnormal'])))}{star(record)}" if "normal" in record else ""


def table(head, lines, right=1):
    """A table in Markdown, its columns from `right` on aligned to the right."""
    rule = ["---"] * right + ["--:"] * (len(head) - right)
    return "\n".join(f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in (head, rule, *lines))


# ---- the README -------------------------------------------------------------------------------------------------------


def readme_error(store, op):
    """The error in the README's table of functions: found, float32, forward and backward; where no sweep is, promised."""
    found = worst(own(store, op.name))
    if found:
        backward = worst(own(store, op.backward_op.name)) if op.backward_op else ""
        return f"{found} ({backward})" if backward else found
    promised = op.promise or f"{op.ulp[0]:g} / {op.ulp[1]:g}"
    if op.backward_op is not None and not op.promise:
        promised += f" ({op.backward_op.ulp[0]:g} / {op.backward_op.ulp[1]:g})"
    return f"at most {promised}"


def reached(record):
    """What another library reaches, as a word or number."""
    if not record:
        return "-"
    if record.get("wrong"):
        return "nan/inf"
    return figure(record["normal"]) if float(record["normal"]) < LARGE else ">1e5"


def readme_peers(store, ops):
    """The README's table of what others reach forward; empty where nothing is known of them."""
    peers = store.get("peers", {})
    found = peers.get("functions", {})
    libraries = [name for name, version in peers.get("versions", {}).items() if any(name in found[f] for f in found)]
    lines = []
    for op in ops.values():
        if op.name in found and not op.is_backward:
            ours = own(store, op.name)
            lines.append([f"`{op.name}`", figure(ours["normal"]) + star(ours), *(reached(found[op.name].get(name)) for name in libraries)])
    if not lines:
        return ""
    heads = [f"{name} {peers['versions'][name].partition('+')[0]}" for name in libraries]
    return README_PEERS.format(**peers) + table(["function", "fastact", *heads], lines)


# ---- docs/accuracy.md -------------------------------------------------------------------------------------------------


def promised(op):
    return f"{op.ulp[0]:g}" if op.ulp[0] == op.ulp[1] else f"{op.ulp[0]:g} / {op.ulp[1]:g}"


def elementwise(store, ops):
    """The table of our elementwise functions."""
    head = ["", "promised", "float32, v3: normal", "subnormal", "other bits on v2", "float32, v2", "float64", "float16", "bfloat16"]
    lines = []
    for name in store.get("elementwise", {}):
        best, plain = own(store, name), own(store, name, backend=PLAIN)
        differ = {0: "none"}.get(plain.get("differ"), f"{plain['differ']:,}") if "differ" in plain else ""
        second = worst(plain) or (worst(best) if differ == "none" else "")
        narrow = [worst(own(store, name, dtype)) for dtype in ("float64", "float16", "bfloat16")]
        mine = [f"{figure(best[kind])}{star(best)}" for kind in ("normal", "subnormal")] if best else ["", ""]
        lines.append([name, promised(ops[name]), *mine, differ, second, *narrow])
    return table(head, lines)


def points(store, dtype):
    """How many points of a dtype were judged, at most, in words."""
    counts = [own(store, name, dtype).get("points", 0) for name in store.get("elementwise", {})]
    return f"{max(counts, default=0):,}"


def elementwise_said(store):
    """What must be known to read the table, all of it from the figures themselves."""
    found = store["elementwise"]
    strides = {record.get("stride", 1) for kinds in found.values() for record in kinds.get("float32", {}).values()} - {1}
    unlike = [name for name, kinds in found.items() if any(backends.get("numba", {}).get("differ") for backends in kinds.values())]
    wrong = sum(own(store, name).get("wrong", 0) for name in found)
    return ELEMENTWISE.format(
        partly=f"; \\* one in {', '.join(map(str, sorted(strides)))}" if strides else "",
        doubles=points(store, "float64"),
        numba=f"Numba gave other bits in {', '.join(unlike)}." if unlike else "Numba gave the same bits wherever it was compared.",
        specials=f"{wrong:,} results were wrongly nan or infinite." if wrong else "No result was wrongly nan or infinite, or wrongly not.",
    )


def rows(store):
    """The table of the functions of rows."""
    lines = []
    for name, kinds in store["rows"].items():
        for dtype, backends in kinds.items():
            best, plain = backends.get(BEST, {}), backends.get(PLAIN, {})
            if best:
                shown = [figure(best[what]) for what in ("ulp", "eps", "share")]
                shown[-1] = shown[-1] if float(best["share"]) <= 1 else f"**{shown[-1]}**"
                total = f"{float(best['sum']):.1e}" if best["sum"] else ""
                second = figure(plain["share"]) if "share" in plain else shown[-1] if plain.get("differ") == 0 else ""
                lines.append([name, dtype, *shown, total, best.get("at", ""), second])
    return table(["", "dtype", "ulp", "eps", "share of the promise", "row sum off 1 by", "worst share at", "share on v2"], lines, 2)


def peer_cell(record):
    """What is known of another library's function: errors of normal and subnormal results, and what else is wrong."""
    if not record:
        return "-"
    more = [f"{record[name]:,} {word}" for name, word in (("wrong", "nan/inf"), ("zeros", "zeros")) if record.get(name)]
    at = f" at {float(record['at']):.4g}" if float(record["normal"]) >= LARGE or float(record["subnormal"]) >= LARGE else ""
    return ", ".join([f"{figure(record['normal'])} / {figure(record['subnormal'])}{at}", *more])


def peer_table(store):
    """The table of the other libraries, forward and backward."""
    peers = store["peers"]
    libraries = [name for name in peers["versions"] if any(name in found for found in peers["functions"].values())]
    lines = [[name, *(peer_cell(found.get(library)) for library in libraries)] for name, found in peers["functions"].items()]
    return table(["", *(f"{name} {peers['versions'][name]}" for name in libraries)], lines)


def figures(store, ops):
    """The section of docs/accuracy.md."""
    if "elementwise" not in store:
        return ""
    machine = store["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    parts = [elementwise_said(store) + elementwise(store, ops)]
    if "rows" in store:
        parts.append(ROWS + rows(store))
    if "peers" in store:
        parts.append(PEERS.format(**store["peers"]) + peer_table(store))
    parts.append(MACHINE.format(**machine, packages=packages))
    return "\n\n".join(parts)
