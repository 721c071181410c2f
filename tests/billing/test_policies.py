"""Changing the policy: each change a version."""

import pytest
from django.core.exceptions import ValidationError

from billing.models import AuditEvent, Policy
from billing.setup import policies
from tests import build

pytestmark = pytest.mark.django_db


def change(**changes) -> Policy:
    return policies.change_policy(changes=changes, actor=build.SOMEBODY, now=build.NOW)


def test_the_first_change_starts_from_the_built_in_defaults():
    policy = change(institution="Example University")
    assert (policy.institution, policy.currency) == ("Example University", "USD")
    assert policy.tag_keys["pi_email"]


def test_a_change_keeps_the_rest_and_the_version_before():
    first = change(institution="Example University", currency="EUR")
    second = change(flag_patterns=["gpu"])
    assert (second.institution, second.currency, second.flag_patterns) == ("Example University", "EUR", ["gpu"])
    first.refresh_from_db()
    assert first.flag_patterns == []
    event = AuditEvent.objects.latest("id")
    assert event.before == {"version": first.pk, "flag_patterns": []}
    assert event.after == {"flag_patterns": ["gpu"]}


def test_a_change_that_changes_nothing_is_refused():
    change(currency="EUR")
    with pytest.raises(policies.NothingChanged):
        change(currency="EUR")
    assert Policy.objects.count() == 1


def test_a_field_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(policies.UnknownPolicyField, match="institution"):
        change(colour="red")


def test_a_broken_pattern_makes_no_version():
    with pytest.raises(ValidationError, match="not a regular expression"):
        change(flag_patterns=["(broken"])
    assert not Policy.objects.exists()
    assert not AuditEvent.objects.exists()


def test_an_address_longer_than_the_head_of_a_statement_is_refused():
    change(address="1 College Road\n\nExample Town\n" + "\n".join("abcdef"))
    for address in ("\n".join(map(str, range(9))), "x" * 101):
        with pytest.raises(ValidationError, match="8 lines at most, of 100 characters each"):
            change(address=address)
