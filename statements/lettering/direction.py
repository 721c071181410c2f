"""Which way letters run: the Unicode bidirectional algorithm (UAX #9), with isolates as the only explicit marks."""

import itertools
import unicodedata

# Around a name, so that it runs by itself, the way that its paragraph runs; the closing mark ends it. Other marks of
# direction are left out.
RIGHTWARD, LEFTWARD = "\N{LEFT-TO-RIGHT ISOLATE}", "\N{RIGHT-TO-LEFT ISOLATE}"
FIRST_STRONG, POP = "\N{FIRST STRONG ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}"

OPENING = RIGHTWARD + LEFTWARD + FIRST_STRONG
ISOLATES = OPENING + POP

# Pairs of brackets (UAX #9, BD14 to BD16; BidiBrackets.txt of Unicode 15, those that NFC leaves as they are).
_PAIRS = (
    "()[]{}༺༻༼༽᚛᚜⁅⁆⁽⁾₍₎⌈⌉⌊⌋❨❩❪❫❬❭❮❯❰❱❲❳❴❵⟅⟆⟦⟧"
    "⟨⟩⟪⟫⟬⟭⟮⟯⦃⦄⦅⦆⦇⦈⦉⦊⦋⦌⦍⦐⦏⦎⦑⦒⦓⦔⦕⦖⦗⦘⧘⧙⧚⧛⧼⧽⸢⸣⸤⸥"
    "⸦⸧⸨⸩⹕⹖⹗⹘⹙⹚⹛⹜〈〉《》「」『』【】〔〕〖〗〘〙〚〛﹙﹚﹛﹜﹝﹞（）［］"
    "｛｝｟｠｢｣"
)
BRACKETS = dict(zip(_PAIRS[::2], _PAIRS[1::2], strict=True))

# With more of them open than this, no bracket has a partner.
MOST_OPEN = 63

CLOSING = {closing: opening for opening, closing in BRACKETS.items()}


def turns_direction(character: str) -> bool:
    return character in "\u200e\u200f\u061c" or "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069"


def isolated(text: str) -> str:
    """Return a name that can be put beside others: it runs in its own direction, and turns nothing around it.

    The first strong letter of the whole name decides (UAX #9, P2 and P3), and the mark says which way that is: where
    the name goes on to another line, that line runs the same way, whatever it begins with.
    """
    if text.isascii():
        return text
    name = "".join(each for each in text if not turns_direction(each))
    if not runs_left(name):
        return name
    return f"{LEFTWARD if _first_strong(name) == 1 else RIGHTWARD}{name}{POP}"


def plain(text: str) -> str:
    """Return a text without the marks around its names, for who shows it elsewhere than on paper."""
    return "".join(each for each in text if each not in ISOLATES) if not text.isascii() else text


def runs_left(text: str) -> bool:
    return not text.isascii() and any(unicodedata.bidirectional(each) in ("R", "AL", "AN") for each in text)


def levels(text: str, base: int = 0) -> list[int]:
    """Return each character's embedding level in a line (UAX #9, with isolates as the only explicit marks).

    Even levels run to the right, odd ones to the left. What an isolate holds is leveled by itself, in the
    direction of its mark; to what stands around, it is one neutral character.
    """
    found = _levels(text, base)
    # Blanks at the end of a line stand at its end, whichever way the words before them run (L1).
    for at in range(len(text) - 1, -1, -1):
        if text[at] not in ISOLATES and unicodedata.bidirectional(text[at]) not in ("WS", "BN"):
            break
        found[at] = base
    return found


def _levels(text: str, base: int) -> list[int]:
    found = [base] * len(text)
    if base % 2 == 0 and not runs_left(text):
        return found
    # What is leveled together: the characters outside of isolates, and each isolate's opening mark.
    places: list[int] = []
    ends: dict[int, int] = {}
    at = 0
    while at < len(text):
        if unicodedata.bidirectional(text[at]) == "BN":
            # It has no direction, and goes with what stands before it (5.2).
            at += 1
            continue
        places.append(at)
        if text[at] in OPENING:
            end = _end_of_isolate(text, at)
            inner = text[at + 1 : end]
            found[at + 1 : end] = _levels(inner, _level_inside(text[at], inner, base))
            ends[at] = end
            at = end
        at += 1
    for place, level in zip(places, _resolved([text[place] for place in places], base), strict=True):
        found[place] = level
        if ends.get(place, len(text)) < len(text):
            found[ends[place]] = level
    for at, character in enumerate(text):
        if at and unicodedata.bidirectional(character) == "BN":
            found[at] = found[at - 1]
    return found


def _end_of_isolate(text: str, start: int) -> int:
    """Return where an isolate ends: at its own closing mark, or at the end of the text."""
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] in OPENING) - (text[at] == POP)
        if not depth:
            return at
    return len(text)


def _first_strong(text: str) -> int:
    """Return 1 where the first strong letter outside of isolates runs to the left, else 0 (P2, P3)."""
    at = 0
    while at < len(text):
        if text[at] in OPENING:
            at = _end_of_isolate(text, at)
        elif (kind := unicodedata.bidirectional(text[at])) in ("L", "R", "AL"):
            return 0 if kind == "L" else 1
        at += 1
    return 0


def _level_inside(mark: str, text: str, around: int) -> int:
    """Return the level that an isolate's text has in one at `around`: the next one in its direction (X5a to X5c)."""
    wanted = _first_strong(text) if mark == FIRST_STRONG else int(mark == LEFTWARD)
    return around + 1 if (around + 1) % 2 == wanted else around + 2


def _resolved(characters: list[str], base: int) -> list[int]:
    """Return the levels of characters that stand in one direction's text: rules W1 to W7, N0 to N2, I1 and I2."""
    own = "R" if base % 2 else "L"
    kinds = ["ON" if character in ISOLATES else unicodedata.bidirectional(character) or "L" for character in characters]
    marks = [kind == "NSM" for kind in kinds]
    _resolve_weak(kinds, own)
    _resolve_brackets(characters, kinds, own, marks)
    _resolve_neutral(kinds, own)
    up = {"L": (0, 1), "R": (1, 0), "EN": (2, 1), "AN": (2, 1)}
    return [base + up[kind][base % 2] for kind in kinds]


def _resolve_weak(kinds: list[str], own: str) -> None:
    """Settle what depends on the letters and numbers beside it (W1 to W7); `own` is the text's own direction."""
    _resolve_marks(kinds, own)
    _resolve_separators(kinds)
    _resolve_terminators(kinds)
    _resolve_numbers(kinds, own)


def _resolve_marks(kinds: list[str], own: str) -> None:
    """Marks are of the kind they stand on (W1); numbers after Arabic are Arabic (W2), and Arabic runs left (W3)."""
    before, strong = own, own
    for at, kind in enumerate(kinds):
        if kind == "NSM":
            kinds[at] = kind = before
        if kind in ("L", "R", "AL"):
            strong = kind
        elif kind == "EN" and strong == "AL":
            kinds[at] = "AN"
        before = kinds[at]
    kinds[:] = ["R" if kind == "AL" else kind for kind in kinds]


def _resolve_separators(kinds: list[str]) -> None:
    """A separator between two numbers of one kind is part of them (W4)."""
    for at in range(1, len(kinds) - 1):
        around = (kinds[at - 1], kinds[at + 1])
        if (kinds[at] in ("ES", "CS") and around == ("EN", "EN")) or (kinds[at] == "CS" and around == ("AN", "AN")):
            kinds[at] = around[0]


def _resolve_terminators(kinds: list[str]) -> None:
    """Signs such as % and $ beside a number are part of it (W5); elsewhere they are neutral (W6)."""
    for kind, run in itertools.groupby(range(len(kinds)), key=lambda at: kinds[at]):
        stretch = list(run)
        if kind == "ET":
            edges = {kinds[at] for at in (stretch[0] - 1, stretch[-1] + 1) if 0 <= at < len(kinds)}
            for at in stretch:
                kinds[at] = "EN" if "EN" in edges else "ON"


def _resolve_numbers(kinds: list[str], own: str) -> None:
    """Numbers after letters that run right run right (W7); what is left is neutral (W6)."""
    strong = own
    for at, kind in enumerate(kinds):
        if kind in ("L", "R"):
            strong = kind
        elif kind == "EN" and strong == "L":
            kinds[at] = "L"
        elif kind not in ("EN", "AN"):
            kinds[at] = "ON"


def _direction(kind: str) -> str:
    """Return which way a kind runs where neutrals ask: numbers count as running to the left."""
    return {"L": "L", "R": "R", "EN": "R", "AN": "R"}.get(kind, "")


def _resolve_brackets(characters: list[str], kinds: list[str], own: str, marks: list[bool]) -> None:
    """Turn both brackets of a pair the same way (N0): that of what they hold, if what stands before agrees.

    `marks` says which characters were marks: those on a bracket turn with it.
    """
    for opens, closes in _pairs(characters, kinds):
        held = {_direction(kind) for kind in kinds[opens + 1 : closes]} - {""}
        if own in held:
            turn = own
        elif held:
            before = next((found for kind in reversed(kinds[:opens]) if (found := _direction(kind))), own)
            turn = before if before in held else own
        else:
            continue
        for at in (opens, closes):
            kinds[at] = turn
            while (at := at + 1) < len(marks) and marks[at]:
                kinds[at] = turn


def _pairs(characters: list[str], kinds: list[str]) -> list[tuple[int, int]]:
    """Return the places of brackets that belong together, in the order of the opening ones (BD16)."""
    waiting: list[int] = []
    found = []
    for at, character in enumerate(characters):
        if kinds[at] != "ON":
            continue
        if character in BRACKETS:
            if len(waiting) == MOST_OPEN:
                return []
            waiting.append(at)
        elif opening := CLOSING.get(character):
            for depth in range(len(waiting) - 1, -1, -1):
                if characters[waiting[depth]] == opening:
                    found.append((waiting[depth], at))
                    del waiting[depth:]
                    break
    return sorted(found)


def _resolve_neutral(kinds: list[str], own: str) -> None:
    """A stretch of neutrals between two that run the same way joins them (N1), else it runs as the line does (N2)."""
    at = 0
    while at < len(kinds):
        if kinds[at] != "ON":
            at += 1
            continue
        end = next((later for later in range(at, len(kinds)) if kinds[later] != "ON"), len(kinds))
        before = _direction(kinds[at - 1]) if at else own
        after = _direction(kinds[end]) if end < len(kinds) else own
        kinds[at:end] = [before if before == after else own] * (end - at)
        at = end
