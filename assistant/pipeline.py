"""Assistant: the way of a question, in order. Takes its parts, builds none; the only module that knows the order.

Streaming is the only path: `stream` yields snapshots of one growing Answer, `ask` and `invoke` return the last.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig

from assistant import grounding, selection
from assistant.errors import QuestionError
from assistant.lexis import content, overlap
from assistant.ranking import Ranks
from assistant.reader import Reader
from assistant.records import Answer, Corpus, Hit, Passage, Question, Sentence, Timings, Turn
from assistant.retrieval import HybridRetriever, points_back, standalone
from assistant.spelling import Speller

MOST_CHARACTERS = 2000
MOST_SUGGESTIONS = 3
DOUBT = (0.1, 0.65)  # first probabilities between which the language model is asked: about three in ten questions
UNSURE = -1.0  # log odds of the best passage below which the language model is asked which one answers, come what may
TRUST = 3.0  # log odds that a passage loses for each point of fused score below the best hit
LEANS = 1.0  # log odds that speak for the turns before where a question points back, and against them where not
TOLD = 0.45  # share of a passage's meaning words in the answer so far from which it need not be quoted as well
NOT_COVERED = "The glossary does not cover this."
NOT_A_QUESTION = "I only answer questions from the glossary."

Halted = Callable[[], bool] | None
Input = str | Question | Mapping[str, Any]


@dataclass(frozen=True)
class Parts:
    """What an assistant is made of.

    `rarity` is the inverse document frequency of each stem; `names` are the stems of all headings and labels.
    """

    corpus: Corpus
    passages: tuple[Passage, ...]
    retriever: HybridRetriever
    ranker: Ranks
    speller: Speller
    reader: Reader
    model_name: str
    decision: grounding.Decision
    rarity: Mapping[str, float]
    names: frozenset[str] = frozenset()
    caution: float = 0.5


class Assistant(Runnable[Input, Answer]):
    """Answers questions from a corpus. Stateless: the caller passes the history. Safe to share between threads."""

    def __init__(self, parts: Parts) -> None:
        """Take the parts; `assistant.open_assistant` puts the usual ones together."""
        self.parts = parts
        self._unheard = max(parts.rarity.values(), default=1.0) + 0.5

    @property
    def corpus(self) -> Corpus:
        """The source texts, whose characters the citations point at."""
        return self.parts.corpus

    def ask(self, question: str, history: Sequence[Turn] = ()) -> Answer:
        """Return the whole answer. Raises QuestionError for a question that is empty or too long."""
        return self.invoke(Question(question, tuple(history)))

    def invoke(self, input: Input, config: RunnableConfig | None = None, **kwargs: Any) -> Answer:
        """Return the last snapshot of the stream."""
        return [*self.stream(input, config, **kwargs)][-1]

    def stream(self, input: Input, config: RunnableConfig | None = None, **kwargs: Any | None) -> Iterator[Answer]:
        """Yield growing snapshots: first one with the hits alone, last one with `complete` true.

        `input` is a question, a Question, or a mapping with "question" and maybe "history" (a list of
        {"role", "content"}). Closing the generator stops the model; so does `halted`, a function that may be
        given and is asked while the model reads, with nothing to yield yet.
        """
        question = as_question(input)
        halted: Halted = kwargs.get("halted")
        started = time.perf_counter()
        first: float | None = None
        for answer in self._answer(question, halted):
            if first is None and (answer.sentences or answer.abstained):
                first = time.perf_counter() - started
            yield replace(answer, timings=Timings(first, time.perf_counter() - started))

    def find(self, question: Question) -> tuple[str, str, tuple[Hit, ...]]:
        """Return the question with its spelling repaired, its standalone form, and its hits, most relevant first."""
        repaired = self.parts.speller.repair(question.text)
        query = standalone(repaired, question.history)
        alone = self._ranked(repaired, repaired, "")
        if query == repaired:
            return repaired, query, alone
        told = question.history[-1].content if question.history[-1].role == "assistant" else ""
        leaning = self._ranked(repaired, query, told)
        # "that" and "one" stand in many a question that needs no history: the better reading of the two counts
        margin = LEANS if points_back(repaired) else -LEANS
        if alone and leaning and alone[0].relevance > leaning[0].relevance + margin:
            return repaired, repaired, alone
        return repaired, query, leaning

    def _ranked(self, repaired: str, query: str, told: str) -> tuple[Hit, ...]:
        found = self.parts.retriever.hits(query, told)
        earlier = query.removesuffix(repaired).strip()
        odds = self.parts.ranker.log_odds(repaired, earlier, found, self.parts.passages)
        hits = (replace(h, relevance=o + TRUST * (h.score - found[0].score)) for h, o in zip(found, odds, strict=True))
        return tuple(sorted(hits, key=lambda hit: (-hit.relevance, hit.passage.id)))

    def signals(self, question: Question, read: bool) -> dict[str, float]:
        """Return the features that the decision to answer rests on, for calibration; with the reader's when `read`."""
        repaired, query, hits = self.find(question)
        values = self._features(repaired, query, hits)
        if read and self.parts.reader.trained:
            shown, choice = self._read(query, hits)
            values |= grounding.doubt(choice, shown, hits)
        return values

    def _judge(
        self, repaired: str, query: str, hits: tuple[Hit, ...], halted: Halted = None
    ) -> tuple[float, tuple[Hit, ...]]:
        """Return the probability that the hits answer, and the hits, weighed by the language model where it was asked.

        It is asked where retrieval and the ranker leave a doubt: it reads the best passages, and how surely it
        names one, or none, counts in the decision and in the order. Where they leave none that something answers,
        but no passage stands out, it counts in the order alone.
        """
        values = self._features(repaired, query, hits)
        found = self.parts.decision.first.probability(values)
        doubtful = DOUBT[0] < found < DOUBT[1]
        unsure = bool(hits) and found >= DOUBT[1] and hits[0].relevance < UNSURE
        if self.parts.reader.trained and (doubtful or unsure):
            shown, choice = self._read(query, hits, halted)
            if doubtful:
                found = self.parts.decision.second.probability(values | grounding.doubt(choice, shown, hits))
            hits = selection.weighed(hits, shown, choice)
        return found, hits

    def _features(self, repaired: str, query: str, hits: Sequence[Hit]) -> dict[str, float]:
        return grounding.features(repaired, query, hits, self.parts.speller.known, self._rarity)

    def _read(
        self, query: str, hits: Sequence[Hit], halted: Halted = None
    ) -> tuple[tuple[Passage, ...], tuple[float, ...]]:
        """Return the best passages, and the probabilities that the language model names none, or each of them."""
        shown = selection.to_read(hits)
        reading = self.parts.reader.read(query, shown, halted)
        reading.close()
        return shown, reading.choice

    def _rarity(self, stem: str) -> float:
        return self.parts.rarity.get(stem, self._unheard)

    def _answer(self, question: Question, halted: Halted = None) -> Iterator[Answer]:
        repaired, query, hits = self.find(question)
        answer = Answer(question.text, model=self.parts.model_name, hits=hits)
        yield answer
        if grounding.is_order(question.text):
            yield self._abstain(answer, NOT_A_QUESTION)
            return
        if grounding.is_foreign(question.text, self.parts.speller.known):
            yield self._abstain(answer, NOT_COVERED)
            return
        probability, hits = self._judge(repaired, query, hits, halted)
        answer = replace(answer, probability=probability)
        if probability < self.parts.caution or not hits:
            yield self._abstain(answer, NOT_COVERED)
            return
        evidence = selection.to_quote(repaired, hits, self.parts.passages)
        if self.parts.reader.trained:
            yield replace(self._quote(answer, evidence), complete=True)
        else:
            yield from self._write(answer, query, evidence, halted)

    def _abstain(self, answer: Answer, reason: str) -> Answer:
        nearest = dict.fromkeys(h.passage.subject for h in answer.hits if h.passage.subject)
        return replace(
            answer, sentences=(), citations=(), abstained=True, reason=reason,
            suggestions=tuple(nearest)[:MOST_SUGGESTIONS], complete=True,
        )  # fmt: skip

    def _write(
        self, answer: Answer, query: str, evidence: Sequence[Passage], halted: Halted = None
    ) -> Iterator[Answer]:
        """Show what the model says and the passages support, then quote what it left untold of the evidence.

        Not for the bundled model: it is only asked for its judgement, and the answer is quotations.
        """
        read = selection.to_read(answer.hits)
        reading = self.parts.reader.read(query, read, halted)
        try:
            rest = [p for p in read if p not in evidence]
            for sentence, item in reading.sentences:
                backing = grounding.support(sentence, [*evidence, *rest], self.parts.names)
                fits = any(p in evidence for p in backing)
                if fits and all(sentence.lower() != s.text.lower() for s in answer.sentences):
                    citations, cited = grounding.cite(backing, answer.citations)
                    said = Sentence(sentence, "model", cited, item, "model")
                    answer = replace(answer, sentences=(*answer.sentences, said), citations=citations)
                    yield answer
        finally:
            reading.close()
        missing = [p for p in evidence if not _told(p, answer.sentences)]
        if missing:
            answer = self._quote(answer, evidence if selection.is_list(evidence) and len(missing) > 2 else missing)
        yield replace(answer, complete=True)

    def _quote(self, answer: Answer, passages: Sequence[Passage]) -> Answer:
        listed = selection.is_list(passages) and len(passages) > 2
        sentences, citations = list(answer.sentences), answer.citations
        line = selection.lead(passages)
        if listed and line:
            sentences.append(Sentence(line, "quote", (), chosen="model"))
        for before, passage in zip((None, *passages), passages, strict=False):
            citations, cited = grounding.cite([passage], citations)
            text = passage.plain.removesuffix(":") if listed else selection.quotation(passage, before)
            sentences.append(Sentence(text, "quote", cited, item=listed, chosen="model"))
        return replace(answer, sentences=tuple(sentences), citations=citations)


def _told(passage: Passage, sentences: Sequence[Sentence]) -> bool:
    """Tell whether what a passage says has been said already, by the share of its meaning words."""
    said = " ".join(s.text for s in sentences)
    return overlap(content(passage.plain), content(said)) >= TOLD


def as_question(given: Input) -> Question:
    """Check and convert what a caller asks. Raises QuestionError."""
    if isinstance(given, Question):
        question = given
    elif isinstance(given, str):
        question = Question(given)
    else:
        turns = given.get("history") or ()
        try:
            history = tuple(t if isinstance(t, Turn) else Turn(t["role"], str(t["content"])) for t in turns)
        except (KeyError, TypeError, ValueError) as error:
            raise QuestionError(f"a turn of the history is malformed ({error}); expected role and content") from error
        question = Question(str(given.get("question", "")), history)
    if not question.text.strip():
        raise QuestionError("the question is empty; expected a sentence or a few words, e.g. 'What does 7B mean?'")
    if len(question.text) > MOST_CHARACTERS:
        raise QuestionError(
            f"the question has {len(question.text):,} characters; at most {MOST_CHARACTERS:,} are read: shorten it"
        )
    return question
