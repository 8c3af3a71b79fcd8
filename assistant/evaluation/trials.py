"""Trials: a corpus made from another one, and the questions put to it. Making a trial asks nobody; `ask` does.

All trials share the open assistant's language model, embedder and decision to answer, and a text is embedded
once. Source of the trials: Chen et al. 2024, RGB.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from langchain_core.embeddings import Embeddings

from assistant import corpus as corpora
from assistant import wiring
from assistant.chunking import chunk, contextual
from assistant.errors import EvaluationError
from assistant.evaluation import runner
from assistant.evaluation.metrics import Outcome
from assistant.evaluation.questions import Case, gold
from assistant.index import entries
from assistant.pipeline import Assistant
from assistant.records import Corpus, Passage
from assistant.retrieval import HybridRetriever
from assistant.spelling import Speller

MOST_NOISE = 60  # questions asked again among unrelated texts
MOST_REMOVED = 40  # questions whose passages are cut out, each from a corpus of its own
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Trial:
    """A corpus, and the questions put to it."""

    corpus: Corpus
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Edit:
    """A change of the text, as a regular expression and what it is replaced by, and a question that must follow it."""

    find: re.Pattern[str]
    replace: str
    case: Case


def noisy(corpus: Corpus, others: Sequence[Corpus], cases: Iterable[Case], most: int = MOST_NOISE) -> Trial:
    """Return the corpus with the texts of `others` after its own, and a sample of the answerable questions."""
    texts = [(d.name, d.text) for d in corpus.documents]
    more = [(f"noise-{n}/{d.name}", d.text) for n, other in enumerate(others, 1) for d in other.documents]
    return Trial(_made(corpus, [*texts, *more]), _sample([c for c in cases if c.answerable], most))


def removed(corpus: Corpus, cases: Iterable[Case], most: int = MOST_REMOVED) -> tuple[Trial, ...]:
    """Return for a sample of the questions the corpus without the passages that answer it, where a refusal is right.

    Only questions that stand alone, whose answer is in one block, and for which no other block of the text
    meets the gold: where the answer stands a second time, a refusal would be wrong.
    """
    passages = chunk(corpus)
    numbered = list(enumerate(cases))
    found: dict[int, Trial] = {}
    for n, case in random.Random(0).sample(numbered, len(numbered)):
        wanted = gold(case, passages)
        ids = frozenset().union(*wanted)
        if not case.answerable or case.question.history or not case.must or len(wanted) < len(case.support):
            continue
        if len(found) < most and len({passages[i].block for i in ids}) == 1:
            rest = cut(corpus, [passages[i] for i in ids])
            if not any(meets(case, text) for text in block_texts(chunk(rest))):
                found[n] = Trial(rest, (replace(case, answerable=False, must=(), must_not=(), support=()),))
    return tuple(found[n] for n in sorted(found))


def cut(corpus: Corpus, passages: Iterable[Passage]) -> Corpus:
    """Return the corpus without these passages, and without the list marks that they leave alone on a line."""
    gone = [(p.file, p.start, p.end) for p in passages]
    return _made(
        corpus, [(d.name, _cut(d.text, [(a, b) for f, a, b in gone if f == d.name])) for d in corpus.documents]
    )


def _cut(text: str, spans: Sequence[tuple[int, int]]) -> str:
    if not spans:
        return text
    lines = text.split("\n")
    kept, at = [], 0
    for n, line in enumerate(lines):
        start, at = at, at + len(line) + 1
        left = "".join(c for i, c in enumerate(line, start) if not any(a <= i < b for a, b in spans))
        below = lines[n + 1] if n + 1 < len(lines) else ""
        holds = len(below) - len(below.lstrip()) > len(line) - len(line.lstrip())  # a mark may carry a list below it
        if left == line or holds or not re.fullmatch(r"[\s>]*(?:[-*+]|\d+[.)])?\s*", left):
            kept.append(left)
    return "\n".join(kept)


def edited(corpus: Corpus, edits: Iterable[Edit]) -> tuple[Trial, ...]:
    """Return for each edit the corpus with it alone, everywhere. Raises EvaluationError when it changes nothing."""
    trials = []
    for edit in edits:
        try:
            texts = [(d.name, edit.find.sub(edit.replace, d.text)) for d in corpus.documents]
        except re.error as error:
            raise EvaluationError(f"the edit {edit.case.id} cannot be made: {error}; mend its 'replace'") from error
        if texts == [(d.name, d.text) for d in corpus.documents]:
            raise EvaluationError(
                f"the edit {edit.case.id} changes nothing: {edit.find.pattern!r} is not in the corpus; mend its 'find'"
            )
        trials.append(Trial(_made(corpus, texts), (edit.case,)))
    return tuple(trials)


def _made(corpus: Corpus, texts: Sequence[tuple[str, str]]) -> Corpus:
    kept = {(d.name, d.text): d for d in corpus.documents}
    documents = tuple(kept.get((name, text)) or corpora.parse(text, name) for name, text in texts)
    return Corpus(documents, hashlib.sha256(repr(texts).encode()).hexdigest(), corpus.asked)


def _sample(cases: Sequence[Case], most: int) -> tuple[Case, ...]:
    """Return at most so many cases from all over the set, in its order; always the same ones."""
    chosen = random.Random(0).sample(range(len(cases)), min(most, len(cases)))
    return tuple(cases[n] for n in sorted(chosen))


def meets(case: Case, text: str) -> bool:
    """Tell whether a text has what the gold demands of an answer."""
    return all(any(p.search(text) for p in group) for group in case.must)


def place(passage: Passage, lists: bool = False) -> object:
    """Return what names the block of a passage; with `lists`, the list for an item of one."""
    return (lists and passage.group) or passage.block


def block_texts(passages: Sequence[Passage], lists: bool = False) -> tuple[str, ...]:
    """Return the words of each block with its names; with `lists`, those of a whole list together."""
    texts: dict[object, str] = {}
    for p in passages:
        at = place(p, lists)
        texts[at] = f"{texts.get(at, '')} {contextual(p)}"
    return tuple(texts.values())


class _Remembered(Embeddings):
    """Embeds each text once, so that a corpus which differs in a sentence costs a sentence."""

    def __init__(self, embeddings: Embeddings) -> None:
        self._embeddings = embeddings
        self._known: dict[str, list[float]] = {}

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known.update(zip(new, self._embeddings.embed_documents(new), strict=True))
        return [self._known[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self._embeddings.embed_query(text)


class MemoryIndex:
    """What `index.PassageIndex` answers, from memory: many small corpora would leave as many stores open."""

    def __init__(self, corpus: Corpus, passages: tuple[Passage, ...], embeddings: Embeddings) -> None:
        made = entries(passages, corpus.asked)
        rows = np.array(embeddings.embed_documents([text for _, text, _ in made]))
        self._rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        self._about = [(str(meta["kind"]), int(meta["number"])) for _, _, meta in made]

    def nearest(self, vector: list[float], k: int, kind: str) -> dict[int, float]:
        """Return passage ids or block numbers with their cosines, as `index.PassageIndex.nearest` does."""
        cosines = self._rows @ (np.array(vector) / np.linalg.norm(vector))
        ranked = [int(n) for n in np.argsort(-cosines, kind="stable") if self._about[n][0] == kind]
        nearest: dict[int, float] = {}
        for n in ranked[:k]:
            nearest.setdefault(self._about[n][1], float(cosines[n]))
        return nearest


def elsewhere(assistant: Assistant, corpus: Corpus, embeddings: Embeddings | None = None) -> Assistant:
    """Return an assistant over another corpus that shares the open one's language model, embedder and decision.

    `embeddings` may stand in for its embedder, to remember vectors. The index is held in memory.
    """
    from assistant.embedding import MiniLM

    own = assistant.parts.retriever
    embeddings = embeddings or own.embeddings
    english = own.embeddings.english() if isinstance(own.embeddings, MiniLM) else frozenset()
    passages = chunk(corpus)
    retriever = HybridRetriever(
        index=MemoryIndex(corpus, passages, embeddings),
        passages=passages,
        embeddings=embeddings,
        asked=corpus.asked,
        k=own.k,
    )
    return type(assistant)(
        replace(
            assistant.parts,
            corpus=corpus,
            passages=passages,
            retriever=retriever,
            speller=Speller.of(passages, english),
            rarity=wiring.rarity(passages),
            names=wiring.names(passages),
        )
    )


def ask(assistant: Assistant, trials: Sequence[Trial], progress: Progress) -> tuple[tuple[Outcome, ...], ...]:
    """Put every trial's questions to an assistant over its corpus; return its outcomes for each trial."""
    remembered = _Remembered(assistant.parts.retriever.embeddings)
    total, done = sum(len(t.cases) for t in trials), 0
    found = []
    for trial in trials:
        there = trial.corpus is assistant.corpus
        host = assistant if there else elsewhere(assistant, trial.corpus, remembered)

        def step(asked: int, _: int, before: int = done) -> None:
            progress(before + asked, total)

        found.append(runner.run(host, trial.cases, step))
        done += len(trial.cases)
    return tuple(found)
