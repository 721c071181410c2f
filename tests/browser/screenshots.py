"""Writes the pictures and samples of the documentation from the sample institution: `make screenshots`.

The clock stands still and nothing is random, so that a picture changes only where the page does.
"""

import datetime
import io
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db.models import F
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from billing.audit import Actor
from billing.background import heartbeat
from billing.models import Charge, Person, Policy, User
from journals import writing
from journals.models import Journal
from openchargeback import demo
from statements import emails, issuing
from statements.models import Statement

from .pages import color, session, widen

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

DOCS = Path(__file__).resolve().parents[2] / "docs"
IMAGES, SAMPLES = DOCS / "images", DOCS / "samples"
NOW = datetime.datetime(2026, 3, 4, 15, 30, tzinfo=datetime.UTC)
MONTH = "2026-02"
SIZES = ((1440, 900), (390, 844))
LIMIT = 200_000


@pytest.fixture
def sample(monkeypatch, transactional_db):
    """The sample institution as it stands on the day of the pictures, with a worker that runs."""
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    monkeypatch.setattr(heartbeat, "is_worker_alive", lambda: True)
    call_command("initialize", stdout=io.StringIO())
    demo.run(actor=Actor(name="demo", via="command"), now=NOW)


def pages():
    """Return the address of each picture's page by its name, with the role of whoever looks at it."""
    held = Charge.objects.held().order_by("-billed_cost").first()
    delegate = User.objects.get(groups__name="delegate")
    pi = Person.objects.get(memberships__user=delegate)
    shown = Statement.objects.live().filter(pi=pi).order_by("-period__month", "number").first()
    assert held is not None
    assert shown is not None
    of_month = f"?period={MONTH}"
    return {
        "sign-in": ("", reverse("login")),
        "month": ("finance", reverse("admin:index") + of_month),
        "imports": ("finance", reverse("admin:billing_import_changelist")),
        "review": ("reviewer", reverse("admin:billing_heldcharge_changelist") + of_month),
        "decide": ("reviewer", reverse("admin:billing_charge_correct", args=[held.pk])),
        "charges": ("finance", reverse("admin:billing_charge_changelist") + of_month),
        "statement": ("finance", reverse("admin:statements_statement_change", args=[shown.pk])),
        "journals": ("finance", reverse("admin:journals_journal_changelist")),
        "journal": ("finance", reverse("admin:journals_journal_change", args=[Journal.objects.earliest("pk").pk])),
        "reports": ("finance", reverse("admin:reports")),
        "pi": ("finance", reverse("admin:billing_person_change", args=[pi.pk])),
        "portal-home": ("delegate", reverse("portal:home")),
        "portal": ("delegate", reverse("portal:statements")),
        "portal-statement": ("delegate", reverse("portal:statement", args=[shown.number])),
        "portal-trends": ("delegate", reverse("portal:trends")),
        "portal-ask": ("delegate", reverse("portal:ask", args=[shown.number, 1])),
    }


def small(png: bytes) -> bytes:
    """Return a picture with the 256 colors it needs, which is a third of its size."""
    kept = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(kept, "PNG", optimize=True)
    return kept.getvalue()


def test_the_pictures_of_the_documentation_are_written(browser, live_server, sample):
    written = set()
    browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    for name, (role, url) in pages().items():
        session(browser, live_server, User.objects.filter(groups__name=role).earliest("pk") if role else None)
        if role not in ("", "delegate"):
            # The month that is worked on is kept for the page.
            browser.get(f"{live_server.url}{reverse('admin:index')}?period={MONTH}")
        browser.get(live_server.url + url)
        # A caret that blinks makes another picture.
        browser.execute_script("document.documentElement.style.caretColor = 'transparent'")
        for theme in ("light", "dark"):
            color(browser, theme)
            for width, height in SIZES:
                widen(browser, width, height)
                picture = small(browser.get_screenshot_as_png())
                assert len(picture) <= LIMIT, name
                path = IMAGES / f"{name}-{width}-{theme}.png"
                path.write_bytes(picture)
                written.add(path)
    browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": False})
    # What is not taken any more goes.
    for path in {*IMAGES.glob("*-*-*.png")} - written:
        path.unlink()


def test_the_samples_of_the_documentation_are_written(sample):
    """A statement with its charges, its e-mail, and the journal of the month in each format."""
    # One that has all: a discount of a cloud, and a subsidy.
    of_month = Statement.objects.live().filter(period__month=f"{MONTH}-01")
    whole = of_month.filter(list_cost__gt=F("contracted_cost"), contracted_cost__gt=F("charged"))
    shown = whole.order_by("-charged").first()
    assert shown is not None
    letter = emails.letter_of([shown], policy=Policy.objects.current(), sees_all=True)
    files = {
        "statement.pdf": issuing.pdf_of(shown),
        "charges.csv": issuing.charges_csv_of(shown),
        "e-mail.html": letter.html.encode(),
        "e-mail.txt": f"Subject: {letter.subject}\n\n{letter.text}".encode(),
    }
    document = writing.document_of(Journal.objects.earliest("pk"))
    for name in writing.format_names():
        form = writing.format_named(name)
        files[f"journal-{name}.{form.extension}"] = form.write(document).content
    for path in SAMPLES.iterdir():
        if path.name not in files and path.name != "README.md":
            path.unlink()
    for name, content in files.items():
        (SAMPLES / name).write_bytes(content)
