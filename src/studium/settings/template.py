"""The commented ``studium.toml`` of a new site, made from the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date

from studium.settings.model import keys, sections

_HEAD = """\
# The settings of a Studium site.
#
# A key that is commented out has its default, shown here. A variable STUDIUM_SECTION__KEY comes
# before this file, an option of a command before both; `studium config` shows what holds and why.
# A URL with a password does not belong here: set STUDIUM_STATE__URL, STUDIUM_RESULTS__URL or
# STUDIUM_LMS__SOURCE in the environment.
"""


def render_template(
    values: Mapping[str, object] | None = None, comments: Mapping[str, str] | None = None
) -> str:
    """The text of a ``studium.toml``: every key with its help, commented out with its default
    unless ``values`` (by dotted key) sets it. ``comments`` say more about some keys, in a
    line each."""
    given, more = values or {}, comments or {}
    lines = [_HEAD]
    for section, about in sections().items():
        lines.append(f"[{section}]  # {about.rstrip('.')}")
        for name, key in keys().items():
            if name.partition(".")[0] == section:
                lines.append(f"# {key.help}")
                if name in more:
                    lines.append(f"# {more[name]}")
                mark, value = ("", given[name]) if name in given else ("# ", key.default)
                lines.append(f"{mark}{name.partition('.')[2]} = {toml_value(value)}")
        lines.append("")
    return "\n".join(lines)


def toml_value(value: object) -> str:
    """``value`` (text, number, date or a list of them) as TOML writes it."""
    if isinstance(value, str):
        # A literal string keeps the backslashes of a pattern readable.
        return f"'{value}'" if "\\" in value and "'" not in value else json.dumps(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    return str(value)
