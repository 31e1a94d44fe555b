"""Engines for tests: every spec runs on each of them."""

import atexit
import importlib.util
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

import pytest

from studium.engines import Engine, open_engine
from tests.services import require

# Tests run many short queries: what Java saves by compiling harder it never earns back.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")

NAMES = ["duckdb", pytest.param("spark", marks=pytest.mark.spark)]


def shared_engine(name: str) -> Engine:
    """The one engine of that name in this process, as Java takes long to start.

    Without Java or PySpark the test is skipped; under CI it fails.
    """
    if name == "spark":
        java = shutil.which("java") is not None or "JAVA_HOME" in os.environ
        require("Java", java, "apt-get install openjdk-17-jre-headless")
        pyspark = importlib.util.find_spec("pyspark") is not None
        require("PySpark", pyspark, "make setup")
    return _open(name)


@cache
def _open(name: str) -> Engine:
    scratch = Path(tempfile.mkdtemp(prefix=f"studium-{name}-"))
    engine = open_engine(name, memory="1GB", threads=2, scratch=scratch)

    def close() -> None:
        engine.close()
        shutil.rmtree(scratch, ignore_errors=True)

    atexit.register(close)
    return engine
