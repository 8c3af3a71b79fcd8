"""What the assistant is measured against: simpler ways to answer, and itself with one part switched off.

Each has the face of `runner.Answers`, so that one table holds them all. Knows the assistant's parts from outside:
a part is switched off by another one of its kind that does nothing, and nothing in the assistant asks for that.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from assistant import grounding, selection
from assistant.embedding import MiniLM
from assistant.errors import EvaluationError
from assistant.evaluation import calibrate, compare
from assistant.evaluation.metrics import Outcome, measure
from assistant.evaluation.questions import Case
from assistant.evaluation.report import shown
from assistant.evaluation.runner import Answers
from assistant.pipeline import NOT_COVERED, Assistant, Halted
from assistant.reader import Reader, Reading
from assistant.records import Answer, Corpus, Hit, Passage, Question, Sentence, Timings
from assistant.retrieval import HybridRetriever
from assistant.settings import Settings
from assistant.spelling import Speller

CLOSED_BOOK = "Answer the question in one to three short sentences. If you do not know the answer, say: I do not know."
MOST_TOKENS = 110  # as much as the assistant's reader may write
COLUMNS = ("answerable correct", "refusals right", "over-refusals", "total time, median s")
_NO_ANSWER = re.compile(
    r"\bI (?:do not|don['’]t) (?:know|have)\b|\b(?:I am|I['’]m) not (?:sure|aware|familiar)\b"
    r"|(?:\bnot|n['’]t) (?:\w+ )?(?:mention|contain|provide|say|specify|cover|state|include|define|discuss|address)\w*"
    r"|\bno (?:information|answer)\b|\b(?:cannot|can['’]t|unable to) (?:be )?(?:answer|find|determine)",
    re.I,
)


def refuses(text: str) -> bool:
    """Tell whether a model's own words begin by saying that it has no answer."""
    return bool(_NO_ANSWER.search(re.split(r"(?<=[.!?])\s", text.strip(), maxsplit=1)[0]))


class ClosedBook:
    """The chat model asked without passages: what it knows by heart."""

    def __init__(self, model: BaseChatModel, corpus: Corpus, name: str = "") -> None:
        """Take the model; the corpus is only what its answers are measured against."""
        self._model, self._corpus, self._name = model, corpus, name

    @property
    def corpus(self) -> Corpus:
        """The texts that it is not shown."""
        return self._corpus

    def invoke(self, input: Question) -> Answer:
        """Return the model's reply as one sentence without citations, or an abstention where it says so."""
        started, first, text = time.perf_counter(), None, ""
        turns: list[BaseMessage] = [
            HumanMessage(t.content) if t.role == "user" else AIMessage(t.content) for t in input.history
        ]
        asked = [SystemMessage(CLOSED_BOOK), *turns, HumanMessage(input.text)]
        for piece in self._model.stream(asked, max_tokens=MOST_TOKENS):
            text += str(piece.content)
            if first is None and text.strip():
                first = time.perf_counter() - started
        answer = Answer(input.text, timings=Timings(first, time.perf_counter() - started), model=self._name)
        return _judged(replace(answer, sentences=(Sentence(text.strip(), "model", (), chosen="model"),)))


def _judged(answer: Answer) -> Answer:
    """Return an abstention where the words of an answer, or their absence, are a refusal."""
    if answer.text.strip() and not refuses(answer.text):
        return replace(answer, complete=True)
    return replace(
        answer, sentences=(), citations=(), abstained=True, reason=answer.text.strip() or NOT_COVERED, complete=True
    )


def closed_book(assistant: Assistant) -> ClosedBook:
    """Return the assistant's own chat model without passages.

    The bundled model leaves its reading adapter aside: that was made for numbered sentences, and answers with numbers.
    """
    from assistant.llm import LlamaChat

    model = assistant.parts.reader.model
    if isinstance(model, LlamaChat) and model.lora_path is not None:
        model = LlamaChat(path=model.path, threads=model.threads)
    return ClosedBook(model, assistant.corpus, assistant.parts.model_name)


class TopSentence:
    """Quotes the passage that the assistant's retrieval puts first. Never refuses, and asks no model."""

    def __init__(self, assistant: Assistant) -> None:
        """Take the assistant whose retrieval it uses."""
        self._assistant = assistant

    @property
    def corpus(self) -> Corpus:
        """The source texts."""
        return self._assistant.corpus

    def invoke(self, input: Question) -> Answer:
        """Return the best passage, quoted and cited."""
        started = time.perf_counter()
        *_, hits = self._assistant.find(input)
        answer = Answer(input.text, hits=hits, complete=True)
        if not hits:
            return replace(answer, abstained=True, reason=NOT_COVERED)
        best = hits[0].passage
        citations, cited = grounding.cite([best], ())
        seconds = time.perf_counter() - started
        return replace(
            answer,
            sentences=(Sentence(selection.quotation(best), "quote", cited),),
            citations=citations,
            timings=Timings(seconds, seconds),
        )


class Tutorial:
    """The tutorial pipeline, with its words of not knowing taken for what they mean: it has no refusal of its own."""

    def __init__(self, pipeline: Answers) -> None:
        """Take the pipeline; `tutorial` loads it."""
        self._pipeline = pipeline

    @property
    def corpus(self) -> Corpus:
        """The source texts."""
        return self._pipeline.corpus

    def invoke(self, input: Question) -> Answer:
        """Return what the pipeline says, or an abstention where it says that it does not know."""
        return _judged(self._pipeline.invoke(input))


def tutorial(path: Path, settings: Settings) -> Tutorial:
    """Load tests/tutorial_pipeline.py of a checkout, over the corpus and model of the settings.

    Raises EvaluationError when it is not there or the settings ask for a model on a server.
    """
    if settings.model_url is not None:
        raise EvaluationError("the tutorial pipeline got --model-url; it runs a model of this machine: leave it out")
    spec = spec_from_file_location("tutorial_pipeline", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise EvaluationError(f"no tutorial pipeline at {path}; it is in a checkout of the project: git clone it")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return Tutorial(module.TutorialPipeline(settings.corpus, settings.model, settings.threads))


class _AsTyped(Speller):
    """Knows the words that another speller knows, and repairs none."""

    def __init__(self, speller: Speller) -> None:
        self._speller = speller

    def known(self, word: str) -> bool:
        return self._speller.known(word)

    def repair(self, question: str) -> str:
        return question


class _Masked:
    """An index that finds nothing of one kind of entry."""

    def __init__(self, index: Any, kind: str) -> None:
        self._index, self._kind = index, kind

    def nearest(self, vector: list[float], k: int, kind: str) -> Mapping[int, float]:
        return {} if kind == self._kind else dict(self._index.nearest(vector, k, kind))


class _DenseOnly(HybridRetriever):
    """Without BM25: no passage shares a word with any question."""

    def _lexical(self, query: str) -> list[float]:
        return [0.0] * len(self.passages)


class _ByFusion:
    """A ranker that has read nothing: its log odds follow the scores of the retrieval."""

    def log_odds(self, question: str, earlier: str, hits: Sequence[Hit], passages: Sequence[Passage]) -> list[float]:
        return [6.0 * (hit.score - 1.0) for hit in hits]


class _Silent(Reader):
    """Reads nothing and names nothing, so that the ranker alone chooses and decides."""

    def __init__(self, model: BaseChatModel) -> None:
        super().__init__(model, trained=False)

    def read(self, query: str, passages: Sequence[Passage], halted: Halted = None) -> Reading:
        return Reading(choice=(), chosen=(), sentences=iter(()), close=lambda: None)


class _Unchecked(Assistant):
    """Shows all that a model says, citing the passages that it named, before what it left untold is quoted."""

    def _write(
        self, answer: Answer, query: str, evidence: Sequence[Passage], halted: Halted = None
    ) -> Iterator[Answer]:
        reading = self.parts.reader.read(query, selection.to_read(answer.hits), halted)
        for sentence, item in reading.sentences:
            if all(sentence.lower() != said.text.lower() for said in answer.sentences):
                citations, cited = grounding.cite(reading.chosen, answer.citations)
                said = Sentence(sentence, "model", cited, item, "model")
                answer = replace(answer, sentences=(*answer.sentences, said), citations=citations)
                yield answer
        yield from super()._write(answer, query, evidence, halted)


def _retrieving(
    whole: Assistant, mask: str = "", kind: type[HybridRetriever] = HybridRetriever, **changed: Any
) -> Assistant:
    """Return an assistant whose retriever is made anew, its index without the kind of entry that `mask` names."""
    was = whole.parts.retriever
    given = {name: getattr(was, name) for name in type(was).model_fields}
    if mask:
        given["index"] = _Masked(was.index, mask)
    return Assistant(replace(whole.parts, retriever=kind(**{**given, **changed})))


def _unadapted(whole: Assistant) -> Assistant:
    """Return an assistant that embeds questions as it embeds passages."""
    was = whole.parts.retriever.embeddings
    return _retrieving(whole, embeddings=was.bare() if isinstance(was, MiniLM) else was)


def _unread(whole: Assistant) -> Assistant:
    """Return an assistant that asks no language model: the ranker chooses and decides alone."""
    return Assistant(replace(whole.parts, reader=_Silent(whole.parts.reader.model)))


SWITCHES: Mapping[str, tuple[str, Callable[[Assistant], Assistant]]] = {
    "spelling": ("spelling repair", lambda a: Assistant(replace(a.parts, speller=_AsTyped(a.parts.speller)))),
    "asked": ("other ways to ask", lambda a: _retrieving(a, "asked", asked=())),
    "bm25": ("BM25", lambda a: _retrieving(a, kind=_DenseOnly)),
    "context": ("block context", lambda a: _retrieving(a, "block")),
    "query": ("the query adapter", _unadapted),
    "ranker": ("the ranker: retrieval alone chooses", lambda a: Assistant(replace(a.parts, ranker=_ByFusion()))),
    "reader": ("the language model's judgement", _unread),
    "check": ("the sentence check", lambda a: _Unchecked(a.parts)),
    "decision": ("the decision to answer", lambda a: Assistant(replace(a.parts, caution=0.0))),
}


def without(assistant: Assistant, part: str, fit_on: Sequence[Case] = ()) -> Assistant:
    """Return the assistant with one part of SWITCHES off, sharing all others. Raises EvaluationError for no such part.

    The decision to answer stays as it was fitted to the whole, so that a figure tells what the assistant loses
    with the part; with `fit_on` it is fitted anew to these questions, as though the part had never been.
    """
    if part not in SWITCHES:
        raise EvaluationError(f"there is no part {part!r} to switch off; expected one of {', '.join(SWITCHES)}")
    bare = SWITCHES[part][1](assistant)
    if not fit_on:
        return bare
    fitted = calibrate.fit([bare.signals(c.question, False) for c in fit_on], [c.answerable for c in fit_on])
    return type(bare)(replace(bare.parts, decision=grounding.Decision(fitted, fitted)))


def everything(assistant: Assistant, settings: Settings, tutorial_path: Path | None) -> Iterator[tuple[str, Answers]]:
    """Yield (title, what to ask) for each baseline and each part switched off, made only when its turn comes.

    Other ways to ask are switched off only where the corpus has them, and the check only where the model
    writes; the tutorial pipeline is left out without its path. Raises EvaluationError.
    """
    yield "closed book: the model without passages", closed_book(assistant)
    yield "top sentence: the best passage quoted", TopSentence(assistant)
    if tutorial_path is not None:
        yield "the tutorial pipeline", tutorial(tutorial_path, settings)
    for part in SWITCHES:
        if part == "check" and assistant.parts.reader.trained:
            continue  # the bundled model writes no sentence that could be checked
        if part != "asked" or assistant.corpus.asked:
            yield f"without {SWITCHES[part][0]}", without(assistant, part)


def table(runs: Mapping[str, Sequence[Outcome]]) -> str:
    """Return a Markdown table of runs over the same questions, the first of which is what the others are held against.

    Won and lost count the questions that a row gets right and the first does not, and the reverse; p is McNemar's.
    """
    if not runs:
        return ""
    head = ["", *COLUMNS, "won / lost", "p"]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    first = compare.rows(next(iter(runs.values())))
    for n, (name, outcomes) in enumerate(runs.items()):
        figures = measure(outcomes)
        cells = [shown(figures[column]) for column in COLUMNS]
        if n:
            found = compare.compare(first, compare.rows(outcomes))
            cells += [f"{len(found.won)} / {len(found.lost)}", f"{found.p_value:.3g}"]
        else:
            cells += ["", ""]
        lines.append(f"| {' | '.join([name, *cells])} |")
    return "\n".join(lines)
