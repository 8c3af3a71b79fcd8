"""Spelling of a question repaired against the corpus's own words. Pure; rapidfuzz measures the distances.

Only a word that neither the corpus nor the English word list has is repaired, and only to a word of the
corpus: "quantisaton" becomes "quantization", while "leeks" stays what it is. The result is used to
search, never shown as the question.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from rapidfuzz.distance import OSA

from assistant.lexis import STOPWORDS, stem, words

_ENDINGS = "s es ed d er ers r est st ing ly y ness less ful able ish like set".split()


class Speller:
    """Repairs words that are near a word of the corpus."""

    def __init__(self, texts: Iterable[str], english: frozenset[str]) -> None:
        """Learn the corpus's words from `texts`; `english` are words that are right as they are."""
        self._count = Counter(w.lower() for text in texts for word in words(text) for w in (word, *_parts(word)))
        self._stems = {stem(w) for w in self._count}
        self._english = english
        self._candidates = [w for w in self._count if len(w) > 3 and not w.isdigit() and w not in STOPWORDS]

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
        if low in STOPWORDS or self.known(low) or self._is_english(low) or not low[0].isalnum():
            return ""
        split = re.fullmatch(r"([a-z]{3,})[-_]?(\d[\w.]*)", low)  # "llama2" → "llama 2"
        if split:
            name = split[1] if self.known(split[1]) else self._nearest(split[1])
            return f"{name} {split[2]}" if name else ""
        if any(c.isdigit() for c in low):
            return ""
        if "-" in low:
            return ""
        return self._nearest(low) or self._joined(low)

    def _is_english(self, word: str) -> bool:
        """Tell whether a word is in the list, or is one of the list with a usual ending: 'dumber', 'handset'."""
        if word in self._english:
            return True
        return any(
            word.endswith(ending) and len(word) - len(ending) > 3 and word.removesuffix(ending) in self._english
            for ending in _ENDINGS
        )

    def _nearest(self, word: str) -> str:
        if len(word) < 4:
            return ""
        most = 1 if len(word) < 8 else 2
        best: tuple[float, int, str] | None = None
        for candidate in self._candidates:
            if abs(len(candidate) - len(word)) > most:
                continue
            distance = OSA.distance(word, candidate, score_cutoff=most)
            if distance > most:
                continue
            # a wrong first letter is rare, so it costs extra; a frequent word is the likelier one
            cost = distance + (0.75 if candidate[0] != word[0] else 0.0)
            found = (cost, -self._count[candidate], candidate)
            if cost <= most and (best is None or found < best):
                best = found
        return best[2] if best else ""

    def _joined(self, word: str) -> str:
        """Split a word that lost its space: 'contextlength' → 'context length'."""
        for at in range(4, len(word) - 3):
            if self._count[word[:at]] and self._count[word[at:]]:
                return f"{word[:at]} {word[at:]}"
        return ""


def _parts(word: str) -> list[str]:
    parts = re.split(r"[-_/.’']", word)
    return [p for p in parts if p] if len(parts) > 1 else []
