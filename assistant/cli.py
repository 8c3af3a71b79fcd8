"""The `glossary` command: what may be typed, and how it ends. What the commands do is in `commands`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from assistant import commands
from assistant.errors import AssistantError, QuestionError, SettingsError

USAGE, FAILURE = 2, 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 failed, 2 wrong usage. Ctrl-C is `__main__`'s matter."""
    arguments = parser().parse_args(argv)
    _quiet()
    try:
        return int(arguments.run(arguments))
    except (SettingsError, QuestionError) as error:
        return _fail(str(error), USAGE)
    except AssistantError as error:
        return _fail(str(error), FAILURE)
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
        help="how sure to be before answering (default: 0.45; higher refuses more)",
    )
    top = argparse.ArgumentParser(prog="glossary", description="Answers from a glossary, offline, with sources.")
    parsers = top.add_subparsers(required=True, metavar="command")

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        made = parsers.add_parser(name, parents=[common], help=text, description=text)
        made.set_defaults(run=run)
        return made

    ask = command("ask", commands.ask, "answer one question; without a question, chat in the terminal")
    ask.add_argument("question", nargs="?", help="the question, in quotation marks")
    ask.add_argument("--json", action="store_true", help="print one JSON object")
    chat = command("chat", commands.chat, "open the chat page in the browser")
    chat.add_argument(
        "--host", default="127.0.0.1", help="address to serve on (default: 127.0.0.1); others need --auth"
    )
    chat.add_argument("--auth", metavar="USER:PASSWORD", help="ask for a password; also GLOSSARY_AUTH")
    chat.add_argument("--port", type=int, default=7860, help="port on 127.0.0.1 (default: 7860)")
    index = command("index", commands.index, "build the index, or show what is in it")
    index.add_argument("--rebuild", action="store_true", help="build it anew even if it fits")
    index.add_argument("--info", action="store_true", help="show what it was built from")
    command("models", commands.models, "show which model files are used, with size and sha256")
    evaluate = command("eval", commands.evaluate, "measure answers on question sets")
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
    calibrate = command("calibrate", commands.calibrate, "fit the decision to answer to question sets")
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
    feedback = parsers.add_parser("feedback", help=text, description=text)
    actions = feedback.add_subparsers(required=True, metavar="action")
    export = actions.add_parser("export", parents=[common], help=text, description=text)
    export.add_argument("--out", metavar="FILE.jsonl", help="write them there instead of printing them")
    export.set_defaults(run=commands.feedback_export)
    bench = command("bench", commands.bench, "measure speed, memory and right answers beside a tutorial pipeline")
    bench.add_argument(
        "--questions", default="tests/questions/held_out.jsonl", metavar="FILE", help="see tests/questions/README.md"
    )
    bench.add_argument("--out", metavar="DIR", help="write bench.md, bench.json and bench.png there")
    return top
