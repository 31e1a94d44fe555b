"""The main job and its steps: the LMS and the logs come in, tables are built and published."""

from __future__ import annotations

from enum import StrEnum


class Step(StrEnum):
    """The steps of the main job, in their order."""

    INGEST = "ingest"
    LMS = "lms"
    BUILD = "build"
    PUBLISH = "publish"
