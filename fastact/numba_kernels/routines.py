"""How a function with loops, a routine or a kernel, becomes a function of LLVM: its source is translated as that of a scalar is.

Numba would take ten times as long for it. Besides what a scalar holds, it may hold: names that change, ``x[i]`` of a pointer, ``for`` over
a `range` with a positive step, ``while``, ``if`` with a test that is not known beforehand, `return` of nothing within an ``if``, else at
the end, and calls of routines and of what emits instructions. A name that changes keeps the type of its first value, and has one before
any loop or branch that gives it another.
"""

import ast
import collections
import dataclasses
import functools
import inspect

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from fastact.numba_kernels.scalars import Number, Translator, dialect, refusal, tree
from fastact.numba_kernels.target import target_context, typing_context

ROUTINES: set[object] = set()
"""The functions with loops that others may call: each is a function of LLVM for the types and the known values it is called with."""

INSTRUCTIONS: set[object] = set()
"""The functions that emit instructions: the `Routine` that calls them is their first argument, and values follow, as in `Translator`."""


def routine(function):
    ROUTINES.add(function)
    return function


def instructions(function):
    INSTRUCTIONS.add(function)
    return function


@dataclasses.dataclass
class Variable:
    """A name that changes: the type of its numbers, and where they are kept, which LLVM turns into registers."""

    type: types.Type
    place: object


@functools.cache
def changing(function):
    """The names that are given a value more than once."""
    source = tree(function)
    found = [node.id for node in ast.walk(source) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    counts = collections.Counter([*(argument.arg for argument in source.args.args), *found])
    return {name for name, count in counts.items() if count > 1}


def emit(module, function, arguments, made, name=None):
    """Emit a function of LLVM, public if it has a name, for arguments of these types or known values. It and the types of its results;
    `made` holds those of all routines of the module so far."""
    kinds = [target_context.get_value_type(argument.type) for argument in arguments if isinstance(argument, Number)]
    emitted = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name or module.get_unique_name(function.__name__))
    emitted.linkage = "" if name else "internal"
    inner = Routine(ir.IRBuilder(emitted.append_basic_block()), made)
    values = iter(emitted.args)
    inner.translate(function, [Number(one.type, next(values)) if isinstance(one, Number) else one for one in arguments])
    return emitted, inner.results


class Routine(Translator):
    """One translation of a routine or kernel, to the end of the function of LLVM that `builder` writes to."""

    def __init__(self, builder, made):
        super().__init__(typing_context, target_context, builder)
        self.made, self.changing, self.results = made, set(), None

    def translate(self, function, given):
        """Emit the body of a function, whose arguments have these values."""
        source, self.changing = tree(function), changing(function)
        closure = inspect.getclosurevars(function).nonlocals
        known = dialect([argument.type for argument in given if isinstance(argument, Number)])
        names = {"type": type, **function.__globals__, **closure, **known}
        for argument, value in zip(source.args.args, given, strict=True):
            self.assign(argument, value, names)
        self.perform(source.body, names)
        if not self.builder.block.is_terminated:
            self.builder.ret_void()

    # ---- statements ----

    def perform(self, statements, names):
        """Emit statements."""
        for statement in statements:
            match statement:
                case ast.Assign(targets=targets):
                    value = self.see(statement.value, names)
                    for place in targets:
                        self.assign(place, value, names)
                case ast.AugAssign(target=place, op=sign):
                    self.assign(place, self.combine(sign, self.see(place, names), self.see(statement.value, names)), names)
                case ast.For(iter=ast.Call(func=ast.Name(id="range"), args=bounds), orelse=[]):
                    self.loop(statement, [self.cast(self.see(bound, names), types.intp).value for bound in bounds], names)
                case ast.While(orelse=[]):
                    self.loop_while(statement, names)
                case ast.If():
                    self.branch(statement, names)
                case ast.Return():
                    self.give(statement.value and self.see(statement.value, names))
                    return
                case ast.Expr(value=ast.Call()):
                    self.see(statement.value, names)
                case ast.Expr(value=ast.Constant()):
                    pass  # the docstring
                case _:
                    raise refusal(statement)

    def assign(self, place, value, names):
        """Give a value to names, arguments or elements."""
        match place:
            case ast.Tuple(elts=places):
                for one, part in zip(places, value, strict=True):
                    self.assign(one, part, names)
            case ast.Subscript():
                element, at = self.element(place, names)
                self.builder.store(self.cast(value, element).value, at)
            case ast.Name(id=name) | ast.arg(arg=name) if name in self.changing:
                number = self.number(value)
                if not isinstance(names.get(name), Variable):
                    names[name] = Variable(number.type, cgutils.alloca_once(self.builder, number.value.type))
                if self.typing.unify_types(number.type, names[name].type) != names[name].type:
                    raise TypeError(f"{name} is {names[name].type} at first and cannot become {number.type}")
                self.builder.store(self.cast(number, names[name].type).value, names[name].place)
            case ast.Name(id=name) | ast.arg(arg=name):
                names[name] = value
            case _:
                raise refusal(place)

    def give(self, value):
        """Return from the function, which learns here what it returns."""
        if value is None:
            self.builder.ret_void()
            return
        several = isinstance(value, tuple)
        numbers = [self.number(one) for one in (value if several else [value])]
        self.results = [number.type for number in numbers] if several else numbers[0].type
        result = cgutils.pack_struct(self.builder, [number.value for number in numbers]) if several else numbers[0].value
        made = self.builder.function
        made.ftype = ir.FunctionType(result.type, made.ftype.args)
        made.type, made.return_value = made.ftype.as_pointer(), ir.values.ReturnValue(made, result.type)
        self.builder.ret(result)

    def inside(self, statements, names, after):
        """Emit statements that go on to the block `after`; names that they alone give a value have none afterwards."""
        self.perform(statements, dict(names))
        if not self.builder.block.is_terminated:
            self.builder.branch(after)

    def blocks(self, *names):
        return [self.builder.append_basic_block(name) for name in names]

    def loop(self, statement, bounds, names):
        size = ir.IntType(64)
        start, stop, step = (size(0), *bounds, size(1)) if len(bounds) == 1 else (*bounds, size(1))[:3]
        before = self.builder.block
        head, body, after = self.blocks("for", "for.body", "for.end")
        self.builder.branch(head)
        self.builder.position_at_end(head)
        i = self.builder.phi(start.type)
        i.add_incoming(start, before)
        self.builder.cbranch(self.builder.icmp_signed("<", i, stop), body, after)
        self.builder.position_at_end(body)
        inner = dict(names)
        self.assign(statement.target, Number(types.intp, i), inner)
        self.perform(statement.body, inner)
        i.add_incoming(self.builder.add(i, step, flags=["nsw"]), self.builder.block)
        self.builder.branch(head)
        self.builder.position_at_end(after)

    def loop_while(self, statement, names):
        head, body, after = self.blocks("while", "while.body", "while.end")
        self.builder.branch(head)
        self.builder.position_at_end(head)
        self.builder.cbranch(self.number(self.see(statement.test, names)).value, body, after)
        self.builder.position_at_end(body)
        self.inside(statement.body, names, head)
        self.builder.position_at_end(after)

    def branch(self, statement, names):
        test = self.see(statement.test, names)
        if not isinstance(test, Number):
            self.perform(statement.body if test else statement.orelse, names)
            return
        body, otherwise, after = self.blocks("if", "else", "if.end")
        self.builder.cbranch(test.value, body, otherwise)
        self.builder.position_at_end(body)
        self.inside(statement.body, names, after)
        self.builder.position_at_end(otherwise)
        self.inside(statement.orelse, names, after)
        self.builder.position_at_end(after)

    # ---- expressions ----

    def see(self, node, names):
        match node:
            case ast.Name(id=name) if isinstance(names.get(name), Variable):
                return Number(names[name].type, self.builder.load(names[name].place))
            case ast.Subscript():
                element, at = self.element(node, names)
                return Number(element, self.builder.load(at))
        return super().see(node, names)

    def element(self, node, names):
        """The type and place of an element."""
        pointer, index = self.see(node.value, names), self.cast(self.see(node.slice, names), types.intp)
        return pointer.type.dtype, self.builder.gep(pointer.value, [index.value])

    def knows(self, called):
        return called is type or called in INSTRUCTIONS or called in ROUTINES or super().knows(called)

    def call(self, called, arguments):
        arguments = list(arguments)
        if called is type:
            return np.float32 if arguments[0].type == types.float32 else np.float64
        if called in INSTRUCTIONS:
            return called(self, *arguments)
        if called in ROUTINES:
            return self.call_routine(called, arguments)
        return super().call(called, arguments)

    def call_routine(self, called, arguments):
        key = called, *(one.type if isinstance(one, Number) else (type(one), repr(one), one) for one in arguments)  # 0 is not 0.0 or -0.0
        if key not in self.made:
            self.made[key] = emit(self.builder.module, called, arguments, self.made)
        emitted, results = self.made[key]
        value = self.builder.call(emitted, [argument.value for argument in arguments if isinstance(argument, Number)])
        if isinstance(results, list):
            return tuple(Number(kind, self.builder.extract_value(value, k)) for k, kind in enumerate(results))
        return Number(results, value)
