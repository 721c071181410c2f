"""All files: as received and as made, written whole, named safely, read from pipes; on this disk or an object storage.

What is kept for years is asked for by `received` and `documents`: nobody else asks where a storage keeps things.
Whatever else writes a file does so by `writing`.
"""

from .away import StorageAway
from .folders import own_folder
from .writing import Pending, is_in_place, whole, whole_if_absent, write_whole, write_whole_in

__all__ = [
    "Pending",
    "StorageAway",
    "is_in_place",
    "own_folder",
    "whole",
    "whole_if_absent",
    "write_whole",
    "write_whole_in",
]
