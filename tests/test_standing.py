"""What is made once for many tests is the same for each of them, whatever the one before it did."""

from pathlib import Path

import pytest
from django.core import mail
from django.core.cache import caches
from django.db import connection

from billing.models import BillingPeriod, User
from tests import build, standing

pytestmark = pytest.mark.django_db

TIMES_MADE: list[Path] = []


@standing.fixture
def begun(folder):
    TIMES_MADE.append(folder)
    (folder / "received.csv").write_text("as it was")
    caches["months"].set("of", "January")
    mail.send_mail("Statement", "Text", None, ["ada@u.edu"])
    return {"user": build.a_user("ada"), "period": build.a_period()}


@pytest.mark.parametrize("time", [1, 2, 3])
def test_each_test_begins_as_the_first_did(begun, settings, tmp_path, time):
    received = settings.VAR_DIR / "received.csv"
    assert settings.VAR_DIR == tmp_path != TIMES_MADE[-1]
    assert received.read_text() == "as it was"
    assert caches["months"].get("of") == "January"
    assert [each.subject for each in mail.outbox] == ["Statement"]
    assert begun["user"].first_name == User.objects.get().first_name == ""
    assert [str(each.month) for each in BillingPeriod.objects.all()] == ["2025-01-01"]
    received.write_text("overwritten")
    caches["months"].set("of", "another")
    mail.outbox[0].subject = "Another"
    begun["user"].first_name = "Ada"
    begun["user"].save()
    begun["period"].delete()
    build.a_period("2025-02")


def test_a_test_after_them_that_asks_for_nothing_finds_nothing(tmp_path):
    assert not User.objects.exists()
    assert not [*tmp_path.iterdir()]
    assert not caches["months"].get("of")
    assert not mail.outbox


def test_it_stands_again_for_who_asks_again(begun):
    assert User.objects.get() == begun["user"]


@pytest.mark.django_db(transaction=True)
def test_a_test_with_transactions_of_its_own_finds_nothing_either():
    assert not User.objects.exists()
    assert not connection.in_atomic_block


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("time", [1, 2])
def test_a_test_with_transactions_of_its_own_has_it_made_for_itself(begun, tmp_path, time):
    assert TIMES_MADE[-1] == tmp_path
    assert User.objects.get() == begun["user"]
    assert not connection.in_atomic_block


def test_what_a_test_does_not_name_is_not_handed_out(request):
    with pytest.raises(RuntimeError, match="among the arguments"):
        request.getfixturevalue("begun")
