"""A machine worth attacking, and how an attack is run on it: in a unit, or without any guard."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import pty
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from studium.jobs.launchers.protocol import Exit, Launcher, Limits, Mount, Phase, Unit
from tests.attacks import programs
from tests.conftest import ROOT

PROGRAMS = Path(programs.__file__)
LIMITS = Limits(
    seconds=60, memory=2**27, cpus=2, processes=40, output=2**23, log=2**16, scratch=2**22
)


@dataclass(frozen=True)
class Ended:
    """How a run went: what it printed, and of a unit its end and folder."""

    said: list[dict[str, Any]]
    exit: Exit | None = None
    folder: Path | None = None

    @property
    def got(self) -> Any:
        """What the last line says that it got."""
        return self.said[-1]["got"] if self.said else None


@dataclass
class World:
    """A folder that everybody may enter, with secrets in it, and services in a network."""

    folder: Path
    mark: str
    secret: str
    services: subprocess.Popen[str]
    found: dict[str, Any]
    runs: int = 0
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def targets(self, **more: object) -> str:
        """What programs are told."""
        about = os.stat(self.folder)
        known = {
            "mark": self.mark, "state": str(self.folder / "state.db"),
            "other": str(self.folder / "jobs" / "other" / "inputs" / "rows"),
            "socket": str(self.folder / "socket"),
            "leak": str(self.folder / "leak"), "neighbour": self.services.pid,
            "disk": [os.major(about.st_dev), os.minor(about.st_dev)], **self.found, **more,
        }  # fmt: skip
        return json.dumps(known)

    def is_real(self, attack: str, got: object) -> bool:
        """Whether what an attack says that it got is what there was to get."""
        if attack in _SECRETS:
            return got == f"SECRET={self.secret}"
        if attack == "shadow":
            content = Path("/etc/shadow").read_bytes().decode("utf-8", "replace")
            return got == "sha256 " + hashlib.sha256(content.encode()).hexdigest()
        return bool(got)

    def unit(self, kind: str, *names: str, limits: Limits = LIMITS, **changes: Any) -> Unit:
        """A unit that runs attacks by name; the program is in its folder of code."""
        self.runs += 1
        folder = self.folder / "jobs" / f"own-{self.runs}" / "unit"
        folder.mkdir(parents=True)
        made = Unit(
            key=f"{kind}-{self.runs}", folder=folder, limits=limits,
            command=(python(), "/code/programs.py", *names),
            environment={"STUDIUM_TARGETS": self.targets()},
            inputs=_inputs(self.folder / "inputs"), code=self.folder / "code",
        )  # fmt: skip
        return replace(made, **changes)

    def run(self, launcher: Launcher, unit: Unit, worst: bool = False) -> Ended:
        """Run a unit to its end; with ``worst``, the worst worker hands it over."""
        assert launcher.validate(unit) == []
        if worst:
            native = self._as_worker("unit", launcher, unit).strip().decode()
        else:
            native = launcher.submit(unit)
        end = _wait(launcher, native, unit.folder)
        said = launcher.tail(native, unit.folder, "stdout", 0, unit.limits.log)
        launcher.cleanup(native, unit.folder)
        return Ended(_lines(said), end, unit.folder)

    def unguarded(self, names: Sequence[str], **more: object) -> Ended:
        """The control: the same program as a process, with the same things at hand."""
        place = self._control_folder()
        environment = {
            "STUDIUM_TARGETS": self.targets(
                code=str(place / "code"), scratch=str(place / "tmp"), folders=[str(place)], **more
            ),
            "STUDIUM_INPUT": str(place / "inputs"), "STUDIUM_OUTPUT": str(place / "outputs"),
        }  # fmt: skip
        # Not from the virtual environment: who is nobody could not enter it.
        command = [python(), "-I", str(place / "code" / "programs.py"), *names]
        given = {"cwd": str(place), "environment": environment}
        try:
            return Ended(_lines(self._as_worker("bare", command, given)))
        finally:
            shutil.rmtree(place)

    def litter(self) -> Path:
        """What the control leaves in its outputs; the caller removes the folder above it."""
        place = self._control_folder()
        subprocess.run(
            [python(), "-I", str(place / "code" / "programs.py"), "litter"],
            env={"STUDIUM_TARGETS": self.targets(), "STUDIUM_OUTPUT": str(place / "outputs")},
            stdout=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        return place / "outputs"

    def start_unguarded(self, name: str) -> subprocess.Popen[bytes]:
        """The control of a bomb that does not end; it is killed with its group by ``stop``."""
        place = self._control_folder()
        environment = {
            "STUDIUM_TARGETS": self.targets(alone=True, flood=16),
            "STUDIUM_INPUT": str(place / "inputs"), "STUDIUM_OUTPUT": str(place / "outputs"),
        }  # fmt: skip
        child = subprocess.Popen(
            [python(), "-I", str(place / "code" / "programs.py"), name],
            stdout=subprocess.PIPE, env={**os.environ, **environment}, start_new_session=True,
        )  # fmt: skip
        self.children.append(child)
        return child

    def left(self) -> list[int]:
        """Processes anywhere on the machine that a daemon has left behind."""
        word = f"daemon-{self.mark}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if word in path.read_bytes():
                    found.append(int(path.parent.name))
        return found

    def stop(self) -> None:
        """End what controls have left."""
        for child in self.children:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            if child.stdout:
                child.stdout.close()
        self.children.clear()
        for pid in self.left():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _control_folder(self) -> Path:
        self.runs += 1
        place = self.folder / "controls" / str(self.runs)
        for name in ("code", "inputs"):
            shutil.copytree(self.folder / name, place / name)
        os.chmod(place / "inputs" / "setuid", 0o4755)
        for name in ("outputs", "tmp"):
            (place / name).mkdir()
        return place

    def _as_worker(self, *what: object) -> bytes:
        order = self.folder / "order"
        order.write_bytes(pickle.dumps((*what, self.secret, self.mark)))
        operator, terminal = pty.openpty()
        handle = os.open(self.folder / "open", os.O_RDONLY)
        inside = ["nsenter", f"--net=/proc/{self.services.pid}/ns/net"]
        try:
            done = subprocess.run(
                [*inside, sys.executable, "-m", "tests.attacks.worker", str(order)],
                cwd=ROOT, stdin=terminal, capture_output=True, pass_fds=[handle],
                start_new_session=True, check=False,
                env={**os.environ, "SECRET": self.secret},
            )  # fmt: skip
        finally:
            for descriptor in (operator, terminal, handle):
                os.close(descriptor)
        assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
        return done.stdout


_SECRETS = {
    "dns", "host_service", "metadata", "abstract_socket", "path_socket", "state_database",
    "other_input", "climb", "environment", "process_roots", "inherited_files", "shared_memory",
}  # fmt: skip


@contextmanager
def world() -> Iterator[World]:
    """Make one, and leave nothing of it."""
    folder = Path(tempfile.mkdtemp(prefix="studium-attacks-"))
    mark, secret = secrets.token_hex(6), secrets.token_hex(12)
    try:
        folder.chmod(0o755)
        for name in ("code", "inputs", "open", "jobs/other/inputs", "controls", "leak"):
            (folder / name).mkdir(parents=True)
        (folder / "leak").chmod(0o777)
        for path in ("state.db", "jobs/other/inputs/rows", "open/secret", "inputs/rows"):
            (folder / path).write_text(f"SECRET={secret}\n" if path != "inputs/rows" else "rows\n")
        shutil.copy(PROGRAMS, folder / "code")
        shutil.copy("/usr/bin/id", folder / "inputs" / "setuid")
        (folder / "inputs" / "setuid").chmod(0o4755)
        command = [
            "unshare", "--net", sys.executable, "-m", "tests.attacks.services",
            mark, str(folder), secret, f"neighbour-{mark}",
        ]  # fmt: skip
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "SECRET": f"{secret}"},
        ) as services:  # fmt: skip
            assert services.stdout
            made = World(folder, mark, secret, services, json.loads(services.stdout.readline()))
            try:
                yield made
            finally:
                made.stop()
                assert services.stdin
                services.stdin.close()  # it ends, and takes its shared memory with it
                services.wait()
    finally:
        shutil.rmtree(folder)


def python() -> str:
    """This Python, outside any virtual environment."""
    return str(Path(sys.executable).resolve())


def of_probes(ended: Ended) -> Mapping[str, dict[str, Any]]:
    """What each probe said."""
    return {one["attack"]: one for one in ended.said}


def limited(**changes: Any) -> Limits:
    """The usual limits, with these instead."""
    return replace(LIMITS, **changes)


def _inputs(folder: Path) -> tuple[Mount, ...]:
    return tuple(Mount(path.name, path) for path in sorted(folder.iterdir()))


def _lines(said: bytes) -> list[dict[str, Any]]:
    found = []
    for line in said.decode("utf-8", "replace").splitlines():
        with suppress(ValueError):
            if isinstance(one := json.loads(line), dict):
                found.append(one)
    return found


def _wait(launcher: Launcher, native: str, folder: Path, seconds: float = 90.0) -> Exit:
    until = time.monotonic() + seconds
    while True:
        seen = launcher.status({native: folder})[native]
        if seen.phase is Phase.ENDED:
            assert seen.exit
            return seen.exit
        assert seen.phase is not Phase.LOST, "the unit was lost"
        assert time.monotonic() < until, "the unit did not end"
        time.sleep(0.02)
