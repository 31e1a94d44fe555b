"""The heavy steps of a job, each done by a child process: prepare, collect, tidy; and messages.

Each can be done again from its start by any worker: what it makes appears at once, or is made anew.
An answer with ``failure`` ends the job; an exception is a crash, after which the step is tried
again.
"""

from __future__ import annotations

import json
import platform
import shutil
import socket
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import studium
from studium.jobs import table, units
from studium.jobs.disclosure.model import Policy
from studium.jobs.folder import measure, write_whole
from studium.jobs.inputs import drop_inputs, read_manifest, stage_inputs
from studium.jobs.launchers.container import prepare_image, read_image
from studium.jobs.launchers.protocol import Launcher, Unit
from studium.jobs.orders import order_unit
from studium.jobs.states import FailedError, Failure
from studium.jobs.table import Job
from studium.jobs.units import UnitRow
from studium.jobs.worker.hand import Hand
from studium.jobs.worker.outputs import release_outputs
from studium.site import Site

Answer = dict[str, str]
Step = Callable[[Hand, Job, Launcher], Answer]


def in_child(do: Step, hand: Hand, job: Job, launcher: Launcher) -> Answer:
    """A step in a forked child: the connections of the worker are not for it."""
    hand.site.state.engine.dispose(close=False)
    try:
        return do(hand, job, launcher)
    except FailedError as error:
        return {"failure": str(error.failure), "text": str(error), **error.told}


def prepare(hand: Hand, job: Job, launcher: Launcher) -> Answer:
    """Inputs are staged, the image is there, and the launcher would take every unit."""
    folder = hand.folder(job.name)
    shutil.rmtree(folder.released, ignore_errors=True)  # of an attempt that has not succeeded
    stage_inputs(hand.site, folder, job.spec)
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
    write_whole(folder.provenance, _provenance(hand, job, launcher, rows))
    policy = Policy.of(hand.site.settings.disclosure, job.protected)
    release_outputs(hand.site, folder, job, policy)
    _clean(hand, job, launcher, rows)
    return {}


def tidy(hand: Hand, job: Job, launcher: Launcher) -> Answer:
    """Remove what a job that has ended leaves outside its folder, and what was staged for it."""
    with hand.site.state.read() as conn:
        rows = units.units(conn, job.name, job.attempt)
    _clean(hand, job, launcher, rows)
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


def _provenance(hand: Hand, job: Job, launcher: Launcher, rows: list[UnitRow]) -> str:
    """What ran in and on what, for whom, and what it used (specs/morf §7.5)."""
    folder = hand.folder(job.name)
    can = launcher.capabilities()
    manifest = read_manifest(folder)
    code = json.loads(folder.code_manifest.read_bytes()) if folder.code_manifest.exists() else None
    ends = [row.exit for row in rows if row.exit]
    found: dict[str, Any] = {
        "job": job.name,
        "attempt": job.attempt,
        "owner": job.owner,
        "submitted_at": job.submitted_at,
        "started_at": job.started_at,
        "command": list(job.spec.command),
        "image": read_image(folder),
        "code": code,
        "inputs": manifest.get("inputs", {}),
        "files": manifest.get("files", []),
        "launcher": {
            "name": job.launcher,
            "guarantees": sorted(can.guarantees),
            "lost": dict(can.lost),
            "details": dict(can.details),
        },
        "studium": studium.__version__,
        "python": platform.python_version(),
        "host": socket.gethostname(),
        "kernel": platform.release(),
        "used": {
            "seconds": sum(one.seconds for one in ends),
            "cpu_seconds": _total([one.cpu_seconds for one in ends]),
            "peak_memory": max((one.peak_memory or 0 for one in ends), default=0) or None,
        },
        "units": [
            {"number": row.number, "native": row.native, "exit": row.exit and asdict(row.exit)}
            for row in rows
        ],
    }
    return json.dumps(found, indent=2, ensure_ascii=False)


def _total(values: list[float | None]) -> float | None:
    return None if None in values else sum(value or 0.0 for value in values)
