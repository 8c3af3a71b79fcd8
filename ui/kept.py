"""What is kept of a conversation, as records, and a whole conversation as Markdown or JSON. Pure; knows no file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from assistant.errors import StoreError
from assistant.records import Answer
from ui.database import State
from ui.exports import answer_from_json, answer_markdown, answer_to_json, storable, verbatim

TITLE_CHARACTERS = 60
_ENDINGS = {"answering": "is still being written.", "stopped": "was stopped before its end.", "failed": "failed."}


@dataclass(frozen=True)
class ConversationInfo:
    """One line of the list. `updated` (UTC) is when it was last asked, answered or cut short."""

    id: str
    title: str
    updated: datetime
    turns: int


@dataclass(frozen=True)
class StoredTurn:
    """A question with the last snapshot of its answer; `message` says what failed where `state` is 'failed'.

    `replaced_by` is the turn that took its place; 0 for none.
    """

    id: int
    question: str
    answer: Answer | None
    state: State
    created: datetime
    vote: int
    comment: str
    message: str = ""
    replaced_by: int = 0


def stored(row: sqlite3.Row) -> StoredTurn:
    """Return a turn as it was kept."""
    answer, state, message = None, row["state"], row["message"]
    try:
        answer = None if row["answer"] is None else answer_from_json(row["answer"])
    except StoreError as error:  # one answer that cannot be read keeps no conversation closed
        state, message = "failed", str(error)
    return StoredTurn(
        row["id"], row["question"], answer, state, datetime.fromisoformat(row["created"]), row["vote"], row["comment"],
        message, row["replaced_by"],
    )  # fmt: skip


def as_markdown(title: str, turns: Sequence[StoredTurn]) -> str:
    """Return a conversation as Markdown in which only what is written here is markup, with its sources."""
    parts = [f"# {verbatim(title) or 'Conversation'}"]
    for n, turn in enumerate(turns, 1):
        parts += [f"## Question {n}", "\n".join(f"> {verbatim(line)}" for line in turn.question.splitlines())]
        parts += [answer_markdown(turn.answer)] if turn.answer else []
        if turn.state != "complete":
            parts.append(f"*This answer {_ENDINGS[turn.state]}* {verbatim(turn.message)}".rstrip())
        if turn.vote:
            parts.append(f"*Vote: {'up' if turn.vote > 0 else 'down'}* {verbatim(turn.comment)}".rstrip())
    return "\n\n".join(parts) + "\n"


def as_json(id: str, title: str, turns: Sequence[StoredTurn]) -> str:
    """Return a conversation as one JSON object: all that is kept of it, and each answer's text."""
    found = {"id": id, "title": title, "turns": [_exported(t) for t in turns]}
    return storable(json.dumps(found, ensure_ascii=False, indent=2)) + "\n"


def _exported(turn: StoredTurn) -> dict[str, Any]:
    answer = turn.answer and {"text": turn.answer.text, **json.loads(answer_to_json(turn.answer))}
    kept = {f.name: getattr(turn, f.name) for f in fields(turn)}
    return {**kept, "created": turn.created.isoformat(), "answer": answer}


def shortened(text: str, most: int = TITLE_CHARACTERS) -> str:
    """Return text on one line of at most `most` characters, cut after a word where one ends in its second half."""
    text = " ".join(storable(text).split())
    if len(text) <= most:
        return text
    cut = text[:most].rpartition(" ")[0]
    return (cut if len(cut) >= most // 2 else text[: most - 1]) + "…"
