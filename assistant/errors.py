"""The exception tree. Knows nothing of what raises or shows them.

AssistantError            whatever a caller may want to show as one line
├── SettingsError         a setting, an option or an environment variable is wrong
├── CorpusError           the source text cannot be read or holds nothing to answer from
├── WeightsError          a model file is missing, altered or not what it should be
├── StoreError            the index cannot be written, locked or read
├── ModelError            the language model or the embedder failed while working
├── QuestionError         the question cannot be asked as it is
└── EvaluationError       a question set or an answers file is malformed

Every message says what was found, what was expected, and what mends it.
"""


class AssistantError(Exception):
    """Base of all errors that the assistant raises on purpose."""


class SettingsError(AssistantError):
    """A setting, an option or an environment variable is wrong."""


class CorpusError(AssistantError):
    """The source text cannot be read, or holds nothing to answer from."""


class WeightsError(AssistantError):
    """A model file is missing, altered, or not what it should be."""


class StoreError(AssistantError):
    """The index cannot be written, locked or read."""


class ModelError(AssistantError):
    """The language model or the embedder failed while working."""


class QuestionError(AssistantError):
    """The question cannot be asked as it is."""


class EvaluationError(AssistantError):
    """A question set or an answers file is malformed."""
