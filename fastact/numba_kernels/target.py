"""The parts of Numba that kernels are made with: its types, how its numbers become one another, and the processor as it sees it.

What its arrays, strings and containers need, no kernel does: Numba would load that, and SciPy for it, in 0.4 to 0.5 s.
"""

from numba.core import cpu, imputils, typing
from numba.cpython import numbers as numbers  # registers itself

typing_context = typing.Context()
target_context = cpu.CPUContext(typing_context, "cpu")
target_context.install_registry(imputils.builtin_registry)
