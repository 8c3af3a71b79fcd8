"""Item 7: holds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Server, ask, shown
from tests.browser.load import MOST_GROWTH_MB, growth, load

pytestmark = pytest.mark.browser


def test_two_windows_never_mix(serve: Callable[..., Server], open_page: Callable[..., Page]) -> None:
    server = serve("--pace", "0.15")
    one, other = open_page(server.url), open_page(server.url)
    for page, question in ((one, "endless pruning"), (other, "What is a token?")):
        page.locator("#box textarea").fill(question)
        page.locator("#box textarea").press("Enter")
        expect(page.locator("#running h2")).to_have_text(question)
    shown(other, "What is a token?", "waiting")
    expect(other.locator("#running .note")).to_contain_text("You are next.")
    expect(other.locator("#running .found")).to_contain_text("passages under")  # found while it waits
    one.keyboard.press("Escape")
    shown(other, "What is a token?")
    shown(one, "endless pruning", "stopped")


def test_leaving_a_conversation_takes_no_answer_along(server: Server, open_page: Callable[..., Page]) -> None:
    page = open_page(server.url)
    ask(page, "endless tokens", "answering")
    page.locator("#new").click()
    expect(page.locator(".start")).to_be_visible()
    page.wait_for_timeout(400)
    expect(page.locator("#running .turn")).to_be_hidden()
    page.locator("#list .open").first.click()
    shown(page, "endless tokens", "answering")
    page.locator("#stop").click()
    shown(page, "endless tokens", "stopped")


def test_a_failed_answer_says_what_happened_and_the_next_one_works(
    server: Server, open_page: Callable[..., Page]
) -> None:
    page = open_page(server.url)
    ask(page, "explode", "failed")
    expect(page.locator("#running .error")).to_contain_text(
        "the language model failed: scripted; ask something shorter"
    )
    ask(page, "stumble", "failed")
    expect(page.locator("#running .said")).to_have_count(1)  # what was shown stays
    ask(page, "What is pruning?")


def test_a_second_question_waits_for_the_first(server: Server, open_page: Callable[..., Page]) -> None:
    page = open_page(server.url)
    ask(page, "endless tokens", "answering")
    page.locator("#box textarea").fill("What is pruning?")
    page.locator("#box textarea").press("Enter")
    expect(page.locator("#notice")).to_contain_text("an answer is being written here")
    expect(page.locator("#box textarea")).to_have_value("What is pruning?")
    page.keyboard.press("Escape")
    shown(page, "endless tokens", "stopped")
    page.locator("#box textarea").press("Enter")
    shown(page, "What is pruning?")


def test_ten_people_at_once_lose_and_mix_nothing(serve: Callable[..., Server]) -> None:
    server = serve("--pace", "0.01")
    assert server.process
    report = load(server.url, server.process.pid, people=10, each=50)
    assert (report.answered, report.lost, report.mixed) == (500, [], [])
    assert report.told_place == 10
    assert growth(report.memory) < MOST_GROWTH_MB
