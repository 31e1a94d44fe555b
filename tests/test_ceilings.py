"""A site says what a unit may have at most: when a job is submitted, and again when it is run."""

from pathlib import Path

import pytest

import studium
from studium.errors import SpecError
from studium.jobs.ceilings import check_ceilings
from studium.jobs.description import parse_spec
from studium.jobs.intake import submit_job
from studium.jobs.spec import Resources
from studium.settings.jobs import JobsSettings
from tests import bare
from tests.children import Nursery


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("memory", "900TB"),
        ("output", "900TB"),
        ("log", "900TB"),
        ("scratch", "900TB"),
        ("time", "3000d"),
        ("processes", 100_000),
        ("cpus", 1_000),
    ],
)
def test_what_is_above_a_ceiling(field: str, value: object) -> None:
    wanted = Resources.model_validate({field: value})
    with pytest.raises(SpecError, match=rf"(?m)^  resources\.{field}: .*; jobs\.max_{field} is "):
        check_ceilings(wanted, JobsSettings())
    check_ceilings(Resources(), JobsSettings())


def test_a_job_above_a_ceiling_leaves_nothing_behind(tmp_path: Path) -> None:
    document = {
        "command": ["true"], "resources": {"memory": "2GiB", "time": "2h"},
        "outputs": {"a": {"file": "a", "type": "text"}},
    }  # fmt: skip
    given = {"jobs.max_memory": "2GB", "jobs.max_time": 3_600}
    with studium.init(tmp_path / "site", given) as site:
        with pytest.raises(SpecError) as caught:
            submit_job(site, parse_spec(document), tmp_path, "ana", [])
        assert caught.value.message.splitlines()[1:] == [
            "  resources.memory: 2GiB; jobs.max_memory is 1.9GiB",
            "  resources.time: 2h; jobs.max_time is 1h",
        ]
        assert not site.jobs_dir.exists() or not any(site.jobs_dir.iterdir())


def test_a_ceiling_that_was_lowered_since(tmp_path: Path) -> None:
    root = bare.make_site(tmp_path / "site", jobs__max_processes=100)
    with studium.open(root) as site, Nursery() as nursery:
        name = bare.submit(site)  # asks for 128
        child = nursery.run(root, "bare-worker", "--until-idle")
        assert child.code == 0, child.err
        assert str(bare.job_of(site, name).failure) == "refused by the launcher"
        assert "jobs.max_processes is 100" in child.out
