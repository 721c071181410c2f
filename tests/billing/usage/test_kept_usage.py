"""What charges of usage lead back to stays: feeds, files as they were read, and how months were priced."""

from dataclasses import replace

import pytest
from django.core.management import CommandError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.urls import reverse

from billing.models import PricedMonth, UsageFeed, UsageFile
from billing.models.standing import KeptForEver
from billing.usage import readers
from tests.build import a_pi, a_policy, a_project, a_source
from tests.stories.stage import command

from .plain import PLAIN
from .test_bringing import JANUARY, a_schedule, job, jobs

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _plain_lines(monkeypatch):
    for name in ("plain", "other"):
        monkeypatch.setitem(readers.KINDS, name, replace(PLAIN, name=name))


@pytest.fixture
def feed():
    a_policy()
    a_project(pi=a_pi(), default_fund_org="BIO-001")
    a_source("hpc", kind="internal", import_mode="snapshot")
    a_source("lab", kind="internal", import_mode="snapshot")
    a_schedule([{"up_to": "1000", "price": "0.10"}, {"price": "0.05"}])
    command("feeds", "add", "tiger", "-s", "hpc", "--kind", "plain", "--schedule", "hpc")
    return UsageFeed.objects.get()


@pytest.fixture
def priced(feed, tmp_path):
    command("usage", jobs(tmp_path / "a.txt", job(1, JANUARY, 10, 20)), "-f", "tiger")
    return PricedMonth.objects.get()


KEPT = "tiger was priced in January 2025, and its charges lead back here: it keeps the "
MOVED = [("source", "lab", f"{KEPT}source hpc. Add another feed."), ("kind", "other", f"{KEPT}kind of files “plain”.")]


@pytest.mark.parametrize(("field", "value", "said"), MOVED)
def test_the_command_refuses_another_source_or_kind_once_a_month_was_priced(priced, field, value, said):
    with pytest.raises(CommandError, match=said):
        command("feeds", "set", "tiger", f"--{field}", value)
    feed = UsageFeed.objects.get()
    assert (feed.source.name, feed.kind) == ("hpc", "plain")


@pytest.mark.parametrize(("field", "value"), [("source", "lab"), ("kind", "other")])
def test_before_a_month_was_priced_both_may_change(feed, field, value):
    assert command("feeds", "set", "tiger", f"--{field}", value)[field] == value


@pytest.mark.parametrize(("field", "value", "said"), MOVED)
def test_the_form_says_it_at_the_field(priced, admin_client, field, value, said):
    feed = priced.feed
    if field == "source":
        value = a_source("lab").pk
    given = {"source": feed.source_id, "kind": "plain", "settings": "{}", "time_zone": "UTC", "schedule": "hpc"}
    url = reverse("admin:billing_usagefeed_change", args=[feed.pk])
    answer = admin_client.post(url, given | {field: value})
    assert answer.status_code == 200
    (problem,) = answer.context["adminform"].form.errors[field]
    assert problem.startswith(said)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "other"},
        {"name": "lion"},
    ],
)
def test_the_database_refuses_it_too(priced, change):
    with pytest.raises(IntegrityError, match="keeps its name, source and kind"), transaction.atomic():
        UsageFeed.objects.update(**change)
    UsageFeed.objects.update(notes="Moved to the new hall.")


def test_the_database_refuses_another_source(priced):
    with pytest.raises(IntegrityError, match="keeps its name, source and kind"), transaction.atomic():
        UsageFeed.objects.update(source=a_source("lab"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda: UsageFile.objects.update(original_sha256="0" * 64), "usage is kept as it was read"),
        (lambda: UsageFile.objects.update(lines=7), "usage is kept as it was read"),
        (lambda: UsageFile.objects.all().delete(), "which files a month was priced from is kept"),
        (lambda: QuerySet(PricedMonth).update(terms={}), "how a month of usage was priced is kept"),
        (lambda: QuerySet(PricedMonth).update(digest="0" * 64), "how a month of usage was priced is kept"),
        (lambda: QuerySet(PricedMonth).delete(), "which files a month was priced from is kept"),
        (lambda: PricedMonth.objects.get().files.clear(), "which files a month was priced from is kept"),
    ],
)
def test_the_database_refuses_changes_of_what_was_read_and_priced(priced, change, said):
    with pytest.raises(IntegrityError, match=said), transaction.atomic():
        change()


def test_a_priced_month_is_never_changed_or_deleted(priced):
    every = PricedMonth.objects.all()
    for change in (priced.save, priced.delete, lambda: every.update(terms={}), every.delete):
        with pytest.raises(KeptForEver, match="Price it again"):
            change()


def test_a_withdrawn_file_does_not_come_back(priced):
    command("feeds", "withdraw", UsageFile.objects.get().pk, "--reason", "read twice")
    with pytest.raises(IntegrityError, match="withdrawn once"), transaction.atomic():
        UsageFile.objects.update(state="standing")
