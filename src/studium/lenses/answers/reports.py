"""Reports: a CSV file for each course, as course teams know them.

`specs/edx-activity-video-answers` §3.7 (answers), §4.3 (latest responses).
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import IO, Any, Final

from studium.engines import Relation
from studium.errors import UsageError

_NO_PREFIX: Final = re.compile(r"^(?:course-v1|ccx-v1|library-v1):")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]")
_LONGEST_NAME: Final = 255
"""Bytes of a file's name, on every file system."""

_DISTRIBUTION_NAME: Final = "{course_id}_answer_distribution.csv"
_HASH: Final = re.compile("[0-9a-f]{40}")
_PARTIAL: Final = re.compile(r"\.[0-9a-f]{32}\.\d+\.part")

Line = Mapping[str, Any]
"""A row of the table, by column."""


@dataclass(frozen=True)
class Form:
    """How the report of latest responses looks: the settings ``answers.report_…``."""

    name: str
    fields: tuple[str, ...]
    date_format: str
    list_delimiter: str


@dataclass(frozen=True)
class Report:
    """A report. ``order`` is that of the lines in a file, as SQL; ``cells`` are those of a line;
    ``place`` is the file of a course below the folder."""

    table: str
    order: str
    header: tuple[str, ...]
    cells: Callable[[Line], list[str]]
    place: Callable[[str], Path]


@dataclass(frozen=True)
class Written:
    """A file that was written, with so many lines below its header."""

    course_id: str
    path: Path
    lines: int


def answer_distribution() -> Report:
    """Answers to each part of a problem: ``<sha1 of the course>/…_answer_distribution.csv``."""
    return Report(
        "answer_distribution",
        "module_id, part_id, correct, first_response_count, last_response_count, "
        "coalesce(value_id, ''), coalesce(answer_value_text, ''), variant NULLS LAST, "
        "coalesce(problem_display_name, ''), coalesce(question_text, '')",
        (
            "ModuleID", "PartID", "Correct Answer", "First Response Count", "Last Response Count",
            "ValueID", "AnswerValue", "Variant", "Problem Display Name", "Question",
        ),
        _distribution_cells,
        lambda course: Path(hashlib.sha1(course.encode(), usedforsecurity=False).hexdigest())
        / _file_name(_DISTRIBUTION_NAME, course),
    )  # fmt: skip


def problem_response(form: Form, columns: Collection[str]) -> Report:
    """The latest response of each learner; ``columns`` are those that the table has.

    UsageError for a field that is none of them.
    """
    for name in form.fields:
        if name not in columns:
            raise UsageError(
                f"answers.report_fields: there is no column {name!r}.",
                f"Choose from {', '.join(columns)}.",
            )
    fields = form.fields or tuple(columns)
    return Report(
        "problem_response_latest",
        "sort_idx, username, problem_id, answer_id",
        fields,
        lambda line: [_response_cell(name, line[name], form) for name in fields],
        lambda course: Path(_file_name(form.name, course)),
    )


def find_files(folder: Path, name: str, columns: Collection[str]) -> list[Path]:
    """The files below ``folder`` that are reports, and what a killed command has left of one.

    ``name`` is that of the report of latest responses. A file that is called like a report is one
    if its header is, too: that of the distribution, or some of the ``columns`` of the other table.
    """
    top = sorted(folder.iterdir()) if folder.is_dir() else []
    of_courses = [one for one in top if _HASH.fullmatch(one.name) and one.is_dir()]
    below = [file for one in of_courses for file in sorted(one.iterdir())]
    header = answer_distribution().header
    return [
        *(file for file in top if _is_report(file, name, columns)),
        *(file for file in below if _is_report(file, _DISTRIBUTION_NAME, header)),
    ]


def _is_report(file: Path, name: str, columns: Collection[str]) -> bool:
    if not file.is_file():
        return False
    before, _, after = name.partition("{course_id}")
    if not (file.name.startswith(before) and file.name.endswith(after)):
        return bool(_PARTIAL.fullmatch(file.name))
    with file.open(encoding="utf-8", errors="replace", newline="") as lines:
        return set(next(csv.reader([lines.readline(1 << 16)]), ())) <= set(columns)


def safe_course_id(course: str) -> str:
    """The course run without the name of its form; what no file system minds stays as it is."""
    return _UNSAFE.sub("_", _NO_PREFIX.sub("", course))


def write_report(
    report: Report,
    relation: Relation,
    folder: Path,
    memory: str,
    scratch: Path,
    courses: Collection[str] = (),
) -> list[Written]:
    """Write the files of ``courses``, or of all, below ``folder``; each takes the place of an older
    one at once. Files of other courses stay.

    UsageError if a course has no line, or if two would have the same file: nothing is written then.
    """
    from studium.engines.duckdb import connect, relation_sql

    with closing(connect(memory, None, scratch)) as db:
        rows = f"({relation_sql(relation)})"
        found = db.execute(f"SELECT DISTINCT course_id FROM {rows} ORDER BY 1").fetchall()
        known = [course for (course,) in found]
        for course in courses:
            if course not in known:
                raise UsageError(
                    f"{report.table} has nothing of a course {course!r}.",
                    f"`studium show {report.table}` shows which there are.",
                )
        chosen = [course for course in known if not courses or course in courses]
        _refuse_clashes(report, chosen)
        # Values, not a condition: a course may be called anything.
        result = db.execute(
            f"SELECT * FROM {rows} WHERE course_id IN (SELECT unnest($courses)) "
            f"ORDER BY course_id, {report.order}",
            {"courses": chosen},
        )
        names = [column[0] for column in result.description or ()]
        lines = (dict(zip(names, row, strict=True)) for row in _fetch(result.fetchmany))
        return [
            _write_file(report, course, group, folder)
            for course, group in groupby(lines, itemgetter("course_id"))
        ]


def _refuse_clashes(report: Report, courses: Iterable[str]) -> None:
    # File systems may not tell small letters from capitals.
    places = [(str(report.place(course)).lower(), course) for course in courses]
    times = Counter(place for place, _ in places)
    if alike := [course for place, course in places if times[place] > 1]:
        raise UsageError(
            f"The courses {', '.join(alike)} would have the same file.",
            "Write them one at a time to different folders, with --course.",
        )


def _fetch(fetch: Callable[[int], list[tuple[Any, ...]]]) -> Iterator[tuple[Any, ...]]:
    while rows := fetch(1000):
        yield from rows


def _write_file(report: Report, course: str, lines: Iterable[Line], folder: Path) -> Written:
    path = folder / report.place(course)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{hashlib.md5(path.name.encode()).hexdigest()}.{os.getpid()}.part")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            count = _write_lines(report, lines, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with suppress(FileNotFoundError):
            partial.unlink()
        raise
    return Written(course, path, count)


def _write_lines(report: Report, lines: Iterable[Line], file: IO[str]) -> int:
    writer = csv.writer(file)  # \r\n, as the old files have it
    writer.writerow(report.header)
    count = 0
    for line in lines:
        writer.writerow(report.cells(line))
        count += 1
    return count


def _file_name(template: str, course: str) -> str:
    rest = len(template.replace("{course_id}", "").encode())
    return template.replace("{course_id}", safe_course_id(course)[: _LONGEST_NAME - rest])


def _distribution_cells(line: Line) -> list[str]:
    texts = ("value_id", "answer_value_text", "variant", "problem_display_name", "question_text")
    return [
        line["module_id"],
        line["part_id"],
        str(int(line["correct"])),
        str(line["first_response_count"]),
        str(line["last_response_count"]),
        *("" if line[name] is None else str(line[name]) for name in texts),
    ]


def _response_cell(name: str, value: Any, form: Form) -> str:
    if name == "answer":
        items = json.loads(value)
        return form.list_delimiter.join(items) if form.list_delimiter else str(items)
    if isinstance(value, datetime):
        moment = value.replace(tzinfo=UTC)
        return moment.strftime(form.date_format) if form.date_format else str(moment)
    return str(value)
