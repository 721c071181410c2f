"""Help beside each screen: from the documentation, with a place for every screen, searched, and only for whom it is."""

import re
from html.parser import HTMLParser

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import URLResolver, get_resolver, reverse

from openchargeback.help import markdown, pages, screens
from tests.test_pages import check_policy

pytestmark = [pytest.mark.django_db, pytest.mark.same_on_either]

STAFF = ("viewer", "reviewer", "finance", "admin")
# Addresses of the admin and the portal that show no screen: they answer with data, a file, or lead on.
NO_SCREENS = {
    "admin:login",
    "admin:logout",
    "admin:autocomplete",
    "admin:jsi18n",
    "admin:view_on_site",
    "admin:password_change_done",
}
FILES = {"portal:pdf", "portal:csv", "portal:xlsx", "portal:charges", "portal:collected_file"}
FILES |= {f"api:{name}" for name in ("index", "statements", "statement", "lines", "charges", "usage")}
EVERY_PAGE = [page.slug for page in pages.contents(is_staff=True)]


def names_of(resolver=None, before=""):
    """Yield the name of every address of the admin and the portal."""
    for each in (resolver or get_resolver()).url_patterns:
        if isinstance(each, URLResolver):
            yield from names_of(each, f"{before}{each.namespace}:" if each.namespace else before)
        elif each.name and before:
            yield before + each.name


SCREENS = sorted({*names_of(), "system"} - NO_SCREENS - FILES)


class Anchors(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.ids, self.links, self.images = set(), [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        names = dict(attrs)
        if "id" in names:
            self.ids.add(names["id"])
        if tag == "a":
            self.links.append(names["href"])
        if tag == "img":
            self.images.append(names["src"])


def anchors_of(slug):
    page = pages.page(slug, is_staff=True)
    assert page is not None, slug
    # The title is the page's own heading, above the text.
    return Anchors(page.html).ids | {""}


# ---- A place for every screen


def test_there_are_screens():
    assert len(SCREENS) > 150
    assert {"admin:index", "admin:billing_import_upload", "portal:statement"} <= {*SCREENS}


@pytest.mark.parametrize("name", SCREENS)
def test_every_screen_has_its_place_in_the_help(name):
    slug, anchor = screens.place_of(name)
    assert slug, f"{name} has no help: name a page and a heading in openchargeback/help/screens.py."
    assert anchor in anchors_of(slug), f"{name}: {slug} has no heading #{anchor}."
    if name.startswith(("portal:", "api:")):
        assert pages.page(slug, is_staff=False) is not None


def test_every_place_belongs_to_a_screen_that_exists():
    known = {*names_of(), "password_change", "password_change_done", "system"}
    assert not {*screens.SCREENS} - known
    assert {*screens.MODELS} == {f"{model._meta.app_label}_{model._meta.model_name}" for model in admin.site._registry}


@pytest.mark.parametrize(
    ("who", "screen", "place"),
    [
        ("finance", "admin:index", "/help/admin-guide/month/"),
        ("finance", "admin:billing_import_upload", "/help/admin-guide/imports/#importing-on-the-web"),
        ("viewer", "admin:billing_department_changelist", "/help/admin-guide/#departments"),
        ("pi", "portal:statements", "/help/user-guide/portal/#your-statements"),
        ("finance", "portal:statements", "/help/user-guide/portal/#your-statements"),
        ("pi", "password_change", "/help/user-guide/portal/#your-account"),
    ],
)
def test_a_screen_links_to_its_help_which_opens(client, cast, who, screen, place):
    client.force_login(getattr(cast, who))
    page = client.get(reverse(screen)).content.decode()
    assert re.findall(r'<a class="help-link" href="([^"]+)"', page) == [place]
    address, _, anchor = place.partition("#")
    help_page = client.get(address)
    assert help_page.status_code == 200
    assert not anchor or f'id="{anchor}"' in help_page.content.decode()


def test_the_link_asks_the_database_nothing_and_is_not_for_strangers(client, rf, cast):
    from django.template import engines

    request = rf.get("/")
    request.user = cast.finance
    with CaptureQueriesContext(connection) as asked:
        made = engines["django"].from_string("{% help_for %}").render({"user": cast.finance}, request)
    assert (len(asked), made) == (0, '<a class="help-link" href="/help/">Help</a>')
    assert "help-link" not in client.get(reverse("login")).content.decode()


# ---- The pages


@pytest.mark.parametrize("slug", EVERY_PAGE)
def test_every_page_opens_with_links_and_anchors_that_lead_somewhere(client, cast, slug):
    client.force_login(cast.viewer)
    answer = client.get(pages.address_of(slug))
    assert answer.status_code == 200
    check_policy(answer)
    shown = pages.page(slug, is_staff=True)
    parsed = Anchors(shown.html)
    for link in parsed.links:
        if link.startswith("https://"):
            continue
        address, _, anchor = link.partition("#")
        target = slug if not address else address.removeprefix("/help/").strip("/") or pages.INDEX
        assert anchor in anchors_of(target), f"{slug}: {link}"
    for src in parsed.images:
        image = client.get(src)
        assert image.status_code == 200, src
        # Read to its end, so that its file is closed.
        image.getvalue()
    # What a page says is all there: nothing of the Markdown is left.
    assert "](" not in re.sub(r"<code>.*?</code>|<pre.*?</pre>", "", shown.html, flags=re.DOTALL)


def test_staff_have_the_pages_in_the_order_of_the_index_and_none_for_developers():
    assert EVERY_PAGE[0] == pages.INDEX
    assert EVERY_PAGE.index("admin-guide") < EVERY_PAGE.index("operations") < EVERY_PAGE.index("security")
    assert not [slug for slug in EVERY_PAGE if slug.startswith("development")]
    index = pages.page(pages.INDEX, is_staff=True).html
    assert "Late changes" in index
    assert "development" not in " ".join(Anchors(index).links)


@pytest.mark.parametrize("who", ["pi", "delegate", "stranger"])
def test_pis_read_their_pages_and_nothing_else_is_there_for_them(client, cast, who):
    client.force_login(getattr(cast, who))
    start = client.get(reverse("help")).content.decode()
    assert "The portal: statements and projects" in start
    assert {client.get(pages.address_of(slug)).status_code for slug in pages.OF_PORTAL} == {200}
    for slug in EVERY_PAGE:
        if slug != pages.INDEX and slug not in pages.OF_PORTAL:
            assert client.get(pages.address_of(slug)).status_code == 404, slug
    found = client.get(reverse("help"), {"q": "statement"}).content.decode()
    assert {each.partition("#")[0] for each in re.findall(r'<li><a href="(/help/[^"]*)', found)} == {
        pages.address_of(slug) for slug in pages.OF_PORTAL
    }
    assert "Nothing has “PostgreSQL”" in client.get(reverse("help"), {"q": "PostgreSQL"}).content.decode()


@pytest.mark.parametrize("slug", ["nothing", "admin-guide/../../manage", "development", "../README", "images", "x.md"])
def test_what_is_no_page_is_not_found(client, cast, slug):
    client.force_login(cast.admin)
    assert client.get(f"/help/{slug}/").status_code == 404


@pytest.mark.parametrize("name", ["..", "nothing.png", "..%2FREADME.md", "month-1440-light.png.md"])
def test_what_is_no_image_is_not_found(client, cast, name):
    client.force_login(cast.admin)
    assert client.get(f"/help/images/{name}", follow=True).status_code == 404
    image = client.get("/help/images/month-1440-light.png")
    assert (image.status_code, image["Content-Type"]) == (200, "image/png")
    image.getvalue()


# ---- The search


def test_a_search_finds_headings_first_and_shows_the_words_around(client, cast):
    client.force_login(cast.reviewer)
    page = client.get(reverse("help"), {"q": "exceptions"}).content.decode()
    first = re.search(r'<ol>\s*<li><a href="([^"]+)">([^<]+)</a>', page)
    assert first
    assert first.groups() == ("/help/admin-guide/#exceptions", "Exceptions")
    found = pages.search("queue REDIS", is_staff=True)
    assert found
    for each in found:
        text = f"{each.page.title} {each.section.heading} {each.section.text}".casefold()
        assert "queue" in text
        assert "redis" in text
        assert len(each.before + each.match + each.after) < 260
    assert any(each.match.casefold() in ("queue", "redis") for each in found)


@pytest.mark.parametrize("words", ["<script>alert(1)</script>", "(((", "a" * 5000, "%", "  ", "\\"])
def test_whatever_is_searched_for_the_page_opens(client, cast, words):
    client.force_login(cast.viewer)
    answer = client.get(reverse("help"), {"q": words})
    assert answer.status_code == 200
    check_policy(answer)


# ---- Markdown


def read(text):
    known = {"admin-guide/imports.md": "/help/admin-guide/imports/", "images/a.png": "/help/images/a.png"}
    return markdown.read(text, folder="admin-guide", address_of=lambda path: known.get(path, ""))


def test_html_in_a_page_is_text():
    html, _ = read("# A\n\n<script>alert(1)</script>\n\n[x](javascript:alert(1)) <b onclick=x>y</b>")
    assert "<script" not in html
    assert "<b" not in html
    assert "href" not in html


def test_links_lead_to_the_help_or_are_text():
    html, _ = read(
        "# A\n\n[one](imports.md#the-end) [**two**](../../billing/money.py) [three](#a) [four](https://x.org)"
    )
    assert '<a href="/help/admin-guide/imports/#the-end">one</a>' in html
    assert " <strong>two</strong> " in html
    assert '<a href="#a">three</a>' in html
    assert '<a href="https://x.org">four</a>' in html
    assert '<img src="/help/images/a.png" alt="It" />' in read("![It](../images/a.png)")[0]
    assert "<img" not in read("![It](../images/b.png) ![It](https://x.org/a.png)")[0]


def test_sections_have_their_text_and_their_anchor():
    _, sections = read(
        "# A page\n\nFirst\nline.\n\n## Fund/orgs: `x`\n\n- one\n- two\n\n```\ncode  here\n```\n\n### Deep\n"
    )
    assert [(each.heading, each.anchor, each.depth, each.text) for each in sections] == [
        ("A page", "a-page", 1, "First line."),
        ("Fund/orgs: x", "fundorgs-x", 2, "one two code here"),
        ("Deep", "deep", 3, ""),
    ]
