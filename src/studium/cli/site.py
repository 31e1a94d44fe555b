"""``studium init`` and ``studium config``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from studium.cli.context import chosen_folder, open_chosen_site
from studium.cli.output import print_table


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    app.command("init")(init)
    app.command("config")(config)


def init(
    context: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Folder of the site; default: --site, or here."),
    ] = None,
    old: Annotated[
        list[Path] | None,
        typer.Option(
            "--from-cfg",
            metavar="FILE",
            help="Take settings from a configuration of the edX pipeline, such as override.cfg; "
            "may be repeated, later files win.",
        ),
    ] = None,
) -> None:
    """Make a site.

    With --from-cfg, what became of every line of the old configuration is said. No password is
    written down: that of a database stays in its file of credentials.
    """
    from studium.settings import FILE
    from studium.site import init_site

    root = folder or chosen_folder(context) or Path()
    if not old:
        with init_site(root) as site:
            typer.echo(f"Made a site at {site.root}; its settings are in {site.root / FILE}.")
        return
    from studium.migrate.config import read_config
    from studium.migrate.sections import account_lines, translate_config

    made = translate_config(read_config(old))
    with init_site(root, made.values, made.comments) as site:
        print_table(["from", "entry", ""], list(account_lines(made)))
        taken = sum(account.taken for account in made.accounts.values())
        typer.echo(
            f"Made a site at {site.root}: {taken} of {len(made.accounts)} entries taken. "
            f"The settings are in {site.root / FILE}; `studium config` shows them."
        )


def config(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show each setting, its value and where it came from."""
    from studium.settings import FILE, masked_values, toml_value

    with open_chosen_site(context) as site:
        shown = masked_values(site.settings)
        origins = site.origins
        file = str(site.root / FILE)
    if json:
        from json import dumps

        tree = {
            name: {"value": value, "origin": origins[name].kind, "detail": origins[name].detail}
            for name, value in shown.items()
        }
        typer.echo(dumps(tree, indent=2, ensure_ascii=False, default=str))
        return
    texts = {name: toml_value(value) for name, value in shown.items()}
    name_width, text_width = max(map(len, texts)), max(map(len, texts.values()))
    for name, text in texts.items():
        origin = str(origins[name]).replace(file, FILE)
        typer.echo(f"{name:{name_width}}  {text:{text_width}}  {origin}")
