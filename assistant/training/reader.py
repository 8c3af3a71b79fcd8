"""Trains the reader: a LoRA adapter that teaches the language model to judge whether any of a few sentences answers.

Many questions share one context: each attends to the context and to itself alone (a block mask), so that the
context is computed once and every question sees just what it will see when it is asked. The reply is one
number in brackets, and the loss is that of the number alone. Source of the method: Hu et al. 2021, LoRA.
Weights are dequantized from the GGUF that ships, so the adapter fits what it runs on.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from assistant import weights
from assistant.chunking import contextual
from assistant.errors import EvaluationError
from assistant.prompt import READER, context
from assistant.training.data import OWN, Example, Lesson, misspelt
from assistant.training.export import read_gguf, write_gguf

RANK, ALPHA, RATE = 16, 32, 1e-3  # llama.cpp is a sixth faster with 16 than with 12: its kernels want multiples of 8
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
MOST_TOKENS = 800
MOST_QUESTIONS = 24
FEWEST_SHOWN, MOST_SHOWN = 3, 8
REMOVED = 0.35  # share of the questions whose answer is taken out of the context that is built for them
SQUAD = 0.4  # how often a SQuAD question is drawn, beside one written for this project
LOOKED_AT = 30  # contexts never trained on, to see how training goes
Asked = tuple[Example, list[int]]


@dataclass(frozen=True)
class Sequenced:
    """One packed sequence: ids, positions and the segment (0: context) of each of n tokens.

    `due` tells for each question the token after which the number is due, and the right numbers (0: none);
    `shown` is how many passages there are.
    """

    ids: list[int]
    positions: list[int]
    segments: list[int]
    due: list[tuple[int, frozenset[int]]]
    shown: int


def contexts(
    lessons: Sequence[Lesson], scores: dict[str, np.ndarray[Any, Any]], rng: random.Random
) -> Iterator[tuple[Lesson, list[int], list[Asked]]]:
    """Yield, for ever, (lesson, passages shown, [(example, its gold numbers; empty for none)]).

    Each context is made for one question, with the passages that resemble it most. Where the question's answer
    is left out, what remains is just what retrieval would bring if the text did not hold the answer.
    """
    anchors = [(lesson, i) for lesson in lessons for i in range(len(lesson.examples))]
    weight = [
        OWN if lesson.own else SQUAD if lesson.examples[i].kind.startswith("squad") else 1.0 for lesson, i in anchors
    ]
    while True:
        lesson, i = rng.choices(anchors, weight)[0]
        anchor, most = lesson.examples[i], rng.randint(FEWEST_SHOWN, MOST_SHOWN)
        ranked = [int(n) for n in np.argsort(-scores[lesson.name][i]) if int(n) not in anchor.gold]
        kept = rng.sample(sorted(anchor.gold), min(len(anchor.gold), most)) if rng.random() > REMOVED else []
        shown = sorted([*kept, *ranked[: max(1, most - len(kept))]][:9])
        place = {n: k for k, n in enumerate(shown, 1)}
        yes: list[tuple[float, Asked]] = []
        no: list[tuple[float, Asked]] = []
        for k, example in enumerate(lesson.examples):
            inside = [place[n] for n in sorted(example.gold & place.keys())]
            near = float(scores[lesson.name][k][shown].max()) + 0.15 * rng.random() + 9 * (example is anchor)
            if len(inside) > len(example.gold) / 2 or (inside and example.kind == "list"):
                yes.append((near, (example, inside)))
            elif not inside:
                no.append((near + (0.0 if example.gold else 0.15), (example, [])))
        most_yes = max(2, min(len(yes), MOST_QUESTIONS * 3 // 5))
        most_no = max(3, round(most_yes * 0.8))
        asked = [
            pair
            for found, most in ((yes, most_yes), (no, most_no))
            for _, pair in sorted(found, key=lambda f: -f[0])[:most]
        ]
        rng.shuffle(asked)
        yield lesson, shown, asked


def pack(
    encode: Callable[[str], list[int]], lesson: Lesson, shown: Sequence[int], asked: Sequence[Asked],
    rng: random.Random,
) -> Sequenced:  # fmt: skip
    """Return one sequence: the context, then each question with its reply, positions as if it stood alone."""
    passages = [lesson.passages[n] for n in shown]
    ids = encode(f"<|im_start|>system\n{READER}<|im_end|>\n<|im_start|>user\n{context(passages)}")
    start = len(ids)
    positions, segments = list(range(start)), [0] * start
    due: list[tuple[int, frozenset[int]]] = []
    for k, (example, numbers) in enumerate(asked, 1):
        query = misspelt(example.query, rng) if rng.random() < 0.08 else example.query
        query = query.lower() if rng.random() < 0.08 else query
        own = encode(f"\n\nQuestion: {' '.join(query.split())}<|im_end|>\n<|im_start|>assistant\n[")
        if due and len(ids) + len(own) > MOST_TOKENS:
            break
        ids += own
        positions += range(start, start + len(own))
        segments += [k] * len(own)
        due.append((len(ids) - 1, frozenset(numbers or [0])))
    return Sequenced(ids, positions, segments, due, len(shown))


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


def choices(model: Any, packed: Sequenced, digits: Sequence[int]) -> torch.Tensor:
    """Return for each question (rows) the log probabilities of none, [1], [2] … [n], as `llm` reads them."""
    base = model.base_model.model
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = base.model(
            input_ids=torch.tensor([packed.ids]),
            attention_mask=block_mask(packed.segments),
            position_ids=torch.tensor([packed.positions]),
            use_cache=False,
        ).last_hidden_state[0]
    rows = base.lm_head.weight[list(digits[: packed.shown + 1])].float()
    logits = hidden[[at for at, _ in packed.due]].float() @ rows.T
    found: torch.Tensor = logits.log_softmax(-1)
    return found


def loss_of(model: Any, packed: Sequenced, digits: Sequence[int]) -> torch.Tensor:
    """Return the mean cross-entropy of naming any right number."""
    found = choices(model, packed, digits)
    return -torch.stack(
        [row[sorted(right)].logsumexp(-1) for row, (_, right) in zip(found, packed.due, strict=True)]
    ).mean()


def train(
    lessons: Sequence[Lesson], look: Sequence[Lesson], embed: Callable[[list[str]], list[list[float]]], seconds: float,
    out: Path, say: Callable[[str], None], seed: int = 0, start: Path | None = None, rate: float = RATE,
    keep: float = 0.0,
) -> Path:  # fmt: skip
    """Train for `seconds`, say how it goes on lessons never trained on, and write the adapter to `out`.

    With `start`, training goes on from an earlier adapter; `keep` is its share in the mean of both that is written.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    earlier = read_gguf(start) if start is not None else None
    model, tokenizer = load()
    if earlier is not None:
        resume(model, earlier)

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    digits = [encode(str(n))[0] for n in range(10)]
    feed, held = contexts(lessons, relatedness(lessons, embed), rng), _held(look, embed, encode, seed)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01)
    if earlier is not None:
        say(looked(model, held, digits))
    model.train()
    started, step, seen, losses = time.time(), 0, 0, []
    while (passed := time.time() - started) < seconds:
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 20) * max(0.02, 1 - passed / seconds)
        for _ in range(2):
            packed = pack(encode, *next(feed), rng)
            loss = loss_of(model, packed, digits) / 2
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(2 * loss.item())
            seen += len(packed.due)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        if step % 25 == 0:
            say(f"{passed:.0f} s, step {step}, {seen} questions, loss {np.mean(losses[-50:]):.3f}")
        if step % 200 == 0:
            say(looked(model, held, digits))
            save(model, out)
    if earlier is not None and keep:
        resume(model, earlier, keep)
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
    return [pack(encode, *found, rng) for found, _ in zip(feed, range(LOOKED_AT), strict=False)]


@torch.no_grad()
def looked(model: Any, held: Sequence[Sequenced], digits: Sequence[int]) -> str:
    """Return in words how well the model chooses on contexts that it was never trained on."""
    model.eval()
    found = [
        (row.exp(), right)
        for packed in held
        for row, (_, right) in zip(choices(model, packed, digits), packed.due, strict=True)
    ]
    model.train()
    yes = [(p, right) for p, right in found if 0 not in right]
    chosen = sum(int(p[1:].argmax()) + 1 in right for p, right in yes)
    none = [1 - float(p[0]) for p, right in found if 0 in right]
    some = [1 - float(p[0]) for p, _ in yes]
    area = np.mean([(a > b) + 0.5 * (a == b) for a in some for b in none]) if some and none else float("nan")
    decided = sum((float(p[0]) > 0.5) == (0 in right) for p, right in found)
    return f"  unseen: first sentence {chosen}/{len(yes)}, none or some {decided}/{len(found)}, AUC {area:.3f}"


def save(model: Any, out: Path) -> Path:
    """Write the adapter as a GGUF, whole or not at all."""
    write_gguf({k: v.detach() for k, v in model.state_dict().items() if "lora_" in k}, ALPHA, out)
    return out


def resume(model: Any, earlier: Mapping[str, np.ndarray[Any, Any]], keep: float = 1.0) -> None:
    """Give the model's adapter the values of an earlier one of the same rank, or so large a share of them.

    Raises EvaluationError.
    """
    for key, parameter in model.named_parameters():
        if "lora_" in key:
            known = earlier.get(key.removeprefix("base_model.model.model.").removesuffix(".default.weight"))
            if known is None or known.shape != tuple(parameter.shape):
                raise EvaluationError(f"the start does not fit; expected an adapter of rank {RANK} for every layer")
            parameter.data.lerp_(torch.from_numpy(known).to(parameter.dtype), keep)
