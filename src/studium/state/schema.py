"""Tables of the state. A change here needs a migration in ``migrations/versions`` and a new HEAD.

Days and instants are kept as ISO 8601 text (UTC), so that every database gives back what was put
in and text order is time order.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, MetaData, String, Table, Text, UniqueConstraint

HEAD = "0005"
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

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("job", String(63), nullable=False),
    Column("event", String(60), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("receiver", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("tries", BigInteger, nullable=False),
    Column("due", String(32), index=True),  # NULL: it was sent or given up
    Column("ended", String(32)),
    Column("outcome", String(100), nullable=False),
    UniqueConstraint("job", "event", "kind", "receiver", name="uq_deliveries_notice"),
)

leases = Table(
    "leases",
    metadata,
    Column("job", String(63), primary_key=True),
    Column("holder", String(100), nullable=False, index=True),  # empty: given back
    Column("host", String(255), nullable=False),
    Column("until", String(32), nullable=False),
    Column("tries", BigInteger, nullable=False),
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

jobs = Table(
    "jobs",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("owner", String(200), nullable=False, index=True),
    Column("state", String(20), nullable=False, index=True),
    Column("attempt", BigInteger, nullable=False),
    Column("failure", String(40)),
    Column("spec", Text, nullable=False),  # JSON, as in the job's folder
    Column("launcher", String(60), nullable=False),
    Column("priority", BigInteger, nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("units_done", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),  # of its folder, when it was last measured
    Column("submitted_at", String(32), nullable=False),
    Column("queued_at", String(32)),  # of this attempt, and so are those below
    Column("started_at", String(32)),
    Column("ended_at", String(32)),
    Column("cancel_at", String(32)),  # when its end was asked for
)

# One row a unit and attempt: what a launcher was told to run.
job_units = Table(
    "job_units",
    metadata,
    Column("job", String(63), primary_key=True),
    Column("attempt", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("state", String(20), nullable=False),
    Column("native", Text),
    Column("failure", String(40)),
    Column("started_at", String(32)),
    Column("ended_at", String(32)),
    Column("exit", Text),  # JSON
    Index("ix_job_units_state", "job", "attempt", "state"),
)

# What happened to jobs, in order; rows are only added.
job_history = Table(
    "job_history",
    metadata,
    Column("job", String(63), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", String(32), nullable=False),
    Column("who", String(200), nullable=False),
    Column("what", String(40), nullable=False),
    Column("attempt", BigInteger, nullable=False),
    Column("state", String(20), nullable=False),  # after it
    Column("failure", String(40)),
    Column("details", Text, nullable=False),  # JSON
)
