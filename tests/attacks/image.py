"""An image with this machine's own Python and the attacks in it; no registry is asked."""

import io
import re
import subprocess
import sys
import tarfile
from functools import cache
from pathlib import Path

from tests.attacks.world import PROGRAMS, python

IMAGE = "localhost/studium-attacks"
INSIDE = "/attacks/programs.py"
_LOADED = """
import encodings.idna, runpy, sys
runpy.run_path(sys.argv[1])
for one in list(sys.modules.values()):
    if getattr(one, "__file__", None):
        print(one.__file__)
"""


@cache
def archive() -> bytes:
    """A root directory as a tar file: what the attacks import, a shell, and their libraries."""
    modules = [Path(line) for line in _said(python(), "-I", "-c", _LOADED, str(PROGRAMS))]
    modules += list(Path(modules[0].parent.parent / "encodings").glob("*.py"))
    programs = [Path(python()), Path("/bin/sh"), Path("/usr/bin/id")]
    wanted = {*modules, *programs}
    for path in [*programs, *(one for one in modules if one.suffix == ".so")]:
        wanted |= {Path(one) for one in re.findall(r"(/\S+)", "\n".join(_said("ldd", str(path))))}
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for path in sorted(wanted):
            tar.add(path.resolve(), str(path).lstrip("/"))
            # Compiled modules are taken if they are as old as their sources say.
            for compiled in path.parent.glob(f"__pycache__/{path.stem}.{_TAG}.pyc"):
                tar.add(compiled, str(compiled).lstrip("/"))
        tar.add(PROGRAMS, INSIDE.lstrip("/"))
        for name in ("dev", "proc", "sys", "run", "etc", "tmp", "input", "output", "code"):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(info)
    return made.getvalue()


_TAG = sys.implementation.cache_tag


def _said(*command: str) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()
