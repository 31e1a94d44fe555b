"""What learners do in one visit: look at pages, watch, solve, talk. Gives lines with times."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from studium.demo import events
from studium.demo.activities import Lines, draw_leaving, solve, watch
from studium.demo.courses import Section, Video
from studium.demo.envelope import DAY, SECOND, Calendar, Session, Stamp, open_session, outside
from studium.demo.forum import Forum, talk
from studium.demo.term import DEEDS, Enrollment

DASHBOARD = '"/dashboard"'


@dataclass(slots=True)
class Campus:
    """What all visits share."""

    random: Random
    calendar: Calendar
    end: int
    forums: dict[str, Forum] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Visit:
    """``sent`` is when the lines reached the server, if that was days later."""

    lines: Lines
    sent: int | None = None


def pay_visit(campus: Campus, enrollment: Enrollment, time: int, size: int) -> Visit:
    """About ``size`` events from ``time`` on. Advances the enrollment."""
    draw = campus.random.random
    course, lines = enrollment.course, Lines()
    begin = enrollment.created * SECOND if course.self_paced else course.start * DAY
    week = min((time - begin) // (7 * DAY), course.weeks - 1)
    if enrollment.learner.has_app and week >= 0 and draw() < 0.3:
        return _visit_by_app(campus, enrollment, course.sections[: week + 1], time, size)
    limit = course.released[week] if week >= 0 else 0
    session = _open(campus, enrollment, time)
    if draw() < 0.4:
        lines.append((time, events.view_page(outside(session), time, DASHBOARD)))
        time += int((2 + draw() * 9) * SECOND)
    lines.append((time, events.view_page(session, time, course.home[session.way])))
    at: Section | None = None
    while len(lines) < size and time < campus.end:
        time += int((2 + draw() * 25) * SECOND)
        if enrollment.place < limit and draw() < 0.93:
            place = enrollment.place
            enrollment.place += 1
            section, thing = course.items[place]
        elif limit and draw() < 0.6:
            place = int((1 - draw() ** 2) * limit)
            section, thing = course.items[place]
        else:
            section, thing = course.sections[0], None
        if section is not at and thing is not None:
            lines.append((time, events.view_page(session, time, section.path[session.way])))
            time += int((1 + draw() * 3) * SECOND)
            at = section
        if thing is None:
            time = _wander(campus, session, enrollment, section, lines, time)
        elif isinstance(thing, Video):
            time = watch(campus.random, session, thing, section, lines, time)
        else:
            time = solve(campus.random, session, enrollment, place, lines, time)
    if at is not None and draw() < 0.7:
        time += int((1 + draw() * 40) * SECOND)
        lines.append((time, events.close_page(session, time, at.page[session.way])))
    return Visit(lines)


def do_deed(campus: Campus, enrollment: Enrollment, time: int, deed: int) -> Lines:
    """Enroll, leave or change the mode. Advances the enrollment."""
    kind, mode = DEEDS[deed]
    course, draw = enrollment.course, campus.random.random
    session = _open(campus, enrollment, time)
    lines = Lines()
    if kind == "activated":
        enrollment.is_active = True
        enrollment.mode = mode or enrollment.mode or course.mode
    elif kind == "deactivated":
        enrollment.is_active = False
    else:
        enrollment.mode = mode
    if kind != "mode_changed":
        action = "enroll" if kind == "activated" else "unenroll"
        lines.append((time, events.request_enrollment(session, time, course, action)))
        time += int((0.2 + draw()) * SECOND)
    # Some events of every real log are lost, which the state machines have to live with.
    if draw() >= 0.008:
        line = events.change_enrollment(session, time, course, kind, enrollment.mode)
        lines.append((time, line))
    return lines


def _open(campus: Campus, enrollment: Enrollment, time: int, *, by_app: bool = False) -> Session:
    draw, calendar = campus.random.random, campus.calendar
    learner = enrollment.learner
    mark = draw()
    stamp: Stamp = calendar.utc
    if mark < 0.01:
        stamp = calendar.zulu
    elif mark < 0.025:
        stamp = calendar.at_offset(learner.country.offset)
    # Those who travel do so for a week or so at a time.
    travels = learner.away and (time // DAY // 8 + learner.user_id) % 5 == 0
    return open_session(
        learner,
        enrollment.course,
        way=int(draw() * 2),
        stamp=stamp,
        key=campus.random.getrandbits(128),
        address=learner.away if travels else learner.home,
        by_app=by_app,
    )


def _wander(
    campus: Campus,
    session: Session,
    enrollment: Enrollment,
    section: Section,
    lines: Lines,
    time: int,
) -> int:
    """The forum, the progress page, leafing through a section."""
    draw, course = campus.random.random, enrollment.course
    mark = draw()
    if mark < 0.5:
        forum = campus.forums.setdefault(course.course_id, Forum())
        return talk(campus.random, forum, session, enrollment.learner, course, section, lines, time)
    if mark < 0.7:
        lines.append((time, events.view_page(session, time, course.progress[session.way])))
    elif mark < 0.85:
        lines.append((time, events.next_unit(session, time, section, 1 + int(draw() * 5))))
    else:
        old = 1 + int(draw() * 5)
        lines.append((time, events.goto_unit(session, time, section, old, old + 1)))
    return time + int((3 + draw() * 30) * SECOND)


def _visit_by_app(
    campus: Campus,
    enrollment: Enrollment,
    sections: tuple[Section, ...],
    time: int,
    size: int,
) -> Visit:
    """Downloaded videos on the way; what was watched without a network is sent days later."""
    random = campus.random
    draw, lines = random.random, Lines()
    session = _open(campus, enrollment, time, by_app=True)
    late = time + int((1 + 4 * draw()) * DAY)
    sent = late if draw() < 0.35 and late < campus.end else None
    while len(lines) < size and time < campus.end:
        videos = sections[int(draw() * len(sections))].videos
        video = videos[int(draw() * len(videos))]
        leave = draw_leaving(random, video)
        for name, position in (
            ("play_video", 0.0),
            ("pause_video" if leave < video.length else "stop_video", leave),
        ):
            time += int(position * SECOND)
            received = sent or time + SECOND
            line = events.move_mobile_video(session, time, name, video, position, received)
            lines.append((time, line))
        time += int((5 + draw() * 60) * SECOND)
    return Visit(lines, sent)
