"""Files into batches of columns: one module per physical format, none of which knows the database."""

from .batches import Batch, FileError, Problem, UnreadableFile
from .csv_file import read_csv
from .delivery import check_rows, open_delivery
from .kinds import Kind
from .parts import Part
from .reading import read, row_at

__all__ = [
    "Batch",
    "FileError",
    "Kind",
    "Part",
    "Problem",
    "UnreadableFile",
    "check_rows",
    "open_delivery",
    "read",
    "read_csv",
    "row_at",
]
