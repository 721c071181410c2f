"""A large part of an import, read and understood by a process of its own, so that two cores share the work.

Run as `python -m billing.readers.beside` it is that process: it takes a request from standard input and answers
on standard output, both pickled. The two are one program on one machine; nothing of a file is ever unpickled.
"""

import contextlib
import fcntl
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from .batches import Batch, FileError
from .parts import Part
from .reading import read
from .streams import MIB
from .understanding import Understanding, Understood, Wanted
from .values import BadValue

# Below this a part is read before another process has started.
LARGE = 4 * MIB
# Batches are handed over by several, so that texts that repeat cross once.
TOGETHER = 8
PIPE_BYTES = MIB
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Request:
    """What to read, and how it is to be understood."""

    part: Part
    wanted: Wanted

    def answers(self) -> Iterator[Batch | Understood]:
        """Yield the batches of the part as values; as they are where a text of theirs has none."""
        understanding = Understanding(self.wanted)
        for batch in read(self.part, has_period=self.wanted.only_month is not None):
            try:
                yield understanding.of(batch)
            except BadValue:
                yield batch


def understood(part: Part, wanted: Wanted) -> Iterator[Batch | Understood]:
    """Yield the rows of a part as values, in order; a batch with a text that has none comes as it is.

    A large part is read by another process where there is a core for it. Raises what `read` raises, and
    RuntimeError where that process comes to an end by itself. Closing it ends the process.
    """
    request = Request(part, wanted)
    return _from_beside(request) if part.size >= LARGE and _is_possible() else request.answers()


def _is_possible() -> bool:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Where Python is part of another program there is no interpreter to start.
    return cores > 1 and Path(sys.executable).name.startswith("python")


def _from_beside(request: Request) -> Iterator[Batch | Understood]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}
    process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
        [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    assert process.stdin
    assert process.stdout
    try:
        _widen(process.stdout)
        pickle.dump(request, process.stdin, pickle.HIGHEST_PROTOCOL)
        # Open until the end: that it closes tells the other process that this one is gone.
        process.stdin.flush()
        while True:
            try:
                kind, answer = pickle.load(process.stdout)  # noqa: S301 (of the process started above)
            except (EOFError, pickle.UnpicklingError):
                raise RuntimeError(
                    f"The process that reads {request.part.name} ended with {process.wait()}. Import the file again."
                ) from None
            if kind == "refused":
                raise FileError(answer)
            if kind == "end":
                return
            yield from answer
    finally:
        process.kill()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()
        process.wait()


def _widen(pipe: Any) -> None:
    """Let more of what is read wait in a pipe, where the system can do that."""
    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _answer(requests: BinaryIO, answers: BinaryIO) -> None:
    def say(kind: str, answer: Any = None) -> None:
        pickle.dump((kind, answer), answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()

    request: Request = pickle.load(requests)  # noqa: S301 (of the process that started this one)
    threading.Thread(target=_end_with_asker, args=[requests.fileno()], daemon=True).start()
    batches: list[Batch | Understood] = []
    try:
        for batch in request.answers():
            batches.append(batch)
            if len(batches) == TOGETHER:
                say("batches", batches)
                batches = []
    except FileError as error:
        # What came before it may hold problems of its own.
        say("batches", batches)
        say("refused", error.problems)
    else:
        say("batches", batches)
        say("end")


def _end_with_asker(requests: int) -> None:
    """End this process when the one that asked is gone, by which its end of the pipe closes."""
    # Not by Python's buffer: a thread that holds its lock keeps the interpreter from ending.
    os.read(requests, 1)
    os._exit(1)


if __name__ == "__main__":
    # Who interrupts means the import, which ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # By a handle of its own, buffered: PYTHONUNBUFFERED would have sys.stdout write a part of what it is given, and
    # whatever else is printed must not come between.
    with contextlib.suppress(BrokenPipeError), os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        # Broken where nobody listens any more.
        _answer(sys.stdin.buffer, answers)
