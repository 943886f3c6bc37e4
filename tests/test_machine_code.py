"""What the compiler made of the kernels: packed instructions of the level's width in each, and no call."""

import functools
import os
import re
import shlex
import subprocess
import sysconfig

import pytest
from support import OPS, ROOT, levels

import fastact as fa

MODULES = {path.name.split(".")[0].removeprefix("level_"): path for path in sorted(ROOT.glob("cython_kernels/level_*.so"))}
WIDTH = {"v2": "xmm", "v3": "ymm", "v4": "zmm"}
PACKED = re.compile(r"\bv?(?:add|sub|mul|div|max|min|and|andn|or|xor|cmp\w*|blend\w*|fn?m(?:add|sub)\d+|mov[au]|unpck\w)p[sd]\b.*%(\w+)")
ELEMENTWISE = ("map", "loss", "channels")


@functools.cache
def functions(level):
    """The instructions of each function of a level's module, by name; also of those that cannot run here."""
    command = ["objdump", "-d", "--no-show-raw-insn", MODULES[level]]
    found = {}
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        head = re.match(r"[0-9a-f]+ <(\S+)>:$", line)
        if head:
            body = found.setdefault(head[1].split("level_" + level + "_")[-1], [])
        elif ":\t" in line:
            body.append(line.split(":\t", 1)[1])
    return found


def kernel(level, op, role, letter):
    """The instructions of a kernel, and of what it jumps to (the compiler merges functions that are alike)."""
    every = functions(level)
    name = f"{op.name}_{role}_{letter}"
    assert name in every, f"{name} has no symbol in {MODULES[level].name}"
    body, seen = list(every[name]), {name}
    for line in body:
        jump = re.match(r"j\w+\s+[0-9a-f]+ <(\S+?)>$", line)
        target = jump and jump[1].split("level_" + level + "_")[-1]
        if target and target in every and target not in seen:
            seen.add(target)
            body += every[target]
    return body


def every_kernel():
    for op in OPS:
        for role in op.roles:
            for letter in "fd":
                yield pytest.param(op, role, letter, id=f"{op.name}-{role}-{letter}")


KERNELS = list(every_kernel())


def test_every_level_that_runs_was_looked_at():
    assert set(levels()) <= set(MODULES)
    assert len(MODULES) >= 1


@pytest.mark.parametrize("level", MODULES)
@pytest.mark.parametrize(("op", "role", "letter"), KERNELS)
def test_kernels_call_nothing(op, role, letter, level):
    calls = [line for line in kernel(level, op, role, letter) if line.startswith("call")]
    assert not calls, f"{op.name} for {level}: the compiler did not inline {sorted(set(calls))}"


@pytest.mark.parametrize("level", [level for level in MODULES if level in WIDTH])
@pytest.mark.parametrize(("op", "role", "letter"), KERNELS)
def test_kernels_compute_in_vectors(op, role, letter, level):
    code = "\n".join(kernel(level, op, role, letter))
    if op.name == "maxout_backward":  # moves numbers, computes none
        return
    widths = {match[1][:3] for match in PACKED.finditer(code)}
    assert WIDTH[level] in widths, f"{op.name} for {level}: packed instructions on {sorted(widths)}"


@pytest.mark.parametrize("level", [level for level in MODULES if level in ("v3", "v4")])  # v2 makes its fma from doubles
@pytest.mark.parametrize(("op", "role", "letter"), KERNELS)
def test_no_instruction_of_another_precision(op, role, letter, level):
    """A bare literal drags float32 maths to double: elementwise float32 kernels compute in float32."""
    if op.kind not in ELEMENTWISE or letter == "d":
        return
    code = "\n".join(kernel(level, op, role, letter))
    assert not re.search(r"\bv?(?:add|mul|sub|div|fn?madd\d+)[ps]d\b", code), "arithmetic in double"
    assert not re.search(r"\bv?cvtp?s?s2p?s?d\b", code), "conversions to double"


@pytest.mark.parametrize("level", [level for level in MODULES if level in WIDTH])
@pytest.mark.parametrize("letter", "fd")
def test_a_clamp_is_two_instructions(letter, level):
    """Beside a bound that the compiler knows it would be two comparisons and two selects."""
    names = {line.split()[0].removeprefix("v") for line in kernel(level, fa.ops["hard_sigmoid"], "main", letter)}
    single = "s" if letter == "f" else "d"
    assert {f"maxp{single}", f"minp{single}"} <= names
    assert not [name for name in names if re.match(r"(cmp\w*|blend\w*)[ps][sd]$", name)]


@pytest.mark.parametrize("level", [level for level in MODULES if level in WIDTH])
@pytest.mark.parametrize("letter", "fd")
def test_a_select_does_not_split_the_clamp_before_it(letter, level):
    """As it does where the clamp stands in a call inside the select: the compiler sees a branch and merges both."""
    names = {line.split()[0].removeprefix("v") for line in kernel(level, fa.ops["softplus_backward"], "main", letter)}
    assert {"f": "maxps", "d": "maxpd"}[letter] in names


@pytest.mark.parametrize("flags", [[], ["-flto"]], ids=["plain", "lto"])
def test_scalars_may_stand_in_several_objects(flags, tmp_path):
    """As in an extension of several modules that cimport the pages, or a static build."""
    text = re.search(r'"""\n(.*?)"""', (ROOT / "cython_kernels" / "bits.pxd").read_text(), re.S)[1].replace("\\\\", "\\")
    compiler, objects = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC")), []
    for name in ("one", "other"):
        source, made = tmp_path / f"{name}.c", tmp_path / f"{name}.o"
        source.write_text(f"{text}\ndouble {name}(double x) {{ return x - fa_zero; }}\n")
        subprocess.run([*compiler, "-O2", "-fPIC", *flags, "-w", "-c", source, "-o", made], check=True)
        objects.append(made)
    subprocess.run([*compiler, "-shared", *flags, *objects, "-o", tmp_path / "both.so"], check=True)


@pytest.mark.parametrize("level", [level for level in MODULES if level in WIDTH])
def test_the_engine_needs_no_more_than_the_lowest_level(level):
    """The module's init code runs before anything can be checked; the engine's modules run on every machine."""
    for path in (ROOT / "engine").glob("*.so"):
        code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", path], capture_output=True, text=True, check=True).stdout
        if path.name.startswith("blocks"):  # conversions of half precision, chosen at run time
            continue
        assert "%zmm" not in code, path.name
        assert "%ymm" not in code, path.name
