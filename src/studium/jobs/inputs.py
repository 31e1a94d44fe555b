"""What a job reads: settled when it is submitted, staged when it is prepared.

Settled: every table of the lake gets its version, and whatever its owner may not read is refused.
Staged: the files of that version, as hard links where the lake is on the same file system, so that
a vacuum between preparation and end takes nothing away; until then ``pinned`` keeps it from doing
so. Nothing that is staged can be written to: a unit sees it through a read-only mount only.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from studium.errors import LakeError, SpecError
from studium.jobs import table
from studium.jobs.folder import JobFolder, folder_of, make_readable, write_whole
from studium.jobs.launchers.protocol import Mount
from studium.jobs.spec import JobInput, JobSpec, PathInput, TableInput, fill
from studium.jobs.states import FailedError, Failure, State
from studium.lake import types
from studium.lake.store import Lake, Snapshot
from studium.site import Site
from studium.state.schema import jobs

EMPTY = "empty.parquet"
"""The one file of a table without rows: it has the columns."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A file that units may read: its path below ``/input``, bytes, SHA-256."""

    path: str
    size: int
    sha256: str


def settle_inputs(
    site: Site, conn: Connection, spec: JobSpec, restricted: Collection[str]
) -> JobSpec:
    """The spec with a version for every table; ``spec`` has its owner.

    ``restricted`` are the tables of names and addresses. Raises SpecError that names every input
    that is not there or may not be read.
    """
    lake = Lake(site.lake_dir)
    problems: list[str] = []
    settled: dict[str, Any] = {}
    for name, one in spec.inputs.items():
        try:
            match one:
                case TableInput():
                    settled[name] = _settle_table(lake, one, restricted)
                case PathInput():
                    settled[name] = _settle_path(site, spec, one)
                case JobInput():
                    settled[name] = _settle_job(site, conn, spec, one)
            _check_privacy(site, conn, spec, one)
        except _WrongError as error:
            problems.append(f"inputs.{name}: {error}")
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise SpecError(
            f"The job's inputs cannot be had:\n{lines}", "Correct them and submit again."
        )
    return spec.model_copy(update={"inputs": settled})


class _WrongError(Exception):
    pass


def _settle_table(lake: Lake, one: TableInput, restricted: Collection[str]) -> TableInput:
    if one.table in restricted:
        raise _WrongError(f"{one.table} holds names or addresses, which no job may read.")
    snapshot = lake.snapshot(one.table)
    if not snapshot.exists:
        known = ", ".join(name for name in lake.names() if name not in restricted)
        raise _WrongError(f"there is no table {one.table} in the lake. It has {known or 'none'}.")
    if one.version is not None:
        try:
            snapshot = lake.snapshot_at(one.table, one.version)
        except LakeError as error:
            raise _WrongError(error.message) from None
    if not snapshot.by_day and (one.since or one.until):
        raise _WrongError(f"{one.table} is not kept by day: leave out since and until.")
    return one.model_copy(update={"version": snapshot.delta})


def _settle_path(site: Site, spec: JobSpec, one: PathInput) -> PathInput:
    for number in range(spec.units.total if "{" in one.path else 1):
        allowed_path(site, fill(one.path, spec.units.parameters(number)))
    return one


def allowed_path(site: Site, text: str) -> Path:
    """The file or folder, without links in its way, if it lies below one of ``jobs.sources``."""
    try:
        path = Path(text).resolve(strict=True)
    except (OSError, RuntimeError):
        path = None
    roots = [(site.root / source).resolve() for source in site.settings.jobs.sources]
    if path is None or not any(path.is_relative_to(root) for root in roots):
        # One answer for both: what else is on the machine is nobody's business.
        raise _WrongError(f"{text} is not there, or not below one of jobs.sources.")
    if not Path(text).is_absolute() or not (path.is_file() or path.is_dir()):
        raise _WrongError(f"{text} is not the absolute path of a file or folder.")
    return path


def _settle_job(site: Site, conn: Connection, spec: JobSpec, one: JobInput) -> JobInput:
    job = table.find(conn, one.job)
    if job is None or job.owner != spec.owner:  # one answer: no oracle of other people's jobs
        raise _WrongError(f"you have no job {one.job}.")
    if job.state is not State.SUCCEEDED:
        raise _WrongError(f"job {one.job} has not succeeded: it is {job.state}.")
    if not _job_outputs(folder_of(site.jobs_dir, one.job), job, one.output):
        raise _WrongError(f"job {one.job} has no output {one.output or 'at all'}.")
    return one


def _check_privacy(
    site: Site, conn: Connection, spec: JobSpec, one: TableInput | PathInput | JobInput
) -> None:
    """What is read decides what may be shown, whatever the submitter says."""
    if spec.privacy == "protected":
        return
    if isinstance(one, JobInput):
        protected = table.read(conn, one.job).protected
    else:
        protected = site.settings.jobs.data == "protected"
    if protected:
        raise _WrongError(f'it is protected data, so that privacy = "{spec.privacy}" is not true.')


# Staging


def pinned(conn: Connection) -> dict[str, set[int]]:
    """Table → versions that jobs which have not ended are going to read, or read.

    ``vacuum`` keeps their files.
    """
    found: dict[str, set[int]] = {}
    ends = [str(state) for state in State if state.ended]
    for text in conn.execute(select(jobs.c.spec).where(jobs.c.state.not_in(ends))).scalars():
        for one in JobSpec.model_validate_json(text).inputs.values():
            if isinstance(one, TableInput) and one.version is not None:
                found.setdefault(one.table, set()).add(one.version)
    return found


def stage_inputs(
    site: Site,
    folder: JobFolder,
    spec: JobSpec,
    alone: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> list[Staged]:
    """Bring everything that the job reads into its folder, and write the manifest.

    Idempotent: what was staged by an attempt that died is made anew. Within ``alone`` nobody else
    stages for this job; one that does without knowing that it may not finds its own part gone.
    Raises FailedError (``input not found``) for what is there no more.
    """
    lake = Lake(site.lake_dir)
    partial = folder.path / f".inputs-{secrets.token_hex(4)}"
    with alone():
        _drop_parts(folder)
        make_readable(partial)
    described: dict[str, Any] = {}
    staged: list[Staged] = []
    for name, one in spec.inputs.items():
        target = partial / name
        match one:
            case TableInput():
                snapshot = _snapshot(lake, one)
                _stage_table(snapshot, one, target)
                described[name] = one.model_dump(mode="json", exclude_none=True)
            case JobInput():
                _stage_job(site, one, target)
                described[name] = one.model_dump(mode="json")
            case PathInput():  # mounted as it is: raw logs may be larger than the disk
                described[name] = one.model_dump(mode="json")
                staged += _listed(site, spec, name, one)
                continue
        staged += _hashed(partial, target)
    manifest = {
        "inputs": described,
        "files": [{"path": s.path, "size": s.size, "sha256": s.sha256} for s in staged],
    }
    lake.place.release()
    with alone():
        shutil.rmtree(folder.inputs, ignore_errors=True)
        partial.rename(folder.inputs)
        write_whole(folder.inputs_manifest, json.dumps(manifest, indent=2, ensure_ascii=False))
    return staged


def unit_mounts(site: Site, folder: JobFolder, spec: JobSpec, number: int) -> tuple[Mount, ...]:
    """What unit ``number`` reads, each at ``/input/<name>``. Pre-condition: ``stage_inputs``."""
    found = []
    for name, one in spec.inputs.items():
        source = folder.inputs / name
        if isinstance(one, PathInput):
            try:
                source = allowed_path(site, fill(one.path, spec.units.parameters(number)))
            except _WrongError as error:
                raise FailedError(Failure.INPUT, f"inputs.{name}: {error}") from None
        found.append(Mount(name, source))
    return tuple(found)


def drop_inputs(folder: JobFolder) -> None:
    """Delete what was staged; the manifest stays. A further attempt stages it again."""
    shutil.rmtree(folder.inputs, ignore_errors=True)
    _drop_parts(folder)


def _drop_parts(folder: JobFolder) -> None:
    for part in folder.path.glob(".inputs*"):
        shutil.rmtree(part, ignore_errors=True)


def _snapshot(lake: Lake, one: TableInput) -> Snapshot:
    try:
        assert one.version is not None  # settled
        return lake.snapshot_at(one.table, one.version)
    except LakeError as error:
        raise FailedError(Failure.INPUT, error.message, error.hint) from None


def _stage_table(snapshot: Snapshot, one: TableInput, target: Path) -> None:
    make_readable(target)
    files = [
        file
        for file in snapshot.files
        if file.day is None
        or ((not one.since or file.day >= one.since) and (not one.until or file.day < one.until))
    ]
    try:
        for file, path in zip(files, snapshot.paths(files), strict=True):
            place = target / file.path
            make_readable(place.parent)
            _bring(Path(path), place)
    except (LakeError, FileNotFoundError) as error:
        raise FailedError(
            Failure.INPUT,
            f"Version {one.version} of table {one.table} is not in the lake any more: {error}.",
            "Submit the job anew: it reads the newest version.",
        ) from None
    if not files:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema(types.to_delta(snapshot.columns, snapshot.by_day).to_arrow())
        pq.write_table(schema.empty_table(), target / EMPTY)
        (target / EMPTY).chmod(0o644)


def _stage_job(site: Site, one: JobInput, target: Path) -> None:
    source = folder_of(site.jobs_dir, one.job)
    with site.state.read() as conn:
        job = table.find(conn, one.job)
    found = _job_outputs(source, job, one.output) if job else {}
    if not found:
        raise FailedError(Failure.INPUT, f"The outputs of job {one.job} are not there any more.")
    if one.output:
        _bring(found[one.output], target)
        return
    for path, file in found.items():
        place = target / path
        make_readable(place.parent)
        _bring(file, place)


def _job_outputs(folder: JobFolder, job: table.Job, wanted: str) -> dict[str, Path]:
    """Path → file of a job's outputs: plain files only; by unit if there were several."""
    found = {}
    for number in range(job.units):
        outputs = folder.unit(job.attempt, number) / "outputs"
        before = f"{number}/" if job.units > 1 else ""
        for path in plain_files(outputs):
            relative = before + path.relative_to(outputs).as_posix()
            if wanted in ("", relative):
                found[relative] = path
    return found


def _bring(source: Path, place: Path) -> None:
    """Link or copy a file that nobody writes to any more, readable for every user.

    The folders above are not: only who is given the file finds it.
    """
    if source.stat().st_mode & 0o004:
        try:
            os.link(source, place)
            return
        except FileNotFoundError:
            raise
        except OSError:  # another file system, or another user's file
            pass
    shutil.copyfile(source, place)
    place.chmod(0o644)


def _listed(site: Site, spec: JobSpec, name: str, one: PathInput) -> Iterator[Staged]:
    for text in dict.fromkeys(
        fill(one.path, spec.units.parameters(number)) for number in range(spec.units.total)
    ):
        try:
            path = allowed_path(site, text)
        except _WrongError as error:
            raise FailedError(Failure.INPUT, f"inputs.{name}: {error}") from None
        files: Iterable[Path] = plain_files(path) if path.is_dir() else [path]
        for file in files:
            yield Staged(f"{name}: {file}", file.stat().st_size, digest_of(file))


def _hashed(root: Path, target: Path) -> Iterator[Staged]:
    for file in plain_files(target) if target.is_dir() else [target]:
        yield Staged(file.relative_to(root).as_posix(), file.stat().st_size, digest_of(file))


def plain_files(folder: Path) -> Iterator[Path]:
    """Plain files below a folder, sorted; links are not followed."""
    for place, names, files in os.walk(folder):
        names.sort()
        for name in sorted(files):
            path = Path(place, name)
            if path.is_file() and not path.is_symlink():
                yield path


def digest_of(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(folder: JobFolder) -> Mapping[str, Any]:
    """What ``stage_inputs`` wrote last; empty if it has not."""
    try:
        found: dict[str, Any] = json.loads(folder.inputs_manifest.read_bytes())
    except (OSError, ValueError):
        return {}
    return found
