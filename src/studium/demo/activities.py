"""How learners watch and solve.

Videos are watched as people watch them: back at the hard spots, over the dull ones, away before
the end. The order of events is that of the player: specs/edx-activity-video-answers §2.3.
"""

from __future__ import annotations

from random import Random

from studium.demo import events
from studium.demo.courses import Answer, Course, Part, Problem, Section, Video
from studium.demo.envelope import DAY, SECOND, Session
from studium.demo.term import Enrollment

Lines = list[tuple[int, str]]
"""(time, line); time in microseconds since the first log day."""

TYPED_FROM = 10 * DAY
"""The legacy course ran on an old release for so long: no ``submission`` in its events."""


def watch(
    random: Random, session: Session, video: Video, section: Section, lines: Lines, time: int
) -> int:
    """From ``load_video`` to leaving. Gives the time after."""
    draw, page = random.random, section.page[session.way]
    add = lines.append
    if draw() < 0.9:
        add((time, events.load_video(session, time, video, page)))
    time += int((1 + draw() * 4) * SECOND)
    leave = draw_leaving(random, video)
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


def draw_leaving(random: Random, video: Video) -> float:
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


def solve(
    random: Random,
    session: Session,
    enrollment: Enrollment,
    place: int,
    lines: Lines,
    time: int,
) -> int:
    """Up to four attempts at the problem at ``place`` of the course. Gives the time after."""
    draw, learner, course = random.random, enrollment.learner, enrollment.course
    section, problem = course.items[place]
    assert isinstance(problem, Problem)
    bit = 1 << place
    earlier = 4 if enrollment.tried & bit else 0
    enrollment.tried |= bit
    page, add = section.page[session.way], lines.append
    seed = 1 + learner.user_id % len(problem.variants)
    parts = problem.variants[seed - 1]
    chance = 0.5 + learner.ability - problem.difficulty
    typed = not course.self_paced or time > TYPED_FROM
    before: list[Answer] | None = None
    for attempt in range(1, 5):
        time += int((8 + draw() * 90) * SECOND)
        chosen = [_choose(random, part, chance) for part in parts]
        for shift, line in enumerate(events.submit_form(session, time, problem, chosen, page)):
            add((time + 61_000 * shift, line))
        time += int((0.15 + 0.3 * draw()) * SECOND)
        line = events.check_problem(
            session,
            time,
            problem,
            seed,
            parts,
            chosen,
            before,
            earlier + attempt,
            page,
            typed=typed,
        )
        add((time, line))
        earned = sum(answer.earned for answer in chosen)
        if earned == len(parts) and not enrollment.solved & bit:
            enrollment.solved |= bit
            enrollment.points += earned
        _grade(session, enrollment, problem, (earned, len(parts)), lines, time + 40_000)
        if draw() < 0.5:
            add((time + 300_000, events.show_graded(session, time + 300_000, problem, page)))
        if earned == len(parts):
            break
        before = chosen
        chance += 0.15
        if attempt == 4 or draw() < 0.25:
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
