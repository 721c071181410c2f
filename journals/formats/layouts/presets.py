"""The layouts that come with the program, to be copied: a file of JSON for each, in `presets/`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from billing.errors import BillingError

from .reading import layout_from_text
from .terms import Layout

FOLDER = Path(__file__).with_name("presets")


class UnknownPreset(BillingError):
    """A preset was asked for that there is not."""


@dataclass(frozen=True)
class Preset:
    """A layout that comes with the program: its name, its text, and what that says."""

    name: str
    content: str
    layout: Layout


@cache
def presets() -> Mapping[str, Preset]:
    """Return the presets by name."""
    found = {}
    for path in sorted(FOLDER.glob("*.json")):
        content = path.read_text(encoding="utf-8")
        found[path.stem] = Preset(path.stem, content, layout_from_text(content))
    return MappingProxyType(found)


def preset_named(name: str) -> Preset:
    """Return a preset. Raises UnknownPreset, naming those there are."""
    if name not in presets():
        raise UnknownPreset(f"There is no preset “{name}”. These exist: {', '.join(presets())}.")
    return presets()[name]
