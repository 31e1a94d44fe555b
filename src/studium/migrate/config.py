"""The configuration files of the old pipeline: sections, keys, ``%(…)s``, later files first."""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from studium.errors import UsageError

_SECTION = re.compile(r"\[([^]]+)\]")
_KEY = re.compile(r"([^\s#;\[=:][^=:]*?)\s*(?:[=:]|$)")


@dataclass(frozen=True)
class Entry:
    """A value with its place; ``%(…)s`` in it is filled in if it can be."""

    section: str
    key: str
    value: str
    file: str
    line: int

    @property
    def name(self) -> str:
        return f"[{self.section}] {self.key}"

    @property
    def place(self) -> str:
        return f"{self.file}, line {self.line}"


Config = Mapping[tuple[str, str], Entry]
"""Entries by section and key, in the order of the first file that has them."""


def read_config(paths: Sequence[Path]) -> Config:
    """All entries of the files; where several have one, the last of them counts. Raises UsageError
    for a file that cannot be read or is no configuration."""
    # As Python 2 read them: duplicates allowed, "; " begins a comment anywhere.
    parser = configparser.ConfigParser(
        strict=False, inline_comment_prefixes=(";",), allow_no_value=True
    )
    places: dict[tuple[str, str], tuple[str, int]] = {}
    for path in paths:
        try:
            text = path.read_text("utf-8-sig")
            parser.read_string(text, str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} cannot be read: {error}.", "Check the path.") from None
        except configparser.Error as error:  # its text quotes lines, which may hold a password
            number = getattr(error, "lineno", None) or getattr(error, "errors", [(0,)])[0][0]
            raise UsageError(
                f"{path}, line {number}: neither [section] nor key = value.",
                "Give a configuration of the edX pipeline, such as override.cfg.",
            ) from None
        for place, number in _lines(text).items():
            places[place] = (path.name, number)
    return {
        (section, key): Entry(section, key, _value(parser, section, key), *place)
        for (section, key), place in places.items()
    }


def _lines(text: str) -> dict[tuple[str, str], int]:
    """Section and key → the line that says it, counted from 1."""
    found: dict[tuple[str, str], int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if match := _SECTION.match(line):
            section = match[1]
        elif match := _KEY.match(line):
            found[section, match[1].rstrip().lower()] = number
    return found


def _value(parser: configparser.ConfigParser, section: str, key: str) -> str:
    try:
        value = (
            parser.defaults().get(key)
            if section == parser.default_section
            else parser.get(section, key)
        )
    except configparser.InterpolationError:  # "%Y%m%d", or a name that is not there
        value = parser.get(section, key, raw=True)
    return (value or "").strip()
