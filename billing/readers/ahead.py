"""One piece read ahead: the next is decoded by a thread while the last is worked on."""

import queue
import threading
from collections.abc import Iterator
from typing import TypeVar

Each = TypeVar("Each")


def ahead(pieces: Iterator[Each]) -> Iterator[Each]:
    """Yield the same pieces in the same order; raise what reading them raises, where it would have been raised.

    At most one finished piece waits, so that memory holds three at a time: one worked on, one waiting, one
    being read. It pays where reading leaves Python's lock, as Arrow does. Closing it ends the thread.
    """
    waiting: queue.Queue[tuple[Each | None, BaseException | None]] = queue.Queue(maxsize=1)
    is_over = threading.Event()

    def put(piece: Each | None, error: BaseException | None) -> bool:
        while not is_over.is_set():
            try:
                waiting.put((piece, error), timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def read() -> None:
        try:
            for piece in pieces:
                if not put(piece, None):
                    return
        except BaseException as error:  # raised again where the pieces are wanted
            put(None, error)
        else:
            put(None, None)

    thread = threading.Thread(target=read, name="reading ahead", daemon=True)
    thread.start()
    try:
        while True:
            piece, error = waiting.get()
            if error is not None:
                raise error
            if piece is None:
                return
            yield piece
    finally:
        is_over.set()
        thread.join()
