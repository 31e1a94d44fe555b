"""Hostile code gets nothing in either launcher, and would get it without the guard.

What each attack tries is in tests/attacks/programs.py. ``python -m tests.attacks`` runs all and
writes the table in docs/explanation/attacks.md.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from studium.jobs.launchers.container.isolation import FILTER
from tests.attacks import catalogue, programs
from tests.attacks.bombs import BOMBS, LONG, Bomb
from tests.attacks.filters import container_filter
from tests.attacks.ground import Ground, ground
from tests.attacks.world import limited, of_probes

LAUNCHERS = ("sandbox", "container")
IN_CONTAINERS = ("fork_bomb", "hidden_memory_bomb", "fill_elsewhere", "daemon")
"""Bombs that each test of containers tries; the others take their turn in ``make prove``."""


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest) -> Iterator[Ground]:
    with ground(lambda: request.getfixturevalue("containers")) as made:
        yield made


@pytest.mark.parametrize("attack", [one.name for one in catalogue.PROBES])
@pytest.mark.parametrize("kind", LAUNCHERS)
def test_a_unit_gets_nothing(place: Ground, kind: str, attack: str) -> None:
    found = place.probes[kind][attack]
    assert not found["got"], found


@pytest.mark.parametrize("attack", [one.name for one in catalogue.PROBES])
def test_its_control_gets_it(place: Ground, attack: str) -> None:
    found = place.probes["control"][attack]
    if attack in programs.DEPENDS_ON_KERNEL and not found["got"]:
        pytest.skip(f"this kernel has none: {found.get('why')}")
    assert place.world.is_real(attack, found["got"]), found


@pytest.mark.parametrize("kind", LAUNCHERS)
def test_the_machine_is_as_it_was(place: Ground, kind: str) -> None:
    assert place.probes[kind]
    world = place.world
    assert (world.folder / "inputs" / "rows").read_text() == "rows\n"
    code = world.folder / "code" / "programs.py"
    assert code.read_bytes() == Path(programs.__file__).read_bytes()
    assert not list((world.folder / "jobs").glob("own-*/unit/outputs/*"))
    assert world.services.poll() is None


def _cases() -> list[object]:
    found: list[object] = []
    for bomb in (*BOMBS, *LONG):
        for kind in LAUNCHERS:
            long = bomb in LONG or (kind == "container" and bomb.name not in IN_CONTAINERS)
            marks = [pytest.mark.long] if long else []
            found.append(pytest.param(kind, bomb, id=f"{bomb.name}-{kind}", marks=marks))
    return found


@pytest.mark.parametrize(("kind", "bomb"), _cases())
def test_a_unit_uses_up_nothing(place: Ground, kind: str, bomb: Bomb) -> None:
    lost = place.launcher(kind).capabilities().lost
    if bomb.needs in lost:
        pytest.skip(f"{bomb.needs} is lost here: {lost[bomb.needs]}")
    ended = place.bomb(kind, bomb)
    assert bomb.kept(place.world, ended), (ended.said, ended.exit)


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(one, id=one.name, marks=[pytest.mark.long] * (one in LONG))
        for one in (*BOMBS, *LONG)
    ],
)
def test_its_control_uses_it_up(place: Ground, bomb: Bomb) -> None:
    assert bomb.free(place.world, bomb.name)


@pytest.mark.parametrize("kind", LAUNCHERS)
def test_variables_of_a_unit_are_not_those_of_its_runtime(place: Ground, kind: str) -> None:
    """Else a submitter loads libraries into bwrap or podman, outside every wall."""
    leak = place.world.folder / "leak"
    spoken = {"LD_DEBUG": "libs", "LD_DEBUG_OUTPUT": str(leak / "trace")}
    unit = place.unit(kind, "dns", environment={"STUDIUM_TARGETS": place.world.targets(), **spoken})
    assert "dns" in str(place.world.run(place.launcher(kind), unit).said)
    assert list(leak.iterdir()) == []
    subprocess.run(["/usr/bin/env", "true"], env=spoken, check=True)
    assert list(leak.iterdir())
    for path in leak.iterdir():
        path.unlink()


@pytest.mark.long
def test_root_of_a_legacy_image_gets_no_more_than_its_own(place: Ground) -> None:
    """It is root, with some capabilities, over a root folder that is thrown away."""
    ended = place.world.run(place.container, place.unit("container", profile="legacy"), worst=True)
    got = {name for name, said in of_probes(ended).items() if said["got"]}
    assert got == {"become_root", "capabilities", "unit_folder"}
    assert ended.folder
    assert b"forged" not in (ended.folder / "exit.json").read_bytes()


@pytest.mark.long
@pytest.mark.parametrize("kind", LAUNCHERS)
def test_ten_gigabytes_of_output_are_a_short_log(place: Ground, kind: str) -> None:
    targets = place.world.targets(flood=10 * 1024)
    unit = place.unit(
        kind, "flood", environment={"STUDIUM_TARGETS": targets}, limits=limited(seconds=300)
    )
    end = place.world.run(place.launcher(kind), unit).exit
    assert end
    assert (end.reason, end.stdout) == ("exit", 10 * 2**30)
    assert (unit.folder / "stdout").stat().st_size == unit.limits.log


def test_both_launchers_have_one_list_of_system_calls() -> None:
    assert json.loads(FILTER.read_bytes()) == container_filter()


def test_every_attack_is_in_the_table() -> None:
    assert {one.name for one in catalogue.PROBES} == {one.__name__ for one in programs.PROBES}
    assert {one.name for one in catalogue.BOMBS} == {one.name for one in (*BOMBS, *LONG)}
    assert len(catalogue.PROBES) + len(catalogue.BOMBS) >= 25
