"""The tree of a course: every block with its place. Rule: specs/edx-activity-video-answers §4.4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

DELIMITER = " / "
DELETED = "(Deleted block :)"
"""Path of a block that the tree does not reach any more."""


def walk_blocks(courses: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The blocks of each course, in the order of the course, orphans last.

    A course is what the Blocks API answers (``root``, ``blocks`` by id, each with ``children``)
    and its ``course_id``; one without these is passed over. A block that is met again keeps its
    first place.
    """
    for course in courses:
        blocks: Any = course.get("blocks")
        root = course.get("root")
        if isinstance(blocks, dict) and isinstance(root, str) and course.get("course_id"):
            known = {key: block for key, block in blocks.items() if isinstance(block, dict)}
            if root in known:
                yield from _walk(str(course["course_id"]), root, known)


def _walk(course: str, root: str, blocks: Mapping[str, Mapping[str, Any]]) -> Iterator[Any]:
    placed: dict[str, dict[str, Any]] = {}
    waiting: list[tuple[str, str | None, str]] = [(root, None, "")]  # the next one is the last
    while waiting:
        key, parent, path = waiting.pop()
        if key in placed:
            placed[key]["is_dag"] = True
            continue
        block = blocks[key]
        placed[key] = _row(course, key, block) | {
            "is_root": key == root,
            "parent_block_id": parent,
            "course_path": path,
            "sort_idx": len(placed),
        }
        below = DELIMITER.join(filter(None, (path, _name(block))))
        children: Any = block.get("children")
        names = children if isinstance(children, list) else []
        for child in reversed([name for name in map(str, names) if name in blocks]):
            waiting.append((child, key, below))
    yield from placed.values()
    for key, block in blocks.items():
        if key not in placed:
            yield _row(course, key, block) | {
                "is_orphan": True,
                "course_path": DELETED,
                "sort_idx": len(blocks),
            }


def _row(course: str, key: str, block: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "course_id": course,
        "block_id": key,
        "block_type": block.get("type"),
        "display_name": block.get("display_name"),
        "graded": block.get("graded"),
        "format": block.get("format"),
        "is_root": False,
        "is_orphan": False,
        "is_dag": False,
        "parent_block_id": None,
    }


def _name(block: Mapping[str, Any]) -> str:
    return " ".join(str(block.get("display_name") or "").split())
