"""What a unit in the sandbox sees and may do: the words of bwrap, read from top to bottom.

Rules: design §3.5; specs/anchors C.2; specs/morf §7.5.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from studium.jobs.launchers.files import write_atomically
from studium.jobs.launchers.plan import Bind, Plan
from studium.jobs.launchers.protocol import CODE, INPUTS, OUTPUTS, Unit
from studium.jobs.launchers.sandbox import seccomp

FILTER = "seccomp.bpf"

_SHARED_MEMORY = 64 * 2**20  # bytes of /dev/shm, as containers have
_NAME = "job"

# What programs look up in /etc, as far as it says nothing of this machine. Globs.
_ETC = (
    "alternatives", "fonts", "java-*", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime",
    "magic", "magic.mime", "mime.types", "python3", "R",
)  # fmt: skip
_TEXTS = {
    "passwd": f"{_NAME}:x:{{uid}}:{{uid}}::/tmp:/bin/sh\n",
    "group": f"{_NAME}:x:{{uid}}:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "nsswitch": "passwd: files\ngroup: files\nhosts: files\n",
}
_TARGETS = {"nsswitch": "nsswitch.conf"}

# So that a command that does not exist ends with 127, and one that is no program with 126.
_EXEC = ("/bin/sh", "-c", 'exec "$@"', "sh")


@dataclass(frozen=True, slots=True)
class Walls:
    """The site's choices for every unit."""

    bwrap: str
    uids: tuple[int, int] | None  # None: not started by root
    runtime: tuple[Path, ...]  # further folders of the machine, read-only
    grace: float


def python_folders() -> list[Path]:
    """Where this Python and its packages are; units can use them."""
    found = {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    return sorted(path for path in found if not path.is_relative_to("/usr"))


def unit_plan(walls: Walls, unit: Unit, group: str) -> Plan:
    """How to run a unit behind these walls; its folder gets what they need."""
    (unit.folder / "outputs").mkdir(exist_ok=True)
    filtered = not seccomp.why_missing()
    if filtered:
        write_atomically(unit.folder / FILTER, seccomp.make_filter(), durable=False)
    binds = [
        Bind(f"in{number}", str(one.source.resolve()), own=True)
        for number, one in enumerate(unit.inputs)
    ]
    if unit.code:
        binds.append(Bind("code", str(unit.code.resolve()), own=True))
    binds.append(Bind("outputs", str(unit.folder.resolve() / "outputs"), write=True))
    runtime = [Path(os.path.abspath(path)) for path in (*python_folders(), *walls.runtime)]
    binds += [Bind(f"run{number}", str(path)) for number, path in enumerate(runtime)]
    words = [
        walls.bwrap,
        *_walls(unit),
        *(["--seccomp", "{seccomp}"] if filtered else []),
        *_system(),
    ]
    for number, path in enumerate(runtime):
        words += ["--ro-bind", f"{{run{number}}}", str(path)]
    for number, one in enumerate(unit.inputs):
        words += ["--ro-bind", f"{{in{number}}}", f"{INPUTS}/{one.name}"]
    words += ["--ro-bind", "{code}", CODE] if unit.code else []
    words += ["--bind", "{outputs}", OUTPUTS]
    words += ["--remount-ro", "/dev", "--remount-ro", "/"]
    words += ["--chdir", CODE if unit.code else OUTPUTS]
    return Plan(
        argv=(*words, *_environment(unit, runtime), "--", *_EXEC, *unit.command),
        filled=len(words),
        environment={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
        limits=unit.limits,
        grace=walls.grace,
        group=group,
        uids=walls.uids,
        rlimits=True,
        binds=tuple(binds),
        texts=dict(_TEXTS),
        files={"seccomp": str(unit.folder.resolve() / FILTER)} if filtered else {},
        status=True,
    )


def _walls(unit: Unit) -> list[str]:
    words = [
        "--unshare-user",
        "--unshare-all",
        "--disable-userns",
        "--die-with-parent",
        "--new-session",
        "--clearenv",
        "--cap-drop", "ALL",
        "--hostname", "studium",
        "--json-status-fd", "{status}",
    ]  # fmt: skip
    scratch = str(unit.limits.scratch)
    words += ["--proc", "/proc", "--dev", "/dev"]
    shared = str(min(unit.limits.scratch, _SHARED_MEMORY))
    words += ["--perms", "1777", "--size", shared, "--tmpfs", "/dev/shm"]
    # Before what is bound: a folder of the machine may itself be below /tmp.
    return [*words, "--perms", "1777", "--size", scratch, "--tmpfs", "/tmp"]


def _system(root: Path = Path("/")) -> list[str]:
    """The programs of the machine, and of /etc what they need."""
    words = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = root / name
        if path.is_symlink():
            words += ["--symlink", os.readlink(path), f"/{name}"]
        elif path.is_dir():
            words += ["--ro-bind", f"/{name}", f"/{name}"]
    for path in _found(root / "etc", _ETC):
        words += ["--ro-bind-try", str(path), str(path)]
    for name in _TEXTS:
        words += ["--ro-bind-data", f"{{{name}}}", f"/etc/{_TARGETS.get(name, name)}"]
    return words


def _found(folder: Path, patterns: Iterable[str]) -> list[Path]:
    return sorted(path for pattern in patterns for path in folder.glob(pattern))


def _environment(unit: Unit, runtime: Sequence[Path]) -> list[str]:
    """Nothing of ours: what units are promised, then what the unit says."""
    places = [str(path / "bin") for path in (Path(sys.prefix), *runtime) if (path / "bin").is_dir()]
    known = {
        "PATH": ":".join([*dict.fromkeys(places), "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": "/tmp",
        "TMPDIR": "/tmp",
        "USER": _NAME,
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "STUDIUM_INPUT": INPUTS,
        "STUDIUM_OUTPUT": OUTPUTS,
    }
    words: list[str] = []
    for name, value in {**known, **unit.environment}.items():
        words += ["--setenv", name, value]
    return words
