"""Several files given together: which of them make an import, of which source and month, and what came of each."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..audit import Actor
from ..errors import BillingError, NextStep, NoLongerKept
from ..files.received import display_name, local_copy
from ..models import Job, Source, StoredFile
from ..progress import Progress, unwatched
from ..readers.delivery import made_at, oldest_run_first
from ..readers.manifests import names_in_manifest
from .again import make_way
from .expected_periods import period_in_name
from .ingestion import ingest
from .outcomes import ImportRefused, IngestResult


@dataclass(frozen=True)
class Given:
    """A file or folder as it was given, and the source and period it is of: chosen, or guessed from its name."""

    path: Path
    name: str
    source: Source | None = None
    period: str = ""
    replace: bool = False
    force: bool = False
    # The stored file, of an upload.
    stored: int | None = None


@dataclass(frozen=True)
class Planned:
    """Files that are parts of one import."""

    files: tuple[Given, ...]
    source: Source | None
    period: str

    @property
    def names(self) -> list[str]:
        return [each.name for each in self.files]

    def as_arguments(self) -> dict[str, Any]:
        """What a job keeps of it; see `run_job`."""
        return {
            "files": [each.stored for each in self.files],
            "names": self.names,
            "source": self.source.name if self.source else "",
            "period": self.period,
            "replace": any(each.replace for each in self.files),
            "force": any(each.force for each in self.files),
        }


@dataclass(frozen=True)
class Outcome:
    """What came of one import: its result, or the refusal."""

    names: list[str]
    result: IngestResult | None = None
    refused: BillingError | None = None

    @property
    def next_steps(self) -> list[NextStep]:
        if self.result:
            return self.result.next_steps
        return [self.refused.then] if self.refused and self.refused.then else []

    def as_data(self) -> dict[str, Any]:
        """What came of it, as --json and the page of its job hold it."""
        if self.result:
            return {"files": self.names, **self.result.as_data()}
        if isinstance(self.refused, ImportRefused):
            return {"files": self.names, **self.refused.result}
        return {"files": self.names, **ImportRefused([_problem(str(self.refused))]).result}


class SomeRefused(BillingError):
    """Of several imports some were refused; the others stand. `result` tells of each."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        refused = [name for each in outcomes if each.refused for name in each.names]
        self.result = _told(outcomes)
        done = sum(1 for each in outcomes if each.result)
        super().__init__(f"{done} of {len(outcomes)} imports done. Refused: {', '.join(refused)}.")


@dataclass
class _Group:
    source: Source | None
    period: str
    files: list[Given] = field(default_factory=list)


def guessed(*, path: Path, name: str, source: Source | None = None, period: str = "", **options: Any) -> Given:
    """Return a file with the source and period that its name speaks of, where they are not chosen."""
    shown = display_name(name)
    return Given(path, shown, source or Source.objects.for_file_name(shown), period or period_in_name(shown), **options)


def plan(files: Sequence[Given]) -> list[Planned]:
    """Return the imports that files make.

    Files of the same source and month are parts of one import, as are a manifest and what it names. A folder is an
    import of its own, and so is a file of unknown source. A file without a month goes with the other files of its
    source, where those are all of one month. Runs of an export come oldest first, as their manifests say, so that the
    newest is the one that stands.
    """
    groups: list[_Group] = []
    rest = list(files)
    for manifest in files:
        if named := names_in_manifest(manifest.path):
            group = [each for each in rest if each is manifest or each.name.rpartition("/")[2] in named]
            groups.append(_together(group))
            rest = [each for each in rest if not any(each is taken for taken in group)]
    by_source: dict[int, list[Given]] = {}
    for each in rest:
        if each.source is None or each.path.is_dir():
            groups.append(_Group(each.source, each.period, [each]))
        else:
            by_source.setdefault(each.source.pk, []).append(each)
    for of_source in by_source.values():
        months = {each.period for each in of_source} - {""}
        only = next(iter(months)) if len(months) == 1 else ""
        by_month: dict[str, _Group] = {}
        for each in of_source:
            month = each.period or only
            by_month.setdefault(month, _Group(each.source, month)).files.append(each)
        groups += by_month.values()
    first = {id(each): number for number, each in enumerate(files)}
    groups.sort(key=lambda group: min(first[id(each)] for each in group.files))
    groups = oldest_run_first(groups, lambda group: min(filter(None, map(_made_at, group.files)), default=None))
    return [Planned(tuple(group.files), group.source, group.period) for group in groups]


def _made_at(given: Given) -> datetime.datetime | None:
    return made_at(given.path)


def run(
    *,
    planned: Sequence[Planned],
    dry_run: bool = False,
    beside: bool = True,
    actor: Actor,
    now: datetime.datetime,
    progress: Progress = unwatched,
) -> list[Outcome]:
    """Import one after the other; what is refused stops none of the others. A crash stops the rest."""
    outcomes = []
    for each in planned:
        try:
            result = ingest(
                paths=[file.path for file in each.files],
                names=each.names,
                source=each.source,
                period=each.period,
                dry_run=dry_run,
                replace=any(file.replace for file in each.files),
                force=any(file.force for file in each.files),
                beside=beside,
                actor=actor,
                now=now,
                progress=progress,
            )
        except BillingError as refused:
            outcomes.append(Outcome(each.names, refused=refused))
        else:
            outcomes.append(Outcome(each.names, result=result))
    return outcomes


def run_job(
    *, job: Job, arguments: dict[str, Any], actor: Actor, now: datetime.datetime, progress: Progress
) -> dict[str, Any]:
    """Import what was uploaded, as a background job.

    `arguments`: `imports`, each with the ids of its stored `files`, their `names`, a `source` (a name, or "" to guess),
    a `period`, `replace`, `force`, and `instead_of`, the number of an import that it takes the place of, or none; and
    `dry_run`. Of one import alone they may stand among the arguments.

    Raises what refused the only import, or SomeRefused; a dry run tells of refusals in what it returns.
    """
    outcomes: list[Outcome] = []
    wanted = arguments.get("imports") or [arguments]
    for each in wanted:
        if outcomes:
            # What is done already is told while the rest runs.
            Job.objects.filter(pk=job.pk).update(result=_told(outcomes))
        try:
            planned = _planned(each)
            if number := each.get("instead_of"):
                make_way(
                    number=number,
                    paths=[file.path for file in planned.files],
                    names=planned.names,
                    source=planned.source,
                    period=planned.period,
                    actor=actor,
                    now=now,
                    progress=progress,
                )
        except BillingError as refused:
            # A file or source that is gone meanwhile stops none of the others either, nor what does not fit.
            outcomes.append(Outcome(each["names"], refused=refused))
            continue
        outcomes += run(
            planned=[planned],
            dry_run=arguments.get("dry_run", False),
            beside=False,
            actor=actor,
            now=now,
            progress=progress,
        )
    return _ended(outcomes, is_dry_run=arguments.get("dry_run", False))


def _ended(outcomes: Sequence[Outcome], *, is_dry_run: bool) -> dict[str, Any]:
    """Return what came of all imports of a job. A dry run that finds problems found what it was asked for."""
    refused = [each for each in outcomes if each.refused]
    if len(outcomes) == 1:
        (only,) = outcomes
        if only.refused and not is_dry_run:
            raise only.refused
        said = only.result.as_text().split("\n")[0] if only.result else f"Dry run, nothing was stored. {only.refused}"
        return {"message": said, **only.as_data(), "then": [step.as_data() for step in only.next_steps]}
    if refused and not is_dry_run:
        raise SomeRefused(outcomes)
    done = len(outcomes) - len(refused)
    if is_dry_run:
        return {"message": f"Dry run, nothing was stored: {done} of {len(outcomes)} imports fit.", **_told(outcomes)}
    return {"message": f"{len(outcomes)} imports done.", **_told(outcomes)}


def _planned(arguments: dict[str, Any]) -> Planned:
    ids = arguments["files"]
    stored = StoredFile.objects.in_bulk(ids)
    if len(stored) < len(set(ids)):
        raise NoLongerKept(f"No longer kept: {', '.join(arguments['names'])}. Choose the files again.")
    source = Source.objects.named(arguments["source"]) if arguments.get("source") else None
    period = arguments.get("period", "")
    files = [
        Given(
            local_copy(stored[number]),
            name,
            source,
            period,
            replace=arguments.get("replace", False),
            force=arguments.get("force", False),
        )
        for number, name in zip(ids, arguments["names"], strict=True)
    ]
    return Planned(tuple(files), source, period)


def _together(files: list[Given]) -> _Group:
    """Return one group of files, of the source and the month that they agree on."""
    sources = {each.source.pk: each.source for each in files if each.source}
    periods = {each.period for each in files} - {""}
    return _Group(
        next(iter(sources.values())) if len(sources) == 1 else None,
        next(iter(periods)) if len(periods) == 1 else "",
        files,
    )


def _told(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {
        "imports": [each.as_data() | {"then": [step.as_data() for step in each.next_steps]} for each in outcomes],
    }


def _problem(message: str) -> dict[str, Any]:
    return {"file": "", "line": None, "column": None, "message": message}
