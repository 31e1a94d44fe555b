"""Rows in the order of the grain, however they come."""

import tempfile
from collections.abc import Callable, Iterator
from typing import Final

import pyarrow as pa

from studium.errors import ResultsError
from studium.results.ordering import Ascent
from studium.results.publication import Publication
from studium.results.rows import CHUNK, read_rows

_MEMORY: Final = "256MB"
"""What sorting may hold; more goes to temporary files."""


def load_in_order(
    publication: Publication, load: Callable[[Iterator[pa.RecordBatch]], None]
) -> tuple[int, bool]:
    """Give the rows to `load` in the order of the grain; their number, and is the grain unique?

    Rows mostly come in order, and sorting takes its time: it is done only once they turn out not
    to. `load` is then called again and must begin anew.

    Raises:
        ResultsError: values that do not fit (`read_rows`).
    """
    ascent, rows, schema = Ascent(publication.grain), 0, pa.schema([])

    def as_they_come() -> Iterator[pa.RecordBatch]:
        nonlocal rows, schema
        for batch in read_rows(publication, ascent):
            schema = batch.schema
            if not ascent.strict:
                return
            rows += batch.num_rows
            yield batch

    load(as_they_come())
    if ascent.strict:
        return rows, True
    again, rows = Ascent(publication.grain), 0

    def in_order() -> Iterator[pa.RecordBatch]:
        nonlocal rows
        for batch in _sorted_rows(publication, schema):
            again.watch(batch)
            rows += batch.num_rows
            yield batch

    load(in_order())
    return rows, again.strict


def _sorted_rows(publication: Publication, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    import duckdb

    broken: list[BaseException] = []

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from read_rows(publication, Ascent(publication.grain))
        except BaseException as error:
            broken.append(error)  # DuckDB would show it as one of its own
            raise

    unsorted = pa.RecordBatchReader.from_batches(schema, batches())
    order = ", ".join(f'"{name}" NULLS FIRST' for name in publication.grain)
    with (
        tempfile.TemporaryDirectory(prefix="studium-sort-") as spill,
        duckdb.connect(config={"memory_limit": _MEMORY, "temp_directory": spill}) as database,
    ):
        database.register("unsorted", unsorted)
        try:
            reader = database.sql(f"SELECT * FROM unsorted ORDER BY {order}").to_arrow_reader(CHUNK)
            for batch in reader:
                columns = [
                    values.cast(field.type)
                    for values, field in zip(batch.columns, schema, strict=True)
                ]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)
        except (duckdb.Error, pa.ArrowException) as error:
            if broken:
                raise broken[0] from None
            raise ResultsError(
                f"The rows of {publication.name} cannot be sorted: {error}.",
                f"Nothing was published. Is there room for temporary files in {spill}?",
            ) from error
