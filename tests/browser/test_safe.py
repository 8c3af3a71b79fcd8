"""Item 6: safe. That no request leaves the machine is checked for every page of every test, in conftest."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ROOT, Server, ask, shown

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


def test_a_lone_mark_of_direction_turns_only_its_own_sentence(
    serve: Callable[..., Server], open_page: Callable[..., Page], tmp_path: Path
) -> None:
    corpus = tmp_path / "marks.md"
    text = "A hull \u202efloats. A hull has a keel. A hull has ribs."
    corpus.write_text(f"# Boats\n\n## A \u202ehull\n\n### Kinds\n\n{text}\n", encoding="utf-8")
    page = open_page(serve("--corpus", str(corpus)).url)
    ask(page, "What is a hull?")
    left_to_right = (
        "all => all.map(e => { const node = document.createTreeWalker(e, NodeFilter.SHOW_TEXT).nextNode();"
        " const at = n => { const r = document.createRange(); r.setStart(node, n); r.setEnd(node, n + 1);"
        " return r.getBoundingClientRect().left; }; return at(0) < at(3); })"
    )
    said = page.locator("#running .said")
    texts, turned = said.all_inner_texts(), said.locator(".text:first-child").evaluate_all(left_to_right)
    assert sum("\u202e" in text for text in texts) == 1 and len(texts) == 3
    assert all(on for text, on in zip(texts, turned[::2] if len(turned) == 6 else turned, strict=True) if "has" in text)
    path = page.locator("#cited .card .path").first.locator("span")
    left = path.evaluate_all("all => all.map(e => e.getBoundingClientRect().left)")
    assert len(left) == 3 and left == sorted(left)


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


def test_who_has_the_password_signs_in_and_is_told_where_words_go(
    serve: Callable[..., Server], open_page: Callable[..., Page]
) -> None:
    server = serve("--host", "0.0.0.0", "--auth", "ada:secret")
    page = open_page(server.url, sign_in=("ada", "secret"))
    expect(page.locator("#status")).to_contain_text("answers are made on the serving computer, nothing goes further")
    expect(page.locator("#status")).to_contain_text("everybody with the password sees all conversations")
    expect(page.locator("body")).not_to_contain_text("this computer")
    ask(page, "What is pruning?")
    expect(page.locator("#running .marker").first).to_be_visible()
    page.locator("#running [data-do=up]").click()
    expect(page.locator("#running [data-do=up]")).to_have_attribute("aria-pressed", "true")


def test_only_this_computer_reaches_the_page(server: Server) -> None:
    assert server.process
    process = psutil.Process(server.process.pid)
    listening = {c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def test_another_address_without_a_password_is_refused(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GLOSSARY_")}
    command = [sys.executable, "-m", "assistant", "chat", "--host", "0.0.0.0", "--data-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("glossary: 0.0.0.0 can be reached from other computers; expected a password")
    assert done.stderr.count("\n") == 1
