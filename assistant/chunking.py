"""Sections → Passages: sentences and list items that know their block, heading and offsets. Pure; knows no models.

A sentence is the unit because it is what an answer cites. What it lacks ("This includes …") its
heading, its label and its block give back: see `contextual` and `block_text`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from assistant.corpus import clean_heading, plain
from assistant.records import Block, Corpus, Passage, Section

VERSION = 7  # part of the index's identity: raise it when passages or their texts change

_END = re.compile(r"[.!?…]+[\"'”’)\]*_]*(?=\s+[\"'“‘(\[*_]*[A-Z0-9À-Þ])")
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|cf|vs|etc|approx|ca|no|nos|fig|dr|mr|mrs|ms|prof|st|jr|sr|inc|ltd|co|al|gen|col|lt|rev"
    r"|jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec)|\b[A-Z]|\b(?:[A-Z]\.)+[A-Z])\.$",
    re.I,
)
_POINTING = re.compile(r"\b(?:it|they|this|these|benefits?|overview|introduction|summary|examples?)\b", re.I)
_ABOUT = re.compile(
    r"^(?:what (?:is|are|does|do) (?:an? |the )?(?P<asked>.+?)(?: means?)?\?"
    r"|(?:understanding|introducing|introduction to|overview of|about|deep dive\s*[-–—:]?)\s+(?:the )?(?P<named>.+))$",
    re.I,
)
_LABEL = re.compile(
    r"\s*((?:[^.:;!?]|\.(?=\d)){1,60}):([*_]*)\s+\S"
)  # the words, and the marks that close after the colon


def chunk(corpus: Corpus) -> tuple[Passage, ...]:
    """Return the passages of all documents in reading order, numbered from 0."""
    passages: list[Passage] = []
    shared = _shared_headings(corpus)
    generic = _shared_labels(corpus)
    section_number = block_number = 0
    for document in corpus.documents:
        for section in document.sections:
            for block in section.blocks:
                for start, end in _spans(document.text, block):
                    labels = block.labels + _own_label(document.text, block, start)
                    passages.append(
                        _passage(len(passages), document.text[start:end], start, section, labels, section_number,
                                 block_number, block, shared, generic)
                    )  # fmt: skip
                block_number += 1
            section_number += 1
    return tuple(passages)


def _passage(
    number: int, text: str, start: int, section: Section, labels: tuple[str, ...], section_number: int,
    block_number: int, block: Block, shared: frozenset[str],
    generic: frozenset[str],
) -> Passage:  # fmt: skip
    names = [*section.path, *labels]
    own = _LABEL.match(text) if block.kind == "item" and start == block.start else None
    named = own is not None and _label(own).lower() not in generic
    telling = [n for n in names if n.lower() not in shared and not _POINTING.search(n)]
    return Passage(
        id=number,
        file=section.file,
        start=start,
        end=start + len(text),
        text=text,
        plain=plain(_whole(text)),
        path=section.path,
        labels=labels,
        section=section_number,
        block=block_number,
        group=None if block.group is None else (section.file, block.group),
        kind="item" if block.kind == "item" else "sentence",
        subject=topic((telling or names or [""])[-1]),
        named=named,
    )


def headings(passages: Iterable[Passage]) -> frozenset[str]:
    """Return all headings and labels above passages: what the corpus calls its subjects."""
    return frozenset(name for p in passages for name in (*p.path, *p.labels) if name)


def topic(heading: str) -> str:
    """Return what a heading is about: 'What Are Parameters?' → 'Parameters', 'Understanding the tag' → 'tag'."""
    match = _ABOUT.match(heading)
    return (match["asked"] or match["named"]).strip() if match else heading


def _whole(text: str) -> str:
    """Drop a mark of emphasis that this sentence opens or closes and another one closes or opens."""
    for mark in ("***", "**", "*", "___", "__", "_"):
        if text.count(mark) % 2:
            if text.startswith(mark):
                return text[len(mark) :]
            if text.endswith(mark):
                return text[: -len(mark)]
    return text


def _shared_labels(corpus: Corpus) -> frozenset[str]:
    """Return the labels, in lower case, that open items of several lists ('Use Case:') and so name nothing."""
    found: dict[str, set[tuple[str, int | None]]] = {}
    for document in corpus.documents:
        for section in document.sections:
            for block in section.blocks:
                match = _LABEL.match(document.text, block.start, block.end) if block.kind == "item" else None
                if match:
                    found.setdefault(_label(match).lower(), set()).add((section.file, block.group))
    return frozenset(label for label, groups in found.items() if len(groups) > 1)


def _shared_headings(corpus: Corpus) -> frozenset[str]:
    """Return the headings, in lower case, that stand under several others ('How it helps') and so name nothing."""
    above: dict[str, set[tuple[str, ...]]] = {}
    for document in corpus.documents:
        for section in document.sections:
            if section.path:
                above.setdefault(section.path[-1].lower(), set()).add(section.path[:-1])
    return frozenset(heading for heading, parents in above.items() if len(parents) > 1)


def _own_label(text: str, block: Block, start: int) -> tuple[str, ...]:
    """Return the words before the colon that opens a list item, for the sentences after the first."""
    if block.kind != "item" or start == block.start:
        return ()
    match = _LABEL.match(text, block.start, block.end)
    return (_label(match),) if match else ()


def _label(match: re.Match[str]) -> str:
    return clean_heading(plain(match[1] + match[2]))


def _spans(text: str, block: Block) -> Iterator[tuple[int, int]]:
    start = block.start
    for match in _END.finditer(text, block.start, block.end):
        if _ABBREVIATION.search(text, start, match.end()):
            continue
        yield start, match.end()
        start = match.end()
        while start < block.end and text[start].isspace():
            start += 1
    if start < block.end:
        yield start, block.end


def split_sentences(text: str) -> tuple[str, ...]:
    """Split running text (a draft, say) into sentences, by the same rule as the passages."""
    if not text.strip():
        return ()
    start = len(text) - len(text.lstrip())
    block = Block("paragraph", start, len(text.rstrip()))
    return tuple(text[a:b] for a, b in _spans(text, block))


def contextual(passage: Passage) -> str:
    """Return the passage as it is embedded and indexed: its names, then its words."""
    names = [n for n in (*passage.path[-2:], *passage.labels) if n]
    return f"{' › '.join(names)}: {passage.plain}" if names else passage.plain


def block_text(passages: tuple[Passage, ...], block: int) -> str:
    """Return all sentences of one block together, with its names: what a lone sentence leaves out."""
    members = [p for p in passages if p.block == block]
    names = [n for n in (*members[0].path[-2:], *members[0].labels) if n]
    words = " ".join(p.plain for p in members)
    return f"{' › '.join(names)}: {words}" if names else words
