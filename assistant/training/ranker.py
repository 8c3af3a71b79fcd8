"""Trains the ranker: low-rank changes to MiniLM that make it read a question and a passage together.

The passages of an example are what the assistant's own retrieval finds for its question, so that the ranker learns
to tell apart what it will be shown. `none` has the score 0: the loss is the cross-entropy of the passages that
answer, or of none, and the binary one of each passage. Source of the method: Hu et al. 2021, LoRA.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from assistant import weights
from assistant.embedding import MiniLM
from assistant.evaluation.trials import MemoryIndex
from assistant.minilm import read_tokenizer
from assistant.ranking import CLS, SEP, PairEncoding
from assistant.records import Corpus, Hit
from assistant.retrieval import HybridRetriever, standalone
from assistant.spelling import Speller
from assistant.training.adapters import minilm, resume, save, trained
from assistant.training.data import OWN, Example, Lesson, misspelt

RANK, ALPHA, RATE = 32, 64, 8e-4
POOL = 24  # hits of a question that its passages are drawn from
SHOWN = 8  # passages of a question in a step
BATCH = 6  # questions in a step
EACH = 0.3  # weight of the binary cross-entropy of each passage
REMOVED = 0.2  # share of the answerable questions whose passages are left out, so that none answers
NONE, SQUAD = 1.6, 0.8  # how often unanswerable questions, and those of SQuAD, are drawn beside others


@dataclass(frozen=True)
class Shown:
    """An example as retrieval prepares it: the repaired question, the turns it leans on, its hits."""

    lesson: Lesson
    example: Example
    question: str
    earlier: str
    hits: tuple[Hit, ...]


def retrieved(lesson: Lesson, embedder: MiniLM) -> list[Shown]:
    """Return the lesson's examples with what the assistant's retrieval finds for them."""
    speller = Speller.of(lesson.passages, embedder.english())
    asked = [(example, speller.repair(example.question)) for example in lesson.examples]
    queries = [standalone(question, example.history) for example, question in asked]
    retriever = HybridRetriever(
        index=MemoryIndex(Corpus((), ""), lesson.passages, embedder),
        passages=lesson.passages,
        embeddings=embedder,
        k=POOL,
    )
    found = []
    for (example, question), query in zip(asked, queries, strict=True):
        leans = query != question
        told = example.history[-1].content if leans and example.history[-1].role == "assistant" else ""
        earlier = query.removesuffix(question).strip() if leans else ""
        found.append(Shown(lesson, example, question, earlier, retriever.hits(query, told)))
    return found


@dataclass(frozen=True)
class Group:
    """A question with passages: word pieces, fused retrieval scores, and which passages answer."""

    question: list[int]
    passages: list[list[int]]
    fused: list[float]
    answers: list[bool]


def group(shown: Shown, encoding: PairEncoding, rng: random.Random | None, most: int = SHOWN) -> Group:
    """Return what one example is trained on, or, without `rng`, its best `most` hits."""
    gold, question = shown.example.gold, shown.question
    hits = list(shown.hits)
    if rng is None:
        hits = hits[:most]
    else:
        if gold and rng.random() < REMOVED:
            hits, gold = [h for h in hits if h.passage.id not in gold], frozenset()
        yes = [h for h in hits if h.passage.id in gold]
        yes = rng.sample(yes, min(len(yes), SHOWN // 2))
        no = [h for h in hits if h.passage.id not in gold][: SHOWN - len(yes) + 3]
        hits = yes + rng.sample(no, min(len(no), SHOWN - len(yes)))
        question = misspelt(question, rng) if rng.random() < 0.06 else question
        question = question.lower().rstrip("?") if rng.random() < 0.1 else question
    return Group(
        encoding.question(question, shown.earlier),
        [encoding.passage(h.passage, shown.lesson.passages) for h in hits],
        [h.score for h in hits],
        [h.passage.id in gold for h in hits],
    )


class Network(torch.nn.Module):
    """MiniLM with the adapter, and on it the score of a pair: see `ranking.Ranker.log_odds`."""

    def __init__(self) -> None:
        """Load MiniLM's weights, which stay as they are, and begin with the score of the bare embedder."""
        super().__init__()
        self.model = minilm(RANK, ALPHA)
        self.cls = torch.nn.Linear(384, 1)
        torch.nn.init.zeros_(self.cls.weight)
        torch.nn.init.constant_(self.cls.bias, -5.0)
        self.mixed = torch.nn.Parameter(torch.tensor([3.0, 6.0]))

    def forward(self, groups: Sequence[Group]) -> tuple[torch.Tensor, ...]:
        """Return for each group the log odds of its passages."""
        pairs = [(g.question, p, f) for g in groups for p, f in zip(g.passages, g.fused, strict=True)]
        order = sorted(range(len(pairs)), key=lambda n: len(pairs[n][0]) + len(pairs[n][1]))
        third = -(-len(order) // 3)  # pairs of like length go together: padding costs as much as words
        parts = [order[n : n + third] for n in range(0, len(order), third)]
        scores = torch.cat([self._scores([pairs[n] for n in part]) for part in parts])
        back = torch.empty(len(order), dtype=torch.long)
        back[torch.tensor(order)] = torch.arange(len(order))
        return tuple(torch.split(scores[back], [len(g.passages) for g in groups]))

    def _scores(self, pairs: Sequence[tuple[list[int], list[int], float]]) -> torch.Tensor:
        width = max(len(q) + len(p) + 3 for q, p, _ in pairs)
        ids, segment, seen = (torch.zeros(len(pairs), width, dtype=torch.long) for _ in range(3))
        for row, (question, passage, _) in enumerate(pairs):
            pieces = [CLS, *question, SEP, *passage, SEP]
            ids[row, : len(pieces)] = torch.tensor(pieces)
            segment[row, len(question) + 2 : len(pieces)] = 1
            seen[row, : len(pieces)] = 1
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = self.model(input_ids=ids, token_type_ids=segment, attention_mask=seen).last_hidden_state
        hidden = hidden.float()
        means = [(hidden * m[..., None]).sum(1) / m.sum(1)[:, None] for m in ((1 - segment) * seen, segment * seen)]
        cosine = torch.nn.functional.cosine_similarity(*means)
        fused = torch.tensor([f for *_, f in pairs])
        return torch.as_tensor(self.cls(hidden[:, 0])[:, 0] + self.mixed[0] * fused + self.mixed[1] * cosine)


def loss_of(scores: torch.Tensor, answers: Sequence[bool]) -> torch.Tensor:
    """Return the loss of one question: that of choosing among its passages and none, and that of each passage."""
    right = torch.tensor([not any(answers), *answers])
    options = torch.cat([torch.zeros(1), scores])
    choosing = torch.logsumexp(options, 0) - torch.logsumexp(options[right], 0)
    each = torch.nn.functional.binary_cross_entropy_with_logits(scores, right[1:].float(), reduction="sum")
    return choosing + EACH * each


def batches(shown: Sequence[Shown], encoding: PairEncoding, rng: random.Random) -> Iterator[list[Group]]:
    """Yield groups for ever, those of like length together."""
    drawn = [_drawn(s.example) * (OWN if s.lesson.own else 1.0) for s in shown]
    while True:
        groups = [group(s, encoding, rng) for s in rng.choices(shown, drawn, k=BATCH * 48)]
        groups = sorted((g for g in groups if g.passages), key=lambda g: len(g.question) + max(map(len, g.passages)))
        made = [groups[n : n + BATCH] for n in range(0, len(groups), BATCH)]
        rng.shuffle(made)
        yield from made


def _drawn(example: Example) -> float:
    return SQUAD if example.kind.startswith("squad") else 1.0 if example.answerable else NONE


def train(
    lessons: Sequence[Lesson], look: Sequence[Lesson], steps: int, out: Path, say: Callable[[str], None],
    seed: int = 0, start: Path | None = None, rate: float = RATE, keep: float = 0.0,
) -> Path:  # fmt: skip
    """Train for so many steps, say how it goes on lessons never trained on, and write the adapter to `out`.

    With `start`, training goes on from an earlier adapter, and what is written at the end is the mean of both:
    `keep` is the share of the earlier one. Such a mean is often better than either (Wortsman et al. 2022,
    Model soups).
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    folder = weights.bundled(weights.EMBEDDER).path.parent
    embedder, encoding = MiniLM(folder, weights.adapter("query")), PairEncoding(read_tokenizer(folder))
    shown = [s for lesson in lessons for s in retrieved(lesson, embedder)]
    held = [s for lesson in look for s in retrieved(lesson, embedder)]
    network = Network()
    if start is not None:
        resume(network, start)
    parameters = [p for _, p in trained(network)]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01)
    feed, started, losses = batches(shown, encoding, rng), time.time(), []
    for step in range(1, steps + 1):
        for settings in optimizer.param_groups:
            settings["lr"] = rate * min(1.0, step / 50) * max(0.02, 1 - step / steps)
        groups = next(feed)
        found = [loss_of(s, g.answers) for s, g in zip(network(groups), groups, strict=True)]
        loss = torch.stack(found).mean()
        loss.backward()
        losses.append(loss.item())
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0:
            say(f"{time.time() - started:.0f} s, step {step} of {steps}, loss {np.mean(losses[-50:]):.3f}")
        if held and step % 500 == 0:
            say(looked(network, held, encoding))
            save(network, out)
    if start is not None and keep:
        resume(network, start, keep)
    if held and steps:
        say(looked(network, held, encoding))
    return save(network, out)


@torch.no_grad()
def looked(network: Network, held: Sequence[Shown], encoding: PairEncoding) -> str:
    """Return in words how well the network ranks on lessons that it was never trained on."""
    yes: list[float] = []
    no: list[float] = []
    first = retrieval = 0
    for at in range(0, len(held), BATCH):
        some = held[at : at + BATCH]
        for s, scores in zip(some, network([group(s, encoding, None, 12) for s in some]), strict=True):
            (yes if s.example.gold else no).append(float(scores.max()))
            if s.example.gold:
                first += s.hits[int(scores.argmax())].passage.id in s.example.gold
                retrieval += s.hits[0].passage.id in s.example.gold
    area = np.mean([(a > b) + 0.5 * (a == b) for a in yes for b in no]) if yes and no else float("nan")
    return f"  unseen: first passage right {first}/{len(yes)} (retrieval {retrieval}), answerable AUC {area:.3f}"
