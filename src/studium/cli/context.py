"""What every command starts from: the site that ``--site`` or ``STUDIUM_SITE`` selects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from studium.site import Site


def chosen_folder(context: typer.Context) -> Path | None:
    """The folder given with ``--site`` or ``STUDIUM_SITE``; None if neither was."""
    chosen = context.find_root().obj
    return chosen if isinstance(chosen, Path) else None


def open_chosen_site(context: typer.Context, overrides: Mapping[str, object] | None = None) -> Site:
    """Open the chosen site, or the current directory; ``overrides`` are options by dotted key.

    A context manager that closes it. Raises SiteError and SettingsError.
    """
    from studium.site import open_site

    return open_site(chosen_folder(context) or Path(), overrides)


@contextmanager
def writing(site: Site, command: str) -> Iterator[None]:
    """Hold the site's writer lock, saying so if another command has to end first."""

    def say(holder: object) -> None:
        typer.echo(f"Waiting for {holder or 'another command'} to end …", err=True)

    with site.writer(command, say):
        yield
