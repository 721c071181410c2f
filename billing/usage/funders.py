"""Who pays what a line of usage is reduced by: one fund/org on each row, and a row of its own for each further one.

Pure. A subsidy is forgone or paid by its fund/org. What is drawn from a balance no row pays: where it was paid before,
its use becomes recovery by what was paid for it (see `prepaid`).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Numbers = npt.NDArray[np.int64]
# The kind of a row that stands for what a further fund/org pays of a line.
PAID_BY = "paid"


def with_funders(lines: pa.Table, reductions: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return lines with `line`, the place of each, `reduced_by`, the codes of what reduced it, and `fund_org`.

    A line is split where several pay: second comes what further fund/orgs pay.

    Listed, contracted and billed, the rows of a line come to what the line does.
    """
    line = reductions.column("line").to_numpy()
    funder, places = _funders(reductions)
    # One row for each line and funder; the line's own is that of whoever comes first in the order applied.
    keys, first, group = np.unique(line * len(places) + funder, return_index=True, return_inverse=True)
    sums = np.zeros(len(keys), np.int64)
    np.add.at(sums, group, reductions.column("amount").to_numpy())
    of_line, fund = keys // len(places), keys % len(places)
    is_own = np.zeros(len(keys), bool)
    order = np.lexsort((first, of_line))
    is_own[order[np.flatnonzero(np.diff(of_line[order], prepend=-1))]] = True
    own_fund, moved = np.zeros(lines.num_rows, np.int64), np.zeros(lines.num_rows, np.int64)
    own_fund[of_line[is_own]] = fund[is_own]
    np.add.at(moved, of_line[~is_own], sums[~is_own])
    own = lines.append_column("fund_org", _texts(own_fund, places))
    own = own.append_column("line", pa.array(np.arange(lines.num_rows)))
    own = own.append_column("reduced_by", _reasons(lines.num_rows, line, *_numbered(reductions.column("code"))))
    own = _replaced(own, {name: pa.array(own.column(name).to_numpy() - moved) for name in ("list", "contracted")})
    return own, _further(own.take(pa.array(of_line[~is_own])), sums[~is_own], _texts(fund[~is_own], places))


def _further(lines: pa.Table, amounts: Numbers, funds: pa.Array) -> pa.Table:
    """Return lines for what further fund/orgs pay: listed and contracted, and billed to nobody else."""
    paid, zero = pa.array(amounts), pa.array(np.zeros(len(amounts), np.int64))
    kind = _texts(np.zeros(len(amounts), np.int64), [PAID_BY])
    columns = {"list": paid, "contracted": paid, "billed": zero, "quantity": zero, "fund_org": funds, "kind": kind}
    return _replaced(lines, columns)


def _replaced(table: pa.Table, columns: Mapping[str, pa.Array]) -> pa.Table:
    for name, column in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table


def _funders(reductions: pa.Table) -> tuple[Numbers, list[str]]:
    """Return who pays each reduction, as a place among fund/orgs; the first is nobody: it is forgone."""
    orgs, org = _numbered(reductions.column("fund_org"))
    places = list(dict.fromkeys(["", *orgs]))
    if not orgs:
        return np.array([], np.int64), places
    return np.array([places.index(each) for each in orgs], np.int64)[org], places


def _numbered(column: pa.ChunkedArray) -> tuple[list[str], Numbers]:
    coded = column.combine_chunks()
    coded = coded if pa.types.is_dictionary(coded.type) else pc.dictionary_encode(coded)
    return coded.dictionary.to_pylist(), coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def _texts(places: Numbers, texts: Sequence[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(places.astype(np.int32)), pa.array(list(texts), pa.string()))


def _reasons(count: int, line: Numbers, codes: Sequence[str], code: Numbers) -> pa.Array:
    """Return, for each line, the codes of what reduced it, in the order in which they did: `free-tier, provost`."""
    told = [""]
    numbers: dict[tuple[int, str], int] = {}
    place = np.zeros(count, np.int64)
    # A line has few reductions: one pass for its first, one for its second, and so on.
    order = np.lexsort((np.arange(len(line)), line))
    nth = np.arange(len(line)) - np.searchsorted(line[order], line[order])
    for turn in range(int(nth.max()) + 1 if len(nth) else 0):
        those = order[nth == turn]
        at = line[those]
        pairs, which = np.unique(place[at] * len(codes) + code[those], return_inverse=True)
        new = []
        for pair in pairs.tolist():
            before, name = pair // len(codes), codes[pair % len(codes)]
            if (before, name) not in numbers:
                numbers[before, name] = len(told)
                told.append(f"{told[before]}, {name}" if told[before] else name)
            new.append(numbers[before, name])
        place[at] = np.array(new, np.int64)[which]
    return _texts(place, told)
