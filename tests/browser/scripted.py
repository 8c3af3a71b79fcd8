"""A double of the Assistant for the page: real passages, scripted pace, and words that make it fail. No model."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from assistant import corpus
from assistant.chunking import chunk
from assistant.errors import ModelError
from assistant.grounding import cite
from assistant.lexis import content
from assistant.records import Answer, Hit, Passage, Question, Sentence, Timings

STEP_S = 0.01


class ScriptedAssistant:
    """Quotes the passages that share most words with the question, one every `pace` seconds.

    "zebra" in a question makes it abstain, "explode" raises ModelError, "stumble" another error after a
    sentence, "trip" before it has found anything, "endless" quotes on and on. `running` counts the streams
    that work now, `most` the most at once.
    """

    def __init__(self, path: Path, pace: float = 0.05) -> None:
        self.corpus = corpus.load(path)
        self.passages = chunk(self.corpus)
        self.parts = SimpleNamespace(passages=self.passages, model_name="scripted.Q4_1")
        self.pace = pace
        self.asked: list[Question] = []
        self.running = self.most = self.closed = 0

    def stream(self, given: Question, config: None = None, **kwargs: Any) -> Iterator[Answer]:
        self.asked = [*self.asked[-20:], given]
        started = time.perf_counter()
        if "trip" in given.text:
            raise RuntimeError("scripted fault")
        found = self._nearest(given.text)
        answer = Answer(given.text, model="scripted", hits=tuple(Hit(p, 1.0, 1.0, 1.0, 1.0) for p in found))
        yield answer
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            for snapshot in self._answered(given.text, answer, found):
                yield replace(snapshot, timings=Timings(self.pace, time.perf_counter() - started))
        except GeneratorExit:
            self.closed += 1
            raise
        finally:
            self.running -= 1

    def _nearest(self, question: str) -> list[Passage]:
        words = set(content(question))
        return sorted(self.passages, key=lambda p: -len(words & set(content(" ".join((*p.path, p.plain))))))[:6]

    def _answered(self, question: str, answer: Answer, found: list[Passage]) -> Iterator[Answer]:
        self._work()
        if "explode" in question:
            raise ModelError("the language model failed: scripted; ask something shorter")
        if "zebra" in question:
            subjects = tuple(dict.fromkeys(p.subject for p in found if p.subject))[:3]
            yield replace(
                answer, abstained=True, reason="The glossary does not cover this.", suggestions=subjects, complete=True
            )
            return
        told = found * 1000 if "endless" in question else found[:3]
        for n, passage in enumerate(told):
            citations, cited = cite([passage], answer.citations)
            said = Sentence(passage.plain, "model" if n == 0 else "quote", cited, item="list" in question)
            answer = replace(answer, sentences=(*answer.sentences, said), citations=citations)
            yield answer
            self._work()
            if "stumble" in question:
                raise RuntimeError("scripted fault")
        yield replace(answer, complete=True)

    def _work(self) -> None:
        until = time.perf_counter() + self.pace
        while time.perf_counter() < until:
            time.sleep(min(STEP_S, self.pace))
