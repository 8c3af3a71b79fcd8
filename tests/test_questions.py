from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from assistant import chunking, corpus, from_env
from assistant.errors import EvaluationError
from assistant.evaluation.questions import KINDS, LONG_KINDS, MOST_WORDS, MOST_WORDS_LONG, Case, gold, load
from assistant.records import Answer, Passage, Question, Sentence, Turn
from tests.making import parsed

FOLDER = Path(__file__).parent / "questions"
OF_THE_GLOSSARY = [FOLDER / f"{name}.jsonl" for name in ("given", "earlier", "held_out", "tuning")]
SETS = [*OF_THE_GLOSSARY, FOLDER / "cloud_native.jsonl"]
GOOD: dict[str, Any] = {
    "id": "q1",
    "kind": "fact",
    "question": "What is a hull?",
    "answerable": True,
    "must": [["body"]],
}


def written(folder: Path, *lines: dict[str, Any] | str, name: str = "set.jsonl") -> Path:
    path = folder / name
    texts = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
    path.write_text("".join(text + "\n" for text in texts), encoding="utf-8")
    return path


def case(
    must: Sequence[Sequence[str]] = (),
    must_not: Sequence[str] = (),
    *,
    kind: str = "fact",
    answerable: bool = True,
    support: tuple[str, ...] = (),
) -> Case:
    groups = tuple(tuple(re.compile(r, re.I) for r in group) for group in must)
    refused = tuple(re.compile(r, re.I) for r in must_not)
    return Case("q", kind, Question("What?"), answerable, groups, refused, support)


def saying(*sentences: str) -> Answer:
    return Answer("What?", tuple(Sentence(text, "model", (1,)) for text in sentences))


REFUSAL = Answer("What?", abstained=True, reason="The glossary does not say what a hull is: a body.")


# reading


def test_a_question_is_read_with_all_its_gold(tmp_path: Path) -> None:
    line = {
        **GOOD,
        "history": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
        "must": [["body", "trunk"], ["float"]],
        "must_not": ["mast"],
        "support": ["A hull is the body."],
        "reference": "The body.",
        "sections": ["Hulls"],
    }
    (found,) = load([written(tmp_path, line)])
    assert found.question == Question("What is a hull?", (Turn("user", "Hi"), Turn("assistant", "Hello")))
    assert (found.id, found.kind, found.answerable, found.reference) == ("q1", "fact", True, "The body.")
    assert [[p.pattern for p in group] for group in found.must] == [["body", "trunk"], ["float"]]
    assert [p.pattern for p in found.must_not] == ["mast"]
    assert found.support == ("A hull is the body.",)
    assert found.correct(saying("BODY, FLOATING")) and not found.correct(saying("Body, floating, MAST"))


def test_what_may_be_left_out_is_empty(tmp_path: Path) -> None:
    line = {"id": "q1", "kind": "unanswerable_far", "question": "Who won?", "answerable": False}
    (found,) = load([written(tmp_path, line)])
    assert found == Case("q1", "unanswerable_far", Question("Who won?"), False, (), (), ())


def test_sets_are_read_in_order_and_blank_lines_skipped(tmp_path: Path) -> None:
    one = written(tmp_path, GOOD, "", "   ", {**GOOD, "id": "q2"}, name="one.jsonl")
    two = written(tmp_path, {**GOOD, "id": "q0"}, name="two.jsonl")
    assert [c.id for c in load([one, two])] == ["q1", "q2", "q0"]


@pytest.mark.parametrize("separator", ["\u2028", "\u0085"])
def test_only_a_line_feed_ends_a_line(tmp_path: Path, separator: str) -> None:
    text = f"What is{separator}a hull?"
    line = json.dumps({**GOOD, "question": text}, ensure_ascii=False)
    (found,) = load([written(tmp_path, line)])
    assert found.question.text == text


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("{", "JSONDecodeError"),
        ("[1]", "TypeError"),
        ({**GOOD, "kind": "riddle"}, "riddle"),
        ({key: value for key, value in GOOD.items() if key != "question"}, "question"),
        ({key: value for key, value in GOOD.items() if key != "answerable"}, "answerable"),
        ({**GOOD, "must": [["("]]}, "error"),
        ({**GOOD, "must_not": ["["]}, "error"),
        ({**GOOD, "must": 5}, "TypeError"),
        ({**GOOD, "history": [{"role": "system", "content": "Obey"}]}, "system"),
        ({**GOOD, "history": [{"role": "user"}]}, "content"),
        ({**GOOD, "must": ["body"]}, "must"),
        ({**GOOD, "must_not": "mast"}, "must_not"),
        ({**GOOD, "support": "A hull is the body."}, "support"),
        ({**GOOD, "answerable": "false"}, "answerable"),
        ({**GOOD, "question": 5}, "question"),
    ],
)
def test_a_malformed_question_is_named_by_file_and_line(tmp_path: Path, line: dict[str, Any] | str, wrong: str) -> None:
    path = written(tmp_path, {**GOOD, "id": "q0"}, "", line)
    with pytest.raises(EvaluationError, match=re.escape(f"{path}:3: ")) as caught:
        load([path])
    assert wrong in str(caught.value)


def test_an_id_may_appear_once_in_all_sets_together(tmp_path: Path) -> None:
    one, two = written(tmp_path, GOOD, name="one.jsonl"), written(tmp_path, "", GOOD, name="two.jsonl")
    with pytest.raises(EvaluationError, match=r"two\.jsonl:2: the id 'q1' appears twice"):
        load([one, two])


@pytest.mark.parametrize("paths", [[], ["empty.jsonl"]])
def test_no_questions_are_an_error(tmp_path: Path, paths: list[str]) -> None:
    written(tmp_path, "", name="empty.jsonl")
    with pytest.raises(EvaluationError, match="--questions"):
        load([tmp_path / path for path in paths])


@pytest.mark.parametrize("name", ["nothing.jsonl", ".", "latin-1.jsonl"])
def test_a_set_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "latin-1.jsonl").write_bytes('{"question": "Où?"}'.encode("latin-1"))
    with pytest.raises(EvaluationError, match="cannot read the question set") as caught:
        load([tmp_path / name])
    assert str(tmp_path / name) in str(caught.value)


# right and wrong answers


def test_every_group_needs_one_hit_in_any_case() -> None:
    asked = case([["body", "trunk"], ["float", "swim"]])
    assert asked.correct(saying("The TRUNK of a boat.", "It Floats."))
    assert not asked.correct(saying("The body and trunk of a boat."))
    assert not asked.correct(saying("It floats and swims."))


def test_a_forbidden_word_makes_an_answer_wrong_in_any_case() -> None:
    asked = case([["body"]], ["mast", r"\bsail"])
    assert asked.correct(saying("The body."))
    assert not asked.correct(saying("The body under the Mast."))
    assert not asked.correct(saying("The body, without sails."))


def test_an_answer_without_any_gold_is_right() -> None:
    assert case().correct(saying("Something."))


def test_a_refusal_is_right_only_where_there_is_no_answer() -> None:
    assert not case([["body"]]).correct(REFUSAL), "the words of a refusal are no answer"
    assert not case().correct(REFUSAL)
    assert case(answerable=False).correct(REFUSAL)
    assert not case(answerable=False).correct(saying("It is the body."))


@pytest.mark.parametrize("kind", KINDS)
def test_pouring_out_the_text_is_no_answer(kind: str) -> None:
    most = 140 if kind in ("list", "compare", "explain") else 90
    asked = case([["body"]], kind=kind)
    assert asked.correct(saying(*["body"] * most))
    assert not asked.correct(saying(*["body"] * (most + 1)))


def test_the_limits_are_those_of_the_description() -> None:
    described = (FOLDER / "README.md").read_text()
    assert f"{MOST_WORDS} words ({MOST_WORDS_LONG} for list, compare and explain)" in described
    assert set(LONG_KINDS) == {"list", "compare", "explain"}
    assert all(kind in described for kind in KINDS)


# gold


def held(texts: Sequence[str], passages: Sequence[Passage]) -> list[set[str]]:
    """Return the passages that hold each of the supporting sentences, as words."""
    found = gold(case(support=tuple(texts)), passages)
    return [{p.plain for p in passages if p.id in ids} for ids in found]


MAST = "It protects the mast."
HULL = "A hull is the body of a boat that floats in the water."


def test_gold_is_found_whatever_its_marks_and_case() -> None:
    _, passages = parsed()
    assert held([HULL, "**it** *protects*\nthe mast"], passages) == [{HULL}, {MAST}]


def test_a_sentence_over_several_passages_is_held_by_each_and_a_part_by_its_whole() -> None:
    _, passages = parsed()
    assert held([f"Wind. {HULL} {MAST}", "the body of a boat"], passages) == [{HULL, MAST}, {HULL}]


def test_a_sentence_that_stands_nowhere_is_left_out() -> None:
    _, passages = parsed()
    assert held(["Keels are heavy.", MAST], passages) == [{MAST}]
    assert gold(case(), passages) == ()


def test_a_passage_of_a_few_letters_holds_no_sentence() -> None:
    _, passages = parsed("# Sails\n\n- Jib\n- Main\n\nA jib is the sail before the main mast.\n")
    assert held(["A jib is the sail before the main mast."], passages) == [
        {"A jib is the sail before the main mast.", "Main"}
    ]


# the sets that ship


@pytest.fixture(scope="module", params=SETS, ids=lambda path: str(path.stem))
def shipped(request: pytest.FixtureRequest) -> tuple[Case, ...]:
    return load([request.param])


def test_every_kind_of_question_is_in_every_set(shipped: tuple[Case, ...]) -> None:
    assert {c.kind for c in shipped} == set(KINDS)


def test_ids_are_unique_over_all_sets() -> None:
    assert len(load(SETS)) == sum(len(path.read_text().strip().splitlines()) for path in SETS)


def test_the_reference_of_every_question_is_right_and_a_refusal_is_not(shipped: tuple[Case, ...]) -> None:
    answerable = [c for c in shipped if c.answerable]
    assert [c.id for c in answerable if not c.correct(saying(c.reference))] == []
    assert [c.id for c in answerable if c.correct(REFUSAL)] == []


def test_an_answerable_question_has_gold_and_another_has_none(shipped: tuple[Case, ...]) -> None:
    assert [c.id for c in shipped if c.answerable and not (c.must and c.support)] == []
    assert [c.id for c in shipped if not c.answerable and (c.must or c.support)] == []
    assert [c.id for c in shipped if c.answerable and c.kind.startswith("unanswerable")] == []


def test_a_word_of_nonsense_answers_nothing(shipped: tuple[Case, ...]) -> None:
    assert [c.id for c in shipped if c.correct(saying("Xyzzy."))] == []


@pytest.mark.parametrize("path", OF_THE_GLOSSARY, ids=lambda path: str(path.stem))
def test_the_glossary_holds_the_gold_of_every_answerable_question(path: Path) -> None:
    passages = chunking.chunk(corpus.load(from_env({}).corpus))
    wanted = [c for c in load([path]) if not all(text.endswith(":") for text in c.support)]  # no headings
    assert [c.id for c in wanted if c.answerable and not gold(c, passages)] == []
