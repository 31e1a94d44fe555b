"""Reading ahead: a thread of its own makes what comes next while what came before is used."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from queue import Empty, Queue
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")

_AHEAD = 2


def read_ahead(items: Iterator[T]) -> Generator[T]:
    """The same items in their order, and the error that ``items`` ends with, if any.

    At most two are made before they are asked for. The thread has ended when this iterator has,
    or was closed; ``items`` is then left where it is.
    """
    ready: Queue[tuple[T] | BaseException | None] = Queue(_AHEAD)
    closed = Event()

    def fill() -> None:
        try:
            for item in items:
                ready.put((item,))
                if closed.is_set():
                    return
            ready.put(None)
        except BaseException as error:  # whoever asks for items gets it
            ready.put(error)

    thread = Thread(target=fill, name="read-ahead")
    thread.start()
    try:
        while (found := ready.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found[0]
    finally:
        closed.set()
        while thread.is_alive():  # it may wait for room
            try:
                ready.get_nowait()
            except Empty:
                thread.join(0.01)
