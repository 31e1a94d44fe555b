"""Names of jobs, canonical once and for ever.

A name is a capability (who knows it can ask for the job) and it goes into paths, URLs, container
names and shell lines, so that it is made here and never changed by anybody: an id of 65 random
bits, after a prefix for people if there is one (specs/jobs-hpc §1.2, §7.1–2).
"""

from __future__ import annotations

import re
import secrets
import unicodedata

LENGTH = 63
"""Of the longest name: what a DNS label, and so every container runtime, takes."""

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_ID = 13  # of 32 letters: 65 bits
PREFIX = LENGTH - _ID - 1
"""Characters of the longest prefix."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def new_name(prefix: str = "") -> str:
    """A fresh name: ``<prefix>-<id>``, or the id alone if nothing of the prefix can be kept."""
    start = canonical(prefix)[:PREFIX].rstrip("-")
    unique = "".join(secrets.choice(_ALPHABET) for _ in range(_ID))
    return f"{start}-{unique}" if start else unique


def canonical(text: str) -> str:
    """``text`` in ``[a-z0-9-]``, at most 63 characters, no ``-`` at its ends or doubled; may be
    empty. What is canonical already stays as it is."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LENGTH].rstrip("-")


def is_name(text: str) -> bool:
    """Whether ``text`` can be the name of a job, and so part of a path."""
    return _NAME.fullmatch(text) is not None and canonical(text) == text


def unit_key(job: str, attempt: int, number: int) -> str:
    """The name that a launcher knows a unit by: ``[a-z0-9-]``, at most 80 characters."""
    return f"{job}-a{attempt}-u{number}"
