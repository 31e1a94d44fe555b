"""The old pipeline's daily facts: their columns in the warehouse, and where they go here.

Everything else in a warehouse follows from these tables or from the LMS.
Rules: specs/edx-enrollment-geography §2.2, §2.11, §3.2; specs/edx-activity-video-answers §0.8,
§1.2, §2.5, §2.9; specs/edx-learners-api-insights §1.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class WarehouseTable:
    """A table of the warehouse, one folder ``dt=YYYY-MM-DD`` a day.

    ``columns`` are those of its lines, in order. ``target`` is the day table here that has its
    rows; a column there takes its values from the column of the same name, or from the one that
    ``source`` names. ``dated`` names the column whose UTC day must be that of the folder.
    ``allowed`` lists the values that a column may have, ``at_least`` the smallest one.
    ``unknown`` gives the text that stands for no value, beside ``\\N``; ``renamed`` what texts of a
    column are called here.
    """

    folders: tuple[str, ...]
    columns: tuple[str, ...]
    target: str
    lens: str
    dated: str
    source: Mapping[str, str] = field(default_factory=dict)
    allowed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    at_least: Mapping[str, int] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)
    renamed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What its folder is called."""
        return self.folders[0]


_LABELS = ("ACTIVE", "ATTEMPTED_PROBLEM", "PLAYED_VIDEO", "POSTED_FORUM")
_ENDINGS = {kind: f"{kind}_video" for kind in ("pause", "stop", "seek")}

WAREHOUSE = (
    WarehouseTable(
        folders=("course_enrollment_events",),
        columns=("course_id", "user_id", "timestamp", "event_type", "mode"),
        target="enrollment_events",
        lens="enrollment",
        dated="timestamp",
        source={"time": "timestamp"},
        allowed={
            "event_type": tuple(
                f"edx.course.enrollment.{kind}"
                for kind in ("activated", "deactivated", "mode_changed")
            )
        },
        at_least={"user_id": 1},
    ),
    WarehouseTable(
        folders=("last_ip_of_user_id",),
        columns=("timestamp", "ip_address", "user_id", "course_id"),
        target="last_ip_of_user_daily",
        lens="geography",
        dated="timestamp",
        source={"time": "timestamp", "ip": "ip_address"},
        at_least={"user_id": 1},
    ),
    WarehouseTable(
        folders=("user_activity_by_user",),
        columns=("user_id", "course_id", "date", "category", "count"),
        target="user_activity_by_user",
        lens="engagement",
        dated="date",
        source={"label": "category"},
        allowed={"category": _LABELS},
        at_least={"user_id": 1, "count": 1},
    ),
    WarehouseTable(
        # The documentation called it by the second name, the code by the first (§7).
        folders=("video_viewing_by_date", "user_video_viewing_by_date"),
        columns=(
            "user_id", "course_id", "encoded_module_id", "video_duration", "timestamp",
            "start_offset", "end_offset", "reason",
        ),
        target="video_viewings",
        lens="video",
        dated="timestamp",
        source={"time": "timestamp", "duration": "video_duration", "ended_by": "reason"},
        allowed={"reason": tuple(_ENDINGS.values())},
        at_least={"user_id": 1},
        unknown={"video_duration": "-1"},
        renamed={"reason": _ENDINGS},
    ),
    WarehouseTable(
        folders=("module_engagement",),
        columns=("course_id", "username", "date", "entity_type", "entity_id", "event", "count"),
        target="module_engagement",
        lens="learners",
        dated="date",
        at_least={"count": 1},
    ),
)  # fmt: skip

BY_FOLDER: Mapping[str, WarehouseTable] = {
    folder: table for table in WAREHOUSE for folder in table.folders
}
