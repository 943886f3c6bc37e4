"""Put what sweeps found into docs/accuracy.json, the one place from which README and docs/accuracy.md take their errors.

    python tools/publish_accuracy.py FILE...      # written by `python -m fastact accuracy --json` or `bench/peer_accuracy.py --json`

A figure replaces the one of the same function, dtype and backend; all others stay. Then run tools/generate.py.
"""

import argparse
import json
import math
import sys

from accuracy_tables import LARGE, STORE, load
from kernel_table import load_register

ROW_FIGURES = ("ulp", "eps", "share", "sum")
FAR = 4  # ulp of another library's function, beyond which its place is told
DTYPES = ("float32", "float64", "float16", "bfloat16")


def above(number):
    """A figure with three decimals, or three digits where it is small: never less than what was found."""
    if not 0 < number < math.inf:
        return number if number == 0 else str(number)
    digits = max(3, 2 - math.floor(math.log10(number)))
    return float(f"{math.ceil(number * 10**digits) / 10**digits:.{digits}f}")


def errors(entry):
    """The worst errors, and how many special values and zeros are wrong, if any."""
    counts = {name: entry[name] for name in ("wrong", "zeros") if entry[name]}
    return {"normal": above(entry["worst_normal"]), "subnormal": above(entry["worst_subnormal"]), **counts}


def elementwise(store, run, entry):
    """Add a function's sweep: of the backend that was swept, and of those beside it."""
    kept = store.setdefault("elementwise", {}).setdefault(entry["name"], {}).setdefault(run["dtype"], {})
    size = {"stride": run["stride"]} if run["dtype"] == "float32" else {"points": entry["points"]}
    compared = {"differ": kept[run["measured"]]["differ"]} if "differ" in kept.get(run["measured"], {}) else {}
    kept[run["measured"]] = {**errors(entry), **size, **compared}
    for name, count in entry["differ"].items():
        if not count:  # the same bits, so the same errors
            kept[name] = {"differ": 0}
        elif name in entry.get("beside", {}):
            kept[name] = {**errors(entry["beside"][name]), **size, "differ": count}
        else:
            kept[name] = {**kept.get(name, {}), "differ": count}


def rows(store, run, entry):
    """Add what was found of a function of rows."""
    kept = store.setdefault("rows", {}).setdefault(entry["name"], {}).setdefault(run["dtype"], {})
    at = {"at": entry["at"]["share"]} if "share" in entry["at"] else {}
    kept[run["measured"]] = {**{name: above(entry[name]) for name in ROW_FIGURES}, **at}
    for name, figures in entry["beside"].items():
        same = {} if not figures["differ"] else {figure: above(figures[figure]) for figure in ROW_FIGURES}
        kept[name] = {**same, "differ": figures["differ"]}


def other(entry):
    """The record of another library's function; where it is far off, the input too."""
    record = errors(entry)
    if max(float(record["normal"]), float(record["subnormal"])) >= LARGE:
        record["at"] = entry["at"]
    record["ordinary"] = above(entry["ordinary"])
    if float(record["ordinary"]) >= FAR:
        record["ordinary_at"] = entry["ordinary_at"]
    return record


def of_rows(entry):
    """The record of another library's function of rows: the share of what we promise grows with the length, at rows of some kind."""
    shares, last = {}, None
    for n, (share, kind) in entry["shares"].items():
        if above(share) != last:
            shares[n] = [last := above(share), kind]
    return {"ulp": above(entry["ulp"]), "shares": shares}


def peers(store, run):
    """Add what was found of other libraries in one dtype: float32 stands where it always did, float64 and rows beside it."""
    kept = store.setdefault("peers", {})
    if run["dtype"] == "float32":
        if kept.get("stride") != run["stride"]:
            kept["functions"] = {}  # figures of another sweep would stand beside these
        kept |= {"dtype": run["dtype"], "stride": run["stride"]}
    kept["versions"] = run["versions"]
    functions = kept.setdefault("functions" if run["dtype"] == "float32" else run["dtype"], {})
    for name, found in run["peers"].items():
        functions[name] = {library: other(entry) for library, entry in found.items()}
    for name, found in run["rows"].items():
        kept.setdefault("rows", {}).setdefault(name, {})[run["dtype"]] = {library: of_rows(entry) for library, entry in found.items()}


def publish(store, run):
    """Add a file of findings to the store."""
    if "peers" in run:
        peers(store, run)
        return
    config = run["config"]
    machine = {name: config[name] for name in ("processor", "supports", "compiler", "python")}
    before = store.get("machine", {}).get("versions", {})
    store["machine"] = machine | {"versions": {**before, "numpy": config["numpy"], **run.get("versions", {})}}
    for entry in run["results"]:
        elementwise(store, run, entry)
    for entry in run.get("rows", []):
        rows(store, run, entry)


def ordered(store, names):
    """The store with its functions in the order of the register, and their dtypes; functions that are no more are left out."""

    def known(found, keys):
        return {key: found[key] for key in keys if key in found}

    parts = {}
    for part in known(store, ("elementwise", "rows")):
        parts[part] = {name: known(kinds, DTYPES) for name, kinds in known(store[part], names).items()}
    if "peers" in store:
        parts["peers"] = {**store["peers"]}
        for part in known(store["peers"], ("functions", "float64", "rows")):
            parts["peers"][part] = known(store["peers"][part], names)
    return {"machine": store.get("machine", {}), **parts}


def text(value, depth=3, indent=0):
    """JSON with a line for each function and dtype: to be read, and to give small differences."""
    if depth == 0 or not isinstance(value, dict) or not any(isinstance(part, dict) for part in value.values()):
        return json.dumps(value)
    lines = [f"{' ' * (indent + 1)}{json.dumps(name)}: {text(part, depth - 1, indent + 1)}" for name, part in value.items()]
    return "{\n" + ",\n".join(lines) + "\n" + " " * indent + "}"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=argparse.FileType(encoding="utf-8"), metavar="FILE")
    files = parser.parse_args(argv).files
    store = load()
    for file in files:
        publish(store, json.load(file))
    STORE.write_text(text(ordered(store, load_register())) + "\n", encoding="utf-8")
    print(f"wrote {STORE.name}; now run tools/generate.py")


if __name__ == "__main__":
    sys.exit(main())
