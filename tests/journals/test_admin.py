"""The screens of journals, as those who use them."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing import charging
from billing.models import AuditEvent
from journals import posting
from journals.models import Journal, JournalTemplate
from tests.build import NOW, SOMEBODY, a_charge, a_period, a_source

pytestmark = pytest.mark.django_db

WHO = {"actor": SOMEBODY, "now": NOW}


@pytest.fixture
def finance(cast, client):
    client.force_login(cast.finance)
    return client


def a_draft():
    a_charge("100.00")
    return posting.export(period=a_period(), format="gl", **WHO).journal


def page(name, *args):
    return reverse(f"admin:journals_journal_{name}", args=args)


def test_the_export_page_previews_before_it_makes_a_draft(finance):
    a_source("hpc", recovery_fund_org="")
    a_charge("100.00", source="hpc")

    seen = finance.get(page("export"), {"period": "2025-01-01", "format": "gl"})

    assert "100.00" in seen.content.decode()
    assert "hpc has no recovery fund/org" in seen.content.decode()
    assert not Journal.objects.exists()


def test_a_link_that_names_a_period_only_previews_it_for_the_ledger(finance):
    a_charge("100.00")

    seen = finance.get(page("export"), {"period": "2025-01"}).content.decode()

    assert "What is to journal" in seen
    assert "100.00" in seen


def test_the_form_names_the_month_that_the_page_shows(finance):
    a_charge("100.00")
    a_charge("5.00", period="2025-02")

    for written in ("2025-01", "2025-01-01"):
        seen = finance.get(page("export"), {"period": written}).content.decode()

        assert re.findall(r'<option value="([^"]+)" selected>[^<]*20', seen) == ["2025-01-01"]
        assert 'name="period" value="2025-01-01"' in seen


def test_exporting_makes_the_draft_and_shows_it(finance):
    a_charge("100.00")

    answer = finance.post(page("export"), {"period": "2025-01-01", "format": "gl"}, follow=True)

    journal = Journal.objects.get()
    assert answer.redirect_chain[-1][0] == page("change", journal.pk)
    assert "Draft of journal J2025-01-1" in answer.content.decode()
    assert "BIO-001" in answer.content.decode()


def test_a_problem_is_shown_and_nothing_is_made(finance):
    a_source("hpc", recovery_fund_org="")
    a_charge("100.00", source="hpc")

    answer = finance.post(page("export"), {"period": "2025-01-01", "format": "gl"})

    assert "hpc has no recovery fund/org" in answer.content.decode()
    assert not Journal.objects.exists()


def test_a_journal_goes_from_draft_to_reversed_by_its_buttons(finance):
    journal = a_draft()

    assert "Submit…" in finance.get(page("change", journal.pk)).content.decode()
    for name, data, state in (
        ("submit", {"format": "gl"}, "submitted"),
        ("posted", {"document_number": "JV-1"}, "posted"),
        ("reverse", {"reason": "Wrong."}, "reversed"),
    ):
        assert finance.get(page(name, journal.pk)).status_code == 200
        finance.post(page(name, journal.pk), data)
        journal.refresh_from_db()
        assert journal.state == state
    assert AuditEvent.objects.filter(action="journal.posted", actor_name="fay", via="web").exists()


def test_a_rejection_needs_its_reason(finance):
    journal = a_draft()
    posting.submit(journal=journal, format="gl", **WHO)

    assert "This field is required" in finance.post(page("rejected", journal.pk), {"reason": ""}).content.decode()
    finance.post(page("rejected", journal.pk), {"reason": "Unknown org."})

    journal.refresh_from_db()
    assert (journal.state, journal.rejection_reason) == ("rejected", "Unknown org.")


def test_a_draft_that_is_outdated_is_not_submitted(finance):
    journal = a_draft()
    a_charge("1.00")

    answer = finance.post(page("submit", journal.pk), {"format": "gl"})

    assert "changed since J2025-01-1 was drafted" in answer.content.decode()
    journal.refresh_from_db()
    assert journal.state == "draft"


def test_the_file_is_handed_out_as_a_download_and_recorded(finance):
    journal = a_draft()
    posting.submit(journal=journal, format="gl", **WHO)

    answer = finance.get(page("file", journal.pk))

    assert answer["Content-Disposition"] == 'attachment; filename="J2025-01-1-gl.csv"'
    assert answer.content.startswith(b"journal,")
    assert AuditEvent.objects.get(action="journal.downloaded").actor_name == "fay"


@pytest.mark.parametrize("name", ["submit", "posted", "rejected", "reverse"])
def test_a_reviewer_exports_but_does_not_submit_or_answer(cast, client, name):
    journal = a_draft()
    client.force_login(cast.reviewer)

    assert client.get(page("export")).status_code == 200
    assert client.get(page("file", journal.pk)).status_code == 200
    assert client.post(page(name, journal.pk), {}).status_code == 403


def test_a_viewer_looks_and_takes_nothing(cast, client):
    journal = a_draft()
    client.force_login(cast.viewer)

    assert client.get(page("change", journal.pk)).status_code == 200
    assert client.get(page("file", journal.pk)).status_code == 403
    assert client.get(page("export")).status_code == 403


@pytest.mark.parametrize("name", ["change", "file", "submit"])
def test_a_pi_sees_no_journal(cast, client, name):
    journal = a_draft()
    client.force_login(cast.pi)

    assert client.get(page(name, journal.pk)).status_code == 302


def test_the_list_takes_as_many_queries_for_four_journals_as_for_two(finance, django_assert_num_queries):
    for month in ("2025-01", "2024-12"):
        a_charge("1.00", period=month)
        posting.export(period=a_period(month), format="gl", **WHO)
    finance.get(page("changelist"))

    with CaptureQueriesContext(connection) as two:
        finance.get(page("changelist"))
    asked = len(two)
    for month in ("2024-11", "2024-10"):
        a_charge("1.00", period=month)
        posting.export(period=a_period(month), format="gl", **WHO)
    finance.get(page("changelist"))

    assert asked <= 25
    with django_assert_num_queries(asked):
        finance.get(page("changelist"))


def test_lines_come_in_pages(finance, monkeypatch):
    monkeypatch.setattr("journals.admin.record.LINES_PER_PAGE", 2)
    a_charge("1.00", service_name="Compute")
    a_charge("2.00", service_name="Storage")
    charging.make_payer_lines(period=a_period(), **WHO)
    journal = posting.draft(period=a_period(), **WHO).journal

    first = finance.get(page("change", journal.pk), {"tab": "lines"}).content.decode()
    second = finance.get(page("change", journal.pk), {"tab": "lines", "page": 2}).content.decode()

    assert "Compute" in first
    assert "Storage" not in first
    assert "Storage" in second


TEMPLATE = {"name": "bank", "extension": "csv", "is_csv": "on", "line": "{{ line.fund_org }},{{ line.debit }}"}


def test_a_template_is_added_and_shows_what_it_makes(finance):
    finance.post(reverse("admin:journals_journaltemplate_add"), TEMPLATE)

    template = JournalTemplate.objects.get()
    shown = finance.get(reverse("admin:journals_journaltemplate_change", args=[template.pk])).content.decode()
    assert "BIO-001,1250.40" in shown
    assert AuditEvent.objects.filter(action="journal_template.added").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"line": "{{ line.nothing }}"}, "there is no “line.nothing”"),
        ({"line": "{% load static %}"}, "Invalid block tag"),
        ({"name": "gl"}, "format of the program"),
        ({"name": "template"}, "format of the program"),
    ],
)
def test_a_template_that_cannot_work_is_not_saved(finance, change, said):
    answer = finance.post(reverse("admin:journals_journaltemplate_add"), TEMPLATE | change)

    assert said in answer.content.decode()
    assert not JournalTemplate.objects.exists()


def test_a_stale_draft_that_is_submitted_offers_to_be_drafted_again_and_then_goes(client, cast):
    a_charge("100.00")
    posting.export(period=a_period(), format="gl", actor=SOMEBODY, now=NOW)
    journal = Journal.objects.get()
    a_charge("1.00")
    client.force_login(cast.finance)
    submit = reverse("admin:journals_journal_submit", args=[journal.pk])
    again = reverse("admin:journals_journal_redraft", args=[journal.pk])

    page = client.post(submit, {"format": "gl"}).content.decode()
    assert f'<a href="{again}">Draft it again</a>' in page
    assert Journal.objects.get().state == "draft"

    page = client.post(again, follow=True).content.decode()
    assert "is drafted again from today" in page
    assert Journal.objects.get().debits == 101
    client.post(submit, {"format": "gl"})
    assert Journal.objects.get().state == "submitted"
