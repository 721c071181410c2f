"""What is attached to e-mails by policy, through a real mail server; and links where it is too large."""

import hashlib
import io
from decimal import Decimal

import pytest
from openpyxl import load_workbook

from billing.files import documents
from billing.models import Charge, Membership, Person
from statements import emails
from statements.emails import attachments
from statements.issuing import charge_files
from statements.models import Statement
from tests import build
from tests.build import NOW, SOMEBODY
from tests.smtp import mail_server
from tests.statements.mailing import generate, send

pytestmark = pytest.mark.django_db


@pytest.fixture
def server(settings):
    with mail_server() as running:
        running.configure(settings)
        yield running


@pytest.fixture
def issued(db):
    """Two statements of Ada's."""
    build.a_charge("10.00", pi="ada@u.edu", project="genomics")
    build.a_charge("20.00", pi="ada@u.edu", project="proteins")


def parts(mail):
    return {part.get_filename(): part.get_payload(decode=True) for part in mail.message.iter_attachments()}


def test_the_pdfs_alone_unless_the_policy_says_more(server, issued):
    generate()
    send()
    assert server.mailbox[0].attachments == ["statement-2025-01-0001-1.pdf", "statement-2025-01-0002-1.pdf"]


def test_excel_files_and_charges_by_policy_which_open_and_hold_that_statement_alone(server, issued):
    build.a_policy(email_attaches_xlsx=True, email_attaches_charges=True)
    generate()
    send()
    (mail,) = server.mailbox
    assert mail.attachments == [
        *("statement-2025-01-0001-1.pdf", "statement-2025-01-0002-1.pdf"),
        *("statement-2025-01-0001-1.xlsx", "statement-2025-01-0002-1.xlsx"),
        *("statement-2025-01-0001-1-charges.csv", "statement-2025-01-0002-1-charges.csv"),
    ]
    files = parts(mail)
    sheet = load_workbook(io.BytesIO(files["statement-2025-01-0002-1.xlsx"])).active
    (row,) = list(sheet.iter_rows(min_row=2, values_only=True))
    headings = [cell.value for cell in sheet[1]]
    assert Decimal(str(row[headings.index("Charged")])) == Decimal(20)
    charges = files["statement-2025-01-0002-1-charges.csv"]
    statement = Statement.objects.get(number="2025-01-0002-1")
    assert hashlib.sha256(charges).hexdigest() == statement.charges_sha256
    assert b"genomics" not in charges
    for name in mail.attachments:
        assert name in mail.html


def test_a_delegate_of_one_project_gets_the_files_of_that_project_alone(server, issued):
    build.a_policy(email_attaches_xlsx=True, email_attaches_charges=True)
    generate()
    Membership.objects.create(
        person=Person.objects.get(email="ada@u.edu"),
        user=build.a_user("grace"),
        project=build.a_project("proteins"),
        valid_from="2024-01-01",
        receives_statements=True,
    )
    send()
    (mail,) = server.to("grace@u.edu")
    assert mail.attachments == [
        "statement-2025-01-0002-1.pdf",
        "statement-2025-01-0002-1.xlsx",
        "statement-2025-01-0002-1-charges.csv",
    ]
    assert "genomics" not in mail.text + mail.html


@pytest.mark.parametrize(
    ("room", "attached", "left_off"),
    [
        (3000, ("pdf", "xlsx", "csv"), ()),
        (2300, ("pdf", "xlsx"), ("csv",)),
        (1200, ("pdf",), ("xlsx", "csv")),
        (300, (), ("pdf", "xlsx", "csv")),
    ],
)
def test_what_is_too_large_stays_out_kind_by_kind(issued, monkeypatch, room, attached, left_off):
    policy = build.a_policy(email_attaches_xlsx=True, email_attaches_charges=True, email_megabytes=1)
    generate()
    for name, kind in (("_pdf", "pdf"), ("_xlsx", "xlsx"), ("_charges", "csv")):
        # 365 and a little each, as mail carries them; of two statements.
        made = attachments.File(f"a.{kind}", b"x" * 360, "text/plain")
        monkeypatch.setattr(attachments, name, lambda statement, made=made: made)
    monkeypatch.setattr(attachments, "MEGABYTE", room)
    monkeypatch.setattr(attachments, "BESIDE", 0)
    found = attachments.files_of(list(Statement.objects.order_by("number")), policy)
    assert found.names == tuple(f"a.{kind}" for kind in attached for _ in range(2))
    assert found.left_off == tuple(f"a.{kind}" for kind in left_off for _ in range(2))


def test_an_e_mail_whose_files_are_too_large_says_so_and_links_to_the_portal(server, issued, settings):
    settings.SITE_URL = "https://billing.u.edu"
    build.a_policy(email_megabytes=0)
    generate()
    send()
    (mail,) = server.mailbox
    assert mail.attachments == []
    for part in (mail.text, mail.html):
        assert "Too large to attach" in part
        assert "statement-2025-01-0001-1.pdf" in part
        assert "https://billing.u.edu/statements/2025-01-0001-1/" in part
        assert "attached." not in part
    # What was not attached is on the portal as it was issued.
    assert Statement.objects.get(number="2025-01-0001-1").state == "sent"


def test_a_template_of_ones_own_that_does_not_know_of_it_says_so_too(server, issued):
    build.a_policy(email_megabytes=0, email_text="Hello {{ pi }}", email_html="<body>Hello {{ pi }}</body>")
    generate()
    send()
    (mail,) = server.mailbox
    assert mail.text.startswith("Too large to attach: statement-2025-01-0001-1.pdf, statement-2025-01-0002-1.pdf.")
    assert "Too large to attach" in mail.html


def test_an_e_mail_is_no_larger_than_the_policy_says(server, issued):
    build.a_policy(email_attaches_xlsx=True, email_attaches_charges=True, email_megabytes=1)
    generate()
    send()
    assert len(server.mailbox[0].message.as_bytes()) < 1024 * 1024


def test_charges_that_are_lost_stop_that_e_mail_and_say_what_to_do(server, issued):
    build.a_policy(email_attaches_charges=True)
    generate()
    statement = Statement.objects.get(number="2025-01-0001-1")
    documents.where(charge_files.name_of(statement)).write_bytes(b"altered")
    Charge.objects.update(state=Charge.State.REJECTED)
    sent = emails.send(period=build.a_period(), outdated=True, actor=SOMEBODY, now=NOW)
    assert "Put" in sent.failed[0].error
    assert "back from a backup" in sent.failed[0].error
    assert server.mailbox == []
