"""Tables of texts, each read once: what no SQL can do alike on every engine."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from studium.lake.tables import map_table
from studium.lenses.answers.tags import read_tags
from studium.lenses.answers.texts import (
    clean,
    join_value,
    list_texts,
    read_number,
    read_value,
    read_whole,
    strip_markup,
)

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_TEXTS, _MOST_LETTERS = 10_000, 1 << 22
"""What is Python's at a time: so many texts, or so many letters."""


def read_texts(params: Mapping[str, object], keys: pa.Table | None) -> pa.RecordBatchReader:
    """Read each distinct JSON text once (`specs/edx-activity-video-answers` §3.5, §4.1)."""
    import pyarrow as pa

    pattern = _pattern(params)

    def row(text: str) -> tuple[object, ...]:
        value = read_value(text)
        plain, stripped = join_value(value, str.strip), join_value(value, strip_markup)
        said = join_value(value, str)
        cleaned = clean(said, pattern)
        items = [cleaned]
        if isinstance(value, list):
            items = [clean(one, pattern) for one in list_texts(value)]
        return (
            text,
            said,
            plain,
            stripped,
            read_number(plain),
            read_number(stripped),
            read_whole(plain),
            cleaned,
            json.dumps(items, ensure_ascii=False),
        )

    texts = ("text", "said", "plain", "stripped")
    schema = pa.schema(
        [
            *((name, pa.string()) for name in texts),
            ("plain_number", pa.float64()),
            ("stripped_number", pa.float64()),
            ("whole", pa.int32()),
            ("cleaned", pa.string()),
            ("cleaned_list", pa.string()),
        ]
    )
    return _make(keys, "text", schema, lambda text: [row(text)])


def clean_names(params: Mapping[str, object], keys: pa.Table | None) -> pa.RecordBatchReader:
    """Clean each name of a problem once (`specs/edx-activity-video-answers` §4.1)."""
    import pyarrow as pa

    pattern = _pattern(params)
    schema = pa.schema([("name", pa.string()), ("cleaned", pa.string())])
    return _make(keys, "name", schema, lambda name: [(name, clean(name, pattern))])


def split_tags(params: Mapping[str, object], keys: pa.Table | None) -> pa.RecordBatchReader:
    """Take each set of tags apart once (`specs/edx-activity-video-answers` §4.5)."""
    import pyarrow as pa

    names = ("tags_text", "tag_name", "tag_value")
    schema = pa.schema([(name, pa.string()) for name in names])
    return _make(keys, "tags_text", schema, lambda text: [(text, *one) for one in read_tags(text)])


def list_response_types(params: Mapping[str, object], keys: pa.Table | None = None) -> pa.Table:
    """The types of ``answers.response_types`` (`specs/edx-activity-video-answers` §3.4)."""
    import pyarrow as pa

    types = sorted(filter(None, str(params["response_types"]).split(",")))
    return pa.table({"response_type": pa.array(types, pa.string())})


def _make(
    keys: pa.Table | None,
    name: str,
    schema: pa.Schema,
    rows: Callable[[str], Iterable[tuple[object, ...]]],
) -> pa.RecordBatchReader:
    """The rows of every key, some at a time: what learners typed may be long."""
    import pyarrow as pa

    def batches(column: pa.ChunkedArray) -> Iterator[pa.RecordBatch]:
        for texts in _groups(one.as_py() for one in column):
            made = [row for text in texts for row in rows(text)]
            columns: list[Any] = [*zip(*made, strict=True)] or [()] * len(schema)
            arrays = [pa.array(c, field.type) for c, field in zip(columns, schema, strict=True)]
            yield pa.record_batch(arrays, schema=schema)

    assert keys is not None
    return pa.RecordBatchReader.from_batches(schema, batches(keys.column(name)))


def _groups(texts: Iterable[str]) -> Iterator[list[str]]:
    group: list[str] = []
    letters = 0
    for text in texts:
        if len(group) == _MOST_TEXTS or letters >= _MOST_LETTERS:
            yield group
            group, letters = [], 0
        group.append(text)
        letters += len(text)
    if group:
        yield group


def _pattern(params: Mapping[str, object]) -> re.Pattern[str] | None:
    text = str(params["clean_pattern"])
    return re.compile(text) if text else None


_TEXTS_OF_TALLIES = " UNION ".join(
    f"SELECT {name} AS text FROM answer_tallies WHERE {name} IS NOT NULL"
    for name in ("value_text", "answer_text", "question_text", "variant_text")
)

ANSWER_TEXTS = map_table(
    "answer_texts",
    "answers",
    read_texts,
    version="1",
    description="Texts of answers, questions and variants, as they are compared and shown",
    grain=["text"],
    columns={
        "text": "text not null; JSON as it was sent",
        "said": "text not null; what it says; a list is [a|b|c]",
        "plain": "text not null; the same without blanks around it",
        "stripped": "text not null; its words without HTML, one blank between them",
        "plain_number": "double; the number that plain is",
        "stripped_number": "double; the number that stripped is",
        "whole": "integer; the whole number, not 0, that it is",
        "cleaned": "text not null; white space as one blank, without answers.clean_pattern",
        "cleaned_list": "text not null; JSON list of the same, an item a text",
    },
    keys=_TEXTS_OF_TALLIES,
    key="text",
    params=["clean_pattern"],
    rule="specs/edx-activity-video-answers §3.5, §4.1",
)
PROBLEM_NAMES = map_table(
    "problem_names",
    "answers",
    clean_names,
    version="1",
    description="Display names of problems, cleaned",
    grain=["name"],
    columns={
        "name": "text not null; as logged",
        "cleaned": "text not null; white space as one blank, without answers.clean_pattern",
    },
    keys="SELECT DISTINCT problem_name AS name FROM problem_submissions "
    "WHERE problem_name IS NOT NULL",
    key="name",
    params=["clean_pattern"],
    rule="specs/edx-activity-video-answers §4.1",
)
PROBLEM_TAGS = map_table(
    "problem_tags",
    "answers",
    split_tags,
    version="1",
    description="Tags of problems, as events carry them, taken apart",
    grain=["tags_text", "tag_name", "tag_value"],
    columns={
        "tags_text": "text not null; JSON as logged",
        "tag_name": "varchar(255) not null; kind of tag, as in difficulty",
        "tag_value": "varchar(255) not null; the tag, as in Hard",
    },
    keys="SELECT DISTINCT tags_text FROM tag_submissions WHERE tags_text IS NOT NULL",
    rule="specs/edx-activity-video-answers §4.5",
)
COUNTED_RESPONSE_TYPES = map_table(
    "counted_response_types",
    "answers",
    list_response_types,
    version="1",
    description="Types of responses whose answers are counted",
    grain=["response_type"],
    columns={"response_type": "varchar(255) not null; as in numericalresponse"},
    params=["response_types"],
    rule="specs/edx-activity-video-answers §3.4",
)

TABLES = (ANSWER_TEXTS, PROBLEM_NAMES, PROBLEM_TAGS, COUNTED_RESPONSE_TYPES)
