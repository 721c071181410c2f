"""The first steps as the documents show them, typed word for word on a machine that has nothing yet."""

import http.cookiejar
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
GETTING_STARTED = ROOT / "docs" / "getting-started" / "README.md"
ADDRESS = "<address of this repository>"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(shutil.which, ("git", "make", "bash"))) or not (ROOT / ".git").exists(),
        reason="git, make and a repository are needed to begin as the documents do",
    ),
]


def shell_blocks(path: Path) -> list[str]:
    return re.findall(r"^```bash\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Machine:
    """A folder in which nothing of ours is set; packages that are installed here need not be fetched again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "PORT": str(self.port),
        }

    @property
    def project(self) -> Path:
        return self.folder / "openchargeback"

    def clone(self, block: str) -> None:
        """Run the block that clones, and give the clone what is not committed yet, and the packages."""
        lines = [line.replace(ADDRESS, str(ROOT)) for line in block.splitlines()]
        assert lines[0] == f"git clone {ROOT} openchargeback"
        assert lines[1] == "cd openchargeback"
        self.type(lines[0])
        listed = ["git", "ls-files", "--modified", "--others", "--exclude-standard", "-z"]
        changed = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for name in filter(None, changed.split("\0")):
            if (ROOT / name).is_file():
                (self.project / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.project / name)
            elif not (ROOT / name).exists():
                (self.project / name).unlink(missing_ok=True)
        environment = self.project / ".venv"
        environment.mkdir()
        for name in ("bin", "lib", "pyvenv.cfg"):
            (environment / name).symlink_to(Path(sys.prefix) / name)
        for mark in (".installed", ".installed-dev"):
            (environment / mark).touch()

    def type(self, lines: str, folder: Path | None = None) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", lines],
            cwd=folder or self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{lines}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @contextmanager
    def typed(self, lines: str, answers: dict[str, str]):
        """Type lines at a terminal, answer what they ask, and end with Ctrl+C; yields the way to read on."""
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(self.project)
            os.execvpe("bash", ["bash", "-euo", "pipefail", "-c", lines], self.environment)
        said = ""

        def read_until(text: str, seconds: float = 120) -> str:
            nonlocal said
            until = time.monotonic() + seconds
            start = len(said)
            while text not in said[start:]:
                assert time.monotonic() < until, f"“{text}” was not said:\n{said}"
                if not select.select([terminal], [], [], 0.2)[0]:
                    continue
                try:
                    said += os.read(terminal, 65536).decode(errors="replace")
                except OSError:
                    pytest.fail(f"It ended before it said “{text}”:\n{said}")
            return said

        try:
            for question, answer in answers.items():
                read_until(question)
                os.write(terminal, f"{answer}\n".encode())
            yield read_until
        finally:
            os.write(terminal, b"\x03")
            until = time.monotonic() + 40
            while not os.waitpid(child, os.WNOHANG)[0]:
                # Who reads nothing holds up who writes.
                if select.select([terminal], [], [], 0.2)[0]:
                    try:
                        os.read(terminal, 65536)
                    except OSError:
                        time.sleep(0.2)
                if time.monotonic() > until:
                    os.kill(child, signal.SIGKILL)
            os.close(terminal)

    def sign_in(self, username: str, password: str) -> str:
        """Open the site as a browser does, sign in, and return the page that this leads to."""
        site = f"http://localhost:{self.port}"
        cookies = http.cookiejar.CookieJar()
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))
        for _ in range(150):
            try:
                page = browser.open(site, timeout=10)
                break
            except OSError:
                time.sleep(0.2)
        assert page.url.startswith(f"{site}/accounts/login/")
        token = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.read().decode())[0]
        form = {"csrfmiddlewaretoken": token, "username": username, "password": password, "next": "/"}
        answer = browser.open(page.url, data=urllib.parse.urlencode(form).encode(), timeout=30)
        assert answer.url == f"{site}/admin/"
        return answer.read().decode()


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_the_readme_shows_the_two_commands_and_both_run(machine):
    clone, test = shell_blocks(README)[:2]
    *_, demo = clone.splitlines()
    assert (demo, test.strip()) == ("make demo", "make test")
    machine.clone(clone)
    with machine.typed(demo, {}) as read_until:
        said = read_until("Serving at")
        password = re.search(r"^admin\s+admin\s+(\S+)", said, re.MULTILINE)[1]
        page = machine.sign_in("admin", password)
    # Both months of the sample, whichever the dashboard opens on.
    assert "January 2026" in page
    assert "February 2026" in page
    assert f"http://localhost:{machine.port}" in said
    assert "To start for real" in said
    # Nothing of it lies where a real installation keeps its data.
    assert [path.name for path in (machine.project / "var").iterdir()] == ["demo"]
    # Of all the tests a few: these here run under the same command.
    machine.environment["PYTEST_ARGS"] = "tests/test_arrows.py -n 0"
    assert "passed" in machine.type(test, machine.project)


def test_getting_started_works_as_it_is_written(machine):
    install, configure, set_up = shell_blocks(GETTING_STARTED)[:3]
    assert install.splitlines()[2:] == ["make setup"]
    machine.clone(install)
    machine.type("make setup", machine.project)
    machine.type(configure, machine.project)
    assert oct((machine.project / ".env").stat().st_mode)[-3:] == "600"
    assert "change-me" not in (machine.project / ".env").read_text().split("SECRET_KEY=")[1]
    password = "a rather long secret 7"
    answers = {"Username": "first", "Email": "first@u.edu", "Password": password, "Password (again)": password}
    with machine.typed(set_up, answers) as read_until:
        said = read_until("Serving at")
        page = machine.sign_in("first", password)
    assert f"http://localhost:{machine.port}" in said
    assert "This machine alone can open it" in said
    assert "No directory at" not in said
    assert "Traceback" not in said
    assert "OpenChargeback 0." in page


def test_no_address_leads_to_another_program():
    for path in (README, *(ROOT / "docs").rglob("*.md")):
        assert "github.com/atmarx" not in path.read_text(encoding="utf-8"), path
    for path in (README, GETTING_STARTED):
        assert f"git clone {ADDRESS} openchargeback\ncd openchargeback\n" in path.read_text(encoding="utf-8")
        assert "initialize" in path.read_text(encoding="utf-8")


def test_what_is_loaded_is_not_looked_through_for_cycles():
    """Neither later nor at the end, where it took longer than loading itself; what a command makes still is."""
    script = """
import gc, sys
sys.argv = ["manage.py", "check"]
import manage
manage.prepare(sys.argv[1:])
manage.load()
print("LOADED", gc.isenabled(), gc.get_freeze_count() > 100_000)
manage.run = lambda arguments: None
manage.main()
print("ENDED", len(gc.get_objects()) < 1_000)
"""
    environment = {"PATH": os.environ["PATH"], "DEBUG": "true", "EMAIL_URL": ""}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["LOADED True True", "ENDED True"]


def test_the_demo_touches_nothing_of_a_real_installation(tmp_path):
    """Neither its database nor its mail server, whatever the environment says."""
    script = """
import os, sys
sys.argv = ["manage.py", "demo", "--help"]
import manage
try:
    manage.main()
except SystemExit:
    pass
from django.conf import settings
import json
print("SETTINGS", json.dumps([str(settings.VAR_DIR), str(settings.DATABASES["default"]["NAME"]),
    settings.EMAIL_BACKEND, settings.AUDIT_ANCHOR, "redis" in settings.Q_CLUSTER, settings.ALLOWED_HOSTS]))
"""
    environment = {
        "PATH": os.environ["PATH"],
        "VAR_DIR": str(tmp_path),
        "DATABASE_URL": "postgres://billing@db.example.edu/billing",
        "EMAIL_URL": "smtp://mail.example.edu",
        "AUDIT_ANCHOR": "/srv/audit-head",
        "Q_BROKER_URL": "redis://127.0.0.1",
        "ALLOWED_HOSTS": "billing.example.edu",
    }
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.rsplit("SETTINGS", 1)[1])
    assert found == [
        str(tmp_path / "demo"),
        str(tmp_path / "demo" / "db.sqlite3"),
        "django.core.mail.backends.filebased.EmailBackend",
        "",
        False,
        ["localhost", "127.0.0.1", "[::1]"],
    ]
