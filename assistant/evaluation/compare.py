"""Two runs over the same questions → which were won, which were lost, and whether that can be chance.

Reads answers files as `runner.write_answers` writes them, or outcomes at hand. Asks nobody and judges nothing anew.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path

from assistant.errors import EvaluationError
from assistant.evaluation.metrics import Outcome, Share

MOST_CHARACTERS = 160  # of an answer in a table cell
MOST_NAMED = 5  # ids in an error message


@dataclass(frozen=True)
class Row:
    """One question of a run, what was answered, and whether that was right."""

    id: str
    kind: str
    question: str
    correct: bool
    answer: str


@dataclass(frozen=True)
class Comparison:
    """The rows of two runs in pairs (first, second), by who was right."""

    won: tuple[tuple[Row, Row], ...]
    lost: tuple[tuple[Row, Row], ...]
    both: tuple[tuple[Row, Row], ...]
    neither: tuple[tuple[Row, Row], ...]

    @property
    def total(self) -> int:
        """The number of questions."""
        return len(self.won) + len(self.lost) + len(self.both) + len(self.neither)

    @property
    def p_value(self) -> float:
        """The p value of `mcnemar`."""
        return mcnemar(len(self.won), len(self.lost))


def mcnemar(won: int, lost: int) -> float:
    """Return the two-sided p value of McNemar's exact test: how likely a difference this large is by chance.

    Under chance each question that only one run got right is won or lost like a coin falls; 1 where there is
    none. Source: McNemar 1947; exact by the binomial distribution.
    """
    n = won + lost
    tail = sum(comb(n, k) for k in range(min(won, lost) + 1))
    return min(1.0, 2 * tail / (1 << n))


def rows(outcomes: Sequence[Outcome]) -> tuple[Row, ...]:
    """Return outcomes as rows, in order."""
    return tuple(Row(o.case.id, o.case.kind, o.case.question.text, o.correct, o.answer.text) for o in outcomes)


def read(path: Path) -> tuple[Row, ...]:
    """Read an answers file. Raises EvaluationError naming the file, the line and what is wrong with it."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # answers may hold other line separators
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"cannot read the answers file {path}: {error}; expected one of glossary eval") from error
    found: list[Row] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(_row(line))
        except (ValueError, KeyError, TypeError) as error:
            raise EvaluationError(
                f"{path}:{number}: {type(error).__name__}: {error}; expected a line that glossary eval --answers wrote"
            ) from error
    if not found:
        raise EvaluationError(f"{path} holds no answers; expected JSON Lines: glossary eval --answers {path}")
    return tuple(found)


def _row(line: str) -> Row:
    raw = json.loads(line)
    if not isinstance(raw["correct"], bool):
        raise ValueError(f"correct is {raw['correct']!r}, expected true or false")
    return Row(str(raw["id"]), str(raw["kind"]), str(raw["question"]), raw["correct"], str(raw["answer"]))


def compare(first: Sequence[Row], second: Sequence[Row]) -> Comparison:
    """Pair two runs by id, in the order of the second; `won` are right in the second alone.

    Raises EvaluationError unless both asked the same questions, each once.
    """
    before, after = _by_id(first, "first"), _by_id(second, "second")
    for name, missing in (
        ("second", [i for i in before if i not in after]),
        ("first", [i for i in after if i not in before]),
    ):
        if missing:
            shown = ", ".join(missing[:MOST_NAMED]) + (" …" if len(missing) > MOST_NAMED else "")
            raise EvaluationError(f"the {name} run lacks {len(missing)} questions ({shown}); run both on the same set")
    changed = [i for i in after if before[i].question != after[i].question]
    if changed:
        raise EvaluationError(
            f"question {changed[0]} is {before[changed[0]].question!r} in the first run and "
            f"{after[changed[0]].question!r} in the second; run both on the same set"
        )
    pairs = [(before[i], row) for i, row in after.items()]

    def where(was: bool, now: bool) -> tuple[tuple[Row, Row], ...]:
        return tuple((a, b) for a, b in pairs if (a.correct, b.correct) == (was, now))

    return Comparison(where(False, True), where(True, False), where(True, True), where(False, False))


def _by_id(run: Sequence[Row], name: str) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for row in run:
        if row.id in found:
            raise EvaluationError(f"the {name} run has the id {row.id!r} twice; ids are unique")
        found[row.id] = row
    return found


def markdown(comparison: Comparison, first: str = "before", second: str = "now") -> str:
    """Return the counts, the test, and a table of the questions won and one of those lost."""
    c = comparison
    total = c.total
    parts = [
        f"| {second} against {first} | questions |\n| --- | --- |\n"
        f"| won: right in {second} alone | {len(c.won)} |\n| lost: right in {first} alone | {len(c.lost)} |\n"
        f"| right in both | {len(c.both)} |\n| right in neither | {len(c.neither)} |",
        f"{_cell(first)}: {Share(len(c.both) + len(c.lost), total)}; "
        f"{_cell(second)}: {Share(len(c.both) + len(c.won), total)}; "
        f"McNemar's exact test: p = {c.p_value:.3g}.",
    ]
    for title, pairs in (("Won", c.won), ("Lost", c.lost)):
        if pairs:
            lines = [f"| id | kind | question | {first} | {second} |", "| --- | --- | --- | --- | --- |"]
            for a, b in pairs:
                lines.append(f"| {b.id} | {b.kind} | {_cell(b.question)} | {_cell(a.answer)} | {_cell(b.answer)} |")
            parts += [f"### {title}: {len(pairs)}", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    line = " ".join(text.split())
    shown = line if len(line) <= MOST_CHARACTERS else line[: MOST_CHARACTERS - 1].rstrip() + "…"
    return shown.replace("|", "\\|")
