from __future__ import annotations

from pathlib import Path

import pytest

from assistant.records import Turn
from assistant.retrieval import HybridRetriever, leans, points_back, standalone
from tests.making import assistant


@pytest.fixture
def retriever(tmp_path: Path) -> HybridRetriever:
    made, _ = assistant(tmp_path, [""])
    return made.parts.retriever


def test_hits_are_ordered_bounded_and_of_the_passages(retriever: HybridRetriever) -> None:
    hits = retriever.hits("What protects the mast in strong wind?")
    scores = [h.score for h in hits]
    assert scores == sorted(scores, reverse=True) and len({h.passage.id for h in hits}) == len(hits)
    for h in hits:
        assert -1.001 <= h.dense <= 1.001 and -1.001 <= h.context <= 1.001 and 0 <= h.lexical <= 1
        assert retriever.passages[h.passage.id] is h.passage
    assert max(h.lexical for h in hits) == pytest.approx(1.0)


def test_a_pronoun_sentence_is_found_by_its_heading(retriever: HybridRetriever) -> None:
    assert "protects the mast" in [h.passage.plain for h in retriever.hits("reefing mast")][0]


def test_a_tag_is_found_by_its_letters(retriever: HybridRetriever) -> None:
    assert retriever.hits("xr7")[0].passage.plain.startswith("The XR7 kit")


def test_what_was_told_counts_for_less(retriever: HybridRetriever) -> None:
    told = "Reefing makes a sail smaller in strong wind."
    again = retriever.hits("reefing makes a sail smaller", told)
    plain = retriever.hits("reefing makes a sail smaller")
    before = next(h.score for h in plain if h.passage.plain == told)
    after = next(h.score for h in again if h.passage.plain == told)
    assert after < before - 0.3


def test_it_is_a_langchain_retriever(retriever: HybridRetriever) -> None:
    documents = retriever.invoke("hull")
    assert documents[0].page_content.startswith("A hull")
    assert documents[0].metadata["section"] == "Boats › Hulls"
    assert documents[0].metadata["end"] > documents[0].metadata["start"]


def test_nothing_to_search_for_is_no_failure(retriever: HybridRetriever) -> None:
    assert retriever.hits("the of and ?!")
    assert retriever.hits("日本語 🙂")


HISTORY = (Turn("user", "What is reefing?"), Turn("assistant", "Reefing makes a sail smaller."))


@pytest.mark.parametrize(
    "question", ["And the larger one?", "Why is it done?", "what about hulls", "how long?", "which?"]
)
def test_leaning_questions_get_the_turn_before(question: str) -> None:
    assert leans(question)
    assert standalone(question, HISTORY) == f"What is reefing? Reefing makes a sail smaller. {question}"


def test_what_is_there_points_at_nothing() -> None:
    assert points_back("Which of them are there?") and points_back("and sails?")
    assert not points_back("Which sails are there?") and not points_back("What is a hull?")


@pytest.mark.parametrize(
    "question", ["How many crew members do boats of 40 feet need?", "Does quantization reduce memory usage?"]
)
def test_a_question_that_stands_alone_is_left_alone(question: str) -> None:
    assert standalone(question, HISTORY) == question


def test_without_history_nothing_is_added() -> None:
    assert standalone("And it?", ()) == "And it?"
