"""Reports of a site: files for course teams, made of tables of its lake."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from studium.errors import UsageError
from studium.lake.store import Lake
from studium.lenses.answers import reports
from studium.site import Site

REPORTS = ("answer_distribution", "problem_response")


def report_folder(site: Site, folder: Path | None = None) -> Path:
    """Where reports go: ``folder``, else ``answers.report_folder``; a UsageError if neither is."""
    if folder is not None:
        return folder
    if not (chosen := site.settings.answers.report_folder):
        raise UsageError(
            "no folder is named for the report.",
            "Name it, or set answers.report_folder in studium.toml.",
        )
    return site.root / chosen


def write_report(
    site: Site, lake: Lake, name: str, folder: Path, courses: Collection[str] = ()
) -> list[reports.Written]:
    """Write the report ``name`` (one of ``REPORTS``) of ``courses``, or of all, to ``folder``.

    UsageError for an unknown report or course, or if its table was never built.
    """
    report = _find_report(site, lake, name)
    snapshot = lake.snapshot(report.table)
    return reports.write_report(
        report,
        snapshot.relation(),
        folder,
        site.settings.engine.memory,
        site.scratch / "report",
        courses,
    )


def delete_reports(site: Site, lake: Lake) -> int:
    """Delete all reports in ``answers.report_folder``: they tell what is in the lake no more."""
    found = _files(site, lake)
    for file in found:
        file.unlink()
    return len(found)


def files_to_scan(site: Site, lake: Lake) -> list[Path] | None:
    """Reports in ``answers.report_folder`` and other CSV files there; None if none is set."""
    if not (chosen := site.settings.answers.report_folder):
        return None
    others = [file for file in (site.root / chosen).rglob("*.csv") if file.is_file()]
    return sorted({*_files(site, lake), *others})


def _files(site: Site, lake: Lake) -> list[Path]:
    given = site.settings.answers
    if not given.report_folder:
        return []
    columns = lake.snapshot("problem_response_latest").columns
    return reports.find_files(site.root / given.report_folder, given.report_name, columns)


def _find_report(site: Site, lake: Lake, name: str) -> reports.Report:
    if name not in REPORTS:
        raise UsageError(f"there is no report {name!r}.", f"Choose from {', '.join(REPORTS)}.")
    table = "problem_response_latest" if name == "problem_response" else name
    snapshot = lake.snapshot(table)
    if not snapshot.exists:
        raise UsageError(f"there is no table {table} in the lake.", "`studium run` makes it.")
    if name == "answer_distribution":
        return reports.answer_distribution()
    given = site.settings.answers
    form = reports.Form(
        given.report_name,
        tuple(given.report_fields),
        given.report_date_format,
        given.report_list_delimiter,
    )
    return reports.problem_response(form, tuple(snapshot.columns))
