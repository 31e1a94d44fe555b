"""Podman in a folder of its own, and the base image and the wheels that a build takes.

No registry and no index are needed inside: the base is Debian, made by debootstrap from the
packages that apt offers here; the wheels are those of ``requirements/container.txt``, brought by
this machine's pip. Needs root, as debootstrap does.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT
from tests.services import require

BASE = "localhost/studium-base"
IMAGE = "localhost/studium-under-test"

# Not more than this process may give; a machine without systemd keeps no timers for health checks.
_RUN = (
    "--network=none",
    "--cgroupns=host",
    "--ulimit=nofile=1024:1024",
    "--ulimit=nproc=1000:1000",
)
_PATH = f"{os.environ['PATH']}:/usr/sbin"


@dataclass(frozen=True)
class Podman:
    """A store of images and volumes in ``folder``."""

    folder: Path

    def __call__(self, *arguments: str | Path, code: int | None = 0) -> str:
        """What a command prints; it must end with ``code``, None for any."""
        done = subprocess.run(
            self._command(*map(str, arguments)), cwd=ROOT, capture_output=True, text=True
        )
        if code is not None:
            assert done.returncode == code, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout + (done.stderr if code else "")

    def run(self, *arguments: str | Path, code: int = 0) -> str:
        """``podman run`` without a network and without any health timer."""
        return self("run", "--rm", *_RUN, "--no-healthcheck", *arguments, code=code)

    def start(self, name: str, *arguments: str | Path) -> None:
        """A container that goes on until it is removed, with its health check, run on demand."""
        self("run", "--detach", f"--name={name}", *_RUN, "--health-interval=disable", *arguments)

    def build(self, wheels: Path, tag: str, code: int = 0) -> str:
        """Build ``deploy/Containerfile`` with nothing but the base and these wheels."""
        return self(
            "build", "--isolation=chroot", "--network=host", "--layers=false", "--format=docker",
            "--file=deploy/Containerfile", f"--build-arg=BASE={BASE}",
            "--build-arg=PIP_NO_INDEX=1", "--build-arg=PIP_FIND_LINKS=/wheels",
            f"--volume={wheels}:/wheels:ro", f"--tag={tag}", ".", code=code,
        )  # fmt: skip

    def import_base(self, folder: Path) -> None:
        """Make the base image of a root directory."""
        with subprocess.Popen(["tar", "-C", folder, "-c", "."], stdout=subprocess.PIPE) as tar:
            done = subprocess.run(
                self._command("import", "-", BASE), stdin=tar.stdout, capture_output=True, text=True
            )
        assert done.returncode == 0, done.stderr
        assert tar.returncode == 0

    def _command(self, *arguments: str) -> list[str]:
        return [
            "podman", f"--root={self.folder / 'store'}", f"--runroot={self.folder / 'run'}",
            "--storage-driver=overlay", "--cgroup-manager=cgroupfs",
            f"--runtime={shutil.which('runc', path=_PATH)}", *arguments,
        ]  # fmt: skip


@contextmanager
def own_podman() -> Iterator[Podman]:
    """Podman, with nothing in it; everything is removed in the end."""
    for program in ("podman", "runc", "debootstrap"):
        require(program, bool(shutil.which(program, path=_PATH)), f"apt-get install {program}")
    require("a user that may make a root directory", os.geteuid() == 0, "run this as root")
    folder = Path(tempfile.mkdtemp(prefix="podman-"))  # it takes 50 characters at most
    podman = Podman(folder)
    try:
        yield podman
    finally:
        podman("rm", "--all", "--force", "--time=0", code=None)
        podman("rmi", "--all", "--force", code=None)
        podman("volume", "rm", "--all", "--force", code=None)
        # Podman mounts the folder of its layers upon itself.
        subprocess.run(["umount", "--lazy", folder / "store" / "overlay"], capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def make_debian(folder: Path) -> Path:
    """A root directory with Debian and its Python."""
    debootstrap = shutil.which("debootstrap", path=_PATH)
    assert debootstrap
    run(debootstrap, "--variant=minbase", "--include=python3,python3-venv", "bookworm", folder)
    return folder


def fetch_wheels(folder: Path) -> Path:
    """The wheels for Debian's Python, each compared with its hash."""
    run(sys.executable, "-m", "venv", folder / "pip")
    run(
        folder / "pip" / "bin" / "pip", "download", "--quiet", "--no-deps", "--require-hashes",
        "--only-binary=:all:", "--python-version=3.11", f"--dest={folder / 'wheels'}",
        f"--requirement={ROOT / 'requirements' / 'container.txt'}",
    )  # fmt: skip
    return folder / "wheels"


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(
        [str(part) for part in command], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, **(env or {})},
    )  # fmt: skip
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
