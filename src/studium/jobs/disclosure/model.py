"""What is declared, what the site allows, what was released, and why a release is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from studium.errors import JobError, SettingsError
from studium.settings import parse_size

if TYPE_CHECKING:
    from studium.settings.disclosure import DisclosureSettings

Type = Literal["csv", "parquet", "json", "png", "svg", "text"]
TABLES: tuple[Type, ...] = ("csv", "parquet", "json")
"""Types that hold a table: rows with declared columns."""


@dataclass(frozen=True, slots=True)
class Output:
    """A declared output of a job.

    ``name`` is a name below the folder of outputs, or a pattern whose ``*`` and ``?`` stand for
    anything but ``/``. Only outputs of level "aggregate" may leave; "row" ones stay. A table that
    leaves has exactly the columns ``keys`` (what a row is about), ``learners`` (how many distinct
    learners it rests on), ``counts`` (learners among them, e.g. those who passed) and ``measures``
    (other numbers). A row whose key is empty, or ``total``, in a column is the margin over it.
    """

    name: str
    type: Type
    level: Literal["aggregate", "row"] = "row"
    required: bool = True
    keys: tuple[str, ...] = ()
    learners: str = ""
    counts: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    total: str = "all"

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of the table, in the order in which they leave."""
        return (*self.keys, *filter(None, (self.learners,)), *self.counts, *self.measures)


@dataclass(frozen=True, slots=True)
class Policy:
    """What a site allows; see the settings ``disclosure.*`` for the meaning of each.

    With ``protected`` false (synthetic or open data) files are only made safe, not suppressed or
    rounded. ``assume_totals``: margins that no table has are taken to be known from elsewhere.
    ``complementary`` is there for tests, to show what it is for.
    """

    minimum: int = 10
    rounding: int = 5
    decimals: int = 3
    max_bytes: int = 10 * 2**20
    max_rows: int = 2_000
    max_files: int = 200
    types: tuple[str, ...] = TABLES
    protected: bool = True
    complementary: bool = True
    assume_totals: bool = True

    @classmethod
    def of(cls, settings: DisclosureSettings, protected: bool = True) -> Policy:
        """The policy of a site. Raises SettingsError for a value that does not fit another."""
        unknown = set(settings.types) - {*TABLES, "png", "svg", "text"}
        if unknown or settings.rounding > settings.minimum:
            raise SettingsError(
                f"disclosure.types holds {', '.join(sorted(unknown))}, which is no type."
                if unknown
                else "disclosure.rounding is above disclosure.minimum.",
                "Correct it in studium.toml.",
            )
        return cls(
            minimum=settings.minimum,
            rounding=settings.rounding,
            decimals=settings.decimals,
            max_bytes=parse_size(settings.max_bytes),
            max_rows=settings.max_rows,
            max_files=settings.max_files,
            types=tuple(settings.types),
            protected=protected,
        )


class Reason(StrEnum):
    """Why nothing leaves: all that a submitter is told, beside the name that was declared."""

    UNDECLARED = "undeclared output"
    SIZE = "output too large"
    MISSING = "output missing"
    TYPE = "wrong type"
    UNSAFE = "unsafe file"
    COLUMNS = "wrong columns"
    FEW = "too few learners"


class Refused(JobError):
    """The outputs may not leave; nothing was released.

    ``str(error)`` may be shown to the submitter: it names what was declared, never what the job
    wrote. ``detail`` is for the operator only.
    """

    def __init__(
        self, reason: Reason, declared: str = "", detail: str = "", hint: str = ""
    ) -> None:
        named = f" ({declared})" if declared else ""
        super().__init__(
            f"The outputs are not released: {reason.value}{named}.", hint or HINTS[reason]
        )
        self.reason = reason
        self.declared = declared
        self.detail = detail


HINTS = {
    Reason.UNDECLARED: "Declare every file that the job writes, or do not write it.",
    Reason.SIZE: "Write fewer rows or smaller files; the site's limits are disclosure.max_*.",
    Reason.MISSING: "Write every required output, or declare it with required = false.",
    Reason.TYPE: "Write the type that was declared; disclosure.types lists those allowed here.",
    Reason.UNSAFE: "Write plain files without links, scripts or hidden characters.",
    Reason.COLUMNS: "Write exactly the declared keys, learners, counts and measures.",
    Reason.FEW: "Group by fewer or coarser keys, so that more learners are in each row.",
}


@dataclass(frozen=True, slots=True)
class Released:
    """One file that left: name, size in bytes, SHA-256, rows of a table, and whether some were
    withheld. How many were is not said: that number would be data."""

    name: str
    type: str
    size: int
    sha256: str
    rows: int | None = None
    withheld: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """What left. ``withheld`` counts rows by file: for the operator only, as is the record."""

    files: Sequence[Released]
    withheld: dict[str, int]
