"""`launch`: opens the page at once and lets the assistant load behind it. Knows addresses and passwords."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from assistant import corpus
from assistant.errors import SettingsError
from assistant.settings import Settings
from ui.about import is_loopback

HOST = "127.0.0.1"
STORE = "conversations.db"


def launch(
    settings: Settings, port: int, say: Callable[[str], None], *, host: str = HOST, auth: str | None = None
) -> int:
    """Open the page and serve it until Ctrl-C.

    `auth` is "USER:PASSWORD", and is needed for any `host` but this computer's own.
    Raises SettingsError for an address that cannot be had, or may not be without a password.
    """
    user = checked_auth(host, auth)
    check_port(host, port)
    page, desk = build(settings, shared=not is_loopback(host))
    serve(page, host, port, user)
    say(f"the chat is at http://{'[' + host + ']' if ':' in host else host}:{port} – Ctrl-C ends it")
    desk.start()
    try:
        page.blocks.block_thread()
    finally:
        desk.close()
    return 0


def checked_auth(host: str, auth: str | None) -> tuple[str, str] | None:
    """Return user and password. Raises SettingsError where they are malformed, or missing on an open address."""
    if auth:
        user, _, password = auth.partition(":")
        if not user or not password:
            raise SettingsError("the user and password are malformed; expected --auth USER:PASSWORD or GLOSSARY_AUTH")
        return user, password
    if not is_loopback(host):
        raise SettingsError(
            f"{host} can be reached from other computers; expected a password: pass --auth USER:PASSWORD, set"
            f" GLOSSARY_AUTH, or leave --host out to stay on {HOST}"
        )
    return None


def check_port(host: str, port: int) -> None:
    """Raise SettingsError for an address or a port that cannot be had."""
    if not 0 < port < 65536:
        raise SettingsError(f"port {port} is none; expected 1 to 65535, e.g. --port 7860")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name != "nt":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise SettingsError(
            f"port {port} on {host} cannot be used ({error.strerror or error}); pass another --port or --host"
        ) from error


def build(settings: Settings, opener: Any = None, shared: bool = False) -> tuple[Any, Any]:
    """Return the page and its desk, not started yet. `opener` stands in for `open_assistant` in tests.

    `shared` tells that other computers reach the page, which then says so.

    Raises CorpusError and StoreError: better before the page opens than on it.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported
    from ui.about import facts
    from ui.page import Page
    from ui.session import Desk
    from ui.store import ConversationStore

    def open_(say: Callable[[str], None], progress: Callable[[int, int], None]) -> Any:
        from assistant.wiring import open_assistant

        return open_assistant(settings, say, progress)

    desk = Desk(ConversationStore(settings.data_dir / STORE), corpus.load(settings.corpus), opener or open_)
    return Page(desk, lambda: replace(facts(settings, desk.assistant), shared=shared)), desk


def serve(page: Any, host: str, port: int, auth: tuple[str, str] | None) -> None:
    """Serve the page in threads of this process; returns once it answers."""
    from starlette.middleware import Middleware

    from ui.guard import Guard
    from ui.page import STATIC, head, theme

    hosts = frozenset({HOST, "localhost", "[::1]", host}) if is_loopback(host) else frozenset()
    page.blocks.launch(
        server_name=host, server_port=port, auth=auth, share=False, quiet=True, prevent_thread_lock=True,
        run_history=False, theme=theme(), head=head(), favicon_path=STATIC / "favicon.svg",
        footer_links=[], allowed_paths=[], max_file_size=1, strict_cors=True, ssr_mode=False, pwa=False,
        app_kwargs={"middleware": [Middleware(Guard, hosts=hosts)], "docs_url": None, "redoc_url": None},
    )  # fmt: skip
