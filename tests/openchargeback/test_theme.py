"""The look: one style sheet, colors that can be told apart in light and dark (WCAG 2.2 AA), sizes from one scale."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders

CSS = (Path(settings.BASE_DIR) / "openchargeback" / "static" / "openchargeback" / "app.css").read_text()
# Every color stands with its light and its dark value side by side.
COLORS = {
    name: {"light": light, "dark": dark}
    for name, light, dark in re.findall(r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", CSS)
}


def luminance(color):
    """Relative luminance, as WCAG 2.2 defines it."""
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [
        *((text, ground) for text in ("ink", "text", "quiet", "link", "bad") for ground in ("bg", "surface", "sunken")),
        *((text, ground) for text in ("text", "quiet", "link") for ground in ("hover", "note-bg")),
        *((f"{tone}", f"{tone}-bg") for tone in ("wait", "bad", "note")),
        ("wait", "surface"),
        ("on-accent", "accent-bg"),
        ("on-accent", "accent-hover"),
        ("on-danger", "danger-bg"),
        ("surface", "ink"),
    ],
)
def test_text_can_be_read(theme, text, ground):
    # 1.4.3 Contrast (Minimum).
    assert contrast(COLORS[text][theme], COLORS[ground][theme]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("edge", ["control", "wait-line", "bad-line", "ink"])
def test_fields_focus_and_marks_can_be_seen(theme, edge):
    # 1.4.11 Non-text Contrast: the border alone shows where to type, or that something waits.
    assert contrast(COLORS[edge][theme], COLORS["surface"][theme]) >= 3


def test_every_size_of_type_is_of_the_scale():
    used = set(re.findall(r"font-size: ([^;}]+)", CSS)) | set(
        re.findall(r"font: [^;]*?(var\(--t\d+\)|[\d.]+(?:px|rem))", CSS)
    )
    scale = {f"var(--t{size})" for size in (12, 13, 14, 16, 20, 28)}
    # Mono letters are a little smaller than the text they stand in. The code of an error is a sign. Paper has points.
    assert used - scale <= {".95em", "9px", "4rem", "10pt"}


def test_the_files_that_the_style_sheet_names_are_served():
    named = re.findall(r'url\("\.\./([^"]+)"\)', CSS)
    assert len(named) > 15
    assert [name for name in named if not finders.find(name)] == []


def test_there_is_one_style_sheet_of_ours():
    folder = Path(settings.BASE_DIR) / "openchargeback" / "static"
    assert [path.name for path in folder.rglob("*.css")] == ["app.css"]
    templates = (Path(settings.BASE_DIR) / "templates").rglob("*.html")
    linked = {name for path in templates for name in re.findall(r'static "([^"]+\.css)"', path.read_text())}
    assert linked == {"openchargeback/app.css", "admin/css/widgets.css"}
