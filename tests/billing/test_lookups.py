"""How an address may narrow a list: by the filters and links that the list declares, and by nothing else."""

import re

import pytest
from django.contrib import admin
from django.db import connection
from django.db.models import DateTimeField
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.admin import large_tables
from billing.admin.charges import all_list
from billing.admin.charges.all_charges import ChargeAdmin
from billing.admin.filters import COMPARED_BY, NARROWED_BY, SEARCHED_CHARACTERS, SEARCHED_WORDS, searched
from billing.models import FundingSource
from tests import build
from tests.test_hostile import parameters_of

pytestmark = pytest.mark.django_db

SCREENS = [pytest.param(model, id=model._meta.label_lower) for model in admin.site._registry]
PATTERN = "^(.%2B)%2B!$"


def list_of(model) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


@pytest.mark.same_on_either
@pytest.mark.parametrize("model", SCREENS)
def test_no_list_takes_a_lookup_that_it_does_not_declare(client, cast, model):
    """Every field and every one that a relation leads to, by pattern, by part and by comparison."""
    client.force_login(cast.admin)
    screen = admin.site._registry[model]
    fields = [field.name for field in model._meta.get_fields() if not field.auto_created]
    fields += [
        f"{field.name}__{other.name}"
        for field in model._meta.get_fields()
        if field.is_relation and field.related_model
        for other in field.related_model._meta.get_fields()
        if not other.is_relation
    ]
    lookups = ("regex", "iregex", "startswith", "contains", "icontains", "endswith", "iexact", "range", "year")
    declared = parameters_of(screen)
    asked = [f"{field}__{lookup}" for field in fields for lookup in lookups]
    refused = [name for name in (*fields, *asked) if name not in declared]
    assert [name for name in refused if screen.lookup_allowed(name, "x", _Asking(cast.admin))] == []
    with CaptureQueriesContext(connection) as captured:
        assert client.get(f"{list_of(model)}?{refused[-1]}={PATTERN}").status_code == 400
        assert client.get(f"{list_of(model)}?{fields[0]}__regex={PATTERN}").status_code == 400
    assert not any("REGEXP" in each["sql"] or "~ '" in each["sql"] for each in captured)


class _Asking:
    def __init__(self, user) -> None:
        self.user = user
        self.GET: dict[str, str] = {}


@pytest.mark.parametrize(
    "query",
    [
        f"charge_description__regex={PATTERN}",
        f"description__charge_description__regex={PATTERN}",
        f"resource__resource_id__iregex={PATTERN}",
        f"tag_set__tags__icontains={PATTERN}",
        "pi__user__password__startswith=argon2",
        "pi__user__email=ada@u.edu",
        "imported_in__created_by__password__gt=a",
        f"state__regex={PATTERN}",
        f"source__name__regex={PATTERN}",
        "id__in=1,2,3",
        f"source={'9' * 25}",
        f"source__in={'9' * 25}",
        f"project__exact={'9' * 25}",
        "pk=1",
        "zz=1",
        "_to_field=pi",
        "_to_field=resource",
    ],
)
def test_a_viewer_cannot_ask_for_what_a_list_does_not_offer(client, cast, query):
    client.force_login(cast.viewer)
    assert client.get(f"{reverse('admin:billing_charge_changelist')}?{query}").status_code == 400


@pytest.mark.parametrize("query", ["password__startswith=argon2", f"username__regex={PATTERN}", "groups__name=admin"])
def test_nor_an_admin_of_the_list_of_users(client, cast, query):
    client.force_login(cast.admin)
    assert client.get(f"{reverse('admin:billing_user_changelist')}?{query}").status_code == 400


@pytest.mark.parametrize("model", SCREENS)
def test_what_a_list_declares_it_takes(client, cast, model):
    client.force_login(cast.admin)
    screen = admin.site._registry[model]
    for declared in (*screen.list_filter, *screen.linked_by):
        name = declared[0] if isinstance(declared, tuple) else getattr(declared, "parameter_name", declared)
        if not isinstance(declared, type) and model._meta.get_field(name).is_relation:
            name += "__id__exact"
        value = "1"
        if not isinstance(declared, type) and isinstance(model._meta.get_field(name.split("__")[0]), DateTimeField):
            name, value = f"{name}__gte", "2025-01-01 00:00:00Z"
        assert screen.lookup_allowed(name, value, _Asking(cast.admin))
        assert client.get(f"{list_of(model)}?{name}={value}").status_code in (200, 302)
    page = client.get(list_of(model)).content.decode()
    # And every choice that its own filters offer.
    for query in set(re.findall(r'href="(\?[^"]+__[^"]+)"', page)):
        assert client.get(list_of(model) + query.replace("&amp;", "&")).status_code == 200, query


def test_no_way_of_narrowing_matches_a_pattern():
    assert not {"regex", "iregex", "contains", "icontains", "startswith", "endswith"} & {*NARROWED_BY, *COMPARED_BY}


def test_of_a_long_search_the_beginning_is_looked_for_and_that_is_said(client, cast):
    client.force_login(cast.viewer)
    url = reverse("admin:billing_charge_changelist")
    for words in ("ab " * 1000, "x" * 5000, '"' + "a b " * 1000):
        page = client.get(url, {"q": words})
        assert page.status_code == 200
        assert f"Only the first {SEARCHED_WORDS} words" in page.content.decode()
    assert "Only the first" not in client.get(url, {"q": "ada genomics"}).content.decode()
    assert len(searched("ab " * 1000).split()) == SEARCHED_WORDS
    assert len(searched("x" * 5000)) == SEARCHED_CHARACTERS
    assert searched('"one two" three') == '"one two" three'


@pytest.mark.parametrize(
    "words",
    [
        "gpu",
        "sku-77",
        "vm-blue",
        '"login node"',
        "4711-22",
        '"Biology lab"',
        "sub-9",
        "INV-5",
        "hopper",
        "ada@u.edu",
        "Lovelace",
        "GENO",
        "BIO-77",
        "R01-5",
        "gpu hopper INV-5 lovelace",
    ],
)
def test_charges_are_found_by_each_of_their_texts_and_by_no_other(client, cast, words):
    texts = {
        "service_name": "GPU hours",
        "sku_id": "SKU-77",
        "resource_id": "vm-blue-1",
        "resource_name": "login node",
        "tags": '{"cluster": "hopper"}',
        "invoice_id": "INV-5",
        "billing_account_id": "4711-22",
        "billing_account_name": "Biology lab",
        "sub_account_id": "sub-9",
    }
    wanted = build.a_charge(pi="ada@u.edu", fund_org="BIO-777", reference_1="R01-55", flags=("pattern_match",), **texts)
    build.a_charge(pi="mallory@u.edu", project="other", fund_org="X", flags=("pattern_match",))
    client.force_login(cast.reviewer)
    for screen in ("charge", "heldcharge"):
        listed = reverse(f"admin:billing_{screen}_changelist")
        assert [each.pk for each in client.get(listed, {"q": words}).context["cl"].result_list] == [wanted.pk]
        page = client.get(listed, {"q": f"{words} nothing-like-it"})
        assert list(page.context["cl"].result_list) == []


def searches_of(client, words) -> list[str]:
    """Return what a search of all charges asks of the charges, with the texts it compares."""
    with CaptureQueriesContext(connection) as captured:
        client.get(reverse("admin:billing_charge_changelist"), {"q": words})
    return [each["sql"] for each in captured if "LIKE" in each["sql"].upper() and "billing_charge" in each["sql"]]


def test_a_search_joins_no_texts_with_the_charges(client, cast, monkeypatch):
    """Each of the small tables is searched by itself, and then only those are asked that have the word."""
    build.a_charge(resource_name="login node")
    build.a_charge(resource_name="login two", tags='{"for": "login"}')
    client.force_login(cast.viewer)
    # The few that have it are named: no text is compared any more.
    (places,) = searches_of(client, "login")
    assert places.upper().count("UNION ALL") == 8
    # Where there are more, the database looks them up.
    monkeypatch.setattr(large_tables, "NAMED", 1)
    places, *searches = searches_of(client, "login")
    assert searches
    for sql in searches:
        joined = sql.partition("WHERE")[0]
        assert "billing_tagset" not in joined
        assert "billing_accounttext" not in joined
        assert sql.count("IN (SELECT") == 1


@pytest.mark.parametrize("named", [1, 200])
def test_a_text_of_many_rows_is_found_in_all_of_them(client, cast, monkeypatch, named):
    monkeypatch.setattr(large_tables, "NAMED", named)
    for number in range(3):
        build.a_charge(pi=f"pi{number}@u.edu", project=f"p-{number}", fund_org=f"BIO-{number % 2}")
    build.a_charge(fund_org="CHEM")
    client.force_login(cast.viewer)
    for words, found in (("bio", 3), ("bio-0", 2), ("bio p-0", 1), ("bio-1 p-0", 0)):
        page = client.get(reverse("admin:billing_charge_changelist"), {"q": words})
        assert page.context["cl"].result_count == found, words


@pytest.mark.parametrize("counted", [2, 5, 100])
def test_pages_count_and_sums_of_a_search_are_those_of_its_charges(client, cast, monkeypatch, counted):
    for module in (all_list, large_tables):
        monkeypatch.setattr(module, "COUNTED", counted)
    monkeypatch.setattr(ChargeAdmin, "list_per_page", 2)
    charges = [build.a_charge(f"{number}.00", resource_name="disk") for number in range(1, 6)]
    build.a_charge("100.00", resource_name="other")
    newest = [charge.pk for charge in reversed(charges)]
    client.force_login(cast.viewer)
    for number in (1, 2, 3):
        shown = client.get(reverse("admin:billing_charge_changelist"), {"q": "disk", "p": number}).context["cl"]
        if number > 1 and counted == 2:
            # Pages end where counting does.
            break
        assert [charge.pk for charge in shown.result_list] == newest[2 * number - 2 : 2 * number]
        assert shown.comes_to["USD"].figures.charged == sum(range(5, 5 - min(counted, 5), -1))
        assert shown.paginator.is_more == (counted < 5)


def test_a_search_for_what_nothing_says_reads_no_charge(client, cast):
    build.a_charge(resource_name="login node", fund_org="BIO-001", reference_1="R01")
    client.force_login(cast.viewer)
    assert len(searches_of(client, "nowhere")) == 1
    assert len(searches_of(client, "login nowhere")) == 2


@pytest.mark.parametrize("words", ["bio-0", "r01", "q-7", "login bio r01"])
def test_a_search_finds_the_texts_of_the_charge_itself(client, cast, words):
    found = build.a_charge(resource_name="login node", fund_org="BIO-001", reference_1="R01", reference_2="REQ-7")
    build.a_charge(resource_name="another", fund_org="CHEM-1", reference_1="R02")
    client.force_login(cast.viewer)
    page = client.get(reverse("admin:billing_charge_changelist"), {"q": words})
    assert [charge.pk for charge in page.context["cl"].result_list] == [found.pk]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("at__gte=2025-01-01+00:00:00%2B00:00&at__lt=2025-02-01+00:00:00-08:00", 200),
        ("at__isnull=False", 200),
        # Of no zone, of one that another zone has not, and none at all.
        ("at__gte=2025-01-01", 400),
        ("at__lt=0001-01-01+00:00:00%2B14:00", 400),
        ("at__gte=9999-12-31+23:59:59-12:00", 400),
        ("at__gte=2025-02-30+00:00:00%2B00:00", 400),
        ("at=2025-01-01+00:00:00%2B00:00", 400),
    ],
)
def test_the_audit_log_is_narrowed_by_times_that_every_zone_has(client, cast, query, status):
    client.force_login(cast.admin)
    assert client.get(f"{reverse('admin:billing_auditevent_changelist')}?{query}").status_code == status


@pytest.mark.parametrize("key", ["9" * 25, "-" + "9" * 25, "x", "1e5", "\0"])
@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("/admin/billing/fundingsource/add/", {"fund_org": "BIO-1", "projects": ""}),
        ("/admin/billing/user/add/", {"username": "newcomer", "groups": ""}),
    ],
)
def test_what_no_key_can_be_is_chosen_nowhere(client, cast, key, url, sent):
    client.force_login(cast.admin)
    several = next(name for name, value in sent.items() if not value)
    page = client.post(url, sent | {several: key})
    assert page.status_code in (200, 400)
    assert not FundingSource.objects.exists()
