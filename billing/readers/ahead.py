"""One piece read ahead: the next is decoded by a thread while the last is worked on."""

import queue
import threading
from collections.abc import Generator, Iterator
from typing import Generic, TypeVar

Each = TypeVar("Each")


def ahead(pieces: Iterator[Each]) -> Generator[Each, None, None]:
    """Yield the same pieces in the same order; raise what reading them raises, where it would have been raised.

    The next is begun when one is taken, so that memory holds two at a time: one worked on, and one waiting or being
    read. It pays where reading leaves Python's lock, as Arrow does. Closing it ends the thread.
    """
    handover: _Handover[Each] = _Handover()
    thread = threading.Thread(target=handover.fill, args=[pieces], name="reading ahead", daemon=True)
    thread.start()
    try:
        yield from handover.taken()
    finally:
        handover.is_over = True
        handover.wanted.release()
        thread.join()


class _Handover(Generic[Each]):
    """The place where one finished piece, or what reading raised, waits to be taken."""

    def __init__(self) -> None:
        self.waiting: queue.SimpleQueue[tuple[Each | None, BaseException | None]] = queue.SimpleQueue()
        # How many may be read beyond those that were: the first is wanted at once.
        self.wanted = threading.Semaphore(1)
        self.is_over = False

    def fill(self, pieces: Iterator[Each]) -> None:
        """Read a piece each time one is wanted, until nobody wants another."""
        try:
            while self.wanted.acquire() and not self.is_over:
                piece = next(pieces, None)
                self.waiting.put((piece, None))
                if piece is None:
                    return
                del piece
        except BaseException as error:  # raised again where the pieces are wanted
            self.waiting.put((None, error))

    def taken(self) -> Iterator[Each]:
        while True:
            piece, error = self.waiting.get()
            if error is not None:
                raise error
            if piece is None:
                return
            self.wanted.release()
            yield piece
            del piece
