"""``image``: the images that jobs may run in or build upon."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from studium.cli.context import open_chosen_site
from studium.cli.output import print_table
from studium.errors import BuildError, UsageError

if TYPE_CHECKING:
    from studium.jobs.launchers.container.runtime import Runtime
    from studium.site import Site

Name = Annotated[str, typer.Argument(metavar="IMAGE", help="Name or digest of the image.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    group = typer.Typer(
        help="Images that jobs run in or build upon.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command()(load)
    group.command()(pull)
    group.command("list")(list_images)
    group.command()(remove)
    app.add_typer(group, name="image")


def load(
    context: typer.Context,
    archive: Annotated[
        Path, typer.Argument(metavar="FILE", help="What `podman save` or `docker save` wrote.")
    ],
) -> None:
    """Take an image from a file and print its digest, for `image` in a job.toml."""
    from studium.jobs.launchers.container import load_image

    if not archive.is_file():
        raise UsageError(f"There is no file {archive}.", "Write it with `podman save`.")
    with open_chosen_site(context) as site:
        typer.echo(load_image(_runtime(site), archive))


def pull(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME@DIGEST", help="As in name@sha256:… of a registry.")
    ],
) -> None:
    """Bring an image from a registry and print its digest, for `image` in a job.toml."""
    from studium.jobs.launchers.container import pull_image

    if not re.fullmatch(r"[^\s@-][^\s@]*@sha256:[0-9a-f]{64}", name):
        raise UsageError(
            f"{name} is not an image with its digest.",
            "Write name@sha256:… (64 hex digits): a name alone can be moved.",
        )
    with open_chosen_site(context) as site:
        typer.echo(pull_image(_runtime(site), name))


def list_images(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """The images that jobs can use."""
    from studium.jobs.launchers.container import all_images

    with open_chosen_site(context) as site:
        found = all_images(_runtime(site))
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2))
    elif found:
        print_table(
            ["image", "made", "size", "digest"],
            [[one.name, one.made, one.size, one.digest] for one in found],
        )
    else:
        typer.echo("None. `studium image load` and `studium image pull` bring one.")


def remove(context: typer.Context, image: Name) -> None:
    """Remove an image; jobs that name it will say that it was not found."""
    from studium.jobs.launchers.container import remove_image, resolve_image

    with open_chosen_site(context) as site:
        runtime = _runtime(site)
        digest = resolve_image(runtime, image)
        if digest is None:
            raise BuildError(f"There is no image {image}.", "See `studium image list`.")
        remove_image(runtime, digest)
    typer.echo(f"{digest} is removed.")


def _runtime(site: Site) -> Runtime:
    from studium.jobs.launchers.container import container_launcher

    return container_launcher(site).runtime()
