from __future__ import annotations

import json
import math
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from assistant import weights
from assistant.chunking import contextual
from assistant.embedding import BATCH, MiniLM
from assistant.errors import ModelError
from assistant.training import data

TEXTS = [
    "Quantization stores the weights of a model in fewer bits.",
    "What is pruning?",
    "",
    "🚤 Où est la coque du bateau ?",
    "K-Quants › Q4_K_M: four bits a weight, in blocks.",
    "word " * 2000,  # longer than the model reads
]


@pytest.fixture(scope="module")
def folder() -> Path:
    return weights.bundled(weights.EMBEDDER).path.parent


@pytest.fixture(scope="module")
def minilm(folder: Path) -> MiniLM:
    return MiniLM(folder)


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True)) / math.hypot(*one) / math.hypot(*other)


# without the model


def test_nothing_is_loaded_before_its_first_use() -> None:
    MiniLM(Path("no such folder"))


def test_english_is_the_whole_words_of_the_vocabulary(tmp_path: Path) -> None:
    vocabulary = {word: n for n, word in enumerate(["[CLS]", "hull", "##ing", "mast", "of", "a", "42", "x7y", "été"])}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}}), encoding="utf-8")
    assert MiniLM(tmp_path).english() == {"hull", "mast", "été"}


@pytest.mark.parametrize("text", [None, "{", "{}"])
def test_a_vocabulary_that_cannot_be_read_is_an_error(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(ModelError) as caught:
        MiniLM(tmp_path).english()
    assert str(tmp_path) in str(caught.value)


# a folder without a model in it


def _truncated(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").write_bytes(whole[:5000])


def _missing(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _tokenizer_broken(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").write_text("{")


@pytest.fixture(params=[_missing, _truncated, _tokenizer_broken], ids=lambda damage: str(damage.__name__))
def broken(request: pytest.FixtureRequest, folder: Path, tmp_path: Path) -> Path:
    copy = Path(shutil.copytree(folder, tmp_path / "model", copy_function=lambda a, b: Path(b).symlink_to(a)))
    request.param(copy)
    return copy


def test_a_question_cannot_be_embedded_by_a_broken_model(broken: Path) -> None:
    with pytest.raises(ModelError) as caught:
        MiniLM(broken).embed_query("What is pruning?")
    assert str(broken) in str(caught.value)


@pytest.mark.model
def test_a_corpus_cannot_be_embedded_by_a_broken_model(broken: Path) -> None:
    with pytest.raises(ModelError) as caught:
        MiniLM(broken).embed_documents(["Pruning removes weights."])
    assert str(broken) in str(caught.value)


# with it


@pytest.mark.model
def test_vectors_have_384_numbers_and_unit_length(minilm: MiniLM) -> None:
    for vector in [*minilm.embed_documents(TEXTS), *map(minilm.embed_query, TEXTS)]:
        assert len(vector) == 384 and all(type(x) is float for x in vector)
        assert math.hypot(*vector) == pytest.approx(1, abs=1e-5)


@pytest.mark.model
def test_a_text_has_the_same_vector_alone_in_a_batch_and_as_a_question(minilm: MiniLM) -> None:
    together = minilm.embed_documents(TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
        assert minilm.embed_documents([text])[0] == pytest.approx(vector, abs=1e-5)
        assert minilm.embed_query(text) == pytest.approx(vector, abs=1e-5)


@pytest.mark.model
def test_vectors_come_in_the_order_of_their_texts_across_batches(minilm: MiniLM) -> None:
    texts = [f"Boat {n}" + " sails" * (n % 3) for n in range(BATCH + 3)]  # they are sorted by length inside
    vectors = minilm.embed_documents(texts)
    assert len(vectors) == len(texts)
    for n in (0, 5, BATCH - 1, BATCH, BATCH + 2):
        assert minilm.embed_query(texts[n]) == pytest.approx(vectors[n], abs=1e-5)


@pytest.mark.model
def test_no_texts_have_no_vectors(minilm: MiniLM) -> None:
    assert minilm.embed_documents([]) == []


@pytest.mark.model
@pytest.mark.parametrize(
    ("question", "near", "far"),
    [
        ("How can a model be made smaller?", "Pruning removes weights.", "The bakery opens at seven."),
        ("Which part of a boat is in the water?", "A hull floats.", "Quantization stores weights in fewer bits."),
        ("car", "automobile", "carpet"),
        ("Who wrote it?", "The author of the book is unknown.", "It weighs two kilograms."),
    ],
)
def test_related_texts_are_nearer_than_others(minilm: MiniLM, question: str, near: str, far: str) -> None:
    asked = minilm.embed_query(question)
    related, other = minilm.embed_documents([near, far])
    assert cosine(asked, related) > cosine(asked, other) + 0.1


@pytest.mark.model
def test_the_adapter_brings_questions_nearer_to_what_answers_in_texts_that_it_never_saw(folder: Path) -> None:
    texts = [text for text in data.written(data.CALIBRATION) if not text.own][::4]
    found = {}
    for name, embedder in (("bare", MiniLM(folder)), ("adapted", MiniLM(folder, weights.adapter("query")))):
        found[name] = 0
        for text in texts:
            passages = np.array(embedder.embed_documents([contextual(p) for p in text.passages]))
            for example in text.examples:
                nearest = int((passages @ np.array(embedder.embed_query(example.query))).argmax())
                found[name] += nearest in example.gold
    assert found["adapted"] > found["bare"] * 1.02


@pytest.mark.model
def test_the_adapter_changes_questions_alone(folder: Path, minilm: MiniLM) -> None:
    adapted = MiniLM(folder, weights.adapter("query"))
    assert adapted.embed_documents(TEXTS) == minilm.embed_documents(TEXTS)
    question = adapted.embed_query(TEXTS[1])
    assert math.hypot(*question) == pytest.approx(1, abs=1e-5) and cosine(question, minilm.embed_query(TEXTS[1])) < 0.99


@pytest.mark.model
@pytest.mark.parametrize("damage", [b"", b"{", b"no adapter"])
def test_a_broken_adapter_is_named(folder: Path, tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "query.safetensors").write_bytes(damage)
    with pytest.raises(ModelError) as caught:
        MiniLM(folder, tmp_path / "query.safetensors").embed_query("What is pruning?")
    assert str(tmp_path / "query.safetensors") in str(caught.value)


@pytest.mark.model
def test_threads_that_share_a_model_agree(folder: Path) -> None:
    fresh = MiniLM(folder)  # so that they also meet while it is being loaded
    texts = TEXTS[:3]
    with ThreadPoolExecutor(2) as pool:
        batches = list(pool.map(fresh.embed_documents, [texts] * 2))
        questions = list(pool.map(fresh.embed_query, texts * 2))
    for n, question in enumerate(questions):
        for batch in batches:
            assert question == pytest.approx(batch[n % 3], abs=1e-5)


@pytest.mark.model
def test_loading_writes_nothing_on_the_terminal(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    MiniLM(folder).warm()
    shown = capfd.readouterr()
    assert (shown.out, shown.err) == ("", "")


@pytest.mark.model
def test_the_real_vocabulary_holds_common_words_spelt_right(minilm: MiniLM) -> None:
    english = minilm.english()
    assert 20_000 < len(english) < 25_000
    assert {"model", "water", "quantum"} <= english and not {"modle", "watr", "of"} & english
