"""What the environment may set: documented, and refused where it would be unsafe."""

import json
import os
import re
import secrets
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openchargeback import __version__, secret_keys

ROOT = Path(__file__).resolve().parent.parent


def settings_read() -> set[str]:
    source = (ROOT / "openchargeback" / "settings.py").read_text(encoding="utf-8")
    return set(re.findall(r"""\benv(?:\.\w+)?\(\s*["']([A-Z_]+)["']""", source))


def settings_documented() -> set[str]:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    return set(re.findall(r"^#?([A-Z][A-Z_]+)=", example, re.MULTILINE))


def test_every_setting_of_the_environment_is_in_the_example_and_no_other():
    assert settings_read() == settings_documented()


def test_the_walk_over_settings_finds_them():
    assert {"SECRET_KEY", "DATABASE_URL", "INSECURE_HTTP", "Q_BROKER_URL"} <= settings_read()


def check(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in settings_documented()}
    return subprocess.run(
        [sys.executable, *(command or ("manage.py", "check", "--deploy", "--fail-level", "WARNING"))],
        cwd=ROOT,
        env=clean | {"DATABASE_URL": "sqlite://:memory:"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("DATABASE_URL", "localhost/billing", "DATABASE_URL is not the address of a database"),
        ("DATABASE_URL", "mysql://u:p@h/billing", "DATABASE_URL is not the address of a database"),
        ("DATABASE_URL", "postgres://u:p@ss@h:5432x/billing", "DATABASE_URL is not the address of a database"),
        ("EMAIL_URL", "mail.example.edu", "EMAIL_URL is not the address of a mail server"),
        ("EMAIL_URL", "smtp://h:port", "EMAIL_URL is not the address of a mail server"),
        ("Q_BROKER_URL", "127.0.0.1:6379", "Q_BROKER_URL is not the address of a queue"),
        ("DATABASE_WAIT_SECONDS", "1m", "DATABASE_WAIT_SECONDS=1m: write a whole number."),
        ("MAX_UPLOAD_BYTES", "2GB", "MAX_UPLOAD_BYTES=2GB: write a whole number."),
        ("OIDC_REQUIRE_VERIFIED_EMAIL", "perhaps", "OIDC_REQUIRE_VERIFIED_EMAIL=perhaps: write true or false."),
        ("TIME_ZONE", "Pacific", "TIME_ZONE=Pacific: there is no such time zone."),
        ("LOG_LEVEL", "loud", "LOG_LEVEL=LOUD: write WARNING, INFO or DEBUG."),
    ],
)
def test_a_setting_that_cannot_be_understood_is_named_in_a_sentence(tmp_path, setting, value, said):
    run = check(**{"DEBUG": "true", "VAR_DIR": str(tmp_path), setting: value})
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert run.stderr.splitlines()[-1].startswith(said)


@given(text=st.text("ab", max_size=12))
def test_a_text_is_repeated_as_its_definition_says(text):
    repeats = any((text[:length] * 12).startswith(text) for length in range(1, len(text) // 2 + 1))
    assert secret_keys.is_repeated(text) == repeats


@pytest.mark.parametrize(
    ("given_here", "trusted"),
    [
        ({}, ["127.0.0.1", "::1", "unix"]),
        ({"TRUSTED_PROXIES": ""}, []),
        ({"TRUSTED_PROXIES": "10.0.5.2"}, ["10.0.5.2"]),
    ],
)
def test_an_empty_list_is_one_of_nothing(tmp_path, given_here, trusted):
    says = "from openchargeback import settings; print(settings.TRUSTED_PROXIES)"
    run = check("-c", says, DEBUG="true", VAR_DIR=str(tmp_path), **given_here)
    assert run.stdout.strip() == str(trusted), run.stderr


def test_an_empty_setting_is_one_that_was_not_set(tmp_path):
    empty = dict.fromkeys(settings_documented() - {"DEBUG", "VAR_DIR"}, "")
    run = check("manage.py", "version", DEBUG="true", VAR_DIR=str(tmp_path), **empty)
    assert (run.returncode, run.stderr) == (0, "")


def test_outside_debug_the_program_refuses_to_start_without_a_secret_key(tmp_path):
    run = check(DEBUG="false", SECRET_KEY="", VAR_DIR=str(tmp_path))
    assert run.returncode == 1
    assert "SECRET_KEY is not set. Make one with" in run.stderr


def test_the_example_copied_as_it_is_is_no_secret_key(tmp_path):
    run = check(DEBUG="false", SECRET_KEY="change-me", VAR_DIR=str(tmp_path))
    assert run.returncode == 1
    assert run.stderr.startswith("SECRET_KEY is still the placeholder “change-me” of .env.example. Make one with")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("a", "too short (1 of at least 32 characters)"),
        ("secret", "a placeholder"),
        ("changeme", "a placeholder"),
        ("change-me-please-change-me-please-change-me-please", "still the placeholder"),
        ("CHANGE_ME_TO_A_LONG_RANDOM_STRING_OF_AT_LEAST_50_CHARACTERS", "a placeholder"),
        ("your-secret-key-here-your-secret-key-here-your-secret-key", "a placeholder"),
        ("insecure-key-for-debug-only", "a placeholder"),
        ("django-insecure-" + "k3!x(8c7$w@m1z^q5v&b9n*r2t-y6u=h4j_g0f+d", "that Django makes"),
        ("7f3Kq9", "too short (6 of"),
        ("0123456789abcdef0123456789abcde", "too short (31 of"),
        ("a" * 67, "repeats"),
        ("x7Q" * 20, "repeats"),
        ("0123456789abcdef" * 4, "repeats"),
        ("correct horse battery staple " * 3, "repeats"),
        # Made by token_urlsafe(50) and token_hex(32): each run has to collect the same tests.
        ("O2Jhice6sZ-EaNGsv5a1NhxPESZWAhIE8xUA0LwV49n9Qkvh7N3eCAvwiBS9RiupNa4", ""),
        ("a882d487344ec608dceec0121c0392e60976da8e40d5e59be5b9fed68e0458cd", ""),
        ("only-for-a-scratch-database-of-the-benchmark-0123456789", ""),
    ],
)
def test_a_secret_key_that_is_none_is_named(key, said):
    assert said in secret_keys.problem_of(key)
    assert bool(said) == bool(secret_keys.problem_of(key))


def test_a_key_of_random_characters_is_never_refused():
    every = (make(size) for make, size in [(secrets.token_hex, 16), (secrets.token_urlsafe, 24)] for _ in range(2000))
    assert [key for key in every if secret_keys.problem_of(key)] == []


@pytest.mark.parametrize("key", ["a", "secret", "django-insecure-" + "k3!x(8c7w@m1zq5vb9nr2t-y6u=h4j", "x7Q" * 20])
def test_the_program_refuses_to_start_with_a_key_that_is_no_secret(tmp_path, key):
    run = check(DEBUG="false", SECRET_KEY=key, VAR_DIR=str(tmp_path))
    assert run.returncode == 1
    assert run.stderr.startswith(f"SECRET_KEY {secret_keys.problem_of(key)}. Make one with")
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    "command", [("--help",), ("help",), ("ingest", "--help"), ("serve", "-h"), ("help", "periods"), ("version",)]
)
def test_help_and_version_need_no_secret_key_and_no_database(tmp_path, command):
    database = {"DATABASE_URL": "postgres://nobody@127.0.0.1:1/none"}
    run = check("manage.py", *command, DEBUG="false", SECRET_KEY="change-me", VAR_DIR=str(tmp_path), **database)
    assert run.returncode == 0, run.stderr
    assert not run.stderr
    assert run.stdout


def test_the_version_is_said_as_the_package_has_it(tmp_path):
    for command in (("version",), ("--version",)):
        run = check("manage.py", *command, VAR_DIR=str(tmp_path))
        assert run.stdout.startswith(f"OpenChargeback {__version__} (Django")
    run = check("manage.py", "version", "--json", VAR_DIR=str(tmp_path))
    assert json.loads(run.stdout)["version"] == __version__
    assert check("manage.py", "ingest", "--version", VAR_DIR=str(tmp_path)).stdout == f"{__version__}\n"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["setuptools"]["dynamic"]["version"]["attr"] == "openchargeback.__version__"
    assert "version" not in project["project"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "taken").touch()
    run = check("manage.py", "check", DEBUG="true", VAR_DIR=str(tmp_path / "taken"))
    assert run.returncode == 1
    assert run.stderr.startswith(f"VAR_DIR: the folder {tmp_path / 'taken'} cannot be made")


def test_a_database_that_does_not_answer_is_named_without_a_traceback(tmp_path):
    database = {"DATABASE_URL": "postgres://nobody@127.0.0.1:1/none"}
    run = check("manage.py", "periods", "list", DEBUG="true", VAR_DIR=str(tmp_path), **database)
    assert run.returncode == 1
    assert run.stderr.startswith("CommandError: The database cannot be reached:")


HTTPS = """
import django
django.setup()
from django.conf import settings
print(settings.SECURE_SSL_REDIRECT, settings.SESSION_COOKIE_SECURE, settings.SECURE_HSTS_SECONDS > 0)
"""


@pytest.mark.parametrize(
    ("named", "https"),
    [
        # As .env.example is: a first look on one's own machine.
        ({}, False),
        ({"SITE_URL": "http://localhost:9000", "ALLOWED_HOSTS": "localhost"}, False),
        ({"SITE_URL": "https://localhost:8000"}, True),
        ({"SITE_URL": "https://billing.example.edu", "ALLOWED_HOSTS": "billing.example.edu"}, True),
        ({"SITE_URL": "http://billing.example.edu"}, True),
        ({"ALLOWED_HOSTS": "localhost,billing.example.edu"}, True),
        ({"ALLOWED_HOSTS": "*"}, True),
        ({"INSECURE_HTTP": "false"}, True),
        ({"INSECURE_HTTP": "true", "ALLOWED_HOSTS": "billing.example.edu"}, False),
    ],
)
def test_every_site_but_a_trial_on_ones_own_machine_needs_https(tmp_path, named, https):
    settings = {
        "DEBUG": "false",
        "SECRET_KEY": secrets.token_urlsafe(50),
        "DJANGO_SETTINGS_MODULE": "openchargeback.settings",
    }
    run = check("-c", HTTPS, VAR_DIR=str(tmp_path), **settings, **named)
    assert run.stdout.split() == [str(https)] * 3, run.stderr


SHOW = """
import django
from django.core.checks import run_checks
django.setup()
from django.conf import settings
print([str(found) for found in run_checks(include_deployment_checks=True)])
print(settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME)
print(settings.SESSION_COOKIE_SECURE, settings.CSRF_COOKIE_SECURE)
print(settings.SECURE_HSTS_SECONDS >= 31536000, settings.SECURE_HSTS_INCLUDE_SUBDOMAINS, settings.SECURE_SSL_REDIRECT)
"""


def test_deploy_checks_are_clean_and_cookies_are_bound_to_this_host(tmp_path):
    run = check(
        "-c",
        SHOW,
        DEBUG="false",
        SECRET_KEY=secrets.token_urlsafe(50),
        VAR_DIR=str(tmp_path),
        SITE_URL="https://billing.example.edu",
        ALLOWED_HOSTS="billing.example.edu",
        DJANGO_SETTINGS_MODULE="openchargeback.settings",
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == ["[]", "__Host-sessionid __Host-csrftoken", "True True", "True True True"]
