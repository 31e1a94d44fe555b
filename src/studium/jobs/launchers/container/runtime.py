"""Podman or Docker, called by command line, and how it must be called on this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from studium.errors import LaunchError

Kind = Literal["podman", "docker"]

_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")
"""Where distributions put OCI runtimes; a service's PATH often lacks them."""

_KEPT = ("HOME", "DOCKER_HOST", "DOCKER_CONTEXT", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
"""What podman and docker themselves need of the environment; nothing of it reaches a unit."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """A container program, its storage, and the way of calling it that works here.

    ``without`` names groups of flags that this machine refuses: ``cpu``, ``swap``, ``cgroup
    namespace``, ``cgroups``. What is lost by that is measured by the probe, not concluded.
    """

    kind: Kind
    program: str
    store: Path | None = None  # Podman's images and containers; Docker has its own place
    oci: str = ""  # the OCI runtime: runsc, runc, crun; empty: the program's default
    without: frozenset[str] = frozenset()

    def command(self, *arguments: str, store: Path | None = None) -> list[str]:
        """The words of a command; with ``store``, containers are kept there, images here."""
        if self.kind == "docker":
            # Its warnings would go to the unit's stderr.
            return [self.program, "--log-level=error", *arguments]
        images = self.store
        store = store or images
        assert store and images
        words = [
            self.program,
            f"--root={store / 'store'}",
            f"--runroot={run_folder(store)}",
            # Else it mounts the folder of its layers upon itself, which then cannot be deleted.
            "--storage-opt=overlay.skip_mount_home=true",
        ]
        if store != images:
            words.append(f"--storage-opt=additionalimagestore={images / 'store'}")
        if self.oci:
            words.append(f"--runtime={self.oci}")
        return [*words, *arguments]


def find_runtimes(store: Path) -> list[Runtime]:
    """The programs that are installed, the one without a daemon first."""
    found: list[Runtime] = []
    if program := which("podman"):
        found.append(Runtime("podman", program, store))
    if program := which("docker"):
        found.append(Runtime("docker", program))
    return found


def which(program: str) -> str | None:
    """Where a program is, also in the folders for administrators."""
    return shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", ""), *_SBIN)))


def run_folder(store: Path) -> Path:
    """Where Podman keeps what must not outlive a restart of the machine; on tmpfs, and short."""
    top = Path("/run") if os.geteuid() == 0 else Path(os.environ.get("XDG_RUNTIME_DIR", "/tmp"))
    return top / "studium" / hashlib.sha256(os.fsencode(store)).hexdigest()[:12]


def environment() -> dict[str, str]:
    """The environment that podman and docker are called with."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    path = os.pathsep.join(filter(None, (os.environ.get("PATH", ""), *_SBIN)))
    return {**kept, "PATH": path, "LC_ALL": "C.UTF-8"}


def call(
    words: Sequence[str], *, seconds: float = 60.0, give: bytes = b"", folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one command of podman or docker to its end; its exit code may be any.

    Give a ``folder`` for ``run``: conmon makes a file ``oom`` where it was started.

    Raises LaunchError if it cannot be started or does not end in time.
    """
    try:
        done = subprocess.run(
            words,
            input=give,
            capture_output=True,
            timeout=seconds,
            env=environment(),
            cwd=folder,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LaunchError(
            f"{Path(words[0]).name} did not answer within {seconds:g} seconds.",
            "Try `studium doctor`; restart its service if it has one.",
        ) from None
    except OSError as error:
        raise LaunchError(
            f"{words[0]} cannot be started: {error.strerror}.", "Install it anew."
        ) from None
    out, err = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


def last_line(text: str) -> str:
    """The last line of what a program said: where podman, docker and runc put the cause."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("Error: ") if lines else "it said nothing"
