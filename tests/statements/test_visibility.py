"""Every role against every statement and every way to it, in the portal: what is theirs, and no row of anybody else."""

import io

import pytest
from django.urls import reverse
from openpyxl import load_workbook
from pypdf import PdfReader

from statements.models import Statement
from tests.statements import scene as scenes
from tests.statements.scene import OWNERS, SEES, marks_in

pytestmark = [pytest.mark.django_db, pytest.mark.same_on_either]

WAYS = ("statement", "pdf", "csv", "xlsx", "charges")
VOID = Statement.State.VOID


@pytest.fixture
def scene(cast):
    return scenes.the_scene(cast)


def text_of(way, response):
    data = response.getvalue() if response.streaming else response.content
    if way == "pdf":
        return "".join(page.extract_text() for page in PdfReader(io.BytesIO(data)).pages)
    if way == "xlsx":
        sheets = load_workbook(io.BytesIO(data)).worksheets
        return " ".join(str(cell) for sheet in sheets for row in sheet.values for cell in row)
    return data.decode()


def addresses_of(statement):
    for way in WAYS:
        yield way, reverse(f"portal:{way}", args=[statement.number])
    for line in statement.lines.all():
        yield "line", reverse("portal:line", args=[statement.number, line.number])


def test_the_scene_has_every_kind_of_statement(scene):
    states = {(name, each.state) for name, own in scene.statements.items() for each in own}
    live = {(name, "issued") for name in OWNERS}
    assert states >= live | {("ada genomics", "superseded"), ("ada proteins", "void")}
    assert {line.kind for each in scene.of(set(OWNERS)) for line in each.lines.all()} == {"charge", "shared"}


@pytest.mark.parametrize("who", SEES)
def test_every_statement_opens_for_whom_it_should_by_every_way_and_holds_nothing_else(client, scene, who):
    client.force_login(scene.people[who])
    for name, own in scene.statements.items():
        for statement in own:
            seen = name in SEES[who]
            expected = (410 if statement.state == VOID else 200) if seen else 404
            for way, address in addresses_of(statement):
                response = client.get(address)
                assert response.status_code == expected, f"{address} as {who}"
                found = marks_in(text_of(way, response) if expected == 200 else response.content.decode())
                # Of a share of a shared cost there is a line without a resource.
                assert found <= ({name} if expected == 200 else set()), f"{address} as {who}"
                if expected == 200 and way != "line":
                    assert found == {name}, address


@pytest.mark.parametrize("who", SEES)
def test_lists_name_what_somebody_sees_and_nothing_else(client, scene, who):
    client.force_login(scene.people[who])
    numbers = {each.number: name for name, own in scene.statements.items() for each in own if each.state == "issued"}
    page = client.get(reverse("portal:statements")).content.decode()
    assert {name for number, name in numbers.items() if f">{number}<" in page} == SEES[who]
    page = client.get(reverse("portal:projects")).content.decode()
    projects = {OWNERS[name][1] for name in SEES[who]} - {None}
    assert {code for _, code in OWNERS.values() if code and f"<bdi>{code}</bdi>" in page} == projects


@pytest.mark.parametrize("who", SEES)
def test_a_project_shows_the_part_of_it_that_somebody_sees(client, scene, who):
    client.force_login(scene.people[who])
    for code in {code for _, code in OWNERS.values() if code}:
        seen = {name for name in SEES[who] if OWNERS[name][1] == code}
        project = scene.of({name for name in OWNERS if OWNERS[name][1] == code})[0].project_id
        response = client.get(reverse("portal:project", args=[project]))
        assert response.status_code == (200 if seen else 404)
        if seen:
            live = {each.number for each in scene.of(seen) if each.state == "issued"}
            assert {each.number for each in response.context["statements"]} == live


def test_a_line_that_the_statement_does_not_have_is_not_found(client, scene):
    client.force_login(scene.people["pi"])
    number = scene.statements["ada genomics"][0].number
    for line in (0, 9, 10**30):
        assert client.get(f"/statements/{number}/lines/{line}/").status_code == 404


def test_who_is_not_signed_in_is_asked_to_whatever_there_is(client, scene):
    for statement in [*scene.of(set(OWNERS)), Statement(number="2099-01-0001-1")]:
        for way in WAYS:
            response = client.get(reverse(f"portal:{way}", args=[statement.number]))
            assert response.status_code == 302
            assert reverse("login") in response.url


def test_a_switched_off_pi_sees_nothing_at_once(client, scene):
    client.force_login(scene.people["pi"])
    address = reverse("portal:pdf", args=[scene.statements["ada genomics"][-1].number])
    assert client.get(address).status_code == 200
    scene.people["pi"].is_active = False
    scene.people["pi"].save()
    assert client.get(address).status_code == 302
