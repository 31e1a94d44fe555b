"""A second look at lines that DuckDB's parser refuses but Python's accepts.

The case that occurs: the LMS cuts texts at 512 or 2,043 characters, sometimes through the middle
of a surrogate pair, and a lone ``\\ud83d`` is no text for DuckDB. It becomes U+FFFD.
"""

from __future__ import annotations

import json
import re
from typing import Any

_SURROGATE = re.compile("[\ud800-\udfff]")


def repair_line(line: str) -> str | None:
    """The line's object as JSON that every parser accepts, or ``None`` if it is not an object."""
    for text in (line, _braced(line)):
        try:
            value = json.loads(text, object_pairs_hook=_first_wins)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return _SURROGATE.sub("\ufffd", json.dumps(value, ensure_ascii=False))
        return None
    return None


def _braced(line: str) -> str:
    """From the first brace to the last, if only white space follows. (A regular expression would
    take a time that grows with the square of the braces.)"""
    end = line.rfind("}") + 1
    return line[line.find("{") : end] if "{" in line and not line[end:].strip() else ""


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A repeated key has its first value, as it has for DuckDB."""
    return dict(reversed(pairs)) if len({key for key, _ in pairs}) < len(pairs) else dict(pairs)
