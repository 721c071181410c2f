"""Checks of the files to import: the worker tries each import out, stores nothing, and the page says what it found."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from ...background import jobs
from ...errors import BillingError
from ...importing.outcomes import OfAnotherSource, SourceUnknown, WouldWithdraw
from ...importing.planning import Planned
from ...models import Job
from ...texts import month_names
from ..audited import actor_of
from . import words

# Where a session keeps which job checks which import.
CHECKS = "file_checks"
# Checking larger files takes about as long as importing them, which checks them too.
MOST_BYTES = 200 * 1024**2
# What a file of each state is called, and its color.
STATES = {
    "ready": ("Ready", ""),
    "checking": ("Checking", "busy"),
    "unchecked": ("Not checked", ""),
    "waits": ("Waits for you", "warn"),
    "broken": ("Broken", "bad"),
    "seen": ("Imported before", ""),
}


@dataclass(frozen=True)
class Found:
    """What is known of an import before it is done."""

    state: str = "unchecked"
    result: Mapping[str, Any] = field(default_factory=dict)
    # Why nothing is known, or how far the check has come.
    said: str = ""
    percent: int | None = None

    @property
    def errors(self) -> list[dict[str, Any]]:
        return list(self.result.get("errors", []))

    @property
    def is_importable(self) -> bool:
        """Whether an import is of use: nothing refuses it, and it does something. What waits afterwards may come in."""
        steps = {error.get("step") for error in self.errors}
        return self.state in ("ready", "checking", "unchecked") or (
            self.state == "waits" and steps <= {WouldWithdraw.step}
        )


def digest_of(arguments: Mapping[str, Any]) -> str:
    """Return what an import is known by: its files, and all that was said of them."""
    return hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()[:32]


class Checks:
    """The checks of a session's files; asked for where they are missing, never twice for the same."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        kept: dict[str, int] = request.session.get(CHECKS, {})
        found = Job.objects.filter(pk__in=set(kept.values()), created_by=request.user.pk)
        self.jobs = {job.pk: job for job in found}
        self.of_import = {digest: pk for digest, pk in kept.items() if pk in self.jobs}

    def ask(self, planned: Sequence[Planned], sizes: Mapping[int, int]) -> None:
        """Have the worker check the imports that are not checked yet as they are now; `sizes` are those of files."""
        wanted = {digest_of(each.as_arguments()): each.as_arguments() for each in planned if each.source}
        missing = [
            arguments
            for digest, arguments in wanted.items()
            if digest not in self.of_import and sum(sizes.get(number, 0) for number in arguments["files"]) <= MOST_BYTES
        ]
        self.of_import = {digest: pk for digest, pk in self.of_import.items() if digest in wanted}
        if missing:
            job = enqueue(self.request, missing, is_dry_run=True)
            self.jobs[job.pk] = job
            self.of_import |= {digest_of(each): job.pk for each in missing}
        self.request.session[CHECKS] = self.of_import

    def end(self) -> None:
        """End the checks that are not over: what they check is imported now, and would have to wait for them."""
        for job in self.jobs.values():
            if not job.is_over:
                try:
                    jobs.cancel(job=job, actor=actor_of(self.request), now=timezone.now())
                except BillingError:
                    # It is over by now.
                    continue
        self.request.session[CHECKS] = self.of_import = {
            digest: pk for digest, pk in self.of_import.items() if self.jobs[pk].is_over
        }

    def of(self, planned: Planned) -> Found:
        """Return what is known of an import."""
        arguments = planned.as_arguments()
        job = self.jobs.get(self.of_import.get(digest_of(arguments), 0))
        if job is None:
            return Found()
        result = _result_of(job, arguments)
        if result:
            return Found(state_of(result), result)
        if job.is_over:
            return Found(said=f"It could not be checked: {job.message}")
        return Found("checking", said=jobs.told(job), percent=job.percent if job.total else None)


def enqueue(request: HttpRequest, imports: Sequence[Mapping[str, Any]], *, is_dry_run: bool) -> Job:
    """Have the worker import files, or try their import out."""
    return jobs.enqueue(
        kind=Job.Kind.IMPORT,
        arguments={
            "imports": list(imports),
            "files": [number for each in imports for number in each["files"]],
            "names": [name for each in imports for name in each["names"]],
            "dry_run": is_dry_run,
        },
        actor=actor_of(request),
        now=timezone.now(),
    )


def _result_of(job: Job, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a job found of one of its imports; nothing where it did not come to it."""
    asked = job.arguments.get("imports", [])
    result = job.result or {}
    told = result.get("imports", [result] if len(asked) == 1 and "state" in result else [])
    return next((one for each, one in zip(asked, told, strict=False) if each == arguments), {})


def state_of(result: Mapping[str, Any]) -> str:
    """Return the state of files by what a check of them found."""
    steps = {error.get("step") for error in result["errors"]}
    if steps:
        return "waits" if steps <= {WouldWithdraw.step, OfAnotherSource.step, SourceUnknown.step} else "broken"
    if result["deferred"]:
        return "waits"
    is_idle = not (result["new"] or result["changed"] or result["withdrawn"])
    return "seen" if is_idle and (result["seen_before"] or result["unchanged"]) else "ready"


def lines_of(found: Found, names: Iterable[str], *, of_several: bool) -> list[str]:
    """Say what a check found, for the row of a file: problems by line and column, or what the import would do."""
    if found.errors:
        mine = [each for each in found.errors if not each.get("file") or each["file"] in names]
        others = [] if mine else ["Another file of this import has a problem."]
        more = [f"{len(mine) - 3:,} more problems."] if len(mine) > 3 else []
        return [words.problem_said(each) for each in mine[:3]] + more + others
    if not found.result:
        return [found.said] if found.said else []
    result = found.result
    said = words.counts_said(result, is_done=False)
    total = words.money(words.billed_of(result["totals"]))
    lines = [said + (f" {'The files come' if of_several else 'The file comes'} to {total}." if total else "")]
    if result["deferred"]:
        months = month_names(result["deferred"]["periods"], " and ")
        lines.append(f"{months} is closed or in review: what changes there waits for a decision.")
    if result["flagged"]:
        lines.append(f"{words.charges(result['flagged'])} would be held for review.")
    return lines + list(result["warnings"])
