"""The error of a storage that is not this disk."""


class StorageAway(OSError):
    """The object storage cannot be reached, or refuses what was asked of it: `strerror` says what, `filename` where."""
