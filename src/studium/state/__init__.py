"""The state database of a site: file manifest, coverage, ledger, counters, facts, writer lock.

Everything goes through one SQLAlchemy engine, ``State.engine``: whoever wants to see or break
every statement listens to its events.
"""

from studium.state.database import State, open_state

__all__ = ["State", "open_state"]
