"""From the outputs of units to what is released."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from studium.jobs.disclosure.folder import copy, walk
from studium.jobs.disclosure.model import Output, Policy, Reason, Refused
from studium.jobs.disclosure.release import choose, release
from studium.jobs.folder import JobFolder
from studium.jobs.spec import JobSpec
from studium.jobs.states import FailedError, Failure
from studium.jobs.table import Job

RECORD = "release.json"
"""In the job's folder: what was withheld, for operators only."""

_FAILURES = {
    Reason.UNDECLARED: Failure.UNDECLARED,
    Reason.SIZE: Failure.OUTPUT_SIZE,
    Reason.MISSING: Failure.OUTPUT_MISSING,
}


def release_outputs(folder: JobFolder, job: Job, policy: Policy) -> None:
    """Check the outputs of all units and release what may leave, with its manifest.

    Of several units, file ``f`` of unit ``n`` leaves as ``n/f``: all of them together, as what one
    withholds could be worked out from another. Raises FailedError.
    """
    declared = declared_outputs(job.spec)
    try:
        if job.units == 1:
            outputs = folder.unit(job.attempt, 0) / "outputs"
        else:
            outputs = folder.attempt(job.attempt) / "outputs"
            declared = _together(folder, job, outputs, declared, policy)
        release(outputs, folder.released, declared, policy, record=folder.path / RECORD)
    except Refused as error:
        failure = _FAILURES.get(error.reason, Failure.UNSAFE)
        raise FailedError(failure, f"{error} {error.detail}".strip()) from None


def declared_outputs(spec: JobSpec) -> list[Output]:
    """The declarations of a spec as disclosure control has them."""
    return [
        Output(
            name=one.file,
            type=one.type,
            level=one.level,
            required=one.required,
            keys=one.keys,
            learners=one.learners,
            counts=one.counts,
            measures=one.measures,
            total=one.total,
        )
        for one in spec.outputs.values()
    ]


def _together(
    folder: JobFolder, job: Job, target: Path, declared: Sequence[Output], policy: Policy
) -> list[Output]:
    """Copy what may leave of every unit below ``target``; the declarations of these copies."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(mode=0o700)
    left = policy.max_bytes
    found = []
    for number in range(job.units):
        outputs = folder.unit(job.attempt, number) / "outputs"
        chosen = choose(list(walk(outputs, policy.max_files)), declared)
        for name, output in chosen.items():
            if output.level != "aggregate":
                continue
            place = target / str(number) / name
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            left -= copy(outputs, name, place, left)
        found += [
            replace(one, name=f"{number}/{one.name}", required=False)
            for one in declared
            if one.level == "aggregate"
        ]
    return found
