"""The settings of a feed of Slurm jobs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from ..settings import Given
from .fields import missing_in, names_in

# Jobs that the center ended, through no act of whoever ran them: the state, and why nobody is charged.
FREE_STATES = {"NODE_FAIL": "node_failed", "BOOT_FAIL": "node_failed", "PREEMPTED": "preempted"}

# A tab is hard to write in a form. More characters than these are no delimiter.
_TAB = {"tab": "\t", "\\t": "\t"}
_LONGEST_DELIMITER = 10


@dataclass(frozen=True)
class Settings:
    """How the files of a feed are written, and which of its jobs are free."""

    # The clock that times without an offset are of.
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    # The fields of files without a header, in their order; empty: the first line is a header.
    format: tuple[str, ...] = ()
    # What stands between fields; empty: as the header shows, or a bar.
    delimiter: str = ""
    # The cluster that all jobs are of; empty: as the file says.
    cluster: str = ""
    # Whether files have jobs of several clusters, whose numbers may be equal.
    several_clusters: bool = False
    # Why nobody is charged for jobs that ended in a state, by state.
    free_states: Mapping[str, str] = field(default_factory=lambda: FREE_STATES)


def settings_of(settings: Mapping[str, Any]) -> Settings:
    """Return the settings of a feed: see the fields of Settings; raises BadSettings.

    `format` is a list, or a text as sacct takes it. `free_states` maps states to reasons, and replaces the default.
    """
    delimiter = settings.get("delimiter")
    if isinstance(delimiter, str):
        # A tab is a delimiter, which would be taken off as a blank.
        settings = {**settings, "delimiter": f"<{delimiter}>"}
    given = Given(settings)
    delimiter = given.text("delimiter")[1:-1]
    found = Settings(
        zone=given.zone("zone"),
        format=names_in(",".join(given.texts("format"))),
        delimiter=_TAB.get(delimiter, delimiter),
        cluster=given.text("cluster"),
        several_clusters=given.flag("several_clusters"),
        free_states={state.upper(): reason for state, reason in given.names("free_states").items()}
        if settings.get("free_states") is not None
        else FREE_STATES,
    )
    if len(found.delimiter) > _LONGEST_DELIMITER or set(found.delimiter) & set('\r\n\0"'):
        given.refuse("delimiter", "This cannot stand between fields. A bar or a tab can.")
    if found.format and (missing := missing_in(found.format)):
        given.refuse("format", missing)
    if not all(found.free_states.values()):
        given.refuse("free_states", "Each state needs a reason, such as node_failed.")
    if found.cluster and found.several_clusters:
        given.refuse("several_clusters", "A feed of one cluster does not have several. Leave one of the two out.")
    given.done()
    return found
