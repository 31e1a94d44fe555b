"""Descriptions of jobs: what is taken, and what is said of the rest."""

import json
from pathlib import Path
from typing import Any

import pytest

from studium.errors import SpecError
from studium.jobs.description import parse_spec, read_description, schema, spec_json
from studium.jobs.spec import JobSpec, TableInput, fill

SMALL: dict[str, Any] = {"command": ["true"], "outputs": {"a": {"file": "a.csv", "type": "csv"}}}
FULL = """
name = "weekly features"
command = ["python3", "features.py", "--course", "{course}"]
code = "."
priority = 3
timeout = "1-00:00:00"
notify = ["https://hooks.example.org/x", "ana@example.org"]

[inputs.enrollments]
table = "enrollment_events"
since = 2025-09-01
until = "2025-12-01"

[inputs.raw]
path = "/data/{course}/logs"

[inputs.before]
job = "weekly-features-abcdefghijklm"
output = "features.parquet"

[outputs.features]
file = "features.parquet"
type = "parquet"

[outputs.counts]
file = "counts-*.csv"
type = "csv"
level = "aggregate"
keys = ["week"]
learners = "learners"

[resources]
memory = "12G"
time = "1h30m"

[environment]
WEEKS = "10"

[units]
each = [{ course = "a" }, { course = "b" }]
at_once = 1
"""


def wrong(**fields: Any) -> str:
    with pytest.raises(SpecError) as caught:
        parse_spec({**SMALL, **fields})
    assert caught.value.exit_code == 2
    return caught.value.message


def test_a_full_description(tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text(FULL)
    fields = read_description(tmp_path)
    spec = parse_spec(fields)
    assert spec.resources.memory == 12 * 2**30
    assert spec.resources.time == 5_400
    assert spec.timeout == 86_400
    assert spec.units.total == 2
    assert fill(spec.command[3], spec.units.parameters(1)) == "b"
    enrollments = spec.inputs["enrollments"]
    assert isinstance(enrollments, TableInput)
    assert str(enrollments.until) == "2025-12-01"
    # JSON is another form of the same.
    (tmp_path / "job.json").write_text(spec_json(spec))
    assert parse_spec(read_description(tmp_path / "job.json")) == spec
    assert JobSpec.model_validate_json(spec_json(spec)) == spec


def test_defaults_are_safe() -> None:
    spec = parse_spec(SMALL)
    assert (spec.privacy, spec.profile, spec.image) == ("protected", "strict", None)
    assert spec.outputs["a"].level == "row"
    with pytest.raises(ValueError, match="frozen"):
        spec.owner = "eve"  # type: ignore[misc]


def test_everything_that_is_wrong_is_said_at_once_by_its_field() -> None:
    said = wrong(
        comand=["x"],
        image="lab/features:latest",
        dockerfile="Dockerfile",
        inputs={"e": {"tabel": "events"}, "f": {"table": "events", "vesion": 1}},
        outputs={"a": {"file": "../a", "type": "csw"}},
        resources={"memory": "12Q", "tme": 1},
        units={"count": 2, "each": [{"a": "1"}]},
        priority=99,
    )
    for expected in (
        "comand: no such field; did you mean command?",
        "image: an image needs its digest",
        "image: give image or dockerfile, not both",
        "dockerfile: is looked for in the code",
        "inputs.e: an input has exactly one of the keys table, path and job",
        "inputs.f.vesion: no such field; did you mean version?",
        "outputs.a.file: a path below the folder",
        "outputs.a.type: 'csw' should be 'csv', 'parquet'",
        "resources.memory: not a size",
        "resources.tme: no such field; did you mean time?",
        "units: give count or each, not both",
        "priority: 99 should be less than or equal to 10",
    ):
        assert expected in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"command": []}, "command: nothing to run"),
        ({"outputs": {}}, "outputs: none"),
        ({"command": ["a\0b"]}, "command.0: holds a NUL"),
        ({"environment": {"STUDIUM_SITE": "/x"}}, "environment: STUDIUM_SITE is set by Studium"),
        ({"environment": {"DB_PASSWORD": "x"}}, "environment: DB_PASSWORD looks like a secret"),
        ({"environment": {"DB": "pg://a:b@c/d"}}, "environment: DB looks like a secret"),
        ({"environment": {"A=B": "x"}}, "is no name of a variable"),
        ({"inputs": {"../x": {"table": "events"}}}, "inputs.../x: '../x' is not of the form"),
        ({"inputs": {"x": {"table": "a;b"}}}, "inputs.x.table: 'a;b' is not of the form"),
        ({"inputs": {"x": {"path": "/{course}"}}}, "inputs.x.path: {course} is no parameter"),
        ({"units": {"each": [{"a": "1"}, {"b": "1"}]}}, "units: every set in each needs the same"),
        ({"units": {"count": 10_001}}, "units.count: 10001 should be less than or equal to"),
        ({"notify": ["ftp://x"]}, "notify.0: write https://"),
        ({"notify": ["https://a:b@c/"]}, "notify.0: holds a password"),
        ({"owner": "a\nb"}, "owner: holds characters that cannot be shown"),
        (
            {"inputs": {"x": {"table": "events", "since": "2025-02-01", "until": "2025-01-01"}}},
            "inputs.x: until (2025-01-01) is before since (2025-02-01)",
        ),
    ],
)
def test_what_is_refused(fields: dict[str, Any], said: str) -> None:
    assert said in wrong(**fields)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("job.toml", "command = ", "cannot be read"),
        ("job.json", "[1]", "holds no object"),
        ("job.json", "[" * 100_000, "cannot be read"),
        ("job.toml", "\udcff", "cannot be read"),
        ("job.toml", "#" * 5_000_000, "more than 4 MiB"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SpecError, match=said):
        read_description(tmp_path / name)
    with pytest.raises(SpecError, match="There is no"):
        read_description(tmp_path / "other.toml")


def test_braces_that_name_no_parameter_stay() -> None:
    assert fill("{course} {other} {}", {"course": "x"}) == "x {other} {}"


def test_the_schema_knows_every_field() -> None:
    made = schema()
    assert set(made["properties"]) == set(JobSpec.model_fields)
    assert made["additionalProperties"] is False
    assert all(one.get("description") for one in made["properties"].values())
    json.dumps(made)
