"""Learners cases: events of a course → what is counted, who is compared, and in which segment.

`rule` names the rule in `specs/edx-learners-api-insights` §5, or the section. Events are at noon
of Wednesday, 2021-03-03, unless they say otherwise; the last week is that of the Monday before.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import count
from typing import Any

from tests.spec.lines import NOON, Event, event

#: The last week is [03-01, 03-08), the one before [02-22, 03-01).
UNTIL = date(2021, 3, 8)
LAST, BEFORE, LONG_AGO = NOON, NOON - timedelta(7), NOON - timedelta(21)

PROBLEM = "block-v1:L+P+1+type@problem+block@{}"
FORUM = "edx.forum.{}.created"

_seconds = count()


def course_of(rule: str) -> str:
    return f"course-v1:{rule}+Learners+2021"


def at(time: datetime = NOON) -> str:
    """A time of its own: nothing may be the same event twice."""
    return (time + timedelta(milliseconds=next(_seconds))).isoformat() + "+00:00"


def check(
    rule: str, user: object = 1, problem: object = "p", time: datetime = NOON,
    success: object = "incorrect", **changes: Any,
) -> Event:  # fmt: skip
    """A server's ``problem_check``."""
    payload = {"problem_id": problem, "success": success}
    payload = {key: value for key, value in payload.items() if value is not ...}
    made: dict[str, Any] = {"time": at(time), "event": payload, **changes}
    return event("problem_check", user, course_of(rule), **made)


def play(
    rule: str, user: object = 1, video: object = "v", time: datetime = NOON, **changes: Any
) -> Event:
    """A browser's ``play_video``."""
    payload = {} if video is ... else {"id": video, "currentTime": 0}
    made = {"event_source": "browser", "time": at(time), "event": json.dumps(payload), **changes}
    return event("play_video", user, course_of(rule), **made)


def post(
    rule: str, user: object = 1, topic: object = "t", time: datetime = NOON, kind: str = "thread",
    **changes: Any,
) -> Event:  # fmt: skip
    """A post in a forum."""
    payload = {} if topic is ... else {"commentable_id": topic, "id": "post"}
    made: dict[str, Any] = {"time": at(time), "event": payload, **changes}
    return event(made.pop("event_type", FORUM.format(kind)), user, course_of(rule), **made)


@dataclass(frozen=True)
class Counted:
    """Events of one course → its rows of ``module_engagement``: user name, entity, event, count."""

    rule: str
    events: tuple[Event | str, ...]
    rows: str = ""
    course: str = ""

    @property
    def course_id(self) -> str:
        return self.course or course_of(self.rule)


_LONG = "x" * 300
_TRUNCATED = ('{"id": "v", "POST": "' + _LONG * 2)[:512]
_URL = "https://lms/courses/{}/about"
_BLOCK = "https://lms/xblock/block-v1:{}+Learners+2021+type@vertical+block@z?view"

COUNTED = [
    Counted("E02", tuple(play("E02", username=one) for one in ("", " \t\u3000\n", ...))),
    Counted("trimmed", tuple(play("trimmed", username=one) for one in (" bob ", "\n\tbob\u2003")),
            "bob video v viewed 2"),
    Counted("null", (play("null", username=None), check("null", success=None)),
            "u1 problem p attempted 1"),
    # Better than the original (§6.1, 2): no length rule, but accounts that were retired.
    Counted("long-name", (play("long-name", username="n" * 31),), f"{'n' * 31} video v viewed 1"),
    Counted("retired", (play("retired", username="retired__user_" + "0" * 40),)),
    Counted("E04", (play("E04", event_type=None),)),
    Counted("E05", (event("play_video", 1, ";;;;bad/id/val", event_source="browser",
                          page=_URL.format(course_of("E05")), event={"id": "v"}),)),
    Counted("E06", (play("E06", event="free text"), check("E06", event="free text"))),
    Counted("E07", (check("E07", event_source="browser"), check("E07", event_source=...))),
    Counted("E08", (check("E08"),), "u1 problem p attempted 1"),
    Counted("E08-absent", (check("E08-absent", success=...),), "u1 problem p attempted 1"),
    Counted("E09", (check("E09", success="correct"),),
            "u1 problem p attempted 1, u1 problem p completed 1"),
    Counted("E09-case", tuple(check("E09-case", success=one) for one in ("CorRect", "corrects")),
            "u1 problem p attempted 2, u1 problem p completed 1"),
    Counted("E10", (check("E10", problem=...), play("E10", video=...), post("E10", topic=...),
                    check("E10", problem=""), play("E10", video="\n "), post("E10", topic=""))),
    Counted("E11", tuple(play("E11") for _ in range(4)), "u1 video v viewed 4"),
    Counted("E12", (event("problem_check", 1, "Org/Learners/2021",
                          event={"problem_id": "i4x://Org/L/problem/p", "success": "correct"}),),
            "u1 problem i4x://Org/L/problem/p attempted 1, "
            "u1 problem i4x://Org/L/problem/p completed 1", "Org/Learners/2021"),
    Counted("E12-new", (check("E12-new", problem=PROBLEM.format("p")),),
            f"u1 problem {PROBLEM.format('p')} attempted 1"),
    Counted("E13", ("Dec 17 host tracking: " + json.dumps(play("E13")),
                    json.dumps(play("E13"))[:-30]), "u1 video v viewed 1"),
    Counted("E14", tuple(play("E14", event=one) for one in ("", "a=3,b=4", ["v"], _TRUNCATED))),
    Counted("E15", (event("play_video", 1, "", event_source="browser", event={"id": "v"},
                          page=_BLOCK.format("E15")),
                    event("play_video", 2, "", event_source="browser", event={"id": "v"},
                          page="https://lms/xblock/block-v1:E15+B?view")), "u1 video v viewed 1"),
    Counted("any-source", (play("any-source", event_source="mobile"),
                           play("any-source", event_source="server"),
                           post("any-source", event_source="browser")),
            "u1 discussion t contributed 1, u1 video v viewed 2"),
    Counted("newline", (play("newline", video="\nv "),), "u1 video v viewed 1"),
    Counted("forum", (*(post("forum", kind=kind) for kind in ("thread", "response", "comment")),
                      *(post("forum", event_type=f"edx.forum.{kind}")
                        for kind in ("thread.voted", "searched", "thread.viewed", "created.x"))),
            "u1 discussion t contributed 3"),
    Counted("forum-bare", (post("forum-bare", event_type="edx.forum.created"),),
            "u1 discussion t contributed 1"),
    Counted("others", (event("pause_video", 1, course_of("others"), event={"id": "v"}),
                       event("/courses/x/", 1, course_of("others")))),
    Counted("long-id", (play("long-id", video=_LONG), play("long-id", video=_LONG + "y")),
            f"u1 video {_LONG[:255]} viewed 2"),
    Counted("two-learners", (play("two-learners"), play("two-learners", user=2)),
            "u1 video v viewed 1, u2 video v viewed 1"),
]  # fmt: skip
# ``...`` leaves a field out.
for _one in COUNTED:
    for _event in _one.events:
        if isinstance(_event, dict):
            for _name in [name for name, value in _event.items() if value is ...]:
                del _event[_name]


@dataclass(frozen=True)
class Summed:
    """Events of one learner in a course → the row of the week, as in §1.5; ``None`` is infinite."""

    rule: str
    events: tuple[Event, ...]
    attempts: int = 0
    attempted: int = 0
    completed: int = 0
    ratio: float | None = None
    videos: int = 0
    posts: int = 0
    days: int = 1


_DAY = timedelta(1)
SUMMED = [
    Summed("E16", (check("E16"), check("E16", time=NOON + _DAY)), 2, 1, days=2),
    Summed("E17", (*(check("E17") for _ in range(3)), check("E17", success="correct")),
           4, 1, 1, 4.0),
    Summed("E17-two", (*(check("E17-two") for _ in range(3)),
                       *(check("E17-two", problem=p, success="correct") for p in "pq")),
           5, 2, 2, 2.5),
    Summed("E18-video", (play("E18-video"), play("E18-video"), play("E18-video", video="w")),
           videos=2),
    Summed("E18-post", (post("E18-post"),), posts=1),
    Summed("E19", (post("E19"), post("E19", topic="s"), post("E19", topic="s")), posts=3),
    # E01: the day after the last is in the day table and in no week; the week's first day is in.
    Summed("E01", (play("E01", time=datetime(2021, 3, 8)), play("E01", time=datetime(2021, 3, 1)),
                   play("E01", time=datetime(2021, 2, 28, 23, 59), video="w")), videos=1),
]  # fmt: skip


@dataclass(frozen=True)
class Compared:
    """Values of a metric in a course → its ranges (§1.6); ``INF`` is infinite."""

    rule: str
    values: tuple[float, ...]
    ranges: dict[str, tuple[float, float]]
    metric: str = "discussion_contributions"
    segments: dict[int, str] = field(default_factory=dict)
    """By learner, numbered from 1 as the values are; nobody else is in one."""

    @property
    def events(self) -> Iterable[Event]:
        """Every learner plays a video, so that those with 0 are there, too."""
        if not self.values:
            yield play(self.rule)
        for user, value in enumerate(self.values, 1):
            if self.metric == "problems_attempted":
                yield from (check(self.rule, user) for _ in range(int(value)))
            elif self.metric != RATIO:
                yield play(self.rule, user)
                yield from (post(self.rule, user) for _ in range(int(value)))
            elif value == INF:
                yield check(self.rule, user)
            else:
                yield from (check(self.rule, user) for _ in range(int(value) - 1))
                yield check(self.rule, user, success="correct")


INF = float("inf")
RATIO = "problem_attempts_per_completed"
MUCH, STRUGGLES = "highly_engaged", "struggling"
COMPARED = [
    Compared("ex1", (4, *[13] * 3, *[15] * 4, *[50] * 11, 154),
             {"low": (0, 13), "normal": (13, 50), "high": (50, INF)},
             segments=dict.fromkeys(range(9, 21), MUCH)),
    Compared("ex2-E20", (5,) * 6, {"low": (0, 5), "normal": (5, INF)}),
    Compared("ex3-E21", (0,) * 3, {"normal": (0, INF)}),
    Compared("ex4", (1, 0, 0, 0), {"normal": (0, 0.55), "high": (0.55, INF)}, segments={1: MUCH}),
    Compared("ex5", (*[0] * 3, *[1] * 10, *[2] * 4),
             {"low": (0, 0.4), "normal": (0.4, 2), "high": (2, INF)},
             segments=dict.fromkeys(range(14, 18), MUCH)),
    Compared("ex6", (1, 2, 3, 4, 5, 6, 7, INF),
             {"low": (0, 2.05), "normal": (2.05, 6.95), "high": (6.95, INF)}, RATIO,
             {7: STRUGGLES, 8: STRUGGLES}),
    Compared("ex7-E25", (1, 2, 3, INF, INF),
             {"low": (0, 1.6), "normal": (1.6, INF), "high": (INF, INF)}, RATIO,
             {4: STRUGGLES, 5: STRUGGLES}),
    Compared("ex8-E23", (1, INF, INF, INF), {"low": (0, INF), "normal": (INF, INF)}, RATIO),
    Compared("ex9", (INF,), {"low": (0, INF), "normal": (INF, INF)}, RATIO),
    # Not rebuilt: it read the percentile as infinite although the exact rank has 1.
    Compared("defect", (*[1] * 18, *[INF] * 3), {"low": (0, 1), "normal": (1, INF)}, RATIO),
    Compared("E22", (), {"normal": (0, INF)}, RATIO),
    # The value at the bound is in the range: position 17 of 0 to 20.
    Compared("E24", tuple(range(1, 22)), {"low": (0, 4), "normal": (4, 18), "high": (18, INF)},
             segments=dict.fromkeys(range(18, 22), MUCH)),
    # Many attempts alone are no engagement; in a high range of their own they do not count.
    Compared("E26", tuple(range(1, 9)), {"low": (0, 1), "normal": (1, INF)}, "problems_attempted"),
    # Half the class is high when half the class ties (§6.1, 7: considered, and left).
    Compared("ties", (*[0] * 5, *[1] * 5), {"normal": (0, 1), "high": (1, INF)},
             segments=dict.fromkeys(range(6, 11), MUCH)),
]  # fmt: skip


def enroll(
    rule: str, user: int, time: datetime, kind: str = "activated", mode: str = "audit"
) -> Event:
    """An enrollment event."""
    payload = {"course_id": course_of(rule), "user_id": user, "mode": mode}
    kind = f"edx.course.enrollment.{kind}"
    return event(kind, user, course_of(rule), time=at(time), event=payload)


_MODE, _OUT = "mode_changed", "deactivated"
_FEB = datetime(2021, 2, 23, 9)
ROSTER = (
    *(enroll("roster", user, _FEB) for user in range(901, 909)),
    enroll("roster", 909, _FEB, _MODE, "honor"),
    enroll("roster", 901, _FEB + _DAY, _MODE, "verified"),
    *(enroll("roster", user, LAST, _OUT) for user in (904, 905)),
    play("roster", 901), play("roster", 901, time=BEFORE), play("roster", 902, time=BEFORE),
    play("roster", 904), play("roster", 906),
    # Renamed between the two.
    play("roster", 908, username="old908"), play("roster", 908, time=NOON + _DAY),
    # Nobody enrolled, but seen: no row.
    play("roster", 910),
    # Retired after that: nobody's any more.
    enroll("roster", 911, _FEB), play("roster", 911), check("roster", 911, success="correct"),
    # No account is known, but the names that were logged.
    enroll("roster", 912, _FEB), play("roster", 912, username="z912"),
    play("roster", 912, username="u912", time=NOON + _DAY),
)  # fmt: skip
LMS: dict[str, list[dict[str, Any]]] = {
    "auth_user": [
        {"user_id": n, "username": "retired__user_1" if n == 911 else f"u{n}"}
        for n in range(901, 920)
        if n not in (907, 912)
    ],
    "auth_userprofile": [
        {"user_id": n, "gender": "f", "year_of_birth": 1990, "level_of_education": "b"}
        for n in range(901, 920)
        if n != 906
    ],
    "auth_userprofile_contact": [
        {"user_id": 901, "name": "Daniel  O’Neill-Smith", "language": "en", "city": "Bergen",
         "country": "NO"},
        {"user_id": 902, "name": "ŁUKASZ Straße 字", "city": "x" * 300},
        {"user_id": 903, "name": None},
    ],
    "auth_user_contact": [{"user_id": n, "email": f"U{n}@Example.org"} for n in range(901, 920)],
    "course_groups_courseusergroup": [
        {"group_id": 1, "course_id": course_of("roster"), "name": "Blue", "group_type": "cohort"},
        {"group_id": 2, "course_id": course_of("roster"), "name": "Beta", "group_type": "content"},
        {"group_id": 3, "course_id": course_of("roster"), "name": "Red", "group_type": "cohort"},
        {"group_id": 4, "course_id": course_of("roster"), "name": "Green", "group_type": None},
        {"group_id": 5, "course_id": course_of("E16"), "name": "Other", "group_type": "cohort"},
    ],
    "course_groups_courseusergroup_users": [
        {"group_id": group, "user_id": user}
        for group, user in ((1, 901), (2, 902), (3, 903), (4, 903), (5, 904))
    ],
}  # fmt: skip
#: Learner → mode, first day enrolled, cohort, segments.
STATES = {
    901: ("verified", date(2021, 2, 23), "Blue", ""),
    902: ("audit", date(2021, 2, 23), None, "disengaging"),
    903: ("audit", date(2021, 2, 23), "Green", "inactive"),
    904: ("audit", date(2021, 2, 23), None, "unenrolled"),
    905: ("audit", date(2021, 2, 23), None, "unenrolled,inactive"),
    908: ("audit", date(2021, 2, 23), None, ""),
    909: ("honor", None, None, "unenrolled,inactive"),
}
