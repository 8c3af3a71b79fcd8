"""The README and the command line's help are true: what they name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from assistant import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_path_the_readme_names_exists() -> None:
    named = set(re.findall(r"`((?:assistant|corpus|ui|tests|docs)/[\w./-]*)`", README))
    named |= set(re.findall(r"\]\(([\w./-]+)\)", README))
    assert named
    assert [n for n in named if not (ROOT / n).exists()] == []


def test_every_make_target_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"`?make ([a-z]+)", README))
    assert named and named <= targets


@pytest.mark.parametrize("line", sorted(set(re.findall(r"^(?:\.venv/bin/)?glossary (\w+[^\n#|]*)", README, re.M))))
def test_every_command_the_readme_shows_is_understood(line: str) -> None:
    import shlex

    arguments = cli.parser().parse_args(shlex.split(line))
    assert callable(arguments.run)


def test_nothing_private_is_named() -> None:
    tracked = [
        p for p in ROOT.rglob("*") if p.suffix in {".py", ".md", ".toml", ".txt", ".lock"} and ".venv" not in p.parts
    ]
    for path in tracked:
        if path != Path(__file__):
            text = path.read_text(encoding="utf-8", errors="ignore")
            assert "/work/main" not in text and "/opt/wheels" not in text, path
