"""Measure loading, re-loading, sums and statements against a floor of the same run: `make bench`.

Everything happens in a scratch folder that is removed afterwards. The table goes to standard
output, the figures to benchmarks/out/latest.json. BENCH_POSTGRES_URL adds a PostgreSQL leg: it
names a server and a user who may create databases.
"""

import argparse
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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from generate import change

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MONTH = "2025-01"

# What is promised: ratios to the floor, MiB, seconds, PDFs a second.
LEAST_SPEED = 0.6
MOST_AGAIN = 1.2
MOST_MEMORY = 400
MOST_BYTES_A_ROW = 150
MOST_SUM_SECONDS = 0.5
LEAST_PDFS = 60


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


def judged(value: str, promised: str, holds: bool) -> tuple[str, str, str]:
    return value, promised, "yes" if holds else "NO"


def report(figures: dict[str, Any]) -> tuple[str, bool]:
    """Set the figures in a table beside what is promised; return it and whether all holds."""
    lines: list[tuple[str, tuple[str, str, str]]] = []
    for leg in figures["legs"]:
        rows, first, again = leg["rows"], leg["first"], leg["again"]
        name = leg["vendor"]
        lines += [
            (
                f"{name}: floor",
                (
                    f"{leg['floor_seconds']:.1f} s  {rows / leg['floor_seconds']:,.0f} rows/s  "
                    f"(CPU {leg['floor_cpu_seconds']:.1f} s)",
                    "",
                    "",
                ),
            ),
            (
                f"{name}: first import",
                (f"{first['wall']:.1f} s  {rows / first['wall']:,.0f} rows/s  (CPU {first['cpu']:.1f} s)", "", ""),
            ),
            (
                f"{name}: speed of the floor",
                judged(
                    f"{leg['speed_of_floor']:.2f} (by CPU {leg['speed_of_floor_by_cpu']:.2f})",
                    f"≥ {LEAST_SPEED}",
                    leg["speed_of_floor"] >= LEAST_SPEED,
                ),
            ),
            (
                f"{name}: peak memory, first import",
                judged(f"{first['peak_mib']:.0f} MiB", f"< {MOST_MEMORY}", first["peak_mib"] < MOST_MEMORY),
            ),
            (
                f"{name}: the same rows again",
                judged(
                    f"{again['wall']:.1f} s ({leg['again_to_first']:.2f} of the first)",
                    "≤ 1.00",
                    leg["again_to_first"] <= 1,
                ),
            ),
            (
                f"{name}: 1 % of the rows changed",
                judged(
                    f"{leg['changed']['wall']:.1f} s ({leg['changed_to_first']:.2f} of the first)",
                    f"≤ {MOST_AGAIN:.2f}",
                    leg["changed_to_first"] <= MOST_AGAIN,
                ),
            ),
            (
                f"{name}: peak memory, again",
                judged(f"{again['peak_mib']:.0f} MiB", f"< {MOST_MEMORY}", again["peak_mib"] < MOST_MEMORY),
            ),
            (
                f"{name}: sum by PI and project ({leg['sum_groups']})",
                judged(
                    f"{leg['sum_best_seconds'] * 1000:.0f} ms (first {leg['sum_first_seconds'] * 1000:.0f} ms)",
                    f"< {MOST_SUM_SECONDS * 1000:.0f} ms",
                    leg["sum_first_seconds"] < MOST_SUM_SECONDS,
                ),
            ),
        ]
        if parquet := leg.get("parquet"):
            first, changed = parquet["first"], parquet["changed"]
            lines += [
                (
                    f"{name}: parquet, first import",
                    judged(
                        f"{first['wall']:.1f} s ({parquet['speed_of_floor']:.2f} of the floor of CSV)",
                        f"≥ {LEAST_SPEED}",
                        parquet["speed_of_floor"] >= LEAST_SPEED,
                    ),
                ),
                (
                    f"{name}: parquet, 1 % of the rows changed",
                    judged(
                        f"{changed['wall']:.1f} s ({parquet['changed_to_first']:.2f} of the first)",
                        f"≤ {MOST_AGAIN:.2f}",
                        parquet["changed_to_first"] <= MOST_AGAIN,
                    ),
                ),
                (
                    f"{name}: parquet, peak memory",
                    judged(
                        f"{first['peak_mib']:.0f} MiB, again {changed['peak_mib']:.0f} MiB",
                        f"< {MOST_MEMORY}",
                        max(first["peak_mib"], changed["peak_mib"]) < MOST_MEMORY,
                    ),
                ),
            ]
    # Below half a million rows it is what the program itself needs that is compared.
    if (grows := figures.get("bytes_a_row")) and figures["legs"][0]["rows"] >= 500_000:
        lines += [
            (
                "SQLite: memory of each row beyond, first import",
                # Less than a count of each row's would take: what is left is noise.
                judged(f"{grows['first']:.0f} bytes", "none", grows["first"] < 16),
            ),
            (
                "SQLite: memory of each row beyond, again",
                judged(f"{grows['again']:.0f} bytes", f"< {MOST_BYTES_A_ROW}", grows["again"] < MOST_BYTES_A_ROW),
            ),
        ]
    if peak := figures.get("small_peak_mib"):
        large = figures["legs"][0]["first"]["peak_mib"]
        lines.append(
            (
                "SQLite: memory at a tenth of the rows",
                judged(f"{peak:.0f} MiB (then {large:.0f})", "grows < 15 %", large < peak * 1.15)
                if figures["legs"][0]["rows"] >= 500_000
                else (f"{peak:.0f} MiB (then {large:.0f})", "", ""),
            )
        )
    if pdfs := figures.get("statements"):
        lines.append(
            (
                "Statements",
                judged(f"{pdfs['per_second']:.0f} PDF/s per core", f"≥ {LEAST_PDFS}", pdfs["per_second"] >= LEAST_PDFS),
            )
        )
    wide = max(len(label) for label, _ in lines)
    middle = max(len(cells[0]) for _, cells in lines)
    text = "\n".join(
        f"{label.ljust(wide)}  {value.ljust(middle)}  {promised.ljust(13)}{holds}".rstrip()
        for label, (value, promised, holds) in lines
    )
    return text, all(cells[2] != "NO" for _, cells in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--statements", type=int, default=300, help="how many PDFs to draw; 0: none")
    parser.add_argument("--growth", action="store_true", help="import twice as many rows too, to see what a row takes")
    parser.add_argument("--strict", action="store_true", help="exit with 1 where a promise does not hold")
    given = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="openchargeback-bench-"))
    url = os.environ.get("BENCH_POSTGRES_URL", "")
    try:
        files = {}
        for rows in {given.rows, max(given.rows // 10, 1), *([given.rows * 2] if given.growth else ())}:
            files[rows] = scratch / f"aws_{rows}_{MONTH}.csv"
            say(f"Writing {rows:,} rows …")
            subprocess.run(
                [sys.executable, str(HERE / "generate.py"), str(files[rows]), "--rows", str(rows), "--month", MONTH],
                check=True,
                stdout=subprocess.DEVNULL,
            )
        (scratch / "sqlite").mkdir()
        (scratch / "small").mkdir()
        legs = [run_leg(Bench(scratch / "sqlite"), files=files, rows=given.rows)]
        shutil.rmtree(scratch / "sqlite")
        (scratch / "sqlite").mkdir()
        of_parquet = {"file": files[given.rows], "rows": given.rows}
        legs[0]["parquet"] = run_parquet(Bench(scratch / "sqlite"), floor=legs[0]["floor_seconds"], **of_parquet)
        shutil.rmtree(scratch / "sqlite")
        say("SQLite: a tenth of the rows …")
        peak = small_peak(scratch / "small", files[max(given.rows // 10, 1)])
        grows = None
        if given.growth:
            say(f"SQLite: {given.rows * 2:,} rows, first and again …")
            (scratch / "growth").mkdir()
            grows = growth(scratch / "growth", files[given.rows * 2], rows=given.rows, leg=legs[0])
            shutil.rmtree(scratch / "growth")
        if url:
            for is_parquet in (False, True):
                database, name = postgres_database(url)
                (scratch / "postgresql").mkdir()
                bench = Bench(scratch / "postgresql", postgres_url=database)
                try:
                    if is_parquet:
                        legs[1]["parquet"] = run_parquet(bench, floor=legs[1]["floor_seconds"], **of_parquet)
                    else:
                        legs.append(run_leg(bench, files=files, rows=given.rows))
                finally:
                    drop_postgres_database(url, name)
                    shutil.rmtree(scratch / "postgresql")
        figures: dict[str, Any] = {
            "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "file_mb": round(files[given.rows].stat().st_size / 1e6),
            "legs": legs,
            "small_peak_mib": peak,
            "bytes_a_row": grows,
        }
        if given.statements:
            say("Statements …")
            figures["statements"] = statements_per_second(given.statements)
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
