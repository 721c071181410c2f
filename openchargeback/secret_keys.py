"""Whether SECRET_KEY is a secret: what everybody knows, or could guess, signs nothing. Knows no settings."""

import re

# A key of `secrets.token_hex(16)`, 128 bits, has as many; those that people make have more.
SHORTEST = 32
# Of 32 random hexadecimal digits, fewer than 8 are different about once in a million keys.
FEWEST_DIFFERENT = 8
# What has to be left of a key without the words that placeholders are made of.
LEAST_BESIDE_WORDS = 20

PLACEHOLDER = "change-me"
_PLACEHOLDERS = """
    secret key django insecure change changeme changed me placeholder replace with your our own here example sample
    default test testing dummy please this that these is to be put some enter insert set generate generated make made
    todo fixme password passwd token value string random randomly long very really super strong secure safe private
    production prod dev development local debug only for the an and or in of not do use used using never unsafe must
    should at least characters chars char fifty bytes length good new my it openchargeback chargeback billing
"""
# The longest first, so that none is left in pieces. Any random key has some of two letters: they count by themselves.
_WORDS = [word if len(word) > 2 else rf"\b{word}\b" for word in sorted(_PLACEHOLDERS.split(), key=len, reverse=True)]
WORDS = re.compile("|".join(_WORDS))


def problem_of(key: str) -> str:
    """Say what is wrong with a key, to stand behind “SECRET_KEY”; "" where nothing is."""
    if not key:
        return "is not set"
    if key.startswith(PLACEHOLDER):
        return f"is still the placeholder “{PLACEHOLDER}” of .env.example"
    if key.startswith("django-insecure-"):
        return "is one that Django makes for trying things out (django-insecure-…)"
    if is_made_of_words(key):
        return "is a placeholder: it is made of words that everybody would put there"
    if len(key) < SHORTEST:
        return f"is too short ({len(key)} of at least {SHORTEST} characters)"
    if len(set(key)) < FEWEST_DIFFERENT or is_repeated(key):
        return "is easily guessed: it repeats a few characters"
    return ""


def is_made_of_words(key: str) -> bool:
    """Say whether little is left of a key without the words of placeholders."""
    rest = re.sub(r"[\W_]+", " ", key.casefold())
    found = WORDS.sub(" ", rest)
    return found != rest and len(found.replace(" ", "")) < LEAST_BESIDE_WORDS


def is_repeated(text: str) -> bool:
    """Say whether a text is another one again and again, the last time perhaps in part."""
    # How much of the text so far ends as the text begins (Knuth, Morris and Pratt): in time that grows with its length.
    overlaps = [0] * len(text)
    for at in range(1, len(text)):
        overlap = overlaps[at - 1]
        while overlap and text[at] != text[overlap]:
            overlap = overlaps[overlap - 1]
        overlaps[at] = overlap + (text[at] == text[overlap])
    return len(text) > 1 and len(text) - overlaps[-1] <= len(text) // 2
