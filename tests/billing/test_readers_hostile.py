"""Files that are damaged, or made to do damage: a named error, in bounded memory and time."""

import contextlib
import gzip
import io
import time
import tracemalloc
import zipfile
import zlib

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from billing.readers import FileError, open_delivery, read
from billing.readers.streams import MIB
from tests.billing.test_readers_formats import WRITERS, sample_row

HEADER = b"BillingPeriodStart,ChargePeriodStart,BilledCost,ResourceName\n"
ROW = b"2025-01-01,2025-01-01,1.00,vm\n"


def all_rows(path):
    return sum(len(batch.lines) for part in open_delivery([path], [path.name]) for batch in read(part))


def refusal(path, memory=300 * MIB, seconds=60.0):
    """Return what a file is refused with, having checked what the refusal took."""
    begun = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(FileError) as caught:
            all_rows(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < memory
    assert time.monotonic() - begun < seconds
    return caught.value.problems[0]


def written(path, content):
    path.write_bytes(content)
    return path


def repeated(content, times):
    """Pack the same bytes many times, quickly: a gzip file may consist of many."""
    return gzip.compress(content, 9) * times


# Text ------------------------------------------------------------------------------------------------


def test_a_gigabyte_in_one_line_is_refused(tmp_path):
    with (tmp_path / "a.csv").open("wb") as out:
        out.write(HEADER + ROW)
        out.truncate(1024 * MIB)
    problem = refusal(tmp_path / "a.csv", memory=100 * MIB)
    assert (problem.line, "longer than 8 MiB" in problem.message) == (3, True)


def test_a_gigabyte_in_one_packed_line_is_refused(tmp_path):
    content = repeated(HEADER + ROW, 1) + repeated(b"x" * MIB, 1024)
    assert "longer than 8 MiB" in refusal(written(tmp_path / "a.csv.gz", content), memory=100 * MIB).message


def test_a_header_without_end_is_refused(tmp_path):
    content = repeated(b"BilledCost," * 100_000, 1000)
    assert "not a CSV" in refusal(written(tmp_path / "a.csv.gz", content), memory=100 * MIB).message


def test_a_quote_that_is_never_closed_does_not_take_in_the_file(tmp_path):
    content = HEADER + b'2025-01-01,2025-01-01,1.00,"open\n' + ROW * 1_000_000
    assert "quote" in refusal(written(tmp_path / "a.csv", content), memory=150 * MIB).message


def test_rows_of_nothing_but_delimiters_do_not_fill_the_memory(tmp_path):
    content = repeated(HEADER, 1) + repeated(b"," * 4 * MIB + b"\n", 500)
    refusal(written(tmp_path / "a.csv.gz", content), memory=500 * MIB)


def test_a_gzip_bomb_is_refused_by_its_ratio(tmp_path):
    row = b"2025-01-01,2025-01-01,1.00," + b"x" * 20_000 + b"\n"
    content = repeated(HEADER, 1) + repeated(row * 1000, 1000)
    assert "200 times" in refusal(written(tmp_path / "a.csv.gz", content)).message


# Archives --------------------------------------------------------------------------------------------


def zipped(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            with archive.open(name, "w", force_zip64=True) as member:
                for block in content:
                    member.write(block)
    return out.getvalue()


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    content = zipped([("a.csv", [b"0" * MIB] * 300)])
    assert "200 times" in refusal(written(tmp_path / "a.zip", content), memory=20 * MIB, seconds=5).message


def test_many_small_bombs_are_one(tmp_path):
    content = zipped([(f"{n}.csv", [b"0" * MIB] * 30) for n in range(10)])
    assert "200 times" in refusal(written(tmp_path / "a.zip", content), memory=20 * MIB, seconds=5).message


def test_a_member_that_lies_about_its_size_gives_no_more_than_it_says(tmp_path):
    block = ROW * 1000
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(HEADER + block * 1000) + packer.flush()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("a.csv"), packed)
    content = bytearray(out.getvalue())
    directory = content.index(b"PK\x01\x02")
    # Deflated, of 100 bytes.
    content[8], content[directory + 10] = 8, 8
    content[22:26] = content[directory + 24 : directory + 28] = (100).to_bytes(4, "little")
    assert "damaged" in refusal(written(tmp_path / "a.zip", bytes(content)), memory=20 * MIB).message


@pytest.mark.parametrize("name", ["a.zip", "a.xlsx"])
def test_a_member_whose_name_is_not_the_utf8_it_says_is_damage(tmp_path, name):
    if name == "a.zip":
        content = bytearray(zipped([("a.csv", [HEADER, ROW])]))
    else:
        dict(WRITERS)["costs.xlsx"](tmp_path / name, [sample_row()])
        content = bytearray((tmp_path / name).read_bytes())
    # The flag for UTF-8 of the first member, where it stands and not in the directory; its name begins at byte 30.
    content[7] |= 0x08
    content[30] = 0xF1
    assert "damaged" in refusal(written(tmp_path / name, bytes(content))).message


def test_a_zip_of_countless_members_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(10_001):
            archive.writestr(f"{number}.csv", b"")
    assert "more than 10,000 members" in refusal(tmp_path / "a.zip").message


# Workbooks -------------------------------------------------------------------------------------------


def a_workbook(sheet, **parts):
    """Make a workbook of one sheet, given as XML, with other parts replaced."""
    plain = io.BytesIO()
    book = openpyxl.Workbook()
    book.save(plain)
    out = io.BytesIO()
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name == "xl/worksheets/sheet1.xml":
                with new.open(name, "w", force_zip64=True) as member:
                    for block in sheet:
                        member.write(block)
            else:
                new.writestr(name, parts.get(name, old.read(name)))
    return out.getvalue()


START = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
END = b"</sheetData></worksheet>"


def a_row(number, *values):
    cells = "".join(f'<c t="inlineStr"><is><t>{value}</t></is></c>' for value in values)
    return f'<row r="{number}">{cells}</row>'.encode()


NAMES = ("BillingPeriodStart", "ChargePeriodStart", "BilledCost")


def test_a_workbook_of_a_gigabyte_in_one_cell_is_refused(tmp_path):
    blocks = [START, b'<row r="1"><c t="inlineStr"><is><t>', *[b"x" * MIB] * 1024, b"</t></is></c></row>", END]
    problem = refusal(written(tmp_path / "a.xlsx", a_workbook(blocks)), memory=20 * MIB)
    assert "unpacks to 1,073," in problem.message


def test_a_row_far_beyond_the_last_is_refused_and_a_column_there_makes_up_none_between(tmp_path):
    values = ("2025-01-01", "2025-01-01", "1")
    far = [START, a_row(1, *NAMES), a_row(2, *values), a_row(999_999_999, *values), END]
    problem = refusal(written(tmp_path / "a.xlsx", a_workbook(far)))
    assert "more than 1,048,576 rows" in problem.message
    wide = b'<row r="2"><c r="ZZZZZZ2"><v>1</v></c></row>'
    problem = refusal(written(tmp_path / "b.xlsx", a_workbook([START, a_row(1, *NAMES), wide, END])))
    assert "no rows" in problem.message or "damaged" in problem.message


def test_entities_are_refused_before_they_unfold(tmp_path):
    lol = b'<!DOCTYPE x [<!ENTITY a "xxxxxxxxxx"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    problem = refusal(written(tmp_path / "a.xlsx", a_workbook([lol, START, END])))
    assert "damaged" in problem.message


# Parquet ---------------------------------------------------------------------------------------------


def a_parquet(path, column, values, **options):
    size = len(values)
    base = {"BillingPeriodStart": ["2025-01-01"] * size, "ChargePeriodStart": ["2025-01-01"] * size}
    pq.write_table(pa.table(base | {"BilledCost": ["1"] * size, column: values}), path, **options)
    return path


def test_a_large_value_in_a_dictionary_is_kept_once(tmp_path):
    large = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array(["x" * MIB]))
    path = a_parquet(tmp_path / "a.parquet", "ResourceId", large)
    before = pa.default_memory_pool().bytes_allocated()
    assert path.stat().st_size < MIB
    assert all_rows(path) == 100_000
    assert pa.default_memory_pool().bytes_allocated() - before < 10 * MIB
    assert pa.default_memory_pool().max_memory() < 1024 * MIB


def test_a_column_that_unpacks_a_thousandfold_is_refused_by_its_table_of_contents(tmp_path):
    values = pa.array(["x" * MIB] * 300)
    path = a_parquet(tmp_path / "a.parquet", "ResourceId", values, use_dictionary=False, compression="zstd")
    assert "ResourceId" in refusal(path, memory=20 * MIB).message


# Noise -----------------------------------------------------------------------------------------------

# Cut, overwrite or insert at some share of the file's length.
CHANGES = st.lists(
    st.tuples(st.sampled_from(["cut", "set", "insert"]), st.floats(0, 1), st.binary(min_size=1, max_size=8)),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize(("name", "write"), WRITERS)
@settings(
    max_examples=60,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(changes=CHANGES)
def test_a_damaged_file_raises_the_named_error_or_is_read(tmp_path, name, write, changes):
    whole = tmp_path / name
    if not whole.exists():
        write(whole, [sample_row(BilledCost=n / 7, Tags={"pi": f"p{n}"}) for n in range(20)])
    content = bytearray(whole.read_bytes())
    for what, share, noise in changes:
        place = int(share * len(content))
        if what == "cut":
            del content[place:]
        elif what == "set":
            content[place : place + len(noise)] = noise
        else:
            content[place:place] = noise
    # Any other error, or none of the reader's own, breaks the test.
    with contextlib.suppress(FileError):
        all_rows(written(tmp_path / f"damaged-{name}", bytes(content)))


@settings(
    max_examples=150,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(changes=st.lists(st.tuples(st.integers(9, 3000), st.integers(0, 255)), min_size=1, max_size=3))
def test_a_damaged_table_of_contents_of_a_parquet_file_is_named_and_ends_no_process(tmp_path, changes):
    name, write = WRITERS[5]
    if not (tmp_path / name).exists():
        write(tmp_path / name, [sample_row(BilledCost=n / 7) for n in range(20)])
    content = bytearray((tmp_path / name).read_bytes())
    for back, byte in changes:
        content[-back] = byte
    # Arrow's bindings abort over some of them, if they are asked about a column chunk before it was checked.
    with contextlib.suppress(FileError):
        all_rows(written(tmp_path / "damaged.parquet", bytes(content)))
