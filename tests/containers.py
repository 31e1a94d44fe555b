"""A storage of containers in a folder of its own, and a small image made of busybox.

No registry is asked. Needs root, as mounting layers does.
"""

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from studium.jobs.launchers.container.images import find_image
from studium.jobs.launchers.container.probe import probe
from studium.jobs.launchers.container.runtime import Runtime, call, run_folder, which
from tests.services import require

BUSYBOX = "localhost/busybox"
APPLETS = (
    *("cat", "chmod", "chown", "dd", "echo", "env", "false", "grep", "head", "id", "ln", "ls"),
    *("mkdir", "mknod", "mount", "nc", "nslookup", "ping", "ps", "rm", "seq", "setsid", "sh"),
    *("sleep", "stat", "su", "tail", "test", "timeout", "touch", "tr", "true", "umount"),
    *("unshare", "wc", "wget", "yes"),
)
ACCOUNTS = "root:x:0:0::/:/bin/sh\nmysql:x:999:999::/var/lib/mysql:/bin/sh\n"


@contextmanager
def storage_in(folder: Path) -> Iterator[Runtime]:
    """Podman as the probe finds it, with the busybox image; nothing is left in the end."""
    require("podman", bool(which("podman")), "apt-get install podman runc")
    require("busybox", Path("/bin/busybox").is_file(), "apt-get install busybox-static")
    require("a user that may mount layers", os.geteuid() == 0, "run this as root")
    podman = Runtime("podman", which("podman") or "", folder)
    try:
        found = probe(podman)
        assert found.runtime, found.reason
        done = call(found.runtime.command("import", "-", BUSYBOX), give=busybox_archive())
        assert done.returncode == 0, done.stderr
        yield found.runtime
    finally:
        call(podman.command("rm", "--all", "--force", "--time=0"))
        # Podman mounts the folder of its layers upon itself.
        subprocess.run(["umount", "--lazy", folder / "store" / "overlay"], capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(run_folder(folder), ignore_errors=True)


@pytest.fixture(scope="session")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """Podman with the busybox image in a storage of this session."""
    with storage_in(tmp_path_factory.mktemp("containers")) as runtime:
        yield runtime


def digest_of(runtime: Runtime, name: str = BUSYBOX) -> str:
    """The digest of an image that is there."""
    digest = find_image(runtime, name)
    assert digest
    return digest


@cache
def busybox_archive() -> bytes:
    """A root directory with busybox, a user ``mysql`` and a folder of hers, as a tar file."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:

        def add(name: str, content: bytes = b"", mode: int = 0o755, owner: int = 0) -> None:
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uid, info.gid = len(content), mode, owner, owner
            info.type = tarfile.REGTYPE if content else tarfile.DIRTYPE
            tar.addfile(info, io.BytesIO(content))

        for folder in ("bin", "dev", "etc", "proc", "run", "sys", "var", "var/lib"):
            add(folder)
        add("tmp", mode=0o1777)
        add("var/lib/mysql", owner=999, mode=0o700)
        add("etc/passwd", ACCOUNTS.encode(), mode=0o644)
        add("bin/busybox", Path("/bin/busybox").read_bytes())
        for applet in APPLETS:
            info = tarfile.TarInfo(f"bin/{applet}")
            info.type, info.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(info)
    return archive.getvalue()
