"""Run a Python module as if level v4 could run here: on a machine without AVX-512 its kernels execute in Bochs, an emulator of x86.

    pip install bochscpu-python==0.3.1        # wheels for Linux; 0.4.0 needs glibc 2.38
    python tools/emulate_v4.py fastact accuracy --level v4 --compare v3 --stride 9973
    python tools/emulate_v4.py pytest tests/test_rows.py -k v4

v4 joins `fastact.backends.levels()`, a thousand times slower than a processor; at import the public functions get the best real level.
The machine code of level v4 is executed as it lies in the compiled module; of the module's Python part nothing runs.
"""

import argparse
import ctypes
import importlib.util
import mmap
import os
import re
import runpy
import struct
import subprocess
import sys
import threading
import traceback
import types

import bochscpu
import bochscpu.cpu
import bochscpu.memory
from kernel_table import kernels

from fastact import backends
from fastact.register import OPS

MODULE = "fastact.cython_kernels.level_v4"
PAGE, GIGABYTE, STACK = 2**12, 2**30, 2**20
TABLES = 8  # the top page table, and one for each 512 gigabytes of addresses in use: heap, files, stack
DEVICES = 4  # physical gigabytes that hold none of this process's memory: the emulator's devices stand there
INTEGER_REGISTERS = ("rdi", "rsi", "rdx", "rcx", "r8", "r9")
CTYPES = {"float": ctypes.c_float, "double": ctypes.c_double, "Py_ssize_t": ctypes.c_ssize_t}
NAN = 0x7FF7FFFF7FF7FFFF  # as a double, and as two floats


class Machine:
    """A processor with AVX-512, without an operating system, that finds the memory of this process at its own addresses.

    Its page tables map whole gigabytes, since a pointer does not say how long its array is: a kernel may touch what lies up to a
    gigabyte behind a pointer that it is given. The emulator asks for a page when it first touches it.
    """

    def __init__(self):
        self.tables, self.stack = mmap.mmap(-1, TABLES * PAGE), mmap.mmap(-1, STACK)
        self.used = 1
        self.frames = {}  # which physical gigabyte shows a gigabyte of this process
        self.owners = {}  # the other way round
        self.faults = []
        self.lock = threading.Lock()
        for k in range(TABLES):
            bochscpu.memory.page_insert(k * PAGE, address(self.tables) + k * PAGE)
        self.stack[0] = 0xF4  # hlt: where kernels return to
        self.end = address(self.stack)
        self.state = initial_state()
        self.session = bochscpu.Session()
        self.session.missing_page_handler = self.hand_over
        self.hook = bochscpu.Hook()
        self.hook.hlt = lambda session, cpu: session.stop()
        self.hook.exception = self.fault

    def hand_over(self, physical):
        """Give the emulator the page of this process that it asks for."""
        gigabyte, offset = divmod(physical & -PAGE, GIGABYTE)
        bochscpu.memory.page_insert(physical & -PAGE, self.owners[gigabyte] * GIGABYTE + offset)

    def fault(self, session, cpu, vector, error):
        self.faults.append((vector, error))
        session.stop()

    def reach(self, pointer):
        """Map the gigabyte of a pointer and the next one."""
        for number in range(pointer // GIGABYTE, pointer // GIGABYTE + 2):
            if number in self.frames:
                continue
            frame = self.frames[number] = DEVICES + len(self.frames)
            self.owners[frame] = number
            top, low = divmod(number, 512)
            (table,) = struct.unpack_from("<Q", self.tables, 8 * top)
            if not table:
                table = self.used * PAGE | 0b11  # present, writeable
                self.used += 1
                struct.pack_into("<Q", self.tables, 8 * top, table)
            struct.pack_into("<Q", self.tables, (table & -PAGE) + 8 * low, frame * GIGABYTE | 0b10000011)  # ... a whole gigabyte

    def call(self, code, integers, floats):
        """Call a function as System V's rules for x86-64 say, with floating-point arguments as bits; kernels return nothing."""
        with self.lock:
            for value in (code, self.end, *integers):
                if value >= GIGABYTE:
                    self.reach(value)
            state = self.state
            for register, value in zip(INTEGER_REGISTERS, integers, strict=False):
                setattr(state, register, value % 2**64)
            further = integers[len(INTEGER_REGISTERS) :]
            frame = STACK - 16 * (len(further) // 2 + 1) - 8  # what follows the return address is aligned to 16
            struct.pack_into(f"<Q{len(further)}q", self.stack, frame, self.end, *further)
            state.rsp, state.rip = self.end + frame, code
            state.zmm = [vector(*floats[k : k + 1]) for k in range(32)]
            self.session.cpu.state = state
            self.session.run([self.hook])
            if self.faults or self.session.cpu.rip != self.end + 1:
                raise RuntimeError(f"exceptions {self.faults} at {self.session.cpu.rip:#x}, address {self.session.cpu.cr2:#x}")


def address(buffer):
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def vector(bits=NAN):
    """A vector register that holds a number, and nan elsewhere: what a kernel has not set must not matter."""
    made = bochscpu._bochscpu.Zmm()
    made.q = [bits] + [NAN] * 7
    return made


def initial_state():
    """64-bit mode with the vector registers enabled and the floating-point control that a program starts with."""
    state = bochscpu.State()
    bochscpu.cpu.set_long_mode(state)
    state.cr3 = 0
    state.cr4 |= 1 << 9 | 1 << 10 | 1 << 18  # SSE, its exceptions, XSAVE
    state.xcr0 = 0b11100111  # x87, SSE, AVX; opmasks, the upper halves, the upper 16 registers
    state.mxcsr, state.mxcsr_mask, state.rflags = 0x1F80, 0xFFFF, 2
    for name in ("cs", "ds", "ss", "es", "fs", "gs"):
        segment = bochscpu.Segment()
        segment.present, segment.base, segment.limit = True, 0, 2**32 - 1
        segment.selector, segment.attr = (0x10, 0x209B) if name == "cs" else (0x18, 0xC93)
        setattr(state, name, segment)
    return state


def trampoline(machine, code, arguments):
    """A C function of this process that has the machine execute a kernel."""
    kinds = [ctypes.c_void_p if "*" in argument else CTYPES[argument.split()[0]] for argument in arguments.split(", ")]

    def run(*given):
        try:
            integers, floats = [], []
            for kind, value in zip(kinds, given, strict=True):
                if kind in (ctypes.c_float, ctypes.c_double):
                    floats.append(int.from_bytes(bytes(kind(value)), "little"))
                else:
                    integers.append(value or 0)  # a null pointer is None
            machine.call(code, integers, floats)
        except BaseException:  # no exception can pass through the engine, and no result may be made up
            traceback.print_exc()
            os._exit(70)

    return ctypes.CFUNCTYPE(None, *kinds)(run)


def offsets(path):
    """Where a module's functions lie in it, by the end of the symbol."""
    text = subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout
    return {name.split("level_v4_")[-1]: int(offset, 16) for offset, name in re.findall(r"^(\w+) [tT] (\w+)$", text, re.M)}


def install():
    """Put the emulated kernels where `fastact` looks for the module of level v4, and let it believe that they can run."""
    spec = importlib.util.find_spec(MODULE)
    if spec is None:
        raise SystemExit("level v4 was not built: see the output of the build")
    library = ctypes.CDLL(spec.origin)  # maps and relocates it; its init function, which could not run here, is not called
    places = offsets(spec.origin)
    base = ctypes.cast(library.PyInit_level_v4, ctypes.c_void_p).value - places["PyInit_level_v4"]
    machine, functions, table = Machine(), [], {}
    for op in OPS.values():
        for role, arguments, _ in kernels(op):
            for ctype in ("float", "double"):
                place = base + places[f"{op.name}_{role}_{ctype[0]}"]
                functions.append(trampoline(machine, place, arguments.format(T=ctype)))
                pointer = ctypes.cast(functions[-1], ctypes.c_void_p).value
                table.setdefault(op.name, {}).setdefault(role, []).append(pointer)
    sys.modules[MODULE] = types.SimpleNamespace(kernels=table, functions=functions)
    backends.cpu.level = lambda: "v4"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("module", help="what to run, as by python -m")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its arguments")
    args = parser.parse_args()
    install()
    sys.argv[1:] = args.arguments
    status = 0
    try:
        runpy.run_module(args.module, run_name="__main__", alter_sys=True)
    except SystemExit as done:
        status = done.code
        if isinstance(status, str):
            print(status, file=sys.stderr)
            status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(status or 0))  # the emulator crashes when the interpreter tears it down


if __name__ == "__main__":
    main()
