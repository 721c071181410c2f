"""The JSON API: who sees what by which token, page by page, and how it says no."""

import contextlib
import datetime
import itertools
import json
import logging
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import OperationalError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import api_tokens
from billing.charging import NothingToShareOver
from billing.models import ApiToken, AuditEvent, Membership, User
from statements import issuing
from statements.api import asking, fields, pages
from statements.models import Statement, StatementLine
from tests import build, standing
from tests.build import NOW, SOMEBODY
from tests.statements import scene as scenes
from tests.statements.scene import OWNERS, SEES, SERVICES, marker, marks_in
from tests.test_hostile import HOSTILE

pytestmark = pytest.mark.django_db

LISTS = tuple(fields.RESOURCES)


@standing.fixture
def scene(folder):
    return scenes.the_scene(build.the_cast())


class Program:
    """A program with a token, as a person's tool asks."""

    def __init__(self, secret: str) -> None:
        self.client = Client(raise_request_exception=False)
        self.headers = {"authorization": f"Bearer {secret}"}

    def get(self, address, **query):
        return self.client.get(address, query, headers=self.headers)

    def rows(self, name, **query):
        """Return every row of a list, page by page."""
        found, address = [], f"/api/v1/{name}"
        while address:
            answer = self.get(address, **query)
            assert answer.status_code == 200, answer.content
            said = answer.json()
            assert list(said) == ["data", "next"]
            found += said["data"]
            address, query = said["next"], {}
        return found


def a_program(user: User) -> Program:
    return Program(build.a_token(user, f"tool {ApiToken.objects.count()}", now=timezone.now()))


@pytest.fixture
def ada(scene):
    return a_program(scene.people["pi"])


# Who sees what --------------------------------------------------------------------------------------------------------


def programs(scene):
    """Yield every kind of token with the statements that it sees."""
    for who, seen in SEES.items():
        yield who, a_program(scene.people[who]), seen
    for name, seen in SERVICES.items():
        yield f"service: {name}", Program(scene.service(name)), seen


@pytest.mark.same_on_either
def test_every_token_sees_its_statements_in_every_list_and_no_row_of_another(scene):
    for who, program, seen in programs(scene):
        for name in LISTS:
            rows = program.rows(name, **({"state": "any"} if name == "statements" else {}))
            if name == "statements":
                assert {row["number"] for row in rows} == {each.number for each in scene.of(seen)}, who
            else:
                live = {each.number for each in scene.of(seen) if each.state == "issued"}
                assert {row["statement"] for row in rows} == live, f"{name} by {who}"
            assert marks_in(json.dumps(rows)) <= seen, f"{name} by {who}"
            owners = {(row["pi_email"], row["project_code"] or None) for row in rows}
            assert owners == {OWNERS[each] for each in seen}, f"{name} by {who}"


@pytest.mark.same_on_either
def test_every_token_opens_its_statements_and_finds_no_other(scene):
    for who, program, seen in programs(scene):
        for name, own in scene.statements.items():
            for statement in own:
                expected = 200 if name in seen else 404
                answer = program.get(f"/api/v1/statements/{statement.number}")
                assert answer.status_code == expected, f"{statement} by {who}"
                for rows in LISTS[1:]:
                    answer = program.get(f"/api/v1/{rows}", statement=statement.number)
                    assert answer.status_code == expected, f"{rows} of {statement} by {who}"
                    if expected == 200 and statement.state == "void":
                        assert answer.json()["data"] == []


def test_rows_hold_the_marks_that_are_looked_for(scene):
    """The test above can fail: charges and usage carry the marks by which it tells whose they are."""
    everything = Program(scene.service("everything"))
    for name in ("charges", "usage"):
        assert marks_in(json.dumps(everything.rows(name))) == set(OWNERS)


def test_of_a_shared_project_and_a_shared_cost_a_token_sees_its_own_part(scene, ada):
    shares = [row for row in ada.rows("lines") if row["kind"] == "shared"]
    assert {row["shared_total"] for row in shares} == {"9.00"}
    # The other part of it is Mallory's.
    assert 0 < sum(Decimal(row["charged"]) for row in shares) < Decimal("9.00")
    assert not [row for row in ada.rows("charges") if "mallory" in json.dumps(row)]
    assert "FUND-4" not in json.dumps([ada.rows(name) for name in LISTS])


def test_a_portal_token_follows_its_owner_from_one_request_to_the_next(scene):
    program = a_program(scene.people["delegate"])
    assert len(program.rows("statements")) == 3
    Membership.objects.filter(user=scene.people["delegate"]).update(project=build.a_project("proteins"))
    assert [row["project_code"] for row in program.rows("statements")] == ["proteins"]
    yesterday = timezone.localdate() - datetime.timedelta(days=1)
    Membership.objects.filter(user=scene.people["delegate"]).update(valid_until=yesterday)
    assert program.rows("statements") == []


people = st.sampled_from(["ada@u.edu", "bob@u.edu", "cyd@u.edu"])
projects = st.sampled_from(["one", "two", None])


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    charges=st.lists(st.tuples(people, projects, st.integers(-5, 50)), min_size=1, max_size=8),
    shared=st.booleans(),
    delegations=st.lists(st.tuples(people, projects), max_size=3),
    as_pi=st.one_of(st.none(), people),
    limit=st.integers(1, 7),
)
def test_never_a_row_of_another_pi_appears(db, charges, shared, delegations, as_pi, limit):
    """Whatever is charged to whom, and whoever delegates what: rows are of those pairs of PI and project alone."""
    with transaction.atomic():
        for pi, project, amount in charges:
            build.a_charge(str(amount), pi=pi, project=project, resource_name=f"mark of {pi} {project}")
        if shared:
            build.a_charge("3.33", pi=None, project=None, fund_org="", shared_as="Support")
        user = User.objects.create_user("reader", as_pi or "", "open sesame")
        for pi, project in delegations:
            Membership.objects.create(
                person=build.a_pi(pi),
                user=user,
                project=build.a_project(project) if project else None,
                valid_from=datetime.date(2024, 1, 1),
            )
        # Where nobody was charged anything, nobody can share the support: nothing is issued.
        with contextlib.suppress(NothingToShareOver):
            issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
        issued = set(Statement.objects.values_list("pi__email", "project__code"))
        allowed = {
            (pi, project)
            for pi, project in issued
            if pi == as_pi or (pi, None) in delegations or (project and (pi, project) in delegations)
        }
        program = a_program(user)
        for name in LISTS:
            rows = program.rows(name, limit=limit)
            assert {(row["pi_email"], row["project_code"] or None) for row in rows} <= allowed
            told = json.dumps(rows)
            assert not [each for each in issued - allowed if f"mark of {each[0]} {each[1]}" in told]
        assert {(row["pi_email"], row["project_code"] or None) for row in program.rows("statements")} == allowed
        transaction.set_rollback(True)


# What it says ---------------------------------------------------------------------------------------------------------


def test_rows_have_the_documented_fields_in_their_order(scene, ada):
    for name, documented in fields.RESOURCES.items():
        rows = ada.rows(name)
        assert rows
        for row in rows:
            assert list(row) == [field.name for field in documented], name


def test_a_statement_says_what_its_page_says(scene, ada):
    statement = scene.statements["ada genomics"][-1]
    said = ada.get(f"/api/v1/statements/{statement.number}").json()
    assert (said["state"], said["month"], said["currency"], said["charged"]) == (
        *("in_force", "2025-01", "USD"),
        f"{statement.charged:.2f}",
    )
    assert said["issued_at"] == "2025-02-03T09:30:00Z"
    assert said["portal_url"].endswith(f"/statements/{statement.number}/")
    amounts = {name: Decimal(said[name]) for name in ("list_cost", "discount", "subsidy", "corrections", "charged")}
    assert (
        amounts["list_cost"] - amounts["discount"] - amounts["subsidy"] + amounts["corrections"] == amounts["charged"]
    )
    old = ada.get(f"/api/v1/statements/{statement.number[:-1]}1").json()
    assert (old["state"], old["superseded_by"]) == ("superseded", statement.number)


def test_a_void_statement_says_when_and_why_and_nothing_of_what_it_charged(scene, ada):
    voided = scene.statements["ada proteins"][0]
    said = ada.get(f"/api/v1/statements/{voided.number}").json()
    assert (said["state"], said["voided_at"], said["void_reason"]) == ("void", "2025-02-03T09:30:00Z", "Wrong fund")
    assert {said[field.name] for field in fields.STATEMENT if field.kind == fields.AMOUNT} == {None}
    assert ada.rows("lines", statement=voided.number) == []


def test_lines_and_charges_add_up_to_their_statements(scene, ada):
    for statement in ada.rows("statements"):
        for name in ("lines", "charges"):
            rows = ada.rows(name, statement=statement["number"])
            assert sum(Decimal(row["charged"]) for row in rows) == Decimal(statement["charged"]), name


def test_usage_is_exact_with_its_unit_and_share(scene, ada):
    rows = ada.rows("usage", project="proteins")
    (row,) = rows
    assert (row["quantity"], row["unit"], row["percent"], row["charged"]) == (
        "2",
        f"hours-{marker('ada proteins')}",
        "100",
        "200.00",
    )
    (line,) = [each for each in ada.rows("lines", project="proteins") if each["usage"]]
    assert line["usage"] == [{"quantity": "2", "unit": row["unit"], "percent": "100"}]


def test_texts_are_as_they_came_and_not_as_a_spreadsheet_needs_them(client, cast):
    build.a_charge(resource_name='=HYPERLINK("http://x")', resource_id="@x", service_name="+1", fund_org="-A")
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    (row,) = a_program(cast.pi).rows("charges")
    assert (row["resource_name"], row["resource_id"], row["service"], row["fund_org"]) == (
        *('=HYPERLINK("http://x")', "@x", "+1"),
        "-A",
    )


def test_amounts_have_the_decimals_of_their_currency(cast):
    build.a_policy(currency="JPY")
    build.a_charge("1234", currency="JPY", list_cost=Decimal(2000), contracted_cost=Decimal(2000))
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    program = a_program(cast.pi)
    for name in LISTS:
        (row,) = program.rows(name) or [{"charged": "1234", "currency": "JPY"}]
        assert (row["charged"], row["currency"]) == ("1234", "JPY")


def test_the_index_names_the_lists_and_the_token(scene, ada):
    said = ada.get("/api/v1/").json()
    assert set(said["resources"]) == set(LISTS)
    assert said["token"]["kind"] == "portal"
    for name, address in said["resources"].items():
        assert urlsplit(address).path == f"/api/v1/{name}"
        assert ada.get(address).status_code == 200


# Parameters -----------------------------------------------------------------------------------------------------------


def numbers(rows):
    return {row.get("number", row.get("statement")) for row in rows}


def test_lists_are_narrowed_by_their_parameters(scene, ada):
    build.a_charge("5.00", period="2025-02", fund_org="LATER")
    later = NOW + datetime.timedelta(days=30)
    issuing.generate(period=build.a_period("2025-02"), actor=SOMEBODY, now=later)
    (february,) = Statement.objects.filter(period__month="2025-02-01")
    for name in LISTS:
        every = numbers(ada.rows(name))
        # February's charge used nothing.
        of_february = set() if name == "usage" else {february.number}
        assert numbers(ada.rows(name, month="2025-02")) == of_february
        assert numbers(ada.rows(name, month="2025-01")) == every - of_february
        assert numbers(ada.rows(name, since="2025-03-01")) == of_february
        assert numbers(ada.rows(name, since="2025-03-05T09:30:00Z")) == of_february
        assert numbers(ada.rows(name, since="2025-03-05T09:30:01Z")) == set()
        assert numbers(ada.rows(name, fund_org="LATER")) == of_february
        assert numbers(ada.rows(name, project="PROTEINS")) == numbers(ada.rows(name, project="proteins")) != set()
        assert numbers(ada.rows(name, pi="Ada@u.edu")) == every
        assert numbers(ada.rows(name, pi="mallory@u.edu")) == set()


def test_rows_of_a_fund_are_those_of_the_fund(scene, ada):
    build.a_charge("5.00", project="genomics", fund_org="OTHER", service_name="GPU")
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    for name in ("lines", "charges"):
        assert {row["fund_org"] for row in ada.rows(name, fund_org="OTHER")} == {"OTHER"}
        assert {row["fund_org"] for row in ada.rows(name, project="genomics")} > {"OTHER", "FUND-1"}


def test_since_finds_what_was_replaced_or_voided_since(scene, ada):
    later = NOW + datetime.timedelta(days=30)
    voided = scene.statements["ada alone"][-1]
    issuing.void(statement=voided, reason="Wrong", actor=SOMEBODY, now=later)
    assert numbers(ada.rows("statements", since="2025-03-01", state="any")) == {voided.number}


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"month": "January"}, "month"),
        ({"month": "2025-13"}, "month"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2025-02-30"}, "since"),
        ({"state": "live"}, "state"),
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"limit": "٣"}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "1-2-3-4"}, "cursor"),
        ({"cursor": "9" * 30}, "cursor"),
        ({"project": ""}, "project"),
        ({"project": "x" * 2000}, "project"),
        ({"month": ["2025-01", "2025-02"]}, "month"),
        ({"colour": "red"}, "colour"),
        ({"statement": "2025-01-0001-1"}, "statement"),
    ],
    ids=lambda each: str(each)[:30],
)
def test_a_parameter_that_is_wrong_is_named(scene, ada, query, parameter):
    answer = ada.get("/api/v1/statements", **query)
    assert answer.status_code == 400
    said = answer.json()
    assert (said["error"], said["parameter"]) == ("Wrong parameter", parameter)
    assert said["detail"].startswith(f"{parameter}: ")


def test_nothing_that_stands_in_a_parameter_or_address_breaks_it(scene, ada, settings):
    settings.API_REQUESTS_PER_MINUTE = 10_000
    for said, value in HOSTILE.items():
        for name in (*asking.PARAMETERS, value):
            for path in LISTS:
                answer = ada.client.get(f"/api/v1/{path}?{name}={value}", headers=ada.headers)
                assert answer.status_code in (200, 400, 404), f"{path} {name} {said}"
                assert answer["Content-Type"] == "application/json"
        answer = ada.client.get(f"/api/v1/statements/{value}", headers=ada.headers)
        assert answer.status_code in (400, 404), said
        assert answer["Content-Type"] == "application/json"


def test_every_parameter_is_tried_above_or_means_any_text():
    assert set(asking.PARAMETERS) == {
        *("month", "project", "pi", "fund_org", "statement", "since", "state", "limit", "cursor")
    }


# Pages ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
def test_pages_together_are_the_whole_list_each_row_once(scene, ada, limit):
    for name in LISTS:
        every = ada.rows(name)
        assert ada.rows(name, limit=limit) == every
        assert len({json.dumps(row) for row in every}) == len(every)


def test_what_is_issued_meanwhile_moves_no_row_to_another_page(cast):
    ada = a_program(cast.pi)
    for project in ("one", "two", "three"):
        build.a_charge(project=project, consumed_quantity="1", consumed_unit="h")
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    for name in LISTS:
        before = ada.rows(name)
        first = ada.get(f"/api/v1/{name}", limit=2).json()
        build.a_charge("5.00", project=f"new-{name}", resource_name="new", consumed_quantity="1", consumed_unit="h")
        issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
        found, address = first["data"], first["next"]
        while address:
            said = ada.get(address).json()
            found, address = found + said["data"], said["next"]
        new = [row for row in found if row["project_code"] == f"new-{name}"]
        assert [row for row in found if row not in new] == before
        assert found[-len(new) :] == new != []


def test_a_page_reads_so_many_statements_however_few_rows_it_finds(scene, ada, monkeypatch):
    monkeypatch.setattr(pages, "MOST_STATEMENTS", 1)
    for name in LISTS[1:]:
        said = ada.get(f"/api/v1/{name}", fund_org="FUND-3").json()
        assert said["next"] is None
        every = ada.rows(name)
        monkeypatch.setattr(pages, "MOST_STATEMENTS", 200)
        assert ada.rows(name) == every
        monkeypatch.setattr(pages, "MOST_STATEMENTS", 1)


def test_the_next_page_keeps_the_parameters(scene, ada):
    address = ada.get("/api/v1/lines", limit=1, month="2025-01", fund_org="FUND-1").json()["next"]
    query = parse_qs(urlsplit(address or "?month=2025-01&fund_org=FUND-1&limit=1").query)
    assert (query["month"], query["fund_org"], query["limit"]) == (["2025-01"], ["FUND-1"], ["1"])


def test_a_cursor_of_another_token_opens_nothing(scene, ada):
    mallory = a_program(scene.people["other PI"])
    for name in LISTS:
        address = ada.get(f"/api/v1/{name}", limit=1).json()["next"]
        rows = mallory.get(address).json()["data"]
        assert {row["pi_email"] for row in rows} <= {"mallory@u.edu"}


def test_lists_take_as_many_queries_for_many_rows_as_for_few(cast):
    program = a_program(cast.pi)
    counts = {name: [] for name in LISTS}
    for number in range(2):
        for each in range(5):
            build.a_charge(project=f"project-{number}-{each}", consumed_quantity="1", consumed_unit="hours")
        issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
        for name in LISTS:
            with CaptureQueriesContext(connection) as captured:
                assert len(program.get(f"/api/v1/{name}", limit=1000).json()["data"]) == 5 * (number + 1)
            counts[name].append(len(captured))
    assert all(first == second <= 8 for first, second in counts.values()), counts


def test_an_answer_that_did_not_change_is_not_sent_again(scene, ada):
    for address in ("/api/v1/statements", f"/api/v1/statements/{scene.statements['ada alone'][0].number}"):
        first = ada.get(address)
        again = ada.client.get(address, headers=ada.headers | {"if-none-match": first["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
    build.a_charge("5.00", project="proteins")
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    first = ada.client.get("/api/v1/statements", headers=ada.headers | {"if-none-match": first["ETag"]})
    assert first.status_code == 200


# How it says no -------------------------------------------------------------------------------------------------------

ADDRESSES = ("/api/v1/", *(f"/api/v1/{name}" for name in LISTS), "/api/v1/statements/2025-01-0001-1")
NOWHERE = ("/api", "/api/", "/api/v1", "/api/v2/", "/api/v1/nothing", "/api/v1/lines/", "/api/v1/statements/1/lines")


def check_refused(answer, status):
    """Every refusal is one JSON object of the same keys, that no cache keeps."""
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/json"
    assert "no-store" in answer["Cache-Control"]
    said = answer.json()
    assert list(said)[:4] == ["error", "detail", "next", "reference"]
    assert said["reference"] == answer["X-Reference"]
    return said


@pytest.mark.parametrize("address", ADDRESSES)
def test_without_a_token_nothing_is_said_whoever_is_signed_in(client, scene, address):
    for who in (None, *SEES):
        if who:
            client.force_login(scene.people[who])
        answer = client.get(address)
        check_refused(answer, 401)
        assert answer["WWW-Authenticate"].startswith("Bearer")
        assert not answer.cookies


def test_a_session_neither_helps_nor_hinders_a_token(client, scene):
    client.force_login(scene.people["admin"])
    headers = a_program(scene.people["pi"]).headers
    rows = client.get("/api/v1/statements", headers=headers).json()["data"]
    assert {row["pi_email"] for row in rows} == {"ada@u.edu"}
    # Signing out ends the session, and not the token.
    client.logout()
    assert client.get("/api/v1/statements", headers=headers).status_code == 200


def test_an_owner_who_is_switched_off_is_refused_at_once(scene, ada):
    assert ada.get("/api/v1/").status_code == 200
    scene.people["pi"].is_active = False
    scene.people["pi"].save()
    assert "switched off" in check_refused(ada.get("/api/v1/"), 401)["detail"]


def test_a_name_of_a_trusted_proxy_signs_nobody_in(scene, settings):
    settings.REMOTE_USER_HEADER = "X-Remote-User"
    answer = Client().get("/api/v1/", headers={"X-Remote-User": "ada"})
    check_refused(answer, 401)
    assert not answer.cookies
    assert not AuditEvent.objects.filter(action="session.signed_in").exists()


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options"])
def test_it_only_reads(scene, ada, address, method):
    client = Client(enforce_csrf_checks=True)
    answer = getattr(client, method)(address, headers=ada.headers)
    check_refused(answer, 405)
    assert answer["Allow"] == "GET, HEAD"


def test_over_http_it_is_refused_and_not_led_on(scene, ada, settings):
    settings.SECURE_SSL_REDIRECT, settings.SECURE_REDIRECT_EXEMPT = True, ["^api/"]
    program = Program(ada.headers["authorization"].removeprefix("Bearer "))
    said = check_refused(program.get("/api/v1/statements"), 403)
    assert "https" in said["detail"]
    assert program.client.get("/api/v1/statements", headers=program.headers, secure=True).status_code == 200
    assert program.client.get("/statements/").status_code == 301
    source = (Path(__file__).resolve().parents[2] / "openchargeback" / "settings.py").read_text(encoding="utf-8")
    assert 'SECURE_REDIRECT_EXEMPT = ["^api/"]' in source


@pytest.mark.parametrize("address", NOWHERE)
@pytest.mark.parametrize("is_debugging", [True, False])
def test_every_other_address_is_not_found_as_json(ada, settings, address, is_debugging):
    settings.DEBUG = is_debugging
    client = Client(enforce_csrf_checks=True)
    check_refused(client.get(address, headers=ada.headers), 404)
    check_refused(client.get(address, headers={"accept": "text/html"}), 404)
    check_refused(client.post(address, {"a": "b"}), 404)


def test_a_head_says_what_a_get_says_without_its_body(scene, ada):
    answer = ada.client.head("/api/v1/statements", headers=ada.headers)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer["ETag"] == ada.get("/api/v1/statements")["ETag"]


@pytest.mark.parametrize("is_debugging", [True, False])
@pytest.mark.parametrize(
    ("error", "status"), [(ZeroDivisionError("a fault"), 500), (OperationalError("database is locked"), 503)]
)
def test_what_fails_is_json_with_the_reference_that_the_log_knows(
    scene, ada, settings, monkeypatch, caplog, error, status, is_debugging
):
    settings.DEBUG = is_debugging

    def fails(*given, **named):
        raise error

    monkeypatch.setattr(pages, "page_of", fails)
    with caplog.at_level(logging.ERROR):
        answer = ada.client.get("/api/v1/statements", headers=ada.headers | {"accept": "text/html"})
    check_refused(answer, status)
    assert "a fault" not in answer.content.decode()
    assert caplog.records


def test_a_lost_file_of_charges_is_told_and_names_no_path(scene, ada, monkeypatch, caplog):
    def lost(statement):
        raise issuing.ChargesLost("charges.csv is lost at /var/secret")

    monkeypatch.setattr(issuing, "charges_csv_of", lost)
    said = check_refused(ada.get("/api/v1/charges"), 500)
    assert "/var/secret" not in json.dumps(said)
    assert "charges.csv is lost" in caplog.text


def test_who_asks_too_often_hears_when_to_ask_again(scene, ada, settings):
    settings.API_REQUESTS_PER_MINUTE = 2
    assert [ada.get("/api/v1/").status_code for _ in range(2)] == [200, 200]
    answer = ada.get("/api/v1/statements")
    said = check_refused(answer, 429)
    assert 1 <= int(answer["Retry-After"]) <= 60
    assert answer["Retry-After"] in said["next"]


def test_nothing_of_a_token_is_logged(scene, ada, settings, caplog, monkeypatch):
    secret = ada.headers["authorization"].removeprefix("Bearer ")
    settings.API_REQUESTS_PER_MINUTE = 4
    with caplog.at_level(logging.DEBUG):
        for address in ("/api/v1/", "/api/v1/nothing", "/api/v1/statements?x=1"):
            ada.get(address)
        Program(secret[:-1] + "?").get("/api/v1/")
        monkeypatch.setattr(pages, "page_of", lambda *given: 1 / 0)
        for _ in range(3):
            ada.get("/api/v1/lines")
    told = "\n".join(
        str(part) for record in caplog.records for part in (record.getMessage(), record.exc_text, record.args)
    )
    assert "Internal Server Error: /api/v1/lines" in told
    # Django's test client puts headers where a web server does; of the log's own records none has them.
    assert secret[12:] not in told


def test_an_answer_is_kept_by_no_cache(scene, ada):
    for address in ADDRESSES:
        assert ada.get(address)["Cache-Control"] == "no-store"


def test_every_list_reads_from_what_a_token_may_see():
    """The one way to a row is a statement that is visible: no list has a query of its own that does without."""
    assert {resource.rows.__name__ for resource in pages.RESOURCES.values()} == {
        *("_statements", "_lines", "_charges", "_usage")
    }
    assert StatementLine._meta.get_field("statement").null is False
    assert set(itertools.chain(*(query for query in (asking.OF_STATEMENTS, asking.OF_ROWS)))) == set(asking.PARAMETERS)
    assert api_tokens.MAKES_SERVICE_TOKENS == "billing.add_apitoken"
