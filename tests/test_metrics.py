from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from assistant.errors import EvaluationError
from assistant.evaluation import runner
from assistant.evaluation.metrics import (
    Outcome,
    Share,
    by_kind,
    measure,
    outcome,
    passages_of,
    quantile,
    recall_at,
    reciprocal_rank,
    wilson,
)
from assistant.evaluation.questions import Case
from assistant.records import Answer, Citation, Corpus, Hit, Origin, Question, Sentence, Timings
from tests.making import parsed

SOURCE, PASSAGES = parsed()
HULL, CREW, PARTS, LUFF, LEECH, FOOT, SMALLER, MAST, KIT = PASSAGES


def case(name: str, *support: str, kind: str = "fact", must: str = "", answerable: bool = True) -> Case:
    return Case(name, kind, Question(name), answerable, ((re.compile(must, re.I),),) if must else (), (), support, "")


def cite(n: int, passage: int, quote: str | None = None) -> Citation:
    p = PASSAGES[passage]
    return Citation(n, p.heading, p.text if quote is None else quote, p.start, p.end, p.file)


def said(text: str, *citations: int, origin: Origin = "model", by_model: bool = True) -> Sentence:
    return Sentence(text, origin, citations, chosen="model" if by_model else "retrieval")


def found(*passages: int) -> tuple[Hit, ...]:
    return tuple(Hit(PASSAGES[n], 1.0, 1.0, 1.0, 1.0) for n in passages)


def judged(asked: Case, answer: Answer) -> Outcome:
    return outcome(asked, answer, SOURCE, PASSAGES)


# arithmetic


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [
        # z² = 3.8415; middle, spread and scale by hand
        (8, 10, 0.4902, 0.9433),  # (0.8 + 0.19207 ± 1.96·√(0.016 + 0.0096)) / 1.38415
        (0, 10, 0.0, 0.2775),  # 3.8415 / 13.8415
        (10, 10, 0.7225, 1.0),  # 10 / 13.8415
        (1, 2, 0.0945, 0.9055),
        (50, 100, 0.4038, 0.5962),
    ],
)
def test_wilson_by_hand(hits: int, total: int, low: float, high: float) -> None:
    assert wilson(hits, total) == pytest.approx((low, high), abs=5e-5)


def test_wilson_holds_the_share_and_narrows_with_more() -> None:
    for total in (1, 3, 17, 1000):
        for hits in range(0, total + 1, max(1, total // 7)):
            low, high = wilson(hits, total)
            assert 0 <= low <= hits / total + 1e-12 and hits / total - 1e-12 <= high <= 1
            wide, many = high - low, wilson(hits * 10, total * 10)
            assert many[1] - many[0] < wide
            mirrored = wilson(total - hits, total)
            assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high))


def test_of_nothing_nothing_is_known() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert math.isnan(Share(0, 0).value) and str(Share(0, 0)) == "–"


def test_a_share_reads_as_count_percentage_and_interval() -> None:
    assert Share(8, 10).value == 0.8
    assert str(Share(8, 10)) == "8/10 = 80.0% (49%–94%)"


@pytest.mark.parametrize(
    ("q", "value"),
    [(0.0, 1.0), (0.5, 3.0), (1.0, 10.0), (0.95, 8.8), (0.25, 2.0), (0.1, 1.4)],  # at 4q: 3.8 → 4 + 0.8·6
)
def test_quantiles_lie_between_their_neighbours(q: float, value: float) -> None:
    values = [3.0, 10.0, 1.0, 4.0, 2.0]
    assert quantile(values, q) == pytest.approx(value)
    assert values == [3.0, 10.0, 1.0, 4.0, 2.0], "its argument was sorted in place"


def test_the_median_of_an_even_count_is_the_middle() -> None:
    assert quantile([4.0, 1.0], 0.5) == 2.5


def test_quantiles_of_one_value_and_of_none() -> None:
    assert [quantile([7.0], q) for q in (0.0, 0.5, 0.95, 1.0)] == [7.0] * 4
    assert math.isnan(quantile([], 0.5))


@pytest.mark.parametrize(("k", "value"), [(0, 0.0), (1, 0.0), (2, 1 / 3), (3, 1 / 3), (4, 2 / 3), (99, 2 / 3)])
def test_recall_counts_gold_sentences_and_not_passages(k: int, value: float) -> None:
    # of three sentences the first stands in two passages, the second in one, the third was not found
    wanted = [{5, 8}, {2}, {0}]
    assert recall_at([9, 5, 8, 2], wanted, k) == pytest.approx(value)


def test_recall_without_gold_is_no_number() -> None:
    assert math.isnan(recall_at([1, 2], [], 3))


@pytest.mark.parametrize(
    ("ranked", "value"), [([2, 9], 1.0), ([9, 7, 8], 1 / 3), ([9, 8, 2], 1 / 2), ([9], 0.0), ([], 0.0)]
)
def test_reciprocal_rank_is_of_the_first_gold_passage(ranked: list[int], value: float) -> None:
    assert reciprocal_rank(ranked, [{5, 8}, {2}]) == pytest.approx(value)


def test_reciprocal_rank_without_gold_is_zero() -> None:
    assert reciprocal_rank([1, 2], []) == 0.0


# one answer


def test_an_outcome_names_the_passages_found_cited_and_wanted() -> None:
    asked = case("hull", HULL.plain, MAST.plain)
    answer = Answer("hull", (said("A hull floats.", 1, 2),), (cite(1, 0), cite(2, 4)), hits=found(3, 0, 6))
    judgement = judged(asked, answer)
    assert judgement.ranked == [3, 0, 6]
    assert judgement.cited == (0, 4)
    assert judgement.wanted == (frozenset({0}), frozenset({7}))


def test_a_quote_is_exact_when_the_text_holds_it_where_it_says() -> None:
    quotes = (cite(1, 0), cite(2, 7, "it protects the mast."), cite(3, 8, "The XR7 kit"))
    assert judged(case("hull"), Answer("hull", (), quotes)).exact_quotes == 1


def test_strange_words_are_those_that_no_cited_passage_holds() -> None:
    sentences = (
        said("A hull floats on Mars.", 1),  # the passage holds hull and float
        said("The mast of a hull.", 1, 2),  # two passages hold both words
        said("Reefing protects the mast.", 2),  # the heading above the passage holds reefing
        said("These are sails:"),  # a line above a list
        said("Nobody knows."),  # cites nothing: all its words are strange
    )
    answer = Answer("hull", sentences, (cite(1, 0), cite(2, 7)))
    assert judged(case("hull"), answer).strange_words == ("mar", "nobodi", "know")


# a whole run, worked by hand


@pytest.fixture
def run() -> tuple[Outcome, ...]:
    gold_found_late = Answer(
        "one",
        (
            said("A hull floats in the water.", 1),
            said("The front edge is Luff on Mars.", 2, origin="quote", by_model=False),
        ),
        (cite(1, 0), cite(2, 3)),
        timings=Timings(0.2, 1.0),
        hits=found(3, 0, 4, 6),
    )
    refused = Answer("two", abstained=True, reason="No.", timings=Timings(None, 2.0), hits=found(6))
    rightly_refused = Answer("three", abstained=True, reason="No.", timings=Timings(0.3, 3.0))
    invented = Answer(
        "four", (said("Hulls need crew:"), said("Two crew members.", 1, origin="quote")), (cite(1, 1, "wrong"),),
        timings=Timings(0.4, 4.0), hits=found(1),
    )  # fmt: skip
    return (
        judged(case("one", HULL.plain, SMALLER.plain, must="water"), gold_found_late),
        judged(case("two", SMALLER.plain, kind="list"), refused),
        judged(case("three", kind="unanswerable_far", answerable=False), rightly_refused),
        judged(case("four", kind="unanswerable_near", answerable=False), invented),
    )


@pytest.mark.parametrize(
    ("figure", "value"),
    [
        ("answerable correct", Share(1, 2)),
        ("refusals right", Share(1, 2)),
        ("over-refusals", Share(1, 2)),
        ("recall@1", 0.5),  # one: neither of two; two: its only one
        ("recall@3", 0.75),  # one: the hull, at the second place
        ("recall@6", 1.0),
        ("recall@12", 1.0),
        ("MRR", 0.75),  # a half and one
        ("answers citing a gold sentence", Share(1, 1)),  # of answers to what has gold: one
        ("citation precision", Share(1, 2)),  # one cites the hull, and the luff, which is none of its gold
        ("citation recall", Share(1, 2)),  # one has two gold sentences, and cites the hull
        ("quotes exact", Share(2, 3)),
        ("sentences written by the model", Share(1, 3)),  # the line above a list cites nothing
        ("sentences written or chosen by the model", Share(2, 3)),
        ("content words not in the cited text", Share(1, 12)),  # mars; 3 + 4 + 3 + 2 words in all
        ("words in an answer, median", 9.5),  # 13 and 6
        ("time to first word, median s", 0.3),
        ("time to first word, p95 s", 0.39),
        ("total time, median s", 2.5),
        ("total time, p95 s", 3.85),
    ],
)
def test_the_figures_of_a_run_by_hand(run: tuple[Outcome, ...], figure: str, value: Share | float) -> None:
    measured = measure(run)[figure]
    assert measured == (value if isinstance(value, Share) else pytest.approx(value))


def test_no_figure_is_left_unchecked(run: tuple[Outcome, ...]) -> None:
    marks: Any = test_the_figures_of_a_run_by_hand
    assert list(measure(run)) == [figure for figure, _ in marks.pytestmark[0].args[1]]


def test_kinds_are_counted_apart(run: tuple[Outcome, ...]) -> None:
    assert by_kind([*run, run[0]]) == {
        "fact": Share(2, 2),
        "list": Share(0, 1),
        "unanswerable_far": Share(1, 1),
        "unanswerable_near": Share(0, 1),
    }


def test_a_run_of_nothing_has_no_numbers() -> None:
    for figure, value in measure(()).items():
        assert value == Share(0, 0) or (isinstance(value, float) and math.isnan(value)), figure
    assert by_kind(()) == {}


# the runner


class Scripted:
    """Answers each question with the answer of that name."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self.answers = {answer.question: answer for answer in answers}
        self.asked: list[Question] = []

    @property
    def corpus(self) -> Corpus:
        return SOURCE

    def invoke(self, input: Question) -> Answer:
        self.asked.append(input)
        return self.answers[input.text]


def test_a_run_asks_in_order_and_tells_how_far_it_is(run: tuple[Outcome, ...]) -> None:
    assistant = Scripted([o.answer for o in run])
    steps: list[tuple[int, int]] = []
    cases = [o.case for o in run]
    found = runner.run(assistant, cases, lambda done, total: steps.append((done, total)))
    assert found == run
    assert assistant.asked == [c.question for c in cases]
    assert steps == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert passages_of(SOURCE) == PASSAGES


def test_an_answers_file_holds_a_line_of_json_for_each_question(run: tuple[Outcome, ...], tmp_path: Path) -> None:
    path = tmp_path / "out" / "answers.jsonl"
    runner.write_answers(run, path)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    assert [(line["id"], line["kind"], line["correct"]) for line in lines] == [
        ("one", "fact", True),
        ("two", "list", False),
        ("three", "unanswerable_far", True),
        ("four", "unanswerable_near", False),
    ]
    first, second = lines[:2]
    assert first["answer"] == "A hull floats in the water. The front edge is Luff on Mars."
    assert [(c["n"], SOURCE.text(c["file"])[c["start"] : c["end"]] == c["quote"]) for c in first["citations"]] == [
        (1, True),
        (2, True),
    ]
    assert [(s["citations"], s["origin"], s["chosen_by"]) for s in first["sentences"]] == [
        ([1], "model", "model"),
        ([2], "quote", "retrieval"),
    ]
    assert (first["ttft_s"], first["total_s"], second["ttft_s"]) == (0.2, 1.0, None)
    assert (second["abstained"], second["reason"], second["answer"]) == (True, "No.", "No.")
    assert [p.name for p in path.parent.iterdir()] == ["answers.jsonl"]


def test_an_answer_of_several_lines_is_one_line_of_the_file(tmp_path: Path) -> None:
    text = 'Parts:\n- Luff “front”\u2028\\ "edge"\r\n🙂'
    path = tmp_path / "answers.jsonl"
    runner.write_answers([judged(case("parts"), Answer("parts", (said(text),)))], path)
    raw = path.read_bytes()
    assert raw.count(b"\n") == 1 and raw.endswith(b"\n")
    assert json.loads(raw)["answer"] == text


def _in_a_file(folder: Path) -> Path:
    (folder / "file").touch()
    return folder / "file" / "answers.jsonl"


def _a_folder(folder: Path) -> Path:
    (folder / "answers.jsonl").mkdir()
    return folder / "answers.jsonl"


@pytest.mark.parametrize(
    "place",
    [
        _in_a_file,
        _a_folder,
    ],
)
def test_answers_that_cannot_be_written_are_an_error_that_names_the_path(tmp_path: Path, place: Any) -> None:
    path = place(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(EvaluationError, match="pass another path") as caught:
        runner.write_answers((), path)
    assert str(path) in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


def test_a_disk_that_fills_up_leaves_the_former_answers(
    run: tuple[Outcome, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "answers.jsonl"
    runner.write_answers(run[:1], path)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(EvaluationError, match="No space left"):
        runner.write_answers(run, path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
