"""Hits → the passages that the language model reads, and those that an answer quotes. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence, Set
from dataclasses import replace

from assistant.chunking import contextual, topic
from assistant.lexis import content, overlap, words
from assistant.records import Hit, Passage

READER = 0.5  # log odds that it is worth to a passage if the language model names it e times as surely as another
UNNAMED = 1e-3  # probability that is given to a passage that the language model would hardly name
READ = 5  # passages shown to the language model: more delay the first word by about 0.07 s each
NEAR = 4.5  # log odds below those of the best passage, within which a further one is quoted
NEAR_SURE, SURE = 3.0, 1.5  # the same where the best passage surely answers, and the log odds from which it does
LIKELY = -5.0  # log odds from which a further passage is quoted
SIDE = 2.0  # log odds that it is worth to speak of a side of the question that nothing chosen speaks of
OTHER = -4.0  # log odds from which a passage on another side of the question keeps a list from being all of the answer
LISTED = -2.0  # log odds from which an item speaks for its whole list, whatever was asked
ASKED = -4.0  # the same where the question may be asking for several things
LEVEL = 3.0  # log odds below those of the best passage, within which an item speaks as clearly as that one
ALMOST_ALL = 0.75  # share of the items of a list that must do so, for the list to be the answer whatever was asked
ADJACENT = 1.5  # log odds that it is worth to stand next to what is chosen: sentences are written to be read on
MOST_QUOTED = 3
MOST_ADJACENT_WORDS = 60  # up to which that counts
MOST_QUOTED_WORDS = 75
MOST_LIST_WORDS = 120
_LIST = re.compile(
    r"\b(?:list|enumerate|name (?:the|all|some|a few|two|three|four|every|me)|all (?:the|of the)\b|bullets?|items"
    r"|points|steps|(?:what|which) (?:\w+ ){0,3}(?:are|were|do|does|did|can|have)\b"
    r"|advantages|benefits|techniques|methods|types|kinds|ways"
    r"|examples|stages|parts|components|reasons|every\b|each of)",
    re.I,
)
_SEVERAL = re.compile(
    r"\b(?:vs|versus|compare[ds]?|comparison|differ\w*|contrast|side by side|apart|distinguish\w*|alike"
    r"|in common|whereas|unlike|opposed|against|between|both|respectively|each|or"
    r"|than|rather|instead|next to|and)\b",
    re.I,
)
_BRACKETS = re.compile(r"\([^)]*\)")
_LEANING = re.compile(r"(?:this|that|these|those|it|its|they|their|such|here|both|he|she|his|her)\b", re.I)


def wants_list(question: str) -> bool:
    """Tell whether a question may be asking for several items."""
    return bool(_LIST.search(question))


def to_read(hits: Sequence[Hit], most: int = READ) -> tuple[Passage, ...]:
    """Return the best `most` passages in reading order, as the model reads them."""
    best = [hit.passage for hit in hits if len(hit.passage.plain.split()) > 1][:most]
    return tuple(sorted(best, key=lambda p: p.id))


def weighed(hits: Sequence[Hit], read: Sequence[Passage], choice: Sequence[float]) -> tuple[Hit, ...]:
    """Return the hits in the order that follows when the language model's choice counts as well.

    choice  probabilities of none, and of each passage of `read`, as the first it names; empty where it tells none
    """
    named = {p.id: probability for p, probability in zip(read, choice[1:], strict=False)}
    if not named:
        return tuple(hits)
    surest = max(named.values())
    worth = {n: READER * math.log((probability + UNNAMED) / (surest + UNNAMED)) for n, probability in named.items()}
    unread = sum(worth.values()) / len(worth)  # nothing is known of the others: they keep their distance
    voiced = [replace(hit, relevance=hit.relevance + worth.get(hit.passage.id, unread)) for hit in hits]
    return tuple(sorted(voiced, key=lambda hit: (-hit.relevance, hit.passage.id)))


def to_quote(question: str, hits: Sequence[Hit], passages: Sequence[Passage]) -> tuple[Passage, ...]:
    """Return what answers, in reading order: a whole list, or the best passage and the few that answer as well.

    `hits` come best first by relevance. A further passage is added where it may answer and is not far behind the
    best one. The sentence before or after a chosen one has an advantage while the answer is short; where two
    things are asked about, so has one on the side that is still left out.
    """
    if not hits:
        return ()
    several = bool(_SEVERAL.search(question))
    whole = whole_list(question, hits, passages)
    if whole and not (several and _other_side(question, whole, hits)):
        return whole
    entries = _entries(passages)
    usable = [
        h
        for h in hits
        if not (h.passage.plain.endswith(":") or _is_bare_label(h.passage, passages) or _refers(h.passage, entries))
    ]
    best, *others = usable or hits[:1]
    near = NEAR_SURE if best.relevance >= SURE else NEAR
    floor = max(best.relevance - near, LIKELY) - (SIDE / 2 if several else 0.0)
    left = set(content(question)) - _said(best.passage) if several else set()
    chosen, room = [best.passage], MOST_QUOTED_WORDS + 15 * several
    while others and len(chosen) < MOST_QUOTED + several:
        worth = [
            h.relevance + SIDE * bool(left & _said(h.passage)) + ADJACENT * _reads_on(h.passage, chosen) for h in others
        ]
        most = max(worth)
        following = others.pop(worth.index(most))
        if most >= floor and _length(*chosen, following.passage) <= room:
            chosen.append(following.passage)
            left -= _said(following.passage)
    return tuple(sorted(chosen, key=lambda p: p.id))


def _other_side(question: str, chosen: Sequence[Passage], hits: Sequence[Hit]) -> bool:
    """Tell whether something asked about is left out of what is chosen, and a passage likely answers on it."""
    left = set(content(question)) - set().union(*(_said(p) for p in chosen))
    return any(left & _said(h.passage) for h in hits if h.relevance >= OTHER and h.passage not in chosen)


def _reads_on(passage: Passage, chosen: Sequence[Passage]) -> bool:
    """Tell whether a passage is the sentence before or after a chosen one, and all of them are still few words."""
    beside = any(abs(passage.id - p.id) == 1 and passage.block == p.block for p in chosen)
    return beside and _length(*chosen, passage) <= MOST_ADJACENT_WORDS


def _length(*passages: Passage) -> int:
    return sum(len(p.plain.split()) for p in passages)


def _said(passage: Passage) -> set[str]:
    return set(content(contextual(passage)))


def _is_bare_label(passage: Passage, passages: Sequence[Passage]) -> bool:
    following = passages[passage.id + 1] if passage.id + 1 < len(passages) else None
    return bool(following and following.labels and following.labels[-1] == passage.plain.rstrip(":"))


def _entries(passages: Sequence[Passage]) -> set[tuple[str, ...]]:
    """Return the words of each innermost heading, without what stands in brackets."""
    return {_named(p.path[-1]) for p in passages if p.path}


def _refers(passage: Passage, entries: Set[tuple[str, ...]]) -> bool:
    """Tell whether an item does no more than name another entry, as under "Related terms": it says nothing."""
    return passage.kind == "item" and _named(passage.plain) in entries


def _named(text: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in words(_BRACKETS.sub("", text)))


def whole_list(question: str, hits: Sequence[Hit], passages: Sequence[Passage]) -> tuple[Passage, ...]:
    """Return all items of the list that the best hits stand in or introduce; empty when they point at none.

    A list is meant where its line above is the best hit; where almost all of its items speak as clearly as the best
    hit, unless they only name other entries; or where the question may ask for several things, two of its items
    speak, and all of them together outweigh every other passage.
    """
    best = hits[0]
    opened = _groups_of(best.passage, passages) if best.passage.plain.endswith(":") else ()
    if opened:
        return list_items(opened[0], passages)
    relevance = {h.passage.id: h.relevance for h in hits}
    groups = dict.fromkeys(g for h in hits for g in _groups_of(h.passage, passages))
    entries = _entries(passages)
    for group in groups:
        items = list_items(group, passages)
        if all(_refers(p, entries) for p in items):
            continue
        level = [relevance.get(p.id, -math.inf) >= max(best.relevance - LEVEL, LISTED) for p in items]
        if len(items) > 1 and sum(level) >= ALMOST_ALL * len(items):
            return items
    if not wants_list(question) or not groups:
        return ()
    weight = {g: sum(share(h.relevance) for h in hits if g in _groups_of(h.passage, passages)) for g in groups}
    found = max(weight, key=lambda g: weight[g])
    members = [h for h in hits if found in _groups_of(h.passage, passages)]
    alone = max((share(h.relevance) for h in hits if h not in members), default=0.0)
    speaking = {h.passage.block for h in members if h.relevance >= max(best.relevance - LEVEL, ASKED)}
    if weight[found] < alone or len(speaking) < 2:
        return ()
    items = list_items(found, passages)
    return items if len(items) > 1 else ()


def share(log_odds: float) -> float:
    """Return the probability of these log odds."""
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, log_odds))))


def list_items(group: tuple[str, int], passages: Sequence[Passage]) -> tuple[Passage, ...]:
    """Return a list as it is shown: the first sentence of each item; () when too long."""
    members = [p for p in passages if p.group == group]
    items = [p for n, p in enumerate(members) if not n or members[n - 1].block != p.block]
    return tuple(items) if sum(len(p.plain.split()) for p in items) <= MOST_LIST_WORDS else ()


def is_list(passages: Sequence[Passage]) -> bool:
    """Tell whether passages are two or more items of one list, one sentence of each."""
    items = {p.block for p in passages}
    return len(items) == len(passages) > 1 and passages[0].group is not None and len({p.group for p in passages}) == 1


def _groups_of(passage: Passage, passages: Sequence[Passage]) -> list[tuple[str, int]]:
    if passage.group is not None:
        return [passage.group]
    if passage.plain.endswith(":") and passage.id + 1 < len(passages):
        following = passages[passage.id + 1].group
        return [following] if following else []
    return []


def quotation(passage: Passage, before: Passage | None = None) -> str:
    """Return a passage's words so that they can stand alone: with its subject in front where they lack one.

    `before` is the passage quoted just before: the subject that both have is said once.
    """
    said = passage.plain.rstrip().removesuffix(":")  # what it leads to is not quoted with it
    if said[-1:] not in '.!?…"”':
        said += "."
    subject = passage.subject
    bare = passage.kind == "item" and not passage.named
    if before is not None and (before.block == passage.block or before.subject == subject):
        return said
    if subject and (bare or _LEANING.match(said)) and overlap(content(subject), content(said)) < 1:
        return f"{subject}: {said}"
    return said


def lead(items: Sequence[Passage]) -> str:
    """Return the line that introduces a quoted list: the names above it."""
    first = items[0]
    names = [n for n in (*first.path, *first.labels) if n]
    subject = topic(names[-1]) if names else ""
    if first.subject and overlap(content(first.subject), content(subject)) < 1:
        subject = f"{first.subject} – {subject}"
    return f"{subject}:" if words(subject) else ""
