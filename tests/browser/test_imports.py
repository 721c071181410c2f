"""Staff import several files: dropped at once, mended where one is wrong, and followed until the result is there."""

import pytest
from django.urls import reverse
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from billing.background import working
from billing.models import Charge, Import, Job
from tests import build
from tests.test_pages import UPLOAD

from .steps import ASKED, complaints, press, sign_in, unseen, until, without_script, work, work_unseen

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

HEAD = "BilledCost,BillingPeriodStart,ChargePeriodStart,ResourceId,ServiceName\n"
SOURCES = ("ai", "aws", "azure", "gcp", "hpc", "storage")


@pytest.fixture
def files(tmp_path):
    """Six files as they come: one with a typo in line 3, one whose name says nothing."""
    folder = tmp_path / "files"
    folder.mkdir()
    for number, name in enumerate(SOURCES, start=1):
        amount = '"1.204,50"' if name == "storage" else f"{number}.50"
        row = f"2025-01-01,2025-01-02,{name}-1,{name} service"
        (folder / f"{name}_2025-01.csv").write_text(f"{HEAD}1,{row}\n{amount},{row}\n")
    (folder / "ai_2025-01.csv").rename(folder / "export(3).csv")
    return folder


@pytest.fixture
def reviewer(browser, live_server):
    build.the_cast()
    for name in SOURCES:
        build.a_source(name)
    sign_in(browser, live_server, "rex")
    return browser


def row_of(browser, name):
    return browser.find_element(By.XPATH, f"//tr[.//span[@class='file-name'][.='{name}']]")


def states(browser):
    return [each.text for each in browser.find_elements(By.CSS_SELECTOR, "[id^=state-] .badge")]


def paths(folder, *names):
    return "\n".join(str(folder / name) for name in names) if names else "\n".join(map(str, sorted(folder.iterdir())))


def correct(folder, name="storage_2025-01.csv"):
    path = folder / name
    path.write_text(path.read_text().replace('"1.204,50"', "1204.50"))


# What a person drops from a window of files.
DROP = """
const moved = new DataTransfer(), as = {dataTransfer: moved, bubbles: true, cancelable: true};
arguments[0].forEach(([name, text]) => moved.items.add(new File([text], name, {type: "text/csv"})));
document.querySelector("h1").dispatchEvent(new DragEvent("drop", as));
"""


def test_six_files_are_dropped_checked_mended_and_imported(reviewer, live_server, files):
    browser = reviewer
    browser.get(live_server.url + UPLOAD)
    # They may land anywhere on the page, and are checked without a further click.
    browser.execute_script(DROP, [[each.name, each.read_text()] for each in sorted(files.iterdir())])
    until(browser, lambda: len(states(browser)) == 6)
    assert states(browser) == ["Checking", "Checking", "Waits for you", "Checking", "Checking", "Checking"]
    browser.execute_script("window.stays = true")

    # How far the check has come is seen as it goes.
    check = Job.objects.get()
    mark = working.begin(f"job-{check.pk}")
    said = "Reading rows of aws_2025-01.csv: 1,204 of 1,900 (63%)"
    with unseen(browser):
        Job.objects.update(state=Job.State.RUNNING, done=1204, total=1900, message=said)
    until(browser, lambda: said in row_of(browser, "aws_2025-01.csv").text)
    with unseen(browser):
        Job.objects.update(state=Job.State.QUEUED, message="")
        mark.release()
        work()
    until(browser, lambda: states(browser).count("Ready") == 4)

    # The typo is caught by line and column; of the file without a source one is chosen, and it is checked in place.
    broken = row_of(browser, "storage_2025-01.csv")
    assert "Line 3, column BilledCost: “1.204,50” is formatted for people." in broken.text
    assert "Correct the file and drop it here again." in broken.text
    assert browser.find_element(By.ID, "import-files").text == "Import 4 files"
    nameless = row_of(browser, "export(3).csv")
    Select(nameless.find_element(By.TAG_NAME, "select")).select_by_visible_text("AI")
    nameless.find_element(By.CSS_SELECTOR, "input[type=text]").send_keys("2025-0l\t")
    until(browser, lambda: "“2025-0l” is not a billing period" in row_of(browser, "export(3).csv").text)
    period = row_of(browser, "export(3).csv").find_element(By.CSS_SELECTOR, "input[type=text]")
    period.clear()
    period.send_keys("2025-01\t")
    until(browser, lambda: "Checking" in states(browser))
    work_unseen(browser)
    until(browser, lambda: browser.find_element(By.ID, "import-files").text == "Import 5 files")
    assert browser.execute_script("return window.stays")

    # The corrected file takes the place of the broken one.
    correct(files)
    browser.find_element(By.NAME, "files").send_keys(paths(files, "storage_2025-01.csv"))
    until(browser, lambda: "Checking" in states(browser))
    work_unseen(browser)
    until(browser, lambda: states(browser) == ["Ready"] * 6)
    assert browser.find_element(By.ID, "import-files").text == "Import 6 files"

    # One click imports all of them; the page of the job follows it and then says what came of it.
    browser.find_element(By.ID, "import-files").click()
    until(browser, lambda: "/job/" in browser.current_url)
    job = Job.objects.get(arguments__dry_run=False)
    assert len(job.arguments["imports"]) == 6
    work_unseen(browser)
    until(browser, lambda: browser.find_element(By.CSS_SELECTOR, "#job-lead .said").text == "6 imports done.")
    held = Charge.objects.held().count()
    assert held == 12
    results = browser.find_element(By.ID, "job-results").text
    assert "Added 2 charges: +1,205.50 USD." in results
    step = browser.find_element(By.CSS_SELECTOR, "#job-lead .button.default")
    assert step.text == "12 held: review them"
    assert "12 held: review them" in step.text
    press(browser, By.CSS_SELECTOR, "#job-lead .button.default")
    assert "period=2025-01" in browser.current_url
    assert "12 charges" in browser.find_element(By.CSS_SELECTOR, ".sub").text

    # The page of one of them leads to what is held of it alone.
    one = Import.objects.get(source__name="storage")
    browser.get(live_server.url + reverse("admin:billing_import_change", args=[one.pk]))
    assert browser.find_element(By.CSS_SELECTOR, "#import-lead .big").text == "1,205.50 USD"
    press(browser, By.LINK_TEXT, "2 held: review them")
    assert len(browser.find_elements(By.CSS_SELECTOR, "#result_list tbody tr")) == 2
    assert complaints(browser) == []


def test_the_same_without_script(reviewer, live_server, files):
    browser = reviewer
    without_script(browser)
    try:
        browser.get(live_server.url + UPLOAD)
        browser.find_element(By.NAME, "files").send_keys(paths(files))
        press(browser, By.CSS_SELECTOR, "input[value=Upload]")
        assert len(states(browser)) == 6
        work()
        Select(row_of(browser, "export(3).csv").find_element(By.TAG_NAME, "select")).select_by_visible_text("AI")
        press(browser, By.ID, "check-again")
        work()
        press(browser, By.ID, "check-again")
        assert sorted(states(browser)) == ["Broken", *["Ready"] * 5]
        assert "Line 3, column BilledCost" in row_of(browser, "storage_2025-01.csv").text
        correct(files)
        browser.find_element(By.NAME, "files").send_keys(paths(files, "storage_2025-01.csv"))
        press(browser, By.CSS_SELECTOR, "input[value='Add files']")
        press(browser, By.ID, "import-files")
        job = Job.objects.get(arguments__dry_run=False)
        assert f"/job/{job.pk}/" in browser.current_url
        press(browser, By.LINK_TEXT, "Refresh")
        work()
        press(browser, By.LINK_TEXT, "Refresh")
        assert browser.find_element(By.CSS_SELECTOR, "#job-lead .said").text == "6 imports done."
        press(browser, By.LINK_TEXT, "12 held: review them")
        assert "12 charges" in browser.find_element(By.CSS_SELECTOR, ".sub").text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_the_list_of_imports_follows_what_runs_and_rests_when_nobody_looks(reviewer, live_server):
    browser = reviewer
    job = Job.objects.create(kind=Job.Kind.IMPORT, state=Job.State.RUNNING, created_at=build.NOW, message="Matching")
    mark = working.begin(f"job-{job.pk}")
    browser.get(live_server.url + reverse("admin:billing_import_changelist"))
    assert "Matching" in browser.find_element(By.ID, "running").text
    until(browser, lambda: browser.execute_script(ASKED) > 0)
    # Hidden, the page asks for nothing; back in sight, it is brought up to date at once.
    with unseen(browser):
        count = browser.execute_script(ASKED)
        browser.execute_async_script("setTimeout(arguments[0], 2500)")
        assert browser.execute_script(ASKED) == count
        Job.objects.update(state=Job.State.DONE, message="Done.", finished_at=build.NOW)
        mark.release()
    until(browser, lambda: not browser.find_element(By.ID, "running").text)
    # What is over is not asked about any more.
    count = browser.execute_script(ASKED)
    browser.execute_async_script("setTimeout(arguments[0], 2500)")
    assert browser.execute_script(ASKED) == count
    assert complaints(browser) == []
