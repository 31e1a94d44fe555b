"""An object as a file that is read from its beginning to its end, in bounded memory."""

from __future__ import annotations

import io
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, BinaryIO

from studium.s3.objects import PART, Object
from studium.s3.store import Waits, explain, open_bucket

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


def open_object(found: Object, waits: Waits) -> BinaryIO:
    """The object's bytes; the next part is fetched while one is worked on.

    Reading raises S3Error if the store cannot be reached, OSError if the object is gone, may not
    be read or is another one by now: it is read by its ``etag``.
    """
    return io.BufferedReader(_Parts(found, waits), PART)


class _Parts(io.RawIOBase):
    def __init__(self, found: Object, waits: Waits) -> None:
        self._found = found
        self._store = open_bucket(found.address.bucket, waits)
        self._at = 0
        self._part = memoryview(b"")
        self._start = 0  # where in the object the part begins
        self._threads = ThreadPoolExecutor(1)
        self._next: tuple[int, Future[memoryview]] | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        ends = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._found.size}
        self._at = max(0, ends[whence] + offset)
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        into = memoryview(buffer).cast("B")
        if self._at >= self._found.size or not len(into):
            return 0
        if not self._start <= self._at < self._start + len(self._part):
            self._take()
        here = self._at - self._start
        piece = self._part[here : here + len(into)]
        into[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        super().close()

    def _take(self) -> None:
        start = self._at
        coming = self._next
        self._next = None
        if coming is not None and coming[0] == start:
            self._part = coming[1].result()
        else:
            self._part = self._get(start)
        self._start = start
        after = start + len(self._part)
        if after < self._found.size:
            self._next = (after, self._threads.submit(self._get, after))

    def _get(self, start: int) -> memoryview:
        import obstore
        from obstore.exceptions import (
            BaseError,
            PermissionDeniedError,
            PreconditionError,
            UnauthenticatedError,
        )

        end = min(self._found.size, start + PART)
        try:
            answer = obstore.get(
                self._store,
                self._found.address.key,
                options={"range": (start, end), "if_match": self._found.etag},
            )
            return memoryview(answer.bytes())
        except FileNotFoundError:
            raise OSError("there is no such object any more") from None
        except PreconditionError:
            raise OSError("it was replaced while it was read") from None
        except (PermissionDeniedError, UnauthenticatedError):
            raise OSError("S3 does not allow it to be read") from None
        except (BaseError, OSError) as error:
            raise explain(str(self._found.address), error) from None
