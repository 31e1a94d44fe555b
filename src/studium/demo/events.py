"""One function per kind of event, giving the line of the tracking log.

Payloads: specs/edx-enrollment-geography §1.7, §2.2 and specs/edx-activity-video-answers §2.1, §3.1.
Most text is encoded beforehand in the course; only what differs by event is quoted here.
"""

from __future__ import annotations

from json.encoder import encode_basestring_ascii

from studium.demo.courses import QUOTES, Answer, Course, Part, Problem, Section, Video
from studium.demo.envelope import Session, browser, implicit, mobile, server

# --- pages ------------------------------------------------------------------------------------


def view_page(session: Session, time: int, path: str, get: str = "") -> str:
    return implicit(session, time, path, "", get, '""')


def next_unit(session: Session, time: int, section: Section, tab: int) -> str:
    payload = (
        f'{{"id": {section.usage[session.way]}, "current_tab": {tab}, "tab_count": 6, '
        f'"widget_placement": "top"}}'
    )
    return browser(
        session,
        time,
        "edx.ui.lms.sequence.next_selected",
        QUOTES[session.way](payload),
        section.page[session.way],
    )


def goto_unit(session: Session, time: int, section: Section, old: int, new: int) -> str:
    payload = f'{{"old":{old},"new":{new},"id":{section.usage[session.way]}}}'
    page = section.page[session.way]
    return browser(session, time, "seq_goto", QUOTES[session.way](payload), page)


def close_page(session: Session, time: int, page: str) -> str:
    return browser(session, time, "page_close", '"{}"', page)


# --- video ------------------------------------------------------------------------------------


def load_video(session: Session, time: int, video: Video, page: str) -> str:
    return browser(session, time, "load_video", f'{video.head}}}"', page)


def move_video(
    session: Session, time: int, name: str, video: Video, position: float, page: str
) -> str:
    """``play_video``, ``pause_video`` and ``stop_video``; position in seconds."""
    return browser(session, time, name, f'{video.head},\\"currentTime\\":{position:.6g}}}"', page)


def seek_video(session: Session, time: int, video: Video, old: float, new: float, page: str) -> str:
    payload = (
        f'{video.head},\\"old_time\\":{old:.6g},\\"new_time\\":{new:.6g},'
        f'\\"type\\":\\"onSlideSeek\\"}}"'
    )
    return browser(session, time, "seek_video", payload, page)


def change_speed(session: Session, time: int, video: Video, position: float, page: str) -> str:
    payload = (
        f'{video.head},\\"current_time\\":{position:.6g},\\"old_speed\\":\\"1.0\\",'
        f'\\"new_speed\\":\\"1.50\\"}}"'
    )
    return browser(session, time, "speed_change_video", payload, page)


def show_transcript(session: Session, time: int, video: Video, position: float, page: str) -> str:
    payload = f'{video.head},\\"current_time\\":{position:.6g}}}"'
    return browser(session, time, "show_transcript", payload, page)


def move_mobile_video(
    session: Session, time: int, name: str, video: Video, position: float, sent: int
) -> str:
    raw_name = {
        "play_video": "edx.video.played",
        "pause_video": "edx.video.paused",
        "stop_video": "edx.video.stopped",
    }[name]
    payload = f'{video.mobile_head},\\"currentTime\\":{position:.6g}}}"'
    return mobile(session, time, name, raw_name, payload, sent)


# --- problems ---------------------------------------------------------------------------------


def submit_form(
    session: Session, time: int, problem: Problem, chosen: list[Answer], page: str
) -> list[str]:
    """The browser's two traces of a submission: its form-encoded event and the request."""
    form = encode_basestring_ascii("&".join(answer.form for answer in chosen))
    post = ", ".join(answer.post for answer in chosen)
    return [
        browser(session, time, "problem_check", encode_basestring_ascii(form), page),
        implicit(session, time + 61_000, problem.path[session.way], post, "", page),
    ]


def check_problem(
    session: Session,
    time: int,
    problem: Problem,
    seed: int,
    parts: tuple[Part, ...],
    chosen: list[Answer],
    before: list[Answer] | None,
    attempts: int,
    page: str,
    *,
    typed: bool = True,
) -> str:
    """The graded submission. ``before`` is the learner's previous one; without ``typed`` the
    event has no ``submission`` block, as before March 2014."""
    way = session.way
    earned = sum(answer.earned for answer in chosen)
    correct_map = ", ".join(answer.correct_map for answer in chosen)
    old_map = ", ".join(answer.correct_map for answer in before) if before else ""
    old_answers = ", ".join(answer.raw[way] for answer in before) if before else ""
    submission = ", ".join(answer.submission[way] for answer in chosen)
    payload = (
        f'{{"state": {{"seed": {seed}, "student_answers": {{{old_answers}}}, '
        f'"has_saved_answers": false, "correct_map": {{{old_map}}}, "input_state": '
        f"{{{', '.join(part.input_state for part in parts)}}}, "
        f'"done": {"true" if before else "null"}}}, "problem_id": {problem.usage[way]}, '
        f'"answers": {{{", ".join(answer.raw[way] for answer in chosen)}}}, "grade": {earned}, '
        f'"max_grade": {len(parts)}, "correct_map": {{{correct_map}}}, '
        f'"success": "{"correct" if earned == len(parts) else "incorrect"}", '
        f'"attempts": {attempts}' + (f', "submission": {{{submission}}}}}' if typed else "}")
    )
    more = f', "module": {problem.module[way]}, "asides": {problem.asides[way]}'
    path = problem.path[way]
    return server(session, time, "problem_check", payload, path, page, more, '"x_module"')


def grade_problem(
    session: Session, time: int, problem: Problem, course: Course, earned: int, possible: int
) -> str:
    way = session.way
    payload = (
        f'{{"user_id": "{session.user_id}", "course_id": {course.quoted_id[way]}, '
        f'"problem_id": {problem.usage[way]}, "event_transaction_type": '
        f'"edx.grades.problem.submitted", "weighted_earned": {earned}, '
        f'"weighted_possible": {possible}}}'
    )
    more = f', "module": {problem.module[way]}'
    name = "edx.grades.problem.submitted"
    return server(session, time, name, payload, problem.path[way], '""', more)


def show_graded(session: Session, time: int, problem: Problem, page: str) -> str:
    """The browser's answer to a graded submission: a list, not an object."""
    payload = f'["problem graded", {problem.usage[session.way]}]'
    return browser(session, time, "problem_graded", payload, page)


def show_answer(session: Session, time: int, problem: Problem, page: str) -> str:
    way = session.way
    payload = f'{{"problem_id": {problem.usage[way]}}}'
    more = f', "module": {problem.module[way]}, "asides": {{}}'
    path = problem.show_path[way]
    return server(session, time, "showanswer", payload, path, page, more, '"x_module"')


def pass_course(session: Session, time: int, course: Course) -> str:
    payload = f'{{"user_id": {session.user_id}, "course_id": {course.quoted_id[session.way]}}}'
    path = course.progress[session.way]
    return server(session, time, "edx.course.grade.passed.first_time", payload, path, '""')


# --- enrollment -------------------------------------------------------------------------------


def change_enrollment(session: Session, time: int, course: Course, kind: str, mode: str) -> str:
    """``kind`` is ``activated``, ``deactivated`` or ``mode_changed``."""
    payload = (
        f'{{"course_id": {course.quoted_id[session.way]}, "user_id": {session.user_id}, '
        f'"mode": "{mode}"}}'
    )
    name = f"edx.course.enrollment.{kind}"
    page = course.about[session.way]
    return server(session, time, name, payload, '"/change_enrollment"', page)


def request_enrollment(session: Session, time: int, course: Course, action: str) -> str:
    post = f'"course_id": [{course.quoted_id[0]}], "enrollment_action": ["{action}"]'
    page = course.about[session.way]
    return implicit(session, time, '"/change_enrollment"', post, "", page)


# --- forum ------------------------------------------------------------------------------------


def forum(session: Session, time: int, kind: str, payload: str, course: Course) -> str:
    """``kind`` such as ``thread.created``; ``payload`` are the members of an object."""
    tail = (
        f'"url": {course.forum[session.way]}, "user_forums_roles": ["Student"], '
        f'"user_course_roles": []}}'
    )
    path = '"/api/discussion/v1/threads/"'
    return server(session, time, f"edx.forum.{kind}", f"{{{payload}, {tail}", path, '""')


def forum_text(way: int, text: str, item: str, topic: str) -> str:
    """Members that threads, responses and comments share; ``item`` is the id of the new one."""
    body = QUOTES[way](f"<p>{text}</p>")
    cut = "true" if len(text) > 2000 else "false"
    return (
        f'"commentable_id": "{topic}", "options": {{"followed": true}}, "truncated": {cut}, '
        f'"body": {body}, "id": "{item}"'
    )
