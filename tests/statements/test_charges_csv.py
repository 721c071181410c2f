"""charges.csv: the charges behind a statement, in cents that add up to its lines, as they were when it was issued."""

import csv
import hashlib
import io
from collections import defaultdict
from decimal import Decimal

import pytest
from django.conf import settings as settings_of_django
from django.db import transaction
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from billing.files import documents
from billing.models import AuditEvent, Charge
from billing.proof import verifying
from statements import issuing
from statements.issuing import charge_files
from statements.models import Statement
from tests import build
from tests.build import NOW, SOMEBODY

pytestmark = pytest.mark.django_db

COSTS = {"List price": "list_cost", "Contracted price": "contracted_cost", "Charged": "charged"}


def generate(month="2025-01", **options):
    return issuing.generate(period=build.a_period(month), actor=SOMEBODY, now=NOW, **options)


def the_rows(statement=None):
    content = issuing.charges_csv_of(statement or Statement.objects.live().get())
    assert content.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


def check_sums(statement):
    """The rows add up to each line, and to each resource of a line, to the cent."""
    sums = defaultdict(lambda: dict.fromkeys(COSTS, Decimal(0)))
    for row in the_rows(statement):
        assert row["Statement"] == statement.number
        for heading in COSTS:
            sums[int(row["Line"])][heading] += Decimal(row[heading])
            assert Decimal(row[heading]) == Decimal(row[heading]).quantize(Decimal("0.01"))
    for line in statement.lines.all():
        assert sums.pop(line.number) == {heading: getattr(line, name) for heading, name in COSTS.items()}
    assert not sums


def test_a_row_says_what_a_charge_is_of():
    charge = build.a_charge(
        "12.34",
        list_cost=Decimal("20"),
        contracted_cost=Decimal("15"),
        provider_name="AWS",
        resource_id="i-7",
        resource_name="login node",
        sku_id="SKU-1",
        consumed_quantity="3.50",
        consumed_unit="Hours",
        reference_1="NSF-1",
        reference_2="REQ-7",
    )
    generate()
    (row,) = the_rows()
    assert row == {
        "Statement": "2025-01-0001-1",
        "Line": "1",
        "Charge": str(charge.pk),
        "Service from": "2025-01-01T00:00:00+00:00",
        "Service until": "2025-01-02T00:00:00+00:00",
        "Source": "AWS",
        "Provider": "AWS",
        "Service": "Compute",
        "Resource id": "i-7",
        "Resource": "login node",
        "SKU": "SKU-1",
        "Usage": "3.50",
        "Unit": "Hours",
        "List price": "20.00",
        "Contracted price": "15.00",
        "Charged": "12.34",
        "Currency": "USD",
        "Fund/org": "BIO-001",
        "Grant number": "NSF-1",
        "Request id": "REQ-7",
        "Share": "100%",
        "Note": "",
    }


def test_a_split_charge_has_a_row_for_each_payer_with_the_whole_usage_and_the_share():
    build.a_split({"A": "60", "B": "40"}, project=build.a_project())
    build.a_charge("10.01", consumed_quantity="257.33", consumed_unit="core-hours")
    generate()
    found = [(row["Fund/org"], row["Share"], row["Usage"], row["Charged"]) for row in the_rows()]
    assert found == [("A", "60%", "257.33", "6.01"), ("B", "40%", "257.33", "4.00")]
    check_sums(Statement.objects.get())


def test_nobody_else_s_part_is_in_it():
    build.a_charge("10.00", resource_id="mine")
    build.a_charge("30.00", pi="bob@u.edu", resource_id="bobs-disk")
    build.a_charge("4.00", pi=None, project=None, fund_org="", shared_as="Support", resource_id="support-of-bob")
    build.a_charge("5.00", flags=("pattern_match",), resource_id="held")
    generate()
    mine = Statement.objects.get(pi__email="ada@u.edu")
    content = issuing.charges_csv_of(mine).decode()
    assert all(word not in content for word in ("bob", "held", "@"))
    shared = the_rows(mine)[1]
    assert (shared["Service"], shared["Charge"], shared["Charged"]) == ("Share of: Support", "", "1.00")
    assert shared["Share"] == "25% of 4.00 shared"
    check_sums(mine)


def test_a_charge_of_the_source_s_default_pi_is_in_theirs():
    build.a_source("aws", default_pi=build.a_pi("ada@u.edu"), overflow_fund_org="CORE")
    charge = build.a_charge("3.00", pi=None, project=None, fund_org="")
    generate()
    (row,) = the_rows()
    assert (row["Charge"], row["Fund/org"], row["Charged"]) == (str(charge.pk), "CORE", "3.00")


def test_it_says_what_staff_corrected_and_in_which_words():
    charge = build.a_charge("10.00")
    generate()
    build.shut()
    build.a_period("2025-02")
    correction = build.a_correction(charge, charged_in=build.a_period("2025-02"))
    generate("2025-02")
    found = {row["Charge"]: row["Note"] for row in the_rows(Statement.objects.get(period=build.a_period("2025-02")))}
    assert found == {f"Correction {correction.pk}": " ".join(correction.printed_text.split())}


def test_a_late_change_has_the_charge_and_what_it_reversed():
    charge = build.a_charge("10.00", consumed_quantity="5", consumed_unit="Hours")
    build.a_period("2025-02")
    build.a_charge(
        "-10.00", is_late=True, reverses=charge, charged_in=build.a_period("2025-02"), resource_id=charge.resource_id
    )
    build.a_charge("4.00", is_late=True, charged_in=build.a_period("2025-02"), resource_id=charge.resource_id)
    generate("2025-02")
    statement = Statement.objects.get()
    assert [(row["Charged"], row["Note"]) for row in the_rows(statement)] == [
        ("-10.00", "Late change for January 2025"),
        ("4.00", "Late change for January 2025"),
    ]
    check_sums(statement)


def test_a_statement_without_charges_has_headings_alone():
    charge = build.a_charge()
    generate()
    Charge.objects.filter(pk=charge.pk).update(state=Charge.State.REJECTED)
    generate()
    assert the_rows() == []


def test_too_many_charges_are_summed_by_resource(monkeypatch, settings):
    settings.PUBLIC_URL = "https://billing.u.edu"
    monkeypatch.setattr(charge_files, "MOST_ROWS", 3)
    for cents in ("0.335", "0.335", "0.335", "1.00"):
        build.a_charge(
            cents, resource_id=f"i-{cents}", consumed_quantity="0.1", consumed_unit="Hours", project="genomics"
        )
    build.a_charge("7.00", project="proteins")
    generate()
    many, few = Statement.objects.order_by("number")
    found = [
        (row["Resource id"], row["Charge"], row["Usage"], row["Charged"], row["Note"][:17]) for row in the_rows(many)
    ]
    assert found == [
        ("i-0.335", "", "0.3", "1.01", "Sum of 3 charges."),
        ("i-1.00", "", "0.1", "1.00", "Sum of 1 charge. "),
    ]
    assert the_rows(many)[0]["Note"].endswith(many.document["portal_url"])
    assert [row["Charged"] for row in the_rows(few)] == ["7.00"]
    check_sums(many)


def test_charges_are_read_a_few_pis_at_a_time(monkeypatch):
    monkeypatch.setattr(charge_files, "READ_AT_ONCE", 2)
    for number in range(7):
        build.a_charge(f"{number}.11", pi=f"pi{number % 3}@u.edu", project=f"p{number % 2}")
    generate()
    for statement in Statement.objects.all():
        check_sums(statement)


def test_it_stays_as_issued_and_its_hash_is_with_the_statement():
    charge = build.a_charge("10.00")
    generate()
    statement = Statement.objects.get()
    before = issuing.charges_csv_of(statement)
    assert hashlib.sha256(before).hexdigest() == statement.charges_sha256
    event = AuditEvent.objects.get(action="statement.issued")
    assert event.after["charges_sha256"] == statement.charges_sha256
    Charge.objects.filter(pk=charge.pk).update(billed_cost="99.00")
    generate()
    assert issuing.charges_csv_of(statement) == before
    assert [row["Charged"] for row in the_rows()] == ["99.00"]


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), lambda path: path.write_text("1,2")])
def test_a_lost_file_is_written_again_as_long_as_its_charges_are_the_same(harm):
    build.a_split({"A": "60", "B": "40"}, project=build.a_project())
    charge = build.a_charge("10.01")
    build.a_charge("5.00")
    generate()
    statement = Statement.objects.get()
    path, before = documents.where(charge_files.name_of(statement)), issuing.charges_csv_of(statement)
    harm(path)
    (altered,) = [each for each in verifying.verify().altered if "charges.csv" in each.what]
    assert str(altered.place) == str(documents.place(charge_files.name_of(statement)))
    assert issuing.charges_csv_of(statement) == before
    assert verifying.verify().altered == []
    harm(path)
    Charge.objects.filter(pk=charge.pk).update(billed_cost="99.00")
    with pytest.raises(issuing.ChargesLost, match="from a backup"):
        issuing.charges_csv_of(statement)
    Charge.objects.update(state=Charge.State.REJECTED)
    with pytest.raises(issuing.ChargesLost):
        issuing.charges_csv_of(statement)


def test_a_dry_run_writes_none(settings):
    build.a_charge()
    generate(dry_run=True)
    assert not list(settings.VAR_DIR.rglob("*charges.csv"))


amounts = st.decimals("-50", "50", places=4)


@st.composite
def months(draw):
    return draw(
        st.lists(
            st.tuples(
                amounts,
                st.sampled_from(["0", "0.3333", "1", "7"]),
                st.sampled_from(["genomics", "proteins"]),
                st.sampled_from(["ada@u.edu", "bob@u.edu"]),
                st.sampled_from(["i-1", "i-2", ""]),
                st.sampled_from(["", "Support"]),
                st.booleans(),
            ),
            min_size=1,
            max_size=12,
        )
    )


@given(months())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_rows_of_any_month_add_up_to_the_lines(db, month):
    with transaction.atomic():
        build.a_source("aws", default_pi=build.a_pi("ada@u.edu"), overflow_fund_org="CORE")
        build.a_split({"A": "33.3333", "B": "33.3333", "C": "33.3334"}, project=build.a_project("genomics"))
        for billed, discount, project, pi, resource, shared, is_late in month:
            owner = {"pi": None, "project": None, "fund_org": ""} if shared else {"pi": pi, "project": project}
            build.a_charge(
                str(billed),
                list_cost=billed + Decimal(discount) * 2,
                contracted_cost=billed + Decimal(discount),
                resource_id=resource,
                shared_as=shared,
                is_late=is_late and not shared,
                **owner,
            )
        generate()
        for statement in Statement.objects.all():
            check_sums(statement)
        transaction.set_rollback(True)


# The doors


@pytest.fixture
def split():
    build.a_split({"A": "60", "B": "40"}, project=build.a_project())
    for number in range(3):
        build.a_charge("10.01", resource_id=f"node-{number}", consumed_quantity="2.5", consumed_unit="Hours")
    generate()
    return Statement.objects.get()


def test_a_pi_downloads_it_and_reads_the_charges_behind_a_line(client, cast, split, monkeypatch):
    monkeypatch.setattr("statements.views.statements.CHARGES_PER_PAGE", 2)
    client.force_login(cast.pi)
    page = client.get(reverse("portal:statement", args=[split.number])).content.decode()
    download, second = reverse("portal:charges", args=[split.number]), reverse("portal:line", args=[split.number, 2])
    assert download in page
    assert second in page
    response = client.get(download)
    assert response.getvalue() == issuing.charges_csv_of(split)
    assert response["Content-Disposition"] == 'attachment; filename="statement-2025-01-0001-1-charges.csv"'
    assert not AuditEvent.objects.filter(action="statement.downloaded").exists()
    first = client.get(second)
    rest = client.get(second, {"page": "2"})
    rows = [*first.context["page"], *rest.context["page"]]
    assert [(row.dates, row.used, row.share) for row in rows] == [("Jan 1, 2025", "2.5 Hours", "40%")] * 3
    assert sum(row.charged for row in rows) == split.lines.get(number=2).charged
    assert client.get(reverse("portal:line", args=[split.number, 3])).status_code == 404


def test_staff_download_it_and_the_audit_log_and_the_history_say_so(client, cast, split):
    client.force_login(cast.viewer)
    page = client.get(reverse("admin:statements_statement_change", args=[split.pk])).content.decode()
    address = reverse("admin:statements_statement_charges", args=[split.pk])
    assert address in page
    assert client.get(address).getvalue() == issuing.charges_csv_of(split)
    event = AuditEvent.objects.get(action="statement.downloaded")
    assert (event.actor_name, event.after) == ("vera", {"format": "charges.csv"})
    client.force_login(cast.admin)
    address = reverse("admin:statements_statement_change", args=[split.pk])
    history = client.get(f"{address}?tab=history").content.decode()
    assert "of the staff, charges.csv" in history
    assert split.charges_sha256 in history


def test_what_is_lost_is_said(client, cast, split):
    documents.where(charge_files.name_of(split)).unlink()
    Charge.objects.update(state=Charge.State.REJECTED)
    client.force_login(cast.pi)
    assert client.get(reverse("portal:charges", args=[split.number])).status_code == 404
    client.force_login(cast.viewer)
    page = client.get(reverse("admin:statements_statement_charges", args=[split.pk]), follow=True).content.decode()
    assert "back from a backup" in page


def test_a_voided_statement_gives_no_charges(client, cast, split):
    issuing.void(statement=split, reason="Wrong", actor=SOMEBODY, now=NOW)
    client.force_login(cast.pi)
    for address in (reverse("portal:charges", args=[split.number]), reverse("portal:line", args=[split.number, 1])):
        assert client.get(address).status_code == 410


def test_the_pdf_holds_the_file_and_is_the_same_when_it_is_drawn_again():
    build.a_charge("12.34")
    generate()
    statement = Statement.objects.get()
    pdf = issuing.pdf_of(statement)
    assert PdfReader(io.BytesIO(pdf)).attachments == {"charges.csv": [issuing.charges_csv_of(statement)]}
    (settings_of_django.VAR_DIR / statement.pdf_path).unlink()
    assert issuing.pdf_of(statement) == pdf


def test_a_statement_whose_charges_are_lost_is_drawn_without_them(caplog):
    charge = build.a_charge("12.34")
    generate()
    statement = Statement.objects.get()
    documents.where(charge_files.name_of(statement)).unlink()
    (settings_of_django.VAR_DIR / statement.pdf_path).unlink()
    Charge.objects.filter(pk=charge.pk).update(withdrawn_in=build.an_import())
    assert not PdfReader(io.BytesIO(issuing.pdf_of(statement))).attachments
    assert "is drawn without its charges" in caplog.text
