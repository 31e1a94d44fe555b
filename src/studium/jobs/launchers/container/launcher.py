"""The launcher that runs units in containers."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from studium.errors import LaunchError
from studium.jobs.launchers import units
from studium.jobs.launchers.claim import read_claim
from studium.jobs.launchers.container import legacy
from studium.jobs.launchers.container.command import STAGE, Setting, remove_words, unit_plan
from studium.jobs.launchers.container.images import resolve_image
from studium.jobs.launchers.container.probe import Findings, kept_probe, rank
from studium.jobs.launchers.container.runtime import (
    Runtime,
    call,
    find_runtimes,
    last_line,
)
from studium.jobs.launchers.protocol import (
    GUARANTEES,
    Capabilities,
    Phase,
    Seen,
    Stream,
    Unit,
)
from studium.jobs.launchers.uids import UIDS

_NAMED = re.compile(r"(\S+@)?sha256:[0-9a-f]{64}")
_UNFIT = re.compile(r'[,"\n{}]')  # in the value of --mount
_LEAST_MEMORY = 8 * 2**20


class ContainerLauncher:
    """Units in containers of Podman or Docker; ``store`` is Podman's place for images.

    ``uids`` are the first and the last user for units; ``legacy`` says whether the site allows
    images that start as root; ``grace`` is the time between TERM and KILL, in seconds; ``needed``
    are the guarantees that the site asks for.
    """

    name = "container"

    def __init__(
        self,
        store: Path,
        uids: tuple[int, int] = UIDS,
        legacy: bool = False,
        grace: float = 5.0,
        needed: Collection[str] = GUARANTEES,
    ) -> None:
        self.store = store
        self.needed = needed
        self.uids = uids
        self.legacy = legacy
        self.grace = grace
        self._findings: list[Findings] | None = None

    def capabilities(self) -> Capabilities:
        """What the best of the installed programs guarantees; probed once, then kept."""
        findings = self._probed()
        best = self._best()
        if best is None:
            reasons = " ".join(one.reason for one in findings)
            return Capabilities(
                False,
                frozenset(),
                reason=reasons or "Neither Podman nor Docker is here: apt-get install podman runc.",
            )
        others = {f"not {one.program}": one.reason for one in findings if one.runtime is None}
        details = {**best.details, **others}
        return Capabilities(True, best.guarantees, best.lost, details=details)

    def runtime(self) -> Runtime:
        """The program and the way of calling it; raises LaunchError if there is none."""
        best = self._best()
        if best is None or best.runtime is None:
            raise LaunchError(self.capabilities().reason, "See `studium doctor`.")
        return best.runtime

    def validate(self, unit: Unit) -> list[str]:
        """Why it cannot run this unit, each a sentence that names the field."""
        try:
            runtime = self.runtime()
        except LaunchError as error:
            return [error.message]
        found = []
        if unit.image is None:
            found.append("image: the container launcher needs one, by its digest.")
        elif not _NAMED.fullmatch(unit.image):
            found.append("image: give its digest, sha256:… (64 hex digits); a name can be moved.")
        elif resolve_image(runtime, unit.image) is None:
            found.append(f"image: {unit.image} is not in the storage of {runtime.kind}.")
        if unit.limits.memory < _LEAST_MEMORY:
            found.append("memory: a container takes 8 MiB at least.")
        if unit.profile == "legacy" and (why := self._no_legacy()):
            found.append(f"profile: {why}")
        if not self._staged(runtime):
            paths = [(f"inputs.{one.name}", one.source) for one in unit.inputs]
            paths += [("code", unit.code)] if unit.code else []
            found += [why for field, path in paths if (why := _unreadable(field, path))]
        return found

    def submit(self, unit: Unit) -> str:
        """Start it and give its native id: the container's name."""
        runtime = self.runtime()
        native = units.native_name(unit.folder, unit.key)
        if read_claim(unit.folder):
            return native
        assert unit.image
        image = resolve_image(runtime, unit.image)
        if image is None:
            raise LaunchError(f"The image {unit.image} is not in the storage.", "Load it again.")
        if unit.profile == "legacy":
            if why := self._no_legacy():
                raise LaunchError(why)
            legacy.open_storage(runtime, native, unit.limits.scratch)
        if self._staged(runtime):
            STAGE.mkdir(mode=0o755, parents=True, exist_ok=True)
        store = self._legacy_store(runtime, native)
        units.start(unit.folder, unit_plan(self._place(runtime, store), unit, native, image))
        return native

    def status(self, natives: Mapping[str, Path]) -> dict[str, Seen]:
        """By native id, of units in these folders."""
        ours = {
            native: folder for native, folder in natives.items() if units.is_native(native, folder)
        }
        lost = {native: Seen(Phase.LOST) for native in natives.keys() - ours.keys()}
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
        """Remove the container, its volumes and its storage. Idempotent."""
        runtime = self.runtime()
        if legacy_store := self._legacy_store(runtime, native):
            call(remove_words(runtime, native, legacy_store))
            legacy.close_storage(runtime, native)
            return
        done = call(remove_words(runtime, native, None))
        if done.returncode and "no such container" not in done.stderr.lower():
            raise LaunchError(f"{native} could not be removed: {last_line(done.stderr)}")

    def _place(self, runtime: Runtime, store: Path | None) -> Setting:
        uids = self.uids if os.geteuid() == 0 else None
        return Setting(runtime, uids, self._staged(runtime), self.grace, store)

    def _legacy_store(self, runtime: Runtime, native: str) -> Path | None:
        if runtime.kind == "docker":
            return None
        store = legacy.storage_of(runtime, native)
        return store if store.is_dir() else None

    def _no_legacy(self) -> str:
        """Why a legacy unit is refused; empty if it is not."""
        if not self.legacy:
            return "legacy images are not allowed here; the setting jobs.legacy says so."
        best = self._best()
        return best.details.get("no legacy", "") if best else "there is no container program."

    def _staged(self, runtime: Runtime) -> bool:
        """Whether inputs are shown to the unit's user as its own, whatever their permissions."""
        return runtime.kind == "podman" and os.geteuid() == 0

    def _probed(self) -> list[Findings]:
        if self._findings is None:
            self._findings = [
                replace(
                    kept_probe(runtime, self.store / f"probe-{runtime.kind}.json", self.needed),
                    program=runtime.kind,
                )
                for runtime in find_runtimes(self.store)
            ]
        return self._findings

    def _best(self) -> Findings | None:
        usable = [one for one in self._probed() if one.runtime]
        return max(usable, key=lambda one: rank(one, self.needed)) if usable else None


def _unreadable(field: str, path: Path) -> str:
    """Why a container of somebody without rights cannot mount a path; empty if it can."""
    if _UNFIT.search(str(path.resolve())):
        return f"{field}: its path has a character that mounts cannot have."
    mode = path.stat().st_mode
    if mode & 0o004 and (not path.is_dir() or mode & 0o001):
        return ""
    return f"{field}: others may not read it; chmod o+rX {path}."
