"""Time every main page as browsers meet it, over HTTP: `make bench-web`.

An installation of its own imports a generated month, issues its statements, drafts its journal, and is served by
`manage.py serve`. Then one client opens each page a number of times, and after that eight clients do so at once.
Printed are, for each page, the first time, the median, and the time that 95 of 100 requests stay under. Then held
charges are approved, 100 in one click and one by one, and how long the answer took is printed too. With
BENCH_POSTGRES_URL (a server and a user who may create databases) the same is done on PostgreSQL.
"""

import argparse
import contextlib
import gzip
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from installations import HERE, ROOT, Installation, installation
from legs import MONTH, say

# Promised: seconds under which 95 of 100 requests stay, alone and with so many clients at once.
CLIENTS = 8
MOST = {1: 0.3, CLIENTS: 1.0}
APPROVED = {"approve one": 0.15, "approve 100": 1.0}
# Reports add up so many months of payer lines; the month that was imported is the last.
MONTHS, REPORTED = 36, 1.0
# Holds one resource in 256, so that there is something that may be approved as it is.
HOLDS = "from billing.models import Policy; Policy.objects.update_or_create(pk=1, defaults={'flag_patterns': ['00$']})"
QUEUE = "/admin/billing/heldcharge/"
ACCOUNTING = ("--recovery-fund-org", "RC-001", "--recovery-account", "4100", "--debit-account", "6500")


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def served(place: Installation) -> Iterator[int]:
    """Serve an installation, web and worker; give the port."""
    port = a_free_port()
    command = [place.python, "manage.py", "serve", "--port", str(port)]
    with (place.scratch / "served.log").open("wb") as log:
        process = subprocess.Popen(command, env=place.env, cwd=place.checkout, stdout=log, stderr=log)
        try:
            until = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < until:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.2)
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


class Client:
    """Somebody with a browser: one connection, kept open."""

    def __init__(self, port: int, cookie: str) -> None:
        self.port = port
        self.cookies = {cookie.partition("=")[0]: cookie}
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)

    @property
    def headers(self) -> dict[str, str]:
        return {"Cookie": "; ".join(self.cookies.values()), "Host": "localhost", "Accept-Encoding": "gzip"}

    def seconds(self, address: str) -> float:
        """Return how long a page took. Raises SystemExit where it answers with anything but a page."""
        started = time.perf_counter()
        try:
            response = self._asked(address)
        except (http.client.RemoteDisconnected, ConnectionError):
            # The server closed a connection that was idle; browsers open another, too.
            self.connection.close()
            response = self._asked(address)
        response.read()
        took = time.perf_counter() - started
        if response.status != 200:
            sys.exit(f"{address} answered with {response.status}, {response.headers.get('Location', '')}")
        return took

    def page(self, address: str) -> str:
        """Return the HTML of a page."""
        response = self._asked(address)
        self._keep(response)
        body = response.read()
        return (gzip.decompress(body) if response.headers.get("Content-Encoding") == "gzip" else body).decode()

    def approve(self, charges: int) -> float:
        """Approve so many of the charges that are held, as one click does; return how long the answer took."""
        found: list[str] = []
        for number in range(1, 10):
            page = self.page(f"{QUEUE}?period={MONTH}&reason=pattern_match&view=list&p={number}")
            found += re.findall(r'name="_selected_action" value="(\d+)"', page)
            if len(found) >= charges:
                break
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
        fields = [(name, hidden[name]) for name in ("csrfmiddlewaretoken", "once") if name in hidden]
        fields += [("do", "approve"), ("period", MONTH)]
        body = urlencode([*fields, *(("_selected_action", each) for each in found[:charges])])
        assert len(found) >= charges, f"{len(found)} charges are held, and {charges} were to be approved."
        sent = {**self.headers, "Content-Type": "application/x-www-form-urlencoded", "Referer": "http://localhost/"}
        started = time.perf_counter()
        self.connection.request("POST", f"{QUEUE}decide/", body, sent)
        response = self.connection.getresponse()
        response.read()
        took = time.perf_counter() - started
        self._keep(response)
        told = self.page(response.headers.get("Location", QUEUE))
        # A few may lack somebody who pays, and are left out.
        done = re.search(r"([\d,]+) charges? approved", told)
        if response.status != 302 or not done or int(done[1].replace(",", "")) < charges * 0.9:
            said = re.sub(r"<[^>]+>", "", "".join(re.findall(r'<ul class="messagelist">.*?</ul>', told, re.DOTALL)))
            sys.exit(f"Approving {charges} answered with {response.status}: {' '.join(said.split()) or 'nothing'}")
        return took

    def _keep(self, response: http.client.HTTPResponse) -> None:
        """Keep the cookies of an answer: the key of its forms, and messages for the next page."""
        for cookie in response.headers.get_all("Set-Cookie", []):
            self.cookies[cookie.partition("=")[0]] = cookie.partition(";")[0]

    def _asked(self, address: str) -> http.client.HTTPResponse:
        self.connection.request("GET", address, headers=self.headers)
        return self.connection.getresponse()


def under_95(times: list[float]) -> float:
    """Return the time that 95 of 100 requests stay under or reach: of 20, the second longest."""
    return sorted(times)[max(0, -(-len(times) * 95 // 100) - 1)]


def alone(port: int, cookie: str, pages: dict[str, str], times: int) -> dict[str, dict[str, float]]:
    """Open each page once, and then `times` more, by one client."""
    client, figures = Client(port, cookie), {}
    for name, address in pages.items():
        first = client.seconds(address)
        again = [client.seconds(address) for _ in range(times)]
        figures[name] = {"first": first, "median": sorted(again)[len(again) // 2], "under": under_95(again)}
    return figures


def together(port: int, cookie: str, pages: dict[str, str], times: int) -> dict[str, float]:
    """Have `CLIENTS` open the same page at once, `times` each; return the time 95 of 100 stay under."""
    clients, figures = [Client(port, cookie) for _ in range(CLIENTS)], {}
    with ThreadPoolExecutor(CLIENTS) as pool:
        for name, address in pages.items():
            taken = pool.map(lambda client, to=address: [client.seconds(to) for _ in range(times)], clients)
            figures[name] = under_95([each for of_client in taken for each in of_client])
    return figures


def prepared(place: Installation, file: Path) -> dict[str, Any]:
    """Import the month, issue its statements and draft its journal; return the pages and the cookie to open them."""
    place.env |= {"INSECURE_HTTP": "true", "ALLOWED_HOSTS": "localhost", "SITE_URL": "http://localhost:8000"}
    say(f"{place.vendor}: importing, issuing, drafting …")
    place.manage("shell", "-c", HOLDS)
    place.ingest(file)
    place.manage("sources", "set", "aws", *ACCOUNTING)
    place.manage("generate", "-p", MONTH)
    place.manage("export_journal", "-p", MONTH)
    say(place.run(str(HERE / "months.py"), MONTH, str(MONTHS)).output.strip())
    found: dict[str, Any] = json.loads(place.run(str(HERE / "pages.py"), str(file), MONTH, "--addresses").output)
    return found


def measured_pages(place: Installation, file: Path, times: int) -> dict[str, dict[str, float]]:
    """Return, by page, its times by one client and by several."""
    found = prepared(place, file)
    with served(place) as port:
        say(f"{place.vendor}: {len(found['pages'])} pages, one client …")
        figures = alone(port, found["cookie"], found["pages"], times)
        for name, of in figures.items():
            if name.startswith("report"):
                of["promised"] = REPORTED
        say(f"{place.vendor}: {CLIENTS} clients …")
        approver = Client(port, found["cookie"])
        for name, charges, rounds in (("approve one", 1, times), ("approve 100", 100, min(5, times))):
            taken = [approver.approve(charges) for _ in range(rounds)]
            figures[name] = {"first": taken[0], "median": sorted(taken)[rounds // 2], "under": under_95(taken)}
            figures[name]["promised"] = APPROVED[name]
        for name, under in together(port, found["cookie"], found["pages"], max(3, times // 4)).items():
            figures[name]["together"] = under
    return figures


def report(legs: dict[str, dict[str, dict[str, float]]]) -> bool:
    """Print the pages as a table in milliseconds; return whether all keep what is promised."""
    holds = True
    for vendor, pages in legs.items():
        print(f"\n| {vendor}, ms | first | median | p95 | p95 of {CLIENTS} | |\n|---|--:|--:|--:|--:|---|")
        for page, of in sorted(pages.items(), key=lambda page: -page[1]["under"]):
            is_kept = of["under"] <= of.get("promised", MOST[1]) and of.get("together", 0) <= MOST[CLIENTS]
            holds &= is_kept
            columns = ("first", "median", "under", "together")
            cells = " | ".join(f"{of[each] * 1000:,.0f}" if each in of else "" for each in columns)
            print(f"| {page} | {cells} | {'' if is_kept else 'NO'} |")
    return holds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=20, help="requests of each page by one client")
    parser.add_argument("--only", choices=("sqlite", "postgresql"), help="one database instead of both")
    given = parser.parse_args()
    # Who is ended takes along what it serves.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    server = os.environ.get("BENCH_POSTGRES_URL", "")
    urls = [url for name, url in (("sqlite", ""), ("postgresql", server)) if given.only in (None, name)]
    legs = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"aws_{MONTH}.csv"
        say(f"Writing {given.rows:,} rows …")
        command = [sys.executable, str(HERE / "generate.py"), str(file), "--rows", str(given.rows), "--month", MONTH]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
        for url in dict.fromkeys(urls):
            with installation(Path(folder), postgres_url=url) as place:
                legs[place.vendor] = measured_pages(place, file, given.times)
    out = HERE / "out"
    out.mkdir(exist_ok=True)
    (out / "web.json").write_text(json.dumps({"rows": given.rows, "legs": legs}, indent=1))
    sys.exit(0 if report(legs) else 1)


if __name__ == "__main__":
    main()
