"""Write a FOCUS CSV of any size: `python benchmarks/generate.py FILE --rows 1000000`.

Seeded: the same options give the same bytes. Rows are usage of many resources by many projects, in
the proportions of a cloud bill: mostly small, some with equal twins, some without tags, a few
credits and taxes. With --jobs, they are jobs of a cluster: each row is a resource of its own.
"""

import argparse
import datetime
import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

COLUMNS = (
    *("BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodStart", "BillingPeriodEnd"),
    *("ChargePeriodStart", "ChargePeriodEnd", "ChargeCategory", "ChargeDescription", "InvoiceId"),
    *("ListCost", "ContractedCost", "BilledCost", "EffectiveCost", "ListUnitPrice", "ContractedUnitPrice"),
    *("PricingQuantity", "PricingUnit", "ConsumedQuantity", "ConsumedUnit", "ProviderName", "PublisherName"),
    *("RegionId", "ResourceId", "ResourceName", "ResourceType", "ServiceCategory", "ServiceName", "SkuId"),
    *("SubAccountId", "SubAccountName", "Tags"),
)

# Service, category, type, unit, list price in millionths.
SERVICES = (
    ("Amazon Elastic Compute Cloud", "Compute", "m6i.xlarge", "Hours", 192_000),
    ("Amazon Elastic Compute Cloud", "Compute", "g5.2xlarge", "Hours", 1_212_000),
    ("Amazon Simple Storage Service", "Storage", "Standard", "GB-Mo", 23_000),
    ("Amazon Simple Storage Service", "Storage", "Requests", "Requests", 5),
    ("Amazon Elastic Block Store", "Storage", "gp3", "GB-Mo", 80_000),
    ("AWS Data Transfer", "Networking", "Out", "GB", 90_000),
    ("AWS Lambda", "Compute", "Duration", "GB-Second", 17),
    ("Amazon CloudWatch", "Management and Governance", "Metrics", "Metrics", 300_000),
)

# What the accounting of Slurm says of a job, in the columns of FOCUS.
JOB_COLUMNS = (
    *("BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodStart", "BillingPeriodEnd"),
    *("ChargePeriodStart", "ChargePeriodEnd", "ChargeCategory", "ChargeDescription", "ListCost", "ContractedCost"),
    *("BilledCost", "EffectiveCost", "ListUnitPrice", "ContractedUnitPrice", "PricingQuantity", "PricingUnit"),
    *("ConsumedQuantity", "ConsumedUnit", "ProviderName", "PublisherName", "RegionId", "ResourceId", "ResourceName"),
    *("ResourceType", "ServiceCategory", "ServiceName", "SkuId", "SubAccountId", "SubAccountName", "Tags"),
)
# Partition, unit of what is priced, list price of an hour of it in millionths, the most of it in one job.
PARTITIONS = (
    ("standard", "core-hours", 12_000, 128),
    ("largemem", "core-hours", 19_000, 64),
    ("gpu", "GPU-hours", 640_000, 8),
    ("debug", "core-hours", 12_000, 16),
)


@dataclass(frozen=True)
class Shape:
    """What a file is like; shares are of its rows."""

    rows: int
    pis: int = 200
    projects: int = 500
    resources: int = 20_000
    missing_tags: float = 0.005
    equal_rows: float = 0.01
    source: str = "aws"
    month: datetime.date = datetime.date(2025, 1, 1)
    seed: int = 1
    # Of jobs only: how many people run them, and the number of the first.
    users: int = 2_000
    first_job: int = 20_000_001
    is_of_jobs: bool = False


def lines(shape: Shape) -> Iterator[str]:
    """Return the file's lines, the header first."""
    random_ = random.Random(f"{shape.seed} {shape.source}")
    end = (shape.month.replace(day=28) + datetime.timedelta(days=4)).replace(day=1)
    days = (end - shape.month).days
    moments = [f"{shape.month + datetime.timedelta(days=day):%Y-%m-%d}T00:00:00Z" for day in range(days + 1)]
    projects = [(f"pi{number % shape.pis:04d}", f"project-{number:05d}", f"F{number:05d}-{number % 97:03d}")
                for number in range(shape.projects)]  # fmt: skip
    resources = []
    for number in range(shape.resources):
        pi, project, fund = projects[random_.randrange(len(projects))]
        service = SERVICES[random_.randrange(len(SERVICES))]
        tags = (
            f'"{{""pi_email"": ""{pi}@bench.example"", ""project_id"": ""{project}"", ""fund_org"": ""{fund}"", '
            f'""Name"": ""res-{number}""}}"'
        )
        resources.append((f"i-{random_.getrandbits(68):017x}", f"{project}-{number}", project, service, tags))
    head = f"410900771305,Benchmark University,USD,{moments[0]},{moments[-1]}"
    yield ",".join(COLUMNS) + "\n"
    line = ""
    for _ in range(shape.rows):
        chance = random_.random()
        if chance < shape.equal_rows and line:
            yield line
            continue
        resource_id, name, project, (service, service_category, kind, unit, price), tags = resources[
            int(random_.random() * shape.resources)
        ]
        day = int(random_.random() * days)
        quantity = int(random_.random() ** 3 * 100_000) + 1
        listed = price * quantity  # in 10^-9 of the currency: thousandths of a unit times millionths
        contracted = listed * 93 // 100
        category, sign = "Usage", ""
        if chance > 0.999:
            category, sign = "Credit", "-"
        elif chance > 0.998:
            category = "Tax"
        if random_.random() < shape.missing_tags:
            tags = ""
        listed_text, paid = f"{sign}{_decimal(listed)}", f"{sign}{_decimal(contracted)}"
        used = f"{quantity // 1000}.{quantity % 1000:03d}"
        line = (
            f"{head},{moments[day]},{moments[day + 1]},{category},{kind} {unit},INV-{shape.month:%Y%m},"
            f"{listed_text},{paid},{paid},{paid},{_decimal(price * 1000)},{_decimal(price * 930)},{used},{unit},"
            f"{used},{unit},AWS,AWS,us-west-2,{resource_id},{name},{kind},{service_category},{service},"
            f"sku-{price},{project}-account,{project},{tags}\n"
        )
        yield line


def job_lines(shape: Shape) -> Iterator[str]:
    """Return the lines of jobs of a cluster, the header first: each has an id, a name and times of its own."""
    random_ = random.Random(f"{shape.seed} jobs {shape.source}")
    start = datetime.datetime(shape.month.year, shape.month.month, 1)  # noqa: DTZ001 (only written)
    end = (start + datetime.timedelta(days=32)).replace(day=1)
    seconds = int((end - start).total_seconds())
    head = f"cluster-a,Cluster A,USD,{start:%Y-%m-%dT%H:%M:%SZ},{end:%Y-%m-%dT%H:%M:%SZ}"
    yield ",".join(JOB_COLUMNS) + "\n"
    for number in range(shape.rows):
        # Each of the people works for one project.
        user = int(random_.random() * shape.users)
        project = user % shape.projects
        partition, unit, price, most = PARTITIONS[int(random_.random() ** 2 * len(PARTITIONS))]
        lasted = int(random_.random() ** 4 * 172_800) + 1
        began = int(random_.random() * (seconds - lasted))
        units = int(random_.random() ** 3 * most) + 1
        thousandths = units * lasted * 1000 // 3600 + 1
        listed = price * thousandths
        paid = _decimal(listed * 60 // 100)
        used = f"{thousandths // 1000}.{thousandths % 1000:03d}"
        pi, account = project % shape.pis, f"project-{project:05d}"
        tags = "" if random_.random() < shape.missing_tags else (
            f'"{{""user"": ""user{user:04d}"", ""account"": ""{account}"", ""project_id"": ""{account}"", '
            f'""pi_email"": ""pi{pi:04d}@bench.example"", ""fund_org"": ""F{project:05d}-{project % 97:03d}"", '
            f'""partition"": ""{partition}"", ""qos"": ""normal""}}"'
        )  # fmt: skip
        yield (
            f"{head},{_moment(start, began)},{_moment(start, began + lasted)},Usage,Jobs on {partition},"
            f"{_decimal(listed)},{paid},{paid},{paid},{_decimal(price * 1000)},{_decimal(price * 600)},{used},{unit},"
            f"{used},{unit},Research Computing,Research Computing,cluster-a,{shape.first_job + number},"
            f"run_{random_.getrandbits(24):06x}.sh,{partition},Compute,Cluster A,{partition}-{unit},"
            f"{account},{account},{tags}\n"
        )


def _moment(start: datetime.datetime, seconds: int) -> str:
    return f"{start + datetime.timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


def _decimal(billionths: int) -> str:
    """Write 10^-9 units as a decimal."""
    return f"{billionths // 1_000_000_000}.{billionths % 1_000_000_000:09d}"


def change(source: Path, target: Path, *, every: int = 100, drop_every: int = 0) -> int:
    """Write a file again with every so manieth row costing a cent more; return how many those are.

    With `drop_every`, every so manieth of the other rows is left out.
    """
    costs = [COLUMNS.index(name) for name in ("ContractedCost", "BilledCost", "EffectiveCost")]
    changed = 0
    with source.open(encoding="utf-8", newline="") as rows, target.open("w", encoding="utf-8", newline="") as again:
        again.write(next(rows))
        for number, line in enumerate(rows, start=1):
            if number % every == 0:
                # No field before the tags, which come last, holds a comma.
                fields = line.split(",", len(COLUMNS) - 1)
                for place in costs:
                    fields[place] = str(Decimal(fields[place]) + Decimal("0.01"))
                line = ",".join(fields)
                changed += 1
            elif drop_every and number % drop_every == 1:
                continue
            again.write(line)
    return changed


def as_parquet(source: Path, target: Path) -> None:
    """Write a CSV of this shape as parquet, typed as the providers do: costs as doubles, times as timestamps."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import csv

    doubles = [name for name in COLUMNS if name.endswith(("Cost", "UnitPrice", "Quantity"))]
    times = [name for name in COLUMNS if name.endswith(("PeriodStart", "PeriodEnd"))]
    types = dict.fromkeys(COLUMNS, pa.string()) | dict.fromkeys(doubles, pa.float64())
    types |= dict.fromkeys(times, pa.timestamp("us", "UTC"))
    reader = csv.open_csv(
        source,
        read_options=csv.ReadOptions(block_size=64 << 20),
        convert_options=csv.ConvertOptions(column_types=types, strings_can_be_null=True),
    )
    with pq.ParquetWriter(target, reader.schema, compression="snappy") as writer:
        for batch in reader:
            writer.write_batch(batch)


def write(path: Path, shape: Shape) -> None:
    with path.open("w", encoding="utf-8", newline="", buffering=1 << 20) as file:
        file.writelines(job_lines(shape) if shape.is_of_jobs else lines(shape))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="where to write; several sources: FILE-aws.csv, FILE-azure.csv …")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--pis", type=int, default=Shape.pis)
    parser.add_argument("--projects", type=int, default=Shape.projects)
    parser.add_argument("--resources", type=int, default=Shape.resources)
    parser.add_argument("--missing-tags", type=float, default=Shape.missing_tags, help="share of rows without tags")
    parser.add_argument("--equal-rows", type=float, default=Shape.equal_rows, help="share of rows equal to another")
    parser.add_argument("--sources", default="aws", help="names separated by commas: one file each, rows shared out")
    parser.add_argument("--month", default="2025-01", help="the billing period")
    parser.add_argument("--jobs", action="store_true", help="jobs of a cluster, each a resource of its own")
    parser.add_argument("--seed", type=int, default=Shape.seed)
    given = parser.parse_args()
    year, month = (int(part) for part in given.month.split("-"))
    sources = given.sources.split(",")
    for number, source in enumerate(sources):
        shape = Shape(
            rows=given.rows // len(sources) + (number < given.rows % len(sources)),
            pis=given.pis,
            projects=given.projects,
            resources=given.resources,
            missing_tags=given.missing_tags,
            equal_rows=given.equal_rows,
            source=source,
            month=datetime.date(year, month, 1),
            seed=given.seed,
            is_of_jobs=given.jobs,
        )
        path = given.file if len(sources) == 1 else given.file.with_name(f"{given.file.stem}-{source}.csv")
        write(path, shape)
        print(f"{path}: {shape.rows:,} rows, {path.stat().st_size / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()
