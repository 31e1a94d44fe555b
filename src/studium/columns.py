"""A declared column: what a table file says about one column of its result.

The type names are those of the result store (`specs/edx-enrollment-geography §2.12`), small enough
that SQLite, PostgreSQL and MariaDB all have them.
"""

import re
from dataclasses import dataclass
from typing import Final

from studium.errors import TableError

PLAIN_TYPES: Final = frozenset(
    {"smallint", "integer", "bigint", "double", "text", "date", "datetime", "boolean"}
)

# MariaDB keeps a whole row in 65,535 bytes, four to a character.
LONGEST_VARCHAR: Final = 16_383

# Nothing that a database would fold to another case, or cut off (PostgreSQL: 63 characters).
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_VARCHAR = re.compile(r"varchar ?\( ?([1-9][0-9]{0,4}) ?\)")


@dataclass(frozen=True)
class Column:
    """One column: `type` is `varchar(n)` (n characters) or one of `PLAIN_TYPES`."""

    name: str
    type: str
    nullable: bool
    meaning: str

    def __post_init__(self) -> None:
        check_name(self.name, "column")
        if self.type not in PLAIN_TYPES and not 1 <= (self.length or 0) <= LONGEST_VARCHAR:
            raise TableError(
                f"Column {self.name}: there is no type {self.type!r}. Use varchar(n) with n up to "
                f"{LONGEST_VARCHAR}, or one of {', '.join(sorted(PLAIN_TYPES))}."
            )

    @property
    def length(self) -> int | None:
        """The n of `varchar(n)`, in characters; None for other types."""
        match = re.fullmatch(r"varchar\(([0-9]+)\)", self.type)
        return int(match[1]) if match else None


def check_name(name: str, what: str) -> None:
    """Refuse a name that not every database keeps as it is."""
    if not _NAME.fullmatch(name):
        raise TableError(
            f"{name!r} cannot be the name of a {what}. Use small letters, digits and _, "
            "63 characters at most, not starting with a digit."
        )


def parse_column(name: str, declaration: str) -> Column:
    """Read `"varchar(255) not null; course run"`: type, `not null` if so, `;`, meaning.

    Raises:
        TableError: the declaration has another form, an unknown type or no meaning.
    """
    storage, _, meaning = (part.strip() for part in declaration.partition(";"))
    if not meaning:
        raise TableError(
            f"Column {name}: {declaration!r} lacks a meaning. "
            'Write it after a semicolon, as in "integer; learners enrolled".'
        )
    words = " ".join(storage.lower().split())
    nullable = not words.endswith(" not null")
    type_name = words.removesuffix(" not null")
    varchar = _VARCHAR.fullmatch(type_name)
    return Column(name, f"varchar({varchar[1]})" if varchar else type_name, nullable, meaning)


def render_column(column: Column) -> str:
    """The declaration of a column, such that `parse_column` reads the same column back."""
    return f"{column.type}{'' if column.nullable else ' not null'}; {column.meaning}"
