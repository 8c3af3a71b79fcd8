"""MiniLM's forward pass in numpy: the same vectors as sentence-transformers, without its seconds of import.

A question is one short text, and importing torch and sentence-transformers takes longer than everything else
that answering it needs. Corpora are embedded by sentence-transformers; a test holds the two equal.
Source of the architecture: Devlin et al. 2019, BERT; Wang et al. 2020, MiniLM.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

HEADS = 12
MOST_TOKENS = 256
EPSILON = 1e-12

Array = np.ndarray[Any, np.dtype[np.float32]]


class QueryEncoder:
    """One text → 384 float32 numbers of unit length. Holds 90 MB of weights; safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        """Read `model.safetensors` and `tokenizer.json` in the model's folder. Raises OSError or ValueError."""
        self._weights: dict[str, Array] = load_file(folder / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(MOST_TOKENS)
        self._tokenizer.no_padding()
        self._layers = sum(name.endswith("attention.self.query.weight") for name in self._weights)

    def encode(self, text: str) -> Array:
        """Return the mean of the last layer's vectors, scaled to unit length."""
        ids = self._tokenizer.encode(text).ids
        w = self._weights
        hidden = w["embeddings.word_embeddings.weight"][ids]
        hidden = hidden + w["embeddings.position_embeddings.weight"][: len(ids)]
        hidden = hidden + w["embeddings.token_type_embeddings.weight"][0]
        hidden = self._norm(hidden, "embeddings.LayerNorm")
        for n in range(self._layers):
            hidden = self._layer(hidden, f"encoder.layer.{n}")
        mean = hidden.mean(0)
        return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)

    def _layer(self, hidden: Array, name: str) -> Array:
        heads = [
            self._linear(hidden, f"{name}.attention.self.{part}").reshape(len(hidden), HEADS, -1).swapaxes(0, 1)
            for part in ("query", "key", "value")
        ]
        scores = heads[0] @ heads[1].swapaxes(1, 2) / np.sqrt(heads[0].shape[2])
        shares = np.exp(scores - scores.max(2, keepdims=True))
        shares /= shares.sum(2, keepdims=True)
        attended = (shares @ heads[2]).swapaxes(0, 1).reshape(len(hidden), -1)
        hidden = self._norm(
            hidden + self._linear(attended, f"{name}.attention.output.dense"), f"{name}.attention.output.LayerNorm"
        )
        inner = _gelu(self._linear(hidden, f"{name}.intermediate.dense"))
        return self._norm(hidden + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _linear(self, x: Array, name: str) -> Array:
        return np.asarray(x @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"], dtype=np.float32)

    def _norm(self, x: Array, name: str) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON)
        return np.asarray(scaled * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"], dtype=np.float32)


def _gelu(x: Array) -> Array:
    """X · Φ(x), with the error function to 1.5e-7. Source: Abramowitz and Stegun 1964, 7.1.26."""
    z = np.abs(x) / np.float32(np.sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * z)
    tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.sign(x) * (1 - tail * np.exp(-z * z))
    return np.asarray(x * 0.5 * (1 + erf), dtype=np.float32)
