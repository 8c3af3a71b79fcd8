from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import psutil
import pytest
from filelock import FileLock
from langchain_core.embeddings import Embeddings

from assistant import index as module
from assistant.chunking import VERSION, block_text, contextual
from assistant.errors import ModelError, StoreError
from assistant.index import Kind, PassageIndex, entries, open_index
from assistant.records import Asked, Passage
from tests.doubles import WordEmbeddings
from tests.making import parsed

pytestmark = pytest.mark.process

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Barrier, Event

SOURCE = Path("boats.md")
_, PASSAGES = parsed()
_, OTHERS = parsed(
    "# Knots\n\nA bowline makes a loop. A cleat hitch holds a line.\n\n"
    + "\n".join(f"- Knot {n}: it needs {n} turns" for n in range(8))
)
WAYS = (
    Asked("boats.md", "It protects the mast.", ("Why make sails smaller?", "What keeps masts from breaking?")),
    Asked("boats.md", "A hull is the body of a boat that floats in the water.", ("Which part keeps us afloat?",)),
    Asked("boats.md", "Keels are not in this text.", ("What is a keel?",)),
)
QUESTION = "Which part of a boat floats in the water?"
FORKS = multiprocessing.get_context("forkserver")


@dataclass
class Opened:
    index: PassageIndex
    lines: list[str]
    embeddings: WordEmbeddings


class HashEmbeddings(WordEmbeddings):
    """A text → 8 numbers that say nothing of it: as quick as an embedding can be."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.calls.append(texts)
        return [[b - 127.5 for b in hashlib.sha256(text.encode()).digest()[:8]] for text in texts]


@dataclass
class Failing(Embeddings):
    """Embeds `after` batches, then calls `fail` before the next."""

    after: int
    fail: Callable[[], object]
    inner: WordEmbeddings = field(default_factory=WordEmbeddings)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        if len(self.inner.calls) == self.after:
            self.fail()
        return self.inner.embed_documents(texts)

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def opened(
    folder: Path,
    passages: tuple[Passage, ...] = PASSAGES,
    *,
    digest: str = "digest",
    embedder: str = "words",
    source: Path = SOURCE,
    asked: Sequence[Asked] = (),
    rebuild: bool = False,
    embeddings: WordEmbeddings | None = None,
) -> Opened:
    lines: list[str] = []
    embeddings = embeddings or WordEmbeddings()
    found = open_index(
        folder, source, digest, passages, embeddings, embedder, asked=asked, rebuild=rebuild, say=lines.append
    )
    return Opened(found, lines, embeddings)


def cosines(
    vector: list[float],
    kind: Kind,
    passages: tuple[Passage, ...] = PASSAGES,
    embeddings: WordEmbeddings | None = None,
) -> dict[int, float]:
    """Return what `nearest` must find among all, by plain arithmetic."""
    texts = {p.id: contextual(p) for p in passages}
    if kind == "block":
        numbers = [p.block for p in passages]
        texts = {n: block_text(passages, n) for n in numbers if numbers.count(n) > 1}
    rows = (embeddings or WordEmbeddings()).embed_documents(list(texts.values()))
    scores = {
        n: sum(a * b for a, b in zip(row, vector, strict=True)) / math.hypot(*row) / math.hypot(*vector)
        for n, row in zip(texts, rows, strict=True)
    }
    return dict(sorted(scores.items(), key=lambda item: -item[1]))


def asked(question: str = QUESTION) -> list[float]:
    return WordEmbeddings().embed_query(question)


def finds_all(index: PassageIndex, passages: tuple[Passage, ...] = PASSAGES) -> bool:
    """Tell whether every passage and block is found, with its cosine, nearest first."""
    for kind in ("passage", "block"):
        found, wanted = index.nearest(asked(), 1000, kind), cosines(asked(), kind, passages)
        if found != pytest.approx(wanted, abs=1e-5):
            return False
        if list(found.values()) != sorted(found.values(), reverse=True):
            return False
    return True


def slot(folder: Path) -> Path:
    (found,) = (folder / "index").iterdir()
    return found


def generation(folder: Path) -> Path:
    """Return the Chroma store in use."""
    return slot(folder) / str(json.loads((slot(folder) / "manifest.json").read_text())["generation"])


@pytest.fixture(scope="module", autouse=True)
def children() -> None:
    """Let the process that children are forked from load Chroma while the first tests run."""
    FORKS.set_forkserver_preload(["chromadb", "chromadb.config", "langchain_chroma", __name__])
    ensure_running()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    opened(folder)
    return folder


@pytest.fixture
def built(template: Path, tmp_path: Path) -> Path:
    """A data folder with an index that this process has never opened, as after a restart."""
    return Path(shutil.copytree(template, tmp_path / "data"))


# what an index holds


def test_all_passages_and_the_blocks_of_several_are_embedded() -> None:
    made = entries(PASSAGES)
    assert [key for key, _, _ in made] == [*(f"p{n}" for n in range(9)), "b0", "b5"]
    assert {meta["kind"] for key, _, meta in made if key[0] == "p"} == {"passage"}
    assert all(key[1:] == str(meta["number"]) for key, _, meta in made)
    texts = {key: text for key, text, _ in made}
    assert "A hull is the body" in texts["b0"] and "Hulls of 40 feet" in texts["b0"]
    assert texts["p1"].endswith("Hulls of 40 feet need two crew members.") and "floats" not in texts["p1"]


def test_nearest_finds_what_arithmetic_finds(built: Path) -> None:
    index = opened(built).index
    assert finds_all(index)
    assert next(iter(index.nearest(asked(), 1, "passage"))) == 0
    assert list(index.nearest(asked(), 2, "passage")) == list(cosines(asked(), "passage"))[:2]


def test_nearest_returns_no_more_than_asked_for(built: Path) -> None:
    index = opened(built).index
    assert [len(index.nearest(asked(), k, "passage")) for k in (0, 1, 9, 10)] == [0, 1, 9, 9]
    assert [len(index.nearest(asked(), k, "block")) for k in (0, 1, 2, 3)] == [0, 1, 2, 2]


def test_scores_are_cosines_whatever_the_length_of_a_vector(built: Path) -> None:
    index = opened(built).index
    longer = [3 * x for x in asked()]
    assert index.nearest(longer, 9, "passage") == pytest.approx(cosines(asked(), "passage"), abs=1e-5)


def test_a_text_without_blocks_of_several_has_none_to_find(tmp_path: Path) -> None:
    _, lone = parsed("# Knots\n\nA bowline makes a loop.\n")
    index = opened(tmp_path, lone).index
    assert index.nearest(asked(), 5, "block") == {} and list(index.nearest(asked(), 5, "passage")) == [0]


def test_other_ways_to_ask_lead_to_the_passage_they_quote(tmp_path: Path) -> None:
    made = [(key, text, meta["number"]) for key, text, meta in entries(PASSAGES, WAYS) if meta["kind"] == "asked"]
    assert made == [
        ("a7.0", "Why make sails smaller?", 7),
        ("a7.1", "What keeps masts from breaking?", 7),
        ("a0.0", "Which part keeps us afloat?", 0),
    ]
    index = opened(tmp_path, asked=WAYS).index
    words = WordEmbeddings().embed_query("What keeps masts from breaking?")
    found = index.nearest(words, 3, "asked")
    assert list(found) == [7, 0], "a passage counts once, with the nearest of its ways"
    assert found[7] == pytest.approx(1.0, abs=1e-5)
    assert finds_all(index)


def test_two_sources_do_not_share_an_index(built: Path) -> None:
    opened(built, OTHERS, source=Path("knots.md"))
    again = opened(built)
    assert not again.lines and finds_all(again.index)


# building and opening


def test_building_tells_why_in_one_line_and_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 4)
    lines: list[str] = []
    steps: list[tuple[int, int]] = []
    proven: list[bool] = []

    def progress(done: int, total: int) -> None:
        steps.append((done, total))
        proven.append((slot(tmp_path) / "manifest.json").exists())

    open_index(tmp_path, SOURCE, "d", PASSAGES, WordEmbeddings(), "w", say=lines.append, progress=progress)
    assert lines == ["building the index of 9 passages: there is none yet"]
    assert steps == [(0, 11), (4, 11), (8, 11), (11, 11)]
    assert not any(proven), "the manifest says that an index is whole, and must come last"
    assert (slot(tmp_path) / "manifest.json").exists()


def test_opening_again_embeds_nothing_and_says_nothing(built: Path) -> None:
    again = opened(built)
    assert again.lines == [] and again.embeddings.calls == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"digest": "another"}, "the corpus changed"),
        ({"embedder": "another"}, "the embedder changed"),
        ({"passages": PASSAGES[:-1]}, "the number of passages changed"),
        (
            {"passages": (PASSAGES[0], replace(PASSAGES[1], block=99), *PASSAGES[2:])},
            "the number of blocks changed",
        ),
        ({"asked": WAYS[:1]}, "the number of other ways to ask changed"),
        ({"rebuild": True}, "a rebuild was asked for"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_stale_index_is_built_again_and_one_line_says_why(built: Path, change: dict[str, object], why: str) -> None:
    made = opened(built, **change)  # type: ignore[arg-type]
    passages = change.get("passages", PASSAGES)
    assert isinstance(passages, tuple)
    assert made.lines == [f"building the index of {len(passages)} passages: {why}"]
    assert finds_all(made.index, passages)
    again = opened(built, **{**change, "rebuild": False})  # type: ignore[arg-type]
    assert not again.lines and not again.embeddings.calls and finds_all(again.index, passages)


def test_passages_cut_by_another_rule_make_an_index_stale(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VERSION", VERSION + 1)
    assert opened(built).lines == ["building the index of 9 passages: passages are cut differently now"]
    assert opened(built).lines == []


def test_an_index_that_is_open_goes_on_working_while_it_is_built_again(built: Path) -> None:
    before = opened(built).index
    after = opened(built, OTHERS, digest="knots").index
    assert finds_all(before) and finds_all(after, OTHERS)


def test_building_closes_the_files_that_it_wrote(tmp_path: Path) -> None:
    made = opened(tmp_path)
    assert finds_all(made.index)
    files = [Path(file.path) for file in psutil.Process().open_files()]
    held = [path.name for path in files if path.is_relative_to(tmp_path.resolve())]
    assert held.count("header.bin") == 1, "by the open index, and not by the builder as well"


def test_old_generations_do_not_pile_up(built: Path) -> None:
    for digest in ("one", "two", "three"):
        opened(built, digest=digest)
    assert len([path for path in slot(built).iterdir() if path.is_dir()]) == 2


# damage


def _truncated(store: Path) -> None:
    os.truncate(store / "chroma.sqlite3", (store / "chroma.sqlite3").stat().st_size // 2)


def _empty(store: Path) -> None:
    os.truncate(store / "chroma.sqlite3", 0)


def _overwritten(store: Path) -> None:
    (store / "chroma.sqlite3").write_bytes(b"garbage " * 20_000)


def _missing(store: Path) -> None:
    (store / "chroma.sqlite3").unlink()


def _gone(store: Path) -> None:
    shutil.rmtree(store)


def _one_page_overwritten(store: Path) -> None:
    with sqlite3.connect(store / "chroma.sqlite3") as database:
        (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'migrations'").fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    database.close()
    with (store / "chroma.sqlite3").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


def _an_entry_lost(store: Path) -> None:
    import chromadb

    chromadb.PersistentClient(str(store)).get_collection(module.COLLECTION).delete(["p3"])


def _another_distance(store: Path) -> None:
    import chromadb

    client = chromadb.PersistentClient(str(store))
    held = client.get_collection(module.COLLECTION).get(include=["embeddings", "documents", "metadatas"])
    client.delete_collection(module.COLLECTION)
    other = client.create_collection(module.COLLECTION, configuration={"hnsw": {"space": "l2"}})
    other.add(held["ids"], held["embeddings"], held["metadatas"], held["documents"])


@pytest.mark.parametrize(
    "damage",
    [
        _truncated,
        _empty,
        _overwritten,
        _missing,
        _gone,
        _one_page_overwritten,
        _an_entry_lost,
        _another_distance,
    ],
)
def test_a_damaged_store_is_built_again(built: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    damage(generation(built))
    fresh = Path(shutil.copytree(built, tmp_path / "fresh"))  # damaging may have opened it in this process
    made = opened(fresh)
    assert len(made.lines) == 1 and "the store is damaged" in made.lines[0]
    assert finds_all(made.index)
    assert opened(fresh).lines == []


@pytest.mark.parametrize("text", [b"", b"{", b"[5]", b"\xff\xfe\x00", b'{"corpus": "digest"}'])
def test_a_garbage_manifest_is_no_manifest(built: Path, text: bytes) -> None:
    (slot(built) / "manifest.json").write_bytes(text)
    made = opened(built)
    assert made.lines == ["building the index of 9 passages: there is none yet"] and finds_all(made.index)
    assert opened(built).lines == []


@pytest.mark.parametrize(
    "change",
    [
        {"generation": "not there"},
        {"generation": "../.."},
        {"generation": 5},
        {"generation": []},
        {"unheard": "of"},
    ],
    ids=repr,
)
def test_a_manifest_that_names_no_store_is_not_believed(built: Path, change: dict[str, object]) -> None:
    path = slot(built) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    made = opened(built)
    assert len(made.lines) == 1 and finds_all(made.index)
    assert opened(built).lines == []


# a store with more than 1,000 entries, from where on Chroma keeps them in files of its own


FLEET_SIZE = 1001


@pytest.fixture(scope="module")
def fleet() -> tuple[Passage, ...]:
    return parsed("# Fleet\n\n" + "\n".join(f"- Boat {n}" for n in range(FLEET_SIZE)))[1]


@pytest.fixture(scope="module")
def large(fleet: tuple[Passage, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    with mock.patch.object(module, "BATCH", FLEET_SIZE):
        opened(folder, fleet, embeddings=HashEmbeddings())
    return folder


def _open_fleet(folder: Path, fleet: tuple[Passage, ...], out: Connection[object, object]) -> None:
    module.BATCH = FLEET_SIZE
    made = opened(folder, fleet, embeddings=HashEmbeddings())
    out.send((made.lines, made.index.nearest(HashEmbeddings().embed_query("any"), 50, "passage")))


def _files_missing(files: list[Path]) -> None:
    for path in files:
        path.unlink()


def _last_vector_lost(files: list[Path]) -> None:
    (vectors,) = (path for path in files if path.name == "data_level0.bin")
    os.truncate(vectors, vectors.stat().st_size * (FLEET_SIZE - 1) // FLEET_SIZE)


def _links_zeroed(files: list[Path]) -> None:
    (links,) = (path for path in files if path.name == "link_lists.bin")
    links.write_bytes(bytes(links.stat().st_size))


@pytest.mark.parametrize(
    "damage",
    [
        _files_missing,
        _last_vector_lost,
        _links_zeroed,
    ],
)
def test_a_large_store_with_damaged_vectors_is_built_again(
    large: Path, fleet: tuple[Passage, ...], tmp_path: Path, damage: Callable[[list[Path]], None]
) -> None:
    folder = Path(shutil.copytree(large, tmp_path / "data"))
    files = [path for path in generation(folder).glob("*/*") if path.is_file()]
    assert len(files) > 3, "Chroma keeps its vectors elsewhere now"
    damage(files)
    receive, send = FORKS.Pipe(duplex=False)
    child = FORKS.Process(target=_open_fleet, args=(folder, fleet, send))
    child.start()
    send.close()
    child.join(60)
    assert child.exitcode == 0
    lines, found = receive.recv()
    assert len(lines) == 1 and "the store is damaged" in lines[0]
    wanted = cosines(HashEmbeddings().embed_query("any"), "passage", fleet, HashEmbeddings())
    assert len(found) == 50 and found == pytest.approx({n: wanted[n] for n in found}, abs=1e-4)


# crashes


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _build_and_die(folder: Path, batches: int, place: str) -> None:
    module.BATCH = 4
    with mock.patch(place, _die) if place else nullcontext():
        open_index(folder, SOURCE, "knots", OTHERS, Failing(batches, _die), "words")


@pytest.mark.parametrize(
    ("batches", "place"),
    [
        (0, ""),
        (2, ""),
        (99, "os.rename"),
        (99, "assistant.index._write_manifest"),
        (99, "os.replace"),
    ],
)
def test_a_process_killed_while_building_leaves_the_former_index_working(built: Path, batches: int, place: str) -> None:
    child = FORKS.Process(target=_build_and_die, args=(built, batches, place))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    former = opened(built)
    assert former.lines == [] and former.embeddings.calls == [] and finds_all(former.index)

    made = opened(built, OTHERS, digest="knots")
    assert len(made.lines) == 1 and finds_all(made.index, OTHERS)
    left = {path.name for path in slot(built).iterdir()}
    assert left == {"lock", "manifest.json", former.index.folder.name, made.index.folder.name}


def test_a_process_killed_while_building_the_first_index_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    child = FORKS.Process(target=_build_and_die, args=(tmp_path, 2, ""))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    made = opened(tmp_path)
    assert made.lines == ["building the index of 9 passages: there is none yet"] and finds_all(made.index)


@pytest.mark.parametrize("batches", [0, 2])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), ModelError("the embedder failed")])
def test_a_build_that_is_broken_off_leaves_the_former_index_working(
    built: Path, monkeypatch: pytest.MonkeyPatch, batches: int, error: BaseException
) -> None:
    monkeypatch.setattr(module, "BATCH", 4)

    def fail() -> None:
        raise error

    before = sorted(slot(built).iterdir())
    with pytest.raises(type(error)):
        open_index(built, SOURCE, "knots", OTHERS, Failing(batches, fail), "words")
    assert sorted(slot(built).iterdir()) == before
    former = opened(built)
    assert former.lines == [] and former.embeddings.calls == [] and finds_all(former.index)


# other processes


def _build_together(folder: Path, start: Barrier, waited: Event, out: Connection[object, object]) -> None:
    """Build or wait; who builds goes on when the other says that it waits."""
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        if "waiting" in line:
            waited.set()

    start.wait(60)
    embeddings = Failing(0, lambda: waited.wait(10))
    found = open_index(folder, SOURCE, "digest", PASSAGES, embeddings, "words", say=say)
    out.send((lines, len(embeddings.inner.calls), found.folder, finds_all(found)))


def test_of_two_processes_that_start_at_once_one_builds_and_the_other_waits(tmp_path: Path) -> None:
    start, waited = FORKS.Barrier(2), FORKS.Event()
    pipes = [FORKS.Pipe(duplex=False) for _ in range(2)]
    processes = [FORKS.Process(target=_build_together, args=(tmp_path, start, waited, send)) for _, send in pipes]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    builder, waiter = sorted((receive.recv() for receive, _ in pipes), key=lambda told: -int(told[1]))
    assert builder[0] == ["building the index of 9 passages: there is none yet"] and builder[1] == 1
    assert waiter[0] == ["another process is using the index; waiting for it"] and waiter[1] == 0
    assert builder[2] == waiter[2] == generation(tmp_path)
    assert builder[3] and waiter[3]
    again = opened(tmp_path)
    assert again.lines == [] and finds_all(again.index)


def test_waiting_for_another_process_has_an_end(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_S", 0.01)
    lines: list[str] = []
    with FileLock(slot(built) / "lock"):
        with pytest.raises(StoreError, match="lock"):
            open_index(built, SOURCE, "digest", PASSAGES, WordEmbeddings(), "words", say=lines.append)
    assert lines == ["another process is using the index; waiting for it"]
    assert opened(built).lines == []


# folders that cannot be written


@pytest.fixture(params=["the folder", "index in it", "the lock"])
def blocked(request: pytest.FixtureRequest, built: Path, tmp_path: Path) -> Iterator[Path]:
    """A data folder where something stands in the way: root may write everywhere, yet not there."""
    if request.param == "the folder":
        (tmp_path / "file").touch()
        yield tmp_path / "file"
    elif request.param == "index in it":
        (tmp_path / "index").touch()
        yield tmp_path
    else:
        (slot(built) / "lock").unlink()
        (slot(built) / "lock").mkdir()
        yield built


def test_a_folder_that_cannot_be_written_is_an_error_that_says_what_to_do(blocked: Path) -> None:
    with pytest.raises(StoreError, match="--data-dir") as caught:
        opened(blocked)
    assert str(blocked) in str(caught.value)


def _build_on_a_full_disk(folder: Path, out: Connection[object, object]) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        open_index(folder, SOURCE, "knots", OTHERS, WordEmbeddings(), "words")
    except StoreError as error:
        out.send(str(error))


def test_a_full_disk_is_an_error_and_leaves_the_former_index_working(built: Path) -> None:
    before = sorted(slot(built).iterdir())
    receive, send = FORKS.Pipe(duplex=False)
    child = FORKS.Process(target=_build_on_a_full_disk, args=(built, send))
    child.start()
    send.close()
    child.join(60)
    assert child.exitcode == 0 and "--data-dir" in receive.recv()
    assert sorted(slot(built).iterdir()) == before
    former = opened(built)
    assert former.lines == [] and finds_all(former.index)
