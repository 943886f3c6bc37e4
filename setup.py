"""What is compiled and how: one Cython module per instruction-set level, and the engine as baseline code; metadata is in pyproject.toml."""

import os
import pathlib
import platform
import shlex
import subprocess
import sys
import sysconfig
import tempfile

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "tools"))
import kernel_table  # noqa: E402

KERNEL_FOLDER = ROOT / "fastact" / "cython_kernels"
COMPILER = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "gcc")  # the one that setuptools uses
JOBS = int(os.environ.get("FASTACT_BUILD_JOBS") or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else [0]))
# Never -ffast-math or its parts that assume no nan, no inf or free association: not here, and not when linking.
COMMON = ["-O3", "-g0", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-fno-semantic-interposition"]
KERNELS = [
    "-DCYTHON_INLINE=inline __attribute__((always_inline))",  # with a hundred kernels in a file the compiler stops inlining
    "-fno-stack-protector",  # kernels keep lanes in arrays; a check of the stack would be a call in each
    "-fno-tree-loop-distribute-patterns",  # loops must not become calls of memcpy
    "--param=max-completely-peel-times=15",  # loops over 16 lanes must be vectorised, not written out
    "-fno-thread-jumps",  # a clamp is two selects; threading makes a case of each path and blends them all
    "-fno-tree-pre",  # it computes both sides of a select ahead of their shared product
    "-funroll-loops", "--param=max-unroll-times=4",  # a seventh of the time of short loops, in cache and out of it
    "-fprefetch-loop-arrays", "--param=prefetch-latency=600", "--param=simultaneous-prefetches=16",  # 1 to 2 kB ahead
]
X86 = platform.machine().lower() in ("x86_64", "amd64")
LEVELS = {
    "v2": ["-march=x86-64-v2"],
    "v3": ["-march=x86-64-v3"],
    "v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
} if X86 else {"native": []}
ENGINE = sorted(path.stem for path in (ROOT / "fastact" / "engine").glob("*.pyx"))


def complaint(flags):
    """What the compiler says against these flags; "" if it takes them."""
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "probe.c")
        source.write_text("int main(void) { return 0; }\n")
        command = [*COMPILER, *flags, "-c", str(source), "-o", str(source.with_suffix(".o"))]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            raise SystemExit(f"fastact needs a C compiler: {COMPILER}: {error}. On Debian: apt install gcc python3-dev") from error
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["refused"])[0].replace(folder, "")


def accepted(flags):
    """The flags that the compiler takes; those that it does not know, which only make code faster, are named and left out."""
    unknown = [flag for flag in flags if complaint([flag])]
    if unknown:
        print(f"fastact: left out, since the compiler does not know them: {' '.join(unknown)}", file=sys.stderr)
    return [flag for flag in flags if flag not in unknown]


def write_if_changed(path, text):
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def record_levels():
    """Find out which levels the compiler can build, and record it in the engine; fail where FASTACT_REQUIRE_LEVELS asks for more."""
    built = {level: complaint([*COMMON, *KERNELS, *flags]) for level, flags in LEVELS.items()}
    for level, why in built.items():
        if why:
            print(f"fastact: the compiler cannot build level {level}: {why}", file=sys.stderr)
    if all(built.values()):
        raise SystemExit(f"fastact: the compiler can build no level of the kernels: {built}")
    required = [level for level in os.environ.get("FASTACT_REQUIRE_LEVELS", "").split(",") if level]
    missing = [level for level in required if built.get(level, "unknown level")]
    if missing:
        raise SystemExit(f"FASTACT_REQUIRE_LEVELS={','.join(required)}: cannot build {', '.join(missing)}: {built}")
    version = subprocess.run([*COMPILER, "--version"], capture_output=True, text=True).stdout.splitlines()[0]
    write_if_changed(ROOT / "fastact/engine/built.pxi", f"BUILT = {built!r}\nCOMPILER = {version!r}\n")
    return [level for level, why in built.items() if not why]


def extensions(levels):
    include = [numpy.get_include(), str(ROOT / "fastact/engine")]
    macros = [("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"), ("NPY_TARGET_VERSION", "NPY_2_0_API_VERSION")]
    engine = [
        Extension(f"fastact.engine.{name}", [f"fastact/engine/{name}.pyx"], include_dirs=include, define_macros=macros,
                  extra_compile_args=[*COMMON, "-pthread"], extra_link_args=["-pthread"])
        for name in ENGINE
    ]
    pages = [str(path) for path in KERNEL_FOLDER.glob("*.px[di]")]
    kernels = [
        Extension(f"fastact.cython_kernels.level_{level}", [f"fastact/cython_kernels/level_{level}.pyx"],
                  extra_compile_args=[*COMMON, *KERNELS, *LEVELS[level]], depends=pages)
        for level in levels
    ]
    return [*kernels, *engine]  # the long ones first


class BuildExtensions(build_ext):
    """Cythonize and compile side by side."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or JOBS

    def run(self):
        kernel_table.write()
        pages = [*KERNEL_FOLDER.glob("*.px[di]")]
        for old in KERNEL_FOLDER.glob("level_*.c"):     # cythonize does not see changes of cimported pages
            if old.stat().st_mtime < max(page.stat().st_mtime for page in pages):
                old.unlink()
        translated = {e.name: e for e in cythonize(self.extensions, nthreads=JOBS if JOBS > 1 else 0)}
        for extension in self.extensions:
            extension.sources = translated[extension.name].sources
            extension.depends = [*extension.depends, *map(str, (ROOT / "fastact").glob("*/*.h"))]
        super().run()


KERNELS = accepted(KERNELS)
setup(ext_modules=extensions(record_levels()), cmdclass={"build_ext": BuildExtensions})
