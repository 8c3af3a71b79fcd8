from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from assistant.errors import StoreError
from assistant.records import Answer, Citation, Hit, Passage, Sentence, Timings
from ui.exports import answer_from_json, answer_markdown, answer_to_json
from ui.kept import TITLE_CHARACTERS, StoredTurn, shortened
from ui.store import ConversationStore

pytestmark = pytest.mark.process

PASSAGE = Passage(0, "boats.md", 10, 14, "Hull", "Hull", ("Boats",), (), 0, 0, None, "sentence")
ANSWER = Answer(
    question="What is a hull? 🚤 \ud800",
    sentences=(
        Sentence("A hull floats.", "model", (1,), chosen="model"),
        Sentence("Luff: the *front* edge", "quote", (2, 1), item=True),
    ),
    citations=(
        Citation(1, "Boats › Hulls", "A hull is the body\nof a boat.", 20, 49, "boats.md"),
        Citation(2, "Sails", "- Luff: the *front* edge", 100, 124, "boats.md"),
    ),
    timings=Timings(0.1 + 0.2, 1e-9),
    model="scripted",
    complete=True,
)
REFUSAL = Answer("Who?", abstained=True, reason="The glossary does not cover this.", suggestions=("Hulls", "Sails"))
CHILD = """
import sys
from pathlib import Path
from assistant.records import Answer, Sentence
from ui.store import ConversationStore
store = ConversationStore(Path(sys.argv[1]))
"""


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    for level in ("SNAPSHOT_SYNC", "ENDED_SYNC"):
        monkeypatch.setattr(f"ui.database.{level}", "OFF")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new folder" / "conversations.db"


@pytest.fixture
def store(path: Path) -> ConversationStore:
    return ConversationStore(path)


def child(path: Path, code: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a process that has opened the store as `store`, and runs `code`."""
    return subprocess.Popen(
        [sys.executable, "-c", CHILD + code, str(path), *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip


def said(text: str) -> Answer:
    return Answer("q", (Sentence(text, "model", ()),))


def asked(store: ConversationStore, question: str, answer: Answer = ANSWER) -> tuple[str, int]:
    """Return a new conversation of one answered turn, and the turn."""
    conversation = store.create()
    turn = store.begin(conversation, question)
    store.update(turn, answer, "complete")
    return conversation, turn


# answers as JSON


@pytest.mark.parametrize("answer", [ANSWER, REFUSAL, Answer(""), replace(ANSWER, timings=Timings())])
def test_an_answer_comes_back_from_json_as_it_was(answer: Answer) -> None:
    assert answer_from_json(answer_to_json(answer)) == answer


def test_json_keeps_every_field_of_an_answer_but_the_hits() -> None:
    hit = Hit(PASSAGE, 0.5, 0.5, 0.5, 0.5)
    kept = answer_from_json(answer_to_json(replace(ANSWER, hits=(hit,))))
    assert kept == ANSWER and kept.hits == ()
    assert set(json.loads(answer_to_json(ANSWER))) == {f.name for f in fields(Answer)} - {"hits"}


def test_an_answer_of_another_version_is_read_by_the_fields_known_today() -> None:
    raw = json.loads(answer_to_json(ANSWER)) | {"mood": "good"}
    raw["sentences"][0]["mood"] = "good"
    del raw["suggestions"]
    assert answer_from_json(json.dumps(raw)) == ANSWER


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"question": "q"}', '"text"', "{" * 50])
def test_what_is_no_answer_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(StoreError, match=r"stored answer cannot be read[^\n]*$"):
        answer_from_json(text)


# conversations and turns


def test_a_conversation_comes_back_from_the_file_as_it_was(store: ConversationStore, path: Path) -> None:
    started = datetime.now(UTC)
    conversation, turn = asked(store, "What is a hull?\n🚤 <b>x</b>\x00 …")
    store.vote(turn, -1, "too short 👎")
    store.close()
    (kept,) = ConversationStore(path).turns(conversation)
    assert (kept.id, kept.question, kept.answer) == (turn, "What is a hull?\n🚤 <b>x</b>\x00 …", ANSWER)
    assert (kept.state, kept.vote, kept.comment, kept.message) == ("complete", -1, "too short 👎", "")
    assert started <= kept.created <= datetime.now(UTC) and kept.created.utcoffset() == timedelta(0)


def test_the_list_is_newest_first_by_the_last_change(store: ConversationStore) -> None:
    first, second, third = (store.create(t) for t in ("first", "second", "third"))
    turn = store.begin(first, "again?")
    assert [c.id for c in store.list()] == [first, third, second]
    store.begin(second, "me")
    store.update(turn, ANSWER, "complete")
    found = store.list()
    assert [(c.id, c.title, c.turns) for c in found] == [
        (first, "first", 1),
        (second, "second", 1),
        (third, "third", 0),
    ]
    assert found[0].updated > found[1].updated > found[2].updated
    store.rename(third, "renamed")
    store.vote(store.turns(second)[0].id, 1)
    assert [c.id for c in store.list()] == [first, second, third], "neither a name nor a vote moves a conversation"


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("What is  a\nhull? ", "What is a hull?"),
        ("word " * 20, "word " * 11 + "word…"),
        ("x" * 60, "x" * 60),
        ("x" * 61, "x" * 59 + "…"),
        ("a " + "x" * 50_000, "a " + "x" * 57 + "…"),
        ("y" * 59 + " end", "y" * 59 + "…"),
        (" \n", ""),
    ],
)
def test_the_first_question_becomes_the_title(store: ConversationStore, question: str, title: str) -> None:
    conversation = store.create()
    store.begin(conversation, question)
    assert store.list()[0].title == title and len(title) <= TITLE_CHARACTERS
    store.begin(conversation, "another question")
    assert store.list()[0].title == title or not title


def test_a_given_title_stays_and_a_blank_one_is_made_again(store: ConversationStore) -> None:
    conversation = store.create("Mine")
    store.begin(conversation, "What is a hull?")
    assert store.list()[0].title == "Mine"
    store.rename(conversation, "Two\nlines")
    assert store.list()[0].title == "Two lines"
    store.rename(conversation, "  ")
    assert store.list()[0].title == "What is a hull?"


def test_snapshots_replace_each_other_and_a_late_one_changes_no_ended_turn(store: ConversationStore) -> None:
    conversation = store.create()
    turn = store.begin(conversation, "q")
    assert (store.turns(conversation)[0].answer, store.turns(conversation)[0].state) == (None, "answering")
    for text in ("A", "A hull", "A hull floats."):
        store.update(turn, said(text), "answering")
        assert store.turns(conversation)[0].answer == said(text)
    store.update(turn, said("A hull floats."), "stopped")
    store.update(turn, said("A hull floats. It"), "answering")
    assert (store.turns(conversation)[0].answer, store.turns(conversation)[0].state) == (
        said("A hull floats."),
        "stopped",
    )


def test_a_failed_turn_keeps_what_was_shown_and_says_why(store: ConversationStore) -> None:
    conversation = store.create()
    turn = store.begin(conversation, "q")
    store.update(turn, said("A hull"), "answering")
    store.fail(turn, "the model stopped: out of memory")
    (kept,) = store.turns(conversation)
    assert (kept.answer, kept.state, kept.message) == (said("A hull"), "failed", "the model stopped: out of memory")


def questions(store: ConversationStore, conversation: str) -> list[str]:
    return [t.question for t in store.turns(conversation)]


def test_a_turn_gives_way_only_to_a_whole_answer(store: ConversationStore) -> None:
    conversation, first = asked(store, "one")
    second = store.begin(conversation, "two")
    store.update(second, ANSWER, "complete")
    for end in ("stopped", "failed"):
        new = store.begin(conversation, f"two, {end}", replaces=store.turns(conversation)[-1].id)
        assert questions(store, conversation) == ["one", f"two, {end}"], "it is hidden while the new one is written"
        assert store.list()[0].turns == 2 and store.list("two,")
        store.update(new, said("A hull"), "answering")
        if end == "failed":
            store.fail(new, "out of memory")
        else:
            store.update(new, said("A hull"), "stopped")
        assert questions(store, conversation)[:2] == ["one", "two"]
    assert questions(store, conversation) == ["one", "two", "two, stopped", "two, failed"]
    last = store.begin(conversation, "two, whole", replaces=new)
    assert questions(store, conversation) == ["one", "two, whole"]
    store.update(last, ANSWER, "complete")
    assert questions(store, conversation) == ["one", "two, whole"]
    assert [t.id for t in store.turns(conversation, replaced=True)] == [first, last], "what had no vote is gone"
    store.update(second, ANSWER, "stopped")  # an answer that was overtaken comes late
    assert [t.id for t in store.turns(conversation)] == [first, last]


def test_a_turn_with_a_vote_is_kept_when_its_place_is_taken(store: ConversationStore) -> None:
    conversation, first = asked(store, "one")
    store.vote(first, -1, "too long")
    for text in ("one, again", "one, once more"):
        store.update(store.begin(conversation, text, replaces=store.turns(conversation)[-1].id), ANSWER, "complete")
        assert questions(store, conversation) == [text]
    kept: StoredTurn = store.turns(conversation, replaced=True)[0]
    assert (kept.id, kept.vote, kept.comment, kept.answer) == (first, -1, "too long", ANSWER)
    assert store.list("one")[0].turns == 1
    assert json.loads(store.export_json(conversation))["turns"][0]["question"] == "one, once more"


def test_only_the_last_turn_is_replaced(store: ConversationStore) -> None:
    conversation, first = asked(store, "one")
    other, elsewhere = asked(store, "elsewhere")
    store.begin(conversation, "two")
    for replaces in (first, elsewhere, 10**9):
        new = store.begin(conversation, "again", replaces=replaces)
        store.update(new, ANSWER, "complete")
    assert questions(store, conversation) == ["one", "two", "again", "again", "again"]
    assert questions(store, other) == ["elsewhere"]


def test_a_new_turn_that_cannot_be_kept_replaces_nothing(store: ConversationStore) -> None:
    conversation, turn = asked(store, "one")
    store._rows(f"PRAGMA max_page_count = {store._rows('PRAGMA page_count')[0][0]}")
    with pytest.raises(StoreError, match="full"):
        store.begin(conversation, "x" * 100_000, replaces=turn)
    assert [(t.id, t.answer) for t in store.turns(conversation)] == [(turn, ANSWER)]
    assert store.list()[0].title == "one"


def test_a_crash_after_a_retry_brings_the_answer_back(path: Path) -> None:
    store = ConversationStore(path)
    conversation, turn = asked(store, "one")
    process = child(
        path, "store.begin(sys.argv[2], 'again', int(sys.argv[3])); print('begun', flush=True); sys.stdin.read()",
        conversation, str(turn),
    )  # fmt: skip
    assert process.stdout
    process.stdout.readline()
    assert questions(store, conversation) == ["again"]
    process.kill()
    process.communicate()
    assert [(t.question, t.state) for t in store.turns(conversation)] == [("one", "complete"), ("again", "stopped")]


@pytest.mark.parametrize(("title", "expected"), [("", "What is a sail?"), ("Mine", "Mine")])
def test_editing_the_first_question_makes_its_title_anew(store: ConversationStore, title: str, expected: str) -> None:
    conversation = store.create(title)
    turn = store.begin(conversation, "What is a hull?")
    store.update(turn, ANSWER, "complete")
    store.begin(conversation, "What is a sail?", replaces=turn)
    assert store.list()[0].title == expected


def test_a_file_of_the_first_version_is_read_and_made_new(store: ConversationStore, path: Path) -> None:
    conversation, turn = asked(store, "kept from before")
    store.close()
    sql = sqlite3.connect(path)
    sql.executescript("DROP VIEW shown; ALTER TABLE turn DROP COLUMN replaced_by; PRAGMA user_version = 1;")
    sql.close()
    for _ in range(2):
        again = ConversationStore(path)
        assert again.notice == "" and [(t.id, t.answer) for t in again.turns(conversation)] == [(turn, ANSWER)]
        again.close()
    again = ConversationStore(path)
    again.update(again.begin(conversation, "new", replaces=turn), ANSWER, "complete")
    assert questions(again, conversation) == ["new"]
    again.close()


def test_deleting_removes_the_words_from_the_disk(store: ConversationStore, path: Path) -> None:
    conversation, turn = asked(store, "my secret question")
    store.vote(turn, 1, "my secret comment")
    store.delete(conversation)
    store.delete(conversation)
    assert store.list() == [] and store.list("secret") == []
    assert not any(b"secret" in file.read_bytes() for file in path.parent.iterdir())


def test_what_was_deleted_elsewhere_is_said_in_one_line(store: ConversationStore) -> None:
    conversation, turn = asked(store, "q")
    store.delete(conversation)
    for use in (
        lambda: store.turns(conversation),
        lambda: store.begin(conversation, "more"),
        lambda: store.rename(conversation, "x"),
        lambda: store.export_json(conversation),
        lambda: store.export_markdown(conversation),
        lambda: store.vote(turn, 1),
        lambda: store.vote(10**30, 1),
    ):
        with pytest.raises(StoreError, match=r"^[^\n]+$"):
            use()
    store.update(turn, ANSWER, "complete")
    assert store.list() == []


def test_a_vote_or_a_state_that_is_none_is_refused_and_a_vote_can_be_taken_back(store: ConversationStore) -> None:
    conversation, turn = asked(store, "q")
    with pytest.raises(StoreError, match="vote is 2; expected"):
        store.vote(turn, 2)
    with pytest.raises(StoreError, match="state 'done' is none; expected one of answering"):
        store.update(turn, ANSWER, "done")
    store.vote(turn, 1, "good")
    store.vote(turn, 0)
    assert (store.turns(conversation)[0].vote, store.turns(conversation)[0].comment) == (0, "")


def test_half_a_surrogate_pair_from_a_browser_does_no_harm(store: ConversationStore) -> None:
    conversation, turn = asked(store, "odd \ud83d end")
    store.vote(turn, 1, "\udc00")
    store.rename(conversation, "t\ud800")
    assert store.turns(conversation)[0].question == "odd ? end" and store.list("\ud800") != []
    assert "t?" in store.export_markdown(conversation) and store.export_json(conversation).encode()
    with pytest.raises(StoreError):
        store.turns("\ud800")


def test_an_answer_that_cannot_be_read_keeps_no_conversation_closed(store: ConversationStore, path: Path) -> None:
    conversation, turn = asked(store, "q")
    other = store.begin(conversation, "r")
    with sqlite3.connect(path) as sql:
        sql.execute("UPDATE turn SET answer = '{' WHERE id = ?", (turn,))
    sql.close()
    broken, whole = store.turns(conversation)
    assert (broken.answer, broken.state, whole.id) == (None, "failed", other)
    assert "cannot be read" in broken.message and "cannot be read" in store.export_markdown(conversation)


def test_only_what_has_ended_waits_for_the_disk(store: ConversationStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    turn = store.begin(store.create(), "q")
    levels = []
    changes: tuple[Callable[[], None], ...] = (
        lambda: store.update(turn, said("A"), "answering"),
        lambda: store.update(turn, said("A hull"), "complete"),
        lambda: store.vote(turn, 1),
        lambda: store.fail(turn, "why"),
    )
    for change in changes:
        change()
        levels.append(store._rows("PRAGMA synchronous")[0][0])
    normal, full = 1, 2
    assert levels == [normal, full, full, full]


# search

HOSTILE = (
    "'; DROP TABLE turn; --",
    '" OR 1=1 --',
    "%",
    "_",
    "\\",
    "100% of 4_K",
    "a'b\"c",
    "🚤",
    "<script>",
    "*",
    "\x00",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_search_takes_its_words_literally(store: ConversationStore, text: str) -> None:
    plain, _ = asked(store, "plain words", said("nothing odd"))
    odd = [
        store.create(f"title {text}"),
        asked(store, f"question {text}")[0],
        asked(store, "q", said(f"say {text}"))[0],
    ]
    assert {c.id for c in store.list(text)} == set(odd)
    assert len(store.list()) == 4 and [c.id for c in store.list("plain")] == [plain]


@pytest.mark.parametrize("text", HOSTILE)
def test_every_text_is_kept_as_a_value(store: ConversationStore, text: str) -> None:
    conversation = store.create(text)
    turn = store.begin(conversation, text)
    store.update(turn, said(text), "complete")
    store.vote(turn, 1, text)
    (kept,) = store.turns(conversation)
    assert (store.list()[0].title, kept.question, kept.answer, kept.comment) == (text, text, said(text), text)
    with pytest.raises(StoreError):
        store.turns(text)


@pytest.mark.parametrize(("kept", "sought"), [("What is a HULL?", "a hull"), ("ÄPFEL", "äpfel"), ("Straße", "STRASSE")])
def test_search_ignores_case_in_every_script(store: ConversationStore, kept: str, sought: str) -> None:
    conversation, _ = asked(store, kept)
    assert [c.id for c in store.list(sought)] == [conversation] and store.list(" ") == store.list()
    assert store.list(f"{sought} and more") == []


def test_search_reads_refusals_and_each_conversation_comes_once(store: ConversationStore) -> None:
    conversation, _ = asked(store, "glossary", REFUSAL)
    store.begin(conversation, "glossary again")
    assert [(c.id, c.turns) for c in store.list("does not COVER")] == [(conversation, 2)]
    assert [(c.id, c.turns) for c in store.list("glossary")] == [(conversation, 2)]


# several threads, several processes, and death


def test_ten_threads_lose_and_mix_nothing(store: ConversationStore) -> None:
    wrong: list[object] = []

    def use(name: int) -> None:
        try:
            conversation = store.create(f"person {name}")
            for n in range(5):
                turn = store.begin(conversation, f"question {name} {n}")
                for words in range(4):
                    store.update(turn, said(f"answer {name} {n} {words}"), "answering")
                store.update(turn, said(f"answer {name} {n}"), "complete")
                store.list(f"question {name} {n}")
            expected = [(f"question {name} {n}", said(f"answer {name} {n}"), "complete") for n in range(5)]
            assert [(t.question, t.answer, t.state) for t in store.turns(conversation)] == expected
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=use, args=(n,)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [] and sorted(c.title for c in store.list()) == [f"person {n}" for n in range(10)]


WRITER = """
conversation = store.create(sys.argv[2])
sys.stdin.readline()
for n in range(15):
    turn = store.begin(conversation, f"{sys.argv[2]} {n}")
    store.update(turn, Answer(f"{sys.argv[2]} {n}"), "answering")
    store.update(turn, Answer(f"{sys.argv[2]} {n}"), "complete")
print(conversation)
"""


def test_two_processes_write_at_once_into_a_file_that_both_make(path: Path) -> None:
    both = [child(path, WRITER, name) for name in ("left", "right")]
    for process in both:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    done = [process.communicate(timeout=60)[0].strip() for process in both]
    store = ConversationStore(path)
    for name, conversation in zip(("left", "right"), done, strict=True):
        kept = store.turns(conversation)
        assert [t.question for t in kept] == [f"{name} {n}" for n in range(15)]
        assert all(t.state == "complete" and t.answer == Answer(t.question) for t in kept)
    assert [process.returncode for process in both] == [0, 0]
    store.close()
    assert {f.name for f in path.parent.iterdir()} <= {path.name, f"{path.name}.lock"}, "nothing is left behind"


ANSWERING = """
turn = store.begin(store.create(), "What is a hull?")
n = 0
while True:
    store.update(turn, Answer("q", (Sentence(f"word {n}", "model", ()),)), "answering")
    n += 1
    print(n, flush=True)
"""


def test_a_process_killed_in_the_middle_of_an_answer_leaves_what_it_showed(path: Path) -> None:
    process = child(path, ANSWERING)
    assert process.stdout
    store = ConversationStore(path)
    shown = 0
    while shown < 20:
        shown = int(process.stdout.readline())
    (conversation,) = store.list()
    assert store.turns(conversation.id)[0].state == "answering", "another process is answering this one"
    os.kill(process.pid, signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    shown = int(([str(shown)] + process.stdout.read().split())[-1])
    process.communicate()
    (kept,) = store.turns(conversation.id)
    assert kept.answer in (said(f"word {shown - 1}"), said(f"word {shown}")) and kept.state == "stopped"
    store.begin(conversation.id, "and now?")
    assert [t.state for t in store.turns(conversation.id)] == ["stopped", "answering"]
    store.close()
    assert [t.state for t in ConversationStore(path).turns(conversation.id)] == ["stopped", "stopped"]
    assert not [f for f in path.parent.iterdir() if "-alive-" in f.name]


def test_two_stores_of_one_process_know_that_both_live(store: ConversationStore, path: Path) -> None:
    conversation = store.create()
    turn = store.begin(conversation, "q")
    other = ConversationStore(path)
    assert [t.state for t in other.turns(conversation)] == ["answering"]
    store.update(turn, ANSWER, "complete")
    store.close()
    assert not [f for f in path.parent.iterdir() if "-alive-" in f.name]
    assert [t.state for t in other.turns(conversation)] == ["complete"]


# files that cannot be used


def garbled(path: Path) -> None:
    """Overwrite the pages after the first of a file."""
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xa5" * (len(data) - 4096))


@pytest.mark.parametrize("spoil", [lambda p: p.write_bytes(b"no database " * 500), garbled])
def test_a_damaged_file_is_set_aside_and_said(path: Path, spoil: Callable[[Path], object]) -> None:
    for n in (1, 2):
        before = ConversationStore(path)
        assert before.list() == []
        asked(before, "lost")
        before.close()
        spoil(path)
        damaged = path.read_bytes()
        store = ConversationStore(path)
        assert f"{path.name}.damaged-{n}" in store.notice and "\n" not in store.notice
        assert path.with_name(f"{path.name}.damaged-{n}").read_bytes() == damaged
        assert store.list() == []
        store.delete(asked(store, "works again")[0])
        store.close()
        again = ConversationStore(path)
        assert again.notice == ""
        again.close()


def test_damage_that_comes_while_it_is_open_is_one_line(store: ConversationStore, path: Path) -> None:
    asked(store, "long " * 5000)
    store._rows("PRAGMA wal_checkpoint(TRUNCATE)")
    store._rows("PRAGMA shrink_memory")
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 4096))
    with pytest.raises(StoreError, match=r"damaged \([^\n]+\); start again[^\n]+$"):
        store.list("long")
    store.close()
    assert "damaged-1" in ConversationStore(path).notice


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "conversations.db", tmp_path / "folder"):
        with pytest.raises(StoreError, match=r"cannot keep conversations in [^\n]+; expected [^\n]+--data-dir PATH$"):
            ConversationStore(path)


def test_a_full_disk_is_one_line_and_nothing_is_half_done(store: ConversationStore) -> None:
    conversation, turn = asked(store, "q")
    pages = store._rows("PRAGMA page_count")[0][0]
    store._rows(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match=r"full; expected[^\n]*free space"):
        store.begin(conversation, "x" * 100_000)
    store.vote(turn, 1)
    assert [(t.question, t.answer, t.vote) for t in store.turns(conversation)] == [("q", ANSWER, 1)]


def test_a_file_of_another_program_or_version_is_left_alone(tmp_path: Path) -> None:
    sql = sqlite3.connect(tmp_path / "other.db")
    sql.execute("CREATE TABLE photos (name)")
    sql.commit()
    sql.close()
    ConversationStore(tmp_path / "newer.db").close()
    sql = sqlite3.connect(tmp_path / "newer.db")
    sql.execute("PRAGMA user_version = 3")
    sql.close()
    for name in ("other.db", "newer.db"):
        with pytest.raises(StoreError, match=r"another program or version[^\n]*move it away"):
            ConversationStore(tmp_path / name)
    assert not [f for f in tmp_path.iterdir() if "damaged" in f.name]


def test_a_file_held_by_another_program_is_said_after_a_wait(
    store: ConversationStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ui.database.BUSY_S", 0.1)
    impatient = ConversationStore(path)
    assert store._rows("PRAGMA journal_mode")[0][0] == "wal"
    with store._transaction(), pytest.raises(StoreError, match=r"in use \(database is locked\)"):
        assert impatient.list() == []
        impatient.create()
    impatient.create("now")


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps a user's folder from others by itself")
def test_nobody_else_on_the_computer_can_read_the_file(store: ConversationStore, path: Path) -> None:
    asked(store, "private")
    files = [f for f in path.parent.iterdir() if f.name.startswith(path.name) and f.stat().st_size]
    assert files and all(f.stat().st_mode & 0o077 == 0 for f in files)


# exports


def test_the_markdown_of_a_conversation(store: ConversationStore) -> None:
    conversation, turn = asked(store, "What is a hull?\nAnd a *luff*?")
    store.vote(turn, 1, "good")
    store.fail(store.begin(conversation, "And a keel?"), "the model stopped")
    store.update(store.begin(conversation, "Who?"), REFUSAL, "complete")
    assert store.export_markdown(conversation) == (
        "# What is a hull? And a \\*luff\\*?\n\n"
        "## Question 1\n\n> What is a hull?\n> And a \\*luff\\*?\n\n"
        "A hull floats. [1]\n- Luff: the \\*front\\* edge [2][1]\n\n"
        "> - [1] **Boats › Hulls**: “A hull is the body of a boat.” (boats.md, characters 20–49)\n"
        "> - [2] **Sails**: “\\- Luff: the \\*front\\* edge” (boats.md, characters 100–124)\n\n"
        "*Vote: up* good\n\n"
        "## Question 2\n\n> And a keel?\n\n*This answer failed.* the model stopped\n\n"
        "## Question 3\n\n> Who?\n\nThe glossary does not cover this.\n\nIt does speak of: Hulls, Sails\n"
    )


def test_the_json_of_a_conversation_has_all_that_is_kept(store: ConversationStore) -> None:
    conversation, turn = asked(store, "What is a hull?")
    found = json.loads(store.export_json(conversation))
    assert (found["id"], found["title"]) == (conversation, "What is a hull?")
    (kept,) = found["turns"]
    assert (kept["id"], kept["question"], kept["state"], kept["vote"]) == (turn, "What is a hull?", "complete", 0)
    assert kept["answer"].pop("text") == ANSWER.text
    assert answer_from_json(json.dumps(kept["answer"])) == replace(ANSWER, question="What is a hull? 🚤 ?")
    assert kept["answer"]["citations"][0] == {
        "n": 1, "section": "Boats › Hulls", "quote": "A hull is the body\nof a boat.",
        "start": 20, "end": 49, "file": "boats.md",
    }  # fmt: skip
    assert datetime.fromisoformat(kept["created"]) == store.turns(conversation)[0].created


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>", "![x](http://example.invalid/x.png)", "[x](javascript:alert(1))", "# heading",
        "<http://example.invalid>", "```\ncode", "1. item", "- item", "[x]: http://example.invalid\n\n[x]", "> q",
        "**b** __i__ ~~s~~ `c`", "&lt;b&gt;", "\\<b>", "===", "| a | b |\n|---|---|",
    ],
)  # fmt: skip
def test_markdown_shows_hostile_text_as_text(store: ConversationStore, hostile: str) -> None:
    answer = Answer(
        hostile, (Sentence(hostile, "quote", (1,)), Sentence(hostile, "quote", (1,), item=True)),
        (Citation(1, hostile, hostile, 0, len(hostile), hostile),),
    )  # fmt: skip
    shown = MarkdownIt("gfm-like", {"linkify": False}).render(answer_markdown(answer))
    tags = {piece.partition(">")[0] for piece in shown.split("<")[1:]}
    assert tags <= {"p", "/p", "ul", "/ul", "li", "/li", "strong", "/strong", "blockquote", "/blockquote"}, shown
    conversation, _ = asked(store, hostile, answer)
    whole = MarkdownIt("gfm-like", {"linkify": False}).render(store.export_markdown(conversation))
    tags = {piece.partition(">")[0] for piece in whole.split("<")[1:]} - {"h1", "/h1", "h2", "/h2"}
    assert tags <= {"p", "/p", "ul", "/ul", "li", "/li", "strong", "/strong", "blockquote", "/blockquote"}, whole
    assert whole.count("<h1>") == whole.count("<h2>") == 1


def test_shortened_keeps_what_fits() -> None:
    for most in (10, 60):
        for text in ("a b c d e f g h i j", "wordwordword " * 9, "x" * most, "x " * most):
            assert len(shortened(text, most)) <= most
            assert " ".join(text.split()).startswith(shortened(text, most).rstrip("…"))
