"""Save the JSON that commands print, to check that a change leaves it as it was. Compare two folders with `diff -r`.

    python benchmarks/outputs.py before        (at the commit before)
    python benchmarks/outputs.py after
    diff -r before after

It makes the sample institution and one with every file of the folders given by --samples, each in a scratch
installation on SQLite, and writes the JSON of ingest, generate, export_journal, proof, trace and replay.
Times, and what is digested with them, are left out.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?")
# Of files that hold the time at which they were made.
DIGEST = re.compile(r"\b([0-9a-f]{64}|[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})\b")
ACCOUNTING = ("--recovery-fund-org", "190010-9000", "--recovery-account", "5212", "--debit-account", "7480")


class Installation:
    """A scratch installation, whose commands print JSON that is kept in a folder."""

    def __init__(self, var: Path, out: Path, **environment: str) -> None:
        clean = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "DEMO")}
        self.environment = {**clean, "DEBUG": "true", "VAR_DIR": str(var), **environment}
        self.var, self.out = var, out
        out.mkdir(parents=True)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
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
        text = DIGEST.sub("DIGEST", TIME.sub("TIME", text)).replace(str(self.var), "VAR")
        (self.out / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        return said

    def keep_months(self) -> None:
        """Keep what is made of each month."""
        months = [each["period"] for each in self.keep("periods", "periods", "list")["periods"]]
        for month in sorted(months):
            generated = self.keep(f"generate-{month}", "generate", "-p", month)
            self.keep(f"journal-{month}", "export_journal", "-p", month, "-o", str(self.var / f"{month}.csv"))
            self.keep(f"proof-{month}", "proof", "-p", month)
            self.keep(f"review-{month}", "review", "list", "-p", month)
            self.keep(f"replay-{month}", "replay", "-p", month)
            for each in (generated.get("statements") or [])[:5]:
                self.keep(f"trace-{each['number']}", "trace", each["number"])


def main() -> None:
    """Write the outputs into the folder that is named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="where they are written; must not exist")
    parser.add_argument("--samples", type=Path, nargs="*", default=[], metavar="FOLDER", help="files to import, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        demo = Installation(Path(scratch) / "demo", options.folder / "institution", DEMO="true")
        code, _, complained = demo.run("demo", "--no-serve")
        if code:
            sys.exit(complained)
        for each in demo.keep("imports", "imports", "list")["imports"]:
            demo.keep(f"import-{each['import']}", "imports", "show", str(each["import"]))
        demo.keep_months()
        if options.samples:
            ours = Installation(Path(scratch) / "samples", options.folder / "samples")
            ours.run("initialize")
            for source in ("aws", "azure", "gcp", "oci", "hpc", "storage", "it_storage", "ai"):
                ours.run("sources", "set", source, *ACCOUNTING)
            files = sorted(path for folder in options.samples for path in folder.rglob("*") if path.is_file())
            for number, path in enumerate(files):
                ours.keep(f"ingest-{number:03}-{path.name}", "ingest", str(path))
            ours.keep_months()


if __name__ == "__main__":
    main()
