"""What is opened is an ordinary file, and within a delivery's folder nothing that lies outside of it."""

import json
import os
import socket
import stat
from pathlib import Path

import pytest

from billing.files import received
from billing.files.received import store
from billing.readers import FileError, UnreadableFile, open_delivery, read
from billing.readers.opening import open_file, real_path
from tests import build
from tests.billing.deliveries import a_file, a_row

SECRET = "DB_PASSWORD=hunter2,x\n1,2\n"


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "inbox" / "x"
    for each in (path, path.parent / "data", path / "data", path / "_hidden"):
        each.mkdir(parents=True)
    return path


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret" / ".env"
    path.parent.mkdir()
    path.write_text(SECRET)
    return path


def refusal(folder, **options):
    with pytest.raises(FileError) as caught:
        open_delivery([folder], [folder.name], **options)
    said = str(caught.value)
    assert "hunter2" not in said
    return said


def naming(folder, *names):
    (folder / "aws-manifest.json").write_text(json.dumps({"dataFiles": list(names)}))


@pytest.mark.parametrize(
    "name",
    [
        "../../secret/.env",
        "s3://b/secret/.env",
        "/secret/.env",
        "b\\secret\\.env",
        "secret/.env",
        "secret/\x00.env",
        "\udcf6/.env",
        "x" * 5000 + "/.env",
    ],
)
def test_a_manifest_reaches_for_nothing_above_the_folder_it_lies_in(folder, secret, name):
    naming(folder, name)
    assert "not there" in refusal(folder)
    assert "not there" in refusal(folder, within=real_path(folder))
    assert "not there" in refusal(folder / "aws-manifest.json")


def test_a_manifest_named_by_itself_reaches_for_nothing_in_the_folder_above(folder):
    a_file(folder.parent, [a_row("1")], "data/aws.csv")
    naming(folder, "s3://b/data/aws.csv")
    assert "not there" in refusal(folder / "aws-manifest.json")
    # The folder that holds both was named by a person.
    assert [part.name for part in open_delivery([folder.parent], ["inbox"])] == ["data/aws.csv"]


@pytest.mark.parametrize("is_named", [True, False])
def test_a_link_that_leads_out_of_the_folder_is_refused_and_not_passed_over(folder, secret, is_named):
    (folder / "aws.csv").symlink_to(secret)
    if is_named:
        naming(folder, "aws.csv")
    assert "aws.csv: It is a link that leads out of the folder" in refusal(folder)


def test_a_folder_that_is_a_link_leads_nowhere_else(folder, secret):
    (folder / "data").rmdir()
    (folder / "data").symlink_to(secret.parent)
    assert "data: It is a link that leads out of the folder" in refusal(folder)
    naming(folder, "data/.env")
    assert "leads out" in refusal(folder)


def test_a_link_that_leads_nowhere_is_told(folder):
    (folder / "aws.csv").symlink_to(folder / "gone.csv")
    assert "aws.csv is a link that leads nowhere" in refusal(folder)


def test_a_link_within_the_folder_is_followed(folder):
    a_file(folder, [a_row("1")], "_hidden/part.csv")
    (folder / "aws.csv").symlink_to(folder / "_hidden" / "part.csv")
    (part,) = open_delivery([folder], [folder.name])
    with part.open() as binary:
        assert binary.read().startswith(b"BillingAccountId")


def test_a_folder_that_a_link_took_the_place_of_is_not_read(folder, secret):
    within = real_path(folder)
    folder.rename(folder.parent / "before")
    folder.symlink_to(secret.parent)
    assert "leads out" in refusal(folder, within=within)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_is_put_in_the_place_of_a_file_after_it_was_checked_is_not_stored(folder, secret, db, what):
    a_file(folder, [a_row("1")], "data/aws.csv")
    (part,) = open_delivery([folder], [folder.name])
    if what == "file":
        part.path.unlink()
        part.path.symlink_to(secret)
    else:
        (folder / "data").rename(folder / "before")
        (folder / "data").symlink_to(secret.parent)
        (secret.parent / "aws.csv").write_text(SECRET)
    with pytest.raises(UnreadableFile, match="leads out"):
        store(path=part.path, within=part.within, now=build.NOW)


def test_no_link_is_followed_between_the_look_and_the_opening(folder, secret, monkeypatch):
    a_file(folder, [a_row("1")], "data/aws.csv")
    wanted = folder / "data" / "aws.csv"
    within, honest = real_path(folder), os.path.realpath

    def then_swapped(path, *, strict=False):
        real = honest(path, strict=strict)
        if os.fspath(path) == os.fspath(wanted):
            (folder / "data").rename(folder / "before")
            (folder / "data").symlink_to(secret.parent)
            (secret.parent / "aws.csv").write_text(SECRET)
        return real

    monkeypatch.setattr(os.path, "realpath", then_swapped)
    with pytest.raises(UnreadableFile):
        open_file(wanted, within)


@pytest.mark.parametrize("within", [True, False])
@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder"])
def test_what_is_no_file_is_not_opened(folder, kind, within, monkeypatch):
    path = folder / "aws.csv"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            monkeypatch.chdir(folder)
            listening.bind("aws.csv")
    elif kind == "device":
        try:
            os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))
        except PermissionError:
            pytest.skip("making a device takes root")
    else:
        path.mkdir()
    says = "This is a folder" if kind == "folder" else "no ordinary file"
    with pytest.raises(UnreadableFile, match=says):
        open_file(path, real_path(folder) if within else None)
    if kind != "folder":
        # Nor is it passed over: it stands where a part of the month may have been meant.
        assert "no ordinary file" in refusal(folder)


def test_a_file_that_is_written_while_it_is_copied_is_refused(folder, db, monkeypatch, settings):
    path = a_file(folder, [a_row("1")], "aws.csv")
    honest = received.chunks

    def grows(source):
        yield from honest(source)
        with path.open("a") as more:
            more.write("x")

    monkeypatch.setattr(received, "chunks", grows)
    with pytest.raises(UnreadableFile, match="changed while it was read"):
        store(path=path, now=build.NOW)
    assert not list((Path(settings.MEDIA_ROOT) / "incoming").iterdir())


@pytest.mark.parametrize(
    ("content", "repeated", "kept_back"),
    [
        ("root:x:0:0:root:/root:/bin/bash\n", "no column of FOCUS", "bash"),
        ("TOKEN=abc,def\n1,2\n", "no column of FOCUS", "abc"),
        ("BilledCost,hunter2\n1,2\n", "it has BilledCost", "hunter2"),
        ("hunter2\n\xf6\n".encode("latin-1"), "not UTF-8 (position 1)", "0xF6"),
        ('hunter2\n"never closed\n', "no column of FOCUS", "hunter2"),
    ],
)
def test_nothing_of_a_file_that_is_no_focus_file_is_repeated(folder, content, repeated, kept_back):
    path = folder / "aws.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (part,) = open_delivery([path], ["aws.csv"])
    with pytest.raises(FileError) as caught:
        list(read(part))
    assert repeated in str(caught.value)
    assert kept_back not in str(caught.value)
