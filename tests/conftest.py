"""What several test files share: the assistant as it ships, opened once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant import from_env, open_assistant
from assistant.pipeline import Assistant

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder for the whole run, so that the index is built once."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def shipped(data_dir: Path) -> Iterator[Assistant]:
    """The assistant as it ships, on the real models."""
    yield open_assistant(from_env({}, data_dir=data_dir))


@pytest.fixture(scope="session")
def cloud_native(data_dir: Path) -> Iterator[Assistant]:
    """The assistant over a second glossary, which nothing was tuned or trained on."""
    folder = SHARED / "glossaries" / "cloud-native"
    if not folder.is_dir():
        pytest.skip("the cloud-native glossary is not beside this checkout")
    yield open_assistant(from_env({}, data_dir=data_dir, corpus=folder))
