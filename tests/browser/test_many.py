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


def test_a_retry_in_one_window_spares_what_was_asked_in_another(server: Server, open_page: Callable[..., Page]) -> None:
    one = open_page(server.url)
    ask(one, "What is pruning, in one window?")
    other = open_page(one.url)
    shown(other, "What is pruning, in one window?")
    ask(other, "What is a token, in the other?")
    one.locator("#running [data-do=retry]").click()
    expect(one.locator(".turn")).to_have_count(3)
    shown(one, "What is pruning, in one window?")
    assert one.locator("#thread h2").all_text_contents() == [
        "What is pruning, in one window?",
        "What is a token, in the other?",
    ]


def test_in_a_hurry_one_question_is_asked_once(serve: Callable[..., Server], open_page: Callable[..., Page]) -> None:
    page = open_page(serve().url)
    page.locator(".example").nth(1).dblclick()
    shown(page, "What do the parts of the tag Q4_K_M stand for?")
    expect(page.locator("#list li")).to_have_count(1)
    page.locator("#new").click()
    expect(page.locator(".start")).to_be_visible()
    page.locator("#box textarea").fill("What is pruning?")
    for _ in range(2):
        page.keyboard.press("Enter")
    shown(page, "What is pruning?")
    expect(page.locator("#list li")).to_have_count(2)
    expect(page.locator(".turn")).to_have_count(1)
    expect(page.locator("#notice")).to_have_text("")


def test_a_waiting_question_that_will_fail_is_told_so(server: Server, open_page: Callable[..., Page]) -> None:
    one, other = open_page(server.url), open_page(server.url)
    ask(one, "endless pruning", "answering")
    ask(other, "trip over this", "waiting")
    other.wait_for_timeout(300)
    one.keyboard.press("Escape")
    shown(other, "trip over this", "failed")
    expect(other.locator("#running .error")).to_contain_text("scripted fault")


def test_ten_people_at_once_lose_and_mix_nothing(serve: Callable[..., Server]) -> None:
    server = serve("--pace", "0.01")
    assert server.process
    report = load(server.url, server.process.pid, people=10, each=50)
    assert (report.answered, report.lost, report.mixed) == (500, [], [])
    assert report.told_place == 10
    assert growth(report.memory) < MOST_GROWTH_MB
