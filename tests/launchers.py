"""Every launcher that can run here, and units to give it."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from studium.jobs.launchers.container import ContainerLauncher
from studium.jobs.launchers.protocol import Exit, Launcher, Limits, Phase, Unit
from studium.jobs.launchers.sandbox import SandboxLauncher
from tests.services import require

LAUNCHERS = ("sandbox", "container")
GRACE = 0.3
LIMITS = Limits(
    seconds=60, memory=2**26, cpus=1, processes=30, output=2**20, log=2**16, scratch=2**20
)


@dataclass(frozen=True)
class Ground:
    """A launcher, and folders and images for its units."""

    launcher: Launcher
    folder: Path
    image: str | None

    def unit(self, line: str, key: str = "unit-1", **changes: object) -> Unit:
        """A unit that runs a line of shell; ``changes`` are to it, or to its limits."""
        folder = self.folder / key
        folder.mkdir(mode=0o700)
        limits = {name: changes.pop(name) for name in list(changes) if hasattr(LIMITS, name)}
        given = Unit(
            key=key,
            folder=folder,
            command=("sh", "-c", line),
            limits=replace(LIMITS, **limits),  # type: ignore[arg-type]
            image=self.image,
        )
        return replace(given, **changes)  # type: ignore[arg-type]

    def run(self, line: str, key: str = "unit-1", **changes: object) -> tuple[Unit, Exit]:
        """Run a line of shell to its end."""
        unit = self.unit(line, key, **changes)
        return unit, self.end(unit, self.launcher.submit(unit))

    def end(self, unit: Unit, native: str) -> Exit:
        """Wait until a unit has ended; a lost one fails the test."""

        def ended() -> bool:
            phase = self.launcher.status({native: unit.folder})[native].phase
            assert phase in (Phase.RUNNING, Phase.ENDED), phase
            return phase is Phase.ENDED

        wait_for(ended)
        seen = self.launcher.status({native: unit.folder})[native]
        assert seen.exit
        return seen.exit

    def says(self, unit: Unit, native: str, text: str) -> None:
        """Wait until a unit has written ``text`` to its standard output."""
        wait_for(
            lambda: text.encode() in self.launcher.tail(native, unit.folder, "stdout", 0, 2**16)
        )


def wait_for(done: Callable[[], bool], seconds: float = 30.0) -> None:
    """Until it is done, however busy the machine; beyond ``seconds`` the test has failed."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def processes_with(word: str) -> list[int]:
    """Processes of this machine that have ``word`` in their command line."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                words = Path("/proc", entry, "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if word.encode() in words:
                found.append(int(entry))
    return found


@pytest.fixture(scope="session", params=LAUNCHERS)
def each_launcher(request: pytest.FixtureRequest) -> tuple[Launcher, str | None]:
    """Each launcher in turn, and the image that it runs."""
    if request.param == "sandbox":
        require("bubblewrap", bool(shutil.which("bwrap")), "apt-get install bubblewrap")
        return SandboxLauncher(grace=GRACE), None
    from tests.containers import digest_of

    containers = request.getfixturevalue("containers")
    launcher = ContainerLauncher(containers.store, grace=GRACE)
    return launcher, digest_of(containers)


@pytest.fixture
def ground(each_launcher: tuple[Launcher, str | None], tmp_path: Path) -> Ground:
    """Each launcher, with a folder of this test."""
    return Ground(each_launcher[0], tmp_path, each_launcher[1])
