"""The record of a run: what ran in and on what, for whom, and what it used (specs/morf §7.5)."""

from __future__ import annotations

import json
import platform
import socket
from dataclasses import asdict
from pathlib import Path
from typing import Any

import studium
from studium.jobs.folder import JobFolder, write_whole
from studium.jobs.inputs import digest_of, plain_files, read_manifest
from studium.jobs.launchers.container import read_image
from studium.jobs.launchers.protocol import Launcher
from studium.jobs.table import Job
from studium.jobs.units import UnitRow
from studium.jobs.worker.hand import Hand


def write_provenance(hand: Hand, job: Job, launcher: Launcher, rows: list[UnitRow]) -> None:
    """Write ``provenance.json``; Idempotent, after the end of all units."""
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
            {
                "number": row.number,
                "native": row.native,
                "exit": row.exit and asdict(row.exit),
                "outputs": _outputs(folder.unit(job.attempt, row.number) / "outputs"),
            }
            for row in rows
        ],
    }
    # Names that a job chose may not be text: those stay escaped.
    write_whole(folder.provenance, json.dumps(found, indent=2))


def drop_files(folder: JobFolder) -> None:
    """Take out the names of what its units wrote, as those may say whom it is about. Idempotent."""
    try:
        found = json.loads(folder.provenance.read_bytes())
    except FileNotFoundError:
        return
    for unit in found["units"]:
        unit.pop("outputs", None)
    write_whole(folder.provenance, json.dumps(found, indent=2))


def _outputs(place: Path) -> list[dict[str, Any]]:
    """The files that a unit wrote, released or not."""
    return [
        {
            "path": path.relative_to(place).as_posix(),
            "size": path.stat().st_size,
            "sha256": digest_of(path),
        }
        for path in plain_files(place)
    ]


def _total(values: list[float | None]) -> float | None:
    return None if None in values else sum(value or 0.0 for value in values)
