"""Every page of the admin, opened as every role: its status, its queries, its Content-Security-Policy."""

import datetime
import hashlib
import re
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.core.cache import caches
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.html import conditional_escape

from billing import once_a_page
from billing.background import jobs, working
from billing.errors import BillingError
from billing.models import (
    ApiToken,
    AttributionRule,
    AuditEvent,
    BillingPeriod,
    Charge,
    CloudAccount,
    Customer,
    Disposal,
    ExchangeRate,
    FundException,
    FundingSource,
    Import,
    InvoiceTotal,
    Job,
    LegalHold,
    PayerLine,
    Person,
    Policy,
    Project,
    Source,
    StoredFile,
    User,
)
from journals import posting
from statements import issuing
from tests import build, standing

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


class Accents(HTMLParser):
    """Finds the buttons and links in the accent color, of which a page has one: its primary action."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        names = dict(attrs)
        classes = (names.get("class") or "").split()
        if tag in ("a", "button", "input") and {"primary", "default", "addlink"} & {*classes}:
            self.found.append(f"{tag} {names}")


def check_look(response) -> None:
    """Check what every page has in common: one primary action, and labels without a colon."""
    html = response.content.decode()
    assert len(Accents(html).found) <= 1, Accents(html).found
    assert ":</label>" not in html


def check_policy(response) -> None:
    check_look(response)
    policy = response["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "style-src 'self'" in policy
    assert "unsafe" not in policy
    assert Inline(response.content.decode()).found == []


def a_full_house() -> None:
    """Make at least one object of every kind that this app's screens show."""
    build.a_policy()
    Customer.objects.create(number="C-1", name="Acme")
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
    build.a_correction(build.a_charge("50.00", period="2024-11", project="entered"))
    biology = build.a_department("BIO", name="Biology", parent=build.a_department("SCI", name="Sciences"))
    build.a_pi("bob@u.edu", department=biology)
    build.a_hold(period=charge.period)
    build.a_disposal()
    with_events()


def with_events() -> None:
    from billing import audit

    with audit.gesture(actor=build.SOMEBODY, now=build.NOW) as gesture:
        gesture.record(
            "policy.changed", Policy.objects.current(), before={"currency": "EUR"}, after={"currency": "USD"}
        )


@standing.fixture
def house(folder):
    cast = build.the_cast()
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


def test_what_goes_with_a_fund_is_said_without_tables_that_only_join(client, house):
    client.force_login(house.admin)
    fund = build.a_fund("NEW-1")
    fund.projects.add(build.a_project("joined"))
    page = client.get(admin_url(FundingSource, "delete", fund.pk)).content.decode()
    assert "This is deleted permanently" in page
    assert "relationship" not in page
    assert "object (" not in page


def test_yes_and_no_are_words_in_lists_and_forms_that_are_read(client, house):
    client.force_login(house.viewer)
    source = build.a_source("retired", is_active=False)
    policies = client.get(admin_url(Policy, "changelist")).content.decode()
    assert ">Yes</td>" in policies
    read = client.get(admin_url(Source, "change", source.pk)).content.decode()
    assert '<span class="quiet">No</span>' in read
    for page in (policies, read):
        assert "icon-no" not in page
        assert "icon-yes" not in page


@pytest.mark.same_on_either
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


def test_viewers_see_everything_but_users_and_retention_and_change_nothing(client, house):
    client.force_login(house.viewer)
    for model in MODELS:
        expected = 403 if model in (ApiToken, Disposal, LegalHold, User, Group) else 200
        assert client.get(admin_url(model, "changelist")).status_code == expected, model
        assert client.get(admin_url(model, "add")).status_code == 403, model


PAGES = {
    "admin:index": "billing.view_billingperiod",
    "admin:billing_charge_why": "billing.view_charge",
    "admin:billing_import_upload": "billing.import_charges",
    "admin:billing_correction_enter": "billing.enter_corrections",
    "admin:billing_correction_manual": "billing.enter_corrections",
    "admin:billing_allocation_purchase": "billing.add_allocation",
    "admin:billing_policy_edit": "billing.change_policy",
    "admin:billing_billingperiod_open": "billing.open_period",
    "admin:billing_fundingsource_load": "billing.add_fundingsource",
    "admin:billing_person_load": "billing.add_person",
    "system": "billing.view_user",
}


@pytest.mark.same_on_either
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


@pytest.mark.same_on_either
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


@pytest.mark.same_on_either
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
    # As after a change: what was worked out before is neither in memory nor in the database.
    for each in ("default", "months"):
        caches[each].clear()
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


def more(number: int) -> None:
    """Make rows for every list, each with links of its own."""
    for each in range(number):
        name = f"{each}-{Person.objects.count()}"
        college = build.a_department(f"COLLEGE-{name}")
        department = build.a_department(f"DEPARTMENT-{name}", parent=college)
        user = build.a_user(f"user-{name}", "pi")
        person = build.a_pi(f"{name}@u.edu", name=name, user=user, department=department)
        project = build.a_project(f"project-{name}", pi=person)
        build.a_project(f"own-{name}", department=college)
        build.a_fund(f"FUND-{name}")
        month = f"{2030 + BillingPeriod.objects.count()}-01"
        source = f"source-{name}"
        charge = build.a_charge(
            pi=person.email, project=project.code, period=month, source=source, flags=("missing_pi", "pattern_match")
        )
        build.a_correction(build.a_charge(pi=person.email, project=project.code, period=month, source=source))
        build.a_split({f"A-{name}": "50", f"B-{name}": "50"}, project=project)
        ExchangeRate.objects.create(period=charge.period, currency="EUR", rate=1, entered_by=person.user)
        # Of now: whoever looks at the list ends those that no worker took in a week.
        Job.objects.create(kind=Job.Kind.IMPORT, created_at=timezone.now(), created_by=person.user)
        AttributionRule.objects.create(source=charge.source, pi=person, project=project)
        CloudAccount.objects.create(source=charge.source, account_id=name, default_pi=person, default_project=project)
        for subject in ({"pi": person}, {"project": project}, {"period": charge.period}):
            build.a_hold(**subject)
        build.a_disposal()
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
    assert few < 160
    # Nothing was recorded since: what is costly is not worked out again.
    with CaptureQueriesContext(connection) as captured:
        client.get(url)
    assert len(captured) < 30 + 4 * (connection.vendor == "postgresql")


def test_a_page_reads_the_policy_once_and_the_next_one_what_was_changed(client, cast):
    client.force_login(cast.finance)
    period = build.a_period()
    build.a_charge("1")
    page = reverse("admin:billing_billingperiod_proof", args=[period.pk])
    build.a_policy(institution="First")
    with CaptureQueriesContext(connection) as captured:
        assert client.get(page).status_code == 200
    assert sum('FROM "billing_policy"' in each["sql"] for each in captured) == 1
    build.a_policy(institution="Second")
    assert "Second" in client.get(reverse("admin:index")).text
    # What changes something asks for itself, each time.
    with once_a_page.reading():
        first = Policy.objects.current()
        first.institution = "Elsewhere"
        build.a_policy(institution="Another")
        assert Policy.objects.current().institution not in ("Elsewhere", "Another")
    assert Policy.objects.current().institution == "Another"


def more_to_prove(number: int) -> None:
    """Make sources, projects and documents that a proof has to compare, in this month and the one before."""
    of: dict[str, Any] = {"pi": f"{number}@u.edu", "project": f"project-{number}"}
    for name in (f"first-{number}", f"second-{number}"):
        for month in ("2024-12", "2025-01"):
            build.a_charge("1", source=name, period=month, invoice_id=f"{name}-1", **of)
        # Whose bill is missing.
        build.a_charge("1", source=f"gone-{name}", period="2024-12", pi=of["pi"], project=f"gone-{name}")
    build.a_source(f"amortized-{number}", cost_measure=Source.Measure.EFFECTIVE)
    charge = build.a_charge("3", source=f"amortized-{number}", effective_cost=Decimal(2), **of)
    build.a_correction(build.a_charge("4", source=f"first-{number}", period="2024-12", **of))
    InvoiceTotal.objects.create(
        source=charge.source, period=charge.period, invoice_id="1", currency="USD", amount=3, entered_at=build.NOW
    )


@pytest.mark.parametrize("role", ["viewer", "finance"])
def test_the_proof_takes_the_same_queries_for_twice_the_rows_and_sources(client, cast, role):
    client.force_login(getattr(cast, role))
    page = reverse("admin:billing_billingperiod_proof", args=[build.a_period().pk])
    asked = []
    for number in range(2):
        more_to_prove(number)
        issuing.generate(period=build.a_period(), actor=build.SOMEBODY, now=build.NOW)
        posting.export(period=build.a_period(), format="gl", submit=True, actor=build.SOMEBODY, now=build.NOW)
        # Not on a document yet: who may do the next steps is said.
        build.a_charge("1", source=f"first-{number}")
        client.get(page)
        with CaptureQueriesContext(connection) as captured:
            assert "reconciles so far" in client.get(page).text
        asked.append(len(captured))
    # Four ask for invoices to customers, for funds that pay subsidies row by row, for a month before this one, and for
    # the draft that a next step leads to.
    assert asked[0] == asked[1] < 30


@pytest.mark.parametrize("ask", ["statement line", "journal line", "payer line", "charge"])
def test_a_trace_takes_the_same_queries_for_twice_the_charges(client, cast, ask):
    client.force_login(cast.viewer)
    build.a_split({"A": "50", "B": "30", "C": "20"}, project=build.a_project("genomics"))
    asked = []
    for number in range(2):
        for each in range(3 + 3 * number):
            charge = build.a_charge("1.005", resource_name=f"{number}-{each}", tags=f'{{"n": "{number}-{each}"}}')
        issuing.generate(period=build.a_period(), actor=build.SOMEBODY, now=build.NOW)
        journal = posting.export(
            period=build.a_period(), format="gl", submit=True, actor=build.SOMEBODY, now=build.NOW
        ).journal
        line = PayerLine.objects.order_by("key").first()
        what = {
            "statement line": f"{line.reference.text}:1",
            "journal line": f"{journal}:1",
            "payer line": f"{line.period.iso_month}@{line.key}",
            "charge": f"charge {charge.pk}",
        }[ask]
        url = reverse("admin:billing_charge_why") + f"?{urlencode({'what': what})}"
        client.get(url)
        with CaptureQueriesContext(connection) as captured:
            traced = client.get(url).context["traced"]
        assert traced.charges
        asked.append(len(captured))
    assert asked[0] == asked[1] < 25


def test_reapplying_takes_the_same_queries_for_twice_the_charges_and_sources(client, cast):
    client.force_login(cast.admin)
    url = reverse("admin:billing_billingperiod_reapply", args=[build.a_period().pk])
    build.a_split({"A": "50", "B": "50"}, project=build.a_project("genomics"))
    asked = []
    for number in range(2):
        for each in range(2 + 2 * number):
            name = f"{number}-{each}"
            source = build.a_source(f"source-{name}", default_pi=build.a_pi(f"default-{name}@u.edu"))
            build.a_charge("1", source=source.name, pi=f"{name}@u.edu", project=name, flags=("missing_pi",))
            build.a_charge("1", source=source.name, pi=None, project=None, tags=f'{{"pi": "tagged-{name}@u.edu"}}')
            AttributionRule.objects.create(source=source, service="Comp*", pi=build.a_pi(f"ruled-{name}@u.edu"))
            CloudAccount.objects.create(source=source, account_id=name, default_pi=build.a_pi(f"owner-{name}@u.edu"))
        client.get(url)
        with CaptureQueriesContext(connection) as captured:
            assert client.get(url).context["shown"].changed
        asked.append(len(captured))
    # What PIs would be charged is kept since the first time: only whether anything changed is asked for.
    # PostgreSQL is asked for the lock of the month and for the worker, too.
    assert asked[0] == asked[1] < 27 + 2 * (connection.vendor == "postgresql")


def test_the_front_door_leads_each_to_their_own(client, cast):
    assert client.get("/").url.startswith(reverse("login"))
    client.force_login(cast.viewer)
    assert client.get("/").url == reverse("admin:index")
    client.force_login(cast.pi)
    assert client.get("/").url == reverse("portal:home")


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


UPLOAD = "/admin/billing/import/upload/"
CONTENT = "BilledCost,BillingPeriodStart,ChargePeriodStart\n{},2025-01-01,2025-01-02\n"


def uploaded(client, *names, content=CONTENT):
    """Send files to the page, each with an amount of its own, and return the rows of the list it then shows."""
    files = [SimpleUploadedFile(name, content.format(number).encode()) for number, name in enumerate(names, 1)]
    assert client.post(UPLOAD, {"files": files}).url == UPLOAD
    return client.get(UPLOAD).context["rows"]


def imports_asked():
    """Return the jobs that import files; those that only check what was uploaded are none of them."""
    return Job.objects.filter(arguments__dry_run=False)


def sent(rows, **changes):
    """Return what the page sends of its list, with changes by the place of the file: `source_0`, `period_1`."""
    data = {"listed": "1"}
    for place, each in enumerate(rows):
        for name in ("source", "period", "replace", "force"):
            value = changes.get(f"{name}_{place}", each.form.initial[name])
            if value not in (None, False):
                data[f"{each.row.key}-{name}"] = value
        data.setdefault(f"{each.row.key}-period", "")
    return data


def test_an_upload_is_stored_by_its_hash_and_never_under_its_own_name(client, cast, settings):
    client.force_login(cast.reviewer)
    build.a_source("aws")
    content = CONTENT.format("1.5").encode()
    response = client.post(
        UPLOAD, {"files": SimpleUploadedFile("../../aws_2025-01.csv", content)}, headers={"accept": "application/json"}
    )
    assert response.json() == {"url": UPLOAD}
    stored = StoredFile.objects.get()
    assert stored.sha256 == hashlib.sha256(content).hexdigest()
    assert (settings.MEDIA_ROOT / stored.path).read_bytes() == content
    assert not imports_asked().exists()
    rows = client.get(UPLOAD).context["rows"]
    assert [(each.row.name, each.row.source, each.row.period) for each in rows] == [
        ("aws_2025-01.csv", "aws", "2025-01")
    ]
    response = client.post(UPLOAD, sent(rows) | {"import": "1"})
    job = imports_asked().get()
    assert response.url == admin_url(Job, "change", job.pk)
    assert (job.created_by, job.arguments["files"], job.arguments["dry_run"]) == (cast.reviewer, [stored.pk], False)
    jobs.run(job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.DONE, job.message
    imported = Import.objects.get()
    assert (imported.name, imported.rows) == ("aws_2025-01.csv", 1)
    assert list(imported.files.all()) == [stored]
    assert client.get(UPLOAD).context["rows"] == []


def test_files_dropped_together_each_have_a_source_and_a_period_that_can_be_changed(client, cast):
    client.force_login(cast.reviewer)
    hpc = {name: build.a_source(name) for name in ("aws", "hpc", "azure")}["hpc"]
    rows = uploaded(client, "aws_2025-01.csv", "hpc_2025-01.csv", "azure_2025-01.csv", "nobody.csv")
    page = client.get(UPLOAD).content.decode()
    assert page.count("Guessed from the file name") == 3
    assert "No source recognizes this name" in page
    assert "Import 3 files" in page
    client.post(UPLOAD, sent(rows, source_3=hpc.pk, period_3="2025-02") | {"import": "1"})
    job = imports_asked().get()
    assert [(each["names"], each["source"], each["period"]) for each in job.arguments["imports"]] == [
        (["aws_2025-01.csv"], "aws", "2025-01"),
        (["hpc_2025-01.csv"], "hpc", "2025-01"),
        (["azure_2025-01.csv"], "azure", "2025-01"),
        (["nobody.csv"], "hpc", "2025-02"),
    ]


def test_a_file_without_a_source_stays_on_the_list_and_the_others_are_imported(client, cast):
    client.force_login(cast.reviewer)
    build.a_source("aws")
    rows = uploaded(client, "nobody.csv")
    # Alone, there is nothing to import, and nothing of the list is lost.
    page = client.post(UPLOAD, sent(rows) | {"import": "1"}).content.decode()
    assert "Choose a source." in page
    assert not imports_asked().exists()
    rows = uploaded(client, "aws_2025-01.csv")
    assert [each.state for each in rows] == ["waits", "checking"]
    page = client.post(UPLOAD, sent(rows) | {"import": "1"}, follow=True).content.decode()
    assert "Still on the list of files to import: nobody.csv." in page
    assert imports_asked().get().arguments["names"] == ["aws_2025-01.csv"]
    assert [each.row.name for each in client.get(UPLOAD).context["rows"]] == ["nobody.csv"]


def test_one_bad_file_of_an_upload_stops_no_other_and_each_result_is_shown(client, cast):
    client.force_login(cast.reviewer)
    for name in ("aws", "hpc"):
        build.a_source(name)
    files = [
        SimpleUploadedFile("aws_2025-01.csv", CONTENT.format("1").encode()),
        SimpleUploadedFile("hpc_2025-01.csv", CONTENT.format("x").encode()),
    ]
    client.post(UPLOAD, {"files": files})
    client.post(UPLOAD, sent(client.get(UPLOAD).context["rows"]) | {"import": "1"})
    job = imports_asked().get()
    jobs.run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.message) == ("failed", "1 of 2 imports done. Refused: hpc_2025-01.csv.")
    page = client.get(admin_url(Job, "change", job.pk)).content.decode()
    assert "“x” is not a number" in page
    for imported in Import.objects.all():
        assert admin_url(Import, "change", imported.pk) in page
    assert Charge.objects.get().source.name == "aws"
    assert "manage.py" not in page


def test_an_upload_that_is_gone_when_its_job_runs_stops_no_other(client, cast):
    client.force_login(cast.reviewer)
    for name in ("aws", "hpc"):
        build.a_source(name)
    files = [
        SimpleUploadedFile("hpc_2025-01.csv", CONTENT.format("2").encode()),
        SimpleUploadedFile("aws_2025-01.csv", CONTENT.format("1").encode()),
    ]
    client.post(UPLOAD, {"files": files})
    client.post(UPLOAD, sent(client.get(UPLOAD).context["rows"]) | {"import": "1"})
    job = imports_asked().get()
    StoredFile.objects.filter(pk=job.arguments["imports"][0]["files"][0]).delete()
    jobs.run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.message) == ("failed", "1 of 2 imports done. Refused: hpc_2025-01.csv.")
    assert Charge.objects.get().source.name == "aws"
    assert "Choose the files again." in client.get(admin_url(Job, "change", job.pk)).content.decode()


def test_a_dry_run_of_uploads_stores_no_charge_and_keeps_the_list(client, cast):
    client.force_login(cast.reviewer)
    build.a_source("aws")
    rows = uploaded(client, "aws_2025-01.csv")
    client.post(UPLOAD, sent(rows) | {"keep": "1"})
    # It is checked once, as long as nothing else is said of it.
    job = Job.objects.get()
    assert job.arguments["dry_run"]
    jobs.run(job.pk)
    assert not Import.objects.exists()
    assert len(client.get(UPLOAD).context["rows"]) == 1
    assert (
        f'href="{UPLOAD}?job={job.pk}">Back to the files'
        in client.get(admin_url(Job, "change", job.pk)).content.decode()
    )


def test_a_dry_run_that_is_refused_leads_to_the_tick_that_lets_the_file_in(client, cast):
    client.force_login(cast.reviewer)
    build.a_source("aws")
    head = "BilledCost,BillingAccountId,BillingPeriodStart,ChargePeriodStart\n"
    for account, button in (("acct-1", "import"), ("acct-2", "keep")):
        body = f"{head}1,{account},2025-01-01,2025-01-02\n"
        client.post(UPLOAD, sent(uploaded(client, "aws_2025-01.csv", content=body)) | {button: "1"})
        jobs.run(Job.objects.first().pk)
    client.get(f"{UPLOAD}?job={Job.objects.first().pk}")
    (row,) = client.get(UPLOAD).context["rows"]
    assert row.row.needs == ["force"]
    assert "looks like another source" in row.lines[0]


def test_the_list_of_uploads_survives_a_period_that_is_none(client, cast):
    client.force_login(cast.reviewer)
    build.a_source("aws")
    rows = uploaded(client, "aws_2025-01.csv")
    page = client.post(UPLOAD, sent(rows, period_0="January") | {"import": "1"}).content.decode()
    assert "is not a billing period" in page
    assert not imports_asked().exists()
    (row,) = client.get(UPLOAD).context["rows"]
    assert (row.row.name, row.row.source, row.row.period) == ("aws_2025-01.csv", "aws", "January")


def test_uploads_can_be_taken_off_the_list(client, cast):
    client.force_login(cast.reviewer)
    rows = uploaded(client, "a.csv", "b.csv", "c.csv")
    client.post(UPLOAD, sent(rows) | {"remove": rows[0].row.key})
    rows = client.get(UPLOAD).context["rows"]
    assert [each.row.name for each in rows] == ["b.csv", "c.csv"]
    client.post(UPLOAD, sent(rows) | {"clear": "1"})
    assert client.get(UPLOAD).context["rows"] == []


def test_the_list_of_uploads_is_its_persons_own(client, cast):
    client.force_login(cast.reviewer)
    uploaded(client, "a.csv")
    client.logout()
    client.force_login(cast.admin)
    assert client.get(UPLOAD).context["rows"] == []


def test_an_upload_that_was_cleared_away_is_said(client, cast):
    client.force_login(cast.reviewer)
    uploaded(client, "a.csv")
    StoredFile.objects.all().delete()
    page = client.get(UPLOAD).content.decode()
    assert "No longer kept, choose them again: a.csv." in page


def test_what_is_wrong_with_an_upload_and_where_it_was_imported_before_is_said(client, cast):
    client.force_login(cast.reviewer)
    build.a_source("aws")
    rows = uploaded(client, "aws_2025-01.csv")
    client.post(UPLOAD, sent(rows) | {"import": "1"})
    jobs.run(imports_asked().get().pk)
    uploaded(client, "aws_2025-01.csv")
    uploaded(client, "aws_2025-02.csv", content="")
    page = client.get(UPLOAD).content.decode()
    assert f"(import {Import.objects.get().pk}). Importing it again changes nothing." in page
    assert "The file is empty." in page


def test_a_refused_import_leads_back_to_its_files_with_the_tick_that_lets_them_in(client, cast):
    client.force_login(cast.reviewer)
    build.a_source("aws")
    head = "BilledCost,BillingAccountId,ResourceId,BillingPeriodStart,ChargePeriodStart,ServiceName\n"
    for content in ("1,acct-1,i-1\n", "2,acct-2,i-1\n"):
        body = head + content.replace("\n", ",2025-01-01,2025-01-02,Compute\n")
        rows = uploaded(client, "aws_2025-01.csv", content=body)
        client.post(UPLOAD, sent(rows) | {"import": "1"})
        job = Job.objects.first()
        jobs.run(job.pk)
    job.refresh_from_db()
    assert job.state == "failed"
    refused = Import.objects.first()
    again = f"{UPLOAD}?again={refused.pk}"
    for page in (admin_url(Job, "change", job.pk), admin_url(Import, "change", refused.pk)):
        text = client.get(page).content.decode()
        assert again in text
        assert "--replace" not in text
        assert "--force" not in text
        assert "manage.py" not in text
    assert client.get(again).url == UPLOAD
    assert "This is a file of this source" in client.get(UPLOAD).content.decode()
    rows = client.get(UPLOAD).context["rows"]
    assert rows[0].row.needs == ["force"]
    client.post(UPLOAD, sent(rows, force_0="on") | {"import": "1"})
    jobs.run(Job.objects.first().pk)
    assert Job.objects.first().state == "done"


def test_a_dry_run_of_what_lacks_charges_leads_to_the_tick_and_an_import_of_it_waits(client, cast):
    client.force_login(cast.reviewer)
    build.a_source("aws")
    head = "BilledCost,BillingAccountId,ResourceId,BillingPeriodStart,ChargePeriodStart,ServiceName\n"
    for content, way in (("1,acct-1,i-1\n2,acct-1,i-2\n3,acct-1,i-3\n", "import"), ("1,acct-1,i-1\n", "keep")):
        body = head + content.replace("\n", ",2025-01-01,2025-01-02,Compute\n")
        rows = uploaded(client, "aws_2025-01.csv", content=body)
        client.post(UPLOAD, sent(rows) | {way: "1"})
        job = Job.objects.first()
        jobs.run(job.pk)
    client.get(f"{UPLOAD}?job={job.pk}")
    assert "Import as delivered, even if this removes charges that are missing" in client.get(UPLOAD).content.decode()
    rows = client.get(UPLOAD).context["rows"]
    assert rows[0].row.needs == ["replace"]
    client.post(UPLOAD, sent(rows) | {"import": "1"})
    job = Job.objects.first()
    jobs.run(job.pk)
    # Without the tick it waits, and the page of the job leads to the answer that loses nothing.
    waiting = Import.objects.get(state="deferred")
    page = client.get(admin_url(Job, "change", job.pk)).content.decode()
    assert f"/admin/billing/import/{waiting.pk}/apply_keeping/" in page
    assert "manage.py" not in page


def test_the_progress_of_a_job_is_readable_by_those_who_may_see_jobs(client, house):
    job = Job.objects.get()
    Job.objects.filter(pk=job.pk).update(done=25, total=100, message="Reading")
    url = f"{reverse('admin:index')}?part=running"
    client.force_login(house.viewer)
    mark = working.begin(f"job-{job.pk}")
    with CaptureQueriesContext(connection) as captured:
        told = client.get(url).content.decode()
    mark.release()
    assert 'value="25"' in told
    assert "Reading" in told
    # Asked for every other second by everybody who looks at the month: nothing of the month is worked out for it.
    assert "<main" not in told
    assert len(captured) <= 8
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
    monkeypatch.setitem(jobs.kinds._works, job.kind, work)
    jobs.run(job.pk)
    job.refresh_from_db()
    assert job.percent == percent


def test_closing_from_the_page_closes_and_is_in_the_audit_log(client, cast):
    charge = build.a_charge()
    client.force_login(cast.finance)
    response = client.post(admin_url(BillingPeriod, "close", charge.period_id), {"leave": "on"}, follow=True)
    period = BillingPeriod.objects.get()
    assert period.status == "closed"
    assert "January 2025 is closed" in response.content.decode()
    event = AuditEvent.objects.get(action="period.closed")
    assert (event.actor, event.via) == (cast.finance, "web")


def test_closing_with_held_charges_says_what_is_missing_and_changes_nothing(client, cast):
    charge = build.a_charge(flags=("missing_pi",))
    client.force_login(cast.finance)
    page = client.get(admin_url(BillingPeriod, "close", charge.period_id))
    assert "1 charge is held for review" in page.content.decode()
    page = client.post(admin_url(BillingPeriod, "close", charge.period_id), {"leave": "on"})
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
    assert period.iso_month == "2025-03"
    client.post(admin_url(BillingPeriod, "review", period.pk), {"until": "2999-01-31"})
    period.refresh_from_db()
    assert (period.status, period.review_until) == ("review", datetime.date(2999, 1, 31))
    client.post(admin_url(BillingPeriod, "close", period.pk), {"leave": "on"})
    client.post(admin_url(BillingPeriod, "reopen", period.pk), {"to": "open", "reason": ""})
    period.refresh_from_db()
    assert period.status == "closed"
    client.post(admin_url(BillingPeriod, "reopen", period.pk), {"to": "open", "reason": "A file came late."})
    period.refresh_from_db()
    assert period.status == "open"
    again = client.post(reverse("admin:billing_billingperiod_open"), {"month": "2025-03"})
    assert "exists already" in again.content.decode()


def test_editing_a_pi_is_in_the_audit_log_with_before_and_after(client, cast):
    ada, mathematics = Person.objects.get(email="ada@u.edu"), build.a_department("MATH")
    client.force_login(cast.reviewer)
    response = client.post(
        admin_url(Person, "change", ada.pk),
        {
            "email": "ada@u.edu",
            "name": "Ada King",
            "department": mathematics.pk,
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
    assert changed.before == {"name": "Ada Lovelace", "department": None}
    assert changed.after == {"name": "Ada King", "department": mathematics.pk}
    added = AuditEvent.objects.get(action="person_alias.added")
    assert added.after["email"] == "countess@u.edu"
    assert added.gesture == changed.gesture


def test_deleting_is_in_the_audit_log(client, cast):
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


def policy_form(client):
    """Return what the form of the policy sends as it is opened."""
    form = client.get(reverse("admin:billing_policy_edit")).context["form"]
    data = {}
    for bound in form:
        value = bound.value()
        if value is True:
            data[bound.html_name] = "on"
        elif value is not None and value is not False:
            data[bound.html_name] = bound.field.prepare_value(value)
    return data


def edit_policy(client, **changes):
    """Fill in the form, and make the version that the page behind it asks about."""
    url = reverse("admin:billing_policy_edit")
    seen = {} if changes.keys() & {"_try"} else {"_make": "1", "seen": Policy.objects.current().pk or 0}
    return client.post(url, policy_form(client) | seen | changes)


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
    preview = client.post(reverse("admin:billing_fundingsource_load"), {"file": file})
    assert "1 fund would be added" in preview.content.decode()
    assert not FundingSource.objects.exists()
    kept = {"kept": preview.context["kept"]}
    response = client.post(reverse("admin:billing_fundingsource_load"), kept, follow=True)
    assert "1 fund added" in response.content.decode()
    assert FundingSource.objects.get().valid_until == datetime.date(2025, 6, 30)
    # It is loaded once.
    again = client.post(reverse("admin:billing_fundingsource_load"), kept, follow=True)
    assert "no longer there" in again.content.decode()


@pytest.mark.parametrize(
    ("model", "columns", "cells", "would", "did"),
    [
        (FundingSource, "fund_org,name", "BIO-{0},Biology {0}", "9,000 funds would be added", "9,000 funds added"),
        (Person, "email,name", "pi{0}@u.edu,Pi Number {0}", "9,000 PIs would be added", "9,000 PIs added"),
    ],
)
def test_a_large_list_is_loaded_by_the_worker(client, cast, model, columns, cells, would, did):
    client.force_login(cast.finance)
    url = reverse(f"admin:billing_{model._meta.model_name}_load")
    before = model.objects.count()
    rows = [cells.format(number) for number in range(9_000)]

    def uploaded():
        content = "\n".join([columns, *rows, ""]).encode()
        return client.post(url, {"file": SimpleUploadedFile("list.csv", content)}, follow=True)

    page = uploaded()
    job = Job.objects.get()
    assert f"/job/{job.pk}/" in page.redirect_chain[-1][0]
    assert model.objects.count() == before
    jobs.run(job.pk)
    page = client.get(admin_url(Job, "change", job.pk))
    assert would in page.content.decode()
    assert f"{url}?job={job.pk}" in page.content.decode()
    preview = client.get(f"{url}?job={job.pk}")
    assert would in preview.content.decode()
    assert model.objects.count() == before
    # What somebody else had read is not theirs to load.
    client.force_login(cast.admin)
    assert "no longer there" in client.get(f"{url}?job={job.pk}").content.decode()
    client.force_login(cast.finance)
    confirmed = {name: preview.context[name] for name in ("kept", "file_name")}
    client.post(url, confirmed)
    # Twice is the same job.
    client.post(url, confirmed)
    loading = Job.objects.get(arguments__dry_run=False)
    jobs.run(loading.pk)
    page = client.get(admin_url(Job, "change", loading.pk)).content.decode()
    assert did in page
    assert reverse(f"admin:billing_{model._meta.model_name}_changelist") in page
    assert model.objects.count() == before + 9_000
    assert "no longer there" in client.post(url, confirmed, follow=True).content.decode()
    # A mistake is told by its line, and nothing is loaded.
    rows[4_000] = '"' + "x" * 500 + '"'
    uploaded()
    wrong = Job.objects.first()
    jobs.run(wrong.pk)
    page = client.get(admin_url(Job, "change", wrong.pk)).content.decode()
    assert "4002" in page
    assert "Choose a file again" in page
    assert model.objects.count() == before + 9_000


def test_a_list_of_people_is_loaded_from_the_page_by_who_saw_what_it_does(client, cast):
    client.force_login(cast.reviewer)
    url = reverse("admin:billing_person_load")
    preview = client.post(url, {"file": SimpleUploadedFile("people.csv", b"email,name\nnew@lab.org,Nele New\n")})
    (added,) = preview.context["plan"]["added"]
    assert "new@lab.org" in str(added)
    said = preview.content.decode()
    assert "What the list would add" in said
    assert "Nele New" in said
    assert "What the list would change" not in said
    kept = {"kept": preview.context["kept"]}
    client.force_login(cast.finance)
    assert "no longer there" in client.post(url, kept, follow=True).content.decode()
    client.force_login(cast.reviewer)
    assert "1 PI added" in client.post(url, kept, follow=True).content.decode()
    assert Person.objects.get(email="new@lab.org").is_listed
    refused = client.post(url, {"file": SimpleUploadedFile("people.csv", b"email\nnobody\n")})
    assert "line 2, email" in refused.content.decode()


def test_a_pi_is_confirmed_on_their_page_and_many_in_the_list(client, cast):
    build.a_policy(own_domains=["u.edu"])
    charges = [build.a_charge(pi=f"{name}@gmail.com", flags=("unknown_pi",)) for name in ("one", "two", "three")]
    one, two, three = (charge.pi for charge in charges)
    client.force_login(cast.reviewer)
    listed = client.get(admin_url(Person, "changelist"), {"known": "no"}).content.decode()
    assert "one@gmail.com" in listed
    assert "ada@u.edu" not in listed
    assert "Not confirmed" in client.get(admin_url(Person, "change", one.pk)).content.decode()
    done = client.post(admin_url(Person, "confirm", one.pk), {"note": "Called her"}, follow=True).content.decode()
    assert "Confirmed: one@gmail.com. 1 held charge is clear now (100.00 USD)." in done
    assert "Confirmed by rex" in done
    chosen = {"action": "confirm", "_selected_action": [two.pk, three.pk]}
    done = client.post(admin_url(Person, "changelist"), chosen, follow=True).content.decode()
    assert "2 held charges are clear now" in done
    assert not Charge.objects.held().exists()


def test_the_page_of_an_import_lists_the_pis_it_named_first(client, cast):
    imported = build.an_import(
        new_pis=[{"pi": "stranger@gmail.com", "charges": 12, "billed": {"USD": "763.08"}, "known": False}]
    )
    client.force_login(cast.reviewer)
    page = client.get(admin_url(Import, "change", imported.pk)).content.decode()
    assert "PIs named for the first time" in page
    assert "stranger@gmail.com" in page
    assert "763.08 USD" in page
    assert "Not confirmed" in page
    Import.objects.update(new_pis=[{"pi": "new@u.edu", "charges": 1, "billed": {"USD": "1"}, "known": None}])
    assert "These addresses are not checked" in client.get(admin_url(Import, "change", imported.pk)).content.decode()


def test_a_pi_added_by_hand_is_confirmed_by_that(client, cast):
    build.a_policy(own_domains=["u.edu"])
    client.force_login(cast.reviewer)
    empty = {f"{name}-{kind}_FORMS": 0 for name in ("aliases", "memberships") for kind in ("TOTAL", "INITIAL")}
    client.post(admin_url(Person, "add"), {"email": "new@lab.org", **empty})
    assert Person.objects.get(email="new@lab.org").confirmed_by == cast.reviewer


def test_finance_excepts_a_fund_on_its_page_and_a_reviewer_does_not(client, cast):
    fund = build.a_fund("FED-1", valid_until=datetime.date(2024, 10, 31))
    charge = build.a_charge("763.08", fund_org="FED-1", flags=("fund_not_valid",))
    url = admin_url(FundingSource, "except", fund.pk)
    given = {"valid_until": "2025-06-30", "reason": "No-cost extension"}
    client.force_login(cast.reviewer)
    assert client.post(url, given).status_code == 403
    client.force_login(cast.finance)
    assert "This field is required" in client.post(url, {"valid_until": "2025-06-30"}).content.decode()
    done = client.post(url, given, follow=True).content.decode()
    assert "1 held charge is clear now (763.08 USD)" in done
    assert "No-cost extension" in done
    assert Charge.objects.get(pk=charge.pk).state == "clear"
    assert "Expired" in client.get(admin_url(FundingSource, "changelist")).content.decode()
    FundException.objects.update(valid_until=datetime.date(2999, 6, 30))
    assert "Valid by exception" in client.get(admin_url(FundingSource, "changelist")).content.decode()
    done = client.post(admin_url(FundingSource, "revoke", fund.pk), follow=True).content.decode()
    assert "Revoked by fay" in done


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


def test_sign_ins_failures_and_sign_outs_are_in_the_audit_log(client, cast):
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
    from billing.admin import large_tables

    monkeypatch.setattr(large_tables, "COUNTED", 3)
    for _ in range(5):
        with_events()
    client.force_login(cast.viewer)
    assert "more than 3" in client.get(admin_url(AuditEvent, "changelist")).content.decode()


def test_the_dashboard_shows_each_currency_by_itself(client, cast):
    build.a_charge("100.25")
    build.a_charge("40.50", currency="EUR", flags=("missing_pi",))
    client.force_login(cast.viewer)
    board = client.get(reverse("admin:index")).context["board"]
    assert {
        sight.currency: [(part.code, part.shown, part.count) for part in sight.parts] for sight in board.sights
    } == {
        "USD": [("files", Decimal("100.25"), 1), ("waiting", Decimal("100.25"), 0)],
        "EUR": [("files", Decimal("40.50"), 1), ("held", Decimal("40.50"), 1)],
    }
    assert board.held == 1


def test_the_dashboard_stands_at_the_oldest_month_with_work_left(client, cast):
    build.a_period("2025-01", status="closed", closed_at=build.NOW)
    build.a_period("2025-02")
    build.a_period("2025-03")
    client.force_login(cast.viewer)
    assert client.get(reverse("admin:index")).context["board"].period.iso_month == "2025-02"
    assert client.get(reverse("admin:index") + "?period=2025-01").context["board"].period.iso_month == "2025-01"


def test_the_dashboard_compares_sources_with_the_month_before(client, cast):
    build.a_charge("100", period="2025-01")
    build.a_charge("7", period="2025-01", source="hpc")
    BillingPeriod.objects.update(status="closed", closed_at=build.NOW)
    build.a_charge("150", period="2025-02")
    for each in ("default", "months"):
        caches[each].clear()
    client.force_login(cast.viewer)
    board = client.get(reverse("admin:index") + "?period=2025-02").context["board"]
    assert {each.label: each.amounts for each in board.charted[0].trend.series} == {"AWS": (100, 150), "HPC": (7, 0)}
    # Which source is missing is said where imports are.
    assert "HPC has no import yet" in board.checklist.item("imports").text
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
        assert (
            f'<p class="panel empty">{conditional_escape(screen.when_empty)}</p>'
            in client.get(address).content.decode()
        )
    if screen.search_fields:
        found = client.get(address, {"q": "zzz-nothing-is-called-so"}).content.decode()
        # A list that begins with the month worked on names that it shows every one.
        every = rf'Nothing here matches. <a href="\?(period=all)?">Show all {meta.verbose_name_plural}</a>'
        assert re.search(every, found)


@pytest.mark.parametrize("role", STAFF)
@pytest.mark.parametrize("app", ["billing", "statements", "journals", "auth"])
def test_the_page_of_an_app_lists_what_one_may_see_there(client, house, role, app):
    user = getattr(house, role)
    client.force_login(user)
    page = client.get(reverse("admin:app_list", args=[app]))
    seen = {
        admin_url(model, "changelist")
        for model in MODELS
        if model._meta.app_label == app and admin.site._registry[model].has_view_permission(Asking(user))
    }
    assert page.status_code == (200 if seen else 404)
    if seen:
        check_policy(page)
        content = page.content.decode().split('id="content-main"')[1]
        assert set(re.findall(r'<th scope="row"><a href="([^"]+)"', content)) == seen
        # Not the dashboard, of which nothing is known here.
        assert "Next:" not in content


def test_a_name_that_is_not_the_sites_gets_a_page(client, settings):
    settings.DEBUG = False
    answer = client.get("/", headers={"host": "elsewhere.example"})
    assert answer.status_code == 400
    assert "does not answer to this address" in answer.content.decode()


def test_names_among_other_words_are_set_apart_whatever_their_direction(client, house):
    name = "ليلى الحداد"
    period = build.shut("2024-10")
    BillingPeriod.objects.filter(pk=period.pk).update(opened_by=name, closed_by=name)
    ada = Person.objects.get(email="ada@u.edu")
    Person.objects.filter(pk=ada.pk).update(name=name)
    client.force_login(house.admin)
    page = client.get(admin_url(BillingPeriod, "change", period.pk)).content.decode()
    assert f" by <bdi>{name}</bdi>" in page
    page = client.get(admin_url(Person, "change", ada.pk)).content.decode()
    # In the heading and in the breadcrumbs.
    assert page.count(f"<bdi>{name} &lt;ada@u.edu&gt;</bdi>") == 2
