from __future__ import annotations

import json
from pathlib import Path

import pytest

from assistant.errors import EvaluationError
from assistant.evaluation import squad
from assistant.records import Answer, Citation, Sentence

CONTEXT = "The keel is 12.5 m long.  It was laid in 1901.\nNobody knows who laid it."


def written(folder: Path, **article: object) -> Path:
    asked = [
        {"id": "a", "question": " How long is the keel? ", "answers": [{"text": "12.5 m"}, {"text": "12.5 m long"}]},
        {"id": "b", "question": "Who laid the keel?", "answers": []},
    ]
    made = {"title": "A_Ship", "paragraphs": [{"context": CONTEXT, "qas": asked}], **article}
    path = folder / "squad.json"
    path.write_text(json.dumps({"version": "v2.0", "data": [made]}), encoding="utf-8")
    return path


def said(text: str) -> Answer:
    return Answer("", (Sentence(text, "quote", (1,)),), (Citation(1, "", text, 0, len(text), "f"),))


def test_an_article_is_a_corpus_and_its_questions_have_gold(tmp_path: Path) -> None:
    (trial,) = squad.read(written(tmp_path))
    (document,) = trial.corpus.documents
    assert document.text == "# A Ship\n\nThe keel is 12.5 m long. It was laid in 1901. Nobody knows who laid it.\n"
    length, who = trial.cases
    assert (length.question.text, length.answerable, who.answerable) == ("How long is the keel?", True, False)
    assert length.correct(said("It is 12.5 m long.")) and not length.correct(said("It is 112.5 m long."))
    assert not length.correct(Answer("", abstained=True, reason="no"))
    assert who.correct(Answer("", abstained=True, reason="no")) and not who.correct(said("Nobody knows who laid it."))


def test_the_sample_is_of_the_size_asked_for_and_always_the_same(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert [c.id for t in squad.read(path, most=1) for c in t.cases] == [
        c.id for c in squad.read(path, most=1)[0].cases
    ]
    assert len(squad.read(path, ["A_Ship"], most=1)[0].cases) == 1


def test_what_is_no_squad_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="no article 'Boats'; expected one of A_Ship"):
        squad.read(written(tmp_path), ["Boats"])
    for path in (tmp_path / "missing.json", written(tmp_path, paragraphs=[{}])):
        with pytest.raises(EvaluationError, match="expected a SQuAD 2.0 JSON file"):
            squad.read(path)
