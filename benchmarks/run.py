"""Measure imports, pages, sums and statements against two floors of the same run: `make bench`.

Everything happens in a scratch folder that is removed afterwards. The table goes to standard
output, the figures to benchmarks/out/latest.json. BENCH_POSTGRES_URL adds a PostgreSQL leg: it
names a server and a user who may create databases. With --against, a checkout of an earlier commit
does the same in turn, on the same files.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import processes
from installations import HERE, ROOT
from legs import (
    MONTH,
    ROLLUP_MONTH,
    Vendor,
    growth,
    run_csv,
    run_floors,
    run_jobs,
    run_parquet,
    run_rollup,
    say,
    small_peak,
)
from processes import measured
from report import report

FULL_ROLLUP = 10_000_000


def statements_per_second(count: int) -> dict[str, Any]:
    """Return what benchmarks/statements.py measures, as its JSON."""
    env = {**os.environ, "DEBUG": "true"}
    run = measured([sys.executable, str(HERE / "statements.py"), "--statements", str(count), "--json"], env, ROOT)
    figures: dict[str, Any] = json.loads(run.output)
    return figures


def written(scratch: Path, rows: int, name: str, *options: str) -> Path:
    """Write a file of so many rows."""
    file = scratch / name
    say(f"Writing {file.name}: {rows:,} rows …")
    script, more = ("rollup.py", ["--step", "write", "--file"]) if file.suffix == ".parquet" else ("generate.py", [])
    command = [sys.executable, str(HERE / script), *more, str(file), "--rows", str(rows), *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return file


def legs_of(vendors: list[Vendor], file: Path, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure what depends on the database, on each."""
    jobs, hours = Path(), Path()
    scratch = file.parent
    if given.jobs:
        jobs = written(scratch, given.rows, f"hpc_{MONTH}.csv", "--jobs", "--month", MONTH)
    if given.rollup:
        hours = written(scratch, given.rollup, f"aws_{ROLLUP_MONTH}.parquet")
    legs = []
    for vendor in vendors:
        leg: dict[str, Any] = {"vendor": vendor.name, "rows": given.rows, **run_floors(vendor, file, given.rows)}
        parts = {
            "csv": run_csv(vendor, file, given.rows, with_pages=given.pages),
            "parquet": run_parquet(vendor, file, given.rows),
        }
        if given.jobs:
            stored = given.rows * 10 if given.stored is None else given.stored
            parts["jobs"] = run_jobs(vendor, jobs, given.rows, stored)
        if given.rollup:
            parts["rollup"] = run_rollup(vendor, hours, given.rollup)
        for name in vendor.checkouts:
            leg[name] = {part: results[name] for part, results in parts.items()}
        legs.append(leg)
    return legs


def measure(scratch: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Return all figures."""
    checkouts = {"now": ROOT} | ({"before": given.against.resolve()} if given.against else {})
    vendors = [Vendor(scratch, checkouts)]
    if url := os.environ.get("BENCH_POSTGRES_URL", ""):
        vendors.append(Vendor(scratch, checkouts, url))
    file = written(scratch, given.rows, f"aws_{MONTH}.csv", "--month", MONTH)
    figures: dict[str, Any] = {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "file_mb": round(file.stat().st_size / 1e6),
        "commits": {name: commit_of(checkout) for name, checkout in checkouts.items()},
        "rollup_rows": given.rollup,
        "legs": legs_of(vendors, file, given),
    }
    tenth = max(given.rows // 10, 1)
    small = written(scratch, tenth, f"aws_small_{MONTH}.csv", "--month", MONTH)
    figures["small_peak_mib"] = small_peak(vendors[0], small, tenth)
    figures["growth"] = None
    if given.growth:
        csv = figures["legs"][0]["now"]["csv"]
        peaks = {step: csv[step]["peak_mib"] for step in ("first", "again")}
        twice = written(scratch, given.rows * 2, f"aws_twice_{MONTH}.csv", "--month", MONTH)
        figures["growth"] = growth(vendors[0], twice, rows=given.rows, **peaks)
    if given.statements:
        say("Statements …")
        figures["statements"] = statements_per_second(given.statements)
    return figures


def commit_of(checkout: Path) -> str:
    """Return the commit of a checkout, or "" where git cannot tell."""
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--statements", type=int, default=300, help="how many PDFs to draw; 0: none")
    parser.add_argument("--growth", action="store_true", help="import twice as many rows too, to see what a row takes")
    parser.add_argument("--pages", action="store_true", help="time the dashboard, the lists of charges and the queue")
    parser.add_argument("--jobs", action="store_true", help="import jobs of a cluster, each a resource of its own")
    parser.add_argument("--stored", type=int, help="with --jobs: resources stored before (default: 10 times --rows)")
    parser.add_argument(
        "--rollup", type=int, nargs="?", const=FULL_ROLLUP, default=0, metavar="ROWS", help="add up an hourly month"
    )
    parser.add_argument("--full", action="store_true", help="all of --growth, --pages, --jobs and --rollup")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="measure an earlier checkout in turn")
    parser.add_argument("--strict", action="store_true", help="exit with 1 where a promise does not hold")
    given = parser.parse_args()
    if given.full:
        given.growth = given.pages = given.jobs = True
        given.rollup = given.rollup or FULL_ROLLUP
    if given.against and not (given.against / "manage.py").is_file():
        parser.error(f"{given.against} is no checkout: it has no manage.py.")
    return given


def main() -> None:
    given = options()
    # Stopped in any way, it removes its databases and files.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped."))
    if not processes.IS_LINUX:
        say(processes.ELSEWHERE)
    scratch = Path(tempfile.mkdtemp(prefix="openchargeback-bench-"))
    try:
        figures = measure(scratch, given)
    except processes.Failed as error:
        sys.exit(str(error))
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
