"""Hits → the passages that a reply is read from, and those that are quoted in its place. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from assistant.lexis import content, overlap, words
from assistant.records import Hit, Passage

READ = 6  # passages shown to the model: more delay the first word by about 0.1 s each
NEAR = 0.86  # share of the best score that a further quotation must reach
MOST_QUOTED = 3
MOST_QUOTED_WORDS = 60
MOST_LIST_WORDS = 120
_LIST = re.compile(
    r"\b(?:list|enumerate|name (?:the|all|some|a few|two|three|four|every|me)|all (?:the|of the)\b|bullets?|items"
    r"|points|steps|(?:what|which) (?:\w+ ){0,3}(?:are|were|do|does|did|can|have)\b"
    r"|advantages|benefits|techniques|methods|types|kinds|ways"
    r"|examples|stages|parts|components|reasons|every\b|each of)",
    re.I,
)
_LEANING = re.compile(r"(?:this|that|these|those|it|its|they|their|such|here|both|he|she|his|her)\b", re.I)


def wants_list(question: str) -> bool:
    """Tell whether a question may be asking for several items."""
    return bool(_LIST.search(question))


def to_read(hits: Sequence[Hit], most: int = READ) -> tuple[Passage, ...]:
    """Return the best `most` passages in reading order, as the model reads them."""
    best = [hit.passage for hit in hits if len(hit.passage.plain.split()) > 1][:most]
    return tuple(sorted(best, key=lambda p: p.id))


def to_quote(question: str, hits: Sequence[Hit], passages: Sequence[Passage]) -> tuple[Passage, ...]:
    """Return the passages to quote when only the retrieval speaks: a whole list, or the best few sentences."""
    if not hits:
        return ()
    if wants_list(question):
        whole = whole_list(question, hits, passages)
        if whole:
            return whole
    chosen: list[Passage] = []
    said = 0
    for hit in hits:
        length = len(hit.passage.plain.split())
        if chosen and (hit.score < NEAR * hits[0].score or said + length > MOST_QUOTED_WORDS):
            continue
        if hit.passage.plain.endswith(":") or (not chosen and _is_bare_label(hit.passage, passages)):
            continue
        chosen.append(hit.passage)
        said += length
        if len(chosen) == MOST_QUOTED:
            break
    chosen = chosen or [hits[0].passage]
    return tuple(sorted(chosen, key=lambda p: p.id))


def _is_bare_label(passage: Passage, passages: Sequence[Passage]) -> bool:
    following = passages[passage.id + 1] if passage.id + 1 < len(passages) else None
    return bool(following and following.labels and following.labels[-1] == passage.plain.rstrip(":"))


def whole_list(question: str, hits: Sequence[Hit], passages: Sequence[Passage]) -> tuple[Passage, ...]:
    """Return all items of the list that the best hits stand in or introduce; empty when they point at none."""
    votes: dict[tuple[str, int], float] = {}
    for rank, hit in enumerate(hits[:5]):
        for group in _groups_of(hit.passage, passages):
            votes[group] = votes.get(group, 0.0) + hit.score / (rank + 1)
    if not votes:
        return ()
    asked = content(question)
    best = max(votes, key=lambda g: votes[g] + overlap(asked, _names(g, passages)))
    if votes[best] < hits[0].score and hits[0].passage.group != best:
        return ()
    items = list_items(best, passages)
    return items if len(items) > 1 else ()


def merged(first: Sequence[Passage], then: Sequence[Passage]) -> tuple[Passage, ...]:
    """Return the passages of both in reading order, those of `then` within the words of a quotation."""
    kept = list(first)
    for passage in then:
        if passage not in kept and sum(len(p.plain.split()) for p in (*kept, passage)) <= MOST_QUOTED_WORDS:
            kept.append(passage)
    return tuple(sorted(kept, key=lambda p: p.id))


def list_items(
    group: tuple[str, int], passages: Sequence[Passage], also: Sequence[Passage] = ()
) -> tuple[Passage, ...]:
    """Return a list as it is shown: the first sentence of each item, and the sentences in `also`; () when too long."""
    members = [p for p in passages if p.group == group]
    items = [p for n, p in enumerate(members) if p in also or not n or members[n - 1].block != p.block]
    return tuple(items) if sum(len(p.plain.split()) for p in items) <= MOST_LIST_WORDS else ()


def completed(question: str, chosen: Sequence[Passage], passages: Sequence[Passage]) -> tuple[Passage, ...]:
    """Return the chosen passages in reading order; the whole list where they are of one and a list was asked for."""
    ordered = tuple(sorted(chosen, key=lambda p: p.id))
    if len(ordered) > 1 and is_list(ordered) and wants_list(question):
        group = ordered[0].group
        assert group is not None
        return list_items(group, passages, ordered) or ordered
    return ordered


def is_list(passages: Sequence[Passage]) -> bool:
    """Tell whether passages are two or more items of one list."""
    return (
        len({p.block for p in passages}) > 1 and passages[0].group is not None and len({p.group for p in passages}) == 1
    )


def _groups_of(passage: Passage, passages: Sequence[Passage]) -> list[tuple[str, int]]:
    if passage.group is not None:
        return [passage.group]
    if passage.plain.endswith(":") and passage.id + 1 < len(passages):
        following = passages[passage.id + 1].group
        return [following] if following else []
    return []


def _names(group: tuple[str, int], passages: Sequence[Passage]) -> list[str]:
    first = next(p for p in passages if p.group == group)
    return content(" ".join((*first.path[-2:], *first.labels)))


def quotation(passage: Passage, before: Passage | None = None) -> str:
    """Return a passage's words so that they can stand alone: with its subject in front where they lack one.

    `before` is the passage quoted just before: within one block the subject is said once.
    """
    said = passage.plain.rstrip()
    if said[-1:] not in '.!?:…"”':
        said += "."
    subject = passage.subject
    bare = passage.kind == "item" and not passage.named
    if before is not None and before.block == passage.block:
        return said
    if subject and (bare or _LEANING.match(said)) and overlap(content(subject), content(said)) < 1:
        return f"{subject}: {said}"
    return said


def lead(items: Sequence[Passage]) -> str:
    """Return the line that introduces a quoted list: the names above it."""
    first = items[0]
    names = [n for n in (*first.path, *first.labels) if n]
    subject = names[-1] if names else ""
    if first.subject and first.subject != subject:
        subject = f"{first.subject} – {subject}"
    return f"{subject}:" if words(subject) else ""
