"""The outer members of every event, by source, and the ways of writing its time.

Shapes: specs/edx-enrollment-geography §1.4–1.6. Lines are put together from pieces of JSON text,
because a term of ten million events has to be written in minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from json.encoder import encode_basestring_ascii

from studium.demo.courses import HOSTS, QUOTES, Both, Course
from studium.demo.people import Learner

SECOND = 1_000_000
DAY = 86_400 * SECOND
"""Times of events are microseconds since the first log day, 00:00 UTC."""

IMPLICIT_LIMIT = 512
"""Characters of the payload of an implicit event; the rest was cut off by the LMS (§1.6)."""

AGENTS = tuple(
    encode_basestring_ascii(agent)
    for agent in (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/128.0.0.0 Safari/537.36",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Version/17.5 Safari/605.1.15",
        "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0",
        "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)",
        "Mozilla/5.0 (Windows NT 6.1; rv:115.0) Gecko/20100101 Firefox/115.0",
    )
)
APP_AGENT = '"Dalvik/2.1.0 (Linux; U; Android 14; Demo) edX/org.example.mobile"'

Stamp = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Calendar:
    """Texts of the days, from a week before the first log day, of the seconds of a day, and of
    thousand numbers: looking them up is three times as fast as formatting."""

    days: tuple[str, ...]
    seconds: tuple[str, ...]
    thousand: tuple[str, ...]

    def utc(self, time: int) -> str:
        """As the LMS writes it: UTC, microseconds, ``+00:00``."""
        second = time // SECOND
        fraction = time - second * SECOND
        day = second // 86_400
        thousand = self.thousand
        return (
            f"{self.days[day + 7]}{self.seconds[second - day * 86_400]}"
            f"{thousand[fraction // 1000]}{thousand[fraction % 1000]}+00:00"
        )

    def zulu(self, time: int) -> str:
        return self.naive(time) + "Z"

    def naive(self, time: int) -> str:
        """As servers wrote it before 2014: UTC without saying so."""
        return self.utc(time)[:26]

    def whole(self, time: int) -> str:
        """``isoformat()`` leaves a fraction of zero out."""
        return self.utc(time)[:19] + "+00:00"

    def at_offset(self, minutes: int) -> Stamp:
        """The local time of an app that does not know better; the instant is the same."""
        sign = "-" if minutes < 0 else "+"
        zone = f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
        return lambda time: self.naive(time + minutes * 60 * SECOND) + zone


def draw_calendar(start: date, days: int) -> Calendar:
    minutes = [f"T{minute // 60:02d}:{minute % 60:02d}" for minute in range(1440)]
    seconds = [f":{second:02d}." for second in range(60)]
    return Calendar(
        days=tuple((start + timedelta(days=day)).isoformat() for day in range(-7, days + 8)),
        seconds=tuple(minute + second for minute in minutes for second in seconds),
        thousand=tuple(f"{number:03d}" for number in range(1000)),
    )


@dataclass(slots=True)
class Session:
    """A visit of one learner to one course: the pieces that all its events share.

    ``way`` is the web server, 0 or 1, and with it the encoding of non-ASCII text.
    """

    way: int
    stamp: Stamp
    user_id: str
    context: str
    organisation: str
    who: str
    language: str
    browser: str


def open_session(
    learner: Learner,
    course: Course,
    *,
    way: int,
    stamp: Stamp,
    key: int,
    address: str,
    by_app: bool = False,
) -> Session:
    """``key`` has 128 bits."""
    course_id, org = course.quoted_id[way], course.quoted_org[way]
    agent = APP_AGENT if by_app else AGENTS[learner.agent]
    context = (
        f'"course_id": {course_id}, "course_user_tags": {{}}, '
        f'"user_id": {learner.user_id}, "path": '
    )
    organisation = f', "org_id": {org}, "enterprise_uuid": ""'
    who = (
        f'}}, "username": {QUOTES[way](learner.username)}, "session": "{key:032x}", '
        f'"ip": "{address}", "agent": {agent}, "host": "{HOSTS[way]}", "referer": '
    )
    return Session(
        way=way,
        stamp=stamp,
        user_id=str(learner.user_id),
        context=context,
        organisation=organisation,
        who=who,
        language=f', "accept_language": "{learner.country.language};q=0.9,en;q=0.5", "event": ',
        browser=f'{context}"/event"{organisation}{who}',
    )


def outside(session: Session) -> Session:
    """The same visit on a page that belongs to no course."""
    context = f'"course_id": "", "user_id": {session.user_id}, "path": '
    return replace(session, context=context, organisation=', "org_id": ""')


def browser(session: Session, time: int, name: str, payload: str, page: str) -> str:
    """An event emitted by JavaScript. ``payload`` is JSON text, mostly of a string."""
    return (
        f'{{"name": "{name}", "context": {{{session.browser}{page}{session.language}{payload}, '
        f'"time": "{session.stamp(time)}", '
        f'"event_type": "{name}", "event_source": "browser", "page": {page}}}'
    )


def server(
    session: Session,
    time: int,
    name: str,
    payload: str,
    path: str,
    page: str,
    more: str = "",
    module: str = "null",
) -> str:
    """An event emitted by the LMS. ``more`` are further members of the context."""
    return (
        f'{{"name": "{name}", "context": {{{session.context}{path}{session.organisation}{more}'
        f'{session.who}{page}{session.language}{payload}, "time": "{session.stamp(time)}", '
        f'"event_type": "{name}", "event_source": "server", "page": {module}}}'
    )


def implicit(session: Session, time: int, path: str, post: str, get: str, page: str) -> str:
    """One request to the LMS. ``post`` and ``get`` are members of JSON objects."""
    payload = f'{{"POST": {{{post}}}, "GET": {{{get}}}}}'[:IMPLICIT_LIMIT]
    return (
        f'{{"name": {path}, "context": {{{session.context}{path}{session.organisation}'
        f"{session.who}{page}{session.language}{encode_basestring_ascii(payload)}, "
        f'"time": "{session.stamp(time)}", '
        f'"event_type": {path}, "event_source": "server", "page": null}}'
    )


def mobile(session: Session, time: int, name: str, raw_name: str, payload: str, sent: int) -> str:
    """An event of the app in the shape to which the LMS rewrites it; it arrived at ``sent``."""
    return (
        f'{{"name": "{raw_name}", "context": {{{session.context}'
        f'"/segmentio/event"{session.organisation}, "application": {{"name": '
        f'"edx.mobileapp.android", "version": "4.1.0"}}, "component": "videoplayer", '
        f'"received_at": "{session.stamp(sent)}"{session.who}""{session.language}{payload}, '
        f'"time": "{session.stamp(time)}", "event_type": "{name}", "event_source": "mobile", '
        f'"page": null}}'
    )


def anonymous(stamp: str, path: str, host: str, agent: str, address: str, user_id: str) -> str:
    """A request without login: health checks, crawlers, visitors. ``path`` is JSON text and
    ``user_id`` is ``""`` or ``null``."""
    return (
        f'{{"username": "", "host": "{host}", "event_source": "server", "event_type": {path}, '
        f'"context": {{"user_id": {user_id}, "org_id": "", "course_id": "", "path": {path}}}, '
        f'"time": "{stamp}", "ip": "{address}", "event": "{{\\"POST\\": {{}}, \\"GET\\": {{}}}}", '
        f'"agent": {agent}, "page": null}}'
    )


def background_task(stamp: str, course: Course, way: int, user_id: int, key: int) -> str:
    """A grade computed by a worker: no request, so no address and no session."""
    quoted: Both = course.quoted_id
    return (
        f'{{"username": "", "host": "", "event_source": "task", '
        f'"event_type": "edx.grades.course.grade_calculated", "name": '
        f'"edx.grades.course.grade_calculated", "context": {{"user_id": {user_id}, '
        f'"course_id": {quoted[way]}, "org_id": {course.quoted_org[way]}}}, "time": "{stamp}", '
        f'"ip": "", "event": {{"user_id": "{user_id}", "course_id": {quoted[way]}, '
        f'"percent_grade": 0.0, "letter_grade": "", "event_transaction_id": "{key:032x}"}}, '
        f'"agent": "", "page": null, "task_id": "{key ^ 1:032x}"}}'
    )
