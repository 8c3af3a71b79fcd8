"""Answers → safe HTML. Pure: no Gradio, no model, no store; every word that comes from outside is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from assistant.records import Answer, Citation, Corpus, Sentence
from ui.exports import answer_markdown
from ui.source_view import card_body
from ui.turns import View

MOST_KEPT_TOGETHER = 30  # characters of a last word that is kept on one line with its markers
MOST_NAMED = 5  # headings of found passages that are named while the model reads

_WORDED = {
    "model": ("the model’s words", "In the model’s words, checked against the source"),
    "quote": ("quotation", "Quoted from the source, word for word"),
}
_ICONS = {
    "copy": "M9 9h10v11H9zM5 15V4h10",
    "retry": "M4 12a8 8 0 1 0 2.5-5.8M4 4v4.5h4.5",
    "edit": "M5 19h3.5L19 8.5 15.5 5 5 15.5zM13 7.5l3.5 3.5",
    "words": "M5 7h14M5 12h9M5 17h6",
    "up": "M8 11v9H4.5v-9zm0 0 4-7c1.6 0 2.4 1 2 2.6L13.3 10H18c1.4 0 2 1 1.7 2.3l-1.3 5.8C18.1 19.4 17.3 20 16 20H8",
    "down": "M8 13V4H4.5v9zm0 0 4 7c1.6 0 2.4-1 2-2.6L13.3 14H18c1.4 0 2-1 1.7-2.3l-1.3-5.8C18.1 4.6 17.3 4 16 4H8",
}


def icon(name: str) -> str:
    """Return a line drawing; the text or the label beside it says what it means."""
    return (
        f'<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d="{_ICONS[name]}"/></svg>'
    )


def thread_html(views: Sequence[View], corpus: Corpus | None, conversation: str, last: bool = False) -> str:
    """Return turns of a conversation, oldest first; `last` says that its last turn is among them."""
    turns = "".join(turn_html(v, corpus, last and v is views[-1]) for v in views)
    return f'<div class="turns" data-conversation="{escape(conversation)}">{turns}</div>'


def turn_html(view: View, corpus: Corpus | None, last: bool = False) -> str:
    """Return one question with its answer; `corpus` gives the citations the text around them.

    The last turn of a conversation is replaced by Retry and Edit; earlier ones are asked anew, below. Each part
    has its place from the beginning: the page writes a snapshot over the last one place by place, and what is
    unfolded or focused in one that moved would be lost.
    """
    live = "" if view.ended else ' aria-busy="true"'
    return (
        f'<article class="turn" data-turn="{view.turn}" data-state="{view.state}" data-last="{int(last)}"'
        f' aria-label="{escape(_short(view.question))}"{live}>'
        f'<div class="question"><h2 dir="auto">{escape(view.question)}</h2></div>'
        f'<div class="answer">{answer_html(view)}{_note(view)}</div>'
        f'<div class="after">{_actions(view) if view.ended else ""}</div>{_sources(view, corpus)}</article>'
    )


def answer_html(view: View) -> str:
    """Return the answer's sentences with their markers; an abstention is a note with the nearest entries."""
    answer = view.answer
    if answer is not None and answer.abstained:
        return _refusal(answer)
    if answer is not None and answer.sentences:
        return "".join(_groups(answer.sentences, answer.citations, view.turn))
    return "" if view.ended else f'<p class="found">{_found(answer)}</p>'


def _refusal(answer: Answer) -> str:
    html = f'<p class="refusal" dir="auto">{escape(answer.reason)}</p>'
    if answer.suggestions:
        buttons = "".join(
            f'<button type="button" class="chip" data-ask="{escape(f"What does the glossary say about {s}?")}">'
            f"{escape(s)}</button>"
            for s in answer.suggestions
        )
        html += f'<div class="nearest"><p>The nearest entries are</p>{buttons}</div>'
    return html


def _found(answer: Answer | None) -> str:
    if answer is None or not answer.hits:
        return "Looking it up …"
    names = list(dict.fromkeys(h.passage.path[-1] for h in answer.hits if h.passage.path))
    more = " …" if len(names) > MOST_NAMED else ""
    chips = "".join(f'<span class="name">{escape(_short(n, 60))}</span>' for n in names[:MOST_NAMED])
    return f"Reading {len(answer.hits)} passages under {chips}{more}" if names else "Reading …"


def _groups(sentences: Iterable[Sentence], citations: Sequence[Citation], turn: int) -> Iterator[str]:
    """Yield paragraphs and lists, consecutive sentences and items together."""
    open_tag = ""
    for sentence in sentences:
        tag = "ul" if sentence.item else "p"
        if tag != open_tag:
            yield (f"</{open_tag}>" if open_tag else "") + f'<{tag} dir="auto">'
            open_tag = tag
        said = _said(sentence, "".join(_marker(c, turn) for c in citations if c.n in sentence.citations))
        yield f"<li>{said}</li>" if sentence.item else f"{said} "
    if open_tag:
        yield f"</{open_tag}>"


def _said(sentence: Sentence, markers: str) -> str:
    """Return a sentence whose markers stay on the line of its last word."""
    head, space, last = sentence.text.rpartition(" ")
    if len(last) > MOST_KEPT_TOGETHER:
        head, space, last = sentence.text, "", ""
    label, title = _WORDED[sentence.origin]
    return (
        f'<span class="said {sentence.origin}" title="{title}"><span class="text">{escape(head + space)}</span>'
        f'<span class="tail"><span class="text">{escape(last)}</span>{markers}</span></span>'
        f'<span class="origin">{label}</span>'
    )


def _marker(citation: Citation, turn: int) -> str:
    return (
        f'<button type="button" class="marker" data-n="{citation.n}" aria-label="Source {citation.n}:'
        f' {escape(citation.section)}" aria-describedby="quote-{turn}-{citation.n}">{citation.n}</button>'
    )


def _note(view: View) -> str:
    """Return what the page is doing, or how the answer ended where it did not simply end."""
    message = escape(view.message)
    if view.state == "loading":
        told = "and comes first." if view.place <= 1 else f"as number {view.place} in the queue."
        starting = f"The assistant is starting: {message or 'loading the models'}. Your question waits {told}"
        return f'<p class="note busy" data-place="{view.place}">{starting}</p>'
    if view.state == "waiting":
        told = "You are next." if view.place <= 1 else f"You are number {view.place} in the queue."
        return f'<p class="note busy" data-place="{view.place}">Others are being answered. {told}</p>'
    if view.state == "answering":
        return '<p class="note busy cursor"><span class="sr">The answer is being written</span></p>'
    if view.state == "stopped":
        return '<p class="note">Stopped.</p>'
    if view.state == "failed":
        return f'<p class="note error" role="alert"><strong>This answer failed.</strong> {message}</p>'
    return f'<p class="note error">{message}</p>' if message else ""


def _actions(view: View) -> str:
    answer = view.answer
    says = answer is not None and bool(answer.sentences or answer.abstained)
    parts = []
    if answer is not None and says:
        parts.append(_action("copy", "Copy", data=f' data-markdown="{escape(answer_markdown(answer))}"'))
    parts += [_action("retry", "Retry"), _action("edit", "Edit question")]
    if answer is not None and answer.sentences:
        parts.append(_action("words", "Who worded this?", pressed=False))
    if says:
        parts.append(_action("up", "Good answer", pressed=view.vote > 0, quiet=True))
        parts.append(_action("down", "Bad answer", pressed=view.vote < 0, quiet=True))
    time = f'<span class="time">{answer.timings.total_s:.1f} s</span>' if answer and answer.timings.total_s else ""
    comment = (
        f'<form class="comment" hidden><label>Comment (optional) <input name="comment" maxlength="1000"'
        f' value="{escape(view.comment)}"></label><button class="chip">Save</button></form>'
    )
    return f'<div class="actions" role="group" aria-label="About this answer">{"".join(parts)}{time}</div>{comment}'


def _action(do: str, label: str, pressed: bool | None = None, quiet: bool = False, data: str = "") -> str:
    state = "" if pressed is None else f' aria-pressed="{str(pressed).lower()}"'
    name = f' aria-label="{label}" title="{label}"' if quiet else ""
    words = "" if quiet else f"<span>{label}</span>"
    return f'<button type="button" class="action" data-do="{do}"{state}{name}{data}>{icon(do)}{words}</button>'


def _sources(view: View, corpus: Corpus | None) -> str:
    """Return the cited passages, folded under the answer; a wide page shows them in the pane beside it instead."""
    if view.answer is None or not view.answer.citations:
        return ""
    count = len(view.answer.citations)
    cards = "".join(_card(c, view.turn, corpus) for c in view.answer.citations)
    return (
        f'<details class="sources"><summary>{count} source{"s" if count > 1 else ""}</summary>'
        f'<ol class="cards">{cards}</ol></details>'
    )


def _card(citation: Citation, turn: int, corpus: Corpus | None) -> str:
    body, plain, found = card_body(citation, corpus)
    path = "".join(f"<span>{escape(step)}</span>" for step in found or (citation.section,))
    context = '<button type="button" class="context">Read in the glossary</button>' if found else ""
    return (
        f'<li class="card" tabindex="-1" data-n="{citation.n}" data-file="{escape(citation.file)}"'
        f' data-start="{citation.start}" data-end="{citation.end}"><p class="where"><b class="number">{citation.n}</b>'
        f'<span class="path">{path}</span></p><blockquote dir="auto">{body}</blockquote>'
        f'<span class="quoted" id="quote-{turn}-{citation.n}" hidden>{escape(plain)}</span>{context}</li>'
    )


def _short(text: str, most: int = 80) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"
