"""The state database of a site: file manifest, coverage, ledger, counters, facts, writer lock.

Everything goes through one SQLAlchemy engine, ``State.engine``: whoever wants to see or break
every statement listens to its events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from studium.state.database import State, open_state

__all__ = ["State", "open_state"]


def __getattr__(name: str) -> Any:
    # SQLAlchemy is slow to import, and the lock and the mounts do without it.
    if name in __all__:
        from studium.state import database

        return getattr(database, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
