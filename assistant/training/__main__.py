"""`python -m assistant.training`: makes the shipped adapter again. Needs the extra `train`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from assistant import weights
from assistant.embedding import MiniLM
from assistant.errors import AssistantError


def main() -> int:
    """Train the reader on the texts beside this file, and on SQuAD where it is given."""
    parser = argparse.ArgumentParser(prog="python -m assistant.training", description=main.__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long to train (default: 60)")
    parser.add_argument("--squad", type=Path, help="a SQuAD 2.0 JSON file to train on as well")
    parser.add_argument("--texts", type=int, help="train on so many texts only, to try it out")
    parser.add_argument("--start", type=Path, help="a .pt of an earlier run to go on from")
    parser.add_argument(
        "--out", type=Path, default=Path("out/reader"), help="folder for the adapter (default: out/reader)"
    )
    arguments = parser.parse_args()

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    try:
        from assistant.training import data, export, reader

        lessons, look = data.written()[: arguments.texts], data.written(data.CALIBRATION)
        if arguments.squad:
            articles, _ = data.squad(arguments.squad)
            lessons += articles
        say(f"{len(lessons)} texts, {sum(len(lesson.examples) for lesson in lessons)} questions")
        arguments.out.mkdir(parents=True, exist_ok=True)
        embedder = MiniLM(weights.bundled(weights.EMBEDDER).path.parent)
        tensors = reader.train(
            lessons, look, embedder.embed_documents, arguments.minutes * 60, arguments.out / "reader.pt", say,
            start=arguments.start,
        )  # fmt: skip
        export.write_gguf(tensors, reader.ALPHA, arguments.out / "reader.gguf")
        say(f"written: {arguments.out / 'reader.gguf'}")
    except AssistantError as error:
        sys.stderr.write(f"training: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
