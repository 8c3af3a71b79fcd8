from __future__ import annotations

from dataclasses import replace

import pytest

from assistant import selection
from assistant.records import Hit, Passage
from tests.making import parsed

_, PASSAGES = parsed()


def hits(*found: tuple[str, float]) -> tuple[Hit, ...]:
    """Return hits of these log odds for the passages that begin with the given words."""
    made = []
    for begin, relevance in found:
        passage = next(p for p in PASSAGES if p.plain.startswith(begin))
        made.append(Hit(passage, 0.5, 0.5, 0.5, 0.0, relevance))
    return tuple(made)


def begins(passages: tuple[Passage, ...]) -> list[str]:
    return [p.plain.split()[0] for p in passages]


def test_the_model_reads_in_reading_order() -> None:
    found = hits(("It protects", 0.9), ("A hull", 0.8), ("Luff", 0.7))
    assert begins(selection.to_read(found, 2)) == ["A", "It"]


def test_what_likely_answers_is_quoted_and_at_most_three() -> None:
    found = hits(("A hull", 3.0), ("Hulls", 1.5), ("Reefing", -1.5))
    assert begins(selection.to_quote("hull?", found, PASSAGES)) == ["A", "Hulls"]
    far = hits(("A hull", 4.0), ("Reefing", -0.5))
    assert begins(selection.to_quote("hull?", far, PASSAGES)) == ["A"]
    near = hits(("A hull", 3.0), ("Hulls", 2.9), ("Reefing", 2.8), ("It protects", 2.7))
    assert len(selection.to_quote("hull?", near, PASSAGES)) == 3
    assert selection.to_quote("hull?", (), PASSAGES) == ()


def test_the_sentence_beside_is_brought_sooner_than_one_elsewhere_while_the_answer_is_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = hits(("A hull", 4.0), ("Reefing", 0.1), ("Hulls", -0.3))
    assert begins(selection.to_quote("hull?", found, PASSAGES)) == ["A", "Hulls"]
    assert begins(selection.to_quote("hull?", hits(("A hull", 4.0), ("Hulls", -4.5)), PASSAGES)) == ["A"]
    monkeypatch.setattr(selection, "MOST_ADJACENT_WORDS", 5)
    assert begins(selection.to_quote("hull?", found, PASSAGES)) == ["A"]


def test_a_question_about_two_things_brings_a_passage_that_is_less_sure() -> None:
    found = hits(("A hull", 1.0), ("Reefing", -5.5))
    assert begins(selection.to_quote("hull?", found, PASSAGES)) == ["A"]
    assert begins(selection.to_quote("hulls versus reefing?", found, PASSAGES)) == ["A", "Reefing"]


@pytest.mark.parametrize(
    "found", [(("Leech", 1.0), ("Luff", -1.0)), (("Every sail has", 1.0),)], ids=["items", "the line above"]
)
def test_a_list_question_brings_the_whole_list(found: tuple[tuple[str, float], ...]) -> None:
    brought = selection.to_quote("What are the parts of a sail?", hits(*found, ("A hull", -3.0)), PASSAGES)
    assert begins(brought) == ["Luff:", "Leech:", "Foot:"]


def test_a_list_whose_items_all_speak_is_brought_whatever_was_asked() -> None:
    found = hits(("Luff", 2.0), ("Leech", 1.0), ("Foot", -0.5), ("A hull", -3.0))
    assert begins(selection.to_quote("Sail edges?", found, PASSAGES)) == ["Luff:", "Leech:", "Foot:"]
    one = hits(("Luff", 2.0), ("Leech", -3.0), ("Foot", -4.0))
    assert begins(selection.to_quote("Sail edges?", one, PASSAGES)) == ["Luff:"]


def test_a_list_is_not_all_of_the_answer_where_another_side_is_asked_about() -> None:
    found = hits(("Luff", 2.0), ("Leech", 1.5), ("Foot", 1.0), ("A hull", 0.5))
    assert begins(selection.to_quote("Sail edges?", found, PASSAGES)) == ["Luff:", "Leech:", "Foot:"]
    both = begins(selection.to_quote("The edges of a sail versus a hull?", found, PASSAGES))
    assert "A" in both and "Luff:" in both


def test_a_list_elsewhere_is_not_taken_for_the_answer() -> None:
    found = hits(("Hulls", 3.0), ("Luff", -4.0), ("Leech", -4.0))
    assert begins(selection.to_quote("What are hulls of 40 feet in need of?", found, PASSAGES)) == ["Hulls"]


def test_one_item_alone_does_not_bring_its_list() -> None:
    found = hits(("Leech", 4.0), ("A hull", -3.0), ("Luff", -5.0))
    assert begins(selection.to_quote("Which edges are at the back?", found, PASSAGES)) == ["Leech:"]


def test_an_item_that_only_names_another_entry_is_no_answer_but_may_be_listed() -> None:
    text = (
        "# Boats\n\n## Hull (body)\n\nA hull floats.\n\n### See also\n\n- Keel\n- Hull\n\n## Keel\n\nA keel steers.\n"
    )
    _, passages = parsed(text)
    found = [Hit(p, 0.5, 0.5, 0.5, 0.0, 3.0 if p.kind == "item" else 1.0) for p in passages]
    found.sort(key=lambda hit: -hit.relevance)
    assert [p.plain for p in selection.to_quote("Hull or keel?", found, passages)] == [
        "A hull floats.",
        "A keel steers.",
    ]
    asked = selection.to_quote("List what to see also.", found, passages)
    assert [p.plain for p in asked] == ["Keel", "Hull"]


def test_two_sentences_of_one_item_neither_are_a_list_nor_bring_one() -> None:
    _, passages = parsed("# Sails\n\n- Jib: a small sail. It points high.\n- Main: a large sail. It drives.\n")
    jib, high, main, drives = passages
    assert not selection.is_list((jib, high)) and not selection.is_list((jib, high, main))
    assert selection.is_list((jib, main))
    scores = ((jib, 2.0), (high, 1.5), (main, -3.0), (drives, -3.0))
    found = [Hit(p, 0.5, 0.5, 0.5, 0.0, relevance) for p, relevance in scores]
    assert selection.whole_list("Which sails are small?", found, passages) == ()
    scores = ((jib, 2.0), (high, 1.5), (drives, 0.0), (main, -3.0))
    found = [Hit(p, 0.5, 0.5, 0.5, 0.0, relevance) for p, relevance in scores]
    assert selection.whole_list("Which sails are there?", found, passages) == (jib, main)


def test_what_sets_two_things_apart_is_asked_of_both() -> None:
    found = hits(("A hull", 1.0), ("Reefing", -5.5))
    assert begins(selection.to_quote("What sets hulls apart in reefing?", found, PASSAGES)) == ["A", "Reefing"]


def test_a_quotation_names_its_subject_once() -> None:
    reefing = [p for p in PASSAGES if p.subject == "Reefing"]
    assert selection.quotation(reefing[1]) == "Reefing: It protects the mast."
    assert selection.quotation(reefing[1], reefing[0]) == "It protects the mast."
    assert selection.quotation(reefing[0]) == "Reefing makes a sail smaller in strong wind."


def test_a_subject_that_two_in_a_row_share_is_said_once() -> None:
    first, second = (next(p for p in PASSAGES if p.plain.startswith(w)) for w in ("Reefing makes", "It protects"))
    apart = replace(second, block=second.block + 100)
    assert selection.quotation(apart) == "Reefing: It protects the mast."
    assert selection.quotation(apart, first) == "It protects the mast."


def test_a_bare_item_is_quoted_with_its_label_and_a_full_stop() -> None:
    _, passages = parsed("# Work\n\n1. Pruning\n   - Can be done later\n2. Sharing\n   - Saves memory\n")
    bare = next(p for p in passages if p.plain.startswith("Can"))
    assert selection.quotation(bare) == "Pruning: Can be done later."


def test_labels_that_recur_do_not_name_their_item() -> None:
    _, passages = parsed("# Size\n\n## Small\n\n- Use: short texts\n\n## Large\n\n- Use: long texts\n")
    assert [selection.quotation(p) for p in passages] == ["Small: Use: short texts.", "Large: Use: long texts."]


@pytest.mark.parametrize(
    ("question", "listed"),
    [
        ("List the parts.", True),
        ("Which techniques are there?", True),
        ("What are the benefits of distillation?", True),
        ("Enumerate them", True),
        ("Who made it?", False),
        ("How does it work?", False),
    ],
)
def test_list_questions_are_told(question: str, listed: bool) -> None:
    assert selection.wants_list(question) is listed


def test_what_the_language_model_names_more_surely_comes_first() -> None:
    found = hits(("A hull", 1.0), ("Hulls", 0.8), ("Reefing", 0.5), ("Luff", 0.2))
    read = selection.to_read(found, 3)
    weighed = selection.weighed(found, read, (0.1, 0.05, 0.8, 0.05))
    assert begins(tuple(h.passage for h in weighed))[0] == "Hulls"
    assert sorted(h.passage.id for h in weighed) == sorted(h.passage.id for h in found)
    by = {h.passage.plain.split()[0]: h.relevance for h in weighed}
    assert by["Hulls"] == pytest.approx(0.8) and by["A"] < 1.0  # the surest keeps its odds, the others lose some
    assert by["Reefing"] < by["Luff:"] + 0.3  # one that was not read loses what they lose on average


def test_a_language_model_that_tells_no_probabilities_changes_no_order() -> None:
    found = hits(("A hull", 1.0), ("Hulls", 0.8))
    assert selection.weighed(found, selection.to_read(found), ()) == found


def test_the_order_is_not_turned_where_the_ranker_is_sure() -> None:
    found = hits(("A hull", 6.0), ("Hulls", 0.8))
    weighed = selection.weighed(found, selection.to_read(found), (0.0, 0.001, 0.999))
    assert begins(tuple(h.passage for h in weighed)) == ["A", "Hulls"]
