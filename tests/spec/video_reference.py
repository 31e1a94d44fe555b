"""The video rules again, row by row in plain Python, straight from the text of the spec.

`specs/edx-activity-video-answers` §2.2 to §2.8, with the better rules of §6 (V29, V30, V43) and one
day of reach. Slow and obvious on purpose: it shares no idea with the SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import floor
from typing import Any

from tests.spec.rows import Row

ACTIONS = ("play_video", "pause_video", "stop_video", "seek_video")
_TURN = {"seek_video": 1, "play_video": 2}


def viewings(events: Iterable[Mapping[str, Any]]) -> list[Row]:
    """The state machine of §2.3 over rows of ``events``."""
    streams: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in events:
        kind = row.get("event_type")
        needed = ("seek_from", "seek_to") if kind == "seek_video" else ("position",)
        if kind not in ACTIONS or any(row.get(name) is None for name in needed):
            continue
        key = (row.get("course_id"), row.get("user_id"), row.get("video_id"))
        if None in key or not 1 <= len(key[2]) <= 255:
            continue
        streams.setdefault(key, []).append(row)
    found = []
    for (course, user, video), stream in streams.items():
        for one in _watch(sorted(stream, key=_order)):
            found.append({"course_id": course, "user_id": user, "encoded_module_id": video, **one})
    return found


def _order(row: Mapping[str, Any]) -> Any:
    seek = row["event_type"] == "seek_video"

    def nulls_first(value: Any) -> tuple[bool, Any]:
        return (value is not None, value if value is not None else 0)

    return (
        row["time"],
        _TURN.get(row["event_type"], 0),
        row["seek_from"] if seek else row["position"],
        nulls_first(row.get("seek_to") if seek else None),
        nulls_first(_duration(row)),
        _youtube(row) is not None,
        _youtube(row) or "",
        row["event_type"],
    )


def _watch(stream: Sequence[Mapping[str, Any]]) -> Iterable[Row]:
    open_play: tuple[Mapping[str, Any], float] | None = None
    target: float | None = None
    last_play: Mapping[str, Any] | None = None
    for row in stream:
        kind = row["event_type"]
        if kind == "play_video":
            start = row["position"]
            near = last_play is not None and (row["day"] - last_play["day"]).days <= 1
            if target is not None and near:
                start = target
            open_play, target, last_play = (row, start), None, row
            continue
        if open_play is None:
            if kind == "seek_video" and target is not None:
                target = row["seek_to"]
            continue
        play, start = open_play
        open_play = None
        end = row["position"]
        if kind == "seek_video":
            end, target = row["seek_from"], row["seek_to"]
        duration = _duration(play)
        if (row["day"] - play["day"]).days > 1:
            continue
        if duration is not None and end > duration + 1:
            continue
        if end - start < 0.25:
            continue
        yield {
            "day": play["day"], "time": play["time"], "start_offset": start, "end_offset": end,
            "ended_by": kind, "duration": duration, "youtube_id": _youtube(play),
        }  # fmt: skip


def _duration(row: Mapping[str, Any]) -> float | None:
    told = row.get("duration") if row["event_type"] == "play_video" else None
    return told if told is not None and 0 < told <= 1_000_000 else None


def _youtube(row: Mapping[str, Any]) -> str | None:
    code = row.get("video_code") if row["event_type"] == "play_video" else None
    return None if code in (None, "", "html5", "mobile", "hls") else code


def usage(found: Iterable[Row]) -> dict[tuple[str, str], dict[int, tuple[int, int]]]:
    """§2.6: course, video → segment → users, views."""
    touched: dict[tuple[str, str], dict[int, list[int]]] = {}
    for one in found:
        segments = touched.setdefault((one["course_id"], one["encoded_module_id"]), {})
        for segment in range(floor(one["start_offset"]) // 5, floor(one["end_offset"]) // 5 + 1):
            segments.setdefault(segment, []).append(one["user_id"])
    return {
        video: {number: (len(set(users)), len(users)) for number, users in segments.items()}
        for video, segments in touched.items()
    }


def videos(found: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """§2.7, §2.8: rows of ``video`` and of ``video_timeline``."""
    rows, timeline = [], []
    for (course, video), segments in usage(found).items():
        mine = [
            one for one in found if (one["course_id"], one["encoded_module_id"]) == (course, video)
        ]
        told = [one["duration"] for one in mine]
        if None in told:
            final = _drop_off(segments)
            duration: float = 5 * (final + 1) - 1
        else:
            duration = max(told)
            final = floor(duration) // 5
        end = floor(max(duration - 30, 0.95 * duration)) // 5
        at_start, at_end = segments.get(0, (0, 0))[0], segments.get(end, (0, 0))[0]
        kept = {number: counts for number, counts in segments.items() if number <= final}
        key = f"{course}|{video}"
        rows.append(
            {
                "pipeline_video_id": key, "course_id": course, "encoded_module_id": video,
                "duration": floor(duration), "segment_length": 5, "users_at_start": at_start,
                "users_at_end": at_end,
                "total_viewed_seconds": 5 * sum(views for _, views in kept.values()),
                "viewed_seconds": sum(
                    floor((one["end_offset"] - one["start_offset"]) * 1000) for one in mine
                ) // 1000,
                "percent_watched": at_end * 100 / (max(at_start, at_end) or 1),
            }
        )  # fmt: skip
        timeline += [
            {"pipeline_video_id": key, "segment": number, "num_users": users, "num_views": views}
            for number, (users, views) in kept.items()
        ]
    return rows, timeline


def _drop_off(segments: Mapping[int, tuple[int, int]]) -> int:
    watched = sorted(segments, reverse=True)
    for above, current in pairwise(watched):
        if segments[above][0] * 20 <= segments[current][0]:
            return current
    return watched[0]
