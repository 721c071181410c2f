"""Save the JSON that commands print, to check that a change leaves it as it was. Compare two folders with `diff -r`.

    python benchmarks/outputs.py before --rows --checkout FOLDER        (of the commit before)
    python benchmarks/outputs.py after --rows
    diff -r before after

It makes the sample institution, one with every file of the folders given by --samples, and with --rows one with a
generated month, each in a scratch installation on SQLite. It writes the JSON of ingest, generate, export_journal,
proof, trace and replay. Times, and what is digested with them, are left out. With --checkout, the commands are those of
another checkout, while the script and the files are the same.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import generated_month
from installations import ROOT, python_of

TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?")
# Of files that hold the time at which they were made.
DIGEST = re.compile(r"\b([0-9a-f]{64}|[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})\b")
ACCOUNTING = ("--recovery-fund-org", "190010-9000", "--recovery-account", "5212", "--debit-account", "7480")
# How many statements of a month are traced.
TRACED = 5


class Installation:
    """A scratch installation, whose commands print JSON that is kept in a folder."""

    def __init__(self, var: Path, out: Path, checkout: Path = ROOT, **environment: str) -> None:
        clean = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "DEMO")}
        self.environment = {**clean, "DEBUG": "true", "VAR_DIR": str(var), **environment}
        self.var, self.out, self.checkout = var, out, checkout
        out.mkdir(parents=True)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [python_of(self.checkout), "manage.py", *arguments],
            cwd=self.checkout,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def keep(self, name: str, *arguments: str) -> Any:
        """Run a command with --json, keep its exit code and what it printed, and return the JSON."""
        code, printed, complained = self.run(*arguments, "--json")
        try:
            said = json.loads(printed)
        except ValueError:
            said = {"printed": printed.splitlines(), "complained": complained.splitlines()}
        text = json.dumps({"exit code": code, "said": said}, indent=1, sort_keys=True, ensure_ascii=False)
        text = DIGEST.sub("DIGEST", TIME.sub("TIME", text)).replace(str(self.var.parent), "SCRATCH")
        (self.out / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        return said

    def must(self, *arguments: str) -> None:
        """Run a command whose output is not kept; end where it fails."""
        code, printed, complained = self.run(*arguments)
        if code:
            sys.exit(f"manage.py {' '.join(arguments)} ended with {code}:\n{printed}{complained}")

    def set_up(self, sources: Iterable[str]) -> None:
        """Initialize, and give sources an accounting."""
        self.must("initialize")
        for source in sources:
            self.must("sources", "set", source, *ACCOUNTING)

    def keep_months(self, *, prefix: str = "") -> None:
        """Keep what is made of each month."""
        months = [each["period"] for each in self.keep(f"{prefix}periods", "periods", "list")["periods"]]
        for month in sorted(months):
            generated = self.keep(f"{prefix}generate-{month}", "generate", "-p", month)
            file = str(self.var / f"{month}.csv")
            self.keep(f"{prefix}journal-{month}", "export_journal", "-p", month, "-o", file)
            self.keep(f"{prefix}proof-{month}", "proof", "-p", month)
            self.keep(f"{prefix}review-{month}", "review", "list", "-p", month)
            self.keep(f"{prefix}replay-{month}", "replay", "-p", month)
            for each in (generated.get("statements") or [])[:TRACED]:
                self.keep(f"{prefix}trace-{each['number']}", "trace", each["number"])


def main() -> None:
    """Write the outputs into the folder that is named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="where they are written; must not exist")
    parser.add_argument("--samples", type=Path, nargs="*", default=[], metavar="FOLDER", help="files to import, too")
    parser.add_argument(
        "--rows", type=int, nargs="?", const=200_000, default=0, metavar="N", help="a generated month of N rows, too"
    )
    parser.add_argument("--only-rows", action="store_true", help="nothing but the generated month")
    parser.add_argument("--checkout", type=Path, default=ROOT, metavar="FOLDER", help="whose commands are run")
    options = parser.parse_args()
    checkout = options.checkout.resolve()
    if options.folder.exists():
        parser.error(f"{options.folder} exists already.")
    if not (checkout / "manage.py").is_file():
        parser.error(f"{checkout} is no checkout: it has no manage.py.")
    with tempfile.TemporaryDirectory() as scratch:
        if not options.only_rows:
            keep_institution(
                Installation(Path(scratch) / "demo", options.folder / "institution", checkout, DEMO="true")
            )
        if options.samples:
            keep_samples(Installation(Path(scratch) / "samples", options.folder / "samples", checkout), options.samples)
        if options.rows:
            ours = Installation(Path(scratch) / "month", options.folder / "month", checkout)
            ours.set_up(generated_month.SOURCES)
            files = generated_month.written(Path(scratch) / "files", options.rows)
            generated_month.keep(ours, files)


def keep_institution(demo: Installation) -> None:
    demo.must("demo", "--no-serve")
    for each in demo.keep("imports", "imports", "list")["imports"]:
        demo.keep(f"import-{each['import']}", "imports", "show", str(each["import"]))
    demo.keep_months()


def keep_samples(ours: Installation, folders: list[Path]) -> None:
    ours.set_up(("aws", "azure", "gcp", "oci", "hpc", "storage", "it_storage", "ai"))
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    for number, path in enumerate(files):
        ours.keep(f"ingest-{number:03}-{path.name}", "ingest", str(path))
    ours.keep_months()


if __name__ == "__main__":
    main()
