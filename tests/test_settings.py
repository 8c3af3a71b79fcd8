from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

import assistant
from assistant.errors import SettingsError
from assistant.settings import PREFIX, Settings, from_env

FIELDS = {field.name for field in dataclasses.fields(Settings)}


def place(folder: Path) -> dict[str, Any]:
    """Make a corpus and a model in `folder`; return a value other than the default for every setting."""
    (folder / "boats.md").write_text("A hull floats.\n")
    (folder / "tiny.gguf").write_bytes(b"GGUF")
    return {
        "corpus": folder / "boats.md", "data_dir": folder / "kept", "model": folder / "tiny.gguf",
        "model_url": "http://127.0.0.1:8080/v1", "model_name": "tiny", "threads": 3, "caution": 0.75,
        "auth": "me:secret",
    }  # fmt: skip


def variables(values: dict[str, Any]) -> dict[str, str]:
    return {f"{PREFIX}{name.upper()}": str(value) for name, value in values.items()}


def refusal(environ: dict[str, str] | None = None, **given: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        from_env(environ or {}, **given)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def test_defaults_need_nothing(tmp_path: Path) -> None:
    settings = from_env({})
    assert settings.corpus.is_file()
    assert settings.data_dir.is_absolute()
    assert dataclasses.astuple(settings)[2:] == (None, None, "local", 0, 0.45, None)


def test_every_setting_has_a_variable_and_an_option(tmp_path: Path) -> None:
    values = place(tmp_path)
    assert set(values) == FIELDS
    default = from_env({})
    for name, value in values.items():
        for settings in (from_env(variables({name: value})), from_env({}, **{name: value})):
            assert settings == dataclasses.replace(default, **{name: value})
            assert type(getattr(settings, name)) is type(value)


def test_an_option_may_be_the_text_that_was_typed(tmp_path: Path) -> None:
    values = place(tmp_path)
    del values["model"]
    typed = {name: str(value) for name, value in values.items()}
    assert from_env({}, **typed) == from_env({}, **values)


def test_a_given_value_goes_before_the_variable_and_none_is_not_given(tmp_path: Path) -> None:
    values = place(tmp_path)
    environ = variables({"threads": 8, "caution": 0.25, "model_name": "env", "corpus": values["corpus"]})
    settings = from_env(environ, threads=0, caution=0.0, model_name=None)
    assert (settings.threads, settings.caution) == (0, 0.0)
    assert (settings.model_name, settings.corpus) == ("env", values["corpus"])


def test_an_empty_variable_is_not_set() -> None:
    assert from_env({f"{PREFIX}{name.upper()}": "" for name in FIELDS}) == from_env({})


def test_the_environment_of_the_process_is_read_unless_another_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOSSARY_THREADS", "7")
    assert from_env().threads == 7
    assert from_env({}).threads == 0


def test_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert from_env({}, corpus="~/boats.md").corpus == tmp_path / "boats.md"


@pytest.mark.parametrize("name", ["corpus", "data_dir", "model"])
def test_the_home_of_nobody_is_refused(name: str) -> None:
    assert name in refusal({}, **{name: "~nobody-of-that-name/boats.md"})


@pytest.mark.parametrize("name", ["threads", "caution"])
@pytest.mark.parametrize("raw", ["many", "1e", "0x", "1,5", "- 1"])
def test_what_is_no_number_is_refused_by_its_name(name: str, raw: str) -> None:
    for message in (refusal({}, **{name: raw}), refusal(variables({name: raw}))):
        assert name in message
        assert repr(raw) in message
        assert f"{PREFIX}{name.upper()}" in message


@pytest.mark.parametrize(
    "name, raw", [("threads", "-1"), ("threads", "2.5"), ("caution", "-0.01"), ("caution", "1.01"), ("caution", "nan")]
)
def test_numbers_out_of_range_are_refused(name: str, raw: str) -> None:
    message = refusal(variables({name: raw}))
    assert name in message
    assert raw in message


@pytest.mark.parametrize("raw, value", [("0", 0.0), ("1", 1.0), ("0.5", 0.5)])
def test_the_ends_of_the_range_are_in_it(raw: str, value: float) -> None:
    assert from_env(variables({"caution": raw})).caution == value


def test_a_missing_corpus_is_refused(tmp_path: Path) -> None:
    message = refusal(corpus=tmp_path / "none.md")
    assert str(tmp_path / "none.md") in message
    assert "--corpus" in message


def test_a_folder_is_a_corpus_but_no_model(tmp_path: Path) -> None:
    assert from_env({}, corpus=tmp_path).corpus == tmp_path
    assert "--model" in refusal(model=tmp_path)
    assert str(tmp_path / "none.gguf") in refusal(model=tmp_path / "none.gguf")


def test_a_model_file_and_a_server_exclude_each_other(tmp_path: Path) -> None:
    values = place(tmp_path)
    message = refusal(variables({"model": values["model"]}), model_url="http://127.0.0.1:8080/v1")
    assert "--model " in message
    assert "--model-url" in message


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://x.org", "httpx://x.org", "file:///etc/passwd"])
def test_a_server_has_an_http_address(url: str) -> None:
    assert repr(url) in refusal(model_url=url)


def test_settings_cannot_be_changed_and_are_checked_however_made(tmp_path: Path) -> None:
    settings = Settings(corpus=tmp_path, data_dir=tmp_path)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.threads = 2  # type: ignore[misc]
    with pytest.raises(SettingsError):
        dataclasses.replace(settings, threads=-1)


def test_only_settings_read_the_environment() -> None:
    written = re.compile(r"environ\.setdefault\(|environ\[[^\]]+\] = ")
    package = Path(assistant.__file__).parent
    for path in [*package.rglob("*.py"), *(package.parent / "ui").rglob("*.py")]:
        if path == package / "settings.py":
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not re.search(r"\benviron\b|\bgetenv\b", written.sub("", line)), f"{path.name}: {line.strip()}"
