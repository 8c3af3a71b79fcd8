"""Outcomes → a Markdown report. Writes words and tables; measures nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from assistant.evaluation.metrics import Outcome, Share, by_kind, measure


def shown(value: Share | float) -> str:
    """Return a figure as people read it."""
    if isinstance(value, Share):
        return str(value)
    return "–" if math.isnan(value) else f"{value:.3f}"


def table(figures: Mapping[str, Share | float], head: str = "figure") -> str:
    """Return a Markdown table of figures, a row each."""
    rows = [f"| {head} | measured (95% interval) |", "| --- | --- |"]
    return "\n".join(rows + [f"| {name} | {shown(value)} |" for name, value in figures.items()])


def markdown(outcomes: Sequence[Outcome], title: str) -> str:
    """Return the whole report: figures, figures by kind, and every question that went wrong."""
    parts = [f"# {title}", f"{len(outcomes)} questions.", table(measure(outcomes)), "## By kind"]
    parts.append(table(dict(by_kind(outcomes)), "kind"))
    wrong = [o for o in outcomes if not o.correct]
    parts.append(f"## Wrong: {len(wrong)}")
    for o in wrong:
        parts.append(
            f"- **{o.case.id}** ({o.case.kind}) {_line(o.case.question.text)}\n"
            f"  - said: {_line(o.answer.text)}\n"
            f"  - wanted: {_line(o.case.reference) or 'a refusal'}"
        )
    return "\n\n".join(parts) + "\n"


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
