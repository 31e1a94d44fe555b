"""The launchers that are attacked, and what came of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from studium.jobs.launchers.container import ContainerLauncher
from studium.jobs.launchers.container.runtime import Runtime, call
from studium.jobs.launchers.protocol import Launcher, Unit
from studium.jobs.launchers.sandbox import SandboxLauncher
from tests.attacks.bombs import Bomb
from tests.attacks.image import IMAGE, INSIDE, archive
from tests.attacks.world import Ended, World, of_probes, python, world
from tests.containers import digest_of
from tests.services import require

SANDBOX_UIDS = (920_000, 920_099)
CONTAINER_UIDS = (930_000, 930_099)
Said = Mapping[str, dict[str, Any]]


@dataclass
class Ground:
    """A world and the launchers; each attack is tried once, on the first question."""

    world: World
    storage: Callable[[], Runtime]

    @cached_property
    def sandbox(self) -> Launcher:
        """The sandbox, where the attacks come as a folder."""
        require("bubblewrap", bool(shutil.which("bwrap")), "apt-get install bubblewrap")
        launcher = SandboxLauncher(SANDBOX_UIDS, grace=2.0)
        found = launcher.capabilities()
        require("a sandbox", found.available, found.reason)
        return launcher

    @cached_property
    def container(self) -> ContainerLauncher:
        """The containers, where the attacks come in an image."""
        runtime = self.storage()
        done = call(runtime.command("import", "-", IMAGE), give=archive())
        assert done.returncode == 0, done.stderr
        assert runtime.store
        return ContainerLauncher(runtime.store, CONTAINER_UIDS, legacy=True, grace=0.3)

    def launcher(self, kind: str) -> Launcher:
        """The launcher of that name."""
        return self.sandbox if kind == "sandbox" else self.container

    def unit(self, kind: str, *names: str, **changes: Any) -> Unit:
        """A unit of that launcher, with attacks by name."""
        made = self.world.unit(kind, *names, **changes)
        if kind == "sandbox":
            return made
        image = digest_of(self.container.runtime(), IMAGE)
        return replace(made, image=image, command=(python(), INSIDE, *names))

    @cached_property
    def probes(self) -> dict[str, Said]:
        """What every probe got, by where it ran: each place is tried when it is asked for."""
        return _Probed(self)

    @cached_property
    def littered(self) -> dict[str, Path]:
        """The outputs of a unit that left all kinds of things, by where it ran."""
        return _Littered(self)

    def bomb(self, kind: str, bomb: Bomb) -> Ended:
        """Run a bomb in a unit."""
        return self.world.run(self.launcher(kind), self.unit(kind, bomb.name, limits=bomb.limits))


class _Probed(dict[str, Said]):
    def __init__(self, ground: Ground) -> None:
        super().__init__()
        self.ground = ground

    def __missing__(self, kind: str) -> Said:
        ground = self.ground
        if kind == "control":
            ended = ground.world.unguarded([])
        else:
            ended = ground.world.run(ground.launcher(kind), ground.unit(kind), worst=True)
            assert ended.exit
            assert ended.exit.code == 0, ended.exit
        self[kind] = of_probes(ended)
        return self[kind]


class _Littered(dict[str, Path]):
    def __init__(self, ground: Ground) -> None:
        super().__init__()
        self.ground = ground

    def __missing__(self, kind: str) -> Path:
        ground = self.ground
        if kind == "control":
            self[kind] = ground.world.litter()
        else:
            ended = ground.world.run(ground.launcher(kind), ground.unit(kind, "litter"))
            assert ended.folder
            assert ended.got, ended.exit
            self[kind] = ended.folder / "outputs"
        return self[kind]


@contextmanager
def ground(storage: Callable[[], Runtime]) -> Iterator[Ground]:
    """A machine to attack; ``storage`` gives one for containers, once it is needed."""
    require("a user that may do everything", os.geteuid() == 0, "run this as root")
    for program, package in (("ip", "iproute2"), ("nsenter", "util-linux")):
        require(program, bool(shutil.which(program)), f"apt-get install {package}")
    require("setuid programs", Path("/usr/bin/id").exists(), "apt-get install coreutils")
    with world() as made:
        yield Ground(made, storage)
