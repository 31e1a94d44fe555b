"""Descriptions of jobs as people write them: ``job.toml``, JSON, the schema, and what is wrong.

Everything that is wrong is said at once, each with the field's path; an unknown key comes with the
nearest that there is (specs/jobs-hpc §7.11).
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from studium.errors import SpecError
from studium.jobs.spec import (
    JobInput,
    JobSpec,
    OutputSpec,
    PathInput,
    Resources,
    TableInput,
    Units,
    contradictions,
)

FILE = "job.toml"
_LARGEST = 4 * 2**20

_PARTS: Mapping[str, tuple[type[BaseModel], ...]] = {
    "inputs": (TableInput, PathInput, JobInput),
    "outputs": (OutputSpec,),
    "resources": (Resources,),
    "units": (Units,),
}
_TAGS = ("table", "path", "job")


def read_description(path: Path) -> dict[str, Any]:
    """The fields in ``path``: a folder with a ``job.toml``, or a ``.toml`` or ``.json`` file.

    Raises SpecError if there is none or it cannot be read.
    """
    file = path / FILE if path.is_dir() else path
    try:
        if file.stat().st_size > _LARGEST:
            raise SpecError(f"{file} has more than 4 MiB.", "Describe the job in less.")
        text = file.read_text(encoding="utf-8-sig")
        found = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except FileNotFoundError:
        raise SpecError(
            f"There is no {file}.", "Give a folder with a job.toml, or the file itself."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise SpecError(f"{file} cannot be read: {error}.", "Correct it.") from None
    if not isinstance(found, dict):
        raise SpecError(f"{file} holds no object.", "Write the fields of a job as an object.")
    return found


def parse_spec(fields: Mapping[str, Any], source: str = "The job") -> JobSpec:
    """The spec that ``fields`` describe; ``source`` names where they are from in the error.

    Raises SpecError that names every field that is wrong.
    """
    try:
        return JobSpec.model_validate(fields)
    except ValidationError as error:
        problems = [_problem(one) for one in error.errors() if one["loc"]]
    problems += [f"{field}: {text}." for field, text in contradictions(fields)]
    lines = "\n".join(f"  {problem}" for problem in dict.fromkeys(problems))
    raise SpecError(
        f"{source} has {'a field' if len(problems) == 1 else 'fields'} to correct:\n{lines}",
        "docs/reference/job.md lists every field.",
    )


def spec_json(spec: JobSpec) -> str:
    """``spec`` as JSON, with all fields, always in the same order: what its fingerprint is of."""
    return json.dumps(spec.model_dump(mode="json"), indent=2, ensure_ascii=False, sort_keys=True)


def schema() -> dict[str, Any]:
    """JSON schema of a description."""
    made = JobSpec.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def _problem(error: Any) -> str:
    kind, place = error["type"], _dotted(error["loc"])
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(error["loc"][-1]), _known(error["loc"]), 1, 0.5)
        return f"{place}: no such field{f'; did you mean {near[0]}?' if near else '.'}"
    if kind == "string_pattern_mismatch":
        return f"{place}: {_short(error['input'])} is not of the form {error['ctx']['pattern']}."
    text = re.sub(r"^(Value error, |Input should be )", "", str(error["msg"]))
    if kind in ("value_error", "input_kind"):
        return f"{place}: {text}."
    if kind == "missing":
        return f"{place}: is missing."
    return f"{place}: {_short(error['input'])} should be {text}."


def _dotted(loc: tuple[str | int, ...]) -> str:
    """The field's path as TOML has it; without the mark of the kind of input."""
    parts = [*loc]
    if parts[0] == "inputs" and len(parts) > 2 and parts[2] in _TAGS:
        del parts[2]
    return ".".join(str(part) for part in parts if part != "[key]")


def _known(loc: tuple[str | int, ...]) -> list[str]:
    models = _PARTS.get(str(loc[0]), ()) if len(loc) > 1 else (JobSpec,)
    if len(loc) > 3 and loc[2] in _TAGS:
        models = (models[_TAGS.index(str(loc[2]))],)
    return [name for model in models for name in model.model_fields]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
