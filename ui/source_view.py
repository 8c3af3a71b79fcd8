"""The source text → safe HTML: a passage in its paragraph, and a whole document with its contents.

Pure. Markdown marks stay in the HTML but are not displayed, so that the text of a block's element is the
source verbatim and offsets in characters count in it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from html import escape

from assistant.records import Block, Citation, Corpus, Document, Section

AROUND = 600  # characters shown on each side of a quotation in its paragraph
_INLINE = re.compile(
    r"(?P<b>\*\*)(?P<bold>[^*]+)(?P<b2>\*\*)|(?P<c>`)(?P<code>[^`]+)(?P<c2>`)"
    r"|(?P<l>!?\[)(?P<link>[^\]]+)(?P<l2>\]\([^)\s]*\))|(?<![\w*])(?P<e>[*_])(?P<em>[^*_\n]+)(?P<e2>[*_])(?![\w*])"
)
_SHOWN, _MARKS = ("bold", "code", "link", "em"), ("b", "b2", "c", "c2", "l", "l2", "e", "e2")


def inline_html(text: str, first: int = 0, last: int = 0) -> str:
    """Return escaped text with emphasis and code styled, Markdown marks hidden, and text[first:last] in <mark>."""
    out = ""
    for start, end, kind in _pieces(text, first, last):
        piece = escape(text[start:end])
        piece = f'<span class="{kind}">{piece}</span>' if kind else piece
        out += f"<mark>{piece}</mark>" if first <= start and end <= last else piece
    return out


def _plain(text: str, first: int, last: int) -> str:
    """Return text[first:last] as `inline_html` shows it, without the Markdown marks."""
    return "".join(text[a:b] for a, b, kind in _pieces(text, first, last) if kind != "md" and first <= a and b <= last)


def _pieces(text: str, first: int, last: int) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and kind of the pieces of a text that are shown alike; `first` and `last` cut them too."""
    spans = [
        (m.start(name), m.end(name), "md" if name in _MARKS else name)
        for m in _INLINE.finditer(text)
        for name in (*_MARKS, *_SHOWN)
        if m.start(name) >= 0
    ]
    cuts = sorted({0, len(text), first, last, *(edge for start, end, _ in spans for edge in (start, end))})
    for start, end in zip(cuts, cuts[1:], strict=False):
        yield start, end, next((kind for a, b, kind in spans if a <= start and end <= b), "")


def card_body(citation: Citation, corpus: Corpus | None) -> tuple[str, str, tuple[str, ...]]:
    """Return a citation's paragraph with its characters marked, its plain words, and the headings above it.

    Without the corpus, or where the text has changed since, that is the quotation alone under no headings.
    """
    alone = f"<p><mark>{escape(citation.quote)}</mark></p>"
    document = next((d for d in corpus.documents if d.name == citation.file), None) if corpus else None
    if document is None or document.text[citation.start : citation.end] != citation.quote:
        changed = "" if corpus is None else "<small>The glossary has changed since: this is what it said.</small>"
        return alone + changed, citation.quote, ()
    section, blocks = _around(document, citation)
    cut = [_cut(document, b, citation) for b in blocks]
    shown = "".join(_block_html(b, *c) for b, c in zip(blocks, cut, strict=True)) or alone
    plain = " ".join(_plain(*c) for c, _, _ in cut) or citation.quote
    return shown, plain, section.path if section else (citation.section,)


def _around(document: Document, citation: Citation) -> tuple[Section | None, list[Block]]:
    at = bisect_right([s.start for s in document.sections], citation.start) - 1
    section = document.sections[at] if at >= 0 else None
    blocks = [b for b in section.blocks if b.start < citation.end and citation.start < b.end] if section else []
    return section, blocks


def _cut(document: Document, block: Block, citation: Citation) -> tuple[tuple[str, int, int], str, str]:
    """Return a block's text with where the citation begins and ends in it, cut where it goes on for long."""
    start, end = max(block.start, citation.start - AROUND), min(block.end, citation.end + AROUND)
    text = document.text[start:end]
    first, last = max(0, citation.start - start), min(len(text), citation.end - start)
    return (text, first, last), "… " if start > block.start else "", " …" if end < block.end else ""


def _block_html(block: Block, cut: tuple[str, int, int], before: str, after: str) -> str:
    above = f'<p class="labels">{escape(" › ".join(block.labels))}</p>' if block.labels else ""
    return f"{above}<p>{before}{inline_html(*cut)}{after}</p>"


def document_html(corpus: Corpus, name: str) -> str:
    """Return one document with its contents: every block carries its offsets. KeyError for a name that is none."""
    document = next((d for d in corpus.documents if d.name == name), None)
    if document is None:
        raise KeyError(name)
    contents = "".join(_contents(document))
    files = "".join(
        f'<option value="{escape(d.name)}"{" selected" if d is document else ""}>{escape(d.name)}</option>'
        for d in corpus.documents
    )
    chooser = (
        f'<label class="file">File <select name="file">{files}</select></label>' if len(corpus.documents) > 1 else ""
    )
    body = "".join(_section(document, n, section) for n, section in enumerate(document.sections))
    return (
        f'{chooser}<details class="contents" open><summary>Contents</summary><ul>{contents}</ul></details>'
        f'<div class="document" data-file="{escape(document.name)}" dir="auto">{body}</div>'
    )


def _depth(section: Section) -> int:
    return min(max(len(section.path), 1), 4)


def _contents(document: Document) -> Iterator[str]:
    for n, section in enumerate(document.sections):
        if section.path and not _is_divider(document, n):
            yield (
                f'<li class="depth-{_depth(section)}"><button type="button" data-section="{n}">'
                f"{escape(section.path[-1])}</button></li>"
            )


def _is_divider(document: Document, n: int) -> bool:
    """Tell whether a heading only announces the next one of its level: 'Deep Dive' above 'Quantization'."""
    section, rest = document.sections[n], document.sections[n + 1 :]
    return not section.blocks and bool(rest) and len(rest[0].path) <= len(section.path)


def _section(document: Document, n: int, section: Section) -> str:
    level = _depth(section) + 2
    heading = f'<h{level} tabindex="-1">{escape(section.path[-1])}</h{level}>' if section.path else ""
    return f'<section data-section="{n}">{heading}{"".join(_blocks(document, section))}</section>'


def _blocks(document: Document, section: Section) -> Iterator[str]:
    """Yield paragraphs and items; an item shows the number or dash that stands before it in the source."""
    for block in section.blocks:
        text = document.text[block.start : block.end]
        offsets = f'data-start="{block.start}" data-end="{block.end}"'
        code = " code" if text.startswith("```") or text.lstrip().startswith("|") else ""
        if block.kind == "paragraph":
            yield f'<p class="block{code}" {offsets}>{inline_html(text)}</p>'
            continue
        line = document.text.rfind("\n", 0, block.start) + 1
        bullet = document.text[line : block.start].strip(" >\t")
        bullet = bullet if bullet[:1].isdigit() else "•"
        yield (
            f'<div class="item depth-{min(len(block.labels), 4)}"><span class="bullet" aria-hidden="true">'
            f'{escape(bullet)}</span><p class="block{code}" {offsets}>{inline_html(text)}</p></div>'
        )
