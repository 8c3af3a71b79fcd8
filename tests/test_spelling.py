from __future__ import annotations

from pathlib import Path

import pytest

from assistant import chunking, corpus
from assistant.spelling import Speller

TEXTS = [
    "Quantization reduces the precision of the weights of a model.",
    "The context length of Llama 2 is 4096 tokens, and K-Quants have tags such as Q4_K_M.",
    "Pruning, distillation and sharing compress a model. Parameters are weights. An image is shown.",
]
ENGLISH = frozenset("contest leek mode sail sailing dumb hand prune shaving lengthy recipe".split())
SPELLER = Speller(TEXTS, ENGLISH)


@pytest.mark.parametrize(
    "wrong, right",
    [
        ("quantizaton", "quantization"),  # a letter lost
        ("quantizzation", "quantization"),  # one too many
        ("qauntization", "quantization"),  # two changed places
        ("quantixation", "quantization"),  # a wrong one
        ("quantisaton", "quantization"),  # two faults
        ("Parametrs", "parameters"),
        ("modle", "model"),
        ("wieghts", "weights"),
        ("llama2", "llama 2"),
        ("llama-3", "llama 3"),
        ("lama2", "llama 2"),
        ("contextlength", "context length"),
    ],
)
def test_a_misspelt_word_becomes_the_corpus_word(wrong: str, right: str) -> None:
    assert SPELLER.repair(wrong) == right
    assert SPELLER.repair(f"What is {wrong}?") == f"What is {right}?"


@pytest.mark.parametrize(
    "word",
    [
        "contest",  # English, one letter from "context"
        "shaving",  # English, one letter from "sharing"
        "leeks", "modes", "dumber", "handset",  # English with an ending
        "quantized", "modelling", "LLAMA",  # forms of words of the corpus
        "Q4_K_S", "q8", "7B", "4069", "1.5B",  # codes and numbers are never guessed at
        "tgs", "mdl",  # too short to tell
        "amodel",  # too short a word run into the next
        "zebra", "photosynthesis",  # near nothing
        "shouldn't", "their",
    ],
)  # fmt: skip
def test_a_word_that_is_right_or_near_nothing_stays(word: str) -> None:
    assert SPELLER.repair(f"Is {word} it?") == f"Is {word} it?"


def test_short_words_may_have_one_fault_and_long_ones_two() -> None:
    assert SPELLER.repair("wights") == "weights"
    assert SPELLER.repair("wigts") == "wigts"
    assert SPELLER.repair("parametres") == "parameters"
    assert SPELLER.repair("pramtrs") == "pramtrs"


def test_the_rest_of_the_question_is_left_as_it_is() -> None:
    assert SPELLER.repair("  So, (Modle)  size — “wieghts”?\n") == "  So, (model)  size — “weights”?\n"


def test_every_occurrence_is_repaired() -> None:
    assert SPELLER.repair("modle, modle and wieghts of a modle") == "model, model and weights of a model"


def test_only_whole_words_are_replaced() -> None:
    assert SPELLER.repair("xx_modle modlexx modle") == "xx_modle modlexx model"


def test_of_two_words_equally_near_the_more_frequent_is_taken() -> None:
    assert Speller(["mast mast mist"], frozenset()).repair("most mxst") == "most mast"  # "most" is a stop word
    assert Speller(["mast mist mist"], frozenset()).repair("mxst") == "mist"


def test_a_word_of_the_same_first_letter_is_taken_before_a_more_frequent_one() -> None:
    assert Speller(["boarding harding harding"], frozenset()).repair("barding") == "boarding"
    assert Speller(["hoarding"], frozenset()).repair("boarding") == "hoarding"


def test_one_slip_in_a_word_without_meaning_is_mended() -> None:
    assert Speller(["mast"], frozenset()).repair("Waht do tehy wich other") == "what do they which other"


@pytest.mark.parametrize(
    "word, known",
    [("model", True), ("Models", True), ("quantised", True), ("quants", True), ("k-quants", True), ("boat", False)],
)
def test_a_word_is_known_in_any_form(word: str, known: bool) -> None:
    assert SPELLER.known(word) is known


def test_the_words_of_the_corpus_are_right_and_a_repair_needs_no_second() -> None:
    shipped = corpus.load(Path(__file__).parent.parent / "corpus" / "glossary.md")
    passages = chunking.chunk(shipped)
    speller = Speller((chunking.contextual(p) for p in passages), frozenset())
    for passage in passages:
        assert speller.repair(passage.plain) == passage.plain
        typed = passage.plain.replace("ti", "it").replace("ss", "s")
        assert speller.repair(speller.repair(typed)) == speller.repair(typed)


def test_initials_of_a_heading_are_followed_by_it_where_the_corpus_writes_them() -> None:
    names = ("Infrastructure as Code (the term)", "Role-Based Access Control", "Raw Block", "Real Time")
    speller = Speller(["IaC and RBAC are used, RT too"], frozenset({"rt"}), names)
    assert speller.repair("iac?") == "iac (Infrastructure as Code)?"
    assert speller.repair("Why RBAC") == "Why RBAC (Role-Based Access Control)"
    assert speller.repair("rt or RT") == "rt or RT"
    assert Speller(["nothing of it"], frozenset(), names).repair("Why RBAC") == "Why RBAC"
    assert Speller(["iac"], frozenset(), [*names, "Ice after Coffee"]).repair("iac") == "iac"


@pytest.mark.parametrize("word, meant", [("progamming", "programming"), ("snip", "snip"), ("langauges", "languages")])
def test_one_slip_in_a_long_english_word_is_mended(word: str, meant: str) -> None:
    assert Speller(["mast"], frozenset({"programming", "ship", "languages", "slip"})).repair(word) == meant


def test_an_empty_corpus_repairs_nothing() -> None:
    assert Speller([], frozenset()).repair("Any modle?") == "Any modle?"
    assert SPELLER.repair("") == ""
