"""`python -m assistant.training`: makes a shipped adapter again. Needs the extra `train`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from assistant import weights
from assistant.embedding import MiniLM
from assistant.errors import AssistantError


def main(argv: Sequence[str] | None = None) -> int:
    """Train an adapter on the texts beside this file, and on SQuAD where it is given."""
    parser = argparse.ArgumentParser(prog="python -m assistant.training", description=main.__doc__)
    parser.add_argument("adapter", choices=("query", "ranker", "reader"), help="which adapter to make")
    parser.add_argument("--steps", type=int, default=3000, help="how long to train the ranker (default: 3000)")
    parser.add_argument("--minutes", type=float, default=60.0, help="how long to train the others (default: 60)")
    parser.add_argument("--squad", type=Path, help="a SQuAD 2.0 JSON file to train on as well")
    parser.add_argument("--texts", type=int, help="train on so many texts only, to try it out")
    parser.add_argument("--start", type=Path, help="an adapter of the same rank to go on from, such as the shipped one")
    parser.add_argument("--keep", type=float, default=0.0, help="share of the adapter of --start in the one written")
    parser.add_argument("--rate", type=float, help="learning rate (default: 6e-4, 8e-4 and 1e-3, in the order above)")
    parser.add_argument("--seed", type=int, default=0, help="of the order and of what is drawn (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("out/training"), help="folder (default: out/training)")
    arguments = parser.parse_args(argv)
    try:
        _train(arguments)
    except AssistantError as error:
        sys.stderr.write(f"training: {error}\n")
        return 1
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _train(arguments: argparse.Namespace) -> None:
    from assistant.training import data, query, ranker, reader

    lessons, look = data.written()[: arguments.texts], data.written(data.CALIBRATION)[: arguments.texts]
    if arguments.squad:
        lessons += data.squad(arguments.squad)[0]
    lessons = data.with_strangers(lessons, arguments.seed)
    _say(f"{len(lessons)} texts, {sum(len(lesson.examples) for lesson in lessons)} questions")
    arguments.out.mkdir(parents=True, exist_ok=True)
    made = arguments.out / weights.ADAPTERS[arguments.adapter]
    if arguments.adapter == "ranker":
        lessons = data.shelved(lessons, arguments.seed)
        ranker.train(
            lessons, look, arguments.steps, made, _say, arguments.seed, arguments.start,
            arguments.rate or ranker.RATE, arguments.keep,
        )  # fmt: skip
    else:
        embed = MiniLM(weights.bundled(weights.EMBEDDER).path.parent).embed_documents
        maker = query if arguments.adapter == "query" else reader
        maker.train(
            lessons, look, embed, arguments.minutes * 60, made, _say, arguments.seed, arguments.start,
            arguments.rate or maker.RATE, arguments.keep,
        )  # fmt: skip
    _say(f"written: {made}")


if __name__ == "__main__":
    sys.exit(main())
