"""Every section and key, with its type, default, help and what is allowed.

The only list of keys: the commented ``studium.toml`` of a new site, the checks and
``studium config`` are made from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel

from studium.settings.disclosure import DisclosureSettings
from studium.settings.jobs import JobsSettings
from studium.settings.kinds import (
    DateFormat,
    Day,
    Folder,
    Number,
    Pattern,
    Size,
    Texts,
    Web,
    Whole,
    store_url,
)
from studium.settings.lenses import (
    AnswersSettings,
    EngagementSettings,
    GeographySettings,
    LearnersSettings,
)
from studium.settings.section import Section, key
from studium.settings.worker import NotifySettings, WorkerSettings
from studium.urls import mask_password


class SiteSettings(Section):
    """The site as a whole."""

    start: Day = key(
        date(2012, 1, 1),
        "First plausible day: events before it are rejected, whole tables begin on it.",
        "a date, YYYY-MM-DD",
    )
    lock_wait: Number = key(
        60.0,
        "Seconds that a command waits for another one that writes to the site.",
        "seconds, 0 or more",
        ge=0,
        allow_inf_nan=False,
    )


class StateSettings(Section):
    """The state database: what was read and built, jobs, their messages and the audit log."""

    url: Annotated[str, store_url("sqlite", "postgresql")] = key(
        "sqlite:///state.db",
        "SQLAlchemy URL; a relative SQLite path is relative to the site. A password for PostgreSQL "
        "may be in STUDIUM_STATE_PASSWORD.",
        "a sqlite:/// or postgresql:// URL",
    )


class LakeSettings(Section):
    """The lake: Delta tables."""

    path: Folder = key(
        "lake",
        "Folder of the tables, relative to the site, or s3://bucket/prefix.",
        "a folder or s3://bucket/prefix",
    )
    cache: Size = key(
        "20GB",
        "Of a lake in S3: bytes of its files to keep in the folder cache of the site.",
        "a number and a unit: 500MB, 20GB, 1TB",
    )


class ResultsSettings(Section):
    """The result store: the database that readers query."""

    url: Annotated[str, store_url("sqlite", "postgresql", "mysql", "mariadb")] = key(
        "sqlite:///results.db",
        "SQLAlchemy URL; a relative SQLite path is relative to the site. "
        "PostgreSQL needs the extra postgres, MariaDB and MySQL the extra mysql.",
        "a sqlite:///, postgresql://, mysql:// or mariadb:// URL",
    )
    credentials: str = key(
        "",
        "JSON file, relative to the site, with what the URL lacks of host, port, username and "
        "password; the password may also be in STUDIUM_RESULTS_PASSWORD.",
        "a file",
    )


class EngineSettings(Section):
    """What runs the tables' SQL."""

    name: Literal["duckdb", "spark"] = key("duckdb", "duckdb or spark.", "duckdb or spark")
    memory: Size = key(
        "1GB", "Memory that the engine may use.", "a number and a unit: 512MB, 1GB, 2GiB"
    )
    threads: Whole = key(
        0, "Threads that the engine may use; 0: one a core.", "a whole number, 0 or more", ge=0
    )


class EdxSettings(Section):
    """Open edX tracking logs."""

    source: Texts = key(
        [],
        "Files, globs or folders of tracking logs, here or in S3 (s3://bucket/prefix); relative "
        "ones start at the site.",
        "a list of texts (in the environment: one text, or a JSON array)",
    )
    window_days: Whole = key(
        2,
        "A file with a date in its name is looked at when the date lies within "
        "since - window_days .. until + window_days.",
        "a whole number, 0 or more",
        ge=0,
    )
    date_pattern: Pattern = key(
        r"(?<!\d)(?P<date>\d{8})(?!\d)",
        "Regular expression that finds the date in a file's name, in a group named date, or Unix "
        "seconds in a group named timestamp.",
        "a regular expression with a group (?P<date>…) or (?P<timestamp>…)",
    )
    date_format: DateFormat = key(
        "%Y%m%d",
        "Form of that date, as for strptime.",
        "a strptime format with year, month and day, e.g. %Y%m%d",
    )
    max_line_bytes: Whole = key(
        16 * 2**20,
        "Bytes of the longest line that is parsed; a longer one is rejected.",
        "a whole number, 1024 or more",
        ge=1024,
    )


class LmsSettings(Section):
    """The learning platform's own tables."""

    source: str = key(
        "",
        "Folder of table files, or a MySQL dump of them, relative to the site; or the URL of the "
        "LMS's database; empty: none.",
        "a folder, a dump file, or a mysql:// or postgresql:// URL",
    )
    tables: Texts = key(
        [],
        "Tables of the LMS's database to take, e.g. auth_user; empty: all that Studium knows.",
        "a list of texts (in the environment: one text, or a JSON array)",
    )
    credentials: str = key(
        "",
        "JSON file, relative to the site, with what the URL lacks of host, port, username and "
        "password, and with client_id and client_secret for the APIs.",
        "a file",
    )
    courses: str = key(
        "",
        "Folder of course_catalog.json, course_list.json, course_blocks.json and "
        "grading_policy.json, relative to the site; empty: that of lms.source.",
        "a folder",
    )
    api_url: Web = key(
        "",
        "The LMS, to ask for course list, blocks and grading policies: https://lms.example.org; "
        "empty: it is not asked.",
        "a http:// or https:// URL",
    )
    discovery_url: Web = key(
        "",
        "API of the Discovery service, to ask for the catalogue: "
        "https://discovery.example.org/api/v1; empty: it is not asked.",
        "a http:// or https:// URL",
    )
    partners: Texts = key(
        [],
        "Short codes of partners whose catalogue is taken; empty: whatever Discovery lists.",
        "a list of texts (in the environment: one text, or a JSON array)",
    )
    token_url: Web = key(
        "",
        "Where OAuth2 tokens are given; empty: /oauth2/access_token of lms.api_url.",
        "a http:// or https:// URL",
    )
    token_type: Literal["jwt", "bearer"] = key(
        "jwt", "Type of token to ask for: jwt or bearer.", "jwt or bearer"
    )
    client_id: str = key(
        "",
        "OAuth2 client of the APIs; its secret is in STUDIUM_LMS_CLIENT_SECRET or in "
        "lms.credentials. Empty: no token is sent.",
        "a text",
    )
    page_size: Whole = key(100, "Courses to ask for at once.", "a whole number, 1 or more", ge=1)
    patience: Number = key(
        600.0,
        "Seconds to wait, in all, for an API that is busy or away before giving up a page.",
        "seconds, 0 or more",
        ge=0,
        allow_inf_nan=False,
    )


class RunSettings(Section):
    """The main job."""

    lookback: Whole = key(
        0,
        "Last days to read and build again even if nothing seems to have changed.",
        "a whole number, 0 or more",
        ge=0,
    )
    max_reject_share: Number = key(
        0.1,
        "Share of the lines of one run that may be rejected before it exits with code 3.",
        "a number from 0 to 1",
        ge=0,
        le=1,
    )
    compact_after: Whole = key(
        8,
        "Small files a day may have before they are made one.",
        "a whole number, 1 or more",
        ge=1,
    )


class RetentionSettings(Section):
    """How long raw tables are kept."""

    raw_days: Whole = key(
        0, "Days that raw rows stay in the lake; 0: for ever.", "a whole number, 0 or more", ge=0
    )


class AlertsSettings(Section):
    """Who is told of a failed night, and of what."""

    urls: Texts = key(
        [],
        "Addresses as Apprise writes them: mailto://…, json://…, slack://…. They hold secrets: set "
        "STUDIUM_ALERTS__URLS instead.",
        "a list of texts (in the environment: one text, or a JSON array)",
    )
    volume_deviations: Number = key(
        6.0,
        "Tell if the last day's events are further from the median of its weekday than so many "
        "median absolute deviations; 0: never.",
        "a number, 0 or more",
        ge=0,
        allow_inf_nan=False,
    )
    volume_weeks: Whole = key(
        8, "Weeks that a day is compared with.", "a whole number, 4 or more", ge=4
    )
    max_age_hours: Number = key(
        0.0,
        "Tell if the newest event is older than so many hours after a run; 0: never.",
        "hours, 0 or more",
        ge=0,
        allow_inf_nan=False,
    )


class S3Settings(Section):
    """S3, where edx.source or lake.path name s3://; endpoint and credentials are in AWS_…."""

    timeout: Number = key(
        30.0,
        "Seconds without an answer after which a request is tried again.",
        "seconds, 0.1 or more",
        ge=0.1,
        allow_inf_nan=False,
    )
    patience: Number = key(
        180.0,
        "Seconds for which a request that fails is tried again, with growing pauses.",
        "seconds, 0 to 290 (a signature holds for five minutes)",
        ge=0,
        le=290,
    )


class Settings(Section):
    """All settings, by section; frozen."""

    site: SiteSettings = SiteSettings()
    state: StateSettings = StateSettings()
    lake: LakeSettings = LakeSettings()
    results: ResultsSettings = ResultsSettings()
    engine: EngineSettings = EngineSettings()
    edx: EdxSettings = EdxSettings()
    lms: LmsSettings = LmsSettings()
    engagement: EngagementSettings = EngagementSettings()
    geography: GeographySettings = GeographySettings()
    answers: AnswersSettings = AnswersSettings()
    learners: LearnersSettings = LearnersSettings()
    run: RunSettings = RunSettings()
    retention: RetentionSettings = RetentionSettings()
    alerts: AlertsSettings = AlertsSettings()
    jobs: JobsSettings = JobsSettings()
    disclosure: DisclosureSettings = DisclosureSettings()
    worker: WorkerSettings = WorkerSettings()
    notify: NotifySettings = NotifySettings()
    s3: S3Settings = S3Settings()


ADDRESSES = ("alerts.urls", "notify.urls", "notify.mail")
"""Keys that hold addresses of Apprise."""


@dataclass(frozen=True, slots=True)
class Key:
    """One setting as the model describes it; ``name`` is dotted."""

    name: str
    default: object
    help: str
    allowed: str


def sections() -> dict[str, str]:
    """Each section and what it is about."""
    return {
        name: (field.annotation.__doc__ or "") if field.annotation else ""
        for name, field in Settings.model_fields.items()
    }


@cache
def keys() -> dict[str, Key]:
    """Every key of the model by its dotted name, in the model's order."""
    found = {}
    for section, field in Settings.model_fields.items():
        model = field.annotation
        assert isinstance(model, type) and issubclass(model, BaseModel)
        for field_name, info in model.model_fields.items():
            extra = info.json_schema_extra
            allowed = str(extra["allowed"]) if isinstance(extra, dict) else ""
            name = f"{section}.{field_name}"
            found[name] = Key(name, info.default, info.description or "", allowed)
    return found


def values(settings: Settings) -> dict[str, Any]:
    """Every value by its dotted name, in the model's order."""
    found = {}
    for name in keys():
        section, _, key = name.partition(".")
        found[name] = getattr(getattr(settings, section), key)
    return found


def masked_values(settings: Settings) -> dict[str, Any]:
    """Every value by its dotted name, fit to be shown: passwords in URLs are masked."""
    found = {name: _masked(value) for name, value in values(settings).items()}
    for name in ADDRESSES:
        given = found[name]
        found[name] = [_kind(url) for url in given] if isinstance(given, list) else _kind(given)
    return found


def _kind(url: str) -> str:
    """What may be shown of an address: the token of a messenger can be anywhere in it."""
    return f"{url.partition(':')[0]}://***" if url else ""


def _masked(value: Any) -> Any:
    if isinstance(value, list):
        return [_masked(item) for item in value]
    return mask_password(value) if isinstance(value, str) else value
