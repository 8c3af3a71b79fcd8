"""`glossary eval`: one run over question sets, and what is asked for besides. Knows the order, measures nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from assistant.evaluation import abilities, baselines, compare, plots, questions, report, runner
from assistant.evaluation.metrics import by_kind, measure
from assistant.files import write_whole
from assistant.pipeline import Assistant
from assistant.settings import Settings

Bar = Callable[[], AbstractContextManager[Callable[[int, int], None]]]


@dataclass(frozen=True)
class Asked:
    """What to measure, and where to write it; `against` are the answers of an earlier run."""

    questions: tuple[Path, ...]
    out: Path | None = None
    answers: Path | None = None
    against: Path | None = None
    baselines: bool = False
    abilities: bool = False
    tutorial: Path | None = None


def check(asked: Asked) -> None:
    """Read every file that is asked for, before models are loaded. Raises EvaluationError."""
    questions.load(asked.questions)
    if asked.against is not None:
        compare.read(asked.against)
    if asked.abilities:
        folder = asked.questions[0].parent
        abilities.load_edits(folder / abilities.EDITED)
        abilities.load_groups(folder / abilities.PARAPHRASES)


def run(assistant: Assistant, settings: Settings, asked: Asked, bar: Bar) -> Iterator[str]:
    """Yield the parts of the report as they are done, and write all of it where that is asked for.

    Edits and paraphrases are looked for beside the first question set. Raises EvaluationError.
    """
    cases = questions.load(asked.questions)
    former = compare.read(asked.against) if asked.against is not None else None
    with bar() as progress:
        outcomes = runner.run(assistant, cases, progress)
    if asked.answers is not None:
        runner.write_answers(outcomes, asked.answers)
    yield report.table(measure(outcomes)) + "\n\n" + report.table(dict(by_kind(outcomes)), "kind")
    parts = [report.markdown(outcomes, "Evaluation")]
    if asked.out is not None:
        write_whole(asked.out / "figures.json", report.figures(measure(outcomes), len(cases)))
        plots.kinds_plot(by_kind(outcomes), asked.out / "kinds.png")
    if former is not None:
        parts.append(compare.markdown(compare.compare(former, compare.rows(outcomes))))
        yield parts[-1]
    if asked.abilities:
        with bar() as progress:
            found = abilities.run(assistant, outcomes, asked.questions[0].parent, None, progress)
        with bar() as progress:
            points = abilities.risk_coverage(abilities.at_no_caution(assistant, cases, progress))
        figures = {**found.figures, "risk averaged over coverage": abilities.mean_risk(points)}
        if asked.out is not None:
            plots.risk_coverage_plot(points, asked.out / "risk_coverage.png")
        parts.append(abilities.markdown(abilities.Abilities(figures, found.wrong)))
        yield parts[-1]
    if asked.baselines:
        runs = {"the assistant": outcomes}
        for title, other in baselines.everything(assistant, settings, asked.tutorial):
            with bar() as progress:
                runs[title] = runner.run(other, cases, progress)
        parts.append("## Baselines, and parts switched off\n\n" + baselines.table(runs))
        yield parts[-1]
    if asked.out is not None:
        write_whole(asked.out / "report.md", "\n\n".join(parts))
        yield f"written: {asked.out / 'report.md'}, {asked.answers}"
