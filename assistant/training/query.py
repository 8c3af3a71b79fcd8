"""Trains the query adapter: low-rank changes to MiniLM that bring a question nearer to the sentences that answer it.

Only questions go through it. The vectors of passages stay those of the bare embedder and are computed once, so a
step can compare its questions with all passages of a family of texts, and an index does not depend on the adapter.
The loss is the cross-entropy of the passages that answer. Source of the method: Hu et al. 2021, LoRA; Karpukhin
et al. 2020, Dense Passage Retrieval.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from assistant import weights
from assistant.chunking import block_text, contextual
from assistant.minilm import read_tokenizer
from assistant.retrieval import CONTEXT_WEIGHT
from assistant.training.adapters import minilm, resume, save, trained
from assistant.training.data import OWN, Lesson, family

RANK, ALPHA, RATE = 16, 32, 6e-4
ALIKE = 48  # questions of one family that are compared with its passages together
FAMILIES = 4  # families in a step
SHARP = 20.0  # what cosines are multiplied by before the softmax
LOWERED = 0.08  # share of the questions that are shown in lower case
MOST_TOKENS = 96
FOUND = 12  # passages that the ranker is shown


@dataclass(frozen=True)
class Shelf:
    """All passages of a family of texts as vectors (passages × 384), and questions with the numbers that answer."""

    vectors: torch.Tensor
    questions: tuple[tuple[str, tuple[int, ...]], ...]


class Encoder(torch.nn.Module):
    """MiniLM with the adapter: texts → vectors of 384 numbers of unit length."""

    def __init__(self) -> None:
        """Load MiniLM's weights, which stay as they are; at first the vectors are those of the bare embedder."""
        super().__init__()
        self.model = minilm(RANK, ALPHA)
        self._tokenizer = read_tokenizer(weights.bundled(weights.EMBEDDER).path.parent)
        self._tokenizer.enable_truncation(MOST_TOKENS)

    def forward(self, texts: Sequence[str]) -> torch.Tensor:
        """Return one vector for each text, texts × 384."""
        ids = [self._tokenizer.encode(text).ids for text in texts]
        order = sorted(range(len(ids)), key=lambda n: len(ids[n]))  # those of like length go together
        found = []
        for at in range(0, len(order), 64):
            part = [ids[n] for n in order[at : at + 64]]
            shown, seen = (torch.zeros(len(part), max(map(len, part)), dtype=torch.long) for _ in range(2))
            for row, pieces in enumerate(part):
                shown[row, : len(pieces)] = torch.tensor(pieces)
                seen[row, : len(pieces)] = 1
            with torch.autocast("cpu", dtype=torch.bfloat16):
                hidden = self.model(input_ids=shown, attention_mask=seen).last_hidden_state
            mean = (hidden.float() * seen[..., None]).sum(1) / seen.sum(1)[:, None]
            found.append(torch.nn.functional.normalize(mean, dim=1))
        back = torch.empty(len(order), dtype=torch.long)
        back[torch.tensor(order)] = torch.arange(len(order))
        return torch.cat(found)[back]


def shelves(
    lessons: Sequence[Lesson], embed: Callable[[list[str]], list[list[float]]], together: bool = False
) -> dict[str, Shelf]:
    """Return a shelf for each family of lessons that has answerable questions, or one for all but the glossary.

    A passage's vector is its own and that of its block, weighed as retrieval weighs them.
    """
    families: dict[str, list[Lesson]] = {}
    for lesson in lessons:
        name = "glossary" if lesson.own else "all" if together else family(lesson)
        families.setdefault(name, []).append(lesson)
    found = {}
    for name, members in families.items():
        vectors, questions, at = [], [], 0
        for lesson in members[:1] if name == "glossary" else members:  # those of the glossary are one text
            vectors.append(_vectors(lesson, embed))
        for lesson in members:
            questions += [(e.query, tuple(at + n for n in sorted(e.gold))) for e in lesson.examples if e.gold]
            at += 0 if name == "glossary" else len(lesson.passages)
        if questions:
            found[name] = Shelf(torch.from_numpy(np.concatenate(vectors)), tuple(questions))
    return found


def _vectors(lesson: Lesson, embed: Callable[[list[str]], list[list[float]]]) -> np.ndarray:  # type: ignore[type-arg]
    own = np.array(embed([contextual(p) for p in lesson.passages]), dtype=np.float32)
    members: dict[int, list[int]] = {}
    for n, passage in enumerate(lesson.passages):
        members.setdefault(passage.block, []).append(n)
    blocks = [block for block, numbers in members.items() if len(numbers) > 1]
    around = own.copy()
    for block, vector in zip(blocks, embed([block_text(lesson.passages, b) for b in blocks]), strict=True):
        around[members[block]] = vector
    return own + np.float32(CONTEXT_WEIGHT) * around


def loss_of(scores: torch.Tensor, answers: Sequence[tuple[int, ...]]) -> torch.Tensor:
    """Return the mean cross-entropy of the passages that answer; `scores` are questions × passages."""
    right = torch.zeros_like(scores, dtype=torch.bool)
    for row, numbers in enumerate(answers):
        right[row, list(numbers)] = True
    return (torch.logsumexp(scores, 1) - torch.logsumexp(scores.masked_fill(~right, -1e9), 1)).mean()


def train(
    lessons: Sequence[Lesson], look: Sequence[Lesson], embed: Callable[[list[str]], list[list[float]]],
    seconds: float, out: Path, say: Callable[[str], None], seed: int = 0, start: Path | None = None,
    rate: float = RATE, keep: float = 0.0,
) -> Path:  # fmt: skip
    """Train for so many seconds, say how it goes on lessons never trained on, and write the adapter to `out`.

    With `start`, training goes on from an earlier adapter, of which the one written keeps the share `keep`.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    known, held = shelves(lessons, embed), shelves(look, embed, together=True)
    names = list(known)
    drawn = list(itertools.accumulate(len(s.questions) * (OWN if n == "glossary" else 1.0) for n, s in known.items()))
    encoder = Encoder()
    if start is not None:
        resume(encoder, start)
    parameters = [p for _, p in trained(encoder)]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01)
    say(looked(encoder, held))
    started, step, losses = time.time(), 0, []
    while (passed := time.time() - started) < seconds:
        for settings in optimizer.param_groups:
            settings["lr"] = rate * min(1.0, (step + 1) / 20) * max(0.02, 1 - passed / seconds)
        for name in rng.choices(names, cum_weights=drawn, k=FAMILIES):
            shelf = known[name]
            some = rng.sample(shelf.questions, min(len(shelf.questions), ALIKE))
            texts = [query.lower() if rng.random() < LOWERED else query for query, _ in some]
            loss = loss_of(SHARP * encoder(texts) @ shelf.vectors.T, [answers for _, answers in some])
            (loss / FAMILIES).backward()
            losses.append(loss.item())
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        if step % 20 == 0:
            say(f"{passed:.0f} s, step {step}, loss {np.mean(losses[-20 * FAMILIES :]):.3f}")
        if step % 100 == 0:
            say(looked(encoder, held))
            save(encoder, out)
    if start is not None and keep:
        resume(encoder, start, keep)
    say(looked(encoder, held))
    return save(encoder, out)


@torch.no_grad()
def looked(encoder: Encoder, held: dict[str, Shelf]) -> str:
    """Return in words how often a passage that answers is the nearest, or among those the ranker is shown."""
    said = []
    for name, shelf in held.items():
        nearest = (encoder([q for q, _ in shelf.questions]) @ shelf.vectors.T).argsort(1, descending=True)[:, :FOUND]
        ranks = [
            [n in answers for n in row] for row, (_, answers) in zip(nearest.tolist(), shelf.questions, strict=True)
        ]
        first, some = sum(row[0] for row in ranks), sum(any(row) for row in ranks)
        said.append(f"{name}: nearest right {first}/{len(ranks)}, among {FOUND} {some}")
    return f"  unseen: {'; '.join(said)}" if said else "  nothing to look at"
