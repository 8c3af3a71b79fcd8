"""A chat assistant that answers from a glossary and shows for every sentence where it stands.

    from assistant import from_env, open_assistant

    assistant = open_assistant(from_env())
    answer = assistant.ask("What does Q4_K_M mean?")

Nothing is imported before it is used, and nothing heavy until `open_assistant` is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assistant.errors import AssistantError
    from assistant.records import Answer, Citation, Question, Turn
    from assistant.settings import Settings, from_env
    from assistant.wiring import open_assistant

__all__ = [
    "Answer",
    "AssistantError",
    "Citation",
    "Question",
    "Settings",
    "Turn",
    "from_env",
    "open_assistant",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import a public name on its first use, so that the command line is there, and can be stopped, at once."""
    if name in __all__:
        from assistant import errors, records, settings, wiring

        return next(getattr(home, name) for home in (errors, records, settings, wiring) if hasattr(home, name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
