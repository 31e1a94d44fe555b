"""The reference pages, made from the code: commands, settings, tables."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer.main

from docs.generate.jobs import job_page
from docs.generate.layout import NOTE, SPECS
from docs.generate.layout import markdown_table as _table
from docs.generate.tasks import tasks_page
from studium import errors
from studium.cli import INTERRUPTED, make_app
from studium.errors import StudiumError
from studium.lake import erasures, retention
from studium.lake.tables import Table
from studium.lenses import LENSES, tables
from studium.results.schema import register_table
from studium.settings.layers import variable_of
from studium.settings.model import keys, sections
from studium.settings.template import toml_value
from studium.sources.edx import answers, rejects, shred
from studium.sources.lms.tables import TABLES as LMS_TABLES

ROOT = Path(__file__).resolve().parents[2]
KINDS = {"day": "one partition per UTC day", "full": "whole", "map": "whole, made by Python"}

INGESTED = {
    "events": ("Every event of the tracking logs, once", shred.COLUMNS, True),
    "event_answers": (
        "One row per part of a submitted problem (server `problem_check`)",
        answers.COLUMNS,
        True,
    ),
    "rejects": (
        "Lines that were refused; `day` is the day they were read",
        rejects.COLUMNS,
        True,
    ),
    erasures.TABLE: ("Who was forgotten, by salted hash", erasures.COLUMNS, False),
    retention.TABLE: ("Days that were dropped on purpose", retention.COLUMNS, False),
}
"""Tables that ingest and upkeep write: description, columns → DuckDB type, by day."""


def pages() -> dict[str, str]:
    """Every generated page by its path from the root of the repository."""
    makers: dict[str, Callable[[], str]] = {
        "docs/reference/commands.md": commands_page,
        "docs/reference/job.md": job_page,
        "docs/reference/settings.md": settings_page,
        "docs/reference/tables.md": tables_page,
        "docs/reference/tasks.md": tasks_page,
    }
    return {path: make() for path, make in makers.items()}


def commands_page() -> str:
    """Usage, arguments and options of every command, and the exit codes."""
    app: Any = typer.main.get_command(make_app())
    parts = [
        NOTE.format(source="src/studium/cli"),
        "# Commands\n",
        "Days are UTC and written `YYYY-MM-DD`; intervals are `[since, until)`. "
        "Exit codes are [below](#exit-codes).\n",
        _table(
            ["command", ""],
            (
                [f"[`studium {name}`](#studium-{name})", _one_line(command.help)]
                for name, command in app.commands.items()
            ),
        ),
        "## Options of every command\n",
        "They stand before the command: `studium --site DIR run`.\n",
        _options(app, app.make_context("studium", [], resilient_parsing=True)),
    ]
    for name, command in _every_command(app):
        context = command.make_context(name, [], resilient_parsing=True)
        usage = " ".join(["studium", name, *command.collect_usage_pieces(context)])
        parts += [
            f"## studium {name}\n",
            f"```text\n{usage}\n```\n",
            inspect.cleandoc(command.help) + "\n",
        ]
        if hasattr(command, "commands"):
            links = (
                [f"[`studium {name} {one}`](#studium-{name}-{one})", _one_line(sub.help)]
                for one, sub in command.commands.items()
            )
            parts.append(_table(["command", ""], links))
        else:
            parts.append(_options(command, context))
    return "\n".join([*parts, _exit_codes()])


def _every_command(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Commands of a group in their order, each before its own, by what one types."""
    for name, command in group.commands.items():
        yield before + name, command
        if hasattr(command, "commands"):
            yield from _every_command(command, f"{before}{name} ")


def _options(command: Any, context: Any) -> str:
    rows = []
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is not None:
            rows.append([f"`{record[0]}`", _one_line(record[1])])
    return _table(["", ""], rows)


def _exit_codes() -> str:
    codes: dict[int, str] = {
        errors.DONE: "done",
        errors.FAILED: "failed; of `doctor`: something is wrong; of `run` and `ingest` also: a "
        "file could not be read to its end, everything else was done",
        errors.USAGE: "bad usage: an unknown option, a bad value or setting, not a site",
        errors.REJECTS: "`run` and `ingest`: done, with more refused lines than "
        "[`run.max_reject_share`](settings.md#run)",
        INTERRUPTED: "interrupted with Ctrl-C; what was committed stays",
    }
    classes = [one for one in vars(errors).values() if inspect.isclass(one) and _is_error(one)]
    return "\n".join(
        [
            "## Exit codes\n",
            _table(["code", "meaning"], ([f"{code}", text] for code, text in codes.items())),
            "An error that you can act on is printed to standard error as two lines, what happened "
            "and what to do; in Python it is one of these classes of `studium.errors`:\n",
            _table(
                ["error", "code", "raised for"],
                ([f"`{c.__name__}`", f"{c.exit_code}", _one_line(c.__doc__)] for c in classes),
            ),
        ]
    )


def _is_error(one: type) -> bool:
    return issubclass(one, StudiumError) and one is not StudiumError


def settings_page() -> str:
    """Every key with default, variable, meaning and what is allowed."""
    parts = [
        NOTE.format(source="src/studium/settings/model.py"),
        "# Settings\n",
        "A value comes from the option of the command, else from the environment variable, else "
        "from `studium.toml`, else it is the default. `studium config` shows each value and where "
        "it came from. Unknown keys and variables are errors.\n",
        "A URL with a password is refused in `studium.toml`: set its variable.\n",
    ]
    for section, about in sections().items():
        rows = (
            [
                f"`{key.name}`",
                f"`{toml_value(key.default)}`",
                f"{key.help} Allowed: {key.allowed}.",
                f"`{variable_of(key.name)}`",
            ]
            for key in keys().values()
            if key.name.startswith(f"{section}.")
        )
        parts += [
            f"## {section}\n",
            about + "\n",
            _table(["key", "default", "meaning", "environment variable"], rows),
        ]
    return "\n".join(parts)


def tables_page() -> str:
    """Every table of the lake: what it says, how it is kept, its columns."""
    every = tables()
    parts = [
        NOTE.format(source="the headers of src/studium/lenses/*/*.sql and docs/generate"),
        "# Tables\n",
        "All tables are Delta tables in the lake, `lake/<table>/`. Those with a publish name are "
        "also in the result store, with the columns below between `id` (a number, first) and "
        "`created` (UTC time of publishing, last); the grain is a unique index there. Names, "
        "columns and meanings of published tables are those of the edX result store.\n",
        SPECS.format(suffices="what matters for reading a table is said here"),
        _table(
            ["table", "", "published as"],
            (
                [f"[`{t.name}`](#{t.name})", t.description, f"`{t.publish}`" if t.publish else ""]
                for t in every
            ),
        ),
        f"Lenses: {', '.join(f'`{lens}`' for lens in LENSES)}. A lens or a table can be named to "
        "`run`, `plan`, `build` and `publish`; what it reads is built too.\n",
    ]
    for lens in LENSES:
        parts += [f"## Lens {lens}\n"]
        parts += [_described(table) for table in every if table.lens == lens]
    return "\n".join([*parts, _ingested(), _register()])


def _described(table: Table) -> str:
    facts = [
        f"Kind: {table.kind} ({KINDS[table.kind]})",
        f"grain: {', '.join(f'`{name}`' for name in table.grain)}",
        f"published as `{table.publish}`" if table.publish else "in the lake only",
    ]
    if table.inputs:
        facts.append(f"reads {', '.join(f'`{name}`' for name in table.inputs)}")
    if table.params:
        facts.append(f"parameters {', '.join(f'`${name}`' for name in table.params)}")
    if table.reach:
        facts.append(f"reach {table.reach} days")
    if table.restricted:
        facts.append("restricted")
    rows = (
        [f"`{c.name}`", c.type + ("" if c.nullable else " not null"), c.meaning]
        for c in table.columns
    )
    return "\n".join(
        [
            f"### {table.name}\n",
            f"{table.description}.\n",
            f"{'; '.join(facts)}. Rule: {table.rule}.\n",
            _table(["column", "type", "meaning"], rows),
        ]
    )


def meanings() -> Mapping[str, Mapping[str, str]]:
    """Table → column → meaning, of tables without a file of their own."""
    text = Path(__file__).with_name("columns.toml").read_text("utf-8")
    return tomllib.loads(text)


def _ingested() -> str:
    known = meanings()
    parts = [
        "## What ingest and upkeep write\n",
        "Types are DuckDB's. Tables by day also have a column `day`, the UTC day of the row.\n",
    ]
    found = [
        (name, about, columns, by_day, False) for name, (about, columns, by_day) in INGESTED.items()
    ]
    found += [
        (t.name, f"Snapshot of `{t.file}` of the LMS", t.columns, False, t.restricted)
        for t in LMS_TABLES
    ]
    for name, about, columns, by_day, restricted in found:
        unknown = set(columns) - set(known.get(name, ()))
        if unknown:
            raise SystemExit(f"docs/generate/columns.toml says nothing of {name}: {unknown}")
        kind = "one partition per UTC day" if by_day else "whole"
        closed = " Restricted: names or addresses." if restricted else ""
        rows = ([f"`{c}`", kind_.lower(), known[name][c]] for c, kind_ in columns.items())
        parts += [
            f"### {name}\n",
            f"{about}; {kind}.{closed}\n",
            _table(["column", "type", "meaning"], rows),
        ]
    return "\n".join(parts)


def lms_files() -> str:
    """For the page on LMS tables: files, their columns, and what is missing without them."""
    rows = []
    for table in LMS_TABLES:
        columns = [
            f"**`{table.source.get(c, c)}`**"
            if c in table.required
            else f"`{table.source.get(c, c)}`"
            for c in table.columns
        ]
        closed = " (restricted)" if table.restricted else ""
        rows.append(
            [
                f"`{table.file}`",
                f"`{table.name}`{closed}",
                ", ".join(columns),
                table.meanwhile or "–",
            ]
        )
    return _table(["file", "becomes", "columns (**needed**)", "without the file"], rows)


_REGISTER = {
    "table_name": "published table",
    "data_until": "the table covers days before this one",
    "build": "build id of its rows",
    "row_count": "number of its rows",
    "published_at": "UTC",
    "definition": "digest of columns, types and keys: another one publishes the table anew",
}


def _register() -> str:
    table = register_table()
    rows = ([f"`{c.name}`", str(c.type).lower(), _REGISTER[c.name]] for c in table.columns)
    return "\n".join(
        [
            f"## {table.name}\n",
            "In the result store only: what it holds, changed in the same transaction.\n",
            _table(["column", "type", "meaning"], rows),
        ]
    )


def _one_line(text: str | None) -> str:
    first = re.split(r"\n\s*\n", inspect.cleandoc(text or ""))[0]
    return " ".join(first.split())
