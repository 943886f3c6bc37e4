"""Write the table of the Cython wing: for each operation in the register one kernel a dtype, made of one loop and its scalars."""

import pathlib
import re
import sys
import types

ROOT = pathlib.Path(__file__).resolve().parent.parent
MAP = "{T} *out, const {T} *a, const {T} *b, const {T} *c, const {T} *p, Py_ssize_t n"
ROWS = "{T} *out, const {T} *a, const {T} *b, const {T} *c, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride"
PICK = "{T} *out, Py_ssize_t *which, const {T} *x, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride"
PLACE = "{T} *out, const {T} *grad, const Py_ssize_t *which, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride"
ROW_LOSS = (
    "double *values, {T} *grad, const {T} *x, const {T} *t, const Py_ssize_t *labels, const double *at_label, double z_loss, "
    "double scale, Py_ssize_t n, Py_ssize_t width, Py_ssize_t stride"
)
LOOPS = {
    "normalise": ("a", "{op}_term", "{op}"),
    "shift": ("a", "{op}_term", "{op}_total", "{op}"),
    "reduce": ("a", "{op}_term", "{op}"),
    "contract": ("a, b", "{op}_term", "{op}"),
    "spread": ("a, b, c", "{op}"),
}


def load_register():
    """The register, filled by the reference pages, without compiled code: under a stub of the package."""
    if "fastact" not in sys.modules:
        stub = types.ModuleType("fastact")
        stub.__path__ = [str(ROOT / "fastact")]
        sys.modules["fastact"] = stub
    import fastact.reference
    import fastact.register

    return fastact.register.OPS


def elementwise(op, scalar, inputs, scaled=False):
    """The loop of an elementwise scalar of so many inputs, and its arguments."""
    count = len(op.params)
    loop = ("gradient" if scaled else f"map{inputs}") + (f"p{count}" if count else "")
    numbers = [f"p[{k}]" for k in range(count + scaled)]
    if not scaled and has_scalar(op, f"{op.name}_begin"):
        loop, scalar = loop.replace("map", "stages"), ", ".join(scalar.replace("[", f"{stage}[") for stage in ("_begin", "_end"))
    return f"{loop}({', '.join(['out', *'abc'[:inputs], *numbers, 'n', scalar])})"


def has_scalar(op, name):
    return f" {name}(" in (ROOT / "fastact" / "cython_kernels" / f"{op.page}.pxd").read_text()


def row_kernels(arguments, call, names):
    """The kernels of rows that follow one another and of rows side by side; only the latter are told a stride."""
    return [
        ("rows", arguments, f"{call.replace('(', '_rows(')}, n, width, {names})"),
        ("columns", arguments, f"{call.replace('(', '_columns(')}, n, width, stride, {names})"),
    ]


def kernels(op):
    """The kernels of an operation: ``(role, arguments, call)`` with ``{T}`` for the dtype."""

    def scalar(name):
        return f"{op.page}.{name}[{{T}}]"

    if op.kind == "rows":
        operands, *scalars = LOOPS[op.loop]
        names = ", ".join(scalar(s.format(op=op.name)) for s in scalars)
        return row_kernels(ROWS, f"{op.loop}(out, {operands}", names)
    if op.kind == "pick" and op.is_backward:
        return row_kernels(PLACE, "place(out, grad, which", scalar(op.name))
    if op.kind == "pick":
        return row_kernels(PICK, "pick(out, which, x", scalar(op.name))
    if op.kind == "row_loss":
        base = (op.forward or op).name
        names = ", ".join(scalar(base + suffix) for suffix in ("_term", "", "_gradient"))
        return row_kernels(ROW_LOSS, "row_loss(values, grad, x, t, labels, at_label, z_loss, scale", names)
    main = elementwise(op, scalar(op.name), len(op.inputs), scaled=op.kind == "loss" and op.is_backward)
    roles = [("main", MAP, main)]
    if op.kind == "channels" and op.is_backward:
        roles.append(("weight", MAP, elementwise(op, scalar(f"{op.name}_weight"), len(op.inputs) - 1)))
    return roles


def check_pages(ops):
    """Name the missing edit where an operation lacks a scalar on its page."""
    for op in ops.values():
        page = ROOT / "fastact" / "cython_kernels" / f"{op.page}.pxd"
        for _, _, call in kernels(op):
            for name in re.findall(rf"\b{op.page}\.(\w+)\[", call):
                if not has_scalar(op, name):
                    raise SystemExit(f"{op.name} is in the register but has no Cython scalar: add `cdef inline real {name}(...)` to {page}")


def table(ops):
    """The text of the table."""
    pages = ", ".join(dict.fromkeys(op.page for op in ops.values()))
    lines = ["# Written by tools/kernel_table.py from the register: do not edit.", "", f"from fastact.cython_kernels cimport {pages}", ""]
    entries = []
    for op in ops.values():
        roles = {}
        for role, arguments, call in kernels(op):
            for ctype, letter in (("float", "f"), ("double", "d")):
                name = f"{op.name}_{role}_{letter}"
                lines.append(f"cdef void {name}(\n    {arguments.format(T=ctype)}\n) noexcept nogil:")
                lines.append(f"    {call.format(T=ctype)}\n")
                roles.setdefault(role, []).append(f"<size_t>{name}")
        body = ", ".join(f'"{role}": ({", ".join(pair)})' for role, pair in roles.items())
        entries.append(f'    "{op.name}": {{{body}}},')
    return "\n".join([*lines, "", "kernels = {", *entries, "}", ""])


def write():
    """Write the table where the kernels include it, if it changed."""
    ops = load_register()
    check_pages(ops)
    path = ROOT / "fastact" / "cython_kernels" / "table.pxi"
    text = table(ops)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


if __name__ == "__main__":
    write()
