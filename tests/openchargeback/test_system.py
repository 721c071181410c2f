"""The system page: what the installation is made of, and what of it needs somebody."""

import datetime
import json
import shutil
from collections import namedtuple
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from billing import safeguards
from billing.audit import anchors
from billing.background import heartbeat
from billing.models import Job, StoredFile
from openchargeback import system
from openchargeback.help import pages
from openchargeback.system import components
from tests import build
from tests.billing.test_heartbeat import MINUTE, silent_for
from tests.test_pages import check_policy, with_events

pytestmark = pytest.mark.django_db

NOW = timezone.now


def facts():
    """Every fact by its code."""
    return {fact.code: fact for group in system.gather(now=NOW()) for fact in group.facts}


@pytest.mark.django_db(transaction=True)
def test_an_admin_reads_what_is_broken_mends_it_and_sees_that_it_works(client, cast, settings, tmp_path_factory):
    settings.DEBUG = False
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_HOST_PASSWORD = "mail.u.edu", 587, "open sesame"
    with_events()
    client.force_login(cast.admin)
    start = client.get(reverse("admin:index")).content.decode()
    assert reverse("system") in start
    answer = client.get(reverse("system"))
    check_policy(answer)
    page = answer.content.decode()
    assert "1 thing must be mended: Worker." in page
    assert 'href="/help/operations/#the-worker">What to do</a>' in page
    heartbeat.beat()
    call_command("verify_audit", stdout=StringIO())
    page = client.get(reverse("system")).content.decode()
    assert "none was made by this program" in page
    call_command("backup", str(tmp_path_factory.mktemp("backups")), stdout=StringIO())
    page = client.get(reverse("system")).content.decode()
    assert "Everything works." in page
    assert "mail.u.edu:587" in page
    assert "open sesame" not in page


@pytest.mark.parametrize("who", ["viewer", "reviewer", "finance"])
def test_other_staff_have_no_system_page(client, cast, who):
    client.force_login(getattr(cast, who))
    assert reverse("system") not in client.get(reverse("admin:index")).content.decode()
    assert client.get(reverse("system")).status_code == 403
    assert client.get(reverse("system_sbom")).status_code == 403


def test_every_line_that_needs_somebody_leads_to_help_that_exists(monkeypatch, settings, cast, tmp_path):
    settings.DEBUG = True
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: namedtuple("Usage", "total used free")(10**12, 10**12, 10**6)
    )
    build.a_policy()
    with_events()
    anchors.default_path().unlink(missing_ok=True)
    Job.objects.create(kind=Job.Kind.IMPORT, created_at=build.NOW)
    with connection.cursor() as cursor:
        name, table = next((each, of[0]) for each, of in safeguards.installed(connection).items())
        on = f" ON {table}" if connection.vendor == "postgresql" else ""
        cursor.execute(f'DROP TRIGGER "{name}"{on}')
    found = facts()
    for code in ("debug", "worker", "queue", "mode", "free", "safeguards", "audit_head", "audit_verified"):
        assert found[code].state in ("warn", "bad"), code
        slug, _, anchor = found[code].help.partition("#")
        page = pages.page(slug, is_staff=True)
        assert page is not None, code
        assert not anchor or anchor in {section.anchor for section in page.sections}, code
    assert name in found["safeguards"].value


def test_a_worker_says_since_when_and_when_it_was_last_seen(cast):
    assert facts()["worker"].value == "none so far"
    heartbeat.beat()
    (worker,) = heartbeat.workers()
    assert worker.is_alive
    # Since this process began, which runs all the tests before.
    assert worker.begun_at <= worker.seen_at
    assert NOW() - worker.seen_at < MINUTE
    found = facts()
    assert (found["worker"].value, found["worker"].state) == ("1 is running", "ok")
    assert "seconds ago" in found["worker_seen"].value
    silent_for(2 * MINUTE)
    found = facts()
    assert found["worker"].state == "bad"
    assert "the last was seen" in found["worker"].value
    assert "worker_seen" not in found


def test_the_queue_is_counted_by_state(cast):
    assert facts()["jobs"].value == "none so far"
    for state in ("queued", "queued", "failed"):
        over = {"finished_at": build.NOW} if state == "failed" else {}
        Job.objects.create(kind=Job.Kind.SEND, state=state, created_at=build.NOW, handed_at=NOW(), **over)
    assert facts()["jobs"].value.startswith("2 waiting, 1 failed, the oldest since ")


def test_database_and_files_say_their_size(cast, settings):
    StoredFile.objects.create(sha256="a" * 64, size=2048, path="a", received_at=build.NOW)
    found = facts()
    assert found["kind"].value.startswith({"sqlite": "SQLite 3.", "postgresql": "PostgreSQL 1"}[connection.vendor])
    assert found["size"].value.endswith(("KB", "MB", "GB"))
    assert found["tables"].state == "ok"
    assert found["received"].value == "1 file, 2.0\xa0KB"
    assert found["folder"].value == str(settings.VAR_DIR)


@pytest.mark.django_db(transaction=True)
def test_the_last_verification_is_told_and_grows_old(cast, monkeypatch):
    with_events()
    call_command("verify_audit", stdout=StringIO())
    assert facts()["audit_verified"].state == "ok"
    assert "whole" in facts()["audit_verified"].value
    later = {fact.code: fact for group in system.gather(now=NOW() + datetime.timedelta(days=8)) for fact in group.facts}
    assert later["audit_verified"].state == "warn"
    with build.safeguards_down(), connection.cursor() as cursor:
        cursor.execute("UPDATE billing_auditevent SET actor_name = 'nobody'")
    with pytest.raises(CommandError):
        call_command("verify_audit", stdout=StringIO())
    assert facts()["audit_verified"].state == "bad"


def test_the_list_of_packages_is_what_is_pinned_with_licenses(client, cast):
    found = {each.name: each for each in components.packages()}
    assert {"django", "markdown-it-py", "reportlab"} <= {*found}
    assert [each.name for each in found.values() if each.license == components.NOT_STATED] == []
    client.force_login(cast.admin)
    answer = client.get(reverse("system_sbom"))
    assert answer["Content-Disposition"] == 'attachment; filename="sbom.json"'
    bom = json.loads(answer.content)
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    django = next(each for each in bom["components"] if each["name"] == "django")
    assert django["purl"] == f"pkg:pypi/django@{found['django'].version}"
    assert django["licenses"]
    assert all(each["bom-ref"] == each["purl"] for each in bom["components"])


def test_a_package_that_is_missing_or_another_is_told(tmp_path):
    pins = tmp_path / "requirements.txt"
    pins.write_text('django==1.0 \\\n    --hash=sha256:aa\nno-such==2\nnor-this==3 ; python_version < "3"\n')
    found = components.packages(pins)
    assert [(each.name, each.pinned, each.is_as_pinned) for each in found] == [
        ("django", "1.0", False),
        ("no-such", "2", False),
    ]
    assert found[1].version == ""
    assert [each["name"] for each in components.as_cyclonedx(found)["components"]] == ["django"]
