"""The words of the product: what a machine can check of plain English, labels, dates and amounts.

The glossary is in docs/development/CONTRIBUTING.md. Each check has a test that shows that it can fail.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets, label_for_field
from django.core.exceptions import FieldDoesNotExist, FieldError

from billing.models import User

ROOT = Path(__file__).resolve().parent.parent
APPS = ("billing", "statements", "journals", "openchargeback")
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "fixtures" / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
TEMPLATES = sorted(path for path in (ROOT / "templates").rglob("*") if path.suffix in {".html", ".txt"})
MODULES = [path for app in APPS for path in sorted((ROOT / app).rglob("*.py")) if "migrations" not in path.parts]
LONGEST = 30


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


# ---- Sentences


def paragraphs(text: str) -> list[str]:
    """Return the running text of a Markdown page: no code blocks, tables or headings; each list item by itself."""
    text = re.sub(r"^( *)```.*?^\1```[^\n]*$", "\n", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"<!--.*?-->", "\n", text, flags=re.DOTALL)
    text = re.sub(r"^ *(?:\||#+ ).*$", "\n", text, flags=re.MULTILINE)
    text = re.sub(r"^ *(?:[-*]|\d+\.) ", "\n\n", text, flags=re.MULTILINE)
    return [" ".join(each.split()) for each in re.split(r"\n\s*\n", text) if each.strip()]


def plain(text: str) -> str:
    """Return a paragraph without its marks. Code counts as one word, and so does a list of names in code."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"`[^`]+`", "CODE", text)
    text = re.sub(r"CODE(?:(?:,| and| or|, and|, or|/) ?CODE)+", "CODE", text)
    return re.sub(r"[*_]{1,2}(?=\S)|(?<=\S)[*_]{1,2}", "", text)


def sentences(text: str) -> list[str]:
    """Split a paragraph at full stops, question and exclamation marks that a capital, a quote or code follows."""
    return re.split(r"(?<=[.!?]) +(?=[\"“‘(]?[A-Z0-9])|(?<=[.!?][)\"”]) +(?=[\"“‘(]?[A-Z0-9])", plain(text))


def words_in(sentence: str) -> int:
    return len([word for word in sentence.split() if re.search(r"\w", word)])


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_no_sentence_is_too_long(page):
    text = page.read_text(encoding="utf-8")
    long = [each for paragraph in paragraphs(text) for each in sentences(paragraph) if words_in(each) > LONGEST]
    assert not long, "\n".join(f"{words_in(each)} words: {each}" for each in long)


def test_a_long_sentence_is_found():
    long = " ".join(["word"] * 31)
    page = f"# {long}\n\n| {long} |\n\n```\n{long}\n```\n\nShort. Then {long}.\n- {long}.\n- One of `a`, `b` and `c`.\n"
    counts = [words_in(each) for paragraph in paragraphs(page) for each in sentences(paragraph)]
    assert counts == [1, 32, 31, 3]


# ---- Phrases

# What we do not write, and what we write instead.
PHRASES = {
    r"that day counts": "end dates are inclusive",
    r"reasons? for a look|for a look": "held for review",
    r"in place of earlier revisions": "revised",
    r"\bguards? of the database|\bwalls?\b": "database safeguards",
    r"does not guard": "safeguards are missing",
    r"taken away": "removed",
    r"files come in\b": "accepting imports",
    r"for good\b": "permanently, locked",
    r"\bcomes? out\b": "reconciles",
    r"sources say which": "each source lists the file names it recognizes",
    r"would be withdrawn": "this removes",
    r"else than\b": "other than",
    r"made if there is none": "created if it does not exist",
    r"\bbent\b": "altered",
    r"missing is missing": "a missing value has one flag",
    r"\btak(?:en?|es|ing) (?:\w+ )?back\b(?!-)": "reversed",
    r"\bborne\b|\bbears\b": "charged to, pays",
    r"\bovertook\b|\bovertaken\b|\bdisplace[sd]?\b": "replaced by, superseded",
    r"audit trail|\bthe trail\b": "audit log",
    r"overflow fund": "default fund",
    r"\brunway\b": "months of funding left",
    r"\btariffs?\b": "rate schedule",
    r"\bamounts? due\b": "total charged",
    r"successfully": "(leave it out)",
    r"please note": "(leave it out)",
    r"\bsimply\b": "(leave it out)",
    r"(?<!data )\bdelivery\b|\b(?:re-)?deliveries\b|re-delivery": "import, file or e-mail",
    r"\bnobody's\b": "unassigned, shared",
    r"\bwhat stands\b|\b(?:already|still|before) stands?\b|\b(?:its|their) [\w ]+ stand\b": "locked, stays done",
    r"\bsaid what of it\b|\bfor ever\b": "decided, permanently",
    r"put(?:s)? (?:it|them) up again": "restore",
    r"\bof yours\b": "your own",
    r"natural account": "account code",
}


def phrases_in(text: str) -> list[str]:
    flat = " ".join(text.split())
    return [
        f"“{found[0]}” ({better}): …{flat[max(found.start() - 40, 0) : found.end() + 40]}…"
        for pattern, better in PHRASES.items()
        for found in re.finditer(pattern, flat, re.IGNORECASE)
    ]


def literals(tree: ast.AST) -> Iterator[str]:
    """Yield the texts of a module that people may read: every literal with a blank, but for docstrings."""
    described = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, described) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and id(node) not in docstrings else None
        if isinstance(text, str) and " " in text and not re.search(r"\b(SELECT|INSERT|CREATE) |\$\w+\$", text):
            yield text


def prose_of(page: str) -> str:
    """Return a Markdown page without what is code: names and commands have words of their own."""
    page = re.sub(r"^( *)```.*?^\1```[^\n]*$", "\n", page, flags=re.MULTILINE | re.DOTALL)
    # The glossary names what it replaces.
    page = re.sub(r"^\| use \| for \| not \|\n(?:\|.*\n)+", "", page, flags=re.MULTILINE)
    page = re.sub(r"\[[\w./]+\.py\]\([^)]*\)", "", page)
    return re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`]+`", "`…`", page))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_no_page_uses_a_phrase_we_avoid(page):
    assert not (found := phrases_in(prose_of(page.read_text(encoding="utf-8")))), "\n".join(found)


@pytest.mark.parametrize("template", TEMPLATES, ids=named)
def test_no_template_uses_a_phrase_we_avoid(template):
    text = re.sub(r"{%.*?%}|{{.*?}}|{#.*?#}", "…", template.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert not (found := phrases_in(text)), "\n".join(found)


# They hold the names of models and fields that are given another label.
NAMES_OF_MODELS = {"openchargeback/labels.py", "openchargeback/roles.py"}


@pytest.mark.parametrize("app", APPS)
def test_no_message_uses_a_phrase_we_avoid(app):
    wrong = [
        f"{named(path)}: {found}"
        for path in MODULES
        if path.relative_to(ROOT).parts[0] == app and named(path) not in NAMES_OF_MODELS
        for text in literals(ast.parse(path.read_text(encoding="utf-8")))
        for found in phrases_in(text)
    ]
    assert not wrong, "\n".join(wrong)


def test_a_phrase_we_avoid_is_found():
    module = '''"""A walk along walls."""\nsay("it is taken back")\nMODE = "delivery"\nsay(f"{n} deliveries came")\n'''
    found = [each for text in literals(ast.parse(module)) for each in phrases_in(text)]
    assert [each.split("”")[0] for each in found] == ["“taken back", "“deliveries"]
    assert phrases_in("Taken\n  back") != []
    assert phrases_in("FOCUS calls it a data delivery.") == []


# ---- Labels

# Initialisms, as they are written in a label. Anything else ("Pdf", "Pi", "Sha256") was made of a field's name.
INITIALISMS = ("PI", "PIs", "PDF", "SHA-256", "JSON", "URL", "ID", "IDs", "CSV", "XLSX", "SKU", "FOCUS", "API")
GENERATED = re.compile(r"sha256\b|\bby name\b|\bfund org\b|\bcount$|\bnatural account\b|_", re.IGNORECASE)


def label_problem(label: str) -> str:
    """Say what is wrong with a label of a screen, or return nothing."""
    for word in re.findall(r"[\w-]+", label):
        for right in INITIALISMS:
            if word.casefold() == right.casefold() and word != right:
                return f"{word} is written {right}"
    return "made of a field's name" if GENERATED.search(label) else ""


def labels_of(screen: admin.ModelAdmin, request) -> Iterator[tuple[str, str]]:
    """Yield every name that a screen shows with its label."""
    try:
        form: Any = screen.get_form(request)
    except FieldError:
        # A screen with a form of its own, on a page of its own.
        form = None
    names = {*screen.get_list_display(request), *flatten_fieldsets(screen.get_fieldsets(request))}
    names |= {*screen.get_readonly_fields(request)} - {"action_checkbox"}
    for name in sorted(names, key=str):
        try:
            yield str(name), str(label_for_field(name, screen.model, screen, form=form))
        except (AttributeError, FieldDoesNotExist):
            # A field that the form alone has.
            fields = form.base_fields if form else {}
            yield str(name), str(fields[name].label or name) if name in fields else str(name)


SCREENS = sorted(admin.site._registry, key=lambda model: model._meta.label)


@pytest.mark.parametrize("model", SCREENS, ids=lambda model: model._meta.label)
@pytest.mark.django_db
def test_every_label_is_one_a_person_would_say(model, rf):
    request = rf.get("/")
    request.user = User(username="root", is_staff=True, is_superuser=True, is_active=True)
    wrong = [
        f"{name}: “{label}” ({problem})"
        for name, label in labels_of(admin.site._registry[model], request)
        if (problem := label_problem(label))
    ]
    assert not wrong, "\n".join(wrong)


def test_a_generated_label_is_found():
    for label in ("Pdf sha256", "Created by name", "Pi", "Pdf", "Row count", "Fund org", "resource Id", "Json"):
        assert label_problem(label), label
    for label in ("PI", "Created by", "SHA-256 of the PDF", "Rows", "Fund/org", "Resource ID"):
        assert not label_problem(label), label


# ---- Dates and amounts

# The site's formats: a day, a moment (in the audit log to the second), and a month.
DATES = {"DATE_FORMAT", "DATETIME_FORMAT", "M j, Y, H:i:s", "F Y"}
# Where there is no room: the axes of charts, and the many months of their tables.
SHORT_DATES = {
    *((name, each) for name in ("admin/chart.html", "portal/project.html") for each in ("M", "Y")),
    *((name, "M Y") for name in ("admin/chart_table.html", "admin/trends.html")),
}
# What only machines read.
VALUE = re.compile(r'value="\{\{[^}]*\}\}"|\{% if each\|date:"Y-m" == month %\}')


def dates_of(template: str) -> list[str]:
    """Return the formats of dates that a template names, but for values of form fields."""
    return re.findall(r"\|\s*(?:date|time):\s*[\"']([^\"']*)[\"']", VALUE.sub("", template))


@pytest.mark.parametrize("template", TEMPLATES, ids=named)
def test_templates_show_dates_and_amounts_in_one_format(template):
    name, text = str(template.relative_to(ROOT / "templates")), template.read_text(encoding="utf-8")
    assert not [each for each in dates_of(text) if each not in DATES and (name, each) not in SHORT_DATES]
    assert not re.findall(r"\|\s*(?:floatformat|intcomma|stringformat)\b", text)


def formats_in(tree: ast.AST, *, is_screen: bool = False) -> list[str]:
    """Return where a module has a format of its own for a date or an amount; ISO dates are for files and commands."""
    found = []
    names = {id(each) for node in ast.walk(tree) if getattr(node, "arg", "") == "filename" for each in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "strftime":
            found.append(f"line {node.lineno}: strftime")
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "date_format":
            named_format = node.args[1] if len(node.args) > 1 else None
            if isinstance(named_format, ast.Constant) and named_format.value not in DATES | {"H:i:s"}:
                found.append(f"line {node.lineno}: {named_format.value!r}")
        if isinstance(node, ast.FormattedValue) and isinstance(node.format_spec, ast.JoinedStr):
            spec = "".join(str(part.value) for part in node.format_spec.values if isinstance(part, ast.Constant))
            is_own = re.search(r",?\.[23]f|%[BbejyA]|(?<!%m)(?<!%m-)%d", spec) and spec not in ("%B %Y", "%b")
            if is_own or (is_screen and "%Y-%m-%d" in spec and id(node) not in names):
                found.append(f"line {node.lineno}: {spec}")
    return found


# What draws gives places on paper, and the watched folder names folders.
OWN_FORMATS = ("statements/drawing", "statements/tagging.py", "billing/importing/inbox.py", "billing/vectors")


def test_modules_show_dates_and_amounts_in_one_format():
    wrong = {
        named(path): found
        for path in MODULES
        if not named(path).startswith(OWN_FORMATS)
        and (found := formats_in(ast.parse(path.read_text(encoding="utf-8")), is_screen="admin" in named(path)))
    }
    assert not wrong


# They write files, JSON, addresses and what is compared, or read them: there, days and moments are ISO.
ISO_MODULES = (
    "billing/readers/",
    "billing/importing/rollup/",
    "billing/importing/attempts.py",
    "billing/attribution/tags.py",
    "billing/audit/",
    "billing/commands.py",
    "billing/setup/registers/",
    "billing/management/commands/audit.py",
    "billing/admin/list_exports.py",
    "billing/reports/asking.py",
    "statements/api/",
    "statements/list_sheets.py",
    "billing/admin/charges/queue.py",
    "billing/charge_sheets.py",
    "billing/fields.py",
    "billing/usage/pricing/uses.py",
    "billing/usage/readers/",
    "billing/usage/studies/equation.py",
    "billing/proof/seals.py",
    "billing/proof/tieout.py",
    "openchargeback/backups/archive.py",
    "openchargeback/backups/making.py",
    "journals/admin/exporting.py",
    "journals/differences.py",
    "journals/formats/documents.py",
    "journals/posting/records.py",
    "journals/receivables/documents.py",
    "openchargeback/logs.py",
    "statements/admin/statements.py",
    "statements/drawing/",
    "statements/emails/messages.py",
    "statements/emails/outbox.py",
    "statements/issuing/charge_files.py",
    "statements/issuing/planning.py",
    "statements/issuing/snapshots.py",
)
# What writes a day as people read it: a name that holds its result is no date.
WRITERS = {"long_date", "long_dates", "long_span", "long_moment", "date_format"}
NAMES_OF_DATES = re.compile(r"(?:^|[_.])(?:day|date|until|on)$|[_.]at$")
# One is where days are written; the names of the other are columns of SQL.
NO_DAYS = {"billing/texts.py", "billing/importing/staging/figures.py"}


def called(node: ast.AST) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", "")) if isinstance(node, ast.Call) else ""


def names_of_dates(function: ast.AST) -> tuple[set[str], set[str]]:
    """Return the names that a function or module declares as dates, and those that hold what a writer returned."""
    dates, written = set(), set()
    for node in ast.walk(function):
        annotation = getattr(node, "annotation", None)
        if annotation is not None and re.fullmatch(r"(?:datetime\.)?date(?:time)?( \| None)?", ast.unparse(annotation)):
            dates.add(getattr(node, "arg", "") or ast.unparse(getattr(node, "target", node)))
        if isinstance(node, ast.Assign) and any(called(each) in WRITERS for each in ast.walk(node.value)):
            written |= {ast.unparse(target) for target in node.targets}
    return dates, written


def raw_days_in(tree: ast.AST, *, may_be_iso: bool = False) -> list[str]:
    """Return where a module writes a day other than by `texts`; `may_be_iso` allows what says so itself."""
    found = set()
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for scope in (tree, *functions):
        dates, written = names_of_dates(scope) if scope is not tree else (set(), names_of_dates(tree)[1])
        for node in ast.walk(scope):
            if called(node) == "isoformat" and not may_be_iso:
                found.add(f"line {getattr(node, 'lineno', 0)}: isoformat")
            if not isinstance(node, ast.FormattedValue):
                continue
            spec = ast.unparse(node.format_spec) if node.format_spec else ""
            name = ast.unparse(node.value)
            if "%d" in spec and not may_be_iso:
                found.add(f"line {node.lineno}: {spec}")
            elif not spec and name not in written and (name in dates or NAMES_OF_DATES.search(name)):
                found.add(f"line {node.lineno}: {name}")
    return sorted(found)


def test_modules_tell_people_days_by_one_helper():
    wrong = {
        named(path): found
        for path in MODULES
        if named(path) not in NO_DAYS
        and (
            found := raw_days_in(
                ast.parse(path.read_text(encoding="utf-8")), may_be_iso=named(path).startswith(ISO_MODULES)
            )
        )
    }
    assert not wrong


@pytest.mark.parametrize("name", ISO_MODULES)
def test_every_module_of_iso_days_writes_some(name):
    modules = [path for path in MODULES if named(path).startswith(name)]
    assert any(raw_days_in(ast.parse(path.read_text(encoding="utf-8"))) for path in modules)


def test_a_day_that_is_told_as_iso_is_found():
    module = (
        "def told(first: datetime.date | None, period, count: int):\n"
        "    day = long_date(first)\n"
        '    say(f"{count} from {first} until {period.review_until}")\n'
        '    say(f"closed on {day} of {period}, {long_date(first)}")\n'
        '    return f"{first:%Y-%m-%d}", f"{first:%Y-%m}", first.isoformat()\n'
    )
    found = raw_days_in(ast.parse(module))
    assert [each.partition(": ")[2] for each in found] == ["first", "period.review_until", "f'%Y-%m-%d'", "isoformat"]
    assert len(raw_days_in(ast.parse(module), may_be_iso=True)) == 2


def iso_months_in(tree: ast.AST) -> list[str]:
    """Return where a module writes a month as files do: in a format of its own, or in a sentence that is no command."""
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.JoinedStr):
            continue
        said = "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
        for part in node.values:
            if not isinstance(part, ast.FormattedValue):
                continue
            if part.format_spec and ast.unparse(part.format_spec) == "f'%Y-%m'":
                found.add(f"line {part.lineno}: %Y-%m")
            elif "iso_month" in ast.unparse(part.value) and " " in said.strip() and not COMMANDS.search(said):
                found.add(f"line {part.lineno}: {ast.unparse(part.value)}")
    return sorted(found)


# A sentence may name a command to type, and a header the name of a file.
COMMANDS = re.compile(r"manage\.py |review list -p |filename=")
# Where months are written.
NO_MONTHS = {"billing/texts.py"}


def test_modules_tell_people_months_by_name():
    wrong = {
        named(path): found
        for path in MODULES
        if named(path) not in NO_MONTHS and (found := iso_months_in(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert not wrong


def test_a_month_that_is_told_as_iso_is_found():
    module = (
        'say(f"{period.iso_month} is closed: {count}")\n'
        'say(f"{iso_month(day)} takes no changes", f"{day:%Y-%m}")\n'
        'say(f"{period} is closed. Next: manage.py generate -p {period.iso_month}")\n'
        'answer(f"?period={period.iso_month}", f"{period.iso_month}-{number:04d}.pdf")\n'
    )
    found = [each.partition(": ")[2] for each in iso_months_in(ast.parse(module))]
    assert found == ["period.iso_month", "%Y-%m", "iso_month(day)"]


def test_another_format_is_found():
    assert dates_of('<input value="{{ month|date:"Y-m-d" }}">') == []
    assert dates_of('<p>{{ at|date:"Y-m-d H:i" }}</p>') == ["Y-m-d H:i"]
    shown = 'at.strftime("%d.%m.")\ndate_format(at, "d.m.Y")\ndate_format(at, "F Y")\nf"{amount:,.2f} {month:%Y-%m}"\n'
    assert len(formats_in(ast.parse(shown))) == 3
    iso = ast.parse('f"{day:%Y-%m-%d}"\nanswer(filename=f"{day:%Y-%m-%d}.csv")')
    assert formats_in(iso) == []
    assert len(formats_in(iso, is_screen=True)) == 1
