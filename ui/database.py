"""One SQLite file that several processes may use: its making, damage, errors and who is still at work in it."""

from __future__ import annotations

import os
import sqlite3
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, get_args

from filelock import FileLock, Timeout

from assistant.errors import StoreError

BUSY_S = 10.0
APPLICATION, VERSION = 0x474C4F53, 2  # "GLOS": tells this file from another program's
# SQLite's levels of waiting for the disk: a snapshot outlives this process, what has ended a power cut too
SNAPSHOT_SYNC, ENDED_SYNC = "NORMAL", "FULL"
State = Literal["answering", "complete", "stopped", "failed"]
STATES: tuple[State, ...] = get_args(State)
REPLACED = "replaced_by INTEGER NOT NULL DEFAULT 0"  # the turn that took a turn's place
# a turn gives way only to a whole answer: one that was stopped, failed or died brings it back
SHOWN = """CREATE VIEW shown AS SELECT * FROM turn WHERE replaced_by = 0
  OR EXISTS (SELECT 1 FROM turn n WHERE n.id = turn.replaced_by AND n.state IN ('stopped', 'failed'));"""
SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE conversation (id TEXT PRIMARY KEY, title TEXT NOT NULL, updated TEXT NOT NULL);
-- AUTOINCREMENT: the id of a removed turn is never given again, or a late snapshot of it would land in another
CREATE TABLE turn (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  conversation TEXT NOT NULL REFERENCES conversation (id) ON DELETE CASCADE,
  question TEXT NOT NULL, answer TEXT, said TEXT NOT NULL DEFAULT '',
  state TEXT NOT NULL CHECK (state IN {STATES}), message TEXT NOT NULL DEFAULT '',
  owner TEXT NOT NULL, created TEXT NOT NULL,
  vote INTEGER NOT NULL DEFAULT 0 CHECK (vote IN (-1, 0, 1)), comment TEXT NOT NULL DEFAULT '',
  {REPLACED}
);
CREATE INDEX turn_of_conversation ON turn (conversation, id);
CREATE INDEX turn_in_progress ON turn (owner) WHERE state = 'answering';
{SHOWN}
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
COMMIT;
"""
UPGRADE = f"""
BEGIN IMMEDIATE;
ALTER TABLE turn ADD COLUMN {REPLACED};
{SHOWN}
PRAGMA user_version = {VERSION};
COMMIT;
"""  # from version 1


class _Damaged(sqlite3.DatabaseError):
    """SQLite's own check found the file damaged."""


@contextmanager
def one_line(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise into StoreError."""
    try:
        yield
    except (sqlite3.Error, OSError, OverflowError) as error:  # OverflowError: a turn's id that no turn can have
        raise StoreError(_explained(path, error)) from error


def _explained(path: Path, error: Exception) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if isinstance(error, Timeout) or code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"the conversations in {path} are in use ({error}) for over {BUSY_S:.0f} s: close the other program"
    if _is_damage(error):
        return f"the conversations in {path} are damaged ({error}); start again: the file is then set aside"
    why = error.strerror if isinstance(error, OSError) and error.strerror else error
    return (
        f"cannot keep conversations in {path}: {why}; expected a file that can be written:"
        " free space there, or pass --data-dir PATH"
    )


def _is_damage(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, _Damaged) or code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def opened(path: Path) -> tuple[sqlite3.Connection, str]:
    """Return a connection, and a line about the damaged file that was set aside for it, if one was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(path.name + ".lock"), timeout=BUSY_S):  # one sets a damaged file aside, not two
        try:
            return _connected(path), ""
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            aside = _set_aside(path)
            told = f"the conversations in {path} were damaged ({error}): kept as {aside.name}, and a new file begun"
        return _connected(path), told


def _connected(path: Path) -> sqlite3.Connection:
    with suppress(FileExistsError):  # made here so that nobody else on this computer can read it
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    sql = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        sql.row_factory = sqlite3.Row
        sql.create_function("holds", 2, lambda text, sought: sought in folded(text), deterministic=True)
        sql.execute(f"PRAGMA synchronous = {SNAPSHOT_SYNC}")
        found = sql.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise _Damaged(" ".join(found.split()))
        sql.execute("PRAGMA journal_mode = WAL")
        sql.execute("PRAGMA foreign_keys = ON")
        sql.execute("PRAGMA secure_delete = ON")
        application, version = (sql.execute(f"PRAGMA {n}").fetchone()[0] for n in ("application_id", "user_version"))
        if not sql.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            sql.executescript(SCHEMA)
        elif (application, version) == (APPLICATION, 1):
            sql.executescript(UPGRADE)
        elif (application, version) != (APPLICATION, VERSION):
            raise StoreError(
                f"{path} was made by another program or version (found {application:#x}, {version}; expected"
                f" {APPLICATION:#x}, {VERSION}): move it away, or pass --data-dir PATH"
            )
    except BaseException:
        sql.close()
        raise
    return sql


def _set_aside(path: Path) -> Path:
    """Rename a damaged file, with what SQLite keeps beside it, to the first free *.damaged-N."""
    n = 1
    while (aside := path.with_name(f"{path.name}.damaged-{n}")).exists():
        n += 1
    for tail in ("-wal", "-shm", ""):  # the file itself last: until then a second try finds it damaged still
        with suppress(FileNotFoundError):
            path.with_name(path.name + tail).rename(f"{aside}{tail}")
    return aside


def alive(presence: Path) -> bool:
    """Tell whether the process that made a lock file lives; remove the file when it does not."""
    if not presence.exists():
        return False
    lock = FileLock(presence, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    leave(lock)
    return False


def leave(lock: FileLock) -> None:
    """Release a lock and remove its file."""
    with suppress(OSError):  # Windows removes no file that is open: there, releasing it does
        Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()


def folded(text: str) -> str:
    """Return text in the form in which a search compares it, without case."""
    return unicodedata.normalize("NFKC", text).casefold()
