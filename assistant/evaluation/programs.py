"""Programs that are measured as processes: how long until they speak, what they use, what they answer.

The clock is this process's; the memory is what the system counted for the other one until its end.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from assistant.errors import EvaluationError
from assistant.records import Answer, Question, Sentence

PATIENCE_S = 600.0  # for one answer, loading included
GRACE_S = 5.0  # between asking a program to end and ending it


@dataclass(frozen=True)
class Program:
    """How one side is started: `ask` with the question appended, and `serve` (see the function of that name)."""

    name: str
    ask: tuple[str, ...]
    serve: tuple[str, ...]


class Child:
    """A program being measured, and its clock. A context manager: at its end the program is gone, whatever happened."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        """Start it. Raises EvaluationError when there is no such program."""
        self._name, self._shown = name, subprocess.list2cmdline(command)
        self._errors = tempfile.TemporaryFile()  # a file, since a full pipe that nobody reads would stop the child
        self._started = time.perf_counter()
        try:
            self._process = subprocess.Popen(
                list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
            )
        except OSError as error:
            self._errors.close()
            raise EvaluationError(f"cannot start {name} ({error}); run it yourself: {self._shown}") from error
        assert self._process.stdin and self._process.stdout  # both are pipes
        self._stdin, self._stdout = self._process.stdin, self._process.stdout

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # what a dead child did not read cannot be flushed
            self._stdin.close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._stdout.close()
        self._errors.close()

    def finish(self) -> tuple[float, float]:
        """Wait for its end; return seconds from start to first byte, and peak resident memory in MiB.

        The memory is never below what this process has, since the kernel counts from before the other
        program is loaded: this process loads no model. Raises EvaluationError when it fails or prints nothing.
        """
        with self._patience():
            first = self._stdout.read(1)
            seconds = time.perf_counter() - self._started
            self._stdout.read()
            _, status, usage = os.wait4(self._process.pid, 0)
            self._process.returncode = os.waitstatus_to_exitcode(status)
        if self._process.returncode or not first:
            raise self._failure()
        return seconds, usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)  # bytes there, KiB here

    def answer(self, question: Question) -> tuple[float, float, Answer]:
        """Ask; return seconds to the first word and to the end, and the answer. Raises EvaluationError."""
        history = [{"role": turn.role, "content": turn.content} for turn in question.history]
        line = json.dumps({"question": question.text, "history": history}) + "\n"
        started = time.perf_counter()
        with self._patience():
            try:
                self._stdin.write(line.encode())
                self._stdin.flush()
            except OSError as error:
                raise self._failure() from error
            self._line("first")
            ttft = time.perf_counter() - started
            raw = self._line("answer")
        total = time.perf_counter() - started
        said = Answer(question.text, (Sentence(raw["answer"], "model", ()),), (), raw["abstained"], raw["reason"])
        return ttft, total, said

    def _line(self, key: str) -> dict[str, Any]:
        line = self._stdout.readline()
        if not line:
            raise self._failure()
        with suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict) and key in found:
                return found
        raise EvaluationError(f"{self._name} wrote {line[:80]!r}; expected JSON with {key!r}: {self._shown}")

    @contextmanager
    def _patience(self) -> Iterator[None]:
        """Kill the child when it takes longer than PATIENCE_S, so that reading from it ends."""
        pid = self._process.pid  # not Popen.kill: that would collect the child before wait4 does
        timer = threading.Timer(PATIENCE_S, os.kill, (pid, signal.SIGKILL))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _failure(self) -> EvaluationError:
        status = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return EvaluationError(
            f"{self._name} ended with status {status}: {said[-1] if said else 'it did not say why'}; "
            f"expected an answer within {PATIENCE_S:.0f} s; run it yourself: {self._shown}"
        )
