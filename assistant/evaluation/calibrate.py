"""Fits the decision to answer: a logistic model over the features of `grounding`. Arithmetic and one file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from assistant.errors import EvaluationError
from assistant.evaluation.questions import Case, load
from assistant.files import write_whole
from assistant.grounding import Calibration
from assistant.settings import Settings

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


def other_texts(settings: Settings, folder: str | None) -> list[tuple[Settings, tuple[Case, ...]]]:
    """Return (settings, questions) for each text of `folder` that has a question set of its name beside it."""
    if folder is None:
        return []
    texts = [p for p in sorted(Path(folder).glob("*.md")) if p.with_suffix(".jsonl").is_file()]
    if not texts:
        raise EvaluationError(f"{folder} holds no text with a question set beside it; expected NAME.md and NAME.jsonl")
    return [(replace(settings, corpus=p), load([p.with_suffix(".jsonl")])) for p in texts]


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
