"""Where the files of tables are: in a folder, or in S3 with copies here for the engines to read."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import orjson

from studium.errors import LakeError, StudiumError
from studium.s3 import Mirror, delta_options, explain, list_folder, list_objects

_BLOCK = 1 << 20
_COMMIT = re.compile(r"\d{20}\.json")
_ABOUT = b'{"commitInfo":'
_BUILD = re.compile(r"\d{8}-[0-9a-f]{6}")


class Place(Protocol):
    """The tables of a lake, each below its name. ``folder`` is where engines find their files;
    ``options`` are for ``deltalake``."""

    folder: Path
    options: dict[str, str] | None

    def names(self) -> list[str]:
        """Tables that exist, sorted."""
        ...

    def uri(self, name: str) -> str:
        """The table's place as ``deltalake`` and people know it."""
        ...

    def may_exist(self, name: str) -> bool:
        """False if the table certainly does not exist, told without asking Delta."""
        ...

    def newest(self, name: str) -> object | None:
        """What differs after every commit; None if that cannot be told without asking Delta."""
        ...

    def last_build(self, name: str) -> str:
        """The build of the last commit; empty if it has none, or is not at hand."""
        ...

    def begin(self, name: str) -> None:
        """Make room for a new table."""
        ...

    def put(self, name: str, files: Sequence[tuple[Path, str]]) -> None:
        """Bring files in, each to a path in the table's folder. They are durable afterwards."""
        ...

    def paths(self, name: str, files: Sequence[tuple[str, int]]) -> tuple[str, ...]:
        """Where engines can read files (path in the table's folder, size) until `release`."""
        ...

    def sizes(self, name: str) -> Mapping[str, int]:
        """Every Parquet file in the table's folder, committed or not: path → bytes."""
        ...

    def drop(self, name: str, files: Sequence[str]) -> None:
        """Forget what is kept here of files that were deleted."""
        ...

    def release(self) -> None:
        """No path that was given so far is read any more."""
        ...

    def explain(self, name: str, error: Exception) -> StudiumError:
        """An error of Delta while a table was opened."""
        ...

    def refused(self, name: str, error: Exception) -> StudiumError:
        """An error of Delta while a table was to be changed, which is as it was."""
        ...


class FolderPlace:
    """A folder of this machine."""

    options: dict[str, str] | None = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        if not self.folder.is_dir():
            return []
        return sorted(
            entry.name for entry in self.folder.iterdir() if (entry / "_delta_log").is_dir()
        )

    def uri(self, name: str) -> str:
        return str(self.folder / name)

    def may_exist(self, name: str) -> bool:
        return (self.folder / name / "_delta_log").is_dir()

    def newest(self, name: str) -> object | None:
        """The last file of the log: its name, and of which file, as a table may be made anew."""
        try:
            with os.scandir(self.folder / name / "_delta_log") as found:
                entries = [entry for entry in found if _COMMIT.fullmatch(entry.name)]
            if not entries:
                return None
            last = max(entries, key=lambda entry: entry.name)
            about = last.stat()
        except OSError:
            return None
        return last.name, about.st_ino, about.st_mtime_ns, about.st_size

    def last_build(self, name: str) -> str:
        log = self.folder / name / "_delta_log"
        try:
            newest = max(file for file in os.listdir(log) if _COMMIT.fullmatch(file))
            with (log / newest).open("rb") as commit:
                found = [orjson.loads(line)["commitInfo"] for line in commit if _ABOUT in line]
            build = str(found[0]["build"])
        except (OSError, ValueError, LookupError, TypeError):
            return ""  # whoever reads the table is told what is wrong with it
        return build if _BUILD.fullmatch(build) else ""

    def begin(self, name: str) -> None:
        (self.folder / name).mkdir(parents=True, exist_ok=True)

    def put(self, name: str, files: Sequence[tuple[Path, str]]) -> None:
        for file, path in files:
            target = self.folder / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            _move_in(file, target)

    def paths(self, name: str, files: Sequence[tuple[str, int]]) -> tuple[str, ...]:
        folder = self.folder / name
        return tuple(str(folder / path) for path, _ in files)

    def sizes(self, name: str) -> Mapping[str, int]:
        folder = self.folder / name
        return {
            relative.as_posix(): path.stat().st_size
            for path in folder.rglob("*.parquet")
            if (relative := path.relative_to(folder)).parts[0] != "_delta_log" and path.is_file()
        }

    def drop(self, name: str, files: Sequence[str]) -> None: ...

    def release(self) -> None: ...

    def explain(self, name: str, error: Exception) -> StudiumError:
        return _unreadable(name, self.uri(name), error)

    def refused(self, name: str, error: Exception) -> StudiumError:
        return _unchanged(name, error, "Check the disk and the rights on the lake")


class BucketPlace:
    """A prefix in S3."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self.folder = mirror.folder
        self.options: dict[str, str] | None = delta_options(mirror.waits)

    def names(self) -> list[str]:
        address, waits = self._mirror.address, self._mirror.waits
        folders, _ = list_folder(address, waits)
        return sorted(
            name
            for name in folders
            if next(list_objects(address / name / "_delta_log", waits), None) is not None
        )

    def uri(self, name: str) -> str:
        return str(self._mirror.address / name)

    def may_exist(self, name: str) -> bool:
        return True

    def newest(self, name: str) -> object | None:
        return None

    def last_build(self, name: str) -> str:
        return ""

    def begin(self, name: str) -> None: ...

    def put(self, name: str, files: Sequence[tuple[Path, str]]) -> None:
        self._mirror.put([(file, f"{name}/{path}") for file, path in files])

    def paths(self, name: str, files: Sequence[tuple[str, int]]) -> tuple[str, ...]:
        try:
            found = self._mirror.paths([(f"{name}/{path}", size) for path, size in files])
        except FileNotFoundError:
            raise LakeError(
                f"a file of table {name} is missing in {self.uri(name)}.", "Run `studium doctor`."
            ) from None
        return tuple(str(path) for path in found)

    def sizes(self, name: str) -> Mapping[str, int]:
        return {
            path: size
            for path, size in self._mirror.sizes(name).items()
            if path.endswith(".parquet") and not path.startswith("_delta_log/")
        }

    def drop(self, name: str, files: Sequence[str]) -> None:
        self._mirror.drop([f"{name}/{path}" for path in files])

    def release(self) -> None:
        self._mirror.release()

    def explain(self, name: str, error: Exception) -> StudiumError:
        if _is_of_s3(error):
            return explain(self.uri(name), error)
        return _unreadable(name, self.uri(name), error)

    def refused(self, name: str, error: Exception) -> StudiumError:
        if _is_of_s3(error):
            return explain(self.uri(name), error)
        return _unchanged(name, error, "See whether another site writes to the same lake")


def _is_of_s3(error: Exception) -> bool:
    return "S3 error" in str(error) or isinstance(error, OSError)


def _unreadable(name: str, uri: str, error: Exception) -> LakeError:
    return LakeError(
        f"the Delta log of table {name} in {uri} cannot be read: {str(error).splitlines()[0]}.",
        "Run `studium doctor`.",
    )


def _unchanged(name: str, error: Exception, check: str) -> LakeError:
    return LakeError(
        f"table {name} could not be changed: {str(error).splitlines()[0]}.",
        f"It is as it was. {check}, then run again.",
    )


def _move_in(file: Path, target: Path) -> None:
    sync(file)
    try:
        os.replace(file, target)
    except OSError:  # another file system: copy under a name nobody reads, then rename
        partial = target.with_name(f".{target.name}")
        shutil.copyfile(file, partial)
        sync(partial)
        os.replace(partial, target)
        file.unlink()
    sync(target.parent)


def sync(path: Path) -> None:
    """Flush a file or folder to disk: a commit must not outlive its files in a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def checksum(path: Path) -> str:
    """CRC-32 of a file's bytes, 8 hexadecimal digits: part of its name, so that a byte that changed
    is found whatever Parquet makes of it."""
    from isal import isal_zlib

    value = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            value = isal_zlib.crc32(block, value)
    return f"{value:08x}"
