"""Web and worker as child processes of one command: started together, ended together."""

import argparse
import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from billing import safeguards
from billing.errors import BillingError

from .web_process import GRACE

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class CannotServe(BillingError):
    """The site cannot listen on its address, or the database is not ready."""


class PortTaken(CannotServe):
    """Another program listens on the address."""


@dataclass(frozen=True)
class Served:
    """Why serving ended: a signal asked for it, or a child ended by itself with this code."""

    child: str
    exit_code: int
    asked: bool


def require_ready() -> None:
    """Raise CannotServe where migrations wait or a safeguard is missing, naming the command that mends it."""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise CannotServe("The database is not up to date. Run `manage.py initialize` first.")
    if lacking := safeguards.missing(connection):
        raise CannotServe(
            f"Database safeguards are not in place: {safeguards.listed(lacking)}. Find out who removed them, "
            "then run `manage.py initialize`: it restores them."
        )


def link_to(port: int) -> None:
    """Have links in e-mails and documents lead to this port of this machine, where SITE_URL names no address."""
    # The sample institution has an environment of its own, without the SITE_URL of a real one.
    if settings.IS_DEMO or "SITE_URL" not in os.environ:
        # The web server and the worker are processes of their own.
        os.environ["SERVED_AT"] = settings.SITE_URL = f"http://localhost:{port}"


def require_free(host: str, port: int, *, patience: float = 0.0) -> None:
    """Raise CannotServe where something listens on the address already, and goes on for so many seconds.

    What was started by a process that was killed a moment ago is just ending.
    """
    until = time.monotonic() + patience
    while True:
        try:
            _try_address(host, port)
            return
        except PortTaken:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def _try_address(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(
                    f"Port {port} of {host} is taken: another program listens there, perhaps this site, which is "
                    "running already. End that one, or choose another port with --port."
                ) from error
            raise CannotServe(
                f"Cannot listen on {host} port {port}: {error.strerror}. Choose another with --port or --host."
            ) from error


def commands(*, host: str, port: int, web_workers: int) -> dict[str, list[str]]:
    """Return the children's command lines by what they are called."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return {
        "web": [
            *(sys.executable, "-m", "gunicorn", "openchargeback.wsgi:application", "--bind", address),
            *("--workers", str(web_workers), "--threads", "4", "--worker-class", "gthread", "--timeout", "120"),
            *("--config", "python:openchargeback.web_process", "--no-control-socket"),
            *("--log-level", "warning", "--worker-tmp-dir", worker_folder()),
            # By default gunicorn believes this machine's headers about scheme and path. TRUSTED_PROXIES decides here.
            "--forwarded-allow-ips=",
        ],
        "worker": [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), "qcluster"],
    }


def worker_folder() -> str:
    """Return where the web server's heartbeat files lie: in memory where there is such a folder."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else str(settings.VAR_DIR)  # noqa: S108


def run_together(children: Mapping[str, Sequence[str]], *, started: Callable[[], None]) -> Served:
    """Run the children until one ends or a signal comes, then end the others and wait for them.

    Each child leads a process group of its own, so that Ctrl+C in the terminal reaches this process
    alone and every child ends once, in order, with the processes it made. Where this process is killed, they
    notice: SERVED_BY tells them whom to end with.
    """
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    before = {number: signal.signal(number, note) for number in SIGNALS}
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in children.items():
            running[name] = subprocess.Popen(  # noqa: S603 (our own programs)
                command,
                cwd=settings.BASE_DIR,
                start_new_session=True,
                env=os.environ | {"SERVED_BY": str(os.getpid())},
            )
        started()
        while not asked:
            for name, child in running.items():
                if (code := child.poll()) is not None:
                    return Served(child=name, exit_code=code, asked=False)
            time.sleep(0.2)
        return Served(child="", exit_code=0, asked=True)
    finally:
        _end(running.values())
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(children: Iterable["subprocess.Popen[bytes]"]) -> None:
    living = [child for child in children if child.poll() is None]
    for child in living:
        child.send_signal(signal.SIGTERM)
    until = time.monotonic() + GRACE
    for child in living:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(max(0.1, until - time.monotonic()))
    for child in living:
        # What a child left behind in its group goes too.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def port_number(text: str) -> int:
    """Return a TCP port; 0 would be one that nobody knows."""
    if text.isdecimal() and 1 <= int(text) <= 65_535:
        return int(text)
    raise argparse.ArgumentTypeError(f"“{text}” is no port: these go from 1 to 65535.")
