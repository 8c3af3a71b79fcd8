from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from assistant import corpus, pipeline
from assistant.errors import QuestionError, SettingsError, WeightsError
from assistant.records import Answer
from assistant.settings import from_env
from tests.browser.scripted import ScriptedAssistant
from ui import app, turns
from ui.about import Facts, about_html, facts, figures, privacy, status_html
from ui.guard import served
from ui.session import MOST_WAITING, Desk, Job
from ui.store import ConversationStore

CORPUS = from_env({}).corpus
SOURCE = corpus.load(CORPUS)
Made = tuple[Desk, ScriptedAssistant]


def until(true: Callable[[], Any], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ConversationStore]:
    made = ConversationStore(tmp_path / "conversations.db")
    yield made
    made.close()


@pytest.fixture
def made(store: ConversationStore) -> Iterator[Made]:
    assistant = ScriptedAssistant(CORPUS, pace=0.02)
    desk = Desk(store, SOURCE, lambda say, progress: assistant)  # type: ignore[arg-type]
    desk.start()
    yield desk, assistant
    desk.close()


def ended(desk: Desk, job: Job) -> str:
    until(lambda: desk.view(job).ended)
    return desk.view(job).state


def test_an_answer_is_shown_and_kept(made: Made, store: ConversationStore) -> None:
    desk, _ = made
    conversation = store.create()
    job = desk.ask(conversation, "What is quantization?")
    assert ended(desk, job) == "complete"
    kept = store.turns(conversation)[0]
    assert kept.answer is not None and job.answer is not None
    assert kept.state == "complete" and kept.answer.text == job.answer.text
    assert desk.live(conversation) is None


def test_the_history_is_what_was_said_before(made: Made, store: ConversationStore) -> None:
    desk, assistant = made
    conversation = store.create()
    first = desk.ask(conversation, "What is quantization?")
    ended(desk, first)
    ended(desk, desk.ask(conversation, "explode"))
    ended(desk, desk.ask(conversation, "And pruning?"))
    assert [t.role for t in assistant.asked[-1].history] == ["user", "assistant"]
    assert assistant.asked[-1].history[0].content == "What is quantization?"


def test_one_is_answered_at_a_time_in_the_order_of_asking(made: Made, store: ConversationStore) -> None:
    desk, assistant = made
    jobs = [desk.ask(store.create(), f"What is quantization, {n}?") for n in range(6)]
    places = [desk.view(j).place for j in jobs]
    waiting = [p for p in places if p]
    assert waiting == sorted(waiting) and waiting[-1] >= 4
    desk.look_up(jobs[-1])  # while it waits
    assert jobs[-1].answer is not None and jobs[-1].answer.hits
    order = []
    while any(not desk.view(j).ended for j in jobs):
        order += [j.turn for j in jobs if desk.view(j).ended and j.turn not in order]
        time.sleep(0.002)
    assert order == sorted(order)
    assert assistant.most == 1
    for n, job in enumerate(jobs):
        assert job.answer is not None and job.answer.question == f"What is quantization, {n}?"


def test_stop_ends_at_once_keeps_what_is_there_and_closes_the_stream(made: Made, store: ConversationStore) -> None:
    desk, assistant = made
    conversation = store.create()
    job = desk.ask(conversation, "endless quantization")
    until(lambda: job.answer and job.answer.sentences)
    started = time.monotonic()
    desk.stop(job.turn)
    assert desk.view(job).state == "stopped"
    until(lambda: assistant.closed == 1 and assistant.running == 0)
    assert time.monotonic() - started < 0.3
    kept = store.turns(conversation)[0]
    assert kept.state == "stopped" and kept.answer is not None and kept.answer.sentences
    assert ended(desk, desk.ask(conversation, "What is pruning?")) == "complete"


def test_stop_takes_a_waiting_question_out_of_the_queue(made: Made, store: ConversationStore) -> None:
    desk, assistant = made
    first, second = desk.ask(store.create(), "endless"), desk.ask(store.create(), "never asked of the model")
    desk.stop(second.turn)
    desk.stop(first.turn)
    until(lambda: assistant.running == 0)
    assert desk.view(second).state == "stopped" and assistant.most <= 1


@pytest.mark.parametrize(("question", "told"), [("explode", "scripted; ask"), ("stumble", "RuntimeError: scripted")])
def test_a_failed_answer_says_so_and_the_next_one_works(
    made: Made, store: ConversationStore, question: str, told: str
) -> None:
    desk, _ = made
    conversation = store.create()
    job = desk.ask(conversation, question)
    assert ended(desk, job) == "failed" and told in desk.view(job).message
    assert told in store.turns(conversation)[0].message
    assert ended(desk, desk.ask(conversation, "What is pruning?")) == "complete"


def test_questions_wait_for_the_models_and_are_told(store: ConversationStore) -> None:
    gate = threading.Event()

    def opening(say: Callable[[str], None], progress: Callable[[int, int], None]) -> Any:
        progress(20, 90)
        gate.wait(5)
        return ScriptedAssistant(CORPUS, 0)

    desk = Desk(store, SOURCE, opening)
    desk.start()
    job = desk.ask(store.create(), "What is pruning?")
    second = desk.ask(store.create(), "What is a token?")
    until(lambda: "20 of 90" in desk.view(job).message)
    assert [(desk.view(j).state, desk.view(j).place) for j in (job, second)] == [("loading", 1), ("loading", 2)]
    gate.set()
    assert ended(desk, job) == ended(desk, second) == "complete" and desk.status.state == "ready"
    desk.close()


def test_models_that_cannot_be_loaded_fail_every_question(store: ConversationStore) -> None:
    def broken(say: Callable[[str], None], progress: Callable[[int, int], None]) -> Any:
        raise WeightsError("no model; run 'make setup'")

    desk = Desk(store, SOURCE, broken)
    early = desk.ask(store.create(), "What is pruning?")
    desk.start()
    late = desk.ask(store.create(), "What is pruning?")
    for job in (early, late):
        assert ended(desk, job) == "failed" and "make setup" in desk.view(job).message
    assert desk.status.state == "failed"
    desk.close()


def test_forgetting_stops_what_is_going_on(made: Made, store: ConversationStore) -> None:
    desk, assistant = made
    conversation = store.create()
    job = desk.ask(conversation, "endless")
    desk.forget(conversation)
    assert desk.view(job).state == "stopped" and store.list() == []
    until(lambda: assistant.running == 0)


def test_a_conversation_is_asked_one_question_at_a_time(made: Made, store: ConversationStore) -> None:
    desk, _ = made
    conversation = store.create()
    first = desk.ask(conversation, "What is pruning?")
    assert ended(desk, first) == "complete"
    endless = desk.ask(conversation, "endless")
    for replaces in (0, first.turn, endless.turn):
        with pytest.raises(QuestionError, match="is being written here"):
            desk.ask(conversation, "What is a token?", replaces)
    desk.stop(endless.turn)
    assert ended(desk, desk.ask(conversation, "What is a token?", endless.turn)) == "complete"
    assert [t.question for t in store.turns(conversation)] == ["What is pruning?", "What is a token?"]


def test_a_slow_disk_keeps_nobody_from_seeing_how_far_it_is(
    made: Made, store: ConversationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, _ = made
    job = desk.ask(store.create(), "endless")
    other = store.create()
    begun, go_on = threading.Event(), threading.Event()

    def slow(*given: Any) -> int:
        begun.set()
        go_on.wait(5)
        return begin(*given)

    begin = store.begin
    monkeypatch.setattr(store, "begin", slow)
    asking = threading.Thread(target=desk.ask, args=(other, "What is pruning?"))
    asking.start()
    assert begun.wait(5)
    looking = threading.Thread(target=lambda: (desk.view(job), desk.live(other)))
    looking.start()
    looking.join(1)
    assert not looking.is_alive(), "it waits for the disk of another question"
    go_on.set()
    asking.join()
    desk.stop(job.turn)


def test_a_question_whose_passages_cannot_be_found_early_goes_on_waiting(made: Made, store: ConversationStore) -> None:
    desk, _ = made
    first, job = desk.ask(store.create(), "endless"), desk.ask(store.create(), "trip")
    desk.look_up(job)
    assert desk.view(job).state == "waiting" and job.stream is None
    desk.stop(first.turn)
    assert ended(desk, job) == "failed" and "scripted fault" in desk.view(job).message


def test_a_question_is_checked_before_it_is_kept(made: Made, store: ConversationStore) -> None:
    desk, _ = made
    conversation = store.create()
    for bad in ("", " \n", "x" * 50_000):
        with pytest.raises(QuestionError, match="expected|shorten"):
            desk.ask(conversation, bad)
    assert store.turns(conversation) == []
    assert turns.MOST_CHARACTERS == pipeline.MOST_CHARACTERS


def test_the_queue_has_an_end(store: ConversationStore) -> None:
    desk = Desk(store, SOURCE, lambda say, progress: ScriptedAssistant(CORPUS, 0))  # type: ignore[arg-type]
    conversation = store.create()
    turn = store.begin(conversation, "before")
    store.update(turn, Answer("before"), "complete")
    for _ in range(MOST_WAITING):
        desk.ask(store.create(), "q?")
    with pytest.raises(QuestionError, match="waiting"):
        desk.ask(conversation, "q?", turn)
    assert [t.id for t in store.turns(conversation)] == [turn], "what was to be replaced is still there"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])
def test_an_open_address_needs_a_password(host: str) -> None:
    with pytest.raises(SettingsError, match="--auth USER:PASSWORD"):
        app.checked_auth(host, None)
    assert app.checked_auth(host, "ada:secret:x") == ("ada", "secret:x")


def test_this_computer_needs_none_but_may_have_one() -> None:
    assert app.checked_auth("127.0.0.1", None) is None and app.checked_auth("localhost", "") is None
    assert app.checked_auth("::1", "a:b") == ("a", "b")
    for bad in ("ada", "ada:", ":secret"):
        with pytest.raises(SettingsError, match="malformed"):
            app.checked_auth("127.0.0.1", bad)


def test_a_port_that_cannot_be_had_is_refused() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SettingsError, match="cannot be used"):
        app.check_port("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(SettingsError, match="expected 1 to 65535"):
        app.check_port("127.0.0.1", 70000)


def test_only_the_page_is_served() -> None:
    assert all(served(p) for p in ("/", "/config", "/gradio_api/queue/join", "/static/a.woff2", "/assets/index.js"))
    closed = ("/gradio_api/file=/etc/passwd", "/file=/etc/passwd", "/gradio_api/upload", "/gradio_api/proxy=http://a",
              "/static/../secret", "/monitoring", "/gradio_api/vibe-edit", "/gradio_api/stream/1")  # fmt: skip
    assert not any(served(p) for p in closed)


def test_the_page_says_where_words_go(tmp_path: Path) -> None:
    here = facts(from_env({}, data_dir=tmp_path), None)
    assert (here.model, here.quantization) == ("SmolLM2-135M-Instruct", "Q4_1") and here.size == 98_362_432
    assert "nothing leaves this computer" in status_html("ready", "", here)
    local = facts(from_env({}, model_url="http://127.0.0.1:8080/v1"), None)
    assert "nothing leaves" in privacy(local)
    away = facts(from_env({}, model_url="https://models.example.org/v1"), None)
    assert privacy(away) == "questions and passages are sent to models.example.org"
    for there in (Facts("m", shared=True), Facts("m", elsewhere="models.example.org", shared=True)):
        assert "this computer" not in privacy(there)
        assert privacy(there).endswith("everybody with the password sees all conversations")
    assert "nothing goes further" in privacy(Facts("m", shared=True))
    assert "sent to models.example.org" in privacy(there)
    assert "<b>" not in status_html("ready", "", Facts("<b>"))


def test_figures_are_shown_or_said_to_be_missing(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    assert figures(file) == {}
    assert "No figures were measured" in about_html({}, None)
    file.write_text(
        '{"measured": [{"what": "right <b>", "figure": "80%"}], "version": "1.2", "date": "2026-11-23", "questions": 7}'
    )
    told = about_html(figures(file), None)
    assert "80%" in told and "right &lt;b&gt;" in told and "1.2 on 7 questions, 2026-11-23" in told
    file.write_text('{"measured": 5}')
    assert figures(file) == {}
