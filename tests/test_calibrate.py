from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from assistant.errors import EvaluationError
from assistant.evaluation import calibrate
from assistant.evaluation.calibrate import RIDGE, fit, other_texts, save
from assistant.evaluation.questions import Case
from assistant.grounding import Calibration
from assistant.records import Question
from tests.making import assistant

Row = dict[str, float]


def noisy(count: int, scale: float = 1.0) -> tuple[list[Row], list[bool]]:
    """Return rows of two features, the first of which tells a little of the label."""
    chance = random.Random(7)
    labels = [chance.random() < 0.3 for _ in range(count)]
    return [{"near": scale * (chance.gauss(0, 1) + y), "far": scale * chance.gauss(0, 1)} for y in labels], labels


def slope(found: Calibration, rows: Sequence[Row], labels: Sequence[bool], ridge: float, name: str) -> float:
    """Return the slope of the penalised log likelihood along one weight; '' is the bias.

    Where the fit is best it is 0. Each class weighs as much as half of the questions.
    """
    half = {True: len(labels) / 2 / sum(labels), False: len(labels) / 2 / (len(labels) - sum(labels))}
    total = sum(
        half[y] * (y - found.probability(row)) * (row.get(name, 0.0) if name else 1.0)
        for row, y in zip(rows, labels, strict=True)
    )
    return total - (ridge * found.weights[name] if name else 0.0)


@pytest.mark.parametrize("ridge", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("scale", [0.01, 1.0, 3.0])
def test_no_other_weights_fit_better(scale: float, ridge: float) -> None:
    rows, labels = noisy(200, scale)
    found = fit(rows, labels, ridge)
    for name in ("", "near", "far"):
        assert slope(found, rows, labels, ridge, name) == pytest.approx(0, abs=0.02), name


def test_a_fit_worked_by_hand() -> None:
    # Without a penalty the chances at 0 and at 1 are the shares there: 1 of 4 and 3 of 4.
    # So the bias is ln(1/3), and the weight is ln(3) - ln(1/3).
    rows = [{"x": 0.0}] * 4 + [{"x": 1.0}] * 4
    found = fit(rows, [True, False, False, False, True, True, True, False], ridge=1e-9)
    assert found.bias == pytest.approx(-math.log(3), abs=1e-4)
    assert found.weights == {"x": pytest.approx(2 * math.log(3), abs=1e-4)}
    assert found.questions == 8


@pytest.mark.parametrize(("yes", "no"), [(1, 9), (9, 1), (5, 5), (1, 200)])
def test_one_half_means_the_same_whatever_the_mixture(yes: int, no: int) -> None:
    found = fit([{"same": 0.0}] * (yes + no), [True] * yes + [False] * no)
    assert found.probability({"same": 0.0}) == pytest.approx(0.5, abs=1e-4)


def test_more_of_one_kind_changes_nothing() -> None:
    rows, labels = noisy(60)
    refused = [row for row, y in zip(rows, labels, strict=True) if not y]
    once = fit(rows, labels, ridge=1e-6)
    often = fit(rows + refused * 4, labels + [False] * len(refused) * 4, ridge=1e-6)
    assert often.weights == pytest.approx(dict(once.weights), abs=1e-3)
    assert often.bias == pytest.approx(once.bias, abs=1e-3)


def test_the_order_of_questions_and_features_changes_nothing() -> None:
    rows, labels = noisy(60)
    turned = [dict(reversed(row.items())) for row in reversed(rows)]
    found, other = fit(rows, labels), fit(turned, labels[::-1])
    assert other.bias == pytest.approx(found.bias, abs=2e-5)
    assert other.weights == pytest.approx(dict(found.weights), abs=2e-5)


def test_a_feature_that_a_row_lacks_counts_as_nothing() -> None:
    rows = [{"x": 1.0}, {"x": 0.0, "y": 0.0}, {"x": 1.0, "y": 1.0}, {"y": 1.0}]
    whole = [{"x": row.get("x", 0.0), "y": row.get("y", 0.0)} for row in rows]
    labels = [True, False, True, False]
    assert fit(rows, labels) == fit(whole, labels)
    assert set(fit(rows, labels).weights) == {"x", "y"}


def test_questions_that_a_feature_parts_cleanly_are_told_apart_by_finite_weights() -> None:
    rows = [{"x": float(n)} for n in range(-20, 20)]
    labels = [row["x"] > 0 for row in rows]
    found = fit(rows, labels)
    assert 0 < found.weights["x"] < 10
    assert [found.probability(row) > 0.5 for row in rows] == labels


def test_a_stronger_penalty_makes_smaller_weights() -> None:
    rows, labels = noisy(60)
    weights = [abs(fit(rows, labels, ridge).weights["near"]) for ridge in (0.1, RIDGE, 10.0, 1000.0)]
    assert weights == sorted(weights, reverse=True) and weights[-1] < weights[0] / 5


@pytest.mark.parametrize("label", [True, False])
def test_one_kind_of_question_alone_cannot_be_fitted(label: bool) -> None:
    with pytest.raises(EvaluationError, match="answerable and unanswerable"):
        fit([{"x": 1.0}, {"x": 2.0}], [label, label])


def test_no_questions_cannot_be_fitted() -> None:
    with pytest.raises(EvaluationError):
        fit([], [])


# files


def test_what_is_saved_is_what_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_text("the former one")
    save(path, reader=Calibration(0.5, {"dense": 1.25, "doubt": -2.0}, 12), retrieval=Calibration(-1.0, {}, 3))
    assert json.loads(path.read_text()) == {
        "reader": {"bias": 0.5, "weights": {"dense": 1.25, "doubt": -2.0}, "questions": 12},
        "retrieval": {"bias": -1.0, "weights": {}, "questions": 3},
    }
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["folder", "file/calibration.json"])
def test_a_file_that_cannot_be_written_is_an_error_that_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(EvaluationError, match="--out"):
        save(tmp_path / name, reader=Calibration(0.0, {}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_disk_that_fills_up_leaves_the_former_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "calibration.json"
    save(path, reader=Calibration(1.0, {}))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(EvaluationError, match="No space left"):
        save(path, reader=Calibration(2.0, {}))
    monkeypatch.undo()
    assert json.loads(path.read_text())["reader"]["bias"] == 1.0


# several texts

LINE = '{"id": "%s", "kind": "fact", "question": "What?", "answerable": true, "must": [["x"]]}\n'


def test_texts_with_questions_beside_them_are_found_in_order(tmp_path: Path) -> None:
    for name in ("b", "a", "lone"):
        (tmp_path / f"{name}.md").write_text(f"# {name}\n\nIt is {name}.\n")
    for name in ("a", "b", "textless"):
        (tmp_path / f"{name}.jsonl").write_text(LINE % name)
    found = other_texts(str(tmp_path))
    assert [(path.name, [c.id for c in cases]) for path, cases in found] == [("a.md", ["a"]), ("b.md", ["b"])]


def test_no_folder_means_no_other_texts() -> None:
    assert other_texts(None) == []


def test_a_folder_without_pairs_is_an_error_that_says_what_is_expected(tmp_path: Path) -> None:
    (tmp_path / "lone.md").write_text("# Lone\n")
    with pytest.raises(EvaluationError, match=r"NAME\.md and NAME\.jsonl"):
        calibrate.other_texts(str(tmp_path))


def test_the_language_model_is_asked_only_about_what_is_in_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    low, high = 0.15, 0.85
    monkeypatch.setattr(calibrate, "DOUBT", (low, high))
    made, model = assistant(tmp_path, ["[1]"], trained=True)
    asked = [
        ("What is a hull?", True), ("What does reefing protect?", True), ("Which edge is the luff?", True),
        ("Who won the election in Peru?", False), ("How old is the captain?", False), ("Which hull is red?", False),
    ]  # fmt: skip
    cases = [Case(str(n), "fact", Question(q), yes, (), (), ()) for n, (q, yes) in enumerate(asked)]
    with pytest.raises(EvaluationError, match="one of them is missing"):
        calibrate.decide(made, [c for c in cases if c.answerable], [])
    assert not model.given
    found = calibrate.decide(made, cases, [])
    doubtful = [c for c in cases if low < found.first.probability(made.signals(c.question, False)) < high]
    assert found.second.questions == len(doubtful) == len(model.given)
    assert 0 < len(doubtful) <= found.first.questions == len(cases)
