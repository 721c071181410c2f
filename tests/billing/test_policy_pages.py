"""Changing the policy on the web: try it, look at what it would do, and make a version."""

import re
from decimal import Decimal
from html import unescape

import pytest

from billing.admin.policy.settings import LABELS, SETTINGS
from billing.models import AuditEvent, Charge, Policy
from billing.setup import policies
from tests import build
from tests.test_pages import policy_form

pytestmark = [pytest.mark.django_db, pytest.mark.same_on_either]

EDIT = reverse_lazy = "/admin/billing/policy/edit/"


@pytest.fixture
def finance(client, cast):
    client.force_login(cast.finance)
    return client


def send(client, button: str = "", **changes):
    return client.post(EDIT, policy_form(client) | changes | ({button: "1"} if button else {}))


def sent_by(page) -> dict[str, str]:
    """Return what the form of a page that decides sends, as a browser reads it."""
    inputs = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page.content.decode())
    return {name: unescape(value) for name, value in inputs}


def words(page) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.content.decode())).split())


def test_the_journey_of_a_flag_pattern(finance):
    """Try it, see that it holds too much, write it narrower, look at what changes, and make a version."""
    build.a_policy(flag_patterns=["gpu"])
    build.a_charge("4000", service_name="SageMaker", state=Charge.State.APPROVED)
    build.a_charge("210", service_name="SageMaker training")
    tried = send(finance, "_try", flag_patterns="gpu\nsagemaker")
    said = words(tried)
    assert "Flag patterns in January 2025" in said
    assert "Would hold 2 charges , 4,210.00 USD ; somebody approved 1 of them ( 4,000.00 USD )" in said
    assert Policy.objects.count() == 1
    # What was typed is still there to be changed.
    assert "gpu\nsagemaker" in tried.content.decode()

    decide = send(finance, flag_patterns="gpu\nsagemaker training")
    said = words(decide)
    assert "1 setting changes" in said
    assert "Would hold 1 charge , 210.00 USD" in said
    assert f"Make version {Policy.objects.current().pk + 1}" in said
    assert Policy.objects.count() == 1

    made = finance.post(EDIT, sent_by(decide) | {"_make": "1"}, follow=True)
    now = Policy.objects.current()
    assert now.flag_patterns == ["gpu", "sagemaker training"]
    assert f"Version {now.pk} of the policy is in force" in words(made)
    assert AuditEvent.objects.get(action="policy.changed").after == {"flag_patterns": now.flag_patterns}


def test_the_page_that_decides_leads_back_to_the_form_as_it_was(finance):
    build.a_policy()
    decide = send(finance, institution="Elsewhere", statement_footer="One\nTwo", issues_zero_statements="")
    form = finance.post(EDIT, sent_by(decide) | {"_edit": "1"})
    assert form.context["form"]["institution"].value() == "Elsewhere"
    assert form.context["form"]["statement_footer"].value().splitlines() == ["One", "Two"]
    assert not Policy.objects.filter(institution="Elsewhere").exists()


def test_a_version_that_somebody_made_meanwhile_is_not_overwritten(finance):
    build.a_policy()
    decide = send(finance, institution="Elsewhere")
    policies.change_policy(changes={"institution": "Meanwhile"}, actor=build.SOMEBODY, now=build.NOW)
    refused = finance.post(EDIT, sent_by(decide) | {"_make": "1"})
    assert "Somebody changed the policy meanwhile" in words(refused)
    assert Policy.objects.current().institution == "Meanwhile"


def test_another_month_is_tried_where_it_is_chosen(finance):
    build.a_policy()
    build.a_charge("1", service_name="GPU", period="2025-01")
    february = build.a_charge("2", service_name="GPU", period="2025-02").charged_in
    assert "Would hold 1 charge , 1.00 USD" in words(send(finance, "_try", flag_patterns="gpu"))
    assert "Would hold 1 charge , 2.00 USD" in words(send(finance, "_try", flag_patterns="gpu", month=february.pk))
    # A month that is none is the one worked on.
    assert "Would hold 1 charge , 1.00 USD" in words(send(finance, "_try", flag_patterns="gpu", month="9" * 30))


def test_what_is_wrong_with_a_pattern_is_said_by_line_and_character(finance):
    build.a_policy()
    for field in ("flag_patterns", "fund_org_patterns"):
        page = send(finance, **{field: "gpu\n\nbig (cpu\n(?=x)"})
        assert page.context["form"].errors[field] == [
            "Line 3, character 5: “big (cpu” is not a regular expression: a “)” is missing. Close the group, or write "
            "\\( for the character itself.",
            "Line 4, character 1: “(?=x)” is not a regular expression: it looks ahead or behind, or has another “(?…” "
            "that is not understood here. Say what the text has to be, from its beginning to its end (at “(?=”).",
        ]
    page = send(finance, fund_org_segments="(?P<fund>[0-9]+")
    assert "at character 1: a “)” is missing" in words(page)
    assert Policy.objects.count() == 1


@pytest.mark.parametrize(
    ("segments", "told"),
    [("[0-9]+", "No group has a name"), ("(?P<a>x)(?P<a>y)", "Two groups are called a")],
)
def test_segments_that_make_no_columns_are_refused(finance, segments, told):
    build.a_policy()
    assert told in words(send(finance, fund_org_segments=segments))


@pytest.mark.parametrize("button", ["_try", "_make", ""])
def test_a_pattern_that_would_take_years_is_tried_at_once(finance, button):
    build.a_policy()
    build.a_charge(resource_id="a" * 5_000 + "!")
    seen = {"seen": str(Policy.objects.current().pk)}
    assert send(finance, button, flag_patterns="(a+)+$\n(.*a){20}$", **seen).status_code in (200, 302)


def test_every_setting_says_what_it_does_and_when(finance):
    page = finance.get(EDIT)
    form = page.context["form"]
    assert [field.name for field in form if not field.help_text] == []
    grouped = [field.name for _, _, fields in form.groups() for field in fields]
    assert sorted(grouped) == sorted(form.fields)
    stamps = {"id", "created_at", "created_by"}
    assert {field.name for field in Policy._meta.concrete_fields} - stamps == set(SETTINGS)


def test_a_version_calls_every_setting_as_the_form_does_and_cuts_no_help(finance):
    build.a_policy(currency="USD", smallest_emailed=Decimal("2.5"))
    page = finance.get(f"/admin/billing/policy/{Policy.objects.current().pk}/change/")
    shown = words(page)
    missing = {label for name, label in LABELS.items() if label not in shown}
    # Those have a page of their own, or one line for several fields.
    assert missing == {"Logo", "Fiscal year starts in", "E-mail subject", "E-mail text", "E-mail HTML"}
    assert "2.50 USD" in shown
    assert "(?P<fund>[A-Z]+)-(?P<org>[0-9]+)" in shown


def test_currencies_are_told_apart(finance):
    build.a_policy()
    build.a_charge("1", service_name="GPU")
    build.a_charge("2", service_name="GPU", currency="EUR")
    assert "2 charges , 2.00 EUR and 1.00 USD" in words(send(finance, "_try", flag_patterns="gpu"))


@pytest.mark.parametrize("button", ["_try", ""])
def test_pages_ask_as_often_however_many_charges_and_patterns_there_are(finance, button, django_assert_max_num_queries):
    build.a_policy(flag_patterns=["old"], fund_org_patterns=["B.*"])
    asked = []
    for number in range(2):
        for each in range(4):
            build.a_charge(resource_id=f"gpu-{number}-{each}", fund_org=f"BIO-{number}{each}")
            build.a_charge(resource_id=f"old-{number}-{each}", flags=("pattern_match",))
        form = policy_form(finance) | {
            "flag_patterns": "\n".join(f"gpu-{at}" for at in range(number + 1)),
            "fund_org_patterns": "X.*",
            "fund_org_segments": "(?P<f>.*)",
        }
        with django_assert_max_num_queries(25) as queries:
            finance.post(EDIT, form | ({button: "1"} if button else {}))
        asked.append(len(queries.captured_queries))
    assert asked[0] == asked[1]


def test_a_change_without_a_month_is_decided_without_a_trial(finance):
    page = send(finance, flag_patterns="gpu")
    assert "Make version 1" in words(page)
    assert "What it would do" not in words(page)


def test_line_ends_of_a_browser_change_nothing(finance):
    build.a_policy(address="1 College Road\nExample Town", statement_footer="One\nTwo")
    page = send(finance, address="1 College Road\r\nExample Town", statement_footer="One\r\nTwo")
    assert "there is nothing to save" in words(page)
