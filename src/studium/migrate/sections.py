"""An old configuration as settings, with an account of every line (``studium init --from-cfg``)."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from pydantic import ValidationError

from studium.clock import parse_day
from studium.errors import StudiumError, UsageError
from studium.migrate.config import Config, Entry
from studium.migrate.files import choose_root, local_path, read_list
from studium.migrate.intervals import parse_interval, parse_span
from studium.migrate.left import why_left
from studium.migrate.patterns import to_glob
from studium.servers import read_credentials
from studium.settings import Settings, keys, toml_value
from studium.urls import has_password, mask_password

Value = TypeVar("Value")

_START_SECTIONS = ("enrollments", "location-per-course", "problem-response", "problem_response")
_STARTS = tuple((section, "interval_start") for section in _START_SECTIONS)
_N_DAYS = tuple(
    (section, "overwrite_n_days")
    for section in (
        "enrollments", "location-per-course", "user-activity", "videos", "module-engagement",
        "module_engagement",
    )
)  # fmt: skip


_SERVICES: Mapping[tuple[str, str], tuple[str, Callable[[str], object]]] = {
    ("course-catalog-api", "api_root_url"): ("lms.discovery_url", str),
    ("course-catalog-api", "partner_short_codes"): (
        "lms.partners", lambda text: read_list([text], "partner_short_codes"),
    ),
    # The old roots name one API each; the LMS is what comes before.
    ("course-list", "api_root_url"): ("lms.api_url", lambda text: text.partition("/api/")[0]),
    ("course-blocks", "api_root_url"): ("lms.api_url", lambda text: text.partition("/api/")[0]),
    ("course-list", "page_size"): ("lms.page_size", lambda text: _whole(text)),
    ("course-blocks", "api_token_type"): ("lms.token_type", str.lower),
    ("edx-rest-api", "auth_url"): ("lms.token_url", str),
    ("edx-rest-api", "client_id"): ("lms.client_id", str),
    ("module-engagement", "store_anonymous_username"): ("learners.anonymous_username", str),
}  # fmt: skip
"""Services of the LMS: entry → setting, and how its value is read."""


_REPORTS: Mapping[tuple[str, str], tuple[str, Callable[[str], object]]] = {
    ("answer-distribution", "valid_response_types"): (
        "answers.response_types", lambda text: [one.strip() for one in text.split(",") if one],
    ),
    ("problem-response", "report_output_root"): (
        "answers.report_folder", lambda text: local_path(text, "report_output_root"),
    ),
    ("problem-response", "report_filename_template"): ("answers.report_name", str),
    ("problem-response", "report_fields"): (
        "answers.report_fields", lambda text: read_list([text], "report_fields"),
    ),
    ("problem-response", "report_field_datetime_format"): ("answers.report_date_format", str),
    ("problem-response", "report_field_list_delimiter"): (
        "answers.report_list_delimiter", lambda text: _literal(text),
    ),
    # A null one was how cleaning was switched off.
    ("problem-response", "clean_text_regex"): (
        "answers.clean_pattern", lambda text: "" if text in ("null", "None") else text,
    ),
}  # fmt: skip
"""Entries on answers: entry → setting, and how its value is read."""


@dataclass(frozen=True)
class Account:
    """What became of one entry. It never shows the value of one that was left."""

    entry: Entry
    taken: bool
    says: str


@dataclass
class Made:
    """Settings by dotted key, the comment on each, and the account in the order of the files."""

    values: dict[str, object] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    accounts: dict[tuple[str, str], Account] = field(default_factory=dict)

    def take(self, key: str, value: object, *entries: Entry, remark: str = "") -> None:
        """Set ``key``; the entries are where it is from. A value that is not allowed is left."""
        if not _allowed(key, value):
            for entry in entries:
                self.leave(entry, f"{key} has to be {keys()[key].allowed}")
            return
        self.values[key] = value
        names = ", ".join(f"{entry.name} ({entry.place})" for entry in entries)
        self.comments[key] = (
            f"From {names}.{f' {remark[0].upper()}{remark[1:]}.' if remark else ''}"
        )
        says = f"{key} = {mask_password(toml_value(value))}{f'; {remark}' if remark else ''}"
        for entry in entries:
            before = self.accounts.get((entry.section, entry.key))
            joined = f"{before.says}; {says}" if before and before.taken else says
            self.accounts[entry.section, entry.key] = Account(entry, True, joined)

    def leave(self, entry: Entry, why: str) -> None:
        """Say why an entry is not taken."""
        self.accounts.setdefault((entry.section, entry.key), Account(entry, False, why))


def _allowed(key: str, value: object) -> bool:
    section, _, name = key.partition(".")
    try:
        Settings.model_validate({section: {name: value}})
    except ValidationError:
        return False
    return not any(map(has_password, value if isinstance(value, list) else [str(value)]))


def translate_config(config: Config) -> Made:
    """The settings in ``config`` that have a counterpart, and what became of every entry."""
    made = Made()
    steps = (_logs, _window, _start, _look_back, _results, _lms, _services, _geoip, _answers)
    for step in steps:
        step(config, made)
    for entry in config.values():
        made.leave(entry, why_left(entry.section, entry.key))
    made.accounts = {place: made.accounts[place] for place in config}
    return made


def _logs(config: Config, made: Made) -> None:
    source, pattern = config.get(("event-logs", "source")), config.get(("event-logs", "pattern"))
    if source is None:
        return
    try:
        roots = [choose_root(root, "source") for root in read_list([source.value], "source")]
        patterns = read_list([pattern.value], "pattern") if pattern else []
    except StudiumError as error:
        made.leave(source, error.message.rstrip("."))
        return
    if any(has_password(root) for root in roots):
        made.leave(source, "it holds a password: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        return
    globs = [glob for one in patterns if (glob := to_glob(one))]
    whole = len(globs) < len(patterns) or not globs
    if whole:
        made.take("edx.source", roots, source)
        if pattern:
            made.leave(pattern, "no glob says the same: all files below the roots are read")
    else:
        # "*" of the old pattern went through folders, too.
        places = [f"{root.rstrip('/')}/**/{glob}" for root in roots for glob in globs]
        assert pattern is not None
        made.take("edx.source", list(dict.fromkeys(places)), source, pattern)
    if pattern:
        _dates(pattern, patterns, config, made)


def _dates(entry: Entry, patterns: list[str], config: Config, made: Made) -> None:
    """The first pattern with a date, where Studium's own would not find the same."""
    dated = [one for one in patterns if "(?P<date>" in one or "(?P<timestamp>" in one]
    form = config.get(("event-logs", "date_pattern"))
    if form and form.value not in ("", "%Y%m%d"):
        made.take("edx.date_format", form.value, form)
    elif form:
        made.leave(form, "it is Studium's default")
    if dated and (form or not all(r"(?P<date>\d{8})" in one for one in dated)):
        name = dated[0].removeprefix("^").removeprefix(".*").rpartition("/")[2]
        if "(?P<date>" in name or "(?P<timestamp>" in name:
            made.take("edx.date_pattern", name, entry)


def _window(config: Config, made: Made) -> None:
    entry = config.get(("event-logs", "expand_interval"))
    if entry and (days := _read(made, entry, parse_span)) is not None:
        made.take("edx.window_days", days, entry)


def _start(config: Config, made: Made) -> None:
    starts: list[tuple[date, Entry]] = []
    for place in _STARTS:
        if (entry := config.get(place)) and (day := _read(made, entry, parse_day)):
            starts.append((day, entry))
    calendar = config.get(("calendar", "interval"))
    if calendar and not starts and (covered := _read(made, calendar, parse_interval)):
        starts.append((covered.since, calendar))
    if starts:
        first = min(day for day, _ in starts)
        remark = "the earliest; events before it are refused"
        made.take("site.start", first, *(entry for _, entry in starts), remark=remark)


def _look_back(config: Config, made: Made) -> None:
    found: list[tuple[int, Entry]] = []
    for place in _N_DAYS:
        if (entry := config.get(place)) and (days := _read(made, entry, _whole)) is not None:
            found.append((days, entry))
    if found:
        most = max(days for days, _ in found)
        remark = "the largest; 0 would do, as changed files and days are noticed"
        made.take("run.lookback", most, *(entry for _, entry in found), remark=remark)


def _results(config: Config, made: Made) -> None:
    remark = "old tables there have to go first: until then name another database"
    _server(config, made, "database-export", "results.url", remark)


def _lms(config: Config, made: Made) -> None:
    _server(config, made, "database-import", "lms.source")


def _server(config: Config, made: Made, section: str, key: str, remark: str = "") -> None:
    """A database on the server that a JSON file of credentials names; the password stays there."""
    credentials, database = config.get((section, "credentials")), config.get((section, "database"))
    if credentials is None or database is None:
        for entry in filter(None, (credentials, database)):
            made.leave(entry, "a database needs both credentials and database")
        return
    try:
        path = Path(local_path(credentials.value, "credentials"))
        held = read_credentials(path, UsageError)
    except StudiumError as error:
        for entry in (credentials, database):
            made.leave(entry, f"{error.message.rstrip('.')}; set {key} when the file is here")
        return
    user = quote(str(held.get("username") or ""), safe="")
    server = f"{held.get('host') or 'localhost'}:{held.get('port') or 3306}"
    url = f"mysql://{user}{'@' if user else ''}{server}/{database.value}"
    made.take(key, url, database, credentials, remark=remark)
    place = f"{key.partition('.')[0]}.credentials"
    made.take(place, str(path), credentials, remark="the password stays there")


def _services(config: Config, made: Made) -> None:
    """The services of the LMS; the secret of their client is not among them."""
    switch = config.get(("course-summary-enrollment", "enable_course_catalog"))
    off = switch is None or switch.value.lower() not in ("true", "1", "yes", "on")
    for place, (key, read) in _SERVICES.items():
        entry = config.get(place)
        if entry is None or key in made.values:
            continue
        if place[0] == "course-catalog-api" and off:
            made.leave(entry, "the course catalog was switched off (enable_course_catalog)")
            continue
        if (value := _read(made, entry, read)) is not None:
            made.take(key, value, entry)


def _geoip(config: Config, made: Made) -> None:
    entry = config.get(("geolocation", "geolocation_data"))
    if entry and entry.value.endswith(".mmdb"):
        path = _read(made, entry, lambda text: local_path(text, "geolocation_data"))
        if path is not None:
            made.take("geography.database", path, entry)


def _answers(config: Config, made: Made) -> None:
    """Which responses count, and the files of courses."""
    for (section, key), (setting, read) in _REPORTS.items():
        for name in (section, section.replace("-", "_")):
            entry = config.get((name, key))
            if entry and setting not in made.values:
                value = _read(made, entry, read)
                if value is not None:
                    made.take(setting, value, entry)


def _literal(text: str) -> str:
    """A text as Python writes it, in quotes; without them it stands for itself."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value if isinstance(value, str) else text


def _read(made: Made, entry: Entry, read: Callable[[str], Value]) -> Value | None:
    """The value of an entry; None, and the entry is left, if it cannot be read."""
    try:
        return read(entry.value)
    except StudiumError as error:
        made.leave(entry, error.message.rstrip("."))
        return None


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"{text!r} is not a number of days")
    return int(text)


def account_lines(made: Made) -> Iterator[tuple[str, str, str]]:
    """For people: place, entry, and what became of it."""
    for account in made.accounts.values():
        fate = "→" if account.taken else "left:"
        yield account.entry.place, account.entry.name, f"{fate} {account.says}"
