"""What a person reads of every list command: amounts, dates and counts as the pages write them."""

import datetime
import io
import json
import os
import subprocess
import sys
from decimal import Decimal

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.core.management.base import OutputWrapper

from billing import charging, commands
from billing.models import ImportedFile, Person, Source
from journals import posting
from tests.build import NOW, SOMEBODY, a_charge, a_correction, a_period, a_source, an_import, shut

pytestmark = pytest.mark.django_db


def said(*arguments):
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("value", "currency", "text"),
    [
        ("20227", "USD", "20,227.00 USD"),
        ("20227", "JPY", "20,227 JPY"),
        ("1234.5", "KWD", "1,234.500 KWD"),
        ("-1234.5", "EUR", "-1,234.50 EUR"),
        ("-0.001", "USD", "0.00 USD"),
        ("0.005", "USD", "0.01 USD"),
        (None, "USD", "–"),
    ],
)
def test_an_amount_is_in_cents_with_separators_and_its_currency(value, currency, text):
    assert commands.amount(value and Decimal(value), currency) == text


@pytest.mark.parametrize(
    ("value", "currency", "text"),
    [
        ("1234567.00000013", "USD", "1,234,567.00000013"),
        ("-1000", "USD", "-1,000.00"),
        ("-0.50", None, "-0.50"),
        ("-1000", "JPY", "-1,000"),
        ("33.4", "JPY", "33.4"),
        ("0", "KWD", "0.000"),
        (None, "USD", "–"),
    ],
)
def test_what_has_to_add_up_is_exact_to_its_last_digit(value, currency, text):
    assert commands.exact_figure(value and Decimal(value), currency) == text


def test_json_has_the_decimals_of_the_currency_named_beside_or_around_an_amount():
    of_both = {"JPY": Decimal("33.00000000"), "USD": Decimal("1.5")}
    data = {
        "currency": "JPY",
        "due": Decimal(33),
        "lines": [{"charged": Decimal("7.00000000"), "parts": [{"currency": "KWD", "charged": Decimal("1.5")}]}],
        "billed": of_both,
    }
    assert commands.in_its_currency(data) == {
        "currency": "JPY",
        "due": "33",
        "lines": [{"charged": "7", "parts": [{"currency": "KWD", "charged": "1.500"}]}],
        "billed": {"JPY": "33", "USD": "1.50"},
    }
    assert commands.in_its_currency({"share": Decimal("0.1")}) == {"share": "0.10"}


def test_days_and_times_are_iso_in_the_time_zone_of_the_installation(settings):
    settings.TIME_ZONE = "America/New_York"
    late = datetime.datetime(2025, 2, 1, 3, 4, 5, tzinfo=datetime.UTC)
    assert (commands.day(late), commands.moment(late)) == ("2025-01-31", "2025-01-31 22:04")
    assert (commands.day(late.date()), commands.day(None), commands.moment(None)) == ("2025-02-01", "–", "–")


@pytest.fixture
def january(db):
    """A month with charges, one held, a journal and a correction, all over a thousand."""
    paid = a_charge("20000.125", list_cost="25000.5")
    a_charge("1234.5", flags=("pattern_match",))
    charging.make_payer_lines(period=a_period(), actor=SOMEBODY, now=NOW)
    posting.draft(period=a_period(), actor=SOMEBODY, now=NOW)
    shut()
    a_period("2025-02")
    a_correction(paid)
    return a_period()


@pytest.mark.parametrize(
    ("command", "shows"),
    [
        (("review", "list", "-p", "2025-01"), ["1,234.50 USD", "1 charge held, 1,234.50 USD billed."]),
        (("periods", "list"), ["21,234.63 USD", "20,000.13 USD"]),
        (("journals", "list"), ["20,000.13 USD", "2025-01-31"]),
        (("show", "ada@u.edu"), ["25,000.50", "20,000.13 USD", "1,234.50 USD billed."]),
        (("corrections", "list"), ["USD"]),
        (("export_journal", "-p", "2025-01", "-f", "gl"), ["debits 20,000.13 USD, credits 20,000.13 USD"]),
        (("proof", "-p", "2025-01"), ["20,000.125"]),
    ],
)
def test_every_list_writes_amounts_with_separators_and_currency(january, command, shows):
    text = said(*command)
    for each in shows:
        assert each in text
    for wrong in ("20000", "1234.5", "21234", "25000"):
        assert wrong not in text


def test_json_stays_exact(january):
    [row] = json.loads(said("show", "ada@u.edu", "--json"))["projects"]
    assert (row["list"], row["billed"], row["held_billed"]) == ("25000.50", "20000.125", "1234.50")


def test_an_import_is_shown_in_words_people_read():
    imported = an_import(a_source(), totals={"USD": {"BilledCost": "20227.00", "ListCost": "32260.125"}}, rows=1059)
    text = said("imports", "show", str(imported.pk))
    assert "USD: BilledCost 20,227.00; ListCost 32,260.125" in text
    assert "1,059" in text
    assert commands.moment(imported.created_at) in text
    assert "{" not in text


def ascii_terminal(encoding="ascii"):
    """A stream as Python opens one for a terminal of this encoding: it raises for what that has no character for."""
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict", write_through=True)


LISTS = [
    ("show", "ada@u.edu"),
    ("review", "list"),
    ("imports", "list"),
    ("people", "list"),
    ("periods", "list"),
    ("sources", "list"),
    ("corrections", "list"),
    ("journals", "list"),
    ("audit", "list"),
    ("audit", "export"),
    ("proof", "-p", "2025-02"),
    ("trace", "the charge"),
]


@pytest.fixture
def hostile(january):
    """A month in which everything that anybody types or a provider sends moves the cursor or ends the line."""
    bad = "\u6797\u6653\u96ef\x1b[2J\x9b\r\n9 forged line\x07\u202e\u2028"
    Person.objects.update(name=bad)
    Source.objects.update(display_name=f"Aws {bad}"[:40])
    ImportedFile.objects.update(name=bad)
    held = {"flags": ("pattern_match",), "service_name": bad, "resource_name": bad, "project": "p\u202e-1"}
    return a_charge("7.00", period="2025-02", **held).pk


@pytest.mark.parametrize("arguments", LISTS)
def test_a_terminal_gets_nothing_that_acts_on_it_and_no_command_breaks(hostile, arguments):
    arguments = ("trace", str(hostile)) if arguments[0] == "trace" else arguments
    for encoding in ("ascii", "latin-1", "utf-8"):
        read_on_a_terminal(arguments, encoding)


def read_on_a_terminal(arguments, encoding):
    out = ascii_terminal(encoding)
    call_command(*arguments, stdout=out)
    text = out.buffer.getvalue().decode(encoding)
    assert text
    assert not set(text) & set("\x1b\x9b\x07\r\u202e\u2028")
    # A line of a file's text is none of the command's.
    assert not any(line.startswith("9 forged") for line in text.splitlines())


def test_json_is_json_in_every_encoding(hostile):
    for encoding in ("ascii", "latin-1", "utf-8"):
        out = ascii_terminal(encoding)
        call_command("show", "ada@u.edu", "--json", stdout=out)
        text = out.buffer.getvalue().decode(encoding)
        assert json.loads(text)["name"] == Person.objects.get(email="ada@u.edu").name
        assert not set(text) & set("\x1b\x9b\x07\r\u202e\u2028")


def test_an_error_writes_out_what_was_typed(january):
    with pytest.raises(CommandError) as refused:
        call_command("show", "nobody\x1b[2J@u.edu")
    err = ascii_terminal()
    command = load_command_class("billing", "show")
    command.stderr = OutputWrapper(err)
    command.stderr.write(str(refused.value))
    assert "\\x1b[2J" in err.buffer.getvalue().decode("ascii")


def test_help_is_printed_on_an_ascii_terminal():
    run = [sys.executable, "manage.py", "review", "--help"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "DEBUG": "true"}
    done = subprocess.run(run, capture_output=True, cwd=settings.BASE_DIR, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_no_option_of_ours_is_one_that_django_takes_from_the_whole_line():
    """Django reads these before it knows the command: the settings of a reader would be taken for a module."""
    taken = {"--settings", "--pythonpath"}
    for name, app in get_commands().items():
        if app in ("billing", "statements", "journals", "openchargeback"):
            parser = load_command_class(app, name).create_parser("manage.py", name)
            for verb in commands.subparsers_of(parser):
                assert not taken & set(verb._option_string_actions), verb.prog
