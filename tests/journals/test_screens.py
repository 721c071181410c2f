"""What the list of journals and the page of each say: sums, states, what is next, and what a draft changes."""

import csv
import io
import re

import pytest
from django.core.cache import caches
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import strip_tags
from openpyxl import load_workbook

from billing import audit
from billing.background import heartbeat, jobs
from billing.models import AuditEvent, Charge
from billing.months import checklist
from billing.tasks import work_out_month
from journals import posting, summaries
from journals.models import Journal
from tests.build import NOW, SOMEBODY, a_charge, a_period, a_policy
from tests.journals.made import WHO, submitted

pytestmark = pytest.mark.django_db


@pytest.fixture
def finance(cast, client):
    client.force_login(cast.finance)
    return client


def page(name, *args):
    return reverse(f"admin:journals_journal_{name}", args=args)


def exported(month="2025-01"):
    return posting.export(period=a_period(month), format="gl", **WHO).journal


def said(answer):
    """The text of a page's main part, on one line."""
    html = answer.content.decode()
    main = html[html.index("<main") : html.index("</main>")]
    text = re.sub(r"\s+", " ", strip_tags(main.replace("><", "> <")))
    return re.sub(r" ([,;:.])", r"\1", text)


def three_journals():
    """A posted journal and a draft of January, and one of December that waits for the ledger."""
    a_policy(requires_ledger_answer=True)
    a_charge("100.00")
    first = submitted()
    posting.post(journal=first, document_number="JV-1", **WHO)
    a_charge("30.50", service_name="Network")
    draft = exported()
    a_charge("7.00", period="2024-12")
    waiting = submitted("2024-12")
    return first, draft, waiting


def test_the_list_says_what_its_journals_come_to_and_how_many_are_in_each_state(finance):
    three_journals()

    text = said(finance.get(page("changelist"), {"period": "all"}))

    assert "3 journals: debits 137.50 USD = credits 137.50 USD" in text
    for each in ("All 3", "Draft 1 30.50 USD", "Waiting for the ledger 1 7.00 USD", "Posted 1 100.00 USD"):
        assert each in text
    # A state without journals is no choice.
    assert "Rejected 0" not in text


def test_sums_are_of_all_pages_and_of_what_is_filtered(finance, monkeypatch):
    three_journals()
    monkeypatch.setattr("journals.admin.JournalAdmin.list_per_page", 1)

    text = said(finance.get(page("changelist"), {"period": "2025-01"}))
    assert "2 journals: debits 130.50 USD = credits 130.50 USD" in text
    # The states say what there is in each of them, whichever is shown.
    text = said(finance.get(page("changelist"), {"period": "2025-01", "state__exact": "draft"}))
    assert "1 journal: debits 30.50 USD = credits 30.50 USD" in text
    assert "All 2" in text
    assert "Posted 1 100.00 USD" in text
    assert "Waiting for the ledger 0" not in text


def test_a_search_through_lines_counts_a_journal_once(finance):
    a_charge("1.00", tags='{"grant": "G-7"}')
    a_charge("2.00", service_name="Network")
    journal = exported()
    journal.lines.update(reference_1="G-7")

    text = said(finance.get(page("changelist"), {"q": "G-7"}))

    assert "1 journal: debits 3.00 USD = credits 3.00 USD" in text


def test_amounts_of_two_currencies_are_told_apart(finance):
    first, _, _ = three_journals()
    Journal.objects.filter(state="draft").update(currency="EUR")

    text = said(finance.get(page("changelist"), {"period": "2025-01"}))

    assert "1 journal: debits 30.50 EUR = credits 30.50 EUR" in text
    assert "1 journal: debits 100.00 USD = credits 100.00 USD" in text


def test_the_list_opens_in_the_month_worked_on_and_all_months_are_one_link_away(finance):
    three_journals()
    finance.get(reverse("admin:index"), {"period": "2024-12"})

    answer = finance.get(page("changelist"))

    assert [journal.period_id for journal in answer.context["cl"].result_list] == [a_period("2024-12").pk]
    assert "Billing period: December 2024" in said(answer)
    assert 'href="?period=all"' in answer.content.decode()
    a_period("2025-02")
    # A month without journals narrows nothing by itself.
    finance.get(reverse("admin:index"), {"period": "2025-02"})
    assert len(finance.get(page("changelist")).context["cl"].result_list) == 3


def test_what_narrows_the_list_is_a_chip_that_can_be_removed_and_a_form_asks_for_all_of_it(finance):
    _, draft, waiting = three_journals()
    finance.get(reverse("admin:index"), {"period": "2024-12"})
    first = finance.get(page("changelist"))
    (month,) = first.context["cl"].chips
    assert (month.title, month.value, month.remove_url) == ("billing period", "December 2024", "?period=all")
    # The form stands at the month that is shown, though the address does not name it.
    assert '<option value="2024-12" selected>' in first.content.decode()
    every = finance.get(page("changelist") + month.remove_url)
    assert len(every.context["cl"].result_list) == 3
    assert every.context["cl"].chips == []
    assert "Clear filters" not in said(every)

    asked = {"period": "2025-01", "state__exact": "draft", "kind__exact": "", "source": ""}
    answer = finance.get(page("changelist"), asked)
    assert answer.url.endswith("?period=2025-01&state__exact=draft")
    narrowed = finance.get(answer.url)
    assert list(narrowed.context["cl"].result_list) == [draft]
    assert [(each.title, each.value) for each in narrowed.context["cl"].chips] == [
        ("billing period", "January 2025"),
        ("state", "Draft"),
    ]
    assert "Clear filters" in said(narrowed)
    # One chip removed leaves the other.
    other = narrowed.context["cl"].chips[1].remove_url
    assert len(finance.get(page("changelist") + other).context["cl"].result_list) == 2
    assert list(finance.get(page("changelist"), {"period": "all", "source": "nobody"}).context["cl"].result_list) == []
    assert waiting in finance.get(page("changelist"), {"period": "all", "source": "aws"}).context["cl"].result_list


def test_a_list_of_all_months_is_exported_as_such(finance):
    three_journals()
    finance.get(reverse("admin:index"), {"period": "2024-12"})
    for query, number in (("", 1), ("?period=all", 3)):
        html = finance.get(page("changelist") + query).content.decode()
        url = re.search(rf'action="({page("list")}[^"]*)"', html)[1].replace("&amp;", "&")
        answer = finance.post(url, {"format": "csv"})
        assert len(list(csv.DictReader(io.StringIO(answer.content.decode())))) == number, query


def test_the_list_says_what_of_a_month_is_not_journaled_and_leads_to_the_step(finance):
    a_charge("100.00")

    answer = finance.get(page("changelist"), {"period": "2025-01"})
    assert "100.00 USD of 1 payer line is not journaled." in said(answer)
    assert f'{page("export")}?period=2025-01"' in answer.content.decode()
    journal = exported()
    answer = finance.get(page("changelist"), {"period": "2025-01"})
    assert f"Journal {journal} over 100.00 USD is not submitted." in said(answer)
    assert page("submit", journal.pk) in answer.content.decode()


def test_the_list_of_all_months_tells_only_what_is_known_of_them(finance):
    a_charge("100.00")
    a_charge("5.00", period="2024-12")
    checklist.of(a_period("2025-01"), only=("journal",))

    text = said(finance.get(page("changelist"), {"period": "all"}))

    assert "January 2025 100.00 USD of 1 payer line is not journaled." in text
    assert "December 2024 Something changed since this month was looked at last." in text


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_the_list_is_exported_as_it_is_filtered(finance, form):
    three_journals()
    html = finance.get(page("changelist"), {"period": "2025-01", "state__exact": "posted"}).content.decode()
    url = re.search(rf'action="({page("list")}[^"]*)"', html)[1].replace("&amp;", "&")

    answer = finance.post(url, {"format": form})

    assert answer["Content-Disposition"].startswith('attachment; filename="journals-')
    if form == "csv":
        (row,) = csv.DictReader(io.StringIO(answer.content.decode()))
        assert (row["journal"], row["debits"], row["document_number"]) == ("J2025-01-1", "100.00", "JV-1")
    else:
        rows = list(load_workbook(io.BytesIO(answer.content)).active.values)
        assert [row[0] for row in rows] == ["journal", "J2025-01-1"]
        assert rows[1][7] == 100
    event = AuditEvent.objects.get(action="journal.list_exported")
    assert (event.actor_name, event.after["journals"]) == ("fay", 1)


def test_who_may_only_look_sees_no_button(cast, client):
    _, draft, waiting = three_journals()
    client.force_login(cast.viewer)

    listed = client.get(page("changelist"), {"period": "all"}).content.decode()
    assert "Draft a journal" not in listed
    assert page("submit", draft.pk) not in listed
    for journal in (draft, waiting):
        for tab in ("summary", "lines", "history", "file"):
            html = client.get(page("change", journal.pk), {"tab": tab}).content.decode()
            for name in ("submit", "redraft", "posted", "rejected", "reverse", "file"):
                assert page(name, journal.pk) not in html


def test_the_page_of_a_journal_begins_with_its_amount_that_it_balances_and_what_is_next(finance):
    first, draft, waiting = three_journals()

    text = said(finance.get(page("change", draft.pk)))
    assert "30.50 USD Debits equal credits." in text
    assert "Next: Submit…" in text
    assert "It holds only what J2025-01-1 does not." in text
    text = said(finance.get(page("change", waiting.pk)))
    assert "waits for the ledger’s answer since Feb 3, 2025" in text
    assert "Next: Record as posted…" in text
    assert "Record as rejected…" in text
    assert "The ledger has it as document JV-1" in said(finance.get(page("change", first.pk)))


def test_each_table_of_the_summary_comes_to_the_headline_and_leads_to_its_lines(finance):
    a_charge("100.00")
    a_charge("40.00", source="hpc", fund_org="CHEM-2")
    a_charge("-15.00", source="hpc", fund_org="CHEM-2", charge_category="Credit", service_name="Refund")
    journal = exported()

    answer = finance.get(page("change", journal.pk))

    assert journal.debits == journal.credits == 155
    for table in answer.context["tables"]:
        assert (table.debits, table.credits, table.lines) == (journal.debits, journal.credits, journal.line_count)
        assert sum(row.debits for row in table.rows) == journal.debits
        assert sum(row.credits for row in table.rows) == journal.credits
    (link,) = re.findall(r'<a href="(\?tab=lines&amp;fund_org=CHEM-2)">', answer.content.decode())
    lines = finance.get(page("change", journal.pk) + link.replace("&amp;", "&"))
    assert {line.fund_org for line in lines.context["page"]} == {"CHEM-2"}
    assert "2 lines: debits 40.00 USD, credits 15.00 USD" in said(lines)


def test_the_smallest_rows_of_a_long_summary_are_added_up_in_one(finance, monkeypatch):
    monkeypatch.setattr(summaries, "MOST", 2)
    for number in range(5):
        a_charge(f"{number + 1}.00", fund_org=f"F-{number}")
    journal = exported()

    (table,) = (each for each in finance.get(page("change", journal.pk)).context["tables"] if each.kind == "fund_org")

    assert [row.others for row in table.rows] == [0, 0, 4]
    assert sum(row.debits for row in table.rows) == table.debits == 15


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ({"source_name": "hpc"}, 2),
        ({"natural_account": "4900"}, 2),
        ({"fund_org": "BIO-001"}, 1),
        ({"q": "grace"}, 2),
        ({"q": "chem network"}, 0),
        ({"fund_org": "none"}, 0),
    ],
)
def test_lines_are_narrowed_by_account_source_and_text(finance, asked, count):
    a_charge("100.00")
    a_charge("40.00", source="hpc", fund_org="CHEM-2", pi="grace@u.edu", project="optics")
    journal = exported()

    answer = finance.get(page("change", journal.pk), {"tab": "lines", **asked})

    assert answer.context["lines_count"] == count


def test_pages_of_lines_keep_what_they_are_narrowed_by(finance, monkeypatch):
    monkeypatch.setattr("journals.admin.record.LINES_PER_PAGE", 1)
    a_charge("1.00", service_name="Compute")
    a_charge("2.00", service_name="Storage")
    journal = exported()

    html = finance.get(page("change", journal.pk), {"tab": "lines", "fund_org": "BIO-001"}).content.decode()

    assert "?tab=lines&amp;fund_org=BIO-001&amp;page=2" in html


def test_drafting_again_shows_before_and_after_first_and_the_draft_keeps_what_changed(finance):
    gone = a_charge("7.00", service_name="Storage")
    a_charge("100.00")
    journal = exported()
    with audit.gesture(actor=SOMEBODY, now=NOW) as gesture:
        gone.state = Charge.State.REJECTED
        gone.save()
        gesture.record("charge.rejected", gone)

    text = said(finance.get(page("redraft", journal.pk)))
    assert "Net charged 107.00 100.00 -7.00" in text
    assert "0 payer lines added, 1 removed, 0 with another amount." in text
    assert Journal.objects.get().debits == 107
    answer = finance.post(page("redraft", journal.pk), follow=True)
    assert "“Difference” says what changed." in said(answer)
    text = said(finance.get(page("change", journal.pk), {"tab": "difference"}))
    assert "Net charged 107.00 100.00 -7.00" in text
    assert "Storage" in text
    # Nothing changed since.
    assert "Nothing changes: the draft says what is charged today." in said(finance.get(page("redraft", journal.pk)))


def test_the_difference_names_what_was_done_in_between(finance, monkeypatch):
    a_charge("100.00")
    journal = exported()
    with audit.gesture(actor=SOMEBODY, now=NOW) as gesture:
        gesture.record("charge.corrected", a_charge("1.00", service_name="Network"))
    later = {**WHO, "now": NOW.replace(hour=12)}
    posting.export(period=a_period(), format="gl", **later)

    text = said(finance.get(page("change", journal.pk), {"tab": "difference"}))

    assert "What was done in between" in text
    assert "Charge corrected: " in text


def test_a_second_journal_says_what_it_adds_to_the_first(finance):
    a_charge("100.00")
    submitted()
    a_charge("20.00", service_name="Network")
    a_charge("3.00", fund_org="CHEM-2")
    second = exported()

    answer = finance.get(page("change", second.pk), {"tab": "difference"})

    by_fund, by_source = answer.context["added"]
    assert [(row.label, row.before, row.own, row.together) for row in by_fund.rows] == [
        ("BIO-001", 100, 20, 120),
        ("CHEM-2", 0, 3, 3),
    ]
    assert (by_source.total.before, by_source.total.own, by_source.total.together) == (100, 23, 123)
    assert "Against the draft before it" not in said(answer)


def test_submitting_shows_what_is_frozen_and_how_the_file_begins_in_each_format(finance):
    a_policy(requires_ledger_answer=True)
    a_charge("1234.50")
    journal = exported()

    text = said(finance.get(page("submit", journal.pk)))
    assert "1,234.50 USD of debits, and as much of credits" in text
    assert "It waits for the ledger’s answer" in text
    # As it is once submitted, and not as the draft's file says.
    assert "J2025-01-1,submitted,2025-01-31" in text
    answer = finance.get(page("submit", journal.pk), {"format": "standard"})
    assert "pi_email" in said(answer)
    assert '<option value="standard" selected>' in answer.content.decode()
    assert Journal.objects.get().state == "draft"


def test_of_a_large_journal_the_file_is_not_written_to_be_looked_at(finance, monkeypatch):
    monkeypatch.setattr(posting.downloads, "SMALL", 1)
    a_charge("5.00")

    assert "This journal is large. Download the draft" in said(finance.get(page("submit", exported().pk)))


def test_a_draft_that_is_known_to_be_outdated_says_so_and_offers_to_be_drafted_again(finance):
    a_charge("100.00")
    journal = exported()
    a_charge("1.00")
    checklist.of(a_period(), only=("journal",))

    for name in ("change", "submit"):
        answer = finance.get(page(name, journal.pk))
        assert "is not what is to be journaled today" in said(answer)
        assert page("redraft", journal.pk) in answer.content.decode()


def test_a_draft_is_downloaded_as_a_draft_and_a_submitted_journal_as_the_file(finance):
    a_charge("100.00")
    journal = exported()

    assert "Download draft" in said(finance.get(page("change", journal.pk)))
    assert "DRAFT No: its name and content say that it is a draft" in said(
        finance.get(page("change", journal.pk), {"tab": "file"})
    )
    assert "-DRAFT.csv" in finance.get(page("file", journal.pk))["Content-Disposition"]
    posting.submit(journal=journal, format="gl", **WHO)
    assert "Download file" in said(finance.get(page("change", journal.pk)))
    text = said(finance.get(page("change", journal.pk), {"tab": "file"}))
    assert "Yes: as it was submitted" in text
    assert Journal.objects.get().file_sha256 in text
    assert 'filename="J2025-01-1-gl.csv"' in finance.get(page("file", journal.pk))["Content-Disposition"]


def test_the_history_says_who_did_what(finance):
    first, _, _ = three_journals()
    finance.get(page("file", first.pk))

    text = said(finance.get(page("change", first.pk), {"tab": "history"}))

    for each in ("File downloaded by fay", "Recorded as posted by somebody", "Document JV-1", "Submitted by somebody"):
        assert each in text
    assert "2 lines, 100.00 USD on each side" in text


def test_a_large_month_is_added_up_by_the_worker_while_the_page_says_how_far_it_is(finance, monkeypatch):
    monkeypatch.setattr(checklist, "LARGE", 0)
    monkeypatch.setattr(jobs.queue, "async_task", lambda *asked: None)
    heartbeat.beat()
    a_charge("100.00")
    journal = exported()

    for url in (f"{page('export')}?period=2025-01", page("redraft", journal.pk)):
        answer = finance.get(url)
        assert "The worker is adding up the month" in said(answer)
        assert "data-busy" in answer.content.decode()
        assert "Look again" in said(answer)
    work_out_month(a_period().pk)
    assert "Nothing changes" in said(finance.get(page("redraft", journal.pk)))
    assert "What is to journal" in finance.get(page("export"), {"period": "2025-01"}).content.decode()


@pytest.mark.parametrize("tab", ["summary", "lines", "difference", "history", "file"])
def test_each_tab_takes_as_many_queries_for_many_lines_as_for_few(finance, django_assert_num_queries, tab):
    a_charge("100.00")
    submitted()
    fill(3)
    exported()
    fill(1, first=50)
    journal = exported()
    # Content types and the like are read once.
    finance.get(page("change", journal.pk), {"tab": tab})
    with CaptureQueriesContext(connection) as few:
        finance.get(page("change", journal.pk), {"tab": tab})
    asked = len(few)
    assert asked <= 25
    fill(8, first=100)
    exported()

    with django_assert_num_queries(asked):
        finance.get(page("change", journal.pk), {"tab": tab})


def test_the_first_look_at_the_list_after_a_change_asks_as_often_for_many_journals_as_for_few(finance):
    def asked():
        for each in ("default", "months"):
            caches[each].clear()
        with CaptureQueriesContext(connection) as captured:
            finance.get(page("changelist"), {"period": "2025-01"})
        return len(captured)

    a_policy(requires_ledger_answer=True)
    fill(2)
    submitted()
    fill(1, first=10)
    exported()
    # Content types and the like are read once.
    asked()
    few = asked()
    # Twelve for the list; all else works out what is still to journal, and is kept until something changes.
    assert few <= 30
    fill(4, first=20)
    submitted()
    fill(4, first=30)
    exported()
    assert asked() == few
    with CaptureQueriesContext(connection) as captured:
        finance.get(page("changelist"), {"period": "2025-01"})
    assert len(captured) <= 13


@pytest.mark.parametrize("name", ["submit", "redraft", "export"])
def test_each_page_that_asks_takes_as_many_queries_for_many_lines_as_for_few(finance, django_assert_num_queries, name):
    fill(3)
    journal = exported()
    url = f"{page('export')}?period=2025-01" if name == "export" else page(name, journal.pk)
    # What is worked out of the month is kept.
    finance.get(url)
    with CaptureQueriesContext(connection) as few:
        finance.get(url)
    asked = len(few)
    # Submitting runs the preflight, which looks up lists, funds, the calendar and earlier journals.
    assert asked <= (32 if name == "submit" else 25)
    fill(8, first=100)
    exported()
    finance.get(url)

    with django_assert_num_queries(asked):
        finance.get(url)


def fill(number, first=0):
    for each in range(first, first + number):
        a_charge("10.00", fund_org=f"F-{each}", service_name=f"Service {each}")
