"""Courses from JSON files and from the platform's APIs: the same tables, whatever goes wrong."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

import studium
from studium.errors import SourceError
from studium.lake.store import Lake
from studium.sources.lms import fetch
from studium.sources.lms.blocks import DELETED, walk_blocks
from studium.sources.lms.importer import Imported, import_lms
from tests.platform import CLIENT, SECRET, Platform, run_platform
from tests.sites import make_site

COURSES = [f"course-v1:Orion+A{n}+2025" for n in range(5)]
GONE = COURSES[4]


def block(course: str, name: str, *children: str, **more: Any) -> dict[str, Any]:
    key = f"block-v1:{course[10:]}+type@x+block@{name}"
    return {
        "id": key, "type": "x", "display_name": name.upper(),
        **({"children": [f"block-v1:{course[10:]}+type@x+block@{c}" for c in children]}
           if children else {}),
        **more,
    }  # fmt: skip


def tree(course: str) -> dict[str, Any]:
    """r → (a → (c, d), b → (d, nothing there)); o is an orphan with p below it."""
    blocks = [
        block(course, "r", "a", "b"),
        block(course, "a", "c", "d", graded=True, format="Homework"),
        block(course, "b", "d", "away"),
        block(course, "o", "p"),
        block(course, "d", graded=True),
        block(course, "c", display_name="  two\n words " + "x" * 300),
        block(course, "p"),
    ]
    return {"root": blocks[0]["id"], "blocks": {one["id"]: one for one in blocks}}


def policy(weight: float) -> list[dict[str, Any]]:
    return [
        {"assignment_type": "Homework", "count": 12, "dropped": 2, "weight": weight},
        {"assignment_type": "Exam", "count": 1, "dropped": 0, "weight": 1 - weight},
    ]


@pytest.fixture
def platform() -> Iterator[Platform]:
    listed = [
        {"course_id" if n % 2 else "id": name, "name": f"Course\n {n}", "org": "Orion",
         "number": f"A{n}", "start": "2025-09-01T00:00:00Z", "end": None, "pacing": "self",
         "short_description": "x" * 300, "effort": None}
        for n, name in enumerate(COURSES)
    ]  # fmt: skip
    runs = [
        {"key": name, "course": f"Orion+A{n}", "title": f"Course {n}", "partner": "edx",
         "start": "2025-09-01T00:00:00Z", "pacing_type": "self_paced",
         "programs": [{"uuid": "u1", "type": "MicroMasters", "title": "A  programme"}]}
        for n, name in enumerate(COURSES[:3])
    ]  # fmt: skip
    runs.append({"key": "course-v1:Other+1+1", "partner": "other"})
    held = Platform(
        runs, listed,
        {name: tree(name) for name in COURSES if name != GONE},
        {name: policy(0.25) for name in COURSES[:2]},
    )  # fmt: skip
    with run_platform(held):
        yield held


@pytest.fixture
def site(tmp_path: Path, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> studium.Site:
    """A site that asks the platform, by pages of two."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(fetch.SECRET, SECRET)
    root = make_site(
        tmp_path / "site", tmp_path / "logs",
        lms__api_url=platform.url, lms__discovery_url=f"{platform.url}/discovery/api/v1/",
        lms__client_id=CLIENT, lms__page_size=2,
    )  # fmt: skip
    return studium.open(root)


def take(site: studium.Site, source: str | Path = "") -> dict[str, Imported]:
    with site.writer("test"):
        done = import_lms(site, Lake(site.lake_dir), source)
    return {one.table.name: one for one in done if one.found}


def rows(site: studium.Site, table: str, *columns: str) -> list[Any]:
    found = DeltaTable(str(site.lake_dir / table)).to_pyarrow_table().to_pylist()
    return sorted((tuple(row[c] for c in columns) for row in found), key=repr)


def files(platform: Platform, folder: Path) -> Path:
    """What an operator would have exported of the platform, in different forms."""
    folder.mkdir()
    blocks = [{**doc, "course_id": name} for name, doc in platform.blocks.items()]
    policies = [{"course_id": n, "policy": p} for n, p in platform.policies.items()]
    (folder / "course_catalog.json").write_text(json.dumps(platform.runs, indent=1))
    (folder / "course_list.json").write_text(json.dumps({"results": platform.courses}))
    (folder / "course_blocks.json").write_text("\n".join(map(json.dumps, blocks)))
    (folder / "grading_policy.json").write_text("\n\n".join(map(json.dumps, policies)) + "\n")
    return folder


def test_the_apis_and_exported_files_give_equal_tables(
    tmp_path: Path, platform: Platform, site: studium.Site
) -> None:
    first = take(site)
    assert {name: (one.rows, one.refused) for name, one in first.items()} == {
        "course_catalog": (4, 0),
        "program_course": (3, 0),
        "course_list": (5, 0),
        "course_blocks": (28, 0),
        "grading_policy": (4, 0),
    }
    assert rows(site, "course_list", "course_id", "name")[0] == (COURSES[0], "Course 0")
    assert {len(row[0]) for row in rows(site, "course_list", "short_description")} == {255}
    policy_of = ("sort_idx", "assignment_type", "count", "dropped", "weight")
    assert rows(site, "grading_policy", *policy_of)[::2] == [
        (0, "Homework", 12, 2, 0.25),
        (1, "Exam", 1, 0, 0.75),
    ]
    assert not any(one.changed for one in take(site).values())
    folder = files(platform, tmp_path / "export")
    platform.asked.clear()
    with studium.open(site.root, {"lms.api_url": "", "lms.discovery_url": ""}) as alone:
        assert not any(one.changed for one in take(alone, folder).values())
    with studium.open(site.root, {"lms.courses": str(folder), "lms.api_url": "",
                                  "lms.discovery_url": ""}) as apart:  # fmt: skip
        assert len(take(apart)) == 5
    assert platform.asked == []


def test_a_file_wins_over_the_apis(tmp_path: Path, platform: Platform, site: studium.Site) -> None:
    (tmp_path / "lms").mkdir()
    (tmp_path / "lms" / "grading_policy.json").write_text(
        json.dumps({"course_id": "a/b/c", "GRADER": [{"type": "Lab", "min_count": 3,
                                                      "drop_count": 1, "weight": 1}]})
    )  # fmt: skip
    take(site, tmp_path / "lms")
    found = rows(site, "grading_policy", "course_id", "assignment_type", "count", "dropped")
    assert found == [("a/b/c", "Lab", 3, 1)]


def test_every_page_is_asked_for_once_with_one_token(
    platform: Platform, site: studium.Site
) -> None:
    take(site)
    pages = [query.get("page", "1") for path, query in platform.asked if path.endswith("/courses/")]
    assert pages == ["1", "2", "3"]
    runs = [query for path, query in platform.asked if path.endswith("/course_runs/")]
    assert runs == [
        {"limit": "2", "exclude_utm": "1"},
        {"limit": "2", "exclude_utm": "1", "page": "2"},
    ]
    asked = [query for path, query in platform.asked if path.endswith("/blocks/")]
    assert [query.pop("course_id") for query in asked] == COURSES
    assert asked[0] == {
        "depth": "all", "all_blocks": "true", "requested_fields": "children,graded,format"
    }  # fmt: skip
    assert len(platform.tokens) == 1


def test_the_catalogue_of_some_partners(platform: Platform, site: studium.Site) -> None:
    with studium.open(site.root, {"lms.partners": '["edx", "other"]'}) as chosen:
        assert take(chosen)["course_catalog"].rows == 4
    with studium.open(site.root, {"lms.partners": "edx"}) as chosen:
        assert take(chosen)["course_catalog"].rows == 3


def test_a_token_that_ends_is_replaced(platform: Platform, site: studium.Site) -> None:
    """By the server's word, after three requests; and by the clock, before it is used."""
    platform.token_uses = 3
    assert take(site)["course_blocks"].rows == 28
    refused_early = len(platform.tokens)
    assert refused_early > 4
    platform.token_uses, platform.expires_in = 1_000_000, 10
    platform.tokens.clear()
    take(site)
    requests = sum(path != "/oauth2/access_token" for path, _ in platform.asked) // 2
    assert len(platform.tokens) >= requests - refused_early


def test_a_server_that_is_busy_or_away_is_asked_again(
    platform: Platform, site: studium.Site, tmp_path: Path
) -> None:
    blocks, listed = "/api/courses/v1/blocks/", "/api/courses/v1/courses/"
    platform.troubles["/oauth2/access_token"] = [(503, {}), (429, {"Retry-After": "7"})]
    platform.troubles[listed] = [(429, {"Retry-After": "40"}), (500, {}), None]
    platform.troubles[blocks] = [(502, {}), (504, {}), (520, {}), (408, {}), None]
    waits: list[float] = []
    told: list[str] = []
    found = fetch.fetch_courses(
        site.settings.lms, site.root, tmp_path / "out", waits.append, told.append
    )
    assert [text.split(" does not answer: ")[0].rpartition("/v1/")[2] for text in told] == [
        "course_runs/", "courses/", "blocks/"
    ], "once for each page that had to be waited for"  # fmt: skip
    assert len(found["course_blocks.json"].read_text().splitlines()) == 5
    assert len(waits) == 10
    assert waits[1] == 7
    assert waits[2] == 40
    assert all(0.5 * 2**n <= wait <= 2.0**n for n, wait in enumerate(waits[5:])), (
        "each wait about twice the one before"
    )


def test_patience_has_an_end(platform: Platform, site: studium.Site, tmp_path: Path) -> None:
    platform.troubles["/api/courses/v1/courses/"] = [(503, {})] * 100
    waits: list[float] = []
    with pytest.raises(SourceError, match=r"/courses/ does not answer: 503 .*asked \d+ times"):
        fetch.fetch_courses(site.settings.lms, site.root, tmp_path / "out", waits.append)
    assert 480 - 120 < sum(waits) <= site.settings.lms.patience
    with studium.open(site.root, {"lms.patience": 0}) as hasty:
        before = Lake(hasty.lake_dir).names()
        with pytest.raises(SourceError, match="asked 1 times"):
            take(hasty)
        assert Lake(hasty.lake_dir).names() == before


TROUBLES = {
    "no right": ("/api/courses/v1/blocks/", 403, r"blocks/ refuses: 403.*staff"),
    "bad request": ("/api/courses/v1/courses/", 400, r"courses/ refuses: 400"),
    "not there": ("/api/courses/v1/courses/", 404, r"courses/ refuses: 404.*Check the URL"),
    "wrong secret": ("/oauth2/access_token", 401, r"gives no token: 401.*STUDIUM_LMS_CLIENT"),
    "wrong place": ("/oauth2/access_token", 404, r"gives no token: 404.*lms\.token_url"),
}


@pytest.mark.parametrize("case", TROUBLES)
def test_a_refusal_is_an_error_at_once(platform: Platform, site: studium.Site, case: str) -> None:
    path, status, message = TROUBLES[case]
    platform.troubles[path] = [(status, {})]
    with pytest.raises(SourceError, match=message) as caught:
        take(site)
    assert SECRET not in str(caught.value)
    assert "token1" not in str(caught.value)
    assert Lake(site.lake_dir).names() == []


def test_what_is_no_api_is_told(
    platform: Platform, site: studium.Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = {"Location": "/login"}
    platform.troubles["/api/courses/v1/courses/"] = [(302, login)]
    with pytest.raises(SourceError, match=r"does not answer JSON \(text/html\)"):
        take(site)
    platform.courses.clear()
    with pytest.raises(SourceError, match="lists no course"):
        take(site)
    with (
        studium.open(site.root, {"lms.api_url": "http://127.0.0.1:1", "lms.patience": 0}) as away,
        pytest.raises(SourceError, match=r"does not answer: .*refused"),
    ):
        take(away)
    monkeypatch.delenv(fetch.SECRET)
    with pytest.raises(SourceError, match="has no secret"):
        take(site)
    with studium.open(site.root, {"lms.api_url": ""}) as alone:
        monkeypatch.setenv(fetch.SECRET, SECRET)
        with pytest.raises(SourceError, match=r"Set lms\.token_url"):
            take(alone)


def test_pages_that_go_in_a_circle_end(platform: Platform, site: studium.Site) -> None:
    platform.circle = True
    with pytest.raises(SourceError, match=r"names the page .*page=2 twice"):
        take(site)


def test_the_client_may_be_in_the_credentials_file(
    platform: Platform, site: studium.Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(fetch.SECRET)
    (site.root / "keys.json").write_text(
        json.dumps({"client_id": CLIENT, "client_secret": SECRET, "username": "x"})
    )
    given = {"lms.client_id": "", "lms.credentials": "keys.json", "lms.token_type": "bearer"}
    with studium.open(site.root, given) as chosen:
        assert take(chosen)["course_list"].rows == 5
    assert {form.get("token_type") for path, form in platform.asked if "oauth2" in path} == {
        "bearer"
    }


def test_the_place_of_each_block() -> None:
    found = {row["block_id"][-1]: row for row in walk_blocks([{**tree("course-v1:X+Y+Z"),
                                                               "course_id": "c"}])}  # fmt: skip
    places = {
        name: (row["sort_idx"], row["course_path"], row["is_dag"], row["is_orphan"])
        for name, row in found.items()
    }
    assert places == {
        "r": (0, "", False, False),
        "a": (1, "R", False, False),
        "c": (2, "R / A", False, False),
        "d": (3, "R / A", True, False),
        "b": (4, "R", False, False),
        "o": (7, DELETED, False, True),
        "p": (7, DELETED, False, True),
    }
    assert [name for name, row in found.items() if row["is_root"]] == ["r"]
    assert found["d"]["parent_block_id"].endswith("@a")
    assert found["r"]["parent_block_id"] is None
    assert found["o"]["parent_block_id"] is None


@pytest.mark.parametrize(
    "document",
    [
        {"root": "r", "blocks": {"r": {}}},
        {"course_id": "c", "blocks": {"r": {}}},
        {"course_id": "c", "root": "r"},
        {"course_id": "c", "root": "x", "blocks": {"r": {}}},
        {"course_id": "c", "root": "r", "blocks": {"r": None}},
        {"course_id": "c", "root": ["r"], "blocks": {"r": {}}},
    ],
)
def test_a_course_without_a_tree_is_passed_over(document: dict[str, Any]) -> None:
    assert list(walk_blocks([document])) == []


def test_a_deep_and_a_circular_tree_are_walked() -> None:
    deep = {str(n): {"children": [str(n + 1)]} for n in range(5000)}
    deep["5000"] = {"children": ["0"]}
    found = list(walk_blocks([{"course_id": "c", "root": "0", "blocks": deep}]))
    assert [row["sort_idx"] for row in found] == list(range(5001))
    assert found[0]["is_dag"]


def test_json_files_that_are_damaged(tmp_path: Path, site: studium.Site) -> None:
    folder = tmp_path / "lms"
    folder.mkdir()
    cases = {
        "": "is empty",
        "\n \n": "is empty",
        '{"course_id": "c"': "is not JSON",
        '{"course_id": "c"}\n{"cour': "is not JSON",
        '[\n{"course_id": "c"}\n': "is not JSON",
        "[" * 100_000: "is not JSON",
    }
    with studium.open(site.root, {"lms.api_url": "", "lms.discovery_url": ""}) as alone:
        for text, message in cases.items():
            (folder / "course_blocks.json").write_text(text)
            with pytest.raises(SourceError, match=rf"course_blocks\.json {message}"):
                take(alone, folder)
        (folder / "course_blocks.json").write_text("[]")
        assert take(alone, folder)["course_blocks"].rows == 0
    with (
        studium.open(site.root, {"lms.courses": "nowhere", "lms.api_url": ""}) as alone,
        pytest.raises(SourceError, match=r"lms\.courses = nowhere is not a folder"),
    ):
        take(alone)
