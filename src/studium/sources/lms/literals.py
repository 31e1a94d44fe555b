"""The lexical rules of MySQL that a dump needs: gaps, names and literals, as patterns on bytes.

Repeats are possessive and end at a byte that cannot be part of them, so that matching takes time
linear in the length, and a pattern never matches what more bytes would make longer.
"""

from __future__ import annotations

import re
from functools import lru_cache

# `/*!40000` and `*/` are gaps themselves: what is between them is SQL for a server that is new
# enough, and any is.
COMMENT = rb"/\*!\d*+(?=\D)|\*/|/\*(?!!)[^*]*+(?:\*(?!/)[^*]*+)*+\*/|--(?=\s)[^\n]*+\n|\#[^\n]*+\n"
GAP = rb"\s*+(?:(?:" + COMMENT + rb")\s*+)*+"
NAME = rb"(?>`(?:[^`]|``)*+`|\"(?:[^\"]|\"\")*+\"|[\w$\x80-\xff]++)"
TEXT = rb"(?>'[^'\\]*+(?:(?:\\.|'')[^'\\]*+)*+'|\"[^\"\\]*+(?:(?:\\.|\"\")[^\"\\]*+)*+\")"
_BYTES = rb"(?>0x[0-9a-fA-F]++|[xX]'[0-9a-fA-F]*+'|0b[01]++|[bB]'[01]*+')"
_NUMBER = rb"[+-]?+(?>\d++(?:\.\d*+)?+|\.\d++)(?:[eE][+-]?+\d++)?+"
_VALUE = (
    rb"(?>" + TEXT + rb"|" + _BYTES + rb"|" + _NUMBER + rb"|(?i:NULL|TRUE|FALSE)"
    rb"|(?:[nN](?=')|_[A-Za-z0-9]++\s*+)(?>" + TEXT + rb"|" + _BYTES + rb"))"
)

_INTRODUCER = re.compile(rb"\A(?:_[A-Za-z0-9]+|[nN])\s*")
_ESCAPE = re.compile(rb"\\(.)|''", re.DOTALL)
_DOUBLE_ESCAPE = re.compile(rb"\\(.)|\"\"", re.DOTALL)
# `\%` and `\_` keep their backslash outside of patterns; any other byte stands for itself.
_ESCAPED = {
    b"0": b"\0",
    b"b": b"\b",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"Z": b"\x1a",
    b"%": b"\\%",
    b"_": b"\\_",
}
_WORDS = {b"NULL": None, b"TRUE": b"1", b"FALSE": b"0"}


@lru_cache(maxsize=64)
def row_pattern(width: int, wanted: tuple[int, ...]) -> re.Pattern[bytes]:
    """A row of ``width`` values in parentheses, to what follows it.

    Groups: the literals at the positions ``wanted``, then ``,`` or ``;``, or nothing if a clause
    follows. Other values are passed over.
    """
    # The common row has no gap but a blank; trying a comment between all values costs half of
    # the time.
    values = [b"(" + _VALUE + b")" if n in wanted else _VALUE for n in range(width)]
    comma = b"(?>,(?=['0-9N])|" + GAP + b"," + GAP + b")"
    return re.compile(
        GAP + rb"\(" + GAP + comma.join(values) + GAP + rb"\)(?>" + GAP + rb")([,;]|(?=[a-zA-Z]))",
        re.DOTALL,
    )


ANY_ROW = re.compile(
    GAP
    + rb"\("
    + GAP
    + _VALUE
    + rb"(?:"
    + GAP
    + b","
    + GAP
    + _VALUE
    + rb")*+"
    + GAP
    + rb"\)"
    + GAP
    + rb"(?=[,;a-zA-Z])",
    re.DOTALL,
)


def literal(token: bytes, number: bool) -> bytes | None:
    """The value of a literal: the bytes of a text, the digits of a number, None for NULL.

    Hexadecimal and binary literals are bytes, or an unsigned number if the column is a ``number``,
    as the server takes them.
    """
    first = token[:1]
    if first == b"'":
        body = token[1:-1]
        return _ESCAPE.sub(_unescape, body) if b"\\" in body or b"''" in body else body
    if first == b'"':
        return _DOUBLE_ESCAPE.sub(_unescape, token[1:-1])
    if first == b"_" or token[:2].upper() == b"N'":
        return literal(_INTRODUCER.sub(b"", token), number)
    kind = token[:2].lower()
    if kind in (b"0x", b"x'"):
        return _number_or_bytes(token[2:].rstrip(b"'"), 16, number)
    if kind in (b"0b", b"b'"):
        return _number_or_bytes(token[2:].rstrip(b"'"), 2, number)
    word = token.upper()
    return _WORDS[word] if word in _WORDS else token.lstrip(b"+")


def name_of(token: bytes) -> str:
    """A table or column name, quoted or not, in lower case."""
    quote = token[:1]
    if quote in (b"`", b'"'):
        token = token[1:-1].replace(quote * 2, quote)
    return token.decode("utf-8", "replace").lower()


def _unescape(match: re.Match[bytes]) -> bytes:
    escaped: bytes | None = match[1]
    if escaped is None:
        return match[0][:1]
    return _ESCAPED.get(escaped, escaped)


def _number_or_bytes(digits: bytes, base: int, number: bool) -> bytes:
    value = int(digits, base) if digits else 0
    if number:
        return str(value).encode()
    bits = len(digits) * (4 if base == 16 else 1)
    return value.to_bytes((bits + 7) // 8, "big")
