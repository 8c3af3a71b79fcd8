"""Small corpora and assistants for the tests."""

from __future__ import annotations

from pathlib import Path

from assistant import corpus, wiring
from assistant.chunking import chunk
from assistant.grounding import Calibration, Decision
from assistant.index import open_index
from assistant.pipeline import Assistant, Parts
from assistant.reader import Reader
from assistant.records import Corpus, Passage
from assistant.retrieval import HybridRetriever
from assistant.spelling import Speller
from tests.doubles import FusedRanks, ScriptedChat, WordEmbeddings

TEXT = """# Boats

## Hulls

A hull is the body of a boat that floats in the water. Hulls of 40 feet need two crew members.

## Sails

Every sail has these parts:

- Luff: the front edge of the sail
- Leech: the back edge of the sail
- Foot: the bottom edge of the sail

### Reefing

Reefing makes a sail smaller in strong wind. It protects the mast. The XR7 kit reefs in 30 seconds.
"""

ANSWERS = Calibration(bias=5.0, weights={})
REFUSES = Calibration(bias=-5.0, weights={})


def parsed(text: str = TEXT) -> tuple[Corpus, tuple[Passage, ...]]:
    """Return a corpus of one file, `boats.md`, and its passages."""
    made = Corpus((corpus.parse(text, "boats.md"),), "digest")
    return made, chunk(made)


def assistant(
    folder: Path,
    replies: list[str],
    *,
    text: str = TEXT,
    trained: bool = False,
    calibration: Calibration = ANSWERS,
    choice: tuple[float, ...] = (),
) -> tuple[Assistant, ScriptedChat]:
    """Return an assistant over `text` with scripted replies and embeddings, and its model."""
    source, passages = parsed(text)
    embeddings = WordEmbeddings()
    index = open_index(folder, folder / "boats.md", source.digest, passages, embeddings, "words")
    speller = Speller.of(passages, frozenset())
    model = ScriptedChat(replies=replies, choice=choice)
    parts = Parts(
        corpus=source,
        passages=passages,
        retriever=HybridRetriever(index=index, passages=passages, embeddings=embeddings),
        ranker=FusedRanks(),
        speller=speller,
        reader=Reader(model, trained),
        model_name="scripted",
        decision=Decision(calibration, calibration),
        rarity=wiring.rarity(passages),
        names=wiring.names(passages),
    )
    return Assistant(parts), model
