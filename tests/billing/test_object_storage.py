"""Files in an object storage, on a real server that speaks S3: written once, read whole, each failure told."""

import datetime
import json
import os
import subprocess
import sys
import tracemalloc
import zipfile

import boto3
import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.urls import reverse

from billing.background.outages import outage_of
from billing.files import StorageAway, documents, exports
from billing.files.leftovers import EXPORTS_KEPT, clear_leftovers
from billing.files.received import FileAltered, clear_unused, local_copy, store_chunks
from billing.proof.verifying import verify
from openchargeback.system import gathering
from openchargeback.watching import readiness
from tests import build, s3
from tests.stories.machines import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.same_on_either]

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Run a storage with an empty bucket."""
    server = s3.Server(tmp_path_factory.mktemp("s3"))
    server.start()
    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name=s3.REGION,
        aws_access_key_id=s3.ACCESS_KEY,
        aws_secret_access_key=s3.SECRET_KEY,
    )
    client.create_bucket(Bucket=s3.BUCKET)
    yield server
    server.stop()


@pytest.fixture
def use(server, settings, tmp_path):
    """Keep the test's files in a folder of the bucket that is its own."""

    def use(**options):
        own = {"location": tmp_path.name} | options
        settings.STORAGES = settings.STORAGES | {"default": server.storage(**own)}
        return default_storage

    return use


def a_large_file(path):
    """Write a file of three parts and a bit, no two of them the same."""
    with path.open("wb") as file:
        for number in range(50):
            file.write(bytes([number]) * MIB)
        file.write(b"the end")
    return path


@pytest.mark.django_db
def test_a_document_is_written_read_listed_and_removed(use):
    use()
    documents.write("statements/2025-01/1.pdf", b"first")
    documents.write("statements/2025-01/1.pdf", b"second")
    documents.write("statements/2025-02/2.pdf", b"other")
    assert documents.read("statements/2025-01/1.pdf") == b"second"
    assert documents.names_in("statements/2025-01") == {"statements/2025-01/1.pdf"}
    assert documents.names_in("statements") == {"statements/2025-01/1.pdf", "statements/2025-02/2.pdf"}
    documents.remove("statements/2025-01/1.pdf")
    assert not documents.exists("statements/2025-01/1.pdf")
    with pytest.raises(FileNotFoundError):
        documents.read("statements/2025-01/1.pdf")


def test_a_name_is_given_once_however_large_the_file(use, tmp_path):
    storage = use()
    small, large = tmp_path / "small", a_large_file(tmp_path / "large")
    small.write_bytes(b"mine")
    for path, other in ((small, large), (large, small)):
        storage.put(path.name, path, if_absent=True)
        with pytest.raises(FileExistsError):
            storage.put(path.name, other, if_absent=True)
    assert storage.entry("large").size == large.stat().st_size
    assert storage.read("small") == b"mine"


def test_memory_stays_the_same_for_a_large_file(use, tmp_path):
    storage, path = use(), a_large_file(tmp_path / "large")
    storage.exists("large")
    tracemalloc.start()
    storage.put("large", path)
    with (tmp_path / "back").open("wb") as back:
        _, size = storage.fetch("large", back)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == path.stat().st_size
    assert (tmp_path / "back").read_bytes() == path.read_bytes()
    assert peak < 40 * MIB


def test_a_way_that_breaks_off_is_tried_again(use, server):
    flaky = s3.Flaky(server.ports["s3"], breaks=2)
    use(endpoint=flaky.endpoint)
    documents.write("mail/1.eml", b"kept")
    assert flaky.connections >= 3
    assert documents.read("mail/1.eml") == b"kept"


@pytest.mark.django_db
def test_a_received_file_is_kept_once_fetched_once_and_cleared_away(use, settings):
    storage = use()
    stored = store_chunks([b"BilledCost\n", b"1\n"], now=build.NOW)
    assert store_chunks([b"BilledCost\n1\n"], now=build.NOW) == stored
    assert [name for name, _ in storage.entries("received")] == [stored.path]
    copy = local_copy(stored)
    assert copy.read_bytes() == b"BilledCost\n1\n"
    assert copy.parent == settings.VAR_DIR / "fetched"
    assert [each.name for each in (settings.MEDIA_ROOT / "incoming").iterdir()] == []
    assert verify().size == len(b"BilledCost\n1\n")


@pytest.mark.django_db(transaction=True)
def test_an_upload_that_nothing_came_of_is_cleared_away_there_too(use):
    storage = use()
    stored = store_chunks([b"BilledCost\n1\n"], now=build.NOW)
    assert clear_unused(files=[], now=build.NOW + datetime.timedelta(days=8)) == 1
    assert not storage.exists(stored.path)


@pytest.mark.django_db
def test_a_file_that_was_altered_there_is_refused_and_named(use):
    storage = use()
    stored = store_chunks([b"BilledCost\n1\n"], now=build.NOW)
    storage.put_bytes(stored.path, b"BilledCost\n2\n")
    with pytest.raises(FileAltered, match="s3://billing/.* is not what was received"):
        local_copy(stored)
    (altered,) = verify().altered
    assert str(altered.place) == storage.told(stored.path)
    storage.delete(stored.path)
    assert "is gone" in verify().altered[0].text


def test_an_export_is_handed_out_for_a_day(use):
    storage = use()
    name, count = exports.keep("csv", lambda file: file.write(b"a,b\n"))
    now = datetime.datetime.now(datetime.UTC)
    with exports.opened(name, now=now) as file:
        assert (count, file.read()) == (4, b"a,b\n")
    later = now + datetime.timedelta(seconds=EXPORTS_KEPT + 60)
    assert not exports.is_kept(name, now=later)
    clear_leftovers(now)
    assert storage.exists(f"exports/{name}")
    clear_leftovers(later)
    assert not storage.exists(f"exports/{name}")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"secret_key": "another"}, "STORAGE_SECRET_KEY is not that of STORAGE_ACCESS_KEY"),
        ({"access_key": "nobody"}, "The storage does not know STORAGE_ACCESS_KEY"),
        ({"bucket_name": "not-there"}, "There is no such bucket"),
        ({"endpoint": "http://127.0.0.1:9"}, "Could not connect"),
    ],
)
def test_what_is_set_wrongly_is_said(use, wrong, said):
    use(**wrong)
    with pytest.raises(StorageAway, match=said) as caught:
        documents.bucket().try_out()
    assert outage_of(caught.value).kind == "storage"
    assert "object storage" in outage_of(caught.value).said
    fact = next(each for each in gathering._bucket())
    assert fact.state == "bad"
    assert said in fact.value


@pytest.mark.django_db
def test_ready_and_doctor_look_at_the_storage(use):
    use()
    assert readiness.checks()["storage"] is True
    (fact,) = gathering._bucket()
    assert (fact.state, fact.value.endswith("written and read")) == ("ok", True)
    assert documents.names_in("probe") == set()
    use(bucket_name="not-there")
    assert readiness.checks()["storage"] is False


@pytest.mark.django_db
def test_while_the_storage_is_away_a_page_and_a_command_say_so(use, client, cast):
    use(endpoint="http://127.0.0.1:9")
    client.force_login(cast.finance)
    client.raise_request_exception = False
    file = SimpleUploadedFile("aws_2026-01.csv", b"BilledCost\n1\n")
    answer = client.post(reverse("admin:billing_import_upload"), {"files": [file]})
    assert answer.status_code == 503
    assert "object storage" in answer.content.decode()
    build.a_source("aws")
    with pytest.raises((CommandError, StorageAway), match="Could not connect"):
        call_command("ingest", str(ROOT / "fixtures" / "sample" / "aws_2026-01.csv"), "-p", "2026-01", "-s", "aws")


MONTHS = """
import datetime, sys
import django
django.setup()
from django.core.management import call_command
call_command("initialize", verbosity=0)
from billing.audit import Actor
from billing.files import documents
from openchargeback import demo
now = datetime.datetime(2026, 3, 5, 12, tzinfo=datetime.UTC)
demo.run(actor=Actor.from_command(), now=now)
call_command("verify_files")
folder = sys.argv[1]
from pathlib import Path
kept = ("statements", "journals", "receivables", "proofs", "mail")
for name in sorted(set().union(*(documents.names_in(each) for each in kept))):
    path = Path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(documents.read(name))
"""


def test_months_of_the_sample_institution_are_the_same_as_on_disk(server, tmp_path):
    made = {}
    for kind, storage in (("disk", {}), ("bucket", server.options() | {"STORAGE_PREFIX": tmp_path.name})):
        folder = tmp_path / kind
        folder.mkdir()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("STORAGE_")} | {
            "DJANGO_SETTINGS_MODULE": "openchargeback.settings",
            "DEBUG": "true",
            "EMAIL_URL": "",
            "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
            "VAR_DIR": str(folder / "var"),
            **storage,
        }
        run = subprocess.run(
            [sys.executable, "-c", MONTHS, str(folder / "made")],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stderr[-3000:]
        root = folder / "made"
        made[kind] = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    assert made["bucket"].keys() == made["disk"].keys()
    assert len(made["disk"]) > 40
    # Messages have boundaries and numbers of their own.
    for name, path in made["disk"].items():
        if not name.startswith("mail/"):
            assert made["bucket"][name].read_bytes() == path.read_bytes(), name
    # Nothing of it is on the disk of the second.
    assert not (tmp_path / "bucket" / "var" / "statements").exists()
    assert not (tmp_path / "bucket" / "var" / "files" / "received").exists()


# An installation of its own that puts something in its storage, does what it is told, and says what it then has.
INSTALLATION = """
import json
import sys
import django
django.setup()
from django.core.management import CommandError, call_command
from django.utils import timezone
from billing.files import documents, received
from billing.models import StoredFile
doing, file = sys.argv[1:]
if doing == "fill":
    call_command("initialize", stdout=sys.stderr)
    received.store_chunks([b"BilledCost", b"1"], now=timezone.now())
    for folder in documents.FOLDERS:
        documents.write(f"{folder}/2025-01/one.txt", folder.encode() * 100_000)
    documents.write("exports/day.csv", b"of a day")
    call_command("backup", file, stdout=sys.stderr)
elif doing == "restore":
    if documents.bucket():
        documents.write("mail/strange.eml", b"not ours")
        try:
            call_command("restore", file, stdout=sys.stderr)
        except CommandError as error:
            print(error)
        documents.remove("mail/strange.eml")
    call_command("restore", file, stdout=sys.stderr)
found = {name: len(documents.read(name)) for folder in documents.FOLDERS for name in documents.names_in(folder)}
found |= {each.sha256: received.opened(each).read().decode() for each in StoredFile.objects.all()}
print(json.dumps(found))
"""


def test_a_backup_has_what_is_in_the_bucket_and_a_restore_brings_it_back_to_a_bucket_or_a_disk(server, tmp_path):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STORAGE_")}

    def run(kind, doing, file):
        folder = tmp_path / kind
        folder.mkdir()
        own = {
            "DJANGO_SETTINGS_MODULE": "openchargeback.settings",
            "DEBUG": "true",
            "EMAIL_URL": "",
            "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
            "VAR_DIR": str(folder / "var"),
        }
        if kind != "disk":
            own |= server.options() | {"STORAGE_PREFIX": f"{tmp_path.name}-{kind}"}
        arguments = [sys.executable, "-c", INSTALLATION, doing, str(file)]
        ran = subprocess.run(arguments, cwd=ROOT, env=clean | own, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr[-3000:]
        *said, found = ran.stdout.strip().split("\n")
        return "\n".join(said), json.loads(found)

    _, before = run("bucket", "fill", tmp_path / "backups")
    assert len(before) == len(documents.FOLDERS) + 1
    (made,) = (tmp_path / "backups").glob("*.zip")
    with zipfile.ZipFile(made) as opened:
        names = set(opened.namelist())
    assert {f"files/{folder}/2025-01/one.txt" for folder in documents.FOLDERS} <= names
    assert not any("exports/" in name for name in names)

    said, found = run("another", "restore", made)
    # What is somebody else's is left alone, and named.
    assert "mail/strange.eml is there, and not from this backup" in said
    assert "name an empty STORAGE_BUCKET or STORAGE_PREFIX" in said
    assert found == before
    assert not (tmp_path / "another" / "var" / "mail").exists()
    assert run("disk", "restore", made) == ("", before)
    assert (tmp_path / "disk" / "var" / "mail" / "2025-01" / "one.txt").is_file()
