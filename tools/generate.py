"""Write what is derived from the register and the stored errors: stubs, the README's tables of functions and of errors, and the figures
of docs/accuracy.md. ``--check`` only compares.
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import accuracy_tables
from kernel_table import ROOT, load_register

HEADER = '''# Written by tools/generate.py from the register: do not edit.
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastact.register import Op

__version__: str
__all__: list[str]
ops: Mapping[str, Op]

class Function:
    op: Op
    backend: str
    __name__: str

def get_backend(name: str | None = None, *, level: str | None = None) -> SimpleNamespace: ...
def set_backend(name: str, *, level: str | None = None) -> None: ...
def backend(name: str, *, level: str | None = None) -> AbstractContextManager[None]: ...
def warm_up(names: str | Iterable[str] | None = None, *, dtypes: DTypeLike | Iterable[DTypeLike] = ...) -> None: ...
def get_num_threads() -> int: ...
def set_num_threads(count: int) -> None: ...
def threads(count: int) -> AbstractContextManager[None]: ...
def show_config() -> None: ...
'''
TYPES = {
    "out": "NDArray[Any] | tuple[NDArray[Any], ...] | None = None",
    "where": "ArrayLike = True",
    "dtype": "DTypeLike | None = None",
    "casting": 'str = "same_kind"',
    "order": 'str = "K"',
    "reduction": 'Literal["mean", "sum", "none"] = "mean"',
    "axis": "int = {}",
    "keepdims": "bool = {}",
    "weight": "ArrayLike | None = None",
    "ignore_index": "int = -100",
    "label_smoothing": "float = 0.0",
    "z_loss": "float = 0.0",
}


def arguments(op):
    """The arguments of a public function as they stand in a stub."""
    from fastact.docstrings import BOTH, POSITIONAL, keywords, signature

    parameters = signature(op).parameters.values()
    names = {name for name, _ in keywords(op)}
    parts = []
    for p in parameters:
        if p.kind is POSITIONAL:
            parts.append(f"{p.name}: ArrayLike")
        elif p.name in op.options and op.kind == "rows" and p.name == "axis":
            parts.append(f"axis: int | tuple[int, ...] | None = {p.default!r}")
        elif p.name in TYPES and (p.name in names or p.name in op.options):
            parts.append(f"{p.name}: {TYPES[p.name].format(repr(p.default))}")
        else:
            numbers = "float" if op.page == "losses" else "float | NDArray[Any]"
            parts.append(f"{p.name}: {numbers}" + ("" if p.default is p.empty else f" = {p.default!r}"))
    last_positional = sum(p.kind is POSITIONAL for p in parameters)
    first_keyword = sum(p.kind in (POSITIONAL, BOTH) for p in parameters)
    parts.insert(last_positional, "/")
    if first_keyword < len(parameters):
        parts.insert(first_keyword + 1, "*")
    return ", ".join(parts)


def result(op):
    if op.kind == "pick" and not op.is_backward:
        return "tuple[NDArray[Any], NDArray[np.intp]]"
    if op.kind == "channels" and op.is_backward:
        return "tuple[NDArray[Any], NDArray[Any]]"
    if op.page == "losses":
        return "tuple[Any, NDArray[Any]]" if op.is_backward else "Any"
    return "NDArray[Any]"


def stubs(public):
    lines = [HEADER]
    made = {}
    for name, op in public.items():
        if op.name not in made:
            made[op.name] = f"_{name}"
            lines.append(f"class _{name}(Function):")
            if op.kind in ("map", "rows", "channels"):
                lines.append("    ufunc: np.ufunc")
            lines.append(f"    def __call__(self, {arguments(op)}) -> {result(op)}: ...\n")
        lines.append(f"{name}: {made[op.name]}")
    return "\n".join([*lines, ""])


def reads(op):
    backward = op.backward_op
    if op.page == "losses" or backward is None:
        return "the input"
    return {("y",): "**the output**", ("x",): "the input"}.get(op.reads, ", ".join(op.reads))


def table(ops, store):
    """The README's table: what each function computes, what its backward reads, and its error."""
    lines = ["| function | formula | parameters | backward reads | worst error in ulp, float32 (backward) |", "|---|---|---|---|---|"]
    for op in ops.values():
        if op.is_backward:
            continue
        alias = "".join(f", `{name}`" for name in op.alias)
        options = [f"{name}={value!r}" for name, value in op.options.items()]
        params = ", ".join(f"`{text}`" for text in [*map(repr, op.params), *options])
        error = accuracy_tables.readme_error(store, op)
        formula = op.formula.replace("|", "\\|")
        lines.append(f"| `{op.name}`{alias} | `{formula}` | {params} | {reads(op)} | {error} |")
    return "\n".join(lines)


def between(text, name, made):
    """A text with what stands between two marks made anew."""
    first, last = f"<!-- {name}: written by tools/generate.py -->", f"<!-- end of {name} -->"
    before, found, rest = text.partition(first)
    _, ended, after = rest.partition(last)
    if not (found and ended):
        raise SystemExit(f"the marks {first} and {last} are missing")
    return f"{before}{first}\n{made}\n{last}{after}"


def outputs():
    """Every generated file and its text."""
    ops, store = load_register(), accuracy_tables.load()
    from fastact.register import public_ops

    readme, figures = ROOT / "README.md", ROOT / "docs" / "accuracy.md"
    text = between(readme.read_text(encoding="utf-8"), "functions", table(ops, store))
    return {
        ROOT / "fastact" / "__init__.pyi": stubs(public_ops()),
        readme: between(text, "errors of others", accuracy_tables.readme_peers(store, ops)),
        figures: between(figures.read_text(encoding="utf-8"), "figures", accuracy_tables.figures(store, ops)),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail where a file is not up to date")
    check = parser.parse_args().check
    stale = {path: text for path, text in outputs().items() if not path.exists() or path.read_text() != text}
    if check:
        if stale:
            raise SystemExit(f"not up to date: {', '.join(path.name for path in stale)}; run python tools/generate.py")
        return
    for path, text in stale.items():
        path.write_text(text)
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
