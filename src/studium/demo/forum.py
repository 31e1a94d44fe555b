"""The forums: what was said lately, and what a learner adds to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii
from random import Random

from studium.demo import events, texts
from studium.demo.courses import QUOTES, Course, Section
from studium.demo.envelope import SECOND, Session, implicit
from studium.demo.people import Learner

REMEMBERED = 60
"""Threads that are still on the first pages of a forum."""


@dataclass(slots=True)
class Thread:
    item: str
    topic: str
    title: str
    author: str
    responses: list[tuple[str, str]] = field(default_factory=list)
    """(id, author)"""


@dataclass(slots=True)
class Forum:
    threads: list[Thread] = field(default_factory=list)


def talk(
    random: Random,
    forum: Forum,
    session: Session,
    learner: Learner,
    course: Course,
    section: Section,
    lines: list[tuple[int, str]],
    time: int,
) -> int:
    """Read a thread and perhaps answer, comment or vote; or begin one. Gives the time after."""
    draw, way, add = random.random, session.way, lines.append
    add((time, events.view_page(session, time, course.forum[way])))
    time += int((4 + draw() * 40) * SECOND)
    if not forum.threads or draw() < 0.18:
        title, body = texts.THREADS[int(draw() * len(texts.THREADS))]
        thread = Thread(_new_id(random), section.topic, title, learner.username)
        post = (
            f'"thread_type": ["discussion"], "title": [{encode_basestring_ascii(title)}], '
            f'"body": [{encode_basestring_ascii(body)}]'
        )
        add((time, implicit(session, time, '"/api/discussion/v1/threads/"', post, "", '""')))
        time += 90_000
        payload = (
            f'"thread_type": "discussion", "title": {QUOTES[way](title)}, '
            + events.forum_text(way, body, thread.item, thread.topic)
        )
        add((time, events.forum(session, time, "thread.created", payload, course)))
        _remember(random, forum, thread)
        return time

    thread = forum.threads[int(draw() * len(forum.threads))]
    thread_members = f'"commentable_id": "{thread.topic}", "id": "{thread.item}"'
    viewed = f'{thread_members}, "title": {QUOTES[way](thread.title)}'
    add((time, events.forum(session, time, "thread.viewed", viewed, course)))
    time += int((10 + draw() * 60) * SECOND)
    mark = draw()
    reply = texts.REPLIES[int(draw() * len(texts.REPLIES))]
    if mark < 0.35:
        item = _new_id(random)
        payload = events.forum_text(way, reply, item, thread.topic)
        payload = f'"discussion": {{"id": "{thread.item}"}}, {payload}'
        add((time, events.forum(session, time, "response.created", payload, course)))
        if len(thread.responses) < 8:
            thread.responses.append((item, learner.username))
    elif mark < 0.5 and thread.responses:
        response, _ = thread.responses[int(draw() * len(thread.responses))]
        payload = events.forum_text(way, reply, _new_id(random), thread.topic)
        payload = (
            f'"discussion": {{"id": "{thread.item}"}}, '
            f'"response": {{"id": "{response}"}}, {payload}'
        )
        add((time, events.forum(session, time, "comment.created", payload, course)))
    elif mark < 0.7:
        undo = "true" if draw() < 0.08 else "false"
        vote = f'"undo_vote": {undo}, "vote_value": "up"'
        if thread.responses and draw() < 0.5:
            item, author = thread.responses[int(draw() * len(thread.responses))]
            payload = f'"commentable_id": "{thread.topic}", "id": "{item}"'
            kind = "response.voted"
        else:
            author, payload, kind = thread.author, thread_members, "thread.voted"
        payload += f', "target_username": {QUOTES[way](author)}, {vote}'
        add((time, events.forum(session, time, kind, payload, course)))
    return time


def _remember(random: Random, forum: Forum, thread: Thread) -> None:
    if len(forum.threads) < REMEMBERED:
        forum.threads.append(thread)
    else:
        forum.threads[int(random.random() * REMEMBERED)] = thread


def _new_id(random: Random) -> str:
    return f"{random.getrandbits(96):024x}"
