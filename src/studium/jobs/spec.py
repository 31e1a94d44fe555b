"""``JobSpec``: what a job is, said once and never changed.

Written by people as ``job.toml`` and kept as JSON in the job's folder; both have the same fields.
A site's defaults are not filled in here, so that a spec means the same everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)

from studium.jobs.names import PREFIX
from studium.jobs.quantities import SIZES, TIMES, parse_bytes, parse_seconds
from studium.urls import has_password

MAX_UNITS = 10_000
_RESERVED = "STUDIUM_"
_SECRET = re.compile(r"(?i)passw|secret|token|credential|api_?key|private_?key|access_?key")
_DIGEST = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}|sha256:[0-9a-f]{64}")
_PLACE = re.compile(r"\{([a-z][a-z0-9_]*)\}")

Bytes = Annotated[int, BeforeValidator(parse_bytes), Field(json_schema_extra={"form": SIZES})]
Seconds = Annotated[int, BeforeValidator(parse_seconds), Field(json_schema_extra={"form": TIMES})]


def _printable(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL character, which no command line can")
    return text


def _shown(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds characters that cannot be shown")
    return text


def _image(text: str) -> str:
    if not _DIGEST.fullmatch(text) or not text.isprintable():
        raise ValueError(
            "an image needs its digest, as names can be moved: name@sha256:… (64 hex digits)"
        )
    return text


def _inside(text: str) -> str:
    parts = text.split("/")
    if text.startswith("/") or ".." in parts or "" in parts or not text.isprintable():
        raise ValueError("a path below the folder, without .. and without / at its start")
    return text


def _address(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/]\S*|[^\s@:/]+@[^\s@:/]+", text) or not text.isprintable():
        raise ValueError("write https://… for a callback, or a mail address")
    if has_password(text):
        raise ValueError("holds a password, and a spec is kept for years")
    return text


def _environment(values: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in values.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", name):
            raise ValueError(f"{name[:40]!r} is no name of a variable: letters, digits and _")
        if name.upper().startswith(_RESERVED):
            raise ValueError(f"{name} is set by Studium; choose another name")
        if _SECRET.search(name) or has_password(value):
            raise ValueError(f"{name} looks like a secret; a job has no network and needs none")
    return values


Word = Annotated[str, StringConstraints(max_length=32_768), AfterValidator(_printable)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9_.-]{0,61}[a-z0-9])?$")]
Inside = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(_inside)]
Address = Annotated[str, StringConstraints(max_length=2_000), AfterValidator(_address)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TableInput(_Part):
    """A table of the lake: ``/input/<name>`` is a folder of its Parquet files."""

    table: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")] = Field(
        description="Table of the lake."
    )
    version: int | None = Field(
        default=None,
        ge=0,
        description="Version of its Delta log; default: the newest at submission.",
    )
    since: date | None = Field(default=None, description="First UTC day, of a table by day.")
    until: date | None = Field(default=None, description="UTC day after the last.")

    @model_validator(mode="after")
    def _ordered(self) -> TableInput:
        if self.since and self.until and self.until < self.since:
            raise ValueError(f"until ({self.until}) is before since ({self.since})")
        return self


class PathInput(_Part):
    """A file or folder of the site's machine, below one of ``jobs.sources``."""

    path: Annotated[
        str, StringConstraints(min_length=1, max_length=4_000), AfterValidator(_shown)
    ] = Field(description="Absolute path; {name} stands for a parameter of the unit.")


class JobInput(_Part):
    """Outputs of another job of the same owner, as they were, released or not."""

    job: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")] = Field(
        description="Name of a job that has succeeded."
    )
    output: Annotated[str, StringConstraints(max_length=500), AfterValidator(_shown)] = Field(
        default="", description="One of its files; default: the folder of all of them."
    )


def _kind(value: Any) -> str | None:
    if isinstance(value, Mapping):
        named = [kind for kind in ("table", "path", "job") if kind in value]
        return named[0] if len(named) == 1 else None
    kinds = ((TableInput, "table"), (PathInput, "path"), (JobInput, "job"))
    return next((kind for model, kind in kinds if isinstance(value, model)), None)


Input = Annotated[
    Annotated[TableInput, Tag("table")]
    | Annotated[PathInput, Tag("path")]
    | Annotated[JobInput, Tag("job")],
    Discriminator(
        _kind,
        custom_error_type="input_kind",
        custom_error_message="an input has exactly one of the keys table, path and job",
    ),
]


class OutputSpec(_Part):
    """Files that the command writes to ``/output``; every file there must be declared.

    A table of level aggregate has exactly the columns keys, learners, counts and measures.
    """

    file: Inside = Field(description="Name below /output, or a pattern with * and ?.")
    type: Literal["csv", "parquet", "json", "png", "svg", "text"] = Field(
        description="What the files must be."
    )
    level: Literal["aggregate", "row"] = Field(
        default="row", description="aggregate may leave, after disclosure control; row stays."
    )
    required: bool = Field(default=True, description="Whether the job fails without it.")
    keys: tuple[str, ...] = Field(default=(), description="Columns that say what a row is about.")
    learners: str = Field(default="", description="Column of the learners that a row rests on.")
    counts: tuple[str, ...] = Field(default=(), description="Columns of learners among them.")
    measures: tuple[str, ...] = Field(default=(), description="Columns of other numbers.")
    total: str = Field(default="all", description="Key that marks a row as the sum over a column.")


class Resources(_Part):
    """What one unit may use; more is refused or ends it."""

    memory: Bytes = Field(default=2**30, description="Of all its processes together.")
    cpus: float = Field(default=1.0, gt=0, le=1024, description="Cores.")
    processes: int = Field(
        default=128, ge=1, le=100_000, description="Processes and threads together."
    )
    time: Seconds = Field(default=3_600, description="Wall clock of one unit.")
    output: Bytes = Field(default=2**30, description="All files in /output.")
    log: Bytes = Field(default=10 * 2**20, description="Kept of stdout, and of stderr.")
    scratch: Bytes = Field(default=2**30, description="Room in /tmp.")


Parameters = dict[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")], Word]


class Units(_Part):
    """How often the command runs: ``count`` times, or once for ``each`` set of parameters."""

    count: int | None = Field(default=None, ge=1, le=MAX_UNITS, description="Units, all alike.")
    each: tuple[Parameters, ...] = Field(
        default=(),
        max_length=MAX_UNITS,
        description="Parameters of every unit, all with the same names; {name} in command, "
        "environment and paths of inputs stands for them.",
    )
    at_once: int = Field(
        default=0, ge=0, description="How many run at the same time; 0: as many as can."
    )

    @model_validator(mode="after")
    def _one_of(self) -> Units:
        if self.count is not None and self.each:
            raise ValueError("give count or each, not both")
        if len({frozenset(one) for one in self.each}) > 1:
            raise ValueError("every set in each needs the same names")
        return self

    @property
    def total(self) -> int:
        """Units in all, at least 1."""
        return len(self.each) or self.count or 1

    def parameters(self, number: int) -> Mapping[str, str]:
        """Of unit ``number``, from 0; empty if they are all alike."""
        return self.each[number] if self.each else {}


class JobSpec(_Part):
    """What to run, on what, and what comes of it. See docs/reference/job.md."""

    name: str = Field(
        default="",
        max_length=200,
        description=f"Start of the job's name; {PREFIX} characters are kept.",
    )
    command: tuple[Word, ...] = Field(
        default=(), max_length=1_000, description="Program and arguments; default: the image's own."
    )
    code: str = Field(
        default="",
        max_length=4096,
        description="Folder or zip with the code, beside or below job.toml; /code inside.",
    )
    image: Annotated[str, AfterValidator(_image)] | None = Field(
        default=None, description="Image to run in, with its digest: name@sha256:…"
    )
    dockerfile: Inside | None = Field(
        default=None,
        description="File in the code that an image is built from, before any data is there.",
    )
    inputs: dict[Name, Input] = Field(
        default={}, max_length=100, description="What it reads, by the name below /input."
    )
    outputs: dict[Name, OutputSpec] = Field(
        default={}, max_length=100, description="What it writes."
    )
    resources: Resources = Field(default=Resources(), description="Limits of one unit.")
    units: Units = Field(default=Units(), description="For array work.")
    environment: Annotated[dict[str, Word], AfterValidator(_environment)] = Field(
        default={}, max_length=100, description="Variables of the command. No secrets."
    )
    timeout: Seconds | None = Field(
        default=None,
        description="Of the whole job, from its start; default: only that of the units.",
    )
    owner: Annotated[str, StringConstraints(max_length=200), AfterValidator(_shown)] = Field(
        default="", description="Account it belongs to; default: who submits it."
    )
    privacy: Literal["protected", "synthetic", "open"] = Field(
        default="protected", description="Of what it reads. Logs of protected jobs are not shown."
    )
    priority: int = Field(
        default=0, ge=-10, le=10, description="Larger goes first, within an owner."
    )
    launcher: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{0,60}$")] = Field(
        default="", description="Where it runs; default: jobs.launcher."
    )
    profile: Literal["strict", "legacy"] = Field(
        default="strict", description="legacy: for images that start servers of their own as root."
    )
    notify: tuple[Address, ...] = Field(
        default=(), max_length=10, description="Who is told: https:// callbacks and mail addresses."
    )

    @model_validator(mode="after")
    def _whole(self) -> JobSpec:
        found = contradictions(self.model_dump())
        if found:
            raise ValueError("; ".join(text for _, text in found))
        return self


def contradictions(fields: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What fields, each right by itself, say against each other: field and text.

    Takes fields of any kind, so that it can be asked of a description that is wrong elsewhere too.
    """
    found = []
    if fields.get("image") and fields.get("dockerfile"):
        found.append(("image", "give image or dockerfile, not both"))
    if fields.get("dockerfile") and not fields.get("code"):
        found.append(("dockerfile", 'is looked for in the code: write code = "."'))
    if not (fields.get("command") or fields.get("image") or fields.get("dockerfile")):
        found.append(("command", 'nothing to run: write command = ["python3", "main.py"]'))
    if not fields.get("outputs"):
        found.append(("outputs", "none; what is not declared cannot come back"))
    inputs, units = fields.get("inputs"), fields.get("units")
    each = units.get("each") if isinstance(units, Mapping) else None
    known = each[0] if isinstance(each, list | tuple) and each else {}
    for name, one in inputs.items() if isinstance(inputs, Mapping) else ():
        path = one.get("path") if isinstance(one, Mapping) else None
        for place in _PLACE.findall(path) if isinstance(path, str) else ():
            if not isinstance(known, Mapping) or place not in known:
                found.append((f"inputs.{name}.path", f"{{{place}}} is no parameter of units.each"))
    return found


def fill(text: str, parameters: Mapping[str, str]) -> str:
    """``text`` with ``{name}`` replaced where ``name`` is a parameter; other braces stay."""
    return _PLACE.sub(lambda match: parameters.get(match[1], match[0]), text)
