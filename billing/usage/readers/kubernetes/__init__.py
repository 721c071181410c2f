"""Kubernetes: what OpenCost says that namespaces and teams used, and what it says that costs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa

from ....readers.batches import FileError, Problem, UnreadableFile
from ....texts import quoted
from ...records import Measure, Shape
from ..fields import MAX_ID, UTC, BadField, moment_of, name_of, scaled
from ..gathering import Record, batches_of
from ..kinds import Kind, Tally
from ..settings import Given
from .exports import LABELS, PROPERTIES, Allocation, allocations
from .sharing import IDLE, UNALLOCATED, WORKLOAD, Gathered, Key, Treatment, spread

HOUR, DAY = 3_600, 86_400
KIB = 1024
# All that a file adds up to is held while it is read.
MAX_RECORDS = 200_000
# OpenCost's names for what belongs to nobody: capacity, volumes that no pod has, and workloads without the property.
NAMES_OF_IDLE = ("__idle__",)
NAMES_OF_NONE = ("__unallocated__", "__unmounted__")

UNITS = {"MiB": KIB, "GiB": KIB**2, "TiB": KIB**3}
CPU = Measure("cpu_millicore_seconds", {"core-hour": 1000 * HOUR, "core-day": 1000 * DAY})
RAM = Measure("ram_kib_seconds", {f"{unit}-hour": size * HOUR for unit, size in UNITS.items()})
GPU = Measure("gpu_milliseconds", {"gpu-hour": 1000 * HOUR, "gpu-day": 1000 * DAY})
PV = Measure(
    "pv_kib_seconds",
    {f"{unit}-{name}": size * time for unit, size in UNITS.items() for name, time in (("hour", HOUR), ("day", DAY))},
)
# An hour of a core, of a byte, and of a GPU in their base units.
PER_HOUR: dict[str, int | Decimal] = {
    "cpu": 1000 * HOUR,
    "ram": Decimal(HOUR) / KIB,
    "gpu": 1000 * HOUR,
    "pv": Decimal(HOUR) / KIB,
}
PICO = 10**12
MOST = 2**62


class Hours(StrEnum):
    """Where core-hours and other hours come from.

    MEASURED: from the file; the daily CSV cannot say them. WHOLE_DAY: each row of the CSV counts for 24 hours, which is
    more than a pod that ran shorter had. NONE: from nowhere; only costs are taken.
    """

    MEASURED = "measured"
    WHOLE_DAY = "whole_day"
    NONE = "none"


class Detail(StrEnum):
    """What is added up for each day."""

    NAMESPACE = "namespace"
    CONTROLLER = "controller"
    POD = "pod"


NO_HOURS = (
    "OpenCost's daily CSV does not say how long a pod ran. Set hours to none and charge by its costs, or to whole_day. "
    "Or import the JSON of /allocation, or Parquet."
)


@dataclass(frozen=True)
class KubernetesSettings:
    """How a feed takes allocations; `account` and `user` are properties, `label:team`, `name` or `none`."""

    cluster: str = "kubernetes"
    account: str = "namespace"
    user: str = "none"
    detail: Detail = Detail.NAMESPACE
    hours: Hours = Hours.MEASURED
    currency: str = "USD"
    idle: Treatment = Treatment.FREE
    idle_account: str = ""
    unallocated: Treatment = Treatment.HOLD
    unallocated_account: str = ""

    @property
    def labels(self) -> list[str]:
        return list(dict.fromkeys(each for each in (self.account, self.user) if ":" in each))


def settings_of(settings: Mapping[str, Any]) -> KubernetesSettings:
    """Return the settings of a feed, or raise BadSettings."""
    given = Given(settings)
    default = KubernetesSettings()
    found = KubernetesSettings(
        cluster=given.text("cluster", default.cluster),
        account=given.text("account", default.account),
        user=given.text("user", default.user),
        detail=given.choice("detail", default.detail),
        hours=given.choice("hours", default.hours),
        currency=given.text("currency", default.currency),
        idle=given.choice("idle", default.idle),
        idle_account=given.text("idle_account"),
        unallocated=given.choice("unallocated", default.unallocated),
        unallocated_account=given.text("unallocated_account"),
    )
    for name in ("account", "user"):
        source = getattr(found, name)
        kind, _, key = source.partition(":")
        if source not in (*PROPERTIES, "name", "none") and not (kind in LABELS and key):
            known = ", ".join([*PROPERTIES, "name", "none", *(f"{each}:NAME" for each in LABELS)])
            given.refuse(name, f"There is no {source}. There are {known}.")
    for name in (IDLE, UNALLOCATED):
        if (getattr(found, name) is Treatment.CHARGE) != bool(getattr(found, f"{name}_account")):
            given.refuse(f"{name}_account", f"It is needed where {name} is charge, and only there.")
    given.done()
    return found


def shape(settings: KubernetesSettings) -> Shape:
    """Return what records of Kubernetes have: costs, and hours unless none are taken."""
    hours = () if settings.hours is Hours.NONE else (CPU, RAM, GPU, PV)
    # As OpenCost computed it, in 10^-12 of the currency.
    cost = Measure("cost_pico", {settings.currency: PICO})
    return Shape(("cluster", "namespace", "controller", "use"), (*hours, cost))


def read(path: Path, name: str, settings: KubernetesSettings, tally: Tally) -> Iterator[pa.RecordBatch]:
    """Yield what was used and what it cost, added up by day in UTC, as OpenCost counts days. See Kind.

    Each amount is rounded before it is added up, so that no order of files or rows changes a sum.
    """
    sums: dict[Key, Gathered] = {}
    for each in allocations(path, settings.labels, tally):
        try:
            _add(each, settings, sums)
        except BadField as error:
            raise error.at(each.line, each.place) from None
        if len(sums) > MAX_RECORDS:
            message = f"The file adds up to more than {MAX_RECORDS:,} records. Write a file for each day."
            raise FileError([Problem(message, each.line)])
    if not sums:
        raise UnreadableFile("The file has no allocations.")
    treated = {IDLE: settings.idle, UNALLOCATED: settings.unallocated}
    sums = spread(sums, [use for use, each in treated.items() if each is Treatment.SPREAD])
    yield from batches_of(_records(sums, settings), shape(settings), tally)


def _add(each: Allocation, settings: KubernetesSettings, sums: dict[Key, Gathered]) -> None:
    start = moment_of(each.start, UTC, "start")
    end = start + DAY if each.end is None else moment_of(each.end, UTC, "end")
    if end <= start:
        raise BadField("The window ends before it begins.", "end")
    names = {name: name_of(value, name) for name, value in each.names.items()}
    names |= {"name": name_of(each.name, "name", limit=MAX_ID), "none": ""}
    parts = {*names["name"].split("/"), names["namespace"]}
    account, user, use = names[settings.account], names[settings.user], WORKLOAD
    if parts.intersection(NAMES_OF_IDLE):
        account, user, use = settings.idle_account, "", IDLE
    elif parts.intersection(NAMES_OF_NONE) or account in NAMES_OF_NONE or not account and settings.account != "none":
        account, user, use = settings.unallocated_account, "", UNALLOCATED
    key = Key(
        day=start // DAY,
        cluster=names["cluster"] or settings.cluster,
        namespace="" if use == IDLE else names["namespace"],
        controller=names["controller"] if settings.detail is not Detail.NAMESPACE else "",
        pod=names["pod"] if settings.detail is Detail.POD else "",
        account=account,
        user=user,
        use=use,
    )
    amounts = _amounts(each, settings)
    sums.setdefault(key, Gathered(start, end, [0] * len(amounts))).add(start, end, amounts)


def _amounts(each: Allocation, settings: KubernetesSettings) -> list[int]:
    """Return whole numbers of each measure, in the order of the shape."""
    found = []
    if settings.hours is not Hours.NONE:
        if each.has_averages and settings.hours is Hours.MEASURED:
            raise UnreadableFile(NO_HOURS, each.line)
        hours = 24 if each.has_averages else 1
        for name, factor in PER_HOUR.items():
            figures = [scaled(value, factor * hours, name, most=MOST) for value in each.amounts[name] if value]
            found.append(max(figures, default=0))
    # A single row may be a correction below zero.
    found += [scaled(value, PICO, "cost", most=MOST, may_be_negative=True) for value in each.amounts["cost"]]
    return found


def _records(sums: Mapping[Key, Gathered], settings: KubernetesSettings) -> Iterator[Record]:
    measures = [each.name for each in shape(settings).measures]
    for key in sorted(sums):
        each = sums[key]
        namespace = key.namespace or ("" if key.use == WORKLOAD else f"__{key.use}__")
        where = "/".join(filter(None, (key.cluster, namespace, key.controller, key.pod)))
        if min(each.amounts) < 0:
            raise UnreadableFile(f"The costs of {quoted(where)} add up to less than zero, which cannot be charged.")
        if max(each.amounts) > MOST:
            raise UnreadableFile(f"What {quoted(where)} used is out of range.")
        # Of a namespace several teams or users may have something.
        owners = [text for text in (key.account, key.user) if text and text != key.namespace]
        treatment = {IDLE: settings.idle, UNALLOCATED: settings.unallocated}.get(key.use)
        yield {
            "id": ":".join([where, *owners]),
            "start": each.start,
            "end": each.end,
            "account": key.account,
            "user": key.user,
            "resource": "/".join(filter(None, (key.cluster, namespace))),
            # What was to be shared and could not be is nobody's either.
            "free": key.use if treatment in (Treatment.FREE, Treatment.SPREAD) else "",
            "cluster": key.cluster,
            "namespace": key.namespace,
            "controller": key.controller,
            "use": key.use,
            **dict(zip(measures, each.amounts, strict=True)),
        }


KIND = Kind("kubernetes", "Kubernetes: OpenCost", settings_of, shape, read, service_category="Compute")
