"""LangChain BaseChatModel over llama.cpp. The only module that knows llama_cpp.

Greedy decoding, so the same prompt gives the same answer. llama.cpp keeps the evaluated prompt and
evaluates only what differs from the one before: a stable system text first makes that worth it.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

from assistant.errors import ModelError

MOST_CONTEXT = 8192  # tokens; longer contexts only cost memory with prompts of a few hundred tokens
ROLES = {"system": "system", "human": "user", "ai": "assistant"}


def _trained_context(path: Path) -> int:
    """Return the tokens of context that the GGUF's metadata name; 2048 where they name none."""
    # llama.cpp's threads spin while they wait for each other, by default so long that the model becomes many
    # times slower as soon as anything else wants the processor; a short while costs nothing.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    from llama_cpp import _internals, llama_model_default_params

    _silence()
    params = llama_model_default_params()
    params.vocab_only = True  # the metadata alone: milliseconds, whatever the model's size
    model = _internals.LlamaModel(path_model=str(path), params=params, verbose=False)
    metadata = model.metadata()
    model.close()  # type: ignore[no-untyped-call]
    return next((int(v) for k, v in metadata.items() if k.endswith(".context_length")), 2048)


@cache
def _unheard() -> Any:
    """Return a log callback of llama.cpp that drops every line; kept here because C code holds no reference."""
    import llama_cpp

    return llama_cpp.llama_log_callback(lambda level, text, data: None)


@cache
def _silence() -> None:
    """Stop what llama.cpp tells of itself, and nothing else.

    llama-cpp-python silences it by closing the standard streams of the whole process for as long as a model
    loads. The model loads beside other work here, whose lines and progress bar must be seen.
    """
    import llama_cpp
    from llama_cpp import _utils

    _utils.suppress_stdout_stderr.__enter__ = lambda self: self  # type: ignore[method-assign]
    _utils.suppress_stdout_stderr.__exit__ = lambda self, *error: None  # type: ignore[method-assign]
    llama_cpp.llama_log_set(_unheard(), None)


class LlamaChat(BaseChatModel):
    """A GGUF chat model, run in this process, with the chat template that the GGUF carries.

    The model is loaded on first use. One lock: llama.cpp's context serves one generation at a time.
    """

    path: Path
    threads: int = 0
    max_tokens: int = 160
    lora_path: Path | None = None
    copy_path: Path | None = None  # where a copy of the weights is kept that is read faster

    _llama: Any = PrivateAttr(default=None)
    _abort: Any = PrivateAttr(default=None)  # what llama.cpp calls; it keeps the address alone
    _halted: list[Callable[[], bool]] = PrivateAttr(default_factory=list)  # asked while the model works
    _lock: threading.RLock = PrivateAttr(default_factory=threading.RLock)

    @property
    def _llm_type(self) -> str:
        return "llama.cpp"

    def check(self) -> int:
        """Return the tokens of context in the GGUF's metadata: milliseconds. Raises ModelError for no whole GGUF."""
        try:
            return _trained_context(self.path)
        except (ValueError, RuntimeError, OSError, AssertionError) as error:
            raise ModelError(
                f"llama.cpp cannot read {self.path} ({error}); expected a whole GGUF chat model: pass --model PATH.gguf"
            ) from error

    def warm(self) -> Any:
        """Load the model if that has not happened yet, and return it. Raises ModelError."""
        with self._lock:
            if self._llama is None:
                self._llama = self._load()
            return self._llama

    def _load(self) -> Any:
        import llama_cpp

        trained = self.check()
        threads = self.threads or os.cpu_count() or 1
        options: dict[str, Any] = {
            "n_ctx": min(trained, MOST_CONTEXT), "n_threads": threads, "n_threads_batch": threads,
            "flash_attn": True, "verbose": False,
        }  # fmt: skip
        if self.lora_path is not None:
            options["lora_path"] = str(self.lora_path)
        try:
            try:
                llama = llama_cpp.Llama(str(faster_copy(self.path, self.copy_path, threads)), **options)
            except ValueError:
                if self.copy_path is None:
                    raise
                with suppress(OSError):
                    self.copy_path.unlink()  # damaged: the next start makes it anew
                llama = llama_cpp.Llama(str(self.path), **options)
        except (ValueError, RuntimeError, OSError, AssertionError) as error:
            raise ModelError(
                f"llama.cpp cannot load {self.path} ({error}); expected a whole GGUF chat model: pass --model PATH.gguf"
            ) from error
        self._abort = llama_cpp.ggml_abort_callback(lambda _: any(halted() for halted in self._halted))
        return llama

    def _heed(self, halted: Callable[[], bool] | None) -> None:
        """Let llama.cpp ask `halted` while it works. Without it nothing is asked: a Ctrl-C would end in there."""
        import llama_cpp

        self._halted = [halted] if halted else []
        llama_cpp.llama_set_abort_callback(
            self._llama.ctx, self._abort if halted else llama_cpp.ggml_abort_callback(), None
        )

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        """Yield the reply piece by piece. Closing the generator stops the model before its next piece.

        `halted` is asked again and again while a prompt is read, and ends the reply as soon as it is true.
        `choices=n` makes the reply open with numbers of at most n sentences, as in [2][3], or [0]; the chunks
        then carry in `response_metadata["choice"]` the probabilities of 0 … n as the first number.
        """
        with self._lock:
            llama = self.warm()
            self._heed(kwargs.get("halted"))
            opening = Opening(llama, int(kwargs["choices"])) if kwargs.get("choices") else None
            parts = llama.create_chat_completion(
                [{"role": ROLES.get(m.type, "user"), "content": str(m.content)} for m in messages],
                stream=True,
                temperature=0.0,
                repeat_penalty=1.0,
                max_tokens=int(kwargs.get("max_tokens", self.max_tokens)),
                stop=stop or [],
                logits_processor=[opening] if opening else None,
            )
            try:
                for part in parts:
                    text = part["choices"][0]["delta"].get("content") or ""
                    if text:
                        told = {"choice": opening.probabilities} if opening and opening.probabilities else {}
                        chunk = ChatGenerationChunk(message=AIMessageChunk(content=text, response_metadata=told))
                        if run_manager:
                            run_manager.on_llm_new_token(text, chunk=chunk)
                        yield chunk
            except (ValueError, RuntimeError) as error:
                if not any(halted() for halted in self._halted):  # llama.cpp tells a stop as a failure
                    raise ModelError(f"the language model failed: {error}; ask something shorter") from error
                yield ChatGenerationChunk(message=AIMessageChunk(content=""))  # LangChain takes none for a fault
            finally:
                self._heed(None)
                parts.close()

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        """Fold the stream: there is one path only."""
        text = "".join(str(c.message.content) for c in self._stream(messages, stop, run_manager, **kwargs))
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content=text))])


def faster_copy(path: Path, copy: Path | None, threads: int) -> Path:
    """Return a copy of the weights in eight bits, made once in about two seconds; `path` where it cannot be written.

    llama.cpp has no fast product for Q4_1: with Q8_0 it reads half as fast again. Each weight stays the same to
    within 1/254 of the largest in its block of 32.
    """
    import llama_cpp

    if copy is None or copy.is_file():
        return copy or path
    part = copy.with_name(f"{copy.name}.{os.getpid()}.part")
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype, options.allow_requantize, options.nthread = llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0, True, threads
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        if llama_cpp.llama_model_quantize(str(path).encode(), str(part).encode(), ctypes.byref(options)):
            return path
        part.replace(copy)
    except OSError:  # the copy only saves time, so a full disk is no failure
        return path
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return copy


class Opening:
    """Holds the beginning of a reply to the form [2][3], or [0] for none, and notes how sure the model is.

    A logits processor: called with all tokens so far and the scores of the next one.
    """

    def __init__(self, llama: Any, most: int) -> None:
        """Take the loaded model and the highest number that may be named (at most 9: one token each)."""

        def token(text: str) -> int:
            return int(llama.tokenize(text.encode(), add_bos=False, special=False)[-1])

        self._open, self._close, self._more = token("["), token("]"), token("[1][2]"[2:4])
        self._digits = [token(str(n)) for n in range(min(most, 9) + 1)]
        self._start = -1
        self.probabilities: tuple[float, ...] = ()

    def __call__(self, tokens: Any, scores: Any) -> Any:
        """Return the scores with every token forbidden that would break the form."""
        if self._start < 0:
            self._start = len(tokens)
        said = [int(t) for t in tokens[self._start :]]
        if self._close in said:
            return scores
        if not said:
            return _only(scores, [self._open])
        if said[-1] in self._digits:
            return _only(scores, [self._close] if said[-1] == self._digits[0] else [self._close, self._more])
        if len(said) == 1:
            kept = np.array([float(scores[d]) for d in self._digits])
            shares = np.exp(kept - kept.max())
            self.probabilities = tuple(float(s) for s in shares / shares.sum())
            return _only(scores, self._digits)
        left = [d for d in self._digits[1:] if d not in said]
        return _only(scores, left or [self._close])


def _only(scores: Any, allowed: list[int]) -> Any:
    held = np.full_like(scores, -np.inf)
    held[allowed] = scores[allowed]
    return held
