"""The page: lays it out and joins it to the desk. Knows Gradio; knows no model and no HTML.

What is kept in a browser's tab is the id of its conversation alone, so that a page outlives the server.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from assistant.errors import AssistantError
from ui import about, frame
from ui.calls import Calls
from ui.render import thread_html
from ui.session import Desk
from ui.turns import View, check, stored_view

STATIC = Path(__file__).parent / "static"
POLL_S = 0.04
Shown = tuple[str, str, str, str, str, str]  # thread, running, list, current, box, notice


def theme() -> Any:
    """Return Gradio's plain theme in the fonts that it ships: none is fetched."""
    return gr.themes.Base(
        primary_hue="teal", neutral_hue="stone", radius_size="md",
        font=[gr.themes.Font("Source Sans Pro"), "system-ui", "sans-serif"],
        font_mono=[gr.themes.Font("ui-monospace"), "monospace"],
    )  # fmt: skip


def head() -> str:
    """Return the page's style for its head: what Gradio takes as `css` it rewrites, and loses `body` selectors."""
    return f"<style>{(STATIC / 'style.css').read_text(encoding='utf-8')}</style>"


def script() -> str:
    """Return the page's script: Gradio takes one, so its parts share a scope."""
    return "".join((STATIC / name).read_text(encoding="utf-8") for name in ("pane.js", "turn.js", "page.js"))


def _named(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method as a function that Gradio can mark: a bound method takes no attributes."""
    return functools.update_wrapper(functools.partial(method), method)


class Page:
    """One page for everybody; each tab's own things are passed in with its events."""

    def __init__(self, desk: Desk, facts: Callable[[], about.Facts]) -> None:
        """Take the desk, and what tells the facts of the status line once the assistant is there."""
        self.desk = desk
        self._facts = facts
        self._following: dict[str, object] = {}  # by tab: what may write its last turn
        self.blocks = gr.Blocks(title="Glossary assistant", analytics_enabled=False, fill_width=True)
        with self.blocks:
            self._lay_out()
            self._join()
        self.blocks.queue(default_concurrency_limit=None)

    def _lay_out(self) -> None:
        gr.HTML(frame.BAR, elem_id="bar", apply_default_css=False)
        with gr.Row(elem_id="columns"):
            with gr.Column(elem_id="conversations"):
                self.new = gr.Button("New conversation", elem_id="new", size="sm")
                self.search = gr.Textbox(
                    label="Search conversations", placeholder="Search", show_label=False, container=False,
                    max_lines=1, elem_id="search",
                )  # fmt: skip
                self.list = gr.HTML(elem_id="list", apply_default_css=False)
            with gr.Column(elem_id="middle"):
                with gr.Column(elem_id="scroll"):
                    self.thread = gr.HTML(frame.start_html(self.desk.corpus), elem_id="thread", apply_default_css=False)
                    self.running = gr.HTML(elem_id="running", apply_default_css=False)
                self.notice = gr.HTML(elem_id="notice", apply_default_css=False)
                with gr.Row(elem_id="compose"):
                    self.box = gr.Textbox(
                        label="Your question", placeholder="Ask about the glossary", show_label=False, container=False,
                        lines=1, max_lines=8, elem_id="box", autofocus=True,
                    )  # fmt: skip
                    self.send = gr.Button("Ask", variant="primary", elem_id="send", min_width=72)
                    self.stop = gr.Button("Stop", elem_id="stop", min_width=72)
                self.status = gr.HTML(about.status_html("loading", "", None), elem_id="status", apply_default_css=False)
            with gr.Column(elem_id="pane"):
                gr.HTML(frame.PANE, elem_id="sources", apply_default_css=False)
        self.current = gr.Textbox(visible=False)
        calls = Calls(self.desk)
        self.bridge = gr.HTML(
            frame.bridge_html(about.about_html(about.figures(), self.desk.corpus)),
            elem_id="bridge", apply_default_css=False, js_on_load=script(),
            server_functions=[_named(f) for f in (calls.vote, calls.export, calls.document, calls.about)],
        )  # fmt: skip

    def _join(self) -> None:
        """Join events to what they do: each shows a conversation whole, then follows what is written in it.

        Every output gets a value every time: for each that is left out Gradio makes a component anew and keeps it.
        """
        quiet: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "multiple", "api_visibility": "private"}
        once = {**quiet, "trigger_mode": "once"}  # a second Enter asks nothing until the first is taken
        shown = [self.thread, self.running, self.list, self.current, self.box, self.notice]
        given = [self.box, self.search, self.current]
        for event in (
            gr.on([self.box.submit, self.send.click], self.ask, given, shown, **once),
            self.bridge.ask_again(self.ask_again, given, shown, **once),
            self.bridge.choose(self.choose, given, shown, **quiet),
            self.new.click(self.begin_anew, given, shown, **quiet),
            self.bridge.remove(self.remove, given, shown, **quiet),
        ):
            event.then(self.follow, self.current, self.running, **quiet)
        self.bridge.rename(self.rename, [self.search, self.current], [self.list, self.notice], **quiet)
        self.stop.click(self.halt, self.current, None, **quiet)
        self.search.change(
            self.listing, [self.search, self.current], self.list, **{**quiet, "trigger_mode": "always_last"}
        )
        self.blocks.load(self.arrive, [self.search, self.current], [self.list, self.notice], **quiet)
        self.blocks.load(self.tell_status, None, self.status, **quiet)
        self.blocks.unload(self.leave)

    def ask(self, text: str, search: str, current: str) -> Shown:
        """Take the question in the box, and show it at once."""
        return self._asked(text, search, current, 0)

    def ask_again(self, text: str, search: str, current: str, event: gr.EventData) -> Shown:
        """Ask what a button on the page says: a suggestion, an example, or a turn anew in another's place."""
        thread, running, listed, conversation, _, notice = self._asked(
            str(event.text), search, current, int(event.replaces or 0)
        )
        return thread, running, listed, conversation, text, notice

    def _asked(self, text: str, search: str, current: str, replaces: int) -> Shown:
        try:
            check(text)
            conversation = current or self.desk.store.create()
            self.desk.ask(conversation, text, replaces)
        except AssistantError as error:
            return self._whole(search, current, text, str(error))
        return self._whole(search, conversation, "", "")

    def choose(self, text: str, search: str, current: str, event: gr.EventData) -> Shown:
        """Open a conversation."""
        return self._whole(search, str(event.id), text, "")

    def begin_anew(self, text: str, search: str, current: str) -> Shown:
        """Open a new conversation; it is kept from its first question on."""
        return self._whole(search, "", text, "")

    def remove(self, text: str, search: str, current: str, event: gr.EventData) -> Shown:
        """Delete a conversation."""
        try:
            self.desk.forget(str(event.id))
        except AssistantError as error:
            return self._whole(search, current, text, str(error))
        return self._whole(search, "" if event.id == current else current, text, "")

    def _whole(self, search: str, conversation: str, text: str, notice: str) -> Shown:
        """Return all that is to be shown of a conversation; the start page for none, and for one that is gone."""
        try:
            views = self._views(conversation)
        except AssistantError as error:
            conversation, views, notice = "", [], notice or str(error)
        corpus = self.desk.corpus
        thread = thread_html(views[:-1], corpus, conversation) if views else frame.start_html(corpus)
        running = self._turns(views[-1:], conversation) if views else ""
        return thread, running, self.listing(search, conversation), conversation, text, frame.notice_html(notice)

    async def follow(self, current: str, request: gr.Request) -> AsyncIterator[str]:
        """Yield the last turn as it grows, until it has ended or its tab follows something else."""
        tab, mine = request.session_hash or "", object()
        self._following[tab] = mine
        job = self.desk.live(current) if current else None
        if job is None:
            yield (await asyncio.to_thread(self._whole, "", current, "", ""))[1]
            return
        await asyncio.to_thread(self.desk.look_up, job)
        seen = None
        while self._following.get(tab) is mine:
            view = self.desk.view(job)
            if view.ended:
                html = await asyncio.to_thread(self._ended, view, job.conversation)
                if self._following.get(tab) is mine:  # the next question may have come in between
                    yield html
                return
            if view != seen:
                seen = view
                yield self._turns([view], job.conversation)
            await asyncio.sleep(POLL_S)

    def arrive(self, search: str, current: str) -> tuple[str, str]:
        """Fill a page that was just opened. What its address names is opened by the page's script."""
        return self.listing(search, current), frame.notice_html(self.desk.store.notice)

    def rename(self, search: str, current: str, event: gr.EventData) -> tuple[str, str]:
        """Give a conversation another title."""
        notice = ""
        try:
            self.desk.store.rename(str(event.id), str(event.title))
        except AssistantError as error:
            notice = str(error)
        return self.listing(search, current), frame.notice_html(notice)

    def halt(self, current: str) -> None:
        """Stop the answer that is being written in a conversation."""
        job = self.desk.live(current)
        if job:
            self.desk.stop(job.turn)

    def listing(self, search: str, current: str) -> str:
        """Return the list of conversations that match."""
        try:
            return frame.conversations_html(self.desk.store.list(search or ""), current, bool(search))
        except AssistantError as error:
            return frame.notice_html(str(error))

    async def tell_status(self) -> AsyncIterator[str]:
        """Say how far the loading is, until it is done."""
        seen = None
        while seen is None or seen.state == "loading":
            if self.desk.status != seen:
                seen = self.desk.status
                found = await asyncio.to_thread(self._facts) if seen.state == "ready" else None
                yield about.status_html(seen.state, seen.line, found)
            await asyncio.sleep(POLL_S)

    def leave(self, request: gr.Request) -> None:
        """Forget a tab that was closed. Its questions are answered and kept all the same."""
        self._following.pop(request.session_hash or "", None)

    def _views(self, conversation: str) -> list[View]:
        """Return the turns of a conversation; of one that is being answered, how far it is."""
        if not conversation:
            return []
        job = self.desk.live(conversation)
        views = [stored_view(t) for t in self.desk.store.turns(conversation)]
        return [self.desk.view(job) if job and v.turn == job.turn else v for v in views]

    def _ended(self, view: View, conversation: str) -> str:
        """Return a turn that has ended, under the one that it was to replace where that one is shown again."""
        try:
            stored = self.desk.store.turns(conversation)
        except AssistantError:  # the turn itself says what is wrong with the file
            stored = []
        return self._turns([*(stored_view(t) for t in stored if t.replaced_by == view.turn), view], conversation)

    def _turns(self, views: Sequence[View], conversation: str) -> str:
        return thread_html(views, self.desk.corpus, conversation, last=True)
