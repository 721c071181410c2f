"""Tables put aside on the disk by part: what does not fit the memory at once is worked on part by part."""

import itertools
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

# Rows that are worked on at once: 65,536 take 40 MiB more, and no less CPU.
BLOCK = 32_768


class Aside:
    """Keeps pieces of tables by the number of their part, and gives back the pieces of a part in the order they came.

    They lie in a file of the folder `scratch`, which whoever gives the folder removes with it.
    """

    def __init__(self, scratch: Path) -> None:
        file, name = tempfile.mkstemp(dir=scratch)
        os.close(file)
        self._path = Path(name)
        # Where the pieces of each part begin and end.
        self._pieces: dict[int, list[tuple[int, int]]] = defaultdict(list)

    def put(self, part: int, table: pa.Table) -> None:
        """Keep a piece of a part; one without rows is left out."""
        if table.num_rows:
            with self._path.open("ab") as file:
                begin = file.tell()
                with pa.ipc.new_stream(file, table.schema) as writer:
                    writer.write_table(table)
                self._pieces[part].append((begin, file.tell()))

    def spread(self, parts: npt.NDArray[Any], table: pa.Table) -> None:
        """Keep each row in its part, in the order of the rows."""
        order = np.argsort(parts, kind="stable")
        sorted_parts = parts[order]
        table = table.take(pa.array(order))
        bounds = [*np.flatnonzero(np.diff(sorted_parts, prepend=-1)).tolist(), len(parts)]
        for start, end in itertools.pairwise(bounds):
            self.put(int(sorted_parts[start]), table[start:end])

    def pieces(self, part: int) -> Iterator[pa.Table]:
        """Yield the pieces of a part."""
        with self._path.open("rb") as file:
            for begin, end in self._pieces.get(part, ()):
                file.seek(begin)
                yield pa.ipc.open_stream(file.read(end - begin)).read_all()
