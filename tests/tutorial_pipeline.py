"""The pipeline that tutorials build, with the same two models: what the assistant is measured against.

Chunks of 1000 characters that overlap by 200, an in-memory Chroma over them, the 4 nearest chunks pasted
into one prompt, and whatever the model then says is the answer. Nothing is checked, cited or refused, and
nothing is kept: as in the tutorials, every start embeds the corpus anew. It is given the earlier turns of
a conversation as messages, which is more than most tutorials do.

    python tests/tutorial_pipeline.py ask "What does 7B mean?" [--corpus PATH]
    python tests/tutorial_pipeline.py serve                      (see assistant.evaluation.bench.serve)
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from assistant import corpus, weights
from assistant.errors import AssistantError
from assistant.records import Answer, Corpus, Question, Sentence, Timings
from assistant.settings import from_env

CHUNK, OVERLAP, TOP, MOST_TOKENS, CONTEXT = 1000, 200, 4, 256, 4096
PROMPT = (
    "You are an assistant that answers questions. Answer the question with the help of the retrieved pieces of "
    "context below. If you do not know the answer, just say that you do not know. Use at most three sentences "
    "and keep the answer short.\n\nQuestion: {question}\n\nContext:\n{context}\n\nAnswer:"
)


class TutorialPipeline:
    """Answers with one Sentence of the model's own words. Ready, its corpus embedded, once it is made."""

    def __init__(self, path: Path, model: Path | None = None, threads: int = 0) -> None:
        import llama_cpp
        from chromadb.config import Settings as ChromaSettings
        from langchain_chroma import Chroma
        from langchain_text_splitters import RecursiveCharacterTextSplitter

        from assistant.embedding import MiniLM

        self._corpus = corpus.load(path)
        splitter = RecursiveCharacterTextSplitter(chunk_size=CHUNK, chunk_overlap=OVERLAP)
        chunks = splitter.create_documents([document.text for document in self._corpus.documents])
        self._store = Chroma.from_documents(
            chunks,
            MiniLM(weights.bundled(weights.EMBEDDER).path.parent),
            collection_name=f"tutorial-{uuid.uuid4().hex}",  # all in-memory clients of a process share one store
            client_settings=ChromaSettings(anonymized_telemetry=False),
        )
        self._top = min(TOP, len(chunks))
        file = model or weights.bundled(weights.LANGUAGE_MODEL).path
        threads = threads or os.cpu_count() or 1
        self._name = file.stem
        self._llama: Any = llama_cpp.Llama(
            str(file), n_ctx=CONTEXT, n_threads=threads, n_threads_batch=threads, verbose=False
        )

    @property
    def corpus(self) -> Corpus:
        return self._corpus

    def invoke(self, input: Question) -> Answer:
        *_, answer = self.stream(input)
        return answer

    def stream(self, question: Question) -> Iterator[Answer]:
        """Yield growing snapshots, the last one with `complete` true."""
        started = time.perf_counter()
        found = self._store.similarity_search(question.text, k=self._top)
        prompt = PROMPT.format(question=question.text, context="\n\n".join(d.page_content for d in found))
        messages = [{"role": turn.role, "content": turn.content} for turn in question.history]
        parts = self._llama.create_chat_completion(
            [*messages, {"role": "user", "content": prompt}],
            stream=True, temperature=0.0, repeat_penalty=1.0, max_tokens=MOST_TOKENS,
        )  # fmt: skip
        text, first = "", None
        for part in parts:
            text += part["choices"][0]["delta"].get("content") or ""
            if text.strip():
                first = first or time.perf_counter() - started
                yield self._answer(question, text, Timings(first, time.perf_counter() - started), complete=False)
        yield self._answer(question, text, Timings(first, time.perf_counter() - started), complete=True)

    def _answer(self, question: Question, text: str, timings: Timings, complete: bool) -> Answer:
        said = (Sentence(text.strip(), "model", (), chosen="model"),) if text.strip() else ()
        return Answer(question.text, said, timings=timings, model=self._name, complete=complete)


def main(argv: Sequence[str] | None = None) -> int:
    common = argparse.ArgumentParser(add_help=False)
    for option, text in {
        "--corpus": "a Markdown or text file or a folder of them, instead of the shipped glossary",
        "--model": "a GGUF chat model, instead of the bundled one",
        "--threads": "processor threads for the model (default: all cores)",
    }.items():
        common.add_argument(option, help=text)
    top = argparse.ArgumentParser(description="The pipeline that tutorials build.")
    modes = top.add_subparsers(required=True, dest="mode")
    modes.add_parser("ask", parents=[common], help="answer one question").add_argument("question")
    modes.add_parser("serve", parents=[common], help="answer JSON lines from stdin, for the bench")
    given = top.parse_args(argv)
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "TQDM_DISABLE"):
        os.environ.setdefault(name, "1")
    try:
        settings = from_env(None, corpus=given.corpus, model=given.model, threads=given.threads)
        pipeline = TutorialPipeline(settings.corpus, settings.model, settings.threads)
        if given.mode == "serve":
            from assistant.evaluation.bench import serve

            serve(pipeline.stream, sys.stdin, sys.stdout)
        else:
            _show(pipeline, Question(given.question))
    except AssistantError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _show(pipeline: TutorialPipeline, question: Question) -> None:
    printed = ""
    for answer in pipeline.stream(question):
        sys.stdout.write(answer.text.removeprefix(printed))
        sys.stdout.flush()
        printed = answer.text
    sys.stdout.write("\n")


if __name__ == "__main__":
    sys.exit(main())
