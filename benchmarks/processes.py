"""Run a command and measure it with all its descendants: wall time, CPU, and the memory of all at once.

On Linux this process becomes the reaper of orphans, so that each descendant ends as a child of somebody who waits for
it: `wait4` then tells the CPU of all, also of those that were killed or that their parents never waited for. A thread
reads /proc meanwhile: the PSS of each (memory that several share counts once), and the CPU of those whose parents
ignore their ends. No cgroup is made, which would take rights. A database server is no descendant and is left out.
"""

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

IS_LINUX = sys.platform.startswith("linux")
ELSEWHERE = (
    "The memory of all processes together is measured on Linux only. Here only the largest process is, and CPU only of "
    "processes that were waited for."
)
PR_SET_CHILD_SUBREAPER = 36
INTERVAL = 0.08
# How long processes may outlive the command before they count as left behind.
PATIENCE = 10.0


class Failed(Exception):
    """A command ended with an error, or left processes behind."""


@dataclass(frozen=True)
class Measured:
    """A command and its descendants: seconds, MiB, and what it printed.

    `peak_mib` is that of the largest process; `pss_mib` that of all together, None where it cannot be measured.
    """

    wall: float
    cpu: float
    peak_mib: float
    pss_mib: float | None
    processes: int
    output: str

    def as_data(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "output"}


def measured(command: list[str], env: Mapping[str, str], cwd: Path) -> Measured:
    """Run a command to its end and measure it. Raises Failed with its words where it ends with an error."""
    if IS_LINUX:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        watch = Watch()
        started = time.perf_counter()
        child = subprocess.Popen(command, env=env, cwd=cwd, stdout=output, stderr=errors)
        try:
            with watch:
                _, status, usage = os.wait4(child.pid, 0)
                wall = time.perf_counter() - started
                usages = [usage, *orphans()]
        except BaseException:
            # Whoever stops a benchmark stops what it measures.
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
            raise
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if child.returncode:
            raise Failed(f"{' '.join(command)} ended with {child.returncode}:\n{errors.read()}{output.read()}")
        waited = sum(each.ru_utime + each.ru_stime for each in usages)
        return Measured(
            wall,
            max(waited, watch.cpu),
            max(_mib(each) for each in usages),
            watch.peak_kib / 1024 if IS_LINUX else None,
            max(1, len(watch.ticks)),
            output.read(),
        )


def orphans() -> list[resource.struct_rusage]:
    """Wait for the descendants that outlived the command; return what they used. Raises Failed if one does not end."""
    usages = []
    until = time.monotonic() + PATIENCE
    while IS_LINUX:
        try:
            pid, _, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid:
            usages.append(usage)
        elif time.monotonic() > until:
            left = descendants()
            for each in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
            raise Failed(f"The command left {len(left)} processes behind. They were killed.")
        else:
            time.sleep(0.01)
    return usages


class Watch:
    """Reads /proc while a command runs: the highest PSS of all descendants together, and the CPU of each."""

    def __init__(self) -> None:
        self.peak_kib = 0
        # Process and its start -> ticks of CPU when it was last seen.
        self.ticks: dict[tuple[int, str], int] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Watch":
        if IS_LINUX:
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def cpu(self) -> float:
        return sum(self.ticks.values()) / os.sysconf("SC_CLK_TCK")

    def _run(self) -> None:
        while not self._ended.wait(INTERVAL):
            total = 0
            for pid, fields in descendants().items():
                # utime and stime; starttime tells a process from an earlier one of the same number.
                self.ticks[pid, fields[19]] = int(fields[11]) + int(fields[12])
                total += pss_kib(pid)
            self.peak_kib = max(self.peak_kib, total)


def descendants() -> dict[int, list[str]]:
    """Return the descendants of this process, with the fields of /proc/N/stat from the state on."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                found[int(name)] = Path("/proc", name, "stat").read_text(errors="replace").rpartition(")")[2].split()
    children: dict[int, list[int]] = {}
    for pid, fields in found.items():
        children.setdefault(int(fields[1]), []).append(pid)
    ours: dict[int, list[str]] = {}
    waiting = [os.getpid()]
    while waiting:
        for pid in children.get(waiting.pop(), ()):
            ours[pid] = found[pid]
            waiting.append(pid)
    return ours


def pss_kib(pid: int) -> int:
    """Return the proportional set size of a process: what it shares counts in parts. 0 where it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def _mib(usage: resource.struct_rusage) -> float:
    """Peak resident memory; Linux counts KiB, macOS bytes."""
    return usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1024 * 1024)
