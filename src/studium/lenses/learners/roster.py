"""Pages of the published roster: searched, narrowed and ordered by the database, with its indexes.

Rules: `specs/edx-learners-api-insights` §1.8, §2.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from studium.errors import UsageError
from studium.lenses.learners.search import split_text

if TYPE_CHECKING:
    import sqlalchemy as sa

ROSTER: Final = "module_engagement_roster"
TERMS: Final = "module_engagement_roster_terms"
SEGMENTS: Final = ("highly_engaged", "disengaging", "struggling", "inactive", "unenrolled")
ORDERS: Final = (
    "username",
    "email",
    "discussion_contributions",
    "problems_attempted",
    "problems_completed",
    "problem_attempts_per_completed",
    "attempt_ratio_order",
    "videos_viewed",
)
MOST: Final = 100
"""Learners on a page."""

_MOST_TERMS: Final = 8
_RATIO: Final = "problem_attempts_per_completed"


@dataclass(frozen=True)
class Question:
    """Which learners of a course: ``segments`` are any-of, ``ignored`` none-of, ``text`` is words
    of the name, a whole user name or a whole address; ``page`` counts from 1."""

    course_id: str
    text: str = ""
    segments: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    cohort: str | None = None
    mode: str | None = None
    order: str = "username"
    descending: bool = False
    page: int = 1
    size: int = 25


@dataclass(frozen=True)
class Page:
    """Rows of ``module_engagement_roster`` and how many there are on all pages."""

    rows: list[Mapping[str, Any]]
    count: int


def find_learners(connection: sa.Connection, question: Question) -> Page:
    """One page of learners.

    Raises:
        UsageError: a segment, order, page or size that there is not, or segments both wanted and
            ignored.
    """
    import sqlalchemy as sa

    _check(question)
    found = _matching(question)
    counted = connection.execute(sa.select(sa.func.count()).select_from(found)).scalar_one()
    rows = connection.execute(page_sql(question)).mappings()
    return Page([dict(row) for row in rows], int(counted))


def page_sql(question: Question) -> sa.Select[Any]:
    """The query for one page."""
    import sqlalchemy as sa

    found = _matching(question)
    return (
        sa.select(found)
        .order_by(*_order(found, question))
        .limit(question.size)
        .offset((question.page - 1) * question.size)
    )


def _check(question: Question) -> None:
    for segment in (*question.segments, *question.ignored):
        if segment not in SEGMENTS:
            raise UsageError(f"{segment!r} is no segment.", f"Choose from {', '.join(SEGMENTS)}.")
    if question.segments and question.ignored:
        raise UsageError("segments are wanted and ignored at once.", "Give one of the two.")
    if question.order not in ORDERS:
        raise UsageError(f"{question.order!r} orders nothing.", f"Choose from {', '.join(ORDERS)}.")
    if question.page < 1 or not 1 <= question.size <= MOST:
        raise UsageError(
            f"page {question.page} of {question.size} learners.",
            f"Pages begin at 1 and have 1 to {MOST} learners.",
        )


def _matching(question: Question) -> sa.Subquery:
    """The roster's rows that the question is about."""
    import sqlalchemy as sa

    roster = sa.table(ROSTER, *map(sa.column, _columns()))
    query = sa.select(roster).where(roster.c.course_id == question.course_id)
    if question.text.strip():
        query = _found_by(query, roster, question)
    segments = roster.c.segments
    if question.segments:
        query = query.where(sa.or_(*(segments.like(f"%{one}%") for one in question.segments)))
    for one in question.ignored:
        query = query.where(segments.not_like(f"%{one}%"))
    if question.cohort is not None:
        query = query.where(roster.c.cohort == question.cohort)
    if question.mode is not None:
        query = query.where(roster.c.enrollment_mode == question.mode)
    return query.subquery("found")


def _found_by(query: sa.Select[Any], roster: Any, question: Question) -> sa.Select[Any]:
    """Only learners with all terms of the text: each is one look into the index of the terms."""
    import sqlalchemy as sa

    terms = split_text(question.text)
    if not terms:
        return query.where(sa.false())
    for place, term in enumerate(terms[:_MOST_TERMS]):
        hits = sa.table(TERMS, *map(sa.column, ("course_id", "term", "user_id"))).alias(f"t{place}")
        query = query.join(
            hits,
            sa.and_(
                hits.c.user_id == roster.c.user_id,
                hits.c.course_id == question.course_id,
                hits.c.term == term,
            ),
        )
    return query


def _order(found: sa.Subquery, question: Question) -> list[Any]:
    import sqlalchemy as sa

    column, down = found.c[question.order], question.descending
    by: list[Any] = [column.desc() if down else column.asc()]
    if question.order == _RATIO:
        # Infinite is more than any number; of equal ratios, who tried more did better (§1.8).
        missing = sa.case((column.is_(None), 1), else_=0)
        tried = found.c.attempt_ratio_order
        by = [
            missing.desc() if down else missing.asc(),
            *by,
            tried.asc() if down else tried.desc(),
        ]
    return [*by, found.c.username, found.c.user_id]


def _columns() -> tuple[str, ...]:
    from studium.lenses import tables

    return next(table.column_names for table in tables() if table.name == ROSTER)
