"""Video cases: events of one course → viewings, segments, the row of the video.

`rule` names the rule in `specs/edx-activity-video-answers` §6, or the section. Times are seconds
after noon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.spec.lines import Event, event, video_event

Viewing = tuple[int, float, float, str]


@dataclass(frozen=True)
class Case:
    """``viewings``: learner, start, end, ended by. ``segments``: number → users, views.

    ``video``: duration, users_at_start, users_at_end, total_viewed_seconds. None: not looked at.
    """

    rule: str
    events: tuple[Event, ...]
    viewings: Sequence[Viewing] | None = None
    segments: dict[int, tuple[int, int]] | None = None
    video: tuple[int, int, int, int] | None = None
    duration: float | None = field(default=None)
    """As the viewings have it, where that is looked at."""

    @property
    def course_id(self) -> str:
        return course_of(self.rule)


def course_of(rule: str) -> str:
    return f"course-v1:{rule}+Video+2021"


class Log:
    """Events of one case, in the order of writing, which is that of time unless ``at`` is given."""

    def __init__(self, rule: str, video: object = "v", **always: Any) -> None:
        self.course, self.video, self.always = course_of(rule), video, always
        self.rule, self.at, self.events = rule, 0.0, list[Event]()

    def add(self, action: str, at: float | None, user: object, **payload: Any) -> Log:
        self.at = self.at + 1 if at is None else at
        fields = {**self.always, **payload}
        fields = {key: value for key, value in fields.items() if value is not ...}
        self.events.append(
            video_event(action, self.at, self.course, user, fields.pop("id", self.video), **fields)
        )
        return self

    def play(self, position: object, at: float | None = None, user: object = 1, **p: Any) -> Log:
        return self.add("play", at, user, currentTime=position, **p)

    def pause(self, position: object, at: float | None = None, user: object = 1, **p: Any) -> Log:
        return self.add("pause", at, user, currentTime=position, **p)

    def stop(self, position: object, at: float | None = None, user: object = 1, **p: Any) -> Log:
        return self.add("stop", at, user, currentTime=position, **p)

    def seek(
        self, old: object, new: object, at: float | None = None, user: object = 1, **p: Any
    ) -> Log:
        return self.add("seek", at, user, old_time=old, new_time=new, **p)

    def other(self, kind: str, **changes: Any) -> Log:
        self.events.append(event(kind, 1, self.course, **changes))
        return self

    def view(self, start: float, end: float, user: int = 1, **p: Any) -> Log:
        return self.play(start, user=user, **p).pause(end, user=user, **p)

    def gives(self, *viewings: Viewing, **expected: Any) -> Case:
        return Case(self.rule, tuple(self.events), viewings, **expected)

    def shows(self, **expected: Any) -> Case:
        return Case(self.rule, tuple(self.events), **expected)


def _crowd(log: Log, *spans: tuple[int, int, int]) -> Log:
    """Learners, from 1, who watch the segments from … to …, both included: (number, from, to)."""
    user = 0
    for number, first, last in spans:
        for _ in range(number):
            user += 1
            log.view(5 * first + 0.5, 5 * last + 4.5, user)
    return log


def _positions(rule: str, *values: object) -> list[Case]:
    return [Log(f"{rule}-{n}").play(value).pause(9).gives() for n, value in enumerate(values)]


PAUSE, SEEK, STOP = "pause_video", "seek_video", "stop_video"
SIMPLE = ((1, 0, 3, PAUSE),)

STATES = [
    Log("V1").play(0).other("play_video", event=None).other("pause_video", event="")
    .other("x", event_type=None).gives(),
    Log("V2").play(0).other("edx.video.played").other("/foo/bar").other("speed_change_video")
    .pause(3).gives(*SIMPLE),
    *_positions("V4", ...),
    Log("V4-stop").play(0).stop(...).gives(),
    Log("V5-missing").play(0).pause(3).play(2).pause(...).gives(*SIMPLE, video=(4, 1, 1, 5)),
    Log("V5-zero").play(0).pause(...).play(0).pause(2).gives((1, 0, 2, PAUSE)),
    Log("V5-null").play(0).pause(None).pause(3).gives(*SIMPLE),
    *_positions("V6", 928374757012, "lskd", "", "nan", "inf", -5, None, [1], True and "  "),
    Log("V7").play(0).seek(3, ...).seek(..., 3).seek(None, 1).seek("x", 1).seek(1, -2).pause(3)
    .gives(*SIMPLE),
    Log("V8").play(0).seek("5", " 7 ").play(5).pause(9).gives((1, 0, 5, SEEK), (1, 7, 9, PAUSE)),
    Log("V9").play(35990).pause(36000).play(3).pause(36000.1).gives((1, 35990, 36000, PAUSE)),
    Log("V13").play(0).pause(3).gives(*SIMPLE),
    Log("V14").pause(3, at=9).play(0, at=4).gives(*SIMPLE),
    Log("V15").play(0).pause(3).play(0).stop(5).gives((1, 0, 3, PAUSE), (1, 0, 5, STOP)),
    Log("V16").play(0).seek(3, 2).play(2).pause(5).gives((1, 0, 3, SEEK), (1, 2, 5, PAUSE)),
    Log("V17").play(0).seek(3, 8).play(3).pause(11).gives((1, 0, 3, SEEK), (1, 8, 11, PAUSE)),
    Log("V18").play(0, 0).play(1, .1).play(2, .2).play(3, .3).play(4, .4).play(5, .5).play(6, .6)
    .pause(9).gives((1, 6, 9, PAUSE)),
    Log("V19").seek(3, 50).pause(4).play(0).pause(3).pause(4).gives(*SIMPLE),
    Log("V20").play(0).gives(),
    Log("V21").play(0).other("load_video").other("hide_transcript").pause(3).gives(*SIMPLE),
    Log("V22").play(0).pause(0.1).play(3).pause(0).gives(),
    Log("V23").play(1).pause(1.25).play(2).pause(2.249).gives((1, 1, 1.25, PAUSE)),
    Log("V24", duration=62).play(50).pause(62.9).play(60).pause(66).gives((1, 50, 62.9, PAUSE)),
    Log("V25", duration=10).play(5).pause(11).play(5).pause(11.01).gives((1, 5, 11, PAUSE)),
    Log("V28").play(0).pause(3, duration=100).gives(*SIMPLE, video=(4, 1, 1, 5)),
    # Better than the original: a seek comes before the play of its instant.
    Log("V29").play(0).seek(3, 8, at=5).play(3, at=5).pause(11).gives(
        (1, 0, 3, SEEK), (1, 8, 11, PAUSE)
    ),
    Log("V29-pause").play(0).pause(3, at=5).play(3, at=5).pause(7).gives(*SIMPLE, (1, 3, 7, PAUSE)),
    # Better: the last of several seeks.
    Log("V30").play(0).seek(3, 10).seek(10, 50).play(50).pause(54).gives(
        (1, 0, 3, SEEK), (1, 50, 54, PAUSE)
    ),
    Log("seek-then-pause").play(0).seek(3, 10).pause(10).play(3).pause(14).gives(
        (1, 0, 3, SEEK), (1, 10, 14, PAUSE)
    ),
    Log("seek-while-paused").play(0).pause(3).seek(3, 50).play(51).pause(54).gives(
        *SIMPLE, (1, 51, 54, PAUSE)
    ),
    Log("rejected-seek").play(5).seek(3, 10).play(4).pause(14).gives((1, 10, 14, PAUSE)),
    Log("other-learner").play(0).play(5, user=2).pause(3).pause(9, user=2).gives(
        *SIMPLE, (2, 5, 9, PAUSE)
    ),
    Log("other-video").play(0).play(5, id="w").pause(3).pause(9, id="w").gives(
        *SIMPLE, (1, 5, 9, PAUSE)
    ),
    Log("any-source").play(0).other("pause_video", event={"id": "v", "currentTime": 3},
        time="2021-03-03T12:00:09Z").gives(*SIMPLE),
    Log("A.2.4-two-files").play(0).pause(50).gives(
        (1, 0, 50, PAUSE), segments=dict.fromkeys(range(11), (1, 1))
    ),
    Log("A.2.4-again").view(0, 9.9).view(0, 9.9).gives(
        (1, 0, 9.9, PAUSE), (1, 0, 9.9, PAUSE), segments={0: (1, 2), 1: (1, 2)}
    ),
]  # fmt: skip

PAYLOADS = [
    *(
        Log(f"V10-{n}", duration=value).view(0, 3).gives(*SIMPLE, video=(4, 1, 1, 5))
        for n, value in enumerate([None, 0, "", ..., -7, "long"])
    ),
    Log("V10-text", duration="62").view(0, 3).gives(*SIMPLE, duration=62.0),
    Log("V11", video="vidéo-字-😀").view(0, 3).gives(*SIMPLE),
    Log("V12", video="\nv").play(0).pause(3, id="v").gives(*SIMPLE),
    *(
        Log(f"no-id-{n}", video=value).view(0, 3).gives()
        for n, value in enumerate([None, "", 7, ["v"], "x" * 256])
    ),
]

USAGE = [
    Log("V31").view(0, 4.99).shows(segments={0: (1, 1)}, video=(4, 1, 1, 5)),
    Log("V32").view(0, 4.6).view(4.6, 4.9).shows(segments={0: (1, 2)}),
    Log("V33").view(0, 10.2).shows(segments={0: (1, 1), 1: (1, 1), 2: (1, 1)}),
    Log("V34").view(0, 5.0).shows(segments={0: (1, 1), 1: (1, 1)}),
    Log("V35").view(5, 9).view(15, 19).shows(segments={1: (1, 1), 3: (1, 1)}),
    Log("V36").view(0, 5, duration=10).view(0, 4, 2, duration=50).shows(video=(50, 2, 0, 15)),
    Log("V37").view(0, 4, duration=100).view(0, 9).shows(video=(9, 1, 1, 15)),
    Log("V38").view(0, 4).view(5, 9).view(12, 16).shows(
        segments={0: (1, 1), 1: (1, 1), 2: (1, 1), 3: (1, 1)}, video=(19, 1, 1, 20)
    ),
    Log("V39", duration=9.2).view(6, 8).shows(segments={1: (1, 1)}, video=(9, 0, 1, 5)),
    _crowd(Log("V40"), (3, 0, 0), (1, 20, 20)).view(90.5, 99.5, 1).view(90.5, 99.5, 2)
    .view(90.5, 99.5, 3).shows(
        segments={0: (3, 3), 18: (3, 3), 19: (3, 3), 20: (1, 1)}, video=(104, 3, 3, 50)
    ),
    _crowd(Log("V41-cut"), (19, 0, 9), (1, 0, 19)).shows(
        segments=dict.fromkeys(range(10), (20, 20)), video=(49, 20, 20, 1000)
    ),
    _crowd(Log("V41-none"), (18, 0, 9), (2, 0, 19)).shows(video=(99, 20, 2, 1100)),
    _crowd(Log("V41-gradual"), *((1, 0, n) for n in range(12))).shows(video=(59, 12, 1, 390)),
    _crowd(Log("V41-twice"), (97, 0, 0), (2, 0, 3), (1, 0, 2), (97, 2, 2)).shows(
        segments={0: (100, 100), 1: (3, 3), 2: (100, 100)}, video=(14, 100, 100, 1015)
    ),
    *(
        Log(f"V42-{duration}", duration=duration).view(0, 3)
        .view(5 * segment + 0.5, 5 * segment + 1.5, 2)
        .shows(video=(duration, 2 if segment == 0 else 1, 2 if segment == 0 else 1, 10))
        for duration, segment in (
            (10, 1), (100, 19), (650, 124), (4, 0), (24, 4), (444, 84), (600, 114), (1200, 234)
        )
    ),
    # Better: nothing behind the end, even if the last segment itself was not watched.
    Log("V43", duration=9.2).view(0, 3).view(10.0, 10.1 + 0.1).view(5, 4).shows(
        segments={0: (1, 1)}, video=(9, 1, 0, 5)
    ),
    Log("long-ids", video="y" * 250).view(0, 3).shows(segments={0: (1, 1)}),
]  # fmt: skip

#: §8, video_timeline.log.
TIMELINE = [
    Log("8-A", duration=24).play(0, 0, 10001).seek(14.234121, 7.345, 1, 10001)
    .play(7.345, 2, 10001).seek(14.234121, 17, 3, 10001).play(14, 4, 10001)
    .pause(21.4, 5, 10001).play(21.4, 6, 10001).pause(24.9, 7, 10001)
    .play(0, 0, 10002).pause(9.9, 9, 10002).play(15.3, 0, 10003).pause(24.9, 9, 10003)
    .gives(
        (10001, 0, 14.234121, SEEK), (10001, 7.345, 14.234121, SEEK), (10001, 17, 21.4, PAUSE),
        (10001, 21.4, 24.9, PAUSE), (10002, 0, 9.9, PAUSE), (10003, 15.3, 24.9, PAUSE),
        segments={0: (2, 2), 1: (2, 3), 2: (1, 2), 3: (2, 2), 4: (2, 3)}, video=(24, 2, 2, 60),
    ),
    Log("8-B", duration=24).view(10, 20).shows(
        segments={2: (1, 1), 3: (1, 1), 4: (1, 1)}, video=(24, 0, 1, 15)
    ),
    Log("8-C").view(0, 4).shows(video=(4, 1, 1, 5)),
    Log("8-D", duration=444).view(0, 4).shows(video=(444, 1, 0, 5)),
]  # fmt: skip

CASES = [*STATES, *PAYLOADS, *USAGE, *TIMELINE]
