"""IBM Storage Scale (GPFS): what `mmrepquota -Y` writes. A header line names the fields of the lines after it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

from ....readers.batches import UnreadableFile
from ..fields import BadField, name_of, whole_number
from ..kinds import Tally
from ..opened import lines_of
from .readings import Reading, StorageSettings, is_wanted

COMMAND = "mmrepquota"
KIB = 1024
# What a setting calls a limit, and the field that has it.
LIMITS = {"hard": "blockLimit", "soft": "blockQuota"}
NEEDED = ("filesystemName", "quotaType", "name", *LIMITS.values(), "blockUsage", "filesUsage")


def readings(path: Path, settings: StorageSettings, tally: Tally) -> Iterator[Reading]:
    """Yield the quotas of a report, of filesets unless others are wanted. What is in doubt is not counted."""
    header: list[str] = []
    for number, line in lines_of(path):
        tally.lines += 1
        fields = [unquote(field) for field in line.strip().split(":")]
        if fields[0] != COMMAND or len(fields) < 3:
            if line.strip() and not line.startswith("***"):
                tally.left_out[f"line that {COMMAND} -Y does not write"] += 1
        elif fields[2] == "HEADER":
            header = fields
            if missing := [name for name in NEEDED if name not in header]:
                raise UnreadableFile(f"The header has no {missing[0]}. Run {COMMAND} with -Y.", number)
        elif not header:
            raise UnreadableFile(f"The header is missing. Run {COMMAND} with -Y.", number)
        elif len(fields) != len(header):
            raise UnreadableFile(
                f"The line has {len(fields)} fields where the header has {len(header)}. It may be cut off.", number
            )
        else:
            values = dict(zip(header, fields, strict=True))
            if is_wanted(values["quotaType"], "FILESET", settings, tally):
                try:
                    yield _reading(values, number, settings)
                except BadField as error:
                    raise error.at(number) from None


def _reading(values: Mapping[str, str], line: int, settings: StorageSettings) -> Reading:
    file_system, name = name_of(values["filesystemName"], "filesystemName"), name_of(values["name"], "name")
    kind, fileset = values["quotaType"], name_of(values.get("filesetname"), "filesetname")
    is_fileset = kind == "FILESET"
    limits = [LIMITS.get(each, each) for each in settings.limits or LIMITS]
    if unknown := next((each for each in limits if each not in values), None):
        raise BadField(f"The setting limits has {unknown}, which the file does not have.", unknown)
    quotas = (KIB * whole_number(values[each], each, most=2**48) for each in limits)
    return Reading(
        path="/".join(filter(None, (file_system, name if is_fileset else fileset))),
        line=line,
        used=KIB * whole_number(values["blockUsage"], "blockUsage", most=2**48),
        quota=next(filter(None, quotas), 0),
        files=whole_number(values["filesUsage"], "filesUsage"),
        holder="" if is_fileset else name,
        file_system=file_system,
        quota_type=kind,
        names={"fileset": name if is_fileset else fileset, "owner": name},
    )
