"""Outcomes → a Markdown report. Writes words and tables; measures nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date

from assistant import __version__, grounding, weights
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


PANEL = {
    "answerable correct": "answerable questions answered right",
    "over-refusals": "answerable questions refused",
    "refusals right": "unanswerable questions refused",
    "quotes exact": "quotations that are the text's exact characters",
}


def figures(measured: Mapping[str, Share | float], questions: int) -> str:
    """Return the JSON of the page's panel of measured figures; ship it as `assistant/data/figures.json`.

    It names the adapters and the decision that were measured, so that a test can tell figures of earlier ones.
    """
    rows = []
    for name, what in PANEL.items():
        share = measured[name]
        if isinstance(share, Share) and share.total:
            low, high = share.interval
            rows.append({"what": what, "figure": f"{share.hits} of {share.total} (95%: {low:.0%} to {high:.0%})"})
    rows.append({"what": "words in an answer, median", "figure": f"{measured['words in an answer, median']:.0f}"})
    first = measured["time to first word, median s"]
    rows.append({"what": "time to the first word where it was measured, median", "figure": f"{first:.1f} s"})
    told = {
        "version": __version__,
        "date": date.today().isoformat(),
        "questions": questions,
        **{name: weights.digest(weights.adapter(name)) for name in weights.ADAPTERS},
        "decision": weights.digest(grounding.shipped_file()),
        "measured": rows,
    }
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


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
