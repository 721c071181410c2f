"""What `sacct --json` writes, in pieces by the columns that `--parsable2` would have."""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ....readers.batches import UnreadableFile
from ....texts import quoted
from ..json_rows import JsonRow, JsonRows
from ..kinds import BATCH_RECORDS, Tally
from .pieces import Piece

# Jobs with their steps are several KiB each while they are JSON.
TAKEN = 4_096


def json_pieces(path: Path, tally: Tally) -> Iterator[Piece]:
    """Yield the jobs of a file; raises FileError with the line that a job begins on."""
    file = JsonRows(path, lists=("jobs",))
    rows = iter(file)
    while taken := list(islice(rows, min(TAKEN, BATCH_RECORDS))):
        lines = [row.line for row in taken]
        tally.lines = lines[-1]
        found = [_texts_of(row) for row in taken]
        columns = {name: pa.array([texts[name] for texts in found], pa.string()) for name in found[0]}
        yield Piece(columns, np.arange(len(taken)), lines.__getitem__)
    for page in file.pages:
        if errors := page.get("errors"):
            said = errors[0] if isinstance(errors, list) else errors
            what = said.get("description") or said.get("error") if isinstance(said, dict) else said
            raise UnreadableFile(f"sacct could not write all jobs: {quoted(str(what))}. Export the file again.")


def _texts_of(row: JsonRow) -> dict[str, str]:
    """Return the fields of a job as sacct writes them in lines; raises UnreadableFile for what is no job."""
    job = row.value
    times, tres = _object(job, "time"), _object(job, "tres")
    if "job_id" not in job or "start" not in times:
        raise UnreadableFile(f"{row.place}It is not a job of sacct: it has no job_id, or no time.start.", line=row.line)
    association = _object(job, "association")
    texts = {
        "JobIDRaw": _number(job.get("job_id")),
        "Cluster": _text(job.get("cluster")) or _text(association.get("cluster")),
        "Partition": _text(job.get("partition")),
        "QOS": _text(job.get("qos")),
        "Account": _text(job.get("account")) or _text(association.get("account")),
        "User": _text(job.get("user")) or _text(association.get("user")),
        "State": _state(_object(job, "state").get("current")),
        "Reservation": _text(_object(job, "reservation").get("name")),
        "Start": _number(times.get("start")),
        "End": _number(times.get("end")),
        "ElapsedRaw": _number(times.get("elapsed")),
        "Suspended": _number(times.get("suspended")),
        "AllocTRES": _tres(tres.get("allocated")),
        "ReqTRES": _tres(tres.get("requested")),
        "NNodes": _number(job.get("allocation_nodes")),
    }
    try:
        "".join(texts.values()).encode()
    except UnicodeEncodeError:
        raise UnreadableFile(f"{row.place}A text has half of a character in it.", line=row.line) from None
    return texts


def _object(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> str:
    """Return a number that stands by itself, or as newer versions write one: whether it is set, and its value."""
    if isinstance(value, dict):
        value = value.get("number") if value.get("set", True) else None
    return "" if value is None or isinstance(value, bool | list | dict) else str(value)


def _state(value: Any) -> str:
    """Return the state; newer versions have a list, of which the first is the state and the others are flags."""
    return _text(value[0] if isinstance(value, list) and value else value)


def _tres(value: Any) -> str:
    """Write resources as AllocTRES has them; memory is in MiB."""
    if isinstance(value, str):
        return value
    found = [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
    return ",".join(
        f"{'/'.join(filter(None, (_text(each.get('type')), _text(each.get('name')))))}={_number(each.get('count'))}"
        for each in found
    )
