"""Reading by columns says of any file what reading it row by row and value by value says of it."""

import csv
import datetime
import io
from collections import defaultdict
from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from billing.copy_text import DELIMITER
from billing.fields import seconds_of
from billing.readers import FileError, csv_blocks, csv_file, read_csv
from billing.readers.amounts import decimal_of, every_digit, plain_decimal, units_of
from billing.readers.batches import MAX_PROBLEMS
from billing.readers.columns import AMOUNTS, DECIMALS, QUANTITIES, TEXTS
from billing.readers.dates import end_and_rule, month_of, period_rules, service_time_of, time_of
from billing.readers.dimensions import (
    DIMENSIONS,
    content_hash,
    hash_of,
    identity_hash,
    row_identity,
    said_hash,
)
from billing.readers.numbering import Numbering
from billing.readers.problems import NO_CURRENCY, problems_of
from billing.readers.tags import tags_of
from billing.readers.understanding import CONVERT, Understanding, Wanted
from billing.readers.values import BadValue, currency_of

ONCE = settings(
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

NAMES = (
    *("BillingAccountId", "BillingCurrency", "BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart"),
    *("ChargePeriodEnd", "ChargeCategory", "ChargeDescription", "ServiceName", "ResourceId", "ResourceName"),
    *("BilledCost", "EffectiveCost", "ListCost", "PricingQuantity", "ConsumedQuantity", "ListUnitPrice", "Tags"),
)

GUID = "ABCDEF01-2345-6789-ABCD-EF0123456789"
AZURE = f"/subscriptions/{GUID}/resourceGroups/RG/VM"
WORDS = ("", "EC2", " vm ", "a\u200bb", "NULL", "x,y", 'say "hi"', '"', '""', 'a""b', "two\nlines", "über", "usage")
NUMBERS = (
    *("0", "1", "-1.50", "12.345", "0.000000001", "-0.0000000150", "9223372036.123456789", "6.123E-7", "1e3", ".5"),
    *("5.", "007", "-0", "-0.0", "0." + "0" * 90 + "0", "0.000231481481481481", "99999999999999999999.5"),
    *("92233720368.54775807", "0.123456785", "0.123456775", "-0.123456785"),
)
MOMENTS = (
    *("2025-01-05", "2025-01-05T10:00:00Z", "2025-01-05 23:59:59.999", "2025-01-06T08:00:00+02:00", "2025-01-31"),
    "2025-02-01T00:00:00Z",
)
SOUND = {
    "BillingAccountId": ("0042", "123", GUID, "'7"),
    "BillingCurrency": ("USD", "usd", "EUR"),
    "BillingPeriodStart": ("2025-01-01", "2025-01-01T08:00:00Z", "2024-12-31T16:00:00Z", "2025-02-01"),
    "BillingPeriodEnd": ("", "2025-01-31", "2025-02-01T08:00:00Z"),
    "ChargePeriodStart": MOMENTS,
    "ChargePeriodEnd": ("", *MOMENTS),
    "ChargeDescription": WORDS,
    "ChargeCategory": ("Usage", "usage", "Odd", "", "Credit"),
    "ServiceName": WORDS,
    "ResourceId": ("", "i-1", "i-2 ", AZURE, AZURE.lower() + "/", GUID.lower(), '="0042"', "n/a"),
    "ResourceName": WORDS,
    **dict.fromkeys(AMOUNTS, NUMBERS[:-5] + NUMBERS[-4:]),
    **dict.fromkeys(DECIMALS, ("", "NULL", *NUMBERS)),
    "Tags": ("", "{}", '{"pi": "ada", "x": 1}', '{"x":"1","pi":"ada"}', "{not json", f'{{"id": "{AZURE}"}}', "[]"),
}
UNSOUND = {
    "BillingAccountId": ("1.5E+10", "Mar-25", "#REF!"),
    "BillingCurrency": ("", "Dollar"),
    "BillingPeriodStart": ("", "4/1/25", "1970-01-01"),
    "BillingPeriodEnd": ("soon",),
    "ChargePeriodStart": ("", "2101-01-01", "NULL"),
    "ChargePeriodEnd": ("2025-13-01",),
    "ServiceName": ("x" * 201, "#DIV/0!"),
    "ResourceId": ("12:30",),
    **dict.fromkeys(
        AMOUNTS, ("$5", "1,5", "abc", "0." + "0" * 50 + "1", "99999999999999999999.5", " 1", "+1", "0x1F", "")
    ),
    **dict.fromkeys(DECIMALS, ("12 USD", "--5", "1e99")),
    "Tags": ('{"a": 1}\0',),
}


# What a file says, one value after the other -----------------------------------------------------------


@dataclass
class Row:
    """What one row says."""

    line: int
    month: int
    start: int
    end: int
    currency: str
    units: list
    quantities: list
    texts: dict
    content: bytes
    identity: bytes


@dataclass
class Said:
    """What a file says: its rows, or what is wrong with their values, or with the file."""

    rows: list = field(default_factory=list)
    problems: list = field(default_factory=list)
    refusals: list = field(default_factory=list)
    rules: dict = field(default_factory=lambda: defaultdict(int))


def row_by_row(content):
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        good = content[: content.rfind(b"\n", 0, error.start) + 1]
        # What is wrong before it may be met first.
        return Said(refusals=[(good.count(b"\n") + 1, "not UTF-8"), *row_by_row(good).refusals])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=",", strict=True)
    header = next(reader)
    found = []
    try:
        line = reader.line_num + 1
        for row in reader:
            if row:
                found.append((line, row))
            line = reader.line_num + 1
    except csv.Error:
        return Said(refusals=[(reader.line_num, "cannot be read as CSV")])
    for line, row in found:
        if len(row) != len(header):
            return Said(refusals=[(line, f"The row has {len(row)} fields")])
    found = [(line, dict(zip(header, row, strict=True))) for line, row in found if any(row)]
    if not found:
        return Said(refusals=[(1, "no rows")])
    said = Said()
    for line, row in found:
        problems = [(line, name, message) for name, message in wrong_with(row)]
        said.problems += problems
        if not problems:
            said.rows.append(value_by_value(line, row))
            for rule in rules_of(row):
                said.rules[rule] += 1
    return said


def wrong_with(row):
    times = (row["ChargePeriodStart"], row.get("ChargePeriodEnd", ""), row.get("BillingPeriodEnd", ""))
    checks = [(name, CONVERT[name], row[name], "") for name in TEXTS if name in row]
    checks += [(name, plain_decimal, row[name], "") for name in DECIMALS if name in row]
    checks += [
        (name, units_of, row[name], f"{name} is empty." if name == "BilledCost" else "")
        for name in AMOUNTS
        if name in row
    ]
    no_month = "BillingPeriodStart is empty. Fill it in, or name the expected period."
    checks += [
        ("BillingPeriodStart", month_of, row["BillingPeriodStart"], no_month),
        ("ChargePeriodStart", service_time_of, row["ChargePeriodStart"], "ChargePeriodStart is empty."),
        ("BillingPeriodEnd", time_of, times[2], ""),
        ("ChargePeriodEnd", end_and_rule, times, ""),
        ("BillingCurrency", lambda text: currency_of(text) or None, row["BillingCurrency"], NO_CURRENCY),
        ("Tags", tags_of, row.get("Tags", ""), ""),
    ]
    for name, convert, value, if_none in checks:
        try:
            found = convert(value)
        except BadValue as error:
            yield name, str(error)
        else:
            if found is None and if_none:
                yield name, if_none


def value_by_value(line, row):
    month, start = month_of(row["BillingPeriodStart"]), service_time_of(row["ChargePeriodStart"])
    times = (row["ChargePeriodStart"], row.get("ChargePeriodEnd", ""), row.get("BillingPeriodEnd", ""))
    end = end_and_rule(times)[0] or start
    tags = row.get("Tags", "")
    values = {name: CONVERT[name](row[name]) if name in row else "" for name in TEXTS}
    values |= {name: plain_decimal(row.get(name, "")) for name in DECIMALS}
    values["Tags"] = tags if tags_of(tags).canonical else ""
    texts = {name: tuple(values[column] for column in columns) for name, columns in DIMENSIONS.items()}
    numbers = [decimal_of(row.get(name, "")) for name in AMOUNTS]
    one = Row(
        line=line,
        month=month.year * 100 + month.month,
        start=seconds_of(start),
        end=seconds_of(end),
        currency=currency_of(row["BillingCurrency"]),
        units=[units_of(row.get(name, "")) for name in AMOUNTS],
        quantities=[values[name] for name in QUANTITIES],
        texts=texts,
        content=b"",
        identity=b"",
    )
    one.content = content_hash(
        month=one.month,
        start=one.start,
        end=one.end,
        currency=one.currency,
        amounts=one.units,
        said={name: said_hash(name, each) for name, each in texts.items()},
        quantities=one.quantities,
        beyond=["" if number is None else every_digit(number) for number in numbers],
    )
    known = {name: identity_hash(name, texts[name]) for name in ("product", "account", "resource")}
    one.identity = row_identity(**known, start=one.start, end=one.end)
    return one


def rules_of(row):
    times = (row["ChargePeriodStart"], row.get("ChargePeriodEnd", ""), row.get("BillingPeriodEnd", ""))
    rule = end_and_rule(times)[1]
    return [*([rule] if rule else []), *period_rules((row["BillingPeriodStart"], times[2]))]


# What a file says by columns -------------------------------------------------------------------------


def by_columns(path):
    said = Said()
    understanding = Understanding(Wanted(currency="USD"))
    known = {name: {} for name in DIMENSIONS}
    totals = defaultdict(Fraction)
    try:
        for batch in read_csv(path):
            try:
                found = understanding.of(batch)
            except BadValue:
                problems = problems_of(batch, has_period=False)
                said.problems += [(each.line, each.column, each.message) for each in problems]
                continue
            for name, new in found.dimensions.items():
                for each in new:
                    assert each.number not in known[name]
                    assert each.text_hash == hash_of(each.texts)
                    known[name][each.number] = each.texts
            said.rows += rows_of(found, known)
            for rule, rows in found.rules.items():
                said.rules[rule] += rows
            for scope, total in found.totals.items():
                for name in AMOUNTS:
                    totals[scope, name] += Fraction(total.exact[name])
                    totals[scope, name, "units"] += total.units[name]
                totals[scope, "rows"] += total.rows
    except FileError as error:
        problem = error.problems[0]
        return Said(refusals=[(problem.line, problem.message)]), totals
    return said, totals


def rows_of(found, known):
    columns = dict(zip(("line", "content", "identity", "start", "end", "currency"), found.columns, strict=False))
    units, rest = found.columns[6:10], found.columns[10:]
    for row, line in enumerate(columns["line"]):
        yield Row(
            line=line,
            month=int(found.months[row]),
            start=columns["start"][row],
            end=columns["end"][row],
            currency=columns["currency"][row],
            units=[column[row] for column in units],
            quantities=[column[row] for column in rest[len(DIMENSIONS) : len(DIMENSIONS) + 2]],
            texts={name: known[name][rest[place][row]] for place, name in enumerate(DIMENSIONS)},
            content=columns["content"][row],
            identity=columns["identity"][row],
        )


def summed(content, said):
    """Return the exact sums of rows by scope, added up as fractions."""
    text = io.StringIO(content.decode("utf-8-sig"), newline="")
    reader = csv.reader(text)
    header = next(reader)
    rows = [dict(zip(header, row, strict=True)) for row in reader if any(row)]
    totals = defaultdict(Fraction)
    for row, one in zip(rows, said.rows, strict=True):
        scope = (datetime.date(*divmod(one.month, 100), 1), one.texts["account"][0], one.currency)
        for name, units in zip(AMOUNTS, one.units, strict=True):
            totals[scope, name] += Fraction(decimal_of(row.get(name, "")) or 0)
            totals[scope, name, "units"] += units or 0
        totals[scope, "rows"] += 1
    return totals


def compare(path, content):
    expected = row_by_row(content)
    found, totals = by_columns(path)
    if expected.refusals:
        ((line, message),) = found.refusals
        assert any(line == of and says in message for of, says in expected.refusals)
        return
    assert not found.refusals, found.refusals
    assert found.problems[:MAX_PROBLEMS] == expected.problems[:MAX_PROBLEMS]
    if not expected.problems:
        assert found.rows == expected.rows
        assert dict(found.rules) == dict(expected.rules)
        assert totals == summed(content, expected)


# Files -----------------------------------------------------------------------------------------------


def written(rows, ends, *, quotes=None, names=NAMES):
    """Write rows as CSV; `quotes` says for each field whether it is quoted without need."""
    lines = [",".join(names)]
    for row in rows:
        fields = []
        for place, text in enumerate(row):
            needs = any(each in text for each in ',"\n\r')
            is_quoted = needs or (quotes is not None and quotes[place % len(quotes)])
            fields.append('"' + text.replace('"', '""') + '"' if is_quoted else text)
        lines.append(",".join(fields))
    return "".join(line + ends[number % len(ends)] for number, line in enumerate(lines)).encode()


def a_row(pools):
    return st.tuples(*(st.sampled_from(pools[name]) for name in NAMES))


MIXED = {name: (*SOUND[name] * 3, *UNSOUND.get(name, ())) for name in NAMES}
ENDS = st.lists(st.sampled_from(["\n", "\n", "\r\n"]), min_size=1, max_size=3)
BLOCKS = st.sampled_from([1, 300, 1_000, 1 << 20])
QUOTES = st.lists(st.booleans(), min_size=1, max_size=5)


@pytest.fixture
def sized(monkeypatch):
    def with_blocks_of(size):
        monkeypatch.setattr(csv_blocks, "FIRST_BLOCK", size)
        monkeypatch.setattr(csv_blocks, "LARGEST_BLOCK", size)
        monkeypatch.setattr(csv_file, "ROWS", 250)

    return with_blocks_of


@settings(ONCE, max_examples=150)
@given(rows=st.lists(a_row(SOUND), min_size=1, max_size=12), ends=ENDS, quotes=QUOTES, size=BLOCKS)
def test_rows_values_hashes_and_totals_are_those_of_each_row(tmp_path, sized, rows, ends, quotes, size):
    sized(size)
    content = written(rows, ends, quotes=quotes)
    (tmp_path / "a.csv").write_bytes(content)
    compare(tmp_path / "a.csv", content)


@settings(ONCE, max_examples=150)
@given(rows=st.lists(a_row(MIXED), min_size=1, max_size=12), ends=ENDS, size=BLOCKS)
def test_each_value_that_is_none_is_named_as_by_itself(tmp_path, sized, rows, ends, size):
    sized(size)
    content = written(rows, ends)
    (tmp_path / "a.csv").write_bytes(content)
    compare(tmp_path / "a.csv", content)


PLAIN = ("2025-01-01", "2025-01-01", "1.00", "vm", "a")
SHORT = ("BillingPeriodStart", "ChargePeriodStart", "BilledCost", "ResourceName", "BillingCurrency")
QUIRKS = st.lists(
    st.sampled_from(
        [
            *([b"2025-01-01,2025-01-01,1.00,vm,USD\n"] * 6),
            b'2025-01-01,2025-01-01,1.00,"vm",USD\n',
            b'2025-01-01,2025-01-01,1.00,"v""m",USD\n',
            b'2025-01-01,2025-01-01,1.00,"two\nlines",USD\n',
            b'2025-01-01,2025-01-01,1.00,"",USD\r\n',
            b'2025-01-01,2025-01-01,1.00,"""",USD\n',
            b'2025-01-01,2025-01-01,1.00,v"m,USD\n',
            b'2025-01-01,2025-01-01,1.00,v""m,USD\n',
            b'2025-01-01,2025-01-01,1.00, "vm",USD\n',
            b'2025-01-01,2025-01-01,1.00,"vm" ,USD\n',
            b'2025-01-01,2025-01-01,1.00,""vm"",USD\n',
            b'2025-01-01,2025-01-01,1.00,"vm,USD\n',
            b"2025-01-01,2025-01-01,1.00,vm\n",
            b"2025-01-01,2025-01-01,1.00,vm,USD,x\n",
            b"2025-01-01,2025-01-01,1.00,vm,USD\r",
            b"2025-01-01,2025-01-01,1.00,v\0m,USD\n",
            b"2025-01-01,2025-01-01,1.00,\xef\xbb\xbfvm\xe2\x80\x8b,USD\n",
            b"2025-01-01,2025-01-01,1.00,Zo\xeb,USD\n",
            b"\n",
            b"\r\n",
            b",,,,\n",
            b",,,,",
            b'"',
            b"2025-01-01,2025-01-01,,vm,USD\n",
            b"2025-01-01,2025-01-01,1.00,vm,USD",
        ]
    ),
    min_size=1,
    max_size=14,
)


@settings(ONCE, max_examples=400)
@given(lines=QUIRKS, size=BLOCKS, bom=st.booleans())
def test_every_quirk_of_a_file_is_read_or_refused_as_row_by_row(tmp_path, sized, lines, size, bom):
    sized(size)
    content = (b"\xef\xbb\xbf" if bom else b"") + ",".join(SHORT).encode() + b"\n" + b"".join(lines)
    (tmp_path / "a.csv").write_bytes(content)
    compare(tmp_path / "a.csv", content)


# Plain blocks ----------------------------------------------------------------------------------------


def a_plain_row(number):
    return f'2025-01-01,2025-01-01,{number}.5,"vm ""{number}""",USD\r\n'


def test_plain_blocks_are_read_by_columns_and_the_rest_row_by_row(tmp_path, sized, monkeypatch):
    sized(500)
    taken = []
    begin = csv_file._Rows.__init__
    monkeypatch.setattr(
        csv_file._Rows,
        "__init__",
        lambda self, *args, **options: taken.append(options["line"]) or begin(self, *args, **options),
    )
    rows = [a_plain_row(number) for number in range(100)]
    rows[80] = '2025-01-01,2025-01-01,1,"two\nlines",USD\r\n'
    path = tmp_path / "a.csv"
    path.write_text(",".join(SHORT) + "\r\n" + "".join(rows), newline="")
    lines, names = [], []
    for batch in read_csv(path):
        lines += batch.lines
        names += batch.texts("ResourceName")
    assert lines == [*range(2, 83), *range(84, 103)]
    assert names[:2] == ['vm "0"', 'vm "1"']
    assert names[80] == "two\nlines"
    (line,) = taken
    assert 60 < line <= 82


def test_a_file_that_cannot_be_read_to_its_end_says_what_is_wrong_before_it(tmp_path, sized):
    """Of two mistakes the first is named, though the second is met while the first one's block is read."""
    short = ",".join(SHORT) + "\n" + a_plain_row(1) + "too,short\n"
    (tmp_path / "a.csv").write_bytes(short.encode() + b"x" * (9 << 20))
    with pytest.raises(FileError) as refused:
        list(read_csv(tmp_path / "a.csv"))
    assert "longer than 8 MiB" in refused.value.problems[0].message
    rows = "".join(a_plain_row(number) for number in range(300))
    (tmp_path / "b.csv").write_bytes(short.encode() + rows.encode() + b"x" * (9 << 20))
    with pytest.raises(FileError, match="The row has 2 fields where the header has 5"):
        list(read_csv(tmp_path / "b.csv"))


# Numbers ---------------------------------------------------------------------------------------------


def test_a_dimension_that_forgets_gives_new_numbers_and_the_same_hashes():
    numbering = Numbering("description", size=3)
    first = numbering.of([("a",), ("b",), ("c",)])
    assert (first.numbers.tolist(), [each.number for each in first.new]) == ([1, 2, 3], [1, 2, 3])
    again = numbering.of([("c",), ("d",), ("c",)])
    assert (again.numbers.tolist(), [each.texts for each in again.new]) == ([4, 5, 4], [("c",), ("d",)])
    assert again.said[0] == first.said[2]
    assert numbering.of([("d",)]).numbers.tolist() == [5]
    assert again.new[0].text_hash == first.new[2].text_hash == hash_of(("c",))


def test_no_text_of_a_dimension_is_two_of_another():
    numbering = Numbering("price")
    assert numbering.of([("1", ""), ("", "1")]).numbers.tolist() == [1, 2]
    assert DELIMITER not in "".join(SOUND["ServiceName"])
