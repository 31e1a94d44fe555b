"""The engines and the run that all specs of a session share."""

import pytest

from studium.engines import Engine
from tests import engines
from tests.spec import enrollment
from tests.spec.slice import Slice, build


@pytest.fixture(scope="session", params=engines.NAMES)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn."""
    return engines.shared_engine(request.param)


@pytest.fixture(scope="session")
def enrollment_slice(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Slice:
    """All enrollment scenarios, each in its own course, in one run."""
    folder = tmp_path_factory.mktemp(f"enrollment-{engine.name}")
    inputs = enrollment.gather_inputs()
    return build(engine, folder, "enrollment", inputs, enrollment.START, enrollment.UNTIL)
