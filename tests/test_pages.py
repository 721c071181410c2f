"""Every page of the admin, opened as every role: its status, its queries, its Content-Security-Policy."""

import datetime
import hashlib
import re
from decimal import Decimal
from html.parser import HTMLParser

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from billing import jobs
from billing.errors import BillingError
from billing.models import (
    AttributionRule,
    AuditEvent,
    BillingPeriod,
    Charge,
    CloudAccount,
    ExchangeRate,
    FundingSource,
    Import,
    Job,
    Person,
    Policy,
    Project,
    Source,
    StoredFile,
    User,
)
from tests import build

pytestmark = pytest.mark.django_db

ROLES = ("pi", "delegate", "viewer", "reviewer", "finance", "admin")
STAFF = ("viewer", "reviewer", "finance", "admin")
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)


class Inline(HTMLParser):
    """Finds what a strict Content-Security-Policy forbids: inline scripts, styles and handlers."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        names = dict(attrs)
        if tag == "style" or (tag == "script" and not names.get("src")):
            self.found.append(f"<{tag}>")
        self.found += [f"{tag} {name}" for name in names if name == "style" or name.startswith("on")]
        self.found += [f"{tag} {value}" for value in names.values() if value and value.startswith("javascript:")]


def check_policy(response) -> None:
    policy = response["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "style-src 'self'" in policy
    assert "unsafe" not in policy
    assert Inline(response.content.decode()).found == []


def a_full_house() -> None:
    """Make at least one object of every kind that this app's screens show."""
    build.a_policy()
    charge = build.a_charge(flags=("missing_pi", "pattern_match"))
    build.a_charge("12.3456789")
    build.a_fund(valid_until=datetime.date(2024, 12, 31))
    build.a_split({"BIO-001": "60", "CHEM-2": "40"}, project=charge.project, valid_from=datetime.date(2025, 1, 1))
    ExchangeRate.objects.create(period=charge.period, currency="EUR", rate=Decimal("1.1"))
    Import.objects.create(
        source=charge.source,
        state=Import.State.FAILED,
        name="bad.csv",
        created_at=build.NOW,
        errors=[{"file": "bad.csv", "line": 3, "column": "BilledCost", "message": "“1,2” is not a number."}],
    )
    Job.objects.create(
        kind=Job.Kind.IMPORT, state=Job.State.RUNNING, arguments={"names": ["a.csv"]}, created_at=build.NOW
    )
    AttributionRule.objects.create(source=charge.source, service="*Storage*", fund_org="BIO-001")
    CloudAccount.objects.create(source=charge.source, account_id="123", default_pi=charge.pi)
    build.an_entry(build.a_charge("50.00", period="2024-11", project="entered"))
    with_events()


def with_events() -> None:
    from billing import audit

    with audit.gesture(actor=build.SOMEBODY, now=build.NOW) as gesture:
        gesture.record(
            "policy.changed", Policy.objects.current(), before={"currency": "EUR"}, after={"currency": "USD"}
        )


@pytest.fixture
def house(cast):
    a_full_house()
    return cast


def admin_url(model, name, *args) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def may(user: User, verb: str, model) -> bool:
    return user.has_perm(f"{model._meta.app_label}.{verb}_{model._meta.model_name}")


class Asking:
    """A request of somebody, as far as a ModelAdmin asks it."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.GET: dict[str, str] = {}
        self.POST: dict[str, str] = {}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label_lower)
def test_every_admin_page_opens_for_whom_it_should_and_nobody_else(client, house, model, role):
    user = getattr(house, role)
    client.force_login(user)
    screen = admin.site._registry[model]
    sees = user.is_staff and screen.has_view_or_change_permission(Asking(user))
    refused = 403 if user.is_staff else 302

    listed = client.get(admin_url(model, "changelist"))
    assert listed.status_code == (200 if sees else refused)
    if sees:
        check_policy(listed)

    adds = user.is_staff and screen.has_add_permission(Asking(user))
    added = client.get(admin_url(model, "add"))
    assert added.status_code == (200 if adds else refused)
    if adds:
        check_policy(added)

    subject = screen.get_queryset(Asking(user)).first()
    if subject is not None:
        # A held charge's page is the page of the charge.
        page = client.get(admin_url(model, "change", subject.pk), follow=sees)
        assert page.status_code == (200 if sees else refused)
        if sees:
            check_policy(page)


def test_viewers_see_everything_but_users_and_change_nothing(client, house):
    client.force_login(house.viewer)
    for model in MODELS:
        expected = 403 if model in (User, Group) else 200
        assert client.get(admin_url(model, "changelist")).status_code == expected, model
        assert client.get(admin_url(model, "add")).status_code == 403, model


PAGES = {
    "admin:index": "billing.view_billingperiod",
    "admin:billing_charge_why": "billing.view_charge",
    "admin:billing_import_upload": "billing.import_charges",
    "admin:billing_entry_enter": "billing.enter_corrections",
    "admin:billing_entry_manual": "billing.enter_corrections",
    "admin:billing_policy_edit": "billing.change_policy",
    "admin:billing_billingperiod_open": "billing.open_period",
    "admin:billing_fundingsource_load": "billing.add_fundingsource",
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", PAGES)
def test_pages_of_their_own_ask_for_their_permission(client, house, name, role):
    user = getattr(house, role)
    client.force_login(user)
    response = client.get(reverse(name))
    if not user.is_staff:
        assert response.status_code == 302
    elif user.has_perm(PAGES[name]):
        assert response.status_code == 200
        check_policy(response)
    else:
        assert response.status_code == 403


@pytest.mark.parametrize("role", STAFF)
def test_buttons_open_for_their_permission_only(client, house, role):
    user = getattr(house, role)
    client.force_login(user)
    for model, screen in admin.site._registry.items():
        subject = screen.get_queryset(Asking(user)).first()
        for verb in getattr(screen, "verbs", ()) if subject else ():
            if not verb.offered(subject):
                continue
            response = client.get(admin_url(model, verb.name, subject.pk))
            assert response.status_code == (200 if user.has_perm(verb.permission) else 403), (model, verb.name)
            if response.status_code == 200:
                check_policy(response)


SEARCHED = [
    (form.model._meta, name)
    for screen in admin.site._registry.values()
    for form in (screen, *screen.inlines)
    for name in form.autocomplete_fields
]


@pytest.mark.parametrize(("meta", "name"), SEARCHED, ids=lambda each: getattr(each, "model_name", each))
def test_who_may_fill_in_a_form_may_search_for_what_it_asks_for(client, house, meta, name):
    query = {"app_label": meta.app_label, "model_name": meta.model_name, "field_name": name}
    remote = meta.get_field(name).related_model
    for role, user in house.everybody.items():
        client.force_login(user)
        found = client.get(reverse("admin:autocomplete"), query)
        if role not in STAFF:
            assert found.status_code == 302
        elif user.has_perm(f"{meta.app_label}.change_{meta.model_name}") or may(user, "view", remote):
            assert found.status_code == 200, role
            assert found.json()["results"]
        else:
            assert found.status_code == 403, role


def test_a_list_of_users_is_not_searched_through_a_form_that_is_not_theirs(client, house):
    client.force_login(house.reviewer)
    for model, name in (("import", "created_by"), ("auditevent", "actor")):
        query = {"app_label": "billing", "model_name": model, "field_name": name}
        assert client.get(reverse("admin:autocomplete"), query).status_code == 403, model


def queries_of(client, url: str) -> int:
    cache.clear()
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


def more(number: int) -> None:
    """Make rows for every list, each with links of its own."""
    for each in range(number):
        name = f"{each}-{Person.objects.count()}"
        person = build.a_pi(f"{name}@u.edu", name=name, user=build.a_user(f"user-{name}", "pi"))
        project = build.a_project(f"project-{name}", pi=person)
        build.a_fund(f"FUND-{name}")
        month = f"{2030 + BillingPeriod.objects.count()}-01"
        source = f"source-{name}"
        charge = build.a_charge(
            pi=person.email, project=project.code, period=month, source=source, flags=("missing_pi", "pattern_match")
        )
        build.an_entry(build.a_charge(pi=person.email, project=project.code, period=month, source=source))
        build.a_split({f"A-{name}": "50", f"B-{name}": "50"}, project=project)
        ExchangeRate.objects.create(period=charge.period, currency="EUR", rate=1, entered_by=person.user)
        # Of now: whoever looks at the list ends those that no worker took in a week.
        Job.objects.create(kind=Job.Kind.IMPORT, created_at=timezone.now(), created_by=person.user)
        AttributionRule.objects.create(source=charge.source, pi=person, project=project)
        CloudAccount.objects.create(source=charge.source, account_id=name, default_pi=person, default_project=project)
        Policy.objects.create(created_by=person.user)
        with_events()


LISTS = [model for model in MODELS if model._meta.app_label in ("billing", "auth")]


@pytest.mark.parametrize("model", LISTS, ids=lambda model: model._meta.label_lower)
def test_a_list_takes_the_same_queries_for_twice_the_rows(client, house, model):
    client.force_login(house.admin)
    more(3)
    # Once unmeasured: content types and the like are read and kept.
    queries_of(client, admin_url(model, "changelist"))
    few = queries_of(client, admin_url(model, "changelist"))
    more(6)
    assert queries_of(client, admin_url(model, "changelist")) == few


def test_the_dashboard_takes_the_same_queries_for_twice_the_charges(client, house):
    client.force_login(house.admin)
    url = reverse("admin:index") + "?period=2025-01"
    # Beyond the months that the page names, of which this one is then none.
    more(7)
    queries_of(client, url)
    few = queries_of(client, url)
    more(4)
    assert queries_of(client, url) == few
    assert few < 40


def test_the_front_door_leads_each_to_their_own(client, cast):
    assert client.get("/").url.startswith(reverse("login"))
    client.force_login(cast.viewer)
    assert client.get("/").url == reverse("admin:index")
    client.force_login(cast.pi)
    assert client.get("/").url == reverse("portal:statements")


@pytest.mark.parametrize("name", ["login", "password_reset", "password_reset_done", "password_reset_complete"])
def test_pages_for_strangers_keep_to_the_policy(client, db, name):
    response = client.get(reverse(name))
    assert response.status_code == 200
    check_policy(response)


def test_pages_of_a_signed_in_person_keep_to_the_policy(client, cast):
    client.force_login(cast.pi)
    for url in (reverse("password_change"), reverse("password_change_done"), "/there-is-no-such-page/"):
        response = client.get(url)
        assert response.status_code in (200, 404)
        assert Inline(response.content.decode()).found == [] or response.status_code == 404


@pytest.mark.parametrize("template", ["403.html", "404.html", "409.html", "413.html", "403_csrf.html", "500.html"])
def test_error_pages_keep_to_the_policy(template, rf, cast):
    from django.shortcuts import render

    request = rf.get("/")
    request.user = cast.pi
    assert Inline(render(request, template, {"limit": 1024}).content.decode()).found == []


def test_the_admin_has_no_sign_in_page_of_its_own(client, db):
    response = client.get("/admin/login/?next=/admin/billing/import/")
    assert response.status_code == 302
    assert response.url.startswith(reverse("login"))
    assert "next=/admin/billing/import/" in response.url


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(client, cast, settings):
    settings.MAX_UPLOAD_BYTES = 1000
    url = reverse("admin:billing_import_upload")
    sent = {"files": SimpleUploadedFile("aws_2025-01.csv", b"x" * 2 * 1024**2)}
    client.force_login(cast.reviewer)
    assert client.post(url, sent).status_code == 413
    assert not Job.objects.exists()


def test_the_page_of_uploads_names_each_part_of_file_names_apart(client, cast):
    source = build.a_source("aws")
    Source.objects.filter(pk=source.pk).update(file_name_patterns="aws_,aws-,amazon")
    client.force_login(cast.reviewer)
    assert "<td>aws_, aws-, amazon</td>" in client.get(reverse("admin:billing_import_upload")).content.decode()


def test_an_upload_is_kept_under_a_name_of_ours_and_waits_as_a_job(client, cast, settings):
    client.force_login(cast.reviewer)
    source = build.a_source("aws")
    response = client.post(
        reverse("admin:billing_import_upload"),
        {
            "files": [SimpleUploadedFile("../../aws_2025-01.csv", b"a,b\n1,2\n"), SimpleUploadedFile("b.csv", b"c\n")],
            "source": source.pk,
            "period": "2025-01",
            "dry_run": "on",
        },
    )
    job = Job.objects.get()
    assert response.url == admin_url(Job, "change", job.pk)
    assert job.created_by == cast.reviewer
    assert job.arguments["source"] == "aws"
    assert job.arguments["period"] == "2025-01"
    assert (job.arguments["dry_run"], job.arguments["replace"]) == (True, False)
    assert job.arguments["names"] == ["aws_2025-01.csv", "b.csv"]
    incoming = settings.VAR_DIR / "incoming"
    kept = sorted(path for path in incoming.rglob("*") if path.is_file())
    assert [str(path) for path in kept] == job.arguments["paths"]
    assert [path.read_bytes() for path in kept] == [b"a,b\n1,2\n", b"c\n"]


def test_an_upload_is_stored_by_its_hash_and_imported_from_there(client, cast, settings):
    client.force_login(cast.reviewer)
    build.a_source("aws")
    content = b"BilledCost,BillingPeriodStart,ChargePeriodStart\n1.5,2025-01-01,2025-01-02\n"
    response = client.post(
        reverse("admin:billing_import_upload"),
        {"files": SimpleUploadedFile("aws_2025-01.csv", content)},
        headers={"accept": "application/json"},
    )
    job = Job.objects.get()
    assert response.json() == {"url": admin_url(Job, "change", job.pk)}
    stored = StoredFile.objects.get()
    assert stored.sha256 == hashlib.sha256(content).hexdigest()
    assert job.arguments["files"] == [stored.pk]
    assert not (settings.VAR_DIR / "incoming").exists()
    jobs.run(job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.DONE, job.message
    imported = Import.objects.get()
    assert (imported.name, imported.rows) == ("aws_2025-01.csv", 1)
    assert list(imported.files.all()) == [stored]
    assert (settings.MEDIA_ROOT / stored.path).read_bytes() == content


def test_an_upload_with_a_period_that_is_none_asks_again(client, cast):
    client.force_login(cast.reviewer)
    response = client.post(
        reverse("admin:billing_import_upload"),
        {"files": SimpleUploadedFile("a.csv", b"a\n"), "period": "January"},
    )
    assert "is not a billing period" in response.content.decode()
    assert not Job.objects.exists()


def test_the_progress_of_a_job_is_readable_by_those_who_may_see_jobs(client, house):
    job = Job.objects.get()
    Job.objects.filter(pk=job.pk).update(done=25, total=100, message="Reading")
    url = reverse("admin:billing_job_state", args=[job.pk])
    client.force_login(house.viewer)
    told = client.get(url).json()
    assert (told["percent"], told["message"], told["is_over"]) == (25, "Reading", False)
    client.force_login(house.pi)
    assert client.get(url).status_code == 302


@pytest.mark.parametrize(("refusal", "percent"), [(None, 100), (BillingError("No."), 93)])
def test_a_finished_job_is_at_its_end_and_a_failed_one_where_it_stopped(monkeypatch, house, refusal, percent):
    def work(*, job, **rest):
        Job.objects.filter(pk=job.pk).update(done=93, total=100)
        if refusal:
            raise refusal
        return {"message": "All of it."}

    Job.objects.update(state=Job.State.QUEUED, started_at=None, finished_at=None)
    job = Job.objects.get()
    monkeypatch.setitem(jobs._works, job.kind, work)
    jobs.run(job.pk)
    job.refresh_from_db()
    assert job.percent == percent


def test_closing_from_the_page_closes_and_is_in_the_audit_trail(client, cast):
    charge = build.a_charge()
    client.force_login(cast.finance)
    response = client.post(admin_url(BillingPeriod, "close", charge.period_id), follow=True)
    period = BillingPeriod.objects.get()
    assert period.status == "closed"
    assert "2025-01 is closed" in response.content.decode()
    event = AuditEvent.objects.get(action="period.closed")
    assert (event.actor, event.via) == (cast.finance, "web")


def test_closing_with_held_charges_says_what_is_missing_and_changes_nothing(client, cast):
    charge = build.a_charge(flags=("missing_pi",))
    client.force_login(cast.finance)
    page = client.get(admin_url(BillingPeriod, "close", charge.period_id))
    assert "1 charge is held for review" in page.content.decode()
    page = client.post(admin_url(BillingPeriod, "close", charge.period_id))
    assert "cannot close" in page.content.decode()
    assert BillingPeriod.objects.get().status == "open"
    assert not AuditEvent.objects.filter(action="period.closed").exists()


def test_a_button_works_by_post_only_and_with_a_token(cast):
    from django.test import Client

    charge = build.a_charge()
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(cast.finance)
    url = admin_url(BillingPeriod, "close", charge.period_id)
    careful.get(url)
    assert careful.post(url).status_code == 403
    assert BillingPeriod.objects.get().status == "open"


def test_reviewing_reopening_and_opening_from_the_page(client, cast):
    client.force_login(cast.admin)
    client.post(reverse("admin:billing_billingperiod_open"), {"month": "2025-03"})
    period = BillingPeriod.objects.get()
    assert str(period) == "2025-03"
    client.post(admin_url(BillingPeriod, "review", period.pk), {"until": "2999-01-31"})
    period.refresh_from_db()
    assert (period.status, period.review_until) == ("review", datetime.date(2999, 1, 31))
    client.post(admin_url(BillingPeriod, "close", period.pk))
    client.post(admin_url(BillingPeriod, "reopen", period.pk), {"to": "open", "reason": ""})
    period.refresh_from_db()
    assert period.status == "closed"
    client.post(admin_url(BillingPeriod, "reopen", period.pk), {"to": "open", "reason": "A file came late."})
    period.refresh_from_db()
    assert period.status == "open"
    again = client.post(reverse("admin:billing_billingperiod_open"), {"month": "2025-03"})
    assert "exists already" in again.content.decode()


def test_editing_a_pi_is_in_the_audit_trail_with_before_and_after(client, cast):
    ada = Person.objects.get(email="ada@u.edu")
    client.force_login(cast.reviewer)
    response = client.post(
        admin_url(Person, "change", ada.pk),
        {
            "email": "ada@u.edu",
            "name": "Ada King",
            "department": "Mathematics",
            "user": cast.pi.pk,
            "aliases-TOTAL_FORMS": 1,
            "aliases-INITIAL_FORMS": 0,
            "aliases-0-email": "Countess@U.edu",
            "memberships-TOTAL_FORMS": 0,
            "memberships-INITIAL_FORMS": 0,
        },
    )
    assert response.status_code == 302, response.context["errors"]
    changed = AuditEvent.objects.get(action="person.changed")
    assert changed.before == {"name": "Ada Lovelace", "department": ""}
    assert changed.after == {"name": "Ada King", "department": "Mathematics"}
    added = AuditEvent.objects.get(action="person_alias.added")
    assert added.after["email"] == "countess@u.edu"
    assert added.gesture == changed.gesture


def test_deleting_is_in_the_audit_trail(client, cast):
    fund = build.a_fund("OLD-1", name="Old grant")
    client.force_login(cast.finance)
    client.post(admin_url(FundingSource, "delete", fund.pk), {"post": "yes"})
    assert not FundingSource.objects.exists()
    event = AuditEvent.objects.get(action="funding_source.deleted")
    assert event.before["name"] == "Old grant"
    assert event.object_id == str(fund.pk)


def post_split(client, project, *splits, initial=0):
    data = {"code": project.code, "payer_splits-TOTAL_FORMS": len(splits), "payer_splits-INITIAL_FORMS": initial}
    for number, split in enumerate(splits):
        for name, value in split.items():
            data[f"payer_splits-{number}-{name}"] = value
    return client.post(admin_url(Project, "change", project.pk), data)


def test_a_split_is_written_as_lines_and_kept_to_the_last_digit(client, cast):
    project = build.a_project()
    client.force_login(cast.reviewer)
    response = post_split(
        client, project, {"valid_from": "2025-01-01", "shares_text": "BIO-001 33.333333\nCHEM: 66.666667 %"}
    )
    assert response.status_code == 302
    shares = project.payer_splits.get().shares.values_list("fund_org", "percent")
    assert dict(shares) == {"BIO-001": Decimal("33.333333"), "CHEM": Decimal("66.666667")}
    assert AuditEvent.objects.filter(action="payer_split.shares_set").exists()


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ("A 60\nB 39.999999", "sum to 99.999999 percent"),
        ("A 60\nA 40", "twice"),
        ("A sixty", "is not a fund/org and a percent"),
        ("A 100\nB 0", "is 0"),
    ],
)
def test_a_split_that_does_not_make_a_whole_is_refused(client, cast, shares, said):
    project = build.a_project()
    client.force_login(cast.reviewer)
    response = post_split(client, project, {"shares_text": shares})
    assert said in response.content.decode()
    assert not project.payer_splits.exists()


def test_splits_that_hold_on_the_same_day_are_refused(client, cast):
    project = build.a_project()
    client.force_login(cast.reviewer)
    first = {"valid_until": "2025-01-31", "shares_text": "A 100"}
    response = post_split(client, project, first, {"valid_from": "2025-01-31", "shares_text": "B 100"})
    assert "hold on the same day" in response.content.decode()
    assert not project.payer_splits.exists()
    assert post_split(client, project, first, {"valid_from": "2025-02-01", "shares_text": "B 100"}).status_code == 302


def test_a_split_that_charges_use_cannot_change(client, cast):
    project = build.a_project()
    split = build.a_split({"A": "60", "B": "40"}, project=project)
    build.a_charge(payer_split=split)
    client.force_login(cast.reviewer)
    post_split(client, project, {"id": split.pk, "project": project.pk, "shares_text": "A 50\nB 50"}, initial=1)
    assert dict(split.shares.values_list("fund_org", "percent")) == {"A": 60, "B": 40}
    gone = {"id": split.pk, "project": project.pk, "shares_text": "A 60\nB 40", "DELETE": "on"}
    post_split(client, project, gone, initial=1)
    assert project.payer_splits.filter(pk=split.pk).exists()


def edit_policy(client, **changes):
    url = reverse("admin:billing_policy_edit")
    form = client.get(url).context["form"]
    data = {}
    for bound in form:
        value = bound.value()
        if value is True:
            data[bound.html_name] = "on"
        elif value not in (None, False):
            data[bound.html_name] = bound.field.prepare_value(value)
    return client.post(url, data | changes)


def test_changing_the_policy_makes_a_version_and_keeps_the_one_before(client, cast):
    first = build.a_policy(flag_patterns=["gpu"], amount_tolerance=Decimal("0.05"))
    client.force_login(cast.finance)
    response = edit_policy(client, keys_pi_email="owner, pi", flag_patterns="gpu\n^support", currency="eur")
    assert response.status_code == 302
    now = Policy.objects.current()
    assert now.pk != first.pk
    assert now.tag_keys["pi_email"] == ["owner", "pi"]
    assert (now.flag_patterns, now.currency, now.amount_tolerance) == (["gpu", "^support"], "EUR", Decimal("0.05"))
    first.refresh_from_db()
    assert first.flag_patterns == ["gpu"]
    event = AuditEvent.objects.get(action="policy.changed")
    assert event.before["flag_patterns"] == ["gpu"]
    assert event.after["flag_patterns"] == ["gpu", "^support"]
    assert set(event.after) == {"tag_keys", "flag_patterns", "currency"}


def test_saving_the_policy_unchanged_makes_no_version(client, cast):
    build.a_policy()
    client.force_login(cast.finance)
    response = edit_policy(client)
    assert "no new version was made" in response.content.decode()
    assert Policy.objects.count() == 1


def test_a_pattern_that_is_none_is_refused_where_it_stands(client, cast):
    build.a_policy()
    client.force_login(cast.finance)
    response = edit_policy(client, flag_patterns="ok\n(broken")
    assert "is not a regular expression" in response.content.decode()
    assert Policy.objects.count() == 1


def test_trying_a_fund_shows_its_segments_and_saves_nothing(client, cast):
    build.a_policy(fund_org_segments="(?P<fund>[A-Z]+)-(?P<org>[0-9]+)")
    client.force_login(cast.finance)
    shown = edit_policy(client, example="BIO-001", institution="Elsewhere", _try="1")
    assert shown.context["tried"] == [("fund", "BIO"), ("org", "001")]
    refused = edit_policy(client, example="bio", _try="1")
    assert "does not match the segments" in refused.content.decode()
    assert Policy.objects.count() == 1


def test_a_list_of_funds_is_loaded_from_the_page(client, cast):
    client.force_login(cast.finance)
    file = SimpleUploadedFile("funds.csv", b"fund_org,name,valid_until\nBIO-1,Biology,2025-06-30\n")
    response = client.post(reverse("admin:billing_fundingsource_load"), {"file": file}, follow=True)
    assert "1 funds added" in response.content.decode() or "1 fund added" in response.content.decode()
    assert FundingSource.objects.get().valid_until == datetime.date(2025, 6, 30)


def test_a_list_of_funds_with_mistakes_is_refused_line_by_line(client, cast):
    client.force_login(cast.finance)
    file = SimpleUploadedFile("funds.csv", b"fund_org,valid_until\nBIO-1,30.6.2025\n,\nBIO-1,\n")
    response = client.post(reverse("admin:billing_fundingsource_load"), {"file": file})
    assert "line 2, valid_until" in response.content.decode()
    assert not FundingSource.objects.exists()


def test_roles_make_a_user_staff_and_losing_them_ends_it(client, cast):
    client.force_login(cast.admin)
    viewer = Group.objects.get(name="viewer")
    client.post(
        admin_url(User, "add"),
        {"username": "newcomer", "email": "new@u.edu", "groups": [viewer.pk], "is_active": "on"},
    )
    user = User.objects.get(username="newcomer")
    assert user.is_staff
    assert not user.has_usable_password()
    pi = Group.objects.get(name="pi")
    client.post(admin_url(User, "change", user.pk), {"username": "newcomer", "groups": [pi.pk], "is_active": "on"})
    user.refresh_from_db()
    assert not user.is_staff
    events = AuditEvent.objects.filter(action="user.changed").latest("id")
    assert (events.before["groups"], events.after["groups"]) == (["viewer"], ["pi"])
    assert "password" not in str(list(AuditEvent.objects.values_list("before", "after")))


def test_a_password_link_lets_its_owner_set_a_password(client, cast):
    user = build.a_user("newcomer", "viewer")
    client.force_login(cast.admin)
    said = client.post(admin_url(User, "password-link", user.pk), follow=True).content.decode()
    link = re.search(r"/accounts/reset/[^\s<]+", said)[0]
    client.logout()
    form = client.get(link, follow=True)
    client.post(form.request["PATH_INFO"], {"new_password1": "correct horse 9", "new_password2": "correct horse 9"})
    assert client.login(username="newcomer", password="correct horse 9")


def test_an_admin_does_not_change_a_superuser(client, cast):
    boss = User.objects.create_superuser("boss", "boss@u.edu", "open sesame")
    client.force_login(cast.admin)
    client.post(admin_url(User, "change", boss.pk), {"username": "boss", "email": "root@u.edu"})
    boss.refresh_from_db()
    assert boss.email == "boss@u.edu"
    assert client.get(admin_url(User, "password-link", boss.pk)).status_code == 302


def test_sign_ins_failures_and_sign_outs_are_in_the_audit_trail(client, cast):
    client.post(reverse("login"), {"username": "ada", "password": "wrong"})
    client.post(reverse("login"), {"username": "ada", "password": "open sesame"})
    client.post(reverse("logout"))
    sessions = AuditEvent.objects.filter(action__startswith="session.").order_by("id")
    told = list(sessions.values_list("action", "actor_name"))
    assert told == [("session.failed", "ada"), ("session.signed_in", "ada"), ("session.signed_out", "ada")]


def test_a_rate_of_a_closed_month_is_read_only(client, cast):
    period = build.a_period(status="closed", closed_at=build.NOW)
    rate = ExchangeRate.objects.create(period=period, currency="EUR", rate=Decimal("1.1"))
    client.force_login(cast.finance)
    url = admin_url(ExchangeRate, "change", rate.pk)
    assert client.post(url, {"period": period.pk, "currency": "EUR", "rate": "2"}).status_code == 403
    rate.refresh_from_db()
    assert rate.rate == Decimal("1.1")


def test_a_long_table_is_not_counted_to_its_end(client, cast, monkeypatch):
    from billing.admin import base

    monkeypatch.setattr(base, "COUNTED", 3)
    for _ in range(5):
        with_events()
    client.force_login(cast.viewer)
    assert "more than 3" in client.get(admin_url(AuditEvent, "changelist")).content.decode()


def test_the_dashboard_shows_each_currency_by_itself(client, cast):
    build.a_charge("100.25")
    build.a_charge("40.50", currency="EUR", flags=("missing_pi",))
    client.force_login(cast.viewer)
    board = client.get(reverse("admin:index")).context["board"]
    assert {money.currency: (money.billed, money.held) for money in board.money} == {
        "USD": (Decimal("100.25"), Decimal(0)),
        "EUR": (Decimal("40.50"), Decimal("40.50")),
    }
    assert (board.charges, board.held) == (2, 1)


def test_the_dashboard_stands_at_the_oldest_month_with_work_left(client, cast):
    build.a_period("2025-01", status="closed", closed_at=build.NOW)
    build.a_period("2025-02")
    build.a_period("2025-03")
    client.force_login(cast.viewer)
    assert str(client.get(reverse("admin:index")).context["board"].period) == "2025-02"
    assert str(client.get(reverse("admin:index") + "?period=2025-01").context["board"].period) == "2025-01"


def test_the_dashboard_compares_sources_with_the_month_before(client, cast):
    build.a_charge("100", period="2025-01")
    build.a_charge("7", period="2025-01", source="hpc")
    BillingPeriod.objects.update(status="closed", closed_at=build.NOW)
    build.a_charge("150", period="2025-02")
    cache.clear()
    client.force_login(cast.viewer)
    cards = {card.name: card for card in client.get(reverse("admin:index")).context["board"].sources}
    assert (cards["aws"].billed, cards["aws"].billed_before) == (Decimal(150), Decimal(100))
    assert cards["aws"].change_percent == 50
    assert cards["hpc"].is_missing
    assert Charge.objects.count() == 3
    assert Source.objects.count() == 2


def test_an_address_with_nonsense_in_it_opens_an_empty_form(client, cast):
    client.force_login(cast.admin)
    url = reverse("admin:billing_attributionrule_add")
    assert client.get(url, {"pi": "zz", "charge": "9" * 20, "priority": "x"}).status_code == 200


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_an_empty_list_says_what_comes_here_and_a_search_without_a_hit_how_to_see_all(client, cast, model):
    client.force_login(cast.admin)
    meta = model._meta
    screen = admin.site._registry[model]
    address = reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
    if not screen.get_queryset(client.get(address).wsgi_request).exists():
        assert screen.when_empty
        assert f'<p class="panel empty">{screen.when_empty}</p>' in client.get(address).content.decode()
    if screen.search_fields:
        found = client.get(address, {"q": "zzz-nothing-is-called-so"}).content.decode()
        assert f'Nothing here matches. <a href="?">Show all {meta.verbose_name_plural}</a>' in found
