"""The same rows in every physical format are the same charges."""

import csv
import datetime
import decimal
import gzip
import io
import itertools
import json
import zipfile
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.conf import settings
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as with_settings
from hypothesis import strategies as st

from billing.attribution import Attributor, reference_of
from billing.importing.converting import Converter
from billing.models import Policy
from billing.readers import FileError, Kind, UnreadableFile, open_delivery, read, read_csv
from billing.readers.amount_columns import amount_column
from billing.readers.amounts import decimal_of
from billing.readers.cells import check_code
from billing.readers.values import BadValue
from tests import build

SAMPLES = Path(settings.BASE_DIR).parent / "shared" / "samples"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the shared samples are not on this machine")
DAY = datetime.timedelta(days=1)


def part_of(path):
    (part,) = open_delivery([path], [path.name])
    return part


def table_of(path, **options):
    """Return the rows of a file as dicts with their line."""
    rows = []
    for batch in read(part_of(path), **options):
        for line, *values in zip(batch.lines, *map(batch.texts, batch.columns), strict=True):
            rows.append({"line": line, **dict(zip(batch.columns, values, strict=True))})
    return rows


def total_of(rows, column):
    return amount_column(pa.array([row[column] for row in rows])).total()


# Rows are written as a provider knows them: values with types. None is no value.
MONEY = ("BilledCost", "EffectiveCost", "ListCost")
COLUMNS = (
    *("BillingAccountId", "BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd"),
    *("ChargeCategory", "ServiceName", "ResourceId", "SkuId", "BillingCurrency", *MONEY, "PricingQuantity", "Tags"),
)
words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12).map(str.strip)
# Spreadsheets keep 15 digits; with more, a workbook would not hold the same rows.
doubles = (
    st.floats(-1e9, 1e9, allow_nan=False)
    .filter(lambda value: value == 0 or abs(value) > 1e-30)
    .map(lambda value: float(f"{value:.15g}"))
)


def is_an_id(text):
    """Leave out what spreadsheets make of ids: it is refused, whatever the format."""
    try:
        check_code(text)
    except BadValue:
        return False
    return text not in ("", "NULL", "null", "(null)")


rows_strategy = st.lists(
    st.fixed_dictionaries(
        {
            "BillingAccountId": st.sampled_from(["0042", "123456789012", "acct"]),
            "hour": st.integers(0, 743),
            "ChargeCategory": st.sampled_from(["Usage", "Credit", "Tax"]),
            "ServiceName": words,
            "ResourceId": st.none() | words.filter(is_an_id),
            "SkuId": st.none() | st.integers(0, 10**14).map(str),
            "BilledCost": doubles,
            "EffectiveCost": st.none() | doubles,
            "ListCost": doubles,
            "PricingQuantity": st.none() | doubles,
            "Tags": st.dictionaries(words, words, max_size=3),
        }
    ).map(lambda row: as_row(**row)),
    min_size=1,
    max_size=8,
)


def as_row(hour, **values):
    start = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(hours=hour)
    return {
        **values,
        "BillingPeriodStart": datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC),
        "BillingPeriodEnd": datetime.datetime(2025, 2, 1, tzinfo=datetime.UTC),
        "ChargePeriodStart": start,
        "ChargePeriodEnd": start + datetime.timedelta(hours=1),
        "BillingCurrency": "USD",
    }


def text(value):
    if value is None:
        return ""
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return repr(value) if isinstance(value, float) else str(value)


def csv_text(rows, delimiter=","):
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(COLUMNS)
    writer.writerows([text(row[column]) for column in COLUMNS] for row in rows)
    return out.getvalue().encode()


def write_csv(path, rows):
    path.write_bytes(csv_text(rows))


def write_tsv(path, rows):
    path.write_bytes(csv_text(rows, "\t"))


def write_gzip(path, rows):
    path.write_bytes(gzip.compress(csv_text(rows)))


def write_zip(path, rows):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__MACOSX/._costs.csv", b"\0\1")
        archive.writestr("costs.csv", csv_text(rows))


def write_parquet_texts(path, rows):
    pq.write_table(pa.table({column: [text(row[column]) for row in rows] for column in COLUMNS}), path)


def write_parquet_aws(path, rows):
    """DOUBLE, INT96 and MAP, in small row groups."""
    types = {"Tags": pa.map_(pa.string(), pa.string())}
    pq.write_table(typed(rows, types), path, use_deprecated_int96_timestamps=True, row_group_size=3)


def write_parquet_google(path, rows):
    """TIMESTAMP in UTC, dictionaries and tags as a list of keys and values."""
    types = {"Tags": pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())]))}
    changed = [{**row, "Tags": [{"key": key, "value": value} for key, value in row["Tags"].items()]} for row in rows]
    types["ServiceName"] = pa.dictionary(pa.int32(), pa.string())
    pq.write_table(typed(changed, types, pa.timestamp("us", "UTC")), path, compression="gzip")


def write_parquet_zipped(path, rows):
    inner = io.BytesIO()
    pq.write_table(typed(rows, {"Tags": pa.map_(pa.string(), pa.string())}, pa.timestamp("ms")), inner)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("costs.parquet", inner.getvalue())


def typed(rows, types, moment=None):
    moment = moment or pa.timestamp("ns")
    arrays = {}
    for column in COLUMNS:
        values = [row[column] for row in rows]
        if column.endswith(("Start", "End")):
            values = [value if moment.tz else value.replace(tzinfo=None) for value in values]
            arrays[column] = pa.array(values, moment)
        elif column == "Tags" and pa.types.is_map(types["Tags"]):
            arrays[column] = pa.array([list(value.items()) for value in values], types["Tags"])
        elif column in MONEY or column == "PricingQuantity":
            arrays[column] = pa.array(values, pa.float64())
        else:
            arrays[column] = pa.array(values, types.get(column, pa.string()))
    return pa.table(arrays)


def write_xlsx(path, rows):
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append(COLUMNS)
    for row in rows:
        cells = []
        for column in COLUMNS:
            value = row[column]
            if isinstance(value, datetime.datetime):
                value = value.replace(tzinfo=None)
            elif isinstance(value, dict):
                value = text(value)
            cells.append(cell(sheet, value))
        sheet.append(cells)
    book.save(path)


def cell(sheet, value):
    """Write texts as texts: openpyxl would make a formula of `=1`."""
    written = openpyxl.cell.WriteOnlyCell(sheet, value if value != "" else None)
    if isinstance(value, str) and value:
        written.data_type = "s"
    return written


WRITERS = (
    ("costs.csv", write_csv),
    ("costs.tsv", write_tsv),
    ("costs.csv.gz", write_gzip),
    ("costs.zip", write_zip),
    ("texts.parquet", write_parquet_texts),
    ("aws.snappy.parquet", write_parquet_aws),
    ("google.parquet", write_parquet_google),
    ("parquet.zip", write_parquet_zipped),
    ("costs.xlsx", write_xlsx),
)


def converted(path, batch_rows=500):
    """Return the content and identity hashes of a file's rows in order, and the totals."""
    policy = Policy.objects.current()
    converter = Converter(
        attributor=Attributor(source=build.a_source("aws"), policy=policy),
        reference=reference_of(policy),
        currency="USD",
    )
    hashes = []
    for batch in read(part_of(path), batch_rows=batch_rows):
        staged = converter.convert(batch, file_name=path.name, file_number=1)
        assert not converter.problems, converter.problems
        hashes += zip(staged.said.content_hashes, staged.said.identity_hashes, strict=True)
    totals = {scope: (total.rows, total.units, total.exact) for scope, total in converter.totals.items()}
    return hashes, totals


@pytest.mark.django_db
@with_settings(
    max_examples=25,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows_strategy)
def test_every_physical_format_of_the_same_rows_gives_the_same_charges(tmp_path, rows):
    found = {}
    for name, write in WRITERS:
        path = tmp_path / name
        write(path, [*rows])
        found[name] = converted(path, batch_rows=3)
        assert found[name] == found["costs.csv"], name


@pytest.mark.parametrize(("name", "write"), WRITERS)
def test_a_format_is_known_by_its_content(tmp_path, name, write):
    write(tmp_path / name, [sample_row()])
    (tmp_path / "misnamed.dat").write_bytes((tmp_path / name).read_bytes())
    assert table_of(tmp_path / name) == table_of(tmp_path / "misnamed.dat")


def sample_row(**changes):
    row = as_row(
        hour=5,
        BillingAccountId="0042",
        ChargeCategory="Usage",
        ServiceName="Compute",
        ResourceId="i-1",
        SkuId="12",
        BilledCost=8e-7,
        EffectiveCost=None,
        ListCost=1.5,
        PricingQuantity=2.0,
        Tags={"pi_email": "ada@u.edu"},
    )
    return row | changes


@pytest.mark.parametrize(("name", "write"), WRITERS)
def test_rows_are_numbered_as_a_person_finds_them(tmp_path, name, write):
    write(tmp_path / name, [sample_row() for _ in range(7)])
    first = 1 if "parquet" in name else 2
    assert [row["line"] for row in table_of(tmp_path / name, batch_rows=2)] == list(range(first, first + 7))


@pytest.mark.parametrize(("name", "write"), WRITERS)
def test_progress_reaches_the_size_of_the_part_and_never_passes_it(tmp_path, name, write):
    write(tmp_path / name, [sample_row() for _ in range(50)])
    part = part_of(tmp_path / name)
    told = [batch.bytes_read for batch in read(part, batch_rows=10)]
    assert told == sorted(told)
    assert 0 < told[-1] <= part.size


# Samples that nobody here wrote ----------------------------------------------------------------------


@needs_samples
def test_the_official_sample_adds_up_per_provider():
    rows = table_of(SAMPLES / "focus_official" / "focus_sample_1.0_1000.csv")
    sums = {}
    for row in rows:
        sums.setdefault(row["ProviderName"], []).append(row)
    assert {name: len(of) for name, of in sums.items()} == {"AWS": 942, "Microsoft": 51, "Oracle": 7}
    assert [str(total_of(sums["AWS"], column).normalize()) for column in MONEY] == [
        "18.0066386184",
        "13",
        "18.1493176406",
    ]
    assert total_of(sums["Microsoft"], "ContractedCost") == decimal.Decimal("1.97626039326")
    assert total_of(sums["Oracle"], "BilledCost") == decimal.Decimal("0.53707392473")
    assert {row["ContractedCost"] for row in sums["Oracle"]} <= {"", "NULL"}


@needs_samples
def test_parquet_in_the_types_of_aws_holds_the_rows_of_the_csv(tmp_path):
    with (SAMPLES / "focus_official" / "focus_sample_1.0_1000.csv").open(newline="") as lines:
        reader = csv.DictReader(lines)
        of_aws = [row for row in reader if row["ProviderName"] == "AWS"]
    rows = table_of(SAMPLES / "focus_official" / "aws_focus_1_0-00001.snappy.parquet")
    assert len(rows) == len(of_aws) == 942
    assert total_of(rows, "BilledCost") == decimal.Decimal("18.0066386184")
    for row, other in itertools.islice(zip(rows, of_aws, strict=True), 942):
        assert decimal_of(row["BilledCost"]) == decimal_of(other["BilledCost"])
        assert row["ChargePeriodStart"] == other["ChargePeriodStart"].replace(" ", "T") + "Z"


@needs_samples
@pytest.mark.django_db
def test_the_parquet_sample_gives_the_charges_of_its_csv_rows(tmp_path):
    content = (SAMPLES / "focus_official" / "focus_sample_1.0_1000.csv").read_text()
    rows = list(csv.reader(io.StringIO(content)))
    provider = rows[0].index("ProviderName")
    with (tmp_path / "aws.csv").open("w", newline="") as out:
        csv.writer(out).writerows([rows[0], *(row for row in rows[1:] if row[provider] == "AWS")])
    one = converted(tmp_path / "aws.csv")
    other = converted(SAMPLES / "focus_official" / "aws_focus_1_0-00001.snappy.parquet")
    assert one == other


OWN = {
    "aws_2025-01.csv": (25, "19086.75"),
    "aws_2025-12.csv": (25, "20965.25"),
    "azure_2025-01.csv": (4, "735.25"),
    "azure_2025-12.csv": (5, "1228.25"),
    "hpc_2025-01.csv": (9, "0"),
    "hpc_2025-12.csv": (10, "0"),
    "it_storage_2025-01.csv": (6, "360"),
    "it_storage_2025-12.csv": (7, "465"),
    "storage_2025-01.csv": (15, "45"),
    "storage_2025-12.csv": (15, "60"),
}


@needs_samples
@pytest.mark.parametrize("name", OWN)
def test_the_lenient_form_is_read_to_the_cent(name):
    rows = table_of(SAMPLES / "openchargeback" / name)
    assert (len(rows), total_of(rows, "BilledCost")) == (OWN[name][0], decimal.Decimal(OWN[name][1]))


@needs_samples
def test_every_sample_has_an_outcome():
    outcomes = {}
    for path in sorted(SAMPLES.rglob("*.csv")) + sorted(SAMPLES.rglob("*.parquet")):
        if "usage" in path.relative_to(SAMPLES).parts:
            # What was used is no bill: where it is not in the form of one either, it is refused by name.
            continue
        try:
            outcomes[path.name] = len(table_of(path))
        except FileError as error:
            outcomes[path.name] = error.problems[0].message.split(".")[0]
    assert outcomes.pop("azure_EA_ActualCost_Small.csv") == "This is Azure cost details (EA or MCA), not FOCUS"
    assert all(isinstance(outcome, int) for outcome in outcomes.values())
    assert sum(outcomes.values()) == 942 + 1000 + 4 + 121


@needs_samples
@pytest.mark.parametrize("name", ["test-data1.csv", "opencost_csv_export.csv"])
def test_a_sample_of_usage_is_refused_by_name_and_never_read_as_a_bill(name):
    with pytest.raises(FileError, match="This is not a FOCUS file: it lacks the columns"):
        table_of(next((SAMPLES / "usage").rglob(name)))


# Text ------------------------------------------------------------------------------------------------


def written(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path, **options):
    with pytest.raises(FileError) as caught:
        table_of(path, **options)
    return caught.value.problems[0]


SHORT = "BillingPeriodStart,ChargePeriodStart,BilledCost,ResourceName\n"
SHORT_ROW = "2025-01-01,2025-01-01,1.00,vm\n"


def test_lines_of_nothing_but_delimiters_are_blank_lines(tmp_path):
    path = written(tmp_path / "a.csv", SHORT + SHORT_ROW + ",,,\n" + SHORT_ROW + ",,,\n,,,\n")
    assert [row["line"] for row in table_of(path)] == [2, 4]
    assert refusal(written(tmp_path / "b.csv", SHORT + ",,,\n")).message == "The file has a header and no rows."


def test_a_row_without_a_cost_is_kept_to_be_named_by_the_converter(tmp_path):
    path = written(tmp_path / "a.csv", SHORT + SHORT_ROW + "2025-01-01,,,\n")
    assert [row["BilledCost"] for row in table_of(path)] == ["1.00", ""]


def test_the_line_in_which_excel_names_the_delimiter_is_passed_over(tmp_path):
    path = written(tmp_path / "a.csv", "sep=;\n" + (SHORT + SHORT_ROW).replace(",", ";"))
    assert [row["line"] for row in table_of(path)] == [3]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"BZh91AY", "bzip2"),
        (b"\xfd7zXZ\0", "xz"),
        (b"7z\xbc\xaf'", "7z"),
        (b"%PDF-1.7", "PDF"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "Excel"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1" + "EncryptedPackage".encode("utf-16-le"), "protected by a password"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1" + "Workbook".encode("utf-16-le"), "old Excel workbook (.xls)"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1" + "__properties_version1.0".encode("utf-16-le"), "e-mail (.msg)"),
        (b"PARE", "encrypted"),
        (b"Obj\x01avro", "Avro"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', "XML"),
        (b'<?xml version="1.0"?>\n<?mso-application progid="Excel.Sheet"?>', "Excel workbook as XML"),
        (b'<?xml version="1.0"?>\n<html xmlns="http://www.w3.org/1999/xhtml">', "web page"),
        (b"<table><tr><td>BilledCost</td></tr></table>", "web page"),
        (b'<html xmlns:x="urn:schemas-microsoft-com:office:excel"><table>', "web page"),
        (b"<rows><row/></rows>", "web page or XML"),
        (b"Received: from mx\r\n by y;\r\nSubject: costs\r\n\r\nhello", "e-mail"),
        (b"From: ada@u.edu\nTo: b@u.edu\n\nBilledCost", "e-mail"),
        (b"{\\rtf1\\ansi", "RTF"),
        (b"ARROW1\0\0", "Arrow"),
        (b"Rar!\x1a\x07", "rar"),
        (b"\x89PNG\r\n", "picture"),
        (b'[{"BilledCost": 1}]', "This is JSON, not CSV"),
        (b'{"BilledCost": 1}\n{"BilledCost": 2}\n', "This is JSON lines, not CSV"),
        (b'\xef\xbb\xbf{"a": 1}\r\n\r\n{"a": 2}\r\n', "This is JSON lines, not CSV"),
        (b'{"BilledCost": 1}\n', "This is JSON lines, not CSV"),
        (b'{"a": "' + b"x" * 100_000 + b'"}\n{"a": 2}\n', "This is JSON lines, not CSV"),
        (gzip.compress(b'{"a": 1}\n{"a": 2}\n', mtime=0), "In the gzip archive: This is JSON lines"),
        (gzip.compress(b'[{"a": 1}]', mtime=0), "In the gzip archive: This is JSON, not CSV"),
        (b"[1, 2]", "JSON"),
        (b'{"a": 1}', "not the manifest"),
        (b"x" * 257 + b"ustar\x0000", "tar"),
        (b"PK\x05\x06" + b"\0" * 18, "no data files"),
        (b"PK\x03\x04 and then nothing", "damaged"),
        (b"\x1f\x8b\x08\0 and then nothing", "cannot be unpacked|ends in the middle"),
        (b"PAR1 and then nothing", "ends in the middle"),
        (b"PAR1 nothing much PAR1", "damaged"),
        (gzip.compress(b"PAR1 in gzip", mtime=0), "In the gzip archive: This is a parquet"),
        (gzip.compress(b"", mtime=0), "empty"),
        (b"", "empty"),
    ],
)
def test_what_is_no_table_of_costs_is_refused_by_what_it_is(tmp_path, content, says):
    message = refusal(written(tmp_path / "some.csv", content)).message
    assert any(word in message for word in says.split("|")), message


@pytest.mark.parametrize(
    ("member", "says"),
    [
        ("content.xml", "OpenDocument file (.ods"),
        ("xl/workbook.bin", "binary Excel workbook"),
        ("Index/Document.iwa", "Apple Numbers"),
        ("costs.ndjson.csv", "This is JSON lines"),
    ],
)
def test_what_a_zip_holds_is_said(tmp_path, member, says):
    path = tmp_path / "costs.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/some")
        archive.writestr(member, '{"a": 1}\n{"a": 2}\n')
    assert says in refusal(path).message


def test_a_gzip_that_was_not_copied_completely_names_the_line_it_ends_on(tmp_path):
    whole = gzip.compress(csv_text([sample_row(BilledCost=n / 7) for n in range(5000)]))
    problem = refusal(written(tmp_path / "a.csv.gz", whole[: len(whole) // 2]))
    assert "ends in the middle" in problem.message
    assert problem.line > 100


def test_a_gzip_of_several_members_is_read_whole(tmp_path):
    content = gzip.compress(SHORT.encode()) + gzip.compress(SHORT_ROW.encode()) + gzip.compress(SHORT_ROW.encode())
    assert len(table_of(written(tmp_path / "a.csv.gz", content))) == 2


@pytest.mark.parametrize("before", [0, 3, 70_000])
def test_a_byte_that_is_no_utf8_is_found_by_line_and_position(tmp_path, before):
    good = "é" * 20 + "\n"
    content = SHORT.encode() + f"2025-01-01,2025-01-01,1,{good}".encode() * before + b"2025-01-01,2025-01-01,1,Zo\xeb\n"
    for path in (written(tmp_path / "a.csv", content), written(tmp_path / "a.csv.gz", gzip.compress(content))):
        problem = refusal(path)
        assert (problem.line, "0xEB at position 27" in problem.message) == (before + 2, True)


def test_the_chunks_of_one_delivery_may_have_different_columns(tmp_path):
    one = written(tmp_path / "1.csv", SHORT + SHORT_ROW)
    two = written(
        tmp_path / "2.csv", "BilledCost,ChargePeriodStart,BillingPeriodStart,InvoiceId\n2,2025-01-01,2025-01-01,7\n"
    )
    columns = [set(next(read(part)).columns) for part in open_delivery([one, two], ["1.csv", "2.csv"])]
    assert columns[0] - columns[1] == {"ResourceName"}
    assert columns[1] - columns[0] == {"InvoiceId"}


def test_reading_by_path_and_by_part_is_the_same(tmp_path):
    path = written(tmp_path / "a.csv", SHORT + SHORT_ROW * 3)
    assert part_of(path).kind is Kind.CSV
    by_path, by_part = list(read_csv(path)), list(read(part_of(path)))
    assert [list(batch.lines) for batch in by_path] == [list(batch.lines) for batch in by_part] == [[2, 3, 4]]
    assert [batch.texts("ResourceName") for batch in by_path] == [batch.texts("ResourceName") for batch in by_part]


def test_a_file_that_vanished_is_refused_when_it_is_read(tmp_path):
    for name, write in WRITERS:
        write(tmp_path / name, [sample_row()])
        part = part_of(tmp_path / name)
        (tmp_path / name).unlink()
        with pytest.raises(UnreadableFile):
            list(read(part))
