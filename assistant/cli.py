"""The `glossary` command: words in, words out. The only module that prints; knows no model and no store."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import AssistantError, QuestionError, SettingsError, StoreError
from assistant.records import Answer, Question, Turn, layout
from assistant.settings import Settings, from_env

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assistant.pipeline import Assistant

USAGE, FAILURE, STOPPED = 2, 1, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C."""
    arguments = parser().parse_args(argv)
    _quiet()
    try:
        return int(arguments.run(arguments))
    except (SettingsError, QuestionError) as error:
        return _fail(str(error), USAGE)
    except AssistantError as error:
        return _fail(str(error), FAILURE)
    except KeyboardInterrupt:
        return _fail("stopped", STOPPED)
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except OSError as error:
        return _fail(
            f"{error.strerror or error}: {error.filename or 'a file'}; free space or pass --data-dir PATH",
            FAILURE,
        )


def _fail(message: str, status: int) -> int:
    print(f"glossary: {' '.join(message.split())}", file=sys.stderr)
    return status


def _quiet() -> None:
    """Keep libraries from writing progress bars over the answer, and from looking for a network."""
    for name, value in {
        "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TQDM_DISABLE": "1", "ANONYMIZED_TELEMETRY": "False",
        "TOKENIZERS_PARALLELISM": "false", "GRADIO_ANALYTICS_ENABLED": "False", "TRANSFORMERS_VERBOSITY": "error",
    }.items():  # fmt: skip
        os.environ.setdefault(name, value)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--corpus",
        metavar="PATH",
        help="a Markdown or text file or a folder of them, instead of the shipped glossary",
    )
    common.add_argument("--data-dir", metavar="PATH", help="where the index is kept, instead of the user's data folder")
    common.add_argument("--model", metavar="PATH.gguf", help="a GGUF chat model, instead of the bundled one")
    common.add_argument(
        "--model-url",
        metavar="URL",
        help="an OpenAI-compatible server to use instead, e.g. http://127.0.0.1:8080/v1",
    )
    common.add_argument("--model-name", metavar="NAME", help="the model's name on that server")
    common.add_argument("--threads", type=int, metavar="N", help="processor threads for the model (default: all cores)")
    common.add_argument(
        "--caution",
        type=float,
        metavar="0..1",
        help="how sure to be before answering (default: 0.3; higher refuses more)",
    )
    top = argparse.ArgumentParser(prog="glossary", description="Answers from a glossary, offline, with sources.")
    commands = top.add_subparsers(required=True, metavar="command")

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, parents=[common], help=text, description=text)
        made.set_defaults(run=run)
        return made

    ask = command("ask", _ask, "answer one question; without a question, chat in the terminal")
    ask.add_argument("question", nargs="?", help="the question, in quotation marks")
    ask.add_argument("--json", action="store_true", help="print one JSON object")
    chat = command("chat", _chat, "open the chat page in the browser")
    chat.add_argument(
        "--host", default="127.0.0.1", help="address to serve on (default: 127.0.0.1); others need --auth"
    )
    chat.add_argument("--auth", metavar="USER:PASSWORD", help="ask for a password; also GLOSSARY_AUTH")
    chat.add_argument("--port", type=int, default=7860, help="port on 127.0.0.1 (default: 7860)")
    index = command("index", _index, "build the index, or show what is in it")
    index.add_argument("--rebuild", action="store_true", help="build it anew even if it fits")
    index.add_argument("--info", action="store_true", help="show what it was built from")
    command("models", _models, "show which model files are used, with size and sha256")
    evaluate = command("eval", _eval, "measure answers on question sets")
    evaluate.add_argument(
        "--questions",
        nargs="+",
        required=True,
        metavar="FILE",
        help="JSON Lines; see tests/questions/README.md",
    )
    evaluate.add_argument("--out", metavar="DIR", help="write report.md, answers.jsonl and plots there")
    evaluate.add_argument("--against", metavar="FILE.jsonl", help="the answers of an earlier run, to compare with")
    evaluate.add_argument("--baselines", action="store_true", help="also simpler ways, and itself without each part")
    evaluate.add_argument("--abilities", action="store_true", help="also noise, removal, edits, paraphrases, risk")
    evaluate.add_argument("--answers", metavar="FILE.jsonl", help="write one JSON line a question there")
    calibrate = command("calibrate", _calibrate, "fit the decision to answer to question sets")
    calibrate.add_argument(
        "--questions",
        nargs="+",
        required=True,
        metavar="FILE",
        help="JSON Lines; see tests/questions/README.md",
    )
    calibrate.add_argument("--texts", metavar="DIR", help="texts with a question set of the same name beside each")
    calibrate.add_argument("--out", metavar="FILE.json", help="write it there (default: the shipped calibration)")
    text = "turn the votes of the chat page into lines of a question set, to be completed"
    feedback = commands.add_parser("feedback", help=text, description=text)
    actions = feedback.add_subparsers(required=True, metavar="action")
    export = actions.add_parser("export", parents=[common], help=text, description=text)
    export.add_argument("--out", metavar="FILE.jsonl", help="write them there instead of printing them")
    export.set_defaults(run=_feedback_export)
    bench = command("bench", _bench, "measure speed, memory and right answers beside a tutorial pipeline")
    bench.add_argument(
        "--questions", default="tests/questions/held_out.jsonl", metavar="FILE", help="see tests/questions/README.md"
    )
    bench.add_argument("--out", metavar="DIR", help="write bench.md, bench.json and bench.png there")
    return top


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
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: list[Any] = []

        def advance(done: int, total: int) -> None:
            if not tasks:
                tasks.append(bar.add_task(title, total=total))
            bar.update(tasks[0], completed=done)

        yield advance


def _ask(arguments: argparse.Namespace) -> int:
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


def _chat(arguments: argparse.Namespace) -> int:
    from ui.app import launch

    settings = _settings(arguments)
    return launch(settings, arguments.port, _say, host=arguments.host, auth=settings.auth)


def _index(arguments: argparse.Namespace) -> int:
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


def _models(arguments: argparse.Namespace) -> int:
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


def _eval(arguments: argparse.Namespace) -> int:
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


def _calibrate(arguments: argparse.Namespace) -> int:
    from importlib.resources import files

    from assistant.evaluation import calibrate, questions

    cases = questions.load([Path(p) for p in arguments.questions])
    others = calibrate.other_texts(arguments.texts)
    path = Path(arguments.out or str(files("assistant").joinpath("data/calibration.json")))
    assistant = _open(arguments)
    with _progress("questions") as progress:
        found = calibrate.decide(assistant, cases, others, progress)
    calibrate.save(path, first=found.first, second=found.second)
    print(f"{found.said}\nwritten: {path}")
    return 0


def _bench(arguments: argparse.Namespace) -> int:
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


def _feedback_export(arguments: argparse.Namespace) -> int:
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
