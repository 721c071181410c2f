"""One piece read ahead: the next is decoded by a thread while the last is worked on."""

import queue
import threading
from collections.abc import Generator, Iterator
from typing import Generic, TypeVar

Each = TypeVar("Each")


def ahead(pieces: Iterator[Each]) -> Generator[Each, None, None]:
    """Yield the same pieces in the same order; raise what reading them raises, where it would have been raised.

    At most one finished piece waits, so that memory holds three at a time: one worked on, one waiting, one
    being read. It pays where reading leaves Python's lock, as Arrow does. Closing it ends the thread.
    """
    handover: _Handover[Each] = _Handover()
    thread = threading.Thread(target=handover.fill, args=[pieces], name="reading ahead", daemon=True)
    thread.start()
    try:
        yield from handover.taken()
    finally:
        handover.is_over.set()
        thread.join()


class _Handover(Generic[Each]):
    """The place where one finished piece, or what reading raised, waits to be taken."""

    def __init__(self) -> None:
        self.waiting: queue.Queue[tuple[Each | None, BaseException | None]] = queue.Queue(maxsize=1)
        self.is_over = threading.Event()

    def fill(self, pieces: Iterator[Each]) -> None:
        """Put each piece as soon as there is room, until nobody wants another."""
        try:
            for piece in pieces:
                if not self._put(piece, None):
                    return
        except BaseException as error:  # raised again where the pieces are wanted
            self._put(None, error)
        else:
            self._put(None, None)

    def _put(self, piece: Each | None, error: BaseException | None) -> bool:
        while not self.is_over.is_set():
            try:
                self.waiting.put((piece, error), timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def taken(self) -> Iterator[Each]:
        while True:
            piece, error = self.waiting.get()
            if error is not None:
                raise error
            if piece is None:
                return
            yield piece
