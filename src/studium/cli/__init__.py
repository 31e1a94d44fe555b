"""The command line: options in, text out.

Each module named in ``MODULES`` has ``register(app)``, which adds its commands. Such a module
imports Typer and nothing heavy at its top; a command imports what it needs when it runs, so that
``studium --help`` stays as fast as Typer itself.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from studium.cli.output import printable
from studium.errors import DONE, FAILED, StudiumError

MODULES = (
    "studium.cli.site",
    "studium.cli.demo",
    "studium.cli.run",
    "studium.cli.history",
    "studium.cli.show",
    "studium.cli.report",
    "studium.cli.why",
    "studium.cli.compare",
    "studium.cli.upkeep",
    "studium.cli.verify",
    "studium.cli.job",
    "studium.cli.worker",
    "studium.cli.image",
    "studium.cli.audit",
    "studium.cli.backup",
    "studium.cli.task",
    "studium.cli.privacy",
    "studium.cli.alerts",
)
"""Modules with commands, in the order of the help."""

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C ended: 128 + SIGINT, as shells have it."""


def make_app() -> typer.Typer:
    """The application with every command."""
    # Without Rich's markup, its help and its tracebacks: they are slow to import, and a traceback
    # with local variables could show a password.
    app = typer.Typer(
        name="studium",
        help="From what a learning platform leaves behind to daily tables.",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for module in MODULES:
        import_module(module).register(app)
    return app


def _printable(text: str) -> str:
    # A message names files, and whoever named them may have meant the terminal.
    return "\n".join(printable(line) for line in text.split("\n"))


def main() -> NoReturn:
    """Run the command of ``sys.argv`` and exit with its code (see ``studium.errors``)."""
    # A command makes many objects that stay until its end: classes, tables, settings. Looking for
    # cycles among them every 700 takes a fifteenth of a short command.
    gc.set_threshold(50_000, 20, 20)
    try:
        make_app()(prog_name="studium")
    except StudiumError as error:
        message, hint = _printable(error.message), _printable(error.hint)
        typer.echo(f"Error: {message}", err=True)
        if hint:
            typer.echo(f"       {hint}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:  # a full disk, a folder that may not be written to
        typer.echo(
            f"Error: {error.strerror or error}: {error.filename or 'no file named'}.", err=True
        )
        typer.echo("       What was committed stays. Cure it and run the command again.", err=True)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        _say_interrupted()
    except RuntimeError as error:
        if str(error) != "Query interrupted":  # DuckDB's word for Ctrl-C
            raise
        _say_interrupted()
    except SystemExit as stopped:
        if stopped.code == INTERRUPTED:  # Typer's own answer to Ctrl-C, which says nothing
            _say_interrupted()
        raise
    sys.exit(DONE)


def _say_interrupted() -> NoReturn:
    typer.echo("Interrupted. What was committed stays; run the command again to go on.", err=True)
    sys.exit(INTERRUPTED)


def _show_version(wanted: bool) -> None:
    if wanted:
        import studium

        typer.echo(f"studium {studium.__version__}")
        raise typer.Exit


def _options(
    context: typer.Context,
    site: Annotated[
        Path | None,
        typer.Option(
            "--site",
            envvar="STUDIUM_SITE",
            metavar="DIR",
            help="The site; default: the current directory.",
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    context.obj = site
