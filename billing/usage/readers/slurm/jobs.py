"""Jobs into records of usage: what each used over its time, of what, and by whom."""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ....readers.batches import UnreadableFile
from ....readers.coded import Coded, combined
from ....readers.values import Memo, name_of
from ....texts import quoted
from ...records import TEXT, Measure, Shape
from ..kinds import Tally
from .holdings import Holdings, holdings_of
from .notes import notes_of
from .pieces import Mask, Piece
from .settings import Settings
from .spans import Spans, moments, spans_of
from .times import duration_of

HOUR = 3_600
SHAPE = Shape(
    attributes=("cluster", "partition", "qos", "gpu_type", "state", "reservation"),
    measures=(
        Measure("elapsed_seconds", {"hour": HOUR}),
        Measure("cpu_seconds", {"core-hour": HOUR}),
        Measure("gpu_seconds", {"GPU-hour": HOUR}),
        Measure("memory_mib_seconds", {"GiB-hour": 1024 * HOUR, "TiB-hour": 1024 * 1024 * HOUR}),
        Measure("node_seconds", {"node-hour": HOUR}),
        Measure("billing_seconds", {"billing-hour": HOUR}),
        Measure("jobs", {"job": 1}),
    ),
)

STATES = frozenset(
    (
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "COMPLETING", "CONFIGURING", "DEADLINE", "FAILED", "LAUNCH_FAILED"),
        *("NODE_FAIL", "OUT_OF_MEMORY", "PENDING", "PREEMPTED", "RECONFIG_FAIL", "REQUEUED", "REQUEUE_FED"),
        *("REQUEUE_HOLD", "RESIZING", "RESV_DEL_HOLD", "REVOKED", "RUNNING", "SIGNALING", "SPECIAL_EXIT"),
        *("STAGE_OUT", "STOPPED", "SUSPENDED", "TIMEOUT"),
    )
)
# Half of what a column of 64 bits holds, for the check is made in floating point.
MOST = 2**62

STEPS = "steps of jobs"
HEADERS = "headers within the file"
NEVER_STARTED = "jobs that never started"
NO_TIME_USED = "jobs that ran for no time"
UNDATED = "running jobs whose start the clocks showed twice"

# 123, 123_4, 123_[5-9%2], 123+1; a step has a point and its name behind it.
_JOB_ID = r"^[0-9]+(?:_(?:[0-9]+|\[.*)|\+[0-9]+)?(?:\.|$)"
_DURATIONS = Memo(duration_of)
_NONE = pa.RecordBatch.from_pylist([], schema=SHAPE.schema)


class Jobs:
    """Makes records of the pieces of one file, and counts in its tally what became no record."""

    def __init__(self, settings: Settings, tally: Tally) -> None:
        self.settings = settings
        self.tally = tally
        # The cluster of the file, and the job whose steps may come.
        self._cluster = ""
        self._last_job = ""
        # What is told of jobs once the file is over, and those in states that nobody knows.
        self.found: Counter[str] = Counter()
        self.states: Counter[str] = Counter()
        self.marked = ""

    def records(self, piece: Piece) -> pa.RecordBatch:
        """Return the records of a piece, of which there may be none; raises FileError."""
        piece = self._jobs_of(piece)
        if not len(piece):
            return _NONE
        elapsed = piece.numbers("ElapsedRaw" if "ElapsedRaw" in piece.columns else "Elapsed", _DURATIONS.__getitem__)
        started = moments(piece, "Start")
        is_started = started.known
        piece.refuse("Start", ~is_started & (elapsed > 0), lambda row: "The job has run, and has no start.")
        self._leave_out(NEVER_STARTED, ~is_started)
        self._leave_out(NO_TIME_USED, is_started & (elapsed == 0))
        has_run = elapsed > 0
        piece, elapsed = piece.kept(has_run), elapsed[has_run]
        if not len(piece):
            return _NONE
        suspended = piece.numbers("Suspended", lambda text: _DURATIONS[text] if text else 0)
        spans = spans_of(piece, started.kept(has_run), elapsed=elapsed, suspended=suspended, zone=self.settings.zone)
        self._leave_out(UNDATED, spans.is_undated)
        if spans.is_undated.any():
            is_dated = ~spans.is_undated
            piece, elapsed = piece.kept(is_dated), elapsed[is_dated]
            spans = Spans(*(each[is_dated] for each in vars(spans).values()))
        if not len(piece):
            return _NONE
        self.found["running"] += int(spans.is_running.sum())
        self.found["late"] += int(spans.is_late.sum())
        batch = self._batch(piece, elapsed, spans)
        self.tally.records += len(batch)
        return batch

    def finish(self) -> None:
        """Tell what was found over the whole file; raises UnreadableFile where it has steps and not one job."""
        if set(self.tally.left_out) - {HEADERS} == {STEPS} and not self.tally.records:
            raise UnreadableFile(
                "The file has only steps of jobs, and usage is taken from the jobs. Export it again with --allocations."
            )
        self.tally.notes += notes_of(self.found, self.states, self.marked)

    def _leave_out(self, reason: str, mask: Mask) -> None:
        if count := int(mask.sum()):
            self.tally.left_out[reason] += count

    def _jobs_of(self, piece: Piece) -> Piece:
        """Return the rows of jobs, without those of their steps, and without headers of files that were joined."""
        name = "JobIDRaw" if "JobIDRaw" in piece.columns else "JobID"
        ids = piece.columns[name]
        is_other = ~pc.ascii_is_decimal(ids).to_numpy(zero_copy_only=False)
        if not is_other.any():
            self._last_job = ids[-1].as_py() if len(ids) else self._last_job
            return piece
        is_step = is_other & pc.match_substring(ids, ".").to_numpy(zero_copy_only=False)
        is_header = is_other & pc.equal(pc.utf8_lower(ids), name.lower()).to_numpy(zero_copy_only=False)
        is_id = pc.match_substring_regex(ids, _JOB_ID).to_numpy(zero_copy_only=False)
        piece.refuse(
            name,
            ~(is_id | is_header),
            lambda row: (
                f"{quoted(piece.text(name, row))} is not the number of a job. A line break within a name of the line "
                "above is the usual cause: leave names and comments out of the export."
            ),
        )
        self._leave_out(STEPS, is_step)
        self._leave_out(HEADERS, is_header)
        self._count_stray(ids, is_step)
        return piece.kept(~(is_step | is_header))

    def _count_stray(self, ids: Any, is_step: Mask) -> None:
        """Count steps that do not follow their job, as sacct writes them: the job's own line may be missing."""
        job_rows = np.where(is_step, -1, np.arange(len(is_step)))
        before = np.maximum.accumulate(job_rows)
        jobs = pa.concat_arrays([ids, pa.array([self._last_job], pa.string())])
        owners = jobs.take(pa.array(np.where(before < 0, len(ids), before)[is_step]))
        steps = pc.list_element(pc.split_pattern(ids.filter(pa.array(is_step)), ".", max_splits=1), 0)
        self.found["stray"] += pc.sum(pc.not_equal(steps, owners)).as_py() or 0
        if before[-1] >= 0:
            self._last_job = ids[int(before[-1])].as_py()

    def _batch(self, piece: Piece, elapsed: Any, spans: Spans) -> pa.RecordBatch:
        clusters = self._clusters(piece)
        names = {name: _names(piece, name) for name in ("Account", "User", "Partition", "QOS", "Reservation")}
        states, free = self._states(piece)
        holdings = self._holdings(piece)
        ids = piece.columns["JobIDRaw" if "JobIDRaw" in piece.columns else "JobID"]
        if self.settings.several_clusters:
            ids = pc.binary_join_element_wise(_array(clusters).cast(pa.string()), ids, ":")
        columns = {
            "id": ids,
            "start": spans.start,
            "end": spans.end,
            "account": names["Account"],
            "user": names["User"],
            "resource": _resources(clusters, names["Partition"]),
            "free": free,
            "cluster": clusters,
            "partition": names["Partition"],
            "qos": names["QOS"],
            "gpu_type": holdings.gpu_types,
            "state": states,
            "reservation": names["Reservation"],
            "elapsed_seconds": elapsed,
            "cpu_seconds": _product(piece, "AllocTRES", holdings.cpus, elapsed),
            "gpu_seconds": _product(piece, "AllocTRES", holdings.gpus, elapsed),
            "memory_mib_seconds": _product(piece, "AllocTRES", holdings.memory, elapsed),
            "node_seconds": _product(piece, "AllocTRES", holdings.nodes, elapsed),
            "billing_seconds": _product(piece, "AllocTRES", holdings.billing, elapsed),
            "jobs": np.ones(len(piece), dtype=np.int64),
        }
        return pa.RecordBatch.from_arrays([_array(columns[field.name]) for field in SHAPE.schema], schema=SHAPE.schema)

    def _holdings(self, piece: Piece) -> Holdings:
        holdings = holdings_of(piece)
        self.found += holdings.found
        self.marked = self.marked or holdings.marked
        return holdings

    def _states(self, piece: Piece) -> tuple[Coded, Coded]:
        """Return the state of each job, “CANCELLED by 123” as CANCELLED, and why nobody is charged for it."""
        states = _names(piece, "State").converted(lambda text: text.partition(" ")[0].rstrip("+").upper())
        for text, count in zip(states.texts, states.counts(), strict=True):
            if text and text not in STATES:
                self.states[text] += count
        return states, states.converted(lambda state: self.settings.free_states.get(state, ""))

    def _clusters(self, piece: Piece) -> Coded:
        """Return the cluster of each job; raises FileError for one that the feed is not of."""
        own = self.settings.cluster
        clusters = _names(piece, "Cluster").converted(lambda text: text or own)
        if self.settings.several_clusters:
            missing = clusters.values([not text for text in clusters.texts], np.bool_)
            piece.refuse("Cluster", missing, lambda row: "The job has no cluster, and the feed has several.")
            return clusters
        self._cluster = own or self._cluster or next(filter(None, clusters.texts), "")
        other = [bool(text) and text.casefold() != self._cluster.casefold() for text in clusters.texts]
        expected = self._cluster
        piece.refuse(
            "Cluster",
            clusters.values(other, np.bool_),
            lambda row: (
                f"The job is of the cluster {quoted(piece.text('Cluster', row))}, and "
                + (f"the feed is of {expected}. " if own else f"others are of {expected}. ")
                + "Job numbers of two clusters may be equal: give each a feed, or set the feed up for several clusters."
            ),
        )
        return clusters


def _names(piece: Piece, name: str) -> Coded:
    """Return a column of names, cleaned; raises FileError for what is no name."""
    piece.converted(name, name_of)
    return piece.coded(name).converted(name_of)


def _resources(clusters: Coded, partitions: Coded) -> Coded:
    """Return cluster/partition of each job, or the one that it has."""
    codes, firsts = combined([clusters.codes, partitions.codes])
    pairs = zip(clusters.at(firsts), partitions.at(firsts), strict=True)
    return Coded(codes, ["/".join(filter(None, pair)) for pair in pairs])


def _product(piece: Piece, name: str, counts: Any, seconds: Any) -> Any:
    """Return counts over time; raises FileError where the product is larger than can be kept."""
    if len(counts) and int(counts.max()) * int(seconds.max()) >= MOST:
        wrong = counts.astype(np.float64) * seconds.astype(np.float64) >= MOST
        piece.refuse(name, wrong, lambda row: "The job has more than can be counted over the time it ran.")
    return counts * seconds


def _array(values: Any) -> Any:
    if isinstance(values, Coded):
        codes = pa.array(np.asarray(values.codes, dtype=np.int32))
        return pa.DictionaryArray.from_arrays(codes, pa.array(values.texts, pa.string()), safe=False).cast(TEXT)
    return values if isinstance(values, pa.Array) else pa.array(values, pa.int64())
