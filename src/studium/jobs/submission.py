"""Taking in code: a folder or a zip becomes ``code/`` in the job's folder, with a fingerprint.

Nothing of a submission is trusted: only plain files are taken, under names that are plain too, and
not more than the site allows, counted while bytes arrive and not as an archive declares them
(specs/jobs-hpc §7.28–29).
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import re
import shutil
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from studium.errors import JobError
from studium.jobs.folder import JobFolder, make_readable, write_whole
from studium.jobs.quantities import show_bytes

MAX_FILES = 10_000
MAX_DEPTH = 32
MAX_RATIO = 200
"""Bytes of an archive's member for each that is stored, beyond which it is a bomb."""

LEFT_OUT = frozenset(
    {".git", ".hg", ".svn", ".bzr", "__pycache__", ".venv", ".tox", ".nox", "node_modules"}
    | {".mypy_cache", ".pytest_cache", ".ruff_cache", ".ipynb_checkpoints", ".hypothesis"}
    | {".env", ".netrc", ".DS_Store", "Thumbs.db", ".Rhistory", ".RData", ".Rproj.user"}
)
"""Names that are left out wherever they are: history, caches, environments, secrets."""

_CHUNK = 1 << 20
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, ValueError,
)  # fmt: skip
_SMALL = 10 * 2**20  # bytes of a member below which its ratio does not matter


@dataclass(frozen=True, slots=True)
class CodeFile:
    """A file of a submission; ``path`` is relative, with ``/``."""

    path: str
    size: int
    sha256: str
    executable: bool


@dataclass(frozen=True, slots=True)
class Submission:
    """What was taken. ``fingerprint`` is the SHA-256 of names, modes and contents; ``left_out``
    names what was not taken on purpose."""

    fingerprint: str
    files: tuple[CodeFile, ...]
    left_out: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def take_code(source: Path, folder: JobFolder, limit: int) -> Submission:
    """Bring the folder or zip ``source``, of at most ``limit`` bytes, into a job's folder.

    Idempotent. Raises JobError that names the member for everything that is not taken.
    """
    partial = folder.path / ".code"
    shutil.rmtree(partial, ignore_errors=True)
    make_readable(partial)
    try:
        taken = _Taking(partial, limit)
        if source.is_dir():
            taken.folder(source)
        elif source.is_file():
            taken.archive(source)
        else:
            raise _refused(f"{source} is neither a folder nor a zip")
        made = taken.done()
        shutil.rmtree(folder.code, ignore_errors=True)
        partial.rename(folder.code)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    write_whole(folder.code_manifest, json.dumps(asdict(made), indent=2, ensure_ascii=False))
    return made


def read_submission(folder: JobFolder) -> Submission | None:
    """What was taken for a job; None if it has no code."""
    try:
        found = json.loads(folder.code_manifest.read_bytes())
        files = tuple(CodeFile(**one) for one in found["files"])
        return Submission(found["fingerprint"], files, tuple(found["left_out"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def source_of(base: Path, code: str) -> Path:
    """The folder or zip that ``code`` of a description in ``base`` means; JobError if that is not
    in ``base``: who submits names code of their own, not what else is on the machine."""
    source = (base / code).resolve()
    if not source.is_relative_to(base.resolve()):
        raise _refused(f"{code[:200]!a} is not below the folder of the description")
    return source


def list_folder(source: Path) -> tuple[list[tuple[str, int]], list[str]]:
    """What would be taken of a folder (path, bytes), and what would be left out."""
    left_out: list[str] = []
    found = [(name, path.stat().st_size) for name, path in _walk(source, "", left_out)]
    return found, left_out


class _Taking:
    """One submission on its way into ``target``."""

    def __init__(self, target: Path, limit: int) -> None:
        self.target, self.limit = target, limit
        self.files: list[CodeFile] = []
        self.left_out: list[str] = []
        self._seen: set[str] = set()
        self._bytes = 0

    def folder(self, source: Path) -> None:
        root = source.resolve()
        for name, path in _walk(root, "", self.left_out):
            self._expect(name)
            if not path.resolve().is_relative_to(root):
                raise _refused(f"{name!r} is a link that leads out of the folder")
            # Non-blocking: a pipe that took the file's place would be waited for.
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(handle, "rb") as file:
                status = os.fstat(handle)
                if not stat.S_ISREG(status.st_mode):
                    raise _refused(f"{name!r} is not a plain file")
                self._take(name, file, bool(status.st_mode & 0o100))

    def archive(self, source: Path) -> None:
        try:
            with zipfile.ZipFile(source) as archive:
                members = archive.infolist()
                if len(members) > 2 * MAX_FILES:
                    raise _refused(f"it has more than {MAX_FILES:,} files")
                start = _common_folder([one.filename for one in members])
                for one in members:
                    self._member(archive, one, start)
        except OSError as error:
            if error.errno is not None:  # of a disk; that of a damaged bzip2 stream has no number
                raise
            raise _refused(f"{source.name} is not a zip that can be read: {error}") from None
        except _DAMAGED as error:
            raise _refused(f"{source.name} is not a zip that can be read: {error}") from None

    def _member(self, archive: zipfile.ZipFile, one: zipfile.ZipInfo, start: str) -> None:
        kind = stat.S_IFMT(one.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _refused(f"{one.filename!r} is a link or a device")
        if one.flag_bits & 0x1:
            raise _refused(f"{one.filename!r} is encrypted")
        check_name(one.filename.removesuffix("/"))
        name = one.filename.removeprefix(start)
        if one.is_dir() or not name:
            return
        if LEFT_OUT & set(name.split("/")) or name.endswith(".pyc"):
            self.left_out.append(name)
            return
        self._expect(name)
        with archive.open(one) as file:
            most = max(_SMALL, one.compress_size * MAX_RATIO)
            self._take(name, file, bool(one.external_attr >> 16 & 0o100), most)

    def _expect(self, name: str) -> None:
        """A file comes; refused if there is one already on a file system that folds names."""
        check_name(name)
        folded = unicodedata.normalize("NFC", name).casefold()
        if folded in self._seen:
            raise _refused(f"{name!r} is there twice")
        self._seen.add(folded)
        if len(self._seen) > MAX_FILES:
            raise _refused(f"it has more than {MAX_FILES:,} files")

    def _take(self, name: str, file: IO[bytes], executable: bool, most: int | None = None) -> None:
        place = self.target / name
        try:
            make_readable(place.parent)
            handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except (FileExistsError, NotADirectoryError):
            raise _refused(f"{name!r} is a file and a folder at once") from None
        digest, size = hashlib.sha256(), 0
        with open(handle, "wb") as copy:
            while block := file.read(_CHUNK):
                size += len(block)
                self._bytes += len(block)
                if self._bytes > self.limit:
                    raise _refused(f"it has more than {show_bytes(self.limit)}")
                if most is not None and size > most:
                    raise _refused(f"{name!r} unpacks to far more than it is: a bomb")
                digest.update(block)
                copy.write(block)
            os.fchmod(copy.fileno(), 0o755 if executable else 0o644)
        self.files.append(CodeFile(name, size, digest.hexdigest(), executable))

    def done(self) -> Submission:
        if not self.files:
            raise _refused("it has no files")
        files = tuple(sorted(self.files, key=lambda one: one.path))
        lines = [f"{one.sha256} {int(one.executable)} {one.path}\n" for one in files]
        fingerprint = hashlib.sha256("".join(lines).encode()).hexdigest()
        return Submission(fingerprint, files, tuple(sorted(self.left_out)))


def check_name(name: str) -> None:
    """JobError unless a member's name is a plain relative path that can be shown."""
    parts = name.split("/")
    shown = ascii(name) if len(name) <= 120 else f"{name[:100]!a}…"
    if name.startswith("/") or "\\" in name or re.match(r"[A-Za-z]:", name):
        raise _refused(f"{shown} is an absolute path, or one of Windows")
    if any(part in ("", ".", "..") for part in parts):
        raise _refused(f"{shown} leads out of the folder, or nowhere")
    if (
        not name.isprintable()
        or len(parts) > MAX_DEPTH
        or len(name.encode(errors="replace")) > 1_000
    ):
        raise _refused(f"{shown} holds characters that cannot be shown, or is too long or too deep")
    if any(len(part.encode(errors="replace")) > 255 for part in parts):
        raise _refused(f"{shown} has a part of more than 255 bytes")


def _walk(folder: Path, before: str, left_out: list[str]) -> Iterator[tuple[str, Path]]:
    """Files below a folder in the order of their names; links to folders are not followed."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda one: one.name)
    for one in entries:
        name, path = f"{before}{one.name}", Path(one.path)
        if _is_left_out(path):
            left_out.append(name)
        elif one.is_dir(follow_symlinks=False):
            if name.count("/") > MAX_DEPTH:
                raise _refused(f"{name[:100]!a}… is too deep")
            yield from _walk(path, f"{name}/", left_out)
        elif one.is_symlink() and not path.is_file():
            raise _refused(f"{name!a} is a link to a folder, or to nothing")
        elif not one.is_file():
            raise _refused(f"{name!a} is not a plain file")
        else:
            yield name, path


def _is_left_out(path: Path) -> bool:
    if path.name in LEFT_OUT or path.name.endswith((".pyc", ".egg-info")):
        return True
    return path.is_dir() and (path / "pyvenv.cfg").exists()  # an environment of any name


def _common_folder(names: list[str]) -> str:
    """The one folder that everything is in, as in archives of a repository; empty if there is
    none, or files beside it."""
    tops = {name.partition("/")[0] for name in names}
    if len(tops) != 1 or any("/" not in name for name in names):
        return ""
    top = tops.pop()
    return "" if top in {"", ".", "..", *LEFT_OUT} else f"{top}/"


def _refused(why: str) -> JobError:
    return JobError(f"The code is not taken: {why}.", "Correct it and submit again.")
