"""Who a learner is in a site, and which rows and texts tell of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from studium.engines import Relation
from studium.engines.duckdb import quote, relation_sql
from studium.errors import UsageError
from studium.lake.erasures import person_columns, read_erasures
from studium.lake.store import Lake

if TYPE_CHECKING:
    import duckdb

# What may stand beside a user name or an address that is a word of its own.
_BEFORE, _AFTER = r"(^|[^\w.+-])", r"\.*($|[^\w.@+-])"


@dataclass(frozen=True)
class Person:
    """User ids, user names and e-mail addresses (small letters) of one learner. The user names of a
    ``quiet`` one are no words to look for in texts: they are common ones."""

    ids: frozenset[int] = frozenset()
    names: frozenset[str] = frozenset()
    emails: frozenset[str] = frozenset()
    quiet: bool = False

    def __or__(self, other: Person) -> Person:
        return Person(self.ids | other.ids, self.names | other.names, self.emails | other.emails)

    @property
    def words(self) -> frozenset[str]:
        """What may be said of them in a text."""
        return self.emails if self.quiet else self.names | self.emails

    def document(self) -> dict[str, list[int] | list[str]]:
        """As JSON keeps it."""
        return {
            "ids": sorted(self.ids), "names": sorted(self.names), "emails": sorted(self.emails)
        }  # fmt: skip

    def typed_sql(self, columns: Iterable[str]) -> str:
        """True for rows that have them in a column of user ids, user names or addresses."""
        ids, names = person_columns(columns)
        parts = [f"{name} IN ({', '.join(map(str, sorted(self.ids)))})" for name in ids if self.ids]
        if self.names:
            listed = ", ".join(map(quote, sorted(self.names)))
            parts += [f"lower({name}) IN ({listed})" for name in names]
        if self.emails and "email" in columns:
            parts.append(f"lower(email) IN ({', '.join(map(quote, sorted(self.emails)))})")
        return " OR ".join(parts) or "false"

    def words_pattern(self) -> str:
        """A regular expression (RE2 and Python) for their names in a text of small letters; empty
        if they have none."""
        forms = {form for word in self.words for form in (word, json.dumps(word)[1:-1].lower())}
        listed = "|".join(re.escape(form) for form in sorted(forms))
        return f"{_BEFORE}({listed}){_AFTER}" if forms else ""

    def ids_pattern(self) -> str:
        """The same for their ids where a text says that they are ids of users."""
        listed = "|".join(map(str, sorted(self.ids)))
        head = r"(user_?id|student_?id)\\*\"?\s*[:=]\s*\\*\"?"
        return f"{head}({listed})($|[^0-9])" if self.ids else ""

    def text_sql(self, columns: Mapping[str, str]) -> str:
        """True for rows in whose texts they are named."""
        texts = [name for name, kind in columns.items() if kind == "VARCHAR"]
        whole = f"lower(concat_ws(' ', {', '.join(texts)}))"
        patterns = [one for one in (self.words_pattern(), self.ids_pattern()) if one and texts]
        return " OR ".join(f"regexp_matches({whole}, {quote(one)})" for one in patterns) or "false"


def read_person(document: Mapping[str, list[int] | list[str]]) -> Person:
    """The inverse of ``document``."""
    return Person(
        frozenset(int(one) for one in document["ids"]),
        frozenset(str(one) for one in document["names"]),
        frozenset(str(one) for one in document["emails"]),
    )


def find_person(db: duckdb.DuckDBPyConnection, lake: Lake, user: str) -> Person:
    """The learner with this user id, user name or e-mail address.

    The LMS's tables decide; without them, what the events say: a user name belongs to an id if no
    event has it with another one. UsageError if nobody is known by it.
    """
    text = user.strip().lower()
    rows = _lms(db, lake)
    if re.fullmatch("[0-9]{1,18}", text):
        known = [row for row in rows if row[0] == int(text)]
        person = Person(ids=frozenset([int(text)]))
    elif "@" in text:
        known = [row for row in rows if row[2] == text]
        person = Person(emails=frozenset([text]))
    else:
        known = [row for row in rows if row[1] == text]
        person = Person(names=frozenset([text]))
    for number, name, email in known:
        person |= Person(
            frozenset([number]),
            frozenset([name] if name else ()),
            frozenset([email] if email else ()),
        )
    seen = _seen(db, lake, person)
    person |= seen
    erasures = read_erasures(lake)
    listed = any(erasures.holds("id", one) for one in person.ids) or any(
        erasures.holds("word", one) for one in person.words
    )
    if not (known or seen.ids or seen.names or listed or _in_imported(db, lake, person)):
        raise UsageError(
            f"Nobody is known as {user!r} in this site.",
            "Give the user id, the user name or the e-mail address as the LMS has it. If the LMS's "
            "tables were never brought (how-to/lms-tables.md), give the user id.",
        )
    return person


def _in_imported(db: duckdb.DuckDBPyConnection, lake: Lake, person: Person) -> bool:
    """Whether days from an old warehouse, which no event stands behind, tell of the person."""
    for name in lake.names():
        snapshot = lake.snapshot(name)
        if (days := snapshot.imported()) and (condition := person.typed_sql(snapshot.columns)):
            rows = relation_sql(snapshot.relation(days))
            if db.execute(f"SELECT 1 FROM ({rows}) WHERE {condition} LIMIT 1").fetchall():
                return True
    return False


def _lms(db: duckdb.DuckDBPyConnection, lake: Lake) -> list[tuple[int, str, str | None]]:
    users = _rows(lake, "auth_user", {"user_id": "BIGINT", "username": "VARCHAR"})
    contacts = _rows(lake, "auth_user_contact", {"user_id": "BIGINT", "email": "VARCHAR"})
    return db.execute(
        f"SELECT user_id, lower(username), nullif(lower(email), '') FROM ({users}) "
        f"FULL JOIN ({contacts}) USING (user_id)"
    ).fetchall()


def _seen(db: duckdb.DuckDBPyConnection, lake: Lake, person: Person) -> Person:
    """Ids and names that events have together, and never with somebody else's."""
    events = _rows(lake, "events", {"user_id": "BIGINT", "username": "VARCHAR"}, by_day=True)
    pairs = (
        f"SELECT DISTINCT user_id, lower(username) AS name FROM ({events}) "
        "WHERE user_id IS NOT NULL AND username <> ''"
    )
    ids = ", ".join(map(str, sorted(person.ids))) or "NULL"
    names = ", ".join(map(quote, sorted(person.names))) or "NULL"
    found = db.execute(
        f"WITH pairs AS ({pairs}) "
        f"SELECT user_id, name FROM pairs WHERE (user_id IN ({ids}) OR name IN ({names})) "
        "AND name IN (SELECT name FROM pairs GROUP BY 1 HAVING count(*) = 1) "
        "AND user_id IN (SELECT user_id FROM pairs GROUP BY 1 HAVING count(*) = 1)"
    ).fetchall()
    if (
        not found
        and db.execute(
            f"SELECT 1 FROM ({events}) "
            f"WHERE user_id IN ({ids}) OR lower(username) IN ({names}) LIMIT 1"
        ).fetchall()
    ):
        return person
    return Person(frozenset(one for one, _ in found), frozenset(name for _, name in found))


def _rows(lake: Lake, name: str, columns: Mapping[str, str], by_day: bool = False) -> str:
    return relation_sql(Relation(lake.snapshot(name).relation().files, columns, by_day))
