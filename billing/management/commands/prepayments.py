"""manage.py prepayments: balances that are paid before use, from their purchase to what is left of them."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing import corrections, prepayments
from billing.commands import BillingCommand, amount, day_named, period_named, subcommands, table
from billing.corrections import Entered
from billing.models import Allocation, Correction, Person, Policy, Source
from billing.models.periods import parse_month
from billing.money import ZERO, plain
from billing.prepayments.buying import size_told
from billing.texts import iso_month
from billing.usage import feeds, grants
from billing.usage.grants import Balance
from billing.usage.rate_schedules.words import NotUnderstood, number_of, number_text

ENTER = "billing.enter_corrections"


class Command(BillingCommand):
    help = "Record purchases of balances, recognize their use, and refund or expire what is left."
    permission = {
        "list": "billing.view_allocation",
        "buy": "billing.add_allocation",
        "recognize": ENTER,
        "refund": ENTER,
        "expire": ENTER,
    }

    def arguments(self, parser: CommandParser) -> None:
        verbs = subcommands(parser)
        verbs.add_parser("list", help="every prepaid balance: purchased, recognized, refunded, expired and deferred")
        buy = verbs.add_parser("buy", help="charge somebody for a balance that use is drawn from")
        buy.add_argument("code", metavar="CODE", help="of the balance, such as lab-2026")
        buy.add_argument("-f", "--feed", required=True, metavar="FEED", help="the usage feed")
        buy.add_argument("--pi", required=True, metavar="EMAIL", help="the PI's e-mail address or an alias")
        buy.add_argument("--project", default="", metavar="CODE", help="only its use is drawn; else all of the PI's")
        buy.add_argument("--quantity", required=True, metavar="N")
        buy.add_argument("--unit", default="", metavar="UNIT", help="such as core-hour; money where not given")
        buy.add_argument("--price", required=True, metavar="N", help="what is paid for all of it")
        buy.add_argument("--fund-org", required=True, metavar="F", help="is charged now")
        buy.add_argument("--approved-by", default="", metavar="WHO", help="who let a sponsored fund pay before use")
        buy.add_argument("--date", metavar="2026-01-31", help="when it was bought; else today")
        buy.add_argument("--from", dest="valid_from", metavar="2026-01", help="the first month; else that of the date")
        buy.add_argument("--until", dest="valid_until", metavar="2026-12", help="the last month")
        buy.add_argument("--rate", action="append", default=[], metavar="CODE", help="a rate; again for more; else all")
        buy.add_argument("-s", "--source", metavar="NAME", help="holds prepayments; needed where several do")
        _entering(buy)
        recognize = verbs.add_parser("recognize", help="move what was used until the end of a month to recovery")
        recognize.add_argument("-p", "--period", required=True, metavar="2026-01")
        refund = verbs.add_parser("refund", help="give back what was paid for units that nobody used")
        refund.add_argument("code", metavar="CODE")
        refund.add_argument("--amount", metavar="N", help="all that was not used, where not given")
        refund.add_argument("--printed-text", default="", help="printed on the statement")
        _entering(refund)
        expire = verbs.add_parser("expire", help="move what is left after the last month to recovery")
        expire.add_argument("code", metavar="CODE")
        expire.add_argument("-p", "--period", metavar="2026-02", help="the month it is charged in")
        expire.add_argument("--reason", required=True, help="for staff")

    def run(self, **options: Any) -> None:
        doing: dict[str, Callable[..., None]] = {
            "list": self.list,
            "buy": self.buy,
            "recognize": self.recognize,
            "refund": self.refund,
            "expire": self.expire,
        }
        doing[options.pop("verb")](**options)

    @property
    def acting(self) -> dict[str, Any]:
        return {"actor": self.actor, "now": self.now}

    def list(self, **options: object) -> None:
        currency = Policy.objects.current().currency
        found = Allocation.objects.filter(is_prepaid=True).select_related("pi", "project", "department", "feed")
        balances = list(grants.balances(found).values())
        rows = [_row(each, currency) for each in balances]
        headings = ["code", "whose", "bought", "left", "purchased", "recognized", "refunded", "expired", "deferred"]
        data = [_data(each, currency) for each in balances]
        text = table(rows, headings, set(range(2, 9))) if rows else "There is no prepaid balance yet."
        self.report({"balances": data}, text)

    def buy(self, **options: Any) -> None:
        purchase = prepayments.Purchase(
            code=options["code"],
            feed=feeds.named(options["feed"]),
            quantity=_number("--quantity", options["quantity"]),
            unit=options["unit"],
            price=_number("--price", options["price"]),
            pi=Person.objects.named(options["pi"]),
            project=corrections.project_coded(options["project"]),
            fund_org=options["fund_org"],
            approved_by=options["approved_by"],
            rates=options["rate"],
            bought_on=day_named(options["date"]),
            valid_from=_month(options["valid_from"]),
            valid_until=_month(options["valid_until"]),
            source=Source.objects.named(options["source"]) if options["source"] else None,
            reason=options["reason"],
            charged_in=period_named(options["period"]) if options["period"] else None,
        )
        entered = prepayments.buy(purchase=purchase, dry_run=options["dry_run"], **self.acting)
        self._told([entered], "")

    def recognize(self, *, period: str, **options: object) -> None:
        month = period_named(period)
        entered = prepayments.recognize(period=month, **self.acting)
        self._told(entered, f"All use of prepaid balances until {month} is recognized.")

    def refund(self, *, code: str, period: str | None, **options: Any) -> None:
        given = {"charged_in": period_named(period) if period else None, "dry_run": options["dry_run"], **self.acting}
        entered = prepayments.refund(
            allocation=_balance(code),
            amount=_number("--amount", options["amount"]) if options["amount"] else None,
            reason=options["reason"],
            printed_text=options["printed_text"],
            **given,
        )
        self._told([entered], "")

    def expire(self, *, code: str, period: str | None, reason: str, **options: object) -> None:
        month = period_named(period) if period else None
        entered = prepayments.expire(allocation=_balance(code), reason=reason, charged_in=month, **self.acting)
        self._told([entered], "")

    def _told(self, some: Iterable[Entered], nothing: str) -> None:
        found = list(some)
        data = [
            {
                "dry_run": each.is_dry_run,
                "correction": each.correction.pk,
                "kind": each.correction.kind,
                "state": each.correction.state,
                "period": each.correction.charged_in.iso_month,
                "amount": plain(each.correction.amount, each.correction.currency),
            }
            for each in found
        ]
        self.report({"corrections": data}, "\n".join(map(_said, found)) or nothing)


def _entering(verb: Any) -> None:
    verb.add_argument("--reason", required=True, help="for staff: no statement shows it")
    verb.add_argument("-p", "--period", metavar="2026-01", help="the month it is charged in")
    verb.add_argument("--dry-run", action="store_true", help="say what would be charged; store nothing")


def _said(entered: Entered) -> str:
    correction = entered.correction
    told = " ".join(line.service_name for line in entered.lines[:1])
    what = f"{told}: {amount(correction.amount, correction.currency)} in {correction.charged_in}"
    if entered.is_dry_run:
        return f"Would charge {what}. Nothing is stored."
    if correction.state == Correction.State.PROPOSED:
        return f"{str(correction).capitalize()}, {what}. It waits for a second person."
    return f"{str(correction).capitalize()}, {what}."


def _row(balance: Balance, currency: str) -> list[str]:
    data = _data(balance, currency)
    money = [data[name] for name in ("purchased", "recognized", "refunded", "expired", "deferred")]
    left = ZERO if data["waits"] else balance.left
    sizes = [size_told(balance.allocation, each, currency) for each in (balance.allocation.amount, left)]
    return [data["code"], data["owner"], *sizes, *money]


def _data(balance: Balance, currency: str) -> dict[str, Any]:
    allocation, paid = balance.allocation, balance.paid
    assert paid
    money = {
        "purchased": paid.purchased,
        "recognized": paid.recognized,
        "refunded": paid.refunded,
        "expired": paid.expired,
        "deferred": paid.left,
    }
    return {
        "code": allocation.code,
        "owner": allocation.owner,
        "feed": allocation.feed.name if allocation.feed else "",
        "unit": allocation.unit,
        "quantity": number_text(allocation.amount),
        "drawn": number_text(balance.drawn),
        "left": number_text(ZERO if paid.waits else balance.left),
        "waits": paid.waits,
        "valid_from": iso_month(allocation.valid_from),
        "valid_until": iso_month(allocation.valid_until) if allocation.valid_until else None,
        **{name: plain(value, currency) for name, value in money.items()},
    }


def _balance(code: str) -> Allocation:
    found = Allocation.objects.filter(code=code, is_prepaid=True).select_related("feed__source").first()
    if found is None:
        known = ", ".join(Allocation.objects.filter(is_prepaid=True).values_list("code", flat=True)) or "none"
        raise CommandError(f"There is no prepaid balance {code}. These exist: {known}.")
    return found


def _number(option: str, text: str) -> Decimal:
    try:
        return number_of(text)
    except NotUnderstood as error:
        raise CommandError(f"{option}: {error}", returncode=2) from error


def _month(text: str | None) -> Any:
    try:
        return parse_month(text) if text else None
    except ValueError as error:
        raise CommandError(str(error), returncode=2) from error
