"""Exchange rates: needed before foreign charges are charged, and part of what was charged once the month is closed."""

import json
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.db.models import F
from django.urls import reverse

from billing import charging
from billing.importing import booking
from billing.models import AuditEvent, Charge, ExchangeRate, PayerLine
from billing.models.periods import RateFrozen
from billing.months import closing
from tests import build
from tests.billing.deliveries import a_row, delivered

pytestmark = pytest.mark.django_db

BY = {"actor": build.SOMEBODY, "now": build.NOW}


def a_rate(rate="1.10", period="2025-01", currency="EUR"):
    return ExchangeRate.objects.create(period=build.a_period(period), currency=currency, rate=Decimal(rate))


@pytest.fixture
def frozen():
    rate = a_rate()
    closing.close(period=rate.period, **BY)
    rate.refresh_from_db()
    return rate


def charged(month):
    charging.make_payer_lines(period=build.a_period(month), **BY)
    return {(line.kind, line.charged) for line in PayerLine.objects.filter(period=build.a_period(month))}


@pytest.mark.parametrize(
    "attack",
    [
        lambda rate: rate.save(),
        lambda rate: rate.delete(),
        lambda rate: ExchangeRate.objects.update(rate=2),
        lambda rate: ExchangeRate.objects.filter(pk=rate.pk).update(rate=F("rate") * 2),
        lambda rate: ExchangeRate.objects.all().delete(),
        lambda rate: ExchangeRate.objects.bulk_update([rate], ["rate"]),
        lambda rate: ExchangeRate.objects.update_or_create(
            period=rate.period, currency="EUR", defaults={"rate": Decimal(2)}
        ),
        lambda rate: ExchangeRate.objects.bulk_create(
            [ExchangeRate(period=rate.period, currency="EUR", rate=Decimal(2))],
            update_conflicts=True,
            unique_fields=["period", "currency"],
            update_fields=["rate"],
        ),
    ],
)
def test_a_rate_of_a_closed_month_stands_whoever_asks(frozen, attack):
    frozen.rate = Decimal(2)
    with pytest.raises(RateFrozen, match=r"EUR in January 2025 is locked.*closed"), transaction.atomic():
        attack(frozen)
    assert ExchangeRate.objects.get().rate == Decimal("1.10")


def test_a_rate_does_not_move_out_of_or_into_a_closed_month(frozen):
    frozen.period = build.a_period("2025-02")
    with pytest.raises(RateFrozen):
        frozen.save()
    other = a_rate(period="2025-02", currency="CHF")
    other.period = build.a_period("2025-01")
    with pytest.raises(RateFrozen):
        other.save()


def test_a_rate_of_an_open_month_changes_and_a_missing_one_comes_late(frozen):
    rate = a_rate(period="2025-02")
    rate.rate = Decimal("1.2")
    rate.save()
    rate.delete()
    assert a_rate(currency="CHF").rate == Decimal("1.10")


def test_what_the_currency_is_worth_has_to_be_known_before_anybody_is_charged(tmp_path):
    delivered(tmp_path, [a_row("10", BillingCurrency="EUR"), a_row("1", ResourceId="i-2")])
    for arguments in (("generate", "-p", "2025-01"), ("export_journal", "-p", "2025-01", "-f", "gl")):
        with pytest.raises(CommandError, match=r"no exchange rate for EUR in January 2025.*worth in USD") as refused:
            call_command(*arguments, stdout=StringIO())
        assert "manage.py exchange_rates set 2025-01 EUR RATE" in str(refused.value)
    a_rate()
    call_command("generate", "-p", "2025-01", stdout=StringIO())
    assert charged("2025-01") == {("charge", Decimal("11.00")), ("charge", Decimal("1.00"))}


def test_the_page_of_a_period_says_which_rates_are_missing(client, cast, tmp_path):
    delivered(tmp_path, [a_row("10", BillingCurrency="EUR")])
    client.force_login(cast.finance)
    page = reverse("admin:billing_billingperiod_change", args=[build.a_period().pk])
    assert "no exchange rate for EUR in January 2025" in client.get(page).content.decode()
    url = reverse("admin:billing_exchangerate_add")
    client.post(url, {"period": build.a_period().pk, "currency": "eur", "rate": "1.1"})
    assert ExchangeRate.objects.get().currency == "EUR"
    assert "no exchange rate" not in client.get(page).content.decode()


def test_a_closed_month_without_its_rate_cannot_be_finalized_and_takes_the_rate(client, cast, tmp_path):
    delivered(tmp_path, [a_row("10", BillingCurrency="EUR")])
    period = closing.close(period=build.a_period(), **BY)
    with pytest.raises(closing.NotReadyToFinalize, match="no exchange rate for EUR in January 2025"):
        closing.finalize(period=period, **BY)
    client.force_login(cast.finance)
    page = client.get(reverse("admin:billing_billingperiod_change", args=[period.pk]))
    assert "no exchange rate for EUR in January 2025" in page.content.decode()
    url = reverse("admin:billing_exchangerate_add")
    client.post(url, {"period": period.pk, "currency": "EUR", "rate": "1.1"})
    assert charged("2025-01") == {("charge", Decimal("11.00"))}


def test_a_late_change_is_converted_with_the_rate_of_its_month(tmp_path):
    delivered(tmp_path, [a_row("100", BillingCurrency="EUR")])
    a_rate("1.10")
    assert charged("2025-01") == {("charge", Decimal("110.00"))}
    closing.close(period=build.a_period(), **BY)
    a_rate("1.25", period="2025-03")
    late = delivered(tmp_path, [a_row("90", BillingCurrency="EUR")]).deferred
    assert late.difference["2025-01"]["EUR"]["delta"] == "-10.00"
    booking.book(imported=late, into=build.a_period("2025-03"), **BY)
    assert charged("2025-03") == {("late", Decimal("-11.00"))}


def test_a_row_that_changes_its_currency_is_gone_in_one_and_new_in_the_other(tmp_path):
    delivered(tmp_path, [a_row("100")])
    found = delivered(tmp_path, [a_row("100", BillingCurrency="EUR")], dry_run=True).difference["2025-01"]
    assert (found["USD"]["gone"]["amount"], found["USD"]["delta"]) == ("100.00", "-100.00")
    assert (found["EUR"]["new"]["amount"], found["EUR"]["delta"]) == ("100.00", "100.00")
    assert found["EUR"]["changed"]["rows"] == 0


def test_prices_in_tokens_are_kept_and_never_added(tmp_path):
    result = delivered(tmp_path, [a_row("2", PricingCurrency="Tokens", PricingQuantity="5000", ListUnitPrice="0.0004")])
    charge = Charge.objects.get()
    assert (charge.pricing_currency, charge.pricing_quantity, charge.currency) == ("Tokens", "5000", "USD")
    assert set(result.totals) == {"USD"}
    assert charged("2025-01") == {("charge", Decimal("2.00"))}


def exchange_rates(*arguments):
    out = StringIO()
    call_command("exchange_rates", *arguments, stdout=out)
    return out.getvalue()


def test_a_rate_is_set_and_listed_by_command():
    build.a_period("2025-01")
    assert exchange_rates("list") == "No exchange rates yet.\n"
    assert json.loads(exchange_rates("set", "2025-01", "eur", "1.0831", "--json")) == {
        "period": "2025-01",
        "currency": "EUR",
        "rate": "1.0831",
        "frozen": False,
        "before": None,
    }
    assert "it was 1.0831" in exchange_rates("set", "2025-01", "EUR", "1.09")
    assert json.loads(exchange_rates("list", "--json")) == {
        "rates": [{"period": "2025-01", "currency": "EUR", "rate": "1.09", "frozen": False}]
    }
    assert [event.action for event in AuditEvent.objects.order_by("id")] == [
        "exchange_rate.added",
        "exchange_rate.changed",
    ]
    # The same once more is no event.
    exchange_rates("set", "2025-01", "EUR", "1.09")
    assert AuditEvent.objects.count() == 2


@pytest.mark.parametrize(
    ("currency", "rate", "says"),
    [
        ("USD", "1", "own currency"),
        ("EUR", "0", "above zero"),
        ("EUR", "-1", "above zero"),
        ("EUR", "1.12345678901", "10 decimals at most"),
        ("EUR", "10000000000", "above zero"),
        ("EUR", "1,08", "formatted for people"),
        ("EURO", "1.08", "not a currency"),
    ],
)
def test_what_is_no_rate_is_refused(currency, rate, says):
    build.a_period("2025-01")
    with pytest.raises(CommandError, match=says):
        exchange_rates("set", "2025-01", currency, "--", rate)
    assert not ExchangeRate.objects.exists()


def test_a_rate_that_stands_is_not_set_by_command_and_a_missing_one_is(frozen):
    with pytest.raises(CommandError, match="is locked"):
        exchange_rates("set", "2025-01", "EUR", "2")
    exchange_rates("set", "2025-01", "GBP", "1.25")
    assert ExchangeRate.objects.get(currency="GBP").rate == Decimal("1.25")
