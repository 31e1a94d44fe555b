"""What a launcher hands to a supervisor: ``plan.json`` in the unit's folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from studium.jobs.launchers.files import write_atomically
from studium.jobs.launchers.protocol import Limits

PLAN = "plan.json"


@dataclass(frozen=True, slots=True)
class Bind:
    """A path of the host that the runtime is to bind; ``{name}`` in ``argv`` is where it is.

    Started by root, the path is mounted where the unit's user can reach it, whatever the
    permissions of the folders above; with ``own``, what belongs to the owner of ``source``
    belongs to the unit's user there (an idmapped mount), so that private files can be inputs.
    """

    name: str
    source: str
    own: bool = False
    write: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """How to run one unit.

    Placeholders ``{name}`` are parts of the first ``filled`` words of ``argv``, ``{uid}`` among
    them: no word of a submitter is ever changed.
    """

    argv: tuple[str, ...]  # of the runtime: bwrap …, podman run …
    environment: dict[str, str]  # of the runtime, not of the command
    limits: Limits
    grace: float = 5.0  # seconds between TERM and KILL
    group: str = ""  # the cgroup to make for it; empty: none, the runtime makes its own
    uids: tuple[int, int] | None = None  # take a free one, first to last; None: stay who we are
    ids: int = 1  # ids that the unit has; more than one: a block, and {uid} is its first
    become: bool = True  # the runtime runs as the unit's user; False: as who we are
    stage: str = "/tmp"  # where binds are mounted, in a mount namespace of the runtime
    rlimits: bool = False  # set limits of processes too; they are the unit's only with ``uids``
    binds: tuple[Bind, ...] = ()
    texts: dict[str, str] = field(default_factory=dict)  # {name}: descriptor; {uid} is filled in
    files: dict[str, str] = field(default_factory=dict)  # {name}: descriptor of the path
    status: bool = False  # {status}: descriptor on which bwrap tells the exit code
    term: tuple[str, ...] = ()  # command that sends TERM; empty: the supervisor does
    kill: tuple[str, ...] = ()  # command that ends and removes all of it, run once at the end
    oom: tuple[str, ...] = ()  # command that prints "true" if memory ran out, run before ``kill``
    refused: int | None = None  # exit code by which the runtime says that it started nothing
    ran: tuple[str, ...] = ()  # command that prints "true" if that code is the command's own
    filled: int = 0  # words of argv whose parts may be placeholders


def write_plan(folder: Path, plan: Plan) -> None:
    """Put it into the unit's folder."""
    write_atomically(folder / PLAN, json.dumps(asdict(plan)).encode())


def read_plan(folder: Path) -> Plan:
    """The plan in a unit's folder."""
    data: dict[str, Any] = json.loads((folder / PLAN).read_bytes())
    for name in ("argv", "term", "kill", "oom", "ran"):
        data[name] = tuple(data[name])
    data["limits"] = Limits(**data["limits"])
    data["uids"] = tuple(data["uids"]) if data["uids"] else None
    data["binds"] = tuple(Bind(**one) for one in data["binds"])
    return Plan(**data)
