"""Let checked copies of a job's outputs out: all that pass, or nothing.

::

    target/               appears at once, complete
      metrics.csv …       written anew by us
      manifest.json       written last: name, type, size, SHA-256, rows of each file

The record says what the numbers were and which were withheld: later releases of the same data are
checked against it (specs/morf.md §7.5; jobs-hpc §7 rules 8, 10).

Parsers of CSV, Parquet, PNG and XML read bytes that hostile code wrote: call ``release`` in a
process of its own, with limits on memory and time.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from uuid import uuid4

import orjson

from studium.jobs.disclosure.cells import Cells, Coordinate, Earlier, Table, gather
from studium.jobs.disclosure.drawings import clean_svg, clean_text
from studium.jobs.disclosure.folder import copy, walk
from studium.jobs.disclosure.model import (
    TABLES,
    Output,
    Policy,
    Reason,
    Refused,
    Release,
    Released,
)
from studium.jobs.disclosure.pictures import clean_png
from studium.jobs.disclosure.records import read_record, read_withheld, write_record
from studium.jobs.disclosure.rounding import round_count, round_measures
from studium.jobs.disclosure.tables import MAX_KEYS, Row, read_table, write_table
from studium.lake.places import sync

MANIFEST = "manifest.json"
_CLEANERS = {"png": clean_png, "svg": clean_svg, "text": clean_text}


def release(
    outputs: Path,
    target: Path,
    declared: Sequence[Output],
    policy: Policy,
    earlier: Sequence[Path] = (),
    record: Path | None = None,
    sources: Sequence[str] = (),
    secret: bytes = b"",
) -> Release:
    """Check everything in ``outputs`` and write what may leave to the new folder ``target``.

    ``earlier`` are the records of earlier releases of the same data, the newest first; ``record``
    is where to write this one's, which says what ``sources`` it was of, and holds keys hashed with
    ``secret``, the same in all. A ``target`` that is there already is complete: it is left as it
    is, and what it holds is given again.

    Raises Refused, with nothing written.
    """
    if target.exists():
        return _read_release(target, record)
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.parent / f".{target.name}-{uuid4().hex}"
    staging.mkdir(mode=0o700)
    try:
        chosen = choose(list(walk(outputs, policy.max_files)), declared)
        copies, folder = staging / "copies", staging / "release"
        copies.mkdir()
        folder.mkdir()
        left = policy.max_bytes
        tables: list[Table] = []
        cleaned: dict[str, Output] = {}
        for number, (name, output) in enumerate(sorted(chosen.items())):
            if output.level != "aggregate":
                continue
            _check_declaration(output, policy)
            try:
                left -= copy(outputs, name, copies / str(number), left)
                if output.type in TABLES:
                    table = read_table(copies / str(number), name, output, policy)
                    tables.append(replace(table, secret=secret))
                else:
                    made = folder / name
                    made.parent.mkdir(parents=True, exist_ok=True)
                    _CLEANERS[output.type](copies / str(number), made)
                    cleaned[name] = output
            except Refused as error:
                raise Refused(error.reason, output.name, error.detail) from None
        released, withheld, cells, hidden = _write_tables(folder, tables, policy, earlier)
        released += [_released(folder, name, one.type) for name, one in cleaned.items()]
        done = Release(tuple(sorted(released, key=lambda one: one.name)), withheld)
        document = {"files": [asdict(one) for one in done.files]}
        _write(folder / MANIFEST, orjson.dumps(document, option=orjson.OPT_INDENT_2))
        if sum(one.size for one in done.files) > policy.max_bytes:
            raise Refused(Reason.SIZE, detail="what would leave is larger than what was written")
        if record is not None:
            write_record(record, cells, hidden, withheld, sorted(sources))
        sync(folder)
        folder.rename(target)
        sync(target.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return done


def choose(names: Sequence[str], declared: Sequence[Output]) -> dict[str, Output]:
    """Which declaration each file falls under, the first that fits.

    Raises Refused (``undeclared output``, ``output missing``).
    """
    patterns = [(_pattern(output.name), output) for output in declared]
    chosen = {}
    for name in names:
        fitting = next((output for pattern, output in patterns if pattern.fullmatch(name)), None)
        if fitting is None or name == MANIFEST:
            raise Refused(Reason.UNDECLARED, detail=name)
        chosen[name] = fitting
    for output in declared:
        if output.required and not any(one is output for one in chosen.values()):
            raise Refused(Reason.MISSING, output.name)
    return chosen


def _pattern(glob: str) -> re.Pattern[str]:
    parts = {"*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(parts.get(one, re.escape(one)) for one in glob))


def _check_declaration(output: Output, policy: Policy) -> None:
    if policy.protected and output.type not in policy.types:
        raise Refused(Reason.TYPE, output.name, f"{output.type} may not leave this site")
    if output.type not in TABLES:
        return
    if len(set(output.columns)) != len(output.columns) or len(output.keys) > MAX_KEYS:
        raise Refused(Reason.COLUMNS, output.name, "a column twice, or too many keys")
    if policy.protected and not output.learners:
        raise Refused(Reason.COLUMNS, output.name, "no column says how many learners a row has")


def _write_tables(
    folder: Path, tables: Sequence[Table], policy: Policy, earlier: Sequence[Path]
) -> tuple[list[Released], dict[str, int], Cells, Collection[Coordinate]]:
    if not policy.protected:
        for table in tables:
            _write_table(folder, table, table.rows)
        files = [_released(folder, one.name, one.output.type, len(one.rows)) for one in tables]
        return files, {}, Cells(), ()
    cells, hidden = protect(tables, policy, [read_record(path) for path in earlier])
    released, withheld = [], {}
    for table in tables:
        coordinates = table.coordinates()
        if len(set(coordinates)) != len(coordinates):
            raise Refused(Reason.COLUMNS, table.output.name, "two rows for the same margin")
        rows = [
            row
            for row, coordinate in zip(table.rows, coordinates, strict=True)
            if coordinate not in hidden
        ]
        if not rows:
            raise Refused(Reason.FEW, table.output.name, f"{table.name} has no row that may leave")
        _write_table(folder, table, _rounded(rows, table.output, policy))
        withheld[table.name] = len(coordinates) - len(rows)
        released.append(
            _released(folder, table.name, table.output.type, len(rows), withheld[table.name] > 0)
        )
    return released, withheld, cells, hidden


def protect(
    tables: Sequence[Table], policy: Policy, earlier: Sequence[Earlier] = ()
) -> tuple[Cells, Collection[Coordinate]]:
    """The cells of all tables and of earlier releases, and those of the tables to withhold."""
    from studium.jobs.disclosure.suppression import suppress

    cells = gather(tables, policy.minimum, earlier)
    pattern = suppress(cells, policy.minimum, policy.complementary, policy.assume_totals)
    # A row of which every number was published before says nothing new.
    return cells, {at for at, _ in cells.own - cells.known} & pattern.withheld


def _rounded(rows: Sequence[Row], output: Output, policy: Policy) -> list[Row]:
    """A kind of number is told from its column, of which only the rows that leave are looked at."""
    width = len(output.keys)
    counts = width + (1 if output.learners else 0) + len(output.counts)
    columns: list[Sequence[object]] = []
    for place, column in enumerate(zip(*rows, strict=True)):
        if place < width:
            columns.append(column)
        elif place < counts:
            columns.append([round_count(int(str(cell)), policy.rounding) for cell in column])
        else:
            numbers = [cell for cell in column if cell is None or isinstance(cell, (int, float))]
            assert len(numbers) == len(column)
            columns.append(round_measures(numbers, policy.rounding, policy.decimals))
    return list(zip(*columns, strict=True))


def _write_table(folder: Path, table: Table, rows: Sequence[Row]) -> None:
    path = folder / table.name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, table.output, rows)


def _released(
    folder: Path, name: str, kind: str, rows: int | None = None, withheld: bool = False
) -> Released:
    content = (folder / name).read_bytes()
    sync(folder / name)
    return Released(name, kind, len(content), hashlib.sha256(content).hexdigest(), rows, withheld)


def _read_release(target: Path, record: Path | None) -> Release:
    document = orjson.loads((target / MANIFEST).read_bytes())
    files = tuple(Released(**one) for one in document["files"])
    return Release(files, read_withheld(record) if record is not None else {})


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    sync(path)
