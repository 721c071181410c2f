"""What people type is cleaned where they type it, and told where it means nothing or is not what it looks like."""

import io
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.forms import modelform_factory

from billing import corrections, review
from billing.attribution import naming
from billing.models import (
    AttributionRule,
    CloudAccount,
    FundingSource,
    PayerSplitShare,
    Person,
    PersonAlias,
    Policy,
    Project,
    Source,
)
from billing.models.people import Mailboxes
from billing.review import Reassignment
from billing.setup import policies, registers, sourcing
from statements.models import Statement
from tests import build
from tests.billing.test_review_sheets import a_held_charge, apply, errors_of

pytestmark = [pytest.mark.django_db, pytest.mark.same_on_either]

BY = {"actor": build.SOMEBODY, "now": build.NOW}
DIRTY = "\u200b410211\u20137105\u00a0"
CLEAN = "410211-7105"


@pytest.mark.parametrize("word", ["n/a", "None", "-", "\u2013", "NULL", "unassigned"])
@pytest.mark.parametrize("name", ["project", "fund_org", "cost_center", "natural_account"])
def test_a_review_is_told_that_a_word_means_nothing(name, word):
    with pytest.raises(naming.MeansNothing, match="means that there is none"):
        review.reattribute(charges=[a_held_charge().pk], reassignment=Reassignment(**{name: word}), create=True, **BY)
    assert not Project.objects.filter(code=word).exists()


def test_a_review_takes_codes_cleaned():
    charge = a_held_charge()
    reassignment = Reassignment(fund_org=DIRTY, project="tid\u200bal", pi="Ada Lovelace <Ada+hpc@U.edu>")
    review.reattribute(charges=[charge.pk], reassignment=reassignment, create=True, **BY)
    charge.refresh_from_db()
    assert (charge.fund_org, charge.project.code, charge.pi.email) == (CLEAN, "tidal", "ada@u.edu")


def test_a_split_is_of_cleaned_codes_and_none_of_them_means_nothing():
    assert review.parse_shares("A\u20111=60; B=40") == {"A-1": Decimal(60), "B": Decimal(40)}
    with pytest.raises(review.BadSplit, match="two shares"):
        review.parse_shares("A\u20111=60; A-1=40")
    with pytest.raises(naming.MeansNothing):
        review.parse_shares("A=60; n/a=40")


def test_an_address_of_letters_that_look_like_others_is_named():
    with pytest.raises(review.BadPI, match=r"U\+0430 CYRILLIC SMALL LETTER A looks like a Latin a"):
        Reassignment(pi="\u0430da@u.edu").checked()


def test_a_review_sheet_is_told_by_line_and_column():
    a_held_charge()
    assert errors_of({(2, "fund_org"): "n/a", (2, "decision"): "approve"})[0] == [(2, "fund_org")]
    assert errors_of({(2, "project"): "NULL"})[0] == [(2, "project")]


def test_a_cell_that_differs_by_what_nobody_sees_is_no_change():
    a_held_charge()
    assert apply({(2, "fund_org"): "BIO\u2011001\u200b", (2, "project"): " genomics\ufeff"}).rows == []


def test_a_correction_is_charged_to_a_cleaned_code():
    for word in ("n/a", "-"):
        with pytest.raises(naming.MeansNothing):
            corrections.shares_from(word)
        with pytest.raises(naming.MeansNothing):
            corrections.project_coded(word)
    assert corrections.shares_from(DIRTY) == {CLEAN: Decimal(100)}
    build.a_period()
    charge = {"pi": build.a_pi(), "source": build.a_source(), "amount": Decimal(5), "reason": "Disks\u200b"}
    with pytest.raises(naming.MeansNothing):
        corrections.add_manual_charge(fund_org="none", **charge, **BY)
    entered = corrections.add_manual_charge(fund_org=DIRTY, service_name="Disk\r\nspace", **charge, **BY)
    line = entered.correction.lines.get()
    assert (line.fund_org, line.service_name, entered.correction.reason) == (CLEAN, "Disk space", "Disks")


def load_funds(text):
    return registers.load(registers.FUNDS, file=io.BytesIO(text.encode()), **BY)


def test_a_list_of_funds_is_cleaned_and_its_words_for_nothing_are_told():
    with pytest.raises(registers.FundsRefused) as refused:
        load_funds("fund_org,name\nBIO-1,x\nn/a,x\n\u0410BC-1,x\n41\u0661,x\n")
    assert [(error.line, error.column) for error in refused.value.errors] == [
        (3, "fund_org"),
        (4, "fund_org"),
        (5, "fund_org"),
    ]
    assert "U+0410 CYRILLIC CAPITAL LETTER A looks like a Latin A" in str(refused.value)
    load_funds(f"fund_org,name\n{DIRTY},Gel\u200b imaging \u2013 core\n")
    fund = FundingSource.objects.get()
    assert (fund.fund_org, fund.name) == (CLEAN, "Gel imaging \u2013 core")
    # The same fund, listed before codes were cleaned.
    FundingSource.objects.update(fund_org="410211\u20137105")
    load_funds(f"fund_org,name\n{CLEAN},Imaging\n")
    assert list(FundingSource.objects.values_list("fund_org", "name")) == [(CLEAN, "Imaging")]


def test_two_lines_of_a_list_that_are_one_fund_are_told():
    with pytest.raises(registers.FundsRefused, match="is on line 2 already"):
        load_funds(f"fund_org\n{CLEAN}\n{DIRTY}\n")


def test_a_source_takes_codes_cleaned_and_no_word_for_nothing():
    source = build.a_source()
    with pytest.raises(ValidationError, match="means that there is none"):
        sourcing.change(source=source, fields={"recovery_fund_org": "n/a"}, **BY)
    changed = sourcing.change(source=source, fields={"recovery_fund_org": DIRTY}, **BY)
    assert (changed.source.recovery_fund_org, changed.after) == (CLEAN, {"recovery_fund_org": CLEAN})


def load_people(text):
    return registers.load(registers.PEOPLE, file=io.BytesIO(text.encode()), **BY)


def test_a_list_of_people_knows_mailboxes():
    Person.objects.create(email="ed@xn--universitt-y5a.example")
    load_people("email,name\nEd <ed+hpc@universit\u00e4t.example>,Ed\u200b Farrow\n")
    assert list(Person.objects.values_list("email", "name")) == [("ed@xn--universitt-y5a.example", "Ed Farrow")]
    with pytest.raises(registers.PeopleRefused, match="is on line 2 already"):
        load_people("email\nada@u.edu\nada+x@u.edu\n")


FORMS = [
    (FundingSource, "fund_org"),
    (Project, "code"),
    (Project, "default_fund_org"),
    (PayerSplitShare, "fund_org"),
    (CloudAccount, "account_id"),
    (CloudAccount, "default_fund_org"),
    (AttributionRule, "fund_org"),
    (AttributionRule, "cost_center"),
    (AttributionRule, "natural_account"),
    (Source, "recovery_fund_org"),
    (Source, "debit_account"),
    (Source, "overflow_fund_org"),
    (Policy, "center_fund_org"),
]


@pytest.mark.parametrize(("model", "name"), FORMS)
def test_every_form_cleans_codes_and_is_told_of_words_for_nothing(model, name):
    form = modelform_factory(model, fields=[name])
    assert form({name: DIRTY}).fields[name].clean(DIRTY) == CLEAN
    said = form({name: "N/A"})
    assert "means that there is none" in str(said.errors[name])
    # Whoever has one of that name takes the word off the list.
    policies.change_policy(changes={"missing_words": ["-"]}, **BY)
    assert name not in form({name: "N/A"}).errors


def test_forms_take_addresses_however_they_were_copied():
    form = modelform_factory(Person, fields=["email", "name", "contact_email"])
    data = {"email": "Ada <ADA@u.edu>", "name": "Ada\u200b\r\nLovelace", "contact_email": "mailto:Lab@U.edu"}
    person = form(data).save(commit=False)
    assert (person.email, person.name, person.contact_email) == ("ada@u.edu", "Ada Lovelace", "lab@u.edu")


def test_nobody_adds_a_pi_whose_mailbox_is_anothers():
    build.a_pi("ada@u.edu")
    with pytest.raises(ValidationError, match="the mailbox of the PI ada@u.edu"):
        Person(email="ada+x@u.edu").full_clean()
    build.a_policy(folds_plus_addresses=False)
    Person(email="ada+x@u.edu").full_clean()


def test_pis_who_share_a_mailbox_are_shown_until_an_alias_settles_it():
    ada = build.a_pi("ada@u.edu")
    Person.objects.create(email="ada+aws@u.edu")
    out = io.StringIO()
    call_command("people", "list", stdout=out)
    assert "ada@u.edu is the same mailbox as ada+aws@u.edu." in out.getvalue()
    assert Mailboxes().sharing() == {"ada@u.edu": ["ada+aws@u.edu"], "ada+aws@u.edu": ["ada@u.edu"]}
    PersonAlias.objects.create(person=ada, email="ada+aws@u.edu")
    assert Mailboxes().sharing() == {}


def test_a_pi_is_named_by_any_address_of_the_mailbox():
    ada = build.a_pi("ada@u.edu")
    assert Person.objects.named("Ada <ada+x@U.edu>") == ada
    assert naming.unknown(pi="ada+x@u.edu") == []
    assert [each.name for each in naming.unknown(pi="bob+x@u.edu", project="a\u200bb")] == ["bob@u.edu", "ab"]


def test_the_portal_knows_a_pi_by_the_mailbox():
    ada = Person.objects.create(email="ada@xn--universitt-y5a.example")
    user = build.User.objects.create(username="ada", email="ada+x@universit\u00e4t.example")
    own = Statement.objects.visible_to(user, on=build.NOW.date())
    assert str(ada.pk) in str(own.query)
