"""Check what was packed: the wheel holds .pxd files, stubs, py.typed and every compiled module, and no C source; the sdist every source."""

import os
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
    compiled = [name for name in names if name.endswith(".so")]
    modules = list(ROOT.glob("fastact/engine/*.pyx"))
    problems += [f"{path.stem} is not compiled" for path in modules if not any(f"/{path.stem}." in name for name in compiled)]
    levels = [level for level in os.environ.get("FASTACT_REQUIRE_LEVELS", "").split(",") if level]
    problems += [f"level {level} is not in the wheel" for level in levels if not any(f"level_{level}." in name for name in compiled)]
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    sources = [path for kind in ("pyx", "pxd", "pxi", "h", "py") for path in ROOT.glob(f"fastact/**/*.{kind}")]
    sources = [path for path in sources if path.name not in ("table.pxi", "built.pxi")]   # written at build time
    problems += [f"the sdist lacks {path.name}" for path in sources if str(path.relative_to(ROOT)) not in packed]
    if problems:
        raise SystemExit("\n".join(problems))
    print(f"{wheel.name}: {len(names)} files; {sdist.name}: {len(packed)} files")


if __name__ == "__main__":
    main()
