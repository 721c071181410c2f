"""Files of an older version that others on the machine could read are named, and closed to them."""

import stat

import pytest
from django.core.checks import run_checks

from openchargeback import privacy


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def opened(settings, tmp_path, monkeypatch):
    """An installation as an older version left it."""
    settings.VAR_DIR = tmp_path / "var"
    ours = [tmp_path / "db.sqlite3", tmp_path / "db.sqlite3-wal", tmp_path / "db.sqlite3-shm"]
    monkeypatch.setattr(privacy, "_database_files", lambda: ours)
    (tmp_path / "var" / "mail").mkdir(parents=True)
    files = [tmp_path / "db.sqlite3", tmp_path / "db.sqlite3-wal", tmp_path / "var" / "mail" / "ada.eml"]
    for path in files:
        path.write_text("x")
        path.chmod(0o644)
    for path in (tmp_path / "var", tmp_path / "var" / "mail"):
        path.chmod(0o755)
    return files


def test_what_others_can_read_is_named_and_closed(opened, tmp_path):
    (found,) = [each for each in run_checks(include_deployment_checks=True) if each.id == "openchargeback.W001"]
    assert str(opened[0]) in found.msg
    assert privacy.close() == 5
    assert [mode(path) for path in opened] == [0o640] * 3
    assert mode(tmp_path / "var") == mode(tmp_path / "var" / "mail") == 0o750
    assert list(privacy.exposed()) == []
    assert not [each for each in run_checks(include_deployment_checks=True) if each.id == "openchargeback.W001"]


def test_below_a_closed_folder_nothing_is_exposed(opened, tmp_path):
    (tmp_path / "var").chmod(0o750)
    assert set(privacy.exposed()) == set(opened[:2])


def test_what_is_closed_stays_as_closed_as_it_was(opened, tmp_path):
    opened[0].chmod(0o600)
    privacy.close()
    assert mode(opened[0]) == 0o600


def test_a_folder_that_many_share_and_a_link_are_left_alone(opened, tmp_path):
    (tmp_path / "var").chmod(0o1777)
    (tmp_path / "var" / "link").symlink_to("/etc/passwd")
    before = mode(tmp_path / "var")
    privacy.close()
    assert mode(tmp_path / "var") == before
