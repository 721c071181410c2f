"""What tags say once their texts are cleaned: keys that are one, words for nothing, codes, addresses of one mailbox."""

import itertools
import json

import pytest

from billing.attribution import newcomers, tags_used
from billing.importing.charge_hashes import content_hash_of
from billing.models import Charge, FundingSource, Person, PersonAlias, Policy, Project
from billing.models.people import Mailboxes
from billing.setup import policies
from tests import build
from tests.billing.deliveries import a_row, delivered
from tests.billing.test_attribution import a_rule, an_account, who_pays

pytestmark = [pytest.mark.django_db, pytest.mark.same_on_either]

FIELDS = {
    "pi_email": ("pi_email", "ada@u.edu", "bob@u.edu", "pi_email"),
    "project_id": ("project_id", "genomics", "physics", "project_code"),
    "fund_org": ("fund_org", "410211-7105", "410212-7105", "fund_org"),
    "cost_center": ("cost_center", "BIO", "PHY", "cost_center"),
    "natural_account": ("natural_account", "7480", "7481", "natural_account"),
    "reference_1": ("grant_number", "R01", "R02", "reference_1"),
    "reference_2": ("request_id", "REQ1", "REQ2", "reference_2"),
    "end_date": ("end_date", "2026-06-30", "2026-07-31", "end_date"),
}
SAME_KEY = ["{}", "{upper}", " {} ", "user:{}", "AWS:{}", "labels.{}", "{}\u200b", "\ufeff{}"]


def attributed(pairs):
    """Attribute a row whose tags stand in this order in the JSON text."""
    return who_pays(json.dumps(dict(pairs), ensure_ascii=False))


@pytest.mark.parametrize("name", FIELDS)
def test_keys_that_are_one_have_to_agree_in_whatever_order_they_stand(name):
    key, one, other, kept = FIELDS[name]
    for written in SAME_KEY[1:]:
        second = written.format(key, upper=key.upper())
        found = {attributed(order) for order in itertools.permutations([(key, one), (second, other)])}
        assert len(found) == 1, written
        (said,) = found
        assert getattr(said, kept) == "", written
        assert all(part in said.problem for part in (key, one, other)), said.problem
        # The same said twice is said once.
        agreed = attributed([(key, one), (second, f" {one} ")])
        assert (getattr(agreed, kept), agreed.problem) == (one, "")


def test_the_same_written_otherwise_is_no_contradiction():
    said = attributed([("pi_email", "Ada@U.edu"), ("PI_Email", "mailto:ada@u.edu"), ("project", "Tidal")])
    assert (said.pi_email, said.problem) == ("ada@u.edu", "")
    assert attributed([("project", "tidal"), ("Project", "TIDAL")]).problem == ""
    assert attributed([("end_date", "2026-06-30"), ("End_Date", "2026-06-30T00:00")]).problem == ""
    # Nothing contradicts nothing.
    assert attributed([("pi_email", ""), ("PI_email", "ada@u.edu"), ("Pi_Email", "n/a")]).pi_email == "ada@u.edu"


def test_other_keys_of_a_field_are_tried_in_the_order_of_the_policy():
    said = attributed([("owner_email", "bob@u.edu"), ("pi_email", "ada@u.edu"), ("pi-email", "eve@u.edu")])
    assert (said.pi_email, said.problem) == ("ada@u.edu", "")


def test_a_key_twice_in_the_json_names_both_values():
    for text in ('{"pi_email": "a@u.edu", "pi_email": "b@u.edu"}', '{"pi_email": "b@u.edu", "pi_email": "a@u.edu"}'):
        said = who_pays(text)
        assert (said.pi_email, said.problem) == (
            "",
            "The tag “pi_email” holds more than one value: “a@u.edu” and “b@u.edu”.",
        )
    assert who_pays('{"pi_email": "a@u.edu", "pi_email": "a@u.edu"}').pi_email == "a@u.edu"


def test_a_rule_goes_by_no_tag_that_contradicts_itself():
    a_rule(tag_key="team", tag_value="blue", pi="ada@u.edu")
    orders = [attributed(each) for each in itertools.permutations([("team", "blue"), ("Team", "red")])]
    assert {
        (each.pi_email, "“team” (“blue”)" in each.problem, "“Team” (“red”)" in each.problem) for each in orders
    } == {("", True, True)}
    assert attributed([("team", "blue"), ("user:Team", "Blue")]).pi_email == "ada@u.edu"
    assert attributed([("team", "green"), ("Team", "red")]).problem == ""


def test_where_tags_contradict_each_other_none_is_said_to_have_spoken():
    used = tags_used('{"fund_org": "A", "FUND_ORG": "B", "project": "x"}', Policy())
    assert used == {"project_id": ("project", "x")}


WORDS = [
    "n/a",
    "N/A",
    "na",
    "none",
    "None",
    "NULL",
    "-",
    "--",
    "\u2013",
    "\u2014",
    "nan",
    "NaN",
    "Unassigned",
    "-2",
    "tbd",
    " - ",
]


@pytest.mark.parametrize("word", WORDS)
def test_a_word_for_nothing_is_nothing_in_every_field(word):
    said = attributed([(key, word) for key, *_ in FIELDS.values()])
    assert {getattr(said, kept) for *_, kept in FIELDS.values()} == {""}
    assert said.problem == ""


def test_a_word_for_nothing_leaves_the_next_key_and_the_account_their_say():
    an_account(default_fund_org="BIO-001")
    assert who_pays('{"fund_org": "none", "fund": "PHY-002"}').fund_org == "PHY-002"
    assert who_pays('{"fund_org": "none"}', SubAccountId="123").fund_org == "BIO-001"


def test_an_institution_with_a_project_na_takes_the_word_off_the_list():
    words = [word for word in Policy().missing_words if word != "na"]
    policies.change_policy(changes={"missing_words": words}, actor=build.SOMEBODY, now=build.NOW)
    said = who_pays('{"project_id": "NA", "fund_org": "n/a"}')
    assert (said.project_code, said.fund_org) == ("NA", "")


def test_any_value_of_a_rules_tag_is_none_that_says_nothing():
    a_rule(tag_key="team", pi="ada@u.edu")
    assert who_pays('{"team": "n/a"}').pi_email == ""
    a_rule(tag_key="team", tag_value="none", pi="bob@u.edu")
    assert who_pays('{"team": "None"}').pi_email == "bob@u.edu"


def test_words_for_nothing_are_held_as_missing(tmp_path):
    row = a_row(tags={"pi_email": "ada@u.edu", "project_id": "-", "fund_org": "NULL"}, ResourceName="n/a")
    delivered(tmp_path, [row])
    charge = Charge.objects.get()
    assert {flag.code for flag in charge.flags.all()} == {"missing_fund_org", "missing_project"}
    # What no field is made of stays as delivered.
    assert charge.resource_name == "n/a"


@pytest.mark.parametrize("dash", "\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d")
def test_dashes_and_what_nobody_sees_make_no_payer_of_their_own(dash):
    said = attributed(
        [("fund_org\u200b", f"410211{dash}7105\u2060"), ("project", "tid\u200bal"), ("pi", "ada@u.edu\ufeff")]
    )
    assert (said.fund_org, said.project_code, said.pi_email) == ("410211-7105", "tidal", "ada@u.edu")


def test_a_charge_keeps_what_was_delivered_and_is_the_same_when_it_comes_again(tmp_path):
    tags = json.dumps({"pi_email": "ada@u.edu", "project_id": "tid\u200bal", "fund_org": "41\u20137"})
    row = a_row(tags=tags, ResourceName="a\u200bb")
    delivered(tmp_path, [row])
    charge = Charge.objects.get()
    assert (charge.fund_org, charge.project.code) == ("41-7", "tidal")
    assert charge.tags == tags
    assert charge.resource_name == "ab"
    assert content_hash_of(charge) == bytes(charge.content_hash)
    # As stored before codes were cleaned, and approved since.
    old = Project.objects.create(code="tid\u200bal")
    Charge.objects.update(project=old, fund_org="41\u20137", state="approved")
    again = delivered(tmp_path, [row, a_row(ResourceId="i-2")])
    assert (again.counts.unchanged, again.counts.new, again.counts.changed) == (1, 1, 0)
    assert Charge.objects.get(pk=charge.pk).state == "approved"


def test_a_project_that_was_learned_with_something_unseen_stays_the_one(tmp_path):
    old = Project.objects.create(code="tid\u200bal")
    assert attributed([("project", "tidal")]).project_code == old.code
    clean = Project.objects.create(code="tidal")
    assert attributed([("project", "tid\u200bal")]).project_code == clean.code


def test_a_listed_fund_with_another_dash_is_the_one_that_charges_name(tmp_path):
    FundingSource.objects.create(fund_org="410211\u20137105")
    delivered(tmp_path, [a_row(tags={"pi_email": "ada@u.edu", "project_id": "x", "fund_org": "410211-7105"})])
    assert not Charge.objects.get().flags.exists()


@pytest.mark.parametrize(
    ("patterns", "fund_org", "detail"),
    [
        ([r"\d{6}-\d{4}"], "41021\u0661-7105", "U+0661 ARABIC-INDIC DIGIT ONE is not the digit 1"),
        ([r"[A-Z]{3}-\d+"], "\u0410BC-1", "U+0410 CYRILLIC CAPITAL LETTER A looks like a Latin A"),
        ([r"\w+-\d+"], "\u0410BC-1", "U+0410 CYRILLIC CAPITAL LETTER A looks like a Latin A"),
        ([r"[A-Z]+"], "\u00c9", "it has U+00C9 LATIN CAPITAL LETTER E WITH ACUTE"),
        ([], "\u0410BC-1", "U+0410 CYRILLIC CAPITAL LETTER A looks like a Latin A"),
        ([], "41021\u0661", "U+0661 ARABIC-INDIC DIGIT ONE is not the digit 1"),
    ],
)
def test_a_fund_that_is_not_what_it_looks_like_is_held_and_the_character_named(tmp_path, patterns, fund_org, detail):
    build.a_policy(fund_org_patterns=patterns)
    delivered(tmp_path, [a_row(tags={"pi_email": "ada@u.edu", "project_id": "x", "fund_org": fund_org})])
    flag = Charge.objects.get().flags.get()
    assert (flag.code, flag.detail) == ("invalid_fund_org", f"{fund_org}: {detail}")


def test_full_width_digits_are_the_digits_of_the_keyboard(tmp_path):
    build.a_policy(fund_org_patterns=[r"\d{6}-\d{4}"])
    tags = {"pi_email": "ada@u.edu", "project_id": "x", "fund_org": "\uff14\uff11\uff10\uff12\uff11\uff11-7105"}
    delivered(tmp_path, [a_row(tags=tags)])
    charge = Charge.objects.get()
    assert (charge.fund_org, charge.state) == ("410211-7105", "clear")


def test_a_project_of_letters_that_look_like_others_is_a_problem_and_makes_none():
    said = attributed([("project", "tid\u0430l")])
    assert said.project_code == ""
    assert "U+0430 CYRILLIC SMALL LETTER A looks like a Latin a" in said.problem
    assert attributed([("project", "\u03b1-helix")]).project_code == "\u03b1-helix"


ONE_MAILBOX = [
    "Edith.Farrow@Larkspur.example",
    "edith.farrow+aws@larkspur.example",
    "mailto:edith.farrow@larkspur.example",
    "Edith Farrow <edith.farrow@larkspur.example>",
    "<edith.farrow@larkspur.example>",
    "edith.farrow@larkspur.example.",
    "edith.farrow\uff20larkspur.example",
    "edith.farrow@larkspur\u3002example",
    "edith\u200b.farrow@larkspur.example;",
]


@pytest.mark.parametrize("written", ONE_MAILBOX)
def test_addresses_of_one_mailbox_are_one_pi(written):
    assert attributed([("pi", written)]).pi_email == "edith.farrow@larkspur.example"


@pytest.mark.parametrize(
    "written", ["ed@universit\u00e4t.example", "ed@xn--universitt-y5a.example", "ED@UNIVERSITA\u0308T.example"]
)
def test_an_international_domain_is_one_domain_in_either_form(written):
    assert attributed([("pi", written)]).pi_email == "ed@universit\u00e4t.example"
    Person.objects.create(email="ed@xn--universitt-y5a.example")
    # Known before under the other form: still that PI.
    assert attributed([("pi", written)]).pi_email == "ed@xn--universitt-y5a.example"


def test_plus_addresses_are_apart_where_the_policy_says_so():
    build.a_policy(folds_plus_addresses=False)
    assert attributed([("pi", "ed+aws@u.edu")]).pi_email == "ed+aws@u.edu"


def test_a_pi_or_alias_who_has_the_very_address_is_meant():
    bob = Person.objects.create(email="ed+lab@u.edu")
    assert attributed([("pi", "ed+lab@u.edu")]).pi_email == bob.email
    # Alone with that mailbox, so far.
    assert attributed([("pi", "ed@u.edu")]).pi_email == bob.email
    ed = Person.objects.create(email="ed@u.edu")
    assert attributed([("pi", "ed+lab@u.edu")]).pi_email == bob.email
    assert attributed([("pi", "ed+aws@u.edu")]).pi_email == ed.email
    assert Mailboxes().shared() == {"ed@u.edu": ["ed+lab@u.edu", "ed@u.edu"]}
    PersonAlias.objects.create(person=ed, email="ed+lab@u.edu")
    assert attributed([("pi", "ed+lab@u.edu")]).pi_email == ed.email
    assert Mailboxes().shared() == {}


def test_an_own_domain_is_known_in_either_form():
    build.a_policy(own_domains=["universit\u00e4t.example"])
    known = newcomers.known()
    assert known.knows("ed@xn--universitt-y5a.example")
    assert known.knows("ed@physik.universit\u00e4t.example")
    assert not known.knows("ed@other.example")
    Person.objects.create(email="ed@xn--universitt-y5a.example")
    assert not newcomers.strangers().exists()


@pytest.mark.parametrize("name", sorted(FIELDS.keys() - {"pi_email", "end_date"}))
@pytest.mark.parametrize("spoiled", ["#NAME?", "1.00E+11", "4,10E+05", "12-Mar", "04:30:00", "TRUE", "#REF!", "######"])
def test_what_a_spreadsheet_made_of_a_code_in_a_tag_is_named_and_nobody_pays_by_it(name, spoiled):
    key, code, _, kept = FIELDS[name]
    said = attributed([("pi_email", "ada@u.edu"), (key, spoiled)])
    assert getattr(said, kept) == ""
    assert f"The tag for {name}: “{spoiled}” is" in said.problem
    assert attributed([("pi_email", "ada@u.edu"), (key, code)]).problem == ""


def test_ids_that_only_look_like_numbers_are_codes_in_tags():
    for code in ("0042", "12E10", "2025-06-30", "1/2", "100000000000", "3.10"):
        said = attributed([("pi_email", "ada@u.edu"), ("request_id", code)])
        assert (said.reference_2, said.problem) == (code, "")


def test_a_project_that_is_there_may_be_called_like_a_day():
    assert attributed([("pi_email", "ada@u.edu"), ("project_id", "12-Mar")]).project_code == ""
    Project.objects.create(code="12-Mar", name="Twelve months of March")
    assert attributed([("pi_email", "ada@u.edu"), ("project_id", "12-mar")]).project_code == "12-Mar"
