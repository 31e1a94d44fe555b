"""Generated parts of pages that people write: ``<!-- name -->`` … ``<!-- /name -->``."""

from __future__ import annotations

import re
from collections.abc import Callable

from docs.generate.bench import bench_table
from docs.generate.jobs import states_part
from docs.generate.reference import ROOT, lms_files

README = ROOT / "README.md"
INSERTS: dict[str, tuple[str, Callable[[], str]]] = {
    "README.md": ("bench", bench_table),
    "docs/explanation/jobs.md": ("states", states_part),
    "docs/how-to/lms-tables.md": ("lms files", lms_files),
}
"""Page → name of its part, and what makes it."""


def filled(path: str) -> str:
    """The text of a page with its generated part as it should be."""
    name, make = INSERTS[path]
    text = (ROOT / path).read_text("utf-8")
    place = re.compile(f"(<!-- {name} -->\\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not place.search(text):
        raise SystemExit(f"{path} has no part <!-- {name} --> … <!-- /{name} -->")
    return place.sub(lambda found: f"{found[1]}\n{make()}\n{found[2]}", text)
