"""The commands of one unit, for its supervisor: what runs it, and what ends and removes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from studium.jobs.launchers.container.images import image_volumes
from studium.jobs.launchers.container.isolation import (
    LEGACY_IDS,
    legacy_flags,
    mount_flags,
    strict_flags,
)
from studium.jobs.launchers.container.legacy import close_after
from studium.jobs.launchers.container.runtime import Runtime, environment
from studium.jobs.launchers.plan import Bind, Plan
from studium.jobs.launchers.protocol import CODE, INPUTS, OUTPUTS, Unit

STAGE = Path("/run/studium/stage")
"""Where inputs are mounted for the container program, in a mount namespace that only it is in."""

_REFUSED = 125  # podman and docker: they themselves failed, not the command


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a unit's container is made: ``store`` is a storage of its own, for a legacy unit."""

    runtime: Runtime
    uids: tuple[int, int] | None
    staged: bool
    grace: float
    store: Path | None = None


def unit_plan(setting: Setting, unit: Unit, native: str, image: str) -> Plan:
    """How its supervisor runs a unit as the container ``native``."""
    runtime, store = setting.runtime, setting.store
    binds, mounts = _binds(unit, setting.staged)
    before: tuple[str, ...] = ("env", f"--chdir={unit.folder}", "-i")
    before += tuple(f"{name}={value}" for name, value in environment().items())

    def control(*arguments: str) -> tuple[str, ...]:
        return (*before, *runtime.command(*arguments, store=store))

    head = [
        *control("run", f"--name={native}", *_flags(runtime, unit, image), *mount_flags(mounts)),
        f"--env=STUDIUM_INPUT={INPUTS}",
        f"--env=STUDIUM_OUTPUT={OUTPUTS}",
        *([f"--workdir={CODE}"] if unit.code else []),
    ]
    given = [f"--env={name}={value}" for name, value in unit.environment.items()]
    kill = (*before, *remove_words(runtime, native, store))
    return Plan(
        argv=(*head, *given, image, *unit.command),
        filled=len(head),
        environment={},
        limits=unit.limits,
        grace=setting.grace,
        uids=setting.uids,
        ids=LEGACY_IDS if unit.profile == "legacy" else 1,
        become=False,
        stage=str(STAGE),
        binds=binds,
        term=control("kill", "--signal=TERM", native),
        kill=close_after(kill, store) if store else kill,
        oom=_either(unit.folder / "oom", control(*_inspect("OOMKilled"), native)),
        refused=_REFUSED,
        ran=_exited(control(*_inspect("Status"), native)),
    )


def _flags(runtime: Runtime, unit: Unit, image: str) -> list[str]:
    """Flags of ``run``; the unit's user is filled in by its supervisor, which chooses it."""
    if unit.profile == "legacy":
        return legacy_flags(runtime, unit.limits, "{uid}")
    flags = [*strict_flags(runtime, unit.limits, "{uid}"), "--env=HOME=/tmp"]
    if runtime.kind == "docker":
        flags += [f"--runtime={runtime.oci}"] if runtime.oci else []
        # Docker makes a folder on the disk for each, of any size.
        size = f"size={unit.limits.scratch}"
        flags += [
            f"--tmpfs={path}:rw,nosuid,nodev,{size}" for path in image_volumes(runtime, image)
        ]
    return flags


def _binds(unit: Unit, staged: bool) -> tuple[tuple[Bind, ...], list[tuple[str, str, bool]]]:
    """What the supervisor mounts, and what the container mounts of it."""
    parts = [(one.source, f"{INPUTS}/{one.name}", True) for one in unit.inputs]
    parts += [(unit.code, CODE, True)] if unit.code else []
    parts.append((unit.folder / "outputs", OUTPUTS, False))
    binds, mounts = [], []
    for number, (source, target, read_only) in enumerate(parts):
        name = f"bind{number}"
        path = str(source.resolve())
        if staged:
            binds.append(Bind(name, path, own=read_only, write=not read_only))
        mounts.append((f"{{{name}}}" if staged else path, target, read_only))
    return tuple(binds), mounts


def remove_words(runtime: Runtime, native: str, store: Path | None) -> list[str]:
    """The command that ends a container at once and removes it with its anonymous volumes."""
    now = ["--time=0"] if runtime.kind == "podman" else []
    return runtime.command("rm", "--force", *now, "--volumes", native, store=store)


def _inspect(field: str) -> tuple[str, str, str]:
    return ("inspect", "--type=container", f"--format={{{{.State.{field}}}}}")


def _either(file: Path, inspect: tuple[str, ...]) -> tuple[str, ...]:
    """Prints true if the file is there, as conmon makes it, or else what Podman knows."""
    return ("sh", "-c", 'if [ -e "$0" ]; then echo true; else exec "$@"; fi', str(file), *inspect)


def _exited(inspect: tuple[str, ...]) -> tuple[str, ...]:
    """Prints true if the container has run."""
    return ("sh", "-c", 'case $("$@") in exited|stopped|dead) echo true;; esac', "sh", *inspect)
