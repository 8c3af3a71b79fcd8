"""The data that flow through the assistant, as frozen dataclasses. Knows no model, no store and no file.

All offsets are in characters (Unicode code points) of one source file, half open: `text[start:end]`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Origin = Literal["model", "quote"]


@dataclass(frozen=True)
class Block:
    """A paragraph, a list item or a table row inside a section.

    `labels` are the texts of the list items that this item is nested in, outermost first.
    `group` numbers the list that an item belongs to, within its file; None outside lists.
    """

    kind: Literal["paragraph", "item"]
    start: int
    end: int
    labels: tuple[str, ...] = ()
    group: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"a block needs 0 <= start < end, not {self.start}, {self.end}")


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it up to the next heading of any level."""

    file: str
    path: tuple[str, ...]
    start: int
    end: int
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True)
class Document:
    """One source file: its name relative to the corpus, its text, and its sections in order."""

    name: str
    text: str
    sections: tuple[Section, ...]


@dataclass(frozen=True)
class Asked:
    """Other ways to ask for one passage: what an index's "see also" is in a book. It holds no answers."""

    file: str
    quote: str
    questions: tuple[str, ...]


@dataclass(frozen=True)
class Corpus:
    """Everything the assistant may answer from. `digest` is the sha256 over names, texts and `asked`."""

    documents: tuple[Document, ...]
    digest: str
    asked: tuple[Asked, ...] = ()

    def text(self, file: str) -> str:
        """Return the text of `file`; KeyError when the corpus has no such file."""
        for document in self.documents:
            if document.name == file:
                return document.text
        raise KeyError(file)


@dataclass(frozen=True)
class Passage:
    """A sentence or a list item: the unit that is found, quoted and cited.

    `text` is the source verbatim (`document.text[start:end]`); `plain` is the same without Markdown
    marks and line breaks. `path` holds the headings above it, `labels` the list items or the bold
    lead-in that it belongs to, so that "Can be done during training" is known to speak of pruning;
    `subject` is the innermost of them that says so by itself, `named` tells that an item opens with a
    label of its own. `group` is the list of an item.
    """

    id: int
    file: str
    start: int
    end: int
    text: str
    plain: str
    path: tuple[str, ...]
    labels: tuple[str, ...]
    section: int
    block: int
    group: tuple[str, int] | None
    kind: Literal["sentence", "item"]
    subject: str = ""
    named: bool = False

    def __post_init__(self) -> None:
        if self.end - self.start != len(self.text) or not self.text:
            raise ValueError(f"passage {self.id}: offsets {self.start}:{self.end} do not fit its text")

    @property
    def heading(self) -> str:
        """The innermost two names that say what this passage is about, e.g. 'Context Lengths › 512 Tokens'."""
        return " › ".join((*self.path, *self.labels)[-2:])


@dataclass(frozen=True)
class Hit:
    """A passage found for a question, with the scores that found it.

    `dense` and `context` are cosines in [-1, 1] of the passage and of its block; `lexical` is the
    share in [0, 1] of the question's BM25 weight; `score` is their fusion, which retrieval orders by.
    `relevance` is the log odds that the passage answers, given by a model that read it with the question.
    """

    passage: Passage
    score: float
    dense: float
    context: float
    lexical: float
    relevance: float = 0.0


@dataclass(frozen=True)
class Turn:
    """One message of the conversation so far."""

    role: Literal["user", "assistant"]
    content: str

    def __post_init__(self) -> None:
        if self.role not in ("user", "assistant"):
            raise ValueError(f"a turn's role is 'user' or 'assistant', not {self.role!r}")


@dataclass(frozen=True)
class Question:
    """What a person asks, and the conversation before it, oldest turn first."""

    text: str
    history: tuple[Turn, ...] = ()


@dataclass(frozen=True)
class Citation:
    """Where in the source a sentence stands: `corpus.text(file)[start:end] == quote`."""

    n: int
    section: str
    quote: str
    start: int
    end: int
    file: str


@dataclass(frozen=True)
class Sentence:
    """One sentence or list item of an answer, who worded it, and the citations that back it.

    `chosen` tells who picked its passages: a model that read them with the question, or the retrieval
    alone, as in a baseline.
    """

    text: str
    origin: Origin
    citations: tuple[int, ...]
    item: bool = False
    chosen: Literal["model", "retrieval"] = "retrieval"


@dataclass(frozen=True)
class Timings:
    """Seconds from the question to the first shown word and to the end."""

    ttft_s: float | None = None
    total_s: float = 0.0


@dataclass(frozen=True)
class Answer:
    """What the assistant says. While it streams, each snapshot holds all that is shown so far.

    An abstention is an ordinary answer: `abstained` is true, `reason` says why, there are no
    citations, and `suggestions` name the nearest headings. `hits` are the passages considered,
    `probability` in (0, 1) is how sure the assistant was that they answer.
    """

    question: str
    sentences: tuple[Sentence, ...] = ()
    citations: tuple[Citation, ...] = ()
    abstained: bool = False
    reason: str = ""
    suggestions: tuple[str, ...] = ()
    timings: Timings = field(default_factory=Timings)
    model: str = ""
    complete: bool = False
    probability: float | None = None
    hits: tuple[Hit, ...] = field(default=(), repr=False)

    @property
    def text(self) -> str:
        """The answer as plain text without citation marks; an abstention's text is its reason."""
        if self.abstained:
            return self.reason
        return layout(self.sentences, marks=False)


def layout(sentences: tuple[Sentence, ...], marks: bool) -> str:
    """Set sentences as running text and items as a bulleted list; `marks` adds [1] after each."""
    out = ""
    for before, sentence in zip((None, *sentences), sentences, strict=False):
        cited = "".join(f"[{n}]" for n in sentence.citations) if marks else ""
        piece = f"{sentence.text} {cited}".rstrip()
        if sentence.item:
            out += ("\n" if out else "") + "- " + piece
        elif before is not None and before.item:
            out += "\n\n" + piece
        else:
            out += (" " if out else "") + piece
    return out
