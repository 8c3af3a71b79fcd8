"""A cross-encoder: a question and a passage, read together → how surely the passage answers. Knows no policy.

MiniLM with a small adapter (`data/ranker.safetensors`, made by `assistant.training`): the low-rank changes are
added to its weights once, on loading, and the passages of a question go through it together.
Source of the method: Nogueira and Cho 2019, passage re-ranking; Hu et al. 2021, LoRA.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from assistant.errors import ModelError
from assistant.minilm import Array, Transformer, adapted, read_tokenizer, read_weights
from assistant.records import Hit, Passage

CLS, SEP, COLON, OPEN, CLOSE = 101, 102, 1024, 1006, 1007  # word pieces of MiniLM's vocabulary
MOST_QUESTION, MOST_EARLIER, MOST_HEADING, MOST_BEFORE, MOST_PASSAGE = 64, 48, 24, 40, 80  # word pieces of each
_LEANING = re.compile(
    r"\b(?:this|that|these|those|it|its|they|them|their|he|she|his|her|here|such|both|another|also)\b", re.I
)


class Ranks(Protocol):
    """What can tell how surely passages answer."""

    def log_odds(self, question: str, earlier: str, hits: Sequence[Hit], passages: Sequence[Passage]) -> list[float]:
        """Return for each hit ln(p / (1 - p)) of its probability to answer."""


class PairEncoding:
    """Word pieces of a question and a passage as the cross-encoder reads them, in training and in use alike."""

    def __init__(self, tokenizer: Any) -> None:
        """Take the tokenizer of MiniLM."""
        self._tokenizer = tokenizer

    def question(self, question: str, earlier: str) -> list[int]:
        """Return the pieces of a question, with those of the turns before it in brackets where it leans on them."""
        pieces = self._pieces(question)[:MOST_QUESTION]
        return [*pieces, OPEN, *self._pieces(earlier)[:MOST_EARLIER], CLOSE] if earlier else pieces

    def passage(self, passage: Passage, passages: Sequence[Passage]) -> list[int]:
        """Return the pieces of a passage: its heading, the sentence before it where it leans on that, its words."""
        pieces = [*self._pieces(passage.heading)[-MOST_HEADING:], COLON] if passage.heading else []
        before = passages[passage.id - 1] if passage.id else None
        opening = " ".join(passage.plain.split()[:8])
        if before is not None and before.block == passage.block and _LEANING.search(opening):
            pieces += [OPEN, *self._pieces(before.plain)[:MOST_BEFORE], CLOSE]
        return pieces + self._pieces(passage.plain)[:MOST_PASSAGE]

    def _pieces(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)


class Ranker:
    """The cross-encoder. Loaded on first use; safe to share between threads."""

    def __init__(self, folder: Path, adapter: Path) -> None:
        """Take the folder that holds MiniLM, and the adapter made for it."""
        self._folder, self._adapter = folder, adapter
        self._lock = threading.Lock()
        self._ready: tuple[Transformer, dict[str, Array], PairEncoding] | None = None

    def warm(self) -> None:
        """Load the model if that has not happened yet. Raises ModelError."""
        with self._lock:
            if self._ready is None:
                try:
                    changes = read_weights(self._adapter)
                    weights = adapted(read_weights(self._folder / "model.safetensors"), changes)
                    head = {k: v for k, v in changes.items() if not k.endswith((".lora_a", ".lora_b"))}
                    self._ready = Transformer(weights), head, PairEncoding(read_tokenizer(self._folder))
                except Exception as error:  # safetensors and tokenizers raise plain ones
                    raise ModelError(
                        f"cannot load the ranking adapter {self._adapter}: {error}; install the package again"
                    ) from error

    def log_odds(self, question: str, earlier: str, hits: Sequence[Hit], passages: Sequence[Passage]) -> list[float]:
        """Return for each hit ln(p / (1 - p)) of its probability to answer.

        `earlier` holds the turns that the question leans on, or nothing; `passages` are all of the corpus.
        """
        if not hits:
            return []
        self.warm()
        assert self._ready is not None
        transformer, head, encoding = self._ready
        asked = [CLS, *encoding.question(question, earlier), SEP]
        pairs = [[*asked, *encoding.passage(hit.passage, passages), SEP] for hit in hits]
        found = []
        for hit, hidden in zip(hits, transformer.run(pairs, [len(asked)] * len(pairs)), strict=True):
            of_question, of_passage = hidden[: len(asked)].mean(0), hidden[len(asked) :].mean(0)
            cosine = of_question @ of_passage / (np.linalg.norm(of_question) * np.linalg.norm(of_passage))
            fused, near = head["mixed"]
            found.append(float(hidden[0] @ head["cls"] + fused * hit.score + near * cosine + head["bias"][0]))
        return found
