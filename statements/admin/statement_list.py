"""The list of statements: what all that it holds comes to, and how much of it is in which state."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from django.contrib.admin.views.main import ChangeList
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from billing.admin.chips import ChipsMixin
from billing.admin.choice_chips import ChoiceChip, address_by, choice_chips
from billing.fields import AmountSum
from billing.money import ZERO

from .. import emails
from ..document import Figures
from ..models import Statement
from .filters import ALL, LIVE, OUT, OUT_OF_FORCE, OUTDATED, TROUBLE, StateFilter, outdated_of

State = Statement.State

SUMMED = (
    *("list_cost", "contracted_cost", "charged"),
    *("corrections_list_cost", "corrections_contracted_cost", "corrections"),
)
# The states in which a statement waits for somebody.
CHIP_TONES: dict[str, str] = {State.ISSUED: "warn", OUTDATED: "warn", TROUBLE: "bad", State.WRITTEN: "warn"}


@dataclass(frozen=True)
class Comes:
    """What statements of one currency come to: list − discount − subsidy + corrections = charged."""

    count: int = 0
    month: Figures = field(default_factory=Figures)
    corrections: Decimal = ZERO

    @property
    def charged(self) -> Decimal:
        return self.month.charged + self.corrections


# By currency: currencies are never added together.
Sums = Mapping[str, Comes]


def _by_state(statements: "QuerySet[Statement]") -> dict[str, dict[str, Comes]]:
    """Return what statements come to, by state and currency, in one query."""
    found: dict[str, dict[str, Comes]] = defaultdict(dict)
    sums = {f"sum_{name}": AmountSum(name) for name in SUMMED}
    rows = Statement.objects.filter(pk__in=statements.order_by().values("pk")).order_by()
    for state, currency, count, *summed in rows.values_list("state", "currency").annotate(number=Count("pk"), **sums):
        whole, corrections = Figures(*summed[:3]), Figures(*summed[3:])
        found[state][currency] = Comes(count, whole.less(corrections), corrections.charged)
    return found


def added(of_states: Iterable[Sums]) -> dict[str, Comes]:
    """Return what several sums come to together, each currency by itself."""
    parts: dict[str, list[Comes]] = defaultdict(list)
    for sums in of_states:
        for currency, comes in sums.items():
            parts[currency].append(comes)
    return {
        currency: Comes(
            sum(each.count for each in own),
            Figures.total(each.month for each in own),
            sum((each.corrections for each in own), ZERO),
        )
        for currency, own in sorted(parts.items())
    }


class StatementList(ChipsMixin, ChangeList):
    """A page of statements, with the sums of all that the list holds."""

    state_chips: list[ChoiceChip]
    comes_to: dict[str, Comes]

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.known_outdated = outdated_of(request)
        self.troubled = emails.troubled_statements()
        self._add_up(request)
        self._mark(list(self.result_list))

    def _add_up(self, request: HttpRequest) -> None:
        specs = self.filter_specs
        every = self.get_queryset(request, exclude_parameters=[StateFilter.parameter_name])
        # What was made for the sums has the same filters, and is not what the page shows.
        self.filter_specs = specs
        chosen = next(each for each in specs if isinstance(each, StateFilter)).chosen
        by_state = _by_state(every)
        live = every.filter(state__in=Statement.LIVE)
        outdated = self.known_outdated.ids if self.known_outdated else []
        sums: dict[str, dict[str, Comes]] = {
            LIVE: added(by_state[state] for state in Statement.LIVE),
            State.ISSUED: by_state[State.ISSUED],
            OUTDATED: added(_by_state(live.filter(pk__in=outdated)).values()) if outdated else {},
            TROUBLE: added(_by_state(live.filter(pk__in=self.troubled)).values()),
            State.WRITTEN: by_state[State.WRITTEN],
            State.PORTAL: by_state[State.PORTAL],
            State.SENT: by_state[State.SENT],
            OUT_OF_FORCE: added(by_state[state] for state in OUT),
            ALL: added(by_state.values()),
        }
        alone = sums | {State.SUPERSEDED: by_state[State.SUPERSEDED], State.VOID: by_state[State.VOID]}
        self.comes_to = alone.get(chosen, {})
        self.state_chips = self._chips(sums, chosen)

    def _chips(self, sums: Mapping[str, Sums], chosen: str) -> list[ChoiceChip]:
        """Return what is in each state, of all that the list is narrowed to otherwise."""
        labels = {LIVE: "In force", **dict(StateFilter.CHOICES)}
        choices = [
            ChoiceChip(
                name,
                labels[name],
                sum(each.count for each in of_state.values()),
                {currency: each.charged for currency, each in of_state.items()},
                CHIP_TONES.get(name, ""),
            )
            for name, of_state in sums.items()
            # All is what is in force and what is not: nobody asks for it by a chip.
            if name != ALL or chosen == ALL
        ]
        return choice_chips(choices, chosen=chosen, url_of=address_by(self, StateFilter.parameter_name))

    def _mark(self, shown: list[Statement]) -> None:
        """Say of the statements of the page which are not current, and which an e-mail did not bring."""
        outdated = set(self.known_outdated.ids) if self.known_outdated else set()
        of_page = Statement.objects.filter(pk__in=[each.pk for each in shown], state__in=Statement.LIVE)
        troubled = set(of_page.filter(pk__in=self.troubled).values_list("pk", flat=True))
        for each in shown:
            each.is_outdated = each.pk in outdated  # type: ignore[attr-defined]
            each.is_troubled = each.pk in troubled  # type: ignore[attr-defined]
        self.result_list = shown
