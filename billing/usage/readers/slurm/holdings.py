"""What the jobs of a piece held while they ran, from the first field that tells."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....readers.coded import Coded
from ....readers.values import BadValue, Memo
from .pieces import Piece
from .resources import MOST_MEMORY_OF_NODE, UNTOLD, Memory, count_of, gpus_of, memory_of, resources_of

Counts = Any

# What AllocTRES and its like say repeats from job to job.
KNOWN = 20_000
_RESOURCES = Memo(resources_of, KNOWN)
_GPUS = Memo(gpus_of, KNOWN)
_COUNTS = Memo(lambda text: count_of(text) if text.strip() else UNTOLD, KNOWN)


@dataclass(frozen=True)
class Holdings:
    """CPUs, MiB of memory, GPUs, nodes and billing units of each job, 0 where nothing tells; and the type of its GPUs.

    `found` counts the jobs of which something is to be told, and `marked` is a ReqMem that is no amount of memory.
    """

    cpus: Counts
    memory: Counts
    gpus: Counts
    nodes: Counts
    billing: Counts
    gpu_types: Coded
    found: Counter[str]
    marked: str


def holdings_of(piece: Piece) -> Holdings:
    """Return what jobs that have run held; raises FileError with the lines of what cannot be read."""
    given = _Given(piece, "AllocTRES" if "AllocTRES" in piece.columns else "TRES", _RESOURCES)
    asked = _Given(piece, "ReqTRES", _RESOURCES)
    gres = _Given(piece, "AllocGRES", _GPUS)
    # What was asked for tells of GPUs only where nothing tells what was given.
    asked_gpus = np.where(given.is_empty, asked.count("gpus"), UNTOLD)
    cpus = _first(given.count("cpus"), _counts(piece, "AllocCPUS"), _counts(piece, "NCPUS"), asked.count("cpus"))
    nodes = _first(given.count("nodes"), _counts(piece, "NNodes"), _counts(piece, "AllocNodes"), asked.count("nodes"))
    most = np.maximum(nodes, 1) * MOST_MEMORY_OF_NODE
    memory = _first(_real(given.count("memory"), most), _real(asked.count("memory"), most))
    requested = _Requested(piece, cpus=np.maximum(cpus, 0), nodes=np.maximum(nodes, 1))
    is_odd = requested.is_odd & (memory == UNTOLD)
    piece.refuse("ReqMem", is_odd, lambda row: _refusal_of(piece.text("ReqMem", row)))
    memory = _first(memory, _real(requested.amounts, most))
    billing = given.count("billing")
    # A job that ran had a CPU and a node; it may have been set up to have no memory, and to cost nothing.
    untold = {"CPUs": cpus <= 0, "nodes": nodes <= 0, "memory": memory == UNTOLD, "billing": billing == UNTOLD}
    found = Counter({name: int(mask.sum()) for name, mask in untold.items()})
    found["marked"] = int(requested.is_marked.sum())
    return Holdings(
        cpus=np.maximum(cpus, 0),
        memory=np.maximum(memory, 0),
        gpus=np.maximum(_first(given.count("gpus"), gres.count("gpus"), asked_gpus), 0),
        nodes=np.maximum(nodes, 0),
        billing=np.maximum(billing, 0),
        gpu_types=_first_types(given, gres),
        found=found,
        marked=requested.example,
    )


def _first(*counts: Counts) -> Counts:
    """Return for each job the first count that is told."""
    found = counts[0]
    for others in counts[1:]:
        found = np.where(found == UNTOLD, others, found)
    return found


def _real(amounts: Counts, most: Counts) -> Counts:
    """Return amounts of memory without those that are more than all nodes of a job can have."""
    return np.where(amounts < most, amounts, UNTOLD)


def _counts(piece: Piece, name: str) -> Counts:
    return piece.numbers(name, _COUNTS.__getitem__)


class _Given:
    """A column of resources, each distinct text read once."""

    def __init__(self, piece: Piece, name: str, memo: Memo) -> None:
        self.texts, self.values = piece.converted(name, memo.__getitem__)
        self.is_empty = self.texts.values([not text for text in self.texts.texts], np.bool_)

    def count(self, name: str) -> Counts:
        return self.texts.values([getattr(value, name) for value in self.values], np.int64)


def _first_types(*columns: _Given) -> Coded:
    """Return for each job the first type of GPUs that is told, "" for none."""
    numbers = {"": 0}
    found: Any = 0
    for column in columns:
        types = [numbers.setdefault(value.gpu_type, len(numbers)) for value in column.values]
        found = np.where(found == 0, column.texts.values(types, np.int64), found)
    return Coded(found, list(numbers))


class _Requested:
    """Memory that was asked for, in MiB for each job as a whole; `is_odd` where the text is none that sacct writes.

    `example` is a text that is no amount of memory by itself, as those are that `is_marked` has.
    """

    def __init__(self, piece: Piece, *, cpus: Counts, nodes: Counts) -> None:
        texts = piece.coded("ReqMem")
        found = [_MEMORY[text] for text in texts.texts]
        amounts = texts.values([each.amount for each in found], np.int64)
        is_per_node, is_per_cpu = (texts.values([each.per == per for each in found], np.bool_) for per in "nc")
        times = np.where(is_per_node, nodes, np.where(is_per_cpu, cpus, 1))
        self.amounts: Counts = np.where(amounts == UNTOLD, UNTOLD, amounts * times)
        self.is_odd = texts.values([each == _ODD for each in found], np.bool_)
        self.is_marked = texts.values([each.is_marked for each in found], np.bool_)
        self.example = next((text for text, each in zip(texts.texts, found, strict=True) if each.is_marked), "")


def _memory_if_any(text: str) -> Memory:
    try:
        return memory_of(text)
    except BadValue:
        return _ODD


def _refusal_of(text: str) -> str:
    try:
        return str(memory_of(text))
    except BadValue as error:
        return str(error)


# Refused only where nothing else tells the memory of a job.
_ODD = Memory(per="?")
_MEMORY = Memo(_memory_if_any, KNOWN)
