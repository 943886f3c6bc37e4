"""What loops are made of: vectorising in place, sums in lanes with one order of addition, memory on the stack, pointers."""

from llvmlite import ir
from numba import types
from numba.core import cgutils

from fastact.numba_kernels.routines import Routine, instructions
from fastact.numba_kernels.scalars import Number

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


def emit_each(routine, n, targets, f, operands):
    """Emit ``for i in range(n): targets[..][i] = f(*operands)`` at the end of a function."""
    builder, module = routine.builder, routine.builder.module
    loop, accesses = Distinct(module), Distinct(module)
    side_by_side = module.add_metadata(["llvm.loop.interleave.count", ir.IntType(32)(2)])  # of long loops LLVM takes one vector alone
    loop.operands = (loop, module.add_metadata(["llvm.loop.parallel_accesses", accesses]), side_by_side)
    before, body, after = builder.block, builder.append_basic_block("each"), builder.append_basic_block("each.end")
    builder.cbranch(builder.icmp_signed(">", n, n.type(0)), body, after)
    builder.position_at_end(body)
    i = builder.phi(n.type)
    i.add_incoming(n.type(0), before)
    values = list(operands)
    for k, operand in enumerate(operands):
        if is_pointer(operand):
            values[k] = Number(operand.type.dtype, builder.load(builder.gep(operand.value, [i])))
            values[k].value.set_metadata("llvm.access.group", accesses)
    results = routine.call(f, values)
    for target, result in zip(targets, results if isinstance(results, tuple) else [results], strict=True):
        value = routine.cast(result, target.type.dtype).value
        builder.store(value, builder.gep(target.value, [i])).set_metadata("llvm.access.group", accesses)
    following = builder.add(i, n.type(1), flags=["nsw", "nuw"])
    i.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, n), body, after).set_metadata("llvm.loop", loop)
    builder.position_at_end(after)


def is_pointer(value):
    return isinstance(value, Number) and isinstance(value.type, types.CPointer)


@instructions
def each(routine, n, out, f, *operands):
    """``for i in range(n): out[i] = f(*operands)``, vectorised, where an operand that is a pointer stands for its element i.

    Where `f` gives several numbers, `out` is as many pointers, and the loop is a function of its own: of two loops in one function
    LLVM loads all constants ahead of both, has too few registers, and loads them again for each vector.

    No iteration may touch what another one writes, but arrays may be the same array. The loop carries that promise, which spares
    LLVM its run-time alias check: the check fails for ``out == x`` and would leave a scalar loop, 4 to 8 times slower.
    """
    n = routine.number(n)
    if not isinstance(out, tuple):
        emit_each(routine, n.value, [out], f, operands)
        return
    module, given = routine.builder.module, [value for value in (n, *out, *operands) if isinstance(value, Number)]
    loop = ir.Function(module, ir.FunctionType(ir.VoidType(), [value.value.type for value in given]), module.get_unique_name("each"))
    loop.linkage = "internal"
    loop.attributes.add("noinline")
    routine.builder.call(loop, [value.value for value in given])
    inner = Routine(ir.IRBuilder(loop.append_basic_block()), routine.made)
    passed = iter(loop.args)
    n, *out = (Number(value.type, next(passed)) for value in (n, *out))
    operands = [Number(value.type, next(passed)) if isinstance(value, Number) else value for value in operands]
    emit_each(inner, n.value, out, f, operands)
    inner.builder.ret_void()


def fold(routine, n, start, combine, f, operands):
    """Emit the fold of ``f(*operands)`` for i in range(n), each operand a pointer that stands for its element i, in 16 lanes that begin
    with `start`, then of the lanes by halving: lane j takes j + 8, j + 4, ... `f` is given vectors, so it holds no constants."""
    builder, n = routine.builder, routine.number(n).value
    kind = operands[0].type.dtype
    number = routine.context.get_value_type(kind)
    vector = ir.VectorType(number, LANES)
    lanes, tail = (cgutils.alloca_once_value(builder, ir.Constant(vector, [number(start)] * LANES)) for _ in range(2))
    full = builder.and_(n, n.type(-LANES))

    def term(i, read):
        given = [read(routine, offset(routine, one, Number(types.intp, i))) for one in operands]
        return routine.call(f, given).value if f else given[0].value

    with cgutils.for_range_slice(builder, n.type(0), full, n.type(LANES), n.type) as (i, _):
        builder.store(combine(builder.load(lanes), term(i, load)), lanes)
    with cgutils.for_range(builder, builder.sub(n, full)) as rest:
        here = builder.gep(builder.bitcast(tail, number.as_pointer()), [rest.index])
        builder.store(term(builder.add(full, rest.index), element), here)
    result, width = combine(builder.load(lanes), builder.load(tail)), LANES
    while width > 1:
        width //= 2
        low, high = (ir.Constant(ir.VectorType(ir.IntType(32), width), list(range(k, k + width))) for k in (0, width))
        result = combine(builder.shuffle_vector(result, result, low), builder.shuffle_vector(result, result, high))
    return Number(kind, builder.extract_element(result, ir.IntType(32)(0)))


@instructions
def add_up(routine, n, f, *operands):
    """The sum of ``f(*operands)`` for i in range(n), each operand a pointer that stands for its element i; see `fold`."""
    return fold(routine, n, 0.0, routine.builder.fadd, f, operands)


@instructions
def largest(routine, x, n):
    """The maximum of x[0:n]; nan are passed over, they come back through the exponential."""
    builder = routine.builder

    def larger(old, new):
        return builder.select(builder.fcmp_ordered(">", new, old), new, old)

    return fold(routine, n, float("-inf"), larger, None, [x])


@instructions
def stack(routine, like, count):
    """A pointer to `count` numbers of the type of `like` on the stack; `count` is known."""
    number = routine.number(like)
    memory = cgutils.alloca_once(routine.builder, number.value.type, size=count)
    memory.align = 64  # vectors that straddle two lines of the cache are read and written twice
    return Number(types.CPointer(number.type), memory)


@instructions
def offset(routine, pointer, count):
    """``pointer + count``."""
    return Number(pointer.type, routine.builder.gep(pointer.value, [routine.number(count).value]))


@instructions
def first(routine, pointer, count):
    """The first `count` numbers at `pointer`, as a tuple; `count` is known."""
    builder = routine.builder
    return tuple(Number(pointer.type.dtype, builder.load(builder.gep(pointer.value, [ir.IntType(64)(k)]))) for k in range(count))


@instructions
def null(routine, pointer):
    """A pointer of the same type to nothing."""
    return Number(pointer.type, cgutils.get_null_value(pointer.value.type))


@instructions
def is_null(routine, pointer):
    """Whether a pointer points to nothing."""
    return Number(types.boolean, cgutils.is_null(routine.builder, pointer.value))


@instructions
def prefetch(routine, pointer, count):
    """Begin to load `count` numbers into the nearest cache, one line of 64 bytes after another."""
    builder, length, number = routine.builder, ir.IntType(64), ir.IntType(32)
    place = ir.PointerType(ir.IntType(8))
    load = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(ir.VoidType(), [place, number, number, number]), "llvm.prefetch.p0"
    )
    line = length(64 * 8 // pointer.type.dtype.bitwidth)
    with cgutils.for_range_slice(builder, length(0), routine.number(count).value, line, length) as (i, _):
        start = builder.bitcast(builder.gep(pointer.value, [i]), place)
        builder.call(load, [start, number(0), number(3), number(1)])  # to read; to keep; data


# ---- vectors of 16 numbers, for which scalars compute as for one --------------------------------------------------------------


def shuffled(builder, one, other, chosen):
    return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(ir.IntType(32), len(chosen)), chosen))


@instructions
def load(routine, pointer):
    """The 16 numbers at a pointer."""
    builder, number = routine.builder, pointer.value.type.pointee
    place = builder.bitcast(pointer.value, ir.VectorType(number, LANES).as_pointer())
    return Number(pointer.type.dtype, builder.load(place, align=routine.context.get_abi_alignment(number)))


def element(routine, pointer):
    """The number at a pointer."""
    return Number(pointer.type.dtype, routine.builder.load(pointer.value))


@instructions
def store(routine, pointer, vector):
    """Write the numbers of a vector; where they are indices, they are kept in real numbers, below 2**24."""
    builder, number, value = routine.builder, pointer.value.type.pointee, vector.value
    kind = ir.VectorType(number, value.type.count)
    if isinstance(number, ir.IntType):
        value = builder.sext(builder.fptosi(value, ir.VectorType(ir.IntType(32), kind.count)), kind)
    place = builder.bitcast(pointer.value, kind.as_pointer())
    builder.store(value, place, align=routine.context.get_abi_alignment(number))


@instructions
def broadcast(routine, value, like):
    """A number as often as a vector has numbers."""
    number, builder, count = routine.number(value), routine.builder, like.value.type.count
    one = builder.insert_element(ir.Constant(ir.VectorType(number.value.type, count), ir.Undefined), number.value, ir.IntType(32)(0))
    return Number(number.type, shuffled(builder, one, one, [0] * count))


@instructions
def numbered(routine, vector):
    """The numbers of a vector plus 0, 1, 2, ..."""
    return Number(vector.type, routine.builder.fadd(vector.value, ir.Constant(vector.value.type, [float(k) for k in range(LANES)])))


@instructions
def halves(routine, vector):
    """The first and the second half of a vector."""
    size = vector.value.type.count // 2
    parts = ([*range(start, start + size)] for start in (0, size))
    return tuple(Number(vector.type, shuffled(routine.builder, vector.value, vector.value, part)) for part in parts)


@instructions
def head_of(routine, vector):
    """The first number of a vector."""
    return Number(vector.type, routine.builder.extract_element(vector.value, ir.IntType(32)(0)))
