"""What is asked of a page as it stands in the browser: that everybody can use it, and that it fits its window."""

from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.test import Client
from django.urls import reverse
from selenium.webdriver.support.ui import WebDriverWait

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")

# Every violation of WCAG 2.1 A and AA that axe-core finds, with what of the page it is and how it is mended.
VIOLATIONS = """
const done = arguments[0];
document.querySelectorAll("details:not(.menu)").forEach(each => each.open = true);
axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], resultTypes: ["violations"], preload: false})
  .then(found => done(found.violations.flatMap(each =>
    each.nodes.slice(0, 5).map(node => `${each.id}: ${node.target.join(" ")}: ${node.failureSummary}`))))
  .catch(error => done([String(error)]));
"""
# What reaches out of the window to a side, or of its own box. What scrolls sideways by itself may be wider; the last
# amount of each of its rows may not be out of sight.
CUT = """
const edge = document.documentElement.clientWidth, found = [], said = each =>
  `${each.tagName.toLowerCase()}.${each.className}: ${(each.value || each.textContent || "").trim().slice(0, 60)}`;
const isSeen = each => each.checkVisibility({visibilityProperty: true}) && each.getClientRects().length &&
  !each.closest(".visually-hidden, .skip, #result_list thead");
const isOut = box => box.left < -1 || box.right > edge + 1;
const scrolls = each => ["auto", "scroll"].includes(getComputedStyle(each).overflowX);
const scroller = each => { while ((each = each.parentElement)) if (scrolls(each)) return each; };
if (document.documentElement.scrollWidth > edge)
  found.push(`the page is ${document.documentElement.scrollWidth} px wide`);
const kinds = "h1, h2, h3, a, button, summary, label, input:not([type=hidden]), select, textarea, th, .amount, .badge";
for (const each of document.querySelectorAll(kinds)) {
  if (!isSeen(each)) continue;
  if (isOut(each.getBoundingClientRect()) && !scroller(each)) found.push(`out of the window: ${said(each)}`);
  const hides = getComputedStyle(each).overflowX === "hidden" && !each.matches("input, select, textarea");
  if (hides && each.scrollWidth > each.clientWidth + 1) found.push(`cut: ${said(each)}`);
}
// A cell whose text would lie over the next one.
for (const each of document.querySelectorAll("td, tbody th, dd"))
  if (isSeen(each) && getComputedStyle(each).overflowX === "visible" && each.scrollWidth > each.clientWidth + 1)
    found.push(`over the next cell: ${said(each)}`);
// What scrolls sideways, and nobody without a mouse gets there: neither it nor anything in it takes the keyboard.
for (const each of document.querySelectorAll("div, section, pre, ul")) {
  if (!isSeen(each) || !scrolls(each) || each.scrollWidth <= each.clientWidth + 1) continue;
  const stops = each.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]");
  if (each.tabIndex < 0 && ![...stops].some(isSeen))
    found.push(`not scrolled by keyboard: ${said(each)}`);
}
// Words that a field shows until somebody types.
const brush = document.createElement("canvas").getContext("2d");
for (const each of document.querySelectorAll("[placeholder]")) {
  if (!isSeen(each) || each.value) continue;
  const {font, paddingLeft, paddingRight} = getComputedStyle(each);
  brush.font = font;
  const room = each.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight);
  if (brush.measureText(each.placeholder).width > room + 1) found.push(`cut: ${each.placeholder}`);
}
for (const row of document.querySelectorAll("tr")) {
  const last = [...row.querySelectorAll(':scope > :is(.num, .amount, [class*="_amount"])')].pop();
  const isHidden = last && isSeen(last) && scroller(last) && isOut(last.getBoundingClientRect());
  if (isHidden) found.push(`amount out of sight: ${said(last)}`);
  // One that stays while the rest is scrolled past it lies over what is there before anybody scrolls.
  if (!last || !isSeen(last) || getComputedStyle(last).position !== "sticky") continue;
  const over = last.getBoundingClientRect();
  for (const each of row.querySelectorAll(':scope > :is(.num, .amount, [class*="_amount"])')) {
    const box = each.getBoundingClientRect(), middle = (box.left + box.right) / 2;
    if (each !== last && isSeen(each) && over.left < middle && middle < over.right)
      found.push(`amount covered: ${said(each)}`);
  }
}
return found;
"""


@contextmanager
def devices(browser):
    """Show pages as on devices of other sizes and colors; afterwards as before."""
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def widen(browser, width, height=900):
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def color(browser, theme):
    """Have the device prefer light or dark, and wait until the page follows."""
    feature = {"name": "prefers-color-scheme", "value": theme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    shown = "return document.documentElement.dataset.theme"
    WebDriverWait(browser, 5, poll_frequency=0.02).until(lambda _: browser.execute_script(shown) in (theme, None))


def session(browser, live_server, user):
    """Sign in as a user, or nobody, without the page for it."""
    browser.get(live_server.url + reverse("login"))
    browser.delete_all_cookies()
    if user:
        client = Client()
        client.force_login(user)
        value = client.cookies[settings.SESSION_COOKIE_NAME].value
        browser.add_cookie({"name": settings.SESSION_COOKIE_NAME, "value": value})


def violations(browser):
    """Return what axe-core finds; it is put into the page past the page's own Content-Security-Policy."""
    if not browser.execute_script("return Boolean(window.axe)"):
        browser.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE})
    return browser.execute_async_script(VIOLATIONS)


def cut(browser):
    return browser.execute_script(CUT)
