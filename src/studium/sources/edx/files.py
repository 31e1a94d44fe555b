"""Which tracking-log files there are, and which of them an interval needs."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from studium.clock import Interval
from studium.errors import SourceError, UsageError
from studium.s3 import DEFAULT_WAITS, Waits, is_s3
from studium.sources.edx.objects import find_objects
from studium.state.manifest import FileRow


@dataclass(frozen=True)
class SourceFile:
    """A file as the listing saw it. ``size`` in bytes, ``mtime_ns`` in nanoseconds; an object in
    S3 has an ``etag`` in place of a time, as a copy of it has another time."""

    path: str
    size: int
    mtime_ns: int | None
    etag: str | None = None
    # Of a log that is followed: where its next lines lie, and the manifest of those before.
    place: str = ""
    earlier: FileRow | None = None

    @property
    def file_id(self) -> int:
        """Stable number of the path, 60 bits: what events carry instead of the path."""
        return file_id(self.path)


def file_id(path: str) -> int:
    return int(hashlib.md5(path.encode()).hexdigest()[:15], 16)


def find_files(sources: Sequence[str], waits: Waits = DEFAULT_WAITS) -> list[SourceFile]:
    """Files named by paths, globs (``**`` works) and folders (read recursively), each once; here
    and in S3.

    A source that names nothing is an error: a nightly job must not succeed on a typo.
    """
    found: dict[str, SourceFile] = {}
    for source in sources:
        if is_s3(source):
            found |= {file.path: file for file in _objects(source, waits)}
            continue
        paths = sorted(_expand(source))
        if not paths:
            raise _nothing(source)
        for path in paths:
            absolute = os.path.abspath(path)
            _check_name(absolute)
            if absolute not in found:
                found[absolute] = _look_at(absolute)
    return list(found.values())


def _objects(source: str, waits: Waits) -> list[SourceFile]:
    objects = find_objects(source, waits)
    if not objects:
        raise _nothing(source)
    return [SourceFile(str(one.address), one.size, None, one.etag) for one in objects]


def _nothing(source: str) -> SourceError:
    hint = "Check the path, or quote the glob so that the shell leaves it to Studium."
    if "://" in source and not is_s3(source):
        hint = "Files are read from this machine, and from S3 (s3://bucket/prefix)."
    return SourceError(f"no file matches {source}.", hint)


def _check_name(path: str) -> None:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise SourceError(
            f"the name of the file {os.fsencode(path)!r} is not UTF-8, so it cannot be recorded.",
            "Rename it.",
        ) from None


def _look_at(path: str) -> SourceFile:
    try:
        status = os.stat(path)
    except OSError:  # a link to nothing, or rotated away meanwhile: reading it will say so
        return SourceFile(path, 0, 0)
    return SourceFile(path, status.st_size, status.st_mtime_ns)


def _expand(source: str) -> Iterable[str]:
    source = os.path.expanduser(source)
    for match in [source] if os.path.lexists(source) else glob.glob(source, recursive=True):
        if os.path.isdir(match):
            yield from _files_below(match)
        else:
            yield match


def _files_below(folder: str) -> Iterable[str]:
    """Links to folders are followed, each folder once."""
    seen = {os.path.realpath(folder)}
    for place, folders, names in os.walk(folder, onerror=_refuse_folder, followlinks=True):
        for name in list(folders):
            target = os.path.realpath(os.path.join(place, name))
            if target in seen:
                folders.remove(name)
            seen.add(target)
        for name in names:
            # Hidden files are unfinished copies of rsync and the like.
            if not name.startswith("."):
                yield os.path.join(place, name)


def _refuse_folder(error: OSError) -> None:
    raise SourceError(
        f"the folder {error.filename} cannot be listed: {error.strerror}.",
        "Give Studium the right to read it, or name the files in it.",
    )


@dataclass(frozen=True)
class DateInName:
    """How a file name tells its day (specs/edx-enrollment-geography §1.9).

    ``pattern`` has a named group ``date``, read by ``format``, or ``timestamp`` (Unix seconds).
    Files whose name tells no day are always looked at.
    """

    pattern: str
    format: str
    window_days: int

    def compile(self) -> re.Pattern[str]:
        try:
            pattern = re.compile(self.pattern)
        except re.error as error:
            raise UsageError(
                f"edx.date_pattern is not a regular expression: {error} in {self.pattern!r}."
            ) from error
        if not {"date", "timestamp"} & set(pattern.groupindex):
            raise UsageError(
                f"edx.date_pattern {self.pattern!r} has no group (?P<date>…) or (?P<timestamp>…)."
            )
        return pattern


def select_files(
    files: Iterable[SourceFile], interval: Interval, naming: DateInName
) -> list[SourceFile]:
    """Files that can hold events of ``interval``: rotated logs are named by rotation time and
    events arrive late, so the window is wider by ``naming.window_days`` on both sides."""
    window = interval.widen(naming.window_days)
    pattern = naming.compile()
    return [
        file
        for file in files
        if (day := day_in_name(file.path, pattern, naming.format)) is None or day in window
    ]


def day_in_name(path: str, pattern: re.Pattern[str], form: str) -> date | None:
    """The day in the file's name, or ``None`` if there is none or it is no date."""
    match = pattern.search(os.path.basename(path))
    if match is None:
        return None
    groups = match.groupdict()
    try:
        if groups.get("date"):
            return datetime.strptime(groups["date"], form).date()
        if groups.get("timestamp"):
            return datetime.fromtimestamp(int(groups["timestamp"]), UTC).date()
    except (ValueError, OverflowError):
        return None
    return None


def look_back(interval: Interval, days: int) -> Interval:
    """The last ``days`` days of ``interval``, not reaching before its start."""
    return Interval(interval.until - timedelta(days=min(days, len(interval))), interval.until)
