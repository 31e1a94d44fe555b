"""The logs that are measured: clean ones, that the bare baseline reads too, and dirty ones."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import orjson
from isal import igzip

from bench.baselines.mapper import open_log

_PREFIX = b"Sep 21 00:14:59 lms-1 [service_variant=lms][tracking][env:prod] INFO [app 1] - "
_BROKEN = 100  # of so many dirty lines one is cut off


def write_clean(source: Path, target: Path, since: datetime, until: datetime) -> int:
    """The lines of the logs in ``source`` that need no care: JSON from the first letter, a time in
    ``[since, until)``, no line twice. A file a file; returns how many lines."""
    target.mkdir()
    seen: set[int] = set()
    for path in sorted(source.iterdir()):
        name = path.name.removesuffix(".gz").removesuffix(".zst").removesuffix(".log")
        with open_log(path) as lines, igzip.open(target / f"{name}.gz", "wb") as clean:
            for line in lines:
                key = hash(line)
                if key not in seen and _is_plain(line, since, until):
                    seen.add(key)
                    clean.write(line)
    return len(seen)


def _is_plain(line: bytes, since: datetime, until: datetime) -> bool:
    if not line.startswith(b'{"') or not line.endswith(b"}\n"):
        return False
    try:
        event = orjson.loads(line)
        time = datetime.fromisoformat(event["time"])
    except (ValueError, KeyError, TypeError):
        return False
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time
    return since <= time < until


def write_dirty(source: Path, target: Path) -> tuple[int, int]:
    """The same lines, each with a prefix as syslog writes it and one in a hundred cut off;
    returns how many lines and how many of them are broken."""
    target.mkdir()
    chance = random.Random(7)
    count = broken = 0
    for path in sorted(source.iterdir()):
        with open_log(path) as lines, igzip.open(target / path.name, "wb") as dirty:
            for line in lines:
                count += 1
                if chance.randrange(_BROKEN) == 0:
                    broken += 1
                    line = line[: len(line) // 2] + b"\n"
                dirty.write(_PREFIX + line)
    return count, broken
