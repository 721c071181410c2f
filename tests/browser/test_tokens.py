"""Tokens in a browser: a PI makes one on her phone, a program uses it, and she revokes it; an admin sees them all."""

import os
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from selenium.webdriver.common.by import By

from billing.models import ApiToken
from tests import build

from . import steps
from .pages import color, cut, devices, session, violations, widen
from .steps import complaints

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# Where to keep pictures of the pages for whoever wants to look at them.
PICTURES = os.environ.get("PICTURES", "")


def look(browser, name):
    """Return what is wrong with the page, on a desk and on a phone, light and dark."""
    found = []
    for width in (1440, 390):
        widen(browser, width)
        for theme in ("light", "dark"):
            color(browser, theme)
            found += [f"{name} {width} {theme}: {each}" for each in violations(browser)]
            if PICTURES:
                browser.save_screenshot(str(Path(PICTURES, f"{name}-{width}-{theme}.png")))
        found += [f"{name} {width}: {each}" for each in cut(browser)]
    return found + complaints(browser)


def press(browser, words):
    steps.press(browser, By.XPATH, f"//a[normalize-space()='{words}']|//button[normalize-space()='{words}']")


def asked(secret):
    return Client().get("/api/v1/", headers={"authorization": f"Bearer {secret}"}).status_code


def test_a_pi_makes_a_token_copies_it_and_revokes_it(browser, live_server):
    cast = build.the_cast()
    build.a_token(cast.pi, "an old one")
    with devices(browser):
        session(browser, live_server, cast.pi)
        browser.get(live_server.url + reverse("portal:statements"))
        browser.find_element(By.CSS_SELECTOR, "details.menu summary.caret").click()
        press(browser, "API tokens")
        found = look(browser, "tokens-ended")
        press(browser, "Make a token")
        found += look(browser, "token-make")
        browser.find_element(By.NAME, "name").send_keys("Notebook of the lab with a name that is long")
        press(browser, "Make the token")
        secret = browser.find_element(By.ID, "secret").get_attribute("value")
        found += look(browser, "token-made")
        assert asked(secret) == 200
        press(browser, "I have copied it")
        assert secret not in browser.page_source
        found += look(browser, "tokens")
        steps.press(browser, By.PARTIAL_LINK_TEXT, "Revoke…")
        found += look(browser, "token-revoke")
        steps.press(browser, By.CSS_SELECTOR, "input[type=submit].deletelink")
        assert "was revoked" in browser.find_element(By.CSS_SELECTOR, ".messagelist").text
        assert asked(secret) == 401
    assert not found, "\n".join(found)


def test_an_admin_makes_a_service_token_for_a_project(browser, live_server):
    cast = build.the_cast()
    build.a_token(cast.pi, now=timezone.now())
    build.a_project("genomics")
    with devices(browser):
        session(browser, live_server, cast.admin)
        browser.get(live_server.url + reverse("admin:billing_apitoken_changelist"))
        found = look(browser, "admin-tokens")
        browser.get(live_server.url + reverse("admin:billing_apitoken_add"))
        found += look(browser, "admin-token-add")
        browser.find_element(By.NAME, "name").send_keys("ColdFront")
        day = timezone.localdate().isoformat()
        browser.execute_script(f"document.querySelector('[name=valid_until]').value = '{day}'")
        browser.find_element(By.NAME, "sees_everything").click()
        steps.press(browser, By.NAME, "_save")
        secret = browser.find_element(By.ID, "secret").get_attribute("value")
        found += look(browser, "admin-token-made")
        assert asked(secret) == 200
        press(browser, "I have copied it")
        found += look(browser, "admin-token")
        assert ApiToken.objects.get(kind="service").sees_everything
    assert not found, "\n".join(found)
