"""The launcher that runs units in the sandbox."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from studium.errors import LaunchError
from studium.jobs.launchers import units
from studium.jobs.launchers.cgroups import find_tree, group_named
from studium.jobs.launchers.claim import read_claim
from studium.jobs.launchers.protocol import Capabilities, Phase, Seen, Stream, Unit
from studium.jobs.launchers.sandbox.probe import INSTALL, probe
from studium.jobs.launchers.sandbox.walls import FILTER, Walls, unit_plan
from studium.jobs.launchers.uids import UIDS
from studium.site import Site

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LEAST_MEMORY = 8 * 2**20


class SandboxLauncher:
    """Units in namespaces of their own.

    ``uids`` are the first and the last user for units, if this process is root's; ``runtime`` are
    folders of the machine that units see beside /usr and Studium's Python; ``grace`` is the time
    between TERM and KILL, in seconds.
    """

    name = "sandbox"

    def __init__(
        self,
        uids: tuple[int, int] = UIDS,
        runtime: Sequence[Path] = (),
        grace: float = 5.0,
    ) -> None:
        self.uids = uids
        self.runtime = tuple(runtime)
        self.grace = grace
        self._capabilities: Capabilities | None = None

    def capabilities(self) -> Capabilities:
        """What a unit can be kept from here; probed once a process, by running one."""
        if self._capabilities is None:
            bwrap = shutil.which("bwrap")
            if bwrap is None:
                self._capabilities = Capabilities(False, frozenset(), reason=INSTALL)
            else:
                self._capabilities = probe(self._walls(bwrap))
        return self._capabilities

    def validate(self, unit: Unit) -> list[str]:
        """Why it cannot run this unit, each a sentence that names the field."""
        found = []
        if unit.image:
            found.append("image: the sandbox runs none; the container launcher does.")
        if unit.profile != "strict":
            found.append(f"profile: the sandbox has only strict, not {unit.profile}.")
        if not unit.command:
            found.append("command: it is empty.")
        for word in (*unit.command, *unit.environment.values()):
            if "\0" in word:
                found.append("command: a word or a variable has a zero byte.")
        found += [
            f"environment: {name!r} is not the name of a variable."
            for name in unit.environment
            if not _VARIABLE.fullmatch(name)
        ]
        for one in unit.inputs:
            if not _NAME.fullmatch(one.name):
                found.append(f"inputs: {one.name!r} is not the name of a file.")
            if not one.source.exists():
                found.append(f"inputs.{one.name}: {one.source} does not exist.")
        if unit.code and not unit.code.is_dir():
            found.append(f"code: {unit.code} is not a folder.")
        found += [
            f"jobs.runtime: {path} is not a folder." for path in self.runtime if not path.is_dir()
        ]
        if unit.limits.memory < _LEAST_MEMORY:
            found.append("memory: a unit takes 8 MiB at least.")
        return found

    def submit(self, unit: Unit) -> str:
        """Start it and give its native id, also when it was started already."""
        native = units.native_name(unit.folder, unit.key)
        if read_claim(unit.folder):
            return native
        bwrap = shutil.which("bwrap")
        if bwrap is None:
            raise LaunchError("The sandbox is not here.", INSTALL)
        units.start(unit.folder, unit_plan(self._walls(bwrap), unit, native))
        return native

    def status(self, natives: Mapping[str, Path]) -> dict[str, Seen]:
        """By native id, of units in these folders."""
        ours = {one: folder for one, folder in natives.items() if units.is_native(one, folder)}
        lost = {one: Seen(Phase.LOST) for one in natives.keys() - ours.keys()}
        return units.see(ours) | lost

    def cancel(self, native: str, folder: Path) -> None:
        """Ask it to end: TERM, then KILL after the grace. Idempotent."""
        units.request_cancel(folder)

    def tail(self, native: str, folder: Path, stream: Stream, offset: int, limit: int) -> bytes:
        """Up to ``limit`` bytes of a stream from ``offset``."""
        return units.read_stream(folder, stream, offset, limit)

    def fetch(self, native: str, folder: Path) -> None:
        """Nothing to do: /output is the unit's folder."""

    def cleanup(self, native: str, folder: Path) -> None:
        """Take away the cgroup that a killed supervisor has left. Idempotent."""
        group = group_named(find_tree(), native)
        group.kill()
        group.remove()
        (folder / FILTER).unlink(missing_ok=True)

    def _walls(self, bwrap: str) -> Walls:
        uids = self.uids if os.geteuid() == 0 else None
        return Walls(bwrap, uids, self.runtime, self.grace)


def sandbox_launcher(site: Site) -> SandboxLauncher:
    """The launcher as a site's settings have it."""
    jobs = site.settings.jobs
    first, _, last = jobs.uids.partition("-")
    uids = (int(first), int(last)) if last else UIDS
    return SandboxLauncher(uids, [Path(path) for path in jobs.runtime])
