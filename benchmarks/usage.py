"""Read, price and import the jobs of a month, beside importing the same FOCUS rows: `python benchmarks/usage.py`.

Writes what `sacct --parsable2` prints for a million jobs of 200 accounts. One installation reads it by `manage.py
usage`, prices it by a rate with three tiers, and imports what came of it. Another imports the FOCUS file that the first
one made. Promised: at most 1.5 times the CPU of the second, and less than 400 MiB for all processes together. Then
`rates try` prices the month by a draft with other prices, as it is done before a rate goes live.
`BENCH_POSTGRES_URL` adds PostgreSQL; `--strict` ends with 1 where a promise does not hold.
"""

import argparse
import json
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from installations import Installation, installation

ACCOUNTS = 200
MONTH = "2025-06"
START = 1748736000
SECONDS = 30 * 86400
FIELDS = "JobIDRaw|JobID|Cluster|Partition|QOS|Account|User|Start|End|ElapsedRaw|State|NNodes|AllocTRES"
RATES = {
    "rates": [
        {
            "code": "cpu",
            "service": "Cluster CPU",
            "counts": [{"measure": "cpu_seconds", "unit": "core-hour"}],
            "unit": "core-hour",
            "tiers": [{"up_to": "1000", "price": "0.014"}, {"up_to": "50000", "price": "0.008"}, {"price": "0.005"}],
        }
    ]
}
SET_UP = """
import os, json, django
os.environ["DJANGO_SETTINGS_MODULE"] = "openchargeback.settings"
django.setup()
from django.utils import timezone
from billing.models import Person, Project, RateSchedule, Source
hpc, _ = Source.objects.get_or_create(name="hpc")
Source.objects.filter(name="hpc").update(import_mode="snapshot", kind="internal")
for number in range({accounts}):
    pi = Person.objects.create(email=f"pi{{number}}@u.edu", is_listed=True)
    Project.objects.create(code=f"lab{{number:03}}", pi=pi, default_fund_org=f"FUND-{{number:03}}")
RateSchedule.objects.create(name="bench", version=1, state="released", valid_from="2025-06-01",
                            content=json.loads('''{rates}'''), created_at=timezone.now())
"""


def write_jobs(path: Path, count: int) -> None:
    """Write the jobs of a month, one line each."""
    chance = random.Random(1)  # noqa: S311 (the same every time)
    shapes = [(cores, f"billing={cores},cpu={cores},mem={cores * 4}G,node=1") for cores in (1, 2, 4, 8, 16, 32, 64)]
    with path.open("w", encoding="utf-8") as file:
        file.write(FIELDS + "\n")
        for number in range(count):
            _, tres = shapes[number % len(shapes)]
            elapsed = chance.randrange(60, 86_400)
            start = START + chance.randrange(0, SECONDS - elapsed)
            account = chance.randrange(ACCOUNTS)
            file.write(
                f"{number}|{number}|bench|batch|normal|lab{account:03}|u{account:03}|{start}|{start + elapsed}|"
                f"{elapsed}|COMPLETED|1|{tres}\n"
            )


def set_up(place: Installation) -> None:
    """Add the accounts' projects and the rates."""
    place.run("-c", SET_UP.format(accounts=ACCOUNTS, rates=json.dumps(RATES)))


def focus_file(place: Installation) -> Path:
    """Return the FOCUS file that pricing made: the largest that was received."""
    received = (path for path in (place.var / "files").rglob("*") if path.is_file())
    code = (
        "import os, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'openchargeback.settings'; django.setup();"
        "from billing.models import PricedMonth; print(PricedMonth.objects.get().focus_file.path)"
    )
    name = place.run("-c", code).output.strip()
    return next(path for path in received if str(path).endswith(name))


def measure(scratch: Path, jobs: Path, postgres_url: str) -> dict[str, Any]:
    """Return CPU, time and memory of both, on one database."""
    with installation(scratch, postgres_url=postgres_url) as place:
        set_up(place)
        place.manage("feeds", "add", "bench", "-s", "hpc", "--kind", "slurm", "--schedule", "bench")
        usage = place.manage("usage", str(jobs), "-f", "bench", "--json")
        answer = json.loads(usage.output)
        tried = try_draft(place, scratch)
        kept = scratch / "bench_2025-06.parquet"
        kept.write_bytes(focus_file(place).read_bytes())
    with installation(scratch, postgres_url=postgres_url) as place:
        set_up(place)
        focus, same = place.ingest(kept, "hpc")
    (month,) = answer["months"]
    if (month["rows"], month["import"]["totals"]) != (same["rows"], same["totals"]):
        raise SystemExit("What was imported is not what was priced.")
    kept.unlink()
    return {
        "usage": usage.as_data(),
        "focus": focus.as_data(),
        "rows": month["rows"],
        "totals": same["totals"],
        "try": tried,
    }


def try_draft(place: Installation, scratch: Path) -> dict[str, Any]:
    """Draft higher rates and try them on the month; return what that took."""
    rates = scratch / "rates.json"
    rates.write_text(json.dumps(RATES).replace('"0.0', '"0.1'), encoding="utf-8")
    place.manage("rates", "import", str(rates), "--name", "bench", "--from", MONTH)
    tried = place.manage("rates", "try", "bench", "2", "--json")
    charged = json.loads(tried.output)["charged"]
    if charged["now"] == charged["then"]:
        raise SystemExit("Other rates were tried, and nobody would be charged otherwise.")
    return tried.as_data()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--strict", action="store_true", help="exit with 1 where a promise does not hold")
    given = parser.parse_args()
    held = True
    with tempfile.TemporaryDirectory(prefix="bench-usage-") as folder:
        scratch = Path(folder)
        jobs = scratch / "sacct.txt"
        write_jobs(jobs, given.jobs)
        print(f"{given.jobs:,} jobs, {jobs.stat().st_size / 1e6:,.0f} MB")
        for name, url in (("SQLite", ""), ("PostgreSQL", os.environ.get("BENCH_POSTGRES_URL", ""))):
            if name == "SQLite" or url:
                found = measure(scratch, jobs, url)
                usage, focus = found["usage"], found["focus"]
                ratio = usage["cpu"] / focus["cpu"]
                memory = usage["pss_mib"] or usage["peak_mib"]
                held &= ratio <= 1.5 and memory < 400
                told = f"CPU {focus['cpu']:.1f} s, {focus['wall']:.1f} s"
                print(f"{name}: usage CPU {usage['cpu']:.1f} s, {usage['wall']:.1f} s, {memory:.0f} MiB")
                print(f"  the same FOCUS rows {told}; usage takes {ratio:.2f} of their CPU (promised: at most 1.5)")
                tried = found["try"]
                memory = tried["pss_mib"] or tried["peak_mib"]
                print(f"  trying other rates CPU {tried['cpu']:.1f} s, {tried['wall']:.1f} s, {memory:.0f} MiB")
    sys.exit(1 if given.strict and not held else 0)


if __name__ == "__main__":
    main()
