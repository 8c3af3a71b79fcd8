"""Item 3: keeps what matters."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ROOT, Server, ask, shown

pytestmark = pytest.mark.browser


def manage(page: Page, title: str, what: str) -> None:
    item = page.locator("#list li", has_text=title).first
    item.locator("summary").click()
    item.locator(f"[data-manage={what}]").click()


def test_conversations_are_listed_opened_renamed_searched_and_deleted(
    serve: Callable[..., Server], open_page: Callable[..., Page]
) -> None:
    page = open_page(serve().url)
    ask(page, "What is pruning?")
    page.locator("#new").click()
    expect(page.locator(".start")).to_be_visible()
    ask(page, "What is a token?")
    expect(page.locator("#list li")).to_have_count(2)
    page.locator("#list .open", has_text="What is pruning?").click()
    shown(page, "What is pruning?")
    expect(page.locator("#list [aria-current]")).to_have_text("What is pruning?just now")
    manage(page, "What is pruning?", "rename")
    page.locator("#prompt textarea").fill("Gardening <b>")
    page.locator("#prompt textarea").press("Shift+Enter")  # a title has one line
    expect(page.locator("#list [aria-current]")).to_contain_text("Gardening <b>")
    manage(page, "Gardening", "rename")
    page.locator("#prompt textarea").fill("  ")
    page.locator("#prompt textarea").press("Enter")
    expect(page.locator("#list [aria-current]")).to_contain_text("What is pruning?")
    manage(page, "What is pruning?", "rename")
    page.locator("#prompt textarea").fill("Gardening")
    page.locator("#prompt [value=ok]").click()
    expect(page.locator("#list [aria-current]")).to_contain_text("Gardening")
    page.locator("#search input").fill("TOKEN")
    expect(page.locator("#list li")).to_have_count(1)
    page.locator("#search input").fill("no such words")
    expect(page.locator("#list")).to_have_text("Nothing found.")
    page.locator("#search input").fill("")
    manage(page, "Gardening", "delete")
    page.locator("#prompt [value=ok]").click()
    expect(page.locator("#list li")).to_have_count(1)
    expect(page.locator(".start")).to_be_visible()  # the deleted one was the one shown


def test_a_conversation_is_exported(server: Server, open_page: Callable[..., Page]) -> None:
    page = open_page(server.url)
    ask(page, "What is pruning, for export?")
    for kind, suffix in (("markdown", ".md"), ("json", ".json")):
        with page.expect_download() as download:
            manage(page, "for export", kind)
        text = Path(download.value.path()).read_text(encoding="utf-8")
        assert download.value.suggested_filename == "What is pruning for export" + suffix
        assert "What is pruning, for export?" in text
        if kind == "json":
            assert json.loads(text)["turns"][0]["answer"]["citations"]


def test_a_crash_in_the_middle_of_an_answer_loses_nothing_that_was_shown(
    serve: Callable[..., Server], open_page: Callable[..., Page]
) -> None:
    server = serve("--pace", "0.2")
    page = open_page(server.url, errors=False)  # the browser complains about a server that is gone
    ask(page, "What is pruning?")
    ask(page, "endless quantization", "answering")
    expect(page.locator("#running .said").nth(2)).to_be_visible()
    server.kill()
    said = page.locator("#running .said").all_text_contents()
    server.start()
    page.reload()
    shown(page, "endless quantization", "stopped")
    assert page.locator("#running .said").all_text_contents()[: len(said)] == said
    expect(page.locator("#thread h2")).to_have_text("What is pruning?")
    ask(page, "What is a token?")


def test_an_open_page_goes_on_after_a_restart(serve: Callable[..., Server], open_page: Callable[..., Page]) -> None:
    server = serve()
    page = open_page(server.url, errors=False)
    ask(page, "What is pruning?")
    server.kill()
    server.start()
    ask(page, "What is a token?")
    expect(page.locator("#thread h2")).to_have_text("What is pruning?")


def test_an_answer_goes_on_while_its_page_is_away(serve: Callable[..., Server], open_page: Callable[..., Page]) -> None:
    page = open_page(serve("--pace", "0.4").url, errors=False)  # the browser complains of the stream that is cut
    ask(page, "What is pruning?", "answering")
    page.reload()
    shown(page, "What is pruning?")
    expect(page.locator("#running .said")).to_have_count(3)


def test_a_crash_after_a_retry_loses_no_answer(serve: Callable[..., Server], open_page: Callable[..., Page]) -> None:
    server = serve("--pace", "0.3")
    page = open_page(server.url, errors=False)
    ask(page, "What is pruning?")
    said = page.locator("#running .said").all_text_contents()
    page.locator("#running [data-do=retry]").click()
    expect(page.locator("#running .turn[aria-busy]")).to_be_attached()
    expect(page.locator("#thread .turn")).to_have_count(0)
    server.kill()
    server.start()
    page.reload()
    expect(page.locator("#running .turn[data-state=stopped]")).to_be_attached()
    assert page.locator("#thread .said").all_text_contents() == said


def test_an_answer_comes_back_where_its_retry_was_stopped(
    serve: Callable[..., Server], open_page: Callable[..., Page]
) -> None:
    page = open_page(serve("--pace", "0.3").url)
    ask(page, "What is pruning?")
    page.locator("#running [data-do=edit]").click()
    page.locator("#prompt textarea").fill("What is endless pruning?")
    page.locator("#prompt textarea").press("Enter")
    shown(page, "What is endless pruning?", "answering")
    page.keyboard.press("Escape")
    expect(page.locator("#running .turn[data-state=stopped]")).to_be_attached()
    assert page.locator(".turn h2").all_text_contents() == ["What is pruning?", "What is endless pruning?"]
    expect(page.locator(".turn").first.locator(".said")).to_have_count(3)
    ask(page, "What is a token?")
    expect(page.locator(".turn")).to_have_count(3)


def test_a_comment_stays_with_its_answer(server: Server, open_page: Callable[..., Page]) -> None:
    page = open_page(server.url)
    first, second = "What is pruning, for a comment?", "What is a token, for a comment?"
    ask(page, first)
    page.locator("#running [data-do=down]").click()
    page.locator("#running .comment input").fill("of the first one, not saved")
    page.locator("#new").click()
    expect(page.locator(".start")).to_be_visible()
    ask(page, second)
    expect(page.locator("#running .comment input")).to_be_hidden()
    page.locator("#list .open", has_text=first).click()
    shown(page, first)
    comment = page.locator("#running .comment input")
    page.locator("#running [data-do=up]").click()
    comment.fill("of the first one")
    comment.press("Enter")
    expect(page.locator("#toast")).to_contain_text("kept")
    page.locator("#list .open", has_text=second).click()
    shown(page, second)
    for _ in range(2):
        page.locator("#running [data-do=down]").click()
        expect(page.locator("#running [data-do=down]")).to_have_attribute("aria-pressed", "true")
        expect(comment).to_have_value("")
        page.reload()
        shown(page, second)
        expect(page.locator("#running [data-do=down]")).to_have_attribute("aria-pressed", "true")
        page.locator("#running [data-do=down]").click()
        expect(page.locator("#running [data-do=down]")).to_have_attribute("aria-pressed", "false")


def test_a_vote_is_exported_though_its_question_was_asked_again(
    serve: Callable[..., Server], open_page: Callable[..., Page]
) -> None:
    server = serve()
    page = open_page(server.url)
    ask(page, "What is pruning?")
    page.locator("#running [data-do=down]").click()
    page.locator("#running .comment input").fill("too “short”")
    page.locator("#running .comment input").press("Enter")
    expect(page.locator("#toast")).to_contain_text("kept")
    page.locator("#running [data-do=edit]").click()
    page.locator("#prompt textarea").fill("ok")
    page.locator("#prompt [value=ok]").click()
    shown(page, "ok")
    expect(page.locator(".turn")).to_have_count(1)
    command = [sys.executable, "-m", "assistant", "feedback", "export", "--data-dir", str(server.data_dir)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = [json.loads(text) for text in done.stdout.splitlines()]
    assert (line["question"], line["vote"], line["comment"]) == ("What is pruning?", -1, "too “short”")
    assert line["answer"] and line["support"]


def test_thumbs_and_a_comment_are_kept(server: Server, open_page: Callable[..., Page]) -> None:
    page = open_page(server.url)
    ask(page, "What is pruning?")
    up, down = page.locator("#running [data-do=up]"), page.locator("#running [data-do=down]")
    up.click()
    expect(up).to_have_attribute("aria-pressed", "true")
    down.click()
    expect(down).to_have_attribute("aria-pressed", "true")
    expect(up).to_have_attribute("aria-pressed", "false")
    page.locator("#running .comment input").fill('too "short" <b>')
    page.locator("#running .comment button").click()
    expect(page.locator("#toast")).to_contain_text("kept")
    page.reload()
    expect(page.locator("#running [data-do=down]")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#running .comment input")).to_have_value('too "short" <b>')
