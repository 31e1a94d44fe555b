"""Tables of the state. A change here needs a migration in ``migrations/versions`` and a new HEAD.

Days and instants are kept as ISO 8601 text (UTC), so that every database gives back what was put
in and text order is time order.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, MetaData, String, Table, Text

HEAD = "0003"
"""The revision that the tables below are at."""

metadata = MetaData()

files = Table(
    "files",
    metadata,
    Column("path", Text, primary_key=True),
    Column("file_id", BigInteger, nullable=False),
    Column("source", String(100), nullable=False, index=True),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger),
    Column("etag", Text),
    Column("lines", BigInteger, nullable=False),
    Column("kept", BigInteger, nullable=False),
    Column("duplicates", BigInteger, nullable=False),
    Column("rejects", BigInteger, nullable=False),
    Column("build", String(32), nullable=False),
    Column("error", Text),
    Column("read_at", String(32), nullable=False),
    Column("forgotten", BigInteger, nullable=False, server_default="0"),
)

coverage = Table(
    "coverage",
    metadata,
    Column("source", String(100), primary_key=True),
    Column("day", String(10), primary_key=True),
)

partitions = Table(
    "partitions",
    metadata,
    Column("table_name", String(200), primary_key=True),
    Column("day", String(10), primary_key=True),  # empty text: the table is one whole
    Column("build", String(32), nullable=False),
    Column("fingerprint", String(128), nullable=False),
    Column("code", String(128), nullable=False),
    Column("params", Text, nullable=False),
    Column("inputs", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("built_at", String(32), nullable=False),
)

counters = Table(
    "counters",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

facts = Table(
    "facts",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("value", Text, nullable=False),
)

# Who is being forgotten, in clear until it is done: a crash must not make it impossible to finish.
erasing = Table(
    "erasing",
    metadata,
    Column("number", BigInteger, primary_key=True),
    Column("document", Text, nullable=False),
)

# Who did what to protected data, in order, each row holding the digest of the one before. Triggers
# of the migration refuse changes, deletions and rows that do not go on from the last one.
audit = Table(
    "audit",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", String(32), nullable=False),
    Column("who", String(200), nullable=False),
    Column("what", String(60), nullable=False),
    Column("subject", Text, nullable=False),
    Column("details", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
)
