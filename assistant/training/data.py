"""The training data: short texts with questions written for this project, and SQuAD articles. Knows no model.

A lesson is one text cut into passages as the assistant cuts it, with questions, each with the passages that
answer it. `texts/` is trained on; `calibration/` never is: it shows how training goes, and the decision to
answer is calibrated on it.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from assistant.chunking import chunk, split_sentences
from assistant.corpus import parse
from assistant.errors import EvaluationError
from assistant.records import Corpus, Passage, Turn
from assistant.retrieval import standalone

TEXTS = Path(__file__).parent / "texts"
CALIBRATION = Path(__file__).parent / "calibration"
SMALL_TALK = Path(__file__).parent / "strangers.txt"
GLOSSARY = Path(str(files("corpus").joinpath("glossary.md")))
STRANGERS = 4  # questions on other subjects that are added to each lesson, at least
STRANGE = 15  # questions of a lesson for each that is added where that makes more
OWN = 2.0  # how often questions on the shipped glossary are drawn, beside others
SHELVED = 0.5  # share of the questions that are put to all texts of a family at once
KEPT_OUT_ARTICLES = ("Normans", "Harvard_University")


@dataclass(frozen=True)
class Example:
    """A question on a lesson, the turns before it, which passages answer it (none: nothing does), the ideal answer."""

    kind: str
    question: str
    gold: frozenset[int]
    history: tuple[Turn, ...] = ()
    reference: str = ""

    @property
    def query(self) -> str:
        """The question with the last turns in front, as the assistant reads one that leans on them."""
        return standalone(self.question, self.history)

    @property
    def answerable(self) -> bool:
        """Tell whether any passage answers."""
        return bool(self.gold)


@dataclass(frozen=True)
class Lesson:
    """A text as passages, and the questions on it."""

    name: str
    passages: tuple[Passage, ...]
    examples: tuple[Example, ...]
    own: bool = False  # whether the text is the shipped glossary


def written(folder: Path = TEXTS) -> list[Lesson]:
    """Return the lessons written for this project in `folder`; NAME.jsonl without NAME.md asks about the glossary.

    Raises EvaluationError when there are none.
    """
    lessons = []
    for path in sorted(folder.glob("*.jsonl")):
        own = path.with_suffix(".md")
        text = (own if own.exists() else GLOSSARY).read_text(encoding="utf-8")
        raw = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
        lessons.append(replace(_lesson(path.stem, text, raw), own=not own.exists()))
    if not lessons:
        raise EvaluationError(f"no training texts in {folder}; expected *.jsonl with *.md beside them")
    return lessons


def with_strangers(lessons: Sequence[Lesson], seed: int = 0, least: int = STRANGERS) -> list[Lesson]:
    """Return the lessons, each with a few questions added that nothing in it answers.

    Half are of other families of lessons, half of `strangers.txt`; those of the shipped glossary are all of the
    latter, since other texts treat its subjects, too. Questions that were written for a text stay close to its
    subject even where it does not answer; people ask a chat about anything.
    """
    rng = random.Random(seed)
    pool = [(family(x), e.question) for x in lessons for e in x.examples if e.answerable and not e.history]
    small_talk = SMALL_TALK.read_text(encoding="utf-8").splitlines()
    found = []
    for lesson in lessons:
        each = max(least, len(lesson.examples) // STRANGE)
        others = [q for name, q in rng.sample(pool, min(len(pool), 4 * each)) if name != family(lesson)]
        others = [] if lesson.own else others[: each // 2]
        asked = [*others, *rng.sample(small_talk, min(len(small_talk), each - len(others)))]
        strangers = [Example("unanswerable_far", question, frozenset()) for question in asked]
        found.append(replace(lesson, examples=(*lesson.examples, *strangers)))
    return found


def shelved(lessons: Sequence[Lesson], seed: int = 0, share: float = SHELVED) -> list[Lesson]:
    """Return the lessons with a `share` of their questions moved to a shelf: one lesson of all texts of a family.

    A short text alone has few sentences that resemble a question without answering it; a glossary of many entries
    has many. Questions on the shipped glossary stay with it.
    """
    rng = random.Random(seed)
    found, shelves = [], dict[str, list[tuple[Lesson, tuple[Example, ...]]]]()
    for lesson in lessons:
        moved = {n for n in range(len(lesson.examples)) if not lesson.own and rng.random() < share}
        split = [tuple(e for n, e in enumerate(lesson.examples) if (n in moved) == put) for put in (False, True)]
        found.append(replace(lesson, examples=split[0]))
        if not lesson.own:
            shelves.setdefault(family(lesson), []).append((lesson, split[1]))
    return [*found, *(_shelf(name, texts) for name, texts in shelves.items())]


def _shelf(name: str, texts: Sequence[tuple[Lesson, tuple[Example, ...]]]) -> Lesson:
    passages: list[Passage] = []
    examples: list[Example] = []
    for lesson, own in texts:
        at, block = len(passages), passages[-1].block + 1 if passages else 0
        passages += [replace(p, id=at + p.id, block=block + p.block) for p in lesson.passages]
        examples += [replace(e, gold=frozenset(at + n for n in e.gold)) for e in own]
    return Lesson(name, tuple(passages), tuple(examples))


def family(lesson: Lesson) -> str:
    """Return what the names of texts of one kind begin with."""
    return lesson.name.split("-")[0]


def squad(path: Path) -> tuple[list[Lesson], list[Lesson]]:
    """Return the articles of a SQuAD 2.0 file as lessons: (to train on, to look at)."""
    train: list[Lesson] = []
    look: list[Lesson] = []
    try:
        articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    except (OSError, ValueError, KeyError) as error:
        raise EvaluationError(f"cannot read {path} ({error}); expected a SQuAD 2.0 JSON file") from error
    for article in articles:
        paragraphs = [" ".join(p["context"].split()) for p in article["paragraphs"]]
        text = "# " + article["title"].replace("_", " ") + "\n\n" + "\n\n".join(paragraphs) + "\n"
        raw = [q for p, context in zip(article["paragraphs"], paragraphs, strict=True) for q in _asked(p, context)]
        (look if article["title"] in KEPT_OUT_ARTICLES else train).append(_lesson(article["title"], text, raw))
    return train, look


def _asked(paragraph: Mapping[str, Any], context: str) -> Iterator[dict[str, Any]]:
    spans, at = [], 0
    for sentence in split_sentences(context):
        at = context.find(sentence, at)
        spans.append((at, at + len(sentence), sentence))
    for q in paragraph["qas"]:
        question: dict[str, Any] = {"question": q["question"].strip(), "kind": "squad_none", "support": []}
        if q["answers"]:
            said = " ".join(q["answers"][0]["text"].split())
            start = context.find(said, max(0, q["answers"][0]["answer_start"] - 8))
            held = [s for a, b, s in spans if a <= start < b]
            if not held:
                continue
            question.update(kind="squad", support=held, span=said)
        yield question


def _lesson(name: str, text: str, raw: Sequence[Mapping[str, Any]]) -> Lesson:
    passages = chunk(Corpus((parse(text, name),), ""))
    folded = [_folded(p.plain) for p in passages]
    examples = []
    for q in raw:
        gold: set[int] = set()
        for sentence in q["support"]:
            wanted = _folded(sentence)
            gold |= {i for i, t in enumerate(folded) if len(t) > 3 and (t in wanted or wanted in t)}
        if q["support"] and not gold:
            continue
        turns = [Turn(t["role"], t["content"]) for t in q.get("history", ())]
        examples.append(Example(q["kind"], q["question"], frozenset(gold), tuple(turns), q.get("reference", "")))
    return Lesson(name, passages, tuple(examples))


def _folded(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).lower()


def misspelt(text: str, rng: random.Random) -> str:
    """Return a text as typed in haste: letters swapped, dropped or doubled in about every third word."""
    said = text.split()
    for _ in range(max(1, len(said) // 3)):
        i = rng.randrange(len(said))
        word = said[i]
        if len(word) < 4:
            continue
        j = rng.randrange(1, len(word) - 2)
        said[i] = rng.choice(
            (
                word[:j] + word[j + 1] + word[j] + word[j + 2 :],
                word[:j] + word[j + 1 :],
                word[:j] + word[j] + word[j:],
            )
        )
    joined = " ".join(said)
    return joined.lower().rstrip("?") if rng.random() < 0.7 else joined
