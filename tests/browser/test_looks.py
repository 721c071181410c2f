"""What a page looks like where a style sheet went wrong before: measured in a browser, wide and narrow."""

from contextlib import contextmanager

import pytest
from django.urls import reverse
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from billing import notices
from billing.models import AttributionRule, Charge, CloudAccount
from journals import posting
from journals.models import Journal
from statements import issuing
from statements.models import Email
from tests import build

from .pages import cut, session
from .steps import sign_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

OUTPUT = ("statements_statement", "journals_journal")
LONG = "a-project-code-of-ninety-one-characters-" + "x" * 51


@contextmanager
def wide(browser, width):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 700}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


MESSAGES = """
document.querySelector("#content-start").insertAdjacentHTML("afterbegin", '<ul class="messagelist">' +
  ["success", "info", "warning", "error"].map(level => `<li class="${level}">Text</li>`).join("") + "</ul>");
return [...document.querySelectorAll(".messagelist li")].map(each => {
  const mark = getComputedStyle(each, "::before"), text = getComputedStyle(each).paddingLeft;
  return [each.className, parseFloat(mark.left) + parseFloat(mark.width), parseFloat(text)];
});
"""
SELECTS = """
return [...document.querySelectorAll("select:not([multiple])")].filter(each => each.offsetHeight).map(each => {
  const style = getComputedStyle(each), rest = ["paddingTop", "paddingBottom", "borderTopWidth", "borderBottomWidth"];
  const room = each.offsetHeight - rest.reduce((sum, name) => sum + parseFloat(style[name]), 0);
  return [each.name, room, 1.3 * parseFloat(style.fontSize)];
});
"""
FILTERS = """
return [...document.querySelectorAll("#changelist-filter details")].map(each => {
  each.open = true;
  const last = each.querySelector("li:last-child a");
  last.scrollIntoView({block: "center"});
  const box = last.getBoundingClientRect();
  const at = document.elementFromPoint(box.left + 3, box.top + box.height / 2);
  each.open = false;
  return [last.textContent, last.contains(at) && box.left >= 0 && box.right <= innerWidth];
});
"""
HEADS = """
return [...document.querySelectorAll(".head :is(h1, a), .top :is(summary, input, button), .chips :is(summary, input)")]
  .filter(each => each.offsetWidth && !each.closest(".pane")).map(each => each.getBoundingClientRect())
  .filter(box => box.left < 0 || box.right > innerWidth).length;
"""
TABLE = "return document.querySelector('.results').getBoundingClientRect().top;"


def list_of(page):
    """Return the address of a list of the admin; the queue shows groups where it is not asked for the list."""
    address = reverse(f"admin:billing_{page}_changelist")
    return f"{address}?view=list" if page == "heldcharge" else address


@pytest.mark.parametrize("width", [390, 900, 1440])
def test_nothing_covers_or_cuts_what_is_written(browser, live_server, width):
    build.the_cast()
    build.a_charge(flags=("missing_pi",))
    sign_in(browser, live_server, "root")
    with wide(browser, width):
        browser.get(live_server.url + reverse("admin:billing_heldcharge_changelist"))
        assert browser.execute_script(HEADS) == 0
        queue = list_of("heldcharge")
        browser.get(live_server.url + queue)
        assert browser.execute_script(HEADS) == 0
        filters = browser.execute_script(FILTERS)
        assert len(filters) >= 4
        assert all(reached for _, reached in filters), filters
        for page in (queue, reverse("admin:billing_attributionrule_add")):
            browser.get(live_server.url + page)
            selects = browser.execute_script(SELECTS)
            assert selects
            assert all(room >= line for _, room, line in selects), selects
        for level, icon_ends, text_begins in browser.execute_script(MESSAGES):
            assert icon_ends < text_begins, level


CHOSEN = """
const menu = document.querySelector("#changelist-filter details[data-filter-title=department]");
const chosen = menu.querySelector("li.selected");
const box = chosen.getBoundingClientRect(), frame = chosen.closest("ul").getBoundingClientRect();
return [chosen.textContent.trim(), frame.top - 1 <= box.top && box.bottom <= frame.bottom + 1];
"""


def test_a_name_in_another_script_is_drawn_in_its_field_once_its_font_is_there(browser, live_server):
    build.the_cast()
    pi = build.a_pi("lin@u.edu", name="\u6797\u6653\u96ef")
    sign_in(browser, live_server, "root")
    browser.get(live_server.url + reverse("admin:billing_person_change", args=[pi.pk]))
    weight = "return [...document.querySelectorAll('#id_name, #id_email')].map(each => Number(each.style.fontWeight))"
    # Only a font that changes is drawn anew; letters that every device has stay as they are.
    WebDriverWait(browser, 5).until(lambda _: browser.execute_script(weight)[1] > 400)
    assert browser.execute_script(weight)[0] == 0


@pytest.mark.parametrize("width", [390, 1440])
def test_the_department_that_is_chosen_is_in_sight(browser, live_server, width):
    build.the_cast()
    for number in range(20):
        last = build.a_department(f"D{number:02}")
        build.a_pi(f"pi{number}@u.edu", department=last)
    sign_in(browser, live_server, "root")
    with wide(browser, width):
        browser.get(f"{live_server.url}{reverse('admin:billing_person_changelist')}?department={last.pk}")
        browser.find_element(By.CSS_SELECTOR, "[data-filter-title=department] summary").click()
        WebDriverWait(browser, 5).until(lambda _: browser.execute_script(CHOSEN) == ["D19", True])


@pytest.mark.parametrize("width", [390, 1440])
def test_a_long_project_code_leaves_the_amounts_in_sight(browser, live_server, width):
    build.the_cast()
    build.a_project(LONG)
    build.a_charge(project=LONG, flags=("missing_pi",))
    sign_in(browser, live_server, "root")
    with wide(browser, width):
        browser.get(live_server.url + list_of("heldcharge").removesuffix("?view=list"))
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        for page in ("project", "heldcharge", "charge"):
            browser.get(live_server.url + list_of(page))
            widest = browser.execute_script(
                "return Math.max(...[...document.querySelectorAll('#result_list td')].map(each => each.offsetWidth))"
            )
            assert widest < (260 if width == 390 else 420), page
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width, page


@pytest.mark.parametrize("width", [390, 1024, 1440])
def test_long_addresses_and_codes_stay_in_their_columns(browser, live_server, width):
    build.the_cast()
    pi = build.a_pi(f"bartholomew.{'x' * 40}.featherstonehaugh@{'y' * 60}.u.edu", name=f"Bartholomew {'z' * 40}")
    fund = f"4710-{'0' * 50}"
    build.a_fund(fund)
    project = build.a_project(LONG, pi=pi, name="Long", department=build.a_department("CHEM"), default_fund_org=fund)
    owner = {"default_pi": pi, "default_project": project, "default_fund_org": fund}
    CloudAccount.objects.create(source=build.a_source("aws"), account_id="1" * 60, **owner)
    AttributionRule.objects.create(sub_account="1" * 60, pi=pi, project=project, fund_org=fund)
    charge = {"pi": pi.email, "project": LONG, "fund_org": fund}
    build.a_charge(**charge, flags=("missing_pi",))
    build.a_charge(**charge)
    issuing.generate(period=build.a_period(), actor=build.SOMEBODY, now=build.NOW)
    posting.draft(period=build.a_period(), actor=build.SOMEBODY, now=build.NOW)
    sign_in(browser, live_server, "root")
    lists = ("person", "project", "fundingsource", "cloudaccount", "attributionrule", "charge", "heldcharge")
    pages = [*map(list_of, lists), *(reverse(f"admin:{each}_changelist") for each in OUTPUT)]
    found = []
    with wide(browser, width):
        for page in pages:
            browser.get(live_server.url + page)
            found += [f"{page}: {each}" for each in cut(browser)]
    assert found == []


def test_names_of_either_direction_keep_their_places(browser, live_server):
    build.the_cast()
    build.a_pi("layla@u.edu", name="ليلى الحداد")
    sign_in(browser, live_server, "root")
    with wide(browser, 1440):
        browser.get(live_server.url + reverse("admin:billing_person_changelist"))
        isolated = browser.execute_script(
            "return ['.who', '#result_list a'].map(each => getComputedStyle(document.querySelector(each)).unicodeBidi)"
        )
    assert isolated == ["isolate", "isolate"]


NAMES = {
    "Chinese": "林晓雯樂學神",
    "of its extensions": "㐂㒰䶮𠮷𡈽",
    "Japanese": "佐藤美咲カタカナひらがなｶﾅー「」、。",
    "Korean": "김민준박서연",
    "Arabic": "يوسف",
    "Hebrew": "חישוב",
    "Hindi": "देवनागरी",
    "Thai": "ภาษาไทย",
    "Odia": "ଓଡ଼ିଆ",
    "Tibetan": "བོད",
    "Syriac": "ܣܘܪ",
    "Thaana": "ދިވެހި",
    "Cherokee": "ᏣᎳᎩ",
    "Greek, Cyrillic and Czech": "ΩΨЩЖřň",
}
# What of a text the font of an element draws as it draws a character that nobody assigned, or not at all.
BOXES = """
const [tag, text, done] = arguments, style = getComputedStyle(
  document.querySelector(tag) || document.querySelector("main").appendChild(document.createElement(tag)));
const font = `${style.fontWeight} 32px ${style.fontFamily}`;
const drawn = each => {
  const canvas = document.createElement("canvas"), brush = canvas.getContext("2d");
  canvas.width = canvas.height = 64;
  brush.font = font;
  brush.fillText(each, 8, 44);
  return canvas.toDataURL();
};
document.fonts.load(font, text).then(() => {
  const boxes = ["\\u0378", "\\u{2FE0F}", " "].map(drawn);
  done([...text].filter(each => boxes.includes(drawn(each))).join(" "));
}).catch(error => done(String(error)));
"""


FIELD = "input:not([type=hidden])"


def test_names_in_any_script_are_no_boxes_on_a_device_without_their_letters(browser, live_server):
    """Of text, headings, fields and codes, in the portal and the admin: what a device lacks comes from the site."""
    cast = build.the_cast()
    build.a_charge()
    issuing.generate(period=build.a_period(), actor=build.SOMEBODY, now=build.NOW)
    charge = reverse("admin:billing_charge_change", args=[Charge.objects.get().pk])
    pages = (
        (cast.admin, charge, ("body", "h1", FIELD, "code")),
        (cast.pi, reverse("portal:statements"), ("body", "h1", FIELD, "select", "th")),
    )
    found = []
    for user, page, elements in pages:
        session(browser, live_server, user)
        browser.get(live_server.url + page)
        for element in elements:
            boxes = browser.execute_async_script(BOXES, element, "".join(NAMES.values()))
            found += [f"{page} {element}: {boxes}"] if boxes else []
    assert not found, "\n".join(found)


WIDTHS = """
const name = arguments[0], done = arguments[1], range = document.createRange(), found = [];
document.fonts.ready.then(() => setTimeout(() => {
  const texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const at = texts.currentNode.data.indexOf(name);
    if (at < 0) continue;
    range.setStart(texts.currentNode, at);
    range.setEnd(texts.currentNode, at + name.length);
    const size = parseFloat(getComputedStyle(texts.currentNode.parentElement).fontSize);
    found.push(range.getBoundingClientRect().width / size);
  }
  done(found.filter(Boolean));
}, 100));
"""


def test_a_name_that_a_font_came_for_stays_no_boxes(browser, live_server):
    """Each Chinese letter is as wide as it is high; the box of a device without it is narrower."""
    cast = build.the_cast()
    lin = build.a_pi("lin@u.edu", name="林晓雯")
    Email.objects.create(
        period=build.a_period(), pi=lin, recipient="lin@u.edu", subject="January", created_at=build.NOW
    )
    session(browser, live_server, cast.admin)
    browser.execute_cdp_cmd("Network.clearBrowserCache", {})
    for _ in range(2):
        browser.get(live_server.url + reverse("admin:statements_email_changelist"))
        found = browser.execute_async_script(WIDTHS, "林晓雯")
        assert {round(each, 2) for each in found} == {3.0}


def test_the_table_of_a_worklist_begins_within_the_first_220_pixels(browser, live_server, monkeypatch):
    monkeypatch.setattr(notices, "_checks", {})
    build.the_cast()
    build.a_charge(flags=("missing_pi",))
    build.a_charge()
    sign_in(browser, live_server, "root")
    with wide(browser, 1440):
        for page in ("heldcharge", "charge", "person", "import"):
            browser.get(live_server.url + list_of(page))
            assert browser.execute_script(TABLE) <= 220, page
        issuing.generate(period=build.a_period(), actor=build.SOMEBODY, now=build.NOW)
        browser.get(live_server.url + reverse("admin:statements_statement_changelist"))
        assert browser.execute_script(TABLE) <= 220


NEXT_STEP = """
const box = document.querySelector("#next-steps .notice").getBoundingClientRect();
return box.height > 0 && box.top >= 0 && box.bottom <= innerHeight;
"""


def test_the_table_of_journals_begins_there_too_and_what_is_next_stays_in_sight(browser, live_server, monkeypatch):
    monkeypatch.setattr(notices, "_checks", {})
    build.the_cast()
    for month in ("2024-12", "2025-01"):
        build.a_charge("30.50", period=month)
        posting.export(period=build.a_period(month), format="gl", actor=build.SOMEBODY, now=build.NOW)
    build.a_charge("1000.00", service_name="Network")
    sign_in(browser, live_server, "fay")
    for width in (390, 1440):
        with wide(browser, width):
            for query in ("?period=2025-01", "?period=all"):
                browser.get(live_server.url + reverse("admin:journals_journal_changelist") + query)
                assert browser.execute_script(NEXT_STEP), (width, query)
                assert width < 700 or browser.execute_script(TABLE) <= 220, query
                # The lists beside this one, and all else, fit the window.
                assert cut(browser) == [], (width, query)
            # Several months are one line that opens.
            browser.find_element(By.CSS_SELECTOR, "#next-of-months > summary").click()
            opened = browser.find_element(By.ID, "next-of-months").text
            assert "December 2024" in opened
            assert "January 2025" in opened
            assert browser.execute_script(NEXT_STEP)


BEHIND = """
return [...document.querySelectorAll(".as-cards td.num")].filter(each => {
  const box = each.getBoundingClientRect(), {position} = getComputedStyle(each);
  return each.textContent.trim() && box.width && (position === "sticky" || box.right > innerWidth);
}).map(each => each.textContent.trim());
"""


def test_a_phone_shows_debit_and_credit_and_who_paid_for_a_resource_whole(browser, live_server):
    build.the_cast()
    charge = build.a_charge("30.50", resource_id="vm-1")
    posting.export(period=build.a_period(), format="gl", actor=build.SOMEBODY, now=build.NOW)
    sign_in(browser, live_server, "fay")
    journal = reverse("admin:journals_journal_change", args=[Journal.objects.get().pk])
    resource = reverse("admin:billing_charge_resource", args=[charge.source.name, charge.resource_key])
    with wide(browser, 390):
        for page in (f"{journal}?tab=lines", resource):
            browser.get(live_server.url + page)
            assert browser.find_elements(By.CSS_SELECTOR, ".as-cards td.num")
            assert browser.execute_script(BEHIND) == [], page


ACCENTED = """
return [...document.querySelectorAll("main :is(a, button, input[type=submit])")]
  .filter(each => each.offsetWidth && getComputedStyle(each).backgroundColor === "rgb(15, 118, 110)")
  .map(each => each.textContent || each.value);
"""


@pytest.mark.parametrize("page", ["admin:index", "admin:billing_import_changelist", "admin:billing_person_add"])
def test_a_page_has_one_primary_action_at_most(browser, live_server, page):
    build.the_cast()
    build.a_charge(flags=("missing_pi",))
    sign_in(browser, live_server, "root")
    browser.get(live_server.url + reverse(page))
    assert len(browser.execute_script(ACCENTED)) <= 1
