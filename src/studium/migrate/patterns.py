"""Regular expressions for log files as globs, as far as a glob can say the same or more."""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"(?P<open>\((?:\?P<[^>]+>|\?:)?)|(?P<close>\))|(?P<set>\[\^?\]?[^\]]*\])|"
    r"(?P<escape>\\.)|(?P<any>\.)|(?P<bad>[|^$])|(?P<literal>[^*+?{}])",
    re.DOTALL,
)
_TIMES = re.compile(r"(?:\*|\+|\?|\{(?P<least>\d+)(?P<more>,\d*)?\})\??")
_CLASSES = {"d": "[0-9]", "w": "?", "s": "?", "S": "?", "D": "?", "W": "?"}


def to_glob(pattern: str) -> str | None:
    """A glob for the names that ``pattern`` matches from the start of their whole path.

    ``None`` if no glob can say it: alternatives, parts of folders, look-arounds. Where the two
    differ the glob is the wider: ``(-\\d+)?`` becomes ``*``.
    """
    rest = pattern.removeprefix("^")
    open_end = not rest.endswith("$") or rest.endswith(r"\$")
    rest = rest if open_end else rest[:-1]
    out: list[str] = []
    groups: list[int] = []
    while rest:
        token = _TOKEN.match(rest)
        if token is None or token["bad"] or (rest.startswith("(?") and not token["open"]):
            return None
        rest = rest[token.end() :]
        if token["open"]:
            if rest.startswith("?"):  # a look-around
                return None
            groups.append(len(out))
            continue
        if token["close"]:
            if not groups:
                return None
            start = groups.pop()
            times = _TIMES.match(rest)
            if times:
                out[start:] = ["*"]
                rest = rest[times.end() :]
            continue
        atom = _atom(token)
        if atom is None:
            return None
        times = _TIMES.match(rest)
        if times is None:
            out.append(atom)
            continue
        rest = rest[times.end() :]
        least = int(times["least"] or (1 if times[0][0] == "+" else 0))
        fixed = times["least"] is not None and times["more"] is None
        out += [atom] * least + ([] if fixed else ["*"])
    if groups:
        return None
    return re.sub(r"\*+", "*", "".join(out) + ("*" if open_end else ""))


def _atom(token: re.Match[str]) -> str | None:
    if token["any"]:
        return "?"
    if token["set"]:
        inside = token["set"][1:-1]
        if "\\" in inside:
            return "?"
        return f"[!{inside[1:]}]" if inside.startswith("^") else f"[{inside}]"
    letter = token["escape"][1] if token["escape"] else token["literal"]
    if token["escape"] and letter.isalnum():
        return _CLASSES.get(letter)
    if letter == "/":
        return None
    return f"[{letter}]" if letter in "*?[" else letter
