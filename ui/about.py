"""What the page says of itself: the model, the corpus, where words go, and measured figures. Knows no Gradio."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from assistant.errors import AssistantError
from assistant.records import Corpus
from assistant.settings import Settings

if TYPE_CHECKING:
    from assistant.pipeline import Assistant

_QUANTIZATION = re.compile(r"[.-]((?:I?Q\d\w*|F16|F32|BF16))$", re.I)
KEYS = (
    ("Enter", "sends the question"),
    ("Shift + Enter", "breaks the line"),
    ("Esc", "closes what is open, or stops the answer"),
    ("/", "goes to the question"),
    ("Tab", "goes from marker to marker; each says its quotation"),
)


@dataclass(frozen=True)
class Facts:
    """What is known of the installed assistant. `size` is in bytes, 0 where it is not on this computer.

    `elsewhere` is the host that another computer's model is asked at; `shared` tells that others reach this page.
    """

    model: str
    quantization: str = ""
    size: int = 0
    passages: int = 0
    elsewhere: str = ""
    shared: bool = False


def facts(settings: Settings, assistant: Assistant | None) -> Facts:
    """Return the facts of these settings; the passages are counted once the assistant is there."""
    passages = len(assistant.parts.passages) if assistant else 0
    if settings.model_url is not None:
        host = urlsplit(settings.model_url).hostname or settings.model_url
        return Facts(settings.model_name, passages=passages, elsewhere="" if is_loopback(host) else host)
    path = _model_path(settings)
    if path is None:
        return Facts(assistant.parts.model_name if assistant else "no model", passages=passages)
    quantization = _QUANTIZATION.search(path.stem)
    name = path.stem[: quantization.start()] if quantization else path.stem
    return Facts(name, quantization[1] if quantization else "", path.stat().st_size, passages)


def _model_path(settings: Settings) -> Path | None:
    from assistant.wiring import model_weights

    try:
        return model_weights(settings).path
    except (AssistantError, OSError):
        return None


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is this computer."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def status_html(state: str, line: str, found: Facts | None) -> str:
    """Return the quiet line at the foot of the page."""
    if state == "failed":
        return f'<p class="status error" role="alert"><b>The assistant cannot start.</b> {escape(line)}</p>'
    if state == "loading" or found is None:
        return f'<p class="status"><span class="light busy"></span>Starting: {escape(line)} …</p>'
    size = f"{found.size / 1e6:,.0f} MB" if found.size else ""
    parts = [found.model, found.quantization, size, f"{found.passages:,} passages"]
    told = "".join(f"<span>{escape(part)}</span>" for part in parts if part)
    return (
        f'<p class="status"><span class="light"></span>{told}<span class="privacy">{escape(privacy(found))}</span></p>'
    )


def privacy(found: Facts) -> str:
    """Return where the words go, truly for whoever reads it: with `shared` that may be at another computer."""
    if found.elsewhere:
        told = f"questions and passages are sent to {found.elsewhere}"
    elif found.shared:
        told = "served from this network: answers are made on the serving computer, nothing goes further"
    else:
        return "offline: nothing leaves this computer"
    return told + ("; everybody with the password sees all conversations" if found.shared else "")


def figures(path: Path | None = None) -> dict[str, Any]:
    """Return the measured figures of the installed version; empty where none were shipped or they cannot be read."""
    source = path or files("assistant").joinpath("data/figures.json")
    try:
        found = json.loads(source.read_text(encoding="utf-8"))
        rows = [(str(row["what"]), str(row["figure"])) for row in found["measured"]]
        told = {name: str(found.get(name, "")) for name in ("version", "date", "questions")}
        return {"measured": rows, **told}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def about_html(measured: dict[str, Any], corpus: Corpus | None) -> str:
    """Return the panel's inside: how answers are made, what was measured, the keys."""
    if measured:
        when = f"{measured['version']} on {measured['questions']} questions, {measured['date']}"
        rows = "".join(
            f"<tr><th scope='row'>{escape(w)}</th><td>{escape(f)}</td></tr>" for w, f in measured["measured"]
        )
        told = f"<p>Measured on version {escape(when)}.</p><table>{rows}</table>"
    else:
        told = "<p>No figures were measured for this version.</p>"
    keys = "".join(f"<tr><th scope='row'><kbd>{escape(k)}</kbd></th><td>{escape(does)}</td></tr>" for k, does in KEYS)
    names = ", ".join(d.name for d in corpus.documents[:10]) if corpus else ""
    return (
        "<h3>How it answers</h3><p>It looks for the passages of the glossary that speak of your question. Small"
        " models read them and judge which of them answer, and these are quoted. A larger model of"
        " yours writes sentences instead; one that the passages do not support is not shown. Where the glossary does"
        " not hold the answer, it says so.</p>"
        f"<p>It answers from {escape(names) or 'the glossary'} and from nothing else.</p>"
        f"<h3>Measured</h3>{told}<h3>Keys</h3><table>{keys}</table>"
    )
