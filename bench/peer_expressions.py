"""NumPy, numexpr and SciPy as peers: the register's NumPy expression, written into a prepared array, and functions by name."""

import ast
import functools

import numpy as np
import peers

from fastact import measure

HOWS = (peers.OUT, peers.IN_PLACE)
OPERATORS = {ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide", ast.USub: "negative"}
INSTEAD = {"clip": "minimum(maximum({}, {}), {})", "logaddexp": "maximum({0}, {1}) + log1p(exp(-abs({0} - {1})))"}


class NumPy(peers.Library):
    name, version = "numpy", np.__version__

    def set_threads(self, count):
        """Elementwise functions of NumPy use one thread."""

    def ways(self, op, dtype, axis):
        text = last_into_out(op.numpy)
        if text and op.kind == "map":
            function = eval(f"lambda {', '.join(op.inputs)}, *, out: {text}", {"np": np, **measure.defaults(op)})
            yield peers.Way("the last operation with out=", lambda arrays, out: functools.partial(function, *arrays, out=out), HOWS)
        usual = peers.expression(op, np, axis)
        yield peers.Way("the expression", lambda arrays, out: functools.partial(usual, *arrays))


def last_into_out(text):
    """The expression with its outermost operation as a ufunc that writes to `out`; "" where that is no ufunc."""
    top = ast.parse(text, mode="eval").body
    operands = {ast.BinOp: ("left", "right"), ast.UnaryOp: ("operand",)}.get(type(top))
    if operands and type(top.op) in OPERATORS:
        called = ast.parse(f"np.{OPERATORS[type(top.op)]}", mode="eval").body
        top = ast.Call(called, [getattr(top, operand) for operand in operands], [])
    called = getattr(np, getattr(getattr(top, "func", None), "attr", ""), None)
    if not (isinstance(top, ast.Call) and (isinstance(called, np.ufunc) or called is np.clip)):
        return ""
    return ast.unparse(ast.Call(top.func, top.args, [*top.keywords, ast.keyword("out", ast.Name("out"))]))


class Numexpr(peers.Library):
    name = "numexpr"

    def __init__(self):
        import numexpr

        self.numexpr, self.version = numexpr, numexpr.__version__

    def set_threads(self, count):
        self.numexpr.set_num_threads(count)

    def ways(self, op, dtype, axis):
        """Float literals are double to numexpr: float32 is computed in float64 there, which costs it nothing (it calls the libm)."""
        if op.kind != "map":
            return
        kinds = self.numexpr.necompiler.type_to_kind
        kind = next(kind for kind, word in kinds.items() if word == {"float32": "float", "float64": "double"}[dtype.name])
        text = ast.unparse(Numexpr.Rewrite(measure.defaults(op)).visit(ast.parse(op.numpy, mode="eval")))
        try:
            run = self.numexpr.NumExpr(text, [(name, kind) for name in op.inputs]).run
        except Exception:  # numexpr has no such function
            return
        more = {"casting": "same_kind", "order": "K", "ex_uses_vml": False}
        yield peers.Way(text, lambda arrays, out: functools.partial(run, *arrays, out=out, **more), HOWS)

    class Rewrite(ast.NodeTransformer):
        """A NumPy expression as numexpr reads it: no prefix, no names within, numbers for parameters."""

        def __init__(self, values):
            self.values = values

        def visit_Call(self, node):
            self.generic_visit(node)
            if not isinstance(node.func, ast.Attribute):
                return node
            name, texts = node.func.attr, [f"({ast.unparse(a)})" for a in node.args]
            if name == "astype":
                return ast.parse(f"where({ast.unparse(node.func.value)}, 1, 0)", mode="eval").body
            return ast.parse(INSTEAD[name].format(*texts) if name in INSTEAD else f"{name}({', '.join(texts)})", mode="eval").body

        def visit_NamedExpr(self, node):
            self.generic_visit(node)
            self.values = {**self.values, node.target.id: node.value}
            return node.value

        def visit_Name(self, node):
            value = self.values.get(node.id, node)
            return value if isinstance(value, ast.AST) else ast.Constant(value)


class SciPy(peers.Library):
    name = "scipy"

    def __init__(self):
        import scipy.special

        self.special, self.version = scipy.special, scipy.__version__

    def set_threads(self, count):
        """The functions of scipy.special use one thread."""

    def ways(self, op, dtype, axis):
        for label, function in peers.lookup(op, {"scipy.special": self.special}):
            if isinstance(function, np.ufunc):
                yield peers.Way(label, lambda arrays, out, f=function: functools.partial(f, *arrays, out=out), HOWS)
            for more, keywords in peers.spellings(op, axis):
                yield peers.Way(label, lambda arrays, out, f=function, m=more, k=keywords: functools.partial(f, *arrays, *m, **k))
