"""Source files → Sections with heading path and character offsets. Knows Markdown, but no passages and no models.

A corpus is one Markdown or text file, or a folder of them. Blocks are found with markdown-it; their
offsets are those of the file's own characters, so that whatever is quoted can be pointed at exactly.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from markdown_it import MarkdownIt
from markdown_it.token import Token

from assistant.errors import CorpusError
from assistant.records import Asked, Block, Corpus, Document, Section

SUFFIXES = (".md", ".markdown", ".txt")
MOST_BYTES = 64 * 1024 * 1024
_FRONT_MATTER = re.compile(r"\A\ufeff?---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.S)
_TITLE = re.compile(r"^title:[ \t]*(.+?)[ \t]*$", re.M)
_MARKER = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*")
_SHORTCODE = re.compile(r"(?:\s*\{\{[%<](?:(?!\}\}).)*[%>]\}\}\s*)+", re.S)
_QUOTATION = re.compile(r"^[ \t]*(?:>[ \t]?)+", re.M)


def load(path: Path) -> Corpus:
    """Read the corpus at `path`, a file or a folder that is searched for Markdown and text files.

    Raises CorpusError when there is nothing to read, or a file is binary, empty, or not UTF-8.
    """
    try:
        within = (p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        files = sorted(within) if path.is_dir() else [path]
        if not files:
            raise CorpusError(f"no {', '.join(SUFFIXES)} file in {path}; expected a glossary: pass --corpus PATH")
        root = path if path.is_dir() else path.parent
        documents = tuple(parse(_read(p), p.relative_to(root).as_posix()) for p in files)
        asked = tuple(a for p in files for a in _asked(p, p.relative_to(root).as_posix()))
    except OSError as error:
        raise CorpusError(f"cannot read the corpus {path}: {error.strerror}; pass --corpus PATH") from error
    if not any(section.blocks for document in documents for section in document.sections):
        raise CorpusError(f"{path} holds no text to answer from; pass --corpus PATH")
    digest = hashlib.sha256()
    for document in documents:
        digest.update(document.name.encode() + b"\0" + document.text.encode() + b"\0")
    digest.update(repr(asked).encode())
    return Corpus(documents, digest.hexdigest(), asked)


def _asked(path: Path, name: str) -> list[Asked]:
    """Read NAME.asked.jsonl beside a corpus file, where there is one: {"quote": …, "asked": [question, …]} a line."""
    beside = path.with_suffix(".asked.jsonl")
    if not beside.is_file():
        return []
    try:
        rows = [json.loads(line) for line in _read(beside).split("\n") if line.strip()]
        if not all(isinstance(row["asked"], list) for row in rows):
            raise TypeError("asked is no list")
        return [Asked(name, str(row["quote"]), tuple(str(q) for q in row["asked"])) for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise CorpusError(f'{beside} is malformed ({error}); expected {{"quote": …, "asked": [...]}} a line') from error


def _read(path: Path) -> str:
    if path.stat().st_size > MOST_BYTES:
        raise CorpusError(f"{path} is larger than {MOST_BYTES >> 20} MiB; split it, or pass another --corpus PATH")
    raw = path.read_bytes()
    if b"\0" in raw:
        raise CorpusError(f"{path} is a binary file; expected UTF-8 Markdown or text: pass --corpus PATH")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{path} is not UTF-8 (byte {error.start}); convert it (iconv -f latin1 -t utf-8), or pass --corpus PATH"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse(text: str, name: str) -> Document:
    """Split `text` into sections and blocks. Offsets count characters of `text` as given."""
    body, title = int(text.startswith("\ufeff")), None
    if match := _FRONT_MATTER.match(text):
        body = match.end()
        title = _TITLE.search(match[1])
    # Front matter is blanked, not cut, so that line numbers keep pointing into the whole text.
    masked = re.sub(r"[^\n]", " ", text[:body]) + text[body:]
    tokens = MarkdownIt("commonmark").enable("table").parse(masked)
    lines = [0]
    for line in text.split("\n"):
        lines.append(lines[-1] + len(line) + 1)
    root = (clean_heading(title[1].strip("\"'")),) if title else ()
    return Document(name, text, tuple(_sections(text, name, tokens, lines, root)))


def _sections(text: str, name: str, tokens: list[Token], lines: list[int], root: tuple[str, ...]) -> Iterator[Section]:
    headings = [i for i, token in enumerate(tokens) if token.type == "heading_open"]
    path: dict[int, str] = {0: root[0]} if root else {}
    edges = [0, *(lines[_map(tokens[i])[0]] for i in headings), len(text)]
    for n, blocks in enumerate(_blocks(text, tokens, lines)):
        if n:
            first = headings[n - 1]
            level = int(tokens[first].tag[1])
            path = {at: words for at, words in path.items() if at < level}
            path[level] = clean_heading(_plain_inline(tokens[first + 1]))
        if n or blocks:
            yield Section(name, tuple(path.values()), edges[n], edges[n + 1], tuple(blocks))


def _blocks(text: str, tokens: list[Token], lines: list[int]) -> list[list[Block]]:
    """Return the blocks before the first heading, then those under each; a list may go on over a heading."""
    found: list[list[Block]] = [[]]
    reached = 0  # a table has an inline token for each cell, and all of a row have the row's lines
    groups: list[int] = []  # the open lists, by the line they begin on
    labels: list[str] = []  # the first words of each open list item
    for before, token in zip(["", *(t.type for t in tokens)], tokens, strict=False):
        if token.type == "heading_open":
            found.append([])
        elif token.type in ("bullet_list_open", "ordered_list_open"):
            groups.append(_map(token)[0])
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            groups.pop()
        elif token.type == "list_item_open":
            labels.append("")
        elif token.type == "list_item_close":
            labels.pop()
        elif token.type in ("inline", "fence", "code_block") and token.map and before != "heading_open":
            start, end = _span(text, lines[token.map[0]], min(lines[token.map[1]], len(text)))
            if start < reached or start >= end or _SHORTCODE.fullmatch(text[start:end]):
                continue
            reached = end
            above = tuple(label for label in labels[:-1] if label)
            kind: Literal["item", "paragraph"] = "item" if labels else "paragraph"
            found[-1].append(Block(kind, start, end, above, groups[-1] if groups else None))
            if labels and not labels[-1]:
                labels[-1] = clean_heading(re.split(r"[:.]\s", plain(text[start:end]), maxsplit=1)[0])
    return found


def _span(text: str, start: int, end: int) -> tuple[int, int]:
    """Leave out the marks that open the first line of a block, and the white space after the last."""
    match = _MARKER.match(text, start, end)
    start = match.end() if match else start
    return start, start + len(text[start:end].rstrip())


def _map(token: Token) -> tuple[int, int]:
    assert token.map is not None  # markdown-it gives every opening block token its lines
    return token.map[0], token.map[1]


def clean_heading(heading: str) -> str:
    """Drop the numbering and the closing colon: '3. Quantization:' → 'Quantization'."""
    return re.sub(r"^\s*(?:\d+(?:\.\d+)*[.)]\s+)?(.*?)\s*:?\s*$", r"\1", heading, flags=re.S)


_INLINE = MarkdownIt("commonmark")


def plain(markdown: str) -> str:
    """Return inline Markdown as a reader sees it: no marks, links as their words, single spaces."""
    tokens = _INLINE.parseInline(_QUOTATION.sub("", markdown).strip())
    return _plain_inline(tokens[0]) if tokens else ""


def _plain_inline(token: Token) -> str:
    words = "".join(
        " " if child.type in ("softbreak", "hardbreak") else child.content
        for child in token.children or ()
        if child.type != "html_inline"
    )
    return re.sub(r"\s+", " ", words).strip()
