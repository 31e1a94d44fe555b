"""One table to publish, and what is known of a published one."""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Final

from studium.columns import Column, check_name
from studium.errors import TableError

if TYPE_CHECKING:
    import pyarrow as pa

REGISTER: Final = "studium_published"
"""The table of the result store that says what it holds; flipped together with the tables."""

STAGING: Final = "studium_new_"
ASIDE: Final = "studium_old_"
"""How the names of tables begin that are about to come and to go."""

_OWN_COLUMNS = ("id", "created")

# Raised when a declaration makes another table than before, so that all are published again.
_FORM = 1


@dataclass(frozen=True)
class Publication:
    """One table to publish.

    `data` is called once for each attempt and gives the rows as Arrow batches; columns are taken
    by name, others are left out. `grain` is the logical key: unique, NULL counting as a value, and
    the order of the rows. `indexes` are further, non-unique ones. `build` is the build id that the
    rows come from; they cover days before `data_until` (None: the table has no days).

    Raises:
        TableError: names or keys that do not fit together.
    """

    name: str
    columns: tuple[Column, ...]
    grain: tuple[str, ...]
    indexes: tuple[tuple[str, ...], ...]
    data: "Callable[[], pa.RecordBatchReader]"
    build: str
    data_until: date | None

    def __post_init__(self) -> None:
        check_name(self.name, "published table")
        if self.name == REGISTER or self.name.startswith(("sqlite_", STAGING, ASIDE)):
            raise TableError(f"{self.name!r} is taken. Give the published table another name.")
        names = [column.name for column in self.columns]
        for name in (*_OWN_COLUMNS, *(name for name, n in Counter(names).items() if n > 1)):
            if name in names:
                raise TableError(
                    f"Table {self.name}: column {name!r} is there twice (every published table "
                    f"has its own {' and '.join(_OWN_COLUMNS)}). Rename one."
                )
        for key in (self.grain, *self.indexes):
            if not key or len(set(key)) < len(key) or not set(key) <= set(names):
                raise TableError(
                    f"Table {self.name}: grain and indexes must name columns of the table, each "
                    f"once; {list(key)} does not. The columns are {', '.join(names)}."
                )

    @property
    def definition(self) -> str:
        """A digest of all that makes the table except its rows: columns, types, keys."""
        columns = [(column.name, column.type, column.nullable) for column in self.columns]
        text = repr((_FORM, columns, self.grain, self.indexes))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Published:
    """What the result store says of one of its tables; `published_at` is aware, in UTC.

    `definition` is that of its publication; empty in stores of an older version.
    """

    table: str
    data_until: date | None
    build: str
    rows: int
    published_at: datetime
    definition: str


def as_published(publication: Publication, rows: int, published_at: datetime) -> Published:
    """What the register will say of a publication with so many rows."""
    return Published(
        publication.name,
        publication.data_until,
        publication.build,
        rows,
        published_at,
        publication.definition,
    )
