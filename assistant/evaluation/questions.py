"""Question sets: JSON Lines, one question a line, with gold that code can check.

A question is right when its answer meets every group of `must` (regular expressions, one hit a group, case
ignored) and none of `must_not`, is no abstention, and keeps the limit of words; an unanswerable one when
the assistant abstained.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.errors import EvaluationError
from assistant.records import Answer, Passage, Question, Turn

KINDS = (
    "definition", "fact", "explain", "list", "compare", "paraphrase", "typo", "followup",
    "unanswerable_near", "unanswerable_far", "false_premise", "injection",
)  # fmt: skip
LONG_KINDS = ("list", "compare", "explain")
MOST_WORDS = 90
MOST_WORDS_LONG = 140


@dataclass(frozen=True)
class Case:
    """One question with its gold."""

    id: str
    kind: str
    question: Question
    answerable: bool
    must: tuple[tuple[re.Pattern[str], ...], ...]
    must_not: tuple[re.Pattern[str], ...]
    support: tuple[str, ...]
    reference: str = ""

    def correct(self, answer: Answer) -> bool:
        """Tell whether an answer is right by the rule above."""
        if not self.answerable:
            return answer.abstained
        most = MOST_WORDS_LONG if self.kind in LONG_KINDS else MOST_WORDS
        text = answer.text
        return (
            not answer.abstained
            and len(text.split()) <= most
            and all(any(p.search(text) for p in group) for group in self.must)
            and not any(p.search(text) for p in self.must_not)
        )


def load(paths: Sequence[Path]) -> tuple[Case, ...]:
    """Read question sets. Raises EvaluationError naming the file, the line and what is wrong with it."""
    cases: list[Case] = []
    seen: set[str] = set()
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise EvaluationError(
                f"cannot read the question set {path}: {error}; expected JSON Lines in UTF-8"
            ) from error
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                case = _case(json.loads(line))
            except (ValueError, KeyError, TypeError, re.error) as error:
                raise EvaluationError(
                    f"{path}:{number}: {type(error).__name__}: {error}; see tests/questions/README.md"
                ) from error
            if case.id in seen:
                raise EvaluationError(f"{path}:{number}: the id {case.id!r} appears twice; ids are unique")
            seen.add(case.id)
            cases.append(case)
    if not cases:
        raise EvaluationError("no questions; expected JSON Lines files after --questions")
    return tuple(cases)


def _case(raw: Mapping[str, Any]) -> Case:
    if raw["kind"] not in KINDS:
        raise ValueError(f"kind {raw['kind']!r} is none of {', '.join(KINDS)}")
    if not isinstance(raw["answerable"], bool):
        raise ValueError(f"answerable is {raw['answerable']!r}; complete the line with true or false")
    if not isinstance(raw["question"], str):
        raise TypeError(f"question is {raw['question']!r}; expected a text")
    must = raw.get("must", ())
    if isinstance(must, str):
        raise TypeError("must is a text; expected a list of lists of regular expressions")
    return Case(
        id=str(raw["id"]),
        kind=raw["kind"],
        question=Question(raw["question"], tuple(Turn(t["role"], t["content"]) for t in raw.get("history", ()))),
        answerable=raw["answerable"],
        must=tuple(tuple(re.compile(r, re.I) for r in _texts(group, "must")) for group in must),
        must_not=tuple(re.compile(r, re.I) for r in _texts(raw.get("must_not", ()), "must_not")),
        support=_texts(raw.get("support", ()), "support"),
        reference=raw.get("reference", ""),
    )


def _texts(found: Any, name: str) -> tuple[str, ...]:
    if isinstance(found, str) or not all(isinstance(text, str) for text in found):
        raise TypeError(f"{name} is {found!r}; expected a list of texts")
    return tuple(found)


def gold(case: Case, passages: Iterable[Passage]) -> tuple[frozenset[int], ...]:
    """Return, for each supporting sentence of the gold, the ids of the passages that hold it."""
    folded = [(p.id, _folded(p.plain)) for p in passages]
    found = []
    for sentence in case.support:
        wanted = _folded(sentence)
        ids = frozenset(i for i, text in folded if len(text) > 3 and (text in wanted or wanted in text))
        if ids:
            found.append(ids)
    return tuple(found)


def _folded(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).lower()
