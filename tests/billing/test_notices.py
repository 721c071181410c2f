"""Notices: what every staff page says of the whole installation."""

import pytest
from django.urls import reverse

from billing import notices
from billing.errors import NextStep
from billing.notices import Notice

pytestmark = pytest.mark.django_db

STEP = NextStep("list_jobs")


@pytest.fixture
def _told(monkeypatch):
    """One notice with a link, one check that finds nothing."""
    monkeypatch.setattr(notices, "_checks", {})
    notices.register("mail", lambda user: Notice("Mail <goes> nowhere.", tone="bad", then=STEP))
    notices.register("quiet", lambda user: None)


@pytest.mark.usefixtures("_told")
@pytest.mark.parametrize(
    "page", ["admin:index", "admin:billing_job_changelist", "admin:billing_import_upload", "admin:billing_person_add"]
)
def test_every_kind_of_staff_page_shows_the_notices(client, cast, page):
    client.force_login(cast.admin)
    text = client.get(reverse(page)).content.decode()
    status = text.split('role="status">', 1)[1].split("</div>", 1)[0]
    assert "Mail &lt;goes&gt; nowhere." in status
    assert '<a href="/admin/billing/job/">Background jobs</a>' in status
    assert status.count('class="notice') == 1
    assert "notice-bad" in status


@pytest.mark.usefixtures("_told")
def test_who_is_not_staff_is_told_nothing(client, cast):
    assert notices.notices_for(cast.pi) == []
    client.force_login(cast.pi)
    assert "nowhere" not in client.get(reverse("portal:statements")).content.decode()


@pytest.mark.usefixtures("_told")
def test_a_popup_shows_no_notices(client, cast):
    client.force_login(cast.admin)
    page = client.get(reverse("admin:billing_person_add"), {"_popup": 1})
    assert page.status_code == 200
    assert "nowhere" not in page.content.decode()


@pytest.mark.usefixtures("_told")
def test_a_check_registered_again_replaces_the_first(cast):
    notices.register("mail", lambda user: Notice(f"Hello {user}"))
    assert [notice.text for notice in notices.notices_for(cast.admin)] == [f"Hello {cast.admin}"]


@pytest.mark.usefixtures("_told")
def test_a_step_is_offered_to_those_who_may_take_it(client, cast, monkeypatch):
    monkeypatch.setattr("billing.doors.permission_of", lambda step: "billing.no_such_thing")
    client.force_login(cast.finance)
    page = client.get(reverse("admin:index")).content.decode()
    assert "Mail &lt;goes&gt; nowhere." in page
    assert "Background jobs</a></p>" not in page
