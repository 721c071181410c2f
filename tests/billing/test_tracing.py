"""Why this number: from lines of statements and journals to the lines of files, and back."""

import csv
import gzip
import io
import re
import zipfile
from decimal import Decimal

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from billing import charging, corrections, review, tracing
from billing.importing import origins
from billing.importing.ingestion import ingest
from billing.models import Charge, ExchangeRate, ImportedFile, PayerLine
from billing.money import to_cents
from billing.readers import read, row_at
from billing.readers.parts import parts_of
from journals import posting
from journals.models import JournalLine
from statements import issuing
from statements.models import StatementLine
from tests import build
from tests.billing.deliveries import a_row
from tests.billing.deliveries import delivered as deliver
from tests.build import NOW, SOMEBODY
from tests.stories import stage

pytestmark = pytest.mark.django_db

ADA = {"pi_email": "ada@u.edu", "project_id": "genomics", "fund_org": "BIO-001"}


def content_of(place: str) -> dict[str, str]:
    """Return a line of a stored file as the trace shows it, by its place: SHA-256 and line."""
    delivered = tracing.trace(place).delivered
    assert delivered is not None
    return dict(delivered.row)


def a_story(tmp_path):
    """A month with a foreign currency, a split, a review, a row the center pays, a rejected one, and a second file."""
    period = build.a_period("2025-01")
    build.a_policy(center_fund_org="CENTER-1")
    build.a_source("aws")
    project = build.a_project("shared-lab", pi=build.a_pi("ada@u.edu"))
    build.a_split({"BIO-001": "60", "CHEM-2": "40"}, project=project)
    ExchangeRate.objects.create(period=period, currency="EUR", rate=Decimal("1.0832"))
    rows = [
        a_row("10.005", ResourceId="i-1"),
        a_row("20.0011", ResourceId="i-2"),
        a_row("7.123456789", ResourceId="i-3", ServiceName="Storage"),
        a_row("33.335", ResourceId="i-4", tags={**ADA, "project_id": "shared-lab"}),
        a_row("5.55", ResourceId="i-5", BillingCurrency="EUR"),
        a_row("4.44", ResourceId="i-6", tags={}),
        a_row("3.33", ResourceId="i-7", tags={}),
        a_row("2.22", ResourceId="i-8", tags={}),
    ]
    deliver(tmp_path, rows)
    changed = [{**rows[0], "BilledCost": "11.0049"}, *rows[1:]]
    deliver(tmp_path, changed, name="aws_2025-01_again.csv")

    def held(resource):
        return Charge.objects.live().filter(resource__resource_id=resource)

    review.reattribute(
        create=True,
        charges=held("i-6"),
        reassignment=review.Reassignment(pi="grace@u.edu", fund_org="MATH-9"),
        approve=True,
        note="She told us.",
        actor=SOMEBODY,
        now=NOW,
    )
    review.reject(provider_credits=True, charges=held("i-7"), reason="test", actor=SOMEBODY, now=NOW)
    review.charge_to_center(charges=held("i-8"), actor=SOMEBODY, now=NOW)
    issuing.generate(period=period, actor=SOMEBODY, now=NOW)
    posting.export(period=period, format="gl", submit=False, actor=SOMEBODY, now=NOW)
    return period


def test_every_line_of_statements_and_journals_comes_from_lines_of_files_that_add_up_to_its_cents(tmp_path):
    a_story(tmp_path)
    asked = [f"{line.statement.number}:{line.number}" for line in StatementLine.objects.select_related("statement")]
    asked += [f"{line.journal.number}:{line.number}" for line in JournalLine.objects.select_related("journal")]
    # Six payer lines on statements, and with the center's seven pairs in the journal.
    assert len(asked) == 6 + 14
    for what in asked:
        traced = tracing.trace(what)
        (line,) = traced.lines
        assert line.is_current, what
        (making,) = line.makings
        exact = Decimal(0)
        for each in traced.charges:
            row = content_of(f"{each.file.file.sha256[:12]}:{each.line}")
            assert row["ResourceId"] == each.charge.resource_id
            # As stored: 8 decimals a row.
            exact += Decimal(row["BilledCost"]).quantize(Decimal("1e-8"))
        assert exact == making.charged_sum
        cents = to_cents(exact * making.rate, "USD")
        assert cents == making.cents == sum(share.charged for share in making.shares)
        assert line.line.charged == making.charged
        assert abs(traced.asked.amount) == making.charged


def test_every_charge_leads_to_its_payer_lines_and_the_documents_that_print_them(tmp_path):
    a_story(tmp_path)
    reached = set()
    for charge in Charge.objects.all():
        traced = tracing.trace(str(charge.pk))
        is_charged = charge.withdrawn_in_id is None and charge.state in Charge.CHARGEABLE
        assert bool(traced.lines) == is_charged, charge.state
        assert bool(traced.notes) != is_charged
        assert dict(traced.delivered.row)["ResourceId"] == charge.resource_id
        for line in traced.lines:
            reached.add(line.key)
            # And back: the line has the charge among its own.
            assert charge.pk in {each.charge.pk for each in tracing.trace(f"2025-01@{line.key}").charges}
            assert {each.kind for each in line.documents} == {"journal", "statement"} - (
                {"statement"} if line.line.kind == "charged_to_center" else set()
            )
    assert reached == set(PayerLine.objects.values_list("key", flat=True))


def test_a_trace_tells_the_decision_the_tag_and_the_rate(tmp_path):
    a_story(tmp_path)
    grace = tracing.trace(PayerLine.objects.get(fund_org="MATH-9").key).as_text()
    assert "4.44 USD" in grace
    assert "reattribute by somebody on Feb 3, 2025, 09:30 UTC: She told us." in grace
    assert "approve by somebody" in grace
    euro = tracing.trace(PayerLine.objects.get(key__endswith="|EUR").key).as_text()
    assert "1 charge costs 5.55 EUR." in euro
    assert "At 1.0832 USD for one EUR that is 6.01176 USD." in euro
    assert "tag pi_email = ada@u.edu" in euro
    split = tracing.trace(PayerLine.objects.get(project__code="shared-lab", fund_org="CHEM-2").key)
    assert "BIO-001 60% = 20.00; CHEM-2 40% = 13.34." in split.as_text()
    replaced = Charge.objects.get(withdrawn_in__isnull=False)
    text = tracing.trace(str(replaced.pk)).as_text()
    assert f"withdrawn by import {replaced.withdrawn_in_id}" in text
    assert f"replaced by charge {replaced.replaced_by.get().pk}" in text


def test_a_late_change_leads_to_the_row_it_takes_back(tmp_path):
    charge = build.a_charge("10.00")
    taken_back = build.a_charge(
        "-10.00", file_number=0, line_number=0, reverses=charge, is_late=True, attributed_by="charged", period="2025-02"
    )
    traced = tracing.trace(str(taken_back.pk))
    (only,) = traced.charges
    assert only.line == charge.line_number
    assert f"reverses charge {charge.pk}" in only.told
    assert [how for how, _ in traced.related] == ["reverses"]


def test_rows_that_were_added_up_are_shown_by_their_first(tmp_path):
    source = build.a_source("aws", grain="month")
    rows = [a_row("1.10", ChargePeriodStart=f"2025-01-0{day}", ChargePeriodEnd=f"2025-01-0{day + 1}") for day in (3, 4)]
    deliver(tmp_path, rows, source=source)
    charge = Charge.objects.get()
    found = origins.row_of(charge)
    assert (charge.row_count, charge.billed_cost) == (2, Decimal("2.20"))
    assert dict(found.row)["BilledCost"] == "1.10"
    assert "first of 2 rows" in found.told


def test_a_shared_cost_is_traced_to_what_is_shared_and_by_what_measure():
    build.a_charge("100.00")
    build.a_charge("50.00", pi="grace@u.edu", fund_org="MATH-9")
    fees = [
        build.a_charge("10.00", pi=None, project=None, fund_org="", service_name=service, shared_as="Support")
        for service in ("EC2", "S3")
    ]
    charging.make_payer_lines(period=fees[0].period, actor=SOMEBODY, now=NOW)
    traced = tracing.trace(PayerLine.objects.get(pi__email="grace@u.edu", kind="shared").key)
    (line,) = traced.lines
    assert line.is_current
    assert (line.line.charged, {each.charge for each in traced.charges}) == (Decimal("6.67"), set(fees))
    assert "Shared by what the source charged each of 2: 50.00 of 150.00 USD makes 6.67 USD." in traced.as_text()
    assert len(tracing.trace(str(fees[0].pk)).lines) == 2
    assert tracing.trace(PayerLine.objects.get(pi__email="ada@u.edu", kind="charge").key).charge_count == 1


def test_a_correction_leads_to_what_staff_entered_and_the_corrected_line_to_the_correction():
    period = build.a_charge("100.00").period
    charging.make_payer_lines(period=period, actor=SOMEBODY, now=NOW)
    line = PayerLine.objects.get()
    corrections.add_refund(lines=[line], amount=Decimal("30.00"), reason="Billed for a test.", actor=SOMEBODY, now=NOW)
    charging.make_payer_lines(period=period, actor=SOMEBODY, now=NOW)
    refund = tracing.trace(PayerLine.objects.get(kind="refund").key)
    assert refund.lines[0].is_current
    assert "-30.00 USD, refund by somebody on Feb 3, 2025: Billed for a test." in refund.as_text()
    assert "corrected by correction" in tracing.trace(line.key).as_text()


HEADINGS = ["x_Own", "BilledCost", "BillingPeriodStart", "ChargePeriodStart", "ResourceId", "Tags"]
ROWS = [
    [f"own {number}", f"{number}.25", "2025-01-01", "2025-01-05", f"i-{number}", '{"pi_email": "ada@u.edu"}']
    for number in range(1, 400)
]


def rows_of(kind: str) -> list[list[str]]:
    """Return the rows with resources of their own: no two parts of a delivery may hold the same."""
    return [[value.replace("i-", f"{kind}-") if value.startswith("i-") else value for value in row] for row in ROWS]


def as_csv(kind: str = "i") -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(HEADINGS)
    for number, row in enumerate(rows_of(kind)):
        # A value over two lines, and blank lines: lines are those of a text editor.
        writer.writerow([f"{row[0]}\nand more", *row[1:]] if number % 7 == 3 else row)
        if number % 11 == 5:
            text.write("\r\n")
    return text.getvalue().encode()


def as_xlsx(kind: str = "i") -> bytes:
    book = openpyxl.Workbook()
    book.active.append(["A title"])
    book.active.append([])
    for row in (HEADINGS, *rows_of(kind)):
        book.active.append(row)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def as_parquet(kind: str = "i") -> bytes:
    content = io.BytesIO()
    columns: dict[str, list[object]] = {
        heading: [row[place] for row in rows_of(kind)] for place, heading in enumerate(HEADINGS)
    }
    columns["x_Own"] = [{"number": number} for number in range(len(ROWS))]
    pq.write_table(pa.table(columns), content, row_group_size=150)
    return content.getvalue()


def as_zip() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a/first.csv", as_csv())
        archive.writestr("b/second.parquet", as_parquet("parquet"))
        archive.writestr("c/third.xlsx", as_xlsx("xlsx"))
    return content.getvalue()


FORMS = {
    "costs.csv": as_csv,
    "costs.csv.gz": lambda: gzip.compress(as_csv()),
    "costs.xlsx": as_xlsx,
    "costs.parquet": as_parquet,
    "costs.zip": as_zip,
}


@pytest.mark.parametrize("name", FORMS)
def test_each_row_is_found_again_at_its_line_in_every_format(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(FORMS[name]())
    for part in parts_of(path, name):
        rows = {}
        for batch in read(part):
            for place, line in enumerate(batch.lines):
                rows[line] = {column: batch.texts(column)[place] for column in batch.columns}
        assert len(rows) == len(ROWS)
        for line in (*list(rows)[:12], *list(rows)[148:152], max(rows)):
            row = dict(row_at(part, line))
            assert {column: row[column] for column in rows[line]} == rows[line]
            assert row["x_Own"]


@pytest.mark.parametrize("name", FORMS)
def test_the_row_as_delivered_is_read_from_the_stored_file(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(FORMS[name]())
    ingest(paths=[path], source=build.a_source("aws"), actor=SOMEBODY, now=NOW)
    for charge in (*Charge.objects.order_by("id")[:2], Charge.objects.order_by("id").last()):
        row = dict(origins.row_of(charge).row)
        assert (row["ResourceId"], Decimal(row["BilledCost"])) == (charge.resource_id, charge.billed_cost)
        (traced,) = tracing.trace(str(charge.pk)).charges
        member = f":{traced.file.member}" if traced.file.member else ""
        back = tracing.trace(f"{traced.file.file.sha256[:10]}{member}:{traced.line}")
        assert [each.charge for each in back.charges] == [charge]


def test_a_file_that_is_gone_is_named_and_the_rest_is_told(tmp_path, settings):
    deliver(tmp_path, [a_row("10.00")])
    charge = Charge.objects.get()
    (settings.MEDIA_ROOT / ImportedFile.objects.get().file.path).unlink()
    traced = tracing.trace(str(charge.pk))
    assert traced.delivered.problem == "There is no such file."
    assert traced.charges[0].line == 2


def test_a_line_that_made_no_charge_says_so(tmp_path):
    rows = [a_row("10.00"), a_row("5.00", ResourceId="i-2")]
    deliver(tmp_path, rows)
    deliver(tmp_path, [*rows, a_row("1.00", ResourceId="i-3")], name="aws_2025-01_b.csv")
    again = ImportedFile.objects.order_by("-id").first().file.sha256
    traced = tracing.trace(f"{again[:12]}:2")
    assert not traced.charges
    assert traced.notes[0].startswith("No charge was made of this line (import ")
    assert dict(traced.delivered.row)["BilledCost"] == "10.00"
    assert len(tracing.trace(f"{again[:12]}:4").charges) == 1


@pytest.mark.parametrize(
    "what",
    ["", "2026-01-0007", "2026-01-0007-1:2", "J2026-01-1:3", "99999", "a|b|c", "3fa94c:17", "what is this", "9" * 40],
)
def test_what_is_not_there_is_refused_with_what_can_be_asked(what):
    with pytest.raises(tracing.NothingFound):
        tracing.trace(what)


def test_charges_come_in_pages(tmp_path):
    deliver(tmp_path, [a_row("1.00", ResourceId=f"i-{number}") for number in range(7)])
    charging.make_payer_lines(period=Charge.objects.first().period, actor=SOMEBODY, now=NOW)
    key = PayerLine.objects.get().key
    first, last = tracing.trace(key, per_page=3), tracing.trace(key, per_page=3, page=3)
    assert (first.charge_count, first.pages, len(first.charges), len(last.charges)) == (7, 3, 3, 1)
    assert {each.counted for each in first.charges} == {Decimal("1.00")}


def test_a_line_takes_as_many_queries_for_many_charges_as_for_few(tmp_path, django_assert_max_num_queries):
    deliver(tmp_path, [a_row("1.00", ResourceId=f"i-{number}") for number in range(40)])
    charging.make_payer_lines(period=Charge.objects.first().period, actor=SOMEBODY, now=NOW)
    with django_assert_max_num_queries(40):
        assert len(tracing.trace(PayerLine.objects.get().key).charges) == 40


def test_a_payer_line_says_when_its_charges_changed_since_it_was_made(tmp_path):
    deliver(tmp_path, [a_row("10.00")])
    period = Charge.objects.first().period
    charging.make_payer_lines(period=period, actor=SOMEBODY, now=NOW)
    deliver(tmp_path, [a_row("12.00")], name="aws_2025-01_b.csv")
    (line,) = tracing.trace(PayerLine.objects.get().key).lines
    assert (line.is_current, line.computed) == (False, Decimal("12.00"))
    assert "12.00 now: generate" in line.as_text()


def test_a_superseded_statement_still_leads_to_what_there_is(tmp_path):
    deliver(tmp_path, [a_row("10.00")])
    period = Charge.objects.first().period
    issuing.generate(period=period, actor=SOMEBODY, now=NOW)
    deliver(tmp_path, [a_row("10.00", tags={**ADA, "fund_org": "NEW-1"})], name="aws_2025-01_b.csv")
    issuing.generate(period=period, actor=SOMEBODY, now=NOW)
    old, new = tracing.trace("2025-01-0001-1:1"), tracing.trace("2025-01-0001:1")
    assert old.notes[0] == "Statement 2025-01-0001-1 is superseded."
    assert old.lines[0].line is None
    assert (new.asked.number, new.lines[0].line.fund_org) == ("2025-01-0001-2", "NEW-1")


def test_the_command_prints_a_trace_for_people_and_for_programs(tmp_path, capsys):
    a_story(tmp_path)
    call_command("trace", "2025-01-0001:1")
    assert "payer line of January 2025, reference 2025-01-0001" in capsys.readouterr().out
    data = stage.command("trace", "2025-01-0001:1")
    (line,) = data["payer_lines"]
    assert line["charged"] == data["asked"]["amount"]
    assert data["charges"][0]["sha256"] == ImportedFile.objects.get(name=data["charges"][0]["file"]).file.sha256
    with pytest.raises(CommandError, match="Name a line of a statement"):
        call_command("trace", "nothing")


def test_the_page_shows_the_way_down_and_each_screen_leads_to_it(client, cast, tmp_path):
    a_story(tmp_path)
    client.force_login(cast.viewer)
    page = client.get(reverse("admin:billing_charge_why"), {"what": "2025-01-0001:1"}).content.decode()
    for told in (
        "Line 1 of statement 2025-01-0001-1",
        "How the cents came about",
        "<bdi>aws_2025-01.csv</bdi>, line",
        "Printed on",
    ):
        assert told in page
    statement = StatementLine.objects.first().statement
    assert (
        f"what={statement.number}%3A1"
        in client.get(reverse("admin:statements_statement_change", args=[statement.pk]), {"tab": "lines"}).text
    )
    journal = JournalLine.objects.first().journal
    assert (
        f"what={journal.number}:1"
        in client.get(reverse("admin:journals_journal_change", args=[journal.pk]), {"tab": "lines"}).content.decode()
    )
    charge = Charge.objects.live().first()
    address = reverse("admin:billing_charge_change", args=[charge.pk])
    assert f"what={charge.pk}" in client.get(address, {"tab": "money"}).content.decode()
    assert "aws_2025-01.csv" in client.get(address, {"tab": "delivered"}).content.decode()
    unknown = client.get(reverse("admin:billing_charge_why"), {"what": "no such thing"})
    assert "Name a line of a statement" in unknown.content.decode()
    current = re.findall(r'aria-current="page">([^<]+)<', unknown.content.decode())
    assert set(current) == {"Trace a number"}
    for what in (f"{charge.pk}", "2025-01-0001", journal.number, PayerLine.objects.first().key):
        assert client.get(reverse("admin:billing_charge_why"), {"what": what}).status_code == 200


def test_the_page_is_for_staff_only(client, cast):
    client.force_login(cast.pi)
    assert client.get(reverse("admin:billing_charge_why")).status_code == 302
