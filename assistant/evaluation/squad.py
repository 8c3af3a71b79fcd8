"""The assistant on SQuAD 2.0: `python -m assistant.evaluation.squad dev-v2.0.json --articles Normans`.

Each article is a corpus of its own; an answer is right when it contains one of the gold answers, and a question
without one when it is refused. Source of the questions: Rajpurkar, Jia and Liang 2018.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assistant import corpus as corpora
from assistant.errors import AssistantError, EvaluationError
from assistant.evaluation import metrics, report, trials
from assistant.evaluation.questions import Case
from assistant.evaluation.trials import Trial
from assistant.records import Corpus, Question

MOST = 150  # questions of an article


def read(path: Path, titles: Sequence[str] = (), most: int = MOST) -> tuple[Trial, ...]:
    """Return a trial for each article, or for those of `titles`, with a sample of its questions, always the same.

    Raises EvaluationError when the file is no SQuAD 2.0 file or holds no such article.
    """
    try:
        articles = {a["title"]: a for a in json.loads(path.read_text(encoding="utf-8"))["data"]}
        missing = [title for title in titles if title not in articles]
        if missing:
            raise EvaluationError(f"{path} holds no article {missing[0]!r}; expected one of {', '.join(articles)}")
        return tuple(_trial(articles[title], most) for title in titles or articles)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluationError(f"cannot read {path} ({error}); expected a SQuAD 2.0 JSON file") from error


def _trial(article: Mapping[str, Any], most: int) -> Trial:
    paragraphs = [" ".join(p["context"].split()) for p in article["paragraphs"]]
    text = "# " + article["title"].replace("_", " ") + "\n\n" + "\n\n".join(paragraphs) + "\n"
    asked = [q for p in article["paragraphs"] for q in p["qas"] if q["question"].strip()]
    chosen = sorted(random.Random(0).sample(range(len(asked)), min(most, len(asked))))
    corpus = Corpus((corpora.parse(text, f"{article['title']}.md"),), article["title"])
    return Trial(corpus, tuple(_case(asked[n]) for n in chosen))


def _case(raw: Mapping[str, Any]) -> Case:
    """Return a question; its gold answers are alternatives, with any white space and marks between their words."""
    golds = {r"[\W_]+".join(map(re.escape, re.findall(r"\w+", a["text"]))) for a in raw["answers"]}
    must = (tuple(re.compile(rf"(?<!\w){g}(?!\w)", re.I) for g in sorted(golds) if g),) if golds else ()
    kind = "fact" if golds else "unanswerable_near"
    return Case(str(raw["id"]), kind, Question(raw["question"].strip()), bool(golds), must, (), ())


def main(argv: Sequence[str] | None = None) -> int:
    """Ask the questions of SQuAD articles and print what came out, an article a line and all together."""
    parser = argparse.ArgumentParser(prog="python -m assistant.evaluation.squad", description=main.__doc__)
    parser.add_argument("file", type=Path, help="a SQuAD 2.0 JSON file")
    parser.add_argument("--articles", nargs="+", default=(), metavar="TITLE", help="these alone (default: all)")
    parser.add_argument("--most", type=int, default=MOST, help=f"questions of each (default: {MOST})")
    given = parser.parse_args(argv)
    from assistant.settings import from_env
    from assistant.wiring import open_assistant

    try:
        asked = read(given.file, given.articles, given.most)
        found = trials.ask(open_assistant(from_env(None)), asked, lambda done, total: None)
    except AssistantError as error:
        sys.stderr.write(f"squad: {error}\n")
        return 1
    for trial, outcomes in zip(asked, found, strict=True):
        right = {name: str(share) for name, share in metrics.by_kind(outcomes).items()}
        sys.stdout.write(f"{trial.corpus.digest}: {right}\n")
    together = metrics.measure([o for outcomes in found for o in outcomes])
    sys.stdout.write(report.table(together) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
