"""The copy's side of a rehearsal: a process of its own that knows the copied database and a folder, and nothing else.

It brings the copy up to date, and writes to `answer.json` whether all of it still holds.
"""

import json
import sys
from io import StringIO
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command

from billing import audit, proof
from billing.audit import anchors
from billing.errors import BillingError
from billing.models import BillingPeriod
from billing.replay.replaying import replay

# Replays take as long as imports: of so many months, the latest.
REPLAYED = 2


def main() -> None:
    folder = Path(sys.argv[1])
    if Path(settings.VAR_DIR).parent != folder:
        raise SystemExit("This runs on the copy of a rehearsal only.")
    call_command("initialize", stdout=StringIO())
    problems = [each.message for each in audit.verify(anchor=anchors.default_path()).breaks]
    periods = list(BillingPeriod.objects.order_by("-month"))
    for period in periods:
        problems += [f"{period}: {each}" for each in proof.prove(period).problems()]
    for period in periods[:REPLAYED]:
        try:
            replayed = replay(period=period)
        except BillingError as error:
            problems.append(f"{period}: {error}")
        else:
            problems += [] if replayed.is_equal else [f"{period} rebuilt from its files differs: {replayed.first}"]
    answer: dict[str, Any] = {
        "proved": len(periods),
        "replayed": len(periods[:REPLAYED]),
        "problems": problems,
    }
    (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")
