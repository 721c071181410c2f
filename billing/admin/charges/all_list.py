"""The list of all charges, and what it comes to by the prices that statements count."""

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db.models import BooleanField, Count, ExpressionWrapper, Q
from django.http import HttpRequest
from django.utils.functional import cached_property

from ...fields import AmountSum
from ...models import Charge
from ...money import ZERO
from ...resources import Figures
from ..chips import SUMS, ChipsMixin
from ..large_tables import COUNTED, BoundedPaginator
from .filters import NamedFilter
from .sums import ChargeList, totals_of


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
    """Pages of charges that counts and adds up in one look: of the newest 10,000, where there are more.

    `comes_to` may be asked of all of them. Its charges say by `is_counted_alone` that somebody else knows the sums.
    """

    @cached_property
    def count(self) -> int:
        if getattr(self.object_list, "is_counted_alone", False):
            return super().count
        found = sum(row[3] for row in self._rows)
        return COUNTED + 1 if found == COUNTED and self.object_list[COUNTED:].exists() else found  # type: ignore[attr-defined]

    def comes_to(self, *, of_all: bool = False) -> dict[str, Comes]:
        """What those in force come to, by currency."""
        found: dict[str, Comes] = defaultdict(Comes)
        for currency, state, is_live, number, listed, contracted, charged in self._sums() if of_all else self._rows:
            if is_live:
                found[currency].add(Figures(number, listed, listed - contracted, contracted - charged, charged), state)
        return dict(sorted(found.items()))

    @cached_property
    def _rows(self) -> list[tuple[Any, ...]]:
        return self._sums(COUNTED)

    def _sums(self, newest: int | None = None) -> list[tuple[Any, ...]]:
        """Add up so many of the newest, or all."""
        numbers = self.object_list.order_by("-pk").values("pk")[:newest]  # type: ignore[attr-defined]
        is_live = ExpressionWrapper(Q(withdrawn_in__isnull=True), output_field=BooleanField())
        charges = Charge.objects.filter(pk__in=numbers).with_prices(estimates=True).order_by()
        sums = {f"sum_{name}": AmountSum(f"exact_{name}") for name in ("list", "contracted", "charged")}
        return list(
            charges.annotate(is_live=is_live)
            .values_list("currency", "state", "is_live")
            .annotate(number=Count("pk"), **sums)
        )


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
        self.totals = None if self.query else totals_of(self._narrowed_by_key())
        self.queryset.is_counted_alone = self.totals is not None
        super().get_results(request)

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
        is_of_more = self.totals is None and self.paginator.is_more
        self.is_of_newest = is_of_more and not self.is_all_asked
        if self.totals is None:
            self.comes_to = self.paginator.comes_to(of_all=is_of_more and self.is_all_asked)
            return
        found: dict[str, Comes] = defaultdict(Comes)
        for (currency, state), priced in self.totals.priced("currency", "state").items():
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
