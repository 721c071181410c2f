"""A headless Chromium for real journeys; without one they fail, and say what to install."""

import shutil

import pytest

from tests.test_matrix import house  # noqa: F401 (a fixture)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")


@pytest.fixture(scope="session")
def _chromium(tmp_path_factory, live_server):
    # After the server, so that it ends before it: a server that stops first leaves its connections open.
    if not CHROMIUM or not DRIVER:
        pytest.fail(
            "Install Chromium and chromedriver (Debian: chromium, chromium-driver): the browser tests need them."
        )
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "disable-dev-shm-usage",
        "window-size=1280,900",
        f"user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.implicitly_wait(5)
    yield driver
    driver.quit()


@pytest.fixture
def browser(_chromium):
    """A browser without cookies, whose earlier complaints are forgotten."""
    _chromium.delete_all_cookies()
    _chromium.get_log("browser")
    yield _chromium
    _chromium.get("about:blank")
