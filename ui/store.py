"""Conversations, kept in one SQLite file of the user's data folder. Knows answers as records; no page, no model.

Each snapshot of an answer is committed when it comes, so a process that dies loses nothing that was shown. A
process holds a lock file while it answers, and the system frees the lock when the process dies, however it
dies: that is how a turn left 'answering' by a dead process is told from one that another window is answering.
"""

from __future__ import annotations

import builtins
import sqlite3
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock

from assistant.errors import StoreError
from assistant.records import Answer
from ui import database, kept
from ui.database import STATES, alive, folded, leave, one_line, opened
from ui.exports import answer_to_json, storable
from ui.kept import ConversationInfo, StoredTurn, shortened

FILE = "conversations.db"
GIVEN_TITLE_CHARACTERS = 200


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
            " FROM conversation c LEFT JOIN shown t ON t.conversation = c.id"
            " WHERE :sought = '' OR holds(c.title, :sought) OR EXISTS (SELECT 1 FROM shown u WHERE"
            " u.conversation = c.id AND (holds(u.question, :sought) OR holds(u.said, :sought)))"
            " GROUP BY c.id ORDER BY c.updated DESC, c.rowid DESC",
            {"sought": folded(storable(search).strip())},
        )
        return [ConversationInfo(r["id"], r["title"], datetime.fromisoformat(r["updated"]), r["turns"]) for r in rows]

    def rename(self, id: str, title: str) -> None:
        """Give a conversation another title; a blank one gives it that of its first question again."""
        with self._transaction() as sql:
            self._title(id)
            title = shortened(title, GIVEN_TITLE_CHARACTERS) or shortened(_edge(sql, id)[1])
            sql.execute("UPDATE conversation SET title = ? WHERE id = ?", (title, storable(id)))

    def delete(self, id: str) -> None:
        """Remove a conversation, from the disk too; one that is gone already is no error."""
        with self._transaction() as sql:
            sql.execute("DELETE FROM conversation WHERE id = ?", (storable(id),))
        # what was deleted stands in the write-ahead log until that is emptied
        self._rows("PRAGMA wal_checkpoint(TRUNCATE)")

    def turns(self, id: str, replaced: bool = False) -> builtins.list[StoredTurn]:
        """Return the turns of a conversation, oldest first; with those that others took the place of, if wanted."""
        self._settle()
        self._title(id)
        table = "turn" if replaced else "shown"
        rows = self._rows(f"SELECT * FROM {table} WHERE conversation = ? ORDER BY id", (storable(id),))
        return [kept.stored(r) for r in rows]

    def begin(self, conversation: str, question: str, replaces: int = 0) -> int:
        """Keep a question that is about to be answered, and return its turn's id.

        It takes the place of the turn `replaces` where that is still the last one, whose question may have given
        the conversation its title.
        """
        now = _now()
        with self._transaction() as sql:
            self._announce()
            title = self._title(conversation)
            first, last = _edge(sql, conversation), _edge(sql, conversation, "DESC")
            made = sql.execute(
                "INSERT INTO turn (conversation, question, state, owner, created) VALUES (?, ?, 'answering', ?, ?)",
                (conversation, storable(question), self._owner, now),
            )
            turn = int(made.lastrowid or 0)
            if replaces and replaces == last[0]:
                sql.execute(  # with it goes what it was to replace itself, shown because it was not whole
                    "UPDATE turn SET replaced_by = ? WHERE id IN"
                    " (SELECT id FROM shown WHERE conversation = ? AND ? IN (id, replaced_by))",
                    (turn, conversation, replaces),
                )
            if title == shortened(first[1]) and _edge(sql, conversation)[0] != first[0]:
                title = ""
            title = title or shortened(question)
            sql.execute("UPDATE conversation SET title = ?, updated = ? WHERE id = ?", (title, now, conversation))
            return turn

    def update(self, turn: int, answer: Answer, state: str) -> None:
        """Keep a snapshot of an answer; a whole one removes what it replaces, but for turns with a vote.

        A turn that was removed meanwhile stays removed, and a snapshot 'answering' that comes late changes no
        turn that has ended: both happen where Stop or Delete overtakes the answer.
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
            if state == "complete":
                sql.execute("DELETE FROM turn WHERE replaced_by = ? AND vote = 0", (turn,))
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

    def export_markdown(self, id: str) -> str:
        """Return a conversation as Markdown, with its sources."""
        return kept.as_markdown(self._title(id), self.turns(id))

    def export_json(self, id: str) -> str:
        """Return a conversation as one JSON object: all that is kept of it, and each answer's text."""
        return kept.as_json(id, self._title(id), self.turns(id))

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


def _close(sql: sqlite3.Connection, presence: FileLock) -> None:
    if presence.is_locked:
        leave(presence)
    sql.close()


def _edge(sql: sqlite3.Connection, conversation: str, order: str = "ASC") -> tuple[int, str]:
    """Return id and question of the first turn that is shown of a conversation, or of the last; 0 for none."""
    asked = f"SELECT id, question FROM shown WHERE conversation = ? ORDER BY id {order} LIMIT 1"
    row = sql.execute(asked, (storable(conversation),)).fetchone()
    return (row["id"], row["question"]) if row else (0, "")


def _now() -> str:
    """Return the time in UTC to the microsecond, in a form that sorts."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
