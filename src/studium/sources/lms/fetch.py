"""What the APIs tell of courses → the JSON files that one could also have exported.

Rules: specs/edx-enrollment-geography §2.9, appendix A; specs/edx-activity-video-answers §4.4.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from studium.errors import SourceError
from studium.servers import read_credentials
from studium.sources.lms.tables import CATALOG, COURSE_BLOCKS, COURSE_LIST, GRADING_POLICY

if TYPE_CHECKING:
    from studium.settings.model import LmsSettings
    from studium.sources.lms.api import Api, OnWait, Pause

SECRET = "STUDIUM_LMS_CLIENT_SECRET"

_BLOCKS = {
    "depth": "all",
    "all_blocks": "true",
    "requested_fields": "children,graded,format",
}


def fetch_courses(
    settings: LmsSettings,
    root: Path,
    folder: Path,
    pause: Pause = time.sleep,
    on_wait: OnWait = lambda said: None,
) -> Mapping[str, Path]:
    """Ask the APIs that are set; the files written into ``folder``, by their names.
    ``on_wait`` is told of a page that has to be waited for.

    SourceError if an API cannot be reached, refuses, or lists no course.
    """
    from studium.sources.lms.api import Api, open_client

    found: dict[str, Path] = {}
    folder.mkdir(parents=True, exist_ok=True)

    def keep(file: str, documents: Iterable[Any]) -> None:
        found[file] = folder / file
        with open(found[file], "w", encoding="utf-8") as out:
            for document in documents:
                out.write(json.dumps(document) + "\n")

    with open_client(_authentication(settings, root)) as client:
        if settings.discovery_url:
            api = Api(settings.discovery_url, client, settings.patience, pause, on_wait)
            keep(CATALOG.file, _counted(_runs(api, settings), settings.discovery_url))
        if settings.api_url:
            api = Api(settings.api_url, client, settings.patience, pause, on_wait)
            size = {"page_size": str(settings.page_size)}
            listed = api.pages("api/courses/v1/courses/", size)
            courses = list(_counted(listed, settings.api_url))
            keep(COURSE_LIST.file, courses)
            named = [course.get("course_id") or course.get("id") for course in courses]
            ids = [str(name) for name in named if name]
            keep(COURSE_BLOCKS.file, _of_each(ids, lambda name: _blocks(api, name)))
            keep(GRADING_POLICY.file, _of_each(ids, lambda name: _policy(api, name)))
    return found


def _runs(api: Api, settings: LmsSettings) -> Iterable[Any]:
    size = {"limit": str(settings.page_size), "exclude_utm": "1"}
    for partner in settings.partners or [""]:
        yield from api.pages("course_runs/", size | ({"partner": partner} if partner else {}))


def _blocks(api: Api, course: str) -> Mapping[str, Any] | None:
    answer = api.get("api/courses/v1/blocks/", {**_BLOCKS, "course_id": course}, missing=True)
    return answer if isinstance(answer, dict) else None


def _policy(api: Api, course: str) -> Mapping[str, Any] | None:
    path = f"api/grades/v1/policy/courses/{quote(course, safe='')}/"
    answer = api.get(path, {}, missing=True)
    return {"policy": answer} if isinstance(answer, list) else None


def _of_each(
    courses: Iterable[str], ask: Callable[[str], Mapping[str, Any] | None]
) -> Iterable[Mapping[str, Any] | list[object]]:
    yield []  # no course has one: that is no failed export
    for course in courses:
        answer = ask(course)
        if answer is not None:
            yield {**answer, "course_id": course}


def _counted(entries: Iterable[Any], url: str) -> Iterable[Mapping[str, Any]]:
    """The objects among the entries; an API that lists none is taken for a wrong one, so that it
    does not empty the table (specs/edx-enrollment-geography §4.1)."""
    count = 0
    for entry in entries:
        if isinstance(entry, dict):
            count += 1
            yield entry
    if not count:
        raise SourceError(
            f"{url} lists no course.",
            "Check that the user of lms.client_id may see courses, and lms.partners.",
        )


def _authentication(settings: LmsSettings, root: Path) -> Any:
    from studium.sources.lms.api import ClientCredentials

    given: Mapping[str, object] = {}
    if settings.credentials:
        given = read_credentials(root / settings.credentials, SourceError)
    client = settings.client_id or str(given.get("client_id") or "")
    if not client:
        return None
    secret = os.environ.get(SECRET) or str(given.get("client_secret") or "")
    if not secret:
        raise SourceError(
            f"lms.client_id = {client} has no secret.",
            f"Set {SECRET} in the environment, or client_secret in the file lms.credentials.",
        )
    url = settings.token_url or (
        f"{settings.api_url}/oauth2/access_token" if settings.api_url else ""
    )
    if not url:
        raise SourceError(
            "It is not known who gives a token for lms.discovery_url.",
            "Set lms.token_url, e.g. https://lms.example.org/oauth2/access_token.",
        )
    return ClientCredentials(url, client, secret, settings.token_type)
