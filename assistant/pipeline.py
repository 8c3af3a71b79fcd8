"""Assistant: the way of a question, in order. Takes its parts, builds none; the only module that knows the order.

Streaming is the only path: `stream` yields snapshots of one growing Answer, `ask` and `invoke` return the last.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from langchain_core.runnables import Runnable, RunnableConfig

from assistant import grounding, selection
from assistant.errors import QuestionError
from assistant.lexis import content, numbers, overlap
from assistant.reader import Reader, Reading
from assistant.records import Answer, Corpus, Hit, Passage, Question, Sentence, Timings, Turn
from assistant.retrieval import HybridRetriever, standalone
from assistant.spelling import Speller

MOST_CHARACTERS = 2000
MOST_SUGGESTIONS = 3
SURE = 0.6  # probability of the model's first choice from which its choice is shown even against retrieval
TOLD = 0.45  # share of a passage's meaning words in the answer so far from which it need not be quoted as well
NOT_COVERED = "The glossary does not cover this."
NOT_A_QUESTION = "I only answer questions from the glossary."

Input = str | Question | Mapping[str, Any]


@dataclass(frozen=True)
class Parts:
    """What an assistant is made of.

    `rarity` is the inverse document frequency of each stem; `names` are the stems of all headings and labels.
    """

    corpus: Corpus
    passages: tuple[Passage, ...]
    retriever: HybridRetriever
    speller: Speller
    reader: Reader
    model_name: str
    calibration: grounding.Calibration
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
        {"role", "content"}). Closing the generator stops the model.
        """
        question = as_question(input)
        started = time.perf_counter()
        first: float | None = None
        for answer in self._answer(question):
            if first is None and (answer.sentences or answer.abstained):
                first = time.perf_counter() - started
            yield replace(answer, timings=Timings(first, time.perf_counter() - started))

    def find(self, question: Question) -> tuple[str, str, tuple[Hit, ...]]:
        """Return the question with its spelling repaired, its standalone form, and the passages found for it."""
        repaired = self.parts.speller.repair(question.text)
        query = standalone(repaired, question.history)
        told = question.history[-1].content if query != repaired and question.history[-1].role == "assistant" else ""
        return repaired, query, self.parts.retriever.hits(query, told)

    def signals(self, question: Question) -> dict[str, float]:
        """Return the features that the decision to answer rests on, for calibration."""
        repaired, query, hits = self.find(question)
        reading = self.parts.reader.read(query, selection.to_read(hits))
        reading.close()
        return self._signals(repaired, query, hits, reading)

    def _signals(self, repaired: str, query: str, hits: Sequence[Hit], reading: Reading | None) -> dict[str, float]:
        found = grounding.features(repaired, query, hits, self.parts.speller.known, self._rarity)
        if reading is not None and reading.choice:
            found["reader"] = grounding.log_odds(1 - reading.choice[0])
            found["reader_sure"] = max(reading.choice[1:], default=0.0)
        return found

    def _rarity(self, stem: str) -> float:
        return self.parts.rarity.get(stem, self._unheard)

    def _answer(self, question: Question) -> Iterator[Answer]:
        repaired, query, hits = self.find(question)
        answer = Answer(question.text, model=self.parts.model_name, hits=hits)
        yield answer
        if grounding.is_order(question.text):
            yield self._abstain(answer, NOT_A_QUESTION)
            return
        read = selection.to_read(hits)
        reading = self.parts.reader.read(query, read)
        try:
            probability = self.parts.calibration.probability(self._signals(repaired, query, hits, reading))
            answer = replace(answer, probability=probability)
            if probability < self.parts.caution:
                yield self._abstain(answer, NOT_COVERED)
            else:
                yield from self._write(answer, repaired, read, reading)
        finally:
            reading.close()

    def _abstain(self, answer: Answer, reason: str) -> Answer:
        nearest = dict.fromkeys(h.passage.subject for h in answer.hits if h.passage.subject)
        return replace(
            answer, sentences=(), citations=(), abstained=True, reason=reason,
            suggestions=tuple(nearest)[:MOST_SUGGESTIONS], complete=True,
        )  # fmt: skip

    def _write(self, answer: Answer, question: str, read: Sequence[Passage], reading: Reading) -> Iterator[Answer]:
        """Show what the model says and the passages support, then quote what else the evidence holds.

        The model's sentence counts where it rests on evidence that retrieval found too, or that the model is
        sure of: measured apart, each of the two chooses wrong sentences that the other does not.
        """
        evidence, chooser = self._evidence(question, answer.hits, reading)
        rest = [p for p in read if p not in evidence]
        title = ""
        for sentence, item in reading.sentences:
            if sentence.endswith(":") and not item:
                title = sentence if self._introduces(sentence, question, evidence) else title
                continue  # the line above a list, whose items are quoted by number
            backing = grounding.support(sentence, [*evidence, *rest], self.parts.names)
            fits = any(p in evidence for p in backing)
            if fits and all(sentence.lower() != s.text.lower() for s in answer.sentences):
                citations, cited = grounding.cite(backing, answer.citations)
                said = Sentence(sentence, "model", cited, item, "model")
                answer = replace(answer, sentences=(*answer.sentences, said), citations=citations)
                yield answer
        missing = [p for p in evidence if not _told(p, answer.sentences)]
        if missing:
            if selection.is_list(evidence) and (title or len(missing) > 2):
                missing = list(evidence)
            answer = self._quote(answer, missing, chooser, title)
        yield replace(answer, complete=True)

    def _evidence(
        self, question: str, hits: Sequence[Hit], reading: Reading
    ) -> tuple[tuple[Passage, ...], Literal["model", "retrieval"]]:
        """Return the passages that the answer must convey, and whether the model chose any of them."""
        quoted = selection.to_quote(question, hits, self.parts.passages)
        if not self.parts.reader.trained or not reading.chosen:
            return quoted, "retrieval"
        if max(reading.choice[1:], default=0.0) >= SURE or selection.is_list(reading.chosen):
            chosen = selection.completed(question, reading.chosen, self.parts.passages)
            if selection.is_list(chosen) or selection.is_list(quoted):
                return (chosen, "model") if selection.is_list(chosen) else (quoted, "retrieval")
            return selection.merged(chosen, quoted), "model"
        return quoted, "model" if set(quoted) & set(reading.chosen) else "retrieval"

    def _introduces(self, title: str, question: str, chosen: Sequence[Passage]) -> bool:
        """Tell whether the line above a list only repeats the question and the names that stand above the items."""
        said = {*content(question), *(s for p in chosen for n in (*p.path, *p.labels) for s in content(n))}
        return overlap(content(title), said) == 1 and not set(numbers(title)) - set(numbers(question))

    def _quote(
        self, answer: Answer, passages: Sequence[Passage], chooser: Literal["model", "retrieval"], title: str = ""
    ) -> Answer:
        listed = selection.is_list(passages) and (bool(title) or len(passages) > 2)
        sentences, citations = list(answer.sentences), answer.citations
        line = title or selection.lead(passages)
        if listed and line:
            sentences.append(Sentence(line, "model" if title else "quote", (), chosen=chooser))
        for before, passage in zip((None, *passages), passages, strict=False):
            citations, cited = grounding.cite([passage], citations)
            text = passage.plain if listed else selection.quotation(passage, before)
            sentences.append(Sentence(text, "quote", cited, item=listed, chosen=chooser))
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
