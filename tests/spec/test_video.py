"""The video lens does what `specs/edx-activity-video-answers` §2, §6 and §8 say.

Every case is logged, ingested and built: from lines to rows, on each engine.
"""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studium.engines import Engine, Relation
from studium.lenses import tables
from tests import sites
from tests.engines import shared_engine
from tests.spec import video_reference
from tests.spec.lines import NOON, START, UNTIL, ingest, video_event
from tests.spec.rows import Row, ordered
from tests.spec.slice import EVENTS, STORED, Slice, build, write_days
from tests.spec.video import CASES, Case

VIEWINGS = next(table for table in tables("video") if table.name == "video_viewings")


@pytest.fixture(scope="session")
def video_events(tmp_path_factory: pytest.TempPathFactory) -> Relation:
    lines = [line for one in CASES for line in one.events]
    return ingest(tmp_path_factory.mktemp("video"), lines)


@pytest.fixture(scope="session")
def videos(
    engine: Engine, video_events: Relation, tmp_path_factory: pytest.TempPathFactory
) -> Slice:
    folder = tmp_path_factory.mktemp(f"video-{engine.name}")
    return build(engine, folder, "video", {}, START, UNTIL, events=video_events)


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.rule)
def test_rule(videos: Slice, one: Case) -> None:
    viewings = videos.of_course("video_viewings", one.course_id)
    if one.viewings is not None:
        found = [
            (v["user_id"], v["start_offset"], v["end_offset"], v["ended_by"]) for v in viewings
        ]
        assert sorted(found) == sorted(one.viewings)
    if one.duration is not None:
        assert {v["duration"] for v in viewings} == {one.duration}
    if one.segments is not None:
        timeline = [
            row
            for row in videos.rows["video_timeline"]
            if row["pipeline_video_id"].startswith(f"{one.course_id}|")
        ]
        assert {
            row["segment"]: (row["num_users"], row["num_views"]) for row in timeline
        } == one.segments
    if one.video is not None:
        (row,) = videos.of_course("video", one.course_id)
        names = ("duration", "users_at_start", "users_at_end", "total_viewed_seconds")
        assert tuple(row[name] for name in names) == one.video
        assert row["segment_length"] == 5


@pytest.mark.parametrize(
    ("code", "youtube"),
    [
        ("OEoXaMPEzfM", "OEoXaMPEzfM"),
        ("vidéo字", "vidéo字"),
        *((code, None) for code in ("html5", "mobile", "hls", None, 7)),
    ],
)
def test_youtube_code(tmp_path: Path, code: object, youtube: str | None) -> None:
    # V3, V11
    course = "course-v1:V3+Video+2021"
    lines = [
        video_event("play", 0, course, currentTime=0, code=code),
        video_event("pause", 5, course, currentTime=3),
    ]
    events = ingest(tmp_path, lines)
    run = build(
        shared_engine("duckdb"), tmp_path / "lens", "video", {}, START, UNTIL, events=events
    )
    assert [row["youtube_id"] for row in run.rows["video_viewings"]] == [youtube]


def test_tables_are_of_the_declared_types(videos: Slice) -> None:
    for table in tables("video"):
        declared = {c.name: STORED[c.type.partition("(")[0]] for c in table.columns}
        assert dict(videos.types[table.name]) == declared, table.name


def test_a_viewing_in_two_ingests(tmp_path: Path) -> None:
    # anchors A.2.4: a play and its pause that come on different nights are one viewing, and what is
    # watched again counts again.
    logs, course = tmp_path / "logs", sites.COURSE
    root = sites.make_site(tmp_path / "site", logs)
    lens = tables("video")
    sites.write_log(logs, 0, [sites.video(1, 0, 0.0), sites.video(2, 0, 0.0)])
    sites.run_job(root, lens)
    assert sites.rows_of(root, "video_viewings") == []
    sites.write_log(logs, 1, [sites.pause(1, 0, 49.9, 60), sites.pause(2, 1, 49.9, 60)])
    sites.run_job(root, lens)
    timeline = sites.rows_of(root, "video_timeline")
    assert {row["segment"]: (row["num_users"], row["num_views"]) for row in timeline} == (
        dict.fromkeys(range(10), (2, 2))
    )
    again = [sites.video(1, 2, 0.0), sites.pause(1, 2, 9.9, 60)]
    sites.write_log(logs, 2, again)
    sites.run_job(root, lens)
    first = [row for row in sites.rows_of(root, "video_timeline") if row["segment"] < 2]
    assert [(row["num_users"], row["num_views"]) for row in first] == [(2, 3), (2, 3)]
    assert {row["course_id"] for row in sites.rows_of(root, "video")} == {course}


# Streams of events: simultaneous ones, seeks in a row, storms of plays, midnights

POSITIONS = [None, 0.0, 0.2, 0.25, 4.999999999999999, 5.0, 9.9, 10.0, 14.234121, 59.0, 36000.0]
TIMES = [
    datetime(2021, 3, day) + timedelta(microseconds=microseconds)
    for day in (1, 2, 3, 5)
    for microseconds in (0, 1, 43_200_000_000, 86_399_999_999)
]
stream = st.lists(
    st.fixed_dictionaries(
        {
            "time": st.sampled_from(TIMES),
            "event_type": st.sampled_from([*video_reference.ACTIONS, "play_video", "load_video"]),
            "event_source": st.sampled_from(["browser", "mobile", None]),
            "course_id": st.sampled_from(["course-v1:A+B+C", "Örg/דרך/字", None]),
            "user_id": st.sampled_from([1, 1, 1, 2, None]),
            "video_id": st.sampled_from(["v", "v", "😀", "", None]),
            "video_code": st.sampled_from([None, "html5", "hls", "", "abc"]),
            "position": st.sampled_from(POSITIONS),
            "seek_from": st.sampled_from(POSITIONS),
            "seek_to": st.sampled_from(POSITIONS),
            "duration": st.sampled_from([None, 0.0, -1.0, 9.2, 60.0, 600.0, 1e12]),
        }
    ).map(lambda row: {**row, "day": row["time"].date()}),
    max_size=40,
)


def check(engine: Engine, folder: Path, rows: list[dict[str, Any]]) -> Slice:
    run = build(engine, folder, "video", {"events": rows}, date(2021, 2, 1), UNTIL)
    found = video_reference.viewings(rows)
    assert ordered(run.rows["video_viewings"]) == ordered(found)
    video, timeline = video_reference.videos(found)
    assert ordered(run.rows["video"]) == ordered(video)
    assert ordered(run.rows["video_timeline"]) == ordered(timeline)
    return run


@given(rows=stream)
def test_equals_the_reference(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("stream")
    run = check(shared_engine("duckdb"), folder, rows)
    # A day comes out the same whether it is built alone or with all others.
    for day in sorted({row["day"] for row in rows}):
        near = [row for row in rows if abs((row["day"] - day).days) <= VIEWINGS.reach]
        alone = _viewings(folder / f"{day}", near)
        assert ordered(one for one in alone if one["day"] == day) == ordered(
            one for one in run.rows["video_viewings"] if one["day"] == day
        )


def _viewings(folder: Path, rows: list[dict[str, Any]]) -> list[Row]:
    assert VIEWINGS.sql is not None
    relation = write_days(folder, EVENTS, rows)
    found: list[Row] = shared_engine("duckdb").query(VIEWINGS.sql, {"events": relation}).to_pylist()
    return found


@pytest.mark.long
def test_equals_the_reference_on_many_rows(engine: Engine, tmp_path: Path) -> None:
    chance = random.Random(20210303)
    rows = []
    for _ in range(6000):
        time = NOON + timedelta(seconds=chance.randrange(0, 400_000, 7))
        kind = chance.choice([*video_reference.ACTIONS, "play_video"])
        here = round(chance.uniform(0, 300), 3)
        rows.append(
            {
                "day": time.date(), "time": time, "event_type": kind,
                "course_id": chance.choice(["course-v1:A+B+C", "A/B/C"]),
                "user_id": chance.randint(1, 60), "video_id": chance.choice("vw"),
                "position": here, "seek_from": here, "seek_to": round(chance.uniform(0, 300), 3),
                "duration": chance.choice([None, 310.0, 290.5]) if chance.random() < 0.1 else 310.0,
            }
        )  # fmt: skip
    check(engine, tmp_path, rows)
