"""The logo on statements: a picture or drawing as uploaded is checked and drawn anew, and that is kept."""

import datetime
import functools
import hashlib
import io

from PIL import Image, UnidentifiedImageError

from .. import vectors
from ..audit import Actor
from ..errors import BillingError
from ..models import Logo, Policy
from ..vectors import NotPlain
from . import policies

FORMATS = ("PNG", "JPEG")
MOST_BYTES = 2 * 1024 * 1024
# Of an SVG, which is read to its last point before it is known what it shows.
MOST_SVG = 512 * 1024
# Of either side: what unpacks to more is refused before it is unpacked.
MOST_PIXELS = 4_000
LEAST_PIXELS = 16
# What is kept: sharp in the room that statements have for it, and small in each of them.
WIDEST, HIGHEST = 600, 160
MOST_KEPT = 48 * 1024


class LogoRefused(BillingError):
    """A file that cannot be the logo."""


def set_logo(*, data: bytes, actor: Actor, now: datetime.datetime) -> Policy:
    """Make a picture the logo of statements issued from now on: a version of the policy that has it.

    It is drawn anew, so that nothing else of the file is kept: a picture on white and no larger than statements need,
    a drawing (SVG) as its shapes in plain colors. Raises LogoRefused, or what `policies.change_policy` raises.
    """
    kept = drawn_anew(data)
    sha256 = hashlib.sha256(kept).hexdigest()
    Logo.objects.get_or_create(sha256=sha256, defaults={"picture": kept, "added_at": now})
    return policies.change_policy(changes={"logo": sha256}, actor=actor, now=now)


def remove_logo(*, actor: Actor, now: datetime.datetime) -> Policy:
    """Have statements issued from now on without a logo. Raises what `policies.change_policy` raises."""
    return policies.change_policy(changes={"logo": ""}, actor=actor, now=now)


@functools.lru_cache(maxsize=8)
def kept_of(sha256: str) -> bytes:
    """Return a logo as it is kept; nothing for no logo. Raises Logo.DoesNotExist."""
    return bytes(Logo.objects.get(sha256=sha256).picture) if sha256 else b""


def kind_of(kept: bytes) -> str:
    """Return what a logo is as it is kept: `image/svg+xml` or `image/png`."""
    return "image/svg+xml" if _is_svg(kept) else "image/png"


def drawn_anew(data: bytes) -> bytes:
    """Return a logo as it is kept: a drawing as plain SVG, a picture as PNG. Raises LogoRefused."""
    return _plain_svg(data) if _is_svg(data) else _plain_png(data)


def _is_svg(data: bytes) -> bool:
    return data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<"


def _plain_svg(data: bytes) -> bytes:
    """Return the shapes of an SVG in plain colors, and nothing else of it."""
    if len(data) > MOST_SVG:
        raise LogoRefused("The file is larger than 512 KB. Simplify its paths, and upload it again.")
    try:
        kept = vectors.written(vectors.read(data))
    except NotPlain as error:
        raise LogoRefused(str(error)) from error
    if len(kept) > MOST_KEPT:
        raise LogoRefused("The drawing has more curves than a logo needs. Simplify its paths, and upload it again.")
    return kept


def _plain_png(data: bytes) -> bytes:
    """Return a picture as PNG in red, green and blue, on white."""
    if len(data) > MOST_BYTES:
        raise LogoRefused("The file is larger than 2 MB. Save the logo smaller, and upload it again.")
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
        _require_size(picture)
        picture.load()
    except UnidentifiedImageError as error:
        raise LogoRefused(
            "The file is no SVG, no PNG and no JPEG. Save the logo as one of them, and upload it again."
        ) from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise LogoRefused("The picture cannot be read: the file is broken or incomplete.") from error
    clear = picture.convert("RGBA")
    whole = Image.new("RGB", clear.size, "white")
    whole.paste(clear, mask=clear.getchannel("A"))
    wide, high = WIDEST, HIGHEST
    while True:
        whole.thumbnail((wide, high), Image.Resampling.LANCZOS)
        png = io.BytesIO()
        whole.save(png, "PNG", optimize=True)
        if len(png.getvalue()) <= MOST_KEPT:
            return png.getvalue()
        # A photograph does not pack well.
        wide, high = wide * 3 // 4, high * 3 // 4


def _require_size(picture: Image.Image) -> None:
    """Raise LogoRefused for a picture that is too small to be seen, or too large to be unpacked."""
    wide, high = picture.size
    if min(wide, high) < LEAST_PIXELS or max(wide, high) > MOST_PIXELS:
        raise LogoRefused(
            f"The picture has {wide:,} by {high:,} pixels. "
            f"Each side of a logo has {LEAST_PIXELS} pixels at least, and {MOST_PIXELS:,} at most."
        )
