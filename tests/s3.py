"""A real server of objects (SeaweedFS) on this machine for tests, which can be stopped, paused and started again."""

import contextlib
import json
import socket
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.stories.machines import Program, until

ACCESS_KEY, SECRET_KEY, BUCKET, REGION = "openchargeback", "a-secret-of-tests", "billing", "us-east-1"
WEED = Path(sys.executable).with_name("weed")
# Its programs talk to each other on a second port, so far above the first.
GRPC = 10_000


class Server:
    """The storage, its data in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {name: _free_port() for name in ("master", "volume", "filer", "s3")}
        identity = {
            "name": "billing",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        folder.joinpath("s3.json").write_text(json.dumps({"identities": [identity]}))
        folder.joinpath("data").mkdir()
        self.program = Program(self._command(), folder / "server.log")

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports['s3']}"

    def start(self) -> None:
        self.program.start()
        until(self._answers, "The storage starts")

    def stop(self) -> None:
        self.program.kill()

    def options(self, bucket: str = BUCKET) -> dict[str, str]:
        """Return the settings of an installation that uses it."""
        return {
            "STORAGE_BUCKET": bucket,
            "STORAGE_ENDPOINT": self.endpoint,
            "STORAGE_REGION": REGION,
            "STORAGE_ACCESS_KEY": ACCESS_KEY,
            "STORAGE_SECRET_KEY": SECRET_KEY,
        }

    def storage(self, *, endpoint: str = "", **others: str) -> dict[str, Any]:
        """Return the setting of Django's storage that these become."""
        options = {
            "bucket_name": BUCKET,
            "endpoint_url": endpoint or self.endpoint,
            "region_name": REGION,
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
            "addressing_style": "path",
        }
        return {"BACKEND": "billing.files.objects.ObjectStorage", "OPTIONS": options | others}

    def _command(self) -> list[str]:
        ports = self.ports
        return [
            *(str(WEED), f"-logdir={self.folder}", "server", f"-dir={self.folder / 'data'}"),
            *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-master.volumeSizeLimitMB=256"),
            *("-volume.max=32", f"-master.port={ports['master']}", f"-volume.port={ports['volume']}"),
            *(f"-filer.port={ports['filer']}", "-s3", f"-s3.port={ports['s3']}", "-s3.port.iceberg=0"),
            *("-s3.port.lance=0", "-s3.autoCreateBucket=false", f"-s3.config={self.folder / 's3.json'}"),
        ]

    def _answers(self) -> bool:
        assert self.program.is_running, self.program.said()[-2000:]
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(f"{self.endpoint}/healthz"):
            return True
        return False


class Flaky:
    """A way to a server that breaks off the first connections made over it."""

    def __init__(self, port: int, *, breaks: int) -> None:
        self.port, self.breaks, self.connections = port, breaks, 0
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                incoming, _ = self.listening.accept()
            except OSError:
                return
            self.connections += 1
            if self.connections <= self.breaks:
                incoming.close()
                continue
            outgoing = socket.create_connection(("127.0.0.1", self.port))
            for source, target in ((incoming, outgoing), (outgoing, incoming)):
                threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _free_port() -> int:
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            if port + GRPC > 65_535:
                port -= GRPC
            try:
                other.bind(("127.0.0.1", port + GRPC))
            except OSError:
                continue
            return port
