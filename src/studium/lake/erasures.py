"""Who is forgotten: salted hashes only, in the lake beside what they protect.

Kinds of entries: ``id`` and ``name`` are looked for in the columns that say who did something or to
whom, ``word`` (user name, e-mail address) in the text of refused lines, ``event`` are identities of
other learners' events that told of a forgotten one. The salt keeps the hashes of two sites apart;
it does not keep whoever can read the site from trying every user id.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from studium.engines import StagedFile
from studium.engines.duckdb import quote, stream_rows
from studium.lake.store import Lake

if TYPE_CHECKING:
    import duckdb

TABLE = "erasures"
COLUMNS = {"kind": "VARCHAR", "hash": "VARCHAR", "salt": "VARCHAR"}
KINDS = ("id", "name", "word", "event")

_WORD = re.compile(r"[^\s\"'<>(){}\[\],;:/?&=\\|]+")
_NARROW_WORD = re.compile(r"[\w-]+")
_ID = re.compile(r"(?:user_?id|student_?id)\\*\"?\s*[:=]\s*\\*\"?([0-9]{1,18})(?![0-9])")


@dataclass(frozen=True)
class Erasures:
    """The list; false if it is empty."""

    salt: str = ""
    hashes: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(self.hashes.values())

    def holds(self, kind: str, value: object) -> bool:
        """Is this one of the forgotten?"""
        return hashed(self.salt, kind, value) in self.hashes.get(kind, ())

    def speaks_of(self, text: str) -> bool:
        """Does a text that nothing could parse name one of the forgotten?"""
        lowered = text.lower()
        return any(self.holds("id", int(found)) for found in _ID.findall(lowered)) or any(
            self.holds("word", word) for word in _words(lowered)
        )

    def condition(
        self,
        db: duckdb.DuckDBPyConnection,
        rows: str,
        ids: Iterable[str],
        names: Iterable[str],
    ) -> str:
        """SQL over the SELECT ``rows``, true where one of its columns ``ids`` or ``names`` has one
        of the forgotten. Every person in it is hashed once."""
        parts = []
        for kind, columns in (("id", tuple(ids)), ("name", tuple(names))):
            if not columns or not self.hashes.get(kind):
                continue
            distinct = " UNION ".join(f"SELECT {name} AS one FROM ({rows})" for name in columns)
            found = [one for (one,) in db.execute(distinct).fetchall() if one is not None]
            listed = [one for one in found if self.holds(kind, one)]
            if listed:
                values = ", ".join(str(one) if kind == "id" else quote(one) for one in listed)
                parts += [f"{name} IN ({values})" for name in columns]
        return " OR ".join(parts) or "false"


NOBODY = Erasures()


def person_columns(columns: Iterable[str]) -> tuple[list[str], list[str]]:
    """Which columns of a table hold user ids, and which user names: their names end so."""
    names = list(columns)
    return (
        [name for name in names if name == "user_id" or name.endswith("_user_id")],
        [name for name in names if name == "username" or name.endswith("_username")],
    )


def hashed(salt: str, kind: str, value: object) -> str:
    """What the list keeps of ``value``; names in any case are the same."""
    return hashlib.sha256(f"{salt}:{kind}:{str(value).lower()}".encode()).hexdigest()


def _words(text: str) -> set[str]:
    whole = {word.strip(".@") for word in _WORD.findall(text)}
    return whole | set(_NARROW_WORD.findall(text))


def read_erasures(lake: Lake) -> Erasures:
    """The list of this lake."""
    snapshot = lake.snapshot(TABLE)
    if not snapshot.rows:
        return NOBODY
    rows = stream_rows(snapshot.relation(), tuple(COLUMNS)).read_all().to_pylist()
    kinds: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for row in rows:
        kinds[row["kind"]].add(row["hash"])
    return Erasures(rows[0]["salt"], {kind: frozenset(found) for kind, found in kinds.items()})


def add_erasures(
    lake: Lake, entries: Mapping[str, Iterable[object]], build: str, scratch: Path
) -> Erasures:
    """Put ``entries``, by kind, on the list; nothing is written if all are there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    known = read_erasures(lake)
    salt = known.salt or secrets.token_hex(16)
    after = {
        kind: known.hashes.get(kind, frozenset())
        | {hashed(salt, kind, value) for value in entries.get(kind, ())}
        for kind in KINDS
    }
    if after != dict(known.hashes) and any(after.values()):
        rows = [
            {"kind": kind, "hash": one, "salt": salt}
            for kind, hashes in after.items()
            for one in sorted(hashes)
        ]
        schema = pa.schema([(name, pa.string()) for name in COLUMNS])
        path = scratch / "erasures.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, compression="zstd")
        lake.commit(
            TABLE, [StagedFile(path, None, len(rows), path.stat().st_size)], columns=COLUMNS,
            by_day=False, build=build, fingerprint=TABLE,
        )  # fmt: skip
    return Erasures(salt, after)
