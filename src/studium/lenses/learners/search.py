"""How a search text becomes the terms of ``module_engagement_roster_terms``.

Whole words of the name, or the exact user name, or the exact address; letters folded
(`specs/edx-learners-api-insights` §2.5).
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Final

LONGEST: Final = 255
"""Characters of a term."""

_FIRST_MARK, _BEHIND_MARKS = 0x300, 0x1F000
"""Where Unicode has its marks, but for selectors of variants."""


def fold(text: str) -> str:
    """Small letters, whatever the script and however composed: ``ＳＭＩＴＨ`` is ``smith``."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def find_terms(name: str | None, *whole: str | None) -> list[str]:
    """The terms of a learner: the words of the name, what stands between its blanks, and texts that
    are found as a whole."""
    folded = fold(name or "")
    words, _ = _patterns()
    found = {*words.findall(folded), *split_text(folded)}
    for text in filter(None, whole):
        found |= {fold(text).strip(), *split_text(text)}
    return sorted({term[:LONGEST] for term in found if term})


def split_text(text: str) -> list[str]:
    """The terms that all have to be a learner's for a text to find them."""
    _, outside = _patterns()
    parts = [outside.sub("", word) for word in fold(text).split()]
    return list(dict.fromkeys(part[:LONGEST] for part in parts if part))


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Words, and what is around them. A vowel sign is part of its word: to ``\\w`` it is not."""
    codes = range(_FIRST_MARK, _BEHIND_MARKS)
    marks = "".join(one for one in map(chr, codes) if unicodedata.category(one) in ("Mn", "Mc"))
    return (
        re.compile(rf"[\w{marks}]+(?:['’][\w{marks}]+)*"),
        re.compile(rf"^[^\w{marks}]+|[^\w{marks}]+$"),
    )
