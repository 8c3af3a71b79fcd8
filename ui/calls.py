"""What the page's script calls besides Gradio's events: votes, exports, the source text. Knows no Gradio.

Each takes and returns one JSON object: {"text": …}, or {"error": one line}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from assistant.errors import AssistantError
from ui.about import about_html, figures
from ui.session import Desk
from ui.source_view import document_html


class Calls:
    """The functions that a browser may call; what it sends is checked here."""

    def __init__(self, desk: Desk) -> None:
        """Take the desk."""
        self.desk = desk

    def vote(self, given: dict[str, Any]) -> dict[str, str]:
        """Keep a thumb up or down on a turn, with a comment."""
        return self._told(lambda: self.desk.store.vote(int(given["turn"]), int(given["vote"]), str(given["comment"])))

    def export(self, given: dict[str, Any]) -> dict[str, str]:
        """Return a conversation as text to be saved."""
        store = self.desk.store
        return self._told(
            lambda: (store.export_json if given["kind"] == "json" else store.export_markdown)(given["id"])
        )

    def document(self, given: dict[str, Any]) -> dict[str, str]:
        """Return a document of the corpus as HTML; the first one where none is named."""
        corpus = self.desk.corpus
        return self._told(lambda: document_html(corpus, str(given.get("file") or corpus.documents[0].name)))

    def about(self, given: dict[str, Any]) -> dict[str, str]:
        """Return the inside of the panel on the page itself."""
        return self._told(lambda: about_html(figures(), self.desk.corpus))

    @staticmethod
    def _told(act: Callable[[], str | None]) -> dict[str, str]:
        try:
            return {"text": act() or ""}
        except AssistantError as error:
            return {"error": str(error)}
        except (KeyError, ValueError, TypeError):
            return {"error": "this is no longer there: load the page anew"}
