"""Files of jobs as sacct writes them, made here; and what the reader makes of them."""

import pyarrow as pa

from billing.usage.readers import KINDS, Tally
from billing.usage.readers.slurm import SHAPE

HOUR = 3_600
# A job that ran for two hours, field by field.
JOB = {
    "JobIDRaw": "1001",
    "Cluster": "reef",
    "Partition": "gpu",
    "QOS": "normal",
    "Account": "genomics",
    "User": "ada",
    "State": "COMPLETED",
    "Start": "2026-01-10T08:00:00",
    "End": "2026-01-10T10:00:00",
    "ElapsedRaw": "7200",
    "AllocTRES": "billing=8,cpu=8,gres/gpu=2,gres/gpu:a100=2,mem=64G,node=1",
}


def a_job(**fields):
    """Return the fields of a job, of which some differ; None takes a field away."""
    return {name: text for name, text in {**JOB, **fields}.items() if text is not None}


def lines_of(*jobs, delimiter="|", header=True, end="\n", closing=""):
    """Return a file of jobs, which all have the fields of the first."""
    rows = [list(jobs[0])] if header else []
    rows += [[job[name] for name in jobs[0]] for job in jobs]
    return "".join(delimiter.join(row) + closing + end for row in rows).encode()


def read(path, content=None, batches=False, **settings):
    """Return the records of a file as dicts (or in its batches), and the tally."""
    if content is not None:
        path.write_bytes(content)
    kind, tally = KINDS["slurm"], Tally()
    found = list(kind.read(path, path.name, kind.settings(settings), tally))
    assert all(batch.schema == SHAPE.schema for batch in found)
    assert sum(map(len, found)) == tally.records
    if batches:
        return found, tally
    return pa.Table.from_batches(found, SHAPE.schema).to_pylist(), tally


def record_of(path, **fields):
    """Return the one record of a file with one job."""
    (record,), _ = read(path, lines_of(a_job(**fields)))
    return record
