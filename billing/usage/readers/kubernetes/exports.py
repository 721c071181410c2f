"""What OpenCost writes of allocations: its API's JSON, its daily CSV, and its Parquet exporter's files."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....readers.batches import FileError, Problem, UnreadableFile
from ....readers.kinds import PARQUET
from ....readers.opening import open_file
from ....readers.parquet_file import read_columns
from ..csv_rows import rows_of
from ..fields import BadField
from ..json_rows import JsonRow, JsonRows
from ..kinds import Tally
from ..opened import start_of

# What is taken of an allocation's properties, and of its figures, by their names in JSON.
PROPERTIES = ("cluster", "namespace", "controller", "pod", "container")
HOURS = {"cpu": "cpuCoreHours", "ram": "ramByteHours", "gpu": "gpuHours", "pv": "pvByteHours"}
COST = "totalCost"
# Where labels are: `label:team` in the settings is properties.labels.team in JSON.
LABELS = {"label": "labels", "namespace_label": "namespaceLabels", "annotation": "annotations"}
# In Parquet, the parts of a name are joined by a point, or by what the exporter is set to.
JOINTS = (".", "_")

# Of the CSV. It has averages over the time that a pod ran, and does not say how long that was.
CSV_NAMES = {
    "namespace": "Namespace",
    "controller": "ControllerName",
    "pod": "Pod",
    "container": "Container",
}
# Of two, the larger one is allocated, as OpenCost has it.
CSV_AVERAGES = {
    "cpu": ("CPUCoreRequestAverage", "CPUCoreUsageAverage"),
    "ram": ("RAMBytesRequestAverage", "RAMBytesUsageAverage"),
    "gpu": ("GPUs",),
    "pv": ("PVBytes",),
}
CSV_NEEDED = ("Date", "Namespace", "TotalCost")


@dataclass(frozen=True, slots=True)
class Allocation:
    """What a file says of one allocation, all values as they are written; None for what it does not say.

    `names` has the properties, and labels as settings name them. `amounts` has a list of figures for each of HOURS and
    for `cost`: hours, or averages where `has_averages`. `start` and `end` are those of the window.
    """

    line: int
    place: str
    name: str
    start: Any
    end: Any
    names: Mapping[str, Any]
    amounts: Mapping[str, Sequence[Any]]
    has_averages: bool = False


def allocations(path: Path, labels: Sequence[str], tally: Tally) -> Iterator[Allocation]:
    """Yield the allocations of a file, which is recognized by its content, with some labels. Raises FileError."""
    with open_file(path) as binary:
        is_parquet = binary.peek(len(PARQUET)).startswith(PARQUET)
    if is_parquet:
        yield from _of_parquet(path, labels, tally)
    elif start_of(path).lstrip()[:1] in ("{", "["):
        yield from _of_json(path, labels, tally)
    else:
        yield from _of_csv(path, labels, tally)


# ---- JSON


def _of_json(path: Path, labels: Sequence[str], tally: Tally) -> Iterator[Allocation]:
    """Yield what the API answers: a list of sets, one for each window, in which allocations stand by their names."""
    for row in JsonRows(path, ("data",)):
        if "code" in row.value and "message" in row.value:
            raise UnreadableFile(f"OpenCost answered with an error: {str(row.value['message'])[:200]}.", row.line)
        for name, value in row.value.items():
            tally.lines += 1
            yield _of_object(row, name, value, labels)


def _of_object(row: JsonRow, name: str, value: Any, labels: Sequence[str]) -> Allocation:
    place = f"{row.place}{name[:100]}: "
    if not isinstance(value, dict):
        raise FileError([Problem(f"{place}It is no allocation.", row.line)])
    properties, window = _object(value.get("properties")), _object(value.get("window"))
    names = {each: properties.get(each) for each in PROPERTIES}
    for each in labels:
        kind, _, key = each.partition(":")
        names[each] = _object(properties.get(LABELS[kind])).get(key)
    return Allocation(
        line=row.line,
        place=place,
        name=name,
        start=window.get("start") or value.get("start"),
        end=window.get("end") or value.get("end"),
        names=names,
        amounts={"cost": [value.get(COST)], **{each: [value.get(field)] for each, field in HOURS.items()}},
    )


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


# ---- Parquet


def _of_parquet(path: Path, labels: Sequence[str], tally: Tally) -> Iterator[Allocation]:
    headings: dict[str, str] = {}

    def choose(columns: list[str]) -> list[str]:
        for name, candidates in _candidates(labels).items():
            found = next((each for each in candidates if each in columns), None)
            if found is not None:
                headings[name] = found
        for name in ("start", "end", "cost"):
            if name not in headings:
                raise UnreadableFile(f"The file has no column {_candidates(labels)[name][0]}. OpenCost's exporter has.")
        for name in labels:
            if name not in headings:
                raise BadField(f"The file has no column of {name}.", name).at(None)
        return list(dict.fromkeys(headings.values()))

    for first, found in read_columns(path, choose):
        columns = {name: found[heading] for name, heading in headings.items()}
        for place, _ in enumerate(columns["start"]):
            tally.lines += 1
            row = {name: column[place] for name, column in columns.items()}
            yield Allocation(
                line=first + place,
                place="",
                name=str(row.get("name") or ""),
                start=row["start"],
                end=row["end"],
                names={name: row.get(name) for name in (*PROPERTIES, *labels)},
                # What an allocation does not have is no number in a data frame.
                amounts={name: [_none_if_nan(row.get(name))] for name in ("cost", *HOURS)},
            )


def _candidates(labels: Sequence[str]) -> dict[str, list[str]]:
    """Return for each name what its column may be called, the likeliest first."""
    found = {"name": ["name"], "cost": [COST], **{name: [field] for name, field in HOURS.items()}}
    for end in ("start", "end"):
        found[end] = [*(f"window{joint}{end}" for joint in JOINTS), f"running_{end}_time", end]
    for name in PROPERTIES:
        found[name] = [*(f"properties{joint}{name}" for joint in JOINTS), name]
    for name in labels:
        kind, _, key = name.partition(":")
        parts = [("properties", LABELS[kind], key), (kind.partition("_")[0], key), (LABELS[kind], key)]
        found[name] = [joint.join(each) for joint in JOINTS for each in parts]
    return found


def _none_if_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


# ---- CSV


def _of_csv(path: Path, labels: Sequence[str], tally: Tally) -> Iterator[Allocation]:
    rows = rows_of(path, tally)
    line, headings = next(rows, (1, []))
    if missing := [name for name in CSV_NEEDED if name not in headings]:
        raise UnreadableFile(f"The file has no column {missing[0]}. OpenCost's daily CSV has.", line)
    if labels and "Labels" not in headings:
        raise BadField(f"The file has no column Labels, and the settings take {labels[0]} from it.", "Labels").at(line)
    for line, fields in rows:
        if len(fields) != len(headings):
            raise UnreadableFile(f"The row has {len(fields)} fields where the header has {len(headings)}.", line)
        row = dict(zip(headings, fields, strict=True))
        names: dict[str, Any] = dict.fromkeys(PROPERTIES)
        names |= {name: row.get(heading) for name, heading in CSV_NAMES.items()}
        names |= dict(zip(labels, _labels(row, labels, line), strict=True))
        yield Allocation(
            line=line,
            place="",
            name="/".join(filter(None, (row.get(heading) for heading in CSV_NAMES.values()))),
            start=row["Date"],
            end=None,
            names=names,
            amounts={
                "cost": [row["TotalCost"]],
                **{name: [row.get(each) for each in averages] for name, averages in CSV_AVERAGES.items()},
            },
            has_averages=True,
        )


def _labels(row: Mapping[str, str], labels: Sequence[str], line: int) -> list[Any]:
    if not labels or not row["Labels"]:
        return [None] * len(labels)
    try:
        found = json.loads(row["Labels"])
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadField("The labels are no JSON object.", "Labels").at(line)
    return [found.get(name.partition(":")[2]) if name.startswith("label:") else None for name in labels]
