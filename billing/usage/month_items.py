"""What the month's checklist says of usage: whether each feed was read and priced, and where that is mended."""

import datetime
from collections.abc import Iterable, Iterator
from zoneinfo import ZoneInfo

from django.utils import timezone

from ..errors import BillingError, NextStep
from ..models import BillingPeriod, Job, MonthTotal, PricedMonth, UsageFeed, UsageFile
from ..months.checklist import Item, Month, State
from ..readers import FileError
from ..texts import iso_month, long_month
from . import levels, taking
from .making import files_of

CODE = "usage"
# How many of the latest jobs that failed are asked why a month was not priced.
FAILED_JOBS = 20
DAY = datetime.timedelta(days=1)


def items(month: Month) -> Iterator[Item]:
    """Say of each usage feed what its month lacks; one item where all are read and priced, none without a feed."""
    feeds = list(UsageFeed.objects.filter(is_active=True).select_related("source"))
    if not feeds:
        return
    period = month.period
    priced = {each.feed_id: each for each in PricedMonth.objects.filter(period=period).order_by("pk")}
    held = dict(MonthTotal.objects.of_month(period).held().summed("source").values_list("source", "number"))
    found = [
        _Of(feed, period, month.about, priced.get(feed.pk), int(held.get(feed.source_id) or 0)).item() for feed in feeds
    ]
    told = [item for item in found if item]
    if not told:
        yield Item(CODE, State.NOT_APPLICABLE, f"No usage feed has usage of {period}.")
        return
    wanting = [item for item in told if item.state != State.DONE]
    if not wanting:
        read = "usage feed is" if len(told) == 1 else "usage feeds are"
        yield Item(CODE, State.DONE, f"{len(told):,} {read} read and priced.", len(told))
    yield from wanting


class _Of:
    """A feed in a month: `priced` is how it was priced last, `held` how many of its charges wait for review."""

    def __init__(
        self, feed: UsageFeed, period: BillingPeriod, about: dict[str, str], priced: PricedMonth | None, held: int
    ) -> None:
        self.feed, self.period, self.priced, self.held = feed, period, priced, held
        self.about = about | {"feed": feed.name, "feed_id": str(feed.pk)}
        self.month = long_month(period.month)

    def item(self) -> Item | None:
        """Return what is to be said of it; None where it has nothing to do with the month."""
        try:
            near = files_of(self.feed, self.period.month)
        except (BillingError, FileError):
            # Its settings are not what its reader takes: its own page says so.
            return self._warning("its settings cannot be read.", NextStep("set_feed", self.about))
        files = [file for file in near if self.period.month in taking.months_of([file], self.feed.time_zone)]
        if self.priced is None and not files:
            return self._unread()
        if waiting := self._unpriced(files):
            state = State.OPEN if self.period.takes_changes else State.WARNING
            return Item(CODE, state, f"{self.feed.label}: {waiting}", 1, then=NextStep("price_usage", self.about))
        assert self.priced
        return self._wanting(files) or Item(CODE, State.DONE, "")

    def _warning(self, text: str, then: NextStep) -> Item:
        return Item(CODE, State.WARNING, f"{self.feed.label}: {text}", 1, then=then)

    def _unread(self) -> Item | None:
        """A feed that began later, or whose month takes no files any more, lacks nothing."""
        standing = self.feed.files.filter(state=UsageFile.State.STANDING, first__lt=_instant(self.period.month))
        if not self.period.takes_changes or not standing.exists():
            return None
        return self._warning(f"no usage of {self.month} was read yet.", NextStep("read_usage", self.about))

    def _unpriced(self, files: list[UsageFile]) -> str:
        """Say what keeps the month from being priced as its files stand; empty where it is."""
        if self.priced is None:
            failed = _why_not(self.feed, iso_month(self.period.month))
            return f"{_counted(len(files), 'file')} read, and {self.month} is not priced.{failed and f' {failed}'}"
        of_pricing = dict(self.priced.files.values_list("pk", "state"))
        new = sum(file.pk not in of_pricing for file in files)
        gone = sum(state == UsageFile.State.WITHDRAWN for state in of_pricing.values())
        said = [f"{_counted(new, 'file')} read"] * bool(new) + [f"{_counted(gone, 'file')} withdrawn"] * bool(gone)
        return f"{' and '.join(said)} since {self.month} was priced." if said else ""

    def _wanting(self, files: list[UsageFile]) -> Item | None:
        """Say what a month that is priced still lacks: days, and charges that are decided."""
        assert self.priced
        said = [note for note in self.priced.notes if levels.GAP in note]
        if len(said) == 1:
            # The only one of its systems needs no name.
            said = [said[0].partition(": ")[2]]
        if days := self._days_without(files):
            said.append(f"no file has usage of {levels.days_told([day.toordinal() for day in days])}.")
        days_lack = NextStep("show_priced_month", self.about | {"priced": str(self.priced.pk)})
        then = days_lack if said else NextStep("review", self.about)
        if self.held:
            said.append(f"{_counted(self.held, 'charge')} {'waits' if self.held == 1 else 'wait'} for review.")
        if not said:
            return None
        first, *others = said
        return self._warning(" ".join([first, *(f"{text[:1].upper()}{text[1:]}" for text in others)]), then)

    def _days_without(self, files: Iterable[UsageFile]) -> list[datetime.date]:
        """Return the days of the month, before today, that no file spans."""
        zone = ZoneInfo(self.feed.time_zone)
        covered: set[datetime.date] = set()
        for file in files:
            assert file.first
            assert file.last
            day = max(file.first.astimezone(zone).date(), self.period.month)
            last = min(file.last.astimezone(zone).date(), self.period.next_month)
            while day <= last:
                covered.add(day)
                day += DAY
        end = min(self.period.next_month, timezone.now().astimezone(zone).date())
        number = max((end - self.period.month).days, 0)
        return [day for day in (self.period.month + n * DAY for n in range(number)) if day not in covered]


def _why_not(feed: UsageFeed, month: str) -> str:
    """Return why the last job that was to price a month did not, empty where none failed."""
    failed = Job.objects.filter(kind=Job.Kind.USAGE, state=Job.State.FAILED).order_by("-pk")[:FAILED_JOBS]
    for job in failed:
        result = job.result or {}
        for error in result.get("errors") or ():
            if result.get("feed") == feed.name and error.get("period") == month:
                return str(error["message"])
    return ""


def _instant(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time(), tzinfo=datetime.UTC)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
