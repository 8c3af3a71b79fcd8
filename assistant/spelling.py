"""Spelling of a question repaired against the corpus's own words. Pure; rapidfuzz measures the distances.

Only a word that neither the corpus nor the English word list has is repaired, to a word of the corpus if one is
near, else to one of the list: "quantisaton" becomes "quantization", "waht" becomes "what", while "leeks" stays
what it is. Initials of a heading are followed by it. The result is used to
search, never shown as the question.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from rapidfuzz.distance import OSA

from assistant.chunking import contextual, headings
from assistant.lexis import STOPWORDS, stem, words
from assistant.records import Passage

_ENDINGS = "s es ed d er ers r est st ing ly y ness less ful able ish like set".split()


class Speller:
    """Repairs words that are near a word of the corpus."""

    def __init__(self, texts: Iterable[str], english: frozenset[str], names: Iterable[str] = ()) -> None:
        """Learn the corpus's words from `texts`, initials from `names`; `english` are words that are right."""
        self._count = Counter(w.lower() for text in texts for word in words(text) for w in (word, *_parts(word)))
        self._stems = {stem(w) for w in self._count}
        self._english = english
        self._candidates = [w for w in self._count if len(w) > 3 and not w.isdigit() and w not in STOPWORDS]
        self._initials = initials(names)

    @classmethod
    def of(cls, passages: Sequence[Passage], english: frozenset[str]) -> Speller:
        """Return one that has learnt the words and the headings of passages."""
        return cls((contextual(p) for p in passages), english, headings(passages))

    def known(self, word: str) -> bool:
        """Tell whether the corpus has the word, in any form."""
        return stem(word) in self._stems

    def repair(self, question: str) -> str:
        """Return the question with its misspelt words replaced by the corpus's."""
        fixed = question
        for word in words(question):
            better = self._better(word)
            if better:
                fixed = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", better, fixed, count=1)
        return fixed

    def _better(self, word: str) -> str:
        low = word.lower()
        if low in STOPWORDS or not low[0].isalnum():
            return ""
        if self.known(low) and low not in self._english and low.removesuffix("s") in self._initials:
            return f"{word} ({self._initials[low.removesuffix('s')]})"
        if self.known(low) or self._is_english(low):
            return ""
        split = re.fullmatch(r"([a-z]{3,})[-_]?(\d[\w.]*)", low)  # "llama2" → "llama 2"
        if split:
            name = split[1] if self.known(split[1]) else self._nearest(split[1])[1]
            return f"{name} {split[2]}" if name else ""
        if any(c.isdigit() for c in low) or "-" in low:
            return ""
        (cost, own), (least, usual) = self._nearest(low), self._usual(low)
        if own and (cost <= least or not usual):
            return own
        return self._joined(low) or usual

    def _is_english(self, word: str) -> bool:
        """Tell whether a word is in the list, or is one of the list with a usual ending: 'dumber', 'handset'."""
        if word in self._english:
            return True
        return any(
            word.endswith(ending) and len(word) - len(ending) > 3 and word.removesuffix(ending) in self._english
            for ending in _ENDINGS
        )

    def _nearest(self, word: str) -> tuple[float, str]:
        """Return the corpus's nearest word after its cost: the likelier one is the frequent one."""
        near = _near(word, self._candidates)
        return min(near, key=lambda f: (f[0], -self._count[f[1]], f[1]), default=(0.0, ""))

    def _usual(self, word: str) -> tuple[float, str]:
        """Return the English word that one slip of the fingers made of it, after its cost.

        The list lacks many a rare word ("snip"), so a short word is only taken for a very common one ("waht").
        """
        words = STOPWORDS if len(word) < 8 else self._english
        near = _near(word, (w for w in words if w[0] == word[0] and len(w) > 3))
        return min((f for f in near if f[0] <= 1), default=(0.0, ""))

    def _joined(self, word: str) -> str:
        """Split a word that lost its space: 'contextlength' → 'context length'."""
        for at in range(4, len(word) - 3):
            if self._count[word[:at]] and self._count[word[at:]]:
                return f"{word[:at]} {word[at:]}"
        return ""


def initials(names: Iterable[str]) -> dict[str, str]:
    """Return names by their initials, three or more: 'Infrastructure as Code' by 'iac'; not where two share them."""
    found: dict[str, set[str]] = {}
    for name in names:
        name = re.sub(r"\s*\(.*?\)", "", name).strip()
        letters = "".join(w[0] for w in re.split(r"[\s\-‑/]+", name) if w[0].isalpha()).lower()
        if len(letters) > 2:
            found.setdefault(letters, set()).add(name)
    return {letters: alike.pop() for letters, alike in found.items() if len(alike) == 1}


def _near(word: str, candidates: Iterable[str]) -> list[tuple[float, str]]:
    """Return the candidates that a typing error or two make of a word, each after its cost.

    A wrong first letter is rare, so it costs extra; so does a wrong letter beside one left out, doubled or swapped.
    """
    if len(word) < 4:
        return []
    most = 1 if len(word) < 8 else 2
    found = []
    for candidate in candidates:
        if abs(len(candidate) - len(word)) <= most:
            errors = OSA.distance(word, candidate, score_cutoff=most)
            wrong = len(candidate) == len(word) and sorted(candidate) != sorted(word)
            cost = errors + 0.75 * (candidate[0] != word[0]) + 0.25 * wrong
            if errors <= most and cost - 0.25 * wrong <= most:
                found.append((cost, candidate))
    return found


def _parts(word: str) -> list[str]:
    parts = re.split(r"[-_/.’']", word)
    return [p for p in parts if p] if len(parts) > 1 else []
