"""What a page asks for is done once, however often it is sent: a double click, or going back and sending it again."""

import threading
import time
from unittest.mock import Mock

import pytest
from django.contrib import admin
from django.core.files.uploadedfile import SimpleUploadedFile as a_file_named
from django.db import OperationalError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing import audit, once
from billing.models import AuditEvent, Charge, Correction, Job, SentForm
from openchargeback import middleware
from tests import build
from tests.billing.test_corrections_doors import january, the_line  # noqa: F401 (january is a fixture)
from tests.test_hostile import Fields
from tests.test_matrix import Asking, house  # noqa: F401 (house is the fixture)

pytestmark = pytest.mark.django_db

ENTER, MANUAL = reverse("admin:billing_correction_enter"), reverse("admin:billing_correction_manual")
UPLOAD = reverse("admin:billing_import_upload")
DONE = "This was done already"
# What people fill in, by the name of the field.
FILLED = {
    **{"reason": "Wrong tag", "note": "Seen to", "document_number": "JV-7", "fund_org": "BIO-001", "pi": "ada@u.edu"},
    **{"valid_until": "2026-12-31", "response": "", "review_until": "2030-01-31", "until": "2030-01-31"},
}


def form_of(page, marker="once") -> tuple[str, dict[str, str]]:
    """Return the address and fields of the form of a page that carries a token."""
    for action, fields in Fields(page.content.decode()).forms:
        if fields and (marker in fields or fields.get("confirmed", "").startswith("once-")):
            return action, fields
    raise AssertionError(f"no form with a token on {page.request['PATH_INFO']}")


def twice(client, url, fields) -> str:
    """Send a form twice; what the second comes to is where the first led, and nothing more has happened."""
    before = happened()
    first = client.post(url, fields)
    assert first.status_code == 302, _errors(first)
    after = happened()
    assert after != before
    second = client.post(url, fields)
    assert second.status_code == 302
    assert second.url == first.url
    assert happened() == after
    assert DONE in client.get(second.url, follow=True).content.decode()
    return first.url


def happened():
    """Return how much there is of what an act makes."""
    events = AuditEvent.objects.exclude(action__startswith="session.").count()
    return events, Correction.objects.count(), Job.objects.count(), Charge.objects.count()


def _errors(page) -> str:
    context = page.context or {}
    form = context.get("form")
    told = [str(each) for each in context.get("messages", ())]
    return f"{page.request['PATH_INFO']}: {form.errors if form else ''} {told}"


VERBS = [
    pytest.param(model, verb, id=f"{model._meta.label_lower} {verb.name}")
    for model, screen in admin.site._registry.items()
    for verb in getattr(screen, "verbs", ())
]


def test_every_button_is_done_once(client, house):  # noqa: F811
    client.force_login(house.admin)
    done, refused = set(), {}
    for model, verb in (each.values for each in VERBS):
        screen = admin.site._registry[model]
        name = f"{model._meta.model_name} {verb.name}"
        for subject in [each for each in screen.get_queryset(Asking(house.admin)).order_by("pk") if verb.offered(each)]:
            with transaction.atomic():
                url = screen.verb_url(verb, subject)
                page = client.get(url)
                _, fields = form_of(page)
                sent = {**fields, **{field: FILLED[field] for field in fields if field in FILLED and not fields[field]}}
                first = client.post(url, sent)
                if SentForm.objects.exclude(done_at=None).exists():
                    after = happened()
                    second = client.post(url, sent)
                    assert (second.status_code, second.url) == (302, first.url), name
                    assert happened() == after, name
                    assert DONE in client.get(second.url, follow=True).content.decode(), name
                    done.add(name)
                else:
                    refused[name] = _errors(first)
                    # What stands in the way is said, and the token is free again.
                    assert not SentForm.objects.exists(), name
                transaction.set_rollback(True)
            if name in done:
                break
    assert {"charge charge_to_center", "correction approve", "import withdraw"} <= done, refused


CHARGED = {"pi": "ada@u.edu", "fund_org": "BIO-001", "source": "aws", "amount": "250.00", "reason": "Advice"}


def confirmation(client, url, data):
    page = client.post(url, data)
    assert page.context["planned"], page.context["form"].errors
    return {**data, "confirmed": page.context["seen"]}


def test_a_manual_charge_is_entered_once(client, cast):
    build.a_charge()
    client.force_login(cast.finance)
    sent = confirmation(client, MANUAL, CHARGED)
    led_to = twice(client, MANUAL, sent)
    assert Correction.objects.count() == 1
    assert led_to == reverse("admin:billing_correction_change", args=[Correction.objects.get().pk])
    # The same charge, asked for anew, is another one.
    twice(client, MANUAL, confirmation(client, MANUAL, CHARGED))
    assert Correction.objects.count() == 2


@pytest.mark.parametrize("kind", ["refund", "write_off", "transfer"])
def test_a_correction_in_part_is_entered_once(client, january, cast, kind):  # noqa: F811
    client.force_login(cast.finance)
    data = {"which": str(the_line().pk), "kind": kind, "amount": "0.10", "reason": "Down"}
    data |= {"to": "CHEM-2"} if kind == "transfer" else {}
    before = Correction.objects.count()
    twice(client, ENTER, confirmation(client, ENTER, data))
    assert Correction.objects.count() == before + 1


def test_a_confirmation_without_its_token_is_shown_again(client, cast):
    build.a_charge()
    client.force_login(cast.finance)
    seen = confirmation(client, MANUAL, CHARGED)["confirmed"].partition("/")[2]
    shown = client.post(MANUAL, {**CHARGED, "confirmed": seen})
    assert "Look at it once more" in shown.content.decode()
    assert not Correction.objects.exists()


def test_a_token_is_free_again_when_what_it_asked_for_was_refused(client, cast):
    build.a_charge()
    client.force_login(cast.finance)
    sent = confirmation(client, MANUAL, CHARGED)
    source = build.a_charge().source
    type(source).objects.filter(pk=source.pk).update(name="gone")
    assert client.post(MANUAL, sent).status_code == 200
    assert not SentForm.objects.exists()
    type(source).objects.filter(pk=source.pk).update(name="aws")
    twice(client, MANUAL, sent)


@pytest.mark.parametrize("step", ["approve", "reject", "charge_to_center", "correct"])
def test_a_decision_on_a_selection_is_made_once(client, house, step):  # noqa: F811
    client.force_login(house.admin)
    url = reverse("admin:billing_heldcharge_changelist")
    held = [build.a_charge(flags=("pattern_match",), resource_name="odd").pk]
    page = client.post(url, {"action": step, "_selected_action": held})
    _, fields = form_of(page)
    more = {"note": "Seen"} | {
        "reject": {"reason": "other", "provider_credits": "yes"},
        "correct": {"project": "genomics"},
    }.get(step, {})
    twice(client, url, {**fields, "action": step, "_selected_action": held, **more})


@pytest.mark.parametrize("name", ["statements_statement_generate", "statements_statement_send"])
def test_statements_are_issued_and_sent_by_one_job(client, house, name):  # noqa: F811
    build.a_charge("30.00", period="2025-02", state=Charge.State.APPROVED)
    from statements import issuing

    if name.endswith("send"):
        issuing.generate(period=build.a_period("2025-02"), actor=build.SOMEBODY, now=build.NOW)
    client.force_login(house.admin)
    url = reverse(f"admin:{name}")
    _, fields = form_of(client.get(url, {"period": "2025-02"}))
    twice(client, url, fields)


def test_a_journal_is_exported_once(client, house):  # noqa: F811
    client.force_login(house.admin)
    url = reverse("admin:journals_journal_export")
    _, fields = form_of(client.get(url, {"period": "2025-01", "format": "gl"}))
    twice(client, url, fields)


def test_the_same_page_filled_in_differently_is_something_else(client, cast):
    client.force_login(cast.finance)
    build.a_charge()
    url = reverse("admin:billing_exchangerate_add")
    _, fields = form_of(client.get(url))
    period = build.a_period().pk
    sent = fields | {"period": period, "currency": "EUR", "rate": "1.1"}
    twice(client, url, sent)
    assert DONE not in client.post(url, sent | {"currency": "GBP"}, follow=True).content.decode()
    assert SentForm.objects.count() == 2


def test_a_token_of_one_person_says_nothing_to_another(client, cast):
    build.a_charge()
    client.force_login(cast.finance)
    sent = confirmation(client, MANUAL, CHARGED)
    client.post(MANUAL, sent)
    client.force_login(cast.admin)
    assert client.post(MANUAL, sent).status_code == 302
    assert Correction.objects.count() == 2


def test_what_was_sent_and_never_ended_is_not_sent_again(client, cast, monkeypatch):
    """As after a process that was killed: nobody knows what it did."""
    monkeypatch.setattr(once, "WAIT_SECONDS", 0.0)
    build.a_charge()
    client.force_login(cast.finance)
    sent = confirmation(client, MANUAL, CHARGED)
    monkeypatch.setattr(once, "done", lambda form, **given: None)
    assert client.post(MANUAL, sent).status_code == 302
    again = client.post(MANUAL, sent)
    assert again.status_code == 409
    assert "not done yet" in again.content.decode()
    # It may well have been done.
    assert "Nothing was changed" not in again.content.decode()
    assert Correction.objects.count() == 1


def test_what_the_database_would_not_do_can_be_sent_again(client, cast, monkeypatch):
    build.a_charge()
    client.force_login(cast.finance)
    sent = confirmation(client, MANUAL, CHARGED)
    with monkeypatch.context() as patched:
        patched.setattr(audit, "gesture", Mock(side_effect=OperationalError("database is locked")))
        refused = client.post(MANUAL, sent)
    assert refused.status_code == 503
    assert "Try again" in refused.content.decode()
    twice(client, MANUAL, sent)
    assert Correction.objects.count() == 1


def test_what_failed_half_way_is_not_sent_again(client, cast, monkeypatch):
    monkeypatch.setattr(once, "WAIT_SECONDS", 0.0)
    client.raise_request_exception = False
    build.a_charge()
    client.force_login(cast.finance)
    sent = confirmation(client, MANUAL, CHARGED)
    with monkeypatch.context() as patched:
        patched.setattr(audit, "gesture", Mock(side_effect=RuntimeError))
        assert client.post(MANUAL, sent).status_code == 500
    assert client.post(MANUAL, sent).status_code == 409


def test_what_was_done_and_could_not_be_noted_is_not_called_undone(client, cast, monkeypatch):
    monkeypatch.setattr(once, "WAIT_SECONDS", 0.0)
    build.a_charge()
    client.force_login(cast.finance)
    sent = confirmation(client, MANUAL, CHARGED)
    monkeypatch.setattr(once, "done", Mock(side_effect=OperationalError("database is locked")))
    first = client.post(MANUAL, sent)
    assert (first.status_code, Correction.objects.count()) == (302, 1)
    assert client.post(MANUAL, sent).status_code == 409


def test_what_is_added_in_a_window_of_its_own_is_added_once(client, cast):
    client.force_login(cast.admin)
    url = f"{reverse('admin:billing_person_add')}?_popup=1"
    _, fields = form_of(client.get(url))
    sent = {**fields, "email": "hopper@u.edu", "name": "Hopper", "_popup": "1"}
    first = client.post(url, sent)
    assert "popup_response" in first.content.decode()
    before = happened()
    second = client.post(url, sent)
    assert second.status_code == 200
    assert second.content == first.content
    assert happened() == before


def test_a_corrected_file_of_the_same_name_and_size_is_another_form(client, cast):
    def keys():
        return set(SentForm.objects.values_list("key", flat=True))

    client.force_login(cast.finance)
    _, fields = form_of(client.get(UPLOAD))
    sent = [{**fields, "files": a_file_named("aws.csv", content)} for content in (b"a\n1\n", b"a\n2\n", b"a\n1\n")]
    found = []
    for each in sent:
        client.post(UPLOAD, each)
        found.append(keys())
    assert len(found[0]) == 1
    assert len(found[1]) == 2
    assert found[2] == found[1]


def test_what_is_known_of_old_forms_is_let_go(cast):
    key = once.key_of(token=once.token(), user=cast.finance, sent=["x"])
    assert once.claim(key=key, user=cast.finance, now=timezone.now() - once.KEPT * 2)
    assert once.claim(key=key, user=cast.finance, now=timezone.now())
    assert not once.claim(key=key, user=cast.finance, now=timezone.now())


@pytest.mark.skipif(connection.vendor == "sqlite", reason="The tests' database in memory is locked as a whole.")
@pytest.mark.django_db(transaction=True)
def test_two_clicks_at_the_same_moment_enter_one_charge(cast, monkeypatch):
    build.a_charge()
    clients = [Client(), Client()]
    for each in clients:
        each.force_login(cast.finance)
    sent = confirmation(clients[0], MANUAL, CHARGED)
    slow = middleware.once.claim

    def claim(**given):
        claimed = slow(**given)
        if claimed:
            # The first is on its way while the second comes.
            time.sleep(0.3)
        return claimed

    monkeypatch.setattr(middleware.once, "claim", claim)
    answers = []

    def click(each):
        answers.append(each.post(MANUAL, sent))
        connection.close()

    threads = [threading.Thread(target=click, args=[each]) for each in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {(answer.status_code, answer.url) for answer in answers} == {
        (302, reverse("admin:billing_correction_change", args=[Correction.objects.get().pk]))
    }
