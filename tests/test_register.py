"""The register and the three wings: facts are checked, pages correspond, and what is missing is named in a sentence."""

import ast
import importlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from support import OPS, SOURCE, every_op, levels, public_name

import fastact as fa
import fastact.reference
from fastact import register
from fastact.register import REQUIRED, Op, Param, Rule, public_ops

PAGES = tuple(page.__name__.rpartition(".")[2] for page in fastact.reference.PAGES)


@pytest.fixture
def scratch(monkeypatch):
    """A register that a test may fill."""
    monkeypatch.setattr(register, "OPS", {})


# ---- facts ------------------------------------------------------------------------------------------------------------


@every_op
def test_facts_are_of_the_right_kind(op):
    assert op.page in PAGES
    assert op.formula
    assert op.numpy
    assert op.is_backward or op.source, "the source of the formula"
    assert isinstance(op.alias, tuple)
    assert all(isinstance(name, str) and name.isidentifier() for name in op.alias)
    assert len(op.ulp) == 2
    assert all(0 <= bound <= 6 for bound in op.ulp)
    assert 0 < op.cost < 10
    assert op.range[0] < op.range[1]
    assert op.domain[0] < op.domain[1]
    assert (op.core is not None) == (op.kind == "rows")
    assert (op.backward_op is None) == op.is_backward
    if op.core:
        assert re.fullmatch(r"(\(n?\),)*\(n?\)->\(n?\)", op.core)
        assert op.core.count("(") == len(op.inputs) + 1
    values = {p.name: 1.0 if p.default is REQUIRED else p.default for p in op.params}
    for point, slope in op.kinks.items():
        if "weight" not in slope and op.page != "losses":
            assert np.isfinite(float(eval(point, {}, values)))
            assert np.isfinite(float(eval(slope, {}, values)))


@every_op
def test_rules_hold_for_the_defaults(op):
    values = {p.name: p.default for p in op.params}
    for rule in op.rules:
        assert rule.param in values
        assert not isinstance(rule.bound, str) or rule.bound in values
        assert rule.holds(values), rule


@every_op
def test_backward_has_the_parameters_of_forward(op):
    if op.is_backward and op.name != "maxout_backward":
        assert [(p.name, p.default) for p in op.params] == [(p.name, p.default) for p in op.forward.params]
        assert op.options.keys() <= {"axis", "keepdims"}
        assert op.name == f"{op.forward.name}_{'gradient' if op.page == 'losses' else 'backward'}"


@pytest.mark.parametrize("op", [op for op in OPS if not op.is_backward], ids=lambda op: op.name)
def test_forward_is_followed_by_its_backward(op):
    assert OPS[OPS.index(op) + 1] is op.backward_op
    assert op.backward_op.forward is op


def test_public_names_are_unique():
    names = [public_name(op) for op in OPS] + [alias for op in OPS for alias in op.alias]
    assert len(set(names)) == len(names)
    assert set(names) == set(public_ops())


@every_op
def test_the_numpy_baseline_runs_and_agrees(op):
    """The expression a careful user would write gives the numbers of the reference, on ordinary values."""
    rng = np.random.default_rng(1)
    x = rng.uniform(-2, 2, (6, 5))
    forward = op.forward or op
    named = {p.name: 3 if p.default is REQUIRED else p.default for p in op.params}
    given = {"np": np, "x": x, "pred": x, "weight": rng.uniform(0.1, 1, 5), "grad": rng.standard_normal((6, 5))}
    given["target"] = np.sign(rng.standard_normal((6, 5)))
    if op.kind == "row_loss":
        labels = rng.integers(0, 5, 6)
        got = eval(op.numpy, {**given, "target": labels})
        want = getattr(fa, public_name(op))(x, labels)
    else:
        if op.kind == "loss":
            want = getattr(fa, public_name(op))(x, given["target"])
        else:
            axis = {"axis": -1} if "axis" in op.options and op.kind != "channels" else {}
            result = forward(x, *([given["weight"]] if "weight" in forward.inputs else []), **axis)
            given["y"], given["which"] = result if isinstance(result, tuple) else (result, None)
            if np.shape(given["y"]) != x.shape:
                given["grad"] = given["grad"][:, 0].copy()
            if op.kind == "pick" and op.is_backward:
                named["pieces"] = 5
            want = op(*(given[name] for name in op.inputs), **named, **axis)
        got = eval(op.numpy, {**given, **named})
    got, want = (a if isinstance(a, tuple) else (a,) for a in (got, want))
    assert len(got) == len(want)
    for one, two in zip(got, want, strict=True):
        assert np.allclose(one, two, rtol=1e-3, atol=1e-3), op.numpy  # gelu's baseline is the form with tanh
        assert np.shape(one) == np.shape(two)


def test_unknown_facts_are_refused(scratch):
    with pytest.raises(TypeError, match="twice_as_good") as caught:
        register.activation(twice_as_good=True)(lambda x: x)
    assert "ulp" in str(caught.value), "the known ones are listed"

    def twin(x):
        return x

    register.activation()(twin)
    with pytest.raises(ValueError, match="twin stands twice"):
        register.activation()(twin)


def test_what_a_signature_says(scratch):
    @register.activation(rules=("alpha >= 0", "low <= high"))
    def fresh(x, alpha, low=-1.0, high=2.0):
        """Nothing."""
        return x

    @fresh.backward(ulp=(1.0, 1.0))
    def fresh_backward(grad, y, alpha, low=-1.0, high=2.0):
        return grad

    assert fresh.inputs == ("x",)
    assert [repr(p) for p in fresh.params] == ["alpha", "low=-1.0", "high=2.0"]
    assert fresh.reads == fresh_backward.reads == ("y",)
    assert fresh.backward_op is fresh_backward
    assert not fresh.is_backward
    assert fresh_backward.is_backward
    assert isinstance(fresh, Op)
    assert isinstance(fresh.params[0], Param)
    assert "fresh" in repr(fresh)
    assert fresh(3, 1) == 3
    first, second = fresh.rules
    assert first.holds({"alpha": 0.0})
    assert not first.holds({"alpha": -1e-9})
    assert not first.holds({"alpha": float("nan")})
    assert second.holds({"low": 1.0, "high": 1.0})
    assert not second.holds({"low": 2.0, "high": 1.0})


def test_rules_are_parsed():
    rules = [("a < 1", 1, False), ("a <= 1", 1, True), ("a > 1", 1, False), ("a >= -2.5", -2.5, True), ("a > 1e-3", 1, True)]
    for text, value, holds in rules:
        assert Rule(text).holds({"a": value}) is holds
        assert repr(Rule(text)) == text
    for wrong in ("a", "a = 1", "a >= ", "0 < a < 1", "a>1", ""):
        with pytest.raises(ValueError, match="expected 'parameter sign bound'"):
            Rule(wrong)
    with pytest.raises(ValueError, match="lots"):
        Rule("a >= 0lots")


# ---- pages ------------------------------------------------------------------------------------------------------------


def cython_names(page):
    text = (SOURCE / "fastact" / "cython_kernels" / f"{page}.pxd").read_text()
    return re.findall(r"^cdef inline \w+ (\w+)\(", text, re.MULTILINE)


def python_names(wing, page):
    tree = ast.parse((SOURCE / "fastact" / wing / f"{page}.py").read_text())
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("page", PAGES)
def test_the_wings_hold_the_same_pages(page):
    """Who knows one wing knows all three: the same names in the same order, and nothing left over."""
    names = [op.name for op in OPS if op.page == page]
    assert names
    assert [name for name in python_names("reference", page) if name in fa.ops] == names
    for found in (cython_names(page), python_names("numba_kernels", page)):
        assert [name for name in found if name in fa.ops] == names
        extra = [name for name in found if name not in fa.ops and not name.startswith("_")]
        assert all(any(name.startswith(known) for known in names) for name in extra), extra
    assert cython_names(page) == [name for name in python_names("numba_kernels", page) if not name.startswith("_")]


def test_imports_of_the_house():
    """The reference imports NumPy alone; the kernel wings do not import each other; the engine knows no operation."""
    for path in (SOURCE / "fastact" / "reference").glob("*.py"):
        for name in imported(path):
            assert name.split(".")[0] in ("numpy", "ctypes", "", "fastact"), (path.name, name)
            assert not name.startswith(("fastact.engine", "fastact.cython", "fastact.numba", "fastact.backends")), (path.name, name)
    for path in (SOURCE / "fastact" / "numba_kernels").glob("*.py"):
        assert not any(name.startswith(("fastact.cython", "fastact.reference", "fastact.engine")) for name in imported(path)), path.name
    for path in (SOURCE / "fastact" / "engine").glob("*.pyx"):
        text = path.read_text()
        code = re.sub(r'"""[\s\S]*?"""|#.*', "", text)
        words = set(re.findall(r"\b\w+\b", code))
        assert not words & {op.name for op in OPS if len(op.name) > 5 and op.name not in ("maximum",)}, path.name


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "" if node.level else node.module


@pytest.mark.parametrize("level", levels())
def test_every_operation_has_its_kernels(level):
    module = importlib.import_module(f"fastact.cython_kernels.level_{level}")
    assert list(module.kernels) == [op.name for op in OPS]
    for op in OPS:
        roles = module.kernels[op.name]
        assert tuple(roles) == op.roles
        assert all(len(pair) == 2 and min(pair) > 0 for pair in roles.values())


# ---- the missing edit -------------------------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the build reads before anything is compiled."""
    (tmp_path / "fastact").mkdir()
    for name in ("reference", "cython_kernels"):
        made = shutil.ignore_patterns("*.so", "*.c", "__pycache__", "table.pxi")
        shutil.copytree(SOURCE / "fastact" / name, tmp_path / "fastact" / name, ignore=made)
    shutil.copy(SOURCE / "fastact" / "register.py", tmp_path / "fastact")
    shutil.copytree(SOURCE / "tools", tmp_path / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def make_table(folder):
    command = [sys.executable, folder / "tools" / "kernel_table.py"]
    return subprocess.run(command, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})


def test_the_table_is_made_from_the_register(checkout):
    done = make_table(checkout)
    assert done.returncode == 0, done.stderr
    table = checkout / "fastact" / "cython_kernels" / "table.pxi"
    for op in OPS:
        assert f'"{op.name}": {{"{op.roles[0]}": (' in table.read_text()
    before = table.stat().st_mtime_ns
    make_table(checkout)
    assert table.stat().st_mtime_ns == before, "an unchanged table is not written again"


def test_a_new_operation_without_scalar_names_the_edit(checkout):
    page = checkout / "fastact" / "reference" / "activations.py"
    block = "@activation(formula='x')\ndef novel(x):\n    return x\n\n"
    block += "@novel.backward()\ndef novel_backward(grad, y):\n    return grad\n\n\n"
    page.write_text(page.read_text().replace('silence("activations")', block + 'silence("activations")'))
    done = make_table(checkout)
    assert done.returncode != 0
    for word in ("novel", "cdef inline", "activations.pxd"):
        assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert not (checkout / "fastact" / "cython_kernels" / "table.pxi").exists()
    scalars = checkout / "fastact" / "cython_kernels" / "activations.pxd"
    scalars.write_text(scalars.read_text() + "\ncdef inline real novel(real x) noexcept nogil:\n    return x\n")
    done = make_table(checkout)
    assert "novel_backward" in done.stderr, "one edit at a time, each named"


def test_numba_names_the_missing_scalar(scratch):
    from fastact.numba_kernels import machine_code

    @register.activation()
    def novel(x, alpha=1.0):
        return x

    with pytest.raises(NotImplementedError) as caught:
        machine_code.kernel(novel, "main", "float32")
    for word in ("novel", "def novel(x, alpha)", "fastact/numba_kernels/activations.py"):
        assert word in str(caught.value)


def test_numba_names_the_missing_second_stage(monkeypatch):
    kernels = importlib.import_module("fastact.numba_kernels.kernels")
    monkeypatch.delattr(importlib.import_module("fastact.numba_kernels.activations"), "softplus_end")
    with pytest.raises(NotImplementedError, match=r"lacks softplus_end: add `def softplus_end\(x, beta, u, v\)`"):
        kernels.functions(fa.ops["softplus"])


def test_this_folder_lists_no_operations():
    """Tests walk the register: a new operation is tested without a word here."""
    names = {op.name for op in OPS}
    for path in (SOURCE / "tests").glob("test_*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
                words = {e.value for e in node.elts if isinstance(e, ast.Constant) and isinstance(e.value, str)}
                assert len(words & names) <= 4, (path.name, node.lineno)
