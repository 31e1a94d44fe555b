"""What a site allows a unit to ask for at most."""

from __future__ import annotations

from studium.errors import SpecError
from studium.jobs.quantities import show_bytes, show_seconds
from studium.jobs.spec import Resources
from studium.settings import parse_size
from studium.settings.jobs import JobsSettings


def check_ceilings(wanted: Resources, settings: JobsSettings) -> None:
    """SpecError that names every field above its ceiling, with both."""
    found = []
    for field in ("memory", "output", "log", "scratch"):
        has, most = getattr(wanted, field), parse_size(getattr(settings, f"max_{field}"))
        if has > most:
            found.append(_line(field, show_bytes(has), show_bytes(most)))
    if wanted.time > settings.max_time:
        found.append(_line("time", show_seconds(wanted.time), show_seconds(settings.max_time)))
    for field in ("processes", "cpus"):
        has, most = getattr(wanted, field), getattr(settings, f"max_{field}")
        if has > most:
            found.append(_line(field, f"{has:g}", f"{most:g}"))
    if found:
        raise SpecError(
            "The job wants more than this site gives a unit:\n" + "\n".join(found),
            "Ask for less, do the work in more units, or have the ceiling raised.",
        )


def _line(field: str, has: str, most: str) -> str:
    return f"  resources.{field}: {has}; jobs.max_{field} is {most}"
