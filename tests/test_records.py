from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest

from assistant import records
from assistant.records import Answer, Block, Corpus, Document, Passage, Sentence, Turn, layout

CLASSES = [c for _, c in inspect.getmembers(records, dataclasses.is_dataclass) if c.__module__ == records.__name__]


def passage(**changes: Any) -> Passage:
    values: dict[str, Any] = {
        "id": 0, "file": "a.md", "start": 4, "end": 9, "text": "hull.", "plain": "hull.", "path": ("Boats",),
        "labels": (), "section": 0, "block": 0, "group": None, "kind": "sentence",
    }  # fmt: skip
    return Passage(**(values | changes))


def said(text: str, *citations: int, item: bool = False) -> Sentence:
    return Sentence(text, "model", citations, item)


@pytest.mark.parametrize("kind", CLASSES)
def test_records_cannot_be_changed_and_hold_nothing_that_can(kind: type[Any]) -> None:
    assert kind.__dataclass_params__.frozen
    types = " ".join(str(f.type) for f in dataclasses.fields(kind))
    assert not any(name in types for name in ("list[", "dict[", "set["))


def test_records_of_equal_values_are_equal_and_can_be_kept_in_sets() -> None:
    assert len({passage(), passage(), passage(id=1)}) == 2
    assert Answer("q") == Answer("q") != Answer("q", complete=True)


@pytest.mark.parametrize("start, end", [(3, 3), (4, 3), (-1, 2)])
def test_a_block_is_never_empty_or_before_the_text(start: int, end: int) -> None:
    with pytest.raises(ValueError, match=f"{start}, {end}"):
        Block("paragraph", start, end)


@pytest.mark.parametrize("changes", [{"end": 8}, {"end": 10}, {"text": ""}, {"text": "", "end": 4}])
def test_a_passage_is_as_long_as_its_offsets_say(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="passage 0"):
        passage(**changes)


@pytest.mark.parametrize("role", ["system", "", "User"])
def test_a_turn_is_of_the_user_or_the_assistant(role: str) -> None:
    with pytest.raises(ValueError, match="'user' or 'assistant'"):
        Turn(role, "Hello")  # type: ignore[arg-type]


def test_a_corpus_gives_the_text_of_each_of_its_files() -> None:
    corpus = Corpus((Document("a.md", "one", ()), Document("b/a.md", "two", ())), "digest")
    assert (corpus.text("a.md"), corpus.text("b/a.md")) == ("one", "two")
    with pytest.raises(KeyError, match="c.md"):
        corpus.text("c.md")


@pytest.mark.parametrize(
    "path, labels, heading",
    [
        ((), (), ""),
        (("A",), (), "A"),
        (("A", "B", "C"), (), "B › C"),
        (("A", "B"), ("L",), "B › L"),
        (("A",), ("L", "M"), "L › M"),
    ],
)
def test_a_passage_is_headed_by_its_innermost_two_names(
    path: tuple[str, ...], labels: tuple[str, ...], heading: str
) -> None:
    assert passage(path=path, labels=labels).heading == heading


@pytest.mark.parametrize(
    "sentences, marked, bare",
    [
        ((), "", ""),
        ((said("A.", 1),), "A. [1]", "A."),
        ((said("A.", 1, 3), said("B.")), "A. [1][3] B.", "A. B."),
        ((said("a", 1, item=True), said("b", 2, item=True)), "- a [1]\n- b [2]", "- a\n- b"),
        ((said("A:", 1), said("b", 2, item=True), said("C.", 3)), "A: [1]\n- b [2]\n\nC. [3]", "A:\n- b\n\nC."),
    ],
)
def test_sentences_run_on_and_items_stand_on_lines_of_their_own(
    sentences: tuple[Sentence, ...], marked: str, bare: str
) -> None:
    assert layout(sentences, marks=True) == marked
    assert layout(sentences, marks=False) == bare
    assert Answer("q", sentences).text == bare


def test_an_abstention_says_its_reason() -> None:
    assert Answer("q", abstained=True, reason="The glossary does not say.").text == "The glossary does not say."
    assert Answer("q").text == ""


def test_a_printed_answer_does_not_spill_the_passages_considered() -> None:
    hit = records.Hit(passage(), 1.0, 1.0, 1.0, 1.0)
    assert "Passage" not in repr(Answer("q", hits=(hit,)))
