"""A chat assistant that answers from a glossary and shows for every sentence where it stands.

    from assistant import from_env, open_assistant

    assistant = open_assistant(from_env())
    answer = assistant.ask("What does Q4_K_M mean?")

Nothing heavy is imported until `open_assistant` is called.
"""

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
