"""Keeping the beginning of a stream, and counting all of it."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

_PIPE = 1 << 20
_READ = 1 << 20


class Log:
    """A pipe whose first ``limit`` bytes go to a file; the rest is read, counted and dropped.

    Its writer never waits for a full disk either: what cannot be written is dropped too.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.descriptor, self.writer = os.pipe()
        os.set_blocking(self.descriptor, False)
        with suppress(OSError):  # only slower
            fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, _PIPE)
        self.count = 0
        self._room = limit
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def drain(self) -> bool:
        """Take what is there; False at the end of the stream."""
        try:
            data = os.read(self.descriptor, _READ)
        except BlockingIOError:
            return True
        self.count += len(data)
        kept = data[: self._room]
        while kept:
            try:
                written = os.write(self._file, kept)
            except OSError:
                self._room = 0  # the beginning is kept, without a hole
                break
            self._room -= written
            kept = kept[written:]
        return bool(data)

    def close(self) -> None:
        """No more is wanted."""
        os.close(self.descriptor)
        os.close(self._file)
