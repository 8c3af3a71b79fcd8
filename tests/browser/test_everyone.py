"""Item 5: for everyone."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

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


def reached(page: Page) -> set[str]:
    """Return what is reached with Tab from the top of the page, by id, by what it does, or by class."""
    page.locator("h1").evaluate("h => { h.tabIndex = -1; h.focus(); }")
    name = (
        "(e => e.id || e.dataset.do || e.name || e.className.split(' ')[0] || e.parentNode.className)"
        "(document.activeElement)"
    )
    found = set()
    for _ in range(70):
        page.keyboard.press("Tab")
        found.add(page.evaluate(name))
    return found


def tab_to(page: Page, target: str) -> None:
    """Press Tab until `target` has the focus."""
    for _ in range(70):
        page.keyboard.press("Tab")
        if page.evaluate(f"document.activeElement.matches({target!r})"):
            return
    raise AssertionError(f"{target} is not reached with Tab")


def test_examples_menus_dialogs_and_comments_need_no_pointer(
    serve: Callable[..., Server], open_page: Callable[..., Page]
) -> None:
    page = open_page(serve().url)
    page.locator("h1").evaluate("h => { h.tabIndex = -1; h.focus(); }")
    tab_to(page, ".example:last-child")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    question = "How can I make a model fit on my phone?"
    shown(page, question)
    tab_to(page, "#running [data-do=up]")
    page.keyboard.press("Enter")
    expect(page.locator("#running .comment input")).to_be_focused()
    page.keyboard.type("clear")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#toast")).to_contain_text("kept")
    page.locator("#running [data-do=edit]").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#prompt textarea")).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("Or pruning?")
    page.keyboard.press("Enter")
    shown(page, f"{question}\nOr pruning?")
    page.locator("h1").focus()
    tab_to(page, ".menu summary")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(page.locator("[data-manage=rename]")).to_be_hidden()
    expect(page.locator(".menu summary")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#prompt textarea")).to_be_focused()
    page.keyboard.type("Phones")
    page.keyboard.press("Enter")
    expect(page.locator("#list [aria-current]")).to_contain_text("Phones")
    page.locator(".menu summary").focus()
    page.keyboard.press("Enter")
    for _ in range(4):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#prompt [value=ok]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#list li")).to_have_count(0)


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
    found = reached(page)
    assert {"new", "marker", "copy", "retry", "edit", "words", "up", "down", "send", "tab-cited", "context"} <= found
    assert {"open", "menu", "show-conversations", "show-about"} <= found
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


def no_violation(page: Page, state: str) -> None:
    """Let axe-core look at the page as it is now."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    page.wait_for_timeout(300)  # fades end: half-transparent text has less contrast
    found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})")
    serious = [
        f"{state}: {v['id']} {node['html'][:160]} {node['failureSummary'][:160]}"
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
        for node in v["nodes"]
    ]
    assert not serious, "\n".join(serious)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(server: Server, open_page: Callable[..., Page], scheme: str) -> None:
    page = open_page(server.url, color_scheme=scheme)
    no_violation(page, "start")
    ask(page, "What is pruning?")
    page.locator("#running [data-do=words]").click()
    page.locator("#running .marker").first.click()
    page.locator("#running [data-do=up]").click()
    expect(page.locator("#running .comment")).to_be_visible()
    no_violation(page, "answer and comment")
    page.locator("#running [data-do=edit]").click()
    no_violation(page, "dialog")
    page.keyboard.press("Escape")
    ask(page, "zebra quantization?")
    page.locator("#list summary").first.click()
    no_violation(page, "refusal and menu")
    ask(page, "explode", "failed")
    page.locator("#tab-whole").click()
    expect(page.locator("#whole .document")).to_be_visible()
    no_violation(page, "error and whole glossary")
    page.locator("#show-about").click()
    expect(page.locator("#about")).to_be_visible()
    no_violation(page, "about")
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 360, "height": 740})
    page.locator("#thread details.sources summary").first.click()
    no_violation(page, "narrow")
    page.locator("#show-conversations").click()
    no_violation(page, "narrow, conversations")
    page.keyboard.press("Escape")
    page.locator("#show-whole").click()
    expect(page.locator("#whole .document")).to_be_visible()
    no_violation(page, "narrow, whole glossary")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_while_an_answer_is_awaited(
    serve: Callable[..., Server], open_page: Callable[..., Page], scheme: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    # without motion: words that are just fading in have less contrast for a quarter of a second
    page = open_page(serve("--gate", str(gate)).url, color_scheme=scheme, reduced_motion="reduce")
    ask(page, "endless quantization", "loading")
    no_violation(page, "loading")
    gate.touch()
    shown(page, "endless quantization", "answering")
    expect(page.locator("#running .said").first).to_be_visible()
    no_violation(page, "answering")


@pytest.mark.parametrize("width", [360, 768, 1100, 1280, 2560])
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
        for closing, key in (("#show-conversations", "Escape"), ("#new", "Enter")):
            page.locator(closing).press(key)
            expect(page.locator("#conversations")).to_be_hidden()
            page.locator("#show-conversations").click()
        page.locator("#list .open").first.click()
        expect(page.locator("#conversations")).to_be_hidden()


def test_a_long_last_word_stays_in_its_column(
    serve: Callable[..., Server], open_page: Callable[..., Page], tmp_path: Path
) -> None:
    corpus = tmp_path / "words.md"
    corpus.write_text("# Boats\n\n## Hulls\n\nA hull is called MMMMMMMMMMMMMMMMMMMMMMMMMMMM.\n", encoding="utf-8")
    page = open_page(serve("--corpus", str(corpus)).url, 360, 740)
    ask(page, "What is a hull?")
    tail = page.locator("#running .tail").first
    tail.evaluate("t => t.append(...[2, 3].map(() => t.querySelector('.marker').cloneNode(true)))")
    edges = "e => e.getBoundingClientRect().right"
    column = page.locator("#running .answer").evaluate(edges)
    assert all(edge <= column + 1 for edge in tail.locator(".marker, .text").evaluate_all(f"all => all.map({edges})"))
    page.set_viewport_size({"width": 1280, "height": 800})
    lines = page.locator("#running .said").first.evaluate("e => e.getBoundingClientRect().height")
    assert lines < 40, "where there is room, it stands on the line of its sentence"


def test_reduced_motion_is_respected(server: Server, open_page: Callable[..., Page]) -> None:
    page = open_page(server.url, reduced_motion="reduce")
    ask(page, "endless", "answering")
    expect(page.locator("#running .said").first).to_be_visible()
    moving = "document.getAnimations().filter(a => a.playState === 'running').length"
    assert page.evaluate(moving) == 0
    page.keyboard.press("Escape")
