"""What to do next is said once, and each door words it: no command on a page, no page in a terminal."""

import ast
import re
from io import StringIO

import pytest
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.utils.html import escape

from billing import doors
from billing.errors import BillingError, NextStep
from billing.models import Job
from billing.proof import About
from tests import build
from tests.test_arrows import APPS, ROOT, kind_of, modules_of, named

# A command of ours or a flag, in what a person may read.
COMMAND = re.compile(r"manage\.py|(?<![-\w])--[a-z]|`(?:ingest|periods|sources|review|generate|imports|journals) ")

# Modules that only the command line and the system administrator read.
# Readers of usage name the flags of the program that writes a file.
OF_OTHER_PROGRAMS = "billing/usage/readers/"
OF_THE_TERMINAL = {"openchargeback/serving.py", "openchargeback/recovery.py", "billing/safeguards/installing.py"}

# What still names commands where pages show it; this list only gets shorter.
PENDING: set[str] = set()

ABOUT = {
    "period": "2025-01",
    "id": "7",
    "source": "aws",
    "import": "3",
    "job": "5",
    "journal": "4",
    "reverse_on": "2025-02-01",
    "number": "J2025-01-1",
    "segment": "fund",
    "table": "worktags",
    "fund_org": "BIO-001",
    "file": "a.csv",
    "user": "rex",
    "currency": "EUR",
    "export": "A2025-01-1",
    "feed": "tiger",
    "feed_id": "6",
    "priced": "9",
    "schedule": "hpc",
    "format": "gl",
}


def spoken(path):
    """Return the texts of a module that may reach a person: every string but docstrings, with its line."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    silent = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent
    ]


def naming_commands():
    found = {}
    for app in APPS:
        for path in modules_of(app):
            if kind_of(path) in ("management", "doors") or named(path) in OF_THE_TERMINAL:
                continue
            if path.name in ("settings.py", "demo.py", "commands.py", "wordings.py") or named(path).startswith(
                OF_OTHER_PROGRAMS
            ):
                continue
            lines = [line for line, text in spoken(path) if COMMAND.search(text)]
            if lines:
                found[named(path)] = lines
    for path in sorted((ROOT / "templates").rglob("*.html")):
        lines = [line for line, text in enumerate(path.read_text("utf-8").splitlines(), 1) if COMMAND.search(text)]
        if lines:
            found[named(path)] = lines
    return found


def test_no_engine_module_or_page_names_a_command_or_a_flag():
    found = {name: lines for name, lines in naming_commands().items() if name not in PENDING}
    assert not found, f"Name the next step instead (billing/wordings.py): {found}"


def test_what_is_pending_is_still_to_be_done():
    assert not PENDING - set(naming_commands()), "Done: take it off the list."


@pytest.mark.parametrize("name", sorted(doors.WORDINGS))
def test_every_step_has_a_command_that_there_is_and_a_page_that_there_is(name):
    step = NextStep(name, ABOUT)
    command, _, rest = doors.as_command(step).removeprefix("manage.py ").partition(" ")
    assert command in get_commands()
    parser = load_command_class(get_commands()[command], command).create_parser("manage.py", command)
    for flag in re.findall(r"--?[a-z][a-z-]*", rest):
        known = {option for each in [parser, *doors_of(parser)] for option in each._option_string_actions}
        assert flag in known, f"{command} has no {flag}"
    assert doors.url_of(step).startswith("/")
    assert doors.label_of(step)


def doors_of(parser):
    from billing.commands import subparsers_of

    return subparsers_of(parser)


def test_a_step_without_words_is_an_error():
    with pytest.raises(doors.UnknownStep, match="fly"):
        doors.as_command(NextStep("fly"))


def test_a_refusal_is_worded_for_its_door():
    error = BillingError("3 charges are held & wait.", then=NextStep("review", {"period": "2025-01"}))
    assert doors.for_terminal(error) == "3 charges are held & wait. Next: `manage.py review list -p 2025-01`."
    page = doors.for_page(error)
    assert escape("held & wait") in page
    assert "?period=2025-01" in page
    assert "manage.py" not in page


def test_a_refused_job_leaves_its_next_step_for_its_page(cast, client, monkeypatch):
    from billing.background import jobs

    def refuse(**given):
        raise BillingError("3 charges are held.", then=NextStep("review", {"period": "2025-01"}))

    monkeypatch.setitem(jobs.kinds._works, Job.Kind.GENERATE, refuse)
    job = Job.objects.create(kind=Job.Kind.GENERATE, created_at=build.NOW)
    jobs.run(job.pk)
    client.force_login(cast.reviewer)
    page = client.get(f"/admin/billing/job/{job.pk}/change/").content.decode()
    assert "3 charges are held." in page
    assert "?period=2025-01" in page
    assert "Review charges" in page


def test_a_job_of_statements_leads_on_to_them_and_to_its_month(cast, client):
    period = build.a_period()
    result = {"period": "2025-01", "dry_run": False, "held": {"count": 0, "billed": "0.00"}, "issued": 7, "sent": 0}
    Job.objects.create(
        kind=Job.Kind.GENERATE,
        state=Job.State.DONE,
        created_at=build.NOW,
        finished_at=build.NOW,
        arguments={"period": period.pk},
        result=result,
    )
    client.force_login(cast.reviewer)
    page = client.get(f"/admin/billing/job/{Job.objects.get().pk}/change/").content.decode()
    assert 'href="/admin/statements/statement/?period=2025-01">Show the statements</a>' in page
    assert 'href="/admin/?period=2025-01">Go on with January 2025</a>' in page
    assert "<dt>Period</dt><dd>January 2025</dd>" in page.split('id="asked-title"')[1]
    for noise in ("Dry run", "count: 0", "<dt>Sent</dt>"):
        assert noise not in page


def test_a_command_says_the_command_that_comes_next(db, monkeypatch):
    def refuse(self, **options):
        raise BillingError("No.", then=NextStep("review", {"period": "2025-01"}))

    monkeypatch.setattr("billing.management.commands.periods.Command.run", refuse)
    with pytest.raises(CommandError, match=r"No\. Next: `manage\.py review list -p 2025-01`\."):
        call_command("periods", "list", stdout=StringIO())


def test_a_page_names_who_can_where_the_person_may_not_open_the_page_of_the_step(cast):
    error = BillingError("It has ended.", then=NextStep("except_fund", ABOUT))
    assert "<a href=" in doors.for_page(error, cast.finance)
    told = doors.for_page(error, cast.reviewer)
    assert "<a href=" not in told
    assert "admin or finance" in told
    assert doors.lines_for_page(error, cast.reviewer)[-1] in told


def test_what_something_is_about_leads_to_its_page_where_the_person_may_open_it(cast):
    row = About("billing.charge", 7)
    assert doors.page_about(row, cast.viewer) == "/admin/billing/charge/7/change/"
    assert doors.page_about(row, cast.pi) == ""
    assert doors.page_about(None, cast.viewer) == ""
    listed = About("billing.charge", where={"source": 3, "standing": "live", "state": ("held",)})
    assert doors.page_about(listed, cast.viewer) == (
        "/admin/billing/charge/?source__id__exact=3&standing=live&state__exact=held"
    )
    several = About("billing.charge", where={"state": ("clear", "approved")})
    assert doors.page_about(several, cast.viewer).endswith("?state__in=clear%2Capproved")
