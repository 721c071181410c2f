"""A kind of usage file for tests: lines of `id,start,end,account,user,queue,cpus`, with times in seconds since 1970."""

import csv

import pyarrow as pa

from billing.readers import FileError, Problem
from billing.usage.readers import BATCH_RECORDS, Kind
from billing.usage.records import Measure, Shape

SHAPE = Shape(
    attributes=("queue",),
    measures=(Measure("elapsed_seconds", {"hour": 3600}), Measure("cpu_seconds", {"core-hour": 3600})),
)


def read(path, name, settings, tally):
    rows = []
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.reader(file), 1):
            tally.lines += 1
            if len(row) != 7:
                raise FileError([Problem("Seven fields are needed.", number)])
            if row[6] == "0":
                tally.left_out["no cores"] += 1
                continue
            rows.append(row)
    for at in range(0, len(rows), BATCH_RECORDS):
        yield batch(rows[at : at + BATCH_RECORDS])
    tally.records = len(rows)


def batch(rows):
    columns = [
        {
            "id": job,
            "start": int(start),
            "end": int(end),
            "account": account,
            "user": user,
            "resource": "tiger/batch",
            "free": "failed" if queue == "failed" else "",
            "queue": queue,
            "elapsed_seconds": int(end) - int(start),
            "cpu_seconds": (int(end) - int(start)) * int(cpus),
        }
        for job, start, end, account, user, queue, cpus in rows
    ]
    return pa.RecordBatch.from_pylist(columns, schema=SHAPE.schema)


PLAIN = Kind("plain", "Plain lines", dict, lambda settings: SHAPE, read, service_category="Compute")
