"""How a search text becomes the terms of ``module_engagement_roster_terms``.

Whole words of the name, or the exact user name, or the exact address; letters folded
(`specs/edx-learners-api-insights` §2.5).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

LONGEST: Final = 255
"""Characters of a term."""

_WORD = re.compile(r"\w+(?:['’]\w+)*")
_OUTSIDE = re.compile(r"^\W+|\W+$")


def fold(text: str) -> str:
    """Small letters, whatever the script and however composed: ``ＳＭＩＴＨ`` is ``smith``."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def find_terms(name: str | None, *whole: str | None) -> list[str]:
    """The terms of a learner: the words of the name, what stands between its blanks, and texts that
    are found as a whole."""
    folded = fold(name or "")
    found = {*_WORD.findall(folded), *split_text(folded)}
    found |= {fold(text).strip() for text in whole if text}
    return sorted({term[:LONGEST] for term in found if term})


def split_text(text: str) -> list[str]:
    """The terms that all have to be a learner's for a text to find them."""
    parts = [_OUTSIDE.sub("", word) for word in fold(text).split()]
    return list(dict.fromkeys(part[:LONGEST] for part in parts if part))
