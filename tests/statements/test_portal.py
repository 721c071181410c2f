"""The portal: a PI sees what is theirs, a delegate what was given to them, and nobody anything else."""

import csv
import datetime
import io
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from openpyxl import load_workbook
from pypdf import PdfReader

from billing.models import AuditEvent, Membership, Person, PersonAlias, User
from billing.months import closing
from statements import issuing, sheets
from statements.models import Statement
from tests import build
from tests.build import NOW, SOMEBODY

pytestmark = pytest.mark.django_db

TODAY = datetime.date(2025, 2, 3)
LIST = "/statements/"


@pytest.fixture
def statement(cast):
    """Ada's statement of January; Mallory has one too."""
    build.a_charge(
        "40.00",
        pi="ada@u.edu",
        project="genomics",
        list_cost=Decimal(100),
        contracted_cost=Decimal(80),
        resource_name="login-node",
    )
    build.a_charge("66.00", pi="mallory@u.edu", project="mischief")
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    return Statement.objects.get(pi__email="ada@u.edu")


def addresses(statement):
    names = ("statement", "pdf", "csv", "xlsx", "charges")
    line = reverse("portal:line", args=[statement.number, 1])
    return [*(reverse(f"portal:{name}", args=[statement.number]) for name in names), line]


def visible(user, on=TODAY):
    return list(Statement.objects.visible_to(user, on=on).order_by("number").values_list("project__code", flat=True))


def test_a_pi_sees_and_downloads_her_own(client, cast, statement):
    client.force_login(cast.pi)
    page = client.get(reverse("portal:statements"))
    assert statement.number in page.content.decode()
    assert "mischief" not in page.content.decode()
    for address in addresses(statement):
        response = client.get(address)
        assert response.status_code == 200
        assert response.getvalue()


def test_a_delegate_sees_what_the_pi_sees(client, cast, statement):
    client.force_login(cast.delegate)
    assert client.get(addresses(statement)[0]).status_code == 200
    assert statement.number in client.get(reverse("portal:statements")).content.decode()


def test_whose_a_statement_is_shows_where_not_all_are_the_reader_s_own(client, cast, statement):
    for reader, is_told in ((cast.pi, False), (cast.delegate, True)):
        client.force_login(reader)
        page = client.get(reverse("portal:statements"))
        assert ("<bdi>Ada Lovelace</bdi>" in page.content.decode()) is is_told


@pytest.mark.parametrize("who", ["stranger", "viewer", "reviewer", "finance", "admin"])
def test_everybody_else_gets_404_everywhere(client, cast, statement, who):
    client.force_login(getattr(cast, who))
    page, *files, line = addresses(statement)
    for address in [*files, reverse("portal:project", args=[statement.project_id])]:
        assert client.get(address).status_code == 404
    # Staff have a page of their own of it.
    theirs = reverse("admin:statements_statement_change", args=[statement.pk])
    for address in (page, line):
        answer = client.get(address)
        assert (answer.status_code, answer.get("Location")) == ((404, None) if who == "stranger" else (302, theirs))
    assert statement.number not in client.get(reverse("portal:statements")).content.decode()
    assert "genomics" not in client.get(reverse("portal:projects")).content.decode()


def test_staff_who_follow_a_pi_s_link_read_their_own_page_of_the_same_statement(client, cast, statement):
    client.force_login(cast.viewer)
    page = client.get(addresses(statement)[0], follow=True)
    assert page.status_code == 200
    assert statement.number in page.content.decode()
    assert client.get(reverse("portal:statement", args=["2025-01-9999-1"])).status_code == 404
    issuing.void(statement=statement, reason="Wrong project", actor=SOMEBODY, now=NOW)
    assert "Wrong project" in client.get(addresses(statement)[0], follow=True).content.decode()


def test_every_page_names_the_institution_and_its_contact_and_for_whom_the_reader_is_there(client, cast, statement):
    build.a_policy(contact_name="Billing", contact_email="billing@u.edu", contact_phone="555 0142")
    for who, is_delegate in ((cast.pi, False), (cast.delegate, True)):
        client.force_login(who)
        for address in (
            *(reverse(f"portal:{name}") for name in ("home", "statements", "projects", "trends", "funds")),
            *(reverse(f"portal:{name}") for name in ("downloads", "delegates")),
            addresses(statement)[0],
            addresses(statement)[-1],
            "/statements/nowhere/",
        ):
            page = client.get(address).content.decode()
            assert "<bdi>Example University</bdi></span></a>" in page, address
            assert "· Example University</title>" in page, address
            assert 'href="mailto:billing@u.edu"' in page, address
            assert "555 0142" in page, address
            assert ("Delegate for 1 PI<" in page) is is_delegate, address


def test_who_is_not_signed_in_is_asked_to(client, statement):
    for address in [*addresses(statement), reverse("portal:statements"), reverse("portal:projects")]:
        response = client.get(address)
        assert response.status_code == 302
        assert reverse("login") in response.url


def test_a_revoked_delegate_sees_nothing(client, cast, statement):
    Membership.objects.filter(user=cast.delegate).update(valid_until=datetime.date(2025, 2, 2))
    assert visible(cast.delegate, datetime.date(2025, 2, 2)) == ["genomics"]
    assert visible(cast.delegate, TODAY) == []
    client.force_login(cast.delegate)
    assert client.get(addresses(statement)[0]).status_code == 404


def test_a_delegate_sees_nothing_before_the_first_day(cast, statement):
    Membership.objects.filter(user=cast.delegate).update(valid_from=datetime.date(2025, 2, 4))
    assert visible(cast.delegate) == []


def test_a_delegate_of_one_project_sees_that_project_only(cast, statement):
    build.a_charge(pi="ada@u.edu", project="proteins")
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    Membership.objects.filter(user=cast.delegate).update(project=build.a_project("proteins"))
    assert visible(cast.delegate) == ["proteins"]
    assert visible(cast.pi) == ["genomics", "proteins"]


def test_a_delegate_of_a_project_sees_only_the_share_of_their_pi(cast, statement):
    build.a_charge(pi="mallory@u.edu", project="genomics")
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    Membership.objects.filter(user=cast.delegate).update(project=build.a_project("genomics"))
    assert Statement.objects.visible_to(cast.delegate, on=TODAY).get().pi.email == "ada@u.edu"


def test_a_pi_without_a_link_is_known_by_address_or_alias(cast, statement):
    Person.objects.update(user=None)
    assert visible(cast.pi) == ["genomics"]
    somebody = User.objects.create_user("ada2", "A.Lovelace@U.edu", "open sesame")
    assert visible(somebody) == []
    PersonAlias.objects.create(person=Person.objects.get(email="ada@u.edu"), email="a.lovelace@u.edu")
    assert visible(somebody) == ["genomics"]


def test_an_address_does_not_open_what_is_linked_to_somebody_else(cast, statement):
    User.objects.filter(pk=cast.stranger.pk).update(email="x@u.edu")
    PersonAlias.objects.create(person=Person.objects.get(email="ada@u.edu"), email="x@u.edu")
    cast.stranger.refresh_from_db()
    assert visible(cast.stranger) == ["mischief"]


def test_a_user_without_an_address_sees_nothing(statement):
    assert visible(User.objects.create_user("nobody", "", "open sesame")) == []


def test_a_void_statement_says_when_and_why_and_a_superseded_one_leads_to_its_successor(client, cast, statement):
    build.a_charge(pi="ada@u.edu", project="genomics")
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    client.force_login(cast.pi)
    old = client.get(addresses(statement)[0]).content.decode()
    assert "was replaced" in old
    successor = Statement.objects.live().get(pi__email="ada@u.edu")
    assert reverse("portal:statement", args=[successor.number]) in old
    assert statement.number not in client.get(reverse("portal:statements")).content.decode()
    issuing.void(statement=successor, reason=" Billed to the wrong <project> ", actor=SOMEBODY, now=NOW)
    assert "2025-01-0001-2" in successor.number
    for address in addresses(successor):
        response = client.get(address)
        assert response.status_code == 410, address
        said = response.content.decode()
        assert "This statement was voided on Feb 3, 2025" in said
        assert "Billed to the wrong &lt;project&gt;" in said
        assert "200.00" not in said
    assert successor.number not in client.get(reverse("portal:statements")).content.decode()
    assert f"{successor.number}</a> · issued" in client.get(addresses(statement)[0]).content.decode()
    client.force_login(cast.stranger)
    assert {client.get(address).status_code for address in addresses(successor)} == {404}
    # The next one takes its place, and the old address leads there.
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    client.force_login(cast.pi)
    assert "In force is" in client.get(addresses(successor)[1]).content.decode()


def test_whom_to_ask_is_a_link(client, cast):
    build.a_policy(contact_name="Billing", contact_email="billing@u.edu")
    build.a_charge()
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    client.force_login(cast.pi)
    page = client.get(reverse("portal:statement", args=[Statement.objects.live().get().number])).content.decode()
    assert 'Please write to <a href="mailto:billing@u.edu">billing@u.edu</a>' in page


def test_the_page_and_the_pdf_show_the_same_figures(client, cast, statement):
    client.force_login(cast.pi)
    page = client.get(addresses(statement)[0]).content.decode()
    response = client.get(addresses(statement)[1])
    text = PdfReader(io.BytesIO(response.getvalue())).pages[0].extract_text()
    for figure in ("100.00", "20.00", "20%", "40.00", "50%", "login-node", "BIO-001", "Compute"):
        assert figure in page
        assert figure in text


def test_a_pdf_comes_as_a_download_that_no_cache_keeps(client, cast, statement):
    client.force_login(cast.pi)
    response = client.get(addresses(statement)[1])
    assert response["Content-Type"] == "application/pdf"
    assert response["Content-Disposition"] == 'attachment; filename="statement-2025-01-0001-1.pdf"'
    assert "private" in response["Cache-Control"]
    assert response.getvalue() == issuing.pdf_of(statement)


def test_a_lost_pdf_is_drawn_again_for_the_download(client, cast, statement, settings):
    (settings.VAR_DIR / statement.pdf_path).unlink()
    client.force_login(cast.pi)
    assert client.get(addresses(statement)[1]).getvalue().startswith(b"%PDF")
    assert (settings.VAR_DIR / statement.pdf_path).is_file()


def test_a_pdf_that_is_not_the_one_that_was_drawn_is_drawn_again(client, cast, statement, settings):
    path = settings.VAR_DIR / statement.pdf_path
    drawn = path.read_bytes()
    path.write_bytes(drawn.replace(b"%%EOF", b"%%EOG"))
    client.force_login(cast.pi)
    assert client.get(addresses(statement)[1]).getvalue() == drawn
    assert path.read_bytes() == drawn


def test_csv_and_xlsx_add_up_to_the_statement(client, cast, statement):
    client.force_login(cast.pi)
    _, _, csv_address, xlsx_address, *_ = addresses(statement)
    rows = list(csv.DictReader(io.StringIO(client.get(csv_address).getvalue().decode("utf-8-sig"))))
    assert sum(Decimal(row["Charged"]) for row in rows) == statement.charged
    assert sum(Decimal(row["List price"]) for row in rows) == statement.list_cost
    sheet = load_workbook(io.BytesIO(client.get(xlsx_address).getvalue())).active
    assert [cell.value for cell in sheet[1]] == list(sheets.HEADINGS)
    due = sheets.HEADINGS.index("Charged")
    assert sum(row[due] for row in sheet.iter_rows(min_row=2, values_only=True)) == 40


def test_no_text_becomes_a_formula_and_a_negative_amount_stays_a_number(client, cast):
    build.a_charge(
        "-5.00",
        pi="ada@u.edu",
        resource_name='=HYPERLINK("http://x")',
        resource_id="@x",
        service_name="+1",
        fund_org="-A",
    )
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    document = issuing.document_of(Statement.objects.get(pi__email="ada@u.edu"))
    (row,) = csv.DictReader(io.StringIO(sheets.as_csv(document).decode("utf-8-sig")))
    assert row["Resource"].startswith("'=")
    assert (row["Service"], row["Fund/org"], row["Resource id"]) == ("'+1", "'-A", "'@x")
    assert row["Charged"] == "-5.00"
    sheet = load_workbook(io.BytesIO(sheets.as_xlsx(document))).active
    cells = dict(zip(sheets.HEADINGS, sheet[2], strict=True))
    assert {cells[name].data_type for name in ("Resource", "Service", "Fund/org")} == {"s"}
    assert (cells["Charged"].value, cells["Charged"].data_type) == (-5, "n")


def test_text_from_files_is_escaped_on_the_page(client, cast):
    build.a_charge(pi="ada@u.edu", resource_name="<script>alert(1)</script>", service_name="<b>x</b>")
    Person.objects.update(name="<i>Ada</i>")
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    client.force_login(cast.pi)
    page = client.get(addresses(Statement.objects.get())[0]).content.decode()
    assert "<script>alert" not in page
    assert "<b>x</b>" not in page
    assert "<i>Ada</i>" not in page


def test_no_page_carries_an_inline_style_or_script(client, cast, statement):
    client.force_login(cast.pi)
    for address in (
        reverse("portal:statements"),
        reverse("portal:projects"),
        reverse("portal:project", args=[statement.project_id]),
        addresses(statement)[0],
    ):
        page = client.get(address).content.decode()
        assert " style=" not in page
        assert "<style" not in page
        assert "<script>" not in page
        assert "onclick=" not in page


def test_the_list_is_searched_and_filtered(client, cast, statement):
    build.a_charge(pi="ada@u.edu", project="proteins", period="2025-02")
    issuing.generate(period=build.a_period("2025-02"), actor=SOMEBODY, now=NOW)
    client.force_login(cast.pi)

    def numbers(query):
        return [each.number for each in client.get(reverse("portal:statements") + query).context["page"]]

    assert numbers("") == ["2025-02-0001-1", "2025-01-0001-1"]
    assert numbers("?month=2025-01") == ["2025-01-0001-1"]
    assert numbers("?project=proteins") == ["2025-02-0001-1"]
    assert numbers("?q=geno") == ["2025-01-0001-1"]
    assert numbers("?q=nothing") == []
    assert client.get(reverse("portal:statements") + "?month=x").status_code == 404


def test_a_project_shows_its_months_as_a_table_and_as_bars(client, cast, statement):
    build.a_charge("20.00", pi="ada@u.edu", project="genomics", period="2025-02")
    issuing.generate(period=build.a_period("2025-02"), actor=SOMEBODY, now=NOW)
    client.force_login(cast.pi)
    response = client.get(reverse("portal:project", args=[statement.project_id]))
    assert [each.month.month for each in response.context["months"]] == [1, 2]
    assert response.context["total"].charged == Decimal(60)
    page = response.content.decode()
    assert page.count("<rect") == 4
    assert 'role="img"' in page
    assert "January 2025: list price 100.00, charged 40.00" in page


def test_months_of_another_pi_in_the_same_project_stay_theirs(client, cast, statement):
    build.a_charge("500.00", pi="mallory@u.edu", project="genomics")
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    client.force_login(cast.pi)
    page = client.get(reverse("portal:project", args=[statement.project_id])).content.decode()
    assert "500.00" not in page
    assert "Mallory" not in page


def test_a_project_of_credits_only_has_a_chart_without_bars_above_it(client, cast):
    charge = build.a_charge("-20.00", pi="ada@u.edu")
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    client.force_login(cast.pi)
    response = client.get(reverse("portal:project", args=[charge.project_id]))
    assert response.status_code == 200
    assert {each.charged_height for each in response.context["months"]} == {0}


def test_a_download_by_staff_is_in_the_audit_log_and_a_pi_s_is_not(client, cast, statement):
    client.force_login(cast.pi)
    client.get(addresses(statement)[1]).getvalue()
    assert not AuditEvent.objects.filter(action="statement.downloaded").exists()
    Membership.objects.create(
        person=Person.objects.get(email="ada@u.edu"), user=cast.viewer, valid_from=datetime.date(2024, 1, 1)
    )
    client.force_login(cast.viewer)
    client.get(addresses(statement)[1]).getvalue()
    event = AuditEvent.objects.get(action="statement.downloaded")
    assert (event.actor_name, event.object_label, event.after) == ("vera", statement.number, {"format": "pdf"})


def test_pages_take_as_many_queries_for_many_rows_as_for_few(client, cast):
    client.force_login(cast.pi)
    counts = []
    for number in range(2):
        for each in range(5):
            build.a_charge(pi="ada@u.edu", project=f"project-{number}-{each}")
        issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
        with CaptureQueriesContext(connection) as captured:
            client.get(reverse("portal:statements"))
            client.get(reverse("portal:projects"))
        counts.append(len(captured))
    assert counts[0] == counts[1]


def test_the_portal_says_how_far_the_close_of_a_month_has_come(client, cast, statement):
    client.force_login(cast.pi)

    def said():
        pages = (client.get(address).content.decode() for address in (LIST, addresses(statement)[0]))
        return [" ".join(page.split()) for page in pages]

    assert all("Month open" in page for page in said())
    assert "January 2025 is still open: these charges can change." in said()[1]
    period = build.a_period()
    closing.start_review(period=period, until=TODAY, actor=SOMEBODY, now=NOW)
    told = f"{TODAY:%b} {TODAY.day}, {TODAY.year}"
    assert all(f"In review: questions until {told}" in page for page in said())
    request = (
        f"Questions until {told}. If a charge does not belong on this fund/org, tell us by {told}: ask about its line."
    )
    assert f"January 2025 is in review. {request}" in said()[1]
    closing.close(period=period, actor=SOMEBODY, now=NOW)
    assert all("Month closed" in page and "uestions until" not in page for page in said())
    build.shut(status="finalized")
    assert all("Final" in page for page in said())


def test_the_portal_says_whether_a_statement_was_mailed_written_to_a_file_or_revised(client, cast, statement):
    client.force_login(cast.pi)
    address = addresses(statement)[0]
    assert "Issued Feb 3, 2025, not e-mailed" in client.get(address).content.decode()
    Statement.objects.filter(pk=statement.pk).update(state="written", written_at=NOW)
    said = client.get(address).content.decode()
    assert "written to a file on Feb 3, 2025, not e-mailed" in said
    assert "written to a file, not e-mailed" in client.get(LIST).content.decode()
    Statement.objects.filter(pk=statement.pk).update(state="sent", sent_at=NOW)
    assert "e-mailed Feb 3, 2025" in client.get(address).content.decode()
    assert "Revised" not in client.get(LIST).content.decode()
    build.a_charge("2.00", pi="ada@u.edu", project="genomics", service_name="GPU")
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    assert "Revised" in client.get(LIST).content.decode()
    new = client.get(reverse("portal:statement", args=["2025-01-0001-2"])).content.decode()
    assert "What changed since" in new
    assert "Total charged: $42.00, was $40.00 (+$2.00)." in " ".join(new.split())
    assert 'GPU, BIO-001</bdi><br><span class="quiet small">New line</span>' in new
    old = client.get(address).content.decode()
    assert "This revision was replaced on Feb 3, 2025" in old


def test_names_are_kept_from_turning_what_stands_beside_them(client, cast):
    Person.objects.filter(email="ada@u.edu").update(name="נועה")
    build.a_charge(pi="ada@u.edu", project="g" * 91)
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    statement = Statement.objects.get()
    client.force_login(cast.delegate)
    for address in (LIST, addresses(statement)[0], reverse("portal:project", args=[statement.project_id])):
        page = client.get(address).content.decode()
        assert f"<bdi>{'g' * 91}</bdi>" in page, address
    assert "<bdi>נועה</bdi>" in page
