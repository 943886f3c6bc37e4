"""From a Python function to machine code: Numba compiles it to LLVM's instructions, which are optimised once, as a whole kernel.

Numba by itself would optimise, and translate to machine code, every function that a kernel calls, and once more inside its caller.
"""

import functools
from types import FunctionType

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import compiler, typed_passes, untyped_passes
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.target_extension import target_override

from fastact.numba_kernels.scalars import dialect, made_intrinsic
from fastact.numba_kernels.target import NAME, target

ENTRY = "kernel"  # the name of the C function in its machine code


class Part(JITCodeLibrary):
    """The instructions of one function, left as they are until they are linked into a kernel."""

    def _optimize_functions(self, module):
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalize_dynamic_globals()
        self._finalized = True


class PartCompiler(compiler.Compiler):
    """Numba's compiler, which stops at LLVM's instructions, without the passes for what no kernel holds, as closures and arrays."""

    PASSES = (
        untyped_passes.TranslateByteCode,
        untyped_passes.FixupArgs,
        untyped_passes.IRProcessing,
        untyped_passes.ReconstructSSA,
        typed_passes.NopythonTypeInference,
        typed_passes.PreLowerStripPhis,
        typed_passes.NativeLowering,
        typed_passes.NoPythonBackend,
    )

    def define_pipelines(self):
        self.state.flags.no_compile = True
        self.state.type_annotation = None
        self.state.library = Part(self.state.targetctx.codegen(), self.state.func_id.func_qualname)
        manager = compiler.PassManager("kernel")
        for made in self.PASSES:
            manager.add_pass(made, made.__name__)
        manager.finalize()
        return [manager]


def part(function, arguments, returned=None):
    """The instructions of a function, for arguments of these types."""
    flags = compiler.Flags()
    flags.error_model = "numpy"  # and no fastmath, which would break nan, signed zeros and the rounding tricks
    flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    return compiler.compile_extra(
        target.typing_context, target.target_context, function, arguments, returned, flags, {}, pipeline_class=PartCompiler
    )


def routine(function):
    """Make a function with loops callable in routines and kernels, where it is compiled for float32 or float64, but not inlined."""

    @functools.cache
    def version(*kinds):
        return part(FunctionType(function.__code__, {**function.__globals__, **dialect(kinds)}, function.__name__), kinds)

    def define(typing, *kinds):
        made = version(*kinds)

        def codegen(context, builder, signature, values):
            context.active_code_library.add_linking_library(made.library)
            return called(context, builder, made.fndesc, values)

        return made.signature, codegen

    return made_intrinsic(define, function)


def called(context, builder, inner, values):
    """The result of a call, without notice of its status: kernels raise nothing."""
    callee = context.declare_function(builder.module, inner)
    return context.call_conv.call_function(builder, callee, inner.restype, inner.argtypes, values)[1]


@global_compiler_lock
def object_code(function, signature):
    """The machine code of a kernel as an object file, in which the C function is named `ENTRY`."""
    with target_override(NAME):
        inner = part(function, signature.args, signature.return_type)
        module = llvm.parse_assembly(str(c_function(target.target_context, inner.fndesc)))
    module.link_in(inner.library._get_module_for_linking())
    for made in module.functions:
        if made.name != ENTRY and not made.is_declaration:
            made.linkage = "internal"  # nothing but the C function has a name: all that is inlined into it is gone
    return optimised(module, target.target_context.codegen()._tm)


def optimised(module, machine):
    """The machine code of a module."""
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    tuning.loop_vectorization = True
    tuning.slp_vectorization = tuning.loop_unrolling = False  # vectors are unrolled anyway, and what is left takes no time
    builder = llvm.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(module, builder)
    return machine.emit_object(module)


def c_function(context, inner):
    """A module with the C function, which calls Numba's own."""
    module = context.create_module(ENTRY)
    arguments = [context.get_value_type(kind) for kind in inner.argtypes]
    outer = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), ENTRY)
    builder = ir.IRBuilder(outer.append_basic_block())
    called(context, builder, inner, outer.args)
    builder.ret_void()
    return module
