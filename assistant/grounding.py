"""The whole policy of trust: is this answerable, is this sentence supported, which offsets back it. Pure.

Nothing here asks a model. A refusal is decided on scores whose meaning was measured (`Calibration`), and
a sentence is shown only when code can point at the words that carry it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from assistant.chunking import contextual
from assistant.lexis import content, facts, known_facts, negated, numbers, words
from assistant.records import Citation, Hit, Passage

COVERED = 0.8  # share of a sentence's meaning words that its passages must hold
CLAUSE_COVERED = 0.75  # share of a clause's meaning words that one passage must hold
MOST_CITED = 3  # passages that one sentence may rest on


@dataclass(frozen=True)
class Calibration:
    """A logistic model over `features`, fitted on question sets; see `glossary calibrate`.

    The probability that the passages answer is 1 / (1 + exp(-(bias + Σ weight · feature))).
    """

    bias: float
    weights: Mapping[str, float]
    questions: int = 0

    def probability(self, values: Mapping[str, float]) -> float:
        """Return the probability in (0, 1) that the question is answerable."""
        z = self.bias + sum(weight * values.get(name, 0.0) for name, weight in self.weights.items())
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, z))))


@dataclass(frozen=True)
class Decision:
    """Whether to answer: `first` on retrieval and the ranker, `second` with what the language model makes of them."""

    first: Calibration
    second: Calibration


def shipped_file() -> Path:
    """Return where the decision that ships is kept."""
    return Path(str(files("assistant").joinpath("data/calibration.json")))


def shipped_decision() -> Decision:
    """Return the decision as it ships, fitted by `glossary calibrate`."""
    found = json.loads(shipped_file().read_text())
    made = {k: Calibration(float(v["bias"]), dict(v["weights"]), int(v["questions"])) for k, v in found.items()}
    return Decision(made["first"], made["second"])


def features(
    question: str,
    query: str,
    hits: Sequence[Hit],
    known: Callable[[str], bool],
    rarity: Callable[[str], float],
) -> dict[str, float]:
    """Return the signals of answerability, each about 0 to 1.

    question  what the person typed, spelling repaired
    query     its standalone form, which the hits were found with
    known     whether the corpus has a word
    rarity    how telling a stem is in this corpus (inverse document frequency); large for unknown ones
    """
    if not hits:
        return {"nothing": 1.0}
    top = hits[:4]
    ranked = sorted((hit.relevance for hit in hits), reverse=True)
    asked = list(dict.fromkeys(content(question)))
    weight = {s: rarity(s) for s in asked}
    total = sum(weight.values()) or 1.0
    best = set(content(contextual(top[0].passage)))
    near = set().union(*(content(contextual(hit.passage)) for hit in hits[:6]))
    codes = [w for w in words(question) if re.search(r"\d|[a-z][A-Z]|[A-Z]{2}", w)]
    strangers = [w for w in codes if not known(w)]
    return {
        "relevance": ranked[0] / 5,
        "any": math.log(sum(math.exp(min(30.0, r)) for r in ranked)) / 5,
        "next": ranked[1] / 5 if len(ranked) > 1 else -2.0,
        "dense": max(hit.dense for hit in hits),
        "fused": top[0].score,
        "lexical_top": top[0].lexical,
        "context": max(hit.context for hit in top),
        "second": top[1].score if len(top) > 1 else 0.0,
        "mean": sum(hit.dense for hit in top) / len(top),
        "covered": sum(w for s, w in weight.items() if s in near) / total if asked else 0.0,
        "covered_best": sum(w for s, w in weight.items() if s in best) / total if asked else 0.0,
        "unknown": sum(w for s, w in weight.items() if not known(s)) / total if asked else 1.0,
        "unknown_count": min(3, sum(not known(s) for s in asked)) / 3,
        "unknown_code": float(bool(strangers)),
        "short": float(len(asked) < 2),
        "leans": float(query != question),
        "no_number": float(wants_number(question) and not any(numbers(hit.passage.plain) for hit in top)),
    }


def doubt(choice: Sequence[float], read: Sequence[Passage], hits: Sequence[Hit]) -> dict[str, float]:
    """Return the signals of a language model that was asked to name the passages that answer.

    choice  probabilities of none, and of each of `read`, as the first it names
    """
    if not choice:
        return {}
    named = dict(zip((p.id for p in read), choice[1:], strict=False))
    best = hits[0].passage.id
    return {
        "reader": log_odds(1 - choice[0]),
        "reader_agrees": named.get(best, 0.0),
        "reader_sure": max(choice[1:], default=0.0),
    }


def log_odds(probability: float) -> float:
    """Return ln(p / (1 - p)) divided by 5 and held to ±2, so that it weighs like the other features."""
    p = min(max(probability, 1e-6), 1 - 1e-6)
    return max(-2.0, min(2.0, math.log(p / (1 - p)) / 5))


def wants_number(question: str) -> bool:
    """Tell whether a question asks for an amount, so that an answer without a number is none."""
    return bool(
        re.search(
            r"\bhow (?:many|much|big|large|long|old|fast|far|often)\b|\bwhat (?:number|percentage)\b",
            question,
            re.I,
        )
    )


_ORDERS = re.compile(
    r"\b(?:ignore|disregard|forget|override|bypass)\b[^.?!]{0,40}"
    r"\b(?:instructions?|above|previous|prompts?|rules?|everything|said|told|context|passages)\b"
    r"|\b(?:system|hidden|initial) (?:prompt|message|instruction)"
    r"|\byou are now\b|\bpretend\b|\brole-?play\b|\bact as\b"
    r"|\b(?:write|compose|sing|draw|code) (?:me |us )?(?:a|an|some)\b[^.?!]{0,30}"
    r"\b(?:poem|song|story|joke|essay|code|script|program|e-?mail|letter|haiku|limerick)\b",
    re.I,
)


def is_order(question: str) -> bool:
    """Tell whether a message tries to direct the assistant rather than to ask the glossary."""
    return bool(_ORDERS.search(question))


def is_foreign(question: str, known: Callable[[str], bool]) -> bool:
    """Tell whether a question has a word in letters beyond ASCII that the corpus lacks: another tongue, or a name."""
    return any(any(c.isalpha() and not c.isascii() for c in word) and not known(word) for word in words(question))


_YES_NO = re.compile(r"^(?:yes|no)\b[,:.]?\s*|^that is not so[,:.]\s*", re.I)


def support(sentence: str, passages: Sequence[Passage], names: frozenset[str] = frozenset()) -> tuple[Passage, ...]:
    """Return the passages that carry a sentence, most telling first; empty when it is not supported.

    Supported means: each number, tag and name stands in a passage, those of one clause in one passage
    together; at least 80% of the meaning words stand in the passages or their headings; no word that is
    missing there is one of `names`, the stems of the corpus's headings, for that would be another
    subject's sentence; and the sentence denies nothing that the passages state. At most three passages
    carry a sentence, and each clause with meaning words has one that holds most of them.
    """
    sentence = _YES_NO.sub("", sentence)
    wanted = set(content(sentence))
    if len(wanted) < 2 or len(words(sentence)) < 3 or sentence.rstrip().endswith("?"):
        return ()  # a lone word claims nothing that could be checked, and a question tells nothing
    carried: list[Passage] = []
    held: set[str] = set()
    rest = list(passages)
    while rest and len(carried) < MOST_CITED and not wanted <= held:
        best = max(rest, key=lambda p: (_gain(wanted - held, p), -rest.index(p)))
        gain = _gain(wanted - held, best)
        if gain == 0 or (carried and gain < 2 and len(wanted & held) >= COVERED * len(wanted)):
            break
        carried.append(best)
        held |= _held(best)
        rest.remove(best)
    if len(wanted & held) < COVERED * len(wanted) or (wanted - held) & names:
        return ()
    if not _facts_hold(sentence, carried, passages) or not _clauses_hold(sentence, carried):
        return ()
    if negated(sentence) != any(negated(p.plain) for p in carried) and negated(sentence):
        return ()
    return tuple(carried)


def _held(passage: Passage) -> set[str]:
    return set(content(contextual(passage)))


def _gain(missing: set[str], passage: Passage) -> int:
    return len(missing & _held(passage))


def _facts_hold(sentence: str, carried: Sequence[Passage], passages: Sequence[Passage]) -> bool:
    """Tell whether the facts of each clause stand in one passage, with every word that any passage lends it."""
    stated = [(known_facts(contextual(p)), _held(p)) for p in carried]
    lent = set().union(*(_held(p) for p in passages))
    for clause in re.split(r"[,;:]\s|\b(?:while|whereas|and|but|or|than)\b", sentence):
        wanted = set(facts(clause))
        borrowed = set(content(clause)) & lent
        if wanted and not any(wanted <= known and borrowed <= held for known, held in stated):
            return False
    return True


def _clauses_hold(sentence: str, carried: Sequence[Passage]) -> bool:
    """Tell whether each clause is held by one passage, so that halves of two are not joined into a new claim."""
    holds = [_held(p) for p in carried]
    for clause in re.split(r"[;:]\s|,?\s\b(?:while|whereas|but|and|so|because)\b", sentence):
        wanted = set(content(clause))
        if wanted and max(len(wanted & held) for held in holds) < CLAUSE_COVERED * len(wanted):
            return False
    return True


def unsupported_words(sentence: str, passages: Sequence[Passage]) -> list[str]:
    """Return the meaning words of a shown sentence that stand in none of the passages it cites."""
    held = set().union(*(_held(p) for p in passages)) if passages else set()
    return [stem for stem in content(sentence) if stem not in held]


def cite(passages: Sequence[Passage], made: Sequence[Citation]) -> tuple[tuple[Citation, ...], tuple[int, ...]]:
    """Return the citations so far with those of `passages` added, and the numbers of the latter.

    A passage that was cited before keeps its number.
    """
    citations = list(made)
    cited = []
    for p in passages:
        n = next((c.n for c in citations if (c.file, c.start, c.end) == (p.file, p.start, p.end)), 0)
        if not n:
            n = len(citations) + 1
            citations.append(Citation(n, p.heading, p.text, p.start, p.end, p.file))
        cited.append(n)
    return tuple(citations), tuple(cited)
