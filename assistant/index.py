"""The Chroma collection of a corpus and its manifest. The only module that knows chromadb.

An index is built in a temporary folder, renamed, and only then named by the manifest, so that a crash
at any moment leaves the former index working. A lock file lets one process build or open at a time.

    <data-dir>/index/<slot>/manifest.json     written last; names the folder in use
    <data-dir>/index/<slot>/<generation>/     a Chroma store
    <data-dir>/index/<slot>/lock
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from langchain_core.embeddings import Embeddings

from assistant.chunking import VERSION, block_text, contextual
from assistant.errors import StoreError
from assistant.files import write_whole
from assistant.records import Asked, Passage
from assistant.weights import digest

Kind = Literal["passage", "block", "asked"]
Progress = Callable[[int, int], None]
COLLECTION = "glossary"
BATCH = 64
WAIT_S = 600
SYNCED = 1000  # entries from which on Chroma keeps vectors in files of its own


@dataclass(frozen=True)
class Manifest:
    """What an index was built from. It fits while all but the last two are the same.

    `vectors` are the sha256 of the files that a large store keeps outside its database: damaged ones are not
    noticed by Chroma, but end the process or lose passages in silence.
    """

    corpus: str
    embedder: str
    chunker: int
    passages: int
    blocks: int
    asked: int
    generation: str = ""
    vectors: dict[str, str] = field(default_factory=dict)

    def difference(self, other: Manifest) -> str:
        """Say in words what changed, for the line that explains a rebuild; empty when nothing did."""
        names = {
            "corpus": "the corpus changed", "embedder": "the embedder changed",
            "chunker": "passages are cut differently now", "passages": "the number of passages changed",
            "blocks": "the number of blocks changed", "asked": "the number of other ways to ask changed",
        }  # fmt: skip
        return next((words for f, words in names.items() if getattr(self, f) != getattr(other, f)), "")


def entries(passages: tuple[Passage, ...], asked: Sequence[Asked] = ()) -> list[tuple[str, str, dict[str, Any]]]:
    """Return (id, text, metadata) of all that is embedded: passages, blocks of several, other ways to ask."""
    made: list[tuple[str, str, dict[str, Any]]] = [
        (f"p{p.id}", contextual(p), {"kind": "passage", "number": p.id}) for p in passages
    ]
    by_block: dict[int, list[Passage]] = {}
    for passage in passages:
        by_block.setdefault(passage.block, []).append(passage)
    for block, members in by_block.items():
        if len(members) > 1:
            made.append((f"b{block}", block_text(tuple(members), block), {"kind": "block", "number": block}))
    numbers = {(p.file, p.plain): p.id for p in passages}
    for way in asked:
        number = numbers.get((way.file, way.quote))
        if number is not None:  # what quotes no passage any more asks for nothing
            for n, question in enumerate(way.questions):
                made.append((f"a{number}.{n}", question, {"kind": "asked", "number": number}))
    return made


class PassageIndex:
    """An open index: nearest passages and blocks of a vector."""

    def __init__(self, store: Any, folder: Path, manifest: Manifest) -> None:
        """Take the langchain-chroma store over the collection; `open_index` makes one."""
        self._store = store
        self.folder = folder
        self.manifest = manifest

    def nearest(self, vector: list[float], k: int, kind: Kind) -> dict[int, float]:
        """Return passage ids or block numbers with their cosine to `vector`, nearest first, of the `k` nearest.

        A passage that is found by several of its other ways to ask counts with the nearest.
        """
        most = {"passage": self.manifest.passages, "block": self.manifest.blocks, "asked": self.manifest.asked}[kind]
        if not min(k, most):
            return {}
        found = self._store.similarity_search_by_vector_with_relevance_scores(
            vector, k=min(k, most), filter={"kind": kind}
        )
        nearest: dict[int, float] = {}
        for document, distance in found:
            nearest.setdefault(int(document.metadata["number"]), 1.0 - float(distance))
        return nearest


def open_index(
    data_dir: Path,
    source: Path,
    corpus_digest: str,
    passages: tuple[Passage, ...],
    embeddings: Embeddings,
    embedder_id: str,
    *,
    asked: Sequence[Asked] = (),
    rebuild: bool = False,
    say: Callable[[str], None] = lambda line: None,
    progress: Progress = lambda done, total: None,
) -> PassageIndex:
    """Open the index of the corpus at `source`, building it first where it is missing, stale or damaged.

    `say` gets one line when it is built, with the reason. Raises StoreError when the folder cannot
    be written or another process holds the lock for ten minutes.
    """
    made = entries(passages, asked)
    count = Counter(str(meta["kind"]) for _, _, meta in made)
    wanted = Manifest(corpus_digest, embedder_id, VERSION, count["passage"], count["block"], count["asked"])
    slot = data_dir / "index" / hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:16]
    try:
        slot.mkdir(parents=True, exist_ok=True)
        with _lock(slot, say):
            why = "a rebuild was asked for" if rebuild else ""
            found = None if rebuild else _read_manifest(slot)
            if not rebuild:
                why = "there is none yet" if found is None else found.difference(wanted)
            if found is not None and not why:
                try:
                    return _open(slot, found, embeddings)
                except (KeyboardInterrupt, SystemExit, GeneratorExit):
                    raise
                except BaseException as error:  # Chroma raises many kinds for a damaged store, panics among them
                    why = f"the store is damaged ({type(error).__name__})"
            say(f"building the index of {len(passages)} passages: {why}")
            return _build(slot, wanted, made, embeddings, progress)
    except OSError as error:
        raise StoreError(
            f"cannot write the index in {slot}: {error.strerror or error}; free space there, or pass --data-dir PATH"
        ) from error


@contextmanager
def _lock(slot: Path, say: Callable[[str], None]) -> Iterator[None]:
    lock = FileLock(slot / "lock")
    try:
        lock.acquire(timeout=0.2)
    except Timeout:
        say("another process is using the index; waiting for it")
        try:
            lock.acquire(timeout=WAIT_S)
        except Timeout as error:
            raise StoreError(
                f"another process has held {slot / 'lock'} for {WAIT_S} s; end it and try again"
            ) from error
    try:
        yield
    finally:
        lock.release()


def _read_manifest(slot: Path) -> Manifest | None:
    try:
        found = Manifest(**json.loads((slot / "manifest.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return found if isinstance(found.generation, str) and isinstance(found.vectors, dict) else None


def _client(folder: Path) -> Any:
    import chromadb
    import chromadb.config

    return chromadb.PersistentClient(str(folder), settings=chromadb.config.Settings(anonymized_telemetry=False))


def _store(folder: Path, embeddings: Embeddings, create: bool) -> Any:
    from langchain_chroma import Chroma

    return Chroma(
        collection_name=COLLECTION,
        embedding_function=embeddings,
        client=_client(folder),
        collection_configuration={"hnsw": {"space": "cosine"}},
        create_collection_if_not_exists=create,
    )


def _open(slot: Path, manifest: Manifest, embeddings: Embeddings) -> PassageIndex:
    folder = slot / manifest.generation
    if not (folder / "chroma.sqlite3").is_file():
        raise FileNotFoundError(folder)
    if any(not (folder / name).is_file() or digest(folder / name) != sha for name, sha in manifest.vectors.items()):
        raise ValueError("vectors altered")
    store = _store(folder, embeddings, create=False)
    count, space = store._collection.count(), store._collection.configuration["hnsw"]["space"]
    if count != manifest.passages + manifest.blocks + manifest.asked or space != "cosine":
        raise ValueError(f"{count} entries by {space}")
    index = PassageIndex(store, folder, manifest)
    dimensions = len(store._collection.peek(1)["embeddings"][0])
    if not index.nearest([1.0] + [0.0] * (dimensions - 1), 1, "passage"):
        raise ValueError("no passage can be found")
    return index


def _build(
    slot: Path,
    wanted: Manifest,
    made: list[tuple[str, str, dict[str, Any]]],
    embeddings: Embeddings,
    progress: Progress,
) -> PassageIndex:
    """Build under the lock. Keeps the former generation, which another process may have open."""
    former = _read_manifest(slot)
    keep = {former.generation} if former else set()
    for left in slot.iterdir():  # what crashed builds and old generations left behind
        if left.is_dir() and left.name not in keep:
            shutil.rmtree(left, ignore_errors=True)
        elif left.name.startswith("manifest.json."):
            left.unlink()
    generation = os.urandom(6).hex()
    part = slot / f"{generation}.part"
    try:
        part.mkdir()
        store = _store(part, embeddings, create=True)
        progress(0, len(made))
        for at in range(0, len(made), BATCH):
            batch = made[at : at + BATCH]
            store.add_texts(
                [text for _, text, _ in batch], [meta for _, _, meta in batch], [key for key, _, _ in batch]
            )
            progress(min(at + BATCH, len(made)), len(made))
        del store
        _forget_client(part)
        os.rename(part, slot / generation)
        manifest = replace(wanted, generation=generation, vectors=_vectors(slot / generation, len(made)))
        _write_manifest(slot, manifest)
        return _open(slot, manifest, embeddings)
    except BaseException as error:
        shutil.rmtree(part, ignore_errors=True)
        if (
            isinstance(error, Exception)
            and not isinstance(error, (OSError, StoreError))
            and "chroma" in type(error).__module__
        ):
            raise StoreError(
                f"Chroma cannot write in {slot}: {error}; free space there, or pass --data-dir PATH"
            ) from error
        raise


def _forget_client(folder: Path) -> None:
    """Make Chroma close the files of `folder`: it keeps one system a path, which would outlive the rename."""
    from chromadb.api.shared_system_client import SharedSystemClient

    system = SharedSystemClient._identifier_to_system.pop(str(folder), None)
    if system is not None:
        system.stop()


def _vectors(folder: Path, entries: int) -> dict[str, str]:
    """Return the sha256 of each file that a large store keeps beside its database; a small one writes them anew."""
    if entries <= SYNCED:
        return {}
    return {p.relative_to(folder).as_posix(): digest(p) for p in sorted(folder.glob("*/*")) if p.is_file()}


def _write_manifest(slot: Path, manifest: Manifest) -> None:
    write_whole(slot / "manifest.json", json.dumps(asdict(manifest)))
