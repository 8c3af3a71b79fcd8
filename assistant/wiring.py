"""open_assistant: the one place where concrete parts meet. Knows every part, and nothing of how they are used."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from assistant import chunking, corpus, grounding, weights
from assistant.lexis import content
from assistant.records import Corpus, Passage
from assistant.settings import Settings
from assistant.spelling import Speller

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from assistant.embedding import MiniLM
    from assistant.index import PassageIndex
    from assistant.pipeline import Assistant

Say = Callable[[str], None]
Progress = Callable[[int, int], None]


def open_assistant(
    settings: Settings, say: Say = lambda line: None, progress: Progress = lambda done, total: None
) -> Assistant:
    """Return an assistant that is ready to answer: index built where needed, models loaded and warm.

    `say` gets a line for each thing that takes a while, `progress` the entries embedded so far.
    Raises AssistantError with what is wrong and what mends it.
    """
    from assistant.llm import LlamaChat
    from assistant.pipeline import Assistant, Parts
    from assistant.ranking import Ranker
    from assistant.reader import Reader
    from assistant.retrieval import HybridRetriever

    source = corpus.load(settings.corpus)
    passages = chunking.chunk(source)
    model, name, trained = language_model(settings)
    if isinstance(model, LlamaChat):
        model.check()
    with ThreadPoolExecutor(1) as aside:  # importing torch takes seconds that the language model can use
        warmed = aside.submit(_warm_up, model, trained)
        embedder, index = _index(settings, source, passages, say, progress, rebuild=False)
        speller = Speller.of(passages, embedder.english())
        retriever = HybridRetriever(index=index, passages=passages, embeddings=embedder, asked=source.asked)
        ranker = Ranker(
            weights.bundled(weights.EMBEDDER, verified_file(settings)).path.parent, weights.adapter("ranker")
        )
        ranker.log_odds("warm up", "", retriever.hits("warm up")[:1], passages)
        warmed.result()
    return Assistant(
        Parts(
            corpus=source,
            passages=passages,
            retriever=retriever,
            ranker=ranker,
            speller=speller,
            reader=Reader(model, trained, isinstance(model, LlamaChat)),
            model_name=name,
            decision=grounding.shipped_decision(),
            rarity=rarity(passages),
            names=names(passages),
            caution=settings.caution,
        )
    )


def build_index(
    settings: Settings, say: Say, progress: Progress, rebuild: bool = False
) -> tuple[PassageIndex, tuple[Passage, ...]]:
    """Build or open the index of the corpus alone, without the language model."""
    source = corpus.load(settings.corpus)
    passages = chunking.chunk(source)
    return _index(settings, source, passages, say, progress, rebuild)[1], passages


def _index(
    settings: Settings,
    source: Corpus,
    passages: tuple[Passage, ...],
    say: Say,
    progress: Progress,
    rebuild: bool,
) -> tuple[MiniLM, PassageIndex]:
    from assistant.embedding import MiniLM
    from assistant.index import open_index

    found = weights.bundled(weights.EMBEDDER, verified_file(settings))
    embedder = MiniLM(found.path.parent, weights.adapter("query"))
    index = open_index(
        settings.data_dir, settings.corpus, source.digest, passages, embedder, found.sha256, asked=source.asked,
        rebuild=rebuild, say=say, progress=progress,
    )  # fmt: skip
    return embedder, index


def verified_file(settings: Settings) -> Path:
    """Return where checksums that were verified are remembered."""
    return settings.data_dir / "verified.json"


def language_model(settings: Settings) -> tuple[BaseChatModel, str, bool]:
    """Return the chat model of the settings, not yet loaded, its name, and whether it is the trained reader."""
    if settings.model_url is not None:
        from langchain.chat_models import init_chat_model

        remote = init_chat_model(
            settings.model_name, model_provider="openai", base_url=settings.model_url, api_key="none", temperature=0,
            timeout=120, max_retries=1,
        )  # fmt: skip
        return remote, f"{settings.model_name} at {settings.model_url}", False
    from assistant.llm import LlamaChat

    file = model_weights(settings)
    adapter = weights.adapter("reader") if file.sha256 == weights.LANGUAGE_MODEL.sha256 else None
    copy = settings.data_dir / "models" / f"{file.path.stem}-{file.sha256[:8]}.Q8_0.gguf" if adapter else None
    model = LlamaChat(path=file.path, threads=settings.threads, lora_path=adapter, copy_path=copy)
    return model, file.path.stem, adapter is not None


def model_weights(settings: Settings) -> weights.Weights:
    """Return the GGUF that the settings ask for: the user's, or the bundled one."""
    if settings.model is not None:
        return weights.from_path(settings.model, verified_file(settings))
    return weights.bundled(weights.LANGUAGE_MODEL, verified_file(settings))


def _warm_up(model: BaseChatModel, trained: bool) -> None:
    """Load an embedded model and evaluate the stable beginning of the prompt."""
    from assistant import prompt
    from assistant.llm import LlamaChat

    if isinstance(model, LlamaChat):
        for _ in model.stream(prompt.messages("", (), trained), max_tokens=1):
            pass


def rarity(passages: tuple[Passage, ...]) -> dict[str, float]:
    """Return the inverse document frequency of each stem: ln(1 + passages / passages that have it)."""
    count = Counter(s for p in passages for s in set(content(chunking.contextual(p))))
    return {s: math.log(1 + len(passages) / n) for s, n in count.items()}


def names(passages: tuple[Passage, ...]) -> frozenset[str]:
    """Return the stems of all headings and labels."""
    return frozenset(s for name in chunking.headings(passages) for s in content(name))
