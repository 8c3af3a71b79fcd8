"""Runs question sets, and keeps what was answered as JSON Lines. Knows the assistant's face, not its inside."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from assistant.errors import EvaluationError
from assistant.evaluation.metrics import Outcome, outcome, passages_of
from assistant.evaluation.questions import Case
from assistant.files import write_whole
from assistant.records import Answer, Corpus, Question


class Answers(Protocol):
    """What can be evaluated: an assistant, or a baseline with the same face."""

    @property
    def corpus(self) -> Corpus:
        """The source texts."""

    def invoke(self, input: Question) -> Answer:
        """Answer one question."""


def run(
    assistant: Answers, cases: Sequence[Case], progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[Outcome, ...]:
    """Ask every question in order and measure each answer."""
    passages = passages_of(assistant.corpus)
    outcomes = []
    progress(0, len(cases))
    for n, case in enumerate(cases, 1):
        outcomes.append(outcome(case, assistant.invoke(case.question), assistant.corpus, passages))
        progress(n, len(cases))
    return tuple(outcomes)


def answer_record(result: Outcome) -> dict[str, Any]:
    """Return one line of the answers file."""
    answer = result.answer
    return {
        "id": result.case.id,
        "kind": result.case.kind,
        "question": result.case.question.text,
        "correct": result.correct,
        **answer_json(answer),
        "ttft_s": answer.timings.ttft_s,
        "total_s": answer.timings.total_s,
    }


def answer_json(answer: Answer) -> dict[str, Any]:
    """Return an answer as the JSON object that `glossary ask --json` prints."""
    return {
        "answer": answer.text,
        "abstained": answer.abstained,
        "reason": answer.reason,
        "sentences": [
            {
                "text": s.text,
                "origin": s.origin,
                "chosen_by": s.chosen,
                "citations": list(s.citations),
                "item": s.item,
            }
            for s in answer.sentences
        ],
        "citations": [
            {"n": c.n, "section": c.section, "quote": c.quote, "start": c.start, "end": c.end, "file": c.file}
            for c in answer.citations
        ],
        "suggestions": list(answer.suggestions),
        "timings": {"ttft_s": answer.timings.ttft_s, "total_s": answer.timings.total_s},
        "model": answer.model,
        "probability": answer.probability,
    }


def write_answers(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write one JSON line a question, whole or not at all. Raises EvaluationError."""
    lines = (json.dumps(answer_record(o), ensure_ascii=False) + "\n" for o in outcomes)
    try:
        write_whole(path, "".join(lines))
    except OSError as error:
        raise EvaluationError(f"cannot write {path}: {error.strerror}; pass another path") from error
