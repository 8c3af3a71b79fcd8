"""Words, stems, numbers, tags and names of a text. Pure: knows language a little, and nothing of models.

Everything that compares texts by their words (BM25, spelling, support) does so through here,
so that "quantized" and "quantization", "Q4_K_M" and "q4 k m" meet in the same way everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

import Stemmer

_WORD = re.compile(r"(?:\d{1,3}(?:,\d{3})+(?!\d)|[^\W_]+)(?:[._+’'\-‑/][^\W_]+|_[^\W_]+)*\+?")
_PART = re.compile(r"[^\W_]+")
_ENDING = re.compile(r"[’'](?:s|t|d|m|ll|re|ve)$", re.I)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
STOPWORDS = frozenset(
    """a about above after again against all also am an and any are aren't as at be because been before being below
    between both but by can can't cannot could did didn't do does doesn't doing don't down during each either else
    ever few for from further get gets give given gives go goes got had has have having he her here hers him his how i
    if in into is isn't it it's its itself just kind know let like lot made make makes many may me mean means might
    more most much must my name need no nor not now of off on once one ones only or other our ours out over own
    people per please put really said same say says see seem shall she should show so some something such tell text
    than that that's the their theirs them then there these they thing things this those though through to too under
    until up us use used uses using very want was way we well were what what's when where whether which while who
    whom whose why will with within without would you your yours explain describe define definition meaning stand
    stands called call briefly short simple simply exactly actually sort type question answer list glossary according
    mention mentioned mentions difference compare versus vs e.g i.e etc hi hello thanks""".split()
)
_NUMERALS = {
    "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
    "nine": "9", "ten": "10", "twelve": "12", "hundred": "100", "thousand": "1000", "million": "m",
    "billion": "b", "trillion": "t",
}  # fmt: skip
_SIZED = re.compile(r"(\d+)([KMBT])", re.I)
_SCALES = {"million": "m", "billion": "b", "trillion": "t"}
NEGATIONS = frozenset("not no never none neither nor without cannot nothing hardly unlike".split())


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """Return the Snowball stem of a word in lower case, British spelling folded into American."""
    word = word.lower().replace("’", "'").removesuffix("'s")
    word = re.sub(r"(?<!c)is(e|ed|es|ing|ation|ations)$", r"iz\1", word) if len(word) > 6 else word
    return str(Stemmer.Stemmer("english").stemWord(word))


def words(text: str) -> list[str]:
    """Return the words as written, tags and hyphenated words whole: 'Q4_K_M', '7B', 'K-Quants'."""
    return [m.group().rstrip(".") for m in _WORD.finditer(text)]


def terms(text: str) -> list[str]:
    """Return the stems that a text is indexed and searched by: each word, and the parts of a compound."""
    found: list[str] = []
    for word in words(text):
        found.append(stem(word))
        parts = _PART.findall(word)
        if parts != [word]:
            found.extend(stem(part) for part in parts if len(part) > 1)
    return found


def content(text: str) -> list[str]:
    """Return the stems of the words that carry meaning, in order, compounds as their parts.

    A size is a number and its scale, however it is written: '70B' and '70 billion' are both 70, b.
    """
    found: list[str] = []
    for word in words(text):
        bare = _ENDING.sub("", word).replace(",", "")
        if word.lower().replace("’", "'") in STOPWORDS or bare.lower() in STOPWORDS:
            continue
        parts = [part for part in _PART.findall(bare) if part.lower() not in STOPWORDS] or [word]
        for part in parts:
            sized = _SIZED.fullmatch(part)
            found.extend([sized[1], sized[2].lower()] if sized else [_SCALES.get(part.lower(), stem(part))])
    return found


def negated(text: str) -> bool:
    """Tell whether a text denies something."""
    return any(w.lower() in NEGATIONS or w.lower().replace("’", "'").endswith("n't") for w in words(text))


def facts(text: str) -> list[str]:
    """Return, folded, what a reader must be able to rely on: numbers, tags such as Q4_K_M, and names.

    A name is a capitalised word that does not begin a sentence, or one with a capital or digit inside.
    """
    found: list[str] = []
    opening = True
    for match in _WORD.finditer(text):
        word = match.group().rstrip(".")
        coded = bool(re.search(r"\d", word)) or bool(re.search(r"[A-Z]", word[1:]))
        if coded or (word[0].isupper() and not opening and word.lower() not in STOPWORDS):
            found.extend(_fold(word))
        after = text[match.end() : match.end() + 3]
        opening = bool(re.match(r"[\"”’')\]]*[.!?:][\"”’')\]]*(\s|$)", after)) or match.group().endswith(".")
    return found


def known_facts(text: str) -> set[str]:
    """Return every folded word and part of a text, against which the facts of a sentence are looked up."""
    found: set[str] = set()
    for word in words(text):
        found.update(_fold(word))
        found.add(stem(word))
        if word.lower() in _NUMERALS:
            found.add(_NUMERALS[word.lower()])
    return found


def _fold(word: str) -> list[str]:
    """Split a coded word into comparable parts: '7B' → 7, b; 'Q4_K_M' → q4, k, m; 'GPT-4o' → gpt, 4o."""
    folded: list[str] = []
    for part in re.split(r"[-‑_/’']", word):
        sized = re.fullmatch(r"(\d+(?:[.,]\d+)*)([A-Za-z]{1,3}|)\+?", part)
        if sized:
            folded.append(sized[1].replace(",", ""))
            if sized[2]:
                folded.append(sized[2].lower())
        elif part:
            folded.append(stem(part))
    return folded


def numbers(text: str) -> list[str]:
    """Return the numbers in a text, thousands separators dropped."""
    return [n.replace(",", "") for n in _NUMBER.findall(text)]


def overlap(wanted: Iterable[str], present: Iterable[str]) -> float:
    """Return the share in [0, 1] of `wanted` that is in `present`; 1 where nothing is wanted."""
    wanted_set, present_set = set(wanted), set(present)
    return len(wanted_set & present_set) / len(wanted_set) if wanted_set else 1.0
