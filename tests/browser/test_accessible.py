"""Every page can be used by everybody: WCAG 2.1 A and AA by axe-core, on a phone, and with a quiet console."""

import itertools

import pytest
from django.contrib.auth.tokens import default_token_generator
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from billing import notices
from billing.models import BillingPeriod, Charge, Person, User
from openchargeback import middleware, views
from statements.models import Statement
from tests.openchargeback.test_errors import RAISED
from tests.test_matrix import ACTIONS, PEOPLE, address_of, subject_of, written_down

from .pages import color, cut, devices, session, violations, widen
from .steps import complaints, press

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# Addresses that answer with data or a file.
NO_PAGES = ("json", "csv", "xlsx", "pdf", "pdf/", "file/", "state/", "jsi18n/", "autocomplete/", "name>", "logout/")
MESSAGE = "admin/statements/email/<int:pk>/message"
FILES = (
    *("admin/billing/heldcharge/export/", "admin/billing/heldcharge/suggest/"),
    # What stands in the frame runs no script; tests/browser/test_emails.py looks at it.
    *(f"{MESSAGE}/html/", f"{MESSAGE}/files/<int:number>/"),
)


def pages_of(who, root, begins=""):
    """Return the address of every page that this person may open, by the table of roles and addresses."""
    routes = [
        route
        for route, (get, _) in written_down().items()
        if get[PEOPLE.index(who)] == "o" and route.startswith(begins) and not route.endswith(NO_PAGES)
    ]
    return list(dict.fromkeys(address_of(route, root) for route in routes if route not in FILES))


def faults_of(browser):
    """Return what is wrong with the page that is shown: wide, then on a phone."""
    widen(browser, 1440)
    found = violations(browser)
    widen(browser, 390)
    found += [f"390 px: {each}" for each in cut(browser)]
    # A page that is not there, or is not theirs, says so in the console by itself.
    is_its_own = f"{browser.current_url} - Failed to load resource: the server responded with a status of "
    return found + [said for said in complaints(browser) if not said.startswith(is_its_own)]


def faults(browser, live_server, urls):
    found = {}
    for url in urls:
        browser.get(live_server.url + url)
        if wrong := faults_of(browser):
            found[url] = wrong
    return found


def told(found):
    return "\n".join(f"{url}\n  " + "\n  ".join(wrong) for url, wrong in found.items())


def test_what_is_wrong_with_a_page_is_found(browser, live_server):
    """What the others ask finds an unnamed field, pale text, a wide page, what is cut, and an error of a script."""
    session(browser, live_server, None)
    with devices(browser):
        browser.get(live_server.url + reverse("login"))
        browser.execute_script(
            "const page = document.querySelector('main');"
            "page.insertAdjacentHTML('beforeend', '<input type=text><p id=pale>Pale</p><h2 id=wide>Wide</h2>');"
            "pale.style.color = '#ccc'; wide.style.width = '500px';"
            "const cut = document.createElement('button'); cut.textContent = 'Much to read here';"
            "cut.style = 'width: 40px; overflow: hidden; white-space: nowrap'; page.append(cut);"
            "const over = document.createElement('dd'); over.textContent = 'Much to read';"
            "over.style = 'width: 40px; white-space: nowrap'; page.append(over);"
            "const scrolls = document.createElement('div'); scrolls.innerHTML = '<p>Much to read</p>';"
            "scrolls.style = 'width: 60px; overflow-x: auto; white-space: nowrap'; page.append(scrolls);"
            "console.error('broken');"
        )
        found = faults_of(browser)
    shown = ("390 px: the page is", "cut: button", "over the next cell: dd", "not scrolled by keyboard: div")
    for part in ("label: ", "color-contrast: #pale", *shown, "broken"):
        assert any(part in each for each in found), (part, found)


BILLING = "admin/billing/"


@pytest.mark.parametrize("half", ["a-d", "e-z", "other"])
def test_everybody_can_use_every_page_of_the_staff(browser, live_server, house, half):
    pages = pages_of("admin", house.admin, "admin/")
    models = [url for url in pages if url.startswith("/" + BILLING) and url != "/" + BILLING]
    urls = {
        "a-d": [url for url in models if url[len(BILLING) + 1] <= "d"],
        "e-z": [url for url in models if url[len(BILLING) + 1] > "d"],
        "other": [url for url in pages if url not in models] + ["/admin/nowhere/", "/admin/search/?q=ada"],
    }[half]
    assert len(urls) > 20
    # A long name, as people have.
    User.objects.filter(pk=house.admin.pk).update(first_name="Maximiliane", last_name="von Hohenlohe-Langenburg")
    with devices(browser):
        session(browser, live_server, house.admin)
        found = faults(browser, live_server, urls)
    assert not found, told(found)


def test_everybody_can_use_what_they_may_only_read(browser, live_server, house):
    urls = [url for url in pages_of("viewer", house.admin, "admin/") if url.endswith("/change/")]
    assert len(urls) > 10
    with devices(browser):
        session(browser, live_server, house.viewer)
        found = faults(browser, live_server, [*urls, "/admin/system/"])
    assert not found, told(found)


def test_everybody_can_use_the_portal_the_help_and_the_sign_in(browser, live_server, house):
    key = urlsafe_base64_encode(force_bytes(house.pi.pk))
    reset = reverse("password_reset_confirm", args=[key, default_token_generator.make_token(house.pi)])
    strangers = [url for url in pages_of("nobody", house.admin) if not url.startswith("/admin/")]
    hers = [url for url in pages_of("pi", house.admin) if url not in strangers]
    with devices(browser):
        session(browser, live_server, None)
        found = faults(browser, live_server, [*strangers, reset])
        session(browser, live_server, house.pi)
        found |= faults(browser, live_server, [*hers, "/statements/nowhere/"])
        session(browser, live_server, house.admin)
        found |= faults(browser, live_server, ["/help/", "/help/admin-guide/", "/help/?q=import", "/help/?q=zzz"])
    assert not found, told(found)


def not_understood(browser):
    browser.execute_script("location.assign('/?q=%00')")


def too_large(browser):
    browser.execute_script(
        "const form = document.createElement('form'), file = document.createElement('input');"
        "const chosen = new DataTransfer(); chosen.items.add(new File(['x'.repeat(300000)], 'a.csv'));"
        "form.method = 'post'; form.enctype = 'multipart/form-data';"
        "file.type = 'file'; file.name = 'file'; file.files = chosen.files;"
        "form.append(file); document.body.append(form); form.submit();"
    )


ASKED_OF_THE_DOOR = {"400": not_understood, "413": too_large}


def test_everybody_can_use_the_pages_of_errors(browser, live_server, house, monkeypatch, settings):
    settings.DEBUG = False
    found = {}
    with devices(browser):
        for who, (kind, failure) in itertools.product((house.admin, house.pi), RAISED.items()):

            def fails(*_, failure=failure):
                raise failure

            monkeypatch.setattr(views, "redirect", fails)
            session(browser, live_server, who)
            browser.get(live_server.url + "/")
            assert browser.find_element(By.CSS_SELECTOR, ".error-reference").is_displayed()
            if wrong := faults_of(browser):
                found[f"{kind} for {who}"] = wrong
        monkeypatch.undo()
        monkeypatch.setattr(middleware, "STRANGERS_BYTES", 100_000)
        monkeypatch.setattr(middleware, "PEOPLES_BYTES", 200_000)
        # Refused before any view is asked: an address that no database takes, and more than anybody may send.
        for who, (kind, ask) in itertools.product((house.admin, house.pi), ASKED_OF_THE_DOOR.items()):
            session(browser, live_server, who)
            browser.get(live_server.url + "/help/")
            ask(browser)
            WebDriverWait(browser, 30).until(lambda driver: driver.find_elements(By.CSS_SELECTOR, ".error-reference"))
            if wrong := faults_of(browser):
                found[f"{kind} for {who}"] = wrong
    assert not found, told(found)


# Actions that ask before they do anything, on a page of their own.
ASKING = [each for each in ACTIONS if each.split()[1] not in ("undo", "confirm", "retry_selected", "cancel_selected")]


def test_everybody_can_use_what_asks_before_it_acts(browser, live_server, house):
    found = {}
    with devices(browser):
        session(browser, live_server, house.admin)
        for label, action in map(str.split, ASKING):
            # The queue is in groups first.
            listed = "?view=list" if label == "billing.heldcharge" else ""
            browser.get(live_server.url + reverse(f"admin:{label.replace('.', '_')}_changelist") + listed)
            browser.execute_script(
                "document.querySelector('.action-select').checked = true;"
                "document.querySelector('#changelist-form [name=action]').value = arguments[0];"
                "document.querySelector('#changelist-form').requestSubmit("
                "document.querySelector('.actions button[name=index]'));",
                action,
            )
            if wrong := faults_of(browser):
                found[f"{label} {action}"] = wrong
    assert not found, told(found)


def test_everybody_can_use_a_form_that_was_refused(browser, live_server, house):
    adds = [url for url in pages_of("admin", house.admin, "admin/") if url.endswith("/add/")]
    found = {}
    with devices(browser):
        session(browser, live_server, house.admin)
        for url in adds:
            browser.get(live_server.url + url)
            press(browser, By.CSS_SELECTOR, "input[type=submit].default")
            if wrong := faults_of(browser):
                found[url] = wrong
    assert not found, told(found)


# The page templates, each by one of its pages, and by whom it is opened.
TEMPLATES = {
    "board": ("admin", lambda house: reverse("admin:index")),
    "worklist": ("admin", lambda house: reverse("admin:billing_charge_changelist")),
    "record": ("admin", lambda house: reverse("admin:billing_charge_change", args=[Charge.objects.earliest("pk").pk])),
    "decide": (
        "admin",
        lambda house: reverse(
            "admin:billing_billingperiod_close", args=[subject_of(BillingPeriod, house.admin, "close")]
        ),
    ),
    "form": (
        "admin",
        lambda house: reverse("admin:billing_person_change", args=[Person.objects.get(email="ada@u.edu").pk]),
    ),
    "portal": ("pi", lambda house: reverse("portal:statements")),
    "statement": (
        "pi",
        lambda house: reverse("portal:statement", args=[Statement.objects.filter(pi__email="ada@u.edu").first()]),
    ),
    "sign-in": (None, lambda house: reverse("login")),
    "help": ("pi", lambda house: "/help/user-guide/portal/"),
    "error": ("pi", lambda house: "/statements/nowhere/"),
}


def test_everybody_can_use_the_page_templates_light_and_dark_at_every_width(
    browser,
    live_server,
    house,
    monkeypatch,
):
    monkeypatch.setattr(notices, "_checks", {})
    found = {}
    with devices(browser):
        for name, (who, address) in TEMPLATES.items():
            session(browser, live_server, who and getattr(house, who))
            browser.get(live_server.url + address(house))
            for theme in ("light", "dark"):
                color(browser, theme)
                for width in (1440, 1024, 390):
                    widen(browser, width)
                    if wrong := violations(browser) + cut(browser):
                        found[f"{name}, {theme}, {width} px"] = wrong
    assert not found, told(found)
