"""A proof on paper: its data in, the bytes of a tagged PDF out, the same bytes every time."""

import datetime
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from billing.texts import long_moment, month_name

from ..archival import Properties
from ..lettering import BOLD
from ..tagging import COLUMN_SCOPE, ROW_SCOPE
from .fitting import fitted, narrowed, signed
from .paper import Paper
from .styles import (
    ACCENT,
    BODY,
    CAUTION_INK,
    CAUTION_PALE,
    CELL,
    CELL_STRONG,
    GRAY,
    HEADING,
    LEFT,
    PALE,
    RIGHT,
    SMALL,
    TOP,
    Text,
)

# The right edges of the columns of figures: amount, rows.
AMOUNT, ROWS = RIGHT - 84, RIGHT - 6
VERDICTS = {"ok": "reconciles", "open": "open", "off": "DIFFERENCE"}


def draw(data: Mapping[str, Any]) -> bytes:
    """Set a proof (`billing.tieout.Report.as_data`) and return its PDF. The same data gives the same bytes."""
    sheet = ProofSheet(data)
    sheet.set()
    return sheet.to_pdf(sheet.properties)


class ProofSheet(Paper):
    """The pages of a proof: the verdict, each equation as a table, what stands beside it."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        super().__init__()
        self.data = data

    @property
    def month(self) -> str:
        return month_name(str(self.data["period"]))

    @property
    def title(self) -> str:
        return f"Reconciliation of {self.month}"

    @property
    def made(self) -> datetime.datetime | None:
        """When it was frozen or made, in UTC."""
        when = self.data.get("frozen_at") or self.data.get("made_at")
        return datetime.datetime.fromisoformat(when).astimezone(datetime.UTC) if when else None

    @property
    def properties(self) -> Properties:
        return Properties(
            title=self.title,
            author=str(self.data["institution"]),
            subject=f"What was delivered for {self.month} is accounted for, from the files to the ledger",
            stamp=f"D:{self.made:%Y%m%d%H%M%S}Z" if self.made else "",
        )

    def set(self) -> None:
        """Set what stands on the proof, in order."""
        data = self.data
        self.new_page()
        self.write(LEFT, TOP - 16, self.title, Text(22, BOLD, ACCENT), role="H1")
        self.y = TOP - 34
        self.paragraph(str(data["institution"]), BODY)
        told = f"{self.month}, {data['status']}."
        if self.made:
            verb = "Frozen" if data.get("frozen_at") else "Made"
            told += f" {verb} on {long_moment(self.made)}."
        if data.get("frozen_by"):
            told += f" Finalized by {data['frozen_by']}."
        self.paragraph(told, SMALL)
        self.y -= 4
        self._verdict()
        for equation in data["equations"]:
            self._equation(equation)
        self._usage()
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
        self.box(LEFT, self.y - 22, RIGHT - LEFT, 24, pale)
        self.write(LEFT + 9, self.y - 14, text, Text(10.5, BOLD, ink), role="P")
        self.y -= 44

    def _equation(self, equation: Mapping[str, Any]) -> None:
        terms = [("", each) for each in equation["left"]] + [("=", each) for each in equation["right"]]
        self.need(40 + 12.6 * min(len(terms), 6))
        currency = f"{equation['of_currency']} in {equation['currency']}" if equation["of_currency"] else ""
        name = f"{equation['source']}, {currency or equation['currency']}"
        self.write(LEFT, self.y, fitted(f"{equation['title']}: {name}", HEADING, 400), HEADING, role="H2")
        verdict = VERDICTS[equation["verdict"]]
        tone = CAUTION_INK if equation["verdict"] == "off" else GRAY
        self.write(RIGHT, self.y, verdict, Text(8.8, BOLD, tone), align="right", role="P")
        self.y -= 15
        with self._headed(("Item", "Amount", "Rows")):
            self._terms(equation, terms)
        if equation["note"]:
            self.paragraph(equation["note"], SMALL)
        self.y -= 12

    def _terms(self, equation: Mapping[str, Any], terms: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        is_right = False
        for sign, term in terms:
            shown = "" if is_right else sign
            if sign and not is_right:
                is_right = True
                self.rule(self.y + 9.5)
            rows = f"{term['count']:,}" if term["count"] else ""
            self._cells(f"{shown} {term['label']}".strip(), term["amount"], rows)
        if equation["verdict"] == "off":
            self._cells("Difference", equation["difference"], "", strong=True)

    @contextmanager
    def _headed(self, names: tuple[str, ...]) -> Iterator[None]:
        """Begin a table with headings, which come again as decoration on each page that it goes on to."""
        with self.structure.part("Table"):
            self.heads_again = lambda: self._heads(names, role="")
            with self.structure.part("TR"):
                self._heads(names, role="TH")
            yield
            self.heads_again = None

    def _heads(self, names: tuple[str, ...], *, role: str) -> None:
        style = Text(7.8, BOLD, GRAY)
        self.box(LEFT, self.y - 5.5, RIGHT - LEFT, 16.5, PALE)
        # The column of figures further right is left out where a table has none.
        edges = ((LEFT + 6, "left"), (AMOUNT, "right"), (ROWS, "right"))
        for (x, align), text in zip(edges, names, strict=False):
            self.write(x, self.y, text, style, align=align, role=role, attributes=COLUMN_SCOPE)
        self.y -= 18

    def _cells(self, label: str, amount: str, rows: str | None = None, *, strong: bool = False) -> None:
        self.need(14)
        style = CELL_STRONG if strong else CELL
        with self.structure.part("TR"):
            self.write(
                LEFT + 6, self.y, fitted(label, style, AMOUNT - LEFT - 130), style, role="TH", attributes=ROW_SCOPE
            )
            figure = signed(grouped(amount))
            self.write(AMOUNT, self.y, figure, narrowed(figure, style, 120), align="right", role="TD")
            if rows is not None:
                self.write(ROWS, self.y, signed(rows), style, align="right", role="TD")
        self.y -= 12.6

    def _list(self, title: str, texts: Iterable[str]) -> None:
        listed = list(texts)
        if not listed:
            return
        self.need(40)
        self.write(LEFT, self.y, title, HEADING, role="H2")
        self.y -= 15
        for text in listed:
            self.paragraph(text, BODY)
            self.y -= 3
        self.y -= 8

    def _table(self, title: str, heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
        listed = list(rows)
        if not listed:
            return
        self.need(60)
        self.write(LEFT, self.y, title, HEADING, role="H2")
        self.y -= 15
        with self._headed(heads):
            for row in listed:
                self._cells(*row)
        self.y -= 12

    def _usage(self) -> None:
        rows = []
        for each in self.data.get("usage", ()):
            name = f"{each['feed']}, {each['rate']} ({each['unit']})"
            rows += [(f"{name}: delivered", each["delivered"]), ("= charged", each["charged"])]
            rows += [(f"+ free: {reason.replace('_', ' ')}", units) for reason, units in each["free"].items()]
            rows += [(f"+ {code}", each[code]) for code in ("held", "rejected") if each[code] != "0"]
            if each["difference"] != "0":
                rows.append(("Difference", each["difference"]))
        self._table("Usage, in units", ("Item", "Units"), rows)

    def _amortized(self) -> None:
        for each in self.data["amortized"]:
            self._table(
                f"From billed to effective cost: {each['source']}, {each['currency']}",
                ("Item", "Amount"),
                [
                    ("BilledCost", each["billed"]),
                    ("Commitments bought", each["bought"]),
                    ("Commitments used", each["used"]),
                    ("Other differences", each["other"]),
                    ("= EffectiveCost", each["effective"]),
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
        self._table("The provider's invoices", ("Invoice", "Amount", "Rows"), rows)

    def _uncharged(self) -> None:
        self._table(
            "Charged the month before, and not this month",
            ("Item", "Billed then", "Charges then"),
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

    def set_running_head(self) -> None:
        self.y = TOP - 4
        self.write(LEFT, self.y, self.title, Text(9, BOLD, ACCENT))
        self.y -= 8
        self.rule(self.y, color=ACCENT, thickness=1.0)
        self.y -= 20

    def set_foot(self, number: int) -> None:
        self.write_foot(f"{self.data['institution']} · {self.title}", number)


def grouped(amount: str) -> str:
    """Write an exact amount with thousands separators: `1,234.5678`."""
    sign, digits = ("-", amount[1:]) if amount.startswith("-") else ("", amount)
    whole, point, decimals = digits.partition(".")
    return f"{sign}{int(whole or 0):,}{point}{decimals}"
