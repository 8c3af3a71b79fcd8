"""Settings: every choice a user has, checked. `from_env` is the only reader of the environment and of paths."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

import platformdirs

from assistant.errors import SettingsError

PREFIX = "GLOSSARY_"


@dataclass(frozen=True)
class Settings:
    """What the assistant is built from.

    corpus      a Markdown or text file, or a folder of them
    data_dir    where the index and checksums already verified are kept
    model       a GGUF file; None for the bundled one
    model_url   base URL of an OpenAI-compatible server to use instead, with `model_name`
    threads     processor threads for the language model; 0 for all cores
    auth        "USER:PASSWORD" that the chat page asks for; needed for any address but 127.0.0.1
    caution     how sure the assistant must be to answer, 0 to 1: higher refuses more
    """

    corpus: Path
    data_dir: Path
    model: Path | None = None
    model_url: str | None = None
    model_name: str = "local"
    threads: int = 0
    caution: float = 0.45
    auth: str | None = None

    def __post_init__(self) -> None:
        if not self.corpus.exists():
            raise SettingsError(f"no corpus at {self.corpus}; expected a Markdown file or folder: pass --corpus PATH")
        if self.model is not None and not self.model.is_file():
            raise SettingsError(f"no model at {self.model}; expected a .gguf file: pass --model PATH.gguf")
        if self.model is not None and self.model_url is not None:
            raise SettingsError("both --model and --model-url are given; expected one of them")
        if self.model_url is not None and not self.model_url.startswith(("http://", "https://")):
            raise SettingsError(f"--model-url {self.model_url!r} is no http(s) address, e.g. http://127.0.0.1:8080/v1")
        if self.threads < 0:
            raise SettingsError(f"threads is {self.threads}; expected 0 (all cores) or more")
        if not 0 <= self.caution <= 1:
            raise SettingsError(f"caution is {self.caution}; expected a number from 0 to 1")


def from_env(environ: Mapping[str, str] | None = None, **given: Any) -> Settings:
    """Return settings from `given` values (None means not given), else GLOSSARY_* variables, else defaults.

    Raises SettingsError naming the variable or option at fault.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {
        "corpus": Path(str(files("corpus").joinpath("glossary.md"))),
        "data_dir": Path(platformdirs.user_data_dir("glossary-assistant", appauthor=False)),
    }
    for field in fields(Settings):
        raw = given.get(field.name)
        if raw is None:
            raw = environ.get(PREFIX + field.name.upper()) or None
        if raw is not None:
            values[field.name] = _convert(field.name, raw)
    return Settings(**values)


def _convert(name: str, raw: Any) -> Any:
    try:
        if name in ("corpus", "data_dir", "model"):
            return Path(raw).expanduser()
        if name == "threads":
            return int(raw)
        if name == "caution":
            return float(raw)
    except RuntimeError as error:
        raise SettingsError(f"{name} is {raw!r}; there is no such home folder: give the full path") from error
    except ValueError as error:
        raise SettingsError(f"{name} is {raw!r}; expected a number (option, or {PREFIX}{name.upper()})") from error
    return str(raw)
