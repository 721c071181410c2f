"""What a delivery consists of: files, folders, archives, manifests; all of it, once, or a refusal."""

import dataclasses
import io
import json
import zipfile

import pytest

from billing.readers import FileError, Kind, check_rows, open_delivery, read

HEADER = "BillingPeriodStart,ChargePeriodStart,BilledCost,ResourceName\n"
ROW = "2025-01-01,2025-01-01,1.00,vm\n"
TABLE = HEADER + ROW
RUN = "0f8fad5b-d9cb-469f-a165-70867728950e"
OTHER_RUN = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


def put(folder, name, content=TABLE):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def zipped(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def opened(*paths, **options):
    return open_delivery(paths, [path.name for path in paths], **options)


def refusal(*paths, **options):
    with pytest.raises(FileError) as caught:
        all_read(*paths, **options)
    return str(caught.value)


def all_read(*paths, **options):
    parts = opened(*paths, **options)
    check_rows({part: sum(len(batch.lines) for batch in read(part)) for part in parts})


def names(parts):
    return [part.name for part in parts]


def azure(blobs, **fields):
    return json.dumps(
        {
            "manifestVersion": "2024-04-01",
            "blobCount": len(blobs),
            "dataRowCount": sum(rows for _, rows in blobs),
            "exportConfig": {"exportName": "focus", "type": "FocusCost", "dataVersion": "1.0r2"},
            "blobs": [{"blobName": name, "byteCount": 1, "dataRowCount": rows} for name, rows in blobs],
        }
        | fields
    )


# AWS and Azure ---------------------------------------------------------------------------------------


def an_aws_export(folder, month="2025-01", files=("focus-00001.csv", "focus-00002.csv")):
    """Lay an export out as AWS does: the manifest in another branch than the data."""
    for file in files:
        put(folder, f"focus/data/BILLING_PERIOD={month}/{file}")
    keys = [f"s3://bucket/prefix/focus/data/BILLING_PERIOD={month}/{file}" for file in files]
    name = f"focus/metadata/BILLING_PERIOD={month}/focus-Manifest.json"
    return put(
        folder, name, json.dumps({"exportName": "focus", "dataFiles": keys, "columns": [{"name": "BilledCost"}]})
    )


def test_a_manifest_of_aws_stands_for_exactly_its_files(tmp_path):
    manifest = an_aws_export(tmp_path)
    put(tmp_path, "focus/data/BILLING_PERIOD=2025-01/focus-00003.csv")
    assert [part.path.name for part in opened(tmp_path)] == ["focus-00001.csv", "focus-00002.csv"]
    # By itself a manifest reaches for nothing above its own folder.
    assert "import the folder that holds both" in refusal(manifest)


@pytest.mark.parametrize("run", ["", "20250203T041500Z-5f0c8a52-8a2e-4cf0-a1e4-3f2f0d6a7f11/"])
def test_a_manifest_as_data_exports_writes_it_is_read_in_either_layout(tmp_path, run):
    # With `create new` each run has a folder of its own, under data and under metadata; the run before stays beside it.
    month = "BILLING_PERIOD=2025-01"
    put(tmp_path, f"out/focus/data/{month}/{run}focus-00001.csv")
    put(tmp_path, f"out/focus/data/{month}/{run}focus-00002.csv")
    if run:
        put(tmp_path, f"out/focus/data/{month}/20250202T041500Z-{OTHER_RUN}/focus-00001.csv", TABLE + ROW * 9)
    content = {
        "executionId": RUN,
        "exportArn": f"arn:aws:bcm-data-exports:us-east-1:123456789012:export/focus-{RUN}",
        "exportName": "focus",
        "columns": [{"name": "BilledCost", "type": "double"}, {"name": "Tags", "type": "map<string,string>"}],
        "compression": "GZIP",
        "contentType": "text/csv",
        "dataFiles": [f"s3://bucket/out/focus/data/{month}/{run}focus-0000{n}.csv" for n in (1, 2)],
    }
    put(tmp_path, f"out/focus/metadata/{month}/{run}focus-Manifest.json", json.dumps(content))
    parts = opened(tmp_path)
    assert [part.path.relative_to(tmp_path).as_posix() for part in parts] == [
        f"out/focus/data/{month}/{run}focus-0000{n}.csv" for n in (1, 2)
    ]
    assert [sum(len(batch.lines) for batch in read(part)) for part in parts] == [1, 1]


def test_a_manifest_as_azure_writes_it_is_read(tmp_path):
    folder = f"exports/focus/20250101-20250131/{RUN}"
    put(tmp_path, f"{folder}/part_0_0001.csv", TABLE + ROW)
    content = {
        "manifestVersion": "2024-04-01",
        "byteCount": 160769,
        "blobCount": 1,
        "dataRowCount": 2,
        "exportConfig": {
            "exportName": "focus",
            "resourceId": "/providers/Microsoft.Billing/billingAccounts/1",
            "dataVersion": "1.0r2",
            "apiVersion": "2023-07-01-preview",
            "type": "FocusCost",
            "timeFrame": "MonthToDate",
            "granularity": "Daily",
        },
        "deliveryConfig": {
            "partitionData": True,
            "dataOverwriteBehavior": "CreateNewReport",
            "fileFormat": "Csv",
            "containerUri": "/subscriptions/0/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/costs",
            "rootFolderPath": "exports",
        },
        "runInfo": {
            "executionType": "Scheduled",
            "submittedTime": "2025-02-01T04:15:00.1234567Z",
            "runId": RUN,
            "startDate": "2025-01-01T00:00:00",
            "endDate": "2025-01-31T00:00:00",
        },
        "blobs": [{"blobName": f"{folder}/part_0_0001.csv", "byteCount": 160769, "dataRowCount": 2}],
    }
    (part,) = opened(put(tmp_path, f"{folder}/manifest.json", json.dumps(content)))
    assert (part.expected_rows, part.manifest_rows) == (2, 2)
    assert sum(len(batch.lines) for batch in read(part)) == 2


def test_a_folder_stands_for_the_one_manifest_in_it(tmp_path):
    an_aws_export(tmp_path)
    put(tmp_path, "focus/data/BILLING_PERIOD=2024-12/stale-00001.csv")
    assert [part.path.name for part in opened(tmp_path)] == ["focus-00001.csv", "focus-00002.csv"]


def test_a_folder_of_several_months_is_refused_with_their_manifests(tmp_path):
    an_aws_export(tmp_path)
    an_aws_export(tmp_path, "2025-02")
    message = refusal(tmp_path)
    assert "several exports" in message
    assert "BILLING_PERIOD=2025-01/focus-Manifest.json" in message
    assert "BILLING_PERIOD=2025-02/focus-Manifest.json" in message
    assert "several exports" in refusal(tmp_path, period="2024-12")


def test_of_a_folder_of_several_months_the_expected_one_is_taken(tmp_path):
    an_aws_export(tmp_path)
    an_aws_export(tmp_path, "2025-02", files=("focus-00001.csv",))
    found = opened(tmp_path, period="2025-02")
    assert [part.path for part in found] == [tmp_path / "focus/data/BILLING_PERIOD=2025-02/focus-00001.csv"]


def test_a_manifest_of_azure_checks_rows_by_file(tmp_path):
    put(tmp_path, f"{RUN}/part_0_0001.csv", TABLE + ROW)
    put(tmp_path, f"{RUN}/part_1_0001.csv")
    blobs = [(f"exports/focus/20250101-20250131/{RUN}/part_{n}_0001.csv", rows) for n, rows in ((0, 2), (1, 1))]
    manifest = put(tmp_path, f"{RUN}/manifest.json", azure(blobs))
    parts = opened(manifest)
    assert [part.expected_rows for part in parts] == [2, 1]
    rows = {part: sum(len(batch.lines) for batch in read(part)) for part in parts}
    check_rows(rows)
    assert list(rows.values()) == [2, 1]


def test_a_row_too_few_or_too_many_is_refused(tmp_path):
    put(tmp_path, "part_0_0001.csv", TABLE + ROW)
    for rows in (1, 3):
        manifest = put(tmp_path, "manifest.json", azure([("x/part_0_0001.csv", rows)]))
        assert f"says the file has {rows} rows, and it has 2" in refusal(manifest)


def test_rows_counted_only_over_all_files_are_checked_too(tmp_path):
    put(tmp_path, "part_0_0001.csv")
    put(tmp_path, "part_1_0001.csv", HEADER)
    blobs = [{"blobName": f"x/part_{n}_0001.csv"} for n in (0, 1)]
    assert refusal(put(tmp_path, "manifest.json", json.dumps({"dataRowCount": 5, "blobs": blobs}))).startswith(
        "manifest.json names 5 rows, and its files have 1"
    )
    manifest = put(tmp_path, "manifest.json", json.dumps({"dataRowCount": 1, "blobs": blobs}))
    check_rows({part: sum(len(batch.lines) for batch in read(part)) for part in opened(manifest)})


def test_a_blob_count_that_is_not_that_of_the_blobs_is_refused(tmp_path):
    put(tmp_path, "a.csv")
    assert "speaks of 3 blobs and names 1" in refusal(
        put(tmp_path, "manifest.json", azure([("x/a.csv", 1)], blobCount=3))
    )


def test_files_that_a_manifest_names_and_are_missing_are_named(tmp_path):
    an_aws_export(tmp_path)
    (tmp_path / "focus/data/BILLING_PERIOD=2025-01/focus-00002.csv").unlink()
    assert "1 are not there: BILLING_PERIOD=2025-01/focus-00002.csv" in refusal(tmp_path)


def test_uploaded_files_are_found_among_those_that_came_with_the_manifest(tmp_path):
    stored = [put(tmp_path, f"stored/{n}") for n in (1, 2)]
    blobs = [("x/part_1_0001.csv", 1), ("x/part_0_0001.csv", 1)]
    manifest = put(tmp_path, "stored/3", azure(blobs))
    shown = ["part_0_0001.csv", "part_1_0001.csv", "manifest.json"]
    parts = open_delivery([*stored, manifest], shown, beside=False)
    assert [(part.path.name, part.name) for part in parts] == [("2", "part_1_0001.csv"), ("1", "part_0_0001.csv")]


def test_uploads_that_are_alike_lie_in_one_file_and_count_as_often_as_their_manifest_names_them(tmp_path):
    stored = put(tmp_path, "stored/1", HEADER)
    manifest = put(tmp_path, "stored/2", azure([("x/part_0_0001.csv", 0), ("x/part_1_0001.csv", 0)]))
    shown = ["part_0_0001.csv", "part_1_0001.csv", "manifest.json"]
    parts = open_delivery([stored, stored, manifest], shown, beside=False)
    assert names(parts) == ["part_0_0001.csv", "part_1_0001.csv"]
    # Without a manifest the same file is one too many.
    with pytest.raises(FileError, match="part_1_0001.csv is named twice"):
        open_delivery([stored, stored], shown[:2], beside=False)


def test_an_uploaded_manifest_reaches_for_no_file_that_did_not_come_with_it(tmp_path):
    put(tmp_path, "secret.csv")
    manifest = put(tmp_path, "uploads/manifest.json", azure([("../secret.csv", 1)]))
    assert "not there: secret.csv" in refusal(manifest, beside=False)
    assert "not there: secret.csv" in refusal(manifest)


def test_runs_beside_each_other_are_refused(tmp_path):
    for run in (RUN, OTHER_RUN):
        put(tmp_path, f"{run}/part_0_0001.csv")
    message = refusal(tmp_path)
    assert "several runs" in message
    assert RUN in message
    assert OTHER_RUN in message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"a": ', "not valid JSON"),
        ("{" * 200_000, "not valid JSON"),
        ('{"a":' * 200_000, "not valid JSON"),
        ('{"blobs": [{}]}', "without a name"),
        ('{"blobs": []}', "names no files"),
        ('{"dataFiles": []}', "names no files"),
        ('{"some": "thing"}', "not the manifest"),
        (azure([("a.csv", 1)], exportConfig={"type": "ActualCost"}), "“ActualCost”, not FOCUS"),
        (json.dumps({"reportId": "1", "reportKeys": ["a.csv.gz"]}), "Cost and Usage Report"),
        (b'{"\xff', "not valid JSON"),
        ('{"blobs": 5, "dataFiles": {"a": 1}}', "not the manifest"),
        ('{"dataFiles": [1, null]}', "not the manifest"),
        ('{"dataFiles": ["..", "/", "a/../../../etc/passwd"]}', "not there"),
    ],
)
def test_what_is_no_manifest_is_refused_by_what_it_is(tmp_path, content, says):
    assert says in refusal(put(tmp_path, "manifest.json", content))


# Folders and files -----------------------------------------------------------------------------------


def test_a_folder_of_data_files_is_read_in_the_order_of_their_names(tmp_path):
    for name in (
        "b.csv",
        "a/2.csv",
        "a/1.csv",
        ".hidden.csv",
        "_SUCCESS",
        "notes.docx",
        "Thumbs.db",
        "README.txt",
        "__MACOSX/x.csv",
    ):
        put(tmp_path / "in", name, TABLE.replace("vm", name))
    assert names(opened(tmp_path / "in")) == ["in/a/1.csv", "in/a/2.csv", "in/b.csv"]


def test_a_folder_that_holds_the_same_rows_packed_and_unpacked_is_refused(tmp_path):
    put(tmp_path, "a.csv")
    put(tmp_path, "a.csv.gz")
    assert "the same rows twice" in refusal(tmp_path)


@pytest.mark.parametrize(
    "name", ["b.csv.bz2", "b.csv.part", "b.csv.crdownload", "b.orc", "b.jsonl", "b.dat", "more/b.xls"]
)
def test_a_folder_with_data_that_cannot_be_read_is_refused_so_that_none_is_lost(tmp_path, name):
    put(tmp_path, "a.csv")
    put(tmp_path, name)
    assert f"no format that is read here: {name}." in refusal(tmp_path)


def test_a_folder_without_data_is_refused(tmp_path):
    put(tmp_path, "notes.docx")
    assert "no data files" in refusal(tmp_path)


def test_a_file_named_twice_is_refused(tmp_path):
    path = put(tmp_path / "in", "a.csv")
    assert "twice" in refusal(path, path)
    assert "twice" in refusal(path, tmp_path / "in")


def test_a_file_that_was_downloaded_twice_is_refused_so_that_nothing_is_counted_twice(tmp_path):
    for name in ("a (1).csv", "a.csv", "c.csv"):
        put(tmp_path / "in", name)
    put(tmp_path / "in", "b.csv", TABLE.replace("1.00", "2.00"))
    message = refusal(tmp_path / "in")
    assert "in/a.csv is the same file as in/a (1).csv, byte for byte. Name one of them." in message
    assert "in/c.csv is the same file" in message
    assert "in/b.csv" not in message


def test_an_archive_that_was_downloaded_twice_is_named_once(tmp_path):
    content = zipped([("a.csv", TABLE), ("b.csv", TABLE)])
    message = refusal(put(tmp_path, "one.zip", content), put(tmp_path, "two.zip", content))
    assert message == "two.zip is the same file as one.zip, byte for byte. Name one of them."


def test_files_without_rows_beside_others_are_no_mistake_and_may_be_alike(tmp_path):
    for name in ("gcp-0.csv", "gcp-1.csv"):
        put(tmp_path / "in", name, HEADER)
    assert refusal(tmp_path / "in") == "The files have headers and no rows."
    put(tmp_path / "in", "gcp-2.csv")
    all_read(tmp_path / "in")
    assert "header and no rows" in refusal(tmp_path / "in/gcp-0.csv")


def test_chunks_without_rows_that_a_manifest_names_may_be_alike(tmp_path):
    for number in (0, 1):
        put(tmp_path, f"part_{number}_0001.csv", HEADER)
    manifest = put(tmp_path, "manifest.json", azure([(f"x/part_{number}_0001.csv", 0) for number in (0, 1)]))
    assert len(opened(manifest)) == 2


def test_every_file_that_is_wrong_is_named_at_once(tmp_path):
    message = refusal(tmp_path / "nowhere.csv", put(tmp_path, "a.pdf", b"%PDF"))
    assert "nowhere.csv: There is no such file" in message
    assert "a.pdf: This is a PDF" in message


def test_a_line_is_named_after_its_file(tmp_path):
    with pytest.raises(FileError) as caught:
        opened(tmp_path / "nowhere.csv")
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == ("nowhere.csv", None)
    assert str(dataclasses.replace(problem, line=3, column="Tags")).startswith("nowhere.csv: line 3, column Tags: ")


def test_no_file_is_refused():
    with pytest.raises(FileError, match="No file"):
        open_delivery([], [])


# Archives --------------------------------------------------------------------------------------------


def test_every_data_file_of_an_archive_is_a_part(tmp_path):
    members = [
        ("b.tsv", TABLE.replace(",", "\t")),
        ("a/costs.csv", TABLE),
        ("__MACOSX/a/._costs.csv", "x"),
        (".DS_Store", "x"),
        ("README.txt", "x"),
        ("a/", ""),
        ("../../etc/passwd.csv", TABLE),
        ("/absolute.csv", TABLE),
    ]
    parts = opened(put(tmp_path, "in.zip", zipped(members)))
    assert sorted(part.member for part in parts) == ["../../etc/passwd.csv", "/absolute.csv", "a/costs.csv", "b.tsv"]
    assert {part.kind for part in parts} == {Kind.CSV}
    assert [sum(len(batch.lines) for batch in read(part)) for part in parts] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ([("inner.zip", zipped([("a.csv", TABLE)]))], "archive within an archive"),
        ([("a.csv.gz", b"\x1f\x8b\x08\0")], "archive within an archive"),
        ([("a.csv", b"%PDF-1.4")], "The member a.csv: This is a PDF"),
        ([("readme.md", "x")], "no data files"),
        ([("[Content_Types].xml", "x"), ("word/document.xml", "x")], "Word document"),
        ([("[Content_Types].xml", "x"), ("xl/workbook.bin", "x")], ".xlsb"),
        ([("mimetype", "x"), ("content.xml", "x")], "OpenDocument"),
        ([("a.parquet", b"PAR1 and so on")], "damaged"),
    ],
)
def test_what_an_archive_may_not_hold_is_named(tmp_path, members, says):
    assert says in refusal(put(tmp_path, "in.zip", zipped(members)))


def test_an_archive_with_a_password_is_refused(tmp_path):
    content = bytearray(zipped([("a.csv", TABLE)]))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert "password" in refusal(put(tmp_path, "in.zip", bytes(content)))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(tmp_path):
    assert "two members" in refusal(put(tmp_path, "in.zip", zipped([("a.csv", TABLE), ("a.csv", TABLE)])))


def test_a_member_that_was_changed_after_packing_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("a.csv", TABLE * 1)
    content = (tmp_path / "in.zip").read_bytes().replace(b"1.00", b"9.00")
    assert "damaged" in refusal(put(tmp_path, "in.zip", content))
