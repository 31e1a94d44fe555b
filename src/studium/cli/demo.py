"""``demo``: a synthetic institution through the real formats and the main job."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from studium.cli.context import writing
from studium.cli.output import Progress, plural, print_table, sparkline
from studium.cli.reports import print_built, print_ingest, print_published
from studium.cli.run import build_all, ingest_logs
from studium.errors import SiteError

if TYPE_CHECKING:
    from studium.demo import Institution
    from studium.lake.store import Lake
    from studium.site import Site

_RAW = "raw"
_MARK = ".studium-demo"
_WEEKS = 12


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Folder of the demo site; an old demo is replaced."),
    ] = Path("studium-demo"),
    events: Annotated[
        int, typer.Option(min=1, metavar="N", help="About how many events.")
    ] = 60_000,
    start: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="First day of term. Default: a Monday 12 weeks ago."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another number makes other learners.")] = 7,
) -> None:
    """Write a synthetic institution, run the main job over it, show what came out."""
    from studium.clock import parse_day, today
    from studium.demo import write_institution

    first = parse_day(start) if start else today() - timedelta(days=today().weekday() + 7 * _WEEKS)
    root = _clear(folder)
    with Progress("Writing logs", "events") as progress:
        progress.expect(events)
        place = write_institution(
            root / _RAW,
            events=events,
            seed=seed,
            start=first,
            days=7 * _WEEKS,
            progress=progress.reach,
        )
    _introduce(place)
    _make_site(root, place)
    _run(root, place)
    _suggest(folder)


def _clear(folder: Path) -> Path:
    """The folder, empty; only a demo may be replaced."""
    root = folder.expanduser().resolve()
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        if not (root / _MARK).is_file():  # logs of somebody's own may lie in raw/logs, too
            raise SiteError(f"{root} is not empty.", "Name a new folder: studium demo DIR")
        shutil.rmtree(root)
    root.mkdir(parents=True, exist_ok=True)
    (root / _MARK).touch()
    return root


def _introduce(place: Institution) -> None:
    size = sum(path.stat().st_size for path in (place.folder / "logs").iterdir())
    typer.echo(
        f"A synthetic institution of {plural(len(place.courses), 'course')} and "
        f"{plural(place.learners, 'learner')} in {place.folder}:"
    )
    typer.echo(
        f"{plural(place.lines, 'log line')} ({size / 1e6:,.1f} MB compressed), of which "
        f"{place.broken_lines:,} are broken and {place.late_lines:,} came late."
    )


def _make_site(root: Path, place: Institution) -> None:
    from studium.site import init_site

    values = {
        "site.start": place.since,
        "edx.source": [f"{_RAW}/logs"],
        "lms.source": f"{_RAW}/lms",
        "geography.database": f"{_RAW}/countries.mmdb",
        "jobs.data": "synthetic",
    }
    init_site(root, values).close()


def _run(root: Path, place: Institution) -> None:
    from studium.autopilot import steps
    from studium.clock import Interval
    from studium.lake.plan import Scope
    from studium.lake.store import Lake
    from studium.site import open_site

    with open_site(root) as site, writing(site, "demo"):
        lake = Lake(site.lake_dir)
        interval = Interval(place.since, place.until)
        typer.echo("\nIngest: what became of every line (five of the files)")
        print_ingest(ingest_logs(site, lake, interval), most=5)
        imported = steps.lms_step(site, lake)
        taken = [one for one in imported if one.found]
        typer.echo(f"From the LMS: {', '.join(f'{one.table.name} {one.rows:,}' for one in taken)}.")
        typer.echo("\nBuild: what was made from it, and why")
        print_built(build_all(site, lake, steps.choose_tables(()), Scope(interval)))
        typer.echo("\nPublish")
        print_published(site, steps.publish_step(site, lake, steps.choose_tables(())))
        _headlines(site, lake, place.until)


def _headlines(site: Site, lake: Lake, until: date) -> None:
    from studium.engines import open_engine

    names = ("course_enrollment_daily", "course_meta_summary_enrollment")
    inputs = {name: lake.snapshot(name).relation() for name in names}
    engine = open_engine("duckdb", site.settings.engine.memory)
    try:
        curves = engine.query(
            "SELECT course_id, count FROM course_enrollment_daily ORDER BY course_id, date", inputs
        ).to_pylist()
        courses = engine.query(
            "SELECT course_id, max(catalog_course_title) AS title, sum(count)::INTEGER AS enrolled,"
            " sum(cumulative_count)::INTEGER AS ever,"
            " sum(CASE WHEN enrollment_mode = 'verified' THEN count ELSE 0 END)::INTEGER"
            " AS verified,"
            " sum(passing_users)::INTEGER AS passing"
            " FROM course_meta_summary_enrollment GROUP BY course_id ORDER BY ever DESC, course_id",
            inputs,
        ).to_pylist()
    finally:
        engine.close()
    by_course: dict[str, list[int]] = {}
    for row in curves:
        by_course.setdefault(row["course_id"], []).append(row["count"])
    typer.echo(f"\nEnrollment per course on {until - timedelta(days=1)}")
    print_table(
        ["course", "enrolled", "ever", "verified", "passing", "by week"],
        [
            [_short(row.pop("title")), *row.values(), sparkline(by_course[course][::7])]
            for row in courses
            if (course := row.pop("course_id"))
        ],
    )


def _short(title: str, width: int = 30) -> str:
    return title if len(title) <= width else title[: width - 1] + "…"


def _suggest(folder: Path) -> None:
    typer.echo(
        f"""
What to try next:
  cd {folder}
  studium show course_enrollment_mode_daily --where "mode = 'verified'"
  studium report answer_distribution reports   # what was answered, a CSV file for each course
  studium rejects                 # the lines that were refused, and why
  studium run                     # the nightly job: reads what is new, builds what it changed
  studium plan --lookback 3       # what would be built again, and why
  sqlite3 results.db "SELECT * FROM studium_published"
""".rstrip()
    )
