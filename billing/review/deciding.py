"""Decisions of the review by the name of their step: at once, or for very many charges by the worker."""

import datetime
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from decimal import Decimal
from itertools import groupby
from typing import Any

from django.db.models import Q, QuerySet

from ..audit import Actor
from ..background import jobs
from ..errors import BillingError
from ..models import Charge, Job
from ..progress import Progress
from ..texts import number_in
from . import decisions
from .outcome import Decided
from .reassignment import Reassignment

# How long an address may be that names charges.
RANGES = 1_500


class NothingDecided(BillingError):
    """A decision that held for no charge."""


# What each step takes beside the charges and a note: the fields of its form.
STEPS: dict[str, tuple[Callable[..., Decided], tuple[str, ...]]] = {
    "approve": (decisions.approve, ()),
    "correct": (decisions.reattribute, ("reassignment", "approve", "create")),
    "reject": (decisions.reject, ("reason", "provider_credits")),
    "charge_to_center": (decisions.charge_to_center, ()),
    "undo": (decisions.undo, ()),
}


def decide(
    *,
    step: str,
    charges: "QuerySet[Charge] | Iterable[int]",
    options: Mapping[str, object],
    actor: Actor,
    now: datetime.datetime,
) -> Decided:
    """Take a step for charges, with the options of its form; raises what the verb of the review raises."""
    verb, names = STEPS[step]
    taken = {name: options[name] for name in ("note", *names) if name in options}
    return verb(charges=charges, **taken, actor=actor, now=now)


def decide_later(
    *, step: str, charges: "QuerySet[Charge]", options: Mapping[str, Any], actor: Actor, now: datetime.datetime
) -> Job:
    """Have the worker take a step for the charges there are now; who asks twice gets the same job."""
    _, names = STEPS[step]
    ids = list(charges.order_by("id").values_list("id", flat=True))
    asked = {name: options[name] for name in ("note", *names) if name in options}
    if reassignment := asked.pop("reassignment", None):
        asked |= asdict(reassignment) | {
            "shares": [[fund_org, str(percent)] for fund_org, percent in reassignment.shares]
        }
    arguments = {"step": step, "number": len(ids), **asked, "charges": ranges_of(ids)}
    return jobs.enqueue(
        kind=Job.Kind.DECIDE,
        subject=hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest(),
        arguments=arguments,
        # There may be very many; each has an event of its own once it is decided about.
        untold=("charges",),
        actor=actor,
        now=now,
    )


def run_job(
    *, job: Job, arguments: dict[str, Any], actor: Actor, now: datetime.datetime, progress: Progress
) -> dict[str, Any]:
    """Take a step as a background job, for the charges that were chosen; `arguments` as `decide_later` writes them.

    Raises NothingDecided where it holds for none of them.
    """
    step = arguments["step"]
    options = dict(arguments)
    if step == "correct":
        shares = tuple((fund_org, Decimal(percent)) for fund_org, percent in arguments["shares"])
        names = [name for name in Reassignment.__dataclass_fields__ if name != "shares"]
        options["reassignment"] = Reassignment(shares=shares, **{name: arguments[name] for name in names})
    progress(0, arguments["number"], "Deciding")
    decided = decide(step=step, charges=ids_of(arguments["charges"]), options=options, actor=actor, now=now)
    if not decided.count:
        raise NothingDecided(str(decided))
    return {"message": str(decided), "decided": decided.count, "skipped": len(decided.why_skipped)}


def ranges_of(ids: list[int]) -> str:
    """Write sorted ids as `3-7 9`: those of one import mostly follow each other."""
    runs = ([number for _, number in run] for _, run in groupby(enumerate(ids), key=lambda each: each[1] - each[0]))
    return " ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def within(ranges: str) -> Q:
    """Return the condition on a charge that an address makes with what `ranges_of` wrote: it is never expanded."""
    found = Q(pk__in=())
    for first, _, last in (run.partition("-") for run in ranges[:RANGES].split()):
        ends = number_in(first), number_in(last or first)
        if None not in ends:
            found |= Q(pk__range=ends)
    return found


def ids_of(ranges: str) -> list[int]:
    """Read what `ranges_of` wrote."""
    bounds = (run.partition("-") for run in ranges.split())
    return [number for first, _, last in bounds for number in range(int(first), int(last or first) + 1)]
