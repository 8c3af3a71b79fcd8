"""A turn as the page knows it: what is shown of it, what may be asked, and what was said before. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from assistant.errors import QuestionError
from assistant.records import Answer, Turn

if TYPE_CHECKING:
    from ui.kept import StoredTurn

State = Literal["loading", "waiting", "answering", "complete", "stopped", "failed"]
ENDED: tuple[State, ...] = ("complete", "stopped", "failed")
MOST_CHARACTERS = 2000  # as assistant.pipeline's, whose import takes seconds; a test holds them equal


@dataclass(frozen=True)
class View:
    """What is shown of one turn. `turn` is its id in the store, 0 before it has one.

    `place` is its place in the queue, from 1; `message` says what failed, or what the page is waiting for.
    """

    turn: int
    question: str
    answer: Answer | None = None
    state: State = "answering"
    place: int = 0
    message: str = ""
    vote: int = 0
    comment: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing will be added."""
        return self.state in ENDED


def check(question: str) -> None:
    """Refuse what cannot be asked. Raises QuestionError."""
    if not question.strip():
        raise QuestionError("the question is empty; expected a sentence or a few words, e.g. 'What does 7B mean?'")
    if len(question) > MOST_CHARACTERS:
        raise QuestionError(
            f"the question has {len(question):,} characters; at most {MOST_CHARACTERS:,} are read: shorten it"
        )


def history(turns: Sequence[StoredTurn]) -> tuple[Turn, ...]:
    """Return what was said in turns that were answered, oldest first."""
    said = [(t.question, t.answer.text) for t in turns if t.answer is not None and t.answer.text]
    return tuple(turn for asked, told in said for turn in (Turn("user", asked), Turn("assistant", told)))


def stored_view(turn: StoredTurn) -> View:
    """Return what is to be shown of a turn that was kept."""
    return View(turn.id, turn.question, turn.answer, turn.state, 0, turn.message, turn.vote, turn.comment)
