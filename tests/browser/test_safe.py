"""Item 6: safe. That no request leaves the machine is checked for every page of every test, in conftest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Server, ask, shown

pytestmark = pytest.mark.browser
EVIL = (
    "<script>alert(1)</script>",
    "![x](http://example.org/x.png) <img src=x onerror=alert(2)>",
    "[click](javascript:alert(3)) <a href='javascript:alert(4)'>y</a>",
    "\u202egnissel\u202c \u200f🦓🏳️‍🌈 ${alert(5)} {{constructor.constructor('alert(6)')()}} `x`",
    '"><svg onload=alert(7)> &lt;b&gt; </textarea><style>*{display:none}</style>',
)
BUILT = (
    "#thread :is(script, img, iframe, a, style), #running :is(script, img, iframe, a, style), #pane :is(script, img, a)"
)


def test_nothing_from_a_question_becomes_markup(server: Server, open_page: Callable[..., Page]) -> None:
    page = open_page(server.url)
    for evil in EVIL:
        ask(page, evil)
        expect(page.locator("#list .open").first).to_be_visible()
    page.reload()
    shown(page, EVIL[-1])
    assert page.locator(".question h2").all_text_contents() == list(EVIL)
    expect(page.locator(BUILT)).to_have_count(0)


def test_a_question_of_one_endless_word_is_refused_and_kept_in_the_box(
    server: Server, open_page: Callable[..., Page]
) -> None:
    page = open_page(server.url)
    page.locator("#box textarea").fill("x" * 50_000)
    page.locator("#send").click()
    expect(page.locator("#notice")).to_contain_text("50,000 characters; at most 2,000 are read")
    assert len(page.locator("#box textarea").input_value()) == 50_000
    ask(page, "What is pruning?")
    expect(page.locator("#notice")).to_have_text("")


def test_nothing_from_a_corpus_becomes_markup(
    serve: Callable[..., Server], open_page: Callable[..., Page], tmp_path: Path
) -> None:
    corpus = tmp_path / "evil.md"
    sections = "\n\n".join(f"## Hull {evil}\n\nA hull of {evil} floats.\n\n- **Item** {evil}" for evil in EVIL)
    corpus.write_text(f"# Boats\n\n{sections}\n\n## Endless\n\nA hull {'x' * 50_000} ends.\n", encoding="utf-8")
    page = open_page(serve("--corpus", str(corpus)).url)
    expect(page.locator(".example").first).to_be_visible()
    ask(page, "What is a hull?")
    expect(page.locator("#running .turn")).to_be_visible()
    page.locator("#running .marker").first.click()
    page.locator("#cited .context").first.click()
    expect(page.locator("#whole mark").first).to_be_visible()
    expect(page.locator(BUILT)).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    expect(page.locator("#whole .document")).to_contain_text("<script>alert(1)</script>")


def test_no_file_is_read_and_no_stranger_served(server: Server) -> None:
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        for path in (
            "gradio_api/file=/etc/passwd", "gradio_api/file=ui/app.py", "file=/etc/passwd", "file/etc/passwd",
            "static/..%2f..%2f..%2f..%2fetc%2fpasswd", "static//etc/passwd", "assets/..%2f..%2fapp.py",
            "gradio_api/proxy=http://127.0.0.1:1/", "gradio_api/stream/a/b/c/playlist.m3u8", "monitoring",
        ):  # fmt: skip
            answer = client.get(path)
            assert answer.status_code in (403, 404), path
            assert "root:" not in answer.text
        assert client.post("gradio_api/upload", files={"files": b"x"}).status_code == 404
        assert client.get("", headers={"Host": "evil.example"}).status_code == 421
        page = client.get("")
        assert page.status_code == 200
        assert "connect-src 'self'" in page.headers["content-security-policy"]
        assert (
            "access-control-allow-origin" not in client.get("config", headers={"Origin": "http://evil.example"}).headers
        )


def test_a_password_is_asked_for(serve: Callable[..., Server], open_page: Callable[..., Page]) -> None:
    server = serve("--auth", "ada:secret")
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        for path in ("config", "gradio_api/info"):
            assert client.get(path).status_code == 401
        assert (
            client.post("gradio_api/queue/join", json={"fn_index": 0, "data": [], "session_hash": "a"}).status_code
            == 401
        )
        assert client.post("gradio_api/component_server", json={}).status_code == 401
        assert client.post("login", data={"username": "ada", "password": "wrong"}).status_code == 400
        assert client.post("login", data={"username": "ada", "password": "secret"}).status_code == 200
        assert client.get("config").status_code == 200
