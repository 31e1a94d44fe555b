"""From the outputs of units to what is released."""

from __future__ import annotations

import math
import os
import resource
import select
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from studium.jobs.disclosure.folder import copy, walk
from studium.jobs.disclosure.model import Output, Policy, Reason, Refused
from studium.jobs.disclosure.release import choose, release
from studium.jobs.folder import JobFolder
from studium.jobs.spec import JobSpec
from studium.jobs.states import FailedError, Failure
from studium.jobs.table import Job
from studium.jobs.worker.book import opened, sources_of
from studium.jobs.worker.children import start_child
from studium.site import Site

MEMORY = 2 * 2**30
"""Bytes beyond what the process has anyway; files that need more to be read do not leave."""
CPU = 1_800
"""Seconds that reading and proving may take of a core."""

_FAILURES = {
    Reason.UNDECLARED: Failure.UNDECLARED,
    Reason.SIZE: Failure.OUTPUT_SIZE,
    Reason.MISSING: Failure.OUTPUT_MISSING,
}


def release_outputs(site: Site, folder: JobFolder, job: Job, policy: Policy) -> None:
    """Check the outputs of all units and release what may leave, with its manifest.

    Of several units, file ``f`` of unit ``n`` leaves as ``n/f``: all of them together, as what one
    withholds could be worked out from another. So could what other jobs on the same data withheld,
    whence the book. Raises FailedError.
    """
    try:
        if not policy.protected:
            _check(folder, job, policy)
            return
        with opened(site) as book:
            sources = sources_of(site, job.spec, book)
            earlier = book.related(job.name, sources)
            record = book.record(job.name)
            _check(folder, job, policy, earlier, record, sorted(sources), book.secret)
    except Refused as error:
        failure = _FAILURES.get(error.reason, Failure.UNSAFE)
        told = {"output": error.declared, "why": str(error.reason)}
        raise FailedError(
            failure,
            f"{error} {error.detail}".strip(),
            told={key: text for key, text in told.items() if text},
        ) from None


def contained(work: Callable[[], None], log: str, modules: Sequence[str] = ()) -> None:
    """Do ``work``, which reads what hostile code wrote, in a process with limits of its own.

    ``modules`` are loaded before, as their threads take room by the number of cores. Raises
    Refused: its own, or ``output too large`` if the process dies of the limits. Any other end is an
    error of ours.
    """
    child = start_child(lambda: _limited(work, modules), math.inf, log)
    news = select.poll()
    news.register(child.pipe)
    while not child.ended():
        news.poll()
    answer = child.finish()
    if answer.crash.startswith("signal") or answer.crash == "MemoryError":
        raise Refused(Reason.SIZE, detail=f"reading it took too much: {answer.crash}")
    if answer.crash:
        raise RuntimeError(f"outputs could not be checked: {answer.crash}")
    if answer.value:
        reason, declared, detail = answer.value
        raise Refused(Reason(reason), declared, detail)


def _limited(work: Callable[[], None], modules: Sequence[str]) -> list[str]:
    # Room for numbers that are there, not for those that may come, and for one core's.
    os.environ |= {"ARROW_DEFAULT_MEMORY_POOL": "system", "OPENBLAS_NUM_THREADS": "1"}
    for module in modules:
        import_module(module)
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    _lower(resource.RLIMIT_AS, pages * resource.getpagesize() + MEMORY)
    _lower(resource.RLIMIT_CPU, CPU)
    _lower(resource.RLIMIT_CORE, 0)
    try:
        work()
    except Refused as error:
        return [str(error.reason), error.declared, error.detail]
    return []


def _lower(kind: int, most: int) -> None:
    _, hard = resource.getrlimit(kind)
    limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (limit, limit))


def _check(
    folder: JobFolder,
    job: Job,
    policy: Policy,
    earlier: Sequence[Path] = (),
    record: Path | None = None,
    sources: Sequence[str] = (),
    secret: bytes = b"",
) -> None:
    def work() -> None:
        declared, chosen = declared_outputs(job.spec), policy
        outputs = folder.unit(job.attempt, 0) / "outputs"
        if job.units > 1:
            outputs = folder.attempt(job.attempt) / "outputs"
            declared = _together(folder, job, outputs, declared, policy)
            chosen = replace(policy, max_files=sum(1 for _ in outputs.rglob("*")))
        release(outputs, folder.released, declared, chosen, earlier, record, sources, secret)

    modules = ["studium.jobs.disclosure.suppression"] if policy.protected else []
    if any(one.type == "parquet" for one in job.spec.outputs.values()):
        modules.append("pyarrow.parquet")
    contained(work, str(folder.path / "worker.log"), modules)


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
    left, files = policy.max_bytes, 0
    found = []
    for number in range(job.units):
        outputs = folder.unit(job.attempt, number) / "outputs"
        chosen = choose(list(walk(outputs, policy.max_files)), declared)
        for name, output in chosen.items():
            if output.level != "aggregate":
                continue
            files += 1
            if files > policy.max_files:
                raise Refused(Reason.SIZE, output.name, "more files than disclosure.max_files")
            place = target / str(number) / name
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            left -= copy(outputs, name, place, left)
        found += [
            replace(one, name=f"{number}/{one.name}", required=False)
            for one in declared
            if one.level == "aggregate"
        ]
    return found
