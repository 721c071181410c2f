"""The themes: dark is the same by system and by choice, and colors can be told apart (WCAG 2.2 AA)."""

import re
from pathlib import Path

import pytest
from django.conf import settings

FOLDER = Path(settings.BASE_DIR) / "openchargeback" / "static" / "openchargeback"
VARIABLE = re.compile(r"--([a-z-]+): (#[0-9a-f]{3,6});")


def palettes(name):
    """Return the palettes of a style sheet, by what selects them: name of the variable -> color."""
    css = (FOLDER / name).read_text()
    blocks = re.findall(r"^ *([^{}\n]*(?:theme=|:root)[^{}\n]*) \{([^{}]*)\}", css, re.MULTILINE)
    return {selector: dict(VARIABLE.findall(block)) for selector, block in blocks if VARIABLE.search(block)}


ADMIN = palettes("theme.css")
LIGHT, DARK_OF_SYSTEM, DARK = ADMIN['html[data-theme="light"], :root'], ADMIN[":root"], ADMIN['html[data-theme="dark"]']
PORTAL = palettes("portal.css")


def luminance(color):
    """Relative luminance, as WCAG 2.2 defines it."""
    digits = color[1:] if len(color) == 7 else "".join(2 * digit for digit in color[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_dark_is_the_same_by_system_and_by_choice():
    assert len(DARK) > 40
    assert DARK == DARK_OF_SYSTEM


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [
        *((text, ground) for text in ("body-fg", "body-quiet-color", "link-fg") for ground in ("body-bg", "card-bg")),
        *((f"{tone}-fg", f"{tone}-bg") for tone in ("good", "warn", "bad", "busy", "none")),
        *(
            ("button-fg", ground)
            for ground in ("button-bg", "default-button-bg", "button-hover-bg", "delete-button-bg")
        ),
        ("header-link-color", "header-bg"),
        ("object-tools-fg", "object-tools-bg"),
        ("link-selected-fg", "selected-bg"),
        ("error-fg", "card-bg"),
    ],
)
def test_text_can_be_read(palette, text, ground):
    # 1.4.3 Contrast (Minimum).
    assert contrast(palette[text], palette[ground]) >= 4.5


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_fields_can_be_seen(palette):
    # 1.4.11 Non-text Contrast: the border alone shows where to type.
    assert contrast(palette["field-border"], palette["card-bg"]) >= 3
    assert contrast(palette["field-border"], palette["body-bg"]) >= 3


@pytest.mark.parametrize("palette", PORTAL.values(), ids=PORTAL)
def test_the_portal_can_be_read(palette):
    for ground in ("bs-body-bg", "card-bg"):
        assert contrast(palette["bs-body-color"], palette[ground]) >= 4.5
        assert contrast(palette["bs-link-color"], palette[ground]) >= 4.5
        assert contrast(palette["field-border"], palette[ground]) >= 3
