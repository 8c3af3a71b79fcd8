"""Question, passages → messages; and the reading of a draft. Pure: knows the wording, not the model.

The system text never changes and comes first, so that llama.cpp keeps it evaluated; the passages and the
question, which change, come last. Passages stand in reading order under their headings, numbered from 1.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Sequence
from itertools import groupby

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from assistant.chunking import split_sentences
from assistant.records import Passage

READER = "Give the number of a sentence that answers the question, or [0] if none of them does."
GENERAL = (
    "You answer from numbered sentences of a glossary and from nothing else. Begin with the numbers of the"
    " sentences that answer, as in [2][3], then answer in one to three short sentences that keep their words."
    " If none of them answers, reply [0]."
)
MOST_WORDS = 60  # of one passage in a prompt: a longer one is cut, since each token delays the first word
_MARK = re.compile(r"\[(\d{1,2})\]")


def messages(question: str, passages: Sequence[Passage], trained: bool) -> list[BaseMessage]:
    """Return the messages for a question; `trained` tells that the model learnt this task from an adapter."""
    return [
        SystemMessage(READER if trained else GENERAL),
        HumanMessage(f"{context(passages)}\n\nQuestion: {' '.join(question.split())}"),
    ]


def context(passages: Sequence[Passage]) -> str:
    """Return the passages as numbered lines, a heading line before each group under the same heading."""
    lines = []
    number = 0
    for heading, group in groupby(passages, key=lambda p: p.heading):
        if heading:
            lines.append(f"# {heading}")
        for passage in group:
            number += 1
            said = passage.plain.split()
            lines.append(f"[{number}] " + " ".join(said[:MOST_WORDS]) + (" …" if len(said) > MOST_WORDS else ""))
    return "\n".join(lines)


def drafts(pieces: Iterable[str]) -> Generator[tuple[tuple[int, ...], str, bool]]:
    """Split a reply that streams in into (numbers named so far, sentence, is a list item), one at a time.

    The numbers that open the reply come first, by themselves, with an empty sentence; (0,) is 'none'.
    """
    opened: tuple[int, ...] | None = None
    text = ""
    for piece in pieces:
        text += piece
        if opened is None:
            match = re.match(r"\s*((?:\[\d{1,2}\][\s,]*)*)(?=[^\s\[,])", text)
            if not match:
                continue
            opened = tuple(int(n) for n in _MARK.findall(match[1]))
            text = text[match.end() :]
            yield opened, "", False
        done, text = _whole(text)
        for sentence, item in done:
            yield opened, sentence, item
    if opened is None:
        opened = tuple(int(n) for n in _MARK.findall(text))
        text = _MARK.sub("", text).strip(" ,\n")
        yield opened, "", False
    for sentence, item in _lines(text):
        yield opened, sentence, item


def _whole(text: str) -> tuple[list[tuple[str, bool]], str]:
    """Return the sentences that are surely finished, and what may still grow."""
    head, newline, tail = text.rpartition("\n")
    done = _lines(head) if newline else []
    parts = split_sentences(tail)
    if len(parts) > 1 and not tail.lstrip().startswith(("-", "*")):
        done += [(p.strip(), False) for p in parts[:-1]]
        tail = parts[-1]
    return done, tail


def _lines(text: str) -> list[tuple[str, bool]]:
    found = []
    for line in text.split("\n"):
        line = _MARK.sub("", line).strip()
        item = re.match(r"(?:[-*•]|\d+[.)])\s+", line)
        if item:
            found.append((line[item.end() :].strip(), True))
        else:
            found.extend((s.strip(), False) for s in split_sentences(line))
    return [(s, i) for s, i in found if s]
