"""bench/roof.py: that instructions are counted, that the bound is that of what there is most of, that its table gets into a page."""

import importlib.util
import shutil
import sys

import pytest
from support import SOURCE, levels

sys.path.append(str(SOURCE / "bench"))  # where roof.py imports report.py from


@pytest.fixture(scope="module")
def roof():
    if "v3" not in levels() or not shutil.which("objdump"):
        pytest.skip("counts the instructions of level v3 with objdump")
    spec = importlib.util.spec_from_file_location("loaded_roof", SOURCE / "bench" / "roof.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("letter", "fd")
def test_instructions_are_counted(roof, letter):
    (relu,), (begin, end) = ([roof.count(lines) for lines in roof.hot_loops(f"{name}_main_{letter}")] for name in ("relu", "sigmoid"))
    assert not relu.get("divide", 0)
    assert not relu.get("multiply", 0)
    assert (relu["load"], relu["store"]) == (1, 1)
    assert (begin["divide"], end["divide"]) == (0, 1)
    assert begin["multiply"] + end["multiply"] >= 8
    assert (begin["store"], end["store"]) == (2, 1)


def test_every_elementwise_kernel_has_a_roof(roof):
    for dtype, suffix in (("float32", "ps"), ("float64", "pd")):
        found = {case.name: roof.hot_loops(case.name) for case in roof.cases(dtype)}
        bounds = {name: sum(roof.roof(roof.count(lines), suffix) for lines in loops) for name, loops in found.items()}
        assert len(bounds) > 40
        assert all(1 <= bound < 60 for bound in bounds.values()), bounds


def test_the_roof_is_that_of_what_there_is_most_of(roof):
    free = {"load": 0, "store": 0, "all": 0}
    assert roof.roof({**free, "multiply": 6, "add": 4}, "ps") == 3
    assert roof.roof({**free, "multiply": 6, "divide": 1}, "ps") == 4  # which occupies a pipe of the multiplications twice
    assert roof.roof({**free, "multiply": 4, "logic": 8}, "ps") == 3
    assert roof.roof({**free, "divide": 2}, "pd") == 8.7
    assert roof.roof({**free, "store": 5, "load": 4}, "ps") == 5


def test_an_instruction_that_is_not_known_is_no_guess(roof):
    assert roof.kind("vfnmadd132pd %ymm1,%ymm2,%ymm0") == "multiply"
    assert roof.kind("cmp    %rax,%rdx") == "scalar"
    with pytest.raises(LookupError, match="vsqrtps"):
        roof.kind("vsqrtps %ymm1,%ymm0")


def test_kernels_are_timed_and_the_table_is_put_between_its_marks(roof, tmp_path, monkeypatch):
    monkeypatch.setattr(roof, "LARGE", {"float32": 1000, "float64": 1000})
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- float32: written by bench/roof.py --write -->\nold\n<!-- end of float32 -->\nafter\n")
    roof.main(["float32", "--only", "sigmoid", "--write", str(page)])
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("<!-- end of float32 -->\nafter\n")
    assert "old" not in text
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| `")]
    assert [cells[0].strip() for cells in rows] == ["`sigmoid`", "`sigmoid_backward`"]
    measured = [float(cells[10]) for cells in rows]
    assert all(0.3 < times_the_roof < 30 for times_the_roof in measured), measured
    with pytest.raises(SystemExit):
        roof.main(["float64", "--only", "sigmoid", "--write", str(page)])
