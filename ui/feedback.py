"""Votes → lines of a question set, to be completed by a person (tests/questions/README.md). Knows the store alone."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from assistant.errors import StoreError
from ui.exports import storable
from ui.kept import StoredTurn
from ui.store import ConversationStore


def export(store: ConversationStore) -> list[dict[str, Any]]:
    """Return one question-set line for each turn with a vote, in the order they were asked. Raises StoreError.

    A turn that was asked again is among them, though its conversation no longer shows it.

    `kind` is a guess, `must` and `must_not` are empty, and `answerable` is None unless an answer was voted up:
    a question set that is measured with such a line needs them completed. `vote`, `comment` and `answer` say
    what to complete them from.
    """
    voted = []
    for conversation in store.list():
        turns, shown = store.turns(conversation.id, replaced=True), {t.id for t in store.turns(conversation.id)}
        for turn in (t for t in turns if t.vote):
            before = [t for t in turns if t.id < turn.id and _stood(t, turn, t.id in shown)]
            voted.append((turn.id, _line(conversation.id, before, turn)))
    return [line for _, line in sorted(voted, key=lambda pair: pair[0])]


def _stood(earlier: StoredTurn, turn: StoredTurn, shown: bool) -> bool:
    """Tell whether an earlier turn was there when another one was asked."""
    return earlier.replaced_by != turn.id and (shown or earlier.replaced_by > turn.id)


def _line(conversation: str, before: Sequence[StoredTurn], turn: StoredTurn) -> dict[str, Any]:
    answer = turn.answer
    text, citations = (answer.text, answer.citations) if answer else ("", ())
    good = turn.vote > 0 and answer is not None
    return {
        "id": f"feedback-{conversation[:8]}-{turn.id}",
        "kind": "fact",
        "question": turn.question,
        "history": [message for t in before for message in _messages(t)],
        "answerable": True if answer and good and not answer.abstained else None,
        "sections": list(dict.fromkeys(c.section for c in citations)),
        "must": [],
        "must_not": [],
        "reference": text if good else "",
        "support": [c.quote for c in citations],
        "vote": turn.vote,
        "comment": turn.comment,
        "answer": text,
    }


def _messages(turn: StoredTurn) -> list[dict[str, str]]:
    """Return a turn as messages of a history; one that was never answered is none."""
    if turn.answer is None or not turn.answer.text:
        return []
    return [{"role": "user", "content": turn.question}, {"role": "assistant", "content": turn.answer.text}]


def as_jsonl(lines: Sequence[dict[str, Any]]) -> str:
    """Return lines as JSON Lines, readable but for what `str.splitlines` would take for the end of a line."""
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    return storable(text.translate({ord(c): f"\\u{ord(c):04x}" for c in "\x85\u2028\u2029"}))


def write(store: ConversationStore, path: Path) -> int:
    """Write the lines to `path`, whole or not at all, and return how many they are. Raises StoreError."""
    lines = export(store)
    part = path.with_name(f"{path.name}.{uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("w", encoding="utf-8", newline="\n") as file:
                file.write(as_jsonl(lines))
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}; pass another path after --out") from error
    return len(lines)
