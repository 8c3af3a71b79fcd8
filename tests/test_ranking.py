"""The cross-encoder: its arithmetic against torch, its text, and its errors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from assistant import weights
from assistant.errors import ModelError
from assistant.minilm import Transformer, read_tokenizer, read_weights
from assistant.ranking import CLOSE, CLS, COLON, OPEN, SEP, PairEncoding, Ranker
from assistant.records import Hit
from tests.making import parsed

_, PASSAGES = parsed()
HITS = tuple(Hit(p, 1.0, 0.5, 0.5, 0.0) for p in PASSAGES)


@pytest.fixture(scope="module")
def folder() -> Path:
    return weights.bundled(weights.EMBEDDER).path.parent


@pytest.fixture(scope="module")
def ranker(folder: Path) -> Ranker:
    return Ranker(folder, weights.adapter("ranker"))


def test_nothing_is_loaded_before_its_first_use() -> None:
    nowhere = Ranker(Path("no such folder"), Path("no such file"))
    assert nowhere.log_odds("What?", "", (), PASSAGES) == []
    with pytest.raises(ModelError, match="cannot load the ranking adapter"):
        nowhere.log_odds("What?", "", HITS[:1], PASSAGES)


@pytest.mark.model
def test_a_passage_that_leans_is_read_with_the_sentence_before(folder: Path) -> None:
    encoding = PairEncoding(read_tokenizer(folder))
    plain = next(p for p in PASSAGES if p.plain.startswith("Reefing makes"))
    leaning = next(p for p in PASSAGES if p.plain.startswith("It protects"))
    assert OPEN not in encoding.passage(plain, PASSAGES) and COLON in encoding.passage(plain, PASSAGES)
    pieces = encoding.passage(leaning, PASSAGES)
    before = encoding._pieces(plain.plain)
    assert pieces[pieces.index(OPEN) + 1 : pieces.index(CLOSE)] == before
    assert OPEN in encoding.question("And that?", "What is a hull?") and OPEN not in encoding.question("What?", "")


@pytest.mark.model
def test_the_word_pieces_are_those_of_the_vocabulary(folder: Path) -> None:
    tokenizer = read_tokenizer(folder)
    told = [tokenizer.token_to_id(t) for t in ("[CLS]", "[SEP]", ":", "(", ")")]
    assert told == [CLS, SEP, COLON, OPEN, CLOSE]


@pytest.mark.model
def test_two_segments_side_by_side_give_the_vectors_of_torch(folder: Path) -> None:
    import torch
    from transformers import BertModel

    texts, seconds = [[101, 2054, 2003, 102, 1037, 6403, 102], [101, 2054, 102, 3274, 102]], [4, 3]
    found = Transformer(read_weights(folder / "model.safetensors")).run(texts, seconds)
    model = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()  # type: ignore[no-untyped-call]
    for ids, second, vectors in zip(texts, seconds, found, strict=True):
        segments = torch.tensor([[int(n >= second) for n in range(len(ids))]])
        with torch.no_grad():
            expected = model(input_ids=torch.tensor([ids]), token_type_ids=segments).last_hidden_state[0]
        assert np.abs(vectors - expected.numpy()).max() < 2e-4


@pytest.mark.model
def test_the_passage_that_answers_is_the_surest(ranker: Ranker) -> None:
    for question, begin in {
        "Which part of a boat floats in the water?": "A hull",
        "How quickly does the XR7 kit work?": "The XR7",
        "Where on a sail is the leech?": "Leech",
    }.items():
        odds = ranker.log_odds(question, "", HITS, PASSAGES)
        assert PASSAGES[int(np.argmax(odds))].plain.startswith(begin), question


@pytest.mark.model
def test_a_passage_counts_the_same_whatever_it_is_read_beside(ranker: Ranker) -> None:
    together = ranker.log_odds("What is a hull?", "", HITS, PASSAGES)
    alone = [ranker.log_odds("What is a hull?", "", [hit], PASSAGES)[0] for hit in HITS]
    assert together == pytest.approx(alone, abs=1e-3)
    with ThreadPoolExecutor(4) as threads:
        again = list(threads.map(lambda _: ranker.log_odds("What is a hull?", "", HITS, PASSAGES), range(4)))
    assert all(odds == pytest.approx(together, abs=1e-3) for odds in again)


@pytest.mark.model
def test_a_damaged_adapter_is_one_clear_error(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "ranker.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="ranker.safetensors"):
        Ranker(folder, tmp_path / "ranker.safetensors").warm()
