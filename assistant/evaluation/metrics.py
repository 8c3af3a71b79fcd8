"""Deterministic figures over answered questions. Pure arithmetic; every function is checked by hand in the tests."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from assistant.chunking import chunk
from assistant.evaluation.questions import Case, gold
from assistant.grounding import unsupported_words
from assistant.lexis import content
from assistant.records import Answer, Corpus, Passage


@dataclass(frozen=True)
class Share:
    """A count out of a total, with its 95% Wilson interval. Source: Wilson 1927."""

    hits: int
    total: int

    @property
    def value(self) -> float:
        """The share in [0, 1]; 0 of nothing is nan."""
        return self.hits / self.total if self.total else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The bounds that hold the true share with 95% confidence."""
        return wilson(self.hits, self.total)

    def __str__(self) -> str:
        if not self.total:
            return "–"
        low, high = self.interval
        return f"{self.hits}/{self.total} = {self.value:.1%} ({low:.0%}–{high:.0%})"


def wilson(hits: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the Wilson score interval of a share."""
    if not total:
        return (0.0, 1.0)
    p = hits / total
    middle = p + z * z / (2 * total)
    spread = z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return (max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale))


def quantile(values: Sequence[float], q: float) -> float:
    """Return the q-quantile by linear interpolation; nan for no values."""
    if not values:
        return math.nan
    ordered = sorted(values)
    at = (len(ordered) - 1) * q
    low, high = math.floor(at), math.ceil(at)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def recall_at(ranked: Sequence[int], wanted: Sequence[Collection[int]], k: int) -> float:
    """Return the share of gold sentences that the first `k` passages hold."""
    top = set(ranked[:k])
    return sum(bool(top & set(ids)) for ids in wanted) / len(wanted) if wanted else math.nan


def reciprocal_rank(ranked: Sequence[int], wanted: Sequence[Collection[int]]) -> float:
    """Return 1 / the rank of the first passage that holds any gold sentence; 0 when none does."""
    gold_ids = set().union(*wanted) if wanted else set()
    return next((1 / n for n, i in enumerate(ranked, 1) if i in gold_ids), 0.0)


@dataclass(frozen=True)
class Outcome:
    """A question, its answer, and what is measured of it."""

    case: Case
    answer: Answer
    correct: bool
    wanted: tuple[frozenset[int], ...]
    cited: tuple[int, ...]
    exact_quotes: int
    strange_words: tuple[str, ...]

    @property
    def ranked(self) -> list[int]:
        """The ids of the passages found, best first."""
        return [hit.passage.id for hit in self.answer.hits]


def outcome(case: Case, answer: Answer, corpus: Corpus, passages: Sequence[Passage]) -> Outcome:
    """Measure one answer against its gold and against the text it cites."""
    at = {(p.file, p.start, p.end): p for p in passages}
    backing = {c.n: at.get((c.file, c.start, c.end)) for c in answer.citations}
    strange: list[str] = []
    for sentence in answer.sentences:
        cited = [p for n in sentence.citations if (p := backing.get(n))]
        if cited:
            strange.extend(unsupported_words(sentence.text, cited))
        elif not sentence.text.endswith(":"):  # the line above a list is a heading, and cites nothing
            strange.extend(content(sentence.text))
    return Outcome(
        case=case,
        answer=answer,
        correct=case.correct(answer),
        wanted=gold(case, passages),
        cited=tuple(p.id for p in backing.values() if p),
        exact_quotes=sum(corpus.text(c.file)[c.start : c.end] == c.quote for c in answer.citations),
        strange_words=tuple(strange),
    )


def measure(outcomes: Sequence[Outcome]) -> dict[str, Share | float]:
    """Return the figures of a run, by name, in the order in which reports show them."""
    yes = [o for o in outcomes if o.case.answerable]
    no = [o for o in outcomes if not o.case.answerable]
    with_gold = [o for o in yes if o.wanted]
    answered = [o for o in outcomes if not o.answer.abstained]
    sentences = [s for o in answered for s in o.answer.sentences if s.citations]
    cited_right = [bool(set(o.cited) & set().union(*o.wanted)) for o in with_gold if not o.answer.abstained]
    cited_gold = [bool(ids & set(o.cited)) for o in with_gold if not o.answer.abstained for ids in o.wanted]
    citations = [(i, set().union(*o.wanted)) for o in with_gold if not o.answer.abstained for i in o.cited]
    ttft = [o.answer.timings.ttft_s for o in outcomes if o.answer.timings.ttft_s is not None]
    total = [o.answer.timings.total_s for o in outcomes]
    figures: dict[str, Share | float] = {
        "answerable correct": Share(sum(o.correct for o in yes), len(yes)),
        "refusals right": Share(sum(o.correct for o in no), len(no)),
        "over-refusals": Share(sum(o.answer.abstained for o in yes), len(yes)),
    }
    for k in (1, 3, 6, 12):
        figures[f"recall@{k}"] = _mean([recall_at(o.ranked, o.wanted, k) for o in with_gold])
    figures["MRR"] = _mean([reciprocal_rank(o.ranked, o.wanted) for o in with_gold])
    figures["answers citing a gold sentence"] = Share(sum(cited_right), len(cited_right))
    figures["citation precision"] = Share(sum(i in ids for i, ids in citations), len(citations))
    figures["citation recall"] = Share(sum(cited_gold), len(cited_gold))
    figures["quotes exact"] = Share(
        sum(o.exact_quotes for o in outcomes), sum(len(o.answer.citations) for o in outcomes)
    )
    figures["sentences written by the model"] = Share(sum(s.origin == "model" for s in sentences), len(sentences))
    figures["sentences written or chosen by the model"] = Share(
        sum(s.chosen == "model" for s in sentences), len(sentences)
    )
    figures["content words not in the cited text"] = Share(
        sum(len(o.strange_words) for o in answered),
        sum(len(content(s.text)) for o in answered for s in o.answer.sentences),
    )
    figures["words in an answer, median"] = quantile([float(len(o.answer.text.split())) for o in answered], 0.5)
    figures["time to first word, median s"] = quantile(ttft, 0.5)
    figures["time to first word, p95 s"] = quantile(ttft, 0.95)
    figures["total time, median s"] = quantile(total, 0.5)
    figures["total time, p95 s"] = quantile(total, 0.95)
    return figures


def by_kind(outcomes: Sequence[Outcome]) -> dict[str, Share]:
    """Return the share of right outcomes for each kind of question."""
    kinds = dict.fromkeys(o.case.kind for o in outcomes)
    return {
        kind: Share(
            sum(o.correct for o in outcomes if o.case.kind == kind),
            sum(o.case.kind == kind for o in outcomes),
        )
        for kind in kinds
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def passages_of(corpus: Corpus) -> tuple[Passage, ...]:
    """Return the passages whose ids outcomes speak of."""
    return chunk(corpus)
