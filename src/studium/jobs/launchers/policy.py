"""What a site demands of a launcher before it hands it anything."""

from __future__ import annotations

from collections.abc import Iterable

from studium.jobs.launchers.protocol import GUARANTEES, Capabilities


def refusals(capabilities: Capabilities, required: Iterable[str]) -> list[str]:
    """Why a launcher may run nothing here, a sentence for each; empty if it may.

    ``required`` are names from ``GUARANTEES`` (the setting ``jobs.guarantees``).
    """
    if not capabilities.available:
        return [capabilities.reason or "It is not available on this machine."]
    found = []
    for name in dict.fromkeys(required):
        if name not in GUARANTEES:
            known = ", ".join(GUARANTEES)
            found.append(f"jobs.guarantees: {name!r} is no guarantee; there are: {known}.")
        elif name not in capabilities.guarantees:
            why = capabilities.lost.get(name, "this launcher has no such guarantee")
            found.append(f"{name} is demanded by jobs.guarantees and lost here: {why}.")
    return found
