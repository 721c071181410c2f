"""The logo: what is taken, what is kept of it, and what statements print."""

import io
import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image, PngImagePlugin

from billing.models import AuditEvent, Logo, Policy
from billing.setup import logos
from billing.setup.logos import LogoRefused
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
        (b"", "no PNG and no JPEG"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "no PNG and no JPEG"),
        (a_picture(kind="GIF", mode="L"), "no PNG and no JPEG"),
        (a_picture()[:60], "broken or incomplete"),
        (a_picture(size=(5000, 20)), "5,000 by 20 pixels"),
        (a_picture(size=(300, 10)), "300 by 10 pixels"),
        (b"x" * (2 * 1024 * 1024 + 1), "larger than 2 MB"),
    ],
)
def test_what_is_no_logo_is_refused(data, reason):
    with pytest.raises(LogoRefused, match=reason):
        logos.drawn_anew(data)


@pytest.mark.django_db
def test_a_logo_is_a_version_of_the_policy_and_in_the_audit_log():
    build.a_policy()
    policy = logos.set_logo(data=a_picture(), **BY)
    assert Policy.objects.current() == policy
    assert logos.png_of(policy.logo) == bytes(Logo.objects.get().png)
    event = AuditEvent.objects.get(action="policy.changed")
    assert event.after["logo"] == policy.logo
    without = logos.remove_logo(**BY)
    assert (without.logo, logos.png_of("")) == ("", b"")
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
    refused = client.post(PAGE, {"file": SimpleUploadedFile("logo.svg", b"<svg onload='alert(1)'/>")})
    assert "no PNG and no JPEG" in refused.content.decode()
    assert "This field is required" in client.post(PAGE).content.decode()
    assert not Policy.objects.current().logo

    shown = client.post(PAGE, {"file": SimpleUploadedFile("logo.png", a_picture())}, follow=True).content.decode()
    assert "of the policy is in force" in shown
    assert 'src="data:image/png;base64,' in shown
    assert 'alt="Logo of Example University"' in shown
    assert Policy.objects.current().logo
    # Changing another setting keeps it.
    assert Policy.objects.current().logo == Policy.objects.order_by("-pk").first().logo

    removed = client.post(PAGE, {"_remove": "1"}, follow=True).content.decode()
    assert "Statements have no logo" in removed
    assert not Policy.objects.current().logo


@pytest.mark.django_db
def test_who_may_not_change_the_policy_may_not_change_the_logo(client, cast):
    client.force_login(cast.reviewer)
    assert client.get(PAGE).status_code == 403
    assert client.post(PAGE, {"_remove": "1"}).status_code == 403
    assert PAGE not in client.get("/admin/billing/policy/").content.decode()
