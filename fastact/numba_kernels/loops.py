"""What Numba's loops lack: vectorising in place, sums in lanes with one order of addition, memory on the stack."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16  # partial results of a row: element i goes to lane i % 16


class Distinct(ir.values.MDValue):
    """A metadata node with an identity of its own: LLVM names loops and groups of memory accesses by such nodes."""

    def __init__(self, module):
        super().__init__(module, (), name=str(len(module.metadata)))

    def descr(self, buf):
        buf.append("distinct ")
        super().descr(buf)

    __eq__ = object.__eq__  # by identity, where plain nodes compare their operands
    __hash__ = object.__hash__


def emit_each(context, builder, n, targets, f, operands, kinds):
    """Emit ``for i in range(n): targets[..][i] = f(*operands)`` at the end of a function; targets with their types."""
    module, (compute, elements, inner) = builder.module, f
    loop, accesses = Distinct(module), Distinct(module)
    loop.operands = (loop, module.add_metadata(["llvm.loop.parallel_accesses", accesses]))
    before, body, after = builder.block, builder.append_basic_block("each"), builder.append_basic_block("each.end")
    builder.cbranch(builder.icmp_signed(">", n, n.type(0)), body, after)
    builder.position_at_end(body)
    i = builder.phi(n.type)
    i.add_incoming(n.type(0), before)
    values = list(operands)
    for k, kind in enumerate(kinds):
        if isinstance(kind, types.CPointer):
            values[k] = builder.load(builder.gep(values[k], [i]))
            values[k].set_metadata("llvm.access.group", accesses)
    results = compute(builder, [context.cast(builder, *step) for step in zip(values, elements, inner.args, strict=True)])
    several = isinstance(inner.return_type, types.BaseTuple)
    results = zip(inner.return_type, cgutils.unpack_tuple(builder, results), strict=True) if several else [(inner.return_type, results)]
    for (kind, result), (dtype, target) in zip(results, targets, strict=True):
        result = context.cast(builder, result, kind, dtype)
        builder.store(result, builder.gep(target, [i])).set_metadata("llvm.access.group", accesses)
    following = builder.add(i, n.type(1), flags=["nsw", "nuw"])
    i.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, n), body, after).set_metadata("llvm.loop", loop)
    builder.position_at_end(after)


@intrinsic
def each(typing, n, out, f, *operands):
    """``for i in range(n): out[i] = f(*operands)``, vectorised, where an operand that is a pointer stands for its element i.

    Where `f` gives several numbers, `out` is as many pointers, and the loop is a function of its own: of two loops in one function
    LLVM loads all constants ahead of both, has too few registers, and loads them again for each vector.

    No iteration may touch what another one writes, but arrays may be the same array. The loop carries that promise, which spares
    LLVM its run-time alias check: the check fails for ``out == x`` and would leave a scalar loop, 4 to 8 times slower.
    """
    elements = [operand.dtype if isinstance(operand, types.CPointer) else operand for operand in operands]
    inner = typing.resolve_function_type(f, elements, {})
    apart = isinstance(out, types.BaseTuple)

    def codegen(context, builder, signature, given):
        n, target, _, packed = given
        targets = cgutils.unpack_tuple(builder, target) if apart else [target]
        values = [n, *targets, *cgutils.unpack_tuple(builder, packed)]
        caller, first, dtypes = builder, 1 + len(targets), [pointer.dtype for pointer in (out if apart else [out])]
        if apart:
            module = builder.module
            loop = ir.Function(module, ir.FunctionType(ir.VoidType(), [v.type for v in values]), module.get_unique_name("each"))
            loop.linkage = "internal"
            loop.attributes.add("noinline")
            caller.call(loop, values)
            builder, values = ir.IRBuilder(loop.append_basic_block()), list(loop.args)
        function = context.get_function(f, inner), elements, inner
        emit_each(context, builder, values[0], zip(dtypes, values[1:first], strict=True), function, values[first:], operands)
        if apart:
            builder.ret_void()
        return context.get_dummy_value()

    return types.void(n, out, f, types.StarArgTuple(operands)), codegen


def fold(builder, number, x, n, start, combine):
    """Emit the fold of x[0:n] in 16 lanes that begin with `start`, then of the lanes by halving: lane j takes j + 8, j + 4, ..."""
    vector = ir.VectorType(number, LANES)
    lanes, tail = (cgutils.alloca_once_value(builder, ir.Constant(vector, [number(start)] * LANES)) for _ in range(2))
    full = builder.and_(n, n.type(-LANES))
    with cgutils.for_range_slice(builder, n.type(0), full, n.type(LANES), n.type) as (i, _):
        group = builder.bitcast(builder.gep(x, [i]), vector.as_pointer())
        builder.store(combine(builder.load(lanes), builder.load(group, align=4)), lanes)  # rows start anywhere
    with cgutils.for_range(builder, builder.sub(n, full)) as rest:
        here = builder.gep(builder.bitcast(tail, number.as_pointer()), [rest.index])
        builder.store(builder.load(builder.gep(x, [builder.add(full, rest.index)])), here)
    result, width = combine(builder.load(lanes), builder.load(tail)), LANES
    while width > 1:
        width //= 2
        low, high = (ir.Constant(ir.VectorType(ir.IntType(32), width), list(range(k, k + width))) for k in (0, width))
        result = combine(builder.shuffle_vector(result, result, low), builder.shuffle_vector(result, result, high))
    return builder.extract_element(result, ir.IntType(32)(0))


@intrinsic
def add_up(typing, x, n):
    """The sum of x[0:n]."""

    def codegen(context, builder, signature, given):
        number = context.get_value_type(signature.return_type)
        return fold(builder, number, *given, 0.0, builder.fadd)

    return x.dtype(x, n), codegen


@intrinsic
def largest(typing, x, n):
    """The maximum of x[0:n]; nan are passed over, they come back through the exponential."""

    def codegen(context, builder, signature, given):
        def larger(old, new):
            return builder.select(builder.fcmp_ordered(">", new, old), new, old)

        number = context.get_value_type(signature.return_type)
        return fold(builder, number, *given, float("-inf"), larger)

    return x.dtype(x, n), codegen


@intrinsic(prefer_literal=True)
def stack(typing, like, count):
    """A pointer to `count` numbers of the type of `like` on the stack; `count` is a constant."""
    size = count.literal_value

    def codegen(context, builder, signature, given):
        memory = cgutils.alloca_once(builder, given[0].type, size=size)
        memory.align = 64  # vectors that straddle two lines of the cache are read and written twice
        return memory

    return types.CPointer(like)(like, count), codegen


@intrinsic
def offset(typing, pointer, count):
    """``pointer + count``."""

    def codegen(context, builder, signature, given):
        return builder.gep(given[0], [given[1]])

    return pointer(pointer, count), codegen


@intrinsic(prefer_literal=True)
def first(typing, pointer, count):
    """The first `count` numbers at `pointer`, as a tuple; `count` is a constant."""
    size = count.literal_value

    def codegen(context, builder, signature, given):
        numbers = [builder.load(builder.gep(given[0], [ir.IntType(64)(k)])) for k in range(size)]
        return context.make_tuple(builder, signature.return_type, numbers)

    return types.UniTuple(pointer.dtype, size)(pointer, count), codegen


@intrinsic
def null(typing, pointer):
    """A pointer of the same type to nothing."""

    def codegen(context, builder, signature, given):
        return cgutils.get_null_value(given[0].type)

    return pointer(pointer), codegen


@intrinsic
def is_null(typing, pointer):
    """Whether a pointer points to nothing."""

    def codegen(context, builder, signature, given):
        return cgutils.is_null(builder, given[0])

    return types.boolean(pointer), codegen
