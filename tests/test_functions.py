"""The public functions as objects: name, signature, docstring, examples, repr, pickle, copy, and what the package exports."""

import copy
import doctest
import inspect
import io
import json
import pickle
import pydoc
import re

import numpy as np
import pytest
from support import BACKENDS, OPS, defaults, every_op, function, namespace, public_name, run_python

import fastact as fa
import fastact.backends
from fastact.register import REQUIRED, public_ops

NAMES = list(public_ops())
every_name = pytest.mark.parametrize("name", NAMES)


def test_the_package_exports_every_function():
    assert set(NAMES) <= set(fa.__all__)
    assert set(dir(fa)) == {*fa.__all__, "__version__"}  # what an editor offers
    assert len(set(fa.__all__)) == len(fa.__all__)
    for name in fa.__all__:
        assert hasattr(fa, name), name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = fa.nonsense
    assert list(fa.ops.values()) == OPS
    with pytest.raises(TypeError):
        fa.ops["mine"] = None


@every_name
def test_identity(name):
    f = getattr(fa, name)
    op = public_ops()[name]
    assert isinstance(f, fa.Function)
    assert callable(f)
    assert f.op is op
    assert f.__module__ == "fastact"
    assert getattr(fa, f.__name__) is f
    assert f.__qualname__ == f.__name__
    assert f.__name__ == public_name(op)
    if name in op.alias:
        assert getattr(fa, op.name) is f, "an alias is the same object"
    with pytest.raises((AttributeError, TypeError)):
        f.op = None


@every_op
def test_signature(op):
    f = getattr(fa, public_name(op))
    signature = inspect.signature(f)
    names = list(signature.parameters)
    assert names[: len(op.inputs)] == list(op.inputs)
    for p in signature.parameters.values():
        if p.name in op.inputs:
            assert p.kind is p.POSITIONAL_ONLY
            assert p.default is p.empty
        elif p.name in ("out", "where", "dtype", "casting", "order", "reduction"):
            assert p.kind is p.KEYWORD_ONLY
    for p in op.params:
        shown = signature.parameters[p.name].default
        assert shown is inspect.Parameter.empty if p.default is REQUIRED else shown == p.default
    assert op.params == () or signature.parameters[op.params[0].name].kind != inspect.Parameter.POSITIONAL_ONLY
    if op.kind == "map":
        keywords = [p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
        assert [(p.name, p.default) for p in keywords][:2] == [("out", None), ("where", True)]
    if op.kind == "rows":
        assert signature.parameters["axis"].default == (None if op.name.startswith("logsumexp") else -1)


@every_op
def test_the_docstring_tells_every_default(op):
    """help() cuts long signatures short."""
    f = getattr(fa, public_name(op))
    for p in inspect.signature(f).parameters.values():
        if p.default is not p.empty and p.name not in ("out", "where", "dtype", "casting", "order"):
            assert re.search(rf"^{p.name} : .*, default \"?{re.escape(str(p.default))}\"?$", f.__doc__, re.MULTILINE), p


@every_op
def test_every_keyword_of_the_signature_is_taken(op):
    """With its default value, each keyword may be given."""
    f = getattr(fa, public_name(op))
    x = np.full((2, 3), 0.5)
    given = {"weight": np.ones(3), "target": x, "which": np.zeros((2, 3), int)}
    arguments = [given.get(name, x) for name in op.inputs]
    if op.kind == "rows":
        arguments = [x if core == "(n)" else np.ones(2) for core in op.core.split("->")[0].split(",")]
    parameters = list(inspect.signature(f).parameters.values())[len(op.inputs) :]
    options = {p.name: 3 if p.default is p.empty else p.default for p in parameters}
    if op.kind == "rows":
        options["axis"] = -1
    want = f(*arguments, **{k: v for k, v in options.items() if k in ("axis", "pieces")})
    got = f(*arguments, **options)
    for one, two in zip(got if isinstance(got, tuple) else (got,), want if isinstance(want, tuple) else (want,), strict=True):
        assert np.array_equal(one, two)


@every_op
def test_docstring(op):
    f = getattr(fa, public_name(op))
    text = f.__doc__
    for section in ("Parameters", "Raises", "Examples"):
        assert f"\n{section}\n{'-' * len(section)}\n" in text, section
    for name in inspect.signature(f).parameters:
        assert name in text
    assert f"fa.{public_name(op)}(" in text, "an example that calls the function"
    assert "TypeError" in text
    assert "ValueError" in text
    assert op.formula in text, "the formula"
    for rule in op.rules:
        assert rule.text in text
    assert op.source in text
    if op.page != "losses":
        what = "the output" if op.reads == ("y",) else f"`{op.reads[0]}`"
        assert f"backward pass reads {what}" in text
    assert all(len(line) <= 140 for line in text.splitlines()), "lines a terminal shows whole"
    assert text == inspect.cleandoc(text)


@every_op
def test_help_and_repr(op):
    f = getattr(fa, public_name(op))
    assert public_name(op) in pydoc.render_doc(f)
    assert op.formula in pydoc.plain(pydoc.render_doc(f))
    assert repr(f).startswith("<fastact.Function ")
    assert public_name(op) + str(inspect.signature(f)) in repr(f)
    assert f.backend in repr(f)
    assert repr(function("numpy", op)).endswith("backend numpy>")


def test_doctest_finds_every_function():
    assert set(fa.__test__) >= {public_name(op) for op in OPS}


def run_examples(name, text):
    """The examples of a docstring, as a user would type them."""
    names = {"fa": fa, "np": np, "__name__": "__main__"}
    test = doctest.DocTestParser().get_doctest(text, names, name, None, 0)
    report = io.StringIO()
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(test, out=report.write)
    assert runner.tries > 0, f"{name} has no example"
    assert runner.failures == 0, report.getvalue()


@every_op
def test_examples(op):
    name = public_name(op)
    run_examples(name, fa.__test__[name])


@pytest.mark.parametrize("name", ["get_backend", "set_backend", "backend", "get_num_threads", "set_num_threads", "threads", "show_config"])
def test_examples_of_the_other_functions(name):
    run_examples(name, getattr(fa, name).__doc__)


def test_examples_give_the_same_on_every_backend():
    for backend in ("numpy", "numba"):
        with fa.backend(backend):
            for op in OPS:
                run_examples(f"{op.name} on {backend}", fa.__test__[public_name(op)])


# ---- pickle and copy --------------------------------------------------------------------------------------------------


@every_name
def test_pickle_and_copy(name):
    f = getattr(fa, name)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(f, protocol)) is f
    assert copy.copy(f) is f
    assert copy.deepcopy([f])[0] is f
    assert b"cython" not in pickle.dumps(f), "by public name: another machine may have another level"


@pytest.mark.parametrize("backend", BACKENDS)
def test_functions_of_a_namespace_pickle_too(backend):
    for op in OPS:
        f = function(backend, op)
        assert pickle.loads(pickle.dumps(f)) is f
        assert copy.deepcopy(f) is f


def test_pickle_in_a_fresh_interpreter(tmp_path):
    """Where nobody has imported fastact yet."""
    path = tmp_path / "functions.pickle"
    path.write_bytes(pickle.dumps({name: getattr(fa, name) for name in NAMES}))
    code = f"""
import pickle
with open({str(path)!r}, "rb") as file:
    functions = pickle.load(file)
import fastact as fa
print(all(getattr(fa, name) is f for name, f in functions.items()), len(functions))
"""
    assert run_python(code) == f"True {len(NAMES)}"


# ---- facts ------------------------------------------------------------------------------------------------------------


@every_op
def test_reads_is_what_backward_takes(op):
    """`reads` tells a user what to keep: the arguments of the backward pass after the gradient."""
    if op.page == "losses":
        return
    back = op if op.is_backward else op.backward_op
    assert back is not None
    assert op.reads == back.inputs[1:]
    assert set(op.reads) <= {"x", "y", "weight", "which"}


def test_in_place_training_step():
    """What reads the output stays differentiable after an in-place forward: the promise of the package."""
    for op in OPS:
        if op.kind == "map" and not op.is_backward and op.reads == ("y",):
            f, back = getattr(fa, op.name), getattr(fa, op.backward_op.name)
            x = np.linspace(-4, 4, 101) + 0.003
            buffer, grad = x.copy(), np.ones_like(x)
            f(buffer, out=buffer)
            back(grad, buffer, out=grad)
            step = 1e-6
            slope = (f(x + step) - f(x - step)) / (2 * step)
            assert np.abs(grad - slope).max() < 1e-8, op.name


def test_the_register_can_be_told_as_json():
    facts = {name: {"params": defaults(op), "reads": op.reads, "ulp": op.ulp} for name, op in fa.ops.items()}
    assert json.loads(json.dumps(facts))["gelu"]["reads"] == ["x"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_namespaces_are_not_the_public_functions(backend):
    assert namespace(backend).relu is not fa.relu
    assert fastact.backends.PUBLIC["relu"] is fa.relu


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_threshold_that_is_nan_compares_with_nothing(backend):
    x = np.array([-1.0, 0.0, 1.0, np.nan], np.float32)
    assert np.array_equal(namespace(backend).step(x, np.nan), [0, 0, 0, np.nan], equal_nan=True)
