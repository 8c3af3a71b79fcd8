"""Conversations, kept in one SQLite file of the user's data folder. Knows answers as records; no page, no model.

Each snapshot of an answer is committed when it comes, so a process that dies loses nothing that was shown. A
process holds a lock file while it answers, and the system frees the lock when the process dies, however it
dies: that is how a turn left 'answering' by a dead process is told from one that another window is answering.
"""

from __future__ import annotations

import builtins
import json
import sqlite3
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock

from assistant.errors import StoreError
from assistant.records import Answer
from ui import database
from ui.database import STATES, State, alive, folded, leave, one_line, opened
from ui.exports import answer_from_json, answer_markdown, answer_to_json, storable, verbatim

FILE = "conversations.db"
TITLE_CHARACTERS, GIVEN_TITLE_CHARACTERS = 60, 200


@dataclass(frozen=True)
class ConversationInfo:
    """One line of the list. `updated` (UTC) is when it was last asked, answered or cut short."""

    id: str
    title: str
    updated: datetime
    turns: int


@dataclass(frozen=True)
class StoredTurn:
    """A question with the last snapshot of its answer; `message` says what failed where `state` is 'failed'."""

    id: int
    question: str
    answer: Answer | None
    state: State
    created: datetime
    vote: int
    comment: str
    message: str = ""


class ConversationStore:
    """The conversations in one SQLite file. Safe to share between threads, and the file between processes.

    `notice` is one line where a damaged file was set aside when this store was opened, else "". Every method
    raises StoreError with one line for a file that cannot be read or written, and for a conversation or a
    vote's turn that is no longer there.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, made with its folder where there is none. Raises StoreError."""
        self.path = Path(path)
        self._lock = threading.RLock()
        self._owner = uuid4().hex
        with one_line(self.path):
            self._sql, self.notice = opened(self.path)
            self._presence = FileLock(self._presence_file(self._owner), thread_local=False)
            self._finalizer = weakref.finalize(self, _close, self._sql, self._presence)
            for file in [f for f in self.path.parent.iterdir() if f.name.startswith(f"{self.path.name}-alive-")]:
                alive(file)
        self._settle()

    def close(self) -> None:
        """Close the file. Turns that are still 'answering' read as 'stopped' from now on."""
        with self._lock:
            self._finalizer()

    def create(self, title: str = "") -> str:
        """Begin a conversation and return its id."""
        made, title = uuid4().hex, shortened(title, GIVEN_TITLE_CHARACTERS)
        with self._transaction() as sql:
            sql.execute("INSERT INTO conversation VALUES (?, ?, ?)", (made, title, _now()))
        return made

    def list(self, search: str = "") -> builtins.list[ConversationInfo]:
        """Return the conversations that hold `search` in their title or a text, whatever its case; newest first."""
        rows = self._rows(
            "SELECT c.id, c.title, c.updated, count(t.id) AS turns"
            " FROM conversation c LEFT JOIN turn t ON t.conversation = c.id"
            " WHERE :sought = '' OR holds(c.title, :sought) OR EXISTS (SELECT 1 FROM turn u WHERE"
            " u.conversation = c.id AND (holds(u.question, :sought) OR holds(u.said, :sought)))"
            " GROUP BY c.id ORDER BY c.updated DESC, c.rowid DESC",
            {"sought": folded(storable(search).strip())},
        )
        return [ConversationInfo(r["id"], r["title"], datetime.fromisoformat(r["updated"]), r["turns"]) for r in rows]

    def rename(self, id: str, title: str) -> None:
        """Give a conversation another title; a blank one gives it that of its first question again."""
        with self._transaction() as sql:
            self._title(id)
            title = shortened(title, GIVEN_TITLE_CHARACTERS) or shortened(_first_question(sql, id)[1])
            sql.execute("UPDATE conversation SET title = ? WHERE id = ?", (title, storable(id)))

    def delete(self, id: str) -> None:
        """Remove a conversation, from the disk too; one that is gone already is no error."""
        with self._transaction() as sql:
            sql.execute("DELETE FROM conversation WHERE id = ?", (storable(id),))
        # what was deleted stands in the write-ahead log until that is emptied
        self._rows("PRAGMA wal_checkpoint(TRUNCATE)")

    def turns(self, id: str) -> builtins.list[StoredTurn]:
        """Return the turns of a conversation, oldest first."""
        self._settle()
        self._title(id)
        rows = self._rows("SELECT * FROM turn WHERE conversation = ? ORDER BY id", (storable(id),))
        return [_stored(r) for r in rows]

    def begin(self, conversation: str, question: str) -> int:
        """Keep a question that is about to be answered, and return its turn's id."""
        now = _now()
        with self._transaction() as sql:
            self._announce()
            title = self._title(conversation) or shortened(question)
            sql.execute("UPDATE conversation SET title = ?, updated = ? WHERE id = ?", (title, now, conversation))
            made = sql.execute(
                "INSERT INTO turn (conversation, question, state, owner, created) VALUES (?, ?, 'answering', ?, ?)",
                (conversation, storable(question), self._owner, now),
            )
            return int(made.lastrowid or 0)

    def update(self, turn: int, answer: Answer, state: str) -> None:
        """Keep a snapshot of an answer.

        A turn that was removed meanwhile stays removed, and a snapshot 'answering' that comes late changes no
        turn that has ended: both happen where Stop or Retry overtakes the answer.
        """
        if state not in STATES:
            raise StoreError(f"the state {state!r} is none; expected one of {', '.join(STATES)}")
        with self._transaction(durable=state != "answering") as sql:
            self._announce()
            sql.execute(
                "UPDATE turn SET answer = ?, said = ?, state = ?, owner = ?"
                " WHERE id = ? AND (state = 'answering' OR ? <> 'answering')",
                (answer_to_json(answer), storable(answer.text), state, self._owner, turn, state),
            )
            self._touch(sql, turn)

    def fail(self, turn: int, message: str) -> None:
        """Keep that a turn failed and why; what was shown of its answer stays."""
        with self._transaction(durable=True) as sql:
            sql.execute("UPDATE turn SET state = 'failed', message = ? WHERE id = ?", (storable(message), turn))
            self._touch(sql, turn)

    def vote(self, turn: int, vote: int, comment: str = "") -> None:
        """Keep what a person thinks of an answer: 1 good, -1 bad, 0 takes the vote back."""
        if vote not in (-1, 0, 1):
            raise StoreError(f"the vote is {vote!r}; expected 1 (good), -1 (bad) or 0 (none)")
        with self._transaction(durable=True) as sql:
            done = sql.execute("UPDATE turn SET vote = ?, comment = ? WHERE id = ?", (vote, storable(comment), turn))
            if not done.rowcount:
                raise StoreError(f"turn {turn} is no longer there; expected one that is shown: open its conversation")

    def truncate(self, conversation: str, from_turn: int) -> None:
        """Remove a turn and those after it, to retry or edit it; a title made from the first question goes with it."""
        with self._transaction() as sql:
            first, question = _first_question(sql, conversation)
            sql.execute("DELETE FROM turn WHERE conversation = ? AND id >= ?", (storable(conversation), from_turn))
            if from_turn <= first:
                sql.execute(
                    "UPDATE conversation SET title = '' WHERE id = ? AND title = ?",
                    (storable(conversation), shortened(question)),
                )
            sql.execute("UPDATE conversation SET updated = ? WHERE id = ?", (_now(), storable(conversation)))

    def export_markdown(self, id: str) -> str:
        """Return a conversation as Markdown in which only what is written here is markup, with its sources."""
        parts = [f"# {verbatim(self._title(id)) or 'Conversation'}"]
        for n, turn in enumerate(self.turns(id), 1):
            parts += [f"## Question {n}", "\n".join(f"> {verbatim(line)}" for line in turn.question.splitlines())]
            parts += [answer_markdown(turn.answer)] if turn.answer else []
            if turn.state != "complete":
                parts.append(f"*This answer {_ENDINGS[turn.state]}* {verbatim(turn.message)}".rstrip())
            if turn.vote:
                parts.append(f"*Vote: {'up' if turn.vote > 0 else 'down'}* {verbatim(turn.comment)}".rstrip())
        return "\n\n".join(parts) + "\n"

    def export_json(self, id: str) -> str:
        """Return a conversation as one JSON object: all that is kept of it, and each answer's text."""
        found = {"id": id, "title": self._title(id), "turns": [_exported(t) for t in self.turns(id)]}
        return storable(json.dumps(found, ensure_ascii=False, indent=2)) + "\n"

    def _presence_file(self, owner: str) -> Path:
        return self.path.with_name(f"{self.path.name}-alive-{owner}")

    def _announce(self) -> None:
        """Hold the lock file of this store while it lives, made when it first answers."""
        if not self._presence.is_locked:
            self._presence.acquire(timeout=database.BUSY_S)

    def _settle(self) -> None:
        """Turn what dead processes left 'answering' into 'stopped'."""
        asked = "SELECT DISTINCT owner FROM turn WHERE state = 'answering' AND owner <> ?"
        for (owner,) in self._rows(asked, (self._owner,)):
            with one_line(self.path):
                living = alive(self._presence_file(owner))
            if not living:
                with self._transaction() as sql:
                    sql.execute("UPDATE turn SET state = 'stopped' WHERE state = 'answering' AND owner = ?", (owner,))

    def _title(self, conversation: str) -> str:
        rows = self._rows("SELECT title FROM conversation WHERE id = ?", (storable(conversation),))
        if not rows:
            raise StoreError("this conversation is no longer there, it was deleted: open another or begin a new one")
        return str(rows[0]["title"])

    @staticmethod
    def _touch(sql: sqlite3.Connection, turn: int) -> None:
        sql.execute(
            "UPDATE conversation SET updated = ? WHERE id = (SELECT conversation FROM turn WHERE id = ?)",
            (_now(), turn),
        )

    def _rows(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> builtins.list[sqlite3.Row]:
        with self._lock, one_line(self.path):
            return self._sql.execute(sql, values).fetchall()

    @contextmanager
    def _transaction(self, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """Change the file, whole or not at all. `durable` waits until the disk has it, and all before it."""
        with self._lock, one_line(self.path):
            self._sql.execute(f"PRAGMA synchronous = {database.ENDED_SYNC if durable else database.SNAPSHOT_SYNC}")
            self._sql.execute("BEGIN IMMEDIATE")
            try:
                yield self._sql
                self._sql.execute("COMMIT")
            except BaseException:
                self._sql.rollback()
                raise


_ENDINGS = {"answering": "is still being written.", "stopped": "was stopped before its end.", "failed": "failed."}


def _close(sql: sqlite3.Connection, presence: FileLock) -> None:
    if presence.is_locked:
        leave(presence)
    sql.close()


def _first_question(sql: sqlite3.Connection, conversation: str) -> tuple[int, str]:
    asked = "SELECT id, question FROM turn WHERE conversation = ? ORDER BY id LIMIT 1"
    row = sql.execute(asked, (storable(conversation),)).fetchone()
    return (row["id"], row["question"]) if row else (0, "")


def _stored(row: sqlite3.Row) -> StoredTurn:
    answer, state, message = None, row["state"], row["message"]
    try:
        answer = None if row["answer"] is None else answer_from_json(row["answer"])
    except StoreError as error:  # one answer that cannot be read keeps no conversation closed
        state, message = "failed", str(error)
    created = datetime.fromisoformat(row["created"])
    return StoredTurn(row["id"], row["question"], answer, state, created, row["vote"], row["comment"], message)


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


def _now() -> str:
    """Return the time in UTC to the microsecond, in a form that sorts."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
