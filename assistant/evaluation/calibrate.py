"""Fits the decision to answer: two logistic models over the features of `grounding`, and the file they ship in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from assistant.corpus import load as load_corpus
from assistant.errors import EvaluationError
from assistant.evaluation.questions import Case, load
from assistant.evaluation.trials import elsewhere
from assistant.files import write_whole
from assistant.grounding import Calibration
from assistant.pipeline import DOUBT, Assistant

RIDGE = 1.0  # keeps the weights small where the questions are few


def fit(rows: Sequence[Mapping[str, float]], labels: Sequence[bool], ridge: float = RIDGE) -> Calibration:
    """Return the calibration that fits best, by Newton's method on the penalised log likelihood.

    Each class weighs half, so that 0.5 means the same whatever the mixture of questions was.
    Raises EvaluationError unless both answerable and unanswerable questions are there.
    """
    if not any(labels) or all(labels):
        raise EvaluationError("calibration needs answerable and unanswerable questions; one of them is missing")
    names = sorted({name for row in rows for name in row})
    x = np.array([[row.get(name, 0.0) for name in names] + [1.0] for row in rows])
    y = np.array(labels, dtype=float)
    weight = np.where(y > 0, 0.5 / y.sum(), 0.5 / (1 - y).sum()) * len(y)
    penalty = np.full(len(names) + 1, ridge)
    penalty[-1] = 1e-6
    beta = np.zeros(len(names) + 1)
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ beta, -30, 30)))
        gradient = x.T @ (weight * (y - p)) - penalty * beta
        hessian = (x * (weight * p * (1 - p))[:, None]).T @ x + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        beta = beta + step
        if float(np.abs(step).max()) < 1e-8:
            break
    weights = {name: round(float(b), 5) for name, b in zip(names, beta, strict=False)}
    return Calibration(round(float(beta[-1]), 5), weights, len(rows))


@dataclass(frozen=True)
class Fitted:
    """The two calibrations of a decision, and in words how well they fit."""

    first: Calibration
    second: Calibration
    said: str


def decide(
    assistant: Assistant,
    cases: Sequence[Case],
    others: Sequence[tuple[Path, tuple[Case, ...]]],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Fitted:
    """Fit both steps of the decision to questions on the open corpus and on other texts, all read by one assistant.

    The first is fitted to all questions. The second is fitted to those alone that the first leaves in doubt,
    since only these are put to the language model. Raises EvaluationError or CorpusError.
    """
    hosts = [(assistant, balanced(cases)), *((elsewhere(assistant, load_corpus(p)), balanced(c)) for p, c in others)]
    asked = [(host, case) for host, own in hosts for case in own]
    rows, labels = [], [case.answerable for _, case in asked]
    for host, case in asked:
        rows.append(host.signals(case.question, read=False))
        progress(len(rows), 2 * len(asked))
    first = fit(rows, labels)
    doubtful = [n for n, row in enumerate(rows) if DOUBT[0] < first.probability(row) < DOUBT[1]]
    full = []
    for n in doubtful:
        full.append(asked[n][0].signals(asked[n][1].question, read=True))
        progress(len(asked) + len(full), len(asked) + len(doubtful))
    second = fit(full, [labels[n] for n in doubtful])

    def right(by: Calibration, rows: Sequence[Mapping[str, float]], wanted: Sequence[bool]) -> str:
        return f"{sum((by.probability(r) >= 0.5) == w for r, w in zip(rows, wanted, strict=True))} of {len(rows)}"

    some = [labels[n] for n in doubtful]
    return Fitted(
        first,
        second,
        f"decided right without the language model: {right(first, rows, labels)}\n"
        f"of those in doubt: {right(first, [rows[n] for n in doubtful], some)} without it, "
        f"{right(second, full, some)} with it",
    )


def other_texts(folder: str | None) -> list[tuple[Path, tuple[Case, ...]]]:
    """Return (text, questions) for each text of `folder` that has a question set of its name beside it."""
    if folder is None:
        return []
    texts = [p for p in sorted(Path(folder).glob("*.md")) if p.with_suffix(".jsonl").is_file()]
    if not texts:
        raise EvaluationError(f"{folder} holds no text with a question set beside it; expected NAME.md and NAME.jsonl")
    return [(p, load([p.with_suffix(".jsonl")])) for p in texts]


def balanced(cases: Sequence[Case]) -> tuple[Case, ...]:
    """Return all unanswerable cases and at most two answerable ones for each, evenly spread over the set.

    The classes weigh the same in the fit, so more of the larger one would cost time and tell little.
    """
    no = [c for c in cases if not c.answerable]
    yes = [c for c in cases if c.answerable]
    most = min(len(yes), 2 * len(no)) or len(yes)
    return (*no, *(yes[i * len(yes) // most] for i in range(most)))


def save(path: Path, **calibrations: Calibration) -> None:
    """Write named calibrations as JSON, whole or not at all. Raises EvaluationError."""
    found = {
        name: {"bias": c.bias, "weights": dict(c.weights), "questions": c.questions} for name, c in calibrations.items()
    }
    try:
        write_whole(path, json.dumps(found, indent=2) + "\n")
    except OSError as error:
        raise EvaluationError(f"cannot write {path}: {error.strerror}; pass another --out") from error
