"""Rows that stand once their month is shut: querysets, too, refuse what the verbs refuse."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self, TypeVar

from django.db import models
from django.db.models import BigIntegerField, F, Func

from ..errors import BillingError
from .periods import SHUT, BillingPeriod, PeriodClosed, PeriodFinalized

# Ids in one statement: below what any build of SQLite takes.
BATCH = 900

Row = TypeVar("Row", bound="Standing")
Kept = TypeVar("Kept", bound="KeptRow")


class KeptForEver(BillingError):
    """A row of a record that only grows was to be changed or deleted."""


class KeptQuerySet(models.QuerySet[Kept]):
    """Rows that are added and read, and nothing else."""

    def update(self, **fields: object) -> int:
        raise KeptForEver(self.model.KEPT)

    def delete(self) -> tuple[int, dict[str, int]]:
        raise KeptForEver(self.model.KEPT)


class KeptRow(models.Model):
    """A row that is never changed or deleted."""

    KEPT: ClassVar[str]

    class Meta:
        abstract = True

    def save(self, *args: Any, **options: Any) -> None:
        if not self._state.adding:
            raise KeptForEver(self.KEPT)
        super().save(*args, **options)

    def delete(self, *args: object, **options: object) -> tuple[int, dict[str, int]]:
        raise KeptForEver(self.KEPT)


class StandingQuerySet(models.QuerySet[Row]):
    """Refuses what would change rows of a shut month: PeriodClosed or PeriodFinalized, naming it.

    It asks one question for a whole statement, and none about rows where no month is shut.
    """

    # The months all of these rows are known to be of (see `of_month`).
    known_months: frozenset[int] | None = None

    def of_month(self, period: BillingPeriod, *, indexed: bool = True) -> Self:
        """Keep the rows of a month; a change of them asks about this month and not about each row.

        Not `indexed`, an index on the month is left alone.
        """
        if indexed:
            found = self.filter(**{self.model.STANDS_BY: period})
        else:
            found = self.alias(of_month=unindexed(self.model.STANDS_BY)).filter(of_month=period.pk)
        found.known_months = frozenset({period.pk})
        return found

    def update(self, **fields: Any) -> int:
        if not set(fields) <= self.model.FREE:
            self.model.refuse_if_kept()
            self._require_open()
            head = self.model.STANDS_BY
            if (target := fields.get(head, fields.get(f"{head}_id"))) is not None:
                self.model.require_open_months({target.pk if isinstance(target, models.Model) else target})
        return super().update(**fields)

    def delete(self) -> tuple[int, dict[str, int]]:
        self.model.refuse_if_kept()
        self._require_open()
        return super().delete()

    def bulk_create(self, objs: Iterable[Row], *args: Any, **options: Any) -> list[Row]:
        rows = list(objs)
        self.model.require_open_months(months_of(self.model, rows))
        return super().bulk_create(rows, *args, **options)

    def _require_open(self) -> None:
        shut = shut_months(self.model)
        if not shut:
            return
        if self.known_months is not None:
            found = sorted(self.known_months & shut)
        else:
            # By an index the database might look through the shut months for these rows, not the reverse.
            month = unindexed(self.model.STANDS_BY)
            asked = self.order_by().annotate(shut_month=month).filter(shut_month__in=shut)
            found = list(asked.values_list("shut_month", flat=True)[:1])
        if found:
            self.model.require_open_months(set(found))

    def _clone(self) -> Self:
        clone = super()._clone()  # type: ignore[misc]
        clone.known_months = self.known_months
        return clone

    def __or__(self, other: Any) -> Any:
        both = super().__or__(other)
        both.known_months = None
        return both

    def __xor__(self, other: Any) -> Any:
        both = super().__xor__(other)
        both.known_months = None
        return both


class Standing(models.Model):
    """A row that stands once its month is shut. What `FREE` names may change still."""

    # The way to the month that decides, the statuses of it in which the row stands, and how people call it.
    STANDS_BY: ClassVar[str] = "period"
    STANDS_IN: ClassVar[Sequence[str]] = SHUT
    FREE: ClassVar[frozenset[str]] = frozenset()
    # What to say of rows that never change; empty for rows that do.
    KEPT: ClassVar[str] = ""

    class Meta:
        abstract = True

    def save(self, *args: Any, **options: Any) -> None:
        written = options.get("update_fields")
        if self._state.adding:
            self.require_open_months(months_of(type(self), [self]))
        elif written is None or not set(written) <= self.FREE:
            self.refuse_if_kept()
            stored = self._stored_months()
            self.require_open_months({*stored, *months_of(type(self), [self])})
        super().save(*args, **options)

    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        self.refuse_if_kept()
        self.require_open_months(self._stored_months())
        return super().delete(*args, **options)

    def _stored_months(self) -> set[int]:
        """Return the month that the row is of in the database, whatever it says now."""
        stored = type(self)._base_manager.filter(pk=self.pk)  # noqa: SLF001 (past every custom manager)
        return set(stored.values_list(self.STANDS_BY, flat=True))

    @classmethod
    def refuse_if_kept(cls) -> None:
        if cls.KEPT:
            raise KeptForEver(cls.KEPT)

    @classmethod
    def require_open_months(cls, months: Iterable[int]) -> None:
        """Raise PeriodClosed or PeriodFinalized where rows stand in one of these months (ids)."""
        wanted = set(months)
        if not wanted:
            return
        period = BillingPeriod.objects.filter(pk__in=wanted, status__in=cls.STANDS_IN).order_by("month").first()
        if period is None:
            return
        status = period.get_status_display().lower()
        kind = PeriodFinalized if period.status == BillingPeriod.Status.FINALIZED else PeriodClosed
        raise kind(f"Billing period {period} is {status}: its {cls._meta.verbose_name_plural} are locked.")


def unindexed(path: str) -> Func:
    """Return a column as an expression of itself: a unary plus keeps databases off its indexes."""
    return Func(F(path), template="+%(expressions)s", output_field=BigIntegerField())


def shut_months(model: type[Standing]) -> set[int]:
    """Return the ids of the months in which a model's rows stand."""
    return set(BillingPeriod.objects.filter(status__in=model.STANDS_IN).values_list("pk", flat=True))


def months_of(model: type[Standing], rows: Sequence[Standing]) -> set[int]:
    """Return which shut months rows, stored or not, would be of."""
    if not rows or not (shut := shut_months(model)):
        return set()
    head, _, rest = model.STANDS_BY.partition("__")
    field = model._meta.get_field(head)
    assert isinstance(field, models.ForeignKey)
    ids = sorted({key for row in rows if (key := getattr(row, field.attname)) is not None})
    if not rest:
        return shut & set(ids)
    parents = field.related_model._base_manager  # noqa: SLF001 (past every custom manager)
    found: set[int] = set()
    for start in range(0, len(ids), BATCH):
        found |= set(
            parents.filter(pk__in=ids[start : start + BATCH]).order_by().values_list(rest, flat=True).distinct()
        )
    return found & shut
