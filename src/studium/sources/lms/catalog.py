"""What JSON tells of courses: catalogue, programs, course list, blocks, grading policy.

The forms are those of the REST APIs of Discovery and LMS. Rules:
specs/edx-enrollment-geography §2.9, appendix A; specs/edx-activity-video-answers §4.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from studium.sources.lms.blocks import walk_blocks
from studium.sources.lms.documents import read_documents
from studium.sources.lms.staging import Staged, open_staging
from studium.sources.lms.tables import (
    CATALOG,
    COURSE_BLOCKS,
    COURSE_LIST,
    GRADING_POLICY,
    PROGRAMS,
    LmsTable,
)

Row = Mapping[str, Any]

_BATCH_ROWS = 16_384


def stage_json(path: Path, table: LmsTable, scratch: Path) -> Staged:
    """Write the rows of ``table`` that a JSON file has to ``scratch``, every value as text.

    SourceError if it is not JSON, or empty.
    """
    names = [table.source.get(name, name) for name in table.columns]
    staged = Staged(scratch / f"json-{table.name}.parquet", set(names), {path.name: None})
    rows = iter(_READERS[table.name](read_documents(path)))
    with open_staging(staged.path, names) as write:
        while batch := list(islice(rows, _BATCH_ROWS)):
            write({name: [_text(row.get(name)) for row in batch] for name in names})
    return staged


def _text(value: object) -> str | None:
    # Half a surrogate pair, as a cut text has it, is no character.
    return None if value is None else str(value).encode("utf-16", "surrogatepass").decode(
        "utf-16", "replace"
    )  # fmt: skip


def _programs(runs: Iterable[Row]) -> Iterator[Row]:
    for run in runs:
        programs = run.get("programs")
        for program in programs if isinstance(programs, list) else ():
            if isinstance(program, dict):
                yield {**program, "key": run.get("key")}


def _courses(courses: Iterable[Row]) -> Iterator[Row]:
    for course in courses:
        yield {**course, "course_id": course.get("course_id") or course.get("id")}


def _policies(courses: Iterable[Row]) -> Iterator[Row]:
    """Assignment types, as the Grades API names things or as a course export does."""
    for course in courses:
        policy: Any = course.get("policy") or course.get("GRADER")
        for number, kind in enumerate(policy if isinstance(policy, Sequence) else ()):
            if isinstance(kind, dict):
                yield {
                    "course_id": course.get("course_id"),
                    "assignment_type": kind.get("assignment_type", kind.get("type")),
                    "sort_idx": number,
                    "count": kind.get("count", kind.get("min_count")),
                    "dropped": kind.get("dropped", kind.get("drop_count")),
                    "weight": kind.get("weight"),
                }


_READERS: Mapping[str, Callable[[Iterable[Row]], Iterable[Row]]] = {
    CATALOG.name: lambda runs: runs,
    PROGRAMS.name: _programs,
    COURSE_LIST.name: _courses,
    COURSE_BLOCKS.name: walk_blocks,
    GRADING_POLICY.name: _policies,
}
