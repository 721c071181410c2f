"""Measure loading, re-loading, sums and statements against a floor of the same run: `make bench`.

Everything happens in a scratch folder that is removed afterwards. The table goes to standard
output, the figures to benchmarks/out/latest.json. BENCH_POSTGRES_URL adds a PostgreSQL leg: it
names a server and a user who may create databases.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from generate import change
from report import report

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MONTH = "2025-01"


@dataclass(frozen=True)
class Measured:
    """A child process: wall and CPU seconds, its peak memory in MiB, and what it printed."""

    wall: float
    cpu: float
    peak_mib: float
    output: str


def measured(command: list[str], env: dict[str, str]) -> Measured:
    """Run a command to its end and measure it alone; a failure ends the benchmark with its words."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        child = subprocess.Popen(command, env=env, cwd=ROOT, stdout=output, stderr=errors)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if child.returncode:
            sys.exit(f"{' '.join(command)} ended with {child.returncode}:\n{errors.read()}{output.read()}")
        return Measured(wall, usage.ru_utime + usage.ru_stime, _mib(usage), output.read())


def _mib(usage: resource.struct_rusage) -> float:
    """Peak resident memory; Linux counts KiB, macOS bytes."""
    return usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1024 * 1024)


class Bench:
    """One leg: a database of one vendor, and what was measured on it."""

    def __init__(self, scratch: Path, *, postgres_url: str = "") -> None:
        self.scratch = scratch
        self.var = scratch / "var"
        self.postgres_url = postgres_url
        self.vendor = "PostgreSQL" if postgres_url else "SQLite"
        self.env = {
            **os.environ,
            "DEBUG": "false",
            "SECRET_KEY": "only-for-a-scratch-database-of-the-benchmark-0123456789",
            "VAR_DIR": str(self.var),
            "EMAIL_URL": "",
            "DATABASE_URL": postgres_url or f"sqlite:///{self.var / 'db.sqlite3'}",
        }

    def manage(self, *arguments: str) -> Measured:
        return measured([sys.executable, "manage.py", *arguments], self.env)

    def floor(self, file: Path) -> tuple[float, float, int]:
        """Return wall and CPU seconds, and rows."""
        where = ["postgresql", self.postgres_url, str(file)]
        if not self.postgres_url:
            where = ["sqlite", str(self.var / "db.sqlite3"), str(file), str(self.scratch / "floor.sqlite3")]
        run = measured([sys.executable, str(HERE / "floor.py"), *where], self.env)
        seconds, rows = run.output.split()
        (self.scratch / "floor.sqlite3").unlink(missing_ok=True)
        return float(seconds), run.cpu, int(rows)

    def ingest(self, file: Path) -> tuple[Measured, dict[str, Any]]:
        run = self.manage("ingest", str(file), "-s", "aws", "--json")
        return run, json.loads(run.output)

    def sums(self) -> tuple[float, float, int]:
        first, best, groups = measured([sys.executable, str(HERE / "sums.py"), MONTH], self.env).output.split()
        return float(first), float(best), int(groups)


def run_leg(bench: Bench, *, files: dict[int, Path], rows: int) -> dict[str, Any]:
    """Measure one vendor: the floor, a first import, the same again, and a changed re-delivery."""
    bench.manage("initialize")
    say(f"{bench.vendor}: floor …")
    floor, floor_cpu, floor_rows = bench.floor(files[rows])
    assert floor_rows == rows, f"the floor inserted {floor_rows} rows of {rows}"
    say(f"{bench.vendor}: first import …")
    first, result = bench.ingest(files[rows])
    assert result["new"] == rows, f"{result['new']} of {rows} rows are new"
    sum_first, sum_best, groups = bench.sums()
    # Another name and one more blank at the end make other bytes of the same rows, so that they are matched.
    again_file = files[rows].with_name("again.csv")
    shutil.copyfile(files[rows], again_file)
    with again_file.open("a", encoding="utf-8") as file:
        file.write("\n")
    say(f"{bench.vendor}: the same rows again …")
    again, result = bench.ingest(again_file)
    assert (result["unchanged"], result["new"], result["changed"]) == (rows, 0, 0), result
    again_file.unlink()
    changed_file = files[rows].with_name("changed.csv")
    changed_rows = change(files[rows], changed_file)
    say(f"{bench.vendor}: one row in a hundred changed …")
    changed, result = bench.ingest(changed_file)
    assert result["changed"] + result["new"] == changed_rows, result
    changed_file.unlink()
    return {
        "vendor": bench.vendor,
        "rows": rows,
        "floor_seconds": floor,
        "floor_cpu_seconds": floor_cpu,
        "first": {key: value for key, value in asdict(first).items() if key != "output"},
        "again": {key: value for key, value in asdict(again).items() if key != "output"},
        "changed": {key: value for key, value in asdict(changed).items() if key != "output"},
        "changed_to_first": changed.wall / first.wall,
        "speed_of_floor": floor / first.wall,
        "speed_of_floor_by_cpu": floor_cpu / first.cpu,
        "again_to_first": again.wall / first.wall,
        "sum_first_seconds": sum_first,
        "sum_best_seconds": sum_best,
        "sum_groups": groups,
    }


def run_parquet(bench: Bench, *, file: Path, rows: int, floor: float) -> dict[str, Any]:
    """Measure parquet of the same rows: a first import and a changed re-delivery; `floor` is that of the CSV."""
    bench.manage("initialize")
    parquet, changed_csv, changed_file = (
        file.with_name(name) for name in ("aws.parquet", "changed.csv", "changed.parquet")
    )
    as_parquet(file, parquet)
    changed_rows = change(file, changed_csv)
    as_parquet(changed_csv, changed_file)
    changed_csv.unlink()
    say(f"{bench.vendor}: parquet, first import …")
    first, result = bench.ingest(parquet)
    assert result["new"] == rows, f"{result['new']} of {rows} rows are new"
    say(f"{bench.vendor}: parquet, one row in a hundred changed …")
    changed, result = bench.ingest(changed_file)
    assert result["changed"] + result["new"] == changed_rows, result
    parquet.unlink()
    changed_file.unlink()
    return {
        "first": {key: value for key, value in asdict(first).items() if key != "output"},
        "changed": {key: value for key, value in asdict(changed).items() if key != "output"},
        "speed_of_floor": floor / first.wall,
        "changed_to_first": changed.wall / first.wall,
    }


def growth(scratch: Path, file: Path, *, rows: int, leg: dict[str, Any]) -> dict[str, float]:
    """Return the bytes that each row beyond `rows` takes: twice as many, first and again, on a database of its own."""
    bench = Bench(scratch)
    bench.manage("initialize")
    first, _ = bench.ingest(file)
    again_file = file.with_name("again.csv")
    shutil.copyfile(file, again_file)
    with again_file.open("a", encoding="utf-8") as more:
        more.write("\n")
    again, _ = bench.ingest(again_file)
    again_file.unlink()
    return {
        name: (peak - leg[name]["peak_mib"]) * 1024**2 / rows
        for name, peak in (("first", first.peak_mib), ("again", again.peak_mib))
    }


def small_peak(scratch: Path, file: Path) -> float:
    """Return the peak memory of a first import of a tenth of the rows, on a database of its own."""
    bench = Bench(scratch)
    bench.manage("initialize")
    return bench.ingest(file)[0].peak_mib


def statements_per_second(count: int) -> dict[str, Any]:
    """Return what benchmarks/statements.py measures, as its JSON."""
    env = {**os.environ, "DEBUG": "true"}
    run = measured([sys.executable, str(HERE / "statements.py"), "--statements", str(count), "--json"], env)
    figures: dict[str, Any] = json.loads(run.output)
    return figures


def postgres_database(url: str) -> tuple[str, str]:
    """Make a scratch database on the server; return its URL and its name."""
    import psycopg

    name = f"bench_{os.getpid()}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return urllib.parse.urlsplit(url)._replace(path=f"/{name}").geturl(), name


def drop_postgres_database(url: str, name: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def as_parquet(file: Path, parquet: Path) -> None:
    """Write the rows of a CSV as parquet, by another process: a child's peak memory begins at its parent's."""
    call = "import sys, pathlib, generate; generate.as_parquet(*map(pathlib.Path, sys.argv[1:]))"
    subprocess.run([sys.executable, "-c", call, str(file), str(parquet)], check=True, cwd=HERE)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def written(scratch: Path, sizes: set[int]) -> dict[int, Path]:
    """Write a file of each number of rows; return them by it."""
    files = {}
    for rows in sizes:
        files[rows] = scratch / f"aws_{rows}_{MONTH}.csv"
        say(f"Writing {rows:,} rows …")
        subprocess.run(
            [sys.executable, str(HERE / "generate.py"), str(files[rows]), "--rows", str(rows), "--month", MONTH],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    return files


@contextlib.contextmanager
def folder_in(scratch: Path, name: str) -> Iterator[Path]:
    """Give a folder that is removed afterwards, so that no leg needs the room of another."""
    folder = scratch / name
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def on_postgres(scratch: Path, url: str) -> Iterator[Bench]:
    """Give a bench on a scratch database of the server."""
    database, name = postgres_database(url)
    with folder_in(scratch, "postgresql") as folder:
        try:
            yield Bench(folder, postgres_url=database)
        finally:
            drop_postgres_database(url, name)


def run_legs(scratch: Path, files: dict[int, Path], rows: int, postgres_url: str) -> list[dict[str, Any]]:
    """Measure CSV and parquet on SQLite, and on PostgreSQL where a server is named."""
    of_parquet = {"file": files[rows], "rows": rows}
    with folder_in(scratch, "sqlite") as folder:
        legs = [run_leg(Bench(folder), files=files, rows=rows)]
    with folder_in(scratch, "sqlite") as folder:
        legs[0]["parquet"] = run_parquet(Bench(folder), floor=legs[0]["floor_seconds"], **of_parquet)
    if postgres_url:
        with on_postgres(scratch, postgres_url) as bench:
            legs.append(run_leg(bench, files=files, rows=rows))
        with on_postgres(scratch, postgres_url) as bench:
            legs[1]["parquet"] = run_parquet(bench, floor=legs[1]["floor_seconds"], **of_parquet)
    return legs


def measure(scratch: Path, *, rows: int, statements: int, with_growth: bool) -> dict[str, Any]:
    """Return all figures."""
    tenth = max(rows // 10, 1)
    files = written(scratch, {rows, tenth, *([rows * 2] if with_growth else ())})
    legs = run_legs(scratch, files, rows, os.environ.get("BENCH_POSTGRES_URL", ""))
    figures: dict[str, Any] = {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "file_mb": round(files[rows].stat().st_size / 1e6),
        "legs": legs,
    }
    say("SQLite: a tenth of the rows …")
    with folder_in(scratch, "small") as folder:
        figures["small_peak_mib"] = small_peak(folder, files[tenth])
    figures["bytes_a_row"] = None
    if with_growth:
        say(f"SQLite: {rows * 2:,} rows, first and again …")
        with folder_in(scratch, "growth") as folder:
            figures["bytes_a_row"] = growth(folder, files[rows * 2], rows=rows, leg=legs[0])
    if statements:
        say("Statements …")
        figures["statements"] = statements_per_second(statements)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--statements", type=int, default=300, help="how many PDFs to draw; 0: none")
    parser.add_argument("--growth", action="store_true", help="import twice as many rows too, to see what a row takes")
    parser.add_argument("--strict", action="store_true", help="exit with 1 where a promise does not hold")
    given = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="openchargeback-bench-"))
    try:
        figures = measure(scratch, rows=given.rows, statements=given.statements, with_growth=given.growth)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    out = HERE / "out"
    out.mkdir(exist_ok=True)
    (out / "latest.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    text, all_hold = report(figures)
    print(f"{given.rows:,} rows, {figures['file_mb']} MB, Python {figures['python']}, {figures['cores']} cores")
    print(text)
    print(f"Figures: {(out / 'latest.json').relative_to(ROOT)}")
    if given.strict and not all_hold:
        sys.exit(1)


if __name__ == "__main__":
    main()
