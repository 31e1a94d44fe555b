"""A user of its own for each running unit, of a range that nobody else on the machine uses."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from studium.jobs.launchers.processes import uids_in_use

LOCKS = Path("/run/studium/uids")
"""One empty file a uid, of the whole machine; a lock on it is gone with the process that has it."""

UIDS = (900_000, 900_999)
"""Users of units where the site names none; nobody else on the machine should have them."""

BLOCKS = 1 << 30
"""Ids from here on are given away in blocks: far from those that accounts have."""


class NoUidError(Exception):
    """Every uid of the range is taken."""


def take_uid(first: int, last: int) -> tuple[int, int]:
    """A free uid of ``first`` … ``last``, and a descriptor: free again once that is closed.

    A crash frees it too. One of which any process still lives is passed over.
    """
    LOCKS.mkdir(mode=0o700, parents=True, exist_ok=True)
    used = uids_in_use()
    for uid in range(first, last + 1):
        if uid in used:
            continue
        descriptor = os.open(LOCKS / str(uid), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        if uid in uids_in_use():  # a process of its last holder, which was killed just now
            os.close(descriptor)
            continue
        return uid, descriptor
    raise NoUidError(f"all uids {first} … {last} are in use")


def block_of(uid: int, first: int, size: int) -> int:
    """The first of ``size`` ids that belong to the holder of ``uid`` of a range from ``first``."""
    return BLOCKS + (uid - first) * size
