"""Layouts: how a journal is written for a ledger's loader, as data that staff copy and change (pure)."""

from .condensing import FileLine, condensed
from .presets import Preset, UnknownPreset, preset_named, presets
from .reading import layout_from_data, layout_from_text
from .rendering import Problem
from .schema import PUBLISHED, LayoutNotUnderstood
from .settings import UnknownSetting, with_choices
from .terms import Layout, Setting
from .writing import LayoutFormat, LayoutRefused

__all__ = [
    "PUBLISHED",
    "FileLine",
    "Layout",
    "LayoutFormat",
    "LayoutNotUnderstood",
    "LayoutRefused",
    "Preset",
    "Problem",
    "Setting",
    "UnknownPreset",
    "UnknownSetting",
    "condensed",
    "layout_from_data",
    "layout_from_text",
    "preset_named",
    "presets",
    "with_choices",
]
