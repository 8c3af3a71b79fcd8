"""Answers as JSON to be kept, and as Markdown to be taken away. Pure; knows no file and no page."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any, TypeVar

from assistant.errors import StoreError
from assistant.records import Answer, Citation, Sentence, Timings, layout

R = TypeVar("R")


def answer_to_json(answer: Answer) -> str:
    """Return all of an answer but its hits as JSON; ASCII, so that no text is too odd to be kept."""
    found = asdict(replace(answer, hits=()))
    del found["hits"]
    return json.dumps(found)


def answer_from_json(text: str) -> Answer:
    """Return the answer that `answer_to_json` wrote. Raises StoreError."""
    try:
        raw = json.loads(text)
        raw["sentences"] = tuple(_record(Sentence, s) for s in raw["sentences"])
        raw["citations"] = tuple(_record(Citation, c) for c in raw["citations"])
        raw["timings"] = _record(Timings, raw["timings"])
        return _record(Answer, raw)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"a stored answer cannot be read ({type(error).__name__}: {error}); ask it again") from error


def _record(kind: type[R], raw: Mapping[str, Any]) -> R:
    """Make a record of the fields that it has today: one that was renamed since makes no old answer unreadable."""
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in raw.items() if name in known})


def answer_markdown(answer: Answer) -> str:
    """Return an answer as Markdown with its marks and, under it, where each stands; its words are shown verbatim."""
    sentences = tuple(replace(s, text=verbatim(s.text)) for s in answer.sentences)
    parts = [verbatim(answer.reason) if answer.abstained else layout(sentences, marks=True)]
    if answer.suggestions:
        parts.append("It does speak of: " + ", ".join(verbatim(s) for s in answer.suggestions))
    cited = [
        f"> - [{c.n}] **{verbatim(c.section)}**: “{verbatim(c.quote)}”"
        f" ({verbatim(c.file)}, characters {c.start}–{c.end})"
        for c in answer.citations
    ]
    return "\n\n".join(p for p in (*parts, "\n".join(cited)) if p)


def verbatim(text: str) -> str:
    """Return text on one line, escaped so that Markdown shows it as it is and loads nothing."""
    text = re.sub(r"([\\`*\[\]<>&~|]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", " ".join(text.split()))
    return re.sub(r"^(\d+)([.)])", r"\1\\\2", re.sub(r"^([#+=-])", r"\\\1", text))


def storable(text: str) -> str:
    """Return text that UTF-8 can hold: a half of a surrogate pair, which a browser may send, becomes '?'."""
    return text.encode("utf-8", "replace").decode("utf-8")
