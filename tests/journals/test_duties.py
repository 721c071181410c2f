"""Separation of duties: another person submits a journal than the one who drafted it, where the policy asks for it."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from billing.audit import Actor
from billing.models import User
from journals import posting
from tests.build import NOW, SOMEBODY, a_charge, a_period, a_policy

pytestmark = pytest.mark.django_db


@pytest.fixture
def two_people(cast):
    a_policy(journals_need_second_person=True)
    a_charge("100.00")
    return Actor.from_user(cast.reviewer), Actor.from_user(cast.finance)


def drafted_by(actor):
    return posting.export(period=a_period(), format="gl", actor=actor, now=NOW).journal


def test_another_person_submits(two_people):
    first, second = two_people
    journal = drafted_by(first)
    assert journal.drafted_by == first.user
    submitted = posting.submit(journal=journal, format="gl", actor=second, now=NOW)
    assert (submitted.state, submitted.drafted_by, submitted.submitted_by) == ("submitted", first.user, second.user)


def test_nobody_submits_an_own_draft_and_is_told_who_may(two_people):
    _, second = two_people
    journal = drafted_by(second)
    with pytest.raises(posting.SamePerson) as refused:
        posting.submit(journal=journal, format="gl", actor=second, now=NOW)
    assert str(refused.value) == (
        "fay drafted J2025-01-1, and the policy asks for another person to submit it. root may."
    )
    User.objects.filter(username="root").update(is_active=False)
    with pytest.raises(posting.SamePerson, match="Nobody else may: give somebody the role finance"):
        posting.submit(journal=journal, format="gl", actor=second, now=NOW)
    journal.refresh_from_db()
    assert journal.state == "draft"


def test_drafting_again_makes_one_the_preparer(two_people):
    first, second = two_people
    drafted_by(first)
    with pytest.raises(posting.SamePerson):
        posting.export(period=a_period(), format="gl", submit=True, actor=second, now=NOW)
    # The refused export was undone as a whole: the first person is still the one who drafted it.
    journal = posting.journal_named("J2025-01-1", among=a_period().journals.all(), waiting="is there")
    assert journal.drafted_by == first.user


def test_nobody_submits_in_nobodys_name(two_people):
    first, second = two_people
    journal = drafted_by(SOMEBODY)
    with pytest.raises(posting.SamePerson, match=r"say in whose name\. fay or root may\."):
        posting.submit(journal=journal, format="gl", actor=SOMEBODY, now=NOW)
    assert posting.submit(journal=journal, format="gl", actor=second, now=NOW).submitted_by == second.user


def test_it_is_off_by_default(cast):
    a_charge("100.00")
    finance = Actor.from_user(cast.finance)
    assert posting.submit(journal=drafted_by(finance), format="gl", actor=finance, now=NOW).state == "submitted"


def test_the_command_submits_a_draft_in_the_name_of_another(two_people):
    out = StringIO()
    call_command("export_journal", "-p", "2025-01", "--as", "fay", stdout=out)
    with pytest.raises(CommandError, match=r"fay drafted J2025-01-1.*root may.*manage\.py journals submit J2025-01-1"):
        call_command("journals", "submit", "2025-01", "--as", "fay", stdout=out)
    call_command("journals", "submit", "2025-01", "--as", "root", stdout=out)
    assert "Journal J2025-01-1 submitted: " in out.getvalue()


def test_the_page_says_who_may(client, cast, two_people):
    _, second = two_people
    journal = drafted_by(second)
    page = reverse("admin:journals_journal_submit", args=[journal.pk])
    client.force_login(cast.finance)
    assert "fay drafted J2025-01-1, and the policy asks for another person" in client.get(page).content.decode()
    client.post(page, {"format": "gl"})
    journal.refresh_from_db()
    assert journal.state == "draft"
    client.force_login(cast.admin)
    shown = client.get(page).content.decode()
    assert "asks for another person" not in shown
    assert "by fay" in shown
    client.post(page, {"format": "gl"})
    journal.refresh_from_db()
    assert (journal.state, journal.submitted_by) == ("submitted", cast.admin)
