"""An object storage that speaks S3, as Django's storage: written once by name, read as a whole, its errors told."""

import contextlib
import datetime
import errno
import hashlib
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files import File
from storages.backends.s3 import S3Storage

from .away import StorageAway
from .folders import own_folder

# Files above this go up in parts of this size, one after the other: memory stays the same for any file.
PART = 16 * 1024 * 1024
# Tries of one request, each after a longer wait: some seven seconds in all, so that a page is not held up for long.
TRIES = 4
CONNECT_SECONDS = 5
ANSWER_SECONDS = 60
# What a probe waits, once: whoever asks whether all is well wants to know now.
PROBE_SECONDS = 3
MISSING = ("404", "NoSuchKey")
TAKEN = ("412", "PreconditionFailed", "ConditionalRequestConflict")


@dataclass(frozen=True)
class Entry:
    """What the storage says of an object without handing it out: `tag` changes with its content."""

    size: int
    tag: str
    modified_at: datetime.datetime


class ObjectStorage(S3Storage):
    """A bucket. `StorageAway` says what it refuses, or that it cannot be reached after several tries.

    What is saved gets its name once, by a conditional write (If-None-Match): another process that saves the same file
    at the same time changes nothing.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.client_config = self._config(tries=TRIES, connect=CONNECT_SECONDS, answer=ANSWER_SECONDS)
        self.transfer_config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, use_threads=False)

    def put(self, name: str, path: Path, *, if_absent: bool = False) -> None:
        """Give a complete file a name. Raises FileExistsError with `if_absent` where it is taken, and StorageAway.

        A large one goes up in parts, one in memory at a time, and has its name once all are there.
        """
        if path.stat().st_size <= PART:
            self.put_bytes(name, path.read_bytes(), if_absent=if_absent)
            return
        with path.open("rb") as file, self._told(name):
            self._put_in_parts(self._key(name), file, _if_absent(if_absent))

    def put_bytes(self, name: str, content: bytes, *, if_absent: bool = False) -> None:
        """Do the same for content in memory."""
        with self._told(name):
            self._client.put_object(Bucket=self.bucket_name, Key=self._key(name), Body=content, **_if_absent(if_absent))

    def fetch(self, name: str, target: "IO[bytes] | None" = None) -> tuple[str, int]:
        """Write an object to a file, or nowhere; return its SHA-256 and size. Raises FileNotFoundError, StorageAway."""
        sink = _Hashed(target)
        with self._told(name):
            self._client.download_fileobj(self.bucket_name, self._key(name), sink, Config=self.transfer_config)
        return sink.digest.hexdigest(), sink.size

    def read(self, name: str) -> bytes:
        """Return an object that fits into memory. Raises FileNotFoundError, StorageAway."""
        with self.open(name) as file:
            content: bytes = file.read()
        return content

    def entry(self, name: str) -> Entry | None:
        """Return what is said of an object; None where there is none."""
        try:
            with self._told(name):
                head = self._client.head_object(Bucket=self.bucket_name, Key=self._key(name))
        except FileNotFoundError:
            return None
        return Entry(head["ContentLength"], head["ETag"], head["LastModified"])

    def exists(self, name: str) -> bool:
        return self.entry(name) is not None

    def delete(self, name: str) -> None:
        with self._told(name):
            self._client.delete_object(Bucket=self.bucket_name, Key=self._key(name))

    def entries(self, folder: str = "") -> Iterator[tuple[str, Entry]]:
        """Yield each object below a folder, by its whole name."""
        begin = self._key("")
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket_name, Prefix=f"{begin}{folder}/" if folder else begin
        )
        with self._told(folder):
            for page in pages:
                for each in page.get("Contents", ()):
                    yield each["Key"].removeprefix(begin), Entry(each["Size"], each["ETag"], each["LastModified"])

    def require_bucket(self) -> None:
        """Ask once whether the bucket is there and may be used. Raises StorageAway."""
        with self._told():
            self._probe.head_bucket(Bucket=self.bucket_name)

    def try_out(self) -> bool:
        """Write an object, read it, and remove it again; tell whether a name that is taken is refused to others.

        Raises StorageAway where any of it fails.
        """
        name, content, client = f"probe/{secrets.token_hex(8)}", secrets.token_bytes(64), self._probe
        place = {"Bucket": self.bucket_name, "Key": self._key(name)}
        with self._told(name):
            client.put_object(**place, Body=content, IfNoneMatch="*")
            try:
                if client.get_object(**place)["Body"].read() != content:
                    raise StorageAway(errno.EIO, "What was written is not what is read", self.told(name))
                client.put_object(**place, Body=b"", IfNoneMatch="*")
            except ClientError as error:
                if _code_of(error) not in TAKEN:
                    raise
                return True
            finally:
                client.delete_object(**place)
        return False

    def told(self, name: str = "") -> str:
        """Return where an object is, as people are told."""
        return f"s3://{self.bucket_name}/{self._key(name)}"

    def _open(self, name: str, mode: str = "rb") -> File:
        # On this disk without a name: read twice or from the middle, and gone with whoever reads it.
        file = tempfile.TemporaryFile(dir=own_folder("fetched"))  # noqa: SIM115 (closed by whoever reads it)
        try:
            self.fetch(name, file)
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return File(file, name=name)

    def _save(self, name: str, content: File) -> str:
        """Keep a file under a name made from its content: where it is taken, it is this file that is there."""
        try:
            if (path := getattr(content, "temporary_file_path", None)) is not None:
                self.put(name, Path(path()), if_absent=True)
            else:
                content.seek(0)
                self.put_bytes(name, content.read(), if_absent=True)
        except FileExistsError:
            there = self.entry(name)
            if there and there.size != content.size:
                raise
        return name

    def _put_in_parts(self, key: str, file: IO[bytes], condition: dict[str, str]) -> None:
        place, client = {"Bucket": self.bucket_name, "Key": key}, self._client
        upload = {**place, "UploadId": client.create_multipart_upload(**place)["UploadId"]}
        try:
            parts: list[dict[str, Any]] = []
            while content := file.read(PART):
                number = len(parts) + 1
                answer = client.upload_part(**upload, PartNumber=number, Body=content)
                parts.append({"PartNumber": number, "ETag": answer["ETag"]})
            client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}, **condition)
        except BaseException:
            # Where it cannot be reached, the bucket's own rule for incomplete uploads clears them away.
            with contextlib.suppress(ClientError, BotoCoreError):
                client.abort_multipart_upload(**upload)
            raise

    @property
    def _client(self) -> Any:
        return self.connection.meta.client

    @property
    def _probe(self) -> Any:
        config = self._config(tries=1, connect=PROBE_SECONDS, answer=PROBE_SECONDS)
        return self._create_session().client(
            "s3", region_name=self.region_name, endpoint_url=self.endpoint_url, config=config, verify=self.verify
        )

    def _config(self, *, tries: int, connect: int, answer: int) -> Config:
        return Config(
            connect_timeout=connect,
            read_timeout=answer,
            retries={"mode": "standard", "total_max_attempts": tries},
            s3={"addressing_style": self.addressing_style},
            # Not every server knows the sums that newer clients add by themselves; ours are SHA-256.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )

    def _key(self, name: str) -> str:
        return f"{self.location.strip('/')}/{name}".lstrip("/")

    @contextlib.contextmanager
    def _told(self, name: str = "") -> Iterator[None]:
        """Turn errors of the client into those that a disk has, with the place and the storage's own words."""
        try:
            yield
        except (ClientError, BotoCoreError, Boto3Error) as error:
            code, place = _code_of(error), self.told(name)
            if code in MISSING and name:
                raise FileNotFoundError(errno.ENOENT, "There is no such object", place) from error
            if code in TAKEN:
                raise FileExistsError(errno.EEXIST, "There is such an object already", place) from error
            raise StorageAway(errno.EIO, _said(error, code), place) from error


class _Hashed:
    """What a download is written to, in order: it adds up the SHA-256 on the way."""

    def __init__(self, target: "IO[bytes] | None") -> None:
        self.target, self.digest, self.size = target, hashlib.sha256(), 0

    def write(self, content: bytes) -> int:
        self.digest.update(content)
        self.size += len(content)
        if self.target is not None:
            self.target.write(content)
        return len(content)


def _if_absent(is_asked: bool) -> dict[str, str]:
    return {"IfNoneMatch": "*"} if is_asked else {}


def _code_of(error: BaseException | None) -> str:
    """Return the code of the answer that an error, or the one that led to it, comes from; "" for no answer."""
    while error is not None:
        if isinstance(error, ClientError):
            return str(error.response.get("Error", {}).get("Code", ""))
        error = error.__cause__ or error.__context__
    return ""


def _said(error: Exception, code: str) -> str:
    known = {
        "403": "The key may not do this",
        "AccessDenied": "The key may not do this",
        "InvalidAccessKeyId": "The storage does not know STORAGE_ACCESS_KEY",
        "SignatureDoesNotMatch": "STORAGE_SECRET_KEY is not that of STORAGE_ACCESS_KEY",
        "404": "There is no such bucket",
        "NoSuchBucket": "There is no such bucket",
    }
    return known.get(code) or " ".join(str(error).split())[:300]
