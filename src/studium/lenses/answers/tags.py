"""Tags of a problem: names and values in the JSON that events carry.

`specs/edx-activity-video-answers` §4.5.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

_LONGEST = 255
"""Characters that readers have room for."""


def read_tags(text: str) -> list[tuple[str, str]]:
    """Names and values, each pair once; a list has a pair for each of its elements.

    What is no text, number or truth is no tag, nor what is longer than readers have room for.
    """
    try:
        found = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError):
        return []
    return list(dict.fromkeys(_pairs(found))) if isinstance(found, dict) else []


def _pairs(tags: dict[str, object]) -> Iterator[tuple[str, str]]:
    for name, values in tags.items():
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, str | bool):
                pair = (_stored(name), _stored(str(value)))
                if max(map(len, pair)) <= _LONGEST:
                    yield pair


def _stored(text: str) -> str:
    # Half of a surrogate pair is no character that could be stored.
    return text.encode("utf-8", "replace").decode("utf-8")
