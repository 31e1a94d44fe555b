"""The course catalogue: course runs and their programs, as the Discovery API gives them in JSON.

Rules: specs/edx-enrollment-geography §2.9.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from studium.errors import SourceError
from studium.sources.lms.tables import CATALOG, LmsTable


def read_rows(path: Path, table: LmsTable) -> list[dict[str, str | None]]:
    """Rows of the catalogue or of its programs, every value as text, by the names in the file."""
    names = [table.source.get(name, name) for name in table.columns]
    found = _runs(path) if table is CATALOG else _programs(path)
    return [{name: _text(row.get(name)) for name in names} for row in found]


def _text(value: object) -> str | None:
    # Half a surrogate pair, as a cut text has it, is no character.
    return None if value is None else str(value).encode("utf-16", "surrogatepass").decode(
        "utf-16", "replace"
    )  # fmt: skip


def _programs(path: Path) -> Iterator[dict[str, Any]]:
    for run in _runs(path):
        programs = run.get("programs")
        for program in programs if isinstance(programs, list) else ():
            if isinstance(program, dict):
                yield {**program, "key": run.get("key")}


def _runs(path: Path) -> Iterator[dict[str, Any]]:
    """Course runs from a list, from pages with ``results``, or from one object a line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        try:
            documents = [json.loads(text)]
        except ValueError:
            documents = [json.loads(line) for line in text.split("\n") if line.strip()]
    except (ValueError, RecursionError) as error:
        raise SourceError(
            f"{path} is not JSON: {error}.",
            "It should hold the course runs of the catalogue: a list, or one object a line.",
        ) from None
    if not documents:  # a failed export, not a catalogue without courses: that would be []
        raise SourceError(f"{path} is empty.", "Export the catalogue again, or remove the file.")
    for document in documents:
        found: Sequence[Any] = document if isinstance(document, list) else [document]
        for item in found:
            if isinstance(item, dict) and isinstance(item.get("results"), list):
                yield from (run for run in item["results"] if isinstance(run, dict))
            elif isinstance(item, dict):
                yield item
