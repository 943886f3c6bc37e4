"""Activation functions, softmax, gates and losses for NumPy arrays, forward and backward, in place and at the speed of the machine.

This file makes the public names from the register; nothing is computed here.
"""

from types import MappingProxyType

from fastact import reference as _reference
from fastact.backends import PUBLIC as _PUBLIC
from fastact.backends import backend, get_backend, set_backend, show_config, warm_up
from fastact.engine.function import Function
from fastact.register import OPS as _OPS
from fastact.thread_limit import get_num_threads, set_num_threads, threads

ops = MappingProxyType(_OPS)
"""The register: every operation by name, with its parameters, what its backward reads, its promised error and its source."""

globals().update(_PUBLIC)

__all__ = sorted(
    {*_PUBLIC, "Function", "backend", "get_backend", "get_num_threads", "ops", "set_backend"}
    | {"set_num_threads", "show_config", "threads", "warm_up"}
)


def __dir__():
    return [*__all__, "__version__"]


def __getattr__(name):
    """Attributes that cost an import are made when asked for: the version, and the examples for doctest."""
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("fastact")
        except PackageNotFoundError:  # built in place, never installed
            return "unknown (not installed)"
    if name == "__test__":
        from fastact.docstrings import examples

        return examples(_PUBLIC)
    raise AttributeError(f"module 'fastact' has no attribute {name!r}")
