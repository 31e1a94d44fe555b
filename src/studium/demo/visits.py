"""What learners do in one visit: look at pages, watch, solve, talk. Gives lines with their times.

Videos are watched as people watch them: back at the hard spots, over the dull ones, away before
the end. The order of events is that of the player: specs/edx-activity-video-answers §2.3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from studium.demo import events
from studium.demo.courses import Answer, Course, Part, Problem, Section, Video
from studium.demo.envelope import DAY, SECOND, Calendar, Session, Stamp, open_session, outside
from studium.demo.forum import Forum, talk
from studium.demo.term import DEEDS, Enrollment

Lines = list[tuple[int, str]]
"""(time, line); time in microseconds since the first log day."""

TYPED_FROM = 10 * DAY
"""The legacy course ran on an old release for so long: no ``submission`` in its events."""

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
            section, thing = course.items[enrollment.place]
            enrollment.place += 1
        elif limit and draw() < 0.6:
            section, thing = course.items[int((1 - draw() ** 2) * limit)]
        else:
            section, thing = course.sections[0], None
        if section is not at and thing is not None:
            lines.append((time, events.view_page(session, time, section.path[session.way])))
            time += int((1 + draw() * 3) * SECOND)
            at = section
        if thing is None:
            time = _wander(campus, session, enrollment, section, lines, time)
        elif isinstance(thing, Video):
            time = _watch(campus.random, session, thing, section, lines, time)
        else:
            time = _solve(campus, session, enrollment, thing, section, lines, time)
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
    if draw() >= 0.004:
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


def _watch(
    random: Random, session: Session, video: Video, section: Section, lines: Lines, time: int
) -> int:
    draw, page = random.random, section.page[session.way]
    add = lines.append
    if draw() < 0.9:
        add((time, events.load_video(session, time, video, page)))
    time += int((1 + draw() * 4) * SECOND)
    leave = _draw_leaving(random, video)
    rate = 1.5 if draw() < 0.2 else 1.0
    position = 0.0
    add((time, events.move_video(session, time, "play_video", video, position, page)))
    if rate > 1:
        add((time + SECOND, events.change_speed(session, time + SECOND, video, position, page)))
    for stop in _draw_stops(random, video):
        if stop <= position or stop >= leave:
            continue
        time += int((stop - position) / rate * SECOND)
        position, mark = stop, draw()
        if mark < 0.6 and stop in video.hard:
            back = max(0.0, stop - 12 - 14 * draw())
            time = _seek(random, session, video, position, back, page, lines, time)
            position = back
        elif mark < 0.2:
            ahead = min(video.length - 1, stop + 15 + 40 * draw())
            time = _seek(random, session, video, position, ahead, page, lines, time)
            position = ahead
        elif mark < 0.9:
            add((time, events.move_video(session, time, "pause_video", video, position, page)))
            if mark > 0.82:
                line = events.show_transcript(session, time + SECOND, video, position, page)
                add((time + SECOND, line))
            time += int((4 + draw() * 60) * SECOND)
            add((time, events.move_video(session, time, "play_video", video, position, page)))
    time += int(max(0.3, (leave - position)) / rate * SECOND)
    position = max(position + 0.3, leave)
    if leave >= video.length:
        add((time, events.move_video(session, time, "stop_video", video, position, page)))
    elif draw() < 0.85:  # else the tab is closed while the video plays
        add((time, events.move_video(session, time, "pause_video", video, position, page)))
    return time


def _draw_leaving(random: Random, video: Video) -> float:
    """Half see it through, some leave in the credits, the others earlier than later."""
    mark = random.random()
    if mark < 0.5:
        return video.length
    if mark < 0.7:
        return video.length * (0.93 + 0.06 * random.random())
    return video.length * max(random.random(), 0.6 * random.random())


def _draw_stops(random: Random, video: Video) -> list[float]:
    draw = random.random
    stops = [spot for spot in video.hard if draw() < 0.5]
    if draw() < 0.35:
        stops.append(round(video.length * draw(), 3))
    stops.sort()
    return stops


def _seek(
    random: Random,
    session: Session,
    video: Video,
    old: float,
    new: float,
    page: str,
    lines: Lines,
    time: int,
) -> int:
    """A jump while playing; every third player then reports the position before the jump."""
    lines.append((time, events.seek_video(session, time, video, old, new, page)))
    time += int((0.2 + random.random()) * SECOND)
    said = old if random.random() < 0.33 else new
    lines.append((time, events.move_video(session, time, "play_video", video, said, page)))
    return time


def _solve(
    campus: Campus,
    session: Session,
    enrollment: Enrollment,
    problem: Problem,
    section: Section,
    lines: Lines,
    time: int,
) -> int:
    draw, learner, course = campus.random.random, enrollment.learner, enrollment.course
    page, add = section.page[session.way], lines.append
    seed = 1 + learner.user_id % len(problem.variants)
    parts = problem.variants[seed - 1]
    chance = 0.5 + learner.ability - problem.difficulty
    typed = not course.self_paced or time > TYPED_FROM
    before: list[Answer] | None = None
    for attempt in range(1, 5):
        time += int((8 + draw() * 90) * SECOND)
        chosen = [_choose(campus.random, part, chance) for part in parts]
        for shift, line in enumerate(events.submit_form(session, time, problem, chosen, page)):
            add((time + 61_000 * shift, line))
        time += int((0.15 + 0.3 * draw()) * SECOND)
        line = events.check_problem(
            session, time, problem, seed, parts, chosen, before, attempt, page, typed=typed
        )
        add((time, line))
        earned = sum(answer.earned for answer in chosen)
        _grade(campus, session, enrollment, problem, (earned, len(parts)), lines, time + 40_000)
        if draw() < 0.5:
            add((time + 300_000, events.show_graded(session, time + 300_000, problem, page)))
        if earned == len(parts):
            enrollment.points += earned
            break
        before = chosen
        chance += 0.15
        if attempt == 4 or draw() < 0.25:
            enrollment.points += earned
            if draw() < 0.4:
                time += int((2 + draw() * 9) * SECOND)
                add((time, events.show_answer(session, time, problem, page)))
            break
    return time


def _choose(random: Random, part: Part, chance: float) -> Answer:
    draw = random.random
    if draw() < chance:
        return part.answers[int(draw() ** 2 * part.right)]
    return part.answers[part.right + int(draw() ** 2 * (len(part.answers) - part.right))]


def _grade(
    campus: Campus,
    session: Session,
    enrollment: Enrollment,
    problem: Problem,
    score: tuple[int, int],
    lines: Lines,
    time: int,
) -> None:
    course: Course = enrollment.course
    enrollment.modified = time
    lines.append((time, events.grade_problem(session, time, problem, course, *score)))
    if enrollment.passed is None and 2 * enrollment.points >= course.max_points:
        enrollment.passed = time
        time += 25_000
        lines.append((time, events.pass_course(session, time, course)))


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
        leave = _draw_leaving(random, video)
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
