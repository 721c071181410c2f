"""The figures of a benchmark in a table: what is promised, what was before, what is now.

Before is an earlier checkout, measured in the same run. Without one, its column is empty, and what is promised
in relation to it has no verdict.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

# What is promised: ratios to a floor or to before, MiB, bytes, seconds, PDFs a second.
MOST_CPU_FIRST = 1.6
MOST_CPU_MATCHED = 1.2
MOST_WALL = {"SQLite": 0.6, "PostgreSQL": 0.7}
MOST_BYTES = {"SQLite": 250, "PostgreSQL": 350}
MOST_MEMORY = 400
LEAST_SPEED = 0.6
MOST_AGAIN = 1.2
MOST_BYTES_A_ROW = 150
MOST_SUM_SECONDS = 0.5
LEAST_PDFS = 100
# What differs by less is no slower and no larger: two runs of the same program differ as much.
NOISE = 1.1
# A page may take this many seconds longer than before.
PAGE_NOISE = 0.02
# Below as many rows it is what the program itself needs that is compared.
LEAST_ROWS = 500_000
IMPORTS = ("first", "again", "changed")


@dataclass(frozen=True)
class Line:
    """A figure, and what is promised of it; nothing is promised of the others."""

    label: str
    value: str
    promised: str = ""
    holds: bool | None = None
    before: str = ""

    @property
    def verdict(self) -> str:
        return "" if self.holds is None else "yes" if self.holds else "NO"


def report(figures: dict[str, Any]) -> tuple[str, bool]:
    """Set the figures in a table beside what is promised; return it and whether all holds."""
    lines = [line for leg in figures["legs"] for line in of_leg(leg)]
    lines += [*of_memory(figures), *of_statements(figures)]
    head = Line("", "now", "promised", before="before")
    rows = [
        (line.label, line.before, line.value, line.promised, "holds" if line is head else line.verdict)
        for line in (head, *lines)
    ]
    wide = [max(len(row[column]) for row in rows) for column in range(5)]
    text = "\n".join("  ".join(cell.ljust(wide[at]) for at, cell in enumerate(row)).rstrip() for row in rows)
    return text, all(line.holds is not False for line in lines)


def of_leg(leg: dict[str, Any]) -> Iterator[Line]:
    """Yield the lines of one database."""
    name, rows, columnar, floor = leg["vendor"], leg["rows"], leg["columnar"], leg["floor"]
    yield Line(f"{name}: floor by columns", f"CPU {columnar['cpu']:.1f} s, {columnar['wall']:.1f} s")
    yield Line(
        f"{name}: floor by rows",
        f"CPU {floor['cpu']:.1f} s, {floor['seconds']:.1f} s, {rows / floor['seconds']:,.0f} rows/s",
    )
    now, before = leg["now"], leg.get("before")
    for lines in (of_cpu, of_wall, of_room, of_pages, of_jobs, of_rollup, of_earlier_promises):
        for line in with_before(lines, leg, now, before):
            yield replace(line, label=f"{name}: {line.label}")


def with_before(
    lines: Callable[..., Iterator[Line]], leg: dict[str, Any], now: dict[str, Any], before: dict[str, Any] | None
) -> Iterator[Line]:
    """Yield lines of now, each with the value that the line of the same label had before."""
    values = {line.label: line.value for line in lines(leg, before, None)} if before else {}
    for line in lines(leg, now, before):
        yield replace(line, before=values.get(line.label, ""))


def of_cpu(leg: dict[str, Any], own: dict[str, Any], before: dict[str, Any] | None) -> Iterator[Line]:
    """Yield the CPU of imports of CSV, all processes, in relation to the floor by columns."""
    labels = {"first": "first import", "again": "the same rows again", "changed": "1 % of the rows changed"}
    for step, label in labels.items():
        most = MOST_CPU_FIRST if step == "first" else MOST_CPU_MATCHED
        cpu = own["csv"][step]["cpu"]
        ratio = cpu / leg["columnar"]["cpu"]
        yield Line(f"CPU, {label}", f"{ratio:.2f} of the floor ({cpu:.1f} s)", f"≤ {most} of the floor", ratio <= most)


def of_wall(leg: dict[str, Any], own: dict[str, Any], before: dict[str, Any] | None) -> Iterator[Line]:
    """Yield how long imports of CSV take."""
    most = MOST_WALL[leg["vendor"]]
    for step, label in (("first", "first import"), ("again", "the same rows again"), ("changed", "1 % changed")):
        wall = own["csv"][step]["wall"]
        earlier = before["csv"][step]["wall"] if before else None
        if step == "first":
            yield _compared(f"time, {label}", f"{wall:.1f} s", wall, earlier, most, f"≤ {most} of before")
        else:
            yield _compared(f"time, {label}", f"{wall:.1f} s", wall, earlier)


def of_room(leg: dict[str, Any], own: dict[str, Any], before: dict[str, Any] | None) -> Iterator[Line]:
    """Yield the disk of a charge, and the memory of all processes of imports."""
    most, room = MOST_BYTES[leg["vendor"]], own["csv"]["bytes_a_row"]
    yield Line("bytes on disk a charge", f"{room:.0f}", f"≤ {most}", room <= most)
    yield Line("bytes on disk a charge, parquet", f"{own['parquet']['bytes_a_row']:.0f}")
    for part, label in (("csv", "CSV"), ("parquet", "parquet")):
        peaks = {step: own[part][step]["pss_mib"] for step in IMPORTS if step in own[part]}
        if None not in peaks.values():
            each = ", ".join(f"{peak:.0f}" for peak in peaks.values())
            yield memory_line(f"peak memory of all processes, {label}", f"{each} MiB", max(peaks.values()))


def memory_line(label: str, value: str, peak: float) -> Line:
    return Line(label, value, f"< {MOST_MEMORY}", peak < MOST_MEMORY)


def of_pages(leg: dict[str, Any], own: dict[str, Any], before: dict[str, Any] | None) -> Iterator[Line]:
    """Yield how long pages take: the median, and the first request."""
    earlier = before["csv"].get("pages", {}) if before else {}
    for page, took in own["csv"].get("pages", {}).items():
        value = f"{took['median'] * 1000:.0f} ms (first {took['first'] * 1000:.0f})"
        was = earlier.get(page, {}).get("median")
        holds = None if was is None else took["median"] <= max(was * NOISE, was + PAGE_NOISE)
        ratio = "" if was is None else f" {took['median'] / was:.2f}"
        yield Line(f"page, {page}", value + ratio, "no slower", holds)


def of_jobs(leg: dict[str, Any], own: dict[str, Any], before: dict[str, Any] | None) -> Iterator[Line]:
    """Yield the import of jobs, each a resource of its own, without and with many resources stored."""
    if not (jobs := own.get("jobs")):
        return
    earlier = before["jobs"] if before else None
    yield from _of_jobs("jobs", jobs, earlier)
    if stored := jobs.get("with_stored"):
        yield from _of_jobs(f"jobs, {stored['stored']:,} resources stored", stored, earlier)


def _of_jobs(label: str, own: dict[str, Any], earlier: dict[str, Any] | None) -> Iterator[Line]:
    first, was = own["first"], earlier["first"] if earlier else {}
    yield _compared(f"{label}: CPU", f"{first['cpu']:.1f} s", first["cpu"], was.get("cpu"))
    yield _compared(f"{label}: time", f"{first['wall']:.1f} s", first["wall"], was.get("wall"))
    room = own["bytes_a_row"]
    yield _compared(
        f"{label}: bytes on disk a charge", f"{room:.0f}", room, earlier["bytes_a_row"] if earlier else None, 1
    )
    if first["pss_mib"] is not None:
        yield memory_line(f"{label}: peak memory", f"{first['pss_mib']:.0f} MiB", first["pss_mib"])


def of_rollup(leg: dict[str, Any], own: dict[str, Any], before: dict[str, Any] | None) -> Iterator[Line]:
    """Yield the import of an hourly month that is added up."""
    if not (rollup := own.get("rollup")):
        return
    first, was = rollup["first"], before["rollup"]["first"] if before else {}
    yield _compared("adding up: CPU", f"{first['cpu']:.1f} s", first["cpu"], was.get("cpu"))
    yield _compared("adding up: time", f"{first['wall']:.1f} s", first["wall"], was.get("wall"))
    if first["pss_mib"] is not None:
        yield _compared("adding up: peak memory", f"{first['pss_mib']:.0f} MiB", first["pss_mib"], was.get("pss_mib"))


def _compared(
    label: str, value: str, now: float, before: float | None, most: float = NOISE, promised: str = "no more than before"
) -> Line:
    """Return a line whose figure may be so many times what it was before."""
    if not before:
        return Line(label, value, promised)
    return Line(label, f"{value}: {now / before:.2f}", promised, now <= before * most)


def of_earlier_promises(leg: dict[str, Any], own: dict[str, Any], before: dict[str, Any] | None) -> Iterator[Line]:
    """Yield what is promised in relation to the floor by rows, and to the first import."""
    seconds, cpu = leg["floor"]["seconds"], leg["floor"]["cpu"]
    for part, label in (("csv", "CSV"), ("parquet", "parquet")):
        steps = own[part]
        first = steps["first"]
        speed = seconds / first["wall"]
        yield Line(
            f"speed of the floor by rows, {label}",
            f"{speed:.2f} (by CPU {cpu / first['cpu']:.2f})",
            f"≥ {LEAST_SPEED}",
            speed >= LEAST_SPEED,
        )
        for step, name, most in (("again", "same again", 1.0), ("changed", "1 % changed", MOST_AGAIN)):
            if step in steps:
                ratio = steps[step]["wall"] / first["wall"]
                yield Line(f"{name} to first, {label}", f"{ratio:.2f}", f"≤ {most:.2f}", ratio <= most)
    sums = own["csv"]["sums"]
    yield Line(
        f"sum by PI and project ({sums['groups']})",
        f"{sums['best'] * 1000:.0f} ms (first {sums['first'] * 1000:.0f} ms)",
        f"< {MOST_SUM_SECONDS * 1000:.0f} ms",
        sums["first"] < MOST_SUM_SECONDS,
    )


def of_memory(figures: dict[str, Any]) -> Iterator[Line]:
    """Yield how memory grows with the rows."""
    leg = figures["legs"][0]
    is_large = leg["rows"] >= LEAST_ROWS
    if grows := figures.get("growth"):
        if (peak := max(grows[step]["pss_mib"] or 0 for step in ("first", "again"))) > 0:
            yield memory_line(f"SQLite: peak memory of all processes, {grows['rows']:,} rows", f"{peak:.0f} MiB", peak)
        # Less than a count of each row's would take: what is left is noise.
        for step, label, most in (("first", "first import", 16), ("again", "again", MOST_BYTES_A_ROW)):
            beyond = grows["bytes_a_row"][step]
            if is_large:
                promised = "none" if step == "first" else f"< {most}"
                yield Line(
                    f"SQLite: memory of each row beyond, {label}", f"{beyond:.0f} bytes", promised, beyond < most
                )
    if peak := figures.get("small_peak_mib"):
        large = leg["now"]["csv"]["first"]["peak_mib"]
        label, value = "SQLite: memory at a tenth of the rows", f"{peak:.0f} MiB (then {large:.0f})"
        yield Line(label, value, "grows < 15 %", large < peak * 1.15) if is_large else Line(label, value)


def of_statements(figures: dict[str, Any]) -> Iterator[Line]:
    if pdfs := figures.get("statements"):
        yield Line(
            "Statements",
            f"{pdfs['per_second']:.0f} PDF/s per core",
            f"≥ {LEAST_PDFS}",
            pdfs["per_second"] >= LEAST_PDFS,
        )
