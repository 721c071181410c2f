"""Every link on every staff page opens for whoever sees it."""

import re
from html import unescape
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from django.apps import apps

from billing.models import User
from tests import build
from tests.test_matrix import STAFF, address_of, house, routes  # noqa: F401 (a fixture)

pytestmark = [pytest.mark.django_db, pytest.mark.same_on_either]

# What a link does not lead to by itself.
NO_PAGES = ("/static/", "/accounts/logout/", "/admin/logout/")


def links_of(page: str, url: str) -> set[str]:
    """Return the addresses within the site that a page links to, without their place on the page."""
    found = set()
    for href in re.findall(r'<a\b[^>]*?\bhref="([^"]*)"', page):
        split = urlsplit(urljoin(url, unescape(href)))
        if not split.netloc and split.scheme == "" and not split.path.startswith(NO_PAGES):
            found.add(split._replace(fragment="").geturl())
    return found


def kind_of(url: str) -> str:
    """Return what links of one kind share: the same page of another object, or another value of a filter."""
    split = urlsplit(url)
    return re.sub(r"\d+", "N", split.path) + "?" + "&".join(sorted(parse_qs(split.query)))


def done_by(user: User) -> None:
    """Let a user have done everything that somebody did, so that pages name them."""
    with build.safeguards_down():
        for model in apps.get_models():
            for field in model._meta.get_fields():
                if field.many_to_one and field.related_model is User and field.null and not model._meta.proxy:
                    model._base_manager.filter(**{f"{field.name}__isnull": True}).update(**{field.name: user})


@pytest.mark.parametrize("role", STAFF)
def test_every_link_on_every_staff_page_opens_for_who_sees_it(client, house, role):  # noqa: F811
    done_by(house.admin)
    client.force_login(getattr(house, role))
    pages = {address_of(route, house.admin) for route in routes() if route.startswith("admin/")}
    linked: dict[str, tuple[str, str]] = {}
    for url in sorted(pages):
        response = client.get(url)
        if response.streaming:
            response.getvalue()
        elif response.status_code == 200 and response["Content-Type"].startswith("text/html"):
            for each in links_of(response.content.decode(), url):
                linked.setdefault(kind_of(each), (url, each))
    assert len(linked) > 80
    closed = []
    for page, link in linked.values():
        answer = client.get(link, follow=True)
        if answer.streaming:
            # Read to its end, the client closes it.
            answer.getvalue()
        if answer.status_code != 200:
            closed.append(f"{page} → {link}: {answer.status_code}")
    assert not closed, "\n".join(sorted(closed))
