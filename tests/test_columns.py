"""Declared columns: what a table file may say of one, and what it may not."""

import pytest

from studium.columns import Column, parse_column, render_column
from studium.errors import TableError


@pytest.mark.parametrize(
    ("declaration", "expected"),
    [
        ("varchar(255) not null; course run", Column("c", "varchar(255)", False, "course run")),
        ("integer; learners; enrolled", Column("c", "integer", True, "learners; enrolled")),
        ("  DATE  NOT\tNULL ;UTC day ", Column("c", "date", False, "UTC day")),
        ("Varchar (16); level", Column("c", "varchar(16)", True, "level")),
    ],
)
def test_a_declaration_gives_type_nullability_and_meaning(
    declaration: str, expected: Column
) -> None:
    assert parse_column("c", declaration) == expected


@pytest.mark.parametrize(
    "type_name",
    [
        *("smallint", "integer", "bigint", "double", "text", "date", "datetime", "boolean"),
        "varchar(1)",
        "varchar(16383)",
    ],
)
@pytest.mark.parametrize("nullable", [True, False])
def test_rendering_is_what_parsing_reads(type_name: str, nullable: bool) -> None:
    column = Column("c", type_name, nullable, "a meaning; in two parts")
    assert parse_column("c", render_column(column)) == column


def test_only_varchar_has_a_length() -> None:
    assert Column("c", "varchar(36)", True, "m").length == 36
    assert Column("c", "text", True, "m").length is None


@pytest.mark.parametrize(
    "declaration",
    [
        "",
        "integer",
        "integer;",
        "; meaning",
        "not null; meaning",
        "int; meaning",
        "integer null; meaning",
        "integer not null not null; meaning",
        "varchar; meaning",
        "varchar(0); meaning",
        "varchar(16384); meaning",
        "varchar(99999); meaning",
        "varchar(-1); meaning",
        "varchar(2)) ; meaning",
    ],
)
def test_nonsense_is_refused(declaration: str) -> None:
    with pytest.raises(TableError, match="c"):
        parse_column("c", declaration)


@pytest.mark.parametrize("name", ["", "Course", "1st", "a b", 'a"b', "é", "a" * 64, "x\n"])
def test_a_name_that_some_database_would_change_is_refused(name: str) -> None:
    with pytest.raises(TableError, match="cannot be the name"):
        parse_column(name, "integer; n")
