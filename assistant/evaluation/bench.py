"""The assistant beside a baseline, in one run: how soon, how much memory, how many right. Knows both as programs only.

How it is measured. Each side is a child process of its own, and the clock is always this process's.
Cold: the assistant's index exists already; `ask` with one question is started three times on each side,
in turn, and timed from the start of the process to its first byte of output; peak memory is what the
system counted for that process until its end. Warm: one long-lived child a side loads everything and
answers one question that is not counted; then each question goes first to the one, then to the other, so
that whatever else slows the machine slows both alike, and one of them waits while the other works.
A ratio is the assistant's median over the baseline's: below 1 the assistant needs less. Refusals count
in the times like every answer, and how many there were is told beside them.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import zip_longest
from pathlib import Path
from statistics import median
from typing import Any, TextIO

from assistant.errors import AssistantError, EvaluationError
from assistant.evaluation.programs import Child, Program
from assistant.evaluation.questions import Case, load
from assistant.evaluation.runner import answer_json
from assistant.records import Answer, Question, Turn
from assistant.settings import Settings, from_env

COLD_STARTS = 3
QUESTIONS = 30
MEASURES = {
    "cold_s": "program start to first word, s",
    "ttft_s": "question to first word, s",
    "total_s": "question to end of answer, s",
    "peak_mib": "peak memory, MiB",
}


@dataclass(frozen=True)
class Side:
    """What one side needed: medians in seconds and MiB; how many answers were right, how many refusals."""

    name: str
    cold_s: float
    ttft_s: float
    total_s: float
    peak_mib: float
    correct: int
    refused: int


@dataclass(frozen=True)
class BenchResult:
    """Both sides of one run over the same `asked` questions, of which `answerable` have an answer in the text."""

    assistant: Side
    baseline: Side
    asked: int
    answerable: int

    def __post_init__(self) -> None:
        if not 0 <= self.answerable <= self.asked or max(self.assistant.correct, self.baseline.correct) > self.asked:
            raise ValueError(f"{self.asked} asked cannot hold {self.answerable} answerable and these correct counts")

    @property
    def ratios(self) -> dict[str, float]:
        """For each of MEASURES the assistant's median over the baseline's; nan where that one is 0."""
        pairs = {name: (getattr(self.assistant, name), getattr(self.baseline, name)) for name in MEASURES}
        return {name: ours / theirs if theirs else math.nan for name, (ours, theirs) in pairs.items()}


def run(
    settings: Settings,
    baseline: Path,
    questions: Path,
    out: Path | None,
    say: Callable[[str], None],
    progress: Callable[[int, int], None],
) -> BenchResult:
    """Measure the assistant of `settings` beside the program at `baseline`; write bench.md and bench.json into `out`.

    Raises EvaluationError when the baseline is not there, a question set is malformed, a program fails,
    or `out` cannot be written.
    """
    if not baseline.is_file():
        raise EvaluationError(f"no baseline at {baseline}; bench runs from a checkout of the project: git clone it")
    if settings.model_url is not None:
        raise EvaluationError("bench got --model-url; it compares programs on this machine: leave it out")
    if not hasattr(os, "wait4"):
        raise EvaluationError(f"bench cannot measure memory on {platform.system()}; run it on Linux or macOS")
    opening, cases = choose(load([questions]))
    python, given = sys.executable, options(settings)
    theirs = options(settings, "corpus", "model", "threads")
    ours = Program(
        "the assistant",
        (python, "-m", "assistant", "ask", *given),
        (python, "-m", "assistant.evaluation.bench", "serve", *given),
    )
    tutorial = Program(
        "the tutorial pipeline", (python, str(baseline), "ask", *theirs), (python, str(baseline), "serve", *theirs)
    )
    say("bringing the index up to date")
    with Child("glossary index", (python, "-m", "assistant", "index", *given)) as child:
        child.finish()
    say(f"{COLD_STARTS} cold starts each, then {len(cases)} questions each")
    result = compare(ours, tutorial, opening, cases, progress)
    if out is not None:
        write(result, out)
    return result


def compare(
    ours: Program, theirs: Program, opening: Question, cases: Sequence[Case], progress: Callable[[int, int], None]
) -> BenchResult:
    """Measure both programs as the head of this module tells. Raises EvaluationError when one of them fails."""
    steps = COLD_STARTS + 1 + len(cases)
    progress(0, steps)
    cold: list[list[tuple[float, float]]] = [[], []]
    for n in range(COLD_STARTS):
        for side, program in enumerate((ours, theirs)):
            with Child(program.name, (*program.ask, opening.text)) as child:
                cold[side].append(child.finish())
        progress(n + 1, steps)
    warm: list[list[tuple[float, float, Answer]]] = [[], []]
    with Child(ours.name, ours.serve) as first, Child(theirs.name, theirs.serve) as second:
        for child in (first, second):
            child.answer(opening)
        progress(COLD_STARTS + 1, steps)
        for n, case in enumerate(cases, COLD_STARTS + 2):
            for side, child in enumerate((first, second)):
                warm[side].append(child.answer(case.question))
            progress(n, steps)
    sides = [
        Side(
            program.name,
            cold_s=median(s for s, _ in cold[n]),
            ttft_s=median(t for t, _, _ in warm[n]),
            total_s=median(t for _, t, _ in warm[n]),
            peak_mib=median(m for _, m in cold[n]),
            correct=sum(case.correct(said) for case, (_, _, said) in zip(cases, warm[n], strict=True)),
            refused=sum(said.abstained for _, _, said in warm[n]),
        )
        for n, program in enumerate((ours, theirs))
    ]
    return BenchResult(sides[0], sides[1], len(cases), sum(c.answerable for c in cases))


def choose(cases: Sequence[Case], count: int = QUESTIONS) -> tuple[Question, tuple[Case, ...]]:
    """Return a question to open with, and at most `count` others to measure, the kinds in turn.

    The opening question is answerable, without history, and not among the others unless it is the only
    one. Always the same for the same cases. Raises EvaluationError when none can open.
    """
    plain = (c for c in cases if c.answerable and not c.question.history and not c.question.text.startswith("-"))
    opening = next(plain, None)
    if opening is None:
        raise EvaluationError("found no answerable question without history to start with; expected one in the set")
    rest = [c for c in cases if c is not opening] or [opening]
    kinds: dict[str, list[Case]] = {case.kind: [] for case in rest}
    for case in random.Random(0).sample(rest, len(rest)):  # sets are often sorted by section: take from all of it
        kinds[case.kind].append(case)
    return opening.question, tuple(c for row in zip_longest(*kinds.values()) for c in row if c)[:count]


def table(result: BenchResult) -> str:
    """Return a Markdown table: medians of both sides, their ratios, and how many were right."""
    ours, theirs = result.assistant, result.baseline
    rows = [f"| median | {ours.name} | {theirs.name} | ratio |", "| --- | --- | --- | --- |"]
    for name, title in MEASURES.items():
        digits = 0 if name == "peak_mib" else 2
        values = [f"{getattr(side, name):,.{digits}f}" for side in (ours, theirs)]
        rows.append(f"| {title} | {values[0]} | {values[1]} | {result.ratios[name]:.2f} |")
    rows.append(f"| right, of {result.asked} | {ours.correct} | {theirs.correct} | |")
    unanswerable = result.asked - result.answerable
    rows.append(f"| refused (unanswerable: {unanswerable}) | {ours.refused} | {theirs.refused} | |")
    return "\n".join(rows)


def write(result: BenchResult, folder: Path) -> None:
    """Write bench.md and bench.json into `folder`, made where needed. Raises EvaluationError."""
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    how = " ".join((__doc__ or "").partition("How it is measured. ")[2].split())
    found = {**asdict(result), "ratios": result.ratios, "machine": machine}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "bench.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        (folder / "bench.md").write_text(f"# Bench\n\n{table(result)}\n\n{how}\n\n{machine}\n", encoding="utf-8")
    except OSError as error:
        raise EvaluationError(f"cannot write into {folder}: {error.strerror}; pass another --out") from error


def options(settings: Settings, *names: str) -> tuple[str, ...]:
    """Return settings as command line options; all that are set, or those of `names` alone."""
    values = [(f.name, getattr(settings, f.name)) for f in fields(settings) if not names or f.name in names]
    return tuple(f"--{name.replace('_', '-')}={value}" for name, value in values if value is not None)


def serve(stream: Callable[[Question], Iterable[Answer]], lines: Iterable[str], out: TextIO) -> None:
    """Answer questions, a JSON line each, with two JSON lines: {"first": true} at the first word, then the answer."""

    def tell(found: dict[str, Any]) -> None:
        out.write(json.dumps(found, ensure_ascii=False) + "\n")
        out.flush()

    for line in lines:
        raw = json.loads(line)
        turns = tuple(Turn(turn["role"], turn["content"]) for turn in raw.get("history") or ())
        answer, begun = Answer(""), False
        for answer in stream(Question(raw["question"], turns)):
            if not begun and answer.text.strip():
                begun = True
                tell({"first": True})
        if not begun:  # an empty answer has no first word, and still an end
            tell({"first": True})
        tell(answer_json(answer))


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the assistant: `python -m assistant.evaluation.bench serve [the options of glossary ask]`."""
    parser = argparse.ArgumentParser(prog="python -m assistant.evaluation.bench", description=serve.__doc__)
    parser.add_argument("mode", choices=["serve"])
    for field in fields(Settings):
        parser.add_argument("--" + field.name.replace("_", "-"), metavar="VALUE")
    given = vars(parser.parse_args(argv))
    del given["mode"]
    from assistant.wiring import open_assistant

    try:
        serve(open_assistant(from_env(None, **given)).stream, sys.stdin, sys.stdout)
    except AssistantError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
