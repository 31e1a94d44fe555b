"""From a job to what a launcher is told: one ``Unit``, and its script for people."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from studium.jobs.folder import JobFolder, write_whole
from studium.jobs.inputs import unit_mounts
from studium.jobs.launchers.protocol import CODE, INPUTS, OUTPUTS, Limits, Unit
from studium.jobs.names import unit_key
from studium.jobs.spec import JobSpec, fill
from studium.jobs.table import Job
from studium.site import Site


def order_unit(site: Site, job: Job, folder: JobFolder, number: int, image: str | None) -> Unit:
    """What a launcher is to run for unit ``number``, from 0, of the job's attempt; its folder is
    made if need be. ``image`` is the one that was made ready, if there is one.

    Pre-condition: the inputs are staged. Raises FailedError for an input that is gone.
    """
    spec = job.spec
    place = folder.unit(job.attempt, number)
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    parameters = spec.units.parameters(number)
    return Unit(
        key=unit_key(job.name, job.attempt, number),
        folder=place,
        command=tuple(fill(word, parameters) for word in spec.command),
        limits=limits_of(spec),
        environment=environment_of(spec, number),
        inputs=unit_mounts(site, folder, spec, number),
        code=folder.code if spec.code else None,
        image=image,
        profile=spec.profile,
    )


def limits_of(spec: JobSpec) -> Limits:
    """The limits of each unit."""
    given = spec.resources
    return Limits(
        seconds=given.time,
        memory=given.memory,
        cpus=given.cpus,
        processes=given.processes,
        output=given.output,
        log=given.log,
        scratch=given.scratch,
    )


def environment_of(spec: JobSpec, number: int) -> Mapping[str, str]:
    """Variables of unit ``number``: those of the spec, and where and which it is. A parameter
    ``course`` is STUDIUM_UNIT_COURSE, too."""
    parameters = spec.units.parameters(number)
    return {
        **{name: fill(value, parameters) for name, value in spec.environment.items()},
        **{f"STUDIUM_UNIT_{name.upper()}": value for name, value in parameters.items()},
        "STUDIUM_INPUT": INPUTS,
        "STUDIUM_OUTPUT": OUTPUTS,
        "STUDIUM_UNIT": str(number),
        "STUDIUM_UNITS": str(spec.units.total),
    }


def write_script(folder: JobFolder, spec: JobSpec) -> None:
    """Write how the first unit is started as a shell would be told, for people: nothing runs it."""
    parameters = spec.units.parameters(0)
    words = [fill(word, parameters) for word in spec.command]
    lines = [
        "#!/bin/sh",
        f"# Unit 1 of {spec.units.total:,}. For people: launchers are told the words one by one.",
        *(f"export {k}={shlex.quote(v)}" for k, v in environment_of(spec, 0).items()),
        *([f"cd {CODE}"] if spec.code else []),
        f"exec {shlex.join(words)}" if words else "# the image's own command",
        "",
    ]
    write_whole(folder.script, "\n".join(lines))
