"""LangChain BaseRetriever: dense and BM25 fused, over passages with their headings. Knows no answers.

Three signals for each passage: the cosine of the passage itself, the cosine of the block it stands in
(a sentence that begins with "This" is understood by its neighbours), and BM25. They are added with
fixed weights, measured in the README, rather than by rank: a rank forgets how good a match is, and
the decision whether to answer at all needs that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import bm25s
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from pydantic import PrivateAttr

from assistant.chunking import contextual
from assistant.index import PassageIndex
from assistant.lexis import STOPWORDS, content, overlap, terms, words
from assistant.records import Asked, Hit, Passage, Turn

CONTEXT_WEIGHT = 0.4
LEXICAL_WEIGHT = 0.15
TOLD_WEIGHT = 0.4
ASKED_WEIGHT = 0.9  # a question is nearer to a question than to its answer
POOL = 48  # passages and blocks asked of the index before fusion
_ANAPHORA = frozenset(
    "it its they them their theirs this that those these he she him her his hers one ones same former latter there"
    " then other others else another instead".split()
)


class HybridRetriever(BaseRetriever):
    """Finds the passages nearest to a question."""

    index: Any
    passages: tuple[Passage, ...]
    embeddings: Embeddings
    asked: tuple[Asked, ...] = ()
    k: int = 12

    _bm25: Any = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        """Index the passages for BM25: milliseconds for thousands of them, so it is not stored."""
        self._bm25 = bm25s.BM25()
        also = {(way.file, way.quote): " ".join(way.questions) for way in self.asked}
        texts = [f"{contextual(p)} {also.get((p.file, p.plain), '')}" for p in self.passages]
        self._bm25.index([terms(text) or [""] for text in texts], show_progress=False)

    def hits(self, query: str, told: str = "") -> tuple[Hit, ...]:
        """Return the `k` best passages for a query, best first; what was `told` already counts for less."""
        index: PassageIndex = self.index
        vector = self.embeddings.embed_query(query)
        dense = index.nearest(vector, POOL, "passage")
        blocks = index.nearest(vector, POOL, "block")
        asked = index.nearest(vector, POOL, "asked")
        lexical = self._lexical(query)
        pool = set(dense) | set(asked) | {i for i, share in enumerate(lexical) if share > 0.35}
        pool |= {p.id for p in self.passages if p.block in blocks} if len(blocks) < 4 * self.k else set()
        floor = min(dense.values(), default=0.0)
        block_floor = min(blocks.values(), default=0.0)
        found = []
        already = set(content(told))
        for number in pool:
            passage = self.passages[number]
            near = max(dense.get(number, floor), ASKED_WEIGHT * asked.get(number, 0.0))
            context = blocks.get(passage.block, near if number in dense else block_floor)
            score = near + CONTEXT_WEIGHT * context + LEXICAL_WEIGHT * lexical[number]
            if told:
                score -= TOLD_WEIGHT * overlap(content(passage.plain), already)
            found.append(Hit(passage, score, near, context, lexical[number]))
        found.sort(key=lambda hit: (-hit.score, hit.passage.id))
        return tuple(found[: self.k])

    def _lexical(self, query: str) -> list[float]:
        wanted = [t for t in terms(query) if t not in STOPWORDS]
        if not wanted:
            return [0.0] * len(self.passages)
        scores = self._bm25.get_scores(wanted)
        most = float(scores.max()) if len(scores) else 0.0
        return [float(s) / most if most > 0 else 0.0 for s in scores]

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [
            Document(
                page_content=hit.passage.plain,
                id=str(hit.passage.id),
                metadata={
                    "file": hit.passage.file, "start": hit.passage.start, "end": hit.passage.end,
                    "section": hit.passage.heading, "score": hit.score,
                },
            )
            for hit in self.hits(query)
        ]  # fmt: skip


def standalone(question: str, history: Sequence[Turn]) -> str:
    """Return a query that can be understood without the conversation.

    A question that leans on what came before ("and the larger one?") is given the last question and the
    beginning of the last answer; a question that stands by itself is left alone, so that a change of
    subject is one.
    """
    if not history or not leans(question):
        return question
    asked = [t.content for t in history if t.role == "user"][-1:]
    told = [" ".join(t.content.split()[:25]) for t in history if t.role == "assistant"][-1:]
    return " ".join((*asked, *told, question))


def leans(question: str) -> bool:
    """Tell whether a question may need the turns before it: it points back at them, or has hardly a word of its own."""
    return points_back(question) or len(content(question)) <= 3


def points_back(question: str) -> bool:
    """Tell whether a question surely needs the turns before it: a pronoun, or a bare 'and …'."""
    said = [w.lower() for w in words(re.sub(r"\b(is|are|was|were) there\b", r"\1", question, flags=re.I))]
    if any(w in _ANAPHORA for w in said):
        return True
    opening = r"\s*(?:and|but|or|so|also|ok(?:ay)?|what about|how about|why|now|then)\b"
    return bool(re.match(opening, question, re.I))
