"""Approve 100,000 held charges in one act, then verify the audit log: `python benchmarks/approvals.py`.

Measures what a reviewer waits for: the decisions, one audit event each, the chain, the note of the head and the lines
for a log collector (to a file), and the commit. Runs in a scratch folder on SQLite, or on an empty database that
DATABASE_URL names. `--profile` shows where the time goes.
"""

import argparse
import cProfile
import os
import pstats
import resource
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def fill(number: int) -> None:
    """Make this many held charges of one import, each with a flag that asks."""
    from billing.models import Charge, Flag
    from tests import build

    first = build.a_charge(flags=("pattern_match",))
    copies = []
    for line in range(2, number + 1):
        copy = Charge(**{field.attname: getattr(first, field.attname) for field in Charge._meta.concrete_fields})
        copy.pk, copy.line_number, copy.billed_cost = None, line, Decimal(line) / 100
        copy.content_hash = copy.identity_hash = line.to_bytes(16, "big")
        copies.append(copy)
    made = Charge.objects.bulk_create(copies, batch_size=5_000)
    Flag.objects.bulk_create([Flag(charge=each, code="pattern_match") for each in made], batch_size=5_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--charges", type=int, default=100_000)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="openchargeback-approvals-") as folder:
        os.environ |= {"DEBUG": "true", "VAR_DIR": folder, "LOG_FORMAT": "json"}
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "openchargeback.settings")
        sys.path.insert(0, str(ROOT))
        # The log goes where a collector would read it, so that writing it is measured too.
        with open(Path(folder) / "log", "w") as log:
            os.dup2(log.fileno(), 2)
        measure(options.charges, options.profile)


def measure(number: int, is_profiled: bool) -> None:
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection
    from django.utils import timezone

    from billing import audit, review
    from billing.audit import anchors
    from billing.models import Charge

    # Statements kept for debugging would be measured as memory.
    settings.DEBUG = False
    call_command("migrate", verbosity=0)
    fill(number)
    actor = audit.Actor(name="benchmark", via="command")
    profile = cProfile.Profile()
    started, cpu = time.perf_counter(), time.process_time()
    if is_profiled:
        profile.enable()
    done = review.approve(charges=Charge.objects.held(), actor=actor, now=timezone.now())
    profile.disable()
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{connection.vendor}: {done.count:,} approved in {wall:.1f} s ({cpu:.1f} s of CPU), {peak} MiB at the peak")
    if is_profiled:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(45)
    started = time.perf_counter()
    found = audit.verify(anchor=anchors.default_path())
    seconds = time.perf_counter() - started
    with open(Path(settings.VAR_DIR) / "log") as log:
        lines = sum(1 for line in log if '"charge.approved"' in line)
    print(
        f"{found.events:,} events verified in {seconds:.1f} s, {found.events / seconds:,.0f} a second; "
        f"{'whole' if found.is_whole else found.breaks}; {lines:,} lines logged"
    )


if __name__ == "__main__":
    main()
