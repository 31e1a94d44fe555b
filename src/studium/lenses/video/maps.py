"""The numbers of segments that there can be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from studium.lake.tables import map_table

if TYPE_CHECKING:
    import pyarrow as pa

_LONGEST_VIDEO: Final = 36_000
"""Seconds: positions beyond it are not read."""
_SEGMENT: Final = 5
"""Seconds."""


def number_segments(params: Mapping[str, object], keys: pa.Table | None = None) -> pa.Table:
    """0 up to the last segment of the longest video (`specs/edx-activity-video-answers` §2.6)."""
    import pyarrow as pa

    return pa.table({"segment": pa.array(range(_LONGEST_VIDEO // _SEGMENT + 1), pa.int32())})


VIDEO_SEGMENTS = map_table(
    "video_segments",
    "video",
    number_segments,
    version="1",
    description="Numbers of the 5-second segments that a video may have",
    grain=["segment"],
    columns={"segment": "integer not null; 0 is the first five seconds"},
    rule="specs/edx-activity-video-answers §2.1, §2.6",
)

TABLES = (VIDEO_SEGMENTS,)
