"""Add up an hourly month to days or months: `python benchmarks/rollup.py --rows 10000000`.

Writes a parquet file of usage by the hour (the resources 720 times over, costs as doubles of up to ten decimals), then
measures adding it up (nothing stored), and the whole import into a scratch SQLite database. Each runs in
a process of its own, which says its peak memory.
"""

import argparse
import datetime
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

ROOT = Path(__file__).resolve().parent.parent
HOURS = 720
GROUP = 250_000


def write(path: Path, rows: int) -> None:
    """Write the hours of a month, hour after hour, as the providers do."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    resources = max(1, rows // HOURS)
    random = np.random.default_rng(1)
    numbers = np.arange(resources)
    price = np.round(random.uniform(0.001, 2, resources), 4)
    dictionaries = {name: pa.array(values).dictionary_encode() for name, values in texts_of(numbers).items()}
    start = datetime.datetime(2025, 6, 1, tzinfo=datetime.UTC)
    hours_a_group = max(1, GROUP // resources)
    writer = None
    for first in range(0, HOURS, hours_a_group):
        hours = min(hours_a_group, HOURS - first)
        positions = np.tile(numbers, hours)
        moments = np.repeat(np.arange(first, first + hours), resources)
        quantity = np.round(random.uniform(0, 1, len(positions)), 6)
        cost = np.round(quantity * price[positions], 10)
        columns = {name: array.take(pa.array(positions)) for name, array in dictionaries.items()}
        micros = (int(start.timestamp()) + moments * 3600) * 1_000_000
        columns["ChargePeriodStart"] = pa.array(micros, pa.timestamp("us", "UTC"))
        columns["ChargePeriodEnd"] = pa.array(micros + 3_600_000_000, pa.timestamp("us", "UTC"))
        for name in ("BilledCost", "EffectiveCost", "ContractedCost"):
            columns[name] = pa.array(cost)
        columns["ListCost"] = pa.array(np.round(cost * 1.2, 10))
        columns["ListUnitPrice"] = pa.array(price[positions])
        columns["PricingQuantity"] = columns["ConsumedQuantity"] = pa.array(quantity)
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema, compression="snappy")
        writer.write_table(table)
    if writer:
        writer.close()


def texts_of(numbers: "np.ndarray") -> "dict[str, np.ndarray]":
    """Return what each hour says of each resource in the same words, by column."""
    import numpy as np

    def same(text: str) -> "np.ndarray":
        return np.full(len(numbers), text)

    kinds = numbers % 8
    return {
        "BillingAccountId": same("123456789012"),
        "BillingCurrency": same("USD"),
        "BillingPeriodStart": same("2025-06-01T00:00:00Z"),
        "BillingPeriodEnd": same("2025-07-01T00:00:00Z"),
        "ChargeCategory": same("Usage"),
        "ChargeDescription": np.array([f"usage of kind {kind} per hour" for kind in kinds]),
        "InvoiceId": same("INV-2025-06"),
        "ProviderName": same("AWS"),
        "RegionId": np.array([f"us-east-{number % 3}" for number in numbers]),
        "ResourceId": np.array([f"arn:aws:ec2:us-east-1:123456789012:instance/i-{number:017x}" for number in numbers]),
        "ResourceType": np.array([f"kind-{kind}" for kind in kinds]),
        "ServiceCategory": same("Compute"),
        "ServiceName": np.array([f"Service {kind}" for kind in kinds]),
        "SkuId": np.array([f"SKU{number % 300:04d}" for number in numbers]),
        "SubAccountId": np.array([f"{number % 50:012d}" for number in numbers]),
        "PricingUnit": same("Hours"),
        "ConsumedUnit": same("Hours"),
        "Tags": np.array([tags_of(number) for number in numbers]),
    }


def tags_of(number: int) -> str:
    return json.dumps(
        {"pi_email": f"pi{number % 200}@u.edu", "project_id": f"p{number % 500}", "fund_org": f"F{number % 500:05d}"}
    )


def prepare() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "openchargeback.settings")
    django.setup()


def added_up(path: Path, grain: str) -> dict[str, object]:
    """Add the file up as far as rows go that could be converted."""
    prepare()
    from billing.importing.rollup import Rollup
    from billing.importing.rollup.grain_reader import ROWS
    from billing.readers import read
    from billing.readers.parts import parts_of

    rollup = Rollup(by_month=grain == "month")
    for part in parts_of(path, path.name):
        for piece in read(part, batch_rows=ROWS):
            rollup.add(piece.columns, piece.lines, 1)
    return {"charges": sum(len(batch.lines) for batch in rollup.batches()), "rows": rollup.rows}


def imported(path: Path, grain: str) -> dict[str, object]:
    """Import the file into the scratch database."""
    prepare()
    from django.core.management import call_command
    from django.utils import timezone

    from billing.audit import Actor
    from billing.importing.ingestion import ingest
    from billing.models import Source

    call_command("migrate", verbosity=0)
    source, _ = Source.objects.get_or_create(name="aws", defaults={"grain": grain, "import_mode": "snapshot"})
    started = time.perf_counter()
    result = ingest(paths=[path], source=source, actor=Actor.from_command(), now=timezone.now())
    return {
        "charges": result.counts.new + result.counts.unchanged,
        "unchanged": result.counts.unchanged,
        "rows": result.rows,
        "billed": result.totals["USD"]["BilledCost"],
        "seconds": time.perf_counter() - started,
    }


def measured(what: str, path: Path, grain: str, environment: dict[str, str]) -> None:
    command = [sys.executable, __file__, "--step", what, "--file", str(path), "--grain", grain]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 (ourselves)
    if done.returncode:
        raise SystemExit(done.stderr)
    data = json.loads(done.stdout.splitlines()[-1])
    seconds = data.pop("seconds")
    print(
        f"{what:>12} by {grain}: {seconds:6.1f} s ({data.pop('cpu'):.1f} s of a processor)  "
        f"{data['rows'] / seconds:10,.0f} rows/s  {data.pop('peak_mib'):5,.0f} MiB  {data}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--grain", choices=("day", "month"), default="month")
    parser.add_argument("--file", type=Path, help="a file to use again; written where it is not there")
    parser.add_argument("--step", choices=("write", "add up", "import", "import again"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if options.step:
        started = time.perf_counter()
        if options.step == "write":
            write(options.file, options.rows)
            return
        step = added_up if options.step == "add up" else imported
        data = {"seconds": 0.0} | step(options.file, options.grain)
        data["seconds"] = data["seconds"] or time.perf_counter() - started
        usage = resource.getrusage(resource.RUSAGE_SELF)
        data["peak_mib"], data["cpu"] = usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime
        print(json.dumps(data))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = options.file or Path(folder) / "aws_2025-06.parquet"
        if not path.exists():
            command = [sys.executable, __file__, "--step", "write", "--file", str(path), "--rows", str(options.rows)]
            subprocess.run(command, check=True)  # noqa: S603 (ourselves)
        print(f"{path.name}: {path.stat().st_size / 1024**2:,.0f} MiB")
        environment = os.environ | {"DEBUG": "true", "VAR_DIR": f"{folder}/var", "DATABASE_URL": ""}
        environment.pop("DATABASE_URL")
        measured("add up", path, options.grain, environment)
        measured("import", path, options.grain, environment)
        measured("import again", path, options.grain, environment)


if __name__ == "__main__":
    main()
