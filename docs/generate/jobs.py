"""The reference of ``job.toml``, made from the model, and the diagram of the states."""

from __future__ import annotations

import json
from typing import Any

from docs.generate.layout import NOTE, markdown_table
from studium.jobs.description import schema
from studium.jobs.launchers.protocol import CODE, INPUTS, OUTPUTS
from studium.jobs.orders import environment_of
from studium.jobs.quantities import show_bytes, show_seconds
from studium.jobs.spec import (
    JobInput,
    JobSpec,
    OutputSpec,
    PathInput,
    Resources,
    TableInput,
    Units,
)
from studium.jobs.states import Failure, State
from studium.jobs.submission import LEFT_OUT

PARTS: tuple[tuple[str, str, type[Any]], ...] = (
    ("[inputs.NAME]: a table", "A table of the lake, as it was at one version.", TableInput),
    (
        "[inputs.NAME]: a file or folder",
        "Of the site's machine, below one of the folders that the site lists in `jobs.sources` "
        "(by default none).",
        PathInput,
    ),
    ("[inputs.NAME]: a job", "What another job of the same owner wrote.", JobInput),
    ("[outputs.NAME]", "What the command writes. Every file must be declared.", OutputSpec),
    ("[resources]", "Of one unit.", Resources),
    ("[units]", "For array work.", Units),
)

EXAMPLE = """
```toml
name = "weekly-features"
command = ["python3", "features.py"]

[inputs.changes]
table = "enrollment_changes"

[outputs.weeks]
file = "weeks.csv"
type = "csv"
level = "aggregate"
keys = ["course_id", "week"]
learners = "learners"

[resources]
memory = "2GiB"
time = "30m"
```
"""


def job_page() -> str:
    """Every field of a job's description."""
    parts = [
        NOTE.format(source="src/studium/jobs/spec.py"),
        "# job.toml\n",
        "What a job is: what to run, on what, and what comes of it. "
        "[Run a job](../how-to/run-a-job.md) shows one at work. The same fields as JSON are taken, "
        "too.",
        EXAMPLE,
        "An unknown field is an error; everything that is wrong is said at once. Sizes are bytes "
        "or `512MiB`, `12GB`, `12G` (the same as `12GiB`); times are seconds or `90`, `1h30m`, "
        "`01:30:00`, `2-12:00:00`.\n",
        "## Fields\n",
        "`code` is the folder of `job.toml`, unless there is an `image`. These names are left out "
        f"of it, wherever they are: {', '.join(f'`{name}`' for name in sorted(LEFT_OUT))}; "
        "compiled Python and virtual environments, too.\n",
        _fields(JobSpec, skip=("inputs", "outputs", "resources", "units")),
    ]
    for title, about, model in PARTS:
        parts += [f"## {title}\n", about + "\n", _fields(model)]
    parts += [
        "## What the command finds\n",
        f"It starts in `{CODE}`, if there is code. Inputs are below `{INPUTS}`, by their names: a "
        "table is a folder of Parquet files, in folders `day=YYYY-MM-DD` if it is kept by day. "
        f"What it leaves in `{OUTPUTS}` is its output. Nothing else can be written to but `/tmp`, "
        "and there is no network. Its environment holds "
        + ", ".join(f"`{name}`" for name in _environment())
        + " and, of a parameter `course` of its unit, `STUDIUM_UNIT_COURSE`.\n",
        "## JSON schema\n",
        f"```json\n{json.dumps(schema(), indent=1)}\n```\n",
    ]
    return "\n".join(parts)


def state_diagram() -> str:
    """The states and every move between them, in Mermaid."""
    lines = ["stateDiagram-v2", "    [*] --> created"]
    ends = [state for state in State if state.ended]
    for state in State:
        after = [other for other in State if state.may_become(other)]
        lines += [f"    {state} --> {other}" for other in after if not other.ended]
        lines += [f"    {state} --> {other}" for other in after if other is State.SUCCEEDED]
    under_way = [state for state in State if not state.ended]
    for end in (State.FAILED, State.CANCELLED):
        lines += [f"    {state} --> {end}" for state in under_way if state.may_become(end)]
    lines += [f"    {end} --> queued: resubmitted" for end in (State.FAILED, State.CANCELLED)]
    lines += [f"    {end} --> [*]" for end in ends]
    return "\n".join(lines) + "\n"


def states_part() -> str:
    """The diagram, and why a job can have failed."""
    words = ", ".join(f"`{failure}`" for failure in Failure)
    return (
        f"```mermaid\n{state_diagram()}```\n\n"
        f"Why a job has failed is one of a few words, never text that it wrote: {words}.\n"
    )


def _environment() -> list[str]:
    spec = JobSpec.model_validate(
        {"command": ["x"], "outputs": {"x": {"file": "x", "type": "csv"}}}
    )
    return sorted(environment_of(spec, 0))


def _fields(model: type[Any], skip: tuple[str, ...] = ()) -> str:
    made = model.model_json_schema()
    required = set(made.get("required", ()))
    rows = []
    for name, info in made["properties"].items():
        if name in skip:
            continue
        field = model.model_fields[name]
        default = "needed" if name in required else _shown(field.default, _kind(info))
        rows.append([f"`{name}`", _kind(info), default, field.description])
    return markdown_table(["field", "", "default", ""], rows)


def _kind(info: dict[str, Any]) -> str:
    if "enum" in info:
        return ", ".join(f"`{one}`" for one in info["enum"])
    if "anyOf" in info:
        kinds = [_kind(one) for one in info["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if info.get("format") == "date":
        return "date"
    if "form" in info:
        return "size" if "bytes" in info["form"] else "time"
    match info.get("type"):
        case "array":
            return f"list of {_kind(info['items'])}"
        case "object":
            return "table of texts"
        case "integer":
            return "whole number"
    return {"string": "text", "boolean": "true, false"}.get(info.get("type", ""), "number")


def _shown(value: object, kind: str) -> str:
    if value is None or value in ("", ()) or value == {}:
        return ""
    if isinstance(value, int) and kind in ("size", "time"):
        return f'`"{show_bytes(value) if kind == "size" else show_seconds(value)}"`'
    return f"`{json.dumps(value)}`"
