"""The frame of the staff pages: navigation by role, the month worked on, the search, and what they cost."""

import re
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.models import BillingPeriod, Import, Person
from openchargeback import navigation, searching, working_period
from statements import issuing
from statements.models import Statement
from tests import build

pytestmark = pytest.mark.django_db

INDEX = reverse("admin:index")
GROUPS = ["Overview", "Billing", "Output", "Who pays", "Settings", "Logs"]


def items_of(page):
    """Return the navigation of a page: label -> (address, whether it is current, what waits)."""
    nav = page.content.decode().split('id="nav-sidebar"')[1].split("</nav>")[0]
    found = re.findall(
        r'<a href="([^"]+)" id="[^"]+" data-live( aria-current="page")?>([^<]+)(?:<span class="waits">([\d,+]+))?', nav
    )
    return {label.strip(): (url, bool(current), waits) for url, current, label, waits in found}


@pytest.mark.parametrize(
    ("role", "hidden"), [("viewer", {"Users"}), ("reviewer", {"Users"}), ("finance", {"Users"}), ("admin", set())]
)
def test_the_navigation_has_what_a_role_may_see_and_every_link_of_it_opens(client, cast, role, hidden):
    build.a_charge()
    client.force_login(getattr(cast, role))
    page = client.get(INDEX)
    items = items_of(page)
    every = {item.label for group in navigation.NAVIGATION.values() for item in group}
    assert set(items) == every - hidden
    assert len(items) <= 18
    assert [name for name in GROUPS if f">{name}</h2>" in page.content.decode()] == GROUPS
    for label, (url, _, _) in items.items():
        opened = client.get(url)
        assert opened.status_code == 200, label
        # Where one is, is marked, and nothing else.
        assert [name for name, (_, current, _) in items_of(opened).items() if current] == [label]


def test_every_list_of_the_admin_is_in_the_navigation_or_beside_a_list_that_is():
    listed = {each.name for each in navigation.LISTS.values()}
    every = {f"{model._meta.app_label}_{model._meta.model_name}" for model in admin.site._registry}
    assert every == listed


def test_a_list_links_to_its_neighbors_that_one_may_see(client, cast):
    client.force_login(cast.finance)
    page = client.get(reverse("admin:billing_person_changelist")).content.decode()
    assert f'<a href="{reverse("admin:billing_department_changelist")}">Departments</a>' in page
    departments = client.get(reverse("admin:billing_department_changelist"))
    assert items_of(departments)["People"][1]


def staff_without_a_role():
    nobody = build.a_user("nobody")
    nobody.is_staff = True
    nobody.save()
    return nobody


def test_who_may_see_nothing_is_told_so(client, cast):
    client.force_login(staff_without_a_role())
    page = client.get(reverse("admin:search"))
    assert "You may not see anything here." in page.content.decode()


def test_what_waits_is_counted_in_the_month_worked_on(client, cast):
    charge = build.a_charge(flags=("missing_pi",))
    build.a_charge(flags=("missing_pi",))
    build.a_charge("50.00", period="2025-02", flags=("missing_pi",))
    build.an_import(charge.source, state=Import.State.DEFERRED)
    client.force_login(cast.reviewer)
    items = items_of(client.get(f"{INDEX}?period=2025-01"))
    assert {label: waits for label, (_, _, waits) in items.items() if waits} == {"Review": "2", "Imports": "1"}
    assert items["Review"][0].endswith("?period=2025-01")
    assert items_of(client.get(f"{INDEX}?period=2025-02"))["Review"][2] == "1"
    # What waits stands beside its name in words, too.
    assert '2<span class="visually-hidden"> waiting</span>' in client.get(f"{INDEX}?period=2025-01").content.decode()


def test_counts_stop_at_ten_thousand():
    assert navigation._said(0) == ""
    assert navigation._said(9_999) == "9,999"
    assert navigation._said(10_000) == "10,000"
    assert navigation._said(10_001) == "10,000+"


def shown_month(page):
    return re.search(r'class="menu period">.*?<strong>([^<]+)</strong>', page.content.decode(), re.DOTALL)[1]


def test_the_month_that_is_chosen_is_kept_from_page_to_page(client, cast):
    build.a_charge()
    build.a_charge(period="2025-02")
    client.force_login(cast.viewer)
    assert shown_month(client.get(INDEX)) == "January 2025"
    assert shown_month(client.get(reverse("admin:billing_charge_changelist") + "?period=2025-02")) == "February 2025"
    people = client.get(reverse("admin:billing_person_changelist"))
    assert shown_month(people) == "February 2025"
    assert items_of(people)["Charges"][0].endswith("?period=2025-02")
    assert client.get(INDEX).context["board"].period.iso_month == "2025-02"
    # Nonsense and months that are not there change nothing.
    for text in ("2031-01", "nonsense", "2025-13"):
        assert shown_month(client.get(f"{INDEX}?period={text}")) == "February 2025"


def test_a_month_that_was_removed_is_worked_on_no_longer(client, cast):
    build.a_charge()
    build.a_period("2025-02")
    client.force_login(cast.viewer)
    client.get(f"{INDEX}?period=2025-02")
    BillingPeriod.objects.filter(month="2025-02-01").update(removed_at=build.NOW)
    assert shown_month(client.get(INDEX)) == "January 2025"


def months(*described):
    """Return months as `default_of` takes them, the newest first: (month, status, whether it has charges)."""
    return [
        SimpleNamespace(month=month, status=status, has_charges=has_charges, takes_changes=status in ("open", "review"))
        for month, status, has_charges in described
    ]


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        ([("2025-03", "open", False), ("2025-02", "open", True), ("2025-01", "closed", True)], "2025-01"),
        ([("2025-03", "open", False), ("2025-02", "review", True), ("2025-01", "finalized", True)], "2025-02"),
        ([("2025-03", "open", False), ("2025-02", "open", False), ("2025-01", "finalized", True)], "2025-02"),
        ([("2025-02", "finalized", True), ("2025-01", "finalized", True)], "2025-02"),
    ],
)
def test_without_a_choice_the_oldest_month_that_waits_is_worked_on(described, expected):
    assert working_period.default_of(months(*described)).month == expected
    assert working_period.default_of([]) is None


def found_by(client, text):
    """Return the hits of a search: title of the kind -> names."""
    page = client.get(reverse("admin:search"), {"q": text})
    assert page.status_code == 200
    return {kind.title: [hit.name for hit in kind.hits] for kind in page.context["found"]}


@pytest.fixture
def issued(cast):
    build.a_policy()
    Person.objects.update_or_create(email="ada@u.edu", defaults={"name": "Ada Byron"})
    build.a_project("genomics", name="Reading genomes")
    build.a_fund("BIO-001", name="Start-up")
    charge = build.a_charge("1234.50", resource_name="login-node")
    issuing.generate(period=charge.period, actor=build.SOMEBODY, now=build.NOW)
    return charge


def test_the_search_finds_a_pi_a_project_a_fund_a_statement_a_charge_and_an_amount(client, cast, issued):
    number = Statement.objects.get().number
    client.force_login(cast.viewer)
    assert found_by(client, "byron")["People"] == ["Ada Byron"]
    assert found_by(client, "genomi")["Projects"] == ["Reading genomes"]
    assert found_by(client, "BIO-0")["Funds"] == ["BIO-001"]
    assert found_by(client, number[:10])["Statements"] == [number]
    assert found_by(client, str(issued.pk))["Charges"] == [f"Charge {issued.pk}"]
    assert found_by(client, "login-n")["Charges of January 2025"] == [f"Charge {issued.pk}"]
    by_amount = found_by(client, "$1,234.50")
    assert by_amount["Charges of this amount in January 2025"] == [f"Charge {issued.pk}"]
    assert by_amount["Statements of this amount"] == [number]
    # Each hit has its page.
    page = client.get(reverse("admin:search"), {"q": "byron"})
    assert client.get(page.context["found"][0].hits[0].url).status_code == 200


def test_a_search_without_a_hit_says_what_can_be_looked_for(client, cast):
    client.force_login(cast.viewer)
    page = client.get(reverse("admin:search"), {"q": "zzz-nothing"}).content.decode()
    assert "Nothing here matches." in page
    assert "Type a name, a number or an amount" in client.get(reverse("admin:search")).content.decode()


def test_the_search_shows_nothing_that_one_may_not_see(client, cast, issued):
    client.force_login(staff_without_a_role())
    for text in ("byron", "genomics", "BIO", "2025-01", str(issued.pk), "1234.50"):
        assert found_by(client, text) == {}, text
        assert "Trace" not in client.get(reverse("admin:search"), {"q": text}).content.decode()
    client.force_login(cast.pi)
    assert client.get(reverse("admin:search"), {"q": "byron"}).status_code == 302


def test_each_kind_of_hit_is_capped_and_leads_to_all_of_them(client, cast):
    for number in range(searching.SHOWN + 3):
        build.a_pi(f"pi{number}@u.edu", name=f"Somebody {number}")
    client.force_login(cast.viewer)
    page = client.get(reverse("admin:search"), {"q": "somebody"})
    (people,) = page.context["found"]
    assert len(people.hits) == searching.SHOWN
    assert "9 PIs" in client.get(people.more_url).content.decode()


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1,234.50", "1234.50"),
        ("$12", "12"),
        ("-3.1 USD", "-3.1"),
        ("−3", "-3"),
        ("1,23.4", None),
        ("12 apples", None),
        ("9" * 40, None),
        ("٣", None),
        ("", None),
    ],
)
def test_an_amount_is_read_as_people_write_it(text, amount):
    assert searching.amount_in(text) == (None if amount is None else Decimal(amount))


@pytest.mark.parametrize(
    "text", ["%", "_", "'", '"', "\\", "9" * 30, "é" * 300, "a b c d e f g h i j k l", " ", "\x01"]
)
def test_any_text_can_be_searched_for(client, cast, issued, text):
    client.force_login(cast.admin)
    assert client.get(reverse("admin:search"), {"q": text}).status_code in (200, 400)


def queries(client, url):
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
    return [each["sql"] for each in captured]


def test_the_frame_asks_two_questions_however_much_there_is(client, cast):
    build.a_charge(flags=("missing_pi",))
    client.force_login(cast.admin)
    url = reverse("admin:billing_source_changelist")
    queries(client, url)
    few = queries(client, url)
    for number in range(5):
        build.a_charge(period=f"2025-0{number + 1}", flags=("missing_pi",))
        build.an_import(state=Import.State.DEFERRED)
    many = queries(client, url)
    assert len(many) == len(few)
    months = [sql for sql in many if "has_charges" in sql]
    counts = [sql for sql in many if "UNION ALL" in sql and "Review" in sql]
    assert (len(months), len(counts)) == (1, 1)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL plans by other statistics")
@pytest.mark.django_db(transaction=True)
def test_whether_a_month_has_charges_is_asked_of_an_index_by_whatever_statistics():
    """As after the first month: a million charges, all of them in it."""
    build.a_charge()
    build.a_period("2025-02")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        cursor.execute("SELECT idx, stat FROM sqlite_stat1 WHERE tbl = 'billing_charge'")
        for index, stat in cursor.fetchall():
            rows = ["1000000", "1000000" if index == "charge_month_owner" else "1000", *["100"] * 9]
            said = " ".join(rows[: len(stat.split())])
            cursor.execute("UPDATE sqlite_stat1 SET stat = %s WHERE idx = %s", [said, index])
        cursor.execute("ANALYZE sqlite_schema")
    plan = working_period.months_with_charges().explain()
    assert "USING INDEX charge_month_owner (charged_in_id=?)" in plan
    assert "SCAN U0" not in plan
    assert [bool(each.has_charges) for each in working_period.months_with_charges()] == [False, True]
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM sqlite_stat1")
        cursor.execute("ANALYZE sqlite_schema")


def test_a_popup_has_no_frame_and_asks_nothing_for_it(client, cast):
    build.a_charge()
    client.force_login(cast.admin)
    url = reverse("admin:billing_person_add") + "?_popup=1"
    page = client.get(url).content.decode()
    assert 'id="nav-sidebar"' not in page
    assert 'class="search"' not in page
    assert not [sql for sql in queries(client, url) if "has_charges" in sql or "UNION ALL" in sql]


def test_a_row_of_a_list_names_its_columns_for_phones(client, cast):
    build.a_charge("12.50")
    client.force_login(cast.viewer)
    page = client.get(reverse("admin:billing_charge_changelist")).content.decode()
    assert re.search(r'<td data-label="Billed" class="[^"]*_amount', page)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("admin:index", "board-page"),
        ("admin:billing_charge_changelist", "worklist-page"),
        ("admin:billing_person_add", "form-page"),
        ("admin:search", "worklist-page"),
    ],
)
def test_pages_stand_on_the_templates(client, cast, name, kind):
    client.force_login(cast.admin)
    assert kind in client.get(reverse(name)).content.decode().split("<body", 1)[1].split(">")[0]


def test_what_nobody_may_change_is_a_record_and_what_is_decided_a_decision(client, cast):
    charge = build.a_charge(flags=("missing_pi",))
    client.force_login(cast.admin)
    record = client.get(reverse("admin:billing_charge_change", args=[charge.pk])).content.decode()
    assert "record-page" in record.split("<body", 1)[1].split(">")[0]
    decide = client.get(reverse("admin:billing_charge_reject", args=[charge.pk])).content.decode()
    assert "verb-page" in decide.split("<body", 1)[1].split(">")[0]
