"""A month is `January 2025` wherever people read it; `2025-01` is for addresses, files and what one types."""

import re
from html.parser import HTMLParser

import pytest
from django.urls import reverse

from billing import audit
from billing.models import AuditEvent, Job
from tests import build
from tests.test_links import done_by, kind_of, links_of
from tests.test_matrix import address_of, house, routes  # noqa: F401 (a fixture)

pytestmark = [pytest.mark.django_db, pytest.mark.same_on_either]

# Not days, numbers of statements (2025-01-0001) or journals (J2025-01-1), names of files (aws_2025-01.csv) or keys of
# payer lines (2025-01@2024-12|refund|…); nor what forms say of how a month is typed.
ISO_MONTH = re.compile(r"(?<![\w/=.@-])(?<!uch as )20\d\d-(?:0[1-9]|1[0-2])(?![\w/@|-]|\.\w)")


class Read(HTMLParser):
    """The texts of a page that people read: what is shown or spoken, but for code and examples of what is typed."""

    UNREAD = frozenset({"code", "kbd", "samp", "pre", "script", "style"})
    SPOKEN = frozenset({"alt", "aria-label", "data-label", "title"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._within: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag in self.UNREAD:
            self._within.append(tag)
        self.texts += [value for name, value in attrs if name in self.SPOKEN and value]

    def handle_endtag(self, tag):
        if self._within and self._within[-1] == tag:
            self._within.pop()

    def handle_data(self, data):
        if not self._within:
            self.texts.append(data)


def iso_months_in(html: str) -> list[str]:
    """Return the texts of a page that tell a month as files do."""
    return [" ".join(text.split()) for text in Read(html).texts if ISO_MONTH.search(text)]


def test_an_iso_month_on_a_page_is_found():
    page = (
        '<p>Closed <b>2025-01</b></p><p title="2025-02">Statement 2025-01-0001-1 of J2025-01-1, aws_2025-01.csv</p>'
        '<label>Such as 2025-01</label><input placeholder="2025-01"><b>2025-01@2024-12|refund</b>'
        '<code>periods close 2025-01</code><option value="2025-03">March 2025</option><a href="?period=2025-04">x</a>'
        "<p>2025-05: 3 charges</p><p>2025-06-30</p>"
    )
    assert iso_months_in(page) == ["2025-01", "2025-02", "2025-05: 3 charges"]


@pytest.mark.parametrize("who", ["admin", "pi"])
def test_no_page_tells_a_month_as_files_do(client, house, who):  # noqa: F811
    done_by(house.admin)
    client.force_login(getattr(house, who))
    here = {address_of(route, house.admin) for route in routes()}
    opened: dict[str, str] = {}
    linked: dict[str, str] = {}
    wrong = []
    for urls in (here, linked.values()):
        for url in sorted(urls):
            if "logout" in url:
                continue
            response = client.get(url)
            if response.streaming:
                response.getvalue()
            elif response.status_code == 200 and response["Content-Type"].startswith("text/html"):
                page = response.content.decode()
                opened[url] = page
                wrong += [f"{url}: {each}" for each in iso_months_in(page)]
                if urls is here:
                    linked |= {kind_of(each): each for each in links_of(page, url)}
    assert len(opened) > (150 if who == "admin" else 8)
    assert not wrong, "\n".join(sorted(set(wrong)))


def test_a_job_and_an_event_name_the_months_that_they_keep_for_machines(client, cast):
    period = build.a_period("2025-01")
    job = Job.objects.create(
        kind=Job.Kind.BOOK,
        state=Job.State.DONE,
        arguments={"import": 7, "into": "2025-02"},
        result={"booked_in": "2025-02", "periods": ["2024-12", "2025-01"], "message": "Booked."},
        created_at=build.NOW,
        finished_at=build.NOW,
    )
    with audit.gesture(actor=build.SOMEBODY, now=build.NOW) as gesture:
        gesture.record("exchange_rate.changed", period, after={"period": "2025-01", "rate": "1.1"})
    client.force_login(cast.admin)
    page = client.get(reverse("admin:billing_job_change", args=[job.pk])).content.decode()
    assert iso_months_in(page) == []
    assert "December 2024, January 2025" in page
    event = AuditEvent.objects.get(action="exchange_rate.changed")
    assert (event.object_label, event.after["period"]) == ("January 2025", "2025-01")
    page = client.get(reverse("admin:billing_auditevent_change", args=[event.pk])).content.decode()
    assert iso_months_in(page) == []
    assert "<ins>January 2025</ins>" in page
