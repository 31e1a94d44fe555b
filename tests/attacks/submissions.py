"""Attacks by what is submitted: each case, and what it does to somebody who takes it."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.attacks.naive import copy_out, unpack


@dataclass(frozen=True)
class Submitted:
    """``make`` gives a zip or folder; ``free`` says whether it had whoever unpacks it."""

    name: str
    tries: str
    guard: str
    make: Callable[[Path], Path]
    free: Callable[[Path, Path], bool]


def _zip(folder: Path, *members: tuple[str, bytes], mode: int = 0) -> Path:
    path = folder / "code.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.filename = name  # as it is: ZipInfo makes it harmless
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return path


def _unpacks(place: str) -> Callable[[Path, Path], bool]:
    """Something is there, outside the target or within it, once it was unpacked."""

    def free(source: Path, target: Path) -> bool:
        unpack(source, target)
        return os.path.lexists(target / place)

    return free


def _absolute(folder: Path) -> Path:
    return _zip(folder, (f"{folder}/naive/evil", b"x"))


def _large(source: Path, target: Path) -> bool:
    size = source.stat().st_size
    unpack(source, target)
    return sum(path.stat().st_size for path in target.rglob("*")) > 100 * size


def _nested(source: Path, target: Path) -> bool:
    """More files than a disk of the size has room for."""
    with zipfile.ZipFile(source) as archive:
        return len(archive.infolist()) > 20_000


def _is_run(source: Path, target: Path) -> bool:
    unpack(source, target)
    (name,) = os.listdir(target)
    subprocess.run(f"cat {name}", shell=True, cwd=target, capture_output=True, check=False)
    return (target / "owned").exists()


def _tar(folder: Path) -> Path:
    path = folder / "code.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("../evil")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    return path


def _untar(source: Path, target: Path) -> bool:
    with tarfile.open(source) as archive:
        for one in archive:
            content = archive.extractfile(one)
            assert content
            (target / one.name).write_bytes(content.read())
    return (target.parent / "evil").exists()


def _folder_with(make: Callable[[Path, Path], None]) -> Callable[[Path], Path]:
    def made(folder: Path) -> Path:
        source = folder / "source"
        source.mkdir()
        (folder / "elsewhere").mkdir()
        (folder / "elsewhere" / "secret").write_text("secret")
        (source / "main.py").write_text("print(1)\n")
        make(source, folder / "elsewhere")
        return source

    return made


def _carries(source: Path, target: Path) -> bool:
    copy_out(source, target)
    return any(path.read_text() == "secret" for path in target.rglob("*") if path.is_file())


def _waits(source: Path, target: Path) -> bool:
    done = subprocess.Popen(["cat", source / "pipe"], stdout=subprocess.DEVNULL)
    try:
        done.wait(0.3)
    except subprocess.TimeoutExpired:
        return True
    finally:
        done.kill()
        done.wait()
    return False


_NAMES = "plain relative names only"
CASES = (
    Submitted(
        "zip_up", "A zip with a member above the folder", _NAMES,
        lambda folder: _zip(folder, ("../evil", b"x")), _unpacks("../evil"),
    ),
    Submitted(
        "zip_absolute", "A zip with an absolute member", _NAMES, _absolute, _unpacks("../evil")
    ),
    Submitted(
        "zip_link", "A zip with a link to a file of the machine", "plain files only",
        lambda folder: _zip(folder, ("link", b"/etc/passwd"), mode=stat.S_IFLNK | 0o777),
        _unpacks("link"),
    ),
    Submitted(
        "zip_through_link", "A zip with a link to a folder, and a member behind it",
        "plain files only",
        lambda folder: _zip(folder, ("d", b".."), ("d/evil", b"x"), mode=stat.S_IFLNK | 0o777),
        lambda source, target: _through_link(source, target),
    ),
    Submitted(
        "zip_bomb", "A zip that unpacks to far more than it is",
        "bytes are counted as they come",
        lambda folder: _zip(folder, ("zeros", bytes(2**24))), _large,
    ),
    Submitted(
        "zip_many", "A zip with 20,001 members", "members are counted",
        lambda folder: _zip(folder, *((f"{n}", b"") for n in range(20_001))), _nested,
    ),
    Submitted(
        "zip_command", "A name that is a command and ends with a line break", _NAMES,
        lambda folder: _zip(folder, (";touch owned\n", b"x")), _is_run,
    ),
    Submitted(
        "zip_long", "A path of 10,000 characters", _NAMES,
        lambda folder: _zip(folder, ("/".join(["x" * 99] * 100), b"x")),
        lambda source, target: _is_too_long(source, target),
    ),
    Submitted(
        "zip_backward", "A name that is shown as another (right-to-left override)", _NAMES,
        lambda folder: _zip(folder, ("a\u202eyp.nrael", b"x")), _unpacks("a\u202eyp.nrael"),
    ),
    Submitted(
        "zip_folded", "Two names that are one where case does not count",
        "names are compared folded",
        lambda folder: _zip(folder, ("main.py", b"shown"), ("MAIN.py", b"run")),
        _unpacks("MAIN.py"),
    ),
    Submitted("tar_up", "A tar file with a member above the folder", "no tar files", _tar, _untar),
    Submitted(
        "folder_link", "A folder with a link to a file of the machine",
        "links that leave the folder are refused",
        _folder_with(lambda source, folder: (source / "link").symlink_to(folder / "secret")),
        _carries,
    ),
    Submitted(
        "folder_link_folder", "A folder with a link to a folder of the machine",
        "links to folders are refused",
        _folder_with(lambda source, folder: (source / "link").symlink_to(folder)), _carries,
    ),
    Submitted(
        "folder_pipe", "A folder with a pipe, for which its reader waits for ever",
        "plain files only",
        _folder_with(lambda source, folder: os.mkfifo(source / "pipe")), _waits,
    ),
)  # fmt: skip


def _through_link(source: Path, target: Path) -> bool:
    with zipfile.ZipFile(source) as archive:
        (target / "d").symlink_to(archive.read("d").decode())
        (target / "d" / "evil").write_bytes(archive.read("d/evil"))
    return (target.parent / "evil").exists()


def _is_too_long(source: Path, target: Path) -> bool:
    try:
        unpack(source, target)
    except OSError as error:
        return "too long" in str(error)
    return False
