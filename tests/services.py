"""What a test needs beside Python: Java for Spark, later databases and container engines."""

import os

import pytest

# Under CI everything is expected to be there: a test skipped in silence proves nothing.
CI = os.environ.get("CI", "").lower() not in ("", "0", "false")


def require(name: str, present: bool, how: str) -> None:
    """Go on if the service `name` is present; else skip here, and fail under CI=true.

    `how` tells a reader how to get it, e.g. ``apt-get install openjdk-17-jre-headless``.
    """
    if present:
        return
    reason = f"{name} is missing: {how}"
    if CI:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
