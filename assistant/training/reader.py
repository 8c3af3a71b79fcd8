"""Trains the reader: a LoRA adapter that teaches the language model to name the sentences that answer, and to answer.

Many questions share one context: each attends to the context and to itself alone (a block mask), so that the
context is computed once and every question sees just what it will see when it is asked. Source of the method:
Hu et al. 2021, LoRA. Weights are dequantized from the GGUF that ships, so the adapter fits what it runs on.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from assistant import weights
from assistant.chunking import contextual
from assistant.prompt import READER, context
from assistant.training.data import Example, Lesson, misspelt

RANK, ALPHA, RATE = 12, 24, 1e-3
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
MOST_TOKENS = 1500
MOST_QUESTIONS = 16
IGNORED = -100


@dataclass(frozen=True)
class Sequenced:
    """One packed sequence: ids, labels, positions and the segment (0: context) of each of n tokens."""

    ids: list[int]
    labels: list[int]
    positions: list[int]
    segments: list[int]


def target(example: Example, numbers: Sequence[int]) -> tuple[str, bool]:
    """Return what the model is to reply, and whether it then ends; `numbers` count the gold in the context from 1.

    Where the answer lists one item for each sentence, only the line above the list is written: the items
    are quoted by number. Of a SQuAD question only the choice is taught, since no answer was written for it.
    """
    if not numbers:
        return "[0]", True
    named = "".join(f"[{n}]" for n in sorted(numbers))
    if not example.reference:
        return named, False
    lines = example.reference.split("\n")
    items = [line for line in lines[1:] if line.startswith("- ")]
    if items and len(items) == len(lines) - 1 and len(numbers) >= len(items):
        return f"{named} {lines[0]}", True
    return f"{named} {example.reference}", True


def contexts(
    lessons: Sequence[Lesson], scores: dict[str, np.ndarray[Any, Any]], rng: random.Random
) -> Iterator[tuple[Lesson, list[int], list[tuple[Example, list[int]]]]]:
    """Yield, for ever, (lesson, passages shown, [(example, its gold numbers; empty for none)])."""
    anchors = [(lesson, i) for lesson in lessons for i in range(len(lesson.examples))]
    weight = [
        1.0 if lesson.examples[i].reference or not lesson.examples[i].kind.startswith("squad") else 0.2
        for lesson, i in anchors
    ]
    while True:
        lesson, i = rng.choices(anchors, weight)[0]
        anchor, most = lesson.examples[i], rng.randint(4, 8)
        ranked = [int(n) for n in np.argsort(-scores[lesson.name][i])]
        gold = sorted(anchor.gold)
        if len(gold) > 8:
            continue
        forced = gold if rng.random() < 0.9 else []
        shown = sorted([*forced, *[n for n in ranked if n not in forced][: max(1, most - len(forced))]][:9])
        place = {n: k for k, n in enumerate(shown, 1)}
        yes, no = [], []
        for k, example in enumerate(lesson.examples):
            inside = example.gold & set(shown)
            if example.gold and inside == example.gold:
                yes.append((example, [place[n] for n in sorted(inside)]))
            elif not inside:
                near = float(scores[lesson.name][k][shown].max())
                no.append((near + rng.random() * 0.15 + (0.15 if not example.gold else 0.0), example))
        rng.shuffle(yes)
        yes.sort(key=lambda pair: pair[0] is not anchor)
        yes = yes[: MOST_QUESTIONS * 2 // 3]
        no.sort(key=lambda pair: -pair[0])
        asked = yes + [(example, []) for _, example in no[: max(2, len(yes) // 2)]]
        rng.shuffle(asked)
        yield lesson, shown, asked


def pack(
    encode: Callable[[str], list[int]], lesson: Lesson, shown: Sequence[int],
    asked: Sequence[tuple[Example, list[int]]], rng: random.Random,
) -> Sequenced:  # fmt: skip
    """Return one sequence: the context, then each question with its reply, positions as if it stood alone."""
    passages = [lesson.passages[n] for n in shown]
    ids = encode(f"<|im_start|>system\n{READER}<|im_end|>\n<|im_start|>user\n{context(passages)}")
    start = len(ids)
    labels, positions, segments = [IGNORED] * start, list(range(start)), [0] * start
    for k, (example, numbers) in enumerate(asked, 1):
        query = misspelt(example.query, rng) if rng.random() < 0.08 else example.query
        query = query.lower() if rng.random() < 0.08 else query
        reply, ends = target(example, numbers)
        before = encode(f"\n\nQuestion: {' '.join(query.split())}<|im_end|>\n<|im_start|>assistant\n")
        after = encode(reply + ("<|im_end|>" if ends else ""))
        if len(ids) + len(before) + len(after) > MOST_TOKENS:
            break
        ids += before + after
        labels += [IGNORED] * len(before) + after
        positions += range(start, start + len(before) + len(after))
        segments += [k] * (len(before) + len(after))
    return Sequenced(ids, labels, positions, segments)


def block_mask(segments: Sequence[int]) -> torch.Tensor:
    """Return the additive mask, 1 × 1 × n × n: a token sees the context and its own segment, never ahead."""
    segment = torch.tensor(segments)
    n = len(segments)
    seen = (segment[:, None] == segment[None]) | (segment[None] == 0)
    seen &= torch.arange(n)[:, None] >= torch.arange(n)[None]
    return torch.zeros(n, n, dtype=torch.bfloat16).masked_fill(~seen, torch.finfo(torch.bfloat16).min)[None, None]


def relatedness(
    lessons: Sequence[Lesson], embed: Callable[[list[str]], list[list[float]]]
) -> dict[str, np.ndarray[Any, Any]]:
    """Return for each lesson the cosines of its questions (rows) to its passages (columns)."""
    found = {}
    for lesson in lessons:
        passages = np.array(embed([contextual(p) for p in lesson.passages]))
        found[lesson.name] = np.array(embed([e.query for e in lesson.examples])) @ passages.T
    return found


def load() -> tuple[Any, Any]:
    """Return (model with a fresh adapter, tokenizer), weights dequantized from the bundled GGUF."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = weights.bundled(weights.LANGUAGE_MODEL).path
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    model = model.to(torch.bfloat16)
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=list(TARGETS))
    model = get_peft_model(model, config)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model, tokenizer


def loss_of(model: Any, packed: Sequenced) -> torch.Tensor:
    """Return the mean cross-entropy over the reply tokens; the output layer is computed only where they are."""
    base = model.base_model.model
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = base.model(
            input_ids=torch.tensor([packed.ids]),
            attention_mask=block_mask(packed.segments),
            position_ids=torch.tensor([packed.positions]),
            use_cache=False,
        ).last_hidden_state[0]
        labels = torch.tensor(packed.labels)
        at = (labels[1:] != IGNORED).nonzero()[:, 0]
        logits = base.lm_head(hidden[at])
    return torch.nn.functional.cross_entropy(logits.float(), labels[1:][at])


@torch.no_grad()
def choice(model: Any, packed: Sequenced, digits: Sequence[int]) -> list[tuple[np.ndarray[Any, Any], int]]:
    """Return for each question (probabilities of [0] … [9] as the first number, the gold number)."""
    base = model.base_model.model
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = base.model(
            input_ids=torch.tensor([packed.ids]), attention_mask=block_mask(packed.segments),
            position_ids=torch.tensor([packed.positions]), use_cache=False,
        ).last_hidden_state[0]  # fmt: skip
        firsts = [
            i for i in range(1, len(packed.ids)) if packed.labels[i] != IGNORED and packed.labels[i - 1] == IGNORED
        ]
        logits = base.lm_head(hidden[firsts]).float()[:, list(digits)]
    return [(row.softmax(-1).numpy(), digits.index(packed.ids[i + 1])) for row, i in zip(logits, firsts, strict=True)]


def train(
    lessons: Sequence[Lesson], look: Sequence[Lesson], embed: Callable[[list[str]], list[list[float]]], seconds: float,
    out: Path, say: Callable[[str], None], seed: int = 0,
    start: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train for `seconds`, say how it goes on lessons never trained on, and write the adapter's tensors to `out`."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    model, tokenizer = load()
    if start is not None:
        model.load_state_dict(torch.load(start, weights_only=True), strict=False)

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    digits = [encode(str(n))[0] for n in range(10)]
    feed, held = contexts(lessons, relatedness(lessons, embed), rng), _held(look, embed, encode, seed)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.01)
    model.train()
    started, step, seen, losses = time.time(), 0, 0, []
    while (passed := time.time() - started) < seconds:
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 20) * max(0.02, 1 - passed / seconds)
        for _ in range(2):
            packed = pack(encode, *next(feed), rng)
            loss = loss_of(model, packed) / 2
            loss.backward()
            losses.append(2 * loss.item())
            seen += max(packed.segments)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        if step % 25 == 0:
            say(f"{passed:.0f} s, step {step}, {seen} questions, loss {np.mean(losses[-50:]):.3f}")
        if step % 150 == 0:
            say(looked(model, held, digits))
            save(model, out)
    say(looked(model, held, digits))
    return save(model, out)


def _held(
    look: Sequence[Lesson],
    embed: Callable[[list[str]], list[list[float]]],
    encode: Callable[[str], list[int]],
    seed: int,
) -> list[Sequenced]:
    rng = random.Random(seed + 1)
    feed = contexts(look, relatedness(look, embed), rng) if look else iter(())
    return [pack(encode, *found, rng) for found, _ in zip(feed, range(40), strict=False)]


def looked(model: Any, held: Sequence[Sequenced], digits: Sequence[int]) -> str:
    """Return in words how well the model chooses on contexts that it was never trained on."""
    model.eval()
    found = [pair for packed in held for pair in choice(model, packed, digits)]
    model.train()
    yes = [(p, gold) for p, gold in found if gold]
    right = sum(int(p[1:].argmax()) + 1 == gold for p, gold in yes)
    none = [1 - p[0] for p, gold in found if not gold]
    some = [1 - p[0] for p, _ in yes]
    area = np.mean([(a > b) + 0.5 * (a == b) for a in some for b in none]) if some and none else float("nan")
    decided = sum((p[0] < 0.5) == bool(gold) for p, gold in found)
    return f"  unseen: first sentence {right}/{len(yes)}, none or some {decided}/{len(found)}, AUC {area:.3f}"


def save(model: Any, out: Path) -> dict[str, Any]:
    """Write the adapter's tensors as a torch file, whole or not at all, and return them."""
    tensors = {k: v.detach().float().clone() for k, v in model.state_dict().items() if "lora_" in k}
    part = out.with_suffix(".part")
    torch.save(tensors, part)
    part.replace(out)
    return tensors
