"""How fast statements are drawn, beside the same rows by plain platypus and, as a floor, as bare text on a canvas.

    python benchmarks/statements.py [--statements 200] [--rows 40] [--logo svg|png] [--charges 200] [--json]

All are measured on one core in the same run, so the ratio means the same on any machine. Each statement
has a charges.csv of so many rows attached, written before the clock runs: it is frozen when a statement is issued.
"""

import argparse
import csv
import datetime
import io
import json
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from PIL import Image
from reportlab.lib.pagesizes import LETTER
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, SimpleDocTemplate, Table, TableStyle

from statements.archival import Attachment
from statements.document import (
    CHARGES,
    Figures,
    Line,
    MonthOfHistory,
    Notice,
    Resource,
    Section,
    StatementDocument,
    money,
)
from statements.drawing import draw

SERVICES = ("Amazon EC2", "Amazon S3", "Cluster hours", "GPU hours", "Research storage")


# As logos are kept: an SVG of plain paths, or a small PNG in red, green and blue.
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 40">'
    + "".join(
        f'<path d="M{x} 2c6 0 9 4 9 9s-4 9-9 9z" fill="#0d{x % 90 + 10}4f" stroke="#111" stroke-width="0.5"/>'
        for x in range(0, 110, 3)
    )
    + "</svg>"
)


def a_logo(kind: str) -> bytes:
    if kind != "png":
        return SVG.encode() if kind == "svg" else b""
    picture = Image.new("RGB", (480, 160))
    picture.putdata([(x // 8 * 4, y * 255 // 160, (x // 16 * y // 16) % 251) for y in range(160) for x in range(480)])
    kept = io.BytesIO()
    picture.save(kept, "PNG")
    return kept.getvalue()


def its_charges(number: int, rows: int) -> list[Attachment]:
    """Return charges.csv with so many rows, as long as real ones are."""
    if not rows:
        return []
    text = io.StringIO()
    writer = csv.writer(text)
    for each in range(rows):
        cents = Decimal((number * 31 + each * 7) % 90_000 + 100) / 100
        writer.writerow(
            (
                *(f"2025-01-{number:04d}-1", each % 5 + 1, number * 1000 + each),
                *(f"2025-01-{each % 28 + 1:02d}T00:00:00+00:00", f"2025-01-{each % 28 + 2:02d}T00:00:00+00:00"),
                *("Amazon Web Services", "AWS", SERVICES[each % 5], f"i-0{number:06x}{each:04x}", f"node-{each}"),
                *("gpu-g5.4xlarge", f"{each * 0.37:.2f}", "Hours", cents * 2, cents, cents, "USD", "BIO-001", "100%"),
            )
        )
    return [Attachment(CHARGES, text.getvalue().encode(), "text/csv", "The charges behind this statement")]


def a_statement(number: int, rows: int, logo: bytes = b"") -> StatementDocument:
    """Return a usual statement: five services with resources, about `rows` lines in all, and a year's history."""
    lines = []
    for at, service in enumerate(SERVICES):
        resources = []
        for each in range(max(1, rows // len(SERVICES) - 1)):
            cents = Decimal((number * 31 + at * 17 + each * 7) % 90_000 + 100) / 100
            figures = Figures(cents * 2, cents, cents)
            resources.append(Resource(f"node-{number}-{each}", f"i-0{number:06x}{each:04x}", 30, figures))
        total = Figures.total(each.figures for each in resources)
        lines.append(Line(service, "AWS", "6500", total, len(resources) * 30, tuple(resources)))
    section = Section("BIO-001", "Start-up funds", tuple(lines))
    months = [datetime.date(2024, month, 1) for month in range(2, 13)]
    earlier = [
        MonthOfHistory(each, Figures(*(Decimal(each.month * 900 + cut) for cut in (310, 190, 40)))) for each in months
    ]
    january = datetime.date(2025, 1, 1)
    return StatementDocument(
        number=f"2025-01-{number:04d}-1",
        reference=f"2025-01-{number:04d}",
        revision=1,
        month=january,
        issued_on=datetime.date(2025, 2, 3),
        currency="USD",
        institution="Example University",
        department="Research Computing",
        address=("1 College Way", "Springfield"),
        contact_name="Billing desk",
        contact_email="billing@example.edu",
        pi_name=f"Ada Lovelace {number}",
        pi_email=f"ada{number}@example.edu",
        project_code=f"project-{number}",
        project_name=f"Analytical Engine {number}",
        figures=section.figures,
        sections=(section,),
        history=(*earlier, MonthOfHistory(january, section.figures)),
        notices=(Notice("Fund/org BIO-001 ends in 60 days, on Apr 4, 2025.", is_urgent=False),),
        portal_url=f"https://billing.example.edu/statements/2025-01-{number:04d}-1/",
        logo=logo,
    )


def rows_of(document: StatementDocument) -> list[tuple[str, ...]]:
    """Return what both references write: a name and four amounts for each line and resource."""
    return [
        (name, *(money(each, document.currency) for each in (of.list_cost, of.discount, of.subsidy, of.charged)))
        for section in document.sections
        for line in section.lines
        for name, of in ((line.service, line.figures), *((each.name, each.figures) for each in line.resources))
    ]


def plain_platypus(document: StatementDocument) -> bytes:
    """Return the same page as platypus sets it: a title, a paragraph and a table; no chart, structure or own fonts."""
    out = io.BytesIO()
    styles = getSampleStyleSheet()
    heads = ("Service and resource", "List price", "Discount", "Subsidy", "Charged")
    table = Table([heads, *rows_of(document)], repeatRows=1)
    table.setStyle(TableStyle([("ALIGN", (1, 0), (-1, -1), "RIGHT"), ("LINEBELOW", (0, 0), (-1, 0), 1, "black")]))
    title = Paragraph(f"Statement {document.number}", styles["Title"])
    SimpleDocTemplate(out, pagesize=LETTER, pageCompression=1, invariant=1).build(
        [title, Paragraph(f"{document.pi_name}, {document.project_name}", styles["Normal"]), table]
    )
    return out.getvalue()


def bare_text(document: StatementDocument) -> bytes:
    """Return the same rows as plain text in a built-in font: no layout, no structure, no own fonts."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=LETTER, pageCompression=1, invariant=1)
    y = 740
    for name, *amounts in rows_of(document):
        canvas.drawString(50, y, name)
        for column, amount in enumerate(amounts):
            canvas.drawRightString(340 + column * 70, y, amount)
        y -= 14
        if y < 60:
            canvas.showPage()
            y = 740
    canvas.save()
    return out.getvalue()


def measured(make: Callable[[StatementDocument], bytes], documents: list[StatementDocument]) -> tuple[float, float]:
    """Return documents per second of processor time, and bytes per document."""
    make(documents[0])
    began = time.process_time()
    size = sum(len(make(document)) for document in documents)
    return len(documents) / (time.process_time() - began), size / len(documents)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--statements", type=int, default=200)
    parser.add_argument("--rows", type=int, default=40)
    parser.add_argument("--logo", choices=("none", "svg", "png"), default="none")
    parser.add_argument("--charges", type=int, default=200, help="rows of the charges.csv of each; 0: none is attached")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    logo = a_logo(options.logo)
    documents = [a_statement(number, options.rows, logo) for number in range(1, options.statements + 1)]
    files = {
        document.number: its_charges(number, options.charges) for number, document in enumerate(documents, start=1)
    }
    floor, floor_size = measured(bare_text, documents)
    platypus, platypus_size = measured(plain_platypus, documents)
    speed, size = measured(lambda document: draw(document, files[document.number]), documents)
    result = {
        "statements": len(documents),
        "rows": options.rows,
        "logo": options.logo,
        "charges": options.charges,
        "per_second": round(speed, 1),
        "bytes": round(size),
        "platypus_per_second": round(platypus, 1),
        "platypus_bytes": round(platypus_size),
        "floor_per_second": round(floor, 1),
        "floor_bytes": round(floor_size),
        "ratio_to_floor": round(speed / floor, 3),
        "target_per_second": 100,
        "is_met": speed >= 100,
    }
    if options.json:
        print(json.dumps(result))
        return
    logo_told = "no logo" if options.logo == "none" else f"a logo ({options.logo.upper()})"
    print(
        f"{len(documents)} statements of {options.rows} rows, with {options.charges} charges attached and {logo_told}:"
    )
    print(f"  drawn           {speed:8.1f} a second, {size:8,.0f} bytes each (target 100 a second)")
    print(f"  plain platypus  {platypus:8.1f} a second, {platypus_size:8,.0f} bytes each")
    print(f"  bare text       {floor:8.1f} a second, {floor_size:8,.0f} bytes each")
    print(f"  ratio           {speed / floor:8.3f}")


if __name__ == "__main__":
    main()
