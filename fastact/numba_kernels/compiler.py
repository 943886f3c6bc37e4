"""From a Python function to machine code: Numba compiles it to LLVM's instructions, which are optimised once, as a whole kernel.

Numba by itself would optimise, and translate to machine code, every function that a kernel calls, and once more inside its caller.
"""

from types import FunctionType

from llvmlite import ir
from numba import types
from numba.core import compiler
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.extending import overload

from fastact.numba_kernels.scalars import dialect

OPTIONS = {"error_model": "numpy"}  # and no fastmath, which would break nan, signed zeros and the rounding tricks
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


class Whole(JITCodeLibrary):
    """The instructions of a kernel, in which nothing but the C function has a name: all that is inlined into it is gone."""

    def _optimize_final_module(self):
        for function in self.get_defined_functions():
            if function.name != ENTRY:
                function.linkage = "internal"
        manager, builder = self._codegen._module_pass_manager()
        manager.run(self._final_module, builder)


class PartCompiler(compiler.Compiler):
    """Numba's compiler, which stops at LLVM's instructions."""

    def define_pipelines(self):
        self.state.flags.no_compile = True
        self.state.library = Part(self.state.targetctx.codegen(), self.state.func_id.func_qualname)
        return super().define_pipelines()

    def _compile_core(self):
        made = super()._compile_core()._replace(entry_point=[].append)  # a key, by which callers find it: any new built-in method
        self.state.targetctx.insert_user_function(made.entry_point, made.fndesc, [made.library])
        return made


def routine(function):
    """Make a function with loops callable in compiled code, where it is compiled for float32 or float64, but not inlined."""

    def version(*args):
        return FunctionType(function.__code__, {**function.__globals__, **dialect(args)}, function.__name__)

    overload(function, jit_options={**OPTIONS, "pipeline_class": PartCompiler, "no_cfunc_wrapper": True}, strict=False)(version)
    return function


@global_compiler_lock
def object_code(function, signature):
    """The machine code of a kernel as an object file, in which the C function is named `ENTRY`."""
    context = cpu_target.target_context
    flags = compiler.Flags()
    flags.error_model = OPTIONS["error_model"]
    flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    parts = compiler.compile_extra(
        cpu_target.typing_context, context, function, signature.args, signature.return_type, flags, {}, pipeline_class=PartCompiler
    )
    library = Whole(context.codegen(), ENTRY)
    library.enable_object_caching()
    library.add_linking_library(parts.library)
    library.add_ir_module(c_function(context, parts.fndesc))
    library.finalize()
    return library.serialize_using_object_code()[2][0]


def c_function(context, inner):
    """A module with the C function, which calls Numba's own and takes no notice of its status: kernels raise nothing."""
    module = context.create_module(ENTRY)
    callee = context.declare_function(module, inner)
    arguments = [context.get_value_type(kind) for kind in inner.argtypes]
    nothing = inner.restype == types.void
    outer = ir.Function(module, ir.FunctionType(ir.VoidType() if nothing else context.get_value_type(inner.restype), arguments), ENTRY)
    builder = ir.IRBuilder(outer.append_basic_block())
    _, result = context.call_conv.call_function(builder, callee, inner.restype, inner.argtypes, outer.args)
    builder.ret_void() if nothing else builder.ret(result)
    return module
