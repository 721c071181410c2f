"""Prepaid balances by their pages and their command: bought, told, refunded and expired."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from billing.models import Allocation, Correction, Source
from tests.billing.usage.test_bringing import DAY, JANUARY, job
from tests.stories.stage import command

from .test_a_balance import bought, closed, deferred, used

__all__ = ["deferred"]
pytestmark = pytest.mark.django_db

FILLED = {
    **{"code": "lab", "feed": "tiger", "quantity": "1000", "unit": "core-hour", "price": "80.00", "pi": "ada@u.edu"},
    **{"project": "genomics", "fund_org": "BIO-001", "approved_by": "", "bought_on": "2025-01-03"},
    **{"valid_from": "", "valid_until": "", "source": "", "reason": "Order 7", "charged_in": ""},
}
BUY = (
    *("prepayments", "buy", "lab2", "-f", "tiger", "--pi", "ada@u.edu", "--project", "genomics", "--quantity", "1000"),
    *("--unit", "core-hour", "--price", "80", "--fund-org", "BIO-001", "--date", "2025-01-03", "--reason", "Order 7"),
)


@pytest.fixture
def finance(client, cast):
    client.force_login(cast.finance)
    return client


def text_of(answer):
    return " ".join(answer.content.decode().split())


def stored(code):
    allocation = Allocation.objects.values().get(code=code)
    return {name: allocation[name] for name in allocation if name not in ("id", "code")}


def test_the_page_and_the_command_record_the_same_purchase(finance, deferred):
    url = reverse("admin:billing_allocation_purchase")
    assert url in text_of(finance.get(reverse("admin:billing_allocation_changelist")))
    page = finance.post(url, FILLED)
    assert page.context["planned"].correction.amount == 80
    assert "1,000 core-hours of tiger, bought on Jan 3, 2025" in text_of(page)
    assert not Allocation.objects.exists()
    confirmed = {**FILLED, "confirmed": page.context["seen"]}
    assert finance.post(url, confirmed).status_code == 302
    finance.post(url, confirmed)
    assert Correction.objects.count() == 1
    assert command(*BUY, "--dry-run")["corrections"][0]["dry_run"]
    assert Allocation.objects.count() == 1
    answer = command(*BUY)["corrections"][0]
    assert (answer["amount"], answer["period"], answer["state"]) == ("80.00", "2025-01", "approved")
    names = ("kind", "total", "state", "reason", "printed_text")
    by_page, by_command = Correction.objects.order_by("pk").values(*names)
    assert by_page == by_command
    by_page, by_command = (stored(code) for code in ("lab", "lab2"))
    assert by_page == by_command


def test_a_purchase_with_a_mistake_says_so_by_what_it_is_about(finance, deferred):
    page = text_of(finance.post(reverse("admin:billing_allocation_purchase"), {**FILLED, "pi": "nobody@u.edu"}))
    assert "nobody@u.edu" in page
    Source.objects.filter(name="prepaid").update(holds_prepayments=False)
    page = text_of(finance.post(reverse("admin:billing_allocation_purchase"), FILLED))
    assert "No source holds prepayments" in page
    with pytest.raises(CommandError, match="No source holds prepayments"):
        command(*BUY)
    command("sources", "set", "prepaid", "--holds-prepayments", "yes")
    command(*BUY)
    with pytest.raises(CommandError, match="already exists"):
        command(*BUY)


def test_the_page_of_a_balance_says_where_its_money_is_and_gives_back_the_rest(finance, deferred, tmp_path):
    allocation = bought()
    used(tmp_path, "a.txt", job(1, JANUARY + DAY, 10, 30))
    closed("2025-01")
    command("periods", "open", "2025-02")
    url = reverse("admin:billing_allocation_change", args=[allocation.pk])
    page = text_of(finance.get(url))
    for said in ("800 core-hours", "Purchased", "80.00 USD", "Recognized", "16.00 USD", "Deferred", "64.00 USD"):
        assert said in page, said
    assert "Refund…" in page
    # It may still be drawn from.
    assert "Expire…" not in page
    refund = reverse("admin:billing_allocation_refund", args=[allocation.pk])
    finance.post(refund, {"amount": "", "reason": "She leaves", "printed_text": "", "charged_in": ""})
    page = text_of(finance.get(url))
    assert "Refunded" in page
    assert "Refund…" not in page
    out = StringIO()
    call_command("prepayments", "list", stdout=out)
    assert "1,000 core-hours" in out.getvalue()
    (told,) = command("prepayments", "list")["balances"]
    assert {name: told[name] for name in ("purchased", "recognized", "refunded", "expired", "deferred", "left")} == {
        **{"purchased": "80.00", "recognized": "16.00", "refunded": "64.00", "expired": "0.00", "deferred": "0.00"},
        "left": "0",
    }


def test_use_is_recognized_before_the_close_where_somebody_asks(finance, deferred, tmp_path):
    allocation = bought()
    used(tmp_path, "a.txt", job(1, JANUARY + DAY, 10, 30))
    url = reverse("admin:billing_allocation_recognize", args=[allocation.pk])
    answer = finance.post(url, {"period": "2025-01-01"}, follow=True)
    assert "is recognized by 1 correction" in text_of(answer)
    assert command("prepayments", "recognize", "-p", "2025-01")["corrections"] == []
    (listed,) = command("corrections", "list", "--kind", "prepaid")["corrections"]
    assert listed["amount"] == "16.00"


def test_what_is_left_expires_by_the_command(deferred, tmp_path):
    allocation = bought()
    with pytest.raises(CommandError, match="until it is used up"):
        command("prepayments", "expire", "lab", "--reason", "x")
    with pytest.raises(CommandError, match="no prepaid balance other"):
        command("prepayments", "refund", "other", "--reason", "x")
    Allocation.objects.filter(pk=allocation.pk).update(valid_until="2025-01-01")
    closed("2025-01")
    command("periods", "open", "2025-02")
    (answer,) = command("prepayments", "expire", "lab", "--reason", "By contract")["corrections"]
    assert (answer["kind"], answer["amount"], answer["period"]) == ("prepaid", "80.00", "2025-02")
