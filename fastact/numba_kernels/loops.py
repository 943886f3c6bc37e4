"""What Numba's loops lack: vectorising in place, sums in lanes with one order of addition, memory on the stack."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastact.numba_kernels.bits import scalar

LANES = 16  # partial results of a row: element i goes to lane i % 16


class Distinct(ir.values.MDValue):
    """A metadata node with an identity of its own: LLVM names loops and groups of memory accesses by such nodes."""

    def __init__(self, module):
        super().__init__(module, (), name=str(len(module.metadata)))

    def descr(self, buf):
        buf.append("distinct ")
        super().descr(buf)


def run_loop(builder, n, call):
    """Emit ``for i in range(n): call(i)`` with the promise that no iteration touches memory which another one writes.

    The promise spares LLVM its run-time alias check, which fails for ``out == x`` and would leave a scalar loop, 4 to 8 times slower.
    """
    module, function = builder.module, builder.function
    loop, accesses = Distinct(module), Distinct(module)
    loop.operands = (loop, module.add_metadata(["llvm.loop.parallel_accesses", accesses]))
    before, zero = builder.block, n.type(0)
    body, after = builder.append_basic_block("each"), builder.append_basic_block("each.end")
    builder.cbranch(builder.icmp_signed(">", n, zero), body, after)
    builder.position_at_end(body)
    i = builder.phi(n.type)
    i.add_incoming(zero, before)
    call(i)
    following = builder.add(i, n.type(1), flags=["nsw", "nuw"])
    i.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, n), body, after).set_metadata("llvm.loop", loop)
    for block in function.blocks[function.blocks.index(body) :]:
        for instruction in block.instructions:
            if isinstance(instruction, (ir.CallInstr, ir.LoadInstr, ir.StoreInstr)):
                instruction.set_metadata("llvm.access.group", accesses)
    builder.position_at_end(after)


@intrinsic
def each(typing, n, body, *args):
    """``for i in range(n): body(i, *args)``, vectorised: iterations must be independent, but arrays may be the same array."""
    inner = typing.resolve_function_type(body, (types.intp, *args), {})

    def codegen(context, builder, signature, given):
        function = context.get_function(body, inner)
        operands = cgutils.unpack_tuple(builder, given[2])
        run_loop(builder, given[0], lambda i: function(builder, [i, *operands]))
        return context.get_dummy_value()

    return types.void(n, body, types.StarArgTuple(args)), codegen


def fold(builder, number, x, n, start, combine):
    """Emit the fold of x[0:n] in 16 lanes that begin with `start`, and of the lanes by halving: lane j takes j + 8, then j + 4, ..."""
    vector = ir.VectorType(number, LANES)
    lanes, tail = (cgutils.alloca_once_value(builder, ir.Constant(vector, [number(start)] * LANES)) for _ in range(2))
    full = builder.and_(n, n.type(-LANES))
    with cgutils.for_range_slice(builder, n.type(0), full, n.type(LANES), n.type) as (i, _):
        group = builder.bitcast(builder.gep(x, [i]), vector.as_pointer())
        builder.store(combine(builder.load(lanes), builder.load(group, align=4)), lanes)
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
        return cgutils.alloca_once(builder, given[0].type, size=size)

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
def is_null(typing, pointer):
    """Whether the engine gave no array."""

    def codegen(context, builder, signature, given):
        return cgutils.is_null(builder, given[0])

    return types.boolean(pointer), codegen


# ---- what is done at each element ----


@scalar
def fill(i, out, value):
    out[i] = value


@scalar
def copy(i, out, a):
    out[i] = a[i]


@scalar
def element1(i, f, out, a, params):
    out[i] = f(a[i], *params)


@scalar
def element2(i, f, out, a, b, params):
    out[i] = f(a[i], b[i], *params)


@scalar
def element3(i, f, out, a, b, c, params):
    out[i] = f(a[i], b[i], c[i], *params)
