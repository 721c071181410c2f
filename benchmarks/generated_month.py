"""A month of generated rows from its first import to a late change, told by commands alone.

Several sources deliver. Some rows name nobody, or are of an unknown category, and are held. People decide about them,
a second file changes and removes rows, the month is closed, and a third file changes it late. Nothing depends on the
ids that charges get: what is decided about is chosen by what it is, and lines are traced by their file.
"""

import datetime
import hashlib
from pathlib import Path
from typing import Any, Protocol

from generate import Shape, change, write

SOURCES = ("aws", "azure", "gcp", "hpc")
MONTH, NEXT = "2025-01", "2025-02"
# Every so manieth row of a file is of a category that FOCUS does not know.
ODD_EVERY = 400
# Lines of each file that are traced: also one that a later file changes, one that it drops, and an odd one.
TRACED = (2, 3, 101, 252, 401, 801)
HOLDER = ("--pi", "pi0001@bench.example", "--project", "project-00001", "--fund-org", "F00001-001")


class Keeper(Protocol):
    """Runs commands and keeps what they print."""

    def keep(self, name: str, *arguments: str) -> Any: ...

    def keep_months(self, *, prefix: str = "") -> None: ...


def written(folder: Path, rows: int) -> dict[str, Path]:
    """Write the files; return them by name: a source, "azure again", "aws changed" and "aws late"."""
    folder.mkdir(parents=True)
    files = {}
    for number, source in enumerate(SOURCES):
        share = rows // len(SOURCES) + (number < rows % len(SOURCES))
        shape = Shape(share, source=source, month=datetime.date(2025, 1, 1), is_of_jobs=source == "hpc")
        plain, files[source] = folder / f"{source}.plain", folder / f"{source}_{MONTH}.csv"
        write(plain, shape)
        with plain.open(encoding="utf-8") as lines, files[source].open("w", encoding="utf-8", newline="") as odd:
            for at, line in enumerate(lines):
                odd.write(line.replace(",Usage,", ",Upkeep,", 1) if at and at % ODD_EVERY == 0 else line)
        plain.unlink()
    for name in ("azure again", "aws changed", "aws late"):
        files[name] = folder / f"{name.replace(' ', '-')}_{MONTH}.csv"
    files["azure again"].write_bytes(files["azure"].read_bytes() + b"\n")
    change(files["aws"], files["aws changed"], every=100, drop_every=250)
    change(files["aws changed"], files["aws late"], every=70, drop_every=900)
    return files


def keep(ours: Keeper, files: dict[str, Path]) -> None:
    """Live through the month, and keep what the commands print."""
    for source in SOURCES:
        ours.keep(f"1-ingest-{source}", "ingest", str(files[source]), "-s", source)
    decide(ours, "2", is_last=False)
    ours.keep_months(prefix="3-")
    for name in ("azure again", "aws changed"):
        ours.keep(f"4-ingest-{name.replace(' ', '-')}", "ingest", str(files[name]), "-s", name.split()[0])
    decide(ours, "5", is_last=True)
    ours.keep_months(prefix="6-")
    # What is left is carried to the next month, which this opens.
    ours.keep("7-close", "periods", "close", MONTH, "--carry-held")
    ours.keep("7-journal-submitted", "export_journal", "-p", MONTH, "--submit")
    late = ours.keep("8-ingest-aws-late", "ingest", str(files["aws late"]), "-s", "aws")
    ours.keep("8-deferred", "imports", "list", "--deferred")
    ours.keep("8-book", "imports", "book", str(late.get("import")), "--to", NEXT)
    ours.keep_months(prefix="9-")
    ours.keep("9-imports", "imports", "list")
    ours.keep("9-show", "show", "pi0001@bench.example", "-p", MONTH)
    ours.keep("9-finalize", "periods", "finalize", MONTH)
    trace_lines(ours, files)


def decide(ours: Keeper, step: str, *, is_last: bool) -> None:
    """Approve, reject and reattribute what is held; leave some, the last time for the next month."""
    odd, others = [], []
    for each in held(ours, f"{step}-held"):
        codes = {flag["code"] for flag in each["flags"]}
        (others if codes & {"missing_pi", "missing_fund_org"} else odd).append(str(each["id"]))
    left = set(others[0::3])
    chosen = {
        "approve": odd[0::2],
        "reject": odd[1::2] if is_last else odd[1::4],
        "reattribute": [each for each in others if each not in left] if is_last else others[1::3],
    }
    commands = {
        "approve": ("approve", "--note", "checked"),
        "reject": ("reject", "--provider-credits", "yes", "--note", "not ours"),
        "reattribute": ("reattribute", *HOLDER, "--create", "--approve", "--note", "asked"),
    }
    for name, command in commands.items():
        if chosen[name]:
            ours.keep(f"{step}-{name}", "review", *command, "--id", *chosen[name])
    held(ours, f"{step}-left")


def held(ours: Keeper, name: str) -> list[dict[str, Any]]:
    """Return what is held, in an order that does not depend on ids."""
    listed = ours.keep(name, "review", "list")
    return sorted(listed["charges"], key=lambda each: (_words(each), each["id"]))


def _words(charge: dict[str, Any]) -> str:
    return str([(name, charge[name]) for name in sorted(charge) if name not in ("id", "successor")])


def trace_lines(ours: Keeper, files: dict[str, Path]) -> None:
    """Keep the traces of some lines of each file."""
    for name, file in files.items():
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        for line in TRACED:
            ours.keep(f"9-trace-{name.replace(' ', '-')}-{line}", "trace", f"{digest}:{line}")
