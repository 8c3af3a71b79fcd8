from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from assistant.errors import StoreError
from assistant.evaluation import questions
from assistant.records import Answer, Citation, Sentence, Turn
from ui import feedback
from ui.store import ConversationStore

ANSWER = Answer(
    "What is a hull?",
    (Sentence("A hull floats.", "model", (1,)), Sentence("It has a keel.", "quote", (2, 3))),
    (
        Citation(1, "Boats › Hulls", "A hull floats in the water.", 0, 27, "boats.md"),
        Citation(2, "Keels", "It has a keel.", 40, 54, "boats.md"),
        Citation(3, "Boats › Hulls", "Hulls have keels.", 60, 77, "boats.md"),
    ),
    complete=True,
)
REFUSAL = Answer("Who?", abstained=True, reason="The glossary does not cover this.", suggestions=("Hulls",))


@pytest.fixture
def store(tmp_path: Path) -> ConversationStore:
    return ConversationStore(tmp_path / "conversations.db")


def ask(store: ConversationStore, conversation: str, question: str, answer: Answer | None, vote: int = 0) -> int:
    turn = store.begin(conversation, question)
    if answer:
        store.update(turn, answer, "complete")
    if vote:
        store.vote(turn, vote, f"comment on {question}")
    return turn


def test_a_vote_up_is_a_line_with_its_reference_and_support(store: ConversationStore) -> None:
    conversation = store.create()
    ask(store, conversation, "What is a boat?", replace(ANSWER, citations=()))
    ask(store, conversation, "Does it fail?", None)
    turn = ask(store, conversation, "What is a hull?", ANSWER, 1)
    assert feedback.export(store) == [
        {
            "id": f"feedback-{conversation[:8]}-{turn}",
            "kind": "fact",
            "question": "What is a hull?",
            "history": [
                {"role": "user", "content": "What is a boat?"},
                {"role": "assistant", "content": "A hull floats. It has a keel."},
            ],
            "answerable": True,
            "sections": ["Boats › Hulls", "Keels"],
            "must": [],
            "must_not": [],
            "reference": "A hull floats. It has a keel.",
            "support": ["A hull floats in the water.", "It has a keel.", "Hulls have keels."],
            "vote": 1,
            "comment": "comment on What is a hull?",
            "answer": "A hull floats. It has a keel.",
        }
    ]


@pytest.mark.parametrize(
    ("answer", "vote", "answerable", "reference"),
    [
        (ANSWER, 1, True, ANSWER.text),
        (ANSWER, -1, None, ""),
        (REFUSAL, 1, None, REFUSAL.reason),
        (REFUSAL, -1, None, ""),
        (None, -1, None, ""),
        (None, 1, None, ""),
    ],
)
def test_what_a_vote_does_not_say_is_left_to_be_completed(
    store: ConversationStore, answer: Answer | None, vote: int, answerable: bool | None, reference: str
) -> None:
    ask(store, store.create(), "q", answer, vote)
    (line,) = feedback.export(store)
    assert (line["answerable"], line["reference"], line["vote"]) == (answerable, reference, vote)
    assert (line["must"], line["must_not"], line["answer"]) == ([], [], answer.text if answer else "")


def test_lines_come_in_the_order_of_asking_and_only_for_votes(store: ConversationStore) -> None:
    first, second = store.create(), store.create()
    ask(store, first, "a", ANSWER, 1)
    ask(store, second, "b", ANSWER, -1)
    ask(store, second, "not voted", ANSWER)
    store.vote(ask(store, first, "taken back", ANSWER, 1), 0)
    ask(store, first, "c", REFUSAL, 1)
    lines = feedback.export(store)
    assert [line["question"] for line in lines] == ["a", "b", "c"] and len({line["id"] for line in lines}) == 3
    assert [m["content"] for m in lines[2]["history"]] == ["a", ANSWER.text, "taken back", ANSWER.text]


def test_a_vote_on_a_turn_that_was_asked_again_is_exported(store: ConversationStore) -> None:
    conversation = store.create()
    ask(store, conversation, "a", ANSWER)
    old = ask(store, conversation, "b", ANSWER, -1)
    new = store.begin(conversation, "b, edited", replaces=old)
    store.update(new, REFUSAL, "complete")
    store.vote(new, 1)
    ask(store, conversation, "c", ANSWER, 1)
    lines = feedback.export(store)
    assert [(line["question"], line["comment"]) for line in lines[:2]] == [("b", "comment on b"), ("b, edited", "")]
    assert [[m["content"] for m in line["history"][::2]] for line in lines] == [["a"], ["a"], ["a", "b, edited"]]


def test_a_completed_line_is_a_question_of_a_set(store: ConversationStore, tmp_path: Path) -> None:
    conversation = store.create()
    ask(store, conversation, "What is a boat?", ANSWER)
    ask(store, conversation, "A hull? \u2028 “Ä” 🚤 \x85 \ud800", ANSWER, 1)
    out = tmp_path / "made" / "feedback.jsonl"
    assert feedback.write(store, out) == 1
    assert "“Ä” 🚤" in out.read_text(encoding="utf-8"), "people complete the lines: they can be read"
    (line,) = [json.loads(text) for text in out.read_text(encoding="utf-8").splitlines()]
    out.write_text(json.dumps(line | {"kind": "followup", "must": [["floats?"]]}))
    (case,) = questions.load([out])
    assert case.question.text == "A hull? \u2028 “Ä” 🚤 \x85 ?" and case.correct(ANSWER)
    assert case.question.history == (Turn("user", "What is a boat?"), Turn("assistant", ANSWER.text))


def test_the_file_is_written_whole_or_not_at_all(
    store: ConversationStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out" / "feedback.jsonl"
    assert feedback.write(store, out) == 0 and out.read_text() == ""
    ask(store, store.create(), "q", ANSWER, 1)
    feedback.write(store, out)
    before = out.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    ask_more = store.create()
    ask(store, ask_more, "r", ANSWER, 1)
    with pytest.raises(StoreError, match=r"cannot write [^\n]+: No space left on device; pass another path[^\n]*$"):
        feedback.write(store, out)
    assert out.read_bytes() == before and [f.name for f in out.parent.iterdir()] == ["feedback.jsonl"]


def test_a_path_that_cannot_be_written_is_one_line(store: ConversationStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path, tmp_path / "file" / "out.jsonl"):
        with pytest.raises(StoreError, match=r"^cannot write [^\n]+ pass another path after --out$"):
            feedback.write(store, path)
    assert not [f for f in tmp_path.parent.iterdir() if f.name.endswith(".part")]
