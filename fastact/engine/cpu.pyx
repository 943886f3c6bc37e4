# cython: language_level=3
"""What machine this is: the instruction-set level that processor and system support, the processors this process may use, its name;
and which levels the build could make."""

import os

cdef extern from "cpu.h" nogil:
    int fa_x86_level()

include "built.pxi"   # BUILT: {level: "" or the compiler's complaint}, and COMPILER; written by setup.py


def level():
    """The highest x86-64 level that can run here: ``"v2"``, ``"v3"`` or ``"v4"``; ``"native"`` on other architectures."""
    if "native" in BUILT:
        return "native"
    found = fa_x86_level()
    if not found:
        raise ImportError("fastact needs a processor of level x86-64-v2 or higher (SSE4.2, 2009); this one is older")
    return f"v{found}"


def built_levels():
    """``{level: ""}`` for every level in this build, with the compiler's complaint where a level could not be built."""
    return dict(BUILT)


def compiler():
    """The compiler that built this package."""
    return COMPILER


def name():
    """The processor's name as the system reports it."""
    try:
        with open("/proc/cpuinfo") as info:
            for line in info:
                if line.startswith(("model name", "Model")):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    import platform

    return platform.processor() or platform.machine()


def _quota():
    """Processors granted by the container's control group (v2, then v1), or None."""
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()[:2]
    except (OSError, ValueError):
        try:
            with open("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") as file:
                quota = file.read().strip()
            with open("/sys/fs/cgroup/cpu/cpu.cfs_period_us") as file:
                period = file.read().strip()
        except OSError:
            return None
    return None if quota in ("max", "-1") else max(1, int(quota) // int(period))


def usable_cpus():
    """How many processors this process may use: its affinity mask, and the container's quota."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:
        count = os.cpu_count() or 1
    quota = _quota()
    return count if quota is None else min(count, quota)
