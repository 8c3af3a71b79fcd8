"""Chromium, and the page in a process of its own. Every page is watched: it may ask nobody but its own server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
OPTIONS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
expect.set_options(timeout=8000)


@dataclass
class Server:
    """The page in a process; `--pace` and the like are given as options of tests/browser/serve.py."""

    data_dir: Path
    options: tuple[str, ...] = ()
    port: int = 0
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> Server:
        self.port = self.port or free_port()
        command = [sys.executable, "-m", "tests.browser.serve", str(self.port), str(self.data_dir), *self.options]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "served\n"
        return self

    def kill(self) -> None:
        """End it as a crash would: with no chance to tidy up."""
        if self.process and self.process.stdout:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        told = "no Chromium on this machine; install the system's package, e.g. apt-get install chromium"
        (pytest.fail if os.environ.get("GLOSSARY_NO_SKIP") else pytest.skip)(told)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(OPTIONS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The page over the shipped glossary with a scripted assistant, for all tests that spoil nothing."""
    made = Server(tmp_path_factory.mktemp("page"), ("--pace", "0.05")).start()
    yield made
    made.kill()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start a server of one's own: serve("--pace", "1")."""
    made: list[Server] = []

    def starting(*options: str) -> Server:
        made.append(Server(tmp_path, options).start())
        return made[-1]

    yield starting
    for each in made:
        each.kill()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Open the page in a window of its own; at the end nothing may have failed or been asked of anybody else."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def unexpected(dialog: Dialog) -> None:
        faults.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def opening(
        url: str,
        width: int = 1280,
        height: int = 800,
        errors: bool = True,
        sign_in: tuple[str, str] | None = None,
        **options: object,
    ) -> Page:
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        origin = "/".join(url.split("/")[:3])
        page.on("request", lambda r: None if allowed(r.url, origin) else faults.append(f"asked {r.url}"))
        if errors:
            page.on("pageerror", lambda error: faults.append(f"error {error}"))
            page.on("console", lambda m: faults.append(f"console {m.text}") if m.type == "error" else None)
        page.on("dialog", unexpected)
        page.goto(url)
        if sign_in:
            for label, value in zip(("username", "password"), sign_in, strict=True):
                page.get_by_label(label).fill(value)
            page.get_by_role("button", name="login").click()
        expect(page.locator("#box textarea")).to_be_visible()
        page.wait_for_function("document.body.dataset.pane !== undefined")
        return page

    yield opening
    for context in contexts:
        context.close()
    assert not faults


def allowed(url: str, origin: str) -> bool:
    return url.startswith((origin + "/", "data:", "blob:" + origin))


def ask(page: Page, question: str, state: str = "complete") -> None:
    """Ask with the keyboard and wait until the answer is so far."""
    box = page.locator("#box textarea")
    box.fill(question)
    box.press("Enter")
    shown(page, question, state)


def shown(page: Page, question: str, state: str = "complete") -> None:
    expect(page.locator("#running h2").last).to_have_text(question)
    expect(page.locator(f"#running .turn[data-state={state}]")).to_be_attached()


def until(true: Callable[[], bool], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
