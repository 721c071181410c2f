"""Folders of this installation's own."""

from pathlib import Path

from django.conf import settings


def own_folder(*names: str) -> Path:
    """Return a folder in VAR_DIR, made if need be; nobody else on the machine can read it."""
    folder = Path(settings.VAR_DIR, *names)
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    return folder
