"""What all tests share: how hard Hypothesis tries, and where real data may lie."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from tests.buckets import bucket, store  # noqa: F401
from tests.containers import containers  # noqa: F401
from tests.databases import Server, run_mariadb, run_postgres
from tests.launchers import each_launcher, ground  # noqa: F401
from tests.services import CI

ROOT = Path(__file__).resolve().parent.parent

# Builds take longer than Hypothesis likes an example to take, whatever the machine.
PATIENT = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile(
    "default",
    max_examples=25,
    deadline=None,
    derandomize=CI,
    print_blob=True,
    suppress_health_check=PATIENT,
)
settings.register_profile(
    "prove",
    max_examples=1000,
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=PATIENT,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


# Tests run in four processes (many wait), a module at a time, so that what a module shares is made
# once; one of them alone starts Spark. What takes longest comes first, lest others wait at the end.
_LONGEST = (
    "spark",
    "test_docs",
    "test_suppression",
    "test_worker",
    "test_worker_faults",
    "test_cli_run",
    "test_why",
    "test_verify",
    "test_s3_lake",
    "test_forget",
    "test_attacks",
    "test_crash",
    "test_ingest",
    "test_together",
    "test_demo_command",
    "test_migration",
    "test_mutants",
)


class _ByModule(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByModule:
    """Say which tests belong together."""
    return _ByModule(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest groups first."""
    rank = {name: number for number, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: rank.get(_group(item.nodeid), len(rank)))


def _group(nodeid: str) -> str:
    module, _, name = nodeid.partition("::")
    return "spark" if "spark" in name or "both_engines" in name else Path(module).stem


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real data beside the repository, or at STUDIUM_SHARED; without it the test is skipped."""
    place = Path(os.environ.get("STUDIUM_SHARED") or ROOT.parent / "shared" / "data")
    if not place.is_dir():
        pytest.skip(f"no real data at {place}: set STUDIUM_SHARED to the folder that holds it")
    return place


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server of this session."""
    with run_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Server]:
    """A MariaDB server of this session."""
    with run_mariadb() as server:
        yield server
