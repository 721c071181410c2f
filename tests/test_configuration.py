"""What the environment may set: documented, and refused where it would be unsafe."""

import os
import re
import subprocess
import sys
from pathlib import Path

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


def test_outside_debug_the_program_refuses_to_start_without_a_secret_key(tmp_path):
    run = check(DEBUG="false", SECRET_KEY="", VAR_DIR=str(tmp_path))
    assert run.returncode == 1
    assert "SECRET_KEY is not set. Make one with" in run.stderr


def test_the_example_copied_as_it_is_is_no_secret_key(tmp_path):
    run = check(DEBUG="false", SECRET_KEY="change-me", VAR_DIR=str(tmp_path))
    assert run.returncode == 1
    assert "SECRET_KEY is not set" in run.stderr


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
        SECRET_KEY="x7Q" * 20 + "abcdefghijkl",
        VAR_DIR=str(tmp_path),
        DJANGO_SETTINGS_MODULE="openchargeback.settings",
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == ["[]", "__Host-sessionid __Host-csrftoken", "True True", "True True True"]
