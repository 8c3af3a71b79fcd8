"""Measured answers on questions that nothing was tuned on: floors a little under what was measured.

Nothing but these tests looks at `held_out.jsonl`. `cloud_native.jsonl` asks about another glossary.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from assistant.evaluation import metrics, questions, report, runner
from assistant.evaluation.metrics import Outcome, Share
from assistant.pipeline import Assistant

pytestmark = pytest.mark.quality
QUESTIONS = Path(__file__).parents[1] / "questions"
HELD_OUT = questions.load([QUESTIONS / "held_out.jsonl"])


def shares(outcomes: Sequence[Outcome]) -> dict[str, Share]:
    return {name: value for name, value in metrics.measure(outcomes).items() if isinstance(value, Share)}


@pytest.fixture(scope="module")
def outcomes(shipped: Assistant) -> dict[str, Outcome]:
    return {o.case.id: o for o in runner.run(shipped, HELD_OUT)}


def test_floors_on_the_held_out_questions(outcomes: dict[str, Outcome]) -> None:
    found = list(outcomes.values())
    sys.stdout.write(
        "\n" + report.table(metrics.measure(found)) + "\n\n" + report.table(dict(metrics.by_kind(found)), "kind") + "\n"
    )
    share = shares(found)
    assert share["answerable correct"].value >= 0.83
    assert share["refusals right"].value >= 0.5
    assert share["over-refusals"].value <= 0.09
    assert share["quotes exact"].value == 1


@pytest.mark.parametrize("case", HELD_OUT, ids=lambda case: case.id)
def test_every_answer_is_sound_even_if_it_is_wrong(outcomes: dict[str, Outcome], case: questions.Case) -> None:
    o = outcomes[case.id]
    assert o.exact_quotes == len(o.answer.citations)
    assert o.answer.abstained == (not o.answer.sentences)
    assert not (o.answer.abstained and o.answer.citations)
    for sentence in o.answer.sentences:
        assert sentence.citations or sentence.text.endswith(":")
