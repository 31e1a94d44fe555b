"""Tables: what a `.sql` file of a lens says, and the order in which tables are built.

    /* studium
    description = "Learners enrolled at the end of each day, per course"
    …
    */
    SELECT …

The header is TOML; `docs/explanation/architecture.md` explains its fields. A table of kind "map"
has no file: it is a Python function from parameters, and from the rows of a query if it has one.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from studium.columns import Column, parse_column
from studium.errors import EngineError, TableError

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["day", "full", "map"]
MapFunction = Callable[[Mapping[str, object], "pa.Table | None"], "pa.Table | pa.RecordBatchReader"]
"""Parameters, and rows of the query for keys → rows; a reader makes them as they are written."""

KINDS: Final = ("day", "full")
_REQUIRED: Final = ("description", "kind", "grain", "columns")
_OPTIONAL: Final = ("publish", "indexes", "rule", "reach", "restricted", "trace")
_HEADER = re.compile(r"\s*/\*\s*studium\s*\n(.*?)\*/", re.DOTALL)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


class SqlFile(Protocol):
    """A file in a folder or inside an installed package (`Path`, `importlib` `Traversable`)."""

    @property
    def name(self) -> str: ...

    def read_text(self, encoding: str) -> str: ...


@dataclass(frozen=True)
class Table:
    """A unit of the lake.

    `inputs` are the tables its SQL reads, `params` the `$names` it needs a value for, and `code` a
    fingerprint (md5, hexadecimal) of everything in the file that decides its rows: comments and
    layout do not. `reach` is how many days away a day table's inputs may lie. A `restricted` table
    holds names or addresses. `function` makes the rows of a table of kind "map", from those of
    its `sql` if there is one; if it makes one row of each `key`, a column of both, rows of keys
    that were there before are not made again.

    `trace` tells for an input, by a condition over its columns, which of its rows explain a row of
    the table, whose values are the `$names` in it. It is for `studium why` and makes no row.
    """

    name: str
    lens: str
    kind: Kind
    description: str
    grain: tuple[str, ...]
    columns: tuple[Column, ...]
    code: str
    indexes: tuple[tuple[str, ...], ...] = ()
    publish: str | None = None
    rule: str = ""
    reach: int = 0
    restricted: bool = False
    sql: str | None = None
    inputs: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    trace: Mapping[str, str] = field(default_factory=dict, hash=False)
    function: MapFunction | None = field(default=None, compare=False, repr=False)
    key: str = ""

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns, in the order of the result store."""
        return tuple(column.name for column in self.columns)

    @property
    def published_columns(self) -> tuple[Column, ...]:
        """Columns in the result store. A day table that calls its day `date`, as its readers do,
        has no second column for it there."""
        twice = self.kind == "day" and "date" in self.column_names
        return tuple(one for one in self.columns if not (twice and one.name == "day"))


def read_table(path: SqlFile | Path, lens: str) -> Table:
    """Read a table file; whatever is wrong with it is a `TableError` naming file and field."""
    try:
        return _read(path.name, path.read_text(encoding="utf-8"), lens)
    except TableError as error:
        raise TableError(f"{lens}/{path.name}: {error}") from error


def map_table(
    name: str,
    lens: str,
    function: MapFunction,
    *,
    version: str,
    description: str,
    grain: Sequence[str],
    columns: Mapping[str, str],
    params: Sequence[str] = (),
    keys: str = "",
    key: str = "",
    restricted: bool = False,
    rule: str = "",
) -> Table:
    """Declare a table that Python makes, out of the rows of the query `keys` if one is given.

    A new `version` makes its rows stale, as new SQL would. `key` is the column of the query and of
    the table that its one row follows from: only rows of new keys are made then.
    """
    from studium.engines import dialect

    declared = tuple(parse_column(column, text) for column, text in columns.items())
    _check_grain(grain, declared)
    inputs = dialect.find_inputs(dialect.parse(keys)) if keys else ()
    return Table(
        name=name,
        lens=lens,
        kind="map",
        description=description,
        grain=tuple(grain),
        columns=declared,
        code=_fingerprint("map", 0, declared, version + keys),
        rule=rule,
        restricted=restricted,
        sql=keys or None,
        inputs=inputs,
        params=tuple(sorted(params)),
        function=function,
        key=key,
    )


def order_tables(tables: Iterable[Table]) -> list[Table]:
    """Put tables behind those that they read; ties by name. A circle is a `TableError`."""
    by_name: dict[str, Table] = {}
    for table in tables:
        if table.name in by_name:
            lenses = f"{by_name[table.name].lens} and {table.lens}"
            raise TableError(f"Two tables are called {table.name} (in {lenses}). Rename one.")
        by_name[table.name] = table
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for name in sorted(by_name):
        sorter.add(name, *(source for source in by_name[name].inputs if source in by_name))
    ordered: list[Table] = []
    try:
        sorter.prepare()
    except CycleError as error:
        raise TableError(
            f"These tables read each other in a circle: {' → '.join(error.args[1])}."
        ) from error
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        ordered.extend(by_name[name] for name in ready)
        sorter.done(*ready)
    return ordered


def _read(filename: str, text: str, lens: str) -> Table:
    from studium.engines import dialect

    name = filename.removesuffix(".sql")
    if not _NAME.fullmatch(name):
        raise TableError("call the file by the table's name: small letters, digits and _, .sql.")
    header, sql = _split(text)
    kind = _one_of(header, "kind", KINDS)
    columns = _columns(header)
    try:
        query = dialect.parse(sql)
        inputs, params = dialect.find_inputs(query), dialect.find_params(query)
    except EngineError as error:
        raise TableError(str(error)) from error
    outputs = tuple(query.named_selects)
    if "*" in outputs:
        raise TableError("SELECT * hides the columns. Name each one.")
    if kind == "day" and "day" not in outputs:
        raise TableError("a day table selects a column `day`, its partition.")
    if outputs != tuple(column.name for column in columns):
        raise TableError(
            f"field columns: the SELECT gives ({', '.join(outputs)}), the header declares "
            f"({', '.join(column.name for column in columns)}). Make them equal, in this order."
        )
    if name in inputs:
        raise TableError("the table reads itself.")
    reach = _whole(header, "reach")
    if reach and kind != "day":
        raise TableError("field reach: only a day table can have one.")
    return Table(
        name=name,
        lens=lens,
        kind="day" if kind == "day" else "full",
        description=_text(header, "description"),
        grain=_check_grain(_names(header, "grain"), columns),
        columns=columns,
        code=_fingerprint(kind, reach, columns, dialect.words(sql)),
        indexes=_indexes(header, columns),
        publish=_publish(header),
        rule=_text(header, "rule"),
        reach=reach,
        restricted=_flag(header, "restricted"),
        sql=sql,
        inputs=inputs,
        params=params,
        trace=_trace(header, inputs, {*outputs, *params}),
    )


def _split(text: str) -> tuple[dict[str, Any], str]:
    match = _HEADER.match(text)
    if not match:
        raise TableError("the file must begin with a header: /* studium … */.")
    try:
        header = tomllib.loads(match[1])
    except tomllib.TOMLDecodeError as error:
        raise TableError(f"the header is not TOML: {error}.") from error
    for key in header:
        if key not in _REQUIRED + _OPTIONAL:
            known = ", ".join(_REQUIRED + _OPTIONAL)
            raise TableError(f"field {key}: there is no such field. Known are {known}.")
    for key in _REQUIRED:
        if not header.get(key):
            raise TableError(f"field {key}: it is missing or empty.")
    return header, text[match.end() :].strip()


def _columns(header: Mapping[str, Any]) -> tuple[Column, ...]:
    declared = header["columns"]
    if not isinstance(declared, dict) or not all(isinstance(v, str) for v in declared.values()):
        raise TableError("field columns: write a [columns] section with one text per column.")
    return tuple(parse_column(name, text) for name, text in declared.items())


def _check_grain(grain: Sequence[str], columns: Sequence[Column]) -> tuple[str, ...]:
    names = {column.name for column in columns}
    for name in grain:
        if name not in names:
            raise TableError(f"field grain: {name} is not a column.")
    return tuple(grain)


def _indexes(header: Mapping[str, Any], columns: Sequence[Column]) -> tuple[tuple[str, ...], ...]:
    value = header.get("indexes", [])
    names = {column.name for column in columns}
    if not isinstance(value, list) or not all(isinstance(index, list) for index in value):
        raise TableError('field indexes: write lists of columns, [["course_id", "date"]].')
    for index in value:
        for name in index:
            if name not in names:
                raise TableError(f"field indexes: {name} is not a column.")
    return tuple(tuple(index) for index in value)


def _publish(header: Mapping[str, Any]) -> str | None:
    name = _text(header, "publish")
    if name and not _NAME.fullmatch(name):
        raise TableError(f"field publish: {name!r} is not a table name (small letters, digits, _).")
    return name or None


def _trace(header: Mapping[str, Any], inputs: Sequence[str], values: set[str]) -> dict[str, str]:
    from studium.engines import dialect

    trace = header.get("trace", {})
    if not isinstance(trace, dict) or not all(isinstance(text, str) for text in trace.values()):
        raise TableError("field trace: write a [trace] section with one condition per input.")
    for name, condition in trace.items():
        if name not in inputs:
            raise TableError(f"field trace: {name} is not an input. Those are {', '.join(inputs)}.")
        try:
            query = dialect.parse(f'SELECT 1 FROM "{name}" WHERE {condition}')
        except EngineError as error:
            raise TableError(f"field trace: {name}: {error}") from error
        for read in dialect.find_inputs(query):
            if read not in inputs:
                raise TableError(f"field trace: {name}: it reads {read}, which is not an input.")
        for value in dialect.find_params(query):
            if value not in values:
                raise TableError(
                    f"field trace: {name}: ${value} is neither a column nor a parameter."
                )
    return {name: " ".join(condition.split()) for name, condition in trace.items()}


def _one_of(header: Mapping[str, Any], key: str, known: Sequence[str]) -> str:
    value = _text(header, key)
    if value not in known:
        raise TableError(f"field {key}: {value!r} is none of {', '.join(known)}.")
    return value


def _text(header: Mapping[str, Any], key: str) -> str:
    value = header.get(key, "")
    if not isinstance(value, str):
        raise TableError(f"field {key}: a text is expected, not {value!r}.")
    return value


def _names(header: Mapping[str, Any], key: str) -> list[str]:
    value = header[key]
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise TableError(f"field {key}: a list of column names is expected, not {value!r}.")
    return value


def _whole(header: Mapping[str, Any], key: str) -> int:
    value = header.get(key, 0)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TableError(f"field {key}: a number of days is expected, not {value!r}.")
    return value


def _flag(header: Mapping[str, Any], key: str) -> bool:
    value = header.get(key, False)
    if not isinstance(value, bool):
        raise TableError(f"field {key}: true or false is expected, not {value!r}.")
    return value


def _fingerprint(kind: str, reach: int, columns: Sequence[Column], code: str) -> str:
    # Meanings are left out: they decide no row.
    declared = [f"{column.name} {column.type} {column.nullable}" for column in columns]
    text = "\x1f".join([kind, str(reach), *declared, code])
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
