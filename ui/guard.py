"""What stands between the page and the network: which addresses are served, and what a browser may load.

ASGI, because the framework's own middleware classes would hold back a streamed answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

# Gradio's own page needs inline scripts and evaluates its templates; all else comes from this server alone.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; frame-src 'none'; object-src 'none';"
    " frame-ancestors 'none'; form-action 'self'; base-uri 'self'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
)
# What the page itself asks for. Gradio also serves ways to upload, to read files and to fetch for others.
PAGES = ("/", "/config", "/favicon.ico", "/theme.css", "/manifest.json", "/login", "/logout", "/robots.txt")
FOLDERS = ("/static/", "/assets/", "/svelte/", "/gradio_api/heartbeat/", "/gradio_api/call/", "/gradio_api/run/")
API = tuple(
    f"/gradio_api/{name}"
    for name in (
        "queue/join", "queue/data", "component_server", "startup-events", "reset", "cancel", "info", "app_id",
        "login_check", "token", "user", "theme.css",
    )
)  # fmt: skip


def served(path: str) -> bool:
    """Tell whether the page needs a path."""
    trimmed = path.rstrip("/") or "/"
    return trimmed in PAGES or trimmed in API or (path.startswith(FOLDERS) and ".." not in path)


class Guard:
    """Refuses strange host names and paths, and adds the headers that keep a browser on this server."""

    def __init__(self, app: App, hosts: frozenset[str]) -> None:
        """Take the app and the host names that may be asked for; none means any, for a server with a password."""
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if self.hosts and name not in self.hosts:  # a page elsewhere may have given its own name this address
            await _refuse(send, 421, b"this server answers to its own address alone")
        elif not served(scope["path"]):
            await _refuse(send, 404, b"nothing is served here")
        else:
            await self.app(scope, receive, _with_headers(send))


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
        await send(message)

    return sending


async def _refuse(send: Send, status: int, told: bytes) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(told)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *HEADERS]})
    await send({"type": "http.response.body", "body": told})
