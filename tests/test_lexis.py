from __future__ import annotations

import random

import pytest

from assistant import lexis
from assistant.lexis import content, facts, known_facts, negated, numbers, overlap, stem, terms, words

# Stems


@pytest.mark.parametrize(
    "family",
    [
        "quantize quantized quantizing quantization Quantisation quantised QUANTIZE",
        "model models Model's model’s MODELS",
        "optimise optimised optimization optimisations",
        "prune pruned pruning",
        "weight weights",
    ],
)
def test_forms_of_a_word_share_a_stem(family: str) -> None:
    assert len({stem(word) for word in family.split()}) == 1


@pytest.mark.parametrize(
    "pair", [("Q4", "Q5"), ("7B", "70B"), ("teacher", "teach"), ("parameter", "perimeter"), ("rise", "rize")]
)
def test_different_words_keep_different_stems(pair: tuple[str, str]) -> None:
    assert stem(pair[0]) != stem(pair[1])


@pytest.mark.parametrize("pair", [("precise", "precisely"), ("concise", "concisely")])
def test_a_word_that_only_ends_like_a_british_verb_stays_with_its_kin(pair: tuple[str, str]) -> None:
    assert stem(pair[0]) == stem(pair[1])


# Words


@pytest.mark.parametrize(
    "text, found",
    [
        ("Q4_K_M and K-Quants, a 7B model.", ["Q4_K_M", "and", "K-Quants", "a", "7B", "model"]),
        ("200B+ (GPT-4o/Llama)", ["200B+", "GPT-4o/Llama"]),
        ("the model's 1.5B; don’t", ["the", "model's", "1.5B", "don’t"]),
        ("e.g. Magic.dev.", ["e.g", "Magic.dev"]),
        ("_leaning_ **bold** --- 'quoted'", ["leaning", "bold", "quoted"]),
        ("café 名 naïve-ish", ["café", "名", "naïve-ish"]),
        ("non‑breaking", ["non‑breaking"]),
        (" \n…!?", []),
    ],
)
def test_words_are_whole_and_without_stops(text: str, found: list[str]) -> None:
    assert words(text) == found


@pytest.mark.parametrize(
    "question, text",
    [
        ("K quants", "K-Quant method"),
        ("q4", "Q4_K_M"),
        ("Q4_K_M", "the q4_k_m tag"),
        ("gpt", "GPT-4o Mini"),
        ("quantised", "Quantization"),
        ("trade off", "Trade-offs"),
        ("200B", "200B+ Parameters"),
    ],
)
def test_a_question_meets_the_text_it_asks_about(question: str, text: str) -> None:
    assert set(terms(question)) & set(terms(text))


def test_a_compound_is_searched_whole_and_in_parts() -> None:
    assert terms("Low-Rank") == ["low-rank", "low", "rank"]
    assert terms("rank") == ["rank"]
    assert terms("Q4_K_M") == ["q4_k_m", "q4"]  # a lone letter would meet everything


# Words that carry meaning


def test_words_that_carry_no_meaning_are_left_out() -> None:
    assert content("What is the meaning of pruning, and isn't that it?") == ["prune"]
    assert content("What’s this?") == []
    assert content("state-of-the-art models") == ["state", "art", "model"]


@pytest.mark.parametrize(
    "text, found",
    [("the model's size", ["model", "size"]), ("the model’s size", ["model", "size"]), ("I've seen", ["seen"])],
)
def test_an_ending_after_an_apostrophe_carries_no_meaning(text: str, found: list[str]) -> None:
    assert content(text) == found


@pytest.mark.parametrize(
    "one, other",
    [
        ("70B", "70 billion"),
        ("70b parameters", "70 Billion parameters"),
        ("1.5B", "1.5 billion"),
        ("125M", "125 million"),
        ("1.8T", "1.8 trillion"),
        ("4,096 tokens", "4096 tokens"),
    ],
)
def test_a_size_is_the_same_however_it_is_written(one: str, other: str) -> None:
    assert content(one) == content(other)


def test_sizes_of_different_scale_differ() -> None:
    assert content("7M") != content("7B") != content("70B")


@pytest.mark.parametrize(
    "text, denied",
    [
        ("It is not large.", True),
        ("Nothing is lost.", True),
        ("It isn't.", True),
        ("They don’t fit.", True),
        ("It cannot fit without a mast.", True),
        ("Unlike others, it floats.", True),
        ("A knot is noted in November.", False),
        ("", False),
    ],
)
def test_denials_are_seen(text: str, denied: bool) -> None:
    assert negated(text) is denied


# Facts


@pytest.mark.parametrize(
    "text, found",
    [
        ("Models have weights.", []),
        ("It was made by Anthropic in Paris.", ["anthrop", "pari"]),
        ("It has 7B parameters and 16 GB.", ["7", "b", "16", "gb"]),
        ("The Q4_K_M tag", ["q4", "k", "m"]),
        ("It floats. Boats sink: Masts break! Why? Wind.", []),
        ("deepSeek and iPhone", ["deepseek", "iphon"]),
        ("It costs 1.5 or 3.25.", ["1.5", "3.25"]),
        ("It is What they Say.", []),
    ],
)
def test_facts_are_numbers_tags_and_names(text: str, found: list[str]) -> None:
    assert facts(text) == found


@pytest.mark.parametrize("text", ['The "B" means "billion." Parameters count.', "(It floats.) Boats sink."])
def test_a_word_that_opens_a_sentence_after_a_quotation_is_no_name(text: str) -> None:
    assert not {"paramet", "boat"} & set(facts(text))


@pytest.mark.parametrize(
    "claim, source, backed",
    [
        ("a 7B model", "7 billion parameters", True),
        ("a 7 billion model", "the 7B size", True),
        ("a 70B model", "the 7B size", False),
        ("about 200B", "200B+ parameters", True),
        ("it has 3 parts", "three parts", True),
        ("a Q4 K M tag", "Q4_K_M", True),
        ("a Q5_K_M tag", "Q4_K_M", False),
        ("made by OpenAI", "OpenAI's models", True),
        ("made by Meta", "OpenAI's models", False),
        ("about 1.5 units", "15 units", False),
        ("some 4,096 tokens", "4096 Tokens", True),
        ("some 4096 tokens", "up to 4,096", True),
        ("some 4 tokens", "up to 4,096", False),
        ("some 96 tokens", "up to 4,096", False),
    ],
)
def test_a_fact_is_looked_up_however_it_is_written(claim: str, source: str, backed: bool) -> None:
    assert (set(facts(claim)) <= known_facts(source)) is backed


@pytest.mark.parametrize("seed", range(5))
def test_every_text_backs_itself(seed: int) -> None:
    source = random.Random(seed)
    for _ in range(300):
        text = "".join(source.choices("ABbk7100é.,-_/’'+ ‑ \"", k=source.randint(1, 20)))
        assert set(facts(text)) <= known_facts(text)
        assert all(found and found == found.lower() for found in (*facts(text), *content(text), *terms(text)))


def test_numbers_lose_their_thousands_separators() -> None:
    assert numbers("1,000,000 of 2.5 in Q4, then 7B.") == ["1000000", "2.5", "4", "7"]
    assert numbers("none") == []


@pytest.mark.parametrize(
    "wanted, present, share",
    [
        ("ab", "bc", 0.5),
        ("abcd", "a", 0.25),
        ("aab", "a", 0.5),
        ("ab", "", 0.0),
        ("", "a", 1.0),
        ("", "", 1.0),
        ("a", "ab", 1),
    ],
)
def test_overlap_is_the_share_of_the_wanted_that_is_present(wanted: str, present: str, share: float) -> None:
    assert overlap(wanted, iter(present)) == pytest.approx(share)


def test_word_lists_are_written_as_they_are_looked_up() -> None:
    for listed in (lexis.STOPWORDS, lexis.NEGATIONS):
        assert all(word == word.lower().replace("’", "'") for word in listed)
