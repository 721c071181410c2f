"""The logo: what is taken, what is kept of it, and what statements print."""

import contextlib
import io
import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from billing import vectors
from billing.models import AuditEvent, Logo, Policy
from billing.setup import logos
from billing.setup.logos import LogoRefused
from billing.vectors.paths import TAKES
from tests import build
from tests.build import NOW, SOMEBODY

PAGE = "/admin/billing/policy/logo/"
BY = {"actor": SOMEBODY, "now": NOW}


def a_picture(mode="RGBA", size=(400, 100), color=(200, 30, 30, 255), kind="PNG", **how):
    data = io.BytesIO()
    Image.new(mode, size, color[: len(mode)] if mode != "L" else 7).save(data, kind, **how)
    return data.getvalue()


def opened(png):
    return Image.open(io.BytesIO(png))


@pytest.mark.parametrize(
    ("mode", "kind"), [("RGBA", "PNG"), ("RGB", "PNG"), ("L", "PNG"), ("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG")]
)
def test_a_picture_of_any_mode_is_kept_in_plain_colors(mode, kind):
    kept = opened(logos.drawn_anew(a_picture(mode, kind=kind)))
    assert (kept.format, kept.mode, kept.size) == ("PNG", "RGB", (400, 100))


def test_a_transparent_ground_becomes_white_and_a_palette_is_resolved():
    assert opened(logos.drawn_anew(a_picture(color=(200, 30, 30, 0)))).getpixel((0, 0)) == (255, 255, 255)
    data = io.BytesIO()
    palette = Image.new("RGB", (50, 50), (200, 30, 30)).quantize(4)
    palette.save(data, "PNG", transparency=palette.getpixel((0, 0)))
    assert opened(logos.drawn_anew(data.getvalue())).getpixel((0, 0)) == (255, 255, 255)


def test_nothing_of_the_file_is_kept_but_its_picture():
    about = PngImagePlugin.PngInfo()
    about.add_text("Comment", "<script>alert(1)</script>")
    png = logos.drawn_anew(a_picture(pnginfo=about) + b"<script>")
    assert b"script" not in png
    assert re.findall(rb"(IHDR|PLTE|tEXt|IDAT|IEND)", png)[0] == b"IHDR"


def test_a_large_picture_is_made_as_small_as_statements_need():
    noise = Image.effect_noise((1500, 1500), 90).convert("RGB")
    data = io.BytesIO()
    noise.save(data, "JPEG", quality=60)
    png = logos.drawn_anew(data.getvalue())
    assert len(png) <= logos.MOST_KEPT
    wide, high = opened(png).size
    assert wide == high <= logos.HIGHEST
    assert opened(logos.drawn_anew(a_picture(size=(3000, 100)))).size == (600, 20)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no SVG, no PNG and no JPEG"),
        (a_picture(kind="GIF", mode="L"), "no SVG, no PNG and no JPEG"),
        (a_picture()[:60], "broken or incomplete"),
        (a_picture(size=(5000, 20)), "5,000 by 20 pixels"),
        (a_picture(size=(300, 10)), "300 by 10 pixels"),
        (b"x" * (2 * 1024 * 1024 + 1), "larger than 2 MB"),
    ],
)
def test_what_is_no_logo_is_refused(data, reason):
    with pytest.raises(LogoRefused, match=reason):
        logos.drawn_anew(data)


# SVG ------------------------------------------------------------------------------------------------------------------


def an_svg(shapes, head='viewBox="0 0 100 50"', before=""):
    return f'{before}<svg xmlns="http://www.w3.org/2000/svg" {XLINK} {head}>{shapes}</svg>'.encode()


XLINK = 'xmlns:xlink="http://www.w3.org/1999/xlink"'
PATH = '<path d="M0 0h30v10H0z"/>'
DOCTYPE = '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">'
LAUGHS = '<!DOCTYPE svg [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'


def shapes_of(shapes, **how):
    return vectors.read(an_svg(shapes, **how)).shapes


@pytest.mark.parametrize(
    ("shape", "path"),
    [
        ('<rect x="10" y="5" width="20" height="10"/>', "M100 50L300 50L300 150L100 150Z"),
        ('<path d="m10,5 20 0 0,10-20 0z"/>', "M100 50L300 50L300 150L100 150Z"),
        ('<polygon points="10,5 30,5 30,15"/>', "M100 50L300 50L300 150Z"),
        (
            '<path d="M10 10T20 20 M0 0Q10 0 10 10"/>',
            "M100 100C100 100 133.33 133.33 200 200M0 0C66.67 0 100 33.33 100 100",
        ),
        ('<path d="M0 0C1 1 2 1 3 0S5-1 6 0"/>', "M0 0C10 10 20 10 30 0C40 -10 50 -10 60 0"),
        ('<g transform="translate(10) scale(2)"><path d="M0 0L5 5"/></g>', "M100 0L200 100"),
        ('<path transform="rotate(90 10 10)" d="M10 10H20"/>', "M100 100L100 200"),
        # Flags of an arc need nothing between them.
        ('<path d="M0 10a10 10 0 0110 -10"/>', "M0 100C0 44.77 44.77 0 100 0"),
    ],
)
def test_every_shape_is_a_path_of_lines_and_curves_in_one_box(shape, path):
    (found,) = shapes_of(shape)
    assert found.path == path
    assert found.fill == "#000000"


def test_a_circle_has_its_size_in_every_direction():
    (found,) = shapes_of('<circle cx="50" cy="25" r="20"/>')
    numbers = [float(each) for each in re.findall(r"-?[0-9.]+", found.path)]
    assert (min(numbers[::2]), max(numbers[::2]), min(numbers[1::2]), max(numbers[1::2])) == (300, 700, 50, 450)


def test_attributes_groups_classes_and_styles_paint_in_their_order():
    sheet = "<defs><style>path{fill:red} .b,.c{fill:blue;stroke:#abc} #d{fill:rgb(1,2,3)}</style></defs>"
    shapes = (
        '<g fill="green"><rect width="9" height="9"/><path d="M0 0h9v9"/><path class="x b" d="M0 0h9v9" fill="pink"/>'
        '<path id="d" class="b" d="M0 0h9v9"/><path class="b" style="fill:#fff;stroke-width:.5" d="M0 0h9v9"/></g>'
    )
    found = shapes_of(sheet + shapes)
    assert [each.fill for each in found] == ["#008000", "#ff0000", "#0000ff", "#010203", "#ffffff"]
    assert [each.stroke for each in found] == ["", "", "#aabbcc", "#aabbcc", "#aabbcc"]
    assert found[-1].width == 5


def test_what_is_not_seen_is_not_kept():
    hidden = (
        f'<g display="none">{PATH}</g><g visibility="hidden">{PATH}</g><g opacity="0">{PATH}</g>'
        f'<path d="M0 0h9v9" fill="none"/><defs>{PATH}</defs><title>&lt;script&gt;</title>'
        f'<i:view xmlns:i="http://www.inkscape.org/">{PATH}</i:view><rect width="0" height="9"/>'
    )
    kept = logos.drawn_anew(an_svg(hidden + PATH, before=f'<?xml version="1.0"?>{DOCTYPE}<!-- mine -->'))
    assert kept == (
        b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 500">'
        b'<path d="M0 0L300 0L300 100L0 100Z" fill="#000000"/></svg>'
    )


@pytest.mark.parametrize(
    ("svg", "reason"),
    [
        (an_svg(f"{PATH}<script>alert(1)</script>"), "has a script"),
        (an_svg(f"<defs><g><script/></g></defs>{PATH}"), "has a script"),
        (an_svg(PATH, head='viewBox="0 0 9 9" onload="alert(1)"'), "has a script"),
        (an_svg('<path d="M0 0h9v9" onclick="x()"/>'), "has a script"),
        (an_svg('<foreignObject><p xmlns="http://www.w3.org/1999/xhtml"/></foreignObject>'), "part of a web page"),
        (an_svg('<image xlink:href="http://evil.example/a.png"/>'), "has a picture in it"),
        (an_svg('<a xlink:href="javascript:x()"><path d="M0 0h9v9"/></a>'), "has a link"),
        (an_svg('<defs><linearGradient id="a" xlink:href="http://evil.example/#a"/></defs>'), "refers to another file"),
        (an_svg('<use xlink:href="#a"/>'), "has copies of shapes"),
        (an_svg("<text>Tech</text>"), "Convert the text to outlines"),
        (an_svg("<animate/>"), "<animate>, which statements cannot print"),
        (an_svg('<path d="M0 0h9v9" fill="url(#a)"/>'), "a gradient or a pattern"),
        (an_svg('<path d="M0 0h9v9" fill="url(http://evil.example/#a)"/>'), "refers to another file"),
        (an_svg('<path d="M0 0h9v9" opacity=".5"/>'), "one sees through"),
        (an_svg('<path d="M0 0h9v9" fill="#ff000080"/>'), "a color one sees through"),
        (an_svg('<path d="M0 0h9v9" fill="expression(1)"/>'), "a color that cannot be read"),
        (an_svg(f'<g filter="url(#a)">{PATH}</g>'), "has a filter"),
        (an_svg(f'<g style="clip-path:url(#a)">{PATH}</g>'), "clipped by another shape"),
        (an_svg(f'<style>@import "http://evil.example/a.css";</style>{PATH}'), "more than plain rules"),
        (an_svg(f"<style>g path{{fill:red}}</style>{PATH}"), "a style for “g path”"),
        (an_svg('<path d="M0 0 L 1"/>'), "a path that cannot be read"),
        (an_svg('<path d="L0 0"/>'), "does not begin with a move"),
        (an_svg('<path d="M0 0L1e300 0"/>'), "a number that cannot be read"),
        (an_svg(f'<g transform="scale(1e7) translate(1e7)">{PATH}</g>'), "reaches too far"),
        (an_svg(f'<g transform="turn(3)">{PATH}</g>'), "a transform that cannot be read"),
        (an_svg(PATH, head=""), "a length that cannot be read"),
        (an_svg(PATH, head='viewBox="0 0 100 1"'), "no size that a logo can have"),
        (an_svg(PATH, head='viewBox="0 0 9 9 9"'), "a viewBox that cannot be read"),
        (an_svg("<g>" * 60 + "</g>" * 60), "beyond reason"),
        (an_svg('<path d="M0 0' + "h1v1" * 11_000 + '"/>'), "more curves than a logo needs"),
        (an_svg('<path d="M0 0' + "l1.11 1.13" * 9_000 + '"/>'), "more curves than a logo needs"),
        (an_svg(""), "no shape that is seen"),
        (an_svg(PATH, before=LAUGHS), "declares entities"),
        (an_svg("<g>"), "a broken one"),
        (b"<html><svg/></html>", "no SVG"),
        (an_svg(f"<!--{'x' * 600_000}-->{PATH}"), "larger than 512 KB"),
    ],
)
def test_an_svg_that_does_more_than_show_plain_shapes_is_refused(svg, reason):
    with pytest.raises(LogoRefused, match=reason):
        logos.drawn_anew(svg)


NUMBERS = st.floats(-500, 500).map(lambda each: f"{each:.3f}")
COMMANDS = st.sampled_from("MmLlHhVvCcSsQqTtAaZz")


@settings(max_examples=200, deadline=None)
@given(commands=st.lists(st.tuples(COMMANDS, st.lists(NUMBERS, min_size=7, max_size=7)), max_size=12))
def test_what_is_kept_is_read_as_it_is_and_written_the_same(commands):
    path = "M0 0" + "".join(
        letter + " ".join(_flagged(letter, numbers)[: len(TAKES.get(letter.upper(), ""))])
        for letter, numbers in commands
    )
    kept = logos.drawn_anew(an_svg(f'<path d="{path}" stroke="red" stroke-width="1.234"/>'))
    assert logos.drawn_anew(kept) == kept


def _flagged(letter, numbers):
    return [*numbers[:3], "1", "0", *numbers[5:]] if letter in "Aa" else numbers


@settings(max_examples=200, deadline=None)
@given(noise=st.one_of(st.binary(max_size=80), st.text(max_size=80).map(str.encode)))
def test_noise_is_refused_by_name(noise):
    for data in (noise, b"<svg" + noise, an_svg('<path d="M0 0')[:-6] + noise, an_svg(noise.decode(errors="ignore"))):
        with contextlib.suppress(LogoRefused):
            logos.drawn_anew(data)


# The policy -----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_logo_is_a_version_of_the_policy_and_in_the_audit_log():
    build.a_policy()
    policy = logos.set_logo(data=a_picture(), **BY)
    assert Policy.objects.current() == policy
    assert logos.kept_of(policy.logo) == bytes(Logo.objects.get().picture)
    event = AuditEvent.objects.get(action="policy.changed")
    assert event.after["logo"] == policy.logo
    without = logos.remove_logo(**BY)
    assert (without.logo, logos.kept_of("")) == ("", b"")
    # The picture stays, for statements that were issued with it.
    assert Logo.objects.count() == 1
    logos.set_logo(data=a_picture(), **BY)
    assert Logo.objects.count() == 1


@pytest.mark.django_db
def test_the_journey_of_a_logo(client, cast):
    """Finance uploads a file that is none, then one that is, sees it, and takes it off again."""
    build.a_policy()
    client.force_login(cast.finance)
    assert PAGE in client.get("/admin/billing/policy/").content.decode()
    page = client.get(PAGE).content.decode()
    assert "Statements have no logo" in page
    refused = client.post(PAGE, {"file": SimpleUploadedFile("logo.svg", an_svg("<script>alert(1)</script>"))})
    assert "The drawing has a script. Export it without." in refused.content.decode()
    assert "This field is required" in client.post(PAGE).content.decode()
    assert not Policy.objects.current().logo

    shown = client.post(PAGE, {"file": SimpleUploadedFile("logo.png", a_picture())}, follow=True).content.decode()
    assert "of the policy is in force" in shown
    assert 'src="data:image/png;base64,' in shown
    assert 'alt="Logo of Example University"' in shown
    assert Policy.objects.current().logo
    # Changing another setting keeps it.
    assert Policy.objects.current().logo == Policy.objects.order_by("-pk").first().logo

    file = SimpleUploadedFile("logo.svg", an_svg('<path d="M0 0h30v10H0z"/>'))
    shown = client.post(PAGE, {"file": file}, follow=True).content.decode()
    assert 'src="data:image/svg+xml;base64,' in shown

    removed = client.post(PAGE, {"_remove": "1"}, follow=True).content.decode()
    assert "Statements have no logo" in removed
    assert not Policy.objects.current().logo


@pytest.mark.django_db
def test_who_may_not_change_the_policy_may_not_change_the_logo(client, cast):
    client.force_login(cast.reviewer)
    assert client.get(PAGE).status_code == 403
    assert client.post(PAGE, {"_remove": "1"}).status_code == 403
    assert PAGE not in client.get("/admin/billing/policy/").content.decode()
