"""``job try``: the same job, here, on synthetic data, with its whole log."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studium.cli.output import plural, print_table
from studium.errors import FAILED, LaunchError, UsageError

if TYPE_CHECKING:
    from studium.jobs.folder import JobFolder
    from studium.jobs.launchers.protocol import Launcher
    from studium.jobs.spec import JobSpec
    from studium.jobs.table import Job
    from studium.site import Site


def try_job(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Folder with a job.toml, or the file itself.")
    ] = Path(),
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="NAME=PATH",
            help="A file or folder in place of an input; needed for inputs that are no tables.",
        ),
    ] = None,
    units: Annotated[
        int, typer.Option(min=1, metavar="N", help="Of array work, the first N units.")
    ] = 1,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Copy everything that it wrote to a folder.")
    ] = None,
    launcher: Annotated[str | None, typer.Option(help="Where it runs.")] = None,
) -> None:
    """Run a job here, on a synthetic term in place of the lake, and show its whole log.

    Needs no site. Exit code 1 if it fails.
    """
    from studium.cli.job import account, describe
    from studium.demo.synthetic import synthetic_site
    from studium.jobs.intake import submit_job
    from studium.jobs.spec import TableInput
    from studium.lenses import restricted_tables
    from studium.site import open_site

    given: dict[str, Any] = {"privacy": "synthetic", "notify": [], "owner": account()}
    spec, base = describe(path, given)
    places = _places(inputs or [], spec)
    spec = _at_home(spec, places, units)
    asked = [one for one in spec.inputs.values() if isinstance(one, TableInput)]
    first = min((one.since for one in asked if one.since), default=None)
    typer.echo("Making synthetic data …", err=True)
    root = synthetic_site(first, {one.table for one in asked})
    overrides = {
        "jobs.sources": [str(place) for place in places.values()],
        "jobs.guarantees": [],  # there is nothing to protect
    }
    with open_site(root, overrides) as site:
        images = "container" if spec.image or spec.dockerfile else ""
        chosen = _choose(site, launcher or spec.launcher or images)
        spec = spec.model_copy(update={"launcher": chosen.name})
        job = submit_job(site, spec, base, account(), restricted_tables())
        try:
            job = _run(site, job, chosen)
            _report(site, job, output)
        finally:
            _forget(site, job.name)
    if job.failure or not job.state.ended:
        raise typer.Exit(FAILED)


def _places(inputs: list[str], spec: JobSpec) -> dict[str, Path]:
    found = {}
    for text in inputs:
        name, separator, path = text.partition("=")
        if not separator or name not in spec.inputs:
            raise UsageError(
                f"--input {text}: there is no input {name}.",
                f"Write NAME=PATH with one of: {', '.join(spec.inputs) or 'none'}.",
            )
        place = Path(path).expanduser().resolve()
        if not place.exists():
            raise UsageError(f"--input {text}: there is no {place}.", "Name a file or folder.")
        found[name] = place
    return found


def _at_home(spec: JobSpec, places: dict[str, Path], units: int) -> JobSpec:
    """The spec with the newest synthetic tables, local files, and few units."""
    from studium.jobs.spec import Input, PathInput, TableInput

    inputs: dict[str, Input] = {}
    for name, one in spec.inputs.items():
        if name in places:
            inputs[name] = PathInput(path=str(places[name]))
        elif isinstance(one, TableInput):
            inputs[name] = one.model_copy(update={"version": None})
        else:
            raise UsageError(
                f"The input {name} is no table, so that there is nothing synthetic for it.",
                f"Give --input {name}=PATH.",
            )
    few = spec.units.model_copy(
        update={
            "count": min(spec.units.count, units) if spec.units.count else None,
            "each": spec.units.each[:units],
        }
    )
    return spec.model_copy(update={"inputs": inputs, "units": few})


def _choose(site: Site, name: str) -> Launcher:
    """The launcher of that name, or the first that this machine can run."""
    from studium.jobs.launchers.registry import launcher_of, open_launchers

    found = [launcher_of(site, name)] if name else list(open_launchers(site).values())
    reasons = []
    for one in found:
        can = one.capabilities()
        if can.available:
            return one
        reasons.append(f"{one.name}: {can.reason}")
    raise LaunchError(f"No launcher can run here. {' '.join(reasons)}", "Install one of them.")


def _run(site: Site, job: Job, launcher: Launcher) -> Job:
    from studium.jobs import table
    from studium.jobs.intake import cancel_job

    can = launcher.capabilities()
    typer.echo(f"Running in the {launcher.name} …", err=True)
    for name, why in sorted(can.lost.items()):
        typer.echo(f"Without {name}: {why}", err=True)
    try:
        _work(site, launcher.name)
    except KeyboardInterrupt:  # a unit outlives its worker
        cancel_job(site, job.name, "job try", operator=True)
        _work(site, launcher.name)
        raise
    with site.state.read() as conn:
        return table.read(conn, job.name)


def _work(site: Site, launcher: str) -> None:
    """Run a worker of the site, with its settings, until all jobs have ended.

    In a process of its own, as the children of a worker cannot use the lake after it has.
    """
    import json
    import os
    import subprocess
    import sys

    from studium.settings.layers import variable_of
    from studium.settings.model import values

    settings = {
        variable_of(name): json.dumps(value) if isinstance(value, list) else str(value)
        for name, value in values(site.settings).items()
        if site.origins[name].kind == "option"
    }
    command = [sys.executable, "-m", "studium", "--site", str(site.root), "worker", "--until-idle"]
    subprocess.run(command, env={**os.environ, **settings}, check=False, stdout=subprocess.DEVNULL)


def _report(site: Site, job: Job, output: Path | None) -> None:
    from studium.cli.job_views import print_log
    from studium.jobs.folder import folder_of
    from studium.jobs.quantities import show_seconds
    from studium.jobs.units import units

    folder = folder_of(site.jobs_dir, job.name)
    with site.state.read() as conn:
        rows = units(conn, job.name, job.attempt)
    for row in rows:
        for stream in ("stdout", "stderr"):
            file = folder.unit(job.attempt, row.number) / stream
            data = file.read_bytes() if file.is_file() else b""
            if data:
                of = f" of unit {row.number}" if len(rows) > 1 else ""
                typer.echo(f"--- {stream}{of}")
                print_log(data)
    written = _written(folder, job)
    typer.echo("--- outputs")
    print_table(["file", "bytes"], [[name, file.stat().st_size] for name, file in written.items()])
    if output is not None:
        for name, file in written.items():
            (output / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, output / name)
        typer.echo(f"{plural(len(written), 'file')} copied to {output}.")
    told = f"{job.state}: {job.failure}" if job.failure else str(job.state)
    used = [row.exit for row in rows if row.exit]
    took = f" after {show_seconds(sum(one.seconds for one in used))}" if used else ""
    typer.echo(f"The job has {told}{took}." if job.state == "succeeded" else f"{told}{took}.")
    log = folder.path / "worker.log"
    if job.failure and log.is_file():  # why, in the words of operators: here the two are one
        print_log(log.read_bytes()[-2_000:])


def _written(folder: JobFolder, job: Job) -> dict[str, Path]:
    found = {}
    for number in range(job.units):
        outputs = folder.unit(job.attempt, number) / "outputs"
        before = f"{number}/" if job.units > 1 else ""
        for file in sorted(outputs.rglob("*")):
            if file.is_file() and not file.is_symlink():
                found[before + file.relative_to(outputs).as_posix()] = file
    return found


def _forget(site: Site, name: str) -> None:
    from studium.jobs import table
    from studium.jobs.folder import folder_of, remove

    with site.state.begin() as conn:
        table.ask_cancel(conn, name, "job try")
        table.drop(conn, name)
    remove(folder_of(site.jobs_dir, name))
