"""Days of service: those of the clocks that the provider bills by, where they are known, else those of UTC.

Google's March ends at midnight Pacific time: what runs on its last evening is of 31 March, though it is April in UTC.
So says the import, whose billing periods begin at that midnight, and so its import remembers it
(`Import.billing_zone`). Splits, the validity of funds, PIs and projects, and dated rules go by these days.
"""

import datetime
from collections.abc import Iterator
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo

from django.db.models import Q

from .models import Charge, Import


@lru_cache(maxsize=16)
def zone_named(name: str) -> datetime.tzinfo:
    """Return a time zone by its IANA name; UTC for none."""
    return ZoneInfo(name) if name else datetime.UTC


def days_of(start: datetime.datetime, end: datetime.datetime) -> tuple[datetime.date, datetime.date]:
    """Return the first and last day of service of a charge period by the clocks of its times: its end is exclusive."""
    first = start.date()
    return first, max(first, (end - datetime.timedelta(microseconds=1)).date())


class Clocks:
    """The time zones of imports, looked up once they are asked for."""

    @cached_property
    def _zones(self) -> dict[int, datetime.tzinfo]:
        zoned = Import.objects.exclude(billing_zone="").order_by("pk").values_list("pk", "billing_zone")
        return {pk: zone_named(name) for pk, name in zoned}

    def local(self, moment: datetime.datetime, imported_in: int) -> datetime.datetime:
        """Return a moment as the clocks of an import's provider showed it."""
        return moment.astimezone(self._zones.get(imported_in, datetime.UTC))

    def days(
        self, start: datetime.datetime, end: datetime.datetime, imported_in: int
    ) -> tuple[datetime.date, datetime.date]:
        """Return the first and last day of service of a charge of this import."""
        return days_of(self.local(start, imported_in), self.local(end, imported_in))

    def begins(self, *, first: datetime.date | None = None, last: datetime.date | None = None) -> Q:
        """Match charges whose service begins on these days, by the clocks of their imports; None is no bound."""
        condition = Q()
        if not (first or last):
            return condition
        for imports, zone in self._in_use():
            within = Q()
            if first:
                within &= Q(charge_period_start__gte=_midnight(first, zone))
            if last:
                within &= Q(charge_period_start__lt=_midnight(last + datetime.timedelta(days=1), zone))
            condition |= imports & within
        return condition

    def _in_use(self) -> Iterator[tuple[Q, datetime.tzinfo]]:
        """Yield which charges go by which clocks."""
        zoned = Import.objects.exclude(billing_zone="").order_by()
        yield (~Q(imported_in__in=zoned.values("pk")) if self._zones else Q()), datetime.UTC
        for zone in dict.fromkeys(self._zones.values()):
            yield Q(imported_in__in=zoned.filter(billing_zone=str(zone)).values("pk")), zone

    def days_of(self, charge: Charge) -> tuple[datetime.date, datetime.date]:
        return self.days(charge.charge_period_start, charge.charge_period_end, charge.imported_in_id)


def _midnight(day: datetime.date, zone: datetime.tzinfo) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time(), zone).astimezone(datetime.UTC)
