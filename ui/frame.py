"""What surrounds an answer → safe HTML: the bar, the start page, the list of conversations, the pane. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from assistant.records import Corpus
from ui.kept import ConversationInfo

SHIPPED = "glossary.md"
MOST_LISTED = 60  # conversations: the list is sent anew with every question
EXAMPLES = (
    ("A fact", "What does the 7B in a model's name mean?"),
    ("A tag, taken apart", "What do the parts of the tag Q4_K_M stand for?"),
    ("A whole list", "Which compression techniques are there?"),
    ("A comparison", "Compare post-training quantization and quantization-aware training."),
    ("Everyday words", "How can I make a model fit on my phone?"),
    ("Not in the glossary", "Who founded Hugging Face?"),
)
ELSEWHERE = ("Not in the glossary", "Who won the football world cup in 1998?")
NOTICE = (
    '<div class="dialog-row"><button type="submit" value="" class="chip">Cancel</button>'
    '<button type="submit" value="ok" class="chip primary">OK</button></div>'
)

BAR = (
    '<header class="bar"><button type="button" id="show-conversations" class="tool" aria-expanded="false"'
    ' aria-controls="conversations"><svg class="icon" viewBox="0 0 24 24" aria-hidden="true">'
    '<path d="M4 7h16M4 12h16M4 17h16"/></svg><span>Conversations</span></button><h1>Glossary assistant</h1>'
    '<div class="tools"><button type="button" id="show-whole" class="tool">'
    '<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d="M12 6c-2-1.5-5-2-8-2v14c3 0 6 .5 8 2 2-1.5'
    ' 5-2 8-2V4c-3 0-6 .5-8 2zm0 0v14"/></svg><span>Whole glossary</span></button>'
    '<button type="button" id="show-about" class="tool"><svg class="icon" viewBox="0 0 24 24" aria-hidden="true">'
    '<path d="M12 11v6M12 7.5v.5M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z"/></svg>'
    "<span>About</span></button></div></header>"
)
PANE = (
    '<div class="tabs"><div role="tablist" aria-label="Sources"><button type="button" role="tab" id="tab-cited"'
    ' aria-controls="cited" aria-selected="true">Sources</button><button type="button" role="tab" id="tab-whole"'
    ' aria-controls="whole" aria-selected="false" tabindex="-1">Whole glossary</button></div>'
    '<button type="button" id="close-pane" class="tool" aria-label="Close the sources">'
    '<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d="M6 6l12 12M18 6L6 18"/></svg></button></div>'
    '<div id="cited" role="tabpanel" aria-labelledby="tab-cited" tabindex="0"><p class="empty">The passages that an'
    " answer rests on appear here, with the very words marked. Choose a number in an answer to see where it stands.</p>"
    '</div><div id="whole" role="tabpanel" aria-labelledby="tab-whole" tabindex="0" hidden></div>'
)


def bridge_html(about: str) -> str:
    """Return what the page's script needs beside what is seen: dialogs, the preview, and where news are announced."""
    return (
        '<div id="announcer" class="sr" role="status" aria-live="polite"></div>'
        '<div id="preview" role="tooltip" hidden></div><div id="toast" role="status" hidden></div>'
        '<dialog id="about" aria-labelledby="about-title"><form method="dialog"><h2 id="about-title">'
        "About this page</h2>"
        f'<div class="about">{about}</div><button class="chip primary">Close</button></form></dialog>'
        '<dialog id="prompt" aria-labelledby="prompt-title"><form method="dialog"><h2 id="prompt-title"></h2>'
        '<label id="prompt-field"><span></span><textarea rows="2" maxlength="2000"></textarea></label>'
        + NOTICE
        + "</form></dialog>"
    )


def examples(corpus: Corpus | None) -> Sequence[tuple[str, str]]:
    """Return questions to begin with: written for the shipped glossary, made from the headings of another."""
    if corpus is None or [d.name for d in corpus.documents] == [SHIPPED]:
        return EXAMPLES
    sections = [s for d in corpus.documents for s in d.sections if s.path and s.blocks]
    step = max(1, len(sections) // 5)
    return (*(("From the contents", f"What is {s.path[-1]}?") for s in sections[::step][:5]), ELSEWHERE)


def start_html(corpus: Corpus | None) -> str:
    """Return what somebody sees who comes for the first time, or begins anew."""
    buttons = "".join(
        f'<button type="button" class="example" data-ask="{escape(question)}"><small>{escape(kind)}</small>'
        f"<span>{escape(question)}</span></button>"
        for kind, question in examples(corpus)
    )
    return (
        '<div class="start" data-conversation=""><h2>Ask the glossary</h2><p>Answers come from one text and from'
        " nothing else. Every sentence carries a number: it leads to the very words it rests on. What the text does"
        f" not say, this page does not answer.</p><div class='examples'>{buttons}</div></div>"
    )


def conversations_html(found: Sequence[ConversationInfo], current: str, searched: bool) -> str:
    """Return the list of conversations, newest first."""
    if not found:
        told = "Nothing found." if searched else "Conversations are kept here."
        return f'<p class="empty">{told}</p>'
    listed = "".join(_conversation(c, c.id == current) for c in found[:MOST_LISTED])
    more = len(found) - MOST_LISTED
    older = f'<p class="empty">{more:,} older ones: search finds them.</p>' if more > 0 else ""
    return f'<ul class="conversations">{listed}</ul>{older}'


def _conversation(info: ConversationInfo, current: bool) -> str:
    title, id = escape(info.title or "New conversation"), escape(info.id)
    mark = ' aria-current="true"' if current else ""
    choices = "".join(
        f'<button type="button" data-manage="{do}">{words}</button>'
        for do, words in (
            ("rename", "Rename"), ("markdown", "Export as Markdown"), ("json", "Export as JSON"), ("delete", "Delete"),
        )
    )  # fmt: skip
    return (
        f'<li data-id="{id}"><button type="button" class="open" data-open="{id}"{mark}><span dir="auto">{title}</span>'
        f"<small>{_when(info.updated)}</small></button>"
        f'<details class="menu"><summary aria-label="More about {title}">⋯</summary><div>{choices}</div></details></li>'
    )


def _when(moment: datetime) -> str:
    now = datetime.now(UTC)
    minutes = int((now - moment).total_seconds() // 60)
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes} min ago"
    if minutes < 24 * 60:
        return f"{minutes // 60} h ago"
    return moment.astimezone().strftime("%d %b %Y").lstrip("0")


def notice_html(message: str) -> str:
    """Return a line above the question that says what is wrong; empty for none."""
    return f'<p class="notice" role="alert">{escape(message)}</p>' if message else ""
