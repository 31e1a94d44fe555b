"""What all generated pages share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NOTE = "<!-- Made by `make docs` from {source}. Edit that. -->\n"
SPECS = (
    "Rules are cited by section of a written specification of what the edX pipeline did "
    "(`specs/…`), which is not part of this repository; {suffices}.\n"
)


def markdown_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; ``|`` in cells is escaped."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(_cell(text) for text in line)} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
