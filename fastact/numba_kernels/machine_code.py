"""Where the machine code of a kernel comes from: a file, else Numba, which is not even imported for what is kept in files.

A file belongs to this wing's sources, the versions of Numba and llvmlite, and the processor: its name holds a hash of them all.
"""

import functools
import hashlib
import os
import sys
import tempfile
import threading
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

if not find_spec("numba"):
    raise ModuleNotFoundError("No module named 'numba'", name="numba")

import llvmlite.binding as llvm

LOADED: dict[tuple[str, str, str], object] = {}
"""What keeps the machine code in memory, by operation, role and dtype."""

LOCK = threading.Lock()
"""Held while a kernel is looked for: threads may ask for the same one at the same time."""

SETTINGS = ("NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER")
"""The settings of Numba that do not change the machine code."""


@functools.cache
def linker():
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.create_lljit_compiler()


@functools.cache
def stamp():
    """A hash of all that the machine code depends on, besides the operation."""
    settings = sorted(item for item in os.environ.items() if item[0].startswith("NUMBA_") and item[0] not in SETTINGS)
    facts = (version("numba"), version("llvmlite"), sys.version, llvm.get_process_triple(), llvm.get_host_cpu_name())
    hashed = hashlib.sha256(repr((facts, llvm.get_host_cpu_features().flatten(), settings)).encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        hashed.update(file.read_bytes())
    return hashed


def folder():
    """Where files are kept: in NUMBA_CACHE_DIR, else in the user's cache directory; None for a user without home."""
    try:
        chosen = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        return None
    return Path(chosen) / "fastact"


def kept(name):
    """The machine code in a file, or None; a file that was cut off or damaged counts for nothing."""
    place = folder()
    try:
        digest, code = (place / name).read_bytes().split(b"\n", 1)
    except (OSError, ValueError, TypeError):
        return None
    return code if digest == hashlib.sha256(code).hexdigest().encode() else None


def keep(name, code):
    """Write the file as a whole or not at all: other processes may read or write it now."""
    place = folder()
    if place is None:
        return
    try:
        place.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=place)
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(code).hexdigest().encode() + b"\n" + code)
        Path(temporary).replace(place / name)
    except OSError:  # not writable, or full: the next process compiles again
        return


def compiled(op, role, dtype):
    """The machine code, made now."""
    from fastact.numba_kernels.compiler import object_code
    from fastact.numba_kernels.kernels import functions, kinds

    return object_code(functions(op)[role], kinds(op, dtype))


def kernel(op, role, dtype):
    """The address of a kernel: `op` is an entry of the register, `role` one of its roles, `dtype` a name."""
    if op.kind == "row_loss":
        op = op.forward or op  # one kernel gives the value and the gradient
    key = (op.name, role, dtype)
    with LOCK:
        if key not in LOADED:
            LOADED[key] = load(op, role, dtype)
        return LOADED[key]["kernel"]


def load(op, role, dtype):
    """The machine code of a kernel in memory: from its file, or made now and kept."""
    hashed = stamp().copy()
    hashed.update(repr((op, op.kind, op.loop, role)).encode())
    name = f"{op.name}-{role}-{dtype}-{hashed.hexdigest()[:20]}.o"
    code = kept(name)
    if code is None:
        code = compiled(op, role, dtype)
        keep(name, code)
    return linked(f"{name} {len(LOADED)}", code)


def linked(name, code):
    """Machine code in memory, under a name that no other has."""
    return llvm.JITLibraryBuilder().add_object_img(code).add_current_process().export_symbol("kernel").link(linker(), name)


def status():
    """Where machine code is kept, as a sentence."""
    place = folder()
    existing = place and next(path for path in (place, *place.parents) if path.exists())
    if existing and existing.is_dir() and os.access(existing, os.W_OK):
        return f"kept in {place}"
    return "not kept: no cache directory is writable; NUMBA_CACHE_DIR names another"
