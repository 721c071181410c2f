"""Which language a name is read aloud in, where its script is not the document's."""

import bisect
import itertools
import unicodedata

# The script says no language for certain. Each has the one most written in it, so that a screen reader
# picks a voice that can read the name at all. "" is the document's own; the rest of Unicode is too.
_FROM = (
    (0x0370, "el"),
    (0x0400, "ru"),
    (0x0530, "hy"),
    (0x0590, "he"),
    (0x0600, "ar"),
    (0x0700, "syr"),
    (0x0750, "ar"),
    (0x0780, "dv"),
    (0x07C0, ""),
    (0x0860, "syr"),
    (0x0870, "ar"),
    (0x0900, "hi"),
    (0x0980, "bn"),
    (0x0A00, "pa"),
    (0x0A80, "gu"),
    (0x0B00, "or"),
    (0x0B80, "ta"),
    (0x0C00, "te"),
    (0x0C80, "kn"),
    (0x0D00, "ml"),
    (0x0D80, "si"),
    (0x0E00, "th"),
    (0x0E80, "lo"),
    (0x0F00, "bo"),
    (0x1000, "my"),
    (0x10A0, "ka"),
    (0x1100, "ko"),
    (0x1200, "am"),
    (0x13A0, "chr"),
    (0x1400, ""),
    (0x1780, "km"),
    (0x1800, ""),
    (0x1C80, "ru"),
    (0x1C90, "ka"),
    (0x1CC0, ""),
    (0x1F00, "el"),
    (0x2000, ""),
    (0x2DE0, "ru"),
    (0x2E00, ""),
    (0x2E80, "zh"),
    (0x3040, "ja"),
    (0x3100, "zh"),
    (0x3130, "ko"),
    (0x3190, "zh"),
    (0x31F0, "ja"),
    (0x3200, ""),
    (0x3400, "zh"),
    (0x4DC0, ""),
    (0x4E00, "zh"),
    (0xA000, ""),
    (0xA640, "ru"),
    (0xA6A0, ""),
    (0xA8E0, "hi"),
    (0xA900, ""),
    (0xAB70, "chr"),
    (0xABC0, ""),
    (0xAC00, "ko"),
    (0xD800, ""),
    (0xF900, "zh"),
    (0xFB00, ""),
    (0xFB1D, "he"),
    (0xFB50, "ar"),
    (0xFE00, ""),
    (0xFE70, "ar"),
    (0xFEFF, ""),
    (0x20000, "zh"),
    (0x323B0, ""),
)
_STARTS = [start for start, _ in _FROM]


def languages(text: str) -> list[str]:
    """Return the language of each character, as BCP 47 has it; "" for the document's own.

    What is no letter goes with what stands before it. A single Greek letter is a sign, as in `Δ`.
    """
    if text.isascii():
        return [""] * len(text)
    found: list[str] = []
    for character in text:
        if unicodedata.category(character)[0] == "L":
            found.append(_language_of(character))
        else:
            found.append(found[-1] if found else "")
    # Chinese characters are Japanese beside kana, and Korean beside Hangul.
    for language in ("ja", "ko"):
        if language in found:
            found = [language if each == "zh" else each for each in found]
    at = 0
    for language, stretch in itertools.groupby(list(found)):
        length = len(list(stretch))
        if language == "el" and sum(each.isalpha() for each in text[at : at + length]) == 1:
            found[at : at + length] = [""] * length
        at += length
    return found


def _language_of(letter: str) -> str:
    if letter < "\u0370":
        return ""
    return _FROM[bisect.bisect_right(_STARTS, ord(letter)) - 1][1]
