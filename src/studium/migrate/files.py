"""Which log files an old line names: roots with regular expressions, globs or a list of files
(specs/edx-activity-video-answers §0.1)."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from studium.errors import SourceError, UsageError
from studium.sources.edx.files import find_files


def read_list(values: Iterable[str], name: str) -> list[str]:
    """The entries of a list option: JSON lists, or plain texts, which count as lists of one."""
    found: list[str] = []
    for value in values:
        if not value.lstrip().startswith("["):
            found += [value]
            continue
        try:
            entries = json.loads(value)
        except ValueError:
            raise UsageError(
                f"{name} {value} is not a JSON list.",
                """Write '["a", "b"]', in single quotes so that the shell leaves it alone.""",
            ) from None
        if not all(isinstance(entry, str) for entry in entries):
            raise UsageError(f"{name} {value} holds what is no text.", "Write texts.")
        found += entries
    return found


def local_path(text: str, name: str) -> str:
    """A path of this machine, absolute; a UsageError for one of another store."""
    scheme, separator, rest = text.partition("://")
    if separator and scheme != "file":
        raise UsageError(
            f"{name} {text} is not on this machine.", f"Copy it here and give its path to {name}."
        )
    return os.path.abspath(os.path.expanduser(rest if separator else text))


def choose_root(text: str, name: str) -> str:
    """A root of logs as ``edx.source`` takes it: an absolute path, or a URL of a store."""
    scheme, separator, _ = text.partition("://")
    if not separator or scheme == "file":
        return local_path(text, name).rstrip("/") or "/"
    if scheme in ("s3n", "s3a", "s3+https"):
        return f"s3://{text.partition('://')[2]}"
    if scheme != "s3":
        raise UsageError(
            f"{name} {text}: Studium does not read {scheme}://.",
            "Copy the logs to a folder or to S3, or mount them.",
        )
    return text


def choose_files(roots: Sequence[str], patterns: Sequence[str], globs: Sequence[str]) -> list[str]:
    """What to read: the roots themselves, or the files below them that fit.

    ``patterns`` are regular expressions for the whole path, anchored at its start only; ``globs``
    are for the path below the root, where ``*`` also stands for ``/``. SourceError if none fits.
    """
    wanted = [_compiled(pattern) for pattern in patterns]
    some = [glob for glob in globs if glob != "*"] if "*" not in globs else []
    if not wanted and not some:
        return list(roots)
    chosen: list[str] = []
    for root in roots:
        for file in find_files([root]):
            below = file.path.removeprefix(root).lstrip("/")
            fits = not wanted or any(one.match(file.path) for one in wanted)
            if fits and (not some or any(fnmatchcase(below, glob) for glob in some)):
                chosen.append(file.path)
    if not chosen:
        raise SourceError(
            f"no file below {', '.join(roots)} fits {', '.join((*patterns, *some))}.",
            "A regular expression has to fit the whole path from its start, a glob the path below "
            "the root.",
        )
    return list(dict.fromkeys(chosen))


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UsageError(
            f"--pattern {pattern} is not a regular expression: {error}.", "Correct it."
        ) from None


def read_manifest(path: str) -> list[str] | None:
    """The files listed in ``path``, one a line; None if there is no such file."""
    try:
        lines = Path(local_path(path, "--manifest")).read_text("utf-8").splitlines()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"--manifest {path} cannot be read: {error}.", "Check it.") from None
    return [choose_root(line.strip(), "--manifest") for line in lines if line.strip()]
