"""The figures of a benchmark in a table, each beside what is promised."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# What is promised: ratios to the floor, MiB, seconds, PDFs a second.
LEAST_SPEED = 0.6
MOST_AGAIN = 1.2
MOST_MEMORY = 400
MOST_BYTES_A_ROW = 150
MOST_SUM_SECONDS = 0.5
LEAST_PDFS = 60
# Below as many rows it is what the program itself needs that is compared.
LEAST_ROWS = 500_000


@dataclass(frozen=True)
class Line:
    """A figure, and what is promised of it; nothing is promised of the others."""

    label: str
    value: str
    promised: str = ""
    holds: bool | None = None

    @property
    def verdict(self) -> str:
        return "" if self.holds is None else "yes" if self.holds else "NO"


def report(figures: dict[str, Any]) -> tuple[str, bool]:
    """Set the figures in a table beside what is promised; return it and whether all holds."""
    lines = [line for leg in figures["legs"] for line in (*of_leg(leg), *of_parquet(leg))]
    lines += [*of_memory(figures), *of_statements(figures)]
    wide = max(len(line.label) for line in lines)
    middle = max(len(line.value) for line in lines)
    text = "\n".join(
        f"{line.label.ljust(wide)}  {line.value.ljust(middle)}  {line.promised.ljust(13)}{line.verdict}".rstrip()
        for line in lines
    )
    return text, all(line.holds is not False for line in lines)


def of_leg(leg: dict[str, Any]) -> Iterator[Line]:
    """Yield the lines of CSV on one database."""
    rows, first, again, changed, name = leg["rows"], leg["first"], leg["again"], leg["changed"], leg["vendor"]
    floor = leg["floor_seconds"]
    yield Line(f"{name}: floor", f"{floor:.1f} s  {rows / floor:,.0f} rows/s  (CPU {leg['floor_cpu_seconds']:.1f} s)")
    yield Line(
        f"{name}: first import",
        f"{first['wall']:.1f} s  {rows / first['wall']:,.0f} rows/s  (CPU {first['cpu']:.1f} s)",
    )
    yield Line(
        f"{name}: speed of the floor",
        f"{leg['speed_of_floor']:.2f} (by CPU {leg['speed_of_floor_by_cpu']:.2f})",
        f"≥ {LEAST_SPEED}",
        leg["speed_of_floor"] >= LEAST_SPEED,
    )
    yield memory_line(f"{name}: peak memory, first import", first["peak_mib"])
    yield Line(
        f"{name}: the same rows again",
        f"{again['wall']:.1f} s ({leg['again_to_first']:.2f} of the first)",
        "≤ 1.00",
        leg["again_to_first"] <= 1,
    )
    yield Line(
        f"{name}: 1 % of the rows changed",
        f"{changed['wall']:.1f} s ({leg['changed_to_first']:.2f} of the first)",
        f"≤ {MOST_AGAIN:.2f}",
        leg["changed_to_first"] <= MOST_AGAIN,
    )
    yield memory_line(f"{name}: peak memory, again", again["peak_mib"])
    yield Line(
        f"{name}: sum by PI and project ({leg['sum_groups']})",
        f"{leg['sum_best_seconds'] * 1000:.0f} ms (first {leg['sum_first_seconds'] * 1000:.0f} ms)",
        f"< {MOST_SUM_SECONDS * 1000:.0f} ms",
        leg["sum_first_seconds"] < MOST_SUM_SECONDS,
    )


def memory_line(label: str, peak: float) -> Line:
    return Line(label, f"{peak:.0f} MiB", f"< {MOST_MEMORY}", peak < MOST_MEMORY)


def of_parquet(leg: dict[str, Any]) -> Iterator[Line]:
    """Yield the lines of parquet on one database, where it was measured."""
    if not (parquet := leg.get("parquet")):
        return
    first, changed, name = parquet["first"], parquet["changed"], leg["vendor"]
    yield Line(
        f"{name}: parquet, first import",
        f"{first['wall']:.1f} s ({parquet['speed_of_floor']:.2f} of the floor of CSV)",
        f"≥ {LEAST_SPEED}",
        parquet["speed_of_floor"] >= LEAST_SPEED,
    )
    yield Line(
        f"{name}: parquet, 1 % of the rows changed",
        f"{changed['wall']:.1f} s ({parquet['changed_to_first']:.2f} of the first)",
        f"≤ {MOST_AGAIN:.2f}",
        parquet["changed_to_first"] <= MOST_AGAIN,
    )
    yield Line(
        f"{name}: parquet, peak memory",
        f"{first['peak_mib']:.0f} MiB, again {changed['peak_mib']:.0f} MiB",
        f"< {MOST_MEMORY}",
        max(first["peak_mib"], changed["peak_mib"]) < MOST_MEMORY,
    )


def of_memory(figures: dict[str, Any]) -> Iterator[Line]:
    """Yield how memory grows with the rows."""
    is_large = figures["legs"][0]["rows"] >= LEAST_ROWS
    if (grows := figures.get("bytes_a_row")) and is_large:
        # Less than a count of each row's would take: what is left is noise.
        yield Line(
            "SQLite: memory of each row beyond, first import",
            f"{grows['first']:.0f} bytes",
            "none",
            grows["first"] < 16,
        )
        yield Line(
            "SQLite: memory of each row beyond, again",
            f"{grows['again']:.0f} bytes",
            f"< {MOST_BYTES_A_ROW}",
            grows["again"] < MOST_BYTES_A_ROW,
        )
    if peak := figures.get("small_peak_mib"):
        large = figures["legs"][0]["first"]["peak_mib"]
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
