"""What containers can be kept from on this machine, found by running one that tries.

The probe's image is this machine's ``/bin/sh`` with its libraries: no registry is asked. Its script
uses what is built into a shell. A guarantee holds if the attempt against it failed while its
control succeeded; everything else is lost, with a sentence why.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from studium.errors import LaunchError
from studium.jobs.launchers.container import isolation
from studium.jobs.launchers.container.legacy import try_legacy
from studium.jobs.launchers.container.runtime import Runtime, call, environment, last_line, which
from studium.jobs.launchers.protocol import GUARANTEES, Limits

VERSION = 3
"""Of the attempts below: another one makes kept findings void."""

PROBE_UID = 199_999
"""The user of the probe: no unit has it."""

_IMAGE = "localhost/studium-probe:1"
_LIMITS = Limits(
    seconds=60, memory=64 * 2**20, cpus=0.5, processes=16, output=2**20, log=2**20, scratch=2**20
)

# Values are read by `_read`. Memory: a text of 64 MiB is made where 64 MiB in all are allowed.
# Processes: 24 are started where 16 are allowed; they end with the container.
_SCRIPT = r"""
while read -r key value rest; do
  case $key in CapPrm:|CapEff:|CapBnd:|NoNewPrivs:|Seccomp:) echo "$key$value";; esac
done </proc/self/status
while read -r key rest; do case $key in *:) echo "net:$key";; esac; done </proc/net/dev
read -r word </input/probe && echo "input:$word"
(: >/output/made) 2>/dev/null && echo "output:yes"
(: >/input/probe) 2>/dev/null && echo "wrote:input"
(: >/open/made) 2>/dev/null && echo "wrote:root"
for name in cpu.max cpu/cpu.cfs_quota_us cpu,cpuacct/cpu.cfs_quota_us; do
  [ -r /sys/fs/cgroup/$name ] && read -r word rest </sys/fs/cgroup/$name && echo "cpu:$word"
done
text=0123456789abcdef; n=0
while [ $n -lt 12 ]; do text=$text$text; n=$((n+1)); done
n=0
while [ $n -lt 32 ]; do echo "$text" >/tmp/$n || break; n=$((n+1)); done 2>/dev/null
echo "scratch:$n"
(n=12; while [ $n -lt 22 ]; do text=$text$text; n=$((n+1)); done; echo "memory:all")
echo "control:memory"
(n=0; while [ $n -lt 24 ]; do (while :; do :; done) & n=$((n+1)); done; echo "processes:all")
echo "control:processes"
"""


@dataclass(frozen=True, slots=True)
class Findings:
    """What one container program gives here; ``runtime`` is None if it cannot be used."""

    runtime: Runtime | None
    guarantees: frozenset[str] = frozenset()
    lost: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    program: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


def probe(runtime: Runtime, needed: Collection[str] = GUARANTEES) -> Findings:
    """Find the OCI runtime and the flags with which most is guaranteed: of those with which all
    that is ``needed`` is, gVisor's before others.

    Costs a second where the first way works. Never raises.
    """
    try:
        version = _answer(runtime)
        _bring_image(runtime)
        best, why = None, ""
        for candidate in _candidates(runtime):
            found = _try(candidate)
            if isinstance(found, str):
                why = why or f"{candidate.oci or 'default runtime'}: {found}"
                continue
            if best is None or rank(found, needed) > rank(best, needed):
                best = found
            if not best.lost or rank(best, needed)[:2] == (True, True):
                break
    except (LaunchError, OSError) as error:
        return Findings(None, reason=str(error))
    if best is None:
        return Findings(None, reason=f"{runtime.kind} cannot run a container here ({why}).")
    assert best.runtime
    details = {
        "program": f"{runtime.kind} {version}",
        "runtime": best.runtime.oci or "default",
        **({"without": ", ".join(sorted(best.runtime.without))} if best.runtime.without else {}),
        **({"refused": why} if why else {}),
    }
    if no_legacy := try_legacy(best.runtime, _IMAGE, _LIMITS):
        details["no legacy"] = no_legacy
    return replace(best, details=details)


def rank(found: Findings, needed: Collection[str]) -> tuple[bool, bool, int]:
    """The larger, the better; a kernel of its own is worth more than what the site can do
    without."""
    assert found.runtime
    enough = found.guarantees >= set(needed)
    return enough, enough and _is_gvisor(found.runtime), len(found.guarantees)


def kept_probe(runtime: Runtime, cache: Path, needed: Collection[str] = GUARANTEES) -> Findings:
    """As ``probe``, kept in the file ``cache`` until the machine restarts or a program changes."""
    key = "\n".join([_cache_key(runtime), *sorted(needed)])
    try:
        kept = json.loads(cache.read_text("utf-8"))
        if kept["key"] == key:
            return _unpack(kept["findings"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # none, or one of another version: probed anew
    findings = probe(runtime, needed)
    if findings.runtime:  # what does not work may be mended any moment
        cache.parent.mkdir(parents=True, exist_ok=True)
        new = cache.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps({"key": key, "findings": _pack(findings)}), "utf-8")
        new.replace(cache)
    return findings


def _answer(runtime: Runtime) -> str:
    """The version of the program, or of Docker's service; raises LaunchError if it is away."""
    if runtime.kind == "podman":
        done = call(runtime.command("version", "--format={{.Client.Version}}"))
    else:
        done = call(runtime.command("version", "--format={{.Server.Version}}"))
    if done.returncode:
        raise LaunchError(
            f"{runtime.kind} does not answer: {last_line(done.stderr)}",
            "Start its service, or use Podman, which needs none."
            if runtime.kind == "docker"
            else "",
        )
    return done.stdout.strip()


def _candidates(runtime: Runtime) -> Iterator[Runtime]:
    """Ways to call the program, the best first: gVisor, the default, then others; all limits
    first, then without those that a machine may refuse."""
    if runtime.kind == "podman":
        names = ["", *filter(None, map(which, ("runc", "crun")))]
        if gvisor := which("runsc"):
            names.insert(0, gvisor)
    else:
        said = call(runtime.command("info", "--format={{json .Runtimes}}")).stdout
        names = ["runsc", ""] if '"runsc"' in said else [""]
    ways: tuple[frozenset[str], ...] = (
        frozenset(),
        frozenset({"swap"}),
        frozenset({"cgroup namespace"}),
        frozenset({"swap", "cpu"}),
        frozenset({"cgroups"}),
    )
    for without in ways:
        for name in names:
            yield replace(runtime, oci=name, without=without)


def _try(runtime: Runtime) -> Findings | str:
    """Run the script once; text: what the program said instead."""
    with tempfile.TemporaryDirectory(prefix="studium-probe-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "probe").write_text("read\n")
        (folder / "probe").chmod(0o666)  # only its mount keeps it from being written
        (folder / "output").mkdir()
        (folder / "output").chmod(0o777)
        mounts = [(f"{folder}/probe", "/input/probe", True), (f"{folder}/output", "/output", False)]
        done = call(
            runtime.command(
                "run", "--rm", *_oci_flag(runtime),
                *isolation.strict_flags(runtime, _LIMITS, _user()),
                *isolation.mount_flags(mounts), _IMAGE, "/bin/sh", "-c", _SCRIPT,
            ),
            folder=folder,
        )  # fmt: skip
        made = folder / "output" / "made"
        owner = made.stat().st_uid if made.exists() else None
    if "control:memory" not in done.stdout:
        return last_line(done.stderr)
    return _read(runtime, done.stdout, owner)


def _oci_flag(runtime: Runtime) -> list[str]:
    return [f"--runtime={runtime.oci}"] if runtime.kind == "docker" and runtime.oci else []


def _read(runtime: Runtime, said: str, owner: int | None) -> Findings:
    """What the script's lines prove, and whose the file is that it made: gVisor's /proc says
    neither its user nor NoNewPrivs."""
    lines = said.splitlines()
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    nets = {line.split(":")[1] for line in lines if line.startswith("net:")}
    wrote = {line for line in lines if line.startswith("wrote:")}
    zero = re.compile("0+").fullmatch
    scratch = int(values.get("scratch", "32"))
    checks: dict[str, tuple[bool, str]] = {
        "no network": (nets <= {"lo"}, f"it sees {', '.join(sorted(nets))}"),
        "own filesystem": ("wrote:root" not in wrote, "its root can be written"),
        "read-only inputs": (
            values.get("input") == "read" and "wrote:input" not in wrote,
            "an input could be written or not be read",
        ),
        "unprivileged user": (owner == _user(), "it runs as another user"),
        "user of its own": (
            os.geteuid() == 0 and owner == PROBE_UID,
            "only root can give each unit a user of its own",
        ),
        "no capabilities": (
            all(zero(values.get(name, "?")) for name in ("CapPrm", "CapEff", "CapBnd")),
            "it has capabilities",
        ),
        "no new privileges": (
            values.get("NoNewPrivs") == "1" or _is_gvisor(runtime), "a program may gain rights"
        ),
        "system call filter": (
            values.get("Seccomp") == "2" or _is_gvisor(runtime),
            "no system call is refused: built without seccomp",
        ),
        "memory limit": ("memory:all" not in lines, "more memory than allowed could be had"),
        "process limit": (
            "processes:all" not in lines, "more processes than allowed could be started"
        ),
        "cpu limit": (
            values.get("cpu", "max") not in ("max", "-1"), "its cgroup has no limit of CPU time"
        ),
        "output limit": (values.get("output") == "yes", "/output could not be written"),
        "scratch limit": (0 < scratch < 32, "/tmp took more than its size, or nothing"),
        "time limit": (True, ""),  # the supervisor's, by name of the container
    }  # fmt: skip
    assert set(checks) == set(GUARANTEES)
    lost = {name: why for name, (holds, why) in checks.items() if not holds}
    return Findings(runtime, frozenset(checks) - set(lost), lost)


def _user() -> int:
    return PROBE_UID if os.geteuid() == 0 else os.geteuid()


def _is_gvisor(runtime: Runtime) -> bool:
    return Path(runtime.oci).name == "runsc"


def _bring_image(runtime: Runtime) -> None:
    """The probe's image in the storage, made if it is missing."""
    if call(runtime.command("image", "inspect", _IMAGE)).returncode == 0:
        return
    done = call(runtime.command("import", "-", _IMAGE), give=_shell_archive())
    if done.returncode:
        raise LaunchError(f"{runtime.kind} takes no image: {last_line(done.stderr)}")


def _shell_archive() -> bytes:
    """A tar file of ``/bin/sh`` and the libraries that ``ldd`` names, at the same places."""
    ldd = which("ldd")
    said = ""
    if ldd:
        done = subprocess.run(
            [ldd, "/bin/sh"], capture_output=True, text=True, env=environment(), check=False
        )
        said = done.stdout  # of a static shell: nothing that begins with /
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path in ("/bin/sh", *re.findall(r"(/\S+)", said)):
            info = tarfile.TarInfo(path.lstrip("/"))
            content = Path(path).read_bytes()
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))
        for name in ("proc", "sys", "dev", "run", "etc", "input", "output", "tmp", "open"):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o1777 if name in ("tmp", "open") else 0o755
            tar.addfile(info)
    return archive.getvalue()


def _cache_key(runtime: Runtime) -> str:
    """Changes with the machine's start, the programs, the user and this module."""
    parts = [str(VERSION), str(os.geteuid()), str(runtime.store)]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    except OSError:
        parts.append("?")
    for program in (runtime.program, *filter(None, map(which, ("runsc", "runc", "crun")))):
        about = os.stat(program)
        parts.append(f"{program} {about.st_size} {about.st_mtime_ns}")
    return "\n".join(parts)


def _pack(findings: Findings) -> dict[str, object]:
    assert findings.runtime
    runtime = asdict(findings.runtime)
    runtime["store"] = str(runtime["store"]) if runtime["store"] else None
    runtime["without"] = sorted(findings.runtime.without)
    return {
        "runtime": runtime,
        "guarantees": sorted(findings.guarantees),
        "lost": dict(findings.lost),
        "details": dict(findings.details),
    }


def _unpack(kept: dict[str, dict[str, object]]) -> Findings:
    runtime = dict(kept["runtime"])
    store = runtime.pop("store")
    without = runtime.pop("without")
    assert isinstance(without, list)
    made = Runtime(
        kind="podman" if runtime["kind"] == "podman" else "docker",
        program=str(runtime["program"]),
        store=Path(str(store)) if store else None,
        oci=str(runtime["oci"]),
        without=frozenset(map(str, without)),
    )
    return Findings(
        made,
        frozenset(kept["guarantees"]),
        {name: str(why) for name, why in kept["lost"].items()},
        details={name: str(value) for name, value in kept["details"].items()},
    )
