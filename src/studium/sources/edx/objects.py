"""Tracking logs in S3: which there are, and their bytes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO

from studium.s3 import Address, Object, Waits, list_folder, list_objects, look_at, open_object

if TYPE_CHECKING:
    from studium.sources.edx.files import SourceFile

_WILD = re.compile(r"[*?\[]")


def find_objects(source: str, waits: Waits) -> list[Object]:
    """Objects named by an address, a glob in it (``**`` works) or a prefix (read recursively), in
    the order of their keys. As on a disk, names that begin with a dot are left out of the latter
    two; and so are empty objects, most of which stand for folders."""
    address = Address.parse(source)
    if _WILD.search(address.key):
        found = _matching(address, waits)
    else:
        one = look_at(address, waits) if address.key else None
        if one is not None:
            return [one]
        found = [one for one in list_objects(address, waits) if not _hidden(one.address.key)]
    return sorted((one for one in found if one.size), key=lambda one: one.address.key)


def open_log(file: SourceFile, waits: Waits) -> BinaryIO:
    """The bytes of a log in S3 (`studium.s3.open_object`)."""
    return open_object(Object(Address.parse(file.path), file.size, file.etag), waits)


def _matching(address: Address, waits: Waits) -> list[Object]:
    head = address.key[: _WILD.search(address.key).start()]  # type: ignore[union-attr]
    folder, _, _ = head.rpartition("/")
    pattern = glob_pattern(address.key)
    if "/" in address.key[len(folder) :].strip("/"):
        objects = list(list_objects(address.at(folder), waits))
    else:
        _, objects = list_folder(address.at(folder), waits)
    return [one for one in objects if pattern.fullmatch(one.address.key)]


def _hidden(key: str) -> bool:
    return key.rsplit("/", 1)[-1].startswith(".")


def glob_pattern(glob: str) -> re.Pattern[str]:
    """A glob over keys as a regular expression: ``*`` and ``?`` stay within a folder and do not
    match a leading dot, ``**`` is any number of folders."""
    parts = glob.split("/")
    made = []
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            made.append("(?:(?!\\.)[^/]+/)*" + ("(?!\\.)[^/]+" if last else ""))
        else:
            made.append(_part(part) + ("" if last else "/"))
    return re.compile("".join(made), re.DOTALL)


def _part(part: str) -> str:
    made = "" if part.startswith(".") else "(?!\\.)"
    for piece in re.split(r"(\*+|\?|\[[^\]]+\])", part):
        if piece.startswith("*"):
            made += "[^/]*"
        elif piece == "?":
            made += "[^/]"
        elif piece.startswith("[") and piece.endswith("]"):
            inner = piece[1:-1].replace("\\", "\\\\")
            made += f"[^{inner[1:]}]" if inner.startswith("!") else f"[{inner}]"
        else:
            made += re.escape(piece)
    return made
