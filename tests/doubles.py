"""Scripted doubles for the slow parts. Each records its calls."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

from assistant.lexis import content
from assistant.records import Hit, Passage


class WordEmbeddings(Embeddings):
    """A text → the unit sum of a fixed random vector for each of its words: shared words make texts near."""

    def __init__(self, dimensions: int = 32) -> None:
        self.dimensions = dimensions
        self.calls: list[list[str]] = []

    def _word(self, word: str) -> np.ndarray[Any, Any]:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
        return np.random.default_rng(seed).normal(size=self.dimensions)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.calls.append(texts)
        rows = []
        for text in texts:
            row = sum((self._word(w) for w in content(text)), np.full(self.dimensions, 1e-6))
            rows.append([float(x) for x in row / np.linalg.norm(row)])
        return rows

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


class FusedRanks:
    """Log odds that grow with the fused score of retrieval; records the questions it was given."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def log_odds(self, question: str, earlier: str, hits: Sequence[Hit], passages: Sequence[Passage]) -> list[float]:
        self.calls.append((question, earlier))
        return [10.0 * (hit.score - 0.6) for hit in hits]


class Backwards(FusedRanks):
    """Log odds that fall with the fused score of retrieval."""

    def log_odds(self, question: str, earlier: str, hits: Sequence[Hit], passages: Sequence[Passage]) -> list[float]:
        return [-odds for odds in super().log_odds(question, earlier, hits, passages)]


class ScriptedChat(BaseChatModel):
    """Replies with the next scripted text, a word at a time, and records the messages it was given.

    `choice` are the probabilities of none, and of each passage, that it tells with its first word.
    """

    replies: list[str]
    choice: tuple[float, ...] = ()
    _given: list[list[BaseMessage]] = PrivateAttr(default_factory=list)
    _closed: list[bool] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    @property
    def given(self) -> list[list[BaseMessage]]:
        return self._given

    @property
    def closed_early(self) -> list[bool]:
        """For each call, whether the stream was closed before its end."""
        return self._closed

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        self._given.append(messages)
        self._closed.append(True)
        at = len(self._closed) - 1
        reply = self.replies[min(len(self._given), len(self.replies)) - 1]
        for n, word in enumerate(reply.split(" ")):
            told = {"choice": self.choice} if self.choice else {}
            yield ChatGenerationChunk(message=AIMessageChunk(content=" " * bool(n) + word, response_metadata=told))
        self._closed[at] = False

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        text = "".join(str(c.message.content) for c in self._stream(messages, stop, run_manager, **kwargs))
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content=text))])
