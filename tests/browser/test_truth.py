"""Item 4: tells the truth about itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Server, ask
from ui.about import figures

pytestmark = pytest.mark.browser


def test_the_status_line_and_the_panel(server: Server, open_page: Callable[..., Page]) -> None:
    page = open_page(server.url)
    for told in ("SmolLM2-135M-Instruct", "Q4_1", "98 MB", "92 passages", "offline: nothing leaves this computer"):
        expect(page.locator("#status")).to_contain_text(told)
    page.locator("#show-about").click()
    panel = page.locator("#about")
    expect(panel).to_contain_text("It answers from glossary.md and from nothing else.")
    measured = figures().get("measured")
    expect(panel).to_contain_text(measured[0][1] if measured else "No figures were measured for this version.")
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()


def test_each_sentence_says_on_demand_who_worded_it(server: Server, open_page: Callable[..., Page]) -> None:
    page = open_page(server.url)
    ask(page, "What is pruning?")
    told = page.locator("#running .origin")
    expect(told.first).to_be_hidden()
    page.locator("#running [data-do=words]").click()
    assert told.all_inner_texts() == ["the model’s words", "quotation", "quotation"]
