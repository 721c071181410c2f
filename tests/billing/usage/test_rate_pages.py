"""The screens of rate schedules: a draft is written without script, loaded from a file, put in force and retired."""

import io
from dataclasses import replace
from decimal import Decimal

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from billing.models import AuditEvent, RateClassMember, RateSchedule
from billing.usage import rate_schedules
from billing.usage.pricing.terms import Tier
from tests import build

from .schedules import CPU, HOME, a_schedule, a_version
from .test_rate_versions import a_feed, priced

pytestmark = pytest.mark.django_db

CHEAPER = replace(CPU, tiers=(Tier(Decimal("0.01")),))
LIST = "admin:billing_rateschedule_changelist"


def url(name, *args):
    return reverse(f"admin:billing_rateschedule_{name}", args=args)


@pytest.fixture
def finance(client, cast):
    client.force_login(cast.finance)
    return client


def sent(page) -> dict:
    """Return what a browser would send of the form on a page, as it is shown."""
    forms = page.context["forms"]
    found = {}
    for form in (forms.head, forms.rates.management_form, *forms.rates, forms.classes.management_form, *forms.classes):
        for field in form:
            value = field.value()
            if value is not None and value is not False and value != "":
                found[field.html_name] = value
    return found


def text_of(page) -> str:
    return " ".join(page.content.decode().split())


# The list and the page of a version -----------------------------------------------------------------------


def test_the_list_says_what_each_version_prices_and_how_it_stands(finance):
    page = text_of(finance.get(reverse(LIST)))
    assert "There are no rate schedules yet" in page
    a_feed()
    a_version(month="2024-01")
    a_version(CHEAPER, month="2024-07", note="By the board")
    a_version(HOME, month="2099-01")
    a_version(CPU, month="2099-07", released=False)
    page = text_of(finance.get(reverse(LIST)))
    for said in ("Replaced", "In force", "From January 2099", "Draft", "tiger", "By the board", "hpc v4"):
        assert said in page, said


def test_the_page_of_a_version_shows_its_rates_as_people_read_them(finance):
    a_feed()
    first = a_version(month="2024-01")
    page = text_of(finance.get(url("change", first.pk)))
    for said in (
        "It prices months from January 2024 on",
        "It is the schedule of <bdi>tiger</bdi>",
        "up to 50,000 core-hours: 0.014 per core-hour",
        "The first 1,000 core-hours are free for each PI and fiscal year.",
        "10 for every gpu-hour of gpu_seconds",
        "partition: cpu*, long",
        "150% of the list price",
        "26.5%",
    ):
        assert said in page, said
    second = a_version(CHEAPER, HOME, month="2024-07", released=False)
    page = text_of(finance.get(url("change", second.pk) + "?tab=changes"))
    assert "What differs from hpc v1" in page
    assert "<ins>0.01 per core-hour</ins>" in page
    assert "Put in force…" in page
    page = text_of(finance.get(url("change", second.pk) + "?tab=versions"))
    assert f'<a href="{url("change", first.pk)}">hpc v1</a>' in page


@pytest.mark.parametrize("form", rate_schedules.FORMATS)
def test_a_version_is_downloaded_and_comes_back(finance, form):
    version = a_version()
    answer = finance.get(url("export", version.pk, form))
    assert f'filename="hpc_v1.{form}"' in answer["Content-Disposition"]
    content = b"".join(answer.streaming_content)
    assert rate_schedules.read(io.BytesIO(content), name="hpc", version=1) == a_schedule()
    assert finance.get(url("export", version.pk, "ods")).status_code == 404


# The form -------------------------------------------------------------------------------------------------


def test_a_new_schedule_is_written_in_a_form(finance):
    page = finance.get(url("add"))
    filled = sent(page) | {
        "name": "gpu",
        "valid_from": "2025-07",
        "note": "After the rate study",
        "rate-0-code": "gpu",
        "rate-0-service": "GPU",
        "rate-0-unit": "GPU-hour",
        "rate-0-tiers": "up to 1,000: 1\r\nabove: 0.5",
        "rate-0-counts": "GPU-hour of gpu_seconds",
        "rate-0-where": "partition: gpu*, a100",
        "rate-0-span": "fiscal_year",
        "rate-0-minimum": "10",
    }
    answer = finance.post(url("add"), filled, follow=True)
    made = RateSchedule.objects.get()
    assert (str(made), made.state, made.note) == ("gpu v1", "draft", "After the rate study")
    (rate,) = rate_schedules.content_of(made).rates
    assert rate.tiers == (Tier(Decimal(1), Decimal(1000)), Tier(Decimal("0.5")))
    assert (rate.when, rate.span, rate.minimum) == ({"partition": ("gpu*", "a100")}, "fiscal_year", Decimal(10))
    assert "Drafted gpu v1: 1 rate added." in text_of(answer)


def test_a_new_version_starts_from_the_rates_of_another_and_changes_nothing_by_itself(finance):
    first = a_version(CPU, HOME)
    page = finance.get(url("add") + f"?from={first.pk}")
    assert "New version of hpc" in text_of(page)
    answer = finance.post(url("add") + f"?from={first.pk}", sent(page), follow=True)
    assert "Drafted hpc v2: nothing differs since hpc v1." in text_of(answer)
    assert rate_schedules.content_of(RateSchedule.objects.get(version=2)).rates == (CPU, HOME)


def test_rows_are_added_and_removed_without_script(finance):
    draft = a_version(released=False)
    filled = sent(finance.get(url("edit", draft.pk)))
    assert filled["rate-0-tiers"] == "up to 50,000: 0.014\nabove: 0.008"
    # What was typed is there again, wrong or not, and nothing is stored.
    page = finance.post(url("edit", draft.pk), filled | {"rate-0-tiers": "cheap", "_add_rate": "1"})
    filled = sent(page)
    assert (filled["rate-TOTAL_FORMS"], filled["rate-0-tiers"]) == (3, "cheap")
    page = finance.post(url("edit", draft.pk), filled | {"_add_class": "1"})
    filled = sent(page) | {
        "rate-0-tiers": "0.02",
        "rate-1-remove": "on",
        # What is wrong with a rate that is removed is nobody's concern.
        "rate-1-tiers": "cheap",
        "rate-2-code": "gpu",
        "rate-2-service": "GPU",
        "rate-2-unit": "GPU-hour",
        "rate-2-tiers": "1",
        "rate-2-counts": "GPU-hour of gpu_seconds",
        "class-1-name": "affiliate",
        "class-1-kind": "affiliate",
    }
    answer = finance.post(url("edit", draft.pk), filled, follow=True)
    assert "Saved hpc v1: " in text_of(answer)
    saved = rate_schedules.content_of(RateSchedule.objects.get())
    assert [rate.code for rate in saved.rates] == ["cpu", "gpu"]
    assert [each.name for each in saved.classes] == ["external", "affiliate"]
    assert AuditEvent.objects.latest("pk").action == "rate_schedule.changed"


def test_what_is_wrong_is_marked_beside_its_field_and_nothing_is_saved(finance):
    draft = a_version(released=False)
    filled = sent(finance.get(url("edit", draft.pk))) | {
        "rate-0-tiers": "up to 5: 1\r\nup to 3: 2",
        "rate-1-counts": "bytes",
        "class-0-percent": "half",
        "valid_from": "July",
    }
    page = finance.post(url("edit", draft.pk), filled)
    forms = page.context["forms"]
    assert forms.head.errors == {"valid_from": ["Write the year and month, such as 2026-07."]}
    assert "does not say what is counted" in forms.rates.forms[1].errors["counts"][0]
    assert "is not a number" in forms.classes.forms[0].errors["percent"][0]
    # The rules of the whole are asked once its parts are understood.
    filled |= {"rate-1-counts": "TB-month of bytes", "class-0-percent": "150", "valid_from": "2025-07"}
    page = finance.post(url("edit", draft.pk), filled)
    assert page.context["forms"].rates.forms[0].non_field_errors() == [
        "Tier 2: up_to is 3. The last tier has none, so that every use has a price."
    ]
    assert RateSchedule.objects.get().content == draft.content


def test_a_draft_without_rates_and_a_name_that_is_none_are_refused(finance):
    page = finance.get(url("add"))
    answer = finance.post(url("add"), sent(page) | {"name": "GPU rates", "valid_from": "2025-07"})
    assert "Use lower-case letters" in text_of(answer)
    answer = finance.post(url("add"), sent(page) | {"name": "gpu", "valid_from": "2025-07"})
    assert "rate-0-code" in str(answer.context["forms"].rates.forms[0]["code"])
    assert not RateSchedule.objects.exists()


def test_two_who_change_a_draft_meet_before_anything_is_lost(finance):
    draft = a_version(released=False)
    filled = sent(finance.get(url("edit", draft.pk)))
    rate_schedules.change(schedule=draft, note="Mine", actor=build.SOMEBODY, now=build.NOW)
    page = finance.post(url("edit", draft.pk), filled | {"note": "Yours"})
    assert "Somebody changed hpc v1 meanwhile" in text_of(page)
    assert RateSchedule.objects.get().note == "Mine"


def test_a_version_in_force_has_no_form(finance):
    version = a_version()
    answer = finance.get(url("edit", version.pk), follow=True)
    assert "does not change any more" in text_of(answer)
    assert finance.get(url("edit", 9999)).status_code == 404


@pytest.mark.parametrize("broken", ["", "x", "-1", "9" * 30])
def test_a_form_that_no_browser_sends_is_refused_without_harm(finance, broken):
    draft = a_version(released=False)
    filled = sent(finance.get(url("edit", draft.pk))) | {"rate-TOTAL_FORMS": broken}
    for extra in ({}, {"_add_rate": "1"}):
        assert finance.post(url("edit", draft.pk), filled | extra).status_code == 200


# A file ---------------------------------------------------------------------------------------------------


def a_file(schedule, form="csv"):
    file = io.BytesIO()
    rate_schedules.write(schedule, file, form)
    return SimpleUploadedFile(f"rates.{form}", file.getvalue())


def test_a_file_is_seen_rate_by_rate_before_it_is_drafted(finance):
    a_version()
    given = {"name": "hpc", "valid_from": "2025-07", "note": "Cheaper"}
    page = finance.post(url("load"), given | {"file": a_file(a_schedule(CHEAPER, HOME), "xlsx")})
    text = text_of(page)
    assert "1 rate changed since hpc v1. Nothing is stored yet." in text
    assert "<ins>0.01 per core-hour</ins>" in text
    assert RateSchedule.objects.count() == 1
    answer = finance.post(url("load"), given | {"kept": page.context["kept"]}, follow=True)
    assert "Drafted hpc v2: 1 rate changed since hpc v1." in text_of(answer)
    assert RateSchedule.objects.get(version=2).note == "Cheaper"


def test_a_file_with_mistakes_says_where(finance):
    file = SimpleUploadedFile("rates.csv", b"Rate,Service,Counts,Unit,Price\ncpu,HPC,cores,core-hour,0.02\n")
    page = finance.post(url("load"), {"name": "hpc", "valid_from": "2025-07", "file": file})
    assert "line 2, Counts: “cores” does not say what is counted" in text_of(page)
    assert not RateSchedule.objects.exists()


def test_a_preview_of_somebody_else_drafts_nothing(finance, cast):
    given = {"name": "hpc", "valid_from": "2025-07"}
    page = finance.post(url("load"), given | {"file": a_file(a_schedule())})
    finance.force_login(cast.admin)
    answer = finance.post(url("load"), given | {"kept": page.context["kept"]}, follow=True)
    assert "no longer there" in text_of(answer)
    assert not RateSchedule.objects.exists()


# In force, retired, discarded -----------------------------------------------------------------------------


def test_a_draft_is_put_in_force_after_its_changes_were_shown(finance):
    priced(a_version())
    draft = a_version(CHEAPER, HOME, released=False)
    page = text_of(finance.get(url("release", draft.pk)))
    assert "hpc v2 prices months from January 2025 on, of tiger." in page
    assert "<ins>0.01 per core-hour</ins>" in page
    answer = text_of(finance.post(url("release", draft.pk), follow=True))
    assert "It takes the place of hpc v1. Price again what the version before priced: January 2025 of tiger." in answer
    assert RateSchedule.objects.get(version=2).state == "released"


def test_why_a_draft_cannot_be_put_in_force_is_told_and_nothing_happens(finance):
    priced(a_version(), status="closed")
    draft = a_version(CHEAPER, released=False)
    page = text_of(finance.post(url("release", draft.pk)))
    assert "It can start in February 2025 or later." in page
    assert RateSchedule.objects.get(version=2).state == "draft"


def test_a_version_is_retired_and_a_draft_discarded(finance):
    first, draft = a_version(), a_version(released=False)
    answer = finance.post(url("discard", draft.pk), follow=True)
    assert answer.redirect_chain == [(reverse(LIST), 302)]
    assert "Discarded the draft hpc v2." in text_of(answer)
    finance.post(url("retire", first.pk), {"reason": "Not approved"})
    assert RateSchedule.objects.get().state == "retired"


# Classes --------------------------------------------------------------------------------------------------


def test_whoever_has_a_class_needs_a_reason_and_a_class_that_there_is(finance):
    a_version()
    add = reverse("admin:billing_rateclassmember_add")
    pi = build.a_pi()
    given = {"pi": pi.pk, "rate_class": "external", "valid_from": "2025-01", "reason": "A company, by contract 17"}
    for wrong, says in (
        ({"reason": ""}, "This field is required"),
        ({"rate_class": "foreign"}, "is not one of the available choices"),
        ({"valid_until": "2024-01"}, "The last month is before the first."),
        ({"project": build.a_project().pk}, "exactly one of them"),
        ({"pi": ""}, "exactly one of them"),
    ):
        assert says in text_of(finance.post(add, given | wrong)), wrong
    answer = finance.post(add, given, follow=True)
    member = RateClassMember.objects.get()
    assert (member.owner, member.rate_class) == ("ada@u.edu", "external")
    assert "since January 2025" in text_of(answer)
    assert AuditEvent.objects.latest("pk").action == "rate_class_member.added"
