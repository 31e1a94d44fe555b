"""``audit``: what jobs read of protected data, and what left."""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studium.cli.context import open_chosen_site
from studium.cli.output import print_table
from studium.errors import FAILED

if TYPE_CHECKING:
    from studium.jobs.audit import Entry


def register(app: typer.Typer) -> None:
    app.command()(audit)


def audit(
    context: typer.Context,
    limit: Annotated[
        int, typer.Option(min=0, metavar="N", help="Show the last N entries; 0: all.")
    ] = 50,
    who: Annotated[str | None, typer.Option(help="Only entries of this account.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only entries on this job or table.")] = None,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER:DIGEST",
            help="A head that was printed earlier and noted elsewhere: is it still in the log?",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """What jobs read of protected data, what was released, and whether the log was tampered with.

    Exit code 1 if an entry was changed or is missing.
    """
    from studium.jobs.audit import TAMPERED, Head, entries, verify_chain

    noted = None if head is None else Head.parse(head)
    with open_chosen_site(context) as site, site.state.read() as conn:
        chain = verify_chain(conn, noted)
        wanted = (
            one
            for one in entries(conn)
            if who in (None, one.who) and subject in (None, one.subject)
        )
        shown = list(deque(wanted, maxlen=limit or None))
    if as_json:
        document: dict[str, Any] = {
            "entries": [_json(one) for one in shown],
            "total": chain.entries,
            "head": None if chain.head is None else str(chain.head),
            "wrong": list(chain.wrong),
        }
        typer.echo(json.dumps(document, indent=2))
    else:
        if shown:
            print_table(
                ["number", "at", "who", "what", "subject", "details"],
                [[one.number, one.at, one.who, one.what, one.subject, _details(one)]
                 for one in shown],
            )  # fmt: skip
        typer.echo(f"Shown: {len(shown):,} of {chain.entries:,}.")
        if chain.head is not None:
            typer.echo(f"Head: {chain.head}")
        for one in chain.wrong:
            typer.echo(f"WRONG {one}.")
        if chain.wrong:
            typer.echo(f"      {TAMPERED}")
    if chain.wrong:
        raise typer.Exit(FAILED)


def _json(entry: Entry) -> dict[str, Any]:
    names = ("number", "at", "who", "what", "subject", "details", "digest")
    return {name: getattr(entry, name) for name in names}


def _details(entry: Entry) -> str:
    # As JSON, so that nothing in it can write to the terminal.
    return ", ".join(f"{name} {json.dumps(value)}" for name, value in entry.details.items())
