"""Four abilities, consistency, and risk over coverage, each as a figure. Makes no corpus (`trials` does).

Noise: unrelated texts beside the glossary must not change what is answered. Removal: where the passages that hold
an answer are cut out, a refusal is right. Integration: answers that need passages of two blocks. Edits: where the
glossary says something else than the world, the answer follows the glossary. Consistency: the same question in
other words gets the same answer. Sources: Chen et al. 2024, RGB; El-Yaniv and Wiener 2010.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

from assistant import corpus as corpora
from assistant.errors import EvaluationError
from assistant.evaluation import report, runner
from assistant.evaluation.metrics import Outcome, Share
from assistant.evaluation.questions import Case
from assistant.evaluation.trials import Edit, Progress, Trial, ask, block_texts, edited, meets, noisy, place, removed
from assistant.pipeline import Assistant
from assistant.records import Corpus, Passage, Question

EDITED, PARAPHRASES = "edited.jsonl", "paraphrases.jsonl"
T = TypeVar("T")


@dataclass(frozen=True)
class Abilities:
    """The figures by name, and for each ability the outcomes that went wrong."""

    figures: Mapping[str, Share | float]
    wrong: Mapping[str, tuple[Outcome, ...]]


def load_edits(path: Path) -> tuple[Edit, ...]:
    """Read {"id", "find", "replace", "question", "must", "must_not"} a line. Raises EvaluationError."""

    def made(raw: Mapping[str, Any]) -> Edit:
        return Edit(re.compile(raw["find"]), str(raw["replace"]), _case(raw, str(raw["id"]), str(raw["question"])))

    return _lines(path, ("id", "find", "replace", "question", "must"), made)


def load_groups(path: Path) -> tuple[tuple[Case, ...], ...]:
    """Read {"id", "questions", "must"} a line: two or more wordings of one question. Raises EvaluationError."""

    def made(raw: Mapping[str, Any]) -> tuple[Case, ...]:
        if len(raw["questions"]) < 2:
            raise ValueError("fewer than two wordings")
        return tuple(_case(raw, f"{raw['id']}.{n}", str(q)) for n, q in enumerate(raw["questions"], 1))

    return _lines(path, ("id", "questions", "must"), made)


def _lines(path: Path, names: Collection[str], made: Callable[[Mapping[str, Any]], T]) -> tuple[T, ...]:
    """Return what is made of each line, a JSON object that has all `names`, ids once each. Raises EvaluationError."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(
            f"cannot read {path}: {error}; it is in a checkout of the project: git clone it"
        ) from error
    found: dict[str, T] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line)
            missing = [name for name in names if name not in raw]
            if missing or raw["id"] in found:
                raise ValueError(f"{', '.join(missing)} missing" if missing else f"the id {raw['id']!r} appears twice")
            found[raw["id"]] = made(raw)
        except (ValueError, TypeError, re.error) as error:
            raise EvaluationError(
                f"{path}:{number}: {error}; expected a JSON object with {', '.join(names)}"
            ) from error
    if not found:
        raise EvaluationError(f"{path} holds nothing; expected JSON Lines with {', '.join(names)}")
    return tuple(found.values())


def _case(raw: Mapping[str, Any], id: str, question: str) -> Case:
    must = tuple(tuple(re.compile(p, re.I) for p in group) for group in raw["must"])
    return Case(
        id, "fact", Question(question), True, must, tuple(re.compile(p, re.I) for p in raw.get("must_not", ())), ()
    )


def integrated(outcomes: Iterable[Outcome], passages: Sequence[Passage]) -> tuple[Outcome, ...]:
    """Return the outcomes whose gold is in several blocks, and is met by the words of no single one.

    Where a list is asked for, the whole list counts as one block: it is quoted in one go.
    """
    found = []
    texts = {lists: block_texts(passages, lists) for lists in (False, True)}
    for o in outcomes:
        lists = o.case.kind == "list"
        places = [{place(passages[i], lists) for i in ids} for ids in o.wanted]
        if o.case.answerable and len(places) > 1 and not set.intersection(*places):
            if not any(meets(o.case, text) for text in texts[lists]):
                found.append(o)
    return tuple(found)


def consistency(groups: Sequence[Sequence[Outcome]]) -> dict[str, Share | float]:
    """Return the share of groups with every wording right, and how often two wordings of a group agree.

    Two agree in being right when both or neither are, and in their sources when they cite the same passages;
    each figure is the mean over groups of the share of pairs.
    """
    right, same = [], []
    for group in groups:
        pairs = list(combinations(group, 2))
        right.append(fmean(a.correct == b.correct for a, b in pairs))
        same.append(fmean(_sources(a) == _sources(b) for a, b in pairs))
    nothing = float("nan")
    return {
        "paraphrases: every wording right": Share(sum(all(o.correct for o in g) for g in groups), len(groups)),
        "paraphrases: two wordings both right or both wrong": fmean(right) if right else nothing,
        "paraphrases: two wordings cite the same": fmean(same) if same else nothing,
    }


def _sources(outcome: Outcome) -> frozenset[tuple[str, int, int]]:
    return frozenset((c.file, c.start, c.end) for c in outcome.answer.citations)


def measure(
    assistant: Assistant,
    outcomes: Sequence[Outcome],
    others: Sequence[Corpus],
    edits: Sequence[Edit],
    groups: Sequence[Sequence[Case]],
    progress: Progress = lambda done, total: None,
) -> Abilities:
    """Return the figures of all abilities; `outcomes` are the assistant's ordinary ones, which some start from.

    `others` are the unrelated texts. Raises EvaluationError for an edit that changes nothing.
    """
    cases = [o.case for o in outcomes]
    corpus = assistant.corpus
    noise = noisy(corpus, others, cases)
    gone, changed = removed(corpus, cases), edited(corpus, edits)
    wordings = [Trial(corpus, tuple(group)) for group in groups]
    found = ask(assistant, [noise, *gone, *changed, *wordings], progress)
    among, rest = found[0], [o for trial in found[1 : 1 + len(gone) + len(changed)] for o in trial]
    refused, followed = rest[: len(gone)], rest[len(gone) :]
    said = found[1 + len(rest) :]
    two = integrated(outcomes, assistant.parts.passages)
    asked_again = {o.case.id for o in among}
    figures = {
        "noise: right among unrelated texts": _right(among),
        "noise: the same questions without them": _right([o for o in outcomes if o.case.id in asked_again]),
        "removal: refused where the answer was cut out": _right(refused),
        "integration: right where two blocks are needed": _right(two),
        "edits: followed": _right(followed),
        **consistency(said),
    }
    by_ability = {
        "noise": among, "removal": refused, "integration": two, "edits": followed,
        "paraphrases": [o for group in said for o in group],
    }  # fmt: skip
    return Abilities(figures, {name: tuple(o for o in run if not o.correct) for name, run in by_ability.items()})


def _right(outcomes: Sequence[Outcome]) -> Share:
    return Share(sum(o.correct for o in outcomes), len(outcomes))


def run(
    assistant: Assistant, outcomes: Sequence[Outcome], questions: Path, noise: Path | None, progress: Progress
) -> Abilities:
    """Measure with the edits and paraphrases in the folder `questions` and the unrelated texts in `noise`.

    `noise` is by default the texts of the calibration. Raises EvaluationError or CorpusError.
    """
    others = corpora.load(noise or Path(__file__).parents[1] / "training" / "calibration")
    edits, groups = load_edits(questions / EDITED), load_groups(questions / PARAPHRASES)
    return measure(assistant, outcomes, [others], edits, groups, progress)


def markdown(found: Abilities) -> str:
    """Return the figures and, for each ability, the questions that went wrong."""
    parts = ["## Abilities", report.table(found.figures, "ability")]
    for name, wrong in found.wrong.items():
        if wrong:
            parts.append(f"### {name.capitalize()}, wrong: {len(wrong)}")
            parts.append(
                "\n".join(f"- **{o.case.id}** {_line(o.case.question.text)} → {_line(o.answer.text)}" for o in wrong)
            )
    return "\n\n".join(parts) + "\n"


def _line(text: str) -> str:
    return " ".join(text.split())


def at_no_caution(
    assistant: Assistant, cases: Sequence[Case], progress: Progress = lambda done, total: None
) -> tuple[tuple[Outcome, float], ...]:
    """Ask all questions with the decision to answer off; return outcomes with the probability of answerability."""
    bold = type(assistant)(replace(assistant.parts, caution=0.0))
    outcomes = runner.run(bold, cases, progress)
    return tuple((o, o.answer.probability or 0.0) for o in outcomes)  # orders and foreign words are refused without one


def risk_coverage(judged: Sequence[tuple[Outcome, float]]) -> tuple[tuple[float, float], ...]:
    """Return (coverage, risk) for each caution that makes a difference, from the most cautious on.

    Coverage is the share of all questions that are answered, those whose probability reaches the caution; risk
    the share of these that are wrong. What is answered although no answer exists is wrong. Orders are refused
    at every caution. Source: El-Yaniv and Wiener 2010.
    """
    answered = [(probability, o.correct) for o, probability in judged if not o.answer.abstained]
    points = []
    for caution in sorted({probability for probability, _ in answered}, reverse=True):
        taken = [correct for probability, correct in answered if probability >= caution]
        points.append((len(taken) / len(judged), 1 - sum(taken) / len(taken)))
    return tuple(points)


def mean_risk(points: Sequence[tuple[float, float]]) -> float:
    """Return the risk averaged over coverage (the area under the curve over its width); nan without points."""
    if not points:
        return float("nan")
    coverages = [0.0, *(coverage for coverage, _ in points)]
    area = sum((b - a) * risk for a, b, (_, risk) in zip(coverages, coverages[1:], points, strict=False))
    return area / coverages[-1]
