"""Jobs of a Slurm cluster, as sacct tells of them: `--parsable2`, `--parsable` and `--json`, plain or gzip."""

import codecs
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa

from ..kinds import BATCH_RECORDS, Kind, Tally
from ..opened import BLOCK, open_text
from .jobs import SHAPE, Jobs
from .json_pieces import json_pieces
from .pieces import Piece
from .settings import Settings, settings_of
from .text_pieces import text_pieces


def read(path: Path, name: str, settings: Settings, tally: Tally) -> Iterator[pa.RecordBatch]:
    """Yield the records of a file; see Kind.read. Only jobs that ran are records, each with all of its time."""
    jobs = Jobs(settings, tally)
    if _is_json(path):
        yield from _records(jobs, json_pieces(path, tally))
    else:
        with closing(open_text(path)) as binary:
            yield from _records(jobs, text_pieces(binary, settings, tally))
    jobs.finish()


def _is_json(path: Path) -> bool:
    with closing(open_text(path)) as binary:
        return binary.read1(BLOCK).removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"{", b"[")


def _records(jobs: Jobs, pieces: Iterable[Piece]) -> Iterator[pa.RecordBatch]:
    for piece in pieces:
        batch = jobs.records(piece)
        for start in range(0, len(batch), BATCH_RECORDS):
            yield batch.slice(start, BATCH_RECORDS)


SLURM = Kind("slurm", "Slurm jobs (sacct)", settings_of, lambda settings: SHAPE, read, service_category="Compute")

__all__ = ["SHAPE", "SLURM", "Settings"]
