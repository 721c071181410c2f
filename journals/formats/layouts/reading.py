"""Layouts from data and back: what the schema says first, then whether all of it can be written."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from billing.patterns import PatternNotUnderstood, compiled

from .characters import can_write
from .placeholders import (
    FILE_STEM,
    LOOKUP,
    LOOKUPS,
    OF_A_LINE,
    OF_THE_FILE,
    OF_THE_JOURNAL,
    SEGMENTS,
    SETTINGS,
    Kind,
    TemplateNotUnderstood,
    placeholders_of,
    problem_of,
)
from .schema import LayoutNotUnderstood, parsed, problems_of
from .terms import Amount, Condense, Descriptions, Field, File, Layout, Record, Setting, Sheet, Side

OF_LINES = ("debit", "credit", "amount", "absolute")


def layout_from_text(text: str) -> Layout:
    """Return the layout that JSON text says. Raises LayoutNotUnderstood with everything that is wrong."""
    return layout_from_data(parsed(text))


def layout_from_data(data: Any) -> Layout:
    """Return the layout that parsed JSON says. Raises LayoutNotUnderstood with everything that is wrong."""
    if found := problems_of(data):
        raise LayoutNotUnderstood(found)
    layout = _layout(data)
    if found := list(_problems(layout)):
        raise LayoutNotUnderstood(found)
    return layout


# From data that fits the schema ----------------------------------------------------------------------


def _layout(data: Mapping[str, Any]) -> Layout:
    given = {name: value for name, value in data.items() if name != "schema"}
    given["files"] = tuple(_file(each) for each in data["files"])
    given["settings"] = tuple(Setting(**each) for each in data.get("settings", ()))
    given["descriptions"] = Descriptions(**data.get("descriptions", {}))
    given["condense"] = Condense(**data.get("condense", {}))
    return Layout(**given)


def _file(data: Mapping[str, Any]) -> File:
    records = _records(data.get("records", ()))
    sheets = tuple(Sheet(each["name"], _records(each["records"])) for each in data.get("sheets", ()))
    return File(**{**data, "records": records, "sheets": sheets})


def _records(data: Iterable[Mapping[str, Any]]) -> tuple[Record, ...]:
    return tuple(Record(**{**each, "fields": tuple(map(_field, each["fields"]))}) for each in data)


def _field(data: Mapping[str, Any]) -> Field:
    made: dict[str, Callable[..., Any]] = {"amount": Amount, "side": Side}
    return Field(**{name: made[name](**value) if name in made else value for name, value in data.items()})


# What the schema cannot say --------------------------------------------------------------------------


def _problems(layout: Layout) -> Iterator[str]:
    yield from _twice("setting", [each.name for each in layout.settings])
    yield from _of_settings(layout)
    segments, problem = _segments(layout)
    if problem:
        yield problem
    of_the_journal = {**OF_THE_JOURNAL, **{f"{SETTINGS}{each.name}": Kind.CODE for each in layout.settings}}
    yield from _of_template("The layout: support", layout.support, {**of_the_journal, "line": Kind.NUMBER}, None)
    yield from _of_template("The layout: zip", layout.zip, of_the_journal, None)
    yield from _of_descriptions(layout, of_the_journal, segments)
    for place, file in enumerate(layout.files, 1):
        here = f"file {place}"
        names = of_the_journal if place == 1 else {**of_the_journal, FILE_STEM: Kind.CODE}
        yield from _of_template(f"{here}: name", file.name, names, None)
        yield from _of_a_file(here, file, layout)
        for part in file.parts:
            where = f"{here}, sheet {part.name}" if part.name else here
            yield from _twice("record", [each.name for each in part.records], f"{where}: ")
            for record in part.records:
                yield from _of_a_record(f"{where}, record {record.name}", record, file, of_the_journal, segments)
    yield from _of_the_archive(layout)
    yield from _of_condensing(layout)


def _twice(what: str, names: Iterable[str], where: str = "") -> Iterator[str]:
    for name, count in Counter(names).items():
        if count > 1:
            yield f"{where}{count} {what}s have the name {name}. Give each its own."


def _of_settings(layout: Layout) -> Iterator[str]:
    for each in layout.settings:
        if not can_write(each.value, layout.encoding):
            yield f"setting {each.name}: “{each.value}” has letters that {layout.encoding} lacks. Write it otherwise."
        elif each.width and len(each.value) > each.width:
            yield f"setting {each.name}: “{each.value}” has {len(each.value)} characters. Allowed: {each.width}."


def _segments(layout: Layout) -> tuple[frozenset[str] | None, str]:
    """Return the names of the layout's own segments, None where they are the policy's, and what is wrong with them."""
    if not layout.segments:
        return None, ""
    try:
        return frozenset(compiled(layout.segments).groupindex), ""
    except PatternNotUnderstood as error:
        return frozenset(), f"The layout: segments is no pattern that can be used: {error.reason}"


def _of_descriptions(
    layout: Layout, of_the_journal: Mapping[str, Kind], segments: frozenset[str] | None
) -> Iterator[str]:
    """Yield what is wrong with the descriptions, which print all but themselves."""
    known = {**of_the_journal, **OF_A_LINE}
    del known["description"]
    for name, template in layout.descriptions.by_name.items():
        yield from _of_template(f"The layout: descriptions, {name}", template, known, segments)
    if layout.descriptions.by_name and not layout.describing:
        yield "The layout has descriptions, and no field of a line prints {description}. Add it to one."


def _of_a_file(here: str, file: File, layout: Layout) -> Iterator[str]:
    if file.records and file.kind in ("xlsx", "support"):
        yield f"{here} is {file.kind} and has records. Remove them."
    if file.sheets and file.kind != "xlsx":
        yield f"{here} is {file.kind} and has sheets. Remove them."
    if file.kind == "xlsx" and not file.sheets:
        yield f"{here} is xlsx and has no sheets. Add one."
    if file.kind == "xlsx":
        yield from _twice("sheet", [each.name for each in file.sheets], f"{here}: ")
    if file is layout.main and not any(each.is_of_lines for part in file.parts for each in part.records):
        yield f"{here} is the file for the ledger and has no record for each line. Add one."


def _of_a_record(
    where: str, record: Record, file: File, names: Mapping[str, Kind], segments: frozenset[str] | None
) -> Iterator[str]:
    known = {**names, **OF_THE_FILE, **(OF_A_LINE if record.is_of_lines else {})}
    yield from _twice("field", [each.name for each in record.fields], f"{where}: ")
    hashed = [each.name for other in file.records for each in other.fields if other.is_of_lines]
    for field in record.fields:
        here = f"{where}, field {field.name}"
        for template in field.templates:
            yield from _of_template(here, template, known, segments if record.is_of_lines else frozenset())
        yield from _of_a_field(here, field, file, is_of_lines=record.is_of_lines)
        if field.hash_of and (record.is_of_lines or field.hash_of not in hashed):
            yield f"{here}: hash_of is {field.hash_of}. Allowed: in a record of the journal, {_listed(hashed)}."


def _of_a_field(here: str, field: Field, file: File, *, is_of_lines: bool) -> Iterator[str]:
    given = [name for name in ("value", "amount", "side", "hash_of") if getattr(field, name)]
    if len(given) > 1:
        yield f"{here} has {' and '.join(given)}. Keep one of them."
    if file.kind == "fixed" and field.width is None:
        yield f"{here} has no width. Add it: {file.kind} has fields of so many bytes."
    if field.amount and (field.amount.of in OF_LINES) != is_of_lines:
        allowed = OF_LINES if is_of_lines else ("debits", "credits", "total")
        yield f"{here}: amount is of {field.amount.of}. Allowed in this record: {', '.join(allowed)}."
    if field.amount and field.may_be_cut:
        yield f"{here}: an amount may not be cut. Remove may_be_cut."
    if field.hash_of and not field.width:
        yield f"{here} has no width. Add it: a hash total has so many digits."
    if not is_of_lines and (field.side or field.only or field.credit_value is not None or field.many_value is not None):
        yield f"{here} has a side, and its record is of the journal. Use it in records for each line."


def _of_template(here: str, template: str, known: Mapping[str, Kind], segments: frozenset[str] | None) -> Iterator[str]:
    """Yield what is wrong with a text. `segments` are those there are; None: the policy's, which may be any."""
    is_of_lines = "fund_org" in known
    try:
        found = placeholders_of(template)
    except TemplateNotUnderstood as error:
        yield f"{here}: {error}."
        return
    for each in found:
        if each.name.startswith(SEGMENTS):
            name = each.name.removeprefix(SEGMENTS)
            if segments is not None and name not in segments:
                yield f"{here}: there is no segment {name}, at character {each.place}. Allowed: {_listed(segments)}."
            kind = Kind.CODE
        elif each.name.startswith(LOOKUPS) and is_of_lines:
            if not LOOKUP.fullmatch(each.name.removeprefix(LOOKUPS)):
                yield f"{here}: {{{each.name}}}, at character {each.place}, is no {{lookup.TABLE.COLUMN}}. Write it so."
            kind = Kind.CODE
        elif each.name not in known:
            more = ", segments.NAME" if segments is None or segments else ""
            more += ", lookup.TABLE.COLUMN" if is_of_lines else ""
            yield f"{here}: there is no {{{each.name}}}, at character {each.place}. Allowed: {', '.join(known)}{more}."
            continue
        else:
            kind = known[each.name]
        if problem := problem_of(each, kind):
            written = f"{{{each.name}:{each.form}}}"
            yield f"{here}: {written} cannot be written, for {problem}. It is at character {each.place}."


def _of_the_archive(layout: Layout) -> Iterator[str]:
    zipped = [place for place, each in enumerate(layout.files, 1) if each.zipped]
    if layout.zip and not layout.main.zipped:
        yield "The layout: zip names an archive, and file 1 is not in it. Add zipped: true to it, or remove zip."
    if zipped and not layout.zip:
        yield f"file {zipped[0]} is zipped, and the layout has no zip. Add the archive's name."


def _of_condensing(layout: Layout) -> Iterator[str]:
    """What is condensed prints a reference to the file whose lines add up to it."""
    if not layout.condense.is_any:
        return
    if not any(each.kind == "support" for each in layout.files):
        yield "The layout condenses lines and has no file of the kind support. Add one, to prove each line by."
    templates = [
        template
        for part in layout.main.parts
        for record in part.records
        if record.is_of_lines
        for field in record.fields
        for template in field.templates
    ]
    if not any(each.name == "support" for template in templates for each in _read(template)):
        yield "The layout condenses lines, and none of their fields prints {support}. Add it to one."


def _read(template: str) -> list[Any]:
    try:
        return list(placeholders_of(template))
    except TemplateNotUnderstood:
        return []


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names))) or "none"
