"""The adapters are trained on a small sample by the commands of the model card, and what they write can be used."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from assistant import weights
from assistant.embedding import MiniLM
from assistant.llm import LlamaChat
from assistant.ranking import Ranker
from assistant.reader import Reader
from assistant.records import Hit
from assistant.training import data
from assistant.training.__main__ import main
from tests.making import parsed

pytestmark = pytest.mark.model


def test_every_question_of_the_training_texts_has_its_passages() -> None:
    for folder, least in ((data.TEXTS, 5000), (data.CALIBRATION, 600)):
        lessons = data.written(folder)
        examples = [e for lesson in lessons for e in lesson.examples]
        assert len(examples) >= least
        assert all(bool(e.gold) != e.kind.startswith("unanswerable") for e in examples)
        assert all(max(e.gold, default=0) < len(lesson.passages) for lesson in lessons for e in lesson.examples)


def test_no_training_question_is_a_question_of_the_test_sets() -> None:
    def folded(path: Path) -> set[str]:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line]
        return {data._folded(line.split('"question": "')[1].split('", "')[0]) for line in lines if '"question"' in line}

    sets = Path(__file__).parent / "questions"
    asked = set().union(
        *(folded(sets / f"{n}.jsonl") for n in ("given", "tuning", "earlier", "held_out", "cloud_native"))
    )
    trained = {data._folded(e.question) for lesson in data.written() for e in lesson.examples if len(e.question) > 25}
    kept_apart = [lesson for lesson in data.written(data.CALIBRATION) if lesson.own]
    assert kept_apart and not trained & {data._folded(e.question) for lesson in kept_apart for e in lesson.examples}
    small_talk = {data._folded(line) for line in data.SMALL_TALK.read_text(encoding="utf-8").splitlines()}
    assert not {q for q in asked if len(q) > 20} & trained and not asked & small_talk


def test_a_misspelt_text_is_another_one_of_about_the_same_length() -> None:
    rng = random.Random(0)
    text = "Which compression techniques reduce the number of weights?"
    assert all(abs(len(data.misspelt(text, rng)) - len(text)) <= 4 for _ in range(50))
    assert len({data.misspelt(text, rng) for _ in range(50)}) > 20


def test_a_ranker_trained_on_a_sample_can_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("peft", reason="the extra `train` is not installed")
    assert main(["ranker", "--texts", "1", "--steps", "2", "--out", str(tmp_path)]) == 0
    assert "unseen: first passage right" in capsys.readouterr().out
    _, passages = parsed()
    hits = [Hit(p, 1.0, 0.5, 0.5, 0.0) for p in passages]
    folder = weights.bundled(weights.EMBEDDER).path.parent
    made = Ranker(folder, tmp_path / "ranker.safetensors").log_odds("What is a hull?", "", hits, passages)
    shipped = Ranker(folder, weights.adapter("ranker")).log_odds("What is a hull?", "", hits, passages)
    assert len(made) == len(hits) and made != shipped
    assert [p.name for p in tmp_path.iterdir()] == ["ranker.safetensors"]


def test_training_of_the_ranker_goes_on_from_the_shipped_one(tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="the extra `train` is not installed")
    shipped = weights.adapter("ranker")
    assert main(["ranker", "--texts", "1", "--steps", "0", "--start", str(shipped), "--out", str(tmp_path)]) == 0
    assert (tmp_path / "ranker.safetensors").read_bytes() == shipped.read_bytes()


def test_a_query_adapter_trained_on_a_sample_can_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("peft", reason="the extra `train` is not installed")
    assert main(["query", "--texts", "1", "--minutes", "0.05", "--out", str(tmp_path)]) == 0
    assert "unseen: all: nearest right" in capsys.readouterr().out
    folder = weights.bundled(weights.EMBEDDER).path.parent
    made = MiniLM(folder, tmp_path / "query.safetensors").embed_query("What is a hull?")
    assert made != MiniLM(folder, weights.adapter("query")).embed_query("What is a hull?")
    assert made != MiniLM(folder).embed_query("What is a hull?")
    assert [p.name for p in tmp_path.iterdir()] == ["query.safetensors"]


def test_training_of_the_query_adapter_goes_on_from_the_shipped_one(tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="the extra `train` is not installed")
    shipped = weights.adapter("query")
    options = ["--texts", "1", "--minutes", "0", "--start", str(shipped), "--keep", "1"]
    assert main(["query", *options, "--out", str(tmp_path)]) == 0
    assert (tmp_path / "query.safetensors").read_bytes() == shipped.read_bytes()


def test_the_vector_that_is_learnt_from_is_the_one_that_retrieval_uses() -> None:
    pytest.importorskip("peft", reason="the extra `train` is not installed")
    from assistant.training import adapters, query

    encoder, shipped = query.Encoder(), weights.adapter("query")
    adapters.resume(encoder, shipped)
    texts = ["What is a hull?", "and the other one", "Which of them weighs less, and why would anyone care?"]
    used = MiniLM(weights.bundled(weights.EMBEDDER).path.parent, shipped)
    for text, vector in zip(texts, encoder(texts).tolist(), strict=True):
        assert (
            sum(a * b for a, b in zip(vector, used.embed_query(text), strict=True)) > 0.999
        )  # bfloat16 beside float32


def test_the_loss_of_a_question_is_less_the_nearer_it_is_to_what_answers() -> None:
    torch = pytest.importorskip("torch")
    from assistant.training import query

    far, near = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[2.0, 1.0, 0.0]])
    assert query.loss_of(near, [(0,)]) < query.loss_of(far, [(0,)])
    assert query.loss_of(near, [(0, 1, 2)]) == pytest.approx(0, abs=1e-6)  # whatever is named answers


@pytest.mark.parametrize("adapter", ["query", "ranker", "reader"])
def test_training_cannot_go_on_from_another_file(
    adapter: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("peft", reason="the extra `train` is not installed")
    (tmp_path / "other").write_bytes(b"no adapter of any kind")
    for start in (
        tmp_path / "other",
        tmp_path / "missing",
        weights.adapter("ranker" if adapter == "reader" else "reader"),
    ):
        options = [
            "--texts",
            "1",
            "--steps",
            "0",
            "--minutes",
            "0",
            "--start",
            str(start),
            "--out",
            str(tmp_path / "out"),
        ]
        assert main([adapter, *options]) == 1
        assert "expected an adapter" in capsys.readouterr().err
    assert [*(tmp_path / "out").iterdir()] == []


def test_strangers_are_questions_that_nothing_in_a_lesson_answers() -> None:
    known = data.written()
    lessons = [*known[:40], *[lesson for lesson in known if lesson.own][-2:]]
    mixed = data.with_strangers(lessons, seed=1)
    small_talk = set(data.SMALL_TALK.read_text(encoding="utf-8").splitlines())
    for lesson, more in zip(lessons, mixed, strict=True):
        strangers = more.examples[len(lesson.examples) :]
        assert more.examples[: len(lesson.examples)] == lesson.examples and len(strangers) == max(
            data.STRANGERS, len(lesson.examples) // data.STRANGE
        )
        assert not any(s.answerable for s in strangers) and any(s.question in small_talk for s in strangers)
        own = {e.question for e in lesson.examples}
        assert not own & {s.question for s in strangers}
        assert not lesson.own or all(s.question in small_talk for s in strangers)
    assert data.with_strangers(lessons, seed=1) == mixed != data.with_strangers(lessons, seed=2)


def test_a_shelf_holds_all_texts_of_a_family_and_its_questions_keep_their_passages() -> None:
    lessons = [lesson for lesson in data.written() if lesson.own or lesson.name.startswith("ea-")]
    found = data.shelved(lessons, seed=1)
    shelf = found[-1]
    assert [lesson.name for lesson in found] == [*(lesson.name for lesson in lessons), "ea"]
    assert len(shelf.passages) == sum(len(lesson.passages) for lesson in lessons if not lesson.own)
    assert [p.id for p in shelf.passages] == list(range(len(shelf.passages)))
    assert all(a.block <= b.block for a, b in zip(shelf.passages, shelf.passages[1:], strict=False))

    def asked(lessons: list[data.Lesson]) -> list[tuple[str, frozenset[str]]]:
        return sorted(
            (e.question, frozenset(lesson.passages[n].plain for n in e.gold))
            for lesson in lessons
            for e in lesson.examples
        )

    assert asked(found) == asked(lessons)
    assert 0.3 < len(shelf.examples) / sum(len(lesson.examples) for lesson in lessons if not lesson.own) < 0.7
    assert all(after.examples == before.examples for before, after in zip(lessons, found, strict=False) if before.own)


def test_a_reading_lesson_tells_no_answer_that_it_does_not_show() -> None:
    reader = pytest.importorskip("assistant.training.reader", reason="the extra `train` is not installed")
    lessons = data.written()[:6]
    rng = random.Random(0)
    scores = {le.name: np.random.default_rng(1).random((len(le.examples), len(le.passages))) for le in lessons}
    feed = reader.contexts(lessons, scores, rng)
    removed = 0
    for _, (lesson, shown, asked) in zip(range(200), feed, strict=False):
        assert shown == sorted(set(shown)) and 1 <= len(shown) <= 9
        for example, numbers in asked:
            assert {shown[n - 1] for n in numbers} == example.gold & set(shown)
            removed += bool(example.gold and not numbers)
        assert {e.kind for e, n in asked if n}.isdisjoint({"unanswerable_near", "unanswerable_far"}), lesson.name
    assert removed > 50  # the harder half of the lesson: the text answers, what is shown does not


def test_questions_that_share_a_context_are_read_as_if_each_stood_alone() -> None:
    pytest.importorskip("peft", reason="the extra `train` is not installed")
    import torch

    from assistant.training import reader

    lesson = data.written()[0]
    model, tokenizer = reader.load()

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    digits = [encode(str(n))[0] for n in range(10)]
    asked: list[reader.Asked] = [(example, []) for example in lesson.examples[:4]]
    shown = [0, 1, 2, 3]
    with torch.no_grad():
        together = reader.choices(model, reader.pack(encode, lesson, shown, asked, Unmoved()), digits)
        for n, pair in enumerate(asked):
            alone = reader.choices(model, reader.pack(encode, lesson, shown, [pair], Unmoved()), digits)
            assert alone.shape == (1, 5)
            assert torch.allclose(together[n].exp(), alone[0].exp(), atol=0.05), pair[0].query  # bfloat16


class Unmoved(random.Random):
    """Chance that never strikes."""

    def random(self) -> float:
        """Return a number that no share is above."""
        return 1.0


def test_a_reader_trained_on_a_sample_can_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("peft", reason="the extra `train` is not installed")
    assert main(["reader", "--texts", "1", "--minutes", "0.05", "--out", str(tmp_path)]) == 0
    assert "unseen: first sentence" in capsys.readouterr().out
    path = weights.bundled(weights.LANGUAGE_MODEL).path
    _, passages = parsed()
    bare, made = (
        Reader(LlamaChat(path=path, lora_path=lora), trained=True).read("What is a hull?", passages[:4]).choice
        for lora in (None, tmp_path / "reader.gguf")
    )
    assert len(made) == 5 and sum(made) == pytest.approx(1, abs=1e-4) and made != bare
    assert [p.name for p in tmp_path.iterdir()] == ["reader.gguf"]


def test_training_of_the_reader_goes_on_from_the_shipped_one(tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="the extra `train` is not installed")
    from assistant.training.export import read_gguf

    shipped = weights.adapter("reader")
    assert main(["reader", "--texts", "1", "--minutes", "0", "--start", str(shipped), "--out", str(tmp_path)]) == 0
    before, after = read_gguf(shipped), read_gguf(tmp_path / "reader.gguf")
    assert before.keys() == after.keys() and all((before[name] == after[name]).all() for name in before)


def test_the_rate_and_the_share_to_keep_reach_the_reader(tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="the extra `train` is not installed")
    from assistant.training.export import read_gguf

    shipped = weights.adapter("reader")
    changes = []
    for rate, keep in (("1e-12", "0"), ("1e-3", "0"), ("1e-3", "1")):
        options = ["--texts", "1", "--minutes", "0.01", "--start", str(shipped), "--rate", rate, "--keep", keep]
        assert main(["reader", *options, "--out", str(tmp_path / "out")]) == 0
        before, after = read_gguf(shipped), read_gguf(tmp_path / "out" / "reader.gguf")
        changes.append(max(float(np.abs(after[name] - before[name]).max()) for name in before))
    assert changes[0] < 1e-6 < changes[1] and changes[2] == 0
