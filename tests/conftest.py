"""What every test shares: a scratch VAR_DIR, quick passwords, and the fixed cast."""

import os
import tempfile

# Before Django reads its settings: tests write files to a folder of their own and need no secret.
os.environ.setdefault("DEBUG", "true")
os.environ["VAR_DIR"] = tempfile.mkdtemp(prefix="openchargeback-tests-")
os.environ["EMAIL_URL"] = ""

import pytest

from tests import build


@pytest.fixture(scope="session", autouse=True)
def _may_flush(django_test_environment):
    """Let Django empty the test database after tests with transactions of their own."""
    from django.conf import settings

    settings.MAY_FLUSH = True


@pytest.fixture(autouse=True)
def _quick_and_private(settings, tmp_path):
    """Hash passwords quickly, keep files in the test's own folder, and lock nobody out."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.VAR_DIR = tmp_path
    settings.MEDIA_ROOT = tmp_path / "files"
    settings.EMAIL_FILE_PATH = str(tmp_path / "mail")
    settings.AXES_ENABLED = False


@pytest.fixture
def cast(db) -> "build.Cast":
    """The PI, her delegate, a stranger, and the staff: a viewer, a reviewer, finance and an admin."""
    return build.the_cast()
