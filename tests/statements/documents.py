"""Statements to draw: builders, and the twelve that are hard to set."""

import datetime
import io
from dataclasses import replace
from decimal import Decimal

from PIL import Image

from billing.setup import logos
from statements.changes import Change, Changes
from statements.document import (
    Figures,
    Line,
    MonthOfHistory,
    Notice,
    Original,
    Resource,
    Section,
    StatementDocument,
)


def figures(list_cost, contracted=None, charged=None):
    contracted = list_cost if contracted is None else contracted
    charged = contracted if charged is None else charged
    return Figures(Decimal(list_cost), Decimal(contracted), Decimal(charged))


def a_line(service="Compute", of=None, resources=(), **fields):
    of = of or (Figures.total(each.figures for each in resources) if resources else figures("10.00"))
    return Line(service, fields.pop("source", "AWS"), "6500", of, 1, tuple(resources), **fields)


def a_document(*sections, **fields):
    sections = sections or (Section("BIO-001", "", (a_line(),)),)
    defaults = {
        "number": "2025-01-0007-1",
        "reference": "2025-01-0007",
        "revision": 1,
        "month": datetime.date(2025, 1, 1),
        "issued_on": datetime.date(2025, 2, 3),
        "currency": "USD",
        "institution": "Example University",
        "pi_name": "Ada Lovelace",
        "pi_email": "ada@u.edu",
        "project_code": "genomics",
        "figures": Figures.total(section.figures for section in (*sections, *fields.get("corrections", ()))),
        "sections": tuple(sections),
    }
    return StatementDocument(**(defaults | fields))


def resources(count, *, each="2.00", name="node"):
    return [
        Resource(f"{name}-{number:04d}", f"i-0{number:07x}", 1, figures(each, str(Decimal(each) * Decimal("0.9"))))
        for number in range(count)
    ]


def a_history(last, *amounts):
    """Return months up to a last one: list price, price after discount, charge and corrections of each, or nothing."""
    months = [last.year * 12 + last.month - 1 - back for back in range(len(amounts) - 1, -1, -1)]
    return tuple(
        MonthOfHistory(
            datetime.date(month // 12, month % 12 + 1, 1),
            figures(*of[:3]) if of else None,
            Decimal(of[3] if of and len(of) > 3 else 0),
        )
        for month, of in zip(months, amounts, strict=True)
    )


def a_png(width=300, height=100, color=(13, 84, 79)):
    """Return a logo as one is kept."""
    png = io.BytesIO()
    Image.new("RGB", (width, height), color).save(png, "PNG")
    return png.getvalue()


def a_drawing(shapes='<path d="M0 0h30v10H0z" fill="#0d544f"/>', box="0 0 30 10"):
    """Return a logo as one is kept that was uploaded as SVG."""
    return logos.drawn_anew(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{shapes}</svg>'.encode())


JANUARY = datetime.date(2025, 1, 1)
A_YEAR = a_history(
    JANUARY,
    *((f"{base}.25", f"{base * 0.9:.2f}", f"{base * 0.6:.2f}") for base in (6120, 6433, 7219, 5301, 4877)),
    None,
    *((f"{base}.00", f"{base * 0.9:.2f}", f"{base * 0.6:.2f}") for base in (8210, 8765, 9188, 0)),
    ("1204.50", "1204.50", "1000.00", "-2204.50"),
    ("10703.40", "10629.40", "7042.88"),
)

# What a department writes on all of its statements.
LETTERHEAD = {
    "history": A_YEAR,
    "notices": (
        Notice("Fund/org BIO-001 ends in 60 days, on Apr 4, 2025. Tell us which fund/org pays after that day.", False),
        Notice("Rates of the cluster change on Jul 1, 2025: see https://example.edu/rates."),
    ),
    "department": "Research Computing",
    "address": ("1 College Way", "Springfield, IL 62701"),
    "contact_name": "Billing desk",
    "contact_email": "billing@example.edu",
    "contact_phone": "+1 555 0100",
    "pi_department": "Mathematics",
    "project_name": "Genome Engines",
    "portal_url": "https://billing.example.edu/statements/2025-01-0007-1/",
    "footer": "Rates are on https://example.edu/rates, or ask rates@example.edu.\nThank you.",
}


def a_letter(*sections, **fields):
    return a_document(*sections, **(LETTERHEAD | fields))


SERVED = {"service_from": datetime.date(2025, 1, 3), "service_until": datetime.date(2025, 1, 28)}

# What a second revision changed: the total, a line, its price alone, a line that came, and one that went.
CHANGES = Changes(
    since="2025-01-0007-1",
    was=Decimal("7162.88"),
    now=Decimal("10.00"),
    currency="USD",
    renamed=("PI: ada@u.edu, was grace@u.edu",),
    lines=(
        Change(
            "GPU, a100, BIO-001",
            "USD",
            Decimal("1230.00"),
            Decimal("1110.00"),
            number=1,
            used_before="1,312 GPU-hours",
            used_after="1,184 GPU-hours",
        ),
        Change("Storage, BIO-001", "USD", Decimal("5.00"), Decimal("5.00"), is_about_price=True, number=2),
        Change("Network, CHEM-2", "USD", None, Decimal("999999999.99"), number=3),
        Change("Archive tier, BIO-001, Late change for December 2024", "USD", Decimal("5932.88"), None, number=9),
    ),
)


def _corrected():
    refund = a_line(
        "Refund of storage",
        figures("-120.00"),
        [Resource("Charged twice in December, see the ticket that we wrote about it", "REQ-17", 1, figures("-120.00"))],
        correction="Refund",
        for_month="2024-12",
        is_correction=True,
        corrects=("2024-12-0007-1:3", "2024-12-0007-1:4"),
        charged_before=Decimal("604.80"),
        number=2,
    )
    late = a_line(
        "GPU hours",
        resources=[Resource("gpu-14", "i-0a7", 3, figures("60.00", "54.00", "44.10"))],
        correction="Late change",
        for_month="2024-12",
        is_correction=True,
        charged_before=Decimal("0.00"),
        number=3,
        **SERVED,
    )
    again = a_line(
        "Archive tier",
        figures("-20.00"),
        [
            Resource("Agreed with the dean", "Correction 7", 0, figures("-12.00")),
            Resource("", "Correction 9", 0, figures("-8.00")),
        ],
        correction="Write-off",
        for_month="2024-11",
        is_correction=True,
        charged_before=Decimal("999999999.99"),
        number=4,
    )
    return a_letter(
        Section("BIO-001", "Start-up funds", (a_line(resources=resources(3)),)),
        corrections=(
            Section("BIO-001", "Start-up funds", (replace(refund, charge_count=0), replace(again, charge_count=0))),
            Section("CHEM-2", "", (late,)),
        ),
    )


LONG = "Interdisciplinary Center for Computational Approaches to Comparative Genomics and Epidemiology"

# By what makes them hard.
HARD = {
    "one line": a_letter(),
    "400 resources": a_letter(Section("BIO-001", "Start-up funds", (a_line(resources=resources(400)),))),
    "credits only": a_letter(
        Section("BIO-001", "", (a_line("Credit", figures("-25.00")), a_line("Promotion", figures("-1234.50")))),
        history=A_YEAR[1:5],
    ),
    "fully subsidized": a_letter(
        Section("BIO-001", "", (a_line("GPU hours", figures("1250.00", "1250.00", "0.00"), source="Cluster"),))
    ),
    "three funds": a_letter(
        *(
            Section(
                fund,
                name,
                (a_line(resources=resources(14, each="12.30"), **SERVED), a_line("Storage", number=17)),
                ends_on=datetime.date(2025, 5, 5) if name else None,
            )
            for fund, name in (("BIO-001", "Start-up funds"), ("CHEM-2", "NIH R01"), ("PHYS-33", ""))
        ),
        review_until=datetime.date(2025, 2, 14),
        logo=a_png(),
    ),
    "right-to-left names": a_letter(
        Section("قسم-7", "صندوق البحث", (a_line("חישוב", resources=resources(2, name="שרת")),)),
        logo=a_drawing(),
        pi_name="محمد الخوارزمي",
        pi_department="מתמטיקה (שימושית)",
        project_name="גנומיקה השוואתית של Escherichia coli K-12 (זן המעבדה, MG1655) ושל Bacillus subtilis (168)",
        institution="جامعة المثال",
        paper="a4",
    ),
    "very long names": a_letter(
        Section(
            "FUND-0123456789-0123456789-0123456789-0123456789",
            LONG,
            (
                a_line(
                    f"{LONG} service",
                    source=LONG,
                    resources=[Resource(f"{LONG} server", f"/{LONG}/{LONG}".replace(" ", "/"), 1, figures("1.00"))],
                    references=(("Grant number", ", ".join(f"NSF-{number:06d}" for number in range(12))),),
                ),
            ),
        ),
        pi_name=f"Prof. Dr. {LONG}",
        project_name=LONG,
        institution=f"{LONG} University",
        contact_email=f"{'billing.' * 12}desk@research-computing.example.edu",
        portal_url=f"https://billing.example.edu/{'statements/' * 20}2025-01-0007-1/",
    ),
    "a revision": a_letter(revision=2, number="2025-01-0007-2", replaces="2025-01-0007-1", changes=CHANGES),
    "zero": a_letter(
        history=A_YEAR[-1:],
        sections=(),
        figures=Figures(),
        revision=2,
        replaces="2025-01-0007-1",
        changes=replace(
            CHANGES,
            was=Decimal("10.00"),
            now=Decimal(0),
            renamed=(),
            lines=(Change("Compute, BIO-001", "USD", Decimal("10.00"), None, number=1),),
        ),
    ),
    "euro": a_letter(
        Section(
            "BIO-001",
            "",
            (
                a_line(
                    of=figures("999999999.99", "999999998.99", "500000000.00"),
                    original=Original("USD", Decimal("0.92"), Decimal("1086956521.73"), Decimal("543478260.87")),
                ),
                a_line("Credit", figures("-999999999.99"), currency="EUR"),
            ),
        ),
        currency="EUR",
        paper="a4",
        logo=a_png(90, 90),
        history=a_history(JANUARY, *([("999999999.99", "999999998.99", "-999999999.99")] * 12)),
    ),
    "late change and refund": _corrected(),
    "60/40 share of a split": a_letter(
        *(
            Section(
                fund,
                "",
                (
                    a_line(
                        of=figures(part, part, charged),
                        split_percent=Decimal(percent),
                        split_whole=Decimal("75.00"),
                        number=1,
                        **SERVED,
                    ),
                    a_line("AWS Support", figures(share), shared_total=Decimal("33.33")),
                ),
            )
            for fund, part, charged, share, percent in (
                ("BIO-001", "60.00", "45.00", "8.33", "60"),
                ("CHEM-2", "40.00", "30.00", "5.55", "40"),
            )
        )
    ),
}


def a_term(label, amount, count=0):
    return {"label": label, "amount": amount, "count": count}


def an_equation(*left, verdict="ok", **fields):
    defaults = {
        "title": "Files to charges",
        "source": "AWS",
        "currency": "USD",
        "of_currency": "",
        "left": list(left),
        "right": [a_term("Charges", "1234.5678", 12)],
        "verdict": verdict,
        "difference": "0.01",
        "note": "Charges that were held are a part of it.",
    }
    return defaults | fields


# A proof with everything that one can say (`billing.proof.tieout.Report.as_data`), over several pages.
PROOF = {
    "period": "2025-01",
    "status": "open",
    "institution": "Example University",
    "made_at": "2025-02-03T10:20:30+00:00",
    "reconciles": False,
    "is_complete": False,
    "equations": [
        an_equation(*(a_term(f"File {number}", "999999999.99", number) for number in range(70))),
        an_equation(a_term("Files", "-1234.5678", 12), verdict="off", of_currency="EUR", note=""),
    ],
    "broken": [{"name": "Charge 7", "text": "3.00 billed, and there is no charge of it."}],
    "tampered": [],
    "culprits": [],
    "amortized": [
        {
            "source": "AWS",
            "currency": "USD",
            "billed": "10.00",
            "bought": "-4.00",
            "used": "3.00",
            "other": "0.00",
            "effective": "9.00",
        }
    ],
    "invoices": [
        {
            "source": "AWS",
            "invoice_id": "INV-1",
            "currency": "USD",
            "billed": "10.00",
            "count": 3,
            "said": "11.00",
            "difference": "-1.00",
        }
    ],
    "uncharged": [{"kind": "project", "name": "genomics", "billed": {"USD": "5.00"}, "charges": 2}],
}
