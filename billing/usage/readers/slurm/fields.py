"""How the lines of a file are laid out: its fields in their order, and what stands between them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ....readers.batches import UnreadableFile
from ....texts import quoted

# What is read, as sacct writes the names; case does not matter. Names and comments of jobs, their commands, folders
# and nodes are never among it.
FIELDS = (
    *("JobIDRaw", "JobID", "Cluster", "Partition", "QOS", "Account", "User", "State", "Reservation"),
    *("Start", "End", "ElapsedRaw", "Elapsed", "Suspended"),
    *("AllocTRES", "TRES", "ReqTRES", "AllocGRES", "AllocCPUS", "NCPUS", "NNodes", "AllocNodes", "ReqMem"),
)
_BY_NAME = {name.casefold(): name for name in FIELDS}
# One of each is needed.
NEEDED = (
    ("JobIDRaw", "JobID"),
    ("Start",),
    ("End",),
    ("ElapsedRaw", "Elapsed"),
    ("AllocTRES", "TRES", "AllocCPUS", "NCPUS"),
)
# What whoever submits a job chooses, and what a file should not have.
CHOSEN_BY_USERS = ("JobName", "Comment", "WCKey", "Extra", "WorkDir", "SubmitLine", "StdOut", "StdErr", "StdIn")

DELIMITER = "|"


@dataclass(frozen=True)
class Layout:
    """The fields of each line, and the delimiter; `is_closed` where one stands at the end of the line, too.

    `positions` has the place of each field that is read, by its name. `has_header` where the first line has the names.
    """

    names: tuple[str, ...]
    delimiter: str
    is_closed: bool
    has_header: bool

    @property
    def width(self) -> int:
        return len(self.names) + self.is_closed

    @property
    def positions(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for position, name in enumerate(self.names):
            if known := _BY_NAME.get(name.casefold()):
                found.setdefault(known, position)
        return found

    @property
    def chosen_by_users(self) -> list[str]:
        """Fields of the file that a user can write anything in."""
        folded = {name.casefold() for name in self.names}
        return [name for name in CHOSEN_BY_USERS if name.casefold() in folded]


def names_in(text: str) -> tuple[str, ...]:
    """Return the fields of a text as `--format` takes it: `JobID,State%20,Account`."""
    return tuple(each.partition("%")[0].strip() for each in text.split(",") if each.strip())


def missing_in(names: Sequence[str]) -> str:
    """Say which needed field is not among names, "" where all are."""
    folded = {name.casefold() for name in names}
    for choices in NEEDED:
        if not folded & {name.casefold() for name in choices}:
            return f"There is no {' or '.join(choices)} among the fields. Add {choices[0]} to what is exported."
    return ""


def layout_of(line: str, names: tuple[str, ...] = (), delimiter: str = "") -> Layout:
    """Return the layout that the first line of a file shows; raises UnreadableFile.

    `names` are the fields of a file without a header. Empty: it has to have one. `delimiter` is what stands between
    fields. Empty: it is what stands between the names of the header, or a bar.
    """
    if not _is_header(line):
        if not names:
            raise UnreadableFile(
                "The first line does not name the fields, as sacct writes them. Export without --noheader, or give the "
                "feed the fields as its format.",
                line=1,
            )
        delimiter = delimiter or DELIMITER
        fields = line.split(delimiter)
        return Layout(names, delimiter, len(fields) == len(names) + 1 and not fields[-1], has_header=False)
    delimiter = delimiter or _delimiter_in(line)
    named = line.split(delimiter)
    is_closed = len(named) > 1 and not named[-1]
    if is_closed:
        named.pop()
    if missing := missing_in(named):
        raise UnreadableFile(f"{missing} The header is {quoted(line, 200)}.", line=1)
    if delimiter == ",":
        raise UnreadableFile("Commas stand between the fields, and within AllocTRES. Export with --parsable2.", line=1)
    return Layout(tuple(named), delimiter, is_closed, has_header=True)


def _is_header(line: str) -> bool:
    """Tell whether a line names fields: a job's number is among them, and no number, which every job has."""
    words = {word.casefold() for word in re.findall(r"\w+", line, re.ASCII)}
    return bool(words & {"jobid", "jobidraw"}) and not any(word[0].isdigit() for word in words)


def _delimiter_in(line: str) -> str:
    """Return what stands between the names of a header, which are of letters and digits."""
    found = re.search(r"[A-Za-z0-9]([^A-Za-z0-9]+)[A-Za-z0-9]", line)
    if found and found[1].isspace() and found[1] != "\t":
        raise UnreadableFile("This is sacct's table for the eye. Export with --parsable2.", line=1)
    return found[1] if found else DELIMITER
