"""What `glossary eval` prints and writes, in order, and that every file is read before a model is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from assistant.errors import EvaluationError
from assistant.evaluation import evaluate
from assistant.evaluation.evaluate import Asked
from assistant.settings import from_env
from tests.making import assistant

CASES = [
    {"id": "a", "kind": "fact", "question": "How many crew members do hulls of 40 feet need?", "answerable": True,
     "must": [["two"]], "support": ["Hulls of 40 feet need two crew members."]},
    {"id": "b", "kind": "definition", "question": "What is a hull?", "answerable": True, "must": [["body of a boat"]],
     "support": ["A hull is the body of a boat that floats in the water."]},
]  # fmt: skip
WORDINGS = {"id": "p", "questions": ["What is a hull?", "A hull is what?"], "must": [["body of a boat"]]}
EDIT = {"id": "e", "find": "two crew", "replace": "nine crew", "question": CASES[0]["question"], "must": [["nine"]]}


@contextmanager
def bar() -> Iterator[Callable[[int, int], None]]:
    yield lambda done, total: None


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "sets" / "boats.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps(case) + "\n" for case in CASES))
    (path.parent / "paraphrases.jsonl").write_text(json.dumps(WORDINGS))
    (path.parent / "edited.jsonl").write_text(json.dumps(EDIT))
    return path


def test_a_run_is_compared_with_an_earlier_one_and_written_whole(tmp_path: Path, questions: Path) -> None:
    made, _ = assistant(tmp_path / "index", [""])
    out = tmp_path / "out"
    out.mkdir()
    first = Asked((questions,), out, out / "answers.jsonl")
    assert "answerable correct" in "".join(evaluate.run(made, from_env({}), first, bar))
    lines = [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == ["a", "b"]
    worse = tmp_path / "worse.jsonl"
    worse.write_text("".join(json.dumps({**line, "correct": False}) + "\n" for line in lines))
    asked = Asked((questions,), out, out / "answers.jsonl", against=worse, abilities=True)
    evaluate.check(asked)
    parts = list(evaluate.run(made, from_env({}), asked, bar))
    right = sum(line["correct"] for line in lines)
    assert right and f"{right}" in parts[1] and "edits: followed" in parts[2]
    assert {p.name for p in out.iterdir()} == {
        "answers.jsonl", "figures.json", "kinds.png", "report.md", "risk_coverage.png",
    }  # fmt: skip
    assert json.loads((out / "figures.json").read_text())["measured"][0]["figure"].startswith("2 of 2")
    assert all(part in (out / "report.md").read_text() for part in parts[1:3])


@pytest.mark.parametrize("gone", ["boats.jsonl", "edited.jsonl", "paraphrases.jsonl"])
def test_a_missing_file_is_told_before_anything_is_loaded(questions: Path, gone: str) -> None:
    (questions.parent / gone).unlink()
    with pytest.raises(EvaluationError, match=gone):
        evaluate.check(Asked((questions,), abilities=True))


def test_answers_to_compare_with_are_read_first(questions: Path, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="gone.jsonl"):
        evaluate.check(Asked((questions,), against=tmp_path / "gone.jsonl"))
