"""The page of a PI, project, department, fund/org or source shows its money in one way, as the reports have it."""

import re
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing import questions
from billing.audit import Actor
from billing.models import AttributionRule, Department, FundingSource, Person, Project, Source
from statements import issuing
from statements.models import Statement
from statements.questions import lines
from tests import build

pytestmark = pytest.mark.django_db

BY: dict[str, Any] = {"actor": build.SOMEBODY, "now": build.NOW}


@pytest.fixture
def month(cast):
    """Ada had 300.00 at list price, 250.00 after discount, and paid 40.00; a rule names her project and source."""
    build.a_policy()
    build.a_fund("BIO-001", name="Biology")
    department = build.a_department("CHEM", name="Chemistry")
    Person.objects.filter(email="ada@u.edu").update(department=department)
    build.a_charge("40.00", list_cost=Decimal(300), contracted_cost=Decimal(250), source="hpc")
    build.a_charge("7.00", pi="mallory@u.edu", project="mischief", source="aws", fund_org="X-1")
    issuing.generate(period=build.a_period(), **BY)
    AttributionRule.objects.create(
        source=Source.objects.get(name="hpc"), project=Project.objects.get(code="genomics"), note="as agreed"
    )


def records() -> dict[str, Any]:
    return {
        "person": Person.objects.get(email="ada@u.edu"),
        "project": Project.objects.get(code="genomics"),
        "department": Department.objects.get(code="CHEM"),
        "fundingsource": FundingSource.objects.get(fund_org="BIO-001"),
        "source": Source.objects.get(name="hpc"),
    }


def page_of(client: Any, model: str, record: Any) -> str:
    return str(client.get(reverse(f"admin:billing_{model}_change", args=[record.pk])).content.decode())


@pytest.mark.parametrize("model", ["person", "project", "department", "fundingsource", "source"])
def test_a_record_shows_a_year_of_its_money_and_leads_to_more(month, cast, client, model):
    client.force_login(cast.finance)
    page = page_of(client, model, records()[model])
    money = re.search(r'<section class="card record-money".*?</section>', page, re.DOTALL)
    assert money is not None
    amounts = [re.sub(r"<[^>]+>", "", each).strip() for each in re.findall(r"<dd>(.*?)</dd>", money[0])]
    assert amounts == ["300.00", "− 50.00", "− 210.00", "= 40.00"]
    assert ("as agreed" in money[0]) == (model in ("project", "source"))
    links = re.search(r'<p class="money-links">(.*?)</p>', money[0])
    assert links is not None
    for url in re.findall(r'href="([^"]+)"', links[1]):
        answer = client.get(unescape(url))
        assert answer.status_code == 200, url
        assert "mallory" not in answer.content.decode(), url


def test_open_questions_are_named_and_led_to(month, cast, client):
    client.force_login(cast.reviewer)
    statement = Statement.objects.live().get(pi__email="ada@u.edu")
    assert "open question" not in page_of(client, "person", records()["person"])
    ada = Actor.from_user(cast.pi)
    given = {"reason": "usage", "text": "We did not use that much.", "actor": ada, "now": build.NOW}
    questions.ask(subject=lines.subject_of(statement, 1, charge=""), **given)
    for model in ("person", "project"):
        page = page_of(client, model, records()[model])
        (url,) = re.findall(r'<a href="([^"]+)"><strong>1 open question</strong>', page)
        assert "Ada Lovelace" in client.get(unescape(url), follow=True).content.decode()


def test_a_record_without_statements_says_so(month, cast, client):
    client.force_login(cast.viewer)
    stranger = build.a_pi("new@u.edu")
    assert "Nothing is on statements in these months." in page_of(client, "person", stranger)


def test_the_page_of_a_record_asks_as_often_for_twice_as_much(month, cast, client):
    client.force_login(cast.finance)

    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            page_of(client, "person", records()["person"])
        return len(queries)

    before = asked()
    for number in range(4):
        build.a_charge("1.00", project=f"p-{number}", source="hpc")
    issuing.generate(period=build.a_period(), **BY)
    assert asked() == before


def test_a_refused_change_of_a_code_still_shows_the_money_of_the_record(client, cast):
    department = build.a_department("CHEM", name="Chemistry")
    client.force_login(cast.admin)
    sent = {"code": "9" * 25, "name": "Chemistry", "parent": "9" * 25}
    page = client.post(reverse("admin:billing_department_change", args=[department.pk]), sent)
    assert page.status_code == 200
    assert page.context["money"].report is not None
