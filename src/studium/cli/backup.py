"""``backup`` and ``restore``: a site kept somewhere else, and brought back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from studium.cli.context import chosen_folder, open_chosen_site
from studium.cli.output import plural, print_table
from studium.errors import FAILED, BackupError

if TYPE_CHECKING:
    from studium.backup.vault import Vault


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    app.command()(backup)
    app.command()(restore)


def backup(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of backups; made if need be.")
    ],
    results: Annotated[
        bool, typer.Option("--results", help="The result store too, if it is a file.")
    ] = False,
    keep: Annotated[
        int, typer.Option(min=0, metavar="N", help="Delete all but the newest N; 0: none.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Back up state, lake and settings. What the folder has already is not copied again."""
    from studium.backup.take import take_backup

    def say(holder: object) -> None:
        typer.echo(f"Waiting for {holder or 'another command'} to end …", err=True)

    with open_chosen_site(context) as site:
        done = take_backup(site, folder, results=results, keep=keep, on_wait=say)
    made = done.backup
    if as_json:
        from json import dumps

        counts = {"files": len(made.entries), "bytes": made.size, "new": done.new}
        more = {"new_bytes": done.new_bytes, "deleted": done.pruned}
        typer.echo(dumps({"backup": made.name, **counts, **more}))
        return
    typer.echo(
        f"Backup {made.name}: {plural(len(made.entries), 'file')}, {made.size / 1e6:,.1f} MB; "
        f"{done.new:,} new, {done.new_bytes / 1e6:,.1f} MB."
    )
    if done.pruned:
        typer.echo(f"{plural(done.pruned, 'older backup')} deleted.")


def restore(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="BACKUPS", help="Folder of backups.")],
    target: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Folder of the site; default: --site, or here."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--backup", metavar="NAME", help="Which; default: the newest.")
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="Only list the backups.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only check every byte.")] = False,
) -> None:
    """Make a site from a backup, in a new or empty folder."""
    from studium.backup.vault import open_vault

    vault = open_vault(folder)
    if listing:
        rows = [_row(vault, one) for one in vault.names()]
        print_table(["backup", "made", "files", "bytes"], rows)
        return
    chosen = vault.read(name)
    if check:
        damaged = vault.damaged(chosen)
        for one in damaged:
            typer.echo(f"damaged: {one.path}")
        typer.echo(
            f"Backup {chosen.name}: {plural(len(chosen.entries), 'file')}, "
            f"{f'{len(damaged):,} damaged' if damaged else 'all whole'}."
        )
        if damaged:
            raise typer.Exit(FAILED)
        return
    from studium.backup.restore import restore_site

    done = restore_site(vault, chosen, target or chosen_folder(context) or Path())
    typer.echo(f"Restored {done.backup.name} to {done.root}.")
    if not done.results:
        typer.echo("It holds no results: `studium publish` makes them from the lake.")


def _row(vault: Vault, name: str) -> list[object]:
    try:
        one = vault.read(name)
    except BackupError:
        return [name, "damaged", None, None]
    return [name, one.made, len(one.entries), one.size]
