"""The synthetic institution: sized as asked, always the same, with every oddity of real logs."""

import csv
import gzip
import ipaddress
import json
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
import zstandard

from studium.demo import Institution, write_institution
from studium.demo.courses import SYLLABI, draw_course
from studium.demo.files import Log
from studium.demo.people import draw_profile
from studium.demo.term import plan_term, unpack
from studium.errors import UsageError
from studium.sources.edx.course_keys import parse_course_key

EVENTS = 24_000


@dataclass(frozen=True)
class Line:
    """A line as a patient reader sees it; ``event`` is ``None`` if nothing can be read from it."""

    file_day: date
    text: bytes
    event: dict | None
    prefixed: bool = False

    @property
    def time(self) -> datetime:
        time = datetime.fromisoformat(self.event["time"])
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)

    @property
    def days_late(self) -> int:
        return (self.file_day - self.time.date()).days - 1


def read_packed(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(data)
    if path.suffix == ".zst":
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return data


def read_line(file_day: date, raw: bytes) -> Line:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return Line(file_day, raw, None)
    start = text.find("{")
    try:
        event = json.loads(text[max(start, 0) :])
    except ValueError:
        return Line(file_day, raw, None)
    usable = isinstance(event, dict) and "time" in event
    return Line(file_day, raw, event if usable else None, prefixed=start > 0)


@pytest.fixture(scope="module")
def institution(tmp_path_factory: pytest.TempPathFactory) -> Institution:
    return write_institution(tmp_path_factory.mktemp("demo"), events=EVENTS)


@pytest.fixture(scope="module")
def lines(institution: Institution) -> list[Line]:
    found = []
    for path in sorted((institution.folder / "logs").iterdir()):
        stamp = path.name.removeprefix("tracking.log-")[:8]
        day = datetime.strptime(stamp, "%Y%m%d").replace(tzinfo=UTC).date()
        rows = read_packed(path).split(b"\n")
        found += [read_line(day, row) for row in (rows if rows[-1] else rows[:-1])]
    return found


@pytest.fixture(scope="module")
def whole(lines: list[Line]) -> list[Line]:
    """Distinct events, each at its first line."""
    first: dict[str, Line] = {}
    for line in lines:
        if line.event is not None:
            first.setdefault(json.dumps(line.event, sort_keys=True), line)
    return list(first.values())


@pytest.fixture(scope="module")
def kinds(whole: list[Line]) -> Counter:
    return Counter((line.event["event_source"], line.event["event_type"]) for line in whole)


def table(institution: Institution, name: str) -> list[dict[str, str]]:
    with open(institution.folder / "lms" / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_size_is_met_within_a_tenth(institution: Institution) -> None:
    assert abs(institution.events - EVENTS) <= EVENTS / 10


@pytest.mark.parametrize(("events", "days"), [(2_000, 14), (5_000, 84), (9_000, 200)])
def test_small_and_odd_terms_are_met_too(tmp_path: Path, events: int, days: int) -> None:
    small = write_institution(tmp_path, events=events, days=days, start=date(2024, 2, 27))
    assert abs(small.events - events) <= events / 10
    assert small.until == date(2024, 2, 27) + timedelta(days=days)
    assert len(list((tmp_path / "logs").iterdir())) == days


@pytest.mark.parametrize("size", [{"events": 100}, {"days": 3}])
def test_too_small_is_refused_before_anything_is_written(tmp_path: Path, size: dict) -> None:
    with pytest.raises(UsageError, match="at least 2000 events and 14 days"):
        write_institution(tmp_path / "new", **size)
    assert not (tmp_path / "new").exists()


def test_the_counts_are_those_of_the_files(
    institution: Institution, lines: list[Line], whole: list[Line]
) -> None:
    assert institution.lines == len(lines)
    assert institution.events == len(whole)
    assert institution.broken_lines == sum(line.event is None for line in lines)
    assert institution.late_lines == sum(line.days_late > 0 for line in whole)


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two", "other")]
    for folder, seed in zip(folders, (3, 3, 4), strict=True):
        write_institution(folder, events=3_000, seed=seed)
    one, two, other = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}
        for folder in folders
    )
    assert one == two
    assert one.keys() == other.keys()
    logs = [name for name in one if name.parts[0] == "logs"]
    assert sum(one[name] != other[name] for name in logs) == len(logs)
    packed = [data for name, data in one.items() if name.suffix == ".gz"]
    assert {data[4:8] for data in packed} == {b"\0\0\0\0"}  # no time in the header


def test_progress_is_reported_after_every_day(tmp_path: Path) -> None:
    seen: list[int] = []
    done = write_institution(tmp_path, events=2_000, days=20, progress=seen.append)
    assert len(seen) == 20
    assert seen == sorted(seen)
    assert seen[-1] == done.events


def test_files_are_named_by_rotation_and_packed_differently(institution: Institution) -> None:
    paths = sorted((institution.folder / "logs").iterdir())
    days = [institution.since + timedelta(days=n) for n in range(1, 85)]
    assert [path.name[:21] for path in paths] == [f"tracking.log-{day:%Y%m%d}" for day in days]
    assert Counter(path.suffix for path in paths) == {".gz": 82, ".zst": 1, ".log": 1}


def test_events_lie_in_the_term_and_mostly_in_their_own_file(
    institution: Institution, whole: list[Line]
) -> None:
    days = [line.time.date() for line in whole]
    assert institution.since <= min(days)
    assert max(days) < institution.until
    assert set(days) == {institution.since + timedelta(days=n) for n in range(84)}
    lateness = Counter(line.days_late for line in whole)
    assert lateness[0] > 0.9 * len(whole)
    assert min(lateness) == 0
    assert max(lateness) > 2  # beyond the usual window around an interval


def test_late_events_come_from_the_app(whole: list[Line]) -> None:
    late = {line.event["event_source"] for line in whole if line.days_late > 0}
    assert late == {"mobile"}


def test_lines_break_in_several_ways(lines: list[Line]) -> None:
    broken = [line.text for line in lines if line.event is None]
    assert 0.0002 < len(broken) / len(lines) < 0.004
    assert any(text.startswith(b"{") and not text.endswith(b"}") for text in broken)
    assert any(b'"sent": "' in text for text in broken)  # whole, but without a time


def test_a_large_log_shows_every_kind_of_damage(tmp_path: Path) -> None:
    log = Log(Random(1))
    long, short = (
        json.dumps({"time": "2025-09-01T00:00:00+00:00", "event": "é" * size})
        for size in (3000, 30)
    )
    with log.rotate(tmp_path / "a.log"):
        log.write([long] * 5_000 + [short] * 30_000, "Sep  1 09:59:07")
    read = [
        read_line(date(2025, 9, 2), row) for row in read_packed(tmp_path / "a.log").split(b"\n")
    ]
    broken = [line.text for line in read if line.event is None]
    assert any(len(text) == 2043 for text in broken)
    assert any(b"\xd9" in text for text in broken)  # half a character
    assert any(text.count(b'{"time"') == 2 for text in broken)
    assert any(not text.startswith(b"{") for text in broken)
    assert any(b'"sent"' in text for text in broken)
    assert log.lines == len(read) - 1  # the text after the last newline is empty
    assert len(broken) - 1 == log.broken


def test_lines_are_repeated_in_the_same_file_and_in_the_next(lines: list[Line]) -> None:
    files = defaultdict(list)
    for line in lines:
        if line.event is not None:
            files[json.dumps(line.event, sort_keys=True)].append(line)
    repeated = [same for same in files.values() if len(same) > 1]
    assert any(same[0].file_day < same[1].file_day for same in repeated)
    assert any(same[0].file_day == same[1].file_day for same in repeated)
    assert any({line.prefixed for line in same} == {True, False} for same in repeated)


def test_lines_carry_prefixes_and_ragged_ends(institution: Institution, lines: list[Line]) -> None:
    assert sum(line.prefixed for line in lines) > 50
    assert any(line.text.endswith(b"}\r") for line in lines)
    assert any(line.text.endswith(b"}  \t") or line.text.endswith(b"} \t ") for line in lines)
    newest = max((institution.folder / "logs").iterdir())
    assert newest.read_bytes()[-1:] != b"\n"


def test_times_are_written_in_all_the_ways(whole: list[Line]) -> None:
    zones = Counter(line.event["time"][19:].lstrip(".0123456789") for line in whole)
    assert zones["+00:00"] > 0.9 * len(whole)
    assert zones["Z"] > 0
    assert zones[""] > 0
    assert zones["+05:30"] > 0
    assert any(zone.startswith("-") for zone in zones)
    assert any("." not in line.event["time"] for line in whole)


def test_courses_have_all_forms_of_keys(institution: Institution, whole: list[Line]) -> None:
    keys = [parse_course_key(course) for course in institution.courses]
    assert None not in keys
    assert {key.form for key in keys} == {"course-v1", "legacy", "ccx-v1"}
    assert any(not key.text.isascii() for key in keys)
    seen = {line.event["context"].get("course_id") for line in whole}
    assert seen == {*institution.courses, ""}


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        *(("browser", f"{verb}_video") for verb in ("load", "play", "pause", "seek", "stop")),
        ("browser", "speed_change_video"),
        ("browser", "problem_check"),
        ("browser", "problem_graded"),
        ("browser", "page_close"),
        ("browser", "seq_goto"),
        ("mobile", "play_video"),
        ("mobile", "pause_video"),
        ("server", "problem_check"),
        ("server", "showanswer"),
        ("server", "edx.grades.problem.submitted"),
        ("server", "edx.course.enrollment.activated"),
        ("server", "edx.course.enrollment.deactivated"),
        ("server", "edx.course.enrollment.mode_changed"),
        *(("server", f"edx.forum.{item}.created") for item in ("thread", "response", "comment")),
        ("server", "edx.forum.thread.voted"),
        ("server", "edx.forum.response.voted"),
        ("server", "/heartbeat"),
        ("server", "/dashboard"),
        ("task", "edx.grades.course.grade_calculated"),
    ],
)
def test_every_kind_of_event_occurs(kinds: Counter, source: str, kind: str) -> None:
    assert kinds[source, kind] > 0


def test_implicit_events_are_cut_at_512_characters(whole: list[Line]) -> None:
    payloads = [line.event["event"] for line in whole if line.event["event_type"][0] == "/"]
    cut = [payload for payload in payloads if len(payload) == 512]
    assert 0 < len(cut) < len(payloads) / 20
    assert all("POST" in payload for payload in cut)
    short = [json.loads(payload) for payload in payloads if len(payload) < 512]
    assert len(cut) + len(short) == len(payloads)
    assert all(payload.keys() == {"POST", "GET"} for payload in short)
    assert any(payload["POST"] for payload in short)


def test_some_events_are_anonymous(whole: list[Line]) -> None:
    users = {str(line.event["context"]["user_id"]) for line in whole}
    assert {"", "None"} < users
    assert "1001" in users


def submissions(whole: list[Line]) -> list[dict]:
    return [
        line.event["event"]
        for line in whole
        if (line.event["event_source"], line.event["event_type"]) == ("server", "problem_check")
    ]


def test_problems_have_many_types_parts_and_variants(whole: list[Line]) -> None:
    types, variants, sizes, success = set(), set(), set(), Counter()
    for event in submissions(whole):
        parts = event.get("submission", {})
        types |= {part["response_type"] for part in parts.values()}
        variants |= {part["variant"] for part in parts.values()}
        sizes.add(len(event["correct_map"]))
        success[event["success"]] += 1
        assert event["grade"] <= event["max_grade"] == len(event["correct_map"])
        assert all(part.isascii() for part in event["answers"])
    assert types == {
        "choiceresponse", "formularesponse", "imageresponse", "multiplechoiceresponse",
        "numericalresponse", "optionresponse", "stringresponse",
    }  # fmt: skip
    assert variants == {"", 1, 2, 3, 4}
    assert sizes >= {1, 2, 3}
    assert 0.3 < success["correct"] / success.total() < 0.8


def test_answers_are_monikers_texts_and_in_many_scripts(whole: list[Line]) -> None:
    events = submissions(whole)
    parts = [
        (event["answers"][part], given["answer"])
        for event in events
        for part, given in event.get("submission", {}).items()
    ]
    assert any(raw == "choice_1" and answer == "the median" for raw, answer in parts)
    assert any(isinstance(raw, list) and raw != answer for raw, answer in parts)
    texts = "".join(answer for raw, answer in parts if raw == answer and isinstance(raw, str))
    for piece in ("🤷", "אוויר", "ثاني", "二酸化炭素", "None", "nan"):
        assert piece in texts
    assert any("submission" not in event for event in events)  # an old release
    assert any(part.endswith("_dynamath") for event in events for part in event["answers"])


def test_each_submission_has_its_twin_in_the_browser(kinds: Counter) -> None:
    server, browser = kinds["server", "problem_check"], kinds["browser", "problem_check"]
    assert abs(server - browser) < 0.02 * server


def test_videos_are_watched_again_and_left_early(whole: list[Line]) -> None:
    back = ahead = to_the_end = 0
    reached = []
    for line in whole:
        kind = line.event["event_type"]
        if not kind.endswith("_video"):
            continue
        video = json.loads(line.event["event"])
        length = video.get("duration", 10_000)
        if kind == "seek_video":
            back += video["new_time"] < video["old_time"]
            ahead += video["new_time"] > video["old_time"]
            assert 0 <= video["new_time"] <= length
        elif kind in ("pause_video", "stop_video"):
            assert 0 < video["currentTime"] <= length + 1
            to_the_end += kind == "stop_video"
            reached.append(video["currentTime"] / length)
    assert back > ahead > 0
    assert 0.2 < to_the_end / len(reached) < 0.6
    assert min(reached) < 0.1


def test_some_videos_do_not_tell_their_length(whole: list[Line]) -> None:
    loads = [
        json.loads(line.event["event"])
        for line in whole
        if line.event["event_type"] == "load_video"
    ]
    known = sum("duration" in video for video in loads)
    assert 0 < len(loads) - known < known
    assert {video["code"] == "html5" for video in loads} == {True, False}


def test_enrollment_rises_around_the_start_and_then_ebbs(
    institution: Institution, whole: list[Line]
) -> None:
    course = institution.courses[0]
    first_week, change, active = 12 // 7, Counter(), defaultdict(set)
    for line in whole:
        week = (line.time.date() - institution.since).days // 7
        kind, payload = line.event["event_type"], line.event["event"]
        if kind.startswith("edx.course.enrollment.") and payload["course_id"] == course:
            name = kind.rsplit(".", 1)[1]
            change[week] += {"activated": 1, "deactivated": -1, "mode_changed": 0}[name]
        elif line.event["context"].get("course_id") == course and kind == "play_video":
            active[week].add(line.event["context"]["user_id"])
    total = change.total()
    curve = [sum(change[w] for w in range(week + 1)) for week in range(12)]
    assert 0.15 * total < curve[0]  # the wave of the announcement
    assert curve[3] > 0.85 * total  # stragglers are few
    assert max(curve) <= 1.1 * total
    assert not active[first_week - 1]
    peak = max(range(12), key=lambda week: len(active[week]))
    assert peak in (1, 2, 3, 4)
    assert len(active[9]) < 0.55 * len(active[peak])  # most have gone
    assert len(active[9]) > 0


def test_a_third_stops_after_the_second_or_third_week(tmp_path: Path) -> None:
    random = Random(5)
    courses = (draw_course(random, SYLLABI[0], 84),)
    term = plan_term(
        random, courses, days=84, weekday=0, events=200_000, on_learner=lambda *_: None
    )
    last: dict[int, int] = {}
    for day, packed in enumerate(term.visits):
        for item in packed:
            last[unpack(item)[1]] = day
    in_time = {n for n, e in enumerate(term.enrollments) if e.created < 12 * 86_400}
    weeks = Counter((last[n] - courses[0].start) // 7 + 1 for n in in_time if n in last)
    assert 0.3 < (weeks[2] + weeks[3]) / len(in_time) < 0.5
    assert 0.1 < (len(in_time) - weeks.total()) / len(in_time) < 0.25  # never came


def test_the_rhythm_is_that_of_evenings_and_working_days(whole: list[Line]) -> None:
    weekdays, hours = Counter(), Counter()
    for line in whole:
        if line.event["event_source"] == "browser":
            weekdays[line.time.weekday()] += 1
            if "nb;" in line.event["accept_language"]:  # learners in Norway, UTC + 1
                hours[(line.time.hour + 1) % 24] += 1
    assert weekdays[4] + weekdays[5] < weekdays[0] + weekdays[1]
    assert sum(hours[h] for h in range(18, 23)) > 4 * sum(hours[h] for h in range(1, 6))


def test_modes_are_upgraded(whole: list[Line]) -> None:
    modes = Counter(
        (line.event["event_type"].rsplit(".", 1)[1], line.event["event"]["mode"])
        for line in whole
        if line.event["event_type"].startswith("edx.course.enrollment.")
    )
    for change in (
        ("activated", "audit"),
        ("activated", "honor"),
        ("activated", "no-id-professional"),
        ("activated", "verified"),
        ("deactivated", "audit"),
        ("mode_changed", "verified"),
    ):
        assert modes[change] > 0


def test_addresses_belong_to_nobody_and_some_learners_travel(whole: list[Line]) -> None:
    seen = defaultdict(set)
    for line in whole:
        if line.event["ip"]:
            assert ipaddress.ip_address(line.event["ip"]).is_private  # reserved ones included
            seen[line.event["context"]["user_id"]].add(line.event["ip"])
    learners = {user: ips for user, ips in seen.items() if isinstance(user, int)}
    assert 0 < sum(len(ips) == 2 for ips in learners.values()) < len(learners) / 8
    assert all(len(ips) <= 2 for ips in learners.values())
    assert any(":" in ip for ips in learners.values() for ip in ips)


def look_up(database: bytes, address: str) -> dict | None:
    """A reader of MaxMind DB of its own, as slow and as plain as the format allows."""
    body, _, metadata = database.rpartition(b"\xab\xcd\xefMaxMind.com")
    count = decode(metadata, 0)[0]["node_count"]
    ip = ipaddress.ip_address(address)
    node = 0
    for bit in f"{int(ip):0128b}":
        record = 6 * node + 3 * int(bit)
        node = int.from_bytes(body[record : record + 3], "big")
        if node >= count:
            break
    data = body[6 * count + 16 :]
    return None if node == count else decode(data, node - count - 16)[0]


def decode(data: bytes, at: int) -> tuple:
    kind, size, at = data[at] >> 5, data[at] & 31, at + 1
    if kind == 0:
        kind, at = 7 + data[at], at + 1
    if size == 29:
        size, at = 29 + data[at], at + 1
    if kind == 7:
        found = {}
        for _ in range(size):
            key, at = decode(data, at)
            found[key], at = decode(data, at)
        return found, at
    if kind == 11:
        items = []
        for _ in range(size):
            item, at = decode(data, at)
            items.append(item)
        return items, at
    raw = data[at : at + size]
    return (raw.decode() if kind == 2 else int.from_bytes(raw, "big")), at + size


def test_the_invented_networks_have_countries(institution: Institution, whole: list[Line]) -> None:
    database = (institution.folder / "countries.mmdb").read_bytes()
    countries = Counter()
    for address in {line.event["ip"] for line in whole} - {""}:
        record = look_up(database, address)
        known = record is not None
        assert known != address.startswith(("10.", "192.0.2."))
        countries[record["country"]["iso_code"] if known else None] += 1
    assert countries["US"] > countries["KE"]
    assert countries[None] > 0
    assert len(countries) > 10
    assert look_up(database, "8.8.8.8") is None
    assert look_up(database, "2001:db8:f:1::1")["country"]["names"] == {"en": "Nepal"}


def test_names_are_written_in_many_scripts(institution: Institution, whole: list[Line]) -> None:
    usernames = {line.event["username"] for line in whole}
    assert {name for name in usernames if not name.isascii()}
    names = "".join(row["name"] for row in table(institution, "auth_userprofile.csv"))
    scripts = {unicodedata.name(letter).split()[0] for letter in names if letter.isalpha()}
    assert scripts >= {"LATIN", "CYRILLIC", "ARABIC", "DEVANAGARI", "CJK"}
    assert '"' in names


def test_forum_posts_answer_what_was_posted_before(whole: list[Line]) -> None:
    posted, answered = set(), set()
    for line in whole:
        if line.event["event_type"].startswith("edx.forum."):
            posted.add(line.event["event"]["id"])
            for key in ("discussion", "response"):
                answered |= {line.event["event"].get(key, {}).get("id")} - {None}
    assert answered
    assert len(answered - posted) <= 3  # whose own line was broken


def test_profiles_hold_missing_and_unknown_values(institution: Institution) -> None:
    profiles = table(institution, "auth_userprofile.csv")
    users = table(institution, "auth_user.csv")
    assert len(users) == institution.learners + 1
    assert 0 < len(users) - len(profiles) < len(users) / 5  # accounts without a profile
    assert {row["gender"] for row in profiles} == {"m", "f", "o", "", r"\N"}
    assert {"b", "hs", "", r"\N"} < {row["level_of_education"] for row in profiles}
    assert r"\N" in {row["year_of_birth"] for row in profiles}
    assert {row["email"].rpartition("@")[2] for row in users} == {"example.org"}
    assert all(len(row) == 11 and None not in row for row in profiles)


def test_profiles_know_every_code_and_one_that_nobody_knows() -> None:
    random = Random(1)
    profiles = [draw_profile(random, "Ada") for _ in range(3_000)]
    codes = ["el", "jhs", "hs", "a", "b", "m", "p", "p_se", "p_oth", "none", "other", "xyz"]
    assert {profile.level_of_education for profile in profiles} == {*codes, "", None}
    years = {profile.year_of_birth for profile in profiles}
    assert {None, 1900} < years
    assert max(years - {None}) == 2008


def test_grades_and_enrollments_go_with_the_events(
    institution: Institution, whole: list[Line]
) -> None:
    enrollments = table(institution, "student_courseenrollment.csv")
    grades = table(institution, "grades_persistentcoursegrade.csv")
    assert {row["course_id"] for row in enrollments} == set(institution.courses)
    assert {row["is_active"] for row in enrollments} == {"0", "1"}
    enrolled = {(row["user_id"], row["course_id"]) for row in enrollments}
    assert len(enrolled) == len(enrollments)
    assert {(row["user_id"], row["course_id"]) for row in grades} < enrolled
    for row in grades:
        assert 0 <= float(row["percent_grade"]) <= 1
        if row["letter_grade"]:
            assert row["passed_timestamp"] != r"\N"
            assert float(row["percent_grade"]) >= 0.5
    passed = sum(row["passed_timestamp"] != r"\N" for row in grades)
    assert 0.05 < passed / len(enrollments) < 0.5
    told = {
        (str(line.event["event"]["user_id"]), line.event["event"]["course_id"])
        for line in whole
        if line.event["event_type"].startswith("edx.course.enrollment.")
    }
    assert told <= enrolled
    assert len(told) > 0.97 * len(enrolled)  # a few events were lost


def test_the_catalog_lists_the_courses(institution: Institution) -> None:
    runs = json.loads((institution.folder / "lms" / "course_catalog.json").read_text("utf-8"))
    assert tuple(run["key"] for run in runs) == institution.courses
    assert {run["pacing_type"] for run in runs} == {"self_paced", "instructor_paced"}
    assert any(run["programs"] for run in runs)
