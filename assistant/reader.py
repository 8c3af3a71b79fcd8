"""The model as a reader: passages and a question in; which sentences answer, and an answer in their words, out.

Knows the wording (`prompt`) and LangChain's chat models; nothing of how the reply is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel

from assistant import prompt
from assistant.records import Passage

MOST_TOKENS = 110  # an answer of 60 words
MOST_NAMED_TOKENS = 3  # one number in brackets


@dataclass
class Reading:
    """A reply under way. `choice` holds the probabilities of none, [1], [2] … as the model's first choice.

    `choice` is empty for a model that does not tell them; `chosen` are the passages that it named.
    """

    choice: tuple[float, ...]
    chosen: tuple[Passage, ...]
    sentences: Iterator[tuple[str, bool]]
    close: Callable[[], None]


class Reader:
    """A chat model, whether it was trained to read numbered sentences, and whether it takes `halted`."""

    def __init__(self, model: BaseChatModel, trained: bool, stoppable: bool = False) -> None:
        """Take the model; `trained` tells that it carries the adapter made for these prompts."""
        self.model = model
        self.trained = trained
        self.stoppable = stoppable

    def read(self, query: str, passages: Sequence[Passage], halted: Callable[[], bool] | None = None) -> Reading:
        """Start a reply, and return once the model has named its sentences, or as soon as `halted` is true."""
        choice: list[tuple[float, ...]] = []

        def pieces() -> Generator[str]:
            asked = prompt.messages(query, passages, self.trained)
            options: dict[str, Any] = {"max_tokens": MOST_NAMED_TOKENS if self.trained else MOST_TOKENS}
            if self.trained:
                options["choices"] = len(passages)
            if self.stoppable:
                options["halted"] = halted
            for piece in self.model.stream(asked, **options):
                if not choice and piece.response_metadata.get("choice"):
                    choice.append(tuple(piece.response_metadata["choice"]))
                yield str(piece.content)

        stream = pieces()
        drafted = prompt.drafts(stream)

        def close() -> None:
            drafted.close()
            stream.close()

        numbers = next(drafted, ((), "", False))[0]
        chosen = tuple(passages[n - 1] for n in dict.fromkeys(numbers) if 0 < n <= len(passages))
        return Reading(
            choice=choice[0] if choice else (),
            chosen=chosen,
            sentences=((sentence, item) for _, sentence, item in drafted),
            close=close,
        )
