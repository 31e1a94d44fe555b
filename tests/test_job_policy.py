"""A launcher runs nothing below the site's policy; the diagram of states is that of the code."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from docs.generate.jobs import state_diagram
from studium.errors import LaunchError, SettingsError
from studium.jobs.launchers.protocol import GUARANTEES, Capabilities
from studium.jobs.launchers.registry import launcher_of, refusals
from studium.jobs.states import State
from studium.site import init_site, open_site


@dataclass
class Able:
    """What a launcher says that it can."""

    can: Capabilities
    name: str = "able"

    def capabilities(self) -> Capabilities:
        return self.can


def test_every_missing_guarantee_is_named_with_its_reason(tmp_path: Path) -> None:
    init_site(tmp_path).close()
    with open_site(tmp_path, {"jobs.guarantees": ["no network", "memory limit"]}) as site:
        whole: Any = Able(Capabilities(True, frozenset(GUARANTEES)))
        assert refusals(site, whole) == []
        less: Any = Able(
            Capabilities(True, frozenset({"no network"}), {"memory limit": "no cgroup"})
        )
        assert refusals(site, less) == ["It cannot guarantee 'memory limit' here: no cgroup."]
        none: Any = Able(Capabilities(False, frozenset(GUARANTEES), reason="It is not installed."))
        assert refusals(site, none) == ["It is not installed."]
        with pytest.raises(LaunchError, match="Choose from sandbox, container"):
            launcher_of(site, "moon")
    misspelt = open_site(tmp_path, {"jobs.guarantees": ["no netwrok"]})
    with misspelt as site, pytest.raises(SettingsError, match="no netwrok"):
        refusals(site, whole)


def test_the_default_policy_is_of_known_guarantees(tmp_path: Path) -> None:
    with init_site(tmp_path) as site:
        assert set(site.settings.jobs.guarantees) <= set(GUARANTEES)


def test_the_diagram_has_every_move_and_no_other() -> None:
    drawn = {
        (line.split()[0], line.split()[2].rstrip(":"))
        for line in state_diagram().splitlines()
        if "-->" in line and "[*]" not in line and "resubmitted" not in line
    }
    there = {(str(a), str(b)) for a in State for b in State if a.may_become(b)}
    assert drawn == there
