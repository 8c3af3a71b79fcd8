"""Item 1: answer and source side by side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from assistant import corpus
from assistant.settings import from_env
from tests.browser.conftest import Server, ask, shown

pytestmark = pytest.mark.browser
QUESTION = "What do the parts of the tag Q4_K_M stand for?"
TEXT = corpus.load(from_env({}).corpus).documents[0].text


def quoted(page: Page, card: str) -> tuple[str, str]:
    """Return the characters that a card points at in the source, and those that are marked in it."""
    found = page.locator(card).first
    start, end = int(found.get_attribute("data-start") or 0), int(found.get_attribute("data-end") or 0)
    marked = found.locator("mark").evaluate_all("marks => marks.map(m => m.textContent).join('')")
    return TEXT[start:end], marked


def test_a_marker_shows_its_quotation_and_leads_to_it(server: Server, open_page: Callable[..., Page]) -> None:
    page = open_page(server.url)
    ask(page, QUESTION)
    marker = page.locator("#running .marker").nth(2)
    preview = page.locator("#preview")
    marker.hover()
    expect(preview).to_be_visible()
    source, marked = quoted(page, "#running .card[data-n='3']")
    assert source == marked and source.strip() in " ".join(preview.inner_text().split())
    page.mouse.move(5, 400)
    expect(preview).to_be_hidden()
    marker.focus()
    expect(preview).to_be_visible()
    marker.click()
    card = page.locator("#cited .card.current")
    expect(card).to_have_attribute("data-n", "3")
    expect(card.locator("mark").first).to_be_in_viewport()
    expect(card.locator(".path")).to_contain_text("Quantization")
    assert quoted(page, "#cited .card.current")[1] == source
    assert len(card.locator("blockquote").inner_text()) > len(source)  # in its paragraph


def test_an_earlier_answer_brings_its_own_sources(server: Server, open_page: Callable[..., Page]) -> None:
    page = open_page(server.url)
    ask(page, QUESTION)
    ask(page, "What is pruning?")
    expect(page.locator("#cited .about-question")).to_have_text("What is pruning?")
    page.locator("#thread .marker").first.click()
    expect(page.locator("#cited .about-question")).to_have_text(QUESTION)


def test_the_whole_glossary_is_there_with_its_contents(server: Server, open_page: Callable[..., Page]) -> None:
    page = open_page(server.url)
    ask(page, QUESTION)
    page.locator("#cited .context").nth(1).click()
    source, marked = quoted(page, "#cited .card[data-n='2']")
    mark = page.locator("#whole mark")
    expect(mark.first).to_be_in_viewport()
    assert "".join(mark.all_text_contents()) == marked == source
    page.locator("#whole .contents button", has_text="Final thoughts").click()
    expect(page.locator("#whole h3").last).to_be_in_viewport()
    blocks = page.locator("#whole .block").evaluate_all(
        "all => all.map(b => [Number(b.dataset.start), Number(b.dataset.end), b.textContent])"
    )
    assert len(blocks) > 50 and all(TEXT[start:end] == text for start, end, text in blocks)


@pytest.mark.parametrize("width", [360, 768])
def test_on_a_narrow_page_sources_fold_under_the_answer(
    server: Server, open_page: Callable[..., Page], width: int
) -> None:
    page = open_page(server.url, width, 740)
    ask(page, QUESTION)
    expect(page.locator("#pane")).to_be_hidden()
    expect(page.locator("#running .card").first).to_be_hidden()
    page.locator("#running .marker").nth(1).click()
    expect(page.locator("#running .card.current mark").first).to_be_in_viewport()
    page.locator("#running .card.current .context").click()
    expect(page.locator("#whole mark").first).to_be_in_viewport()
    page.locator("#close-pane").click()
    expect(page.locator("#pane")).to_be_hidden()


@pytest.mark.parametrize("width", [360, 1280])
def test_a_chosen_source_stays_chosen_while_the_answer_grows(
    serve: Callable[..., Server], open_page: Callable[..., Page], width: int
) -> None:
    page = open_page(serve("--pace", "0.5").url, width, 740)
    ask(page, QUESTION, "answering")
    said, card = page.locator("#running .said"), "#running .card" if width < 1024 else "#cited .card"
    page.locator("#running .marker").first.click()
    expect(page.locator(f"{card}.current")).to_be_focused()
    for state in ("answering", "complete"):
        before = said.count()
        if state == "complete":
            shown(page, QUESTION)
        expect(said).not_to_have_count(before)
        expect(page.locator(card)).to_have_count(said.count())
        expect(page.locator(f"{card}.current")).to_have_attribute("data-n", "1")
        expect(page.locator(f"{card}.current")).to_be_visible()
        expect(page.locator(f"{card}.current")).to_be_focused()


@pytest.mark.parametrize("width", [360, 1280])
def test_a_quotation_is_told_without_marks_and_whole(
    serve: Callable[..., Server], open_page: Callable[..., Page], tmp_path: Path, width: int
) -> None:
    corpus = tmp_path / "boats.md"
    corpus.write_text("# Boats\n\n## Jib\n\nThe **jib** and `the` boom _swing_ across.\n", encoding="utf-8")
    page = open_page(serve("--corpus", str(corpus)).url, width)
    ask(page, "What is a jib?")
    marker, told = page.locator("#running .marker").first, "The jib and the boom swing across."
    marker.focus()
    expect(page.locator("#preview p")).to_have_text(told)
    described = marker.get_attribute("aria-describedby")
    expect(page.locator(f"#{described}")).to_have_text(told)


def test_the_glossary_over_a_narrow_page_takes_the_focus_and_gives_it_back(
    server: Server, open_page: Callable[..., Page]
) -> None:
    page = open_page(server.url, 768, 740)
    ask(page, "endless quantization", "answering")
    page.locator("#show-whole").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#tab-whole")).to_be_focused()
    for _ in range(5):
        page.keyboard.press("Shift+Tab")  # nothing under it is reached
        assert page.evaluate("!document.activeElement.closest('#bar, #middle, #conversations')")
    page.keyboard.press("Escape")
    expect(page.locator("#pane")).to_be_hidden()
    expect(page.locator("#show-whole")).to_be_focused()
    shown(page, "endless quantization", "answering")
    page.keyboard.press("Escape")
    shown(page, "endless quantization", "stopped")
    page.locator("#running .marker").first.click()
    context = page.locator("#running .card.current .context")
    context.press("Enter")
    expect(page.locator("#whole mark").first).to_be_focused()
    page.locator("#close-pane").press("Enter")
    expect(context).to_be_focused()


def test_a_refusal_shows_no_source_but_the_nearest_entries(server: Server, open_page: Callable[..., Page]) -> None:
    page = open_page(server.url)
    ask(page, "Does quantization eat zebra?")
    expect(page.locator("#running .refusal")).to_be_visible()
    expect(page.locator("#running .marker, #running .card, #cited .card")).to_have_count(0)
    near = page.locator("#running .nearest button").first
    name = near.inner_text()
    near.click()
    shown(page, f"What does the glossary say about {name}?")
    expect(page.locator("#running .marker").first).to_be_visible()
