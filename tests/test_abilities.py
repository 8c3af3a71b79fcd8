from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from assistant import corpus as corpora
from assistant import from_env
from assistant.chunking import chunk
from assistant.errors import EvaluationError
from assistant.evaluation import abilities, questions, runner, trials
from assistant.evaluation.abilities import consistency, integrated, mean_risk, risk_coverage
from assistant.evaluation.metrics import Outcome, Share
from assistant.evaluation.questions import Case
from assistant.evaluation.trials import Edit, Trial, cut, edited, elsewhere, noisy, removed
from assistant.index import open_index
from assistant.records import Answer, Citation, Corpus, Question, Sentence, Turn
from tests.doubles import WordEmbeddings
from tests.making import REFUSES, TEXT, assistant, parsed

pytestmark = pytest.mark.process

SOURCE, PASSAGES = parsed()
HULL, CREW, PARTS, LUFF, LEECH, FOOT, SMALLER, MAST, KIT = PASSAGES
QUESTIONS = Path(__file__).parent / "questions"
GARDEN = Corpus((corpora.parse("# Gardens\n\nA spade has a blade.\n\nMoles dig at night.\n", "boats.md"),), "other")


def case(name: str, text: str, must: str = "", *support: str, kind: str = "fact", answerable: bool = True) -> Case:
    groups = tuple((re.compile(group, re.I),) for group in must.split("&") if group)
    return Case(name, kind, Question(text), answerable, groups, (), support)


def outcome(asked: Case, correct: bool, cited: tuple[int, ...] = (), refused: bool = False) -> Outcome:
    citations = tuple(Citation(n, "", PASSAGES[i].text, PASSAGES[i].start, PASSAGES[i].end, "boats.md")
                      for n, i in enumerate(cited, 1))  # fmt: skip
    said = () if refused else (Sentence("x", "model", ()),)
    answer = Answer(asked.question.text, said, citations, abstained=refused)
    return Outcome(asked, answer, correct, questions.gold(asked, PASSAGES), cited, len(cited), ())


REEFS = case("reefs", "What does reefing protect?", "mast", MAST.plain)
CREWS = case("crews", "How many crew members do hulls of 40 feet need?", "two", CREW.plain)
EDGES = case(
    "edges", "List the parts of a sail.", "front&back&bottom", LUFF.plain, LEECH.plain, FOOT.plain, kind="list"
)
BOTH = case("both", "Compare a luff and a hull.", "front&body", LUFF.plain, HULL.plain, kind="compare")
TWO = case("two", "Compare luff and leech.", "front&back", LUFF.plain, LEECH.plain, kind="compare")
NIGHT = case("night", "Who owns the moon?", answerable=False)


# noise


def test_noise_stands_after_the_corpus_and_moves_no_passage() -> None:
    trial = noisy(SOURCE, [GARDEN, GARDEN], [REEFS, NIGHT, CREWS])
    assert [d.name for d in trial.corpus.documents] == ["boats.md", "noise-1/boats.md", "noise-2/boats.md"]
    assert chunk(trial.corpus)[: len(PASSAGES)] == PASSAGES
    assert [p.plain for p in chunk(trial.corpus)[len(PASSAGES) :]] == [
        "A spade has a blade.",
        "Moles dig at night.",
    ] * 2
    assert trial.cases == (REEFS, CREWS)
    assert trial.corpus.digest != SOURCE.digest


def test_a_sample_is_the_same_each_time_in_order_and_without_repeats() -> None:
    many = [case(f"{n:03}", f"{n}?", "x") for n in range(100)]
    chosen = [c.id for c in noisy(SOURCE, [GARDEN], many, most=10).cases]
    assert chosen == [c.id for c in noisy(SOURCE, [GARDEN], many, most=10).cases] == sorted(set(chosen))
    assert len(chosen) == 10 and chosen != [f"{n:03}" for n in range(10)]


# removal


def test_what_is_cut_is_gone_and_nothing_else() -> None:
    for gone in ([MAST], [LUFF], [LUFF, LEECH, FOOT], [HULL, CREW], [SMALLER, MAST, KIT], [PARTS]):
        left = chunk(cut(SOURCE, gone))
        assert [p.plain for p in left] == [p.plain for p in PASSAGES if p not in gone]
    assert "- Luff" not in cut(SOURCE, [LUFF]).documents[0].text
    assert "\n- \n" not in cut(SOURCE, [LUFF]).documents[0].text


def test_an_empty_mark_stays_where_a_list_hangs_on_it() -> None:
    text = "# Boats\n\n1. Oars\n   - Made of ash\n2. Sails\n   - Made of hemp\n   - Heavy\n"
    source, passages = parsed(text)
    left = cut(source, [p for p in passages if p.plain == "Sails"])
    assert [p.plain for p in chunk(left)] == ["Oars", "Made of ash", "Made of hemp", "Heavy"]
    assert {p.labels for p in chunk(left) if p.plain == "Made of hemp"} == {()}  # not one of the oars


def test_only_an_answer_that_stands_in_one_place_is_removed() -> None:
    history = replace(REEFS, id="h", question=Question("And it?", (Turn("user", "What is reefing?"),)))
    twice = case("twice", "What is made smaller?", "sail", SMALLER.plain)  # sails stand elsewhere too
    unknown = case("unknown", "?", "mast", "Nobody wrote this sentence anywhere.")
    found = removed(SOURCE, [REEFS, NIGHT, BOTH, EDGES, history, twice, unknown, CREWS])
    assert [t.cases[0].id for t in found] == ["reefs", "crews"]
    for trial, gone in zip(found, (MAST, CREW), strict=True):
        assert [p.plain for p in chunk(trial.corpus)] == [p.plain for p in PASSAGES if p != gone]
        (asked,) = trial.cases
        assert not asked.answerable and asked.correct(Answer("", abstained=True))
        assert not asked.correct(Answer("", (Sentence("It protects the mast.", "quote", ()),)))
    assert len(removed(SOURCE, [REEFS, CREWS], most=1)) == 1


# integration


def test_integration_needs_words_of_two_blocks() -> None:
    found = [outcome(c, True) for c in (REEFS, BOTH, TWO, EDGES, NIGHT)]
    assert [o.case.id for o in integrated(found, PASSAGES)] == [
        "both",
        "two",
    ]  # the list is one block where it is asked for
    either = case("either", "Which edges?", "edge", LUFF.plain, LEECH.plain)  # one item has all that the gold demands
    one = case("one", "Hull?", "body&two", HULL.plain, CREW.plain)  # two sentences of one block
    assert integrated([outcome(either, True), outcome(one, True)], PASSAGES) == ()
    bare = case("bare", "Hull?", "zebra")  # no support is known
    assert integrated([outcome(bare, True)], PASSAGES) == ()
    apart = replace(EDGES, support=(LUFF.plain, HULL.plain), must=BOTH.must)
    assert len(integrated([outcome(apart, True)], PASSAGES)) == 1


# edits


def edit(find: str, by: str, asked: Case) -> Edit:
    return Edit(re.compile(find), by, asked)


def test_each_edit_is_made_alone_and_everywhere() -> None:
    found = edited(SOURCE, [edit(r"\bsail\b", "kite", CREWS), edit(r"(\d+) feet", r"\1 yards", REEFS)])
    assert [t.cases for t in found] == [(CREWS,), (REEFS,)]
    assert found[0].corpus.documents[0].text == re.sub(r"\bsail\b", "kite", TEXT)
    assert "40 yards" in found[1].corpus.documents[0].text and "sail" in found[1].corpus.documents[0].text


def test_an_edit_that_changes_nothing_is_an_error() -> None:
    for find, by in (("keel", "x"), ("hull", "hull")):
        with pytest.raises(EvaluationError, match="the edit reefs changes nothing: '(keel|hull)' is not"):
            edited(SOURCE, [edit(find, by, REEFS)])
    with pytest.raises(EvaluationError, match="the edit reefs cannot be made: invalid group reference 2"):
        edited(SOURCE, [edit("hull", r"\2", REEFS)])


# another corpus for an open assistant


def test_elsewhere_shares_the_model_and_knows_the_other_corpus(tmp_path: Path) -> None:
    made, model = assistant(tmp_path, ["[1] Moles dig at night.", "[1] Nothing of that."])
    there = elsewhere(made, GARDEN)
    assert there.corpus is GARDEN and there.parts.passages == chunk(GARDEN)
    assert (
        there.parts.reader is made.parts.reader and there.parts.retriever.embeddings is made.parts.retriever.embeddings
    )
    answer = there.ask("When do moles dig?")
    assert answer.text == "Moles dig at night." and len(model.given) == 1
    assert all(GARDEN.text(c.file)[c.start : c.end] == c.quote for c in answer.citations)
    assert there.parts.speller.known("moles") and not made.parts.speller.known("moles")
    assert "mole" in there.parts.rarity and "garden" in there.parts.names


def test_the_index_in_memory_finds_what_the_stored_one_does(tmp_path: Path) -> None:
    embeddings = WordEmbeddings()
    stored = open_index(tmp_path, tmp_path / "boats.md", "digest", PASSAGES, embeddings, "words")
    held = trials.MemoryIndex(SOURCE, PASSAGES, embeddings)
    for text in ("What is a hull?", "reefing protects", "edge of the sail"):
        vector = embeddings.embed_query(text)
        for kind in ("passage", "block", "asked"):
            for k in (0, 1, 3, 50):
                theirs = stored.nearest(vector, k, kind)
                ours = held.nearest(vector, k, kind)
                assert [*ours] == [*theirs] and ours == pytest.approx(theirs, abs=1e-5)


def test_a_text_is_embedded_once_over_all_trials(tmp_path: Path) -> None:
    made, _ = assistant(tmp_path, ["[0]"])
    embeddings = made.parts.retriever.embeddings
    assert isinstance(embeddings, WordEmbeddings)
    embeddings.calls.clear()
    steps: list[tuple[int, int]] = []
    found = trials.ask(
        made, [noisy(SOURCE, [GARDEN], [REEFS]), *removed(SOURCE, [REEFS, CREWS]), Trial(made.corpus, (CREWS, NIGHT))],
        lambda done, total: steps.append((done, total)),
    )  # fmt: skip
    texts = Counter(text for call in embeddings.calls for text in call if not text.endswith("?"))
    assert set(texts.values()) == {1} and any("spade" in text for text in texts)
    assert [[o.case.id for o in run] for run in found] == [["reefs"], ["reefs"], ["crews"], ["crews", "night"]]
    assert [s for n, s in enumerate(steps) if s not in steps[:n]] == [(n, 5) for n in range(6)]


# consistency


def test_consistency_by_hand() -> None:
    first = [
        outcome(REEFS, right, cited) for right, cited in ((True, (1,)), (True, (1,)), (True, (2,)), (True, (2, 1)))
    ]
    second = [outcome(REEFS, right, ()) for right in (True, False, False)]
    figures = consistency([first, second])
    assert figures == {
        "paraphrases: every wording right": Share(1, 2),
        "paraphrases: two wordings both right or both wrong": pytest.approx((6 / 6 + 1 / 3) / 2),
        "paraphrases: two wordings cite the same": pytest.approx((1 / 6 + 3 / 3) / 2),
    }


def test_the_order_of_citations_is_no_difference() -> None:
    found = consistency([[outcome(REEFS, True, (1, 2)), outcome(REEFS, True, (2, 1))]])
    assert found["paraphrases: two wordings cite the same"] == 1


def test_no_groups_no_figure() -> None:
    assert math.isnan(float(consistency([])["paraphrases: two wordings cite the same"]))  # type: ignore[arg-type]


# risk over coverage


def test_risk_over_coverage_by_hand() -> None:
    judged = [
        (outcome(REEFS, True), 0.9),
        (outcome(REEFS, False), 0.8),
        (outcome(REEFS, True), 0.8),
        (outcome(NIGHT, False), 0.3),
        (outcome(NIGHT, True, refused=True), 0.95),  # an order: refused at every caution
    ]
    points = risk_coverage(judged)
    assert [x for point in points for x in point] == pytest.approx([0.2, 0.0, 0.6, 1 / 3, 0.8, 0.5])
    assert mean_risk(points) == pytest.approx((0.2 * 0 + 0.4 / 3 + 0.2 * 0.5) / 0.8)
    assert risk_coverage([]) == () and math.isnan(mean_risk(()))


def test_a_probability_that_tells_right_from_wrong_has_the_least_risk() -> None:
    good = [(outcome(REEFS, n < 5), 1 - n / 10) for n in range(10)]
    bad = [(o, 1 - p) for o, p in good]
    assert mean_risk(risk_coverage(good)) < 0.5 < mean_risk(risk_coverage(bad))
    assert risk_coverage(good)[-1] == risk_coverage(bad)[-1] == (1.0, 0.5)


def test_at_no_caution_everything_is_answered_and_weighed(tmp_path: Path) -> None:
    made, _ = assistant(tmp_path, [""], calibration=REFUSES)
    judged = abilities.at_no_caution(made, [CREWS, NIGHT])
    assert made.ask(CREWS.question.text).abstained
    assert [(o.case.id, o.answer.abstained, o.correct) for o, _ in judged] == [
        ("crews", False, True),
        ("night", False, False),
    ]
    assert [p for _, p in judged] == pytest.approx([1 / (1 + math.exp(5))] * 2)


# all together


def test_every_ability_has_its_figure_and_its_failures(tmp_path: Path) -> None:
    made, _ = assistant(tmp_path, [""])
    cases = [REEFS, CREWS, BOTH, NIGHT]
    follows = case("follows", CREWS.question.text, "nine crew")
    ignores = case("ignores", CREWS.question.text, "ninety crew")
    groups = [
        [REEFS, replace(REEFS, id="reefs.2")],
        [CREWS, case("crews.2", "How many crew?", "zebra")],
    ]
    outcomes = runner.run(made, cases)
    edits = [edit("two crew", "nine crew", follows), edit("two crew", "nine crew", ignores)]
    found = abilities.measure(made, outcomes, [GARDEN], edits, groups)
    assert {name: f for name, f in found.figures.items() if isinstance(f, Share)} == {
        "noise: right among unrelated texts": Share(sum(o.correct for o in outcomes[:3]), 3),
        "noise: the same questions without them": Share(sum(o.correct for o in outcomes[:3]), 3),
        "removal: refused where the answer was cut out": Share(0, 2),
        "integration: right where two blocks are needed": Share(int(outcomes[2].correct), 1),
        "edits: followed": Share(1, 2),
        "paraphrases: every wording right": Share(1, 2),
    }
    assert [o.case.id for o in found.wrong["edits"]] == ["ignores"]
    assert [o.case.id for o in found.wrong["removal"]] == ["reefs", "crews"]
    assert [o.case.id for o in found.wrong["paraphrases"]] == ["crews.2"]
    text = abilities.markdown(found)
    assert "| edits: followed | 1/2 = 50.0%" in text and "### Removal, wrong: 2" in text and "- **ignores** How" in text


def test_refusing_everything_passes_removal_alone(tmp_path: Path) -> None:
    made, _ = assistant(tmp_path, [""], calibration=REFUSES)
    outcomes = runner.run(made, [REEFS, CREWS, BOTH])
    found = abilities.measure(made, outcomes, [GARDEN], [edit("two", "nine", CREWS)], [[REEFS, REEFS]])
    hits = {name: f.hits for name, f in found.figures.items() if isinstance(f, Share)}
    assert [name for name, n in hits.items() if n] == ["removal: refused where the answer was cut out"]


def test_a_run_reads_its_data_from_folders(tmp_path: Path) -> None:
    made, _ = assistant(tmp_path, [""])
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise" / "garden.md").write_text("A spade has a blade.\n")
    line = {"id": "e", "find": "two", "replace": "nine", "question": CREWS.question.text, "must": [["nine"]]}
    (tmp_path / "edited.jsonl").write_text(json.dumps(line) + "\n")
    group = {"id": "p", "questions": ["What does reefing protect?", "Reefing protects what?"], "must": [["mast"]]}
    (tmp_path / "paraphrases.jsonl").write_text(json.dumps(group) + "\n")
    found = abilities.run(made, runner.run(made, [REEFS]), tmp_path, tmp_path / "noise", lambda done, total: None)
    assert found.figures["edits: followed"] == found.figures["paraphrases: every wording right"] == Share(1, 1)


# the data


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "holds nothing"),
        ("[1]", ":1: "),
        ("{", ":1: .*expected a JSON object with id, "),
        ('{"id": "a", "find": "x", "replace": "y", "question": "q"}', "must missing"),
        ('{"id": "a", "find": "(", "replace": "y", "question": "q", "must": []}', ":1: .*unterminated"),
        ('{"id": "a", "find": "x", "replace": "y", "question": "q", "must": [["("]]}', ":1: .*unterminated"),
        (
            '{"id": "a", "find": "x", "replace": "y", "question": "q", "must": [["a"]], "must_not": ["("]}',
            ":1: .*unterm",
        ),
        ('{"id": "a", "find": "x", "replace": "y", "question": "q", "must": []}\n' * 2, ":2: the id 'a' appears twice"),
    ],
)
def test_malformed_data_are_an_error(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "edited.jsonl").write_text(line)
    with pytest.raises(EvaluationError, match=message):
        abilities.load_edits(tmp_path / "edited.jsonl")
    with pytest.raises(EvaluationError, match="cannot read"):
        abilities.load_edits(tmp_path / "absent.jsonl")


def test_one_wording_is_no_group(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"id": "a", "questions": ["q"], "must": []}')
    with pytest.raises(EvaluationError, match="fewer than two wordings"):
        abilities.load_groups(tmp_path / "p.jsonl")


SHIPPED = corpora.load(from_env({}).corpus)
EDITS = abilities.load_edits(QUESTIONS / abilities.EDITED)


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.case.id)
def test_each_edit_of_the_glossary_makes_its_answer_stand_there_and_nowhere_before(edit: Edit) -> None:
    def holds(source: Corpus) -> bool:
        texts = [f"{p.heading}: {p.plain}" for p in chunk(source)]
        return any(
            all(any(p.search(text) for p in group) for group in edit.case.must)
            and not any(p.search(text) for p in edit.case.must_not)
            for text in texts
        )

    (trial,) = edited(SHIPPED, [edit])
    assert holds(trial.corpus) and not holds(SHIPPED)


def test_the_data_are_as_many_as_they_are_said_to_be() -> None:
    groups = abilities.load_groups(QUESTIONS / abilities.PARAPHRASES)
    assert len(EDITS) == 24 and len(groups) == 20 and {len(group) for group in groups} == {4}
    wordings = [c.question.text for group in groups for c in group]
    assert len(set(wordings)) == len(wordings)
    passages = " ".join(f"{p.heading}: {p.plain}" for p in chunk(SHIPPED))
    assert all(trials.meets(group[0], passages) for group in groups)


def test_what_is_cut_of_the_glossary_is_gone_and_nothing_else() -> None:
    passages = chunk(SHIPPED)
    for asked in questions.load([QUESTIONS / "tuning.jsonl"]):
        gone = {i for ids in questions.gold(asked, passages) for i in ids}
        left = chunk(cut(SHIPPED, [passages[i] for i in gone]))
        assert [p.plain for p in left] == [p.plain for p in passages if p.id not in gone]
