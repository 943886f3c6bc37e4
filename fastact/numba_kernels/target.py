"""Which parts of Numba compile kernels: numbers, tuples and ranges, without its arrays, strings and containers.

Numba loads those, and SciPy for them, before it compiles anything for its own target: 0.4 to 0.5 s.
"""

import functools

from numba.core import cpu, registry, typing
from numba.core.target_extension import CPU, dispatcher_registry, jit_registry, target_registry

NAME = "fastact"


class Types(typing.Context):
    def load_additional_registries(self):
        pass


class Instructions(cpu.CPUContext):
    def load_additional_registries(self):
        from numba.core import optional  # noqa: F401
        from numba.cpython import builtins, numbers, rangeobj, tupleobj  # noqa: F401

    def post_lowering(self, module, library):
        """Numba would link its memory manager here."""


class Target(registry.CPUTarget):
    @functools.cached_property
    def _toplevel_typing_context(self):
        return Types()

    @functools.cached_property
    def _toplevel_target_context(self):
        return Instructions(self.typing_context, self._target_name)


class Kernels(CPU):
    """The target, of which Numba asks what it inherits from: all that is for CPUs holds for it."""


class Dispatcher(registry.CPUDispatcher):
    targetdescr = Target(NAME)


def refuse(**options):
    raise TypeError("a kernel cannot hold what Numba itself writes in Python, such as min(a, b): `a if a < b else b` does")


target = Dispatcher.targetdescr
target_registry[NAME] = Kernels
dispatcher_registry[Kernels] = Dispatcher
jit_registry[Kernels] = refuse
