"""How a scalar becomes machine code: its source is translated straight to LLVM's instructions, inlined wherever it is called.

A function costs 15 to 50 ms in Numba's own compiler, and a kernel calls up to thirty scalars. So a scalar keeps to assignments to names,
operators, ``a if test else b``, calls, tuples, and a `return` at its end. ``if`` tests what is known beforehand, as SINGLE, and the
branch not taken is not compiled. Both sides of ``a if test else b`` are computed: nothing branches.
"""

import ast
import dataclasses
import functools
import inspect
import operator
import textwrap

import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

from fastact.numba_kernels.target import target_context

SCALARS: dict[object, object] = {}
"""The Python function of every scalar, by the object that stands for it in compiled code."""

INTRINSICS: dict[object, object] = {}
"""What `emitted` was given, by the object that stands for it."""

OPERATORS = {
    ast.Add: (operator.add, "add"),
    ast.Sub: (operator.sub, "sub"),
    ast.Mult: (operator.mul, "mul"),
    ast.Div: (operator.truediv, "div"),
    ast.FloorDiv: (operator.floordiv, "sdiv"),  # of integers >= 0, as the remainder
    ast.Mod: (operator.mod, "srem"),
    ast.RShift: (operator.rshift, "ashr"),
    ast.BitAnd: (operator.and_, "and_"),
    ast.And: (operator.and_, "and_"),
    ast.Or: (operator.or_, "or_"),
    ast.Lt: (operator.lt, "<"),
    ast.LtE: (operator.le, "<="),
    ast.Gt: (operator.gt, ">"),
    ast.GtE: (operator.ge, ">="),
    ast.Eq: (operator.eq, "=="),
    ast.NotEq: (operator.ne, "!="),
}
"""Each operator for numbers that are known, and LLVM's name for it."""


@dataclasses.dataclass
class Number:
    """A number that is not known when compiling: its type, and LLVM's value, None while only types are asked for."""

    type: types.Type
    value: object = None


@functools.cache
def fuses():
    """Whether the machine multiplies and adds in one rounding: elsewhere LLVM would call a function that is 50 times slower."""
    triple, _, features = target_context.codegen().magic_tuple()
    return "+fma" in features.split(",") or triple.startswith(("aarch64", "arm64"))


def dialect(arguments):
    """The names that depend on the type a call is compiled for, that of the first argument which is or points to a real number."""
    numbers = (getattr(kind, "dtype", kind) for kind in arguments)
    single = next((number for number in numbers if isinstance(number, types.Float)), types.float64) == types.float32
    return {"real": np.float32 if single else np.float64, "SINGLE": single, "FUSES": fuses()}


@functools.cache
def tree(function):
    return ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]


class Translator:
    """One translation, of types alone where there is no builder of instructions.

    Values are Python's own numbers and functions where they are known, else a `Number` or the type of a function; or a tuple of values.
    """

    def __init__(self, typing, context=None, builder=None):
        self.typing, self.context, self.builder = typing, context, builder

    def inline(self, function, arguments):
        """The result of a scalar."""
        source = tree(function)
        names = [argument.arg for argument in source.args.args]
        if len(names) != len(arguments):
            raise TypeError(f"{function.__name__} takes {', '.join(names)}, not {len(arguments)} arguments")
        given = dict(zip(names, arguments, strict=True))
        known = dialect([self.number(argument).type for argument in arguments if isinstance(argument, Number | float | np.floating)])
        return self.run(source.body, {**function.__globals__, **known, **given})

    def run(self, statements, names):
        for statement in statements:
            match statement:
                case ast.Return():
                    return self.see(statement.value, names)
                case ast.Assign(targets=[ast.Name(id=name)]):
                    names[name] = self.see(statement.value, names)
                case ast.Assign(targets=[ast.Tuple(elts=targets)]):
                    names.update(zip([target.id for target in targets], self.see(statement.value, names), strict=True))
                case ast.If() if not isinstance(test := self.see(statement.test, names), Number):
                    result = self.run(statement.body if test else statement.orelse, names)
                    if result is not None:
                        return result
                case ast.Expr(value=ast.Constant()):
                    pass  # the docstring
                case _:
                    raise refusal(statement)
        return None

    def see(self, node, names):
        """The value of an expression."""
        match node:
            case ast.Constant():
                return node.value
            case ast.Name(id=name) if name in names:
                return names[name]
            case ast.Tuple():
                return tuple([self.see(element, names) for element in node.elts])
            case ast.Attribute():
                return getattr(self.see(node.value, names), node.attr)
            case ast.UnaryOp(op=ast.USub()):
                return self.negative(self.see(node.operand, names))
            case ast.UnaryOp(op=ast.Not()):
                return self.opposite(self.see(node.operand, names))
            case ast.BinOp(op=sign) | ast.Compare(ops=[sign]) if type(sign) in OPERATORS:
                sides = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.left, *node.comparators)
                return self.combine(sign, *(self.see(side, names) for side in sides))
            case ast.BoolOp():
                return functools.reduce(functools.partial(self.combine, node.op), (self.see(value, names) for value in node.values))
            case ast.IfExp():
                return self.choose(node, names)
            case ast.Call(keywords=[]):
                called = self.see(node.func, names)
                if self.knows(called):
                    return self.call(called, self.arguments(node, names))
        raise refusal(node)

    def number(self, value):
        """A `Number`, also of what is known."""
        if isinstance(value, Number):
            return value
        kind = types.unliteral(self.typing.resolve_value_type(value))
        return Number(kind, self.builder and self.context.get_constant(kind, value))

    def packed(self, value):
        """A `Number` of a result, also of several."""
        if not isinstance(value, tuple):
            return self.number(value)
        numbers = [self.number(one) for one in value]
        kind = types.Tuple([number.type for number in numbers])
        return Number(kind, self.builder and self.context.make_tuple(self.builder, kind, [number.value for number in numbers]))

    def cast(self, value, kind):
        number = self.number(value)
        if self.builder and number.type != kind:
            return Number(kind, self.context.cast(self.builder, number.value, number.type, kind))
        return Number(kind, number.value)

    def alike(self, *values):
        """The values as `Number` s of one type that holds them all."""
        kind = self.typing.unify_types(*(self.number(value).type for value in values))
        return [self.cast(value, kind) for value in values]

    def negative(self, value):
        return Number(value.type, self.builder and self.builder.fneg(value.value)) if isinstance(value, Number) else -value

    def opposite(self, value):
        return Number(value.type, self.builder and self.builder.not_(value.value)) if isinstance(value, Number) else not value

    def combine(self, sign, *values):
        """The result of an operator."""
        compute, name = OPERATORS[type(sign)]
        if not any(isinstance(value, Number) for value in values):
            return compute(*values)
        left, right = self.alike(*values)
        compares, real = isinstance(sign, ast.cmpop), isinstance(left.type, types.Float)
        kind = types.boolean if compares else left.type
        if self.builder is None:
            return Number(kind)
        if compares:
            ordered = "fcmp_unordered" if name == "!=" else "fcmp_ordered"
            return Number(kind, getattr(self.builder, ordered if real else "icmp_signed")(name, left.value, right.value))
        return Number(kind, getattr(self.builder, "f" * real + name)(left.value, right.value))

    def choose(self, node, names):
        """One of two values."""
        test = self.see(node.test, names)
        if not isinstance(test, Number):
            return self.see(node.body if test else node.orelse, names)
        first, second = self.alike(self.see(node.body, names), self.see(node.orelse, names))
        return Number(first.type, self.builder and self.builder.select(test.value, first.value, second.value))

    def arguments(self, node, names):
        """The arguments of a call, tuples with a star unpacked."""
        for argument in node.args:
            if isinstance(argument, ast.Starred):
                packed = self.see(argument.value, names)
                if isinstance(packed, tuple):
                    yield from packed
                    continue
                values = cgutils.unpack_tuple(self.builder, packed.value) if self.builder else [None] * len(packed.type)
                yield from map(Number, packed.type, values)
            else:
                yield self.see(argument, names)

    def knows(self, called):
        """Whether compiled code can call it."""
        return called in SCALARS or called in INTRINSICS or (isinstance(called, type) and issubclass(called, np.number))

    def call(self, called, arguments):
        """The result of calling a scalar, an intrinsic, or a type, which converts."""
        arguments = list(arguments)
        if called in SCALARS:
            return self.inline(SCALARS[called], arguments)
        if isinstance(called, type) and issubclass(called, np.number):
            known = not isinstance(arguments[0], Number)
            return called(*arguments) if known else self.cast(arguments[0], getattr(types, called.__name__))
        signature, codegen = INTRINSICS[called](self.typing, *(self.number(value).type for value in arguments))
        if self.builder is None:
            return Number(signature.return_type)
        values = [self.cast(value, kind).value for value, kind in zip(arguments, signature.args, strict=True)]
        return Number(signature.return_type, codegen(self.context, self.builder, signature, values))


def refusal(node):
    pages = "what fastact/numba_kernels/scalars.py names, and routines what routines.py does"
    return TypeError(f"a scalar cannot hold this, only {pages}: {ast.unparse(node)}")


def check_numbers(function, kinds):
    """Refuse what is no number, as an array, of whose pointer a number could be made."""
    for name, kind in zip(inspect.signature(function).parameters, kinds, strict=False):
        number = types.unliteral(kind)
        if not isinstance(number, types.Callable | types.Integer | types.Boolean) and number not in (types.float32, types.float64):
            raise TypingError(f"{function.__name__}: {name} is {number}; a number, float32 or float64, is required")


def scalar(function):
    """Make a function callable in compiled code, where each call is compiled for float32 or float64 and inlined."""

    def define(typing, *kinds):
        check_numbers(function, kinds)
        first = next((kind for kind in kinds if not isinstance(kind, types.Callable)), None)
        real = first if isinstance(first, types.Float) else types.float64  # the first number decides

        def result(values, *build):
            translator = Translator(typing, *build)
            given = [
                kind if isinstance(kind, types.Callable) else translator.cast(Number(kind, value), real)
                for kind, value in zip(kinds, values, strict=True)
            ]
            return translator.packed(translator.inline(function, given))

        def codegen(context, builder, signature, values):
            return result(values, context, builder).value

        return result([None] * len(kinds)).type(*kinds), codegen

    functools.update_wrapper(define, function)
    first = inspect.Parameter("typing", inspect.Parameter.POSITIONAL_ONLY)  # the name and the arguments, as Numba asks for them
    define.__signature__ = inspect.Signature([first, *inspect.signature(function).parameters.values()])
    made = intrinsic(define)
    SCALARS[made] = function
    return made


def emitted(define):
    """Make a function callable in compiled code of `define(typing, *types)`, which gives its signature and what emits its instructions."""
    made = intrinsic(define)
    INTRINSICS[made] = define
    return made
