"""Check what was packed: the wheel holds the .pxd files, stubs, py.typed and every compiled module, and no C source; the sdist can build."""

import pathlib
import sys
import tarfile
import zipfile

from kernel_table import ROOT


def main():
    folder = pathlib.Path(sys.argv[1])
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")
    names = zipfile.ZipFile(wheel).namelist()
    problems = [name for name in names if name.endswith((".c", ".pyx", ".pxi"))]
    wanted = ["fastact/py.typed", "fastact/__init__.pyi"]
    wanted += [str(path.relative_to(ROOT)) for path in ROOT.glob("fastact/**/*.pxd")]
    problems += [f"{name} is missing" for name in wanted if name not in names]
    modules = [path for path in ROOT.glob("fastact/engine/*.pyx")]
    problems += [f"{path.stem} is not compiled" for path in modules if not any(f"/{path.stem}." in n and n.endswith(".so") for n in names)]
    packed = {name.partition("/")[2] for name in tarfile.open(sdist).getnames()}
    sources = [path for kind in ("pyx", "pxd", "pxi", "h", "py") for path in ROOT.glob(f"fastact/**/*.{kind}")]
    generated = {"table.pxi", "built.pxi"}
    problems += [f"the sdist lacks {path.name}" for path in sources if str(path.relative_to(ROOT)) not in packed and path.name not in generated]
    if problems:
        raise SystemExit("\n".join(problems))
    print(f"{wheel.name}: {len(names)} files; {sdist.name}: {len(packed)} files")


if __name__ == "__main__":
    main()
