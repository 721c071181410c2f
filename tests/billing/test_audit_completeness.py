"""What staff change and take out is in the audit log, whichever screen they use, with who did it."""

import ast
import datetime
import json
import logging
import re
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.contrib import admin
from django.core.management import call_command
from django.urls import reverse

from billing import audit
from billing.admin.audit import NOUNS
from billing.admin.audited import BillingAdmin, FrozenInline, noun
from billing.background import jobs
from billing.errors import BillingError
from billing.models import (
    Allocation,
    AttributionRule,
    AuditEvent,
    CloudAccount,
    Customer,
    Department,
    ExchangeRate,
    FundingSource,
    InvoiceTotal,
    Job,
    Person,
    Project,
    RateClassMember,
    RateStudy,
    SharedCost,
    Source,
    UsageFeed,
    UsageSubsidy,
    User,
)
from billing.setup.registers import REGISTERS
from journals.account_rules import ACCOUNT_RULES
from journals.lookups import LOOKUPS
from journals.models import AccountingPeriod, AccountRule, AnswerMapping, JournalTemplate
from journals.valid_values import VALUES
from openchargeback.logs import JsonFormatter, KeyValueFormatter
from tests import build
from tests.billing.usage.test_bringing import a_schedule

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parents[2]

# One field of each model that staff can change, and a new value of it.
CHANGES = {
    Person: ("name", "Another"),
    Customer: ("name", "Another customer"),
    Department: ("name", "Another name"),
    Project: ("name", "Another name"),
    FundingSource: ("name", "Another fund"),
    AttributionRule: ("note", "as agreed"),
    CloudAccount: ("name", "Lab account"),
    Source: ("display_name", "Another name"),
    UsageFeed: ("display_name", "Another name"),
    RateClassMember: ("reason", "as agreed"),
    RateStudy: ("note", "as agreed"),
    SharedCost: ("note", "as agreed"),
    UsageSubsidy: ("name", "Another name"),
    Allocation: ("reason", "as agreed"),
    ExchangeRate: ("rate", "1.25"),
    InvoiceTotal: ("note", "as agreed"),
    AccountingPeriod: ("closes_on", "2026-01-31"),
    AccountRule: ("note", "as finance said"),
    AnswerMapping: ("line_column", "Line"),
    JournalTemplate: ("description", "for the ledger"),
    User: ("first_name", "Another"),
}


def a_subject(model):
    charge = build.a_charge()
    if model is FundingSource:
        return build.a_fund()
    if model is Department:
        return build.a_department("BIO")
    if model is Customer:
        return build.a_customer()
    if model is AttributionRule:
        return AttributionRule.objects.create(source=charge.source, service="*", fund_org="BIO-001")
    if model is CloudAccount:
        return CloudAccount.objects.create(source=charge.source, account_id="123", default_fund_org="BIO-001")
    if model is ExchangeRate:
        return ExchangeRate.objects.create(period=charge.period, currency="EUR", rate=Decimal("1.1"))
    if model is InvoiceTotal:
        return InvoiceTotal.objects.create(
            source=charge.source, period=charge.period, currency="USD", amount=Decimal(10), entered_at=build.NOW
        )
    if model is UsageFeed:
        source = build.a_source("hpc", import_mode=Source.ImportMode.SNAPSHOT)
        return UsageFeed.objects.create(name="tiger", source=source, kind="slurm")
    if model is AccountingPeriod:
        days = {"first_day": datetime.date(2025, 1, 1), "last_day": datetime.date(2025, 1, 31)}
        return AccountingPeriod.objects.create(fiscal_year=2025, number=7, **days)
    if model is AccountRule:
        return AccountRule.objects.create(service="*Storage*", debit_account="6590")
    if model is AnswerMapping:
        columns = {"journal_column": "Ref", "document_column": "Document", "reason_column": "Why"}
        return AnswerMapping.objects.create(name="ledger", **columns)
    if model is RateStudy:
        feed = a_subject(UsageFeed)
        UsageFeed.objects.update(schedule=a_schedule([{"price": "0.10"}]).name)
        return RateStudy.objects.create(feed=feed, rate="cpu", fiscal_year=2025, created_at=build.NOW)
    if model is SharedCost:
        a_subject(RateStudy)
        given = {"kind": "slurm", "schedule": UsageFeed.objects.get().schedule}
        UsageFeed.objects.create(name="lion", source=build.a_source("gpus"), **given)
        shared = SharedCost.objects.create(fiscal_year=2025, name="Engineers", amount=Decimal(100))
        for feed in UsageFeed.objects.all():
            shared.parts.create(feed=feed, rate="cpu", share=Decimal(50))
        return shared
    if model is JournalTemplate:
        return JournalTemplate.objects.create(name="bank", line="{{ line.fund_org }}")
    if model in (RateClassMember, UsageSubsidy, Allocation):
        return build.a_term(model)
    if model is User:
        return build.a_user("another")
    return model.objects.get()


def filled_in(page) -> dict:
    """Return what a browser would send of a form as it is shown."""
    sent = {}
    context = page.context["adminform"].form
    formsets = [each.formset for each in page.context["inline_admin_formsets"]]
    forms = [context, *(each.management_form for each in formsets), *(form for each in formsets for form in each.forms)]
    for form in forms:
        for field in form:
            value = field.value()
            if value is not None and value is not False and value != "":
                sent[field.html_name] = value
    return sent


def test_every_screen_that_changes_something_is_tried_below():
    editable = {
        model
        for model, screen in admin.site._registry.items()
        if isinstance(screen, BillingAdmin)
        and type(screen).has_change_permission is not admin.site._registry[AuditEvent].__class__.has_change_permission
    }
    assert editable == set(CHANGES)


def test_no_screen_writes_past_the_audit_log():
    assert all(isinstance(screen, BillingAdmin) for screen in admin.site._registry.values())
    assert not any(screen.list_editable for screen in admin.site._registry.values())


def recorded_in_the_code() -> set[str]:
    """Return every text by which the program calls an event, as far as it stands there as such."""
    found: set[str] = set()
    for app in ("billing", "statements", "journals", "openchargeback"):
        for path in (ROOT / app).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and node.args and ast.unparse(node.func).endswith((".record", "_record")):
                    texts = [str(each.value) for each in ast.walk(node.args[0]) if isinstance(each, ast.Constant)]
                    found |= {text.rstrip(".") for text in texts if re.fullmatch(r"[a-z_]+\.[a-z_]*", text)}
    return found


def test_every_kind_of_event_can_be_chosen_on_the_page_of_the_audit_log():
    recorded = recorded_in_the_code()
    assert {"correction", "period.closed", "session.signed_in", "email.failed"} <= recorded
    inlines = {inline for screen in admin.site._registry.values() for inline in screen.inlines}
    edited = set(CHANGES) | {inline.model for inline in inlines if not issubclass(inline, FrozenInline)}
    lists = {each.name for each in (*REGISTERS, ACCOUNT_RULES)} | {each.event for each in (LOOKUPS, VALUES)}
    assert {each.partition(".")[0] for each in recorded} | {noun(model()) for model in edited} | lists == set(NOUNS)


@pytest.mark.parametrize("model", CHANGES, ids=lambda model: model.__name__)
def test_a_change_on_a_screen_is_told_with_before_and_after(client, model):
    root = User.objects.create_superuser("root", "root@u.edu", "open sesame")
    client.force_login(root)
    subject = Person.objects.get(email="ada@u.edu") if model is Person and a_subject(Project) else a_subject(model)
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[subject.pk])
    name, value = CHANGES[model]
    before = getattr(subject, name)
    answer = client.post(url, filled_in(client.get(url)) | {name: value})
    assert answer.status_code == 302, answer.context["errors"]
    event = AuditEvent.objects.filter(object_type=model._meta.model_name, action__endswith=".changed").get()
    assert (event.actor, event.actor_name, event.via) == (root, "root", "web")
    assert str(event.object_id) == str(subject.pk)
    kept = {key: Decimal(it) if model is ExchangeRate else it for key, it in event.before.items() if key == name}
    assert kept == {name: before}
    assert str(event.after[name]) == value


def test_the_queue_taken_out_as_a_spreadsheet_is_told(client, cast):
    build.a_charge(flags=("pattern_match",))
    client.force_login(cast.reviewer)
    answer = client.get(reverse("admin:billing_heldcharge_export"))
    assert answer.status_code == 200
    # Read to its end, which closes the file and leaves the connection of the test open.
    assert answer.getvalue().startswith(b"PK")
    event = AuditEvent.objects.get(action="charges.exported")
    assert (event.actor_name, event.after) == ("rex", {"charges": 1})


def test_work_asked_for_on_the_web_is_told_and_done_in_the_name_of_who_asked(cast, monkeypatch):
    seen = []

    def refuse(*, actor, **_):
        seen.append(actor)
        raise BillingError("Nothing to send.")

    monkeypatch.setitem(jobs.kinds._works, Job.Kind.SEND, refuse)
    job = jobs.enqueue(
        kind=Job.Kind.SEND, arguments={"period": 1}, actor=audit.Actor.from_user(cast.reviewer), now=build.NOW
    )
    jobs.run(job.pk)
    assert (seen[0].user, seen[0].via) == (cast.reviewer, "task")
    told = AuditEvent.objects.filter(object_type="job").order_by("pk").values_list("action", "actor_name", "via")
    assert list(told) == [("job.queued", "rex", "web"), ("job.failed", "rex", "task")]


def test_roles_that_change_are_told_once(db):
    call_command("sync_roles", stdout=StringIO())
    call_command("sync_roles", stdout=StringIO())
    told = AuditEvent.objects.filter(action="role.synced")
    assert set(told.values_list("object_label", flat=True)) == {"admin", "finance", "reviewer", "viewer"}
    assert told.count() == 4


def test_a_command_acts_as_the_user_named_or_as_the_system_with_the_login(cast, monkeypatch):
    monkeypatch.setenv("LOGNAME", "somebody-else")
    call_command("periods", "open", "2025-05", stdout=StringIO())
    call_command("periods", "open", "2025-06", "--as", "fay", stdout=StringIO())
    first, second = AuditEvent.objects.filter(action="period.opened").order_by("pk")
    assert first.actor is None
    assert first.actor_name.startswith("system (")
    assert "somebody-else" not in first.actor_name
    assert (second.actor, second.actor_name, second.via) == (cast.finance, "fay", "command")


def test_what_is_hashed_is_what_is_stored_whatever_is_told():
    with audit.gesture(actor=audit.Actor(name="a\0b\udcff", via="web"), now=build.NOW) as gesture:
        gesture.record(
            "odd",
            before={10: Decimal("1.50"), 2: datetime.date(2025, 1, 1)},
            after=[("a", {"x": None}), "nul\0", "\udcff"],
            note="nul\0",
        )
    assert audit.verify().is_whole
    assert AuditEvent.objects.get().before == {"10": "1.50", "2": "2025-01-01"}


# Logs ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def logged(caplog, django_capture_on_commit_callbacks):
    """Record an event as after a commit, with texts that would like to be lines of their own."""
    with (
        caplog.at_level(logging.INFO, logger="openchargeback.audit"),
        django_capture_on_commit_callbacks(execute=True),
        audit.gesture(actor=audit.Actor(name="x\n2025 CRITICAL forged", via="web"), now=build.NOW) as gesture,
    ):
        gesture.record("policy.changed", before={"a": 1}, after={"text": "y" * 5_000}, note="a=b c")
    return caplog.records[-1]


def test_an_event_is_one_line_of_json_with_its_hash(logged):
    line = JsonFormatter().format(logged)
    assert "\n" not in line
    entry = json.loads(line)
    event = AuditEvent.objects.get()
    assert (entry["action"], entry["hash"], entry["before"]) == ("policy.changed", event.hash, {"a": 1})
    assert len(entry["after"]["text"]) < 2_100


def test_an_event_is_one_line_of_keys_and_values(logged):
    line = KeyValueFormatter().format(logged)
    assert "\n" not in line
    assert " action=policy.changed " in line
    assert ' note="a=b c" ' in line


def test_a_name_typed_by_a_stranger_writes_no_line_of_the_log(logged):
    assert "\n" not in logged.getMessage()


def test_what_is_rolled_back_is_not_logged(caplog, django_capture_on_commit_callbacks):
    def refused():
        with audit.gesture(actor=build.SOMEBODY, now=build.NOW) as gesture:
            gesture.record("lost")
            raise BillingError("no")

    with (
        caplog.at_level(logging.INFO, logger="openchargeback.audit"),
        django_capture_on_commit_callbacks(execute=True),
        pytest.raises(BillingError),
    ):
        refused()
    assert not caplog.records
