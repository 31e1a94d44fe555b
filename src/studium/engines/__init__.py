"""What runs a table's SQL over Parquet files and writes Parquet files.

An engine knows nothing of the lake: it is given files, a query and a folder, and says what it
wrote. Committing is the lake's business. `studium.engines.portable` says which SQL all engines
are known to agree on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from studium.errors import EngineError

if TYPE_CHECKING:
    import pyarrow as pa

#: A value that can stand for a `$name`.
Param = object

#: Rows and checksum of each day; the key is None for a relation that is not kept by day.
Digest = dict["date | None", "tuple[int, int]"]

ENGINES = ("duckdb", "spark")


@dataclass(frozen=True)
class Relation:
    """What an engine reads under one name.

    Parquet files and the columns that they are read as (name → DuckDB type text). A column that a
    file lacks reads as NULL; a column that is not named here is not read; no files at all is an
    empty relation of these types. With `by_day` there is always a column `day` (DATE), which comes
    from the path (`…/day=2021-03-01/…`), not from the file.
    """

    files: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    by_day: bool = False

    @property
    def stored_columns(self) -> dict[str, str]:
        """The columns that are looked for inside the files."""
        return {
            name: type_
            for name, type_ in self.columns.items()
            if not (self.by_day and name == "day")
        }


@dataclass(frozen=True)
class StagedFile:
    """A Parquet file that an engine has written; `day` is None outside `day=…/` folders."""

    path: Path
    day: date | None
    rows: int
    size: int


@dataclass(frozen=True)
class Written:
    """What one write left behind: files and the columns (DuckDB type text) of the result.

    With `by_day`, `columns` names `day` too, although the files do not hold it. A result without
    rows has no files.
    """

    files: tuple[StagedFile, ...]
    columns: dict[str, str]

    @property
    def rows(self) -> int:
        """Rows in all files together."""
        return sum(file.rows for file in self.files)


class Engine(Protocol):
    """Runs SQL (DuckDB dialect) over relations. Every failure is an `EngineError`."""

    name: str

    def query(
        self, sql: str, inputs: Mapping[str, Relation], params: Mapping[str, Param] = ...
    ) -> pa.Table:
        """Return the rows of a query; order is the query's own."""
        ...

    def write(
        self,
        sql: str,
        inputs: Mapping[str, Relation],
        params: Mapping[str, Param],
        folder: Path,
        stem: str,
        by_day: bool,
    ) -> Written:
        """Write the rows of a query as `{stem}-{n}.parquet`, by day under `day=YYYY-MM-DD/`."""
        ...

    def digest(self, relation: Relation) -> Digest:
        """Count rows and sum up their content, per day.

        Independent of the order of rows and columns and of how rows are spread over files;
        duplicates count; a column that is absent equals one that is NULL in every row. Comparable
        between relations read by the same engine, not between engines.
        """
        ...

    def close(self) -> None:
        """Release memory and temporary files; safe to call twice."""
        ...


def open_engine(
    name: str = "duckdb",
    memory: str | None = None,
    threads: int | None = None,
    scratch: Path | None = None,
) -> Engine:
    """Open an engine by name.

    `memory` is a text such as "4GB" (None: the engine's default), `threads` the number of cores,
    `scratch` an existing or new folder for what does not fit into memory.
    """
    if name == "duckdb":
        from studium.engines.duckdb import DuckDBEngine

        return DuckDBEngine(memory=memory, threads=threads, scratch=scratch)
    if name == "spark":
        from studium.engines.spark import SparkEngine

        return SparkEngine(memory=memory, threads=threads, scratch=scratch)
    raise EngineError(f"There is no engine {name!r}. Choose one of: {', '.join(ENGINES)}.")


__all__ = [
    "ENGINES",
    "Digest",
    "Engine",
    "Param",
    "Relation",
    "StagedFile",
    "Written",
    "open_engine",
]
