"""Confirming PIs releases their charges; a list of people is loaded whole or not at all."""

import io
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from openpyxl import Workbook

from billing import audit, review
from billing.models import AuditEvent, Charge, Flag, Person, PersonAlias
from billing.setup import people, policies, registers
from tests import build
from tests.build import a_charge, a_pi, a_policy

pytestmark = pytest.mark.django_db

BY: dict[str, Any] = {"actor": build.SOMEBODY, "now": build.NOW}


def load(text: str, **options: Any) -> registers.LoadedRegister:
    return registers.load(registers.PEOPLE, file=io.BytesIO(text.encode()), **options, **BY)


def a_waiting_charge(*more, email="stranger@gmail.com", **fields):
    return a_charge(fields.pop("billed", "100.00"), pi=email, flags=("unknown_pi", *more), **fields)


def state_of(charge):
    return Charge.objects.get(pk=charge.pk).state


def open_codes(charge):
    return sorted(Flag.objects.filter(charge=charge, is_resolved=False).values_list("code", flat=True))


def test_confirming_a_pi_once_releases_all_their_charges():
    a_policy(own_domains=["u.edu"])
    only, other_reason = a_waiting_charge(), a_waiting_charge("pattern_match")
    next_month, somebody_else = a_waiting_charge(period="2025-02"), a_waiting_charge(email="typo@gmial.com")
    confirmed = people.confirm(people=[a_pi("stranger@gmail.com")], **BY)
    assert (confirmed.confirmed, confirmed.released) == (("stranger@gmail.com",), 2)
    assert str(confirmed) == "Confirmed: stranger@gmail.com. 2 held charges are clear now (200.00 USD)."
    assert [state_of(each) for each in (only, next_month)] == ["clear", "clear"]
    assert (state_of(other_reason), open_codes(other_reason)) == ("held", ["pattern_match"])
    assert (state_of(somebody_else), open_codes(somebody_else)) == ("held", ["unknown_pi"])
    event = AuditEvent.objects.get(action="person.confirmed")
    assert event.before == {"confirmed_at": None, "confirmed_by_name": ""}
    assert (event.after["email"], event.after["confirmed_by_name"]) == ("stranger@gmail.com", "somebody")
    assert AuditEvent.objects.filter(action="charge.released", gesture=event.gesture).count() == 2


def test_a_confirmed_pi_keeps_who_confirmed_them_first():
    a_policy(own_domains=["u.edu"])
    person = a_pi("stranger@gmail.com")
    people.confirm(people=[person], **BY)
    again = people.confirm(people=[person], actor=build.Actor("another", "test"), now=build.NOW)
    assert (again.confirmed, again.known) == ((), ("stranger@gmail.com",))
    assert Person.objects.get().confirmed_by_name == "somebody"


def test_what_a_closed_month_holds_is_left_alone():
    a_policy(own_domains=["u.edu"])
    charge = a_waiting_charge()
    build.shut("2025-01")
    people.confirm(people=[a_pi("stranger@gmail.com")], **BY)
    assert state_of(charge) == "held"


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_a_charge_that_is_rejected_while_its_pi_is_confirmed_stays_rejected():
    a_policy(own_domains=["u.edu"])
    charge, stranger = a_waiting_charge(), a_pi("stranger@gmail.com")

    def confirm():
        try:
            return people.confirm(people=[stranger], **BY)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with audit.gesture(**BY):
            review.reject(provider_credits=True, charges=[charge.pk], reason="not_ours", **BY)
            confirming = pool.submit(confirm)
            time.sleep(1)
        assert confirming.result().released == 0
    assert state_of(charge) == "rejected"


def test_nobody_to_confirm_is_refused():
    with pytest.raises(people.NobodyToConfirm):
        people.confirm(people=[], **BY)


def test_a_domain_that_is_added_releases_the_charges_of_its_pis():
    a_policy(own_domains=["u.edu"])
    charge = a_waiting_charge(email="eva@hospital.org")
    policies.change_policy(changes={"own_domains": ["u.edu", "hospital.org"]}, **BY)
    assert state_of(charge) == "clear"


LIST = "E-mail,Name,Department,Active until\nAda@U.edu,Ada Lovelace,Math,\nnew@lab.org,,,2025-06-30\n"


def test_a_list_adds_and_changes_pis_who_are_known_from_then_on():
    PersonAlias.objects.create(person=a_pi("ada.lovelace@u.edu"), email="ada@u.edu")
    a_policy(own_domains=["u.edu"])
    charge = a_waiting_charge(email="new@lab.org")
    Person.objects.filter(email="new@lab.org").update(name="New")
    preview = load(LIST, is_dry_run=True)
    assert (preview.added, preview.changed, preview.unchanged) == (0, 2, 0)
    assert preview.examples == (
        "line 2: ada.lovelace@u.edu: name – → Ada Lovelace, department – → Math, listed no → yes",
        "line 3: new@lab.org: name New → –, active_until – → 2025-06-30, listed no → yes",
    )
    assert not Person.objects.filter(is_listed=True).exists()
    loaded = load(LIST)
    assert str(loaded) == (
        "0 PIs added, 2 changed, 0 stay as they are. 1 held charge is clear now. 1 department added: Math."
    )
    assert state_of(charge) == "clear"
    assert str(Person.objects.get(email="ada.lovelace@u.edu").department) == "Math"
    assert load(LIST).unchanged == 2


def test_every_mistake_of_a_list_is_told_by_line_and_nothing_is_stored():
    with pytest.raises(registers.PeopleRefused) as refused:
        load("email,active_until\nok@u.edu,\nnobody,\n,2025-01-01\nother@u.edu,1.2.2025\nOK@u.edu,\n")
    assert [str(error) for error in refused.value.errors] == [
        "line 3, email: enter a valid email address.",
        "line 4, email: is empty",
        "line 5, active_until: “1.2.2025” is not a date such as 2025-06-30",
        "line 6, email: ok@u.edu is on line 2 already",
    ]
    assert not Person.objects.exists()


def test_a_list_comes_as_a_spreadsheet_too():
    book = Workbook()
    book.active.append(["email", "name", None])
    book.active.append(["ada@u.edu", "Ada", None])
    file = io.BytesIO()
    book.save(file)
    file.seek(0)
    assert registers.load(registers.PEOPLE, file=file, **BY).added == 1
    assert Person.objects.get().is_listed


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04 broken", "damaged"),
        (b"", "no column email"),
        (b"email\n", "names nobody"),
        (b"email,age\n", "age"),
    ],
)
def test_what_is_no_list_of_people_is_refused_in_words(content, said):
    with pytest.raises(registers.PeopleRefused, match=said):
        registers.load(registers.PEOPLE, file=io.BytesIO(content), **BY)


# Through the command


def run(*arguments):
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_the_command_names_domains_lists_strangers_and_confirms_them():
    assert run("people", "domains") == "No own e-mail domains are set.\n"
    assert run("people", "domains", "@U.edu") == "Own e-mail domains: u.edu.\n"
    a_pi("ada@u.edu")
    charge = a_waiting_charge()
    listed = json.loads(run("people", "list", "--unconfirmed", "--json"))["people"]
    assert [(each["email"], each["known"], each["standing"]) for each in listed] == [
        ("stranger@gmail.com", False, "Not confirmed")
    ]
    confirmed = json.loads(run("people", "confirm", "stranger@gmail.com", "--json"))
    assert (confirmed["released"], confirmed["billed"]) == (1, {"USD": "100.00"})
    assert state_of(charge) == "clear"
    assert run("people", "list", "--unconfirmed") == "Nobody waits to be confirmed.\n"
    with pytest.raises(CommandError, match="There is no PI"):
        run("people", "confirm", "nobody@gmail.com")
    with pytest.raises(CommandError, match="not the domain"):
        run("people", "domains", "edu")
    assert run("people", "domains", "--none") == "No own e-mail domains are set.\n"


def test_the_command_loads_a_list(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("email\nada@u.edu\n")
    assert run("people", "load", str(path), "--dry-run") == (
        "1 PI would be added, 0 would be changed, 0 stay as they are.\n  line 2: ada@u.edu is added (listed yes)\n"
    )
    assert run("people", "load", str(path)) == "1 PI added, 0 changed, 0 stay as they are.\n"
    with pytest.raises(CommandError, match="cannot be read"):
        run("people", "load", str(tmp_path / "no.csv"))
