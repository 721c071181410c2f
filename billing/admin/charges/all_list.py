"""The list of all charges: what narrows it as chips, and what it comes to by the prices that statements count."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import BooleanField, Count, ExpressionWrapper, ForeignKey, Q
from django.http import QueryDict
from django.utils.functional import cached_property

from ...fields import AmountSum
from ...models import Charge
from ...money import ZERO
from ...resources import Figures
from ..large_tables import COUNTED, BoundedPaginator
from ..saved_views import in_order
from .filters import NamedFilter
from .sums import ChargeList, totals_of

# What an address says beside how the list is narrowed.
PLACES = ("p", "o", "e")


@dataclass(frozen=True)
class Chip:
    """One way in which the list is narrowed, and the address of the list without it."""

    title: str
    value: str
    remove_url: str


@dataclass
class Comes:
    """What charges of one currency come to; list − discount − subsidy = charged + open.

    `open` is what is held or rejected: nobody is charged that.
    """

    figures: Figures = field(default_factory=Figures)
    open: Decimal = ZERO
    open_count: int = 0

    @property
    def charged(self) -> Decimal:
        return self.figures.charged - self.open

    def add(self, figures: Figures, state: str) -> None:
        self.figures.add(figures)
        if state not in Charge.CHARGEABLE:
            self.open += figures.charged
            self.open_count += figures.charges


class SummedPaginator(BoundedPaginator):
    """Pages of charges that counts and adds up in one look: of the newest 10,000, where there are more."""

    @cached_property
    def count(self) -> int:
        found = sum(row[3] for row in self._rows)
        return COUNTED + 1 if found == COUNTED and self.object_list[COUNTED:].exists() else found  # type: ignore[attr-defined]

    @cached_property
    def comes_to(self) -> dict[str, Comes]:
        """What those in force come to, by currency."""
        found: dict[str, Comes] = defaultdict(Comes)
        for currency, state, is_live, number, listed, contracted, charged in self._rows:
            if is_live:
                found[currency].add(Figures(number, listed, listed - contracted, contracted - charged, charged), state)
        return dict(sorted(found.items()))

    @cached_property
    def _rows(self) -> list[tuple[Any, ...]]:
        first = self.object_list.order_by("-pk").values("pk")[:COUNTED]  # type: ignore[attr-defined]
        is_live = ExpressionWrapper(Q(withdrawn_in__isnull=True), output_field=BooleanField())
        charges = Charge.objects.filter(pk__in=first).with_prices(estimates=True).order_by()
        sums = {f"sum_{name}": AmountSum(f"exact_{name}") for name in ("list", "contracted", "charged")}
        return list(
            charges.annotate(is_live=is_live)
            .values_list("currency", "state", "is_live")
            .annotate(number=Count("pk"), **sums)
        )


class AllChargesList(ChargeList):
    """A page of all charges."""

    comes_to: dict[str, Comes]

    def add_up(self) -> None:
        narrowed = dict(self.narrowed_by)
        for spec in self.filter_specs:
            if isinstance(spec, NamedFilter):
                narrowed.pop(str(spec.parameter_name))
                narrowed[f"{spec.parameter_name}__id__exact"] = [str(spec.found.pk) if spec.found else "0"]
        totals = None if self.query else totals_of(narrowed)
        # Of the totals where they know how the list is narrowed, else of no more than the newest charges.
        self.is_of_newest = totals is None and self.paginator.is_more
        if totals is None:
            self.comes_to = self.paginator.comes_to
            return
        found: dict[str, Comes] = defaultdict(Comes)
        for (currency, state), priced in totals.priced("currency", "state").items():
            listed, contracted, charged = priced.listed, priced.contracted, priced.charged
            figures = Figures(priced.charges, listed, listed - contracted, contracted - charged, charged)
            found[currency].add(figures, state)
        self.comes_to = dict(sorted(found.items()))

    @cached_property
    def in_force(self) -> int:
        return sum(each.figures.charges for each in self.comes_to.values())

    @cached_property
    def chips(self) -> list[Chip]:
        """What the list is narrowed by, in words."""
        found, told = [], set()
        for spec in self.filter_specs:
            told |= set(spec.expected_parameters() or ())
            everything, *choices = list(spec.choices(self))
            chosen = [str(choice["display"]) for choice in choices if choice["selected"]]
            if chosen:
                found.append(Chip(str(spec.title), ", ".join(chosen), str(everything["query_string"])))
        for name, values in self.narrowed_by.items():
            if name not in told:
                found.append(self._chip_of_link(name, values))
        return found

    def _chip_of_link(self, name: str, values: Sequence[str]) -> Chip:
        """Say what a link from another page narrows the list by, such as `project__id__exact`."""
        model_field = self.opts.get_field(name.partition("__")[0])
        said = ", ".join(values)
        if isinstance(model_field, ForeignKey) and name.endswith("__exact"):
            try:
                said = str(model_field.related_model._default_manager.get(pk=values[0]))  # noqa: SLF001 (documented by Django)
            except (ObjectDoesNotExist, ValueError, OverflowError):
                said = "not found"
        return Chip(str(getattr(model_field, "verbose_name", name)), said, self.get_query_string(remove=[name]))

    @cached_property
    def narrowed_by(self) -> dict[str, list[str]]:
        """The filters of its address, without the search."""
        return self.get_filters_params()

    @cached_property
    def narrowing(self) -> str:
        """How the list is narrowed and searched, as its address says it: in one order, so that two can be compared."""
        asked = QueryDict(mutable=True)
        for name, values in self.narrowed_by.items():
            asked.setlist(name, list(values))
        asked["q"] = self.query
        return narrowing_of(asked)


def narrowing_of(asked: QueryDict) -> str:
    """Return what of an address narrows the list, in one order of names and without what is empty."""
    kept = asked.copy()
    for name in PLACES:
        kept.pop(name, None)
    return in_order(kept)
