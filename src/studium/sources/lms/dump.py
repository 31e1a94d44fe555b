"""MySQL dump files → rows of the wanted columns of the wanted tables, without a server.

What mysqldump, mariadb-dump, mydumper and phpMyAdmin write is read: CREATE TABLE for the order of
the columns, INSERT and REPLACE for rows; every other statement is passed over. A dump is read
through a window, so that neither a file nor an INSERT is ever held as a whole; the columns that are
not wanted are passed over in it (design §3.5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from studium.errors import SourceError
from studium.sources.edx.decompress import DamagedFileError, read_blocks
from studium.sources.lms.literals import (
    ANY_ROW,
    COMMENT,
    GAP,
    NAME,
    TEXT,
    literal,
    name_of,
    row_pattern,
)
from studium.sources.lms.window import Window

Wanted = Mapping[str, Mapping[str, bool]]
"""Table → its wanted columns, in lower case → whether a column holds a number."""

# Longest statement that is read as a whole, and longest row.
_STATEMENT = 1 << 20
_ROW = 64 << 20

# Rows, and bytes of the dump, that make a batch.
_BATCH_ROWS = 16_384
_BATCH_BYTES = 4 << 20

_START = re.compile(
    rb"(?P<line>(?:--(?=\s)|\#)[^\n]*+\n)|(?P<comment>/\*(?!!)[^*]*+(?:\*(?!/)[^*]*+)*+\*/)"
    rb"|(?P<gap>/\*!\d*+(?=\D)|\*/|;)|(?P<word>[A-Za-z]\w*+)(?=\W)|(?P<other>[^\w\s/*#;-])"
)
_QUALIFIED = b"(?:(" + NAME + b")" + GAP + rb"\." + GAP + b")?+(" + NAME + b")" + GAP
_CREATE = re.compile(
    rb"(?i:CREATE)" + GAP + rb"(?:(?i:OR)\b" + GAP + rb"(?i:REPLACE)\b" + GAP + rb")?+"
    rb"(?:(?i:TABLE)\b" + GAP + rb"(?:(?i:IF)\b" + GAP + rb"(?i:NOT)\b" + GAP + rb"(?i:EXISTS)\b"
    + GAP + rb")?+(?!(?i:IF)\b)" + _QUALIFIED + rb"(?=[(a-zA-Z])|(?!(?i:TABLE|OR)\b)\w++(?=\W))"
)  # fmt: skip
_INTO = re.compile(
    rb"(?i:INSERT|REPLACE)" + GAP
    + rb"(?:(?i:LOW_PRIORITY|HIGH_PRIORITY|DELAYED|IGNORE)\b" + GAP + rb")*+"
    rb"(?i:INTO)\b" + GAP + _QUALIFIED + rb"(?=[(a-zA-Z])"
)  # fmt: skip
_VALUES = re.compile(
    rb"(?:(?i:PARTITION)\b" + GAP + rb"\([^)]*+\)" + GAP + rb")?+"
    rb"(?:\(((?:`[^`]*+`|\"[^\"]*+\"|[^()`\"])*+)\)"
    + GAP
    + rb")?+(?i:VALUES?)\b"
    + GAP
    + rb"(?=\()"
)
_USE = re.compile(rb"(?i:USE)" + GAP + b"(" + NAME + b")" + GAP + b";")
_WHOLE = re.compile(
    rb"(?:[^;'\"`#/*-]++|" + TEXT + rb"|`[^`]*+`|" + COMMENT
    + rb"|\*(?=[^/])|/(?=[^*])|-(?=[^-])|--(?=\S))*+;",
    re.DOTALL,
)  # fmt: skip
_PART = re.compile(TEXT + rb"|(?P<gap>\s++|" + COMMENT + b")|" + NAME + rb"|.", re.DOTALL)
_LINE = re.compile(rb"[^\n]*+\n")
_LAST_DELIMITER = re.compile(rb"\s*(?i:DELIMITER)\s+;\s*\Z")
_NOT_COLUMNS = {
    "primary", "unique", "key", "index", "fulltext", "spatial", "constraint", "check", "foreign",
    "period", "exclude",
}  # fmt: skip
_STARTED = re.compile(rb"--\s+(?:MySQL|MariaDB) dump\s")
_COMPLETED = b"-- Dump completed"


@dataclass(frozen=True)
class Rows:
    """Rows of one table: ``values`` by column in the order of ``columns``, the wanted ones that
    the statement has; ``replaced`` texts of each were not UTF-8. No rows: the table was declared.
    """

    path: Path
    table: str
    columns: tuple[str, ...]
    values: Sequence[Sequence[str | None]]
    replaced: Sequence[int]


@dataclass
class _Known:
    """What statements before have told, in this file or in one before."""

    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    databases: dict[str, str] = field(default_factory=dict)
    unfinished: Path | None = None


def read_dumps(paths: Iterable[Path], wanted: Wanted) -> Iterator[Rows]:
    """Rows of all files, which are read in the order given as one dump.

    A declaration in one file holds for the files after it. SourceError, with the file and the
    line, for a statement on a wanted table that is not understood, for a file that is cut off, and
    for a table that is there in two databases.
    """
    known = _Known()
    for path in paths:
        try:
            with open(path, "rb") as raw:
                yield from _read(Window(read_blocks(raw), path), wanted, known)
        except (DamagedFileError, OSError) as error:
            raise SourceError(
                f"{path} cannot be read: {error}.", "Copy the dump again; nothing was imported."
            ) from error
    if known.unfinished is not None:
        raise _unfinished(known.unfinished)


def read_blocks_of_dump(
    blocks: Iterable[bytes], wanted: Wanted, path: Path = Path("dump.sql")
) -> Iterator[Rows]:
    """Rows of one dump that comes in ``blocks``, cut anywhere; ``path`` is for messages."""
    return _read(Window(blocks, path), wanted, _Known())


def _read(window: Window, wanted: Wanted, known: _Known) -> Iterator[Rows]:
    database = ""
    while window.skip_space():
        start = window.match(_START, _ROW)
        if start is None:
            raise window.error("this is not a statement")
        word = (start["word"] or b"").upper()
        if start["line"] is not None:
            _note_progress(start["line"], window.path, known)
        elif word == b"DELIMITER":
            _skip_delimited(window)
        elif word == b"USE":
            window.back(start)
            use = _must(window, _USE, "USE")
            database = name_of(use[1])
        elif word == b"CREATE":
            window.back(start)
            create = _must(window, _CREATE, "CREATE")
            if create[2] is None or (table := name_of(create[2])) not in wanted:
                window.skip_statement()
            elif (columns := _declared(_must(window, _WHOLE, "CREATE TABLE")[0])) is not None:
                _note_database(window, table, create[1], database, known)
                known.columns[table] = columns
                chosen = _chosen(columns, wanted[table])
                yield Rows(window.path, table, chosen, [() for _ in chosen], [0] * len(chosen))
        elif word in (b"INSERT", b"REPLACE"):
            window.back(start)
            into = _must(window, _INTO, "INSERT")
            if (table := name_of(into[2])) in wanted:
                _note_database(window, table, into[1], database, known)
                yield from _insert(window, table, wanted[table], known)
            else:
                window.skip_statement()
        elif word or start["other"] is not None:
            window.skip_statement()


def _insert(
    window: Window, table: str, wanted: Mapping[str, bool], known: _Known
) -> Iterator[Rows]:
    """The rows of an INSERT; the window is behind its table."""
    head = window.match(_VALUES, _STATEMENT)
    if head is None:
        raise window.error(f"INSERT INTO {table} is not followed by VALUES (…)")
    if head[1] is not None:
        columns = tuple(name_of(token.strip()) for token in _split(head[1]))
    elif table in known.columns:
        columns = known.columns[table]
    else:
        raise window.error(
            f"INSERT INTO {table} names no columns, and no CREATE TABLE {table} is before it",
            "Put the file that declares the table first: files are read in the order of names.",
        )
    chosen = _chosen(columns, wanted)
    pattern = row_pattern(len(columns), tuple(columns.index(name) for name in chosen))
    numbers = [wanted[name] for name in chosen]
    tokens: list[tuple[bytes, ...]] = []
    size = 0
    more = b","
    while more == b",":
        row = window.match(pattern, _ROW)
        if row is None:
            raise _bad_row(window, table, len(columns))
        *found, more = row.groups()
        tokens.append(tuple(found))
        size += row.end() - row.start()
        if len(tokens) >= _BATCH_ROWS or size >= _BATCH_BYTES:
            yield _rows(window.path, table, chosen, numbers, tokens)
            tokens, size = [], 0
    if more != b";":
        window.skip_statement()  # ON DUPLICATE KEY UPDATE
    if tokens:
        yield _rows(window.path, table, chosen, numbers, tokens)


def _rows(
    path: Path,
    table: str,
    columns: tuple[str, ...],
    numbers: Sequence[bool],
    tokens: Sequence[tuple[bytes, ...]],
) -> Rows:
    values: list[list[str | None]] = []
    replaced = []
    for number, column in zip(numbers, zip(*tokens, strict=True), strict=True):
        texts: list[str | None] = []
        bad = 0
        for token in column:
            value = token if token.isdigit() else literal(token, number)
            if value is None:
                texts.append(None)
                continue
            try:
                texts.append(value.decode())
            except UnicodeDecodeError:
                texts.append(value.decode("utf-8", "replace"))
                bad += 1
        values.append(texts)
        replaced.append(bad)
    return Rows(path, table, columns, values, replaced)


def _must(window: Window, pattern: re.Pattern[bytes], what: str) -> re.Match[bytes]:
    found = window.match(pattern, _STATEMENT)
    if found is None:
        raise window.error(f"this {what} statement is malformed or cut off")
    return found


def _bad_row(window: Window, table: str, width: int) -> SourceError:
    cut_off = window.error(f"the file ends within INSERT INTO {table}")
    if not window.skip_space():
        return cut_off
    if (row := window.match(ANY_ROW, _ROW)) is not None:
        window.back(row)
        return window.error(f"a row of {table} has not {width} values, as it has columns")
    return window.error(f"a row of {table} is malformed or cut off")


def _chosen(columns: Sequence[str], wanted: Mapping[str, bool]) -> tuple[str, ...]:
    return tuple(name for name in columns if name in wanted)


def _declared(statement: bytes) -> tuple[str, ...] | None:
    """The columns of a CREATE TABLE, from its parenthesis on; None if it has none (LIKE)."""
    if not statement.startswith(b"("):
        return None
    columns = []
    for part in _split(statement[1:], declaration=True):
        # A quoted name is a column's whatever it says.
        if part[:1] in (b"`", b'"') or name_of(part) not in _NOT_COLUMNS:
            columns.append(name_of(part))
    return tuple(columns)


def _split(text: bytes, declaration: bool = False) -> list[bytes]:
    """What is first between commas; of a ``declaration``, up to its closing parenthesis."""
    parts: list[bytes] = []
    depth, first = 0, True
    for part in _PART.finditer(text):
        token = part[0]
        if part["gap"] is not None:
            continue
        if depth == 0 and token == b",":
            first = True
        elif first:
            parts.append(token)
            first = False
        elif token == b"(":
            depth += 1
        elif token == b")":
            depth -= 1
            if declaration and depth < 0:
                break
    return parts


def _note_database(
    window: Window, table: str, qualifier: bytes | None, current: str, known: _Known
) -> None:
    database = name_of(qualifier) if qualifier else current
    if database and known.databases.setdefault(table, database) != database:
        raise window.error(
            f"{table} is there in the databases {known.databases[table]} and {database}",
            "Dump the database of the LMS only.",
        )


def _note_progress(comment: bytes, path: Path, known: _Known) -> None:
    """mysqldump says when it begins and when it is done; between them a file may be split."""
    if _STARTED.match(comment):
        if known.unfinished is not None:
            raise _unfinished(known.unfinished)
        known.unfinished = path
    elif comment.startswith(_COMPLETED):
        known.unfinished = None


def _unfinished(path: Path) -> SourceError:
    return SourceError(
        f"{path} has no “-- Dump completed” at its end.",
        "mysqldump was stopped, or the file was cut. Dump the tables again.",
    )


def _skip_delimited(window: Window) -> None:
    """Pass over triggers and routines, from one DELIMITER line to that which sets ``;`` again."""
    cut_off = window.error("the file ends before DELIMITER ;", "Copy the dump again.")
    line = window.match(_LINE, _ROW)
    if line is None or line[0].strip() == b";":
        return
    while line is not None and not _LAST_DELIMITER.match(line[0]):
        line = window.match(_LINE, _ROW)
    if line is None:
        raise cut_off
