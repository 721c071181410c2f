"""Time the pages that staff open most, on the database of DATABASE_URL: `pages.py FILE MONTH`, in a checkout.

With --addresses it prints those and every other main page as JSON, with the cookie of somebody who may see them.

FILE is the CSV that was imported: what is searched for stands in its first row. Pages are asked for by address and
query string only, so that the same script measures any way of storing charges. Prints JSON: page -> seconds of the
first request, and the median of five after it.
"""

import csv
import json
import os
import re
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    from django.test import Client

TIMES = 5
CHARGES, QUEUE = "/admin/billing/charge/", "/admin/billing/heldcharge/"


class NotShown(Exception):
    """A page answered otherwise than with itself."""


def client() -> "Client":
    """Return a test client with the login of somebody who may see everything."""
    sys.path.insert(0, os.getcwd())
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "openchargeback.settings")
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.test import Client

    users: Any = get_user_model().objects
    staff = users.filter(is_superuser=True).first() or users.create_superuser("bench", "bench@bench.example")
    browser = Client(SERVER_NAME="localhost")
    browser.force_login(staff)
    return browser


def shown(browser: "Client", address: str) -> tuple[float, str]:
    """Return how long a page took, and its HTML. Raises NotShown where it is another."""
    started = time.perf_counter()
    response = browser.get(address, secure=True)
    body = b"".join(response.streaming_content) if response.streaming else response.content  # type: ignore[attr-defined]
    took = time.perf_counter() - started
    if response.status_code != 200:
        raise NotShown(f"{address} answered with {response.status_code} {response.headers.get('Location', '')}.")
    return took, body.decode()


def key_of(browser: "Client", model: str, words: str) -> str:
    """Return the key of the only object of a list that a search finds."""
    address = f"/admin/billing/{model}/?{urlencode({'q': words})}"
    found = set(re.findall(rf"/admin/billing/{model}/(\d+)/change/", shown(browser, address)[1]))
    if len(found) != 1:
        raise NotShown(f"{address} leads to {len(found)} objects.")
    return found.pop()


def source_key(browser: "Client") -> str:
    """Return the key of the source of the charge that the list shows first, as its filter offers it."""
    page = shown(browser, CHARGES)[1]
    field = re.search(r'<select name="source__id__exact".*?</select>', page, re.DOTALL)
    keys = set(re.findall(r'value="(\d+)"', field[0])) if field else set()
    for key in sorted(keys, key=int):
        address = f"{CHARGES}?source__id__exact={key}"
        if re.search(r"/admin/billing/charge/\d+/change/", shown(browser, address)[1]):
            return key
    raise NotShown(f"{CHARGES} offers no source that has charges.")


def pages_of(browser: "Client", row: dict[str, str], month: str) -> dict[str, str]:
    """Return page -> address."""
    tags = json.loads(row["Tags"])
    source = source_key(browser)
    narrowed = {
        "source": {"source__id__exact": source},
        "month": {"period": month},
        "state held": {"state__exact": "held"},
        "state clear": {"state__exact": "clear"},
        "project": {"project__id__exact": key_of(browser, "project", tags["project_id"])},
        "reason": {"reason": "missing_pi"},
        "amount": {"amount_from": "1000"},
        "who pays": {"payer": "no-pi"},
        "in force": {"standing": "live"},
    }
    searched = {
        "PI": tags["pi_email"],
        "resource": row["ResourceId"],
        "service": row["ServiceName"],
        "SKU": row["SkuId"],
        "account": row["SubAccountId"],
        "tag text": tags["Name"],
        "nothing there": "no-such-text",
    }
    queue = {
        "month": {"period": month},
        "reason": {"reason": "missing_pi"},
        "source": {"source__id__exact": source},
        "amount": {"amount": "tens"},
        "who pays": {"payer": "no-pi"},
        "search for a resource": {"q": row["ResourceId"]},
    }
    return {
        "dashboard": "/admin/",
        "charges": CHARGES,
        **{f"charges by {name}": f"{CHARGES}?{urlencode(query)}" for name, query in narrowed.items()},
        **{f"charges, search for {name}": f"{CHARGES}?{urlencode({'q': words})}" for name, words in searched.items()},
        "review queue": QUEUE,
        **{f"review queue by {name}": f"{QUEUE}?{urlencode(query)}" for name, query in queue.items()},
    }


def main_pages(browser: "Client", month: str) -> dict[str, str]:
    """Return page -> address of the main pages besides those of `pages_of`: lists, and the first object of each."""
    lists = {
        "trends": "/admin/trends/",
        "imports": "/admin/billing/import/",
        "corrections": "/admin/billing/correction/",
        "statements": f"/admin/statements/statement/?period={month}",
        "e-mails": "/admin/statements/email/",
        "journals": "/admin/journals/journal/",
        "people": "/admin/billing/person/",
        "projects": "/admin/billing/project/",
        "funds": "/admin/billing/fundingsource/",
        "rules": "/admin/billing/attributionrule/",
        "sources": "/admin/billing/source/",
        "activity": "/admin/billing/auditevent/",
        "months": "/admin/billing/billingperiod/",
        "charges": CHARGES,
        "review queue": QUEUE,
    }
    pages = {name: address for name, address in lists.items() if name not in ("charges", "review queue")}
    for name in ("imports", "statements", "journals", "people", "projects", "months", "charges", "review queue"):
        path = urlsplit(lists[name]).path
        if found := re.search(rf"{path}\d+/change/", shown(browser, lists[name])[1]):
            pages[f"one of {name}"] = found[0]
    pages |= reports(month)
    pages["reconciliation"] = pages["one of months"].replace("change/", "proof/")
    pages["what statements would say"] = f"/admin/statements/statement/generate/?period={month}"
    pages["what a journal would hold"] = f"/admin/journals/journal/export/?period={month}-01&format=gl"
    return pages


def reports(month: str) -> dict[str, str]:
    """Return page -> address of reports over three years."""
    asked = {
        "report by month": {"by": "month"},
        "report by PI": {"by": "pi"},
        "report by department": {"by": "department"},
        "report by service": {"by": "service"},
        "report of subsidies": {"report": "subsidy"},
        "report of what is not charged": {"report": "uncharged"},
    }
    year, number = int(month[:4]), int(month[5:])
    since = f"{year - 3}-{number + 1:02}" if number < 12 else f"{year - 2}-01"
    span = {"from": since, "to": month}
    return {name: f"/admin/reports/?{urlencode(span | query)}" for name, query in asked.items()}


def first_with_tags(file: Path) -> dict[str, str]:
    with file.open(encoding="utf-8", newline="") as opened:
        return next(row for row in csv.DictReader(opened) if row["Tags"])


def main() -> None:
    file, month = Path(sys.argv[1]), sys.argv[2]
    browser = client()
    if "--addresses" in sys.argv:
        cookie = next(f"{name}={morsel.value}" for name, morsel in browser.cookies.items() if "session" in name)
        addresses = pages_of(browser, first_with_tags(file), month) | main_pages(browser, month)
        print(json.dumps({"cookie": cookie, "pages": addresses}))
        return
    figures = {}
    for name, address in pages_of(browser, first_with_tags(file), month).items():
        first, _ = shown(browser, address)
        again = [shown(browser, address)[0] for _ in range(TIMES)]
        figures[name] = {"first": round(first, 4), "median": round(statistics.median(again), 4)}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
