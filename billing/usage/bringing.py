"""Bringing usage in: files are read and kept, and every month that they have usage in is priced and imported."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..audit import Actor
from ..background import jobs
from ..errors import BillingError, NextStep
from ..models import Job, UsageFeed, UsageFile
from ..models.periods import parse_month
from ..progress import Progress, unwatched
from ..texts import iso_month, long_month
from . import making, months, taking
from .months import PricedUsage
from .taking import Taken


@dataclass(frozen=True)
class Brought:
    """What came of files of usage, and of each month that was priced. `failed` are months that were not."""

    feed: UsageFeed
    files: tuple[Taken, ...]
    months: tuple[PricedUsage, ...]
    failed: tuple[tuple[datetime.date, BillingError], ...] = ()
    is_dry_run: bool = False

    def as_data(self) -> dict[str, Any]:
        """What came of it, as --json and the page of its job have it."""
        return {
            "feed": self.feed.name,
            "files": [each.as_data() for each in self.files],
            "months": [each.as_data() for each in self.months],
            "errors": [{"period": iso_month(month), "message": str(error)} for month, error in self.failed],
        }

    def as_text(self) -> str:
        """What came of it, for a person."""
        told = [*(each.as_text() for each in self.files), *(each.as_text() for each in self.months)]
        return "\n".join(told)

    @property
    def next_steps(self) -> list[NextStep]:
        """What a person does next."""
        steps = [step for each in self.months if each.result for step in each.result.next_steps]
        steps += [each.refused.then for each in self.months if each.refused and each.refused.then]
        steps += [error.then for _, error in self.failed if error.then]
        return [step for number, step in enumerate(steps) if step not in steps[:number]]


class SomeMonthsFailed(BillingError):
    """A month of files that were read could not be priced, or in a dry run could not be; `result` tells of all."""

    def __init__(self, brought: Brought) -> None:
        self.result = brought.as_data()
        self.then = next((error.then for _, error in brought.failed if error.then), None)
        said = [f"{long_month(month)} was not priced: {error}" for month, error in brought.failed]
        kept = "Nothing was stored." if brought.is_dry_run else "The usage was read and is kept: price it again."
        super().__init__("\n".join([*said, kept]))


def bring_in(
    *,
    paths: Sequence[Path],
    names: Sequence[str],
    feed: UsageFeed,
    dry_run: bool = False,
    most: int | None = None,
    actor: Actor,
    now: datetime.datetime,
    progress: Progress = unwatched,
) -> Brought:
    """Read files of usage of a feed, and price the months that they are of; see `taking` and `months`.

    A dry run of months with more than `most` records prices none. Raises UsageRefused where a file cannot be read: then
    none of them is kept.
    """
    with taking.scratch() as folder:
        made = taking.reduce(paths=paths, names=names, feed=feed, into=Path(folder), progress=progress)
        fresh = [taken for taken, _, _ in made if taken.seen is None]
        wanted = taking.months_of(fresh, feed.time_zone)
        extra = [taken.path for taken in fresh if taken.path] if dry_run else []
        files = [taken for taken, _, _ in made]
        if dry_run and most is not None and _records_of(feed, wanted, fresh) > most:
            wanted = []
        if not dry_run:
            files = taking.keep(made=made, feed=feed, actor=actor, now=now)
        return _priced(feed, files, wanted, extra=extra, dry_run=dry_run, actor=actor, now=now, progress=progress)


def _records_of(feed: UsageFeed, wanted: Sequence[datetime.date], fresh: Sequence[Taken]) -> int:
    """Return how many records pricing these months would read."""
    kept = {file.pk: file.records for month in wanted for file in making.files_of(feed, month)}
    return sum(kept.values()) + sum(taken.records for taken in fresh)


def read(
    *,
    paths: Sequence[Path],
    names: Sequence[str],
    feed: UsageFeed,
    actor: Actor,
    now: datetime.datetime,
) -> tuple[list[Taken], Job | None]:
    """Read files of usage and keep their records; return what came of each, and the job that prices their months.

    There is no job where nothing new was read. Raises UsageRefused where a file cannot be read: then none is kept.
    """
    with taking.scratch() as folder:
        made = taking.reduce(paths=paths, names=names, feed=feed, into=Path(folder))
        files = taking.keep(made=made, feed=feed, actor=actor, now=now)
    return files, _price_later(feed, [each.file for each in files if each.file], actor=actor, now=now)


def withdraw_later(
    *, file: UsageFile, reason: str, actor: Actor, now: datetime.datetime
) -> tuple[UsageFile, Job | None]:
    """Have a file count no longer; return it, and the job that prices its months without it, if it has any."""
    withdrawn = taking.withdraw(file=file, reason=reason, actor=actor, now=now)
    return withdrawn, _price_later(withdrawn.feed, [withdrawn], actor=actor, now=now)


def price_again_later(*, feed: UsageFeed, month: datetime.date, actor: Actor, now: datetime.datetime) -> Job:
    """Have the worker price a month of a feed again, and those after it that build on it."""
    asked = {"feed": feed.pk, "period": iso_month(month)}
    return jobs.enqueue(kind=Job.Kind.USAGE, arguments=asked, actor=actor, now=now)


def _price_later(feed: UsageFeed, files: Sequence[UsageFile], *, actor: Actor, now: datetime.datetime) -> Job | None:
    if not taking.months_of(files, feed.time_zone):
        return None
    asked = {"feed": feed.pk, "files": [file.pk for file in files]}
    return jobs.enqueue(kind=Job.Kind.USAGE, arguments=asked, actor=actor, now=now)


def run_job(
    *, job: Job, arguments: dict[str, Any], actor: Actor, now: datetime.datetime, progress: Progress
) -> dict[str, Any]:
    """Price months of a feed, as a background job.

    `arguments`: the id of the `feed`, and the ids of `files` whose months are priced, or one month as `period`.
    Raises SomeMonthsFailed, with what came of the others.
    """
    feed = UsageFeed.objects.select_related("source").get(pk=arguments["feed"])
    if period := arguments.get("period"):
        wanted = [parse_month(period)]
    else:
        files = UsageFile.objects.filter(pk__in=arguments["files"])
        wanted = taking.months_of(list(files), feed.time_zone)
    brought = _priced(feed, [], wanted, actor=actor, now=now, progress=progress)
    if brought.failed:
        raise SomeMonthsFailed(brought)
    said = [each.headline for each in brought.months]
    then = [step.as_data() for step in brought.next_steps]
    return {"message": " ".join(said), **brought.as_data(), "then": then}


def price_again(
    *,
    feed: UsageFeed,
    month: datetime.date,
    dry_run: bool = False,
    actor: Actor,
    now: datetime.datetime,
    progress: Progress = unwatched,
) -> Brought:
    """Price a month of a feed again, and those after it that build on it: after a rate, a rule or a file changed."""
    return _priced(feed, [], [month], dry_run=dry_run, actor=actor, now=now, progress=progress)


def withdraw(
    *, file: UsageFile, reason: str, actor: Actor, now: datetime.datetime, progress: Progress = unwatched
) -> Brought:
    """Have a file count no longer, and price its months again without it."""
    withdrawn = taking.withdraw(file=file, reason=reason, actor=actor, now=now)
    wanted = taking.months_of([withdrawn], withdrawn.feed.time_zone)
    return _priced(withdrawn.feed, [], wanted, actor=actor, now=now, progress=progress)


def _priced(
    feed: UsageFeed,
    files: Sequence[Taken],
    wanted: Sequence[datetime.date],
    *,
    extra: Sequence[Path] = (),
    dry_run: bool = False,
    actor: Actor,
    now: datetime.datetime,
    progress: Progress,
) -> Brought:
    """Price months one after the other; a dry run ends with those that the files are of."""
    priced: list[PricedUsage] = []
    failed: list[tuple[datetime.date, BillingError]] = []
    if not dry_run:
        wanted = months.following(feed, [*months.bridged(feed, wanted), *wanted])
    for month in wanted:
        try:
            priced.append(
                months.run(
                    feed=feed,
                    month=month,
                    extra=extra,
                    dry_run=dry_run,
                    actor=actor,
                    now=now,
                    progress=progress,
                )
            )
        except BillingError as error:
            failed.append((month, error))
    return Brought(feed, tuple(files), tuple(priced), tuple(failed), dry_run)
