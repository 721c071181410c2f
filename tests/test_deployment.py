"""What is installed is what the program needs: the image, compose.yaml, the units and the proxies, as they are."""

import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.test_configuration import settings_documented, settings_read

ROOT = Path(__file__).resolve().parent.parent
UNITS = ROOT / "docs" / "operations" / "systemd"
PROXIES = ROOT / "docs" / "operations" / "proxies"
SITE = {"SITE_URL": "https://billing.example.edu", "ALLOWED_HOSTS": "billing.example.edu"}
# An institution may pin the bytes, too.
EXACT = re.compile(r"[a-z0-9./_-]+:\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?")


def instructions():
    """Return the instructions of the Dockerfile, lines that go on joined."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    lines = (line.strip() for line in text.splitlines())
    return [tuple(line.split(maxsplit=1)) for line in lines if line and line[0] != "#"]


def stage():
    """Return those of the last stage: what is run."""
    every = instructions()
    start = max(at for at, (name, _) in enumerate(every) if name == "FROM")
    return every[start:]


def copied():
    """Return the files and folders of the project that the image holds."""
    return [
        source
        for name, value in stage()
        if name == "COPY" and not value.startswith("--from")
        for source in value.split()[:-1]
    ]


def compose():
    return yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))


def programs():
    """Return the services that run this program, by name."""
    return {
        name: each for name, each in compose()["services"].items() if each.get("image", "").startswith("openchargeback")
    }


def test_images_are_named_to_the_version():
    bases = [value.split()[0] for name, value in instructions() if name == "FROM"]
    images = [each["image"] for each in compose()["services"].values() if "build" not in each]
    assert len(bases) == 2
    assert len(images) == 5
    for image in (*bases, *images):
        assert EXACT.fullmatch(image), image


def test_the_image_runs_as_nobody_special_and_says_whether_it_lives():
    last = dict(stage())
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", last["USER"])
    names = [name for name, _ in stage()]
    # Nothing is changed by that user: all is written before.
    assert names.index("USER") > max(at for at, name in enumerate(names) if name in ("COPY", "RUN"))
    assert "/healthz" in last["HEALTHCHECK"]
    assert not {"ADD", "SHELL", "ONBUILD"} & {*names}
    run = " ".join(value for name, value in instructions() if name == "RUN")
    assert "--require-hashes" in run
    assert "--only-binary :all:" in run
    assert not re.search(r"\b(apt-get|curl|wget|gcc|sudo)\b", run)
    for name, value in stage():
        if name in ("CMD", "ENTRYPOINT"):
            assert value.startswith("["), "A shell between would not pass signals on."


def test_nothing_is_sent_to_the_build_that_the_image_does_not_hold():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == {*copied()}


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """Return a folder with exactly the files that the image holds."""
    folder = tmp_path_factory.mktemp("image") / "openchargeback"
    folder.mkdir()
    for name in copied():
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


@pytest.mark.slow
def test_the_files_of_the_image_are_enough(image, tmp_path):
    clean = {name: value for name, value in os.environ.items() if name not in settings_documented()}
    environment = (
        clean
        | SITE
        | {
            "SECRET_KEY": secrets.token_urlsafe(50),
            "VAR_DIR": str(tmp_path),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
    )
    for command in (
        ["check", "--deploy", "--fail-level", "WARNING"],
        ["initialize"],
        ["check", "--deploy", "--database", "default", "--fail-level", "WARNING"],
    ):
        run = subprocess.run(
            [sys.executable, "manage.py", *command], cwd=image, env=environment, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr[-2000:]
    # The help pages are among them, and nothing was written beside the program.
    assert (image / "docs" / "README.md").is_file()
    assert not list(image.rglob("__pycache__"))


def test_every_variable_that_compose_sets_is_one_that_is_read():
    for name, service in programs().items():
        assert {*service.get("environment", {})} <= settings_read(), name
    image = {found for name, value in stage() if name == "ENV" for found in re.findall(r"(\w+)=", value)} - {
        "PATH",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONUNBUFFERED",
    }
    assert image <= settings_read()


def test_what_has_to_be_set_is_asked_for():
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    assert "${SECRET_KEY:?" in text
    # No password is written down, and none has a default.
    for name in ("DATABASE_PASSWORD", "STORAGE_SECRET_KEY"):
        assert re.findall(rf"\$\{{{name}(:.)", text) == [":?"] * len(re.findall(rf"\$\{{{name}", text))
    several = programs()["web"]["environment"]
    assert {"DATABASE_URL", "Q_BROKER_URL", "STORAGE_BUCKET", "STORAGE_ENDPOINT"} <= several.keys()
    assert programs()["worker"]["environment"] == several == programs()["setup"]["environment"]


def test_containers_have_no_more_rights_than_they_need():
    for name, service in programs().items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert "user" not in service, name
    for name, service in compose()["services"].items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name}: {port} is open to all"


def test_profiles_are_two_and_each_is_whole():
    services = compose()["services"]
    assert {profile for each in services.values() for profile in each["profiles"]} == {"sqlite", "full"}
    assert [name for name, each in services.items() if each["profiles"] == ["sqlite"]] == ["site"]
    for name in ("web", "worker"):
        assert services[name]["deploy"]["replicas"] == 2
    for name, each in services.items():
        asked = each.get("depends_on", {})
        assert {*asked} <= {*services}, name


def test_the_web_server_of_a_container_is_that_of_serve():
    from openchargeback import serving

    ours = serving.commands(host="0.0.0.0", port=8000, web_workers=2)["web"]  # noqa: S104
    assert programs()["web"]["command"][1:] == ours[1:]
    assert programs()["worker"]["command"][1:] == ["manage.py", "qcluster"]
    unit = (UNITS / "openchargeback-web.service").read_text(encoding="utf-8")
    (started,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    mine = serving.commands(host="127.0.0.1", port=8000, web_workers=2)["web"]
    assert shlex.split(started)[1:] == mine[1:]


def services_of_systemd():
    return sorted(UNITS.glob("*.service"))


@pytest.mark.parametrize("path", services_of_systemd(), ids=lambda path: path.stem)
def test_units_are_hardened_and_start_a_command_that_is_there(path):
    from django.core.management import get_commands

    text = path.read_text(encoding="utf-8")
    for line in (
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "CapabilityBoundingSet=",
        "UMask=0027",
        "User=openchargeback",
    ):
        assert f"\n{line}\n" in text, line
    (started,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    words = shlex.split(started)
    assert words[1] == "-m" or (words[1] == "manage.py" and words[2] in get_commands())


def test_every_timer_has_its_service():
    timers = {path.stem for path in UNITS.glob("*.timer")}
    assert timers == {"openchargeback-jobs", "openchargeback-inbox", "openchargeback-audit", "openchargeback-files"}
    assert timers < {path.stem for path in services_of_systemd()}


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="There is no systemd on this machine")
def test_systemd_takes_the_units_and_rates_them_well(tmp_path):
    # It looks for the program: that of the tests stands for the one that will be installed.
    for path in (*UNITS.glob("*.service"), *UNITS.glob("*.timer")):
        text = path.read_text(encoding="utf-8").replace("/opt/openchargeback/.venv/bin/python", sys.executable)
        (tmp_path / path.name).write_text(text.replace("/opt/openchargeback", str(ROOT)))
    units = sorted(str(path) for path in tmp_path.iterdir())
    run = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False)
    said = [line for line in run.stderr.splitlines() if str(tmp_path) in line or "openchargeback" in line]
    assert not said
    for path in services_of_systemd():
        rated = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(path)],
            capture_output=True,
            text=True,
        )
        assert rated.returncode == 0, rated.stdout[-400:]


def with_a_certificate(path, folder):
    """Copy a sample, with a certificate that is there in place of the site's."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate]
        + ["-days", "2", "-subj", "/CN=billing.example.edu"],
        check=True,
        capture_output=True,
    )
    text = path.read_text(encoding="utf-8").replace("/etc/ssl/certs/billing.example.edu.pem", str(certificate))
    copy = folder / path.name
    copy.write_text(text.replace("/etc/ssl/private/billing.example.edu.key", str(key)))
    return copy


@pytest.mark.skipif(not shutil.which("nginx"), reason="There is no nginx on this machine")
@pytest.mark.parametrize("name", ["nginx.conf", "compose.conf"])
def test_nginx_takes_its_sample(name, tmp_path):
    sample = with_a_certificate(PROXIES / name, tmp_path)
    main = tmp_path / "main.conf"
    main.write_text(f"pid {tmp_path}/pid; events {{}} http {{ access_log off; include {sample}; }}")
    run = subprocess.run(
        ["nginx", "-t", "-e", str(tmp_path / "errors"), "-p", str(tmp_path), "-c", str(main)],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.skipif(not shutil.which("apache2"), reason="There is no Apache of Debian on this machine")
def test_apache_takes_its_sample(tmp_path):
    sample = with_a_certificate(PROXIES / "apache.conf", tmp_path)
    modules = ("mpm_event", "authz_core", "alias", "headers", "socache_shmcb", "ssl", "proxy", "proxy_http")
    main = tmp_path / "main.conf"
    main.write_text(
        "".join(f"LoadModule {each}_module /usr/lib/apache2/modules/mod_{each}.so\n" for each in modules)
        + f"ServerRoot {tmp_path}\nServerName localhost\nListen 127.0.0.1:8881\nDefaultRuntimeDir {tmp_path}\n"
        + f"PidFile {tmp_path}/pid\nErrorLog {tmp_path}/errors\nInclude {sample}\n"
    )
    run = subprocess.run(["apache2", "-t", "-f", str(main)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("name", ["nginx.conf", "compose.conf", "apache.conf"])
def test_a_proxy_sets_itself_what_is_believed_of_it(name):
    text = (PROXIES / name).read_text(encoding="utf-8")
    assert "X-Forwarded-Proto" in text
    assert "X-Forwarded-For $remote_addr" in text or "unset X-Forwarded-For" in text
    assert "2g" in text or "2147483648" in text
