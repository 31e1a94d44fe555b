"""Course keys: which texts are course runs, and whose.

Rules: specs/edx-enrollment-geography §1.8. The text of a key is kept as it was written; it is
never turned into a canonical form. The same grammar exists twice, as a parser for Python and as
RE2 patterns for the shredder; ``tests/test_course_keys.py`` holds them together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_PART = r"[\w\-~.:]+"
_LEGACY = r"[\w\-.%]"


def _grammar(part: str, legacy: str) -> dict[str, str]:
    """Form → pattern with ``part`` and ``legacy`` as the character classes of the dialect."""
    tail = rf"(?:\+branch@{part})?(?:\+version@[a-f0-9]+)?"
    stray = rf"(?:\+type@{part})?(?:\+block@{part})?"
    return {
        "course-v1": rf"course-v1:(?:{part}\+{part}\+{part}{tail}{stray}|version@[a-f0-9]+)",
        "ccx-v1": rf"ccx-v1:{part}\+{part}\+{part}{tail}\+ccx@[0-9]+{stray}",
        "library-v1": rf"library-v1:{part}\+{part}{tail}{stray}",
        "slashes": rf"slashes:{part}\+{part}\+{part}",
        "legacy": rf"{legacy}+/{legacy}+/{legacy}*",
    }


_FORMS = {form: re.compile(pattern) for form, pattern in _grammar(_PART, _LEGACY).items()}

RE2_ASCII_COURSE_KEY = "|".join(_grammar(r"[A-Za-z0-9_\-~.:]+", r"[A-Za-z0-9_\-.%]").values())

# A block key in a URL carries its course: block-v1:O+C+R+type@T+block@B.
_USAGE = (
    r"(?:ccx-)?block-v1:{part}\+{part}\+{part}(?:\+branch@{part})?(?:\+version@[a-f0-9]+)?"
    r"(?:\+ccx@[0-9]+)?\+type@{part}\+block@{block}"
)
RE2_ASCII_USAGE_KEY = _USAGE.format(part=r"[A-Za-z0-9_\-~.:]+", block=r"[A-Za-z0-9_\-~.:%]+")

# RE2 has no Unicode \w; letters, numbers and the underscore are what Python's \w means. A class of
# all of them, several times in a pattern, takes RE2 tens of microseconds a key, and milliseconds to
# prepare. So one such class says which letters a key may have, and its form is told with any letter
# in the place of others.
RE2_OTHER_LETTER = r"[^\x00-\x7f]"
RE2_LETTERS = r"[\x00-\x7f\p{L}\p{N}]*"

# White space as Python's str.strip understands it.
WHITE_SPACE = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())


@dataclass(frozen=True)
class CourseKey:
    """A valid course key: its text, its form and, where the key tells, its organisation."""

    text: str
    form: str
    org: str | None


def parse_course_key(text: str | None) -> CourseKey | None:
    """The key in ``text`` after stripping white space, or ``None`` if it is not one."""
    if not isinstance(text, str):
        return None
    stripped = text.strip()
    for form, pattern in _FORMS.items():
        if pattern.fullmatch(stripped):
            return CourseKey(stripped, form, _org(stripped, form))
    return None


def _org(text: str, form: str) -> str | None:
    if form == "legacy":
        return text.split("/", 1)[0]
    body = text.split(":", 1)[1]
    return None if body.startswith("version@") else body.split("+", 1)[0]


def check_grammar() -> None:
    """Fail loudly if valid keys are refused: a broken validator once emptied every table
    while all jobs succeeded (specs/edx-enrollment-geography §1.8, incident of October 2020)."""
    for text in ("course-v1:org+course+run", "org/course/run", "ccx-v1:org+course+run+ccx@1"):
        if parse_course_key(text) is None:
            raise AssertionError(f"the course key parser refuses {text}")
    if parse_course_key(";;;;bad/id/val") is not None:
        raise AssertionError("the course key parser accepts ;;;;bad/id/val")
