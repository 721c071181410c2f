"""How fast statements are drawn, against a floor: the same rows as bare text on a canvas.

    python benchmarks/statements.py [--statements 200] [--rows 40] [--json]

Both are measured on one core in the same run, so the ratio means the same on any machine.
"""

import argparse
import datetime
import io
import json
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from reportlab.lib.pagesizes import LETTER
from reportlab.pdfgen.canvas import Canvas

from statements.document import Figures, Line, MonthOfHistory, Notice, Resource, Section, StatementDocument, money
from statements.drawing import draw

SERVICES = ("Amazon EC2", "Amazon S3", "Cluster hours", "GPU hours", "Research storage")


def a_statement(number: int, rows: int) -> StatementDocument:
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
    )


def bare_text(document: StatementDocument) -> bytes:
    """Return the same rows as plain text in a built-in font: no layout, no structure, no own fonts."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=LETTER, pageCompression=1, invariant=1)
    y = 740
    for section in document.sections:
        for line in section.lines:
            rows = [(line.service, line.figures), *((each.name, each.figures) for each in line.resources)]
            for name, figures in rows:
                canvas.drawString(50, y, name)
                amounts = (figures.list_cost, figures.discount, figures.subsidy, figures.charged)
                for column, amount in enumerate(amounts):
                    canvas.drawRightString(340 + column * 70, y, money(amount, document.currency))
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
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    documents = [a_statement(number, options.rows) for number in range(1, options.statements + 1)]
    floor, floor_size = measured(bare_text, documents)
    speed, size = measured(draw, documents)
    result = {
        "statements": len(documents),
        "rows": options.rows,
        "per_second": round(speed, 1),
        "bytes": round(size),
        "floor_per_second": round(floor, 1),
        "floor_bytes": round(floor_size),
        "ratio_to_floor": round(speed / floor, 3),
        "target_per_second": 100,
        "is_met": speed >= 100,
    }
    if options.json:
        print(json.dumps(result))
        return
    print(f"{len(documents)} statements of {options.rows} rows, on one core:")
    print(f"  drawn       {speed:8.1f} a second, {size:8,.0f} bytes each (target 100 a second)")
    print(f"  bare text   {floor:8.1f} a second, {floor_size:8,.0f} bytes each")
    print(f"  ratio       {speed / floor:8.3f}")


if __name__ == "__main__":
    main()
