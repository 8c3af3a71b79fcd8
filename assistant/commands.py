"""What each command of `glossary` does: words in, words out. Knows no model and no store."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import QuestionError, SettingsError, StoreError
from assistant.records import Answer, Question, Turn, layout
from assistant.settings import Settings, from_env

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assistant.pipeline import Assistant


def _settings(arguments: argparse.Namespace) -> Settings:
    names = ("corpus", "data_dir", "model", "model_url", "model_name", "threads", "caution", "auth")
    return from_env(None, **{name: getattr(arguments, name, None) for name in names})


def _open(arguments: argparse.Namespace) -> Assistant:
    from assistant.wiring import open_assistant

    with _progress("embedding") as progress:
        return open_assistant(_settings(arguments), _say, progress)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function of (done, total) that draws a bar on the error stream, once there is something to draw."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks: list[Any] = []

        def advance(done: int, total: int) -> None:
            if not tasks:
                tasks.append(bar.add_task(title, total=total))
            bar.update(tasks[0], completed=done)

        yield advance


def ask(arguments: argparse.Namespace) -> int:
    """Answer one question, or chat in the terminal."""
    question = arguments.question
    if question is None:
        if arguments.json:
            raise SettingsError("--json needs a question: glossary ask --json 'What does 7B mean?'")
        return _converse(arguments)
    try:
        question.encode("utf-8")
    except UnicodeEncodeError:
        raise QuestionError("the question is not valid UTF-8; expected text in the terminal's encoding") from None
    from assistant.pipeline import as_question

    asked = as_question(question)  # a hopeless question is refused before any model is loaded
    assistant = _open(arguments)
    if arguments.json:
        from assistant.evaluation.runner import answer_json

        print(json.dumps(answer_json(assistant.invoke(asked)), ensure_ascii=False))
    else:
        _show(assistant, asked)
    return 0


def _show(assistant: Assistant, question: Question) -> Answer:
    """Stream the answer, then print its sources."""
    printed, answer = "", Answer("")
    for answer in assistant.stream(question):
        text = answer.text if answer.abstained else layout(answer.sentences, marks=True)
        print(text.removeprefix(printed), end="", flush=True)
        printed = text
    print()
    for c in answer.citations:
        print(f"\n[{c.n}] {c.section}  ({c.file}:{c.start}-{c.end})\n    “{' '.join(c.quote.split())}”")
    if answer.suggestions:
        print("It does speak of: " + ", ".join(answer.suggestions))
    return answer


def _converse(arguments: argparse.Namespace) -> int:
    assistant = _open(arguments)
    history: list[Turn] = []
    _say("Ask about the glossary; an empty line or Ctrl-D ends.")
    while True:
        try:
            line = input("> ").strip()
        except EOFError:
            line = ""
        if not line:
            return 0
        try:
            answer = _show(assistant, Question(line, tuple(history)))
        except QuestionError as error:
            _say(str(error))
            continue
        history += [Turn("user", line), Turn("assistant", answer.text)]


def chat(arguments: argparse.Namespace) -> int:
    """Serve the chat page until it is stopped."""
    from ui.app import launch

    settings = _settings(arguments)
    return launch(settings, arguments.port, _say, host=arguments.host, auth=settings.auth)


def index(arguments: argparse.Namespace) -> int:
    """Build or open the index and say what is in it."""
    from assistant.wiring import build_index

    settings = _settings(arguments)
    with _progress("embedding") as progress:
        index, passages = build_index(settings, _say, progress, arguments.rebuild)
    manifest = index.manifest
    print(f"{manifest.passages} passages and {manifest.blocks} blocks of {settings.corpus} in {index.folder}")
    if arguments.info:
        files = sorted({p.file for p in passages})
        print(
            f"corpus sha256 {manifest.corpus}\nembedder sha256 {manifest.embedder}\nchunker version {manifest.chunker}"
        )
        print(f"{len(files)} file(s): {', '.join(files[:10])}{' …' if len(files) > 10 else ''}")
    return 0


def models(arguments: argparse.Namespace) -> int:
    """Show the model files with size and sha256."""
    from assistant import weights
    from assistant.wiring import model_weights, verified_file

    settings = _settings(arguments)
    rows = [("embedder", weights.bundled(weights.EMBEDDER, verified_file(settings)))]
    if settings.model_url is None:
        rows.append(("language model", model_weights(settings)))
    else:
        print(f"language model: {settings.model_name} at {settings.model_url}")
    for role, found in rows:
        print(f"{role}: {found.path}\n  from {found.origin}, {found.size:,} bytes, sha256 {found.sha256}")
    return 0


def evaluate(arguments: argparse.Namespace) -> int:
    """Measure answers on question sets."""
    from assistant.evaluation import evaluate

    out = Path(arguments.out) if arguments.out else None
    asked = evaluate.Asked(
        questions=tuple(Path(p) for p in arguments.questions),
        out=out,
        answers=Path(arguments.answers) if arguments.answers else out / "answers.jsonl" if out else None,
        against=Path(arguments.against) if arguments.against else None,
        baselines=arguments.baselines,
        abilities=arguments.abilities,
        tutorial=Path(__file__).parent.parent / "tests" / "tutorial_pipeline.py",
    )
    evaluate.check(asked)
    assistant = _open(arguments)
    for part in evaluate.run(assistant, _settings(arguments), asked, lambda: _progress("questions")):
        print(part + "\n")
    return 0


def calibrate(arguments: argparse.Namespace) -> int:
    """Fit the decision to answer and write it."""
    from assistant import grounding
    from assistant.evaluation import calibrate, questions

    cases = questions.load([Path(p) for p in arguments.questions])
    others = calibrate.other_texts(arguments.texts)
    path = Path(arguments.out or grounding.shipped_file())
    assistant = _open(arguments)
    with _progress("questions") as progress:
        found = calibrate.decide(assistant, cases, others, progress)
    calibrate.save(path, first=found.first, second=found.second)
    print(f"{found.said}\nwritten: {path}")
    return 0


def bench(arguments: argparse.Namespace) -> int:
    """Measure speed beside the tutorial pipeline."""
    from assistant.evaluation import bench, plots

    baseline = Path(__file__).parent.parent / "tests" / "tutorial_pipeline.py"
    out = Path(arguments.out) if arguments.out else None
    with _progress("starts and questions") as progress:
        result = bench.run(_settings(arguments), baseline, Path(arguments.questions), out, _say, progress)
    print(bench.table(result))
    if out:
        plots.bench_plot(result, out / "bench.png")
        print(f"\nwritten: {out / 'bench.md'}, {out / 'bench.json'}, {out / 'bench.png'}")
    return 0


def feedback_export(arguments: argparse.Namespace) -> int:
    """Print or write the votes as lines of a question set."""
    from ui import feedback
    from ui.store import FILE, ConversationStore

    path = _settings(arguments).data_dir / FILE
    if not path.exists():
        raise StoreError(
            f"no conversations in {path}; expected those of the chat page: glossary chat, or --data-dir PATH"
        )
    store = ConversationStore(path)
    if store.notice:
        _say(store.notice)
    if arguments.out:
        print(f"{feedback.write(store, Path(arguments.out))} line(s) written: {arguments.out}")
    else:
        print(feedback.as_jsonl(feedback.export(store)), end="")
    return 0
