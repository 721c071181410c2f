"""Everything on disk: files as received and as made, written whole, named safely, read from pipes.

Whatever writes a file does so by `writing`, and whatever needs a path of a received one asks `received.local_copy`:
nobody else asks where a storage keeps things.
"""

from .folders import own_folder
from .writing import Pending, is_in_place, whole, whole_if_absent, write_whole, write_whole_in

__all__ = ["Pending", "is_in_place", "own_folder", "whole", "whole_if_absent", "write_whole", "write_whole_in"]
