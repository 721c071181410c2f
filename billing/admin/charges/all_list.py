"""The list of all charges, and what it comes to by the prices that statements count."""

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import BooleanField, Count, ExpressionWrapper, Q
from django.http import HttpRequest
from django.utils.functional import cached_property

from ...fields import AmountSum
from ...models import Charge
from ...models.charges import ChargeQuerySet
from ...money import ZERO
from ...resources import Figures
from ..chips import SUMS, ChipsMixin
from ..large_tables import COUNTED, BoundedPaginator
from .filters import NamedFilter
from .sums import ChargeList, totals_of

# Other parameters of a query that names charges.
OTHERS = 200


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
    """Pages of charges that looks once for the newest, 10,000 at most, and shows, counts and adds up those.

    `comes_to` may be asked of all of them. Its charges say by `in_force` how many of them are, where that is known:
    then somebody else knows the sums, too.
    """

    object_list: ChargeQuerySet

    @cached_property
    def newest(self) -> list[int]:
        """The numbers of the newest, and of one more than are counted."""
        return list(self.object_list.order_by("-pk").values_list("pk", flat=True)[: COUNTED + 1])

    @cached_property
    def count(self) -> int:
        in_force = getattr(self.object_list, "in_force", None)
        if in_force is None:
            return len(self.newest)
        if in_force > COUNTED:
            return COUNTED + 1
        withdrawn = self.object_list.filter(withdrawn_in__isnull=False)
        return min(COUNTED + 1, in_force + int(withdrawn.order_by()[: COUNTED + 1].count()))

    def comes_to(self, *, of_all: bool = False) -> dict[str, Comes]:
        """What those in force come to, by currency."""
        found: dict[str, Comes] = defaultdict(Comes)
        charges = self.object_list if of_all else self._among_newest()
        for currency, state, is_live, number, listed, contracted, charged in _sums(charges):
            if is_live:
                found[currency].add(Figures(number, listed, listed - contracted, contracted - charged, charged), state)
        return dict(sorted(found.items()))

    def _among_newest(self) -> ChargeQuerySet:
        """The charges that are counted: by their numbers, or where there are more, all that match from the oldest on.

        Numbers are looked up without a second search through all charges. A range needs none of them sent back.
        """
        counted = self.newest[:COUNTED]
        most = connection.features.max_query_params or COUNTED
        if len(self.newest) <= min(COUNTED, most - OTHERS):
            return Charge.objects.filter(pk__in=counted)
        return self.object_list.filter(pk__gte=counted[-1])


def _sums(charges: "ChargeQuerySet") -> list[tuple[Any, ...]]:
    """Add up charges, by currency, state and whether they are in force."""
    is_live = ExpressionWrapper(Q(withdrawn_in__isnull=True), output_field=BooleanField())
    sums = {f"sum_{name}": AmountSum(f"exact_{name}") for name in ("list", "contracted", "charged")}
    priced = charges.select_related(None).order_by().with_prices(estimates=True).annotate(is_live=is_live)
    return list(priced.values_list("currency", "state", "is_live").annotate(number=Count("pk"), **sums))


class AllChargesList(ChipsMixin, ChargeList):
    """A page of all charges.

    `sums=all` in its address asks for the sums of more than 10,000, which takes a moment. Other pages of the list do
    without.
    """

    comes_to: dict[str, Comes]

    def get_results(self, request: HttpRequest) -> None:
        self.is_all_asked = self.params.pop(SUMS, "") == "all"
        self.filter_params.pop(SUMS, None)
        # The totals of months know what it comes to, unless it is narrowed in a way that they do not know.
        totals = None if self.query else totals_of(self._narrowed_by_key())
        self.priced = priced = None if totals is None else totals.priced("currency", "state")
        self.queryset.in_force = None if priced is None else sum(each.charges for each in priced.values())
        super().get_results(request)

    def _numbers(self, start: int, size: int) -> list[int]:
        if self.priced is None and set(self.queryset.query.order_by) == {"-id"}:
            found = self.paginator.newest
            if len(found) <= COUNTED or start + size <= COUNTED:
                return list(found[start : start + size])
        return super()._numbers(start, size)

    def _narrowed_by_key(self) -> dict[str, list[str]]:
        """Return what narrows the list with a person or project by its key, where the address has a name."""
        narrowed = dict(self.narrowed_by)
        for spec in self.filter_specs:
            if isinstance(spec, NamedFilter):
                narrowed.pop(str(spec.parameter_name))
                narrowed[f"{spec.parameter_name}__id__exact"] = [str(spec.found.pk) if spec.found else "0"]
        return narrowed

    def add_up(self) -> None:
        # Without totals no more than the newest charges, until somebody asks for all.
        is_of_more = self.priced is None and self.paginator.is_more
        self.is_of_newest = is_of_more and not self.is_all_asked
        if self.priced is None:
            self.comes_to = self.paginator.comes_to(of_all=is_of_more and self.is_all_asked)
            return
        found: dict[str, Comes] = defaultdict(Comes)
        for (currency, state), priced in self.priced.items():
            listed, contracted, charged = priced.listed, priced.contracted, priced.charged
            figures = Figures(priced.charges, listed, listed - contracted, contracted - charged, charged)
            found[currency].add(figures, state)
        self.comes_to = dict(sorted(found.items()))

    @property
    def all_sums_url(self) -> str:
        """The address of the list with the sums of all its charges."""
        return str(self.get_query_string({SUMS: "all"}))

    @cached_property
    def in_force(self) -> int:
        return sum(each.figures.charges for each in self.comes_to.values())
