"""Tables out of files that a job wrote, and new files of what may leave.

Nothing of a job's file is passed on but the cells: rows leave in the order of their keys, columns
in the declared order, numbers as we write them, so that neither order, nor spelling, nor metadata
carries anything out.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from studium.jobs.disclosure.cells import Table
from studium.jobs.disclosure.folder import has_hidden
from studium.jobs.disclosure.model import Output, Policy, Reason, Refused

MAX_KEY = 64
"""Characters of a key."""
MAX_KEYS = 6
"""Key columns of a table: the sums to protect grow with 2 to the power of them."""
_LARGEST = 10**15

Row = tuple[object, ...]


def read_table(path: Path, name: str, output: Output, policy: Policy) -> Table:
    """The table in the file at ``path``, which is a private copy.

    Raises Refused: ``wrong type`` if it is not what it was declared to be, ``wrong columns`` if it
    has others or cells that do not fit them, ``output too large``, ``unsafe file``.
    """
    readers = {"csv": _read_csv, "json": _read_json, "parquet": _read_parquet}
    rows: list[Row] = []
    seen = set()
    for record in readers[output.type](path, output, policy):
        if len(rows) == policy.max_rows:
            raise Refused(
                Reason.SIZE, output.name, f"{name} has more than {policy.max_rows:,} rows"
            )
        row = _row(record, output, name)
        keys = row[: len(output.keys)]
        if keys in seen:
            raise Refused(Reason.COLUMNS, output.name, f"{name} has two rows with the same keys")
        seen.add(keys)
        rows.append(row)
    return Table(name, output, rows)


def _row(record: Mapping[str, Any], output: Output, name: str) -> Row:
    if record.keys() != set(output.columns):
        raise Refused(Reason.COLUMNS, output.name, f"{name} has other columns than were declared")
    whole = {output.learners, *output.counts}
    cells: list[object] = []
    for column in output.columns:
        value = record[column]
        if column in output.keys:
            cells.append(_key(value, output))
        elif column in whole:
            number = _number(value, output)
            if number is None or not 0 <= number < _LARGEST or number != int(number):
                raise Refused(Reason.COLUMNS, output.name, f"{name}: a count that is none")
            cells.append(int(number))
        else:
            number = _number(value, output)
            if number is not None and _LARGEST <= abs(number) < math.inf:
                raise Refused(Reason.COLUMNS, output.name, f"{name}: too large a number")
            cells.append(number)
    return tuple(cells)


def _key(value: object, output: Output) -> str:
    if value is not None and not isinstance(value, (str, int, float)):
        value = str(value)  # a date
    text = "" if value is None else str(value)
    if len(text) > MAX_KEY or has_hidden(text):
        raise Refused(Reason.UNSAFE, output.name, "a key that is too long or has hidden characters")
    if text[:1] in ("=", "+", "-", "@") and not _is_number(text):
        # A spreadsheet would run it.
        raise Refused(Reason.UNSAFE, output.name, "a key that begins like a formula")
    return text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(value: object, output: Output) -> float | int | None:
    """A number out of a cell: a whole one stays whole."""
    if value is None or value == "":
        return None
    try:
        if isinstance(value, str):
            return float(value) if set(value) & set(".eEnN") else int(value)
        if isinstance(value, (bool, int)):
            return int(value)
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise Refused(Reason.COLUMNS, output.name, "a cell that is no number") from None


def _read_csv(path: Path, output: Output, policy: Policy) -> Iterator[Mapping[str, Any]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        if "\0" in text:
            raise Refused(Reason.TYPE, output.name, "a NUL character")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        header = next(reader, None)
        if header is None or len(set(header)) != len(header):
            raise Refused(Reason.COLUMNS, output.name, "no header, or a column twice")
        for line in reader:
            if len(line) != len(header):
                raise Refused(Reason.TYPE, output.name, "a row with more or fewer cells")
            yield dict(zip(header, line, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise Refused(Reason.TYPE, output.name, str(error)) from None


def _read_json(path: Path, output: Output, policy: Policy) -> Iterator[Mapping[str, Any]]:
    try:
        document = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise Refused(Reason.TYPE, output.name, str(error)) from None
    records = document if isinstance(document, list) else [document]
    for record in records:
        if not isinstance(record, dict) or any(
            isinstance(value, (dict, list)) for value in record.values()
        ):
            raise Refused(Reason.COLUMNS, output.name, "not a flat object, nor a list of them")
        yield record


def _read_parquet(path: Path, output: Output, policy: Policy) -> Iterator[Mapping[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, read_dictionary=list(output.columns)) as file:
            # What the footer says is asked before anything is decompressed.
            if sorted(file.schema_arrow.names) != sorted(output.columns):
                raise Refused(Reason.COLUMNS, output.name, "other columns than were declared")
            if any(pa.types.is_nested(column.type) for column in file.schema_arrow):
                raise Refused(Reason.COLUMNS, output.name, "a nested column")
            groups = [file.metadata.row_group(n) for n in range(file.metadata.num_row_groups)]
            size = sum(group.total_byte_size for group in groups)
            if file.metadata.num_rows > policy.max_rows or size > 8 * policy.max_bytes:
                raise Refused(Reason.SIZE, output.name, "too many rows, or too large unpacked")
            for batch in file.iter_batches(batch_size=256, use_threads=False):
                for column in batch.columns:
                    _check_texts(column, output)
                yield from batch.to_pylist()
    except KeyError:  # no such column, or a nested one
        raise Refused(Reason.COLUMNS, output.name, "other columns than were declared") from None
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise Refused(Reason.TYPE, output.name, str(error)) from None


def _check_texts(column: Any, output: Output) -> None:
    """Before they are unpacked: one long text may stand in every row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = column.dictionary if pa.types.is_dictionary(column.type) else column
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        longest = pc.max(pc.binary_length(values)).as_py()
        if longest and longest > 4 * MAX_KEY:
            raise Refused(Reason.UNSAFE, output.name, "a text that is too long")
    elif not (pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)):
        raise Refused(Reason.COLUMNS, output.name, f"a column of {kind}")


def write_table(path: Path, output: Output, rows: Iterable[Row]) -> None:
    """A new file of ``rows``, in the order of their keys; keys are text."""
    width = len(output.keys)
    ordered = sorted(rows, key=lambda row: [str(cell) for cell in row[:width]])
    if output.type == "csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(output.columns)
            writer.writerows(ordered)
    elif output.type == "json":
        records = [dict(zip(output.columns, row, strict=True)) for row in ordered]
        path.write_text(json.dumps(records, indent=1, allow_nan=False) + "\n", "utf-8")
    else:
        _write_parquet(path, output, ordered)


def _write_parquet(path: Path, output: Output, rows: Sequence[Row]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole = {output.learners, *output.counts}
    kinds = [
        pa.string() if column in output.keys else pa.int64() if column in whole else pa.float64()
        for column in output.columns
    ]
    columns = [[row[place] for row in rows] for place in range(len(kinds))]
    arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    table = pa.Table.from_arrays(arrays, names=list(output.columns))
    pq.write_table(table, path, compression="zstd", store_schema=False)
