"""Kill imports at random points: each is there as a whole or not at all. `python benchmarks/kills.py --kills 50`.

Each round puts a delivery into a watched folder, starts `manage.py ingest --inbox` as a process and kills it
(SIGKILL). What is in the database must then be the state before the round or the state after it; the
file must be in the folder still, or done; and the next run must bring about the state after it. Sources
of all three import modes take turns. Runs in a scratch folder on SQLite, or on an empty database
that DATABASE_URL names.
"""

import argparse
import collections
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MODES = {"aws": "snapshot", "oci": "append", "hpc": "merge"}
HEADER = (
    "BillingAccountId,BillingCurrency,BillingPeriodStart,ChargePeriodStart,ChargePeriodEnd,ServiceName,ResourceId,"
    "BilledCost,Tags"
)


class Broken(Exception):
    """An import was neither all there nor not at all, or the next run did not mend it."""


def a_delivery(folder: Path, source: str, number: int, rows: int) -> tuple[Path, int, Decimal]:
    """Write the delivery of a round; return it with its rows and its total."""
    lines, total = [HEADER], Decimal(0)
    for row in range(rows):
        # One row in ten changes from round to round.
        amount = Decimal(row * 7 + (number if row % 10 == 0 else 0)) / 1000
        total += amount
        resource = f"i-{number}-{row}" if source == "oci" else f"i-{row}"
        day = f"2025-01-{row % 28 + 1:02}"
        lines.append(
            f"acct,USD,2025-01-01,{day}T00:00:00Z,{day}T12:00:00Z,Compute,{resource},"
            f'{amount},"{{""pi_email"": ""pi{row % 9}@u.edu"", ""project_id"": ""p{row % 31}""}}"'
        )
    path = folder / f"{source}_2025-01_{number:04}.csv"
    path.write_text("\n".join(lines) + "\n")
    return path, rows, total


def state_of(source: str) -> tuple[int, Decimal]:
    """Return how many charges of a source are live, and their sum; they must agree with its last import."""
    from billing.fields import AmountSum
    from billing.models import Charge, Flag, Import

    live = Charge.objects.live().filter(source__name=source)
    count, total = live.count(), live.aggregate(total=AmountSum("billed_cost"))["total"] or Decimal(0)
    applied = Import.objects.filter(source__name=source, state="applied").values_list("id", flat=True)
    strangers = Charge.objects.filter(source__name=source).exclude(imported_in__in=list(applied)).count()
    if strangers:
        raise Broken(f"{strangers} charges are of imports that were not applied")
    orphans = Flag.objects.filter(charge__isnull=True).count()
    if orphans:
        raise Broken(f"{orphans} flags have no charge")
    last = Import.objects.filter(pk__in=list(applied)).order_by("-id").first()
    if last and last.rows and last.scope_totals.count() != 1:
        raise Broken(f"import {last.pk} is applied without its totals")
    return count, total


def started(inbox: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "manage.py", "ingest", "--inbox", str(inbox), "--settle", "0"]
    return subprocess.Popen(  # noqa: S603 (ourselves)
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def to_the_end(inbox: Path, environment: dict[str, str]) -> float:
    """Run the command undisturbed; return its seconds."""
    begun = time.perf_counter()
    process = started(inbox, environment)
    output, _ = process.communicate()
    if process.returncode:
        raise Broken(f"an undisturbed run ended with {process.returncode}:\n{output.decode()}")
    return time.perf_counter() - begun


def wait_for_mark(process: "subprocess.Popen[bytes]") -> None:
    """Return when the process has begun with an import (or ended without)."""
    marks = Path(os.environ["VAR_DIR"]) / "working"
    before = set(marks.iterdir())
    while process.poll() is None and set(marks.iterdir()) <= before:
        time.sleep(0.002)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--rows", type=int, default=10_000, help="of each delivery")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.update(
            {"DEBUG": "true", "VAR_DIR": f"{scratch}/var", "DJANGO_SETTINGS_MODULE": "openchargeback.settings"}
        )
        sys.path.insert(0, str(ROOT))
        import django

        django.setup()
        try:
            reached = rounds(Path(scratch) / "inbox", options.kills, options.rows, random.Random(seed))
        except Broken as broken:
            sys.exit(f"seed {seed}: {broken}")
    print(f"{options.kills} kills of imports of {options.rows:,} rows (seed {seed}): all or nothing, and mended.")
    print("Killed while: " + ", ".join(f"{what} {count}" for what, count in sorted(reached.items())))


State = tuple[int, Decimal]


def rounds(inbox: Path, kills: int, rows: int, chance: random.Random) -> "collections.Counter[str]":
    """Kill as many imports, each in a round of its own; return how far they had come."""
    boot, working, expected = first_deliveries(inbox, rows)
    reached: collections.Counter[str] = collections.Counter()
    for number in range(1, kills + 1):
        source = list(MODES)[number % len(MODES)]
        path, count, total = a_delivery(inbox, source, number, rows)
        before = expected[source]
        after = (before[0] + count, before[1] + total) if MODES[source] == "append" else (count, total)
        # Starting Python takes longer than the work.
        begins = chance.random() < 0.9
        wait = chance.uniform(0, max(working, 0.1) * 1.1 if begins else boot)
        try:
            reached[killed(inbox, source, path, after_mark=begins, wait=wait, states=(before, after))] += 1
            mended(inbox, source, path, after)
        except Broken as broken:
            raise Broken(f"kill {number}: {broken}") from None
        expected[source] = after
    return reached


def first_deliveries(inbox: Path, rows: int) -> tuple[float, float, dict[str, State]]:
    """Import one delivery of each source; return the seconds of a start and of an import, and what is there then."""
    from django.core.management import call_command

    from billing.models import Source

    call_command("migrate", verbosity=0)
    for name, mode in MODES.items():
        Source.objects.create(name=name, import_mode=mode, file_name_patterns=name)
    inbox.mkdir()
    environment = dict(os.environ)
    expected: dict[str, State] = {}
    boot = to_the_end(inbox, environment)
    for source in MODES:
        _, count, total = a_delivery(inbox, source, 0, rows)
        expected[source] = (count, total)
    working = (to_the_end(inbox, environment) - boot) / len(MODES)
    for source in MODES:
        if state_of(source) != expected[source]:
            raise Broken(f"the first delivery of {source} came out as {state_of(source)}, not {expected[source]}")
    return boot, working, expected


def killed(inbox: Path, source: str, path: Path, *, after_mark: bool, wait: float, states: tuple[State, State]) -> str:
    """Start an import and kill it after a while, from its begin or its mark on; return how far it had come."""
    from billing.models import Import

    latest: Any = Import.objects.order_by("-id").first()
    process = started(inbox, dict(os.environ))
    if after_mark:
        wait_for_mark(process)
    time.sleep(wait)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    found = state_of(source)
    if found not in states:
        raise Broken(f"{source} has {found}, neither {states[0]} nor {states[1]}")
    put_away = list((inbox / "done").rglob(path.name))
    if not path.exists() and not (put_away and found == states[1]):
        raise Broken(f"{path.name} is lost")
    begun: Any = Import.objects.filter(pk__gt=latest.pk).first()
    return "before it began" if begun is None else f"{begun.state}{'' if path.exists() else ' and put away'}"


def mended(inbox: Path, source: str, path: Path, after: State) -> None:
    """Run the command once more; raise Broken unless all is as if nobody had been killed."""
    from billing.models import Import

    to_the_end(inbox, dict(os.environ))
    if state_of(source) != after:
        raise Broken(f"after the next run {source} has {state_of(source)}, not {after}")
    if path.exists():
        raise Broken(f"the next run left {path.name} in the folder")
    if left := Import.objects.filter(state__in=("received", "checked")).count():
        raise Broken(f"{left} imports still look as if somebody worked on them")


if __name__ == "__main__":
    main()
