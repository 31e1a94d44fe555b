"""The rows of a publication: read in batches, fitted to its columns, watched for their order."""

from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from studium.errors import ResultsError
from studium.results.ordering import Ascent
from studium.results.publication import Publication
from studium.results.values import Misfits, fit, mismatch

CHUNK: Final = 20_000
"""Rows of a batch at most: enough to be fast, few enough to stay small."""

_HINT: Final = "Nothing was published. Change the columns in the table's header, or its SQL."


def read_rows(publication: Publication, ascent: Ascent) -> Iterator[pa.RecordBatch]:
    """The rows in batches with exactly the declared columns; `ascent` has watched each of them.

    After a value that does not fit, nothing more is given, but all rows are looked at.

    Raises:
        ResultsError: at the end, with all that does not fit; at the beginning, if a column is
            missing or has a type that cannot fit.
    """
    columns, misfits = publication.columns, Misfits()
    names = [column.name for column in columns]
    with publication.data() as reader:
        _refuse_types(publication, reader.schema)
        for whole in reader:
            for start in range(0, whole.num_rows, CHUNK):
                given = whole.select(names).slice(start, CHUNK)
                fitted = pa.RecordBatch.from_arrays(
                    [
                        fit(column, values, misfits)
                        for column, values in zip(columns, given.columns, strict=True)
                    ],
                    names=names,
                )
                if not misfits:
                    ascent.watch(fitted)
                    yield fitted
    if misfits:
        raise ResultsError(
            f"Table {publication.name} does not fit its declared columns: {misfits}.", _HINT
        )


def _refuse_types(publication: Publication, schema: pa.Schema) -> None:
    problems = [
        mismatch(column, schema.field(column.name).type)
        if column.name in schema.names
        else f"there is no column {column.name}"
        for column in publication.columns
    ]
    if any(problems):
        raise ResultsError(
            f"Table {publication.name} does not fit its declared columns: "
            f"{'; '.join(filter(None, problems))}.",
            _HINT,
        )
