"""A job's folder, from which its row can be made again.

::

    <site>/jobs/<name>/          0700: nobody else of the host gets below it
      spec.json                  the JobSpec as submitted, whole
      code/                      what was submitted, read-only; code.json: its fingerprint
      image.json                 digest of the image it runs in; build.log: how that was built
      inputs.json                what it reads: versions, and once staged files and SHA-256
      inputs/<input>/            staged files, read-only
      script                     how the command is started, for people
      status.json                the row and its history, after every move
      provenance.json            what it ran in and on, for whom, and what it used
      attempts/<n>/units/<m>/    protocol.Unit: stdout, stderr, outputs/, heartbeat, exit.json
      released/                  what may leave; manifest.json is written last

Every file appears whole or not at all (specs/jobs-hpc §7.5, §7.8).
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from studium.errors import JobError
from studium.jobs import table, units
from studium.jobs.description import spec_json
from studium.jobs.launchers.files import write_atomically
from studium.jobs.names import is_name
from studium.jobs.spec import JobSpec
from studium.jobs.states import State
from studium.state import State as Database
from studium.state.schema import job_history, jobs
from studium.state.upsert import add_rows

LOG = "worker.log"
"""What steps of a job say, for operators."""


@dataclass(frozen=True, slots=True)
class JobFolder:
    """Where everything of a job is. No path of it needs to exist yet."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def spec(self) -> Path:
        return self.path / "spec.json"

    @property
    def code(self) -> Path:
        return self.path / "code"

    @property
    def code_manifest(self) -> Path:
        return self.path / "code.json"

    @property
    def inputs(self) -> Path:
        return self.path / "inputs"

    @property
    def inputs_manifest(self) -> Path:
        return self.path / "inputs.json"

    @property
    def script(self) -> Path:
        return self.path / "script"

    @property
    def status(self) -> Path:
        return self.path / "status.json"

    @property
    def provenance(self) -> Path:
        return self.path / "provenance.json"

    @property
    def released(self) -> Path:
        return self.path / "released"

    @property
    def released_manifest(self) -> Path:
        return self.released / "manifest.json"

    def attempt(self, attempt: int) -> Path:
        """The folder of an attempt, counted from 1."""
        return self.path / "attempts" / str(attempt)

    def unit(self, attempt: int, number: int) -> Path:
        """The folder of a unit, counted from 0: what ``protocol.Unit.folder`` is."""
        return self.attempt(attempt) / "units" / str(number)


def folder_of(root: Path, name: str) -> JobFolder:
    """The folder of the job ``name`` below ``root``; JobError if that can be no job's name."""
    if not is_name(name):
        raise JobError(f"There is no job {name[:80]!r}.", "`studium job list` shows your jobs.")
    return JobFolder(root / name)


def make_folder(root: Path, name: str, spec: JobSpec) -> JobFolder:
    """Claim the folder of a new job and write its spec; JobError if it is there already."""
    folder = folder_of(root, name)
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        folder.path.mkdir(mode=0o700)
    except FileExistsError:
        raise JobError(f"There is a job {name} already.", "Submit again.") from None
    write_whole(folder.spec, spec_json(spec))
    return folder


def read_spec(folder: JobFolder) -> JobSpec:
    """The spec in the folder; JobError if it cannot be read."""
    try:
        return JobSpec.model_validate_json(folder.spec.read_bytes())
    except (OSError, ValueError) as error:
        raise _unreadable(folder.spec, error) from None


def save_status(state: Database, folder: JobFolder) -> None:
    """Write what the state knows of the job; nothing if it was deleted.

    Safe from any process at any time: whoever writes last has read last.
    """
    if not folder.path.is_dir():
        return
    with _alone(folder):
        with state.read() as conn:
            job = table.find(conn, folder.name)
            if job is None:
                return
            events = table.history(conn, folder.name)
            counts = units.counts(conn, folder.name, job.attempt)
        row = {**asdict(job), "spec": None}
        del row["spec"]  # beside it, in spec.json
        write_whole(
            folder.status,
            _json({"job": row, "units": counts, "history": [asdict(one) for one in events]}),
        )


def read_status(folder: JobFolder) -> dict[str, Any]:
    """What ``save_status`` wrote; JobError if it cannot be read."""
    try:
        found = json.loads(folder.status.read_bytes())
        return {"job": dict(found["job"]), "history": list(found["history"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(folder.status, error) from None


def rebuild(conn: Connection, folder: JobFolder) -> table.Job:
    """Make the lost row of a job from its folder; one that is there stays as it is. Idempotent.

    Units that were begun are RUNNING without a native id: whoever takes the job hands them over
    again, and the launcher, or their ``exit.json``, tells how they are. Raises JobError if the
    folder does not tell enough.
    """
    if job := table.find(conn, folder.name):
        return job
    spec = read_spec(folder)
    kept = read_status(folder)
    row = {**kept["job"], "spec": spec_json(spec)}
    try:
        state, attempt = State(row["state"]), int(row["attempt"])
        row |= {"name": folder.name, "owner": spec.owner}
        if state is State.COLLECTING:
            row["units_done"] = 0  # counted below
        events = [
            {**one, "job": folder.name, "details": json.dumps(one["details"])}
            for one in kept["history"]
        ]
        add_rows(conn, jobs, [{column.name: row.get(column.name) for column in jobs.columns}])
        add_rows(
            conn,
            job_history,
            [{column.name: one[column.name] for column in job_history.columns} for one in events],
        )
    except (KeyError, ValueError, TypeError) as error:
        raise _unreadable(folder.status, error) from None
    if state in (State.RUNNING, State.COLLECTING):
        units.add(conn, folder.name, attempt, spec.units.total)
        for number in range(spec.units.total):
            if state is State.COLLECTING or folder.unit(attempt, number).is_dir():
                units.start(conn, folder.name, attempt, number)
            if state is State.COLLECTING:  # to which a job comes if all of them ended well
                units.end(conn, folder.name, attempt, number, State.SUCCEEDED)
    table.record(conn, folder.name, "doctor", "row made anew")
    return table.read(conn, folder.name)


def folders(root: Path) -> Iterator[JobFolder]:
    """The folders of all jobs, by name."""
    if root.is_dir():
        for path in sorted(root.iterdir()):
            if is_name(path.name) and path.is_dir():
                yield JobFolder(path)


def measure(folder: JobFolder) -> int:
    """Bytes of all files in the folder, one with several names counted once."""
    seen: dict[tuple[int, int], int] = {}
    for place, _, names in os.walk(folder.path):
        for name in names:
            try:
                status = os.lstat(os.path.join(place, name))
            except FileNotFoundError:  # a worker is at work in it
                continue
            seen[status.st_dev, status.st_ino] = status.st_size
    return sum(seen.values())


def remove(folder: JobFolder) -> None:
    """Delete the folder: out of sight in one step, whatever a crash leaves is under another name.
    Idempotent."""
    aside = folder.path.with_name(f".deleted-{folder.name}-{secrets.token_hex(4)}")
    with suppress(FileNotFoundError):
        folder.path.rename(aside)
    for left in folder.path.parent.glob(f".deleted-{folder.name}-*"):
        shutil.rmtree(left)


def make_readable(path: Path) -> None:
    """Make a folder that units may look into, with those above it that are missing, whatever the
    process's umask is. One that is there stays as it is."""
    if not path.is_dir():
        make_readable(path.parent)
        path.mkdir()
        path.chmod(0o755)


def write_whole(path: Path, text: str | bytes, mode: int = 0o600) -> None:
    """Write a file that is there whole or not at all, also after a power cut."""
    data = text.encode() if isinstance(text, str) else text
    write_atomically(path, data, mode=mode)


@contextmanager
def _alone(folder: JobFolder) -> Iterator[None]:
    handle = os.open(folder.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _unreadable(path: Path, error: Exception) -> JobError:
    text = " ".join(str(error).split())[:200]
    return JobError(
        f"{path} cannot be read: {text}.", "Restore it from a backup, or delete the job."
    )
