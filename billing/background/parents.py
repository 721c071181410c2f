"""Processes that end with the one that started them, however that one ends."""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time

# How often a process looks where its system does not tell it, in seconds.
LOOK = 1.0
# Of Linux: which signal a process gets when the one that started it is gone.
PR_SET_PDEATHSIG = 1


def end_with_parent(*, grace: float = 0.0) -> None:
    """Have this process told to end (SIGTERM) as soon as the one that started it is gone.

    On Linux the kernel does that, elsewhere a thread that looks every second. With `grace`, which is for the leader
    of a group of processes, what of the group is still there so many seconds later is killed.
    """
    parent = os.getppid()
    is_told = sys.platform == "linux" and _ask_kernel()
    if not is_told or grace:
        threading.Thread(target=_watch, args=[parent, is_told, grace], name="parent", daemon=True).start()


def end_with(parent: str, *, grace: float) -> None:
    """Do as `end_with_parent`, where the process of this number, of which nothing may be known, is the parent."""
    if parent == str(os.getppid()):
        end_with_parent(grace=grace)
    elif parent:
        # It was gone before this process could ask to be told.
        os.kill(os.getpid(), signal.SIGTERM)


def _ask_kernel() -> bool:
    with contextlib.suppress(OSError, AttributeError):
        return ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) == 0
    return False


def _watch(parent: int, is_told: bool, grace: float) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK)
    if not is_told:
        os.kill(os.getpid(), signal.SIGTERM)
    if grace:
        time.sleep(grace)
        os.killpg(os.getpgid(0), signal.SIGKILL)
