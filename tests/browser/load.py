"""Many people at once, over real HTTP as a browser speaks it: `python -m tests.browser.load [--people N] [--each N]`.

A scripted assistant answers, so that what is measured is the page: its queue, its streams, its memory.
With `--real` the models answer, on the questions of a set.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil

from assistant.evaluation.questions import load as load_questions

A_CONVERSATION = 10  # questions
MOST_GROWTH_MB = 12  # over the second half of a load
MOST_SECONDS = 300.0  # for one person's questions
QUESTIONS = Path(__file__).parents[1] / "questions" / "given.jsonl"


@dataclass
class Report:
    """What a load did. Times in seconds, memory in MB; an answer is mixed when it carries another's question."""

    answered: int = 0
    mixed: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    told_place: int = 0
    waits: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


class Person:
    """One browser tab: its session, and the conversation that it is in."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url + "gradio_api/", timeout=120, trust_env=False)
        self.session = uuid4().hex[:10]
        config = self.client.get(url + "config").json()
        self.ask_index, self.follow_index = (
            next(d["id"] for d in config["dependencies"] if d["api_name"] == name) for name in ("ask", "follow")
        )
        self.conversation = ""
        self.places: set[int] = set()

    def ask(self, question: str) -> str:
        """Return the last HTML that is shown of the answer; "" when it never ends."""
        shown = self._call(self.ask_index, [question, "", self.conversation])
        self.conversation = shown[3]
        return str(self._call(self.follow_index, [self.conversation])[0])

    def _call(self, index: int, data: list[str]) -> list[str]:
        """Start an event, as the page's own script does, and return what it puts out last."""
        asked = {"fn_index": index, "session_hash": self.session, "data": data}
        self.client.post("queue/join", json=asked).raise_for_status()
        for message in self._messages():
            text = json.dumps(message.get("output", {}), ensure_ascii=False)
            self.places |= {int(place) for place in re.findall(r'data-place=\\"(\d+)', text)}
            if message["msg"] == "process_completed":
                return list(message["output"]["data"])
        return []

    def _messages(self) -> Iterator[dict[str, Any]]:
        with self.client.stream("GET", "queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line[6:])


def made_up(person: int, number: int) -> str:
    return f"What is pruning, person {person}, question {number}?"


def load(url: str, process: int, people: int, each: int, question_of: Callable[[int, int], str] = made_up) -> Report:
    """Let people ask at the same time, each one question after another, and check every answer."""
    report, lock = Report(), threading.Lock()
    server = psutil.Process(process)

    def person(n: int) -> None:
        someone = Person(url)
        end = time.monotonic() + MOST_SECONDS
        for k in range(each):
            if time.monotonic() > end:
                return  # what was not asked is missing from `answered`
            question = question_of(n, k)
            someone.conversation = someone.conversation if k % A_CONVERSATION else ""
            started = time.monotonic()
            html = unescape(someone.ask(question))
            with lock:
                report.waits.append(time.monotonic() - started)
                report.memory.append(server.memory_info().rss / 1e6)
                if 'data-state="complete"' not in html:
                    report.lost.append(question)
                elif f'dir="auto">{question}<' not in html or html.count("<h2") != 1:
                    report.mixed.append(question)
                else:
                    report.answered += 1
        with lock:
            report.told_place += bool(someone.places)

    threads = [threading.Thread(target=person, args=(n,)) for n in range(people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return report


def growth(memory: list[float]) -> float:
    """Return by how many MB the last tenth lies above the tenth in the middle: both are past the warming up."""
    tenth = max(1, len(memory) // 10)
    middle = memory[len(memory) // 2 - tenth : len(memory) // 2]
    return sum(memory[-tenth:]) / tenth - sum(middle) / tenth


def main() -> int:
    from tests.browser.conftest import Server

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--each", type=int, default=50, help="questions of each")
    parser.add_argument("--real", action="store_true", help="let the real models answer")
    given = parser.parse_args()
    questions = [case.question.text for case in load_questions([QUESTIONS])] if given.real else []

    def question_of(person: int, number: int) -> str:
        return questions[(person * given.each + number) % len(questions)] if questions else made_up(person, number)

    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), ("--real",) if given.real else ("--pace", "0.01")).start()
        try:
            assert server.process
            Person(server.url).ask("What is a token?")  # the models are loaded when this is answered
            report = load(server.url, server.process.pid, given.people, given.each, question_of)
        finally:
            server.kill()
    waits = sorted(report.waits)
    sys.stdout.write(
        f"{given.people} people, {given.each} questions each, {'real models' if given.real else 'scripted answers'}:"
        f" {report.answered} answered, {len(report.lost)} lost,"
        f" {len(report.mixed)} mixed; {report.told_place} were told their place\n"
        f"wait for an answer: median {waits[len(waits) // 2]:.2f} s, longest {waits[-1]:.2f} s\n"
        f"memory: {report.memory[-1]:.0f} MB at the end, {growth(report.memory):+.1f} MB over the second half\n"
    )
    whole = report.answered == given.people * given.each and growth(report.memory) < MOST_GROWTH_MB
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
