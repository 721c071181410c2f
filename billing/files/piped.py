"""Files that come through a pipe: `-` for standard input, and named pipes, copied to where they can be read twice."""

import contextlib
import fcntl
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ..errors import BillingError
from ..readers.streams import GIB, MAX_EXPANDED, MIB
from .folders import own_folder

STANDARD_INPUT = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
CALLED = "standard input"
BLOCK = MIB


class NothingPiped(BillingError):
    """Standard input or a pipe that gives nothing, or more than any file has."""


def is_piped(name: str) -> bool:
    """Tell whether a name is standard input or a pipe, which can be read once and from front to back."""
    if name == "-":
        return True
    try:
        mode = os.stat(name).st_mode
    except (OSError, ValueError):
        # Whoever opens it says what is wrong.
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def called(name: str) -> str:
    """Return what people are told of a pipe: its name, where it has one."""
    if name in STANDARD_INPUT:
        return CALLED
    return f"pipe {Path(name).name}" if name.startswith(("/dev/", "/proc/")) else Path(name).name


def check_names(names: list[str]) -> None:
    """Raise NothingPiped where standard input is asked for twice: it can be read once."""
    if sum(name in STANDARD_INPUT and is_piped(name) for name in names) > 1:
        raise NothingPiped("Standard input can be read once. Name it once.")


@contextlib.contextmanager
def copied(name: str, *, limit: int = MAX_EXPANDED) -> Iterator[Path]:
    """Copy what comes through a pipe to a file of its own, until the context ends. Raises NothingPiped."""
    with tempfile.NamedTemporaryFile(dir=own_folder("piped")) as copy:
        # A copy that nobody has locked is one that a killed process left; see `leftovers`.
        fcntl.flock(copy, fcntl.LOCK_EX)
        try:
            _copy(name, copy, limit)
        except OSError as error:
            raise NothingPiped(f"{called(name)} cannot be read: {error.strerror or error}.") from error
        yield Path(copy.name)


@contextlib.contextmanager
def opened(name: str) -> Iterator[IO[bytes]]:
    """Open a file, or standard input for `-`, for reading. Raises NothingPiped, and OSError for a file."""
    if is_piped(name):
        with copied(name) as path, path.open("rb") as file:
            yield file
    else:
        with Path(name).open("rb") as file:
            yield file


def _copy(name: str, copy: Any, limit: int) -> None:
    with _source(name) as source:
        size = 0
        while block := source.read(BLOCK):
            size += len(block)
            if size > limit:
                raise NothingPiped(f"{called(name)} gives more than {limit // GIB} GiB. Import it in several files.")
            copy.write(block)
        copy.flush()
    if not size:
        raise NothingPiped(f"Nothing came from {called(name)}. See that the command before the pipe writes something.")


@contextlib.contextmanager
def _source(name: str) -> Iterator[Any]:
    if name != "-":
        mode = os.stat(name).st_mode
        if stat.S_ISSOCK(mode):
            raise NothingPiped(f"{called(name)} is a socket, not a file. Name a file, or pipe it in as “-”.")
        with open(name, "rb") as source:
            if source.isatty():
                raise _terminal()
            yield source
        return
    if sys.stdin is None or sys.stdin.closed:
        raise NothingPiped("There is no standard input to read from. Name the file.")
    if sys.stdin.isatty():
        raise _terminal()
    yield sys.stdin.buffer


def _terminal() -> NothingPiped:
    return NothingPiped(
        "Standard input is a terminal, and no file comes from it. Let another program write one into it, or name "
        "the file."
    )
