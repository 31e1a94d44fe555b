"""Waiting for readers to let go of the old tables without keeping other readers waiting.

Both servers line up whoever wants a table behind a publisher that waits for it. So the publisher
waits in line for a moment only, steps back, and comes again; more insistent each time, for a busy
store may never be free of readers by itself.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from studium.errors import ResultsError


@dataclass(frozen=True)
class Patience:
    """Seconds: in all, before anyone is kept waiting (MariaDB), a turn at first and at most."""

    whole: float = 600.0
    polite: float = 60.0
    first: float = 0.5
    longest: float = 30.0

    def turns(self) -> Iterator[float]:
        """How long to try, turn by turn; it ends when patience does."""
        until, wait = time.monotonic() + self.whole, self.first
        while True:
            yield min(wait, self.longest)
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(wait / 4, 1.0, left))
            wait *= 1.5


PATIENCE = Patience()


def readers_stay(whole: float, who: str) -> ResultsError:
    """The error when patience ended; `who` is SQL that shows the readers."""
    return ResultsError(
        f"Readers have held the old tables for {whole:,.0f} seconds; they cannot be replaced.",
        f"Nothing was changed. End the transactions that are open ({who}) and run "
        "`studium publish` again.",
    )
