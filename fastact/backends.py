"""Which backend and level compute, and why: choice at import, `set_backend`, and namespaces bound to one backend."""

import importlib
import os
import sys
import types
from collections.abc import Iterable

from fastact.register import public_ops
from fastact.setting import Setting

try:
    from fastact import thread_limit
    from fastact.engine import cpu
    from fastact.engine.blocks import choose_level
    from fastact.engine.elementwise import MapFunction
    from fastact.engine.gates import ChannelFunction
    from fastact.engine.losses import LossFunction
    from fastact.engine.picks import PickFunction
    from fastact.engine.row_losses import RowLossFunction
    from fastact.engine.rowwise import RowFunction
except ImportError as error:
    if not (error.name or "").startswith("fastact."):
        raise
    raise ImportError(
        f"fastact's compiled engine cannot be loaded ({error}): this looks like a source tree that was not built. "
        "Run `pip install -e .` in it, or leave it and import an installed fastact."
    ) from error

BACKENDS = ("cython", "numba", "numpy")
LEVELS = ("v2", "v3", "v4")
CLASSES = {
    "map": MapFunction,
    "rows": RowFunction,
    "loss": LossFunction,
    "row_loss": RowLossFunction,
    "channels": ChannelFunction,
    "pick": PickFunction,
}

_bound: dict[tuple[str, str | None], "Namespace"] = {}


class Namespace(types.SimpleNamespace):
    """Every public function, bound to one backend: what `get_backend` returns."""

    def __repr__(self):
        return f"<fastact backend {self.backend}>"


def choice(variable, allowed):
    """The value of an environment variable, or None where it is not set; ValueError, with the list, for a bad one."""
    value = os.environ.get(variable)
    if value in (None, ""):
        return None
    if value not in allowed:
        raise ValueError(f"{variable}={value!r}; one of {', '.join(allowed)} is required")
    return value


def levels():
    """The instruction-set levels that were built and that this machine can run, lowest first."""
    built = [level for level, complaint in cpu.built_levels().items() if not complaint]
    if built == ["native"]:
        return built
    return [level for level in LEVELS if level in built and level <= cpu.level()]


def best_level():
    """The level in use: the best that can run, capped by FASTACT_LEVEL."""
    cap = choice("FASTACT_LEVEL", LEVELS)
    usable = [level for level in levels() if cap is None or level == "native" or level <= cap]
    if not usable:
        raise ImportError(f"no level of the Cython kernels can run here: built are {cpu.built_levels()}, "
                          f"the machine supports {cpu.level()}, FASTACT_LEVEL={cap}")
    return usable[-1]


def cython_source(level):
    module = importlib.import_module(f"fastact.cython_kernels.level_{level}")

    def kernel(op, role, dtype):
        return module.kernels[op.name][role][dtype == "float64"]

    return f"cython {level}", kernel


def numba_source(level):
    try:
        from fastact.numba_kernels.machine_code import kernel
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("numba", "llvmlite"):
            raise
        raise ImportError("the numba backend needs Numba, which is not installed: pip install 'fastact[numba]'") from error
    return "numba", kernel


def numpy_source(level):
    from fastact.reference.kernels import kernel

    return "numpy", kernel


SOURCES = {"cython": cython_source, "numba": numba_source, "numpy": numpy_source}


def source(name, level):
    """The label of a backend and its function that gives kernel addresses."""
    if name not in BACKENDS:
        raise ValueError(f"backend {name!r}; one of {', '.join(BACKENDS)} is required")
    if level is not None and name != "cython":
        raise ValueError(f"level={level!r}; only the cython backend has levels")
    if level is not None and level not in levels():
        raise ValueError(f"level {level!r}; one of {', '.join(levels())}, built and supported by this machine, is required")
    return SOURCES[name](level or (best_level() if name == "cython" else None))


def functions(label, kernel, namespace):
    """The public functions by name, all computing with one source of kernels; aliases are the same object."""
    made = {}
    result = {}
    for name, op in public_ops().items():
        if op.name not in made:
            made[op.name] = CLASSES[op.kind](op, name, namespace)
            made[op.name].use(label, kernel)
        result[name] = made[op.name]
    return result


def get_backend(name=None, *, level=None):
    """A namespace with every public function bound to one backend, whatever `set_backend` says.

    Parameters
    ----------
    name : {"cython", "numba", "numpy"}, optional
        The backend; by default the one in use.
    level : {"v2", "v3", "v4"}, optional
        For cython: the instruction-set level; by default the best that can run.

    Raises
    ------
    ValueError
        For an unknown backend or a level that was not built or cannot run here.
    ImportError
        For numba where Numba is not installed.

    Examples
    --------
    >>> reference = fa.get_backend("numpy")
    >>> reference.relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    if name is None:
        name, level = _CHOICE.value[0], level or _CHOICE.value[1]
    if (name, level) not in _bound:
        label, kernel = source(name, level)
        _bound[name, level] = Namespace(backend=label, **functions(label, kernel, (name, level)))
    return _bound[name, level]


def set_backend(name, *, level=None):
    """Let the public functions compute with another backend from now on, in all threads; in a ``with`` block of this thread until its end.

    Parameters and errors as for `get_backend`.

    Examples
    --------
    >>> fa.set_backend("cython")
    """
    source(name, level)
    _CHOICE.set((name, level), "set_backend")


def backend(name, *, level=None):
    """Compute with another backend inside a ``with`` block.

    The choice holds for the whole process, Python's other threads too; of several open blocks the one entered last decides. Parameters
    and errors as for `get_backend`.

    Examples
    --------
    >>> with fa.backend("numpy"):
    ...     fa.relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    source(name, level)
    return _CHOICE.block((name, level), "backend")


def warm_up(names=None, *, dtypes=("float32", "float64")):
    """Have the kernels of the backend in use ready, so that no later call must compile them.

    With numba that takes 0.1 to 0.5 s for each function that is not yet in the cache on disk; the other backends have them anyway.

    Parameters
    ----------
    names : str or iterable of str, optional
        Public names; by default all of them. A backward pass is named like any other function.
    dtypes : dtype or iterable of dtypes, optional
        float32 and float64 by default; half types compute in float32.

    Raises
    ------
    ValueError
        For a name or a dtype that is not among those of this package.

    Examples
    --------
    >>> fa.warm_up(["gelu", "gelu_backward"], dtypes="float32")
    """
    ops = public_ops()
    chosen = [ops[_one_of(ops, "name", name)] for name in (ops if names is None else _listed(names))]
    computed = [COMPUTED[_one_of(COMPUTED, "dtype", getattr(d, "__name__", str(d)))] for d in _listed(dtypes)]
    chosen += [op.forward for op in chosen if op.page == "losses" and op.is_backward]  # the value that comes with the gradient
    _, kernel = source(*_CHOICE.value)
    for op in dict.fromkeys(chosen):
        for role in op.roles:
            for dtype in dict.fromkeys(computed):
                kernel(op, role, dtype)


COMPUTED = {"float16": "float32", "bfloat16": "float32", "float32": "float32", "float64": "float64"}
"""The dtype that kernels compute in, for each that calls take."""


def _listed(values):
    return [values] if isinstance(values, str) or not isinstance(values, Iterable) else list(values)


def _one_of(known, kind, value):
    if value not in known:
        raise ValueError(f"{kind} {value!r}; one of {', '.join(known)} is required")
    return value


def current():
    """The label of the backend in use, and why it is."""
    return next(iter(PUBLIC.values())).backend, _CHOICE.why


def _use(chosen):
    """Let the public functions compute with a backend and level."""
    label, kernel = source(*chosen)
    for function in PUBLIC.values():
        function.use(label, kernel)


def _at_first():
    """The backend that the environment asks for, and why it is taken."""
    asked = choice("FASTACT_BACKEND", BACKENDS)
    name = asked or "cython"
    reasons = [f"FASTACT_BACKEND={asked}" if asked else "the default"]
    if name == "cython":
        cap = os.environ.get("FASTACT_LEVEL")
        runs = f"that this {cpu.level()} machine runs" + (f" and that FASTACT_LEVEL={cap} allows" if cap else "")
        reasons.append(f"the best level{',' if cap else ' that was built and'} {runs}, of {', '.join(levels())}")
    return (name, None), "; ".join(reasons)


def _start():
    """The public functions, with the backend that is taken at first."""
    level = cpu.level() if cpu.level() == "native" else best_level()
    choose_level(0 if level == "native" else int(level[1:]))
    return functions(*source(*_at_first()[0]), None)


PUBLIC = _start()
_CHOICE = Setting(_use, *_at_first())


def config():
    """What was chosen and why, as a dict."""
    label, reason = current()
    import numpy

    kept = {}
    if label == "numba":
        from fastact.numba_kernels.machine_code import status

        kept = {"compiled kernels": status()}
    return {
        "fastact": importlib.import_module("fastact").__version__,
        "python": sys.version.split()[0],
        "numpy": numpy.__version__,
        "processor": cpu.name(),
        "supports": cpu.level(),
        "backend": label,
        "because": reason,
        **kept,
        "levels built": {level: complaint or "built" for level, complaint in cpu.built_levels().items()},
        "threads": thread_limit.get_num_threads(),
        "threads from": thread_limit.LIMIT.why,
        "usable processors": cpu.usable_cpus(),
        "compiler": cpu.compiler(),
    }


def show_config():
    """Print what runs and why: processor, backend, level, threads, and the levels that could not be built.

    Examples
    --------
    >>> fa.show_config()  # doctest: +ELLIPSIS
    fastact ...
    """
    for key, value in config().items():
        if isinstance(value, dict):
            value = ", ".join(f"{k}: {v}" for k, v in value.items())
        print(f"{key:18} {value}")
