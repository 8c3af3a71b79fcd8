"""The flow of questions: one assistant, one queue in the order of asking, every snapshot kept. Knows no Gradio.

Loading happens aside, so that the page is there at once; questions asked meanwhile wait. One thread answers,
because the model serves one question at a time: so everybody can be told their place.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from assistant.errors import AssistantError, QuestionError
from assistant.records import Answer, Corpus, Question
from ui.turns import State, View, check, history

if TYPE_CHECKING:
    from assistant.pipeline import Assistant
    from ui.store import ConversationStore

MOST_WAITING = 100  # questions; with more, even the first of a minute would wait for minutes
LOG = logging.getLogger(__name__)


class Opener(Protocol):
    """What `wiring.open_assistant` looks like once the settings are given."""

    def __call__(self, say: Callable[[str], None], progress: Callable[[int, int], None]) -> Assistant:
        """Return an assistant that is ready. Raises AssistantError."""


@dataclass(frozen=True)
class Status:
    """How far the assistant is: `line` says what it is doing, or what went wrong."""

    state: Literal["loading", "ready", "failed"] = "loading"
    line: str = "loading the models"


@dataclass
class Job:
    """One question on its way. Only the desk changes it, under its lock."""

    turn: int
    conversation: str
    question: str
    answer: Answer | None = None
    state: State = "waiting"
    message: str = ""
    halted: threading.Event = field(default_factory=threading.Event)
    stream: Iterator[Answer] | None = None
    ending: bool = False


class Desk:
    """Takes questions, answers them one after another, and tells how each is getting on."""

    def __init__(self, store: ConversationStore, corpus: Corpus, open_assistant: Opener) -> None:
        """Take the store, the source texts, and what opens the assistant over them; `start` begins."""
        self.store = store
        self.corpus = corpus
        self.status = Status()
        self.assistant: Assistant | None = None
        self._open = open_assistant
        self._asking = threading.Lock()  # one question is taken at a time; what is shown waits for no disk
        self._changed = threading.Condition()
        self._line: deque[Job] = deque()
        self._live: dict[int, Job] = {}  # by turn: those in the line and the one being answered
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="answers", daemon=True)

    def start(self) -> None:
        """Begin to load the assistant, and then to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop what is being answered; what was shown of it is kept."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for job in tuple(self._live.values()):
            self.stop(job.turn)

    def ask(self, conversation: str, question: str, replaces: int = 0) -> Job:
        """Keep a question and put it at the end of the queue. Raises QuestionError and StoreError.

        `replaces` is the turn whose place it takes, if that is still the conversation's last.
        """
        check(question)
        with self._asking:
            if self.live(conversation):
                raise QuestionError("an answer is being written here: wait for it, or stop it, then ask again")
            if len(self._line) >= MOST_WAITING:
                raise QuestionError(f"{MOST_WAITING} questions are waiting already; ask again in a few minutes")
            job = Job(self.store.begin(conversation, question, replaces), conversation, question)
            with self._changed:
                self._live[job.turn] = job
                self._line.append(job)
                self._changed.notify_all()
        return job

    def look_up(self, job: Job) -> None:
        """Find the passages of a question that waits for others: that needs no turn at the model.

        What goes wrong here is said when the question is answered.
        """
        with self._changed:
            idle = self.assistant is None or job not in self._line or job.stream is not None
        if idle:
            return
        stream = None
        try:
            stream = self._stream(job)
            first = next(stream, None)
            with self._changed:
                if job.stream is None and job in self._line:
                    job.stream, job.answer = stream, first
        except Exception:
            LOG.exception("the passages of a waiting question cannot be found")
        finally:
            if stream is not None and job.stream is not stream:
                stream.close()  # type: ignore[attr-defined]

    def view(self, job: Job) -> View:
        """Return what is to be shown of a question now."""
        with self._changed:
            state, message, place = job.state, job.message, 0
            if state == "waiting":
                place = next((n for n, j in enumerate(self._line, 1) if j is job), 0)
                if self.status.state == "loading":
                    state, message = "loading", self.status.line
                elif place <= 1 and len(self._live) <= 1:
                    state = "answering"
            return View(job.turn, job.question, job.answer, state, place, message)

    def live(self, conversation: str) -> Job | None:
        """Return the question of a conversation that is waiting or being answered; the latest of several."""
        with self._changed:
            return next((j for j in reversed(tuple(self._live.values())) if j.conversation == conversation), None)

    def stop(self, turn: int) -> None:
        """End a question now and keep what is there; the model stops at its next word."""
        with self._changed:
            job = self._live.get(turn)
            if job is None:
                return
            job.halted.set()
            if job in self._line:
                self._line.remove(job)
        self._end(job, "stopped")

    def forget(self, conversation: str) -> None:
        """Delete a conversation, whatever is going on in it. Raises StoreError."""
        while job := self.live(conversation):
            self.stop(job.turn)
        self.store.delete(conversation)

    def _run(self) -> None:
        try:
            self.assistant = self._open(self._say, self._progress)
        except AssistantError as error:
            self._fail_to_open(str(error))
            return
        except Exception as error:  # a fault of ours or of a library: the page must say so, not wait for ever
            LOG.exception("the assistant cannot start")
            self._fail_to_open(f"{type(error).__name__}: {error}")
            return
        with self._changed:
            self.status = Status("ready", "ready")
        while job := self._next():
            self._answer(job)

    def _say(self, line: str) -> None:
        with self._changed:
            self.status = Status("loading", line.rstrip(" …."))

    def _progress(self, done: int, total: int) -> None:
        self._say(f"reading the glossary, {done:,} of {total:,} passages")

    def _fail_to_open(self, message: str) -> None:
        with self._changed:
            self.status = Status("failed", message)
        while not self._closed:
            job = self._next()
            if job:
                self._end(job, "failed", f"The assistant cannot start: {message}")

    def _next(self) -> Job | None:
        """Wait for the question whose turn it is; None when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._line or self._closed)
            return None if self._closed else self._line.popleft()

    def _stream(self, job: Job) -> Iterator[Answer]:
        assert self.assistant is not None  # nothing is answered before it is there
        earlier = [t for t in self.store.turns(job.conversation) if t.id < job.turn]
        return self.assistant.stream(Question(job.question, history(earlier)), None, halted=job.halted.is_set)

    def _answer(self, job: Job) -> None:
        stream = job.stream
        try:
            with self._changed:
                job.state = "answering" if job.state == "waiting" else job.state
            stream = stream or self._stream(job)
            for answer in stream:
                if job.halted.is_set():
                    break
                self._show(job, answer)
            self._end(job, "stopped" if job.halted.is_set() else "complete")
        except AssistantError as error:
            self._end(job, "failed", str(error))
        except Exception as error:  # one question must not take the others with it
            LOG.exception("an answer failed")
            self._end(job, "failed", f"{type(error).__name__}: {error}. Retry, or ask in other words.")
        finally:
            if stream is not None:
                stream.close()  # type: ignore[attr-defined]

    def _show(self, job: Job, answer: Answer) -> None:
        """Keep a snapshot, then let it be seen: so nothing is shown that is not kept."""
        if answer.sentences or answer.abstained:
            self.store.update(job.turn, answer, "answering")
        with self._changed:
            if not job.ending:
                job.answer = answer

    def _end(self, job: Job, state: Literal["complete", "stopped", "failed"], message: str = "") -> None:
        """Keep how a question ended. The first ending counts: Stop may overtake the answer."""
        with self._changed:
            if job.ending:
                return
            job.ending = True
        try:
            if state == "failed":
                self.store.fail(job.turn, message)
            else:
                self.store.update(job.turn, job.answer or Answer(job.question), state)
        except AssistantError as error:
            message = f"{message} This answer could not be kept: {error}".strip()
        with self._changed:
            job.state, job.message = state, message
            self._live.pop(job.turn, None)
