"""A proof on paper: its data in, the bytes of a tagged PDF out, the same bytes every time."""

import datetime
from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any

from reportlab.lib.pagesizes import LETTER
from reportlab.pdfgen.canvas import Canvas

from .drawing import (
    ACCENT,
    BODY,
    BOLD,
    BOTTOM,
    CAUTION_INK,
    CAUTION_PALE,
    CELL,
    CELL_STRONG,
    COLUMN_SCOPE,
    FINE,
    GRAY,
    HEADING,
    LEFT,
    PALE,
    RIGHT,
    SMALL,
    TOP,
    Sheet,
    Text,
    fitted,
    signed,
)
from .lettering import Lettering, Raw, stream
from .tagging import Structure

# The right edges of the columns of figures: amount, rows.
AMOUNT, ROWS = RIGHT - 84, RIGHT - 6
VERDICTS = {"ok": "reconciles", "open": "open", "off": "DIFFERENCE"}


def draw(data: Mapping[str, Any]) -> bytes:
    """Set a proof (`billing.tieout.Report.as_data`) and return its PDF. The same data gives the same bytes."""
    sheet = ProofSheet(data)
    sheet.set()
    return sheet.to_pdf()


class ProofSheet(Sheet):
    """The pages of a proof: the verdict, each equation as a table, what stands beside it."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data
        self.letters = Lettering()
        self.structure = Structure()
        self.pages: list[list[str]] = []
        self.code: list[str] = []
        self.y = TOP
        self.in_table = False

    @property
    def title(self) -> str:
        return f"Proof of {self.data['period']}"

    @property
    def when(self) -> str:
        return str(self.data.get("frozen_at") or self.data.get("made_at") or "")

    def set(self) -> None:
        data = self.data
        self._new_page()
        self._write(LEFT, TOP - 16, self.title, Text(22, BOLD, ACCENT), role="H1")
        self.y = TOP - 34
        self._paragraph(str(data["institution"]), BODY)
        told = f"Billing period {data['period']}, {data['status']}."
        if self.when:
            verb = "Frozen" if data.get("frozen_at") else "Made"
            told += f" {verb} {self.when[:16].replace('T', ' ')} UTC."
        if data.get("frozen_by"):
            told += f" Finalized by {data['frozen_by']}."
        self._paragraph(told, SMALL)
        self.y -= 4
        self._verdict()
        for equation in data["equations"]:
            self._equation(equation)
        self._list("Differences", [f"{each['name']}: {each['text']}" for each in self._problems()])
        self._amortized()
        self._invoices()
        self._uncharged()

    def _problems(self) -> list[Mapping[str, Any]]:
        return [*self.data["broken"], *self.data["tampered"], *self.data["culprits"]]

    def _verdict(self) -> None:
        data = self.data
        if not data["reconciles"]:
            text, ink, pale = "It does not reconcile.", CAUTION_INK, CAUTION_PALE
        elif not data["is_complete"]:
            text, ink, pale = "It reconciles so far; open items remain.", ACCENT, PALE
        else:
            text, ink, pale = "It reconciles: everything in the files is accounted for.", ACCENT, PALE
        self._box(LEFT, self.y - 22, RIGHT - LEFT, 24, pale)
        self._write(LEFT + 9, self.y - 14, text, Text(10.5, BOLD, ink), role="P")
        self.y -= 44

    def _equation(self, equation: Mapping[str, Any]) -> None:
        terms = [("", each) for each in equation["left"]] + [("=", each) for each in equation["right"]]
        self._need(40 + 12.6 * min(len(terms), 6))
        currency = f"{equation['of_currency']} in {equation['currency']}" if equation["of_currency"] else ""
        name = f"{equation['source']}, {currency or equation['currency']}"
        self._write(LEFT, self.y, fitted(f"{equation['title']}: {name}", HEADING, 400), HEADING, role="H2")
        verdict = VERDICTS[equation["verdict"]]
        tone = CAUTION_INK if equation["verdict"] == "off" else GRAY
        self._write(RIGHT, self.y, verdict, Text(8.8, BOLD, tone), align="right", role="P")
        self.y -= 15
        self.structure.open("Table")
        self._heads(("", "Amount", "Rows"))
        is_right = False
        for sign, term in terms:
            shown = "" if is_right else sign
            if sign and not is_right:
                is_right = True
                self._rule(self.y + 9.5)
            rows = f"{term['count']:,}" if term["count"] else ""
            self._cells(f"{shown} {term['label']}".strip(), term["amount"], rows)
        if equation["verdict"] == "off":
            self._cells("Difference", equation["difference"], "", strong=True)
        self.structure.close()
        if equation["note"]:
            self._paragraph(equation["note"], SMALL)
        self.y -= 12

    def _heads(self, names: tuple[str, str, str]) -> None:
        style = Text(7.8, BOLD, GRAY)
        self._box(LEFT, self.y - 5.5, RIGHT - LEFT, 16.5, PALE)
        with self.structure.part("TR"):
            edges = ((LEFT + 6, "left"), (AMOUNT, "right"), (ROWS, "right"))
            for (x, align), text in zip(edges, names, strict=True):
                self._write(x, self.y, text, style, align=align, role="TH", attributes=COLUMN_SCOPE)
        self.y -= 18

    def _cells(self, label: str, amount: str, rows: str, *, strong: bool = False) -> None:
        self._need(14)
        style = CELL_STRONG if strong else CELL
        with self.structure.part("TR"):
            self._write(LEFT + 6, self.y, fitted(label, style, AMOUNT - LEFT - 130), style, role="TD")
            self._write(AMOUNT, self.y, signed(grouped(amount)), style, align="right", role="TD")
            self._write(ROWS, self.y, signed(rows), style, align="right", role="TD")
        self.y -= 12.6

    def _list(self, title: str, texts: Iterable[str]) -> None:
        listed = list(texts)
        if not listed:
            return
        self._need(40)
        self._write(LEFT, self.y, title, HEADING, role="H2")
        self.y -= 15
        for text in listed:
            self._paragraph(text, BODY)
            self.y -= 3
        self.y -= 8

    def _table(self, title: str, heads: tuple[str, str, str], rows: Iterable[tuple[str, str, str]]) -> None:
        listed = list(rows)
        if not listed:
            return
        self._need(60)
        self._write(LEFT, self.y, title, HEADING, role="H2")
        self.y -= 15
        self.structure.open("Table")
        self._heads(heads)
        for row in listed:
            self._cells(*row)
        self.structure.close()
        self.y -= 12

    def _amortized(self) -> None:
        for each in self.data["amortized"]:
            self._table(
                f"From billed to effective cost: {each['source']}, {each['currency']}",
                ("", "Amount", ""),
                [
                    ("BilledCost", each["billed"], ""),
                    ("Commitments bought", each["bought"], ""),
                    ("Commitments used", each["used"], ""),
                    ("Other differences", each["other"], ""),
                    ("= EffectiveCost", each["effective"], ""),
                ],
            )

    def _invoices(self) -> None:
        rows = []
        for each in self.data["invoices"]:
            number = each["invoice_id"] or "whole month"
            name = f"{each['source']} {number} ({each['currency']})"
            rows.append((f"{name}: files bill", each["billed"], f"{each['count']:,}"))
            if each["said"] is not None:
                rows.append((f"{name}: invoice says", each["said"], ""))
                rows.append((f"{name}: difference", each["difference"], ""))
        self._table("The provider's invoices", ("", "Amount", "Rows"), rows)

    def _uncharged(self) -> None:
        self._table(
            "Charged the month before, and not this month",
            ("", "Billed then", "Charges then"),
            [
                (
                    f"{each['kind'].capitalize()} {each['name']} ({currency})",
                    amount,
                    f"{each['charges']:,}",
                )
                for each in self.data["uncharged"]
                for currency, amount in each["billed"].items()
            ],
        )

    def _new_page(self) -> None:
        self.code = []
        self.pages.append(self.code)
        self.structure.start_page()
        self.y = TOP
        if len(self.pages) > 1:
            self.y = TOP - 4
            self._write(LEFT, self.y, self.title, Text(9, BOLD, ACCENT))
            self.y -= 8
            self._rule(self.y, color=ACCENT, thickness=1.0)
            self.y -= 20

    def _feet(self) -> None:
        for number, code in enumerate(self.pages, start=1):
            self.code = code
            self._rule(BOTTOM - 14)
            self._write(LEFT, BOTTOM - 26, fitted(f"{self.data['institution']} · {self.title}", FINE, 380), FINE)
            self._write(RIGHT, BOTTOM - 26, f"Page {number} of {len(self.pages)}", FINE, align="right")

    def to_pdf(self) -> bytes:
        self._feet()
        canvas = Canvas(BytesIO(), pagesize=LETTER, pageCompression=1, invariant=1, lang="en-US", pdfVersion=(1, 7))
        canvas.setTitle(self.title)
        canvas.setAuthor(str(self.data["institution"]))
        canvas.setSubject(
            f"What was delivered for {self.data['period']} is accounted for, from the files to the ledger"
        )
        canvas.setCreator("OpenChargeback")
        made = datetime.datetime.fromisoformat(self.when) if self.when else None
        if made:
            canvas.setDateFormatter(lambda *_: f"D:{made:%Y%m%d%H%M%S}Z")
        pdf = canvas._doc
        for code in self.pages:
            canvas.showPage()
            pdf.Pages.pages[-1].Contents = stream("\n".join(code).encode("latin-1"))
        pdf.idToObject["BasicFonts"].dict.clear()
        self.letters.add_to(pdf)
        self.structure.add_to(pdf)
        pdf.Catalog.ViewerPreferences = Raw("<< /DisplayDocTitle true >>")
        return bytes(canvas.getpdfdata())


def grouped(amount: str) -> str:
    """Write an exact amount with thousands separators: `1,234.5678`."""
    sign, digits = ("-", amount[1:]) if amount.startswith("-") else ("", amount)
    whole, point, decimals = digits.partition(".")
    return f"{sign}{int(whole or 0):,}{point}{decimals}"
