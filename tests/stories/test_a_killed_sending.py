"""A run of e-mails that is killed after the mail server took one and before that is recorded: never mailed twice."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.smtp import mail_server
from tests.stories.stage import row, tags, write

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def manage(tmp_path):
    """Run `manage.py` as a process of its own, on a database of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    environment |= {"DEBUG": "true", "VAR_DIR": str(tmp_path / "var"), "EMAIL_TIMEOUT": "60"}

    def begin(*arguments, **more):
        return subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=environment | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(*arguments, **more):
        process = begin(*arguments, **more)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    run.begin = begin
    for arguments in (("initialize",), ("ingest", str(write(tmp_path / "aws_2025-01.csv", [row("100.00")])))):
        code, _, err = run(*arguments, EMAIL_URL="")
        assert code == 0, err
    code, _, err = run("generate", "-p", "2025-01", EMAIL_URL="")
    assert code == 0, err
    return run


@pytest.mark.slow
def test_an_e_mail_whose_run_was_killed_is_reported_until_a_person_decides(manage, tmp_path):
    with mail_server() as server:
        server.holds_at = tmp_path / "accepted"
        killed = manage.begin("send_statements", "-p", "2025-01", EMAIL_URL=server.url)
        for _ in range(600):
            if server.holds_at.exists():
                break
            time.sleep(0.1)
        killed.kill()
        killed.wait()
        killed.stdout.close()
        killed.stderr.close()
        assert len(server.to("ada@u.edu")) == 1
    with mail_server() as server:
        # Two runs in turn: each says so and ends with 1, and none mails it again.
        for _ in range(2):
            code, out, err = manage("send_statements", "-p", "2025-01", "--json", EMAIL_URL=server.url)
            told = json.loads(out)
            assert (code, told["sent"], [each["recipient"] for each in told["interrupted"]]) == (1, 0, ["ada@u.edu"])
            assert "#1 to ada@u.edu" in err
        assert server.mailbox == []
        code, out, err = manage(
            "send_statements", "--again", "1", "--reason", "The run was stopped", EMAIL_URL=server.url
        )
        assert code == 0, err
        assert len(server.to("ada@u.edu")) == 1
        code, out, err = manage("send_statements", "-p", "2025-01", EMAIL_URL=server.url)
        assert (code, "Nothing to send" in out) == (0, True), err
        assert len(server.to("ada@u.edu")) == 1


@pytest.mark.slow
def test_two_senders_at_once_mail_each_recipient_once(manage, tmp_path):
    more = [
        row("5.00", ResourceId=f"i-{number}", Tags=tags(f"pi{number}@u.edu", f"p{number}", "BIO-001"))
        for number in range(30)
    ]
    code, _, err = manage(
        "ingest", str(write(tmp_path / "gcp_2025-01.csv", more)), "-s", "gcp", "--force", EMAIL_URL=""
    )
    assert code == 0, err
    code, _, err = manage("generate", "-p", "2025-01", EMAIL_URL="")
    assert code == 0, err
    with mail_server() as server:
        both = [manage.begin("send_statements", "-p", "2025-01", "--json", EMAIL_URL=server.url) for _ in range(2)]
        answers = [process.communicate(timeout=240) for process in both]
        assert [process.returncode for process in both] == [0, 0], [err for _, err in answers]
        got = [mail.recipients[0] for mail in server.mailbox]
        assert sorted(got) == sorted({"ada@u.edu", *(f"pi{number}@u.edu" for number in range(30))})
        told = [json.loads(out)["sent"] for out, _ in answers]
        assert sum(told) == 31
        code, out, _ = manage("send_statements", "-p", "2025-01", EMAIL_URL=server.url)
        assert (code, "Nothing to send" in out) == (0, True)
        assert len(server.mailbox) == 31


@pytest.mark.slow
def test_a_worker_tries_again_what_was_put_off(manage, tmp_path):
    """A run is put off, ends with 1, and the worker sends it by itself once its time has come."""
    with mail_server() as server:
        server.refuses["ada@u.edu"] = "450 4.2.1 Greylisted"
        code, _, err = manage("send_statements", "-p", "2025-01", EMAIL_URL=server.url)
        assert (code, "ada@u.edu" in err) == (1, True)
        assert server.mailbox == []
        server.refuses.clear()
        # Five minutes pass.
        code, _, err = manage(
            "shell",
            "-c",
            "from statements.models import Email; from django.utils import timezone; "
            "Email.objects.update(try_again_at=timezone.now())",
            EMAIL_URL=server.url,
        )
        assert code == 0, err
        worker = manage.begin("qcluster", EMAIL_URL=server.url)
        try:
            for _ in range(600):
                if server.mailbox:
                    break
                time.sleep(0.1)
        finally:
            worker.terminate()
            worker.communicate(timeout=60)
        assert len(server.to("ada@u.edu")) == 1
        code, out, _ = manage("send_statements", "-p", "2025-01", EMAIL_URL=server.url)
        assert (code, "Nothing to send" in out) == (0, True)
