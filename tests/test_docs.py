"""What the documents tell people to type works: every command parses, and the walk through them runs."""

import json
import re
import shlex
import shutil
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command, get_commands, load_command_class

from billing.models import BillingPeriod
from journals.models import Journal

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "fixtures/README.md",
]
WALK = ROOT / "docs" / "user-guide" / "commands.md"


def words_of(text):
    """Split a command as a shell does, without comment and redirection."""
    return shlex.split(re.split(r"\s(?:\||>|&&)\s", text)[0], comments=True)


def commands_in(path):
    """Yield every `manage.py …` that a document shows, in blocks and in running text."""
    text = path.read_text(encoding="utf-8")
    for block in re.findall(r"```\w*\n(.*?)```", text, re.DOTALL):
        yield from re.findall(r"manage(?:\.py)? ((?!\(\))[a-z_]+ ?.*)", block)
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    yield from (" ".join(found.split()) for found in re.findall(r"`(?:\S*python )?manage\.py ([^`]+)`", prose))


SHOWN = sorted({(str(path.relative_to(ROOT)), shown) for path in DOCUMENTS for shown in commands_in(path)})


@pytest.mark.parametrize(("document", "shown"), SHOWN)
def test_every_command_shown_parses(document, shown, capsys):
    name, *arguments = words_of(shown)
    parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
    # Where a document leaves something open (FILE…, N), any value stands for it.
    filled = ["1" if word in ("N", "N…") else word.replace("…", "") or "x" for word in arguments]
    try:
        parser.parse_args(filled)
    except (CommandError, SystemExit) as error:
        pytest.fail(f"{document}: `manage.py {shown}` is wrong usage: {error} {capsys.readouterr().err}")


def test_the_documents_show_every_command_of_ours():
    ours = {
        name for name, app in get_commands().items() if app in ("billing", "statements", "journals", "openchargeback")
    }
    assert ours == {shown.split()[0] for document, shown in SHOWN if document == "docs/user-guide/commands.md"}


def test_every_make_target_shown_exists():
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    shown = {
        target
        for path in DOCUMENTS
        for target in re.findall(r"(?:^|`|&& )make ([a-z][a-z-]*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {"demo", "serve", "test", "lint", "bench", "setup"} <= shown
    assert shown <= targets


def test_every_link_leads_somewhere():
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in DOCUMENTS
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8"))
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert not broken


def test_every_picture_shown_is_there_small_and_told_in_words():
    shown = [
        (path, text, (path.parent / target).resolve())
        for path in DOCUMENTS
        for text, target in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", path.read_text(encoding="utf-8"))
    ]
    assert len(shown) > 5
    for path, text, picture in shown:
        assert len(text) > 20, f"{path}: {picture.name} has no text that tells what it shows"
        assert picture.is_file(), f"{path}: no {picture.name}; make screenshots"
        assert picture.stat().st_size <= 200_000, picture.name


def anchor_of(heading):
    """Return the anchor that a Markdown heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def test_every_link_to_a_heading_finds_it():
    broken = []
    for path in DOCUMENTS:
        for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", path.read_text(encoding="utf-8")):
            page = path.parent / target if target else path
            headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
            if anchor not in map(anchor_of, headings):
                broken.append(f"{path.relative_to(ROOT)}: {target}#{anchor}")
    assert not broken


def test_every_file_that_contributors_are_sent_to_exists():
    page = (ROOT / "docs" / "development" / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w.-]+/[\w./-]*)`", page)
    assert len(named) > 30
    assert not [path for path in named if not (ROOT / path).exists()]


def test_every_document_is_listed_in_the_index():
    index = ROOT / "docs" / "README.md"
    linked = {
        index,
        *((index.parent / target).resolve() for target in re.findall(r"\]\(([^)#]+)\)", index.read_text())),
    }
    assert set((ROOT / "docs").rglob("*.md")) <= linked


def keys_of(answer):
    """Yield the keys of an answer, and those of the objects it lists."""
    for key, value in answer.items():
        yield key
        for each in value if isinstance(value, list) else ():
            yield from each if isinstance(each, dict) else ()


@pytest.mark.django_db(transaction=True, reset_sequences=True)
def test_every_key_that_json_prints_is_documented(tmp_path, monkeypatch):
    """The same walk with --json throughout: one object on standard output, its keys in the user guide."""
    shutil.copytree(ROOT / "fixtures" / "sample", tmp_path / "fixtures" / "sample")
    monkeypatch.chdir(tmp_path)
    text = WALK.read_text(encoding="utf-8")
    documented = set(re.findall(r"`(\w+)`", text))
    lines = [line for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    missing = set()
    for line in lines:
        arguments = [word for word in words_of(line)[2:] if word != "--json"]
        out = StringIO()
        try:
            call_command(*arguments, "--json", stdout=out, stderr=StringIO())
        except CommandError:
            continue
        missing |= {f"{line}: {key}" for key in keys_of(json.loads(out.getvalue())) if key not in documented}
    assert not missing


@pytest.mark.django_db(transaction=True, reset_sequences=True)
def test_the_walk_through_the_commands_runs_as_written(tmp_path, monkeypatch):
    """Each line after `$` in the user guide, in order, on an empty database."""
    shutil.copytree(ROOT / "fixtures" / "sample", tmp_path / "fixtures" / "sample")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```console\n(.*?)```", WALK.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) > 25
    assert all(line.startswith("$ manage.py ") for line in lines)
    for line in lines:
        arguments = words_of(line)[2:]
        refused = None
        try:
            call_command(*arguments, stdout=StringIO(), stderr=StringIO())
        except CommandError as error:
            refused = error
        assert bool(refused) == line.endswith("# exit 1"), f"{line}: {refused}"
        assert refused is None or refused.returncode == 1
    assert Journal.objects.get(period__month="2026-01-01").state == "posted"
    assert {period.iso_month: period.status for period in BillingPeriod.objects.all()} == {
        "2026-01": "open",
        "2026-02": "open",
    }
