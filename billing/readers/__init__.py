"""Files into batches of columns: one module per physical format, none of which knows the database."""

from .batches import Batch, FileError, Problem, UnreadableFile
from .csv_file import read_csv

__all__ = ["Batch", "FileError", "Problem", "UnreadableFile", "read_csv"]
