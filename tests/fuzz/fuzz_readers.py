"""Coverage-guided fuzzing of the readers: only errors of their own, no crash, no hang.

Not part of the test suite: it takes as long as it is given. Needs the package `atheris`, which is not among the
requirements:

    pip install atheris
    python tests/fuzz/fuzz_readers.py -max_total_time=1200 -timeout=20 -rss_limit_mb=2048

The options are libFuzzer's. What it finds is written as `crash-…` or `timeout-…` into the current folder, and becomes a
test in tests/billing/test_readers_hostile.py.
"""

import gzip
import io
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

import atheris  # noqa: E402

with atheris.instrument_imports(include=["billing.readers", "billing.rollup"]):
    from billing.importing.rollup import Rollup
    from billing.readers import FileError, open_delivery, read
    from billing.readers.amounts import decimal_of
    from billing.readers.dates import end_of, month_of, time_of
    from billing.readers.problems import problems_of
    from billing.readers.tags import tags_of
    from billing.readers.understanding import Understanding, Wanted
    from billing.readers.values import BadValue

FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-"))
NAMES = ("delivery.csv", "delivery.parquet", "delivery.xlsx", "delivery.zip", "manifest.json", "delivery.csv.gz")
DECIMALS = ("BilledCost", "EffectiveCost", "ListCost", "PricingQuantity", "ListUnitPrice")


def one(data: bytes) -> None:
    """Read one file as both ways of reading do; anything but FileError and BadValue is a finding."""
    if not data:
        return
    name = NAMES[data[0] % len(NAMES)]
    path = FOLDER / name
    path.write_bytes(data[1:])
    try:
        for part in open_delivery([path], [name]):
            rollup, understanding = Rollup(by_month=bool(data[0] & 64)), Understanding(Wanted(currency="USD"))
            for batch in read(part):
                _convert(batch)
                try:
                    understanding.of(batch)
                except BadValue:
                    assert problems_of(batch, has_period=False)
                rollup.add(batch.columns, batch.lines)
            for batch in rollup.batches():
                assert len(batch.lines) == len(batch.columns["BilledCost"])
    except (FileError, BadValue):
        pass


def _convert(batch) -> None:
    for name in batch.columns:
        for text in batch.texts(name):
            try:
                if name in DECIMALS:
                    decimal_of(text)
                elif name == "Tags":
                    tags_of(text)
                elif name == "BillingPeriodStart":
                    month_of(text)
                elif name.endswith(("Start", "End")):
                    time_of(text)
                    end_of((text, text, ""))
            except BadValue:
                pass


def seeds() -> list[bytes]:
    """Return small files of every kind to begin with."""
    import openpyxl
    import pyarrow as pa
    import pyarrow.parquet as pq

    header = "BillingPeriodStart,ChargePeriodStart,ChargePeriodEnd,BilledCost,ListCost,ResourceId,ServiceName,Tags\n"
    row = '2025-01-01,2025-01-02T00:00:00Z,2025-01-03 00:00:00.000+00:00,-6.1E-7,0.5,i-1,EC2,"{""pi"":""a@u.edu""}"\n'
    text = (header + row * 3).encode()
    table = pa.table(
        {
            "BillingPeriodStart": pa.array([0, 1], pa.timestamp("us", "UTC")),
            "ChargePeriodStart": pa.array([0, 1], pa.timestamp("ns")),
            "BilledCost": pa.array([0.1, None]),
            "ListCost": pa.array(["1.5", "2"]).cast(pa.decimal128(38, 18)),
            "Tags": pa.array([[("a", "b")], None], pa.map_(pa.string(), pa.string())),
        }
    )
    parquet, packed, archive, workbook = io.BytesIO(), gzip.compress(text), io.BytesIO(), io.BytesIO()
    pq.write_table(table, parquet)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("a.csv", text)
        members.writestr("b.csv", text)
    book = openpyxl.Workbook()
    for line in text.decode().splitlines():
        book.active.append(line.split(",")[:6])
    book.save(workbook)
    manifest = (
        b'{"blobCount":1,"dataRowCount":3,"blobs":[{"blobName":"a/delivery.csv","byteCount":9,"dataRowCount":3}]}'
    )
    files = (text, parquet.getvalue(), workbook.getvalue(), archive.getvalue(), manifest, packed)
    return [bytes([number]) + file for number, file in enumerate(files)]


def main() -> None:
    corpus = Path(tempfile.mkdtemp(prefix="fuzz-corpus-"))
    for number, seed in enumerate(seeds()):
        (corpus / str(number)).write_bytes(seed)
        one(seed)
    atheris.Setup([*sys.argv, str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
