"""Rejecting what a provider bills: somebody says that it will be credited, or the center is charged. In every door."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from billing import review, tracing
from billing.audit import Actor
from billing.errors import MissingCenterFundOrg
from billing.models import AuditEvent, Charge, ReviewDecision
from billing.review import deciding
from tests import build
from tests.billing.test_review_doors import act, messages_of
from tests.billing.test_review_sheets import apply, errors_of

pytestmark = pytest.mark.django_db

BY: dict[str, Any] = {"actor": build.SOMEBODY, "now": build.NOW}
UNSAID = "a provider bills it: say whether the provider will credit it"


@pytest.fixture
def held() -> dict[str, Charge]:
    """One that Amazon bills and one of the own cluster, both held."""
    build.a_source("hpc", kind="internal")
    return {name: build.a_charge("10.00", source=name, flags=("pattern_match",)) for name in ("aws", "hpc")}


def states() -> dict[str, str]:
    return dict(Charge.objects.values_list("source__name", "state"))


def command(*arguments: object) -> str:
    out = StringIO()
    call_command("review", *map(str, arguments), stdout=out)
    return out.getvalue()


def test_it_is_kept_with_the_decision_audited_and_told(held):
    build.a_policy()
    aws = held["aws"]
    decided = review.reject(charges=[aws.pk], reason="provider_error", provider_credits=True, **BY)
    assert str(decided) == "1 charge rejected."
    decision = ReviewDecision.objects.get()
    assert decision.provider_credits
    assert decision.why == "The provider's error; the provider credits it"
    assert AuditEvent.objects.get(action="charge.rejected").after == {"state": "rejected", "provider_credits": True}
    traced = tracing.trace(f"charge {aws.pk}")
    assert "the provider credits it" in traced.as_text()
    assert '"provider_credits": true' in json.dumps(traced.as_data(), default=str)


def test_what_nobody_said_it_of_is_left_alone_and_own_usage_is_rejected(held):
    decided = review.reject(charges=[each.pk for each in held.values()], reason="test", **BY)
    assert dict(decided.why_skipped) == {held["aws"].pk: UNSAID}
    assert states() == {"aws": "held", "hpc": "rejected"}
    assert not ReviewDecision.objects.get().provider_credits


def test_what_is_not_credited_is_charged_to_the_center(held):
    build.a_policy(center_fund_org="RC-000")
    decided = review.reject(
        charges=[each.pk for each in held.values()], reason="test", note="Lost", provider_credits=False, **BY
    )
    assert str(decided) == "2 charges rejected and charged to center instead where a provider bills them."
    assert states() == {"aws": "charged_to_center", "hpc": "rejected"}
    of_aws = ReviewDecision.objects.get(charge=held["aws"].pk)
    assert (of_aws.action, of_aws.reason, of_aws.note) == ("charge_to_center", "test", "Lost")
    # And back: both are held again.
    review.undo(charges=[each.pk for each in held.values()], **BY)
    assert states() == {"aws": "held", "hpc": "held"}


def test_alone_it_is_told_as_charged_to_the_center(held):
    build.a_policy(center_fund_org="RC-000")
    decided = review.reject(charges=[held["aws"].pk], reason="test", provider_credits=False, **BY)
    assert str(decided) == "1 charge charged to center."


def test_a_center_without_a_fund_is_not_charged_and_nothing_is_decided(held):
    build.a_policy()
    with pytest.raises(MissingCenterFundOrg):
        review.reject(charges=[each.pk for each in held.values()], reason="test", provider_credits=False, **BY)
    assert states() == {"aws": "held", "hpc": "held"}
    assert not ReviewDecision.objects.exists()


# Doors ----------------------------------------------------------------------------------------------------------------


def test_the_command_asks(held):
    build.a_policy(center_fund_org="RC-000")
    with pytest.raises(CommandError, match=UNSAID):
        command("reject", "--id", held["aws"].pk, "--reason", "test")
    assert "1 charge rejected" in command("reject", "--id", held["hpc"].pk, "--reason", "test")
    said = command("reject", "--id", held["aws"].pk, "--reason", "test", "--provider-credits", "no")
    assert "1 charge charged to center" in said


def test_the_page_of_a_charge_asks_where_a_provider_bills_it(cast, client, held):
    client.force_login(cast.reviewer)
    url = {name: reverse("admin:billing_charge_reject", args=[each.pk]) for name, each in held.items()}
    assert "Will the provider credit it?" in client.get(url["aws"]).content.decode()
    assert "Will the provider credit it?" not in client.get(url["hpc"]).content.decode()
    assert "This field is required" in client.post(url["aws"], {"reason": "test"}).content.decode()
    client.post(url["hpc"], {"reason": "test"})
    client.post(url["aws"], {"reason": "test", "provider_credits": "yes"})
    assert states() == {"aws": "rejected", "hpc": "rejected"}
    page = client.get(reverse("admin:billing_charge_change", args=[held["aws"].pk])).content.decode()
    assert "the provider credits it" in page


def test_a_selection_is_asked_once_for_all(cast, client, held):
    build.a_policy(center_fund_org="RC-000")
    client.force_login(cast.reviewer)
    ids = [each.pk for each in held.values()]
    done = act(client, "reject", ids, reason="test", note="")
    assert "This field is required" in done.content.decode()
    done = act(client, "reject", ids, reason="test", note="", provider_credits="no")
    assert messages_of(done) == ["2 charges rejected and charged to center instead where a provider bills them."]


def test_the_worker_is_told(held):
    actor = Actor.from_user(build.a_user("rex"))
    job = deciding.decide_later(
        step="reject",
        charges=Charge.objects.all(),
        options={"reason": "test", "note": "", "provider_credits": True},
        actor=actor,
        now=build.NOW,
    )
    deciding.run_job(job=job, arguments=job.arguments, actor=actor, now=build.NOW, progress=lambda *_: None)
    assert states() == {"aws": "rejected", "hpc": "rejected"}
    assert ReviewDecision.objects.get(charge=held["aws"].pk).provider_credits


@pytest.mark.parametrize(
    ("cells", "column", "why"),
    [
        ({"decision": "reject", "reason": "test"}, "provider_credits", "say whether the provider will credit it"),
        ({"decision": "reject", "reason": "test", "provider_credits": "maybe"}, "provider_credits", "yes or no"),
        ({"decision": "approve", "provider_credits": "yes"}, "provider_credits", "Only of a rejection"),
        ({"decision": "reject", "reason": "test", "provider_credits": "no"}, "provider_credits", "policy"),
    ],
)
def test_a_spreadsheet_says_it_by_line_and_column(cells, column, why):
    build.a_policy()
    build.a_charge(flags=("pattern_match",))
    where, told = errors_of({(2, name): text for name, text in cells.items()})
    assert where == [(2, column)]
    assert why in told


def test_a_spreadsheet_rejects_and_charges_the_center():
    build.a_policy(center_fund_org="RC-000")
    for _ in range(2):
        build.a_charge(flags=("pattern_match",))
    cells = {(2, "provider_credits"): "yes", (3, "provider_credits"): "no"}
    applied = apply(
        cells | {(line, name): text for line in (2, 3) for name, text in (("decision", "reject"), ("reason", "test"))}
    )
    assert len(applied.rows) == 2
    assert list(Charge.objects.order_by("pk").values_list("state", flat=True)) == ["rejected", "charged_to_center"]
