"""JSON files of course runs, blocks and policies: one document, or one a line, as a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from studium.errors import SourceError


def read_documents(path: Path) -> Iterator[dict[str, Any]]:
    """Objects in a list, in pages with ``results``, one a line, or one alone.

    A file of one a line is never held as a whole. SourceError if it is not JSON, or empty: that
    is a failed export; without objects it would be ``[]``.
    """
    found = False
    try:
        for document in _parsed(path):
            found = True
            yield from _objects(document)
    except (ValueError, RecursionError) as error:
        raise SourceError(
            f"{path} is not JSON: {error}.",
            "It should hold a list of objects, pages with results, or one object a line.",
        ) from None
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read: {error.strerror or error}.", "Check the file."
        ) from None
    if not found:
        raise SourceError(f"{path} is empty.", "Export it again, or remove the file.")


def _parsed(path: Path) -> Iterator[Any]:
    with open(path, encoding="utf-8-sig", newline="\n") as file:
        first = next((line for line in file if line.strip()), "")
        if not first:
            return
        try:
            document = json.loads(first)
        except ValueError as error:
            # Not one a line. If it is no single document either, its own error says where.
            rest = file.read()
            if not rest.strip():
                raise error from None
            yield json.loads(first + rest)
            return
        yield document
        for line in file:
            if line.strip():
                yield json.loads(line)


def _objects(document: Any) -> Iterator[dict[str, Any]]:
    for item in document if isinstance(document, list) else [document]:
        if isinstance(item, dict) and isinstance(item.get("results"), list):
            yield from (one for one in item["results"] if isinstance(one, dict))
        elif isinstance(item, dict):
            yield item
