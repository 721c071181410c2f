"""Layouts and journals made in a line, and files read back by readers that know nothing of the writer.

A reader goes by the layout's own description alone: its JSON, of which it takes names and widths.
"""

import csv
import datetime
import io
import json
import zipfile
from dataclasses import replace
from decimal import Decimal

from openpyxl import load_workbook

from journals.formats.documents import Document, Line
from journals.formats.layouts import LayoutFormat, layout_from_data, layout_from_text, presets, with_choices
from journals.formats.layouts.characters import ENCODINGS
from journals.formats.sample import sample

MADE_AT = datetime.datetime(2025, 2, 3, 9, 30, 15, tzinfo=datetime.UTC)
PRESETS = tuple(presets())


def a_layout(fields=(), *, kind="fixed", before=(), after=(), **more):
    """A layout of one file, with a record for each line and what is written once before and after it."""
    records = [
        *({"name": f"before {n}", "each": "journal", "fields": each} for n, each in enumerate(before, 1)),
        {"name": "line", "each": "line", "fields": list(fields)},
        *({"name": f"after {n}", "each": "journal", "fields": each} for n, each in enumerate(after, 1)),
    ]
    file = {"name": "{journal.number}.txt", "kind": kind, **more.pop("file", {})}
    file |= {"sheets": [{"name": "Lines", "records": records}]} if kind == "xlsx" else {"records": records}
    return {"schema": 1, "title": "Ours", "files": [file, *more.pop("files", ())], **more}


def a_format(*arguments, **more):
    return LayoutFormat("ours", layout_from_data(a_layout(*arguments, **more)))


def filled_in(name):
    """A preset's text with its examples for its settings."""
    preset = presets()[name]
    return with_choices(preset.content, {each.name: each.value or each.example for each in preset.layout.settings})


def of_preset(name, **changes):
    """A preset that is filled in, with what else is to be changed of its data."""
    data = json.loads(filled_in(name)) | changes
    return LayoutFormat(name, layout_from_text(json.dumps(data)))


def a_journal(*amounts, **changes):
    """A journal of a pair for each amount, or for each (amount, what to change of both lines)."""
    document = replace(sample(), made_at=MADE_AT, lines=[], **changes)
    payer, recovery = sample().lines[:2]
    for given in amounts:
        amount, more = given if isinstance(given, tuple) else (given, {})
        amount = Decimal(amount)
        more = dict(more)
        ours = {name: more.pop(name) for name in ("fund_org", "natural_account", "is_sponsored") if name in more}
        debit, credit = max(amount, 0 * amount), max(-amount, 0 * amount)
        number = len(document.lines) + 1
        document.lines.extend(
            (
                replace(payer, number=number, debit=debit, credit=credit, **more, **ours),
                replace(recovery, number=number + 1, debit=credit, credit=debit, **more),
            )
        )
    return document


def sides(document: Document) -> list[tuple[Decimal, Decimal]]:
    return [(line.debit, line.credit) for line in document.ledger_lines]


def chartstrings(lines: list[Line]) -> dict[tuple[str, str], Decimal]:
    sums: dict[tuple[str, str], Decimal] = {}
    for line in lines:
        key = (line.fund_org, line.natural_account)
        sums[key] = sums.get(key, Decimal(0)) + line.debit - line.credit
    return {key: amount for key, amount in sums.items() if amount}


def read_fixed(content, file, encoding):
    """Each line of a file of fixed width as (record, {field: text}): sliced in bytes by the layout's widths."""
    lines = content.split(b"\n")
    assert lines.pop() == b""
    found = []
    for record, text in zip(_records(file, len(lines)), lines, strict=True):
        text, at, values = text.removesuffix(b"\r"), 0, {}
        for field in record["fields"]:
            values[field["name"]] = text[at : at + field["width"]].decode(ENCODINGS[encoding])
            at += field["width"]
        assert at == len(text), f"{record['name']}: {len(text)} bytes for {at}"
        found.append((record["name"], values))
    return found


def read_csv(content, file, encoding):
    text = content.decode(ENCODINGS[encoding])
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=file.get("delimiter", ",")))
    return _named(rows, file)


def read_xlsx(content, file):
    """The rows of all sheets, as (record, {field: text})."""
    book = load_workbook(io.BytesIO(content))
    assert book.sheetnames == [sheet["name"] for sheet in file["sheets"]]
    found = []
    for sheet in file["sheets"]:
        rows = [list(row) for row in book[sheet["name"]].iter_rows(values_only=True)]
        found += _named(rows, sheet)
    return found


def _named(rows, part):
    headings = sum(record.get("headings", False) for record in part["records"])
    found, rows = [], list(rows)
    for record in _records(part, len(rows) - headings):
        names = [field["name"] for field in record["fields"]]
        if record.get("headings") and not any(name == record["name"] for name, _ in found):
            assert rows.pop(0)[: len(names)] == names
        row = rows.pop(0)
        row += [None] * (len(names) - len(row))
        found.append((record["name"], dict(zip(names, row, strict=True))))
    assert not rows
    return found


def _records(part, count):
    """The records of so many lines, in turn."""
    once = [record for record in part["records"] if record["each"] == "journal"]
    for record in part["records"]:
        yield from [record] * (1 if record["each"] == "journal" else count - len(once))


def read_back(layout, written):
    """The file for the ledger as (record, {field: value}), whatever kind it is."""
    data = json.loads(layout) if isinstance(layout, str) else layout
    file, content = data["files"][0], written.content
    if "zip" in data:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert archive.testzip() is None
            (name,) = archive.namelist()
            content = archive.read(name)
    if file["kind"] == "xlsx":
        return read_xlsx(content, file)
    reader = read_fixed if file["kind"] == "fixed" else read_csv
    return reader(content, file, data.get("encoding", "ascii"))


def read_support(written):
    (support,) = [each for each in written.beside if each.name.endswith("-support.csv")]
    return list(csv.DictReader(io.StringIO(support.content.decode(), newline="")))
