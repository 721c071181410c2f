"""What a job was given, out of Slurm's texts: AllocTRES, AllocGRES, and the many spellings of memory."""

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from ....readers.values import BadValue, Memo
from ....texts import quoted

# A count that a text does not tell.
UNTOLD = -1

# No cluster has more CPUs, GPUs or nodes; a larger number is a fault of the file.
MOST = 100_000_000
# Of "billing" and other weighted counts.
MOST_BILLING = 2**53

# Slurm counts memory in MiB, and marks memory per CPU by the highest bit of the number: the 32nd before version 17.11,
# the 64th since. Where a version of sacct read the number of another, it printed the mark as part of it.
PER_CPU_MARKS = (2**63, 2**31)
# So nothing is real that is more than 2 PiB for a node.
MOST_MEMORY_OF_NODE = 2**31

GPU_OF = "gres/gpu:"

# Which power of 1024 each letter stands for.
POWERS = {letter: power for power, letter in enumerate("KMGTPEZ", 1)}
_COUNT = re.compile(r"(\d{1,20}(?:\.\d{1,6})?)([KMGTPE]?)", re.ASCII)
_MEMORY = re.compile(r"(\d{1,25}(?:\.\d{1,6})?)([KMGTPEZ]?)(?:i?B)?([nc]?)\??", re.ASCII)
# `gpu:2`, `gpu:a100:4`, `gpu:a100:4(S:0-1)`; 7696487 is Slurm's own number for the name, which some versions print.
_GRES = re.compile(r"(?:gres[:/])?(?:gpu|7696487)(?::([^:=(),]+))?[:=](\d{1,12})(?:\([^)]*\))?", re.ASCII)
_MIB = Decimal(1024) ** 2


@dataclass(frozen=True, slots=True)
class Resources:
    """What a text says a job has: whole numbers, UNTOLD where it does not say; memory in MiB, over all nodes."""

    cpus: int = UNTOLD
    memory: int = UNTOLD
    gpus: int = UNTOLD
    nodes: int = UNTOLD
    billing: int = UNTOLD
    gpu_type: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory that was asked for, in MiB: `per` is "n" for each node, "c" for each CPU, "" for the whole job.

    `is_marked` where the text is no amount of memory by itself: it holds Slurm's mark, or is too large to be any. Then
    `amount` is what is left without the mark, or UNTOLD.
    """

    amount: int = UNTOLD
    per: str = ""
    is_marked: bool = False


def resources_of(text: str) -> Resources:
    """Return what a TRES text says: `billing=8,cpu=8,gres/gpu=2,gres/gpu:a100=2,mem=64G,node=1`.

    GPUs are counted once, though Slurm names them with and without their type. Raises BadValue.
    """
    found: dict[str, int] = {}
    for item in text.split(","):
        name, count = _ITEMS[item]
        found[name] = count
    typed = {name.removeprefix(GPU_OF): count for name, count in found.items() if name.startswith(GPU_OF)}
    return Resources(
        cpus=found.get("cpu", UNTOLD),
        memory=found.get("mem", UNTOLD),
        gpus=max(found.get("gres/gpu", UNTOLD), sum(typed.values()) if typed else UNTOLD),
        nodes=found.get("node", UNTOLD),
        billing=found.get("billing", UNTOLD),
        gpu_type=_types(typed),
    )


def _item(item: str) -> tuple[str, int]:
    """Return the name and count of an item of a TRES text; of others than are charged for, "" and UNTOLD."""
    name, equals, value = item.strip().partition("=")
    if name == "mem":
        memory = memory_of(value)
        return name, UNTOLD if memory.per else memory.amount
    if name == "billing":
        return name, count_of(value, MOST_BILLING)
    if name in ("cpu", "node", "gres/gpu") or name.startswith(GPU_OF):
        return name, count_of(value)
    if name and not equals:
        raise BadValue(f"{quoted(item)} is not written as name=count.")
    return "", UNTOLD


# There are few of them, put together in many ways.
_ITEMS = Memo(_item, 20_000)


def gpus_of(text: str) -> Resources:
    """Return the GPUs that an AllocGRES text says a job has over all its nodes: `gpu:tesla:2,craynetwork:1`."""
    typed: dict[str, int] = {}
    for item in re.split(r",(?![^(]*\))", text):
        if found := _GRES.fullmatch(item.strip()):
            kind = found[1] or ""
            typed[kind] = typed.get(kind, 0) + count_of(found[2])
    return Resources(gpus=sum(typed.values()) if typed else UNTOLD, gpu_type=_types(typed))


def _types(typed: dict[str, int]) -> str:
    return "+".join(sorted(kind for kind, count in typed.items() if count and kind))


def count_of(text: str, most: int = MOST) -> int:
    """Return a whole count; `2K` is 2,048. Raises BadValue, also for more than any cluster has."""
    found = _COUNT.fullmatch(text.strip())
    if not found:
        raise BadValue(f"{quoted(text)} is not a count.")
    count = Decimal(found[1]) * 1024 ** POWERS.get(found[2], 0)
    if count != count.to_integral_value():
        raise BadValue(f"{quoted(text)} is not a whole number.")
    if count > most:
        raise BadValue(f"{quoted(text)} is more than any cluster has. Export the job again, or leave its line out.")
    return int(count)


def memory_of(text: str) -> Memory:
    """Return memory as sacct writes it, "" for none: `64000M`, `62.50G`, `4Gn`, `3000Mc`; no letter is MiB.

    What is no whole MiB is rounded to the nearest. Raises BadValue.
    """
    if not text.strip():
        return Memory()
    found = _MEMORY.fullmatch(text.strip())
    if not found:
        raise BadValue(f"{quoted(text)} is not an amount of memory. It is written as 64000M, 62.50G, 4Gn or 3000Mc.")
    number, letter, per = found.groups()
    exact = Decimal(number) * Decimal(1024) ** POWERS.get(letter, 2) / _MIB
    if exact < MOST_MEMORY_OF_NODE or not per and exact < PER_CPU_MARKS[0]:
        # The memory of a whole job may be that of thousands of nodes: see `is_real`.
        return Memory(int(exact.to_integral_value(ROUND_HALF_UP)), per)
    if letter in ("", "M") and exact == exact.to_integral_value():
        for mark in PER_CPU_MARKS:
            if mark <= exact < mark + MOST_MEMORY_OF_NODE:
                return Memory(int(exact) - mark, "c", is_marked=True)
    return Memory(UNTOLD, per, is_marked=True)
