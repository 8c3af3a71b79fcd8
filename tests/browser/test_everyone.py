"""Item 5: for everyone."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Server, ask, shown

pytestmark = pytest.mark.browser


def test_a_newcomer_sees_what_this_is_and_six_questions(server: Server, open_page: Callable[..., Page]) -> None:
    page = open_page(server.url)
    expect(page.locator(".start")).to_contain_text("Answers come from one text and from nothing else.")
    expect(page.locator(".example")).to_have_count(6)
    expect(page.locator(".example").last).to_contain_text("Not in the glossary")
    page.locator(".example").nth(1).click()
    shown(page, "What do the parts of the tag Q4_K_M stand for?")


def test_the_keyboard_alone_is_enough(server: Server, open_page: Callable[..., Page]) -> None:
    page = open_page(server.url)
    page.locator("#show-about").focus()
    page.keyboard.press("/")
    expect(page.locator("#box textarea")).to_be_focused()
    page.keyboard.type("What is")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("endless pruning?")
    page.keyboard.press("Enter")
    shown(page, "What is\nendless pruning?", "answering")
    expect(page.locator("#running .said").first).to_be_visible()
    page.keyboard.press("Escape")
    shown(page, "What is\nendless pruning?", "stopped")
    page.locator("h1").evaluate("h => { h.tabIndex = -1; h.focus(); }")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("(e => e.id || e.dataset.do || e.className.split(' ')[0])(document.activeElement)"))
    assert {"new", "marker", "copy", "retry", "edit", "words", "up", "down", "send", "tab-cited", "context"} <= reached
    page.locator("#running .marker").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#cited .card.current")).to_be_visible()
    page.locator("#tab-cited").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tab-whole")).to_be_focused()
    expect(page.locator("#whole .document")).to_be_visible()


def test_new_answers_are_announced(server: Server, open_page: Callable[..., Page]) -> None:
    page = open_page(server.url)
    news = page.locator("#announcer[aria-live=polite]")
    ask(page, "What is pruning?")
    expect(news).to_contain_text("Answer: ")
    expect(news).to_contain_text("3 sources.")
    ask(page, "zebra?")
    expect(news).to_contain_text("The glossary does not cover this.")
    ask(page, "explode", "failed")
    expect(news).to_contain_text("This answer failed.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(server: Server, open_page: Callable[..., Page], scheme: str) -> None:
    page = open_page(server.url, color_scheme=scheme)
    script = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    page.evaluate(script)

    def check(state: str) -> None:
        page.wait_for_timeout(300)  # fades end: half-transparent text has less contrast
        found = page.evaluate(
            "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})"
        )
        serious = [
            f"{state}: {v['id']} {node['html'][:160]} {node['failureSummary'][:160]}"
            for v in found["violations"]
            if v["impact"] in ("serious", "critical")
            for node in v["nodes"]
        ]
        assert not serious, "\n".join(serious)

    check("start")
    ask(page, "What is pruning?")
    page.locator("#running [data-do=words]").click()
    page.locator("#running .marker").first.click()
    check("answer")
    ask(page, "zebra quantization?")
    check("refusal")
    ask(page, "explode", "failed")
    page.locator("#tab-whole").click()
    expect(page.locator("#whole .document")).to_be_visible()
    check("error and whole glossary")
    page.locator("#show-about").click()
    expect(page.locator("#about")).to_be_visible()
    check("about")
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 360, "height": 740})
    page.locator("#thread details.sources summary").first.click()
    check("narrow")


@pytest.mark.parametrize("width", [360, 768, 1280, 2560])
def test_nothing_sticks_out(server: Server, open_page: Callable[..., Page], width: int) -> None:
    page = open_page(server.url, width, 800)
    ask(page, "What is pruning " + "x" * 1900 + "?")
    ask(page, "What do the parts of the tag Q4_K_M stand for?")
    wide = page.evaluate(
        "[...document.querySelectorAll('#bar *, #middle *, #pane *')].filter(e => e.getClientRects().length"
        " && !e.closest('.sr, .sr-only, .wrap.hide') && e.getBoundingClientRect().right > innerWidth + 1)"
        ".map(e => e.outerHTML.slice(0, 120))"
    )
    assert not wide
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width < 1200:
        expect(page.locator("#conversations")).to_be_hidden()
        page.locator("#show-conversations").click()
        expect(page.locator("#new")).to_be_in_viewport()
        page.keyboard.press("Escape")
        if width < 1024:
            expect(page.locator("#conversations")).to_be_hidden()


def test_reduced_motion_is_respected(server: Server, open_page: Callable[..., Page]) -> None:
    page = open_page(server.url, reduced_motion="reduce")
    ask(page, "endless", "answering")
    expect(page.locator("#running .said").first).to_be_visible()
    moving = "document.getAnimations().filter(a => a.playState === 'running').length"
    assert page.evaluate(moving) == 0
    page.keyboard.press("Escape")
