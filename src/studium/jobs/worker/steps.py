"""The heavy steps of a job, each done by a child process: prepare, collect, tidy; and messages.

Each can be done again from its start by any worker: what it makes appears at once, or is made anew.
An answer with ``failure`` ends the job; an exception is a crash, after which the step is tried
again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial

from studium.errors import SpecError
from studium.jobs import table, units
from studium.jobs.ceilings import check_ceilings
from studium.jobs.disclosure.model import Policy
from studium.jobs.folder import measure
from studium.jobs.inputs import drop_inputs, stage_inputs
from studium.jobs.launchers.container import prepare_image, read_image
from studium.jobs.launchers.protocol import Launcher, Unit
from studium.jobs.orders import order_unit
from studium.jobs.states import FailedError, Failure, State
from studium.jobs.table import Job
from studium.jobs.units import UnitRow
from studium.jobs.worker import moves
from studium.jobs.worker.hand import Hand
from studium.jobs.worker.outputs import release_outputs
from studium.jobs.worker.provenance import write_provenance
from studium.site import Site

Answer = dict[str, str]
Step = Callable[[Hand, Job, Launcher], Answer]


def in_child(do: Step, hand: Hand, job: Job, launcher: Launcher) -> Answer:
    """A step in a forked child: the connections of the worker are not for it."""
    hand.site.state.engine.dispose(close=False)
    try:
        return do(hand, job, launcher)
    except FailedError as error:
        print(f"{error.failure}: {error}")  # into the job's log for operators
        return {"failure": str(error.failure), "text": str(error), **error.told}


def prepare(hand: Hand, job: Job, launcher: Launcher) -> Answer:
    """Inputs are staged, the image is there, and the launcher would take every unit."""
    folder = hand.folder(job.name)
    try:
        check_ceilings(job.spec.resources, hand.site.settings.jobs)
    except SpecError as error:  # lowered since it was submitted
        raise FailedError(Failure.REFUSED, error.message, told={"why": "above a ceiling"}) from None
    shutil.rmtree(folder.released, ignore_errors=True)  # of an attempt that has not succeeded
    stage_inputs(hand.site, folder, job.spec, partial(moves.holding, hand, job.name))
    if job.spec.image or job.spec.dockerfile:
        prepare_image(hand.site, folder, job.spec)
    for number in {0, job.units - 1}:
        problems = launcher.validate(unit_of(hand, job, number))
        if problems:
            raise FailedError(Failure.REFUSED, " ".join(problems))
    return {}


def unit_of(hand: Hand, job: Job, number: int) -> Unit:
    """What its launcher is told of a unit. Pre-condition: ``prepare``."""
    folder = hand.folder(job.name)
    return order_unit(hand.site, job, folder, number, read_image(folder))


def collect(hand: Hand, job: Job, launcher: Launcher) -> Answer:
    """Outputs are fetched, checked and released, the record of the run is written, and nothing is
    left outside the job's folder."""
    folder = hand.folder(job.name)
    with hand.site.state.read() as conn:
        rows = units.units(conn, job.name, job.attempt)
    for row in rows:
        if row.native:
            launcher.fetch(row.native, folder.unit(job.attempt, row.number))
    write_provenance(hand, job, launcher, rows)
    policy = Policy.of(hand.site.settings.disclosure, job.protected)
    release_outputs(hand.site, folder, job, policy)
    _clean(hand, job, launcher, rows)
    return {}


def tidy(hand: Hand, job: Job, launcher: Launcher) -> Answer:
    """Remove what a job that has ended leaves outside its folder, and what was staged for it. One
    that has not succeeded has its record of what it used, too."""
    with hand.site.state.read() as conn:
        rows = units.units(conn, job.name, job.attempt)
    _clean(hand, job, launcher, rows)
    if job.state is not State.SUCCEEDED:
        write_provenance(hand, job, launcher, rows)
    return {}


def send_messages(site: Site) -> None:
    """Send the messages that are due."""
    from studium.jobs.notify import send_due

    site.state.engine.dispose(close=False)
    send_due(site)


def _clean(hand: Hand, job: Job, launcher: Launcher, rows: list[UnitRow]) -> None:
    folder = hand.folder(job.name)
    for row in rows:
        if row.native:
            launcher.cleanup(row.native, folder.unit(job.attempt, row.number))
    drop_inputs(folder)
    with hand.site.state.begin() as conn:
        table.set_bytes(conn, job.name, measure(folder))
