"""Files on disk: what is there already is not written over, and what is kept elsewhere is fetched once."""

import datetime
import os
from pathlib import Path
from typing import ClassVar

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import Storage, default_storage
from django.core.files.uploadedfile import TemporaryUploadedFile

from billing.files import own_folder, whole_if_absent
from billing.files.leftovers import clear_leftovers
from billing.files.received import FileAltered, local_copy, store, store_chunks
from billing.models import StoredFile
from billing.proof.verifying import verify
from tests import build


class Elsewhere(Storage):
    """A storage without paths, as those of objects are."""

    kept: ClassVar[dict[str, bytes]] = {}

    def _open(self, name, mode="rb"):
        if name not in self.kept:
            raise FileNotFoundError(name)
        return ContentFile(self.kept[name])

    def _save(self, name, content):
        self.kept[name] = content.read()
        return name

    def exists(self, name):
        return name in self.kept

    def delete(self, name):
        self.kept.pop(name, None)


def test_a_name_that_is_taken_stays_whose_it_is(tmp_path):
    path = tmp_path / "list.xlsx"
    with whole_if_absent(path) as file:
        file.write(b"one")
    with pytest.raises(FileExistsError), whole_if_absent(path) as file:
        file.write(b"two")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_is_given_to_nothing_half_written(tmp_path):
    def fill():
        with whole_if_absent(tmp_path / "list.xlsx") as file:
            file.write(b"half")
            raise OSError("The disk is full.")

    with pytest.raises(OSError, match="full"):
        fill()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def elsewhere(settings):
    """Keep received files where no path leads to."""
    Elsewhere.kept.clear()
    settings.STORAGES = settings.STORAGES | {"default": {"BACKEND": f"{__name__}.Elsewhere"}}
    return default_storage


@pytest.mark.django_db
def test_a_file_of_a_storage_elsewhere_is_fetched_once(elsewhere, settings):
    stored = store_chunks([b"BilledCost\n", b"1\n"], now=build.NOW)
    copy = local_copy(stored)
    assert copy.read_bytes() == b"BilledCost\n1\n"
    assert copy.parent == settings.VAR_DIR / "fetched"
    elsewhere.delete(stored.path)
    assert local_copy(stored) == copy
    assert copy.exists()
    # It is known again by its path, and not kept twice.
    assert store(path=copy, now=build.NOW) == stored
    assert StoredFile.objects.count() == 1


@pytest.mark.django_db
def test_what_a_storage_elsewhere_has_now_is_what_is_verified(elsewhere):
    stored = store_chunks([b"BilledCost\n1\n"], now=build.NOW)
    local_copy(stored)
    elsewhere.delete(stored.path)
    elsewhere.save(stored.path, ContentFile(b"BilledCost\n2\n"))
    (altered,) = verify().altered
    assert "is not the one that was recorded" in altered.text
    elsewhere.delete(stored.path)
    (gone,) = verify().altered
    assert "is gone" in gone.text


@pytest.mark.django_db
def test_what_is_fetched_has_to_be_what_was_received(elsewhere, settings):
    stored = store_chunks([b"BilledCost\n1\n"], now=build.NOW)
    elsewhere.delete(stored.path)
    elsewhere.save(stored.path, ContentFile(b"BilledCost\n2\n"))
    with pytest.raises(FileAltered, match="is not what was received: its SHA-256 is .* Put it back"):
        local_copy(stored)
    assert list((settings.VAR_DIR / "fetched").iterdir()) == []


def test_a_fetched_file_is_cleared_away_a_day_after_it_was_asked_for():
    folder = own_folder("fetched")
    now = datetime.datetime.now(datetime.UTC)
    for name, hours in (("young", 23), ("old", 25), (".half.part", 2)):
        path = Path(folder, name)
        path.touch()
        os.utime(path, (now.timestamp() - hours * 3600,) * 2)
    clear_leftovers(now)
    assert [each.name for each in folder.iterdir()] == ["young"]


def test_what_a_killed_process_was_sent_is_removed_after_an_hour(settings):
    now = build.NOW
    folder = settings.FILE_UPLOAD_TEMP_DIR
    assert folder.is_dir()
    settings.FILE_UPLOAD_TEMP_DIR = own_folder(folder.name)
    with TemporaryUploadedFile("spend-logs.json", "application/json", 0, "utf-8") as sent:
        path = Path(sent.temporary_file_path())
        os.utime(path, (now.timestamp() - 600,) * 2)
        clear_leftovers(now)
        assert path.exists()
        os.utime(path, (now.timestamp() - 7200,) * 2)
        clear_leftovers(now)
        assert not path.exists()
