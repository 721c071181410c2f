"""How long others wait while the statements of a month are issued: `python benchmarks/issuing.py --rows 200000`.

A generated month is imported and its statements are issued. Then a second file changes 1% of it, and they are issued
again. Meanwhile somebody else asks, over and over, for what a decision about a charge needs: on SQLite to write, on
PostgreSQL to hold the month open. Told are the longest wait, and what the run took. --against FOLDER does the same in
an earlier checkout; BENCH_POSTGRES_URL adds PostgreSQL.
"""

import argparse
import contextlib
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from generate import Shape, change, write
from installations import ROOT, Installation
from legs import MONTH, Vendor, say

INTERVAL = 0.02
# Longer than any run: who gives up does not know how long they would have waited.
PATIENCE = 3_600


class Bystander:
    """Somebody who wants to write, and notes the longest wait."""

    def __init__(self, place: Installation) -> None:
        self.longest = 0.0
        self._place = place
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> "Bystander":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        with _asking(self._place) as ask:
            while not self._ended.wait(INTERVAL):
                began = time.perf_counter()
                ask()
                self.longest = max(self.longest, time.perf_counter() - began)


@contextlib.contextmanager
def _asking(place: Installation) -> Iterator[Callable[[], object]]:
    if place.postgres_url:
        import psycopg

        with psycopg.connect(place.postgres_url, autocommit=True) as server:
            yield lambda: server.execute("SELECT id FROM billing_billingperiod FOR SHARE")
        return
    path = place.var / "db.sqlite3"
    with contextlib.closing(sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)) as file:
        yield lambda: file.executescript("BEGIN IMMEDIATE; ROLLBACK;")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--against", type=Path, help="an earlier checkout that does the same")
    options = parser.parse_args()
    checkouts = {**({"before": options.against.resolve()} if options.against else {}), "now": ROOT}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        files = {"first": folder / f"aws_{MONTH}.csv", "changed": folder / f"aws-changed_{MONTH}.csv"}
        write(files["first"], Shape(options.rows))
        change(files["first"], files["changed"], every=100)
        for url in filter(None, ("sqlite", os.environ.get("BENCH_POSTGRES_URL", ""))):
            measure(Vendor(folder, checkouts, "" if url == "sqlite" else url), files)


def measure(vendor: Vendor, files: dict[str, Path]) -> None:
    with vendor.places() as places:
        for step, file in files.items():
            places.each(f"import, {step}", lambda place, file=file: place.ingest(file)[0])
            for name, (longest, wall, cpu) in places.each(f"issue, {step}", issued).items():
                print(f"{vendor.name}, {step}, {name}: waited {longest:.2f} s at most; {wall:.1f} s, CPU {cpu:.1f} s")


def issued(place: Installation) -> tuple[float, float, float]:
    """Issue the statements of the month; return the longest wait of a bystander, the time and the CPU of the run."""
    say("issuing …")
    with Bystander(place) as somebody:
        run = place.manage("generate", "-p", MONTH)
    return somebody.longest, run.wall, run.cpu


if __name__ == "__main__":
    main()
