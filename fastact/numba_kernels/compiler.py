"""From a kernel to machine code: a module of LLVM's instructions, which is optimised as a whole."""

import llvmlite.binding as llvm
from numba.core.compiler_lock import global_compiler_lock

from fastact.numba_kernels.routines import emit
from fastact.numba_kernels.scalars import Number
from fastact.numba_kernels.target import target_context

ENTRY = "kernel"  # the name of the C function in its machine code


@global_compiler_lock
def object_code(function, kinds):
    """The machine code of a kernel for arguments of these types, as an object file with a C function named `ENTRY`."""
    module = target_context.create_module(ENTRY)
    emit(module, function, [Number(kind) for kind in kinds], {}, ENTRY)
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    return optimised(parsed, target_context.codegen()._tm)


def optimised(module, machine):
    """The machine code of a module."""
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    tuning.loop_vectorization = True
    tuning.slp_vectorization = tuning.loop_unrolling = False  # vectors are unrolled anyway, and what is left takes no time
    tuning.inlining_threshold = 0  # a routine that is called once is inlined anyway
    builder = llvm.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(module, builder)
    return machine.emit_object(module)
