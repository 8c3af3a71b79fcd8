"""MiniLM's forward pass in numpy: the vectors of sentence-transformers, without its seconds of import.

A question is one short text, and importing torch and sentence-transformers takes longer than everything else
that answering it needs. Corpora are embedded by sentence-transformers; a test holds the two
equal, as long as no adapter changes the weights here.
Source of the architecture: Devlin et al. 2019, BERT; Wang et al. 2020, MiniLM.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

HEADS = 12
MOST_TOKENS = 256
EPSILON = 1e-12
SCALE = 2.0  # what the low-rank changes of an adapter are multiplied by

Array = np.ndarray[Any, np.dtype[np.float32]]


class Transformer:
    """Token ids → the last layer's vectors, 384 float32 numbers a token. Safe to share between threads."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        """Take the tensors under their names in `model.safetensors`; 90 MB. Raises KeyError for other tensors."""
        self._layers = sum(name.endswith("attention.self.query.weight") for name in weights)
        self._weights = {
            name: np.ascontiguousarray(w.T) if ".layer." in name and w.ndim == 2 else w for name, w in weights.items()
        }
        for name in ("word", "position", "token_type"):
            self._weights[f"embeddings.{name}_embeddings.weight"]

    def run(self, texts: Sequence[Sequence[int]], second: Sequence[int] | None = None) -> list[Array]:
        """Return for each text its vectors, tokens × 384.

        `second` holds for each text where its second segment begins; without it there is one segment.
        The texts stand in one array without padding: only the attention goes text by text.
        """
        w = self._weights
        bounds = np.concatenate([[0], np.cumsum([len(text) for text in texts])])
        ids = np.concatenate([np.asarray(text, dtype=np.int64) for text in texts])
        places = np.concatenate([np.arange(len(text)) for text in texts])
        begins = second or [len(text) for text in texts]
        segments = np.concatenate([np.arange(len(t)) >= b for t, b in zip(texts, begins, strict=True)]).astype(int)
        hidden = w["embeddings.word_embeddings.weight"][ids]
        hidden = hidden + w["embeddings.position_embeddings.weight"][places]
        hidden = hidden + w["embeddings.token_type_embeddings.weight"][segments]
        hidden = self._norm(hidden, "embeddings.LayerNorm")
        spans = [slice(int(a), int(b)) for a, b in pairwise(bounds)]
        for n in range(self._layers):
            hidden = self._layer(hidden, f"encoder.layer.{n}", spans)
        return [hidden[span] for span in spans]

    def _layer(self, hidden: Array, name: str, spans: Sequence[slice]) -> Array:
        query, key, value = (
            self._linear(hidden, f"{name}.attention.self.{part}") for part in ("query", "key", "value")
        )
        attended = np.empty_like(hidden)
        for span in spans:
            attended[span] = _attention(query[span], key[span], value[span])
        hidden = self._norm(
            hidden + self._linear(attended, f"{name}.attention.output.dense"), f"{name}.attention.output.LayerNorm"
        )
        inner = _gelu(self._linear(hidden, f"{name}.intermediate.dense"))
        return self._norm(hidden + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _linear(self, x: Array, name: str) -> Array:
        made: Array = x @ self._weights[f"{name}.weight"]
        made += self._weights[f"{name}.bias"]
        return made

    def _norm(self, x: Array, name: str) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        centred /= np.sqrt(np.square(centred).mean(-1, keepdims=True) + EPSILON)
        return np.asarray(centred * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"], dtype=np.float32)


def _attention(query: Array, key: Array, value: Array) -> Array:
    heads = [part.reshape(len(part), HEADS, -1).swapaxes(0, 1) for part in (query, key, value)]
    scores = heads[0] @ heads[1].swapaxes(1, 2)
    scores *= np.float32(1 / np.sqrt(heads[0].shape[2]))
    scores -= scores.max(2, keepdims=True)
    shares = np.exp(scores)
    shares /= shares.sum(2, keepdims=True)
    return np.asarray((shares @ heads[2]).swapaxes(0, 1).reshape(len(query), -1), dtype=np.float32)


def _gelu(x: Array) -> Array:
    """X · Φ(x), with the error function to 1.5e-7. Source: Abramowitz and Stegun 1964, 7.1.26."""
    z = np.abs(x)
    z *= np.float32(1 / np.sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * z)
    tail = np.float32(1.061405429) * t
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        tail += np.float32(factor)
        tail *= t
    tail *= np.exp(-np.square(z))
    return np.asarray(x * np.float32(0.5) * (1 + np.copysign(1 - tail, x)), dtype=np.float32)


def read_weights(file: Path) -> dict[str, Array]:
    """Return the tensors of a safetensors file as float32. Raises OSError or ValueError."""
    return {name: np.asarray(tensor, dtype=np.float32) for name, tensor in load_file(file).items()}


def adapted(weights: Mapping[str, Array], changes: Mapping[str, Array]) -> dict[str, Array]:
    """Return the tensors with an adapter's low-rank changes added: W + 2 · B · A. Raises KeyError for other tensors."""
    found = dict(weights)
    for name in [k.removesuffix(".lora_b") for k in changes if k.endswith(".lora_b")]:
        change = SCALE * changes[f"{name}.lora_b"] @ changes[f"{name}.lora_a"]
        found[name] = np.asarray(weights[name] + change, dtype=np.float32)
    return found


def read_tokenizer(folder: Path) -> Tokenizer:
    """Return the tokenizer in the model's folder, which neither cuts nor pads. Raises OSError or ValueError."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


class QueryEncoder:
    """One text → 384 float32 numbers of unit length. Holds 90 MB of weights; safe to share between threads."""

    def __init__(self, folder: Path, adapter: Path | None = None) -> None:
        """Read `model.safetensors` and `tokenizer.json` in the model's folder, and an adapter for it.

        Raises OSError, ValueError or KeyError.
        """
        weights = read_weights(folder / "model.safetensors")
        self._transformer = Transformer(adapted(weights, read_weights(adapter)) if adapter else weights)
        self._tokenizer = read_tokenizer(folder)
        self._tokenizer.enable_truncation(MOST_TOKENS)

    def encode(self, text: str) -> Array:
        """Return the mean of the last layer's vectors, scaled to unit length."""
        mean = self._transformer.run([self._tokenizer.encode(text).ids])[0].mean(0)
        return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)
