"""Passwords in URLs: found, to be refused in a file; masked, so that none is shown."""

from __future__ import annotations

import re

# As lax as SQLAlchemy, which lets a password hold "/", ":" and "?": a URL that is masked without
# need does less harm than a password that is shown.
_USERINFO = re.compile(r"(?P<head>[A-Za-z][\w+.-]*://[^:/@\s]*:)(?P<secret>[^@\s]+)(?=@)")
_QUERY = re.compile(
    r"(?P<head>[?&;](?:password|passwd|pwd|sslpassword|secret|token|sig|signature)=)"
    r"(?P<secret>[^&;\s]+)",
    re.IGNORECASE,
)


def has_password(text: str) -> bool:
    """Whether ``text`` holds a URL with a password or another secret in it."""
    return bool(_USERINFO.search(text) or _QUERY.search(text))


def mask_password(text: str) -> str:
    """``text`` with every password in a URL replaced by ``***``."""
    return _QUERY.sub(r"\g<head>***", _USERINFO.sub(r"\g<head>***", text))
