"""Values of the `$names` in tables, from the settings, and lenses that cannot be made with them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from studium.errors import UsageError
from studium.lenses.engagement.windows import whole_months, whole_weeks
from studium.lenses.geography.countries import CountryFile, inspect_countries
from studium.site import Site
from studium.sources.edx.course_keys import WHITE_SPACE


@dataclass(frozen=True)
class LeftOut:
    """A lens that cannot be made. ``wrong``: although the settings ask for it."""

    lens: str
    reason: str
    wrong: bool


def table_parameters(site: Site, until: date) -> dict[str, object]:
    """A value for every parameter of a table of a lens that is not left out."""
    settings = site.settings
    weeks = whole_weeks(until, settings.engagement.weeks)
    months = whole_months(until, settings.engagement.months)
    return {
        "start": settings.site.start,
        "until": until,
        "week_since": weeks.since,
        "week_until": weeks.until,
        "month_since": months.since,
        "month_until": months.until,
        "enrollment_from": settings.geography.enrollment,
        "response_types": ",".join(settings.answers.response_types),
        "clean_pattern": settings.answers.clean_pattern,
        "low_percentile": settings.learners.low_percentile,
        "high_percentile": settings.learners.high_percentile,
        "roster": settings.learners.roster == "names",
        "anonymous_username": settings.learners.anonymous_username,
        "white_space": WHITE_SPACE,
        **_country_parameters(site),
    }


def lenses_left_out(site: Site) -> list[LeftOut]:
    """The lenses that have to wait for something, and for what."""
    try:
        found = _country_file(site)
    except UsageError as error:
        return [LeftOut("geography", str(error), wrong=True)]
    if found is None:
        reason = "no country database. Give --geoip FILE.mmdb, or set geography.database."
        return [LeftOut("geography", reason, wrong=False)]
    return []


def _country_parameters(site: Site) -> dict[str, object]:
    try:
        found = _country_file(site)
    except UsageError:
        found = None
    return {} if found is None else {"geoip_file": str(found.path), "geoip_build": found.build}


def _country_file(site: Site) -> CountryFile | None:
    path = site.settings.geography.database
    return inspect_countries(site.root / path) if path else None
