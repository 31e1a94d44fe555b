"""Trees of the courses, as the Blocks API of the LMS tells them.

Form: specs/edx-activity-video-answers §4.4.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from studium.demo.courses import Course, Problem

Block = dict[str, object]


def write_blocks(folder: Path, courses: Iterable[Course]) -> None:
    """A course a line. Of the legacy course the last problem has been deleted since."""
    lines = [json.dumps(_tree(course), ensure_ascii=False) for course in courses]
    (folder / "course_blocks.json").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _tree(course: Course) -> Block:
    prefix = course.course_id.partition(":")[2]
    root = f"block-v1:{prefix}+type@course+block@course"
    if not prefix:
        org, name, run = course.course_id.split("/")
        root = f"i4x://{org}/{name}/course/{run}"
    blocks: dict[str, Block] = {}
    weeks: list[str] = []
    for number, section in enumerate(course.sections, 1):
        week = json.loads(section.usage[1])
        problems = [_problem(problem) for problem in section.problems]
        if course.self_paced and number == len(course.sections):
            problems.pop()
        blocks |= {str(block["id"]): block for block in problems}
        blocks[week] = _block(week, "sequential", f"Week {number}", problems)
        weeks.append(week)
    blocks[root] = _block(root, "course", course.title, [blocks[week] for week in weeks])
    return {"course_id": course.course_id, "root": root, "blocks": blocks}


def _problem(problem: Problem) -> Block:
    module = json.loads(problem.module[1])
    return _block(module["usage_key"], "problem", module["display_name"], [])


def _block(key: str, kind: str, name: str, children: Iterable[Block]) -> Block:
    return {
        "id": key,
        "type": kind,
        "display_name": name,
        "children": [child["id"] for child in children],
    }
