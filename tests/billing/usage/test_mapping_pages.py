"""The screen of usage feeds, and the page that maps the columns of a table."""

import io
import json
import re

import openpyxl
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from billing.files import own_folder
from billing.models import AuditEvent, UsageFeed
from billing.setup import kept_sheets
from tests import build

pytestmark = [pytest.mark.django_db, pytest.mark.same_on_either]

LOG = (
    "Booking,Date,Start,End,PI,User,Instrument,Hours,Status\n"
    "B-1,1/5/2026,9:00 AM,11:30 AM,chen@example.edu,Ada,Confocal 2,2.5,\n"
    "B-2,1/6/2026,1:00 PM,2:15 PM,ortiz@example.edu,Bo,Confocal 2,1.25,Training\n"
    "Total,,,,,,,3.75,\n"
)


@pytest.fixture
def feed(cast):
    return UsageFeed.objects.create(
        name="confocal", source=build.a_source("lab"), kind="columns", time_zone="America/Chicago"
    )


def columns_url(feed):
    return reverse("admin:billing_usagefeed_columns", args=[feed.pk])


def a_file(content=LOG, name="log.csv"):
    return SimpleUploadedFile(name, content if isinstance(content, bytes) else content.encode())


def fields_of(html):
    """Return what a browser would send of the mapping's form as it is shown."""
    form = html[html.index('name="kept"') :]
    data = {}
    for tag in re.findall(r"<input [^>]*>", form):
        attributes = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if attributes.get("type") == "checkbox" and " checked" not in tag:
            continue
        if "name" in attributes:
            nothing = "on" if attributes.get("type") == "checkbox" else ""
            data[attributes["name"]] = attributes.get("value", nothing)
    for name, inside in re.findall(r'<select name="([^"]+)"[^>]*>(.*?)</select>', form, re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)" selected', inside) or re.search(r'<option value="([^"]*)"', inside)
        data[name] = chosen[1]
    for name, inside in re.findall(r'<textarea name="([^"]+)"[^>]*>(.*?)</textarea>', form, re.DOTALL):
        data[name] = inside.strip()
    return {
        name: value.replace("&quot;", '"').replace("&#x27;", "'").replace("&amp;", "&") for name, value in data.items()
    } | {"kept": re.search(r'name="kept" value="([^"]+)"', html)[1]}


def looked_at(client, feed, **file):
    page = client.post(columns_url(feed), {"file": a_file(**file)})
    assert page.status_code == 200
    return page.content.decode()


def test_a_file_is_looked_at_guessed_previewed_and_its_mapping_saved(client, cast, feed):
    client.force_login(cast.finance)
    html = looked_at(client, feed)
    # The guess is shown with what comes of it, in the zone of the feed.
    assert "What comes of it" in html
    assert "Jan 5, 2026, 09:00" in html
    assert "2.5 hour" in html
    assert "Left out, totals: 1." in html
    sent = fields_of(html)
    assert (sent["role_1"], sent["role_2"], sent["role_3"], sent["role_7"]) == ("date", "time", "end_time", "number")
    saved = client.post(columns_url(feed), sent | {"_save": "1"}, follow=True)
    assert "The columns of confocal are mapped. Files can be read now." in saved.content.decode()
    feed.refresh_from_db()
    assert feed.settings == {
        "start": ["Date", "Start"],
        "end": ["Date", "End"],
        "dates": "month/day/year",
        "id": "Booking",
        "account": "PI",
        "user": "User",
        "resource": "Instrument",
        "attributes": {"status": "Status"},
        "measures": {"hours": {"column": "Hours", "unit": "hour", "decimals": 2}},
        "skip": [{"column": "Booking", "begins": ["Total", "Grand total", "Subtotal"], "reason": "totals"}],
    }
    assert AuditEvent.objects.filter(action="usage_feed.changed", object_id=str(feed.pk)).exists()
    # The file is not kept.
    assert list(own_folder(kept_sheets.FOLDER).iterdir()) == []


def test_a_preview_saves_nothing_and_shows_what_is_wrong(client, cast, feed):
    client.force_login(cast.finance)
    sent = fields_of(looked_at(client, feed))
    # The date is of no form that the file has, and quantities have no decimals.
    page = client.post(columns_url(feed), sent | {"dates": "year-month-day", "decimals_7": "0"})
    html = page.content.decode()
    assert "What is wrong" in html
    assert "line 2, column Date: “1/5/2026” is no date as the settings say" in html
    assert "line 2, column Hours: 2.5 has more decimals than the 0 of hours" in html
    feed.refresh_from_db()
    assert feed.settings == {}


def test_what_the_form_cannot_say_is_kept_as_json_and_counts(client, cast, feed):
    client.force_login(cast.finance)
    mapping = {
        "start": ["Date", "Start"],
        "duration": {"column": "Hours", "in": "hours"},
        "dates": "month/day/year",
        "account": "PI",
        "resource": {"value": "Confocal"},
        "measures": {"hours": {"column": "Hours", "unit": "hour", "decimals": 2, "units": {"day": 8}}},
        "skip": [{"column": "Booking", "begins": ["Total"]}],
        "free": [{"column": "Status", "is": ["Training"], "reason": "training"}],
    }
    others = {"tags": {"pi_email": "account"}, "provider": "Core"}
    UsageFeed.objects.filter(pk=feed.pk).update(settings=mapping | others)
    html = looked_at(client, feed)
    sent = fields_of(html)
    assert json.loads(sent["more"]) == {"measures": mapping["measures"]}
    assert (sent["fixed_resource"], sent["duration"], sent["free_texts_0"]) == ("Confocal", "Hours", "Training")
    client.post(columns_url(feed), sent | {"_save": "1"})
    feed.refresh_from_db()
    assert feed.settings == mapping | others
    bad = client.post(columns_url(feed), sent | {"more": '{"measures": {', "_save": "1"}).content.decode()
    # The file was dropped with the first save.
    assert "This preview is no longer there. Choose the file again." in bad


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"more": "{"}, "This is not JSON: "),
        ({"more": '{"lasts": NaN}'}, "is not one that JSON knows."),
        ({"more": "[1]"}, "A JSON object in braces is expected"),
        ({"role_0": "date"}, "Only one column can be the date: Booking, Date."),
        ({"name_7": "Hours used"}, "Hours: a name has small letters, digits and _"),
        ({"name_7": "status"}, "Hours and Status have the name status. Give one of them another."),
        ({"role_1": ""}, "Setting"),
        ({"more": '{"colour": 1}'}, "colour"),
    ],
)
def test_a_mapping_that_is_wrong_is_not_saved(client, cast, feed, changes, says):
    client.force_login(cast.finance)
    sent = fields_of(looked_at(client, feed))
    if says == "Setting":
        sent |= {"role_2": ""}
        says = "Name the column that has the date"
    html = client.post(columns_url(feed), sent | changes | {"_save": "1"}).content.decode()
    assert says in html
    feed.refresh_from_db()
    assert feed.settings == {}


@pytest.mark.parametrize(
    "value", ["null", "5", "-1e300", '"x"', "[]", "[1, null]", "{}", '{"x": 5}', '{"column": 5}', "true"]
)
def test_settings_of_any_kind_are_refused_or_taken_and_never_break_the_page(client, cast, feed, value):
    client.force_login(cast.finance)
    sent = fields_of(looked_at(client, feed))
    names = ("start", "end", "duration", "lasts", "dates", "account", "attributes", "measures", "skip", "fill", "sheet")
    for name in names:
        page = client.post(columns_url(feed), sent | {"more": f'{{"{name}": {value}}}'})
        assert page.status_code == 200, name
        nested = client.post(
            columns_url(feed), sent | {"more": f'{{"{name}": {{"x": {value}}}}}', "role_0": "nonsense"}
        )
        assert nested.status_code == 200, name


def test_a_sheet_is_chosen_of_several(client, cast, feed):
    client.force_login(cast.finance)
    book = openpyxl.Workbook()
    for title, headings in (("Jan", ("Date", "PI", "Hours")), ("Staff", ("Day", "Group", "Minutes", "Task"))):
        sheet = book.create_sheet(title)
        sheet.append(headings)
        sheet.append(("2026-01-05", "chen", 2, "x")[: len(headings)])
    del book["Sheet"]
    content = io.BytesIO()
    book.save(content)
    html = looked_at(client, feed, content=content.getvalue(), name="log.xlsx")
    sent = fields_of(html)
    assert sent["sheet"] == "Staff"
    html = client.post(columns_url(feed), sent | {"sheet": "Jan", "_sheet": "1"}).content.decode()
    sent = fields_of(html)
    client.post(columns_url(feed), sent | {"_save": "1"})
    feed.refresh_from_db()
    assert (feed.settings["sheet"], feed.settings["start"]) == ("Jan", "Date")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"%PDF-1.7", "This is a PDF"),
        (b"", "The submitted file is empty."),
        ('[{"a": 1}]', "This is JSON, not CSV."),
        (b"a,b\n\xff,1\n", "is not UTF-8"),
    ],
)
def test_what_is_no_table_is_said_beside_the_file(client, cast, feed, content, says):
    client.force_login(cast.finance)
    assert says in looked_at(client, feed, content=content)


def test_headings_and_cells_of_a_file_do_nothing_on_the_page(client, cast, feed):
    client.force_login(cast.finance)
    evil = "<script>alert(1)</script>"
    html = looked_at(
        client, feed, content=f'"{evil}",Date,PI,Hours,Hours\n{evil},2026-01-05,"{evil}",1,2\n', name=f"{evil}.csv"
    )
    assert evil not in html
    assert "Two columns have the heading “Hours”. Rename one." in html


def test_somebody_elses_file_and_one_that_is_gone_are_not_looked_at(client, cast, feed):
    client.force_login(cast.finance)
    sent = fields_of(looked_at(client, feed))
    client.force_login(cast.admin)
    assert "This preview is no longer there." in client.post(columns_url(feed), sent).content.decode()
    client.force_login(cast.finance)
    for old in own_folder(kept_sheets.FOLDER).iterdir():
        old.unlink()
    assert "This preview is no longer there." in client.post(columns_url(feed), sent).content.decode()
    assert "This preview is no longer there." in client.post(columns_url(feed), {"kept": "x"}).content.decode()


def test_a_large_file_is_refused(client, cast, feed, monkeypatch):
    monkeypatch.setattr("billing.admin.usage.mapping.MAX_BYTES", 10)
    client.force_login(cast.finance)
    assert "The file is larger than 20 MB." in looked_at(client, feed)


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("reviewer", 403), ("finance", 200), ("admin", 200)])
def test_who_may_change_feeds_may_map_columns(client, cast, feed, role, status):
    client.force_login(getattr(cast, role))
    assert client.get(columns_url(feed)).status_code == status
    page = client.get(reverse("admin:billing_usagefeed_change", args=[feed.pk])).content.decode()
    assert ("Map columns…" in page) is (status == 200)


def test_a_feed_of_another_kind_has_no_columns_to_map(client, cast, feed):
    client.force_login(cast.finance)
    UsageFeed.objects.filter(pk=feed.pk).update(kind="litellm")
    page = client.get(columns_url(feed), follow=True)
    assert "The files of confocal are no tables whose columns are mapped." in page.content.decode()
    assert "Map columns…" not in page.content.decode()


# The feed itself ------------------------------------------------------------------------------------------


def form_of(**changes):
    return {
        "name": "gateway",
        "display_name": "AI gateway",
        "source": build.a_source("ai").pk,
        "kind": "litellm",
        "time_zone": "UTC",
        "schedule": "",
        "is_active": "on",
        "settings": "{}",
        "notes": "",
        **changes,
    }


def test_a_feed_is_added_and_leads_on_to_its_columns(client, cast):
    client.force_login(cast.finance)
    add = reverse("admin:billing_usagefeed_add")
    assert client.post(add, form_of()).status_code == 302
    page = client.post(add, form_of(name="confocal", source=build.a_source("lab").pk, kind="columns"), follow=True)
    assert "Next: say which column is what." in page.content.decode()
    assert "Choose a file of this feed" in page.content.decode()
    assert AuditEvent.objects.filter(action="usage_feed.added").count() == 2
    listed = client.get(reverse("admin:billing_usagefeed_changelist")).content.decode()
    assert "LiteLLM spend logs" in listed
    assert "Table by a mapping of its columns" in listed


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"settings": '{"acount": "team_id"}'}, "There is no such setting. Did you mean account?"),
        ({"time_zone": "Mars"}, "“Mars” is no time zone."),
        ({"kind": "columns", "settings": '{"start": "Date"}'}, "Say what is counted"),
        ({"name": "A b"}, "Use lower-case letters, digits, - and _."),
    ],
)
def test_a_feed_that_could_not_be_read_is_refused(client, cast, changes, says):
    client.force_login(cast.finance)
    page = client.post(reverse("admin:billing_usagefeed_add"), form_of(**changes)).content.decode()
    assert says in page
    assert not UsageFeed.objects.exists()
