"""What is measured on one database: imports of CSV and parquet, pages, jobs of a cluster, an hourly month.

Where an earlier checkout is measured beside this one, both do each step in turn, on the same file, and the one that
begins changes from step to step.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import stored_resources
from generate import change
from installations import HERE, ROOT, Installation, installation, scratch_database
from processes import Measured, measured
from rollup import HOURS

MONTH = "2025-01"
ROLLUP_MONTH = "2025-06"
T = TypeVar("T")
# "now", and "before" where an earlier checkout is measured too -> what was measured there, by step.
Results = dict[str, dict[str, Any]]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Vendor:
    """A kind of database, and the checkouts that are measured on it."""

    scratch: Path
    checkouts: dict[str, Path]
    postgres_url: str = ""

    @property
    def name(self) -> str:
        return "PostgreSQL" if self.postgres_url else "SQLite"

    @contextlib.contextmanager
    def places(self, *only: str) -> Iterator["Places"]:
        """Give a fresh installation of each checkout, or only of some."""
        with contextlib.ExitStack() as stack:
            yield Places(
                {
                    name: stack.enter_context(
                        installation(self.scratch, checkout=checkout, postgres_url=self.postgres_url)
                    )
                    for name, checkout in self.checkouts.items()
                    if not only or name in only
                }
            )


class Places:
    """Installations that do the same steps in turn."""

    def __init__(self, installations: dict[str, Installation]) -> None:
        self.installations = installations
        self.turn = 0
        self.results: Results = {name: {} for name in installations}

    def each(self, step: str, act: Callable[[Installation], T], *, label: str = "") -> dict[str, T]:
        """Do a step in each installation; return and keep what came of it. A Measured is kept as its figures."""
        names = list(self.installations)
        if self.turn % 2:
            names.reverse()
        self.turn += 1
        done = {}
        for name in names:
            place = self.installations[name]
            which = f", {name}" if len(names) > 1 else ""
            say(f"{place.vendor}: {label or step}{which} …")
            done[name] = act(place)
            value = done[name]
            self.results[name][step] = value.as_data() if isinstance(value, Measured) else value
        return done

    def ingest(self, step: str, file: Path, expected: dict[str, int], *, label: str = "", source: str = "aws") -> None:
        """Import a file in each; what the import counts must be as expected ("new or changed" is the sum of both)."""

        def act(place: Installation) -> Measured:
            run, counts = place.ingest(file, source)
            counts["new or changed"] = counts["new"] + counts["changed"]
            wrong = {name: counts[name] for name, number in expected.items() if counts[name] != number}
            assert not wrong, f"{label or step}: {wrong} instead of {expected}"
            return run

        self.each(step, act, label=label)

    def first_import(self, file: Path, rows: int, *, label: str, source: str = "aws") -> None:
        """Measure a first import, and what a charge of it takes on the disk."""
        empty = {name: place.disk_bytes() for name, place in self.installations.items()}
        self.ingest("first", file, {"new": rows}, label=label, source=source)
        for name, place in self.installations.items():
            self.results[name]["bytes_a_row"] = (place.disk_bytes() - empty[name]) / rows


def run_floors(vendor: Vendor, file: Path, rows: int) -> dict[str, Any]:
    """Measure both floors: by rows into a wide table of this database, and by columns into SQLite."""
    say(f"{vendor.name}: floors …")
    env, folder = dict(os.environ), vendor.scratch / "floor"
    folder.mkdir()
    try:
        with scratch_database(vendor.postgres_url) as url:
            where = ["postgresql", str(file), url] if url else ["sqlite", str(file), str(folder / "rows.sqlite3")]
            by_rows = measured([sys.executable, str(HERE / "floor.py"), *where], env, ROOT)
        seconds, inserted = by_rows.output.split()
        assert int(inserted) == rows, f"the floor inserted {inserted} rows of {rows}"
        command = [sys.executable, str(HERE / "columnar_floor.py"), str(file), str(folder / "columns.sqlite3")]
        by_columns = measured(command, env, ROOT)
        assert by_columns.output.startswith(f"rows {rows} "), by_columns.output
        bytes_a_row = (folder / "columns.sqlite3").stat().st_size / rows
    finally:
        shutil.rmtree(folder)
    return {
        "floor": by_rows.as_data() | {"seconds": float(seconds)},
        "columnar": by_columns.as_data() | {"bytes_a_row": bytes_a_row},
    }


def run_csv(vendor: Vendor, file: Path, rows: int, *, with_pages: bool) -> Results:
    """Measure a first import, the same again, a changed re-delivery, and the pages that show the charges."""
    with vendor.places() as places:
        places.first_import(file, rows, label="first import")
        places.each("sums", lambda place: place.sums(MONTH), label="sum by PI and project")
        # Another name and one more blank at the end make other bytes of the same rows, so that they are matched.
        again, changed = file.with_name("again.csv"), file.with_name("changed.csv")
        copy_with_blank(file, again)
        places.ingest("again", again, {"unchanged": rows, "new": 0, "changed": 0}, label="the same rows again")
        again.unlink()
        count = change(file, changed)
        places.ingest("changed", changed, {"new or changed": count}, label="one row in a hundred changed")
        changed.unlink()
        if with_pages:
            places.each("pages", lambda place: place.pages(file, MONTH))
        return places.results


def run_parquet(vendor: Vendor, file: Path, rows: int) -> Results:
    """Measure parquet of the same rows: a first import and a changed re-delivery."""
    parquet, changed_csv, changed = (file.with_name(name) for name in ("aws.parquet", "changed.csv", "changed.parquet"))
    as_parquet(file, parquet)
    count = change(file, changed_csv)
    as_parquet(changed_csv, changed)
    changed_csv.unlink()
    with vendor.places() as places:
        places.first_import(parquet, rows, label="parquet, first import")
        places.ingest("changed", changed, {"new or changed": count}, label="parquet, one row in a hundred changed")
        results = places.results
    parquet.unlink()
    changed.unlink()
    return results


def run_jobs(vendor: Vendor, file: Path, rows: int, stored: int) -> Results:
    """Measure jobs of a cluster, each a resource of its own: first of all, and where many resources are stored."""
    with vendor.places() as places:
        places.first_import(file, rows, label="jobs, first import", source="hpc")
        results = places.results
    # An installation of before has no table of resources to fill: its figures do not depend on them.
    with vendor.places("now") as places:
        say(f"{vendor.name}: storing {stored:,} resources …")
        if stored_resources.fill(places.installations["now"], stored):
            places.first_import(file, rows, label=f"jobs, with {stored:,} resources stored", source="hpc")
            results["now"]["with_stored"] = places.results["now"] | {"stored": stored}
        else:
            say(f"{vendor.name}: left out: resources have no table of their own.")
            results["now"]["with_stored"] = None
    return results


def run_rollup(vendor: Vendor, file: Path, rows: int) -> Results:
    """Measure the import of an hourly month that is added up to charges of the month."""
    with vendor.places() as places:
        for place in places.installations.values():
            place.manage("sources", "set", "aws", "--grain", "month")
        # The hours of a month of each resource, as benchmarks/rollup.py writes them.
        whole = max(1, rows // HOURS) * HOURS
        places.ingest("first", file, {"rows": whole}, label=f"adding up {whole:,} rows")
        return places.results


def copy_with_blank(file: Path, target: Path) -> None:
    shutil.copyfile(file, target)
    with target.open("a", encoding="utf-8") as more:
        more.write("\n")


def as_parquet(file: Path, parquet: Path) -> None:
    """Write the rows of a CSV as parquet, by another process: a child's peak memory begins at its parent's."""
    call = "import sys, pathlib, generate; generate.as_parquet(*map(pathlib.Path, sys.argv[1:]))"
    subprocess.run([sys.executable, "-c", call, str(file), str(parquet)], check=True, cwd=HERE)


def growth(vendor: Vendor, file: Path, *, rows: int, first: float, again: float) -> dict[str, Any]:
    """Import twice as many rows, first and again; return the bytes that each beyond `rows` took (peaks in MiB)."""
    with vendor.places("now") as places:
        places.ingest("first", file, {"new": rows * 2}, label=f"{rows * 2:,} rows, first")
        again_file = file.with_name("again.csv")
        copy_with_blank(file, again_file)
        places.ingest("again", again_file, {"unchanged": rows * 2}, label=f"{rows * 2:,} rows, again")
        again_file.unlink()
        now = places.results["now"]
    beyond = {
        name: (now[name]["peak_mib"] - peak) * 1024**2 / rows for name, peak in (("first", first), ("again", again))
    }
    return {"rows": rows * 2, "bytes_a_row": beyond, **now}


def small_peak(vendor: Vendor, file: Path, rows: int) -> float:
    """Return the peak memory of a first import of a tenth of the rows."""
    with vendor.places("now") as places:
        places.ingest("first", file, {"new": rows}, label="a tenth of the rows")
        return float(places.results["now"]["first"]["peak_mib"])
