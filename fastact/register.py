"""The register: what is known about every operation, and the decorators of the reference pages that fill it.

Nothing else in the package keeps a list of operations: public names, kernels, stubs, tests, benchmarks and tables walk `OPS`.
This file imports nothing but the standard library, so that ``setup.py`` can read it before anything is compiled.
"""

from __future__ import annotations

import operator
import re
from typing import ClassVar

__all__ = ["OPS", "Op", "Param", "Rule", "activation", "gate", "loss", "piecewise", "public_name", "public_ops", "rows"]

OPS: dict[str, Op] = {}
"""Every operation by name, in the order of the pages: each forward is followed by its backward."""

REQUIRED = object()
ARRAYS = {"x", "y", "grad", "weight", "which", "pred", "target"}
"""Argument names that stand for arrays on every page; any other argument of a reference function is a parameter."""
ROW_OPTIONS = {"axis", "keepdims"}
COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


class Param:
    """A scalar parameter of an operation: its name, and its default (`REQUIRED` where there is none)."""

    __slots__ = ("default", "name")

    def __init__(self, name, default):
        self.name = name
        self.default = default

    def __repr__(self):
        return self.name if self.default is REQUIRED else f"{self.name}={self.default!r}"


class Rule:
    """What a parameter must satisfy, written as users read it: ``"alpha >= 0"`` or ``"min_val <= max_val"``."""

    __slots__ = ("bound", "param", "sign", "text")

    def __init__(self, text):
        match = re.fullmatch(r"(\w+) (<|<=|>|>=) (\S+)", text)
        if match is None:
            raise ValueError(f"rule {text!r}: expected 'parameter sign bound'")
        self.text = text
        self.param, self.sign, bound = match.groups()
        self.bound = bound if bound.isidentifier() else float(bound)

    def holds(self, values):
        """Whether the rule holds for `values`, a mapping of parameter names to numbers."""
        bound = values[self.bound] if isinstance(self.bound, str) else self.bound
        return COMPARE[self.sign](values[self.param], bound)

    def __repr__(self):
        return self.text


class Op:
    """One operation: the reference function that defines it, and the facts declared beside it.

    Attributes
    ----------
    name, page : str
        The public name and the page (piecewise, activations, rows, gates, losses) on which every wing defines it.
    kind : str
        The shape of its computation, all the engine knows of it: ``map`` (elementwise), ``rows``, ``loss`` (elementwise, reduced),
        ``row_loss`` (one number a row), ``channels`` (elementwise with a weight per channel), ``pick`` (a row's maximum and its index).
    inputs, params : tuple
        The names of its array arguments, and its `Param` s; both from the signature of the reference.
    reads : tuple of str
        What the backward reads: ``"y"`` the output, ``"x"`` the input.
    facts : see `FACTS` below.
    """

    FACTS: ClassVar[dict[str, object]] = {
        "alias": (),  # further public names of the same object
        "at": {},  # values at special points, {-inf: -0.0}, for the default parameters; nan gives nan everywhere
        "core": None,  # rows: the gufunc signature, "(n)->(n)"
        "cost": 0.3,  # nanoseconds per float32 element on one core, roughly: when are threads worth it
        "differs": "",  # which framework has another default or convention
        "domain": (float("-inf"), float("inf")),
        "empty": float("nan"),  # row reductions: the value of an empty row
        "formula": "",  # the README's formula
        "instead": "",  # what to use where a rule forbids a parameter
        "kinks": {},  # {point: slope taken there}, as expressions in the parameters: {"0": "negative_slope"}
        "limit": "",  # limits worth a sentence in the docstring
        "loop": "",  # rows: which loop of the kernel pages runs it: normalise, shift, reduce, contract or spread
        "monotone": False,
        "numpy": "",  # the NumPy expression a user would otherwise write: the baseline of every speed-up
        "promise": "",  # the error promised where it is not a number of ulp
        "range": (float("-inf"), float("inf")),
        "rules": (),  # what the parameters must satisfy
        "source": "",
        "ulp": (4.0, 4.0),  # the largest error promised, float32 and float64, in ulp (backward: of the largest term)
    }

    def __init__(self, reference, page, kind, forward=None, **facts):
        unknown = facts.keys() - self.FACTS.keys()
        if unknown:
            raise TypeError(f"{reference.__name__}: unknown facts {sorted(unknown)}; known are {sorted(self.FACTS)}")
        self.name = reference.__name__
        self.page = page
        self.kind = kind
        self.reference = reference
        self.forward = forward
        self.backward_op = None
        for name, default in self.FACTS.items():
            setattr(self, name, facts.get(name, default))
        self.rules = tuple(Rule(text) for text in self.rules)
        self._read_signature()
        if self.name in OPS:
            raise ValueError(f"{self.name} stands twice in the register")
        OPS[self.name] = self

    def _read_signature(self):
        code = self.reference.__code__
        names = code.co_varnames[: code.co_argcount]
        defaults = self.reference.__defaults__ or ()
        padded = (REQUIRED,) * (len(names) - len(defaults)) + defaults
        pairs = list(zip(names, padded, strict=True))
        self.inputs = tuple(name for name, _ in pairs if name in ARRAYS)
        self.params = tuple(Param(name, d) for name, d in pairs if name not in ARRAYS | ROW_OPTIONS)
        self.options = {name: d for name, d in pairs if name in ROW_OPTIONS}

    @property
    def reads(self):
        """What the backward pass reads besides the gradient: ``("y",)`` means that forward may overwrite its input."""
        op = self.backward_op or self
        return tuple(name for name in op.inputs if name != "grad") if self.page != "losses" else self.inputs

    @property
    def is_backward(self):
        return self.forward is not None

    @property
    def cores(self):
        """Of the inputs and the result of a function of rows: whether each is a row, or one number a row."""
        return tuple(core == "(n)" for core in self.core.replace("->", ",").split(","))

    @property
    def roles(self):
        """The kernels that compute it, by what they are for: rows have one for those that follow one another and one for those side by
        side, a gate's backward has a second one for the gradient of the weight."""
        if self.kind in ("rows", "pick", "row_loss"):
            return "rows", "columns"
        return ("main", "weight") if self.kind == "channels" and self.is_backward else ("main",)

    def backward(self, **facts):
        """Register the decorated function as the gradient of this operation: ``@op.backward(rules=...)``."""

        def decorate(reference):
            self.backward_op = Op(reference, self.page, self.kind, forward=self, **facts)
            return self.backward_op

        return decorate

    def __call__(self, *args, **kwargs):
        """Evaluate the reference: plain NumPy, the judge of the kernels."""
        return self.reference(*args, **kwargs)

    def __repr__(self):
        return f"<Op {self.name} ({self.page}) inputs={self.inputs} params={self.params} reads={self.reads}>"


def _page(page, default_kind):
    def decorator(kind=default_kind, **facts):
        def decorate(reference):
            return Op(reference, page, kind, **facts)

        return decorate

    return decorator


piecewise = _page("piecewise", "map")
activation = _page("activations", "map")
rows = _page("rows", "rows")
gate = _page("gates", "channels")
loss = _page("losses", "loss")


def public_name(op):
    """The name under which users find an operation: a loss's gradient is public together with its value."""
    return f"{op.forward.name}_value_and_grad" if op.page == "losses" and op.is_backward else op.name


def public_ops():
    """The public names: ``{name: op}``, aliases included."""
    names = {}
    for op in OPS.values():
        names[public_name(op)] = op
        names.update(dict.fromkeys(op.alias, op))
    return names
