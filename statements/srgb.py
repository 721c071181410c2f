"""The colors of sRGB as an ICC profile, made from published numbers."""

import functools

# sRGB (IEC 61966-2-1): red, green and blue adapted to the white of ICC profiles, D50, by Bradford's matrix, and that
# matrix. As http://www.brucelindbloom.com/Eqn_RGB_XYZ_Matrix.html has them.
D50 = (0.9642, 1.0, 0.8249)
PRIMARIES = {
    "rXYZ": (0.4360747, 0.2225045, 0.0139322),
    "gXYZ": (0.3850649, 0.7168786, 0.0971045),
    "bXYZ": (0.1430804, 0.0606169, 0.7141733),
}
BRADFORD = (1.0478112, 0.0228866, -0.0501270, 0.0295424, 0.9904844, -0.0170491, -0.0092345, 0.0150436, 0.7521316)
# The exponent and the straight part of its curve: y = (ax + b)^g from d on, cx below.
CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


@functools.cache
def srgb_profile() -> bytes:
    """Return a profile of sRGB as the ICC specifies one (ICC.1:2004-10, which is 4.2), made from published numbers."""
    curve = b"para" + bytes(4) + b"\x00\x03\x00\x00" + _fixed(*CURVE)
    parts = {
        "desc": _text("sRGB"),
        "cprt": _text("Public domain"),
        "wtpt": b"XYZ " + bytes(4) + _fixed(*D50),
        "chad": b"sf32" + bytes(4) + _fixed(*BRADFORD),
        **{name: b"XYZ " + bytes(4) + _fixed(*values) for name, values in PRIMARIES.items()},
        "rTRC": curve,
        "gTRC": curve,
        "bTRC": curve,
    }
    start = 128 + 4 + 12 * len(parts)
    table, body = b"", b""
    places: dict[bytes, int] = {}
    for name, part in parts.items():
        if part not in places:
            places[part] = start + len(body)
            body += part + bytes(-len(part) % 4)
        table += name.encode() + places[part].to_bytes(4, "big") + len(part).to_bytes(4, "big")
    size = start + len(body)
    head = size.to_bytes(4, "big") + bytes(4) + b"\x04\x20\x00\x00" + b"mntrRGB XYZ "
    # Of the day that the specification names; any will do, so long as it is always the same.
    head += b"".join(part.to_bytes(2, "big") for part in (2004, 10, 1, 0, 0, 0)) + b"acsp"
    head += bytes(68 - len(head)) + _fixed(*D50)
    return head.ljust(128, b"\x00") + len(parts).to_bytes(4, "big") + table + body


def _fixed(*values: float) -> bytes:
    """Write numbers as an ICC profile does: 16 bits before the point, 16 behind it."""
    return b"".join(round(value * 65536).to_bytes(4, "big", signed=True) for value in values)


def _text(text: str) -> bytes:
    """Write a text as a profile does, in American English."""
    data = text.encode("utf-16-be")
    head = b"mluc" + bytes(4) + (1).to_bytes(4, "big") + (12).to_bytes(4, "big") + b"enUS"
    return head + len(data).to_bytes(4, "big") + (28).to_bytes(4, "big") + data
