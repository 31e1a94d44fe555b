"""What an answer says: JSON as it was sent → the text that answers are compared and shown by.

`specs/edx-activity-video-answers` §3.5 (canonical text), §4.1 (cleaning).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_WHOLE = re.compile(r"[+-]?[0-9]{1,10}")
_LARGEST = 2**31
_DEEPEST = 20
"""Lists within lists that are taken apart; no problem has any."""

Value = str | list["Value"]
"""A text, or a list of them: all that an answer can be."""


def read_value(text: str) -> Value:
    """The text, or list of texts, that a JSON text stands for.

    Numbers stay as they are written, ``true`` is ``True``, nothing is the empty text, and an object
    is its JSON.
    """
    try:
        return _plain(json.loads(text, parse_int=str, parse_float=str, parse_constant=str))
    except (ValueError, RecursionError):
        return text


def _plain(found: object, depth: int = 0) -> Value:
    if isinstance(found, str):
        return _stored(found)
    if isinstance(found, list) and depth < _DEEPEST:
        return [_plain(item, depth + 1) for item in found]
    if found is None:
        return ""
    if isinstance(found, list | dict):
        return _stored(json.dumps(found, ensure_ascii=False))
    return str(found)


def _stored(text: str) -> str:
    # Half of a surrogate pair is no character that could be stored.
    return text.encode("utf-8", "replace").decode("utf-8")


def join_value(value: Value, tidy: Callable[[str], str]) -> str:
    """The value as one text, each text in it made ``tidy``: a list is ``[a|b|c]``, in its order."""
    if isinstance(value, str):
        return tidy(value)
    return f"[{'|'.join(join_value(item, tidy) for item in value)}]"


def list_texts(value: Value) -> list[str]:
    """The value as a list of texts."""
    if isinstance(value, str):
        return [value]
    return [item if isinstance(item, str) else join_value(item, str) for item in value]


def strip_markup(text: str) -> str:
    """The words between the tags of HTML, one blank between them; as a browser reads it."""
    if "<" not in text and "&" not in text:
        return " ".join(text.split())
    from selectolax.lexbor import LexborHTMLParser

    root = LexborHTMLParser(text).root
    found = root.text(deep=True, separator=" ") if root is not None else ""
    return " ".join(found.split())


def clean(text: str, pattern: re.Pattern[str] | None) -> str:
    """Each run of white space as one blank, then without what ``pattern`` finds; blanks around that
    stay."""
    tidy = re.sub(r"\s+", " ", text)
    return pattern.sub("", tidy) if pattern else tidy


def read_number(text: str) -> float | None:
    """The number that a text is, in whatever notation Python knew in 2014; never infinite."""
    if not _NUMBER.fullmatch(text.strip()):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def read_whole(text: str) -> int | None:
    """The whole number of 32 bits that a text is; 0 is none, as a variant."""
    if not _WHOLE.fullmatch(text):
        return None
    number = int(text)
    return number if number and -_LARGEST <= number < _LARGEST else None
