"""What the sandbox gives on this machine, found by running a unit that tries to get out.

The script uses what is built into a shell, and ``sleep``. A guarantee holds if the attempt against
it failed while its control succeeded; everything else is lost, with a sentence why.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

from studium.errors import LaunchError
from studium.jobs.launchers import units
from studium.jobs.launchers.cgroups import Tree, find_tree
from studium.jobs.launchers.protocol import GUARANTEES, Capabilities, Exit, Limits, Mount, Unit
from studium.jobs.launchers.sandbox import seccomp
from studium.jobs.launchers.sandbox.walls import Walls, unit_plan

INSTALL = "bubblewrap is not here: apt-get install bubblewrap."
_PATIENCE = 60.0
_LIMITS = Limits(
    seconds=30, memory=64 * 2**20, cpus=1, processes=16, output=2**20, log=2**20, scratch=2**20
)

# Processes: 24 are started where 16 are allowed. Scratch: 2 MiB where 1 MiB is allowed. Memory, at
# last, as that ends the unit: a text of 64 MiB and copies of it, where 64 MiB in all are allowed.
_SCRIPT = r"""
while read -r key value rest; do
  case $key in Uid:|CapPrm:|CapEff:|CapBnd:|NoNewPrivs:|Seccomp:) echo "$key$value";; esac
done </proc/self/status
while read -r key rest; do case $key in *:) echo "net:$key";; esac; done </proc/net/dev
read -r word </input/probe && echo "input:$word"
(: >/output/made) 2>/dev/null && echo "output:yes"
(: >/input/probe) 2>/dev/null && echo "wrote:input"
for place in / /usr /etc /dev /code /input; do
  (: >$place/made) 2>/dev/null && echo "wrote:$place"
done
[ -e "$PROBED" ] && echo "saw:outside"
(n=0; while [ $n -lt 24 ]; do sleep 9 & n=$((n+1)); done; echo "processes:all") 2>/dev/null
echo "control:processes"
text=0123456789abcdef; n=0
while [ $n -lt 12 ]; do text=$text$text; n=$((n+1)); done
n=0
while [ $n -lt 32 ]; do echo "$text" >/tmp/$n || break; n=$((n+1)); done 2>/dev/null
echo "scratch:$n"
(n=12; while [ $n -lt 24 ]; do text=$text$text; n=$((n+1)); done; echo "memory:all") 2>/dev/null
echo "control:memory"
"""


def probe(walls: Walls) -> Capabilities:
    """Run the script once, as any unit is run. Costs half a second; never raises."""
    try:
        version = subprocess.run(
            [walls.bwrap, "--version"], capture_output=True, text=True, check=True
        ).stdout.split()[-1]
        tree = find_tree()
        with tempfile.TemporaryDirectory(prefix="studium-probe-") as name:
            folder = Path(name)
            end = _run(walls, folder)
            said = (folder / "stdout").read_text("utf-8", "replace")
    except (OSError, subprocess.SubprocessError, LaunchError, IndexError) as error:
        return Capabilities(False, frozenset(), reason=f"The sandbox cannot run here: {error}.")
    if "control:processes" not in said:
        why = end.text.strip() or end.reason
        return Capabilities(False, frozenset(), reason=f"The sandbox cannot run a unit here: {why}")
    lost = _lost(walls, tree, said, end)
    details = {
        "bubblewrap": version,
        "cgroups": _describe(tree),
        "output limit": "measured every 0.2 s or less often; a file alone cannot be larger",
    }
    return Capabilities(True, frozenset(GUARANTEES) - lost.keys(), lost, details=details)


def _run(walls: Walls, folder: Path) -> Exit:
    secret = folder / "secret"
    secret.write_text("read\n")
    secret.chmod(0o600)  # an input that only its owner may read
    unit = Unit(
        key="probe",
        folder=folder,
        command=("/bin/sh", "-c", _SCRIPT),
        limits=_LIMITS,
        environment={"PROBED": str(secret)},
        inputs=(Mount("probe", secret),),
    )
    units.start(folder, unit_plan(walls, unit, f"studium-probe-{os.getpid()}"))
    deadline = time.monotonic() + _PATIENCE
    while (end := units.read_exit(folder)) is None:
        if time.monotonic() > deadline:
            raise LaunchError(f"the probe did not end within {_PATIENCE:g} seconds")
        time.sleep(0.02)
    return end


def _lost(walls: Walls, tree: Tree, said: str, end: Exit) -> dict[str, str]:
    """What the script's lines do not prove, and why."""
    lines = said.splitlines()
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    nets = {line.split(":")[1] for line in lines if line.startswith("net:")}
    wrote = {line.partition(":")[2] for line in lines if line.startswith("wrote:")}
    zero = re.compile("0+").fullmatch
    scratch = int(values.get("scratch", "32"))
    uid = values.get("Uid", "0")
    no_cgroup = tree.lost
    checks: dict[str, tuple[bool, str]] = {
        "no network": (nets == {"lo"}, f"it sees {', '.join(sorted(nets))}"),
        "own filesystem": (
            not wrote and "saw:outside" not in lines,
            f"it wrote to {', '.join(sorted(wrote))}" if wrote else "it sees the machine's files",
        ),
        "read-only inputs": (
            values.get("input") == "read" and "input" not in wrote,
            "an input could be written or not be read",
        ),
        "unprivileged user": (uid != "0", "it runs as root"),
        "user of its own": (
            walls.uids is not None and walls.uids[0] <= int(uid) <= walls.uids[1],
            "only a worker started by root can give each unit a user of its own",
        ),
        "no capabilities": (
            all(zero(values.get(name, "?")) for name in ("CapPrm", "CapEff", "CapBnd")),
            "it has capabilities",
        ),
        "no new privileges": (values.get("NoNewPrivs") == "1", "a program may gain rights"),
        "system call filter": (
            values.get("Seccomp") == "2",
            seccomp.why_missing() or "no system call is refused",
        ),
        "memory limit": (
            tree.has("memory") and end.reason == "out of memory",
            no_cgroup.get("memory", "more memory than allowed could be had")
            + "; each process alone is limited",
        ),
        "process limit": (
            "processes:all" not in lines,
            no_cgroup.get("pids", "more processes than allowed could be started"),
        ),
        "cpu limit": (tree.has("cpu"), no_cgroup.get("cpu", "there is no controller")),
        "output limit": (values.get("output") == "yes", "/output could not be written"),
        "scratch limit": (0 < scratch < 32, "/tmp took more than its size, or nothing"),
        "time limit": (True, ""),
    }
    assert set(checks) == set(GUARANTEES)
    return {name: why for name, (holds, why) in checks.items() if not holds}


def _describe(tree: Tree) -> str:
    ones = sorted(tree.version1)
    twos = sorted(tree.controllers2)
    parts = [f"version 1: {', '.join(ones)}"] if ones else []
    parts += [f"version 2: {', '.join(twos)}"] if twos else []
    return "; ".join(parts) or "none"
