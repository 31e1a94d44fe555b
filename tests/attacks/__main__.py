"""Every attack in both launchers, and its control: ``python -m tests.attacks``.

Writes ``docs/explanation/attacks.md`` if nothing got through and every control succeeded. Needs
root, bubblewrap and Podman; takes three minutes. What a kernel does not have cannot be attacked and
is marked so.
"""

import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from studium.errors import JobError
from studium.jobs.folder import JobFolder
from studium.jobs.submission import take_code
from tests.attacks import catalogue, programs
from tests.attacks.bombs import BOMBS, LONG
from tests.attacks.ground import Ground, ground
from tests.attacks.outputs import CASES, LEAVES, let_out
from tests.attacks.submissions import CASES as SUBMISSIONS
from tests.attacks.text import HEAD, TAIL
from tests.conftest import ROOT
from tests.containers import storage_in

PAGE = ROOT / "docs" / "explanation" / "attacks.md"
LAUNCHERS = ("sandbox", "container")
Row = tuple[str, ...]
_WORDS = {True: "held", False: "**got through**"}
_CONTROL = {True: "succeeds", False: "**fails**"}


def main() -> int:
    """Run all and write the page; 1 if anything got through, or a control failed."""
    with (
        tempfile.TemporaryDirectory() as folder,
        storage_in(Path(folder) / "store") as storage,
        ground(lambda: storage) as place,
    ):
        parts = {
            "What a job may see and do": list(_probes(place)),
            "What a job may use up, and its end": list(_bombs(place)),
            "What a job leaves in its outputs": list(_outputs(place)),
        }
        can = {kind: place.launcher(kind).capabilities().details for kind in LAUNCHERS}
    parts["What is submitted"] = list(_submissions())
    said = _page(parts, can)
    if "**" in said.replace(HEAD, "").replace(TAIL, ""):
        print(said)
        return 1
    PAGE.write_text(said, "utf-8")
    return 0


def _probes(place: Ground) -> Iterator[Row]:
    for one in catalogue.PROBES:
        cells = [_WORDS[not place.probes[kind][one.name]["got"]] for kind in LAUNCHERS]
        control = place.probes["control"][one.name]
        real = place.world.is_real(one.name, control["got"])
        none = one.name in programs.DEPENDS_ON_KERNEL and not control["got"]
        cells.append("not in this kernel" if none else _CONTROL[real])
        yield (one.tries, one.guard, *cells)


def _bombs(place: Ground) -> Iterator[Row]:
    about = {one.name: one for one in catalogue.BOMBS}
    for bomb in (*BOMBS, *LONG):
        cells = []
        for kind in LAUNCHERS:
            lost = bomb.needs in place.launcher(kind).capabilities().lost
            held = lost or bomb.kept(place.world, place.bomb(kind, bomb))
            cells.append("lost here" if lost else _WORDS[held])
        cells.append(_CONTROL[bomb.free(place.world, bomb.name)])
        yield (about[bomb.name].tries, about[bomb.name].guard, *cells)


def _outputs(place: Ground) -> Iterator[Row]:
    for case in CASES:
        cells = []
        for kind in LAUNCHERS:
            with _folder() as folder:
                refused = let_out(place.littered[kind] / case.name, folder / "out")
            cells.append("leaves without it" if case.name in LEAVES else _WORDS[bool(refused)])
            if case.name == "set_id" and not refused:
                cells[-1] = "leaves without it"
        with _folder() as folder:
            had = case.free(place.world, place.littered["control"] / case.name, folder)
        tries = (getattr(programs, case.name).__doc__ or "").rstrip(".")
        yield (tries, case.guard, *cells, _CONTROL[had])


def _submissions() -> Iterator[Row]:
    for case in SUBMISSIONS:
        with _folder() as folder:
            job = JobFolder(folder / "job")
            job.path.mkdir()
            try:
                take_code(case.make(folder), job, 2**20)
                cell = _WORDS[False]
            except JobError:
                cell = "refused"
        with _folder() as folder:
            source, target = case.make(folder), folder / "naive" / "target"
            target.mkdir(parents=True)
            had = case.free(source, target)
        yield (case.tries, case.guard, cell, cell, _CONTROL[had])


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def _page(parts: dict[str, list[Row]], can: dict[str, object]) -> str:
    lines = [HEAD]
    for title, rows in parts.items():
        lines += [f"### {title}", "", "| attack | guard | sandbox | container | control |"]
        lines += ["|---|---|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows), ""]
    count = sum(map(len, parts.values()))
    kernel = ".".join(platform.release().split(".")[:2])
    machine = f"Linux {kernel}, {platform.machine()}; sandbox: {_show(can['sandbox'])}"
    lines += [f"{count} attacks. Run on {machine}; container: {_show(can['container'])}.", ""]
    return "\n".join([*lines, TAIL, ""])


def _show(details: object) -> str:
    assert isinstance(details, dict)
    wanted = ("bubblewrap", "cgroups", "program", "runtime")
    found = [
        value if name == "program" else f"{name} {value}"
        for name, value in details.items()
        if name in wanted
    ]
    return ", ".join(found)


if __name__ == "__main__":
    sys.exit(main())
