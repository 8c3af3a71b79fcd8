from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

import assistant
from assistant import chunking, corpus, from_env, weights
from assistant.records import Corpus, Passage

ROOT = Path(__file__).resolve().parent.parent
GLOSSARY = ROOT / "corpus" / "glossary.md"
SOURCE = ROOT / "corpus" / "SOURCE.md"
ORIGINAL = ROOT / ".." / "shared" / "seed" / "ai-model-nomenclature.txt"

# sha256 of the original text without any white space, non-breaking spaces included: only words and stops are left
WORDS = "ed52cc40b1ee92547b21c5f9bb588d8a5d1db735247abce3184c767cfc51d52d"


def checksum(text: str) -> str:
    return hashlib.sha256(re.sub(r"\s+", "", text).encode()).hexdigest()


@pytest.fixture(scope="module")
def shipped() -> Corpus:
    return corpus.load(GLOSSARY)


@pytest.fixture(scope="module")
def passages(shipped: Corpus) -> tuple[Passage, ...]:
    return chunking.chunk(shipped)


def test_the_glossary_has_exactly_the_words_of_the_original_in_their_order() -> None:
    text = GLOSSARY.read_text(encoding="utf-8")
    assert checksum(re.sub(r"^[ \t]*(?:#+|-) ", "", text, flags=re.M)) == WORDS


def test_the_checksum_is_that_of_the_original() -> None:
    if not ORIGINAL.exists():
        pytest.skip("the original text is not at hand; it is not part of this repository")
    raw = ORIGINAL.read_bytes()
    assert checksum(raw.decode("utf-8")) == WORDS
    assert hashlib.sha256(raw).hexdigest() in SOURCE.read_text(encoding="utf-8")


def test_the_glossary_is_the_corpus_unless_another_is_given() -> None:
    assert from_env({}).corpus.resolve() == GLOSSARY


def test_every_letter_and_digit_is_in_a_passage_a_heading_or_a_list_number(
    shipped: Corpus, passages: tuple[Passage, ...]
) -> None:
    (document,) = shipped.documents
    rest = list(document.text)
    for passage in passages:
        assert document.text[passage.start : passage.end] == passage.text
        rest[passage.start : passage.end] = " " * len(passage.text)
    left = [line.strip() for line in "".join(rest).splitlines() if line.strip()]
    assert [line for line in left if not re.fullmatch(r"#+ .+|-|\d\.", line)] == []


def test_the_headings_are_those_of_the_text(shipped: Corpus) -> None:
    lines = re.findall(r"^#+ (.+)$", GLOSSARY.read_text(encoding="utf-8"), flags=re.M)
    paths = [section.path for document in shipped.documents for section in document.sections]
    assert [path[-1] for path in paths] == [corpus.clean_heading(line) for line in lines]
    assert len(set(paths)) == len(paths), "no two sections can be confused in a citation"


@pytest.mark.parametrize(
    "text, heading",
    [
        ("Use Case: Short texts", "Common Context Lengths and Modern Models › 512 Tokens"),
        ("Faster inference times", "Model Distillation › Benefits"),
        ("Can be done during or after training", "Compression Techniques › Pruning"),
        (
            "Lower numbers (e.g., Q3) mean heavier quantization",
            "Understanding the Quantization tagging, ie… “Q4_K_M” › Q4",
        ),
        ("DeepSeek used distillation to create", "Compression and Distillation › Recent Example: DeepSeek vs. OpenAI"),
    ],
)
def test_passages_stand_under_the_names_that_tell_what_they_are_about(
    passages: tuple[Passage, ...], text: str, heading: str
) -> None:
    assert [p.heading for p in passages if p.text.startswith(text)] == [heading]


def test_sentences_are_split_where_the_text_splits_them(passages: tuple[Passage, ...]) -> None:
    opening = [p.text for p in passages if p.path == ("Understanding Model Parameters", 'The "B" in Parameters')]
    assert [(text.split()[0], text.split()[-1]) for text in opening] == [
        ("In", "model."),
        ("Here,", "parameters."),
        ("Understanding", "capabilities."),
    ]
    # neither "(e.g., 1B or 2B)" nor "DeepSeek vs. OpenAI" ends a sentence
    assert not [p.text for p in passages if re.search(r"(e\.g|vs)\.\W*$", p.text)]


def test_other_ways_to_ask_are_each_for_one_passage(shipped: Corpus, passages: tuple[Passage, ...]) -> None:
    quotes = [way.quote for way in shipped.asked]
    assert set(quotes) <= {p.plain for p in passages}
    assert len(set(quotes)) == len(quotes)
    questions = [question.strip().lower() for way in shipped.asked for question in way.questions]
    assert all(questions)
    assert len(set(questions)) == len(questions)


def test_the_figures_on_the_page_are_of_the_adapters_and_the_decision_that_ship() -> None:
    data = Path(weights.__file__).with_name("data")
    told = json.loads((data / "figures.json").read_text(encoding="utf-8"))
    assert weights.ADAPTERS
    for name in weights.ADAPTERS:
        assert told[name] == weights.digest(weights.adapter(name))
    assert told["decision"] == weights.digest(data / "calibration.json")
    assert told["version"] == assistant.__version__
